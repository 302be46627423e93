"""What a classifier has to return: one distribution over its classes for each text."""

import numpy as np

from trusteq.errors import ModelError

TOLERANCE = 1e-3  # rows of probabilities in half precision sum to 1 within it
WHAT = "the classifier's probabilities"


def check_output(found, n: int, labels: tuple[str, ...]) -> np.ndarray:
    """Return what a classifier gave for `n` texts as float64 (n, C), each row a distribution; else raise ModelError."""
    if hasattr(found, "detach"):  # a tensor: perhaps on a GPU, in bfloat16 or with a gradient, which numpy has not
        found = found.detach().cpu().double()
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
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
        raise ModelError(f"{WHAT} do not sum to 1 (off by {wrong:.3g}) or are negative; return a softmax of the logits")
    return values


def check_finite(values: np.ndarray) -> np.ndarray:
    """Return the values; raise ModelError if one is nan or infinity."""
    if not np.isfinite(values).all():
        raise ModelError(f"{WHAT} hold nan or infinity; return finite numbers")
    return values
