"""Attributions made by hand, and at random."""

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import Ranking

COLUMNS = ["id", "segment", "position", "word", "label", "weight"]


def table(weights_by_id, *, label="yes", segment=0):
    """Attributions for one class: id -> weights of the words of one segment, in order."""
    rows = [
        (name, segment, position, f"w{position}", label, float(weight))
        for name, weights in weights_by_id.items()
        for position, weight in enumerate(weights)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def labels(*ids, label="yes"):
    """One class for all the ids."""
    return pd.Series(label, index=list(ids))


def random_table(n, n_words, *, seed, classes=("no", "yes")):
    """Standard normal weights for n pairs, half of the words in each text."""
    rng = np.random.default_rng(seed)
    ids = np.repeat([f"test-{i}" for i in range(n)], n_words * len(classes))
    position = np.tile(np.repeat(np.arange(n_words), len(classes)), n)
    return pd.DataFrame(
        {
            "id": ids,
            "segment": (position >= n_words // 2).astype(int),
            "position": position % (n_words // 2),
            "word": "w",
            "label": np.tile(classes, n * n_words),
            "weight": rng.normal(size=len(ids)),
        }
    )


def of_tables(measure):
    """Return a measure of two rankings as one of two tables, which are ranked for `label`."""
    return lambda a, b, *, label, **options: measure(Ranking(a, label), Ranking(b, label), **options)
