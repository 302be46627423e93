"""An example seen as a set of words that can be masked."""

import functools
from dataclasses import dataclass, replace

import numpy as np

from trusteq import words
from trusteq.attribution.partition import joined, partition_tree


@dataclass(frozen=True)
class Example:
    """The words of a text, or of both texts of a pair, numbered in one row; the boundary of a pair is never masked.

    text_b: None for single texts. n_classes: of the classifier. replacement: what stands where a word is masked; ""
    deletes it. classifier: for methods that need more than probabilities; None where there is only a callable.
    """

    id: str
    text_a: str
    text_b: str | None
    n_classes: int
    replacement: str = ""
    classifier: object = None

    @functools.cached_property
    def features(self) -> tuple[tuple[int, int, str], ...]:
        """(segment, position, word) of each feature, first text first."""
        segments = enumerate((self.text_a, self.text_b))
        return tuple((segment, *place) for segment, text in segments for place in enumerate(words.words(text)))

    @property
    def n_features(self) -> int:
        """The number of words of both texts."""
        return len(self.features)

    def texts(self, masks: np.ndarray) -> tuple[list[str], list[str] | None]:
        """Return the first and the second texts under `masks`, (n, features): truth says that the word is kept."""
        split = len(words.words(self.text_a))
        firsts = [words.mask(self.text_a, keep, self.replacement) for keep in masks[:, :split]]
        if self.text_b is None:
            return firsts, None
        return firsts, [words.mask(self.text_b, keep, self.replacement) for keep in masks[:, split:]]

    def tree(self) -> np.ndarray:
        """Return the tree over the words, (features - 1, 2): each text by itself, joined at the root."""
        return joined([partition_tree(segment) for segment in map(words.words, (self.text_a, self.text_b)) if segment])


def fitted(example: Example) -> tuple[Example, int]:
    """Return the example without the words that its classifier does not see, and how many those are.

    A model takes so many tokens; its tokenizer cuts the rest, the longer text first. A word that is cut in part is
    left out whole, so that no mask brings back what the model has not seen in the unmasked example.
    """
    classifier = example.classifier
    # In lists: the tokenizer drops an empty second text that is given by itself.
    texts = [[text] for text in (example.text_a, example.text_b) if text is not None]
    # A token has at least one character; the special tokens are three at most.
    if classifier is None or sum(len(text) for (text,) in texts) + 3 <= classifier.max_length:
        return example, 0
    if len(classifier.tokenizer(*texts, verbose=False)["input_ids"][0]) <= classifier.max_length:
        return example, 0
    options = {"truncation": True, "max_length": classifier.max_length, "return_offsets_mapping": True}
    kept = classifier.tokenizer(*texts, **options)
    ends = [0, 0]
    for segment, (_, end) in zip(kept.sequence_ids(), kept["offset_mapping"][0], strict=True):
        if segment is not None:
            ends[segment] = max(ends[segment], end)
    shorter = [_up_to_a_word(text, end) for (text,), end in zip(texts, ends, strict=False)]
    fitting = replace(example, text_a=shorter[0], text_b=shorter[1] if len(shorter) == 2 else None)
    return fitting, example.n_features - fitting.n_features


def _up_to_a_word(text: str, end: int) -> str:
    """Return the first `end` characters of a text, or fewer where those would end inside a word."""
    inside = [start for start, stop in words.spans(text) if start < end < stop]
    return text[: inside[0] if inside else end]
