"""A stop before the budget is spent: at which looks, and what a promise of it is worth, by closed forms."""

import numpy as np
import pytest

from trusteq.alignment.ranking import chance_jaccard, drawn_jaccards
from trusteq.attribution.stopping import agreement, looks


def test_looks_grow_by_a_third_to_a_half():
    assert looks(1000, 12) == [128, 192, 256, 384, 512, 768, 1000]
    assert looks(768, 12) == [128, 192, 256, 384, 512, 768]
    assert looks(2, 12) == [2] and looks(128, 12) == [128] and looks(129, 12) == [128, 129]
    assert looks(1000, 48) == [384, 512, 768, 1000]  # not before eight masks a feature
    assert looks(1000, 400) == [1000]


def two_words_at_odds(share, n_classes=1):
    """The weights of 11 words; in a share of the draws, of the first class, the eleventh takes the tenth's place."""
    weights = np.linspace(11, 1, 11)[:, None] * np.ones(n_classes)
    drawn = np.repeat(weights[None], 1000, axis=0)
    drawn[: round(1000 * share), 9:, 0] = [1, 2]
    return weights, drawn


@pytest.mark.parametrize("n_classes", [1, 4])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_agreement_is_the_lower_bound_of_a_mean_of_a_hundred(share, n_classes):
    """With one of ten words exchanged, two sets share 9 of 11; the mean of 100 such is binomial."""
    lost = 2 / 11 / n_classes
    bound = 1 - lost * (share + 1.645 * np.sqrt(share * (1 - share) / 100))
    assert agreement(*two_words_at_odds(share, n_classes)) == pytest.approx(bound, abs=1e-9)


def test_all_of_ten_words_agree():
    weights = np.arange(20.0).reshape(10, 2)
    assert agreement(weights, np.random.default_rng(0).normal(size=(50, 10, 2))) == 1


@pytest.mark.parametrize("n", [20, 40])
def test_of_noise_no_more_than_chance_is_promised(n):
    """All weights are 0 but for their noise, which is as large as it is said to be."""
    rng, found, plain = np.random.default_rng(0), [], []
    for _ in range(30):
        weights = rng.normal(size=(n, 1))
        drawn = weights + rng.normal(size=(200, n, 1))
        found.append(agreement(weights, drawn))
        plain.append(drawn_jaccards(weights, drawn).mean())
    assert np.mean(found) < chance_jaccard(n) + 0.05 < np.mean(plain)
