"""The tree over the words against shap's own, on random lists of words and marks; two trees joined at the root."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import is_valid_linkage, leaves_list

from trusteq.attribution.features import joined, partition_tree

# All that the score looks at, several times where it takes two marks to matter; mostly plain words, whose scores tie.
MARKS = [*("()" * 2), *(",.'" * 2), *"?![]", "t", "s", "##x", "##ing", "[SEP]", "[CLS]", "[x"]
WORDS = [*MARKS, "but", "and", "or", "But", "the", "a", "dog", "runs", "in", ""]


def random_words(rng, n):
    return [str(word) for word in rng.choice(WORDS, size=n)]


def linkage(tree):
    """The tree as scipy takes it: heights grow with the number of words."""
    n = len(tree) + 1
    sizes = np.ones(n + len(tree))
    for merge, children in enumerate(tree):
        sizes[n + merge] = sizes[children].sum()
    return np.column_stack([tree, sizes[n:], sizes[n:]]).astype(float)


def test_random_words_as_by_shap():
    from shap.maskers._text import partition_tree as by_shap

    rng = np.random.default_rng(0)
    for n in rng.integers(2, 40, size=600):
        words = random_words(rng, n)
        np.testing.assert_array_equal(partition_tree(words), by_shap(words, [])[:, :2], err_msg=repr(words))


@pytest.mark.parametrize("n", [2, 3, 17, 64, 100])
def test_equal_words_as_by_shap(n):
    from shap.maskers._text import partition_tree as by_shap

    np.testing.assert_array_equal(partition_tree(["dog"] * n), by_shap(["dog"] * n, [])[:, :2])


def test_small_trees_by_hand():
    assert partition_tree([]).shape == partition_tree(["dog"]).shape == (0, 2)
    assert partition_tree(["a", "dog", "runs", "home"]).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert partition_tree(["dog", "and", "cat"]).tolist() == [[0, 1], [3, 2]]
    assert partition_tree(["a", "dog", "runs", "##ing"]).tolist() == [[2, 3], [0, 1], [5, 4]]


def test_the_tree_depends_on_the_words_alone():
    words = random_words(np.random.default_rng(1), 30)
    before = list(words)
    assert partition_tree(words).dtype == np.int64
    np.testing.assert_array_equal(partition_tree(tuple(words)), partition_tree(words))
    assert words == before


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (7, 12), (2, 2), (8,), (2,)])
def test_joined_trees_are_linkages_in_the_order_of_the_words(sizes):
    rng = np.random.default_rng(2)
    for _ in range(20):
        trees = [partition_tree(random_words(rng, n)) for n in sizes]
        whole = joined(trees)
        n_words = sum(sizes)
        assert (whole.dtype, whole.shape) == (np.int64, (n_words - 1, 2))
        assert is_valid_linkage(linkage(whole))
        # From left to right, the leaves are the words in their order.
        assert ordered_leaves(whole, n_words + len(whole) - 1) == list(range(n_words))
        assert sorted(leaves_list(linkage(whole))) == list(range(n_words))


@pytest.mark.parametrize("sizes", [(1, 1), (1, 6), (6, 1), (5, 8)])
def test_each_text_is_a_subtree_of_its_own(sizes):
    rng = np.random.default_rng(3)
    first, second = (partition_tree(random_words(rng, n)) for n in sizes)
    whole = joined([first, second])
    n_first, n_words = sizes[0], sum(sizes)
    left, right = whole[-1]
    assert ordered_leaves(whole, left) == list(range(n_first))
    assert ordered_leaves(whole, right) == list(range(n_first, n_words))
    # A merge holds the same words as in the tree of its text alone.
    for merge in range(len(first)):
        assert ordered_leaves(whole, n_words + merge) == ordered_leaves(first, n_first + merge)
    for merge in range(len(second)):
        expected = [leaf + n_first for leaf in ordered_leaves(second, sizes[1] + merge)]
        assert ordered_leaves(whole, n_words + len(first) + merge) == expected


def ordered_leaves(tree, node):
    n_words = len(tree) + 1
    if node < n_words:
        return [int(node)]
    left, right = tree[node - n_words]
    return ordered_leaves(tree, left) + ordered_leaves(tree, right)


def test_a_tree_alone_stays_as_it_is():
    tree = partition_tree(["a", "dog", "runs"])
    np.testing.assert_array_equal(joined([tree]), tree)
