"""What can be explained: features that can be left out, and what a classifier is given then; the words of texts.

A new kind (lines of a text, an image in patches) is one class that follows `Features`; `explain.example_of` chooses it.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from trusteq import words
from trusteq.errors import ExperimentError

if TYPE_CHECKING:
    import torch

    from trusteq.models.classifier import Classifier
    from trusteq.models.forward import Rows

_CONNECTORS = {"but", "and", "or"}
_ENDS = {".", "?", "!"}
Feature = tuple[int, int, str]  # segment, position, word (or whatever names it)


class Features(Protocol):
    """An example as its features: what a method sees of it are `n_features`, `n_classes` and `tree()`, no more.

    n_classes: of the classifier. n_cut: features left out since the classifier does not see them.
    joint: what joins a pair that is explained as the authors' scripts do it, None for all else.
    """

    id: str
    n_classes: int
    n_cut: int = 0
    joint: str | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        """(segment, position, word) of each feature."""
        ...

    @property
    def n_features(self) -> int:
        """The number of features; an example of none is not explained."""
        return len(self.features)

    def tree(self) -> np.ndarray:
        """Return a tree over the features, (features - 1, 2): see `partition_tree`."""
        ...

    def texts(self, masks: np.ndarray) -> tuple[list | None, ...]:
        """Return what a callable is given for `masks`, (n, features), truth for what is kept: its arguments, n each."""
        ...

    def rows(self, masks: np.ndarray, assembler) -> "Rows | None":
        """Return what a Classifier is given for `masks`; None where only its tokenizer can tell from the texts.

        assembler: the `tokens.TokenPredictor` that asks.
        """
        return assembler.classifier.encode(*self.texts(masks))

    def inputs(self) -> "Inputs":
        """Return what a model reads of the whole example, for methods that follow its gradients."""
        raise ExperimentError(f"{type(self).__name__}: no gradients; nothing tells what a model reads of a feature")


@dataclass(frozen=True)
class Inputs:
    """What a model reads of an example, and which feature each element of that belongs to.

    values: (1, ...), such as token ids, (1, tokens), or pixels, (1, channels, height, width). baseline: the same
    without any feature; None where the model has nothing for that. feature: number of the feature of each element,
    (...); -1 for what belongs to none, as special tokens and punctuation do.
    logits: tensors, (n, ...) -> logits, (n, classes). layer: what `logits` gives the values to first, and whose output
    gradients are taken of: the embeddings of tokens; of numbers, one that leaves them as they are.
    device: of the model. n_tokens: that the model sees at once, or what takes as much memory.
    """

    values: np.ndarray
    baseline: np.ndarray | None
    feature: np.ndarray
    logits: "Callable[[torch.Tensor], torch.Tensor]"
    layer: "torch.nn.Module"
    device: "torch.device"
    n_tokens: int

    @classmethod
    def of_numbers(
        cls, model, values: np.ndarray, baseline: np.ndarray, feature: np.ndarray, *, n_tokens: int
    ) -> "Inputs":
        """Return what a model reads that takes numbers as they are, such as pixels: its first argument."""
        import torch

        layer = torch.nn.Identity()
        return cls(values, baseline, feature, lambda given: model(layer(given)).logits, layer, model.device, n_tokens)


# How a masked word is replaced: the tokenizer's attribute that says by what, None where the word is deleted.
MASKS = {"delete": None, "[MASK]": "mask_token", "[UNK]": "unk_token"}


def replacement(mask: str, tokenizer) -> str:
    """Return what stands for a masked word: nothing, or the tokenizer's token; the mask itself where there is none.

    Raises ExperimentError for a tokenizer without such a token.
    """
    token = MASKS[mask]
    if token is None:
        return ""
    if tokenizer is None:
        return mask
    if (found := getattr(tokenizer, token)) is None:
        raise ExperimentError(f"mask {mask!r}: the model's tokenizer has no {token}; use 'delete'")
    return found


@dataclass(frozen=True)
class Texts(Features):
    """The words of one text or of a pair, numbered in one row; where one text ends is never masked.

    sides: the text, or both. replacement: what stands where a word is masked; "" deletes it. classifier: that reads
    them; None where there is only a callable.
    """

    id: str
    n_classes: int
    sides: tuple[str, ...]
    replacement: str = ""
    classifier: "Classifier | None" = None
    n_cut: int = 0

    @functools.cached_property
    def features(self) -> tuple[Feature, ...]:
        """(segment, position, word) of each feature, first text first."""
        sides = enumerate(self.sides)
        return tuple((segment, *place) for segment, text in sides for place in enumerate(words.words(text)))

    def tree(self) -> np.ndarray:
        """Return the tree over the words, (features - 1, 2): each text by itself, joined at the root."""
        return joined([partition_tree(segment) for segment in map(words.words, self.sides) if segment])

    def rows(self, masks: np.ndarray, assembler) -> "Rows | None":
        """Return the token ids put together from those of the pieces; None where they cannot be."""
        return assembler.rows(self.sides, self.replacement, masks)

    def inputs(self) -> Inputs:
        """Return the tokens of the texts, cut to what the model takes; without words they are the padding token."""
        import torch

        model, padding = self.classifier.model, self.classifier.tokenizer.pad_token_id
        found, segments, places = _tokenised(self.classifier, self.sides)
        ids, feature = np.array(found["input_ids"]), np.array(words.of_tokens(self.sides, segments, places))
        padded = None if padding is None else np.where(feature >= 0, padding, ids)
        types = torch.tensor(found["token_type_ids"], device=model.device) if "token_type_ids" in found else None

        def logits(given: torch.Tensor) -> torch.Tensor:
            beside = {} if types is None else {"token_type_ids": types.expand(len(given), -1)}
            return model(given, **beside).logits

        return Inputs(ids, padded, feature, logits, model.get_input_embeddings(), model.device, ids.shape[1])

    def fitted(self) -> "Texts":
        """Return the example without the words that its classifier does not see.

        A model takes so many tokens; its tokenizer cuts the rest, the longer text first. A word that is cut in part is
        left out whole, so that no mask brings back what the model has not seen in the unmasked example.
        """
        if self.classifier is None or self._fits():
            return self
        ends = [0] * len(self.sides)
        for segment, (_, end) in zip(*_tokenised(self.classifier, self.sides)[1:], strict=True):
            if segment is not None:
                ends[segment] = max(ends[segment], end)
        shorter = self._up_to(map(words.past_marks, self.sides, ends))
        if not shorter._fits():
            shorter = self._up_to(ends)
        return replace(shorter, n_cut=self.n_features - shorter.n_features)

    def _up_to(self, ends: Iterable[int]) -> "Texts":
        return replace(self, sides=tuple(map(_up_to_a_word, self.sides, ends)))

    def _fits(self) -> bool:
        # Characters do not tell: of some a byte-level tokenizer makes four tokens.
        return not self.classifier.n_cut(*_listed(self.sides))

    def texts(self, masks: np.ndarray) -> tuple[list[str], list[str] | None]:
        """Return the first and the second texts under `masks`, (n, features); no second ones of a single text."""
        parts = np.split(masks, np.cumsum([len(words.words(text)) for text in self.sides])[:-1], axis=1)
        masked = [
            [words.mask(text, keep, self.replacement) for keep in part]
            for text, part in zip(self.sides, parts, strict=True)
        ]
        return masked[0], masked[1] if len(masked) == 2 else None


def _listed(texts: tuple[str, ...]) -> tuple[list[str], list[str] | None]:
    # Given as they are, a pair with an empty second text would be taken for a single text.
    return [texts[0]], [texts[1]] if len(texts) == 2 else None


def _tokenised(classifier: "Classifier", texts: tuple[str, ...]) -> tuple:
    """Return the tokens, and of each which text it stands in, None for special ones, and its (start, end) there."""
    template = classifier.template
    by_template = template is not None and template.n_texts == len(texts)
    if by_template:
        texts = template.fitted(texts, classifier.tokenizer, classifier.max_length)
    options = {"truncation": True, "max_length": classifier.max_length, "return_offsets_mapping": True}
    found = classifier.tokenizer(*classifier.given(*_listed(texts)), **options)
    segments, offsets = found.sequence_ids(0), found["offset_mapping"][0]
    if by_template:
        return found, *template.sides(texts, offsets)
    return found, segments, offsets


def _up_to_a_word(text: str, end: int) -> str:
    """Return the first `end` characters of a text, or fewer where those would end inside a word."""
    known = words.spans(text)
    inside = [start for start, stop in known if start < end < stop]
    end = inside[0] if inside else end
    # What is written without spaces may be cut otherwise where it ends sooner; the words that are left stay the same.
    while words.spans(text[:end]) != (seen := [span for span in known if span[1] <= end]):
        end = seen[-1][0]
    return text[:end]


@dataclass
class _Group:
    """Neighbouring words that are merged already. node: its number in the tree. balanced: false at a lone bracket."""

    node: int
    words: list[str]
    balanced: list[bool]


def partition_tree(words: Sequence[str]) -> np.ndarray:
    """Return the tree over `words`: children of each merge, integers of shape (words - 1, 2).

    Below `len(words)` a child is a word, from there on an earlier merge. A word that starts with "##" goes with the
    one before it.
    """
    groups = [_Group(node, [word], [word not in ("(", ")")]) for node, word in enumerate(words)]
    scores = [_score(left, right) for left, right in itertools.pairwise(groups)]
    tree = np.empty((max(len(words) - 1, 0), 2), dtype=np.int64)
    for merge in range(len(tree)):
        at = int(np.argmax(scores))
        left, right = groups[at], groups.pop(at + 1)
        tree[merge] = left.node, right.node
        groups[at] = merged = _Group(len(words) + merge, left.words + right.words, left.balanced + right.balanced)
        if merged.words[0] == "(" and merged.words[-1] == ")":
            merged.balanced[0] = merged.balanced[-1] = True
        del scores[at]
        for place in {at - 1, at} & set(range(len(scores))):
            scores[place] = _score(groups[place], groups[place + 1])
    return tree


def joined(trees: Sequence[np.ndarray]) -> np.ndarray:
    """Return one tree over the words of one or two texts, the trees of the texts joined at its root."""
    if len(trees) == 1:
        return trees[0]
    first, second = trees
    n_first, n_second = len(first) + 1, len(second) + 1
    # Words of the second text come after those of the first, merges of the second after those of the first.
    first = np.where(first < n_first, first, first + n_second)
    second = np.where(second < n_second, second + n_first, second + n_first + len(first))
    n_words = n_first + n_second
    roots = [n_words + len(first) - 1 if len(first) else 0]
    roots.append(n_words + len(first) + len(second) - 1 if len(second) else n_first)
    return np.concatenate([first, second, [roots]]).astype(np.int64)


def _score(left: _Group, right: _Group) -> int:
    """Return how early two neighbours are to be merged."""
    first, last = left.words[0], left.words[-1]
    following, end = right.words[0], right.words[-1]
    alone = len(right.words) == 1
    score = -len(left.words) - len(right.words)
    score += 20 * following.startswith("##")
    score += 15 * (following == "'" and (alone or (len(right.words) == 2 and end in ("t", "s"))))
    score += 15 * (last == "'" and following in ("t", "s"))
    score -= 1000 * (_is_control(first) != _is_control(end))
    score -= 100 * (following == "(" and not right.balanced[0])
    score -= 100 * (last == ")" and not left.balanced[-1])
    score -= 2 * (first == "(")
    score -= 2 * (last in _CONNECTORS or following in _CONNECTORS)
    score -= 10 * (last == ",") + 20 * (last in _ENDS)
    # A mark alone is attached soon; reaching across it comes late.
    score -= (1 if alone else 10) * (following == ",")
    score -= (1 if alone else 20) * (following in _ENDS)
    return score


def _is_control(word: str) -> bool:
    return word.startswith("[") and word.endswith("]")
