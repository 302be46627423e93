"""The embedded default: its published results, and in `make test-slow` a run of it, show what a demo must show."""

import itertools
import subprocess
import sys

import pandas as pd
import pytest

from trusteq import store
from trusteq.models.compress import WAYS
from trusteq.pages import results
from trusteq.project import root
from trusteq.study import publish
from trusteq.study.results import Results


def run(name: str) -> Results:
    """The checkout's own results of an experiment: taken as they are if nothing changed."""
    command = [sys.executable, "-m", "trusteq", "run", f"experiments/{name}.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Results.open(root() / "results" / name)


@pytest.fixture(scope="module", params=[publish.open_published, pytest.param(run, marks=pytest.mark.slow)])
def demo(request) -> Results:
    return request.param("demo")


def combinations(of: Results):
    return list(itertools.product(of.experiment.tasks, of.experiment.models))


def test_there_are_results_for_two_tasks_five_models_and_two_methods(demo):
    assert (len(demo.experiment.tasks), len(demo.experiment.models), len(demo.experiment.methods)) == (2, 5, 2)
    for (task, model), method in itertools.product(combinations(demo), demo.experiment.methods):
        attribution = demo.attribution(task, model, 0, method)
        assert attribution["id"].nunique() >= 24
        assert attribution["label"].nunique() == len(demo.experiment.task(task).labels)
    for task in demo.experiment.tasks:
        assert len(demo.comparison(task, "alignment")) == 10 * 2
    assert store.verify(demo.folder)[1] == []


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


def test_the_controls_of_the_demo_are_told_apart(demo):
    """The large model reseeded is equivalent, or undecided of few words; with a random head it is not equivalent, and
    random words stand at chance.
    """
    for task in demo.experiment.tasks:
        verdicts = demo.comparison(task, "verdicts").drop_duplicates(["method", "model"]).set_index("model")["verdict"]
        assert "equivalent" in set(verdicts["reseeded"]) <= {"equivalent", "undecided"}
        assert set(verdicts["random-head"]) == {"not-equivalent"}
        controls = demo.comparison(task, "controls").set_index("model_b")
        assert controls.loc["random-features", "normalised"].abs().max() < 0.2


def test_the_table_of_models_has_the_papers_columns(demo):
    table = results.model_table(demo, 0)
    ours = {"layers", "parameters_M", "hidden_size", "size_MB", "demo-nli_accuracy", "demo-nli_inference_s"}
    assert ours <= set(table.columns)
    assert set(results.paper_model_table(demo)["played_by"]) == set(table["model"])
    assert pd.api.types.is_float_dtype(table["demo-pi_accuracy"])


@pytest.mark.slow
def test_a_run_of_the_demo_makes_the_published_tables(tmp_path):
    """As many rows and columns each; their last digits are those of the machine that they were made on."""
    made = publish.tables_of(publish.publish(run("demo"), tmp_path))
    there = publish.load_published("demo")
    assert {name: table.shape for name, table in made.items()} == {name: table.shape for name, table in there.items()}


@pytest.mark.slow
def test_of_all_ways_to_compress_eight_bits_change_least():
    lab = run("demo-compression")
    table = lab.compression("demo-nli", "models")
    assert set(table["model"]) == set(lab.experiment.models)
    ways = {spec.compress.way for spec in map(lab.experiment.model, lab.experiment.models) if spec.compress}
    assert ways == set(WAYS)
    small = table[(table["method"] == "shap") & (table["model"] != lab.experiment.large)].set_index("model")
    assert small["normalised_alignment"].idxmax() == "demo-int8"
    assert small.loc["demo-int8", ["accuracy_outcome", "ece_outcome"]].tolist() == ["equivalent", "equivalent"]
    assert small.loc["demo-cut", "verdict"] == "not-equivalent"
    assert small.loc["demo-int8", "weights_bytes"] < 0.5 * table["weights_bytes"].max()


@pytest.mark.slow
def test_a_student_that_is_trained_on_deleted_words_keeps_more_of_them():
    lab = run("demo-keeping-trust")
    gains = lab.compression("demo-nli", "gains").set_index(["method", "model"])
    assert (gains["seeds"] == 3).all() and len(lab.experiment.students) >= 5
    assert gains.loc[("lime", "deletion"), "low"] > 0
    assert gains.loc[("shap", "deletion"), "gain"] > 0
