"""Examples of the Hub, read from a mirror made on the spot: the same `load_dataset` calls, nothing from the network."""

import functools

import datasets
import pandas as pd
import pytest
from refusals import one_line

from trusteq.errors import DataError, ExperimentError
from trusteq.examples.load import load_examples, sample
from trusteq.registry import Task

SPLIT = {"train": "train", "dev": "validation", "test": "test"}
PAIRS = pd.DataFrame(
    {
        "first": [f"text {row // 2}" for row in range(100)],  # every first text occurs twice, next to each other
        "second": [f"other {row}" for row in range(100)],
        "gold": [row % 3 for row in range(100)],
        "unused": 0.5,
    }
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep what `datasets` caches out of the user's home, and out of the next test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv("TRUSTEQ_HUB", raising=False)


@pytest.fixture
def mirror(tmp_path):
    """Write a data set, split -> table or bytes, into the mirror, laid out as on the Hub; return the mirror."""

    def mirror(tables, *, name="owner/pairs", config="plain"):
        folder = tmp_path / "hub" / "datasets" / name
        (folder / config).mkdir(parents=True)
        entry = f"configs:\n- config_name: {config}\n  data_files:\n"
        for split, table in tables.items():
            file = folder / config / f"{split}-00000-of-00001.parquet"
            file.write_bytes(table if isinstance(table, bytes) else table.to_parquet(index=False))
            entry += f"  - split: {split}\n    path: {config}/{file.name}\n"
        (folder / "README.md").write_text(f"---\n{entry}---\n", encoding="utf-8")
        return tmp_path / "hub"

    return mirror


def task(*splits, columns=None, config="plain", train=("owner/pairs",)):
    """Return a task of three labels; its splits are those named."""
    sources = {
        split: [
            {"dataset": name, "config": config, "split": SPLIT[split]}
            for name in (train if split == "train" else ["owner/pairs"])
        ]
        for split in ("train", *splits, "test")
    }
    columns = columns or {"text_a": "first", "text_b": "second", "label": "gold"}
    return Task(name="made-up", title="Made up", labels=("a", "b", "c"), columns=columns, splits=sources)


refused = functools.partial(one_line, DataError)


def test_columns_are_renamed_and_ids_count_rows(mirror):
    found = load_examples(task(), "test", hub=mirror({"test": PAIRS[:3]}))
    expected = pd.DataFrame(
        {
            "id": ["test-0", "test-1", "test-2"],
            "text_a": ["text 0", "text 0", "text 1"],
            "text_b": ["other 0", "other 1", "other 2"],
            "label": [0, 1, 2],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found["label"].dtype == int
    assert found.attrs["unlabelled"] == 0


def test_the_mirror_may_be_named_by_the_environment(mirror, monkeypatch):
    monkeypatch.setenv("TRUSTEQ_HUB", str(mirror({"test": PAIRS})))
    assert len(load_examples(task(), "test")) == 100


def test_an_explicit_mirror_wins_over_the_environment(mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("TRUSTEQ_HUB", str(tmp_path / "nowhere"))
    assert len(load_examples(task(), "test", hub=mirror({"test": PAIRS}))) == 100


def test_single_texts_have_no_second_text(mirror):
    single = task(columns={"text_a": "first", "label": "gold"})
    found = load_examples(single, "test", hub=mirror({"test": PAIRS[:2]}))
    assert found["text_b"].isna().all()
    assert list(found) == ["id", "text_a", "text_b", "label"]


def test_rows_without_a_gold_label_are_skipped_and_counted_and_keep_their_number(mirror):
    table = PAIRS[:4].assign(gold=[2, -1, 0, -1])
    found = load_examples(task(), "test", hub=mirror({"test": table}))
    assert found["id"].tolist() == ["test-0", "test-2"]
    assert found["label"].tolist() == [2, 0]
    assert found.attrs["unlabelled"] == 2


def test_several_sources_are_one_split(mirror):
    mirror({"train": PAIRS[:30]}, name="owner/more")
    hub = mirror({"train": PAIRS[50:80], "validation": PAIRS, "test": PAIRS})
    found = load_examples(task("dev", train=("owner/pairs", "owner/more")), "train", hub=hub)
    assert found["id"].tolist() == [f"train-{row}" for row in range(60)]
    assert found["text_b"].tolist() == [f"other {row}" for row in (*range(50, 80), *range(30))]


def test_a_dev_split_of_the_source_is_taken_whole(mirror):
    hub = mirror({"train": PAIRS, "validation": PAIRS[:7], "test": PAIRS})
    assert load_examples(task("dev"), "dev", hub=hub)["id"].tolist() == [f"dev-{row}" for row in range(7)]
    assert len(load_examples(task("dev"), "train", hub=hub)) == 100


def test_without_a_dev_split_a_tenth_of_train_is_held_out_by_first_text(mirror):
    hub = mirror({"train": PAIRS, "test": PAIRS})
    dev, train = (load_examples(task(), split, hub=hub) for split in ("dev", "train"))
    assert (len(dev), len(train)) == (10, 90)
    assert not set(dev["text_a"]) & set(train["text_a"])
    assert sorted([*dev["text_b"], *train["text_b"]]) == sorted(PAIRS["second"])  # nothing lost, nothing twice
    for split, held in (("dev", dev), ("train", train)):
        rows = [int(name.removeprefix(f"{split}-")) for name in held["id"]]
        assert rows == sorted(rows)
        assert held["text_b"].tolist() == [f"other {row}" for row in rows]
    assert dev["id"].tolist() != [f"dev-{row}" for row in range(10)]  # drawn, not the first tenth


def test_the_hold_out_does_not_depend_on_seed_or_limit(mirror):
    hub = mirror({"train": PAIRS, "test": PAIRS})
    dev = load_examples(task(), "dev", hub=hub)
    pd.testing.assert_frame_equal(load_examples(task(), "dev", hub=hub, seed=5), dev)
    limited = load_examples(task(), "train", hub=hub, limit=40, seed=5)
    assert not set(limited["text_a"]) & set(dev["text_a"])


def test_the_hold_out_is_never_empty(mirror):
    hub = mirror({"train": PAIRS[:6], "test": PAIRS})  # a tenth of 6 is less than the 2 rows of one first text
    dev, train = (load_examples(task(), split, hub=hub) for split in ("dev", "train"))
    assert (len(dev), len(train)) == (2, 4)


def test_a_limit_draws_a_seeded_sample_in_file_order(mirror):
    hub = mirror({"test": PAIRS})
    rows = {
        seed: [int(name[5:]) for name in load_examples(task(), "test", hub=hub, limit=20, seed=seed)["id"]]
        for seed in (0, 1)
    }
    for drawn in rows.values():
        assert len(drawn) == 20
        assert drawn == sorted(set(drawn))
        assert drawn != list(range(20))
    assert rows[0] != rows[1]
    again = load_examples(task(), "test", hub=hub, limit=20)
    assert [int(name[5:]) for name in again["id"]] == rows[0]
    assert again.index.tolist() == list(range(20))


@pytest.mark.parametrize("limit", [None, 100, 101])
def test_a_limit_that_is_not_smaller_keeps_all(mirror, limit):
    assert len(load_examples(task(), "test", hub=mirror({"test": PAIRS}), limit=limit)) == 100


def test_a_sample_keeps_the_attributes_and_its_source():
    examples = PAIRS.copy()
    examples.attrs["unlabelled"] = 4
    assert sample(examples, 10).attrs == {"unlabelled": 4}
    assert len(examples) == 100


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit):
    refused(lambda: sample(PAIRS, limit), f"limit={limit}")


def test_unknown_names_are_refused_with_the_nearest(mirror):
    refused(lambda: load_examples("snli", "tset"), "snli: no split 'tset'", "did you mean 'test'?")
    with pytest.raises(ExperimentError, match="did you mean 'snli'"):
        load_examples("snlli", "test")


def test_a_split_that_the_data_set_lacks(mirror):
    hub = mirror({"test": PAIRS})
    refused(lambda: load_examples(task(), "train", hub=hub), "owner/pairs, plain, split train", hub, "'test'")


def test_a_config_that_the_data_set_lacks(mirror):
    hub = mirror({"test": PAIRS})
    refused(lambda: load_examples(task(config="plian"), "test", hub=hub), hub, "'plian' not found", "'plain'")


def test_a_missing_column(mirror):
    hub = mirror({"test": PAIRS.rename(columns={"second": "secnd"})})
    refused(lambda: load_examples(task(), "test", hub=hub), "no column 'second'", "did you mean 'secnd'?")


@pytest.mark.parametrize(
    ("labels", "row"),
    [([0, 3, 1], 1), ([0, 1, -2], 2), ([0.0, 0.5, 1.0], 1), ([0, None, 1], 1), (["a", "b", "c"], 0)],
)
def test_a_label_that_is_no_index(mirror, labels, row):
    hub = mirror({"test": PAIRS[:3].assign(gold=labels)})
    refused(lambda: load_examples(task(), "test", hub=hub), "owner/pairs", f"row {row}: label", "['a', 'b', 'c']")


@pytest.mark.parametrize("content", [PAIRS[:0], b"PAR1 and no more"], ids=["no rows", "not parquet"])
def test_a_file_that_cannot_be_read(mirror, content):
    refused(lambda: load_examples(task(), "test", hub=mirror({"test": content})), "owner/pairs, plain, split test")


@pytest.mark.parametrize("column", ["first", "second"])
def test_a_missing_text(mirror, column):
    hub = mirror({"test": PAIRS[:3].assign(**{column: ["x", None, "y"]})})
    refused(lambda: load_examples(task(), "test", hub=hub), "owner/pairs", f"row 1: no text in column {column!r}")


def test_a_mirror_that_is_not_there(tmp_path):
    refused(lambda: load_examples(task(), "test", hub=tmp_path / "nowhere"), tmp_path / "nowhere", "no such folder")


def test_a_data_set_folder_without_data(tmp_path):
    folder = tmp_path / "hub" / "datasets" / "owner" / "pairs"
    folder.mkdir(parents=True)
    refused(lambda: load_examples(task(), "test", hub=tmp_path / "hub"), "owner/pairs", folder)
