"""The book of a small run, with the pages of published results: built as `make book` builds it, every page read."""

import base64
import io
import itertools
import json
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup

from trusteq.errors import ArtefactError
from trusteq.lessons import forms
from trusteq.pages import book
from trusteq.pages.make import Page, overviews, pages
from trusteq.project import root
from trusteq.study.results import Results

MOST_PAGES = 44
TASK = "demo-nli"


@pytest.fixture(scope="session")
def built(html) -> dict[str, BeautifulSoup]:
    """Every page of the book, parsed, by its path."""
    files = [file for file in html.rglob("*.html") if "_static" not in file.parts]
    return {str(file.relative_to(html)): BeautifulSoup(file.read_text(), "html.parser") for file in files}


def shown(path: str, built) -> str:
    return built[path].get_text()


def test_what_the_table_of_contents_names_is_there_and_nothing_else(built):
    runs = {path for path in built if path.startswith("runs/")}
    own = {f"01_finetune-{TASK}", f"03_calibration-{TASK}-0", f"04_comparison-{TASK}"}
    own |= {"results", "status"} | set(forms.lessons())
    own |= {"paper", "findings", "boundary", "replace", "beyond", "simulation", "try_it", "explorer"}
    assert {path for path in runs if path.count("/") == 1} == {f"runs/{name}.html" for name in own}
    named = [entry for entry in book.entries(yaml.safe_load((root() / "_toc.yml").read_text())) if "published" in entry]
    assert len({path for path in runs if path.count("/") > 1}) == len(named)
    assert {"index.html", "intro.html", "method.html", "deviations.html", "rerun.html"} <= set(built)


def test_a_title_that_asks_is_followed_by_no_colon(built):
    (page,) = (page for path, page in built.items() if path.endswith("/is_half_low.html"))
    assert page.select_one("h1").get_text().startswith("Is 0.5 low? MiniLM")


def test_a_reader_finds_their_way_in():
    """As many pages as the book of the demo has: what `_toc.yml` names, for two tasks."""
    entries = list(book.entries(yaml.safe_load((root() / "_toc.yml").read_text())))
    twice = [entry for entry in entries if re.fullmatch(r"runs/0[1-4]_\w+", entry)]
    without = [entry for entry in entries if entry in ("runs/05_compression", "runs/06_keeping_trust", "runs/first")]
    assert 1 + len(entries) + len(twice) - len(without) <= MOST_PAGES


def test_each_page_of_the_story_opens_with_its_answer_and_a_picture(built):
    story, *_ = yaml.safe_load((root() / "_toc.yml").read_text())["parts"]
    for file in [entry["file"] for entry in story["chapters"]]:
        (page,) = (page for path, page in built.items() if re.match(rf"{file}(-|\.html)", path))
        opening = page.select_one("article section")  # which holds the others: what is in none of these comes first
        said, drawn = (
            [of for of in opening.select(what) if of.find_parent("section") is opening]
            for what in ("strong", "svg.tq-figure")
        )
        assert said and len(drawn) == 1, file


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


def figures(page: BeautifulSoup) -> list:
    return page.select(".cell_output svg.tq-figure")


def data_of(page: BeautifulSoup) -> dict[str, pd.DataFrame]:
    """What the links below tables and figures hold, by file name."""
    links = [(link["download"], link["href"].partition("base64,")[2]) for link in page.select(".tq-data a")]
    return {name: pd.read_csv(io.BytesIO(base64.b64decode(held))) for name, held in links}


def test_every_figure_has_a_text_for_who_cannot_see_it(built):
    for path, page in built.items():
        for figure in figures(page):
            assert figure["role"] == "img" and len(figure["aria-label"]) > 30, path
        for image in page.select("article img"):
            assert image.get("alt") and "/" not in image["alt"], (path, image["src"])
    assert sum(len(figures(page)) for page in built.values()) > 40


def test_every_table_and_figure_of_a_notebook_has_its_data_beside_it(built):
    for path, page in built.items():
        found = data_of(page)
        assert len(found) == len(figures(page)) + len(page.select(".cell_output table")), path
        assert all(len(table.columns) for table in found.values()), path


def test_the_data_of_a_table_is_not_rounded_to_what_is_shown(small, built):
    table = next(of for of in data_of(built[f"runs/03_calibration-{TASK}-0.html"]).values() if "accuracy" in of)
    found = small.calibration(TASK, 0, "intervals").query("score == 'accuracy'")["value"]
    assert table["accuracy"].tolist() == pytest.approx(found.tolist(), abs=1e-8)


def test_every_colour_that_is_too_dark_for_the_dark_theme_has_another_there(built):
    """Of figures, as of what is written, 3 to 1 is asked for on the dark page; cells of a matrix have text on them."""
    dark = (root() / "book" / "assets" / "custom.css").read_text(encoding="utf-8")
    for path, page in built.items():
        for mark in page.select("svg.tq-figure :is(path, use)[style]"):
            for colour in re.findall(r"stroke: var\(--tq-([0-9a-f]{6})", mark["style"]):
                assert contrast(colour, "121212") >= 3 or f"--tq-{colour}:" in dark, (path, colour)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, by its formula."""
    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_page_with_its_pictures_is_light(html, built):
    for path, page in built.items():
        pictures = {(html / path).parent / image["src"] for image in page.select("img[src]") if ":" not in image["src"]}
        assert sum(file.stat().st_size for file in [html / path, *pictures]) < 1.5e6, path


def test_code_that_only_draws_is_in_the_notebook_alone(html, built):
    for path, page in built.items():
        assert bool(page.select(".cell_input")) == ("lesson" in path), path
    notebook = nbformat.read(html / "_sources" / "runs" / "findings.ipynb", as_version=4)
    assert sum(cell.cell_type == "code" for cell in notebook.cells) > 5


def test_a_page_that_is_a_notebook_leads_to_it_once_and_says_how_to_rerun_it(html, built):
    for path, page in built.items():
        links = [link["href"] for link in page.select(".tq-notebook a")]
        assert len(links) == path.startswith("runs/"), path
        for link in links:
            assert ((html / path).parent / link).resolve() == html / "_sources" / Path(path).with_suffix(".ipynb")
            assert len(page.select(".tq-rerun li")) == 3
    lines = built[f"runs/03_calibration-{TASK}-0.html"].select(".tq-rerun code")
    command = "trusteq execute notebooks/03_calibration.py again.ipynb -p experiment=small"
    assert lines[0].get_text() == f"{command} -p task={TASK} -p seed=0"
    published = built["runs/published/snli-minilm/results.html"].select(".tq-rerun code")
    assert published[1].get_text() == "trusteq pages snli-minilm"


def test_the_line_on_rerunning_a_page_of_published_results_makes_it(checkout, built):
    line = built["runs/published/mrpc-minilm/results.html"].select(".tq-rerun code")[0].get_text()
    done = checkout.call(checkout.tool(*shlex.split(line)[1:]))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (checkout.folder / "again.ipynb").is_file()


def test_how_to_cite_is_what_the_citation_file_says(built):
    said = yaml.safe_load((root() / "CITATION.cff").read_text(encoding="utf-8"))
    software, paper = (block.get_text() for block in built["bibliography.html"].select(".highlight-bibtex pre"))
    for name in ("title", "version", "license"):
        assert f"{{{said[name]}}}" in software
    assert said["references"][0]["title"].split()[0] in paper and "2508.13533" in paper


@pytest.fixture(scope="module")
def downloads(html) -> list[Path]:
    return sorted((html / "_sources" / "runs").rglob("*.ipynb"))


def test_no_label_shows_its_markup(html):
    for file in html.rglob("*.html"):
        assert "mathdefault" not in file.read_text(encoding="utf-8"), file


class TestDownloadedNotebooks:
    """What a reader takes away runs elsewhere: no path of the machine that made it is in it."""

    def test_every_page_can_be_downloaded(self, downloads, built):
        assert len(downloads) == len([path for path in built if path.startswith("runs/")])

    def test_none_holds_a_path_of_the_builder(self, downloads, checkout, html):
        for file in [*downloads, *html.rglob("*.html")]:
            text = file.read_text(encoding="utf-8")
            assert str(checkout.folder.parent) not in text and json.dumps(str(checkout.folder))[1:-1] not in text, file

    def test_it_runs_where_the_project_is(self, downloads, checkout):
        (file,) = (file for file in downloads if file.parts[-2:] == ("mrpc-minilm", "results.ipynb"))
        read = "import nbclient, nbformat, sys; notebook = nbformat.read(sys.argv[1], as_version=4)"
        done = checkout.call([sys.executable, "-c", f"{read}; nbclient.NotebookClient(notebook).execute()", str(file)])
        assert done.returncode == 0, done.stderr[-3000:]

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
        return book.Shown(Page(Path("x.py"), name, Path("x.ipynb"), {}, "key", Path()), None)

    toc = {"root": "intro", "parts": [{"caption": "A", "chapters": [{"file": "runs/03"}, {"file": "runs/first"}]}]}
    toc["parts"] += [{"caption": "B", "chapters": [{"file": "runs/first"}]}]
    toc["parts"] += [{"caption": "C", "chapters": [{"file": "text", "sections": [{"file": "runs/published/x/03"}]}]}]
    assert list(book.entries(toc)) == ["runs/03", "runs/first", "runs/first", "text", "runs/published/x/03"]
    found = {"runs/03": [page("03/a/0"), page("03/b/0")], "runs/first": [], "runs/published/x/03": [page("03/c/0")]}
    assert book.expanded(toc, found)["parts"] == [
        {"caption": "A", "chapters": [{"file": "runs/03-a-0"}, {"file": "runs/03-b-0"}]},
        {"caption": "C", "chapters": [{"file": "text", "sections": [{"file": "runs/published/x/03-c-0"}]}]},
    ]


def test_a_title_of_the_sidebar_says_what_sets_several_pages_apart():
    def pages(*names: str) -> list:
        return [book.Shown(Page(Path("x.py"), name, Path("x.ipynb"), {}, "key", Path()), None) for name in names]

    def titles(**shown) -> list:
        chapters = [{"file": f"runs/{name}", "title": "Short"} for name in shown]
        found = {f"runs/{name}": of for name, of in shown.items()}
        return [
            entry["title"]
            for entry in book.expanded({"parts": [{"chapters": chapters}]}, found)["parts"][0]["chapters"]
        ]

    assert titles(x=pages("x/a/0", "x/b/0")) == ["Short, a", "Short, b"]
    assert titles(x=pages("x/a/0", "x/a/1")) == ["Short, 0", "Short, 1"]
    assert titles(x=pages("x/a/0"), y=pages("y")) == ["Short", "Short"]


def test_pages_of_a_run_are_those_of_its_tasks_and_seeds(small, tmp_path):
    changed = small.experiment.model_copy(update={"seeds": (0, 1), "models": small.experiment.models})
    names = {page.name for page in pages(Results(tmp_path, changed))}
    assert {f"03_calibration/{TASK}/0", f"03_calibration/{TASK}/1", f"04_comparison/{TASK}"} <= names
    assert {f"01_finetune/{TASK}", f"02_attribution/{TASK}", "results", "status"} <= names
    assert not names & {"first", "05_compression", "06_keeping_trust", "findings", "paper"}
    assert {page.name for page in overviews(["findings", "results"], folder=tmp_path)} == {"findings"}
