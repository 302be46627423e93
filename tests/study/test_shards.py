"""A run in parts: the parts cover the whole, and joined they are the whole, byte for byte, or they are not joined."""

import functools
import itertools
import json
import shutil

import pandas as pd
import pytest
from refusals import one_line

from trusteq import blocks, words
from trusteq.attribution.explain import explain, together
from trusteq.errors import ExperimentError
from trusteq.models.classifier import load_classifier
from trusteq.registry import validated
from trusteq.store import manifest_path, to_json, write_table, write_text
from trusteq.study import graph, shards
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import jobs
from trusteq.study.results import Results
from trusteq.study.shards import NOTHING, WHOLE, Shard

EXAMPLES = pd.DataFrame(
    {
        "id": [f"test-{row}" for row in range(7)],
        "text_a": ["the man reads", "?!", "a dog eats. " * 20, "the dög 犬 runs", "a woman", "not very good", "bad"],
        "text_b": ["a man sleeps", "...", "a dog", "a dog in the park", "the house?", "very bad", "good"],
        "label": 0,
    }
)
KEY = {"task": "demo-nli", "model": "demo-tiny", "seed": 0}
METHODS = {"lime": {"n_samples": 30}, "occlusion": {"n_samples": 30}}
refused = functools.partial(one_line, ExperimentError)


@pytest.fixture(scope="module")
def classifier(tiny_bert):
    return load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")


@pytest.fixture
def make(tmp_path):
    """Make an empty run in a folder of its own, whose model has weights by a name; some keys of it replaced."""

    def make(folder="small", *, weights="w", **changes):
        values = {"name": "small", "title": "Small", "tasks": ["demo-nli"], "models": ["demo-tiny"], "methods": METHODS}
        run = Results(tmp_path / folder, validated(Experiment, values | changes, where="here"))
        manifest = {"files": {"model.safetensors": {"sha256": weights}, "config.json": {"sha256": "c"}}}
        write_text(to_json(manifest), run.model(*KEY.values()) / "manifest.json")
        return run

    return make


def origin(run, *, examples=EXAMPLES, table="lime"):
    """Return the job that makes a table, where it is, its key and what it is made of."""
    (job,) = (job for job in jobs(run.experiment, **KEY) if job.table == table)
    (whole,) = (found for found in graph.all_jobs(run.experiment) if found.is_about("explain", *KEY.values()))
    path = run.path("attribution", *KEY.values(), table)
    return job, path, whole.tables[path.relative_to(run.folder)], shards.inputs(run, job, examples)


def write(run, classifier, part, *, examples=EXAMPLES, table="lime", window=1):
    """Explain a part and write it, as the stage does; return the path of the table."""
    job, path, key, made_of = origin(run, examples=examples, table=table)
    rows = part.rows(len(examples), window=window)
    facts = {"shard": str(part), "rows": [rows.start, rows.stop], "seconds": 1.5}
    explained = explain(classifier, examples.iloc[rows], **job.options)
    path = path.with_name(f"{part.name(table)}.parquet")
    write_table(explained, path, key=key, **made_of, **facts)
    return path


def joined(run, *, examples=EXAMPLES, table="lime"):
    _, *where = origin(run, examples=examples, table=table)
    return shards.joined(*where, len(examples))


# --- which examples a part has ---


def test_parse():
    assert Shard.parse("1/4") == Shard(1, 4) and str(Shard(1, 4)) == "1/4"
    assert Shard.parse(None) == Shard.parse("1/1") == WHOLE
    assert (WHOLE.name("lime"), Shard(1, 4).name("lime")) == ("lime", "lime.shard-1-of-4")


NO_SHARDS = ["0/4", "5/4", "x", "", "1", "1/0", "-1/4", "1/4/4", "1.0/4", " 1/4", "1/4\n", "١/٤", "1/" + "9" * 400]


@pytest.mark.parametrize("text", NO_SHARDS)
def test_bad_shards_are_refused(text):
    refused(lambda: Shard.parse(text), "expected i/n with i from 1 to n, such as 1/4")


@pytest.mark.parametrize(("n", "window", "of"), list(itertools.product([0, 1, 7, 300], [1, 4, 128], [1, 2, 3, 10])))
def test_parts_cover_all_examples_once_in_order_by_whole_windows(n, window, of):
    parts = [Shard(number, of).rows(n, window=window) for number in range(1, of + 1)]
    assert [row for part in parts for row in part] == list(range(n))
    assert all(part.start % window == 0 or part.start == n for part in parts)
    sizes = [-(-len(part) // window) for part in parts]
    assert max(sizes) - min(sizes) <= 1


# --- joined ---


@pytest.mark.parametrize("name", ["lime", "lime.again", "occlusion", "occlusion.random-head"])
@pytest.mark.parametrize("of", [2, 3, 10])
def test_joined_shards_are_the_whole_byte_for_byte(make, classifier, tmp_path, name, of):
    run = make()
    whole = write(run, classifier, WHOLE, table=name)
    attrs = pd.read_parquet(whole).attrs
    assert attrs["skipped"] and attrs["cut"] and attrs["passes"]  # so that there is something to merge
    for number in range(of, 0, -1):
        write(run, classifier, Shard(number, of), table=name)
    table, seconds, note = joined(run, table=name)
    assert (seconds, note) == (1.5 * of, f"{name}: joined from {of} shards")
    again = tmp_path / "again" / whole.name
    write_table(table, again)
    assert again.read_bytes() == whole.read_bytes()


def test_shards_are_joined_after_being_copied_into_one_folder(make, classifier):
    here, there = make("here"), make("there")
    write(here, classifier, Shard(1, 2))
    for file in write(there, classifier, Shard(2, 2)).parent.iterdir():
        shutil.copy(file, here.path("attribution", *KEY.values(), "any").parent)
    assert joined(here).table is not None
    assert joined(there).table is None


def test_without_shards_there_is_nothing_to_say(make, classifier):
    run = make()
    assert joined(run) == NOTHING
    write(run, classifier, Shard(1, 2))
    for table in ("lime.again", "lime.random-head", "occlusion"):
        assert joined(run, table=table) == NOTHING


def test_a_missing_shard(make, classifier):
    run = make()
    write(run, classifier, Shard(1, 3))
    write(run, classifier, Shard(3, 3))
    table, _, note = joined(run)
    assert table is None
    assert note == "lime: 3 shards are not joined: lime.shard-2-of-3.parquet or its manifest is not there"
    manifest_path(write(run, classifier, Shard(2, 3))).unlink()
    assert joined(run).table is None


def test_another_complete_set_is_joined_all_the_same(make, classifier):
    run = make()
    write(run, classifier, Shard(1, 2))
    for number in (1, 2, 3):
        write(run, classifier, Shard(number, 3))
    assert joined(run).note == "lime: joined from 3 shards"


SETTINGS = "made with other settings: of model, method, budget, seed or version"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"methods": METHODS | {"lime": {"n_samples": 31}}}, SETTINGS),
        ({"common_masks": True}, SETTINGS),
        ({"threads": 2}, SETTINGS),
        ({"recipe": {"epochs": 9}}, SETTINGS),
        ({"weights": "other"}, "made of other weights"),
    ],
)
def test_shards_of_another_run_are_not_joined(make, classifier, changes, named):
    for number in (1, 2):
        write(make(**changes), classifier, Shard(number, 2))
    table, _, note = joined(make())
    assert table is None
    assert note.endswith(f"lime.shard-1-of-2.parquet was {named}")


@pytest.mark.parametrize(
    "other", [EXAMPLES.replace({"id": {"test-3": "test-9"}}), EXAMPLES.replace({"bad": "good"}), EXAMPLES.head(6)]
)
def test_shards_of_other_examples_are_not_joined(make, classifier, other):
    run = make()
    for number in (1, 2):
        write(run, classifier, Shard(number, 2), examples=other)
    assert joined(run).note.endswith("made of other examples")


def test_shards_of_another_kind_are_not_joined_even_under_its_name(make, classifier):
    run = make()
    for number in (1, 2):
        part = write(run, classifier, Shard(number, 2), table="lime.again")
        for file in (part, manifest_path(part)):
            file.rename(file.with_name(file.name.replace(".again", ".random-head")))
    table, _, note = joined(run, table="lime.random-head")
    assert table is None
    assert note.endswith(SETTINGS)


def test_shards_of_another_version_are_not_joined(make, classifier, monkeypatch):
    run = make()
    for number in (1, 2):
        write(run, classifier, Shard(number, 2))
    monkeypatch.setitem(graph.VERSIONS, "explain", 99)
    assert joined(run).note.endswith(SETTINGS)


def test_shards_in_windows_of_two_devices_are_not_joined(make, classifier):
    run = make()
    write(run, classifier, Shard(1, 2))  # examples 0 to 2
    write(run, classifier, Shard(2, 2), window=4)  # examples 4 to 6
    assert "lime.shard-2-of-2.parquet does not start where" in joined(run).note


def test_damaged_shards_are_not_joined(make, classifier):
    run = make()
    first, second = (write(run, classifier, Shard(number, 2)) for number in (1, 2))
    content = first.read_bytes()
    first.write_bytes(content[:-1])
    assert "differs from its manifest" in joined(run).note
    first.write_bytes(content)
    assert joined(run).table is not None
    for broken in ("", "[]", json.dumps({"parameters": None}), json.dumps({"parameters": {"task": "demo-nli"}})):
        manifest_path(second).write_text(broken)
        assert joined(run).note.endswith("the manifest of lime.shard-2-of-2.parquet does not say what it was made of")


# --- kept ---


def attributions(run, classifier, part=WHOLE, *, table="lime"):
    job, _, key, _ = origin(run, table=table)
    return shards.attributions(run, job, classifier, EXAMPLES, key=key, part=part, progress=True)


@pytest.fixture
def explanations(monkeypatch):
    """Count the tables that are made."""
    made = []
    monkeypatch.setattr(shards, "explain", lambda *args, **kwargs: made.append(1) or explain(*args, **kwargs))
    return made


@pytest.mark.parametrize("part", [WHOLE, Shard(2, 3)])
def test_a_table_made_of_the_same_is_kept_with_its_manifest(make, classifier, explanations, capsys, part):
    run = make()
    first = attributions(run, classifier, part)
    path = run.path("attribution", *KEY.values(), part.name("lime"))
    manifest = manifest_path(path).read_bytes()
    again = attributions(run, classifier, part)
    pd.testing.assert_frame_equal(again, first)
    assert again.attrs == first.attrs
    assert len(explanations) == 1
    assert manifest_path(path).read_bytes() == manifest
    assert capsys.readouterr().out.endswith(f"{part.name('lime')}: kept as it is\n")


def test_a_further_method_leaves_the_tables_of_the_others(make, classifier, explanations):
    attributions(make(), classifier)
    more = make(methods=METHODS | {"shap": {"n_samples": 30}})
    attributions(more, classifier)
    assert len(explanations) == 1
    attributions(more, classifier, table="shap")
    assert len(explanations) == 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"methods": {"lime": {"n_samples": 40}, "occlusion": {}}}, SETTINGS),
        ({"weights": "other"}, "made of other weights"),
        ({"common_masks": True}, SETTINGS),
    ],
)
def test_a_table_made_of_something_else_is_made_anew(make, classifier, explanations, capsys, changes, named):
    attributions(make(), classifier)
    run = make(**changes)
    changed = attributions(run, classifier)
    assert f"lime: made anew: lime.parquet was {named}" in capsys.readouterr().out
    assert len(explanations) == 2
    pd.testing.assert_frame_equal(run.attribution(*KEY.values(), "lime"), changed)


def test_a_damaged_table_is_made_anew(make, classifier, explanations, capsys):
    attributions(make(), classifier)
    path = make().path("attribution", *KEY.values(), "lime")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    attributions(make(), classifier)
    assert "lime: made anew: " in capsys.readouterr().out
    assert path.read_bytes() == content
    manifest_path(path).unlink()
    attributions(make(), classifier)
    assert len(explanations) == 3


def test_a_shard_of_other_rows_is_made_anew(make, classifier, explanations, capsys, monkeypatch):
    attributions(make(), classifier, Shard(2, 2))
    monkeypatch.setattr(shards, "window", lambda classifier: 4)
    attributions(make(), classifier, Shard(2, 2))
    assert "lime.shard-2-of-2.parquet is of other examples" in capsys.readouterr().out
    assert len(explanations) == 2


def test_a_whole_is_joined_from_its_shards_and_then_kept(make, classifier, explanations, capsys):
    run = make()
    for number in (1, 2):
        attributions(run, classifier, Shard(number, 2))
    joined_table, kept_table = attributions(run, classifier), attributions(run, classifier)
    assert capsys.readouterr().out.endswith("lime: joined from 2 shards\nlime: kept as it is\n")
    pd.testing.assert_frame_equal(kept_table, joined_table)
    assert len(explanations) == 2


def test_what_the_words_are_is_part_of_what_a_table_is_made_of(make, monkeypatch):
    """Where words are plain runs the hashes are as ever; elsewhere they tell ICU from characters, and no more."""
    run, plain = make(), EXAMPLES.assign(text_b="한국어 und café")
    assert set(origin(run, examples=plain)[3]) == {"weights", "examples"}
    hindi, chinese = (plain.assign(text_b=text) for text in ("हिन्दी", "今天去"))
    by_icu = [origin(run, examples=examples)[3]["words"] for examples in (hindi, chinese)]
    monkeypatch.setattr(words, "_icu", lambda: None)
    by_character = [origin(run, examples=examples)[3]["words"] for examples in (hindi, chinese)]
    assert by_icu[0] == by_character[0] and by_icu[1] != by_character[1]


def test_a_table_of_words_by_icu_is_made_anew_by_character(make, classifier, monkeypatch):
    run, chinese = make(), EXAMPLES.assign(text_b="今天去")
    path = write(run, classifier, WHOLE, examples=chinese)
    _, _, key, made_of = origin(run, examples=chinese)
    assert shards.kept(path, key, made_of, range(7)).table.attrs["segmentation"].startswith("ICU ")
    monkeypatch.setattr(words, "_icu", lambda: None)
    found = shards.kept(path, key, origin(run, examples=chinese)[3], range(7))
    assert found.table is None and "made of other words" in found.note


def test_parts_of_which_one_has_no_such_text_say_what_cut_the_other(classifier):
    parts = [explain(classifier, EXAMPLES.iloc[rows], n_samples=20) for rows in (range(3), range(3, 7))]
    assert "segmentation" not in parts[0].attrs  # the second has 犬
    assert together(parts).attrs == explain(classifier, EXAMPLES, n_samples=20).attrs


@pytest.mark.parametrize("of", [2, 3])
def test_a_whole_too_large_to_be_held_is_joined_byte_for_byte(make, classifier, tmp_path, monkeypatch, of):
    run = make()
    whole = write(run, classifier, WHOLE)
    expected, attrs = whole.read_bytes(), pd.read_parquet(whole).attrs
    whole.unlink()
    for number in range(1, of + 1):
        write(run, classifier, Shard(number, of))
    monkeypatch.setattr(blocks, "MOST_HELD", 10)
    table = attributions(run, classifier)
    assert (table.files, table.attrs) == ((whole,), attrs)
    assert whole.read_bytes() == expected
    kept = attributions(run, classifier)
    assert (kept.files, kept.attrs) == ((whole,), attrs)
