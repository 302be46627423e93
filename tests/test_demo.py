"""The embedded default, run as `make book` runs it: its results hold what the book needs, and the book builds."""

import itertools
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlparse

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from trusteq.models.compress import WAYS
from trusteq.pages import book
from trusteq.pages.results import model_table, paper_model_table
from trusteq.project import root
from trusteq.store import verify
from trusteq.study.results import Results


@pytest.fixture(scope="session")
def demo() -> Results:
    """The checkout's own results: made here if they are not there, taken as they are if nothing changed."""
    command = [sys.executable, "-m", "trusteq", "run", "experiments/demo.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return Results.open(root() / "results" / "demo")


@pytest.fixture(scope="session")
def pages(demo, tmp_path_factory) -> dict[str, BeautifulSoup]:
    """Every page of the book of the demo, parsed, by its path."""
    html = book.build_book(demo, output=tmp_path_factory.mktemp("book")).parent
    return {
        str(file.relative_to(html)): BeautifulSoup(file.read_text(), "html.parser") for file in html.rglob("*.html")
    }


def combinations(run: Results):
    return list(itertools.product(run.experiment.tasks, run.experiment.models))


def test_there_are_results_for_two_tasks_five_models_and_two_methods(demo):
    assert (len(demo.experiment.tasks), len(demo.experiment.models), len(demo.experiment.methods)) == (2, 5, 2)
    for (task, model), method in itertools.product(combinations(demo), demo.experiment.methods):
        attribution = demo.attribution(task, model, 0, method)
        assert attribution["id"].nunique() >= 24
        assert attribution["label"].nunique() == len(demo.experiment.task(task).labels)
    for task in demo.experiment.tasks:
        assert len(demo.comparison(task, "alignment")) == 10 * 2
    assert verify(demo.folder)[1] == []


def test_every_model_beats_the_majority_class_by_15_points(demo):
    for task, model in combinations(demo):
        metrics = demo.facts(task, model, 0, "metrics")
        assert metrics["accuracy"] >= metrics["majority"] + 0.15, (task, model)


def test_the_large_model_beats_the_tiny_one_by_3_points(demo):
    for task in demo.experiment.tasks:
        large, tiny = (demo.facts(task, model, 0, "metrics")["accuracy"] for model in ("demo-large", "demo-tiny"))
        assert large >= tiny + 0.03, task


def test_models_err_and_their_confidence_differs_from_their_accuracy(demo):
    for task in demo.experiment.tasks:
        scores = demo.calibration(task, 0, "scores")
        assert (scores["accuracy"] < 0.99).all()
        assert (scores["ece"] > 0).all()


def test_the_book_has_a_page_for_every_notebook_and_chapter(demo, pages):
    for task, model in combinations(demo):
        assert f"runs/01_finetune-{task}-{model}-0.html" in pages
        assert f"runs/02_attribution-{task}-{model}-0.html" in pages
    chapters = {"index", "intro", "method", "deviations", "rerun", "bibliography"}
    reports = {"results", "status", "lesson_calibration", "lesson_attribution", "05_compression", "06_keeping_trust"}
    reports |= {"findings", "cost"}
    assert {f"{name}.html" for name in chapters} | {f"runs/{name}.html" for name in reports} <= set(pages)


def test_no_page_loads_anything_from_the_network(pages):
    loads = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
    for (path, page), (tag, attribute) in itertools.product(pages.items(), loads.items()):
        for element in page.find_all(tag):
            assert not urlparse(element.get(attribute) or "").netloc, (path, element)


def test_links_inside_the_book_lead_somewhere(pages):
    for path, page in pages.items():
        for link in page.find_all("a", href=True):
            target = urlparse(link["href"])
            if target.netloc or target.scheme or not target.path.endswith(".html"):
                continue
            resolved = Path("/", path).parent.joinpath(target.path).resolve().relative_to("/")
            assert str(resolved) in pages, (path, link["href"])


def test_cells_that_are_not_held_are_shown_so_and_held_ones_beside_ours(demo, pages):
    models = pages["runs/results.html"].get_text()
    for number in ("440.0", "68.3", "259.8", "not held"):
        assert number in models
    for task in demo.experiment.tasks:
        assert "not held" in pages[f"runs/03_calibration-{task}-0.html"].get_text()
        assert "not held" in pages[f"runs/04_comparison-{task}.html"].get_text()
    assert "44.2" in pages["runs/03_calibration-demo-nli-0.html"].get_text()


def test_every_jaccard_of_the_comparison_page_comes_from_its_table(demo, pages):
    for task in demo.experiment.tasks:
        shown = pages[f"runs/04_comparison-{task}.html"].get_text()
        for row in demo.comparison(task, "alignment").itertuples():
            assert f"{row.jaccard:.3f}" in shown
            for value in (row.jaccard, row.chance, row.ceiling, row.normalised):
                assert f"{value:.2f}" in shown


def test_the_controls_of_the_demo_are_told_apart(demo):
    """The large model reseeded is equivalent, with a random head it is not, and random words stand at chance."""
    for task in demo.experiment.tasks:
        verdicts = demo.comparison(task, "verdicts").drop_duplicates(["method", "model"]).set_index("model")["verdict"]
        assert set(verdicts["reseeded"]) == {"equivalent"}
        assert set(verdicts["random-head"]) == {"not-equivalent"}
        controls = demo.comparison(task, "controls").set_index("model_b")
        assert controls.loc["random-features", "normalised"].abs().max() < 0.2


def test_of_all_ways_to_compress_eight_bits_change_least(demo):
    lab = Results.open(demo.folder / "lab" / "demo-compression")
    table = pd.read_parquet(lab.path("compression", "demo-nli", "models"))
    assert set(table["model"]) == set(lab.experiment.models)
    assert {spec.compress.way for spec in map(lab.experiment.model, lab.experiment.models) if spec.compress} == set(
        WAYS
    )
    small = table[(table["method"] == "shap") & (table["model"] != lab.experiment.large)].set_index("model")
    assert small["normalised_alignment"].idxmax() == "demo-int8"
    assert small.loc["demo-int8", ["accuracy_outcome", "ece_outcome"]].tolist() == ["equivalent", "equivalent"]
    assert small.loc["demo-cut", "verdict"] == "not-equivalent"
    assert small.loc["demo-int8", "weights_bytes"] < 0.5 * table["weights_bytes"].max()


def test_a_student_that_is_trained_on_deleted_words_keeps_more_of_them(demo):
    lab = Results.open(demo.folder / "lab" / "demo-keeping-trust")
    gains = pd.read_parquet(lab.path("compression", "demo-nli", "gains")).set_index(["method", "model"])
    assert (gains["seeds"] == 3).all() and len(lab.experiment.students) >= 5
    assert gains.loc[("lime", "deletion"), "low"] > 0
    assert gains.loc[("shap", "deletion"), "gain"] > 0


def test_lessons_have_answers_that_open_on_a_click(pages):
    for name in ("lesson_calibration", "lesson_attribution"):
        page = pages[f"runs/{name}.html"]
        solutions = page.select(".solution")
        assert len(solutions) >= 3
        assert all("dropdown" in solution["class"] for solution in solutions)


def test_no_page_shows_an_error_or_a_warning(pages):
    for path, page in pages.items():
        assert not page.select(".output.traceback, .output.stderr, .problematic, .system-message"), path


def test_the_table_of_models_has_the_papers_columns(demo):
    table = model_table(demo, 0)
    ours = {"layers", "parameters_M", "hidden_size", "size_MB", "demo-nli_accuracy", "demo-nli_inference_s"}
    assert ours <= set(table.columns)
    assert set(paper_model_table(demo)["played_by"]) == set(table["model"])
    assert pd.api.types.is_float_dtype(table["demo-pi_accuracy"])
