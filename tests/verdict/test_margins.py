"""Decisions against a margin."""

import numpy as np

from trusteq import estimates
from trusteq.verdict.margins import EQUIVALENT, UNDECIDED, Measured, decide, load_margins


def test_too_few_clusters_do_not_show_what_happens_to_whole_ones():
    """0.75^12 > 0.025 > 0.75^13: of 12 clusters 3% of samples show none of a kind that is one in four."""
    margin, outcomes = load_margins()["normalised_alignment"], []
    for count in (12, 13):
        ceiling = np.random.default_rng(0).uniform(0.5, 0.6, size=40 * count)
        clusters = np.arange(40 * count) // 40
        place = estimates.ratio(ceiling - 0.02, ceiling, clusters=clusters, reach=(0.1, 0.9))
        assert place.effective > 100 and place.interval[0] > 0.75
        outcomes += decide([Measured("normalised_alignment", margin, (1.0, place.value), place.shifted(-1.0))])
    assert [outcome for outcome, _ in outcomes] == [UNDECIDED, EQUIVALENT]
    assert "12 independent examples do not show" in outcomes[0][1]


def test_a_scale_that_may_be_zero_is_named_as_the_reason():
    margin = load_margins()["normalised_alignment"]
    agreement, scale = np.random.default_rng(0).normal(0.01, 0.2, size=(2, 40))
    place = estimates.ratio(agreement, scale, reach=(0.1, 0.9))
    assert not np.isfinite(place.interval).all()
    (outcome,) = decide([Measured("normalised_alignment", margin, (1.0, place.value), place.shifted(-1.0))])
    assert outcome[0] == UNDECIDED and "scale cannot be told from 0" in outcome[1]
