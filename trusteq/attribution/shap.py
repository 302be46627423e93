"""SHAP's partition explainer through its own library, on word positions (Lundberg and Lee, 2017)."""

import contextlib
from collections.abc import Iterator

import numpy as np

from trusteq.attribution.perturb import Perturbed


def shap(example: Perturbed, n_samples: int, seed: int) -> np.ndarray:
    """Return Owen values, (words, classes), after at most about `n_samples` evaluations; deterministic, `seed` unused.

    The words are clustered as the library clusters a text, each segment by itself; the two segments meet at the root.
    """
    if example.n_words == 1:
        whole = example.predict_proba(np.array([[True], [False]]))
        return whole[:1] - whole[1:]
    from shap.explainers import PartitionExplainer

    masker = _WordMasker(_clustering(example.words_by_segment))
    explainer = PartitionExplainer(example.predict_proba, masker)
    with _fixed_ties():
        values = explainer(np.ones((1, example.n_words), dtype=bool), max_evals=n_samples, silent=True).values
    return np.asarray(values[0], dtype=float)


@contextlib.contextmanager
def _fixed_ties() -> Iterator[None]:
    """Have the explainer break ties the same way for every example.

    Which of two equally promising branches it follows until the budget is spent it draws from numpy's global stream.
    """
    state = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(state)


class _WordMasker:
    """The library's idea of masking, for a row of truth values: a masked word is false."""

    def __init__(self, clustering: np.ndarray):
        self.clustering = clustering
        self.shape = (1, len(clustering) + 1)

    def __call__(self, mask, row):
        return (np.asarray(mask, dtype=bool)[None, :] & row[None, :],)


def _clustering(segments: tuple[list[str], ...]) -> np.ndarray:
    """Return a linkage, (words - 1, 4): the library's tree over each segment, joined at the root."""
    from shap.maskers._text import partition_tree

    filled = [segment for segment in segments if segment]
    n_words = sum(map(len, filled))
    rows, roots, first = [], [], 0
    for segment in filled:
        # The library counts a segment's words from 0, its clusters from len(segment): move both to the whole's.
        tree = partition_tree(segment, []) if len(segment) > 1 else np.empty((0, 4))
        children = tree[:, :2]
        tree[:, :2] = np.where(children < len(segment), children + first, children - len(segment) + n_words + len(rows))
        rows.extend(tree)
        roots.append((n_words + len(rows) - 1, len(segment)) if len(segment) > 1 else (first, 1))
        first += len(segment)
    if len(roots) == 2:
        rows.append(np.array([roots[0][0], roots[1][0], 0, n_words]))
    linkage = np.array(rows, dtype=float)
    linkage[:, 2] = linkage[:, 3] / n_words
    return linkage
