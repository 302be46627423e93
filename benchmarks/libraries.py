"""The libraries lime and shap themselves, on the same words and masks as ours: what our methods are held against.

They explain one text at a time and ask about lists of texts, as the paper's authors call them.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from trusteq.attribution.explain import TYPES, example_of
from trusteq.attribution.features import Features
from trusteq.attribution.lime import FEATURES_KEPT, perturbations
from trusteq.errors import ExperimentError, nearest
from trusteq.models.classifier import Classifier
from trusteq.statistics import stream

Predict = Callable[[np.ndarray], np.ndarray]  # masks, (n, features), to probabilities, (n, C)


def explain_with_library(
    classifier: Classifier | Callable, examples: pd.DataFrame, *, method: str, n_samples: int, seed: int
) -> pd.DataFrame:
    """Weigh every word as `explain` does, by the library itself: "lime" or "shap", boundary "safe", words deleted.

    classifier: has `.labels`, and is called with (text_a, text_b) or has `predict_proba`. Under one seed the masks are
    those of `explain`. Examples without words have no rows.

    Returns id, segment, position, word, label, weight, as `explain` does. Raises ExperimentError for another method.
    """
    if method not in LIBRARIES:
        raise ExperimentError(f"unknown method {method!r} of a library; {nearest(method, LIBRARIES)}")
    predict_proba, labels = getattr(classifier, "predict_proba", classifier), classifier.labels
    tables = []
    for row in examples.itertuples():
        known = classifier if isinstance(classifier, Classifier) else None
        example = example_of(row, len(labels), classifier=known)
        if example.n_features:
            predict = _on_masks(predict_proba, example)
            weights = LIBRARIES[method](example, predict, n_samples, stream(seed, method, row.id))
            tables += [
                (row.id, *feature, label, weight)
                for label, column in zip(labels, weights.T, strict=True)
                for feature, weight in zip(example.features, column, strict=True)
            ]
    return pd.DataFrame(tables, columns=list(TYPES)).astype(TYPES)


def _on_masks(predict_proba: Callable, example: Features) -> Predict:
    return lambda masks: np.asarray(predict_proba(*example.texts(masks)), dtype=np.float64)


def _lime(example: Features, predict: Predict, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the weights, (features, classes), of `LimeTextExplainer` on a text of the word numbers "0 1 2 ...".

    Each position is a feature of its own that way; the numbers left in a perturbed text say which words are kept.
    """
    from lime.lime_text import LimeTextExplainer

    def predict_numbers(texts: list[str]) -> np.ndarray:
        masks = np.zeros((len(texts), example.n_features), dtype=bool)
        for mask, text in zip(masks, texts, strict=True):
            mask[[int(number) for number in text.split()]] = True
        return predict(masks)

    replay = _Replay(perturbations(example.n_features, n_samples, rng))
    explanation = LimeTextExplainer(split_expression=r"\s+", random_state=replay).explain_instance(
        " ".join(map(str, range(example.n_features))),
        predict_numbers,
        labels=range(example.n_classes),
        num_features=FEATURES_KEPT,
        num_samples=n_samples,
    )
    weights = np.zeros((example.n_features, example.n_classes))
    for label, features in explanation.as_map().items():
        for feature, weight in features:
            # The library numbers features by first occurrence, which is their order in the text.
            weights[feature, label] = weight
    return weights


class _Replay(np.random.RandomState):
    """Random draws that lead lime to given masks: the sizes of all perturbations, then the words of each removed."""

    def __init__(self, masks: np.ndarray):
        super().__init__(0)
        self._removed = [np.flatnonzero(~mask) for mask in masks[1:]]  # the library keeps the first whole by itself
        self._next = iter(self._removed)

    def randint(self, low, high=None, size=None, dtype=int) -> np.ndarray:
        return np.array([len(removed) for removed in self._removed], dtype=dtype)

    def choice(self, a, size=None, replace=True, p=None) -> np.ndarray:
        return next(self._next)


def _shap(example: Features, predict: Predict, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the Owen values, (features, classes), of `PartitionExplainer` over the example's own tree."""
    if example.n_features == 1:  # no tree, and the library fails
        whole, empty = predict(np.array([[True], [False]]))
        return (whole - empty)[None]
    from shap.explainers import PartitionExplainer

    explainer = PartitionExplainer(predict, _WordMasker(_linkage(example.tree())))
    with _fixed_ties():
        values = explainer(np.ones((1, example.n_features), dtype=bool), max_evals=n_samples, silent=True).values
    return np.asarray(values[0], dtype=np.float64)


class _WordMasker:
    """The library's idea of masking, for a row of truth values: a masked word is false."""

    default_batch_size = 5  # as the library's masker of texts has it; decides which branches are followed

    def __init__(self, clustering: np.ndarray):
        self.clustering = clustering
        self.shape = (1, len(clustering) + 1)

    def __call__(self, mask, row):
        return (np.asarray(mask, dtype=bool)[None, :] & row[None, :],)


def _linkage(tree: np.ndarray) -> np.ndarray:
    """Return a tree, (words - 1, 2), as the library wants it: with heights, in (0, 1], and sizes, (words - 1, 4)."""
    n = len(tree) + 1
    sizes = np.ones(n + len(tree))
    for merge, children in enumerate(tree):
        sizes[n + merge] = sizes[children].sum()
    return np.column_stack([tree, sizes[n:] / n, sizes[n:]])


@contextlib.contextmanager
def _fixed_ties() -> Iterator[None]:
    """Have the library break ties the same way for every example.

    Which of two equally promising branches it follows until the budget is spent it draws from numpy's global stream.
    """
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


LIBRARIES = {"lime": _lime, "shap": _shap}
