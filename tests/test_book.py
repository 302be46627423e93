"""The book of a small run, with the pages of published results: built as `make book` builds it, every page read."""

import itertools
import json
import re
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from trusteq.errors import ArtefactError
from trusteq.lessons import forms
from trusteq.pages import book
from trusteq.pages.make import Page, overviews, pages
from trusteq.project import root
from trusteq.study.results import Results

MOST_PAGES = 40
TASK = "demo-nli"


@pytest.fixture(scope="session")
def html(checkout, small) -> Path:
    """The folder of the built book."""
    done = checkout.call(checkout.tool("book", "--results", str(small.folder)))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return checkout.folder / "_build" / "html"


@pytest.fixture(scope="session")
def built(html) -> dict[str, BeautifulSoup]:
    """Every page of the book, parsed, by its path."""
    files = [file for file in html.rglob("*.html") if "_static" not in file.parts]
    return {str(file.relative_to(html)): BeautifulSoup(file.read_text(), "html.parser") for file in files}


def shown(path: str, built) -> str:
    return built[path].get_text()


def test_what_the_table_of_contents_names_is_there_and_nothing_else(built):
    runs = {path for path in built if path.startswith("runs/")}
    own = {f"01_finetune-{TASK}", f"02_attribution-{TASK}", f"03_calibration-{TASK}-0", f"04_comparison-{TASK}"}
    own |= {"results", "is_half_low", "status"} | set(forms.lessons())
    own |= {"findings", "cost", "simulation", "try_it"}
    assert {path for path in runs if path.count("/") == 1} == {f"runs/{name}.html" for name in own}
    named = [entry for entry in book.entries(yaml.safe_load((root() / "_toc.yml").read_text())) if "published" in entry]
    assert len({path for path in runs if path.count("/") > 1}) == len(named)
    assert {"index.html", "intro.html", "method.html", "deviations.html", "rerun.html"} <= set(built)


def test_a_reader_finds_their_way_in():
    """As many pages as the book of the demo has: what `_toc.yml` names, for two tasks."""
    entries = list(book.entries(yaml.safe_load((root() / "_toc.yml").read_text())))
    twice = [entry for entry in entries if re.fullmatch(r"runs/0[1-4]_\w+", entry)]
    without = [entry for entry in entries if entry in ("runs/05_compression", "runs/06_keeping_trust", "runs/first")]
    assert 1 + len(entries) + len(twice) - len(without) <= MOST_PAGES


def test_no_page_loads_anything_from_the_network(built):
    loads = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
    for (path, page), (tag, attribute) in itertools.product(built.items(), loads.items()):
        for element in page.find_all(tag):
            assert not urlparse(element.get(attribute) or "").netloc, (path, element)


def test_links_inside_the_book_lead_somewhere(built):
    for path, page in built.items():
        for link in page.find_all("a", href=True):
            target = urlparse(link["href"])
            if target.netloc or target.scheme or not target.path.endswith(".html"):
                continue
            resolved = Path("/", path).parent.joinpath(target.path).resolve().relative_to("/")
            assert str(resolved) in built, (path, link["href"])


def test_no_page_shows_an_error_or_a_warning(built):
    for path, page in built.items():
        assert not page.select(".output.traceback, .output.stderr, .problematic, .system-message"), path


def test_cells_that_are_not_held_are_shown_so_and_held_ones_beside_ours(built):
    models = shown("runs/results.html", built)
    for number in ("440.0", "68.3", "259.8", "not held"):
        assert number in models
    assert "not held" in shown(f"runs/03_calibration-{TASK}-0.html", built)
    assert "44.2" in shown(f"runs/03_calibration-{TASK}-0.html", built)
    assert "not held" in shown(f"runs/04_comparison-{TASK}.html", built)


def test_every_jaccard_of_the_comparison_page_comes_from_its_table(small, built):
    text = shown(f"runs/04_comparison-{TASK}.html", built)
    for row in small.comparison(TASK, "alignment").itertuples():
        assert f"{row.jaccard:.3f}" in text
        for value in (row.jaccard, row.chance, row.ceiling, row.normalised):
            assert f"{value:.2f}" in text


def test_lessons_have_answers_that_open_on_a_click(built):
    for name in forms.lessons():
        solutions = built[f"runs/{name}.html"].select(".solution")
        assert all("dropdown" in solution["class"] for solution in solutions)
        hidden = [of for of in built[f"runs/{name}.html"].select("details.hide") if "Show a solution" in of.get_text()]
        assert len(hidden) >= 3 and not any(of.has_attr("open") for of in hidden)


def test_lessons_have_quick_checks_whose_code_does_not_show(built):
    for name in forms.lessons():
        page = built[f"runs/{name}.html"]
        assert len(page.select(".tq-quiz")) >= 3 and "quiz(" not in page.get_text()


def test_both_forms_of_a_lesson_can_be_taken_away(built, html):
    for name in forms.lessons():
        links = [link["href"] for link in built[f"runs/{name}.html"].select("a[download]") if "forms/" in link["href"]]
        assert links == [f"../forms/{name}-{form}.ipynb" for form in forms.FORMS]
        for link in links:
            nbformat.validate(nbformat.read(html / "runs" / link, as_version=4))


def test_no_text_of_a_corpus_is_in_the_book(built):
    for path, page in built.items():
        if "published" in path:
            assert not page.select(".tq-word"), path


@pytest.fixture(scope="module")
def downloads(html) -> list[Path]:
    return sorted((html / "_sources" / "runs").rglob("*.ipynb"))


class TestDownloadedNotebooks:
    """What a reader takes away runs elsewhere: no path of the machine that made it is in it."""

    def test_every_page_can_be_downloaded(self, downloads, built):
        assert len(downloads) == len([path for path in built if path.startswith("runs/")])

    def test_none_holds_a_path_of_the_builder(self, downloads, checkout, html):
        for file in [*downloads, *html.rglob("*.html")]:
            text = file.read_text(encoding="utf-8")
            assert str(checkout.folder.parent) not in text and json.dumps(str(checkout.folder))[1:-1] not in text, file

    def test_its_parameters_are_in_their_own_cell(self, downloads):
        for file in downloads:
            notebook = nbformat.read(file, as_version=4)
            tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
            assert tags.count("parameters") == 1 and "injected-parameters" not in tags
        (page,) = (file for file in downloads if file.name == f"03_calibration-{TASK}-0.ipynb")
        (cell,) = (
            cell for cell in nbformat.read(page, as_version=4).cells if "parameters" in cell.metadata.get("tags", [])
        )
        assert [line.split("#")[0].strip() for line in cell.source.splitlines()] == [
            "experiment = 'small'",
            "results = None",
            f"task = '{TASK}'",
            "seed = 0",
        ]


def test_a_run_that_is_not_complete_has_no_book(small, tmp_path):
    with pytest.raises(ArtefactError, match="not there; run the experiment to its end with trusteq run small"):
        book.build_book(Results(tmp_path / "small", small.experiment), output=tmp_path)


def test_entries_become_pages():
    def page(name: str) -> book.Shown:
        return book.Shown(Page(Path("x.py"), name, Path("x.ipynb"), {}, "key"), None)

    toc = {"root": "intro", "parts": [{"caption": "A", "chapters": [{"file": "runs/03"}, {"file": "runs/first"}]}]}
    toc["parts"] += [{"caption": "B", "chapters": [{"file": "runs/first"}]}]
    toc["parts"] += [{"caption": "C", "chapters": [{"file": "text", "sections": [{"file": "runs/published/x/03"}]}]}]
    assert list(book.entries(toc)) == ["runs/03", "runs/first", "runs/first", "text", "runs/published/x/03"]
    found = {"runs/03": [page("03/a/0"), page("03/b/0")], "runs/first": [], "runs/published/x/03": [page("03/c/0")]}
    assert book.expanded(toc, found)["parts"] == [
        {"caption": "A", "chapters": [{"file": "runs/03-a-0"}, {"file": "runs/03-b-0"}]},
        {"caption": "C", "chapters": [{"file": "text", "sections": [{"file": "runs/published/x/03-c-0"}]}]},
    ]


def test_pages_of_a_run_are_those_of_its_tasks_and_seeds(small, tmp_path):
    changed = small.experiment.model_copy(update={"seeds": (0, 1), "models": small.experiment.models})
    names = {page.name for page in pages(Results(tmp_path, changed))}
    assert {f"03_calibration/{TASK}/0", f"03_calibration/{TASK}/1", f"04_comparison/{TASK}"} <= names
    assert {f"01_finetune/{TASK}", f"02_attribution/{TASK}", "results", "status"} <= names
    assert not names & {"first", "05_compression", "06_keeping_trust", "findings", "cost"}
    assert {page.name for page in overviews(["findings", "results"], folder=tmp_path)} == {"findings"}
