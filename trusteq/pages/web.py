"""What the book's pages have beyond the theme, as an extension of Sphinx: figures within the page, tables in a box.

A figure stands in the page itself, as SVG whose colours are variables of the style sheet: so it has the reader's theme
and needs no second picture for the dark.
"""

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from trusteq.pages.drawn import themed

_TOO_EXACT = re.compile(r"(?<!scale\()(?<![\d.])(\d+\.\d\d)\d+")  # a hundredth of a point is a hair's width
_PHONE = 530  # pixels: a figure no wider is shown whole there, and its text can still be read
_LONE_TABLE = re.compile(r'(?<!table-container">)<table\b.*?</table>', flags=re.DOTALL)
_MENDS = {
    '<div role="list" class="citation-list">': '<div class="citation-list">',  # its items have a role of their own
    '<summary aria-label="Toggle hidden content">': "<summary>",  # it has text to see, and that is its name
}


class FiguresInThePage(SphinxPostTransform):
    """Put the SVG of a figure into the page; other pictures stay files."""

    default_priority = 100  # once one of a figure's forms is chosen
    formats = ("html",)

    def run(self, **ignored) -> None:
        for node in list(self.document.findall(nodes.image)):
            file = Path(self.env.srcdir, node["uri"])
            if file.suffix == ".svg":
                node.replace_self(nodes.raw("", inlined(file.read_text(encoding="utf-8")), format="html"))


def inlined(svg: str) -> str:
    """Return the text of an SVG file as an element of a page: each colour a variable with its value to fall back on."""
    text = svg[svg.index("<svg") :].replace("<svg ", '<svg class="tq-figure" ', 1)
    text = re.sub(r"<metadata>.*?</metadata>|<style\b.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # several figures of a page would have the same
    tag, drawing = text.split(">", 1)  # the numbers of the tag's label are for readers, and stay as they are
    text = tag + ">" + _TOO_EXACT.sub(r"\1", drawing)
    width = re.search(r'<svg [^>]*?\bwidth="([\d.]+)(pt)?"', text)
    fits = " tq-fits" if width and float(width[1]) * (4 / 3 if width[2] else 1) <= _PHONE else ""
    return f'<div class="tq-figure-box{fits}">{themed(text)}</div>'


def mended(body: str) -> str:
    """Return the body of a page with every table in a box of the theme that scrolls, and with roles that are right."""
    for before, after in _MENDS.items():
        body = body.replace(before, after)
    return _LONE_TABLE.sub(r'<div class="pst-scrollable-table-container">\g<0></div>', body)


def _escape(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    """Escape what the theme puts raw into its pages: the heading of a page, for print."""
    for name in ("pagetitle", "root_title"):
        if name in context:
            context[name] = html.escape(context[name])


def _finish(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object) -> None:
    if "body" in context:
        context["body"] = mended(context["body"]) + _to_notebook(context)


def _to_notebook(context: dict) -> str:
    """Return the link of a page that is a notebook to it."""
    if context.get("page_source_suffix") != ".ipynb":
        return ""
    target = context["pathto"](f"_sources/{context['sourcename']}", 1)
    return f'<p class="tq-notebook"><a href="{target}" download>This page as a notebook, with its code</a></p>'


def setup(app: Sphinx) -> dict:
    """Register with Sphinx."""
    app.add_post_transform(FiguresInThePage)
    app.connect("html-page-context", _finish)
    app.connect("html-page-context", _escape, priority=999)  # after the theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
