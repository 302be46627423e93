"""An example seen as a function of which of its words are kept."""

from dataclasses import dataclass

import numpy as np

from trusteq import words


@dataclass(frozen=True)
class Perturbed:
    """The classifier's probabilities for one example with some of its words deleted.

    The words of both texts are numbered in one row, first text first; a deleted word is taken out of its own text, so
    the boundary of a pair stays where it is. text_b is None (or missing) for single texts.
    """

    classifier: object
    text_a: str
    text_b: str | None

    def __post_init__(self):
        if not isinstance(self.text_b, str):
            object.__setattr__(self, "text_b", None)

    @property
    def words_by_segment(self) -> tuple[list[str], list[str]]:
        """The words of the first and of the second text."""
        return words.words(self.text_a), words.words(self.text_b)

    @property
    def n_words(self) -> int:
        """The number of words of both texts."""
        return sum(map(len, self.words_by_segment))

    def predict_proba(self, masks: np.ndarray) -> np.ndarray:
        """Return class probabilities, (n, C), under `masks`, (n, words): truth says that the word is kept."""
        split = len(self.words_by_segment[0])
        masks = np.asarray(masks, dtype=bool)
        firsts = [words.delete(self.text_a, keep) for keep in masks[:, :split]]
        if self.text_b is None:
            return self.classifier.predict_proba(firsts, None)
        seconds = [words.delete(self.text_b, keep) for keep in masks[:, split:]]
        return self.classifier.predict_proba(firsts, seconds)
