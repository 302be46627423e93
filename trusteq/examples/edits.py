"""Words that people changed: pairs of SNLI that were edited until their label flipped."""

import difflib
import os
from pathlib import Path

import pandas as pd

from trusteq.errors import DataError, nearest
from trusteq.examples.load import load_examples, read_source
from trusteq.registry import Source, load_task
from trusteq.words import words

DATASET = "acmi-lab/counterfactual-snli"
SPLITS = {"dev": "validation", "test": "test"}  # not train: our models see it
# Which text a revision leaves as it is, and which segment it edits.
_REVISIONS = {"revised_premise": ("text_b", 0), "revised_hypothesis": ("text_a", 1)}


def load_edits(*, hub: str | Path | None = None, split: str = "test") -> pd.DataFrame:
    """Return the pairs of SNLI that people edited, with the words that they changed.

    Columns: id, text_a, text_b, label as `load_examples("snli", split)` has them, and edited: a sorted tuple of
    (segment, position) of the words that at least one revision replaced or deleted. Words are compared in lower case.
    A revision that only inserts words marks none. In the order of the originals.
    hub: a mirror read before the Hub; default: the environment's TRUSTEQ_HUB. split: "test" or "dev".

    `.attrs` counts: "unmatched", originals left out, since no labelled row of SNLI has the same words (punctuation and
    spaces differ); and of the rest "revisions"; "unlinked", revisions not used, since they changed the text they were
    to keep; "insertions_only", revisions that mark nothing; "unedited", examples without a marked word.
    Raises DataError for another split, data that cannot be read, or revisions that do not fit the originals.
    Source: Kaushik, Hovy and Lipton (2020), Learning the Difference that Makes a Difference with
    Counterfactually-Augmented Data: two revisions of each text of a pair, one for each other label.
    """
    if split not in SPLITS:
        raise DataError(f"edits: no split {split!r}; {nearest(split, SPLITS)}")
    hub = hub or os.environ.get("TRUSTEQ_HUB")
    originals = _read("original", split, hub)
    found = _matched(originals, load_examples("snli", split, hub=hub))
    revisions = pd.concat([_revisions(originals, config, split, hub) for config in _REVISIONS])
    revisions = revisions[revisions["original"].isin(found["original"])]
    marks = revisions.groupby("original")["marks"].agg(lambda of_one: tuple(sorted(frozenset().union(*of_one))))
    found["edited"] = found["original"].map(marks)
    found.attrs = {
        "unmatched": len(originals) - len(found),
        "revisions": len(revisions),
        "unlinked": int((~revisions["linked"]).sum()),
        "insertions_only": int((revisions["linked"] & (revisions["marks"].map(len) == 0)).sum()),
        "unedited": int((found["edited"].map(len) == 0).sum()),
    }
    return found.drop(columns="original")


def changed_words(original: str, revised: str) -> list[int]:
    """Return the positions of the original's words that a revision replaced or deleted, case aside."""
    before, after = _lower(original), _lower(revised)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    changes = (code for code in matcher.get_opcodes() if code[0] in ("replace", "delete"))
    return [position for _, start, stop, _, _ in changes for position in range(start, stop)]


def _read(config: str, split: str, hub: str | Path | None) -> pd.DataFrame:
    source = Source(dataset=DATASET, config=config, split=SPLITS[split])
    return read_source(source, load_task("snli"), hub=hub)


def _matched(originals: pd.DataFrame, snli: pd.DataFrame) -> pd.DataFrame:
    """Return SNLI's rows of the originals that it has, in their order, with `original`, the number of each."""
    keys = snli.assign(key=_key(snli)).drop_duplicates("key")
    numbered = pd.DataFrame({"key": _key(originals), "original": range(len(originals))})
    return numbered.merge(keys, on="key", how="inner", sort=False)[[*snli, "original"]]


def _revisions(originals: pd.DataFrame, config: str, split: str, hub: str | Path | None) -> pd.DataFrame:
    """Return the revisions of one text of the pairs: original (its number), linked, marks."""
    kept, segment = _REVISIONS[config]
    revised = _read(config, split, hub)
    n_each, rest = divmod(len(revised), len(originals))
    if rest:
        raise DataError(f"{DATASET}, {config}: {len(revised)} revisions of {len(originals)} originals do not pair up")
    edited = ("text_a", "text_b")[segment]
    rows = []
    for row, revision in enumerate(revised.to_dict("records")):  # the revisions of an original follow each other
        original = originals.iloc[row // n_each]
        linked = _lower(original[kept]) == _lower(revision[kept])
        positions = changed_words(original[edited], revision[edited]) if linked else ()
        rows.append((row // n_each, linked, frozenset((segment, position) for position in positions)))
    return pd.DataFrame(rows, columns=["original", "linked", "marks"])


def _lower(text: str) -> list[str]:
    return [word.lower() for word in words(text)]


def _key(examples: pd.DataFrame) -> list[tuple[str, ...]]:
    return [(*_lower(a), "", *_lower(b)) for a, b in zip(examples["text_a"], examples["text_b"], strict=True)]
