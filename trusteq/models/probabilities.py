"""What a classifier has to return: one distribution over its classes for each text."""

from collections.abc import Mapping, Sequence

import numpy as np

from trusteq.errors import ModelError

TOLERANCE = 1e-3  # rows of probabilities in half precision sum to 1 within it
WHAT = "the classifier's probabilities"


def checked_labels(labels: Sequence[str], *, where: str) -> tuple[str, ...]:
    """Return class names in index order as text; raise ModelError unless they are two or more, each once."""
    names = () if isinstance(labels, (str, Mapping)) or labels is None else tuple(map(str, labels))
    if len(names) < 2 or len(set(names)) < len(names):
        raise ModelError(f"{where}: labels are {repr(labels)[:60]}; give the class names in index order, each once")
    return names


def check_output(found, n: int, labels: tuple[str, ...]) -> np.ndarray:
    """Return what a classifier gave for `n` texts as float64 (n, C), each row a distribution; else raise ModelError."""
    if hasattr(found, "detach"):  # a tensor: perhaps on a GPU, in bfloat16 or with a gradient, which numpy has not
        found = found.detach().cpu().double()
    if hasattr(found, "columns") and hasattr(found, "loc"):
        found = _in_order(found, labels)
    try:
        values = np.asarray(found, dtype=np.float64).copy()  # the classifier may fill the same array each time
    except (TypeError, ValueError, RuntimeError):  # torch's for a list of tensors with gradients
        raise ModelError(
            f"{WHAT} are not numbers in rows of equal length; return an array of shape ({n}, {len(labels)})"
        ) from None
    if values.shape != (n, len(labels)):
        raise ModelError(
            f"{WHAT} for {n} texts and the classes {', '.join(labels)} have shape {values.shape}; "
            f"return one row a text and one column a class, ({n}, {len(labels)})"
        )
    check_finite(values)
    wrong = np.abs(values.sum(axis=1) - 1).max(initial=0)
    if wrong > TOLERANCE or values.min(initial=0) < -TOLERANCE:
        how = "return a softmax of the logits, in single precision"
        raise ModelError(f"{WHAT} do not sum to 1 (off by {wrong:.3g}) or are negative; {how}")
    return values


def output_notes(values: np.ndarray, moved: float = 0.0) -> list[str]:
    """Return what is to be said of a model's probabilities, (n, C), each a distribution.

    moved: by how much those of the same texts moved when they were asked for twice.
    """
    off, notes = float(np.abs(values.sum(axis=1) - 1).max(initial=0)), []
    if len(values) and (values.max(axis=1) > 1 - 1e-9).all():
        notes.append("answers with 0 and 1 alone: a word weighs only where leaving it out turns the answer.")
    if off > 1e-5:
        notes.append(f"probabilities sum to 1 only within {off:.1g}, as in half precision, and are taken as they are.")
    if moved > 1e-5:
        notes.append(f"asked twice for the same texts, its answers differ by up to {moved:.1g}: they vary.")
    return notes


def _in_order(table, labels: tuple[str, ...]):
    """Return a DataFrame's columns in the order of the classes; one whose columns have no names as it is."""
    names = list(map(str, table.columns))
    if names == list(map(str, range(len(names)))):
        return table
    if sorted(names) != sorted(labels):
        raise ModelError(f"{WHAT} have the columns {', '.join(names[:12])}; call them {', '.join(labels)}")
    return table.iloc[:, [names.index(label) for label in labels]]


def check_finite(values: np.ndarray) -> np.ndarray:
    """Return the values; raise ModelError if one is nan or infinity."""
    if not np.isfinite(values).all():
        raise ModelError(f"{WHAT} hold nan or infinity; return finite numbers")
    return values
