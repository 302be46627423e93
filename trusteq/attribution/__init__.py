"""Attribution: how much each word of an example weighs in a classifier's probability of each class."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from trusteq import words
from trusteq.attribution.lime import lime
from trusteq.attribution.perturb import Perturbed
from trusteq.attribution.shap import shap
from trusteq.errors import DataError, ExperimentError, nearest
from trusteq.statistics import stream_seed

# A method takes (perturbed example, n_samples, seed) and returns weights of shape (words, classes).
METHODS: dict[str, Callable[..., np.ndarray]] = {"lime": lime, "shap": shap}

TYPES = {"id": "str", "segment": "int64", "position": "int64", "word": "str", "label": "str", "weight": "float64"}
COLUMNS = tuple(TYPES)


def explain(
    classifier, examples: pd.DataFrame, *, method: str = "lime", n_samples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Weigh every word of every example for every class of the classifier.

    Words are features by (segment, position); the boundary between the two texts of a pair is never perturbed.
    Each example has its own random stream, from (seed, id), so order and company change nothing.

    classifier: has `labels` and `predict_proba(text_a, text_b) -> (n, C)`.
    examples: columns id, text_a, text_b. n_samples: budget of forward passes for one example (shap: max_evals).

    Returns id, segment (0 or 1), position (from 0, within the segment), word, label (class name), weight (float64);
    `.attrs["skipped"]` maps the id of each example that cannot be explained to the reason.

    Raises ExperimentError for an unknown method or a budget below 2, DataError for repeated ids.
    """
    if method not in METHODS:
        raise ExperimentError(f"unknown method {method!r}; {nearest(method, METHODS)}")
    if n_samples < 2:
        raise ExperimentError(f"n_samples={n_samples}: a method needs at least 2 forward passes")
    if examples["id"].duplicated().any():
        raise DataError(f"id {examples['id'][examples['id'].duplicated()].iloc[0]!r} occurs twice; ids must be unique")
    tables, skipped = [], {}
    for row in examples.itertuples():
        example = Perturbed(classifier, row.text_a, row.text_b)
        if example.n_words == 0:
            skipped[row.id] = "no words"
            continue
        weights = METHODS[method](example, n_samples, stream_seed(seed, method, row.id))
        tables.append(_table(row.id, example, weights, classifier.labels))
    explained = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS)).astype(TYPES)
    explained.attrs["skipped"] = skipped
    return explained


def _table(id: str, example: Perturbed, weights: np.ndarray, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of one example: class by class, in the order of the words. weights: (words, classes)."""
    features = [
        (segment, position, word)
        for segment, text in enumerate((example.text_a, example.text_b))
        for position, word in enumerate(words.words(text))
    ]
    segment, position, word = (list(column) for column in zip(*features, strict=True))
    n = len(labels)
    columns = (id, segment * n, position * n, word * n, np.repeat(labels, len(features)), weights.T.ravel())
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
