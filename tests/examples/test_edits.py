"""Words that people changed, read from a mirror of a few made-up pairs; nothing from the network."""

import datasets
import pandas as pd
import pytest
from refusals import one_line

from trusteq.errors import DataError
from trusteq.examples.load import DATASET, changed_words, load_edits

# (premise, hypothesis, label); the first is spaced as SNLI is, the last is in no other data set.
ORIGINALS = [
    ("A man sleeps, outside.", "He didn't rest", 2),
    ("Two dogs run.", "Animals run.", 0),
    ("A cat.", "No pet", 2),
    ("Nobody else has this", "at all", 1),
]
SNLI = [
    ("Other text", "here", 1),
    ("Two dogs run .", "Animals run .", 0),
    ("A cat .", "No pet", -1),
    ("A man sleeps , outside .", "He didn't rest", 2),
]
PREMISES = ["A man runs, outside.", "a man sleeps.", "Two cats run.", "Two small dogs run.", "B", "C", "D", "E"]
HYPOTHESES = ["He did rest", "HE didn't rest", "Animals run fast.", "Animals rest now.", "B", "C", "D", "E"]


def rows(pairs):
    return pd.DataFrame(pairs, columns=["premise", "hypothesis", "label"])


def revised(*, premises=PREMISES, hypotheses=HYPOTHESES):
    """The two tables of revisions: one text of each original changed, in two ways."""
    twice = [pair for pair in ORIGINALS for _ in range(2)]
    return {
        "revised_premise": rows([(text, pair[1], 0) for text, pair in zip(premises, twice, strict=False)]),
        "revised_hypothesis": rows([(pair[0], text, 0) for text, pair in zip(hypotheses, twice, strict=False)]),
    }


def write(folder, configs, split):
    """Write a data set, config -> table, laid out as on the Hub."""
    entry = "configs:\n"
    for config, table in configs.items():
        file = folder / config / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True)
        table.to_parquet(file, index=False)
        entry += f"- config_name: {config}\n  data_files:\n  - split: {split}\n    path: {config}/{file.name}\n"
    (folder / "README.md").write_text(f"---\n{entry}---\n", encoding="utf-8")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.delenv("TRUSTEQ_HUB", raising=False)

    def mirror(split="test", **changes):
        home = tmp_path / "hub" / "datasets"
        write(home / "stanfordnlp/snli", {"plain_text": rows(SNLI)}, split)
        write(home / DATASET, {"original": rows(ORIGINALS)} | revised(**changes), split)
        return tmp_path / "hub"

    return mirror


@pytest.mark.parametrize(
    ("original", "revision", "expected"),
    [
        ("A man sleeps.", "a man, sleeps", []),
        ("A man sleeps", "A man runs", [2]),
        ("A man sleeps", "A tall man sleeps", []),
        ("A man sleeps outside", "A man", [2, 3]),
        ("A man sleeps", "The small dog ran away", [0, 1, 2]),
        ("on and on", "on", [1, 2]),
        ("", "A man", []),
        ("A man", "", [0, 1]),
    ],
)
def test_replaced_and_deleted_words_are_marked(original, revision, expected):
    assert changed_words(original, revision) == expected


def test_edited_words_of_both_texts_by_the_id_of_snli(mirror):
    found = load_edits(hub=mirror())
    expected = pd.DataFrame(
        {
            "id": ["test-3", "test-1"],
            "text_a": ["A man sleeps , outside .", "Two dogs run ."],
            "text_b": ["He didn't rest", "Animals run ."],
            "label": [2, 0],
            # sleeps, outside; didn't as didn and t. Then dogs; run.
            "edited": [((0, 2), (0, 3), (1, 1), (1, 2)), ((0, 1), (1, 1))],
        }
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert found["label"].dtype == int
    counts = {"unmatched": 2, "revisions": 8, "unlinked": 0, "insertions_only": 3, "unedited": 0}
    assert found.attrs == counts


def test_the_mirror_may_be_named_by_the_environment(mirror, monkeypatch):
    monkeypatch.setenv("TRUSTEQ_HUB", str(mirror("validation")))
    assert load_edits(split="dev")["id"].tolist() == ["dev-3", "dev-1"]


def test_a_revision_that_changed_the_other_text_is_not_used(mirror):
    hub = mirror()
    file = hub / "datasets" / DATASET / "revised_premise" / "test-00000-of-00001.parquet"
    changed = pd.read_parquet(file)
    changed.loc[0, "hypothesis"] = "Something else"
    changed.to_parquet(file, index=False)
    found = load_edits(hub=hub)
    assert found["edited"][0] == ((0, 3), (1, 1), (1, 2))
    assert found.attrs["unlinked"] == 1


def test_an_example_nobody_changed_a_word_of(mirror):
    same = [text for pair in ORIGINALS for text in (pair[0], "Now " + pair[0])]
    others = [text for pair in ORIGINALS for text in (pair[1], pair[1] + " today")]
    found = load_edits(hub=mirror(premises=same, hypotheses=others))
    assert found["edited"].tolist() == [(), ()]
    assert (found.attrs["unedited"], found.attrs["insertions_only"]) == (2, 8)


def test_revisions_that_do_not_pair_up_and_the_training_split_are_refused(mirror):
    one_line(DataError, lambda: load_edits(split="train"), "no split 'train'", "known: dev, test")
    hub = mirror(premises=PREMISES[:7])
    one_line(DataError, lambda: load_edits(hub=hub), "revised_premise", "7 revisions of 4 originals")
