"""Texts that would act, in every field: in reports, cards, pages, figures and the terminal, in a browser, none does."""

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from trusteq import audit, audit_predictions
from trusteq.escapes import for_spreadsheet, markdown, plain
from trusteq.pages import book, figures, show
from trusteq.project import root
from trusteq.verdict.predictions import Predictions
from trusteq.verdict.report import write_audit, write_calibration
from trusteq.verdict.several import write as write_audits

AWAY = "http://away.invalid"
PAYLOADS = [
    "<script>window.hit=1</script>",
    f"<script src={AWAY}/1.js></script>",
    "</script><script>window.hit=2</script>",
    "</style><script>window.hit=3</script>",
    "</title><script>window.hit=4</script>",
    "--><script>window.hit=5</script>",
    "]]><script>window.hit=6</script>",
    '"><img src=x onerror=window.hit=7>',
    "'><img src=x onerror=window.hit=8>",
    f"<img src={AWAY}/9.png>",
    "<svg onload=window.hit=10>",
    "<svg><script>window.hit=11</script></svg>",
    "<svg><animate onbegin=window.hit=12 attributeName=x dur=1s>",
    f"<svg><image href={AWAY}/13.png /></svg>",
    '<iframe srcdoc="<script>parent.hit=14</script>"></iframe>',
    f"<iframe src={AWAY}/15></iframe>",
    "<details open ontoggle=window.hit=16>x</details>",
    f"<object data={AWAY}/17></object>",
    f"<embed src={AWAY}/18>",
    f'<meta http-equiv="refresh" content="0;url={AWAY}/19">',
    f"<base href={AWAY}/20/>",
    f"<link rel=stylesheet href={AWAY}/21.css>",
    f"<style>@import '{AWAY}/22.css';</style>",
    f'<p style="background:url({AWAY}/23.png)">x</p>',
    "<body onload=window.hit=24>",
    "<input autofocus onfocus=window.hit=25>",
    "<video><source onerror=window.hit=26></video>",
    f"<audio autoplay src={AWAY}/27.ogg></audio>",
    f"<form action={AWAY}/28><button autofocus>x</button></form>",
    "<math><mtext><img src=x onerror=window.hit=29></mtext></math>",
    "<marquee onstart=window.hit=30>x</marquee>",
    "&lt;script&gt;window.hit=31&lt;/script&gt;",
    "&#60;script&#62;window.hit=32&#60;/script&#62;",
    f"![x]({AWAY}/33.png)",
    f"[x]({AWAY}/34)",
    "[x](javascript:window.hit=35)",
    f"<{AWAY}/36>",
    f"{AWAY}/37",
    "www.away.invalid/38",
    f"[x]: {AWAY}/39",
    f"[x][y]\n\n[y]: {AWAY}/40",
    "# heading 41",
    "a | b | c",
    "**bold** _thin_ ~~gone~~",
    "`code` ```fence",
    "```{raw} html\n<script>window.hit=46</script>\n```",
    ":::{raw} html\n<script>window.hit=47</script>\n:::",
    "~~~{include} /etc/passwd\n~~~",
    "{raw:html}`<script>window.hit=49</script>`",
    "{cite}`paper` {ref}`x` {doc}`/etc/passwd`",
    "{download}`/etc/passwd`",
    "{{ ''.__class__.__mro__ }} {% for x in range(9) %}x{% endfor %}",
    "$\\href{javascript:window.hit=53}{x}$",
    "x$\\href$.csv $$\\frac{1}{$$",
    "\\begin{align}x\\end{align} \\(x\\) \\[x\\]",
    "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    f"\x1b]8;;{AWAY}/57\x1b\\link\x1b]8;;\x1b\\",
    "abc\u202egnp.exe\u2066\u2069\u200f",
    "line\r\nverdict: equivalent\x0b\x0c\x85\u2028\u2029",
    '=HYPERLINK("http://away.invalid/60")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
]
ACTING = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
GROUPS = [PAYLOADS[at : at + 8] for at in range(0, len(PAYLOADS), 8)]


@pytest.fixture
def inert(browser):
    """A function that opens a file and returns what acted: scripts, dialogs, errors of these, and requests."""
    contexts = []

    def inert(file: Path, *, scripts: bool = False) -> list[str]:
        contexts.append(browser.new_context())
        page, found = contexts[-1].new_page(), []
        page.on("dialog", lambda box: (found.append(box.message), box.dismiss()))
        page.on(
            "request",
            lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else found.append(asked.url),
        )
        page.on("framenavigated", lambda frame: None if frame.url == file.as_uri() else found.append(frame.url))
        page.goto(file.as_uri())
        page.wait_for_timeout(400)
        if page.evaluate("window.hit !== undefined"):
            found.append(f"hit {page.evaluate('window.hit')}")
        acting = "[onerror], [onload], [ontoggle], [onfocus], iframe, object, embed, base, "
        acting += "form[action^='http'], a[href^='javascript']"
        found += page.evaluate(f"[...document.querySelectorAll(`{acting}`)].map(of => of.outerHTML)")
        if not scripts:
            found += page.evaluate("[...document.querySelectorAll('script, a[href]')].map(of => of.outerHTML)")
        return found

    yield inert
    for context in contexts:
        context.close()


def predictions(labels, *, seed=0, slices=None, notes=(), ids=True):
    rng = np.random.default_rng(seed)
    n = 2 * len(labels)
    gold = np.arange(n) % len(labels)
    values = rng.dirichlet(np.ones(len(labels)), n)
    names = np.array([f"{PAYLOADS[i % len(PAYLOADS)]} {i}" for i in range(n)], dtype=object) if ids else None
    return Predictions(tuple(labels), values, gold, names, slices=slices, notes=tuple(notes))


@pytest.fixture(scope="module")
def audits():
    """Audits whose class names, ids, slices, notes and names of models are payloads."""
    slices = np.array([PAYLOADS[i % len(PAYLOADS)] for i in range(2 * len(PAYLOADS))], dtype=object)
    given = [predictions(PAYLOADS, seed=seed, slices=slices, notes=PAYLOADS) for seed in (0, 1, 2)]
    for group in (PAYLOADS[::2], PAYLOADS[1::2]):
        yield_names = (" ".join(group[:16]), " ".join(group[16:]))
        found = audit_predictions(given[0], given[1], retrained=[given[2]], dev=tuple(given[:2]), names=yield_names)
        break
    return [found]


def test_there_are_sixty():
    assert len(set(PAYLOADS)) >= 60


@pytest.mark.slow
def test_each_acts_where_nothing_is_escaped(inert, tmp_path):
    """Else the tests would be of what never acts: in a bare page most of the HTML among them does."""
    file = tmp_path / "bare.html"
    acted = 0
    for payload in PAYLOADS[:32]:
        file.write_text(f"<!doctype html><meta charset=utf-8><title>t</title><p>{payload}</p>", encoding="utf-8")
        acted += bool(inert(file))
    assert acted >= 28


def test_no_report_acts(audits, inert, tmp_path):
    for number, found in enumerate(audits):
        write_audit(found, tmp_path / str(number))
        assert inert(tmp_path / str(number) / "audit.html") == []
        page = (tmp_path / str(number) / "audit.html").read_text(encoding="utf-8")
        assert "Content-Security-Policy" in page and "&lt;script&gt;window.hit=1&lt;" in page
    for number, group in enumerate(GROUPS):
        write_calibration(predictions(PAYLOADS, notes=PAYLOADS), tmp_path / f"c{number}", name=" ".join(group))
        assert inert(tmp_path / f"c{number}" / "calibration.html") == []
        break


def test_no_report_of_models_acts(inert, tmp_path):
    """Texts, words to watch, ids, class names and the names of both models."""
    labels = tuple(PAYLOADS[:4])
    examples = pd.DataFrame(
        {"id": PAYLOADS, "text_a": PAYLOADS, "text_b": PAYLOADS[::-1], "label": [i % 4 for i in range(len(PAYLOADS))]}
    )

    def guess(seed):
        def predict(firsts, seconds):
            drawn = [
                np.random.default_rng([seed, *f"{a} {b}".encode()]).dirichlet(np.ones(4))
                for a, b in zip(firsts, seconds, strict=True)
            ]
            return np.array(drawn)

        predict.labels = labels
        return predict

    found = audit(
        guess(0),
        guess(1),
        examples,
        names=(PAYLOADS[0], " ".join(PAYLOADS[:20])),
        method="occlusion",
        explain=20,
        watch=["script", "window", "hit"],
        slices=None,
    )
    write_audit(found, tmp_path / "o")
    assert inert(tmp_path / "o" / "audit.html") == []


@pytest.mark.parametrize("preset", ["commonmark", "gfm-like"])
def test_no_card_acts(audits, inert, tmp_path, preset):
    """As GitHub and the Hub render it, raw HTML and addresses included."""
    card = audits[0].to_model_card()
    html = MarkdownIt(preset, {"html": True, "linkify": preset != "commonmark"}).enable("table").render(card)
    (tmp_path / "card.html").write_text(f"<!doctype html><meta charset=utf-8>{html}", encoding="utf-8")
    assert inert(tmp_path / "card.html") == []
    text = MarkdownIt("gfm-like", {"html": True}).enable("table").parse(card)
    assert not [token for token in text if token.type in ("html_block", "fence")]
    assert not ACTING.search(card.replace("\n", ""))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_markdown_shows_a_text_as_it_is(payload):
    """As a paragraph, in a list and in a cell: what is read is the text, on one line."""
    for before, after in (("", ""), ("- ", ""), ("| a |\n|---|\n| ", " |")):
        tokens = MarkdownIt("gfm-like", {"html": True}).parse(before + markdown(payload) + after)
        inline = [token for token in tokens if token.type == "inline"][-1]
        assert {child.type for child in inline.children} <= {"text", "text_special"}
        assert inline.children and "".join(child.content for child in inline.children) == plain(payload).strip()


def displayed(*things) -> list:
    """Return outputs of a notebook as `put` displays them."""
    outputs = []
    for thing in things:
        data = {"text/markdown": thing.data} if hasattr(thing, "data") and isinstance(thing.data, str) else None
        if isinstance(thing, plt.Figure):
            data = show.figure_bundle(thing)[0]
        elif hasattr(thing, "to_html"):
            data = show.table_bundle(thing)
        elif hasattr(thing, "_repr_html_"):
            data = {"text/html": thing.data}
        outputs.append(nbformat.v4.new_output("display_data", data))
    return outputs


def drawn():
    """A figure with a payload in each text that it has."""
    with plt.style.context(figures.STYLE):
        figure, axes = plt.subplots(figsize=(9, 9))
        axes.barh([*PAYLOADS[:32]], range(32), label=PAYLOADS[52])
        axes.set(title=" ".join(PAYLOADS[48:56]), xlabel=PAYLOADS[53], ylabel=PAYLOADS[0])
        axes.legend(title=PAYLOADS[11])
        axes.text(0, 0, "\n".join(PAYLOADS[40:]))
        figure.set_label(" ".join(PAYLOADS[:12]))
    return figure


def test_a_figure_holds_text_alone(inert, tmp_path):
    figure = drawn()
    data = show.figure_bundle(figure)[0]
    plt.close(figure)
    (tmp_path / "figure.html").write_text(
        f"<!doctype html><meta charset=utf-8>{data['image/svg+xml']}", encoding="utf-8"
    )
    (tmp_path / "figure.svg").write_text(data["image/svg+xml"], encoding="utf-8")
    assert inert(tmp_path / "figure.html") == inert(tmp_path / "figure.svg") == []


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A book of one notebook, built as the book is, with payloads as heading, text, table, figure and settings."""
    folder = tmp_path_factory.mktemp("book")
    notebook, examples = (
        nbformat.v4.new_notebook(),
        pd.DataFrame({"id": PAYLOADS, "text_a": PAYLOADS, "text_b": PAYLOADS, "label": 0}),
    )
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    table = pd.DataFrame([PAYLOADS], columns=PAYLOADS)
    figure = drawn()
    weights = pd.DataFrame(
        [(name, 0, 0, "x", PAYLOADS[0], 1.0) for name in PAYLOADS[:3]],
        columns=["id", "segment", "position", "word", "label", "weight"],
    )
    texts = examples[:3].assign(text_a="x", text_b=None)
    from types import SimpleNamespace

    things = [show.prose(f"**{one}** and {one}") for one in PAYLOADS]
    things += [show.prose("\n".join(f"1. {one}" for one in PAYLOADS)), show.show(table, caption=" ".join(PAYLOADS))]
    things += [
        show.show(table.T.reset_index()),
        figure,
        show.verbatim(yaml.safe_dump({"title": "\n".join(PAYLOADS)}), "yaml"),
    ]
    things += [figures.highlights(weights, texts, [PAYLOADS[0]], title=" ".join(PAYLOADS))]
    cell = nbformat.v4.new_code_cell("run", outputs=displayed(*things), execution_count=1)
    notebook.cells = [nbformat.v4.new_markdown_cell("# Page"), cell]
    book._set_title(notebook, SimpleNamespace(title=" ".join(PAYLOADS)))
    book._offer_data(notebook, "page")
    nbformat.write(notebook, folder / "page.ipynb")
    config = yaml.safe_load((root() / "_config.yml").read_text(encoding="utf-8"))
    config["sphinx"]["config"] |= {"html_static_path": [str(root() / "book" / "assets")], "templates_path": []}
    config["sphinx"]["config"]["bibtex_bibfiles"] = [str(root() / "book" / "references.bib")]
    (folder / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (folder / "index.md").write_text("# A book\n", encoding="utf-8")
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters: [{file: page}]\n", encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        book.JUPYTER_BOOK,
        "build",
        str(folder),
        "--warningiserror",
        "--keep-going",
        "--nitpick",
    ]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    plt.close(figure)
    return folder / "_build" / "html" / "page.html"


def test_no_page_of_the_book_acts(page, inert):
    assert inert(page, scripts=True) == []
    from bs4 import BeautifulSoup

    article = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one("article")
    links = [link["href"] for link in article.select("a[href]") if not link["href"].startswith(("#", "data:"))]
    assert [link for link in links if "away" in link or "passwd" in link or "javascript" in link] == []
    assert not article.select("script, img[src^=http]")
    for payload in PAYLOADS[:30]:
        assert plain(payload) in article.get_text()


def test_text_and_html_enter_a_page_by_the_doors_of_show_alone():
    """Whoever makes Markdown or HTML elsewhere is named here, and escapes what is in it."""
    made = [
        f"{file.stem}:{name}"
        for file in sorted((root() / "trusteq").rglob("*.py"))
        for name in ("Markdown", "HTML")
        if re.search(rf"(?<![\w.]){name}\(", file.read_text(encoding="utf-8"))
    ]
    assert made == ["quiz:HTML", "figures:HTML", "instruments:HTML", "show:Markdown", "sound:HTML"]


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_acts_in_the_terminal(trusteq, tmp_path, group):
    """Class names, ids, slices, names of columns and of files: on stdout, in notes and in errors."""
    n, rng = 3 * len(group), np.random.default_rng(0)
    table = pd.DataFrame(rng.dirichlet(np.ones(len(group)), n), columns=[name.strip() for name in group])
    table.insert(0, "label", [group[i % len(group)].strip() for i in range(n)])
    table["part"], table["x" + group[0]] = [f"{group[i % len(group)]}." for i in range(n)], "text"
    files = [tmp_path / f"{at}{group[at].replace('/', '')[:80]}.csv" for at in (0, 1)]
    for file in files:
        table.to_csv(file, index=False)
    good = trusteq("audit", *files, "--out", tmp_path / "o", "--slice", "part")
    bad = trusteq("audit", files[0], f"{group[0]}.csv", "--out", f"o{group[1]}", "--slice", f"no{group[2]}")
    worse = trusteq("calibrate", files[0], "--labels", f"no{group[3]},b")
    assert good.returncode in (0, 1, 3) and bad.returncode == worse.returncode == 2
    for done in (good, bad, worse):
        assert not ACTING.search(done.stdout) and not ACTING.search(done.stderr)
    assert len(bad.stderr.splitlines()) == len(worse.stderr.splitlines()) == 1


@pytest.mark.parametrize("how", ["| true", "2>&1 | true", ">&-", "2>&-", ">/dev/full"])
def test_the_exit_code_is_the_answer_though_nobody_reads(tmp_path, how):
    labels = ["a", "b"]
    table = pd.DataFrame({"label": labels * 200, "a": [0.9, 0.1] * 200, "b": [0.1, 0.9] * 200})
    table.to_csv(tmp_path / "a.csv", index=False)
    code = "; exit ${PIPESTATUS[0]}" if "|" in how else ""
    command = f"{sys.executable} -m trusteq audit a.csv a.csv --out o {how}{code}"
    environment = {"PYTHONPATH": str(root()), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == (4 if "full" in how else 0), done.stderr
    assert ("the disk is full" in done.stderr) == ("full" in how)


def test_a_spreadsheet_finds_no_formula(tmp_path):
    write_audits([{"name": one, "value": -1.5, "n": 3} for one in PAYLOADS], tmp_path / "audits.csv")
    read = pd.read_csv(tmp_path / "audits.csv", keep_default_na=False)
    assert not read["name"].str.match(r"\s*[=@\t]|[+-]\D").any()
    assert read["value"].tolist() == [-1.5] * len(PAYLOADS)
    kept = pd.DataFrame({"text": ["-0.10 to 0.20", "-3", "+1.5%", "a=b", "", "-", None], "n": [-1] * 7})
    changed = for_spreadsheet(kept)
    assert changed["text"].tolist()[:5] == kept["text"].tolist()[:5] and changed["text"][5] == "'-"
    assert for_spreadsheet(pd.DataFrame({"=1+1": [1]})).columns.tolist() == ["'=1+1"]


def test_plain_leaves_the_letters_of_the_world():
    for text in ("naïve 😀 café", "נכון", "می‌خواهم", "👩‍👩‍👧", "a\u00a0b", "नमस्ते", "Đặng"):
        assert plain(text) == text
    assert all(unicodedata.category(char) not in ("Cc", "Cs") for one in PAYLOADS for char in plain(one))
    assert plain("a\x1b[31m\n") == "a\\x1b[31m\\n"
    assert json.loads(json.dumps(plain("\ud800"))) == "\\ud800"
