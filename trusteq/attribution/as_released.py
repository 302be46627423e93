"""Pairs as the authors' released scripts explain them: joined to one text, which the explainer perturbs as it likes.

The separator can be removed like any word. Each perturbed text is then split again, and wherever the separator is not
found, both sentences are the first text and the second is empty.
"""

import functools
import itertools
import re
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from trusteq.attribution.features import Feature, Features, partition_tree
from trusteq.errors import ExperimentError

NLI, PI = " [SEP] ", "  "
THE_JOINT = (-1, -1)  # segment and position of what belongs to neither text
# What the scripts tell shap's text masker to be a token. Splitting at white space, as they do for NLI, leaves an empty
# token before white space at the start.
_TOKEN = {NLI: re.compile(r"\A(?=\s)|\S+"), PI: re.compile(r"\w+|[^\w\s]")}
_WORD = re.compile(r"\w+")  # lime's own, which tears combining marks off
_MASKED = " ..."  # what shap's text masker puts for a run of masked tokens


@dataclass(frozen=True)
class Joined(Features):
    """A pair joined to one text. A subclass says what its `_features` are and what of the text is left `_masked`.

    n_classes: of the classifier. joint: what stands between the texts, NLI or PI.
    """

    id: str
    n_classes: int
    text_a: str
    text_b: str
    joint: str

    @property
    def text(self) -> str:
        """The joined text."""
        return self.text_a + self.joint + self.text_b

    @functools.cached_property
    def features(self) -> tuple[Feature, ...]:
        """(segment, position, word) of each feature, in the order of the joined text; none for texts without words."""
        found = self._features()
        return tuple(found) if any(word for segment, _, word in found if segment >= 0) else ()

    def tree(self) -> np.ndarray:
        """Return shap's tree over the features, (features - 1, 2)."""
        return partition_tree([word for _, _, word in self.features])

    def texts(self, masks: np.ndarray) -> tuple[list[str], list[str]]:
        """Return the first and the second texts that are left under `masks`, (n, features)."""
        pairs = [split(self._masked(keep), self.joint) for keep in masks]
        return [first for first, _ in pairs], [second for _, second in pairs]


class JoinedWords(Joined):
    """LIME's features: the distinct words of the joined text, SEP among them for NLI; all copies go together."""

    def _features(self) -> list[Feature]:
        places: dict[str, tuple[int, int]] = {}
        for segment, text in enumerate((self.text_a, self.text_b)):
            for position, word in enumerate(_WORD.findall(text)):
                places.setdefault(word, (segment, position))
        return [(*places.get(word, THE_JOINT), word) for word in dict.fromkeys(_WORD.findall(self.text))]

    @functools.cached_property
    def _pieces(self) -> list[str]:
        return re.split(r"(\W+)", self.text)

    def _masked(self, keep: np.ndarray) -> str:
        removed = {word for (_, _, word), kept in zip(self.features, keep, strict=True) if not kept}
        return "".join(piece for piece in self._pieces if piece not in removed)


class JoinedTokens(Joined):
    """SHAP's features: the tokens of the joined text, [SEP] among them for NLI. A piece is a token and what follows."""

    @functools.cached_property
    def _spans(self) -> list[tuple[int, int]]:
        return [match.span() for match in _TOKEN[self.joint].finditer(self.text)]

    @functools.cached_property
    def _pieces(self) -> list[str]:
        edges = [start for start, _ in self._spans] + [stop for _, stop in self._spans[-1:]]
        return [self.text[start:stop] for start, stop in itertools.pairwise(edges)]

    def _features(self) -> list[Feature]:
        ends_first, starts_second = len(self.text_a), len(self.text_a + self.joint)
        counts = (itertools.count(), itertools.count())
        found = []
        for start, stop in self._spans:
            segment = 0 if stop <= ends_first else 1 if start >= starts_second else None
            place = THE_JOINT if segment is None else (segment, next(counts[segment]))
            found.append((*place, self.text[start:stop]))
        return found

    def _masked(self, keep: np.ndarray) -> str:
        runs = itertools.groupby(zip(keep, self._pieces, strict=True), key=lambda pair: bool(pair[0]))
        parts = ["".join(piece for _, piece in run) if kept else _MASKED for kept, run in runs]
        return " ".join("".join(parts).split())

    def tree(self) -> np.ndarray:
        """Return shap's tree over the tokens, (features - 1, 2)."""
        tokens = [word for _, _, word in self.features]
        # As shap has it: letters that follow a token with nothing in between are marked as the end of its word.
        for here, (before, piece) in enumerate(itertools.pairwise(self._pieces), start=1):
            if not re.match(r".*\W$", before) and re.match(r"[A-Za-z]", piece) and tokens[here - 1]:
                tokens[here] = "##" + tokens[here]
        return partition_tree(tokens)


def split(text: str, joint: str) -> tuple[str, str]:
    """Return the two texts that the scripts see in a perturbed text; the second is "" where nothing separates them."""
    if joint == PI:
        first, _, second = text.partition(PI)
        return first, second
    first, _, second = text.partition(NLI if NLI in text else NLI.strip())
    return first.strip(), second.strip()


def permutations(
    example: JoinedTokens, n_samples: int, rng: np.random.Generator
) -> Generator[np.ndarray, np.ndarray, np.ndarray]:
    """Return Shapley values, (features, classes), from random orders that keep the branches of the tree together.

    In each order the tokens are added one by one, then removed in the same order: 2 n + 1 passes. As many orders as
    the budget holds, at least one. Source: `shap.explainers.Permutation` of shap 0.51.
    """
    n, tree = example.n_features, example.tree()
    n_orders = max(1, n_samples // (2 * n + 1))
    places = np.stack([np.argsort(_shuffled(tree, n, rng)) for _ in range(n_orders)])  # of each token in each order
    steps = np.arange(n + 1)[:, None]
    masks = np.concatenate([places[:, None] < steps, places[:, None] >= steps[1:]], axis=1)
    found = yield masks.reshape(-1, n)
    found = found.reshape(n_orders, 2 * n + 1, -1)
    changes = np.diff(found, axis=1)
    gains = (changes[:, :n] - changes[:, n:]) / 2
    return np.take_along_axis(gains, places[:, :, None], axis=1).mean(axis=0)


def _shuffled(tree: np.ndarray, n: int, rng: np.random.Generator) -> list[int]:
    """Return the n leaves of a tree in a random order: at each merge either child may come first."""
    turned = rng.random(len(tree)) < 0.5
    order, waiting = [], [n + len(tree) - 1]
    while waiting:
        node = waiting.pop()
        if node < n:
            order.append(node)
        else:
            left, right = map(int, tree[node - n])
            waiting += (left, right) if turned[node - n] else (right, left)
    return order


def joint_of(joint: str | None, *, n_classes: int) -> str:
    """Return NLI or PI: for None NLI's for three classes, otherwise PI's; raise ExperimentError for any other."""
    if joint is None:
        return NLI if n_classes == 3 else PI
    if joint not in (NLI, PI):
        raise ExperimentError(f"unknown joint {joint!r}; the authors join NLI by {NLI!r} and PI by {PI!r}: give either")
    return joint
