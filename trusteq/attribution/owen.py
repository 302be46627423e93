"""Owen values over a tree of words, as shap's partition explainer computes them (Lundberg and Lee, 2017; Owen, 1977).

Every merge of the tree is split in several contexts: with the sister groups of its ancestors all kept or all masked.
A word's value is the mean, over its contexts, of what it adds.
"""

import heapq
import itertools
from collections.abc import Generator
from typing import NamedTuple

import numpy as np

from trusteq.attribution.features import Features

_Values = Generator[np.ndarray, np.ndarray, np.ndarray]
BATCH = 6  # masks that the library evaluates before it looks again which branches matter most


def owen(example: Features, n_samples: int, rng: np.random.Generator) -> _Values:
    """Return Owen values, (features, classes), after about `n_samples` evaluations at most; the rng is not used.

    Where the budget does not reach every word, the branches that change the probabilities most are followed first, and
    the value of a group that is not split any more is shared out equally among its words.
    """
    tree = example.tree()
    members = _members(tree, example.n_features)
    evaluations = _evaluations(tree, example.n_features)
    if evaluations <= n_samples + n_samples % 2:
        return (yield from _every_branch(tree, members, evaluations))
    return (yield from _best_branches(tree, members, n_samples))


def _members(tree: np.ndarray, n: int) -> np.ndarray:
    """Return which features each node holds, (nodes, features): the features themselves, then the merges."""
    members = np.concatenate([np.eye(n, dtype=bool), np.zeros((len(tree), n), dtype=bool)])
    for merge, (left, right) in enumerate(tree):
        members[n + merge] = members[left] | members[right]
    return members


def _evaluations(tree: np.ndarray, n: int) -> int:
    """Return the number of masks that splitting every merge in all its contexts takes."""
    contexts = np.ones(n + len(tree), dtype=object)  # Python's integers: a deep tree has more than 2**63
    for merge in reversed(range(len(tree))):
        contexts[tree[merge]] = 2 * contexts[n + merge]
    return 2 + 2 * sum(contexts[n:])


def _every_branch(tree: np.ndarray, members: np.ndarray, evaluations: int) -> _Values:
    """Split every merge: which masks that takes is known before any is evaluated."""
    nodes, n = members.shape
    masks = np.zeros((evaluations, n), dtype=bool)
    masks[1] = True
    count = 2
    # For each node, context by context, the places of the masks without and with its words.
    without, having = {nodes - 1: np.array([0])}, {nodes - 1: np.array([1])}
    for merge in reversed(range(len(tree))):
        low, high = without.pop(n + merge), having.pop(n + merge)
        with_left = np.arange(count, count + len(low))
        with_right = with_left + len(low)
        count += 2 * len(low)
        left, right = tree[merge]
        masks[with_left], masks[with_right] = masks[low] | members[left], masks[low] | members[right]
        without[left], having[left] = np.concatenate([low, with_right]), np.concatenate([with_left, high])
        without[right], having[right] = np.concatenate([low, with_left]), np.concatenate([with_right, high])
    found = yield masks
    return np.stack([(found[having[word]] - found[without[word]]).mean(axis=0) for word in range(n)])


class _Branch(NamedTuple):
    """A node in one context, in the order in which branches are followed.

    without, having: places of the masks without and with the words of the node. weight: of the context.
    """

    priority: float
    number: int
    node: int
    without: int
    having: int
    weight: float


def _best_branches(tree: np.ndarray, members: np.ndarray, n_samples: int) -> _Values:
    """Split the branches that change the probabilities most, until the budget is spent."""
    nodes, n = members.shape
    masks = [np.zeros(n, dtype=bool), np.ones(n, dtype=bool)]
    values = yield np.stack(masks)
    credit = np.zeros((nodes, len(values[0])))
    queue, numbers = [_Branch(0.0, 0, nodes - 1, 0, 1, 1.0)], itertools.count(1)
    split: dict[int, int] = {}  # number of a branch -> place of the first of its two masks
    spent, budget = 0, n_samples - 2
    while queue and spent < budget:
        batch = []
        while queue and 2 * len(batch) < BATCH and spent + 2 * len(batch) < budget:
            branch = heapq.heappop(queue)
            if branch.node >= n:
                batch.append(branch)
            else:
                credit[branch.node] += (values[branch.having] - values[branch.without]) * branch.weight
        spent += 2 * len(batch)
        if any(branch.number not in split for branch in batch):
            # The better half of the queue is evaluated along: most of it is split later, and short calls are slow.
            ahead = heapq.nsmallest(min((budget - spent) // 2, len(queue) // 2), queue)
            asked = [branch for branch in (*batch, *ahead) if branch.node >= n and branch.number not in split]
            for branch in asked:
                split[branch.number] = len(masks)
                masks += [masks[branch.without] | members[child] for child in tree[branch.node - n]]
            values = np.concatenate([values, (yield np.stack(masks[len(values) :]))])
        below = [child for of in batch for child in _children(of, split[of.number], tree[of.node - n])]
        having, without = [child.having for child in below], [child.without for child in below]
        changes = np.abs(values[having] - values[without]).max(axis=1).tolist() if below else []
        for child, change in zip(below, changes, strict=True):
            heapq.heappush(queue, _Branch(-change * child.weight, next(numbers), *child[2:]))
    for branch in queue:
        credit[branch.node] += (values[branch.having] - values[branch.without]) * branch.weight
    # The credit of each merge is shared out equally among its features.
    return members.T.astype(np.float64) @ (credit / members.sum(axis=1, keepdims=True))


def _children(branch: _Branch, with_left: int, children: np.ndarray) -> list[_Branch]:
    """Return the four branches below one: each child with its sister masked, and with its sister kept."""
    left, right = map(int, children)
    with_right, half = with_left + 1, branch.weight / 2
    return [
        _Branch(0.0, 0, left, branch.without, with_left, half),
        _Branch(0.0, 0, right, branch.without, with_right, half),
        _Branch(0.0, 0, left, with_right, branch.having, half),
        _Branch(0.0, 0, right, with_left, branch.having, half),
    ]
