"""The built book as one PDF, printed by Chromium: every page in the order of the contents, links between them kept."""

import argparse
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml
from bs4 import BeautifulSoup, Tag

from trusteq.errors import ArtefactError
from trusteq.pages.book import entries
from trusteq.store import atomic_path

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PRINTED = '<body><main class="bd-main"><div class="bd-content"><div class="bd-article-container">{}</div></div></main>'


def find_browser() -> str | None:
    """Return the path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, _BROWSERS)), None)


def print_book(html: Path, toc: Path, output: Path) -> None:
    """Print the pages of a built book, in the order of its table of contents, into one PDF.

    html: the folder that holds index.html. toc: as `trusteq book` expanded it. Raises ArtefactError where there is no
    such book, or no Chromium on the path.
    """
    browser = find_browser()
    if not toc.is_file() or not html.is_dir():
        raise ArtefactError(f"{html}: no built book; make one with trusteq book")
    if browser is None:
        raise ArtefactError(f"no {', '.join(_BROWSERS)} on the path to print the book; install Chromium")
    contents = yaml.safe_load(toc.read_text(encoding="utf-8"))
    whole, flags = html / "printed.html", ["--no-sandbox"] if os.geteuid() == 0 else []  # beside what it loads
    whole.write_text(one_page(html, [contents["root"], *entries(contents)]), encoding="utf-8")
    flags += ["--headless", "--disable-gpu", "--no-pdf-header-footer", "--virtual-time-budget=120000"]
    try:
        with atomic_path(output) as temporary:
            command = [browser, *flags, f"--print-to-pdf={temporary.resolve()}", whole.resolve().as_uri()]
            subprocess.run(command, check=True, capture_output=True)
    finally:
        whole.unlink()


def one_page(html: Path, names: list[str]) -> str:
    """Return the text of one page that holds the articles of all, ids and links told apart by the page's name."""
    heads, articles = [], []
    for name in names:
        page = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        article = page.find("article")
        _tell_apart(article, PurePosixPath(name), set(names))
        heads.append(str(page.head))
        articles.append(str(article))
    head = max(heads, key=lambda text: "MathJax" in text)  # Sphinx loads it only where there is a formula
    return f'<!DOCTYPE html><html lang="en" data-theme="light">{head}{_PRINTED.format("".join(articles))}</body></html>'


def _tell_apart(article: Tag, name: PurePosixPath, names: set[str]) -> None:
    article["id"], article["style"] = str(name), "break-before: page"
    for element in article.find_all(id=True):
        if element.find_parent("svg") is None and element.name != "svg":
            element["id"] = f"{name}#{element['id']}"
    for attribute, element in _links(article):
        path, _, anchor = element[attribute].partition("#")
        target = os.path.normpath(name.parent / path) if path else str(name)
        if target.removesuffix(".html") in names:
            target = target.removesuffix(".html")
            element[attribute] = f"#{target}#{anchor}" if anchor else f"#{target}"
        else:
            element[attribute] = target


def _links(article: Tag) -> Iterator[tuple[str, Tag]]:
    """Yield what is named by a path within the book."""
    for attribute in ("href", "src"):
        for element in article.find_all(attrs={attribute: True}):
            if ":" not in element[attribute] and element.find_parent("svg") is None:
                yield attribute, element


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print a built book into one PDF.")
    parser.add_argument("--html", type=Path, default=Path("_build/html"))
    parser.add_argument("--toc", type=Path, default=Path("_build/toc.yml"))
    parser.add_argument("output", type=Path)
    of = parser.parse_args()
    print_book(of.html, of.toc, of.output)
