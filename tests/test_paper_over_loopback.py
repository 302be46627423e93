"""The paper's experiment, end to end: models and data sets are downloaded from a server that speaks the Hub's protocol,
and predictions, attributions and the tables over models are left.
"""

import json
import os
import socket
import subprocess
import sys

import pandas as pd
import pytest
from loopback_hub import (
    FAMILY_MODELS,
    PAPER_MODELS,
    LoopbackHub,
    clean_environment,
    write_family_checkpoints,
    write_family_datasets,
    write_paper_checkpoints,
    write_paper_datasets,
)

from trusteq.project import root
from trusteq.store import verify
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

TASKS = ("snli", "qqp")
MODELS = {
    "bert-base": ("google-bert/bert-base-uncased", 12),
    "distilbert": ("distilbert/distilbert-base-uncased", 6),
    "bert-medium": ("google/bert_uncased_L-8_H-512_A-8", 8),
    "bert-mini": ("google/bert_uncased_L-4_H-256_A-4", 4),
    "bert-tiny": ("google/bert_uncased_L-2_H-128_A-2", 2),
}
EACH = pytest.mark.parametrize(("task", "model"), [(task, model) for task in TASKS for model in MODELS])
SMALL = """
name: small
title: one model of the paper
tasks: [snli]
models: [bert-tiny]
methods: {lime: {n_samples: 10}}
recipe: {epochs: 1}
"""
# huggingface_hub waits 23 seconds in all between its tries: every process of the run imports this before anything else.
IMPATIENT = """
import time
from functools import partial

time.sleep = partial(lambda sleep, seconds: sleep(min(seconds, 0.02)), time.sleep)
"""


# What the jobs of `trusteq run` do, in one process in place of thirty.
ALL_STAGES = """
import sys
from pathlib import Path
from trusteq.study import stages
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

experiment = Experiment.load(sys.argv[2]).limited(explain=2, train_limit=16)
run = Results(Path(sys.argv[1]) / sys.argv[2], experiment)
for stage in ("train", "explain", "calibrate", "compare"):
    for task in experiment.tasks:
        stages.make(run, stage, task)
"""


def run_python(*arguments, endpoint, home, **environment):
    home.mkdir(exist_ok=True)
    command = [sys.executable, *map(str, arguments)]
    environment = clean_environment(endpoint, home) | environment
    return subprocess.run(command, cwd=root(), env=environment, capture_output=True, text=True, timeout=3000)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The results of one run, and the paths that the server was asked for."""
    folder = tmp_path_factory.mktemp("loopback")
    write_paper_checkpoints(folder / "hub")
    write_paper_datasets(folder / "hub", rows=60)
    with LoopbackHub(folder / "hub") as hub:
        done = run_python("-c", ALL_STAGES, folder / "results", "paper", endpoint=hub.endpoint, home=folder / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    return Results.open(folder / "results" / "paper"), hub.requests


def test_experiment_file_names_the_models_that_are_served():
    experiment = Experiment.load("paper")
    assert {name: experiment.model(name).hub for name in experiment.models} == {m: MODELS[m][0] for m in MODELS}
    assert {hub_id: layers for hub_id, layers in MODELS.values()} == {i: n for i, (_, n) in PAPER_MODELS.items()}


@EACH
def test_predictions_of_every_model_on_every_labelled_test_row(ran, task, model):
    results, _ = ran
    labels = list(results.experiment.task(task).labels)
    predictions = results.predictions(task, model, 42)
    assert list(predictions) == ["id", "label", *labels]
    assert len(predictions) == {"snli": 54, "qqp": 60}[task]
    assert predictions[labels].sum(axis=1).to_numpy() == pytest.approx(1)


@EACH
def test_attributions_of_every_model_by_both_methods(ran, task, model):
    results, _ = ran
    explained = {method: results.attribution(task, model, 42, method) for method in ("lime", "shap")}
    for table in explained.values():
        assert list(table) == ["id", "segment", "position", "word", "label", "weight"]
        assert table["id"].nunique() == 2
        assert set(table["segment"]) == {0, 1}
        assert set(table["label"]) == set(results.experiment.task(task).labels)
    assert explained["lime"].drop(columns="weight").equals(explained["shap"].drop(columns="weight"))


@EACH
def test_models_keep_the_shape_and_head_of_the_paper(ran, task, model):
    results, _ = ran
    folder = results.trained(task, model, 42)
    metrics, recipe = (json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "manifest"))
    recipe = recipe["parameters"]["recipe"]
    assert metrics["layers"] == MODELS[model][1]
    architecture = json.loads((folder / "config.json").read_text())["architectures"]
    assert (architecture == ["FirstTokenClassifier"]) == (task == "snli")
    assert recipe["head"] == {"snli": "two-linear", "qqp": "standard"}[task]
    assert len(pd.read_csv(folder / "history.csv")) == recipe["epochs"] == {"snli": 5, "qqp": 10}[task]


def test_every_repository_was_downloaded(ran):
    _, requests = ran
    for hub_id, _ in MODELS.values():
        assert any(path.startswith(f"/{hub_id}/resolve/") and path.endswith(".safetensors") for path in requests)
    for dataset, config in (("stanfordnlp/snli", "plain_text"), ("nyu-mll/glue", "qqp")):
        served = [path for path in requests if path.startswith(f"/datasets/{dataset}/resolve/")]
        assert any(f"/{config}/" in path for path in served)


def test_run_is_whole(ran):
    results, _ = ran
    count, problems = verify(results.folder)
    assert (count >= 2 * len(TASKS) * len(MODELS), problems) == (True, [])
    assert len(results.comparison("snli", "alignment")) > 0
    assert len(results.calibration("qqp", 42, "scores")) == len(MODELS)
    assert not (results.folder / "checkpoints").exists() or files(results.folder / "checkpoints") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["roberta", "deberta"])
def test_other_families_from_download_to_tables(name, tmp_path):
    """The files of other families, as they are but for the number of examples."""
    write_family_checkpoints(tmp_path / "hub")
    write_family_datasets(tmp_path / "hub")
    with LoopbackHub(tmp_path / "hub") as hub:
        done = run_python("-c", ALL_STAGES, tmp_path / "results", name, endpoint=hub.endpoint, home=tmp_path / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    results = Results.open(tmp_path / "results" / name)
    count, problems = verify(results.folder)
    assert (count > 0, problems) == (True, [])
    for model, seed in results.experiment.runs:
        hub_id = results.experiment.model(model).hub
        assert any(path.startswith(f"/{hub_id}/resolve/") and path.endswith(".safetensors") for path in hub.requests)
        for task in ("snli", "mrpc"):
            assert results.facts(task, model, seed, "metrics")["layers"] == FAMILY_MODELS[hub_id][1]
            predictions = results.predictions(task, model, seed)
            assert len(predictions) == {"snli": 54, "mrpc": 60}[task]
            assert predictions.iloc[:, 2:].sum(axis=1).to_numpy() == pytest.approx(1)
            table = results.attribution(task, model, seed, "lime")
            assert table["id"].nunique() == 2 and set(table["segment"]) == {0, 1}
    assert all(len(results.comparison(task, "alignment")) > 0 for task in ("snli", "mrpc"))


@pytest.mark.parametrize(
    ("mirrored", "error", "wanted"),
    [
        ((), "DataError", "datasets/stanfordnlp/snli"),
        (("datasets",), "ModelError", "models/google/bert_uncased_L-2_H-128_A-2"),
    ],
)
def test_unreachable_hub_is_bad_input(tmp_path, mirrored, error, wanted):
    mirror, site, experiment = tmp_path / "mirror", tmp_path / "site", tmp_path / "small.yaml"
    for folder in (mirror, site):
        folder.mkdir()
    if "datasets" in mirrored:
        write_paper_datasets(mirror, rows=20)
    (site / "sitecustomize.py").write_text(IMPATIENT)
    experiment.write_text(SMALL)
    options = ("--cores", 1, "--hub", mirror, "--results", tmp_path / "results")
    python_path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    with socket.socket() as bound:
        # Bound and not listening: the port is nobody else's, and connections to it are refused.
        bound.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{bound.getsockname()[1]}"
        command = ("-m", "trusteq", "run", experiment, *options)
        done = run_python(*command, endpoint=endpoint, home=tmp_path / "home", PYTHONPATH=python_path)
    assert done.returncode == 2, done.stdout + done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"trusteq error: {error}: ")
    assert "the Hub cannot be reached" in last
    assert f"name a mirror that holds {wanted} with --hub DIR" in last
    assert "Traceback" not in done.stdout + done.stderr
    kept = {"experiment.yaml", ".lock", "logs", ".snakemake"}
    assert {path.split("/")[0] for path in files(tmp_path / "results" / "small")} <= kept
