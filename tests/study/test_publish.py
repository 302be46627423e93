"""Results published without texts and weights: complete, verified, and enough to make every table again."""

import functools
import json
import os

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK
from refusals import one_line
from typer.testing import CliRunner

import trusteq
from trusteq import blocks, cli
from trusteq.errors import ArtefactError, DataError
from trusteq.store import verify, write_table, write_text
from trusteq.study import calibrate, compare, publish, results
from trusteq.study.compressions import compare_with_large, compression_table
from trusteq.study.results import Results, _generated_words
from trusteq.study.sides import clusters

refused = functools.partial(one_line, ArtefactError)
LARGE = MODELS[0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    return made_up.make_publishable(tmp_path, monkeypatch)


def test_neither_words_nor_weights_are_published_and_everything_verifies(run):
    folder = publish.publish(run)
    assert folder == publish.PUBLISHED / "small"
    assert not list(folder.rglob("*.safetensors"))
    columns = {name for file in folder.rglob("*.parquet") for name in pd.read_parquet(file)}
    assert not columns & {"word", "text_a", "text_b"}
    assert verify(folder)[1] == []
    named = set(json.loads((folder / "manifest.json").read_text())["files"])
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert there - named == {"manifest.json"}


def test_what_the_experiment_has_no_more_stays_behind(run):
    kept = [run.path("calibration", TASK, 0, "scores"), run.path("comparison", TASK, "alignment")]
    left = [run.path("calibration", TASK, 1, "scores"), run.path("comparison", "demo-pi", "alignment")]
    left += [run.path("predictions", TASK, "demo-int8", 0), run.path("attribution", TASK, MODELS[1], 0, "shapley")]
    left += [run.path("attribution", TASK, LARGE, 0, "lime.shard-1-of-2")]
    for file in [*kept, *left]:
        write_table(made_up.predictions(LARGE), file)
    folder = publish.publish(run)
    there = {file.relative_to(folder) for file in folder.rglob("*.parquet")}
    assert {file.relative_to(run.folder) for file in kept} <= there
    assert not {file.relative_to(run.folder) for file in left} & there


@pytest.mark.parametrize("lost", ["predictions/demo-nli/demo-tiny/0-dev", "attribution/demo-nli/demo-tiny/0/shap"])
def test_a_run_that_lacks_a_table_is_refused(run, lost):
    (run.folder / f"{lost}.parquet").unlink()
    refused(lambda: publish.publish(run), lost)
    assert not publish.PUBLISHED.exists() or not list(publish.PUBLISHED.iterdir())


def test_a_manifest_keeps_what_it_said_and_the_hash_of_what_is_left_out(run):
    folder = publish.publish(run)
    manifest = json.loads((folder / "models" / TASK / LARGE / "1" / "manifest.json").read_text())
    assert manifest["parameters"] == {"seed": 1}
    assert "model.safetensors" in manifest["unpublished"] and "model.safetensors" not in manifest["files"]
    assert set(manifest["files"]) == {"metrics.json", "timing.json", "history.csv"}


def test_weights_are_kept_to_single_precision(run):
    publish.publish(run)
    before, after = run.attribution(TASK, LARGE, 0, "lime"), trusteq.load_published("small")["attributions"]
    after = after[
        (after["model"] == LARGE) & (after["seed"] == 0) & (after["method"] == "lime") & (after["kind"] == "")
    ]
    assert after["weight"].dtype == np.float32
    assert after["weight"].tolist() == pytest.approx(before["weight"].tolist(), rel=1e-6)


def test_the_tables_of_the_pages_come_out_the_same(run):
    shown = publish.open_published(publish.publish(run).name)
    assert shown.is_published and not run.is_published
    for model, seed in run.experiment.runs:
        pd.testing.assert_frame_equal(run.predictions(TASK, model, seed), shown.predictions(TASK, model, seed))
    for make in (
        lambda which: calibrate.tables(which, TASK, 0),
        lambda which: compare.tables(which, TASK),
        lambda which: {"models": compression_table(which, TASK, compare_with_large(which, TASK))},
    ):
        made, again = make(run), make(shown)
        assert list(made) == list(again)
        for name, table in made.items():
            pd.testing.assert_frame_equal(table, again[name], obj=name)


def test_examples_with_one_first_text_stay_together_in_the_order_of_the_texts(run, monkeypatch):
    pairs = made_up.EXAMPLES.assign(text_a=["b", "a", "b", "c"])
    known = pairs.assign(evidence=[()] * 4, shortcut=[()] * 4)
    monkeypatch.setattr("trusteq.study.sides.load_examples", lambda *_, **__: known)
    folder = publish.publish(run)
    assert clusters(Results.open(folder), TASK).tolist() == [1, 0, 1, 2]


def test_tables_are_loaded_by_name_with_what_they_are_of(run):
    run.write(pd.DataFrame({"method": ["lime"], "jaccard": [0.5]}), "comparison", TASK, "alignment")
    run.write(pd.DataFrame({"model": [LARGE], "ece": [0.1]}), "calibration", TASK, 0, "scores")
    publish.publish(run)
    found = trusteq.load_published("small")
    assert set(found) == {
        *("predictions", "attributions", "faithfulness", "models", "alignment", "scores", "known_words")
    }
    assert set(found["predictions"]["part"]) == {"test", "dev", "random-head"}
    assert set(found["attributions"]["kind"]) == {"", "again", "random-head"}
    assert list(found["predictions"])[:6] == ["task", "model", "seed", "part", "id", "label"]
    assert list(found["predictions"])[6:] == list(LABELS)
    assert found["scores"].to_dict("records") == [{"task": TASK, "seed": 0, "model": LARGE, "ece": 0.1}]
    assert found["models"]["training_seconds"].tolist() == [10.0, 10.0, 20.0, 30.0]


def test_words_are_joined_back_where_the_data_is_at_hand(run):
    publish.publish(run)
    words = trusteq.load_published("small", with_words=True)["attributions"]
    first = words[(words["model"] == LARGE) & (words["method"] == "shap") & (words["kind"] == "")].head(4)
    assert first["word"].tolist() == ["a", "b", "c", "d"]


def test_words_of_generated_texts_are_put_back_and_of_no_others(run, monkeypatch):
    copy = Results.open(publish.publish(run))
    monkeypatch.setattr("trusteq.examples.load.load_examples", lambda *_, **__: made_up.EXAMPLES)
    monkeypatch.setattr(results, "_generated_words", _generated_words.__wrapped__)
    words = run.attribution(TASK, LARGE, 0, "lime")["word"]
    assert copy.attribution(TASK, LARGE, 0, "lime")["word"].tolist() == words.tolist()
    monkeypatch.setattr(Results, "may_show", lambda *_: False)
    assert copy.attribution(TASK, LARGE, 0, "lime")["word"].head(4).tolist() == ["0:0", "0:1", "0:2", "1:0"]


@pytest.mark.parametrize("command", ["publish", "reproduce"])
def test_data_sets_are_read_from_the_mirror_that_is_named(run, tmp_path, monkeypatch, command):
    publish.publish(run)
    write_text(run.experiment.dump(), run.folder / "experiment.yaml")
    monkeypatch.setenv("TRUSTEQ_HUB", "elsewhere")
    monkeypatch.setattr("trusteq.study.workflow.run", lambda *_, **__: run)
    read_from = []
    of_run = publish.publish
    monkeypatch.setattr(publish, "publish", lambda *of: read_from.append(os.environ["TRUSTEQ_HUB"]) or of_run(*of))
    of = run.folder if command == "publish" else "small"
    done = CliRunner().invoke(cli.app, [command, str(of), "--hub", str(tmp_path)])
    assert (done.exit_code, read_from) == (0, [str(tmp_path)]), done.output


def test_words_of_another_data_set_are_refused(run, monkeypatch):
    publish.publish(run)
    other = made_up.EXAMPLES.assign(text_a="one")
    monkeypatch.setattr("trusteq.study.publish.load_examples", lambda *_, **__: other)
    one_line(DataError, lambda: trusteq.load_published("small", with_words=True), "small", "'test-0'", "other words")


def test_a_damaged_table_is_refused(run):
    file = next(publish.publish(run).rglob("lime.parquet"))
    file.write_bytes(file.read_bytes() + b"x")
    refused(lambda: trusteq.load_published("small"), str(file), "differs from manifest.json")


def test_an_unknown_name_is_refused(run):
    publish.publish(run)
    refused(lambda: trusteq.load_published("smal"), "'smal'", "did you mean 'small'?")


def test_an_incomplete_run_is_refused_and_what_was_published_stays(run):
    folder = publish.publish(run)
    before = (folder / "manifest.json").read_bytes()
    (run.model(TASK, LARGE, 0) / "model.safetensors").unlink()
    refused(lambda: publish.publish(run), "model.safetensors", "not there")
    assert (folder / "manifest.json").read_bytes() == before


def test_rows_that_only_words_tell_apart_are_refused(run):
    table = run.attribution(TASK, LARGE, 0, "shap")
    twice = pd.concat([table, table.head(1)], ignore_index=True)
    run.write(twice, "attribution", TASK, LARGE, 0, "shap")
    refused(lambda: publish.publish(run), "shap.parquet", "a place occurs twice")


def test_what_is_published_with_the_book_is_whole_small_and_without_texts():
    files = [file for file in publish.PUBLISHED.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 2.5e6 * len(publish.names())
    assert {file.suffix for file in files} <= {".parquet", ".json", ".csv", ".yaml", ".md"}
    columns = {name for file in files if file.suffix == ".parquet" for name in pd.read_parquet(file)}
    assert not columns & {"word", "text_a", "text_b"}
    for name in publish.names():
        assert verify(publish.PUBLISHED / name)[1] == []
        assert set(trusteq.load_published(name)) >= {"predictions", "attributions", "models", "verdicts"}


def test_a_table_too_large_to_be_held_is_published_as_any_other(run, monkeypatch):
    folder = publish.publish(run)
    held = {file.relative_to(folder): pd.read_parquet(file) for file in folder.rglob("*.parquet")}
    for name, value in {"MOST_HELD": 0, "BLOCK": 1}.items():
        monkeypatch.setattr(blocks, name, value)
    monkeypatch.setattr(publish, "_tables_over_models", lambda run, task: [])
    folder = publish.publish(run)
    found = {file.relative_to(folder): pd.read_parquet(file) for file in folder.rglob("*.parquet")}
    assert found.keys() == held.keys() and verify(folder)[1] == []
    for file, table in found.items():
        pd.testing.assert_frame_equal(table, held[file], check_exact=True)
        assert table.attrs == held[file].attrs
