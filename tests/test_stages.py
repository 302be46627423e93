"""Many small models made in one process: the artefacts are those of the notebooks, and only what lacks is made."""

import numpy as np
import pandas as pd
import pytest
import torch

from trusteq.attribution.explain import explain
from trusteq.examples.load import load_examples
from trusteq.models.classifier import load_classifier
from trusteq.models.finetune import predict
from trusteq.store import verify
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import jobs
from trusteq.study.results import Results
from trusteq.study.stages import Which, complete, train

TASK = "demo-nli"
VALUES = {
    "name": "small-lab",
    "title": "A small lab",
    "tasks": [TASK],
    "models": {
        "demo-large": {"recipe": {"epochs": 1}},
        "demo-int8": {},
        "student": {"like": "demo-cut-distilled", "title": "Student", "seeds": [0, 1]},
    },
    "methods": {"lime": {"n_samples": 10}},
    "explain": 2,
    "train_limit": 64,
    "recipe": {"epochs": 1, "max_length": 32, "attribution_weight": 1.0},
}
RUNS = [("demo-large", 0), ("demo-int8", 0), ("student", 0), ("student", 1)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)  # as in the processes of `complete`: how many there are decides how sums are rounded
    run = Results(tmp_path_factory.mktemp("results") / "small-lab", Experiment(**VALUES))
    assert complete(run, TASK, workers=2) == ["demo-large", "demo-int8", "student"]
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


def test_predictions_and_attributions_are_those_of_the_saved_model(run):
    classifier, test = load_classifier(run.trained(TASK, "student", 1)), load_examples(TASK, "test")
    pd.testing.assert_frame_equal(run.predictions(TASK, "student", 1), predict(classifier, test)[0])
    (job,) = (job for job in jobs(run.experiment, task=TASK, model="student", seed=1) if job.table == "lime")
    again = explain(classifier, load_examples(TASK, "test", limit=2), **job.options)
    np.testing.assert_array_equal(run.attribution(TASK, "student", 1, "lime")["weight"], again["weight"])


def test_a_model_is_the_one_that_is_trained_by_itself(run):
    which = Which(run, TASK, "student", 1)
    tuned = train(which, load_examples(TASK, "train", limit=64), load_examples(TASK, "dev"))
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


def test_only_what_is_missing_is_made(run):
    assert complete(run, TASK) == []
    before = run.model(TASK, "demo-large", 0).stat().st_mtime_ns
    run.path("attribution", TASK, "demo-int8", 0, "lime").unlink()
    assert complete(run, TASK, workers=1) == ["demo-int8"]
    assert run.model(TASK, "demo-large", 0).stat().st_mtime_ns == before
    assert verify(run.folder)[1] == []
