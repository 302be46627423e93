"""Examples of the Hub, of files and of generators in one table: id, text_a, text_b, label."""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq.errors import DataError, nearest
from trusteq.registry import Source, Task, load_task

SPLITS = ("train", "dev", "test")
DEV_SHARE = 0.1


def load_examples(
    task: str | Task, split: str, *, hub: str | Path | None = None, limit: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return the examples of one split of a task.

    Columns: id (str, unique, "<split>-<row>"), text_a, text_b (None for single texts), label (index into the task's
    labels); generated tasks add clean_label, evidence and shortcut. `.attrs["unlabelled"]` counts the rows skipped
    for want of a gold label. A split may be read from the Hub, from files, or from both; ids of files give way to ours.

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
        from trusteq.examples.synthetic import generate

        return generate(task.generated, split)
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
    texts = np.random.default_rng(0).permutation(train["text_a"].unique())
    sizes = train["text_a"].value_counts()[texts].cumsum()
    chosen = set(sizes.index[sizes <= max(DEV_SHARE * len(train), sizes.iloc[0])])
    is_dev = train["text_a"].isin(chosen)
    dev, kept = train[is_dev].reset_index(drop=True), train[~is_dev].reset_index(drop=True)
    dev["id"] = dev["id"].str.replace("train-", "dev-", regex=False)
    return dev, kept


def read_source(source: Source, task: Task, *, hub: str | Path | None) -> pd.DataFrame:
    """Return text_a, text_b and label (-1: no gold label) of one split of one data set.

    hub: a mirror whose folder `datasets/<hub id>` is read if it is there; otherwise the Hub is asked.
    Raises DataError: no such split or column, a Hub that cannot be reached.
    """
    table = _load(source, hub)
    columns = task.columns
    for column in columns.values():
        if column not in table.column_names:
            raise DataError(f"{_name(source)}: no column {column!r}; {nearest(column, table.column_names)}")
    frame = table.select_columns(list(columns.values())).to_pandas()
    frame = frame.rename(columns={column: name for name, column in columns.items()})
    if "text_b" not in frame:
        frame["text_b"] = None
    _check(frame, source, task)
    return frame[["text_a", "text_b", "label"]].astype({"label": int})


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
    if frame.empty:
        raise DataError(f"{_name(source)}: no rows")
    missing = frame["label"].isna() | ~frame["label"].isin(range(-1, len(task.labels)))
    if missing.any():
        row = missing.idxmax()
        raise DataError(
            f"{_name(source)}: row {row}: label {frame['label'][row]} is not an index into {list(task.labels)}"
        )
    for name in task.columns.keys() - {"label"}:
        if frame[name].isna().any():
            row = frame[name].isna().idxmax()
            raise DataError(f"{_name(source)}: row {row}: no text in column {task.columns[name]!r}")


def _name(source: Source) -> str:
    return ", ".join(filter(None, (source.dataset, source.config, f"split {source.split}")))
