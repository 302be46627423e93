"""Examples from the Hugging Face Hub, or from a plain mirror of it, through `datasets`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from trusteq.errors import DataError, nearest
from trusteq.registry import Source, Task


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
