"""Results made in parts, gathered: the same as those of one run, and refused where they would not be."""

import functools
import json
import shutil

import made_up
import pandas as pd
import pytest
from made_up import MODELS, TASK
from refusals import one_line
from typer.testing import CliRunner

from trusteq import cli
from trusteq.errors import ArtefactError
from trusteq.registry import validated
from trusteq.store import verify, write_text
from trusteq.study import compare, publish
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

refused = functools.partial(one_line, ArtefactError)
LARGE, DISTILLED, TINY = MODELS
INT8 = "demo-int8"


@pytest.fixture
def run(tmp_path, monkeypatch):
    return made_up.make_publishable(tmp_path, monkeypatch)


def changed(experiment: Experiment, **changes) -> Experiment:
    return validated(Experiment, experiment.model_dump(mode="json", exclude_unset=True) | changes, where="test")


def part_of(run: Results, folder, models: dict, **changes) -> Results:
    """Copy what a run of some models alone would have left."""
    experiment = changed(run.experiment, models=models, **changes)
    part = Results(folder / "small", experiment)
    for model, seed in experiment.runs:
        for stage in ("attribution", "models"):
            place = part.folder / stage / TASK / model / str(seed)
            shutil.copytree(run.folder / stage / TASK / model / str(seed), place)
        (part.folder / "predictions" / TASK / model).mkdir(parents=True, exist_ok=True)
        for file in (run.folder / "predictions" / TASK / model).glob(f"{seed}*"):
            shutil.copy(file, part.folder / "predictions" / TASK / model)
    write_text(experiment.dump(), part.folder / "experiment.yaml")
    return part


def contents(folder) -> dict[str, bytes]:
    """Every file but manifests, which say when they were written."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.endswith("manifest.json")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("published_before", [False, True])
def test_parts_make_the_whole(run, tmp_path, published_before):
    one = part_of(run, tmp_path / "one", {LARGE: {}, TINY: {}})
    two = part_of(run, tmp_path / "two", {LARGE: {"seeds": [0, 1]}, DISTILLED: {}})
    if published_before:
        one = Results.open(publish.publish(one, tmp_path / "before"))
    gathered = publish.gather(run.experiment, [one, two], tmp_path / "gathered")
    whole = publish.publish(run, tmp_path / "published")
    assert contents(gathered.folder) == contents(whole)
    assert verify(gathered.folder)[1] == []
    manifest = gathered.facts(TASK, TINY, 0, "manifest")
    assert manifest["unpublished"] == run.facts(TASK, TINY, 0, "manifest")["files"]


def test_what_a_further_seed_brings_beyond_the_experiment_is_left_out(run, tmp_path):
    further = part_of(run, tmp_path / "one", {LARGE: {"seeds": [0, 1]}})
    further.write(made_up.predictions(TINY), "predictions", TASK, LARGE, "1-random-head")
    alone = changed(run.experiment, models={LARGE: {"seeds": [0, 1]}})
    gathered = publish.gather(alone, [further], tmp_path / "gathered")
    assert not gathered.path("predictions", TASK, LARGE, "1-random-head").exists()


def test_of_what_several_hold_the_first_is_taken(run, tmp_path):
    other = part_of(run, tmp_path / "other", {LARGE: {"seeds": [0, 1]}, DISTILLED: {}, TINY: {}})
    other.write(made_up.predictions(LARGE), "predictions", TASK, TINY, 0)
    found = [
        publish.gather(run.experiment, order, tmp_path / name).predictions(TASK, TINY, 0)
        for name, order in {"a": [run, other], "b": [other, run]}.items()
    ]
    pd.testing.assert_frame_equal(found[0], made_up.predictions(TINY))
    pd.testing.assert_frame_equal(found[1], made_up.predictions(LARGE))


def test_what_no_part_has_is_refused(run, tmp_path):
    part = part_of(run, tmp_path / "one", {LARGE: {"seeds": [0, 1]}, DISTILLED: {}})
    refused(
        lambda: publish.gather(run.experiment, [part], tmp_path / "a"),
        "demo-tiny with seed 0",
        "none of the folders",
    )
    run.path("attribution", TASK, DISTILLED, 0, "lime.again").unlink()
    refused(lambda: publish.gather(run.experiment, [run], tmp_path / "b"), DISTILLED, "lacks", "0/lime.again.parquet")


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"recipe": {"epochs": 7}}, "recipe"),
        ({"explain": 3}, "explain"),
        ({"train_limit": 9}, "train_limit"),
        ({"common_masks": True}, "common_masks"),
        ({"methods": {"lime": {"n_samples": 11}, "shap": {"n_samples": 10}}}, "method lime"),
        ({"tasks": {TASK: {"splits": {"train": [{"file": "a.csv"}], "test": [{"file": "b.csv"}]}}}}, "data"),
    ],
)
def test_a_part_made_with_other_settings_is_refused(run, tmp_path, changes, setting):
    everything = {LARGE: {"seeds": [0, 1]}, DISTILLED: {}, TINY: {}}
    part = part_of(run, tmp_path / "one", everything, **changes)
    refused(lambda: publish.gather(run.experiment, [part], tmp_path / "a"), LARGE, f"with another {setting} than small")


def test_each_model_keeps_the_footprint_that_was_measured_of_it(run, tmp_path):
    for stage in ("attribution", "models", "predictions"):
        shutil.copytree(run.folder / stage / TASK / TINY, run.folder / stage / TASK / INT8)
    one = part_of(run, tmp_path / "one", {LARGE: {}, INT8: {}})
    two = part_of(run, tmp_path / "two", {LARGE: {}, DISTILLED: {}})
    both = changed(run.experiment, models={LARGE: {}, DISTILLED: {}, INT8: {}})
    measured = [
        {"model": LARGE, "parameters": 4, "latency_1_ms": 1.0},
        {"model": INT8, "parameters": 4, "latency_1_ms": 2.0},
    ]
    one.write(pd.DataFrame(measured), "compression", TASK, "footprints")
    refused(lambda: publish.gather(both, [one, two], tmp_path / "a"), DISTILLED, "05_compression.py measures it")
    other = [
        {"model": LARGE, "parameters": 4, "latency_1_ms": 7.0},
        {"model": DISTILLED, "parameters": 2, "latency_1_ms": 3.0},
    ]
    two.write(pd.DataFrame(other), "compression", TASK, "footprints")
    found = publish.gather(both, [one, two], tmp_path / "b").compression(TASK, "footprints")
    expected = {"model": [LARGE, DISTILLED, INT8], "parameters": [4, 2, 4], "latency_1_ms": [1.0, 3.0, 2.0]}
    assert found.to_dict("list") == expected
    assert found["parameters"].dtype.kind == "i"


def test_parts_are_published_with_the_tables_over_models(run, tmp_path):
    one = part_of(run, tmp_path / "one", {LARGE: {}, TINY: {}})
    two = part_of(run, tmp_path / "two", {LARGE: {"seeds": [0, 1]}, DISTILLED: {}})
    write_text(run.experiment.dump(), tmp_path / "whole.yaml")
    command = ["publish", str(one.folder), str(two.folder), "--out", str(tmp_path / "published")]
    done = CliRunner().invoke(cli.app, command)
    assert "say with --experiment" in str(done.exception)
    done = CliRunner().invoke(cli.app, [*command, "--experiment", str(tmp_path / "whole.yaml")])
    assert done.exit_code == 0, done.output
    found = publish.open_published(tmp_path / "published" / "small")
    assert found.experiment.dump(whole=True) == run.experiment.dump(whole=True)
    for name, table in compare.tables(run, TASK).items():
        pd.testing.assert_frame_equal(found.comparison(TASK, name), table, obj=name)
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert "comparison/demo-nli/alignment.parquet" in manifest["files"]
    assert verify(found.folder)[1] == []
