"""The benchmark of a million examples, of a few: its steps, with tables on disk and with tables that are held."""

import million
import pandas as pd
import pytest

from trusteq import blocks
from trusteq.alignment.overlap import align
from trusteq.study.sides import gold_labels


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = million.run_in(tmp_path_factory.mktemp("million"), 60)
    assert million.make(run) == {"shards": 2}
    return run


def test_shards_are_joined_and_compared_as_if_they_were_held(run, monkeypatch, capsys):
    monkeypatch.setattr(blocks, "BLOCK", 7)
    found = {}
    for held in (10**9, 0):
        monkeypatch.setattr(blocks, "MOST_HELD", held)
        for name in ("lime", "lime.again"):
            run.path("attribution", million.TASK, "small", 0, name).unlink(missing_ok=True)
        assert million.join(run) == {"rows": 60 * 3 * million.WORDS}
        assert capsys.readouterr().out.count("joined from 2 shards") == (5 if held else 2)
        million.compared(run)
        files = sorted((run.folder / "comparison").rglob("*.parquet"))
        found[held] = {file.stem: pd.read_parquet(file) for file in files}
    for name, table in found[0].items():
        pd.testing.assert_frame_equal(table, found[10**9][name], check_exact=True, obj=name)
    tables = [run.attribution(million.TASK, model, 0, "lime") for model in ("large", "small")]
    expected = align(*tables, label=gold_labels(run, million.TASK)[tables[0]["id"].unique()])
    assert found[0]["alignment"]["jaccard"].item() == expected.mean > expected.chance


@pytest.mark.filterwarnings("ignore:vert. bool:DeprecationWarning")
def test_what_was_compared_is_shown(run, monkeypatch):
    million.join(run)
    million.compared(run)
    monkeypatch.setattr("trusteq.pages.show.display", None)
    shown = million.show(run)
    assert 0 < shown["page MB"] < 1.5 and 0 < shown["explorer MB"] < 1.5


def test_a_row_says_what_each_step_took(monkeypatch):
    steps = {"make": {"s": 60.0, "CPU s": 1.0, "GB": 0.5}, "show": {"s": 30.0, "CPU s": 2.0, "GB": 0.7, "page MB": 3}}
    monkeypatch.setattr(million, "STEPS", steps)
    monkeypatch.setattr(million, "ran", lambda n, folder, step: steps[step])
    row = million.row(1_000_000, None)
    assert (row["value"], row["at most"], row["GB"], row["all CPU s"]) == (0.5, 30, 0.7, 3.0)
    assert row["show page MB"] == 3 and million.row(10, None)["at most"] is None
