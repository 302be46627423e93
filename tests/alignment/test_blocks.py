"""A table on disk, read some examples at a time, has the numbers that it has as a whole, to the last bit."""

import functools

import numpy as np
import pandas as pd
import pytest
from refusals import one_line
from weights import labels, random_table, table

from trusteq import blocks
from trusteq.alignment import decompose, evidence, overlap
from trusteq.alignment.ranking import COMPANIONS, Ranking, chance_jaccard, jaccard, top_features
from trusteq.blocks import Stored
from trusteq.errors import ArtefactError, DataError
from trusteq.store import write_table

refused = functools.partial(one_line, DataError)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Batches end within examples, and blocks within batches."""
    for name, value in {"BLOCK": 3, "_BATCH": 7, "MOST_HELD": 0}.items():
        monkeypatch.setattr(blocks, name, value)


def ragged(seed, *, n=11, released=False):
    """Attributions of examples of 1 to 9 words, one of which weighs nothing; a word may stand in several places."""
    rng = np.random.default_rng(seed)
    sizes = np.random.default_rng(99).integers(1, 10, size=n)
    rows = [
        (f"test-{at}", place * 2 // size, place, f"w{place % 5}", label, weight * (at != 4))
        for at, size in enumerate(sizes)
        for label in ("no", "yes")
        for place, weight in enumerate(np.round(rng.normal(size=size), 1))
    ]
    found = pd.DataFrame(rows, columns=["id", "segment", "position", "word", "label", "weight"])
    found = found.astype({"id": "str", "word": "str", "label": "str"})
    found.attrs = {"boundary": "as-released" if released else "safe", "skipped": {}}
    return found


def on_disk(found, path, *, of=1):
    """Write a table to so many files, cut between examples, and return it as it is stored."""
    ids = found["id"].unique()
    files = [path.with_name(f"{path.name}-{part}.parquet") for part in range(of)]
    for file, part in zip(files, np.array_split(ids, of), strict=True):
        rows = found[found["id"].isin(part)].reset_index(drop=True)
        rows.attrs = found.attrs
        rows.to_parquet(file, index=False)
    return Stored(tuple(files), found.attrs)


@pytest.fixture(params=[False, True], ids=["safe", "as-released"])
def pair(request, tmp_path):
    """Two tables whole and on disk, with the labels; the second lacks a word that the first has."""
    whole = [ragged(seed, released=request.param) for seed in (0, 1)]
    whole[1] = whole[1].drop(index=whole[1].index[(whole[1]["id"] == "test-2") & (whole[1]["position"] == 0)])
    label = labels(*whole[0]["id"].unique())
    stored = [on_disk(of, tmp_path / f"side-{at}", of=at + 1) for at, of in enumerate(whole)]
    return [Ranking(of, label) for of in whole], [Ranking(of, label) for of in stored]


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_blocks_are_the_table(tmp_path):
    whole = ragged(0)
    blocks = list(on_disk(whole, tmp_path / "a", of=11).blocks())
    assert [block["id"].nunique() for block in blocks] == [3, 3, 3, 2]
    rows = pd.concat([block.astype({"id": "str", "word": "str", "label": "str"}) for block in blocks])
    same(rows.reset_index(drop=True), whole)
    assert all(len(block["id"].cat.categories) <= 6 for block in blocks)  # not all that were ever read


def test_ids_and_some_examples(tmp_path):
    whole = ragged(0)
    stored = on_disk(whole, tmp_path / "a", of=3)
    assert stored.ids().tolist() == whole["id"].unique().tolist()
    wanted = ["test-7", "test-1"]
    rows = stored.among(wanted).astype({"id": "str", "word": "str", "label": "str"})
    same(rows, whole[whole["id"].isin(wanted)].reset_index(drop=True))


@pytest.mark.parametrize("of", [1, 2, 4])
def test_files_that_follow_on_one_another_make_the_bytes_of_the_whole(tmp_path, of, monkeypatch):
    whole = ragged(0)
    monkeypatch.setattr(blocks, "_ROW_GROUP", 1 << 20)
    write_table(whole, tmp_path / "whole.parquet")
    write_table(on_disk(whole, tmp_path / "part", of=of), tmp_path / "joined.parquet")
    assert (tmp_path / "joined.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    monkeypatch.setattr(blocks, "_ROW_GROUP", 5)
    write_table(on_disk(whole, tmp_path / "part", of=of), tmp_path / "rows.parquet")
    whole.to_parquet(tmp_path / "whole.parquet", index=False, row_group_size=5)
    assert (tmp_path / "rows.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_all_parts_of_an_alignment(pair):
    whole, stored = pair
    clusters = pd.Series(np.arange(11) // 2, index=whole[0].label.index)
    expected, found = (decompose.parts(*of, k=2, clusters=clusters) for of in pair)
    for name, of in expected._asdict().items():
        assert (of is None) == (getattr(found, name) is None)
        assert of is None or same(getattr(found, name), of) is None
    assert (expected.segments is None) == whole[0].is_as_released
    one_held = decompose.parts(stored[0], whole[1], k=2, clusters=clusters), decompose.parts(whole[0], stored[1], k=2)
    same(one_held[0].table, expected.table)
    same(one_held[1].table, expected.table)


def test_parts_are_what_each_measure_is_alone(pair):
    whole, _ = pair
    parts = decompose.parts(*whole, k=2)
    same(parts.table, overlap.aligned(*whole, k=2).table)
    same(parts.curve, decompose.curve(*whole))
    if not whole[0].is_as_released:
        same(parts.segments, decompose.by_segment(*whole, k=2))
        same(parts.companions, decompose.companions(*whole))


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_counted_by_sets(pair, k):
    """By brute force: sets of the top features, and of all features, example by example."""
    whole, _ = pair
    tops = [top_features(of.attributions, k=k, label=of.label) for of in whole]
    seen = [of.attributions["word"] if of.is_as_released else of.attributions["position"] for of in whole]
    ids = [of.attributions["id"] for of in whole]
    expected = []
    for name, a, b in zip(whole[0].label.index, *tops, strict=True):
        n = len({feature for of, at in zip(seen, ids, strict=True) for feature in of[at == name]})
        expected.append((name, jaccard(a, b), chance_jaccard(n, len(a), len(b)), n))
    table = overlap.aligned(*whole, k=k).table
    same(table, pd.DataFrame(expected, columns=list(table)).astype({"id": "str"}).astype(table.dtypes))


def test_the_companions_of_many_are_those_of_each():
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 7, 8, 9, 17, 40, 130):
        a, b = rng.normal(size=(2, 6, size))
        a[1], b[2], a[3] = 0, np.round(b[2]), np.round(a[3])
        for score in COMPANIONS.values():
            assert np.array_equal(score(a, b), [score(*both) for both in zip(a, b, strict=True)], equal_nan=True)


def test_evidence_and_random_features(tmp_path):
    whole = ragged(0)
    stored, label = on_disk(whole, tmp_path / "a"), labels(*whole["id"].unique())
    truth = pd.Series({"test-0": ((0, 0),), "test-5": ((0, 0), (0, 1)), "test-9": ()})
    expected, found = (evidence.evidence_scores(Ranking(of, label), truth, k=2) for of in (whole, stored))
    same(found, expected)
    drawn = pd.concat(overlap.random_features(stored, seed=3).blocks())["weight"]
    assert drawn.tolist() == overlap.random_features(whole, seed=3)["weight"].tolist()


def test_faithfulness(tmp_path):
    whole = ragged(0).assign(segment=0)
    examples = pd.DataFrame({"id": whole["id"].unique(), "text_b": None})
    words = whole[whole["label"] == "yes"].groupby("id")["word"].agg(" ".join)
    examples["text_a"] = words[examples["id"]].to_numpy()

    class Counts:
        labels = ("no", "yes")

        def predict_proba(self, text_a, text_b=None):
            yes = np.array([text.count("w1") / 10 + len(text) / 100 for text in text_a])
            return np.column_stack([1 - yes, yes])

    how = {"k": 2, "label": labels("none", *examples["id"])}
    stored = on_disk(whole, tmp_path / "a")
    expected, found = (evidence.faithfulness(Counts(), examples, of, **how) for of in (whole, stored))
    same(found, expected)
    assert expected["sufficiency"].notna().sum() == 10  # but for one without weights, and one without words


def test_rows_of_one_example_that_lie_apart_are_refused(tmp_path):
    rows = pd.concat([ragged(0), ragged(0).tail(1).assign(position=99)])
    rows = pd.concat([rows.iloc[-1:], rows.iloc[:-1]], ignore_index=True).astype({"id": "str"})
    rows.to_parquet(tmp_path / "a.parquet", index=False)
    stored = Stored((tmp_path / "a.parquet",), {"boundary": "safe"})
    one_line(ArtefactError, stored.ids, "a.parquet: the rows of example 'test-10' do not lie together")
    ranking = Ranking(stored, labels(*ragged(0)["id"].unique()))
    refused(lambda: overlap.aligned(ranking, ranking), "a.parquet: among examples 0 to 3", "do not lie together")


def test_examples_in_another_order_are_refused(tmp_path):
    whole = ragged(0)
    label = labels(*whole["id"].unique())
    one, other = (Ranking(on_disk(whole, tmp_path / name), of) for name, of in (("a", label), ("b", label[::-1])))
    refused(lambda: overlap.aligned(one, other), "b-0.parquet", "in another order")
    fewer = Ranking(on_disk(whole[whole["id"] != "test-10"], tmp_path / "c"), label)
    refused(lambda: overlap.aligned(fewer, fewer), "c-0.parquet", "holds 10 of 11 examples")


def test_places_that_have_no_number_are_refused():
    rows = table({"x": [1, 2]}).assign(position=[0, -1])
    ranking = Ranking(rows, labels("x"))
    refused(lambda: overlap.aligned(ranking, ranking), "positions from 0")


def test_rows_in_any_order_of_a_table_that_is_held():
    rows = random_table(20, 12, seed=0)
    mixed = [rows.sample(frac=1, random_state=at) for at in (1, 2)]
    label = labels(*rows["id"].unique())
    ordered, found = (decompose.parts(*(Ranking(of, label) for of in pair)) for pair in ([rows, rows], mixed))
    for expected, of in zip(ordered, found, strict=True):
        same(of, expected)
