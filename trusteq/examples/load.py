"""Examples of the Hub, of files and of generators in one table, and the words that people changed in some."""

import contextlib
import difflib
import importlib
import io
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import modality
from trusteq.errors import DataError, nearest
from trusteq.registry import GENERATORS, Source, Task, load_task
from trusteq.words import words

SPLITS = ("train", "dev", "test")
DEV_SHARE = 0.1


def load_examples(
    task: str | Task, split: str, *, hub: str | Path | None = None, limit: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return the examples of one split of a task.

    Columns: id (str, unique, "<split>-<row>"), text_a, text_b (None for single texts), label (index into the task's
    labels); generated tasks have what their generator says besides (evidence, shortcut), and image, or sound and rate,
    in place of texts. `.attrs["unlabelled"]` counts the rows skipped for want of a gold label. A split may be read
    from the Hub, from files, or from both; ids of files give way to ours.

    hub: a mirror (`DIR/datasets/<hub id>/`) read before the Hub; default: the environment's TRUSTEQ_HUB.
    limit: draw a sample of so many examples with `seed`, kept in file order.

    Raises ExperimentError for an unknown task, DataError for an unknown split or a data set that cannot be read.
    """
    task = task if isinstance(task, Task) else load_task(task)
    if split not in SPLITS:
        raise DataError(f"{task.name}: no split {split!r}; {nearest(split, SPLITS)}")
    return sample(_whole(task, split, hub), limit, seed=seed)


def sample(examples: pd.DataFrame, limit: int | None, *, seed: int = 0) -> pd.DataFrame:
    """Return `limit` examples drawn with `seed`, in file order; all of them when `limit` is None or not smaller."""
    if limit is None or limit >= len(examples):
        return examples
    if limit < 1:
        raise DataError(f"limit={limit}: at least 1 example is needed")
    rows = np.sort(np.random.default_rng(seed).choice(len(examples), limit, replace=False))
    drawn = examples.iloc[rows].reset_index(drop=True)
    drawn.attrs = dict(examples.attrs)
    return drawn


def _whole(task: Task, split: str, hub: str | Path | None) -> pd.DataFrame:
    if task.generated:
        return importlib.import_module(GENERATORS[task.generated]).generate(task.generated, split)
    if split == "test" or task.splits.dev:
        return _read(task, split, getattr(task.splits, split), hub)
    held_out, kept = _hold_out(_read(task, "train", task.splits.train, hub))
    return held_out if split == "dev" else kept


def _read(task: Task, split: str, sources: Collection[Source], hub: str | Path | None) -> pd.DataFrame:
    raw = pd.concat([_rows(source, task, hub or os.environ.get("TRUSTEQ_HUB")) for source in sources])
    raw.insert(0, "id", [f"{split}-{row}" for row in range(len(raw))])
    labelled = raw[raw["label"] >= 0].reset_index(drop=True)
    labelled.attrs["unlabelled"] = len(raw) - len(labelled)
    return labelled


def _rows(source: Source, task: Task, hub: str | Path | None) -> pd.DataFrame:
    """Return text_a, text_b and label (-1: no gold label) of all rows of a source."""
    if source.file is not None:
        from trusteq.examples.files import read_rows

        return read_rows(source.file, task=task).drop(columns="id")
    return read_source(source, task, hub=hub)


def _hold_out(train: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split off a fixed tenth of the training examples so that no first text is on both sides."""
    known = pd.Series(modality.known_by(train), index=train.index)
    texts = np.random.default_rng(0).permutation(known.unique())
    sizes = known.value_counts()[texts].cumsum()
    chosen = set(sizes.index[sizes <= max(DEV_SHARE * len(train), sizes.iloc[0])])
    is_dev = known.isin(chosen)
    dev, kept = train[is_dev].reset_index(drop=True), train[~is_dev].reset_index(drop=True)
    dev["id"] = dev["id"].str.replace("train-", "dev-", regex=False)
    return dev, kept


def read_source(source: Source, task: Task, *, hub: str | Path | None) -> pd.DataFrame:
    """Return text_a, text_b and label (-1: no gold label) of one split of one data set.

    hub: a mirror whose folder `datasets/<hub id>` is read if it is there; otherwise the Hub is asked.
    Raises DataError: no such split or column, a Hub that cannot be reached.
    """
    table, kind = _load(source, hub), modality.of(task.columns)
    columns = task.columns
    for column in columns.values():
        if column not in table.column_names:
            raise DataError(f"{_name(source)}: no column {column!r}; {nearest(column, table.column_names)}")
    if kind is not None:
        column = columns[kind.name]  # its files as they are, which are read as any others
        table = table.cast_column(column, type(table.features[column])(decode=False))
    frame = table.select_columns(list(columns.values())).to_pandas()
    frame = frame.rename(columns={column: name for name, column in columns.items()})
    if kind is None and "text_b" not in frame:
        frame["text_b"] = None
    _check(frame, source, task)
    if kind is None:
        return frame[["text_a", "text_b", "label"]].astype({"label": int})
    where = (f"{_name(source)}: row {row}" for row in range(len(frame)))
    read = [kind.read(*file) for file in zip(map(_file, frame[kind.name]), where, strict=True)]
    return modality.with_facts(frame.assign(**{kind.name: read}), kind).astype({"label": int})


def _file(stored: dict) -> Path | io.BytesIO:
    """Return a file as a data set of the Hub holds it: its bytes, or where it is."""
    return Path(stored["path"]) if stored["bytes"] is None else io.BytesIO(stored["bytes"])


def _load(source: Source, hub: str | Path | None):
    import datasets

    if hub is not None and not Path(hub).is_dir():
        raise DataError(f"mirror {hub}: no such folder; a mirror holds datasets/<hub id> and models/<hub id>")
    folder = Path(hub or ".", "datasets", source.dataset)
    is_local = hub is not None and folder.is_dir()
    try:
        with quiet_hub():
            return datasets.load_dataset(str(folder) if is_local else source.dataset, source.config, split=source.split)
    except (ValueError, datasets.exceptions.DatasetsError, datasets.data_files.EmptyDatasetError) as error:
        # A file that cannot be read, or holds no rows, ends as DatasetGenerationError, which says less than its cause.
        told = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else error
        message = str(told).strip().split("\n")[0]
        raise DataError(f"{_name(source)} in {folder if is_local else 'the Hub'}: {message}") from None
    except OSError as error:
        # A Hub that answers with an error page ends as FileNotFoundError, one that is not there as ConnectionError.
        mirror = f"; the mirror {hub} does not hold it either" if hub else ""
        raise DataError(
            f"{_name(source)}: the Hub cannot be reached ({type(error).__name__}){mirror}; "
            f"name a mirror that holds datasets/{source.dataset} with --hub DIR"
        ) from None


@contextlib.contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep the Hub's client from logging every retry, of which our own error tells the outcome."""
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _check(frame: pd.DataFrame, source: Source, task: Task) -> None:
    from trusteq.examples.files import check_signs

    if frame.empty:
        raise DataError(f"{_name(source)}: no rows")
    missing = frame["label"].isna() | ~frame["label"].isin(range(-1, len(task.labels)))
    if missing.any():
        row = missing.idxmax()
        raise DataError(
            f"{_name(source)}: row {row}: label {frame['label'][row]} is not an index into {list(task.labels)}"
        )
    check_signs(frame["label"].astype(int).unique(), len(task.labels), where=_name(source))
    for name in task.columns.keys() - {"label"}:
        if frame[name].isna().any():
            row = frame[name].isna().idxmax()
            raise DataError(f"{_name(source)}: row {row}: no text in column {task.columns[name]!r}")


def _name(source: Source) -> str:
    return ", ".join(filter(None, (source.dataset, source.config, f"split {source.split}")))


DATASET = "acmi-lab/counterfactual-snli"
EDITED_SPLITS = {"dev": "validation", "test": "test"}  # not train: our models see it
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
    if split not in EDITED_SPLITS:
        raise DataError(f"edits: no split {split!r}; {nearest(split, EDITED_SPLITS)}")
    hub = hub or os.environ.get("TRUSTEQ_HUB")
    originals = _read_edits("original", split, hub)
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


def _read_edits(config: str, split: str, hub: str | Path | None) -> pd.DataFrame:
    source = Source(dataset=DATASET, config=config, split=EDITED_SPLITS[split])
    return read_source(source, load_task("snli"), hub=hub)


def _matched(originals: pd.DataFrame, snli: pd.DataFrame) -> pd.DataFrame:
    """Return SNLI's rows of the originals that it has, in their order, with `original`, the number of each."""
    keys = snli.assign(key=_key(snli)).drop_duplicates("key")
    numbered = pd.DataFrame({"key": _key(originals), "original": range(len(originals))})
    return numbered.merge(keys, on="key", how="inner", sort=False)[[*snli, "original"]]


def _revisions(originals: pd.DataFrame, config: str, split: str, hub: str | Path | None) -> pd.DataFrame:
    """Return the revisions of one text of the pairs: original (its number), linked, marks."""
    kept, segment = _REVISIONS[config]
    revised = _read_edits(config, split, hub)
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
