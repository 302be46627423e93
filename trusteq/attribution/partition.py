"""A binary tree over the words of a text that respects its phrases, as shap's text masker builds it.

Neighbouring groups are merged in the order of a score: small groups first, across commas, sentence ends and
connectors late (shap 0.51, `shap.maskers.Text`; Lundberg and Lee, 2017).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CONNECTORS = {"but", "and", "or"}
_ENDS = {".", "?", "!"}


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
    n_words = n_first + n_second
    # Words of the second text come after those of the first, merges of the second after those of the first.
    first = np.where(first < n_first, first, first - n_first + n_words)
    second = np.where(second < n_second, second + n_first, second - n_second + n_words + len(first))
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
