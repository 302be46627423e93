"""A rerun beside what is published: cells, tolerance, and estimates beside their published intervals."""

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import MODELS, TASK
from typer.testing import CliRunner

from trusteq import cli
from trusteq.study import publish
from trusteq.study.reproduce import compare_tables

ALIGNMENT = pd.DataFrame(
    {"model": ["a", "b"], "jaccard": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7], "note": [None, "x"]}
)


def compared(other, name="alignment", **options):
    (row,) = compare_tables({name: ALIGNMENT}, {name: other}, **options).to_dict("records")
    return row


def test_the_same_tables_do_not_differ():
    found = compared(ALIGNMENT.copy())
    assert found == {
        **{"table": "alignment", "rows": 2, "cells": 10, "differing": 0, "largest_difference": 0.0},
        **{"within": True, "estimates": 2, "inside": 2},
    }


@pytest.mark.parametrize(("change", "tolerance", "differing"), [(1e-7, 1e-6, 0), (1e-5, 1e-6, 1), (0.2, 0.3, 0)])
def test_a_number_differs_beyond_the_tolerance(change, tolerance, differing):
    found = compared(ALIGNMENT.assign(jaccard=[0.5 + change, 0.6]), tolerance=tolerance)
    assert (found["differing"], found["within"]) == (differing, not differing)
    assert found["largest_difference"] == pytest.approx(change)


def test_large_numbers_are_compared_relatively():
    large = pd.DataFrame({"parameters": [1e9]})
    found = compare_tables({"x": large}, {"x": large + 100})
    assert found["within"].tolist() == [True]


@pytest.mark.parametrize(
    "changes", [{"note": ["x", "x"]}, {"note": ["y", None]}, {"jaccard": [np.nan, 0.6]}, {"model": ["a", "c"]}]
)
def test_text_and_what_is_missing_count_as_cells(changes):
    assert compared(ALIGNMENT.assign(**changes))["differing"] == sum(
        not (value == before or (pd.isna(value) and pd.isna(before)))
        for name, values in changes.items()
        for value, before in zip(values, ALIGNMENT[name], strict=True)
    )


def test_estimates_are_held_against_their_published_intervals():
    found = compared(ALIGNMENT.assign(jaccard=[0.45, 0.75]))
    assert (found["estimates"], found["inside"]) == (2, 1)


@pytest.mark.parametrize("other", [ALIGNMENT.head(1), ALIGNMENT.drop(columns="low"), ALIGNMENT.assign(more=1)])
def test_another_shape_is_not_within(other):
    found = compared(other)
    assert not found["within"] and np.isnan(found["differing"])


def test_a_table_on_one_side_alone_is_not_within():
    found = compare_tables({"alignment": ALIGNMENT}, {})
    assert found["within"].tolist() == [False]


def test_what_the_machine_decides_is_left_out():
    models = pd.DataFrame({"model": ["a"], "training_seconds": [1.0], "latency_1_ms": [2.0], "device": ["cpu"]})
    again = models.assign(training_seconds=9.0, latency_1_ms=8.0, device="gpu")
    assert compare_tables({"models": models}, {"models": again})[["cells", "within"]].to_numpy().tolist() == [[1, True]]


@pytest.mark.parametrize("elsewhere", [True, False])
def test_another_processor_is_named_where_cells_differ(tmp_path, monkeypatch, elsewhere):
    with monkeypatch.context() as patch:
        if elsewhere:
            patch.setattr("trusteq.store.processor", lambda: "a Cray")
        folder = publish.publish(made_up.make_publishable(tmp_path, monkeypatch))
    (tmp_path / "again").mkdir()
    rerun = made_up.make_publishable(tmp_path / "again", monkeypatch)
    rerun.write(made_up.predictions(MODELS[0]), "predictions", TASK, MODELS[2], 0)
    monkeypatch.setattr("trusteq.study.workflow.run", lambda *_, **__: rerun)
    done = CliRunner().invoke(cli.app, ["reproduce", str(folder), "--results", str(tmp_path / "rerun")])
    assert done.exit_code == 1 and "outside of it: predictions\n" in done.output
    assert ("on a Cray; run again on " in done.output) == elsewhere
