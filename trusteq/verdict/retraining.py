"""No worse than training again: the compressed model held beside the large one trained again with another seed.

Every release of a model trains it again. For each loss of `LOSSES`, the compressed model's beside the large one is
compared with that of the twins, on the same examples: D, the first less the mean of the second. It may be half of the
measure's margin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trusteq import estimates
from trusteq.alignment import overlap
from trusteq.errors import DataError
from trusteq.estimates import Estimate, paired_difference
from trusteq.verdict.comparison import Comparison
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED, Margin, Measured, decide, n_needed, overall
from trusteq.verdict.predictions import Predictions, jensen_shannon
from trusteq.verdict.seeds import FEWEST_SEEDS, between_seeds, crossed

NO_WORSE, WORSE = "no-worse", "worse"
ANSWERS = {EQUIVALENT: NO_WORSE, DIFFERENT: WORSE, UNDECIDED: UNDECIDED}
SHOWS_NOTHING = (
    "the model trained again is not shown to do better in this than the large model's encoder under a random head, "
    "which knows no task: the yardstick shows nothing"
)


@dataclass(frozen=True)
class Loss:
    """What one model loses beside the large one, larger being worse.

    of_examples: the large one's and the other's predictions -> what each example adds, (n,), `within` two numbers; of
    a loss that is no mean of predictions, difference: two comparisons with the large model -> how much more the first
    loses. value: a comparison -> the loss, without an interval.
    """

    value: Callable[[Comparison], float]
    of_examples: Callable[[Predictions, Predictions], np.ndarray] | None = None
    within: tuple[float, float] = (-1.0, 1.0)
    difference: Callable[[Comparison, Comparison], Estimate] | None = None


def accuracy_lost(large: Predictions, other: Predictions) -> np.ndarray:
    """Return 1 where the large model alone is right, -1 where the other is, else 0."""
    return large.right.astype(np.float64) - other.right


def negative_flips(large: Predictions, other: Predictions) -> np.ndarray:
    """Return 1 where a right answer turned wrong, else 0 (Yan et al. 2021, Positive-Congruent Training)."""
    return (large.right & ~other.right).astype(np.float64)


def divergence(large: Predictions, other: Predictions) -> np.ndarray:
    """Return the Jensen-Shannon divergence of the two predictions, in nats; rows are scaled to sum to 1."""
    rows = (of.probabilities / of.probabilities.sum(axis=1, keepdims=True) for of in (large, other))
    return jensen_shannon(*rows).clip(0, np.log(2))


def _mean_of(of_examples: Callable, within: tuple[float, float] = (-1.0, 1.0)) -> Loss:
    return Loss(lambda pair: float(of_examples(pair.a.predictions, pair.b.predictions).mean()), of_examples, within)


def _ece_difference(small: Comparison, twin: Comparison) -> Estimate:
    return Comparison(twin.b, small.b, seed=small.seed).differences["debiased_ece"]


def _alignment_difference(small: Comparison, twin: Comparison) -> Estimate:
    return overlap.further(twin.alignment, small.alignment, clusters=small.a.explained.clusters)


LOSSES: dict[str, Loss] = {
    "accuracy_lost": _mean_of(accuracy_lost),
    "negative_flips": _mean_of(negative_flips),
    "ece_gained": Loss(lambda pair: pair.differences["debiased_ece"].value, difference=_ece_difference),
    "jensen_shannon": _mean_of(divergence, (-float(np.log(2)), float(np.log(2)))),
    "alignment_lost": Loss(lambda pair: 1.0 - pair.alignment.normalised, difference=_alignment_difference),
}


@dataclass(frozen=True)
class Retraining:
    """The answer to "is it no worse than training again?".

    table: one row a measure: dimension, measure, compressed (its loss), retrained (the twins' mean), difference, low,
    high (95% interval), margin (half of the measure's), outcome ("no-worse", "worse" or "undecided"), n, n_needed,
    reason. n_twins: how many there are; from three on, the answer is about training again, of fewer about these twins.
    """

    table: pd.DataFrame
    n_twins: int

    @property
    def answer(self) -> str:
        """Over all measures: "no-worse", "worse" or "undecided"."""
        said = {answer: outcome for outcome, answer in ANSWERS.items()}
        return ANSWERS[overall([said[outcome] for outcome in self.table["outcome"]])]


def retraining(small: Comparison, twins: Sequence[Comparison], untrained: Comparison | None = None) -> Retraining:
    """Compare what a small model loses beside the large one with what the large one loses when it is trained again.

    small, twins, untrained: the large model beside the compressed one, beside each twin, and beside its own encoder
    under a random head; all about the same examples. Of three twins or more seeds are random (`seeds.crossed` and
    `seeds.between_seeds`); of two, the mean of both bounds is conservative. Where the twins are not shown to lose less
    than the random head, by more than half the margin, a measure stays undecided; without `untrained`, that is not
    asked.
    Raises DataError without a twin.
    """
    if not twins:
        raise DataError("retraining: no model trained again; give at least one")
    taken = [(name, of) for name, of in small.margins.items() if of.retraining and _is_taken(of, small, twins)]
    measured = [_measured(name, of, small, twins) for name, of in taken]
    decided = dict(zip((one.name for one in measured), decide(measured), strict=True))
    rows = []
    for one in measured:
        outcome, reason = decided[one.name]
        if outcome != UNDECIDED and not _is_sensitive(one, untrained, twins):
            outcome, reason = UNDECIDED, SHOWS_NOTHING
        rows.append(_row(one, outcome, reason))
    return Retraining(pd.DataFrame(rows).astype({"n_needed": "Int64"}), len(twins))


def _is_taken(margin: Margin, small: Comparison, twins: Sequence[Comparison]) -> bool:
    return margin.alignment is None or all(pair.alignment is not None for pair in (small, *twins))


def _measured(name: str, margin: Margin, small: Comparison, twins: Sequence[Comparison]) -> Measured:
    half = margin.model_copy(update={"margin": margin.margin / 2, "one_sided": True})
    loss = LOSSES[margin.retraining]
    seen = float(np.mean([loss.value(twin) for twin in twins])), loss.value(small)
    # A one-sided measure counts what is below 0 against the model.
    return Measured(name, half, seen, excess(loss, small, twins).negated())


def excess(loss: Loss, small: Comparison, twins: Sequence[Comparison]) -> Estimate:
    """Return how much more the small model loses than the twins do, on average."""
    single = [_difference(loss, small, twin) for twin in twins]
    if len(single) < FEWEST_SEEDS:
        return _averaged(single)
    if loss.of_examples is None:
        return between_seeds(single)
    values = [_values(loss, small) - _values(loss, twin) for twin in twins]
    return crossed(values, clusters=small.a.predictions.clusters, within=_doubled(loss.within))


def _values(loss: Loss, pair: Comparison) -> np.ndarray:
    return loss.of_examples(pair.a.predictions, pair.b.predictions)


def _doubled(within: tuple[float, float]) -> tuple[float, float]:
    return within[0] - within[1], within[1] - within[0]


def _difference(loss: Loss, small: Comparison, twin: Comparison) -> Estimate:
    if loss.of_examples is None:
        return loss.difference(small, twin)
    of_small, of_twin, clusters = _values(loss, small), _values(loss, twin), small.a.predictions.clusters
    change = of_small - of_twin
    if set(np.unique(change)) <= {-1.0, 0.0, 1.0}:
        return paired_difference(change < 0, change > 0, clusters=clusters)
    return estimates.mean(change, clusters=clusters, within=_doubled(loss.within))


def _averaged(single: Sequence[Estimate]) -> Estimate:
    """Return the mean of estimates from the same examples; the mean of their bounds is no narrower than its own."""

    def bounds(alpha: float) -> tuple[float, float]:
        return tuple(np.mean([one.bounds(alpha) for one in single], axis=0).tolist())

    value, error = (float(np.mean([getattr(one, name) for one in single])) for name in ("value", "error"))
    return replace(single[0], value=value, error=error, bounds=bounds)


def _is_sensitive(one: Measured, untrained: Comparison | None, twins: Sequence[Comparison]) -> bool:
    if untrained is None or (one.margin.alignment and untrained.alignment is None):
        return True
    lead = excess(LOSSES[one.margin.retraining], untrained, twins)
    return lead.interval[0] > one.margin.margin


def _row(one: Measured, outcome: str, reason: str) -> dict:
    low, high = (end if np.isfinite(end) else np.nan for end in one.loss.interval)
    row = {"dimension": one.margin.dimension, "measure": one.name, "compressed": one.seen[1], "retrained": one.seen[0]}
    row |= {"difference": one.loss.value, "low": low, "high": high, "margin": one.margin.margin}
    needed = n_needed(one) if outcome == UNDECIDED and reason != SHOWS_NOTHING else None
    return row | {"outcome": ANSWERS[outcome], "n": one.estimate.units, "n_needed": needed, "reason": reason}
