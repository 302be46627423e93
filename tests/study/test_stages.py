"""The stages by themselves: their artefacts, and that only what lacks is made."""

import numpy as np
import pandas as pd
import pytest
import torch

from trusteq.attribution.explain import explain
from trusteq.errors import ExperimentError
from trusteq.examples.load import load_examples
from trusteq.models.classifier import load_classifier
from trusteq.models.finetune import finetune, predict
from trusteq.store import key_of, verify
from trusteq.study import graph, stages
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import jobs
from trusteq.study.results import Results
from trusteq.study.stages import make

TASK = "demo-nli"
VALUES = {
    "name": "small-lab",
    "title": "A small lab",
    "tasks": [TASK],
    "models": {
        "demo-large": {"recipe": {"epochs": 1}},
        "demo-int8": {},
        "student": {"like": "demo-cut-distilled", "title": "Student", "seeds": [0, 1]},
        "other": {"like": "demo-cut-distilled", "title": "Other"},
    },
    "methods": {"lime": {"n_samples": 10}},
    "explain": 2,
    "train_limit": 64,
    "recipe": {"epochs": 1, "max_length": 32, "attribution_weight": 1.0},
}
RUNS = [("demo-large", 0), ("demo-int8", 0), ("student", 0), ("student", 1), ("other", 0)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    run = Results(tmp_path_factory.mktemp("results") / "small-lab", Experiment(**VALUES))
    costs = pd.DataFrame({"model": list(VALUES["models"]), "latency_1_ms": 1.0})  # measured in tests of its own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "footprints", lambda run, task: costs)
        make(run, "compress", TASK)
    return run


def test_all_artefacts_are_there_and_verify(run):
    assert run.experiment.runs == RUNS
    for model, seed in RUNS:
        assert {"accuracy", "majority", "test_examples"} <= run.facts(TASK, model, seed, "metrics").keys()
        assert len(run.predictions(TASK, model, seed, "dev")) == len(load_examples(TASK, "dev"))
        tables = [job.table for job in jobs(run.experiment, task=TASK, model=model, seed=seed)]
        assert all(run.attribution(TASK, model, seed, table)["id"].nunique() == 2 for table in tables)
    assert len(run.predictions(TASK, "demo-large", 0, "random-head")) == len(load_examples(TASK, "test"))
    assert verify(run.folder)[1] == []
    assert Results.open(run.folder).experiment == run.experiment


def test_compressed_models_have_their_tables(run):
    assert set(run.compression(TASK, "models")["model"]) == set(run.experiment.models)
    assert set(run.compression(TASK, "students")["model"]) == {"demo-large", "student", "other"}
    assert set(run.compression(TASK, "gains")["model"]) == {"other"}
    assert run.compression(TASK, "footprints")["model"].tolist() == list(run.experiment.models)


def test_predictions_and_attributions_are_those_of_the_saved_model(run):
    classifier, test = load_classifier(run.trained(TASK, "student", 1)), load_examples(TASK, "test")
    pd.testing.assert_frame_equal(run.predictions(TASK, "student", 1), predict(classifier, test)[0])
    (job,) = (job for job in jobs(run.experiment, task=TASK, model="student", seed=1) if job.table == "lime")
    again = explain(classifier, load_examples(TASK, "test", limit=2), **job.options)
    np.testing.assert_array_equal(run.attribution(TASK, "student", 1, "lime")["weight"], again["weight"])


def test_a_model_is_the_one_that_is_trained_by_itself(run, tmp_path):
    large = load_classifier(run.trained(TASK, "demo-large", 0))
    tuned = finetune(
        load_examples(TASK, "train", limit=64),
        load_examples(TASK, "dev"),
        spec=run.experiment.model("student"),
        labels=run.experiment.task(TASK).labels,
        recipe=run.experiment.recipe_for(TASK, "student"),
        seed=1,
        checkpoints=tmp_path,
        original=large,
        teacher=large,
    )
    examples = load_examples(TASK, "test", limit=50)
    saved = load_classifier(run.trained(TASK, "student", 1))
    texts = examples["text_a"], examples["text_b"]
    np.testing.assert_array_equal(tuned.classifier.predict_proba(*texts), saved.predict_proba(*texts))


def test_a_student_begins_at_its_teacher_and_ends_elsewhere(run):
    large, int8 = run.predictions(TASK, "demo-large", 0), run.predictions(TASK, "demo-int8", 0)
    first, second = (run.predictions(TASK, "student", seed) for seed in (0, 1))
    labels = list(large.columns[2:])
    assert np.abs(large[labels] - int8[labels]).to_numpy().max() < 0.05
    assert not np.allclose(first[labels], second[labels]) and not np.allclose(first[labels], large[labels])


def test_only_what_is_missing_is_made(run, capsys):
    make(run, "compress", TASK)
    assert capsys.readouterr().out == ""
    lost = run.path("attribution", TASK, "demo-int8", 0, "lime")
    content = lost.read_bytes()
    lost.unlink()
    make(run, "explain", TASK)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"explain: {TASK} demo-int8 0"
    assert not [line for line in said if line.startswith(("train", "explain"))][1:]
    assert "lime.again: kept as it is" in said
    assert lost.read_bytes() == content


def test_what_predicts_again_is_the_model_that_is_there(run, monkeypatch):
    path = run.path("predictions", TASK, "demo-int8", 0)
    before, weights = path.read_bytes(), run.model(TASK, "demo-int8", 0).stat().st_mtime_ns
    monkeypatch.setitem(graph.VERSIONS, "predict", 99)
    (job,) = (job for job in graph.all_jobs(run.experiment) if job.is_about("train", TASK, "demo-int8", 0))
    assert not job.is_made(run.folder)
    make(run, "train", TASK, model="demo-int8")
    assert job.is_made(run.folder)
    assert (path.read_bytes(), run.model(TASK, "demo-int8", 0).stat().st_mtime_ns) == (before, weights)
    assert (
        key_of(run.path("predictions", TASK, "demo-int8", 0).with_suffix(".manifest.json"))
        == list(job.tables.values())[1]
    )


@pytest.mark.parametrize("which", [{"task": "demo-pi"}, {"task": TASK, "model": "demo-tiny"}])
def test_what_the_experiment_has_not_is_refused(run, which):
    with pytest.raises(ExperimentError, match="is not in experiment"):
        make(run, "train", **which)
