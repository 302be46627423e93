"""A model that is fine-tuned already, in an experiment: used as it is, its classes in the task's order."""

import json
import shutil

import numpy as np
import pytest
import torch
from refusals import one_line
from safetensors.torch import load_file, save_file

from trusteq.errors import ModelError
from trusteq.examples.load import load_examples
from trusteq.models.classifier import load_classifier
from trusteq.pages.finetune import recipe_of
from trusteq.store import verify
from trusteq.study import graph
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.study.stages import make

TASK, LABELS = "demo-nli", ("entailment", "neutral", "contradiction")
TURNED = ("CONTRADICTION", "ENTAILMENT", "NEUTRAL")
TO_TASK = [1, 2, 0]  # the columns of a checkpoint with these names, in the task's order


@pytest.fixture(scope="module")
def folder(tiny_bert):
    return tiny_bert("BertForSequenceClassification", labels=TURNED)


def experiment(checkpoint, **keys):
    models = {"given": {"title": "Given", "checkpoint": str(checkpoint)}}
    models["cut"] = {"title": "Cut", "compress": {"of": "given", "way": "keep-layers", "options": {"layers": [0]}}}
    values = {
        "name": "given",
        "title": "Given",
        "tasks": [TASK],
        "models": models,
        "methods": {"lime": {"n_samples": 10}},
    }
    return Experiment(**values | {"explain": 2} | keys)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    torch.set_num_threads(1)
    run = Results(tmp_path_factory.mktemp("results") / "given", experiment(folder))
    make(run, "explain", TASK)
    return run


def test_it_predicts_what_the_checkpoint_does_under_the_tasks_names(run, folder):
    examples = {part: load_examples(TASK, part) for part in ("test", "dev")}
    given = load_classifier(folder, device="cpu")
    for part, texts in examples.items():
        found = run.predictions(TASK, "given", 0, *["dev"] * (part == "dev"))
        assert list(found) == ["id", "label", *LABELS]
        expected = given.predict_proba(texts["text_a"], texts["text_b"])[:, TO_TASK]
        np.testing.assert_allclose(found[list(LABELS)], expected, rtol=0, atol=1e-6)
        assert np.ptp(expected, axis=0).max() > 0.1
    accuracy = (found[list(LABELS)].to_numpy().argmax(axis=1) == found["label"]).mean()
    assert 0 < accuracy < 1
    assert load_classifier(run.trained(TASK, "given", 0)).labels == LABELS


def test_it_is_kept_and_shown_as_other_models_are(run):
    assert verify(run.folder)[1] == []
    assert run.history(TASK, "given", 0).empty
    facts = run.facts(TASK, "given", 0, "metrics") | run.facts(TASK, "given", 0, "timing")
    assert facts["training_seconds"] == 0 and facts["layers"] == 2
    assert run.facts(TASK, "cut", 0, "metrics")["layers"] == 1
    assert len(run.attribution(TASK, "given", 0, "lime")) > 0
    spec = run.experiment.model("given")
    assert recipe_of(spec, run.experiment.recipe_for(TASK, "given")) == {
        "start": f"{spec.checkpoint}, fine-tuned already",
        "training": "none",
    }


def keys(checkpoint, **changes):
    return {job.name: job.key for job in graph.all_jobs(experiment(checkpoint, **changes))}


def test_its_key_is_what_it_holds_and_not_where_it_is_or_how_others_are_trained(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    before = keys(folder)
    assert keys(copy) == before
    (copy / "metrics.json").write_text("{}")
    (copy / "README.md").write_text("Mine.")
    assert keys(copy) == before
    name = "train-demo-nli-given-0"
    assert keys(copy, recipe={"epochs": 2})[name] == before[name]
    state = load_file(copy / "model.safetensors")
    state["classifier.bias"] += 1
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    assert not set(keys(copy).values()) & set(before.values())


def test_a_relative_folder_starts_where_the_experiment_is_loaded(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    found = experiment(folder.name)
    assert found.model("given").checkpoint == str(folder)
    assert experiment("owner/name").model("given").checkpoint == "owner/name"


def test_other_classes_are_refused(tiny_bert, tmp_path):
    run = Results(tmp_path / "given", experiment(tiny_bert("BertForSequenceClassification", labels=("a", "b", "c"))))
    one_line(ModelError, lambda: make(run, "train", TASK, model="given"), "its classes are a, b, c", "entailment")


def test_names_that_are_none_stand_in_the_tasks_order(tiny_bert, tmp_path):
    nameless = tiny_bert("BertForSequenceClassification", labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    run = Results(tmp_path / "given", experiment(nameless))
    make(run, "train", TASK, model="given")
    kept = json.loads((run.trained(TASK, "given", 0) / "config.json").read_text())
    assert list(kept["id2label"].values()) == list(LABELS)
    ours, theirs = (load_file(of / "model.safetensors") for of in (run.trained(TASK, "given", 0), nameless))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
