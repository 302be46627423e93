"""What counts as the same, measure by measure (`margins.yaml`), and the decision: three outcomes, one verdict.

A pair is equivalent if every measure is, not equivalent as soon as one is not, and undecided otherwise.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from pydantic import Field, model_validator

from trusteq.alignment.overlap import Alignment, is_aligned
from trusteq.calibration.proper_scores import SCORES
from trusteq.errors import ExperimentError, nearest
from trusteq.estimates import POWER, TAIL, Estimate, holm
from trusteq.registry import Entry, validated

MARGINS = Path(__file__).with_name("margins.yaml")
OUTCOMES = EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "not-equivalent", "undecided"
FEWEST_EXAMPLES, FEWEST_CLUSTERS = 15, 8  # fewer decide nothing
ROUNDING = 1e-9  # an end as near to a margin as this lies on it
_OUT_OF_REACH = 1e9  # more examples than this are as good as none that would do


class Margin(Entry):
    """What counts as the same in one measure, and why; one_sided: only less of it counts against equivalence.

    What is measured is the difference in a calibration score, or what of an `Alignment` is held against its ceiling;
    and, for the comparison with a model trained again, one of `retraining.LOSSES`.
    """

    dimension: str
    title: str
    score: str | None = None
    alignment: Literal["normalised"] | None = None
    retraining: str | None = None
    margin: float = Field(ge=0, allow_inf_nan=False)
    one_sided: bool
    reason: str

    @property
    def is_of_parity(self) -> bool:
        """Whether it decides if a pair is interchangeable."""
        return bool(self.score or self.alignment)

    @model_validator(mode="after")
    def _one_source(self):
        if (self.score and self.alignment) or not (self.is_of_parity or self.retraining):
            raise ValueError("a measure is of a 'score' or of the 'alignment', of 'retraining', or of both")
        known = [name for name, score in SCORES.items() if score.has_interval]
        if self.score is not None and self.score not in known:
            raise ValueError(f"no score {self.score!r} that has an interval; {nearest(self.score, known)}")
        return self


def load_margins(changed: Mapping[str, float] | None = None) -> dict[str, Margin]:
    """Return the default margin of every measure, some of them `changed`; raise ExperimentError for unknown ones."""
    found = dict(_defaults(MARGINS))
    for name, value in (changed or {}).items():
        if name not in found:
            raise ExperimentError(f"margins: no measure {name!r}; {nearest(name, found)}")
        values = found[name].model_dump() | {"margin": value, "reason": "Chosen for this audit."}
        found[name] = validated(Margin, values, where=f"margins: {name}")
    return found


@functools.cache
def _defaults(file: Path) -> Mapping[str, Margin]:
    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {name: validated(Margin, values, where=f"margins: {name}") for name, values in written.items()}


def measures_of(dimension: str) -> list[str]:
    """Return the measures of parity of one dimension, the one that stands for it in a picture first."""
    return [name for name, of in load_margins().items() if of.dimension == dimension and of.is_of_parity]


def parse_margins(pairs: list[str]) -> dict[str, float]:
    """Return MEASURE=VALUE pairs as a dict; raise ExperimentError for anything else."""
    margins = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            margins[name] = float(value)
        except ValueError:
            raise ExperimentError(f"margin {pair!r}: expected MEASURE=VALUE, such as accuracy=0.02") from None
    return margins


@dataclass(frozen=True)
class Measured:
    """One measure of a pair against its margin.

    seen: what of it the large and the compressed model have. estimate: of the difference, compressed - large.
    """

    name: str
    margin: Margin
    seen: tuple[float, float]
    estimate: Estimate

    def at(self, times: float) -> "Measured":
        """Return the same against a multiple of the margin."""
        return replace(self, margin=self.margin.model_copy(update={"margin": times * self.margin.margin}))

    @property
    def loss(self) -> Estimate:
        """The estimate, turned so that a one-sided measure counts against the model where it is above the margin."""
        return self.estimate.negated() if self.margin.one_sided else self.estimate

    def is_beyond(self, alpha: float) -> bool:
        """Return whether the difference is shown to be beyond the margin; an end on the margin is within it."""
        low, high = self.loss.bounds(alpha)
        return bool(low > self._edge or (high < -self._edge and not self.margin.one_sided))

    def is_within(self, alpha: float) -> bool:
        """Return whether the difference is shown to be within the margin."""
        low, high = self.loss.bounds(alpha)
        return bool(high <= self._edge and (low >= -self._edge or self.margin.one_sided))

    @property
    def _edge(self) -> float:
        return self.margin.margin + ROUNDING

    @property
    def lacks(self) -> str | None:
        """Why so few examples can decide nothing, None where they can."""
        if not math.isfinite(self.estimate.value):
            return "it cannot be measured on these examples"
        if self.estimate.is_clustered and self.estimate.units < FEWEST_CLUSTERS:
            few = f"groups of examples that belong together: {self.estimate.units}, and fewer than {FEWEST_CLUSTERS}"
            return f"{few} decide nothing; if the rows are independent, say so with --group none"
        if self.estimate.n < FEWEST_EXAMPLES:
            return f"examples: {self.estimate.n}, and fewer than {FEWEST_EXAMPLES} decide nothing"
        return None

    @property
    def is_seen_within(self) -> bool:
        """Whether the difference that was seen is within the margin."""
        value = self.loss.value
        return value <= self._edge and (self.margin.one_sided or value >= -self._edge)

    @property
    def is_too_few(self) -> bool:
        """Whether what happens at the rate of the margin may not have shown in so few examples."""
        return self.estimate.independent < self.smallest and math.isfinite(self.smallest)

    @property
    def smallest(self) -> float:
        """How many independent examples can show that nothing happens at the rate of the margin."""
        return smallest_n(self.margin.margin)


def decide(measured: Sequence[Measured], *, alpha: float = TAIL) -> list[tuple[str, str]]:
    """Return the outcome of each measure and its reason, in words.

    Equivalent: the interval lies within the margin, ends included, which is two one-sided tests at `alpha` each; a pair
    is if all measures are (an intersection-union test: no correction). Not equivalent: the interval lies wholly beyond,
    by Holm's correction over the measures, so that all together err in a share `alpha` of pairs at most. Undecided
    otherwise, and where there are too few examples or clusters, or too few for what happens at the rate of the margin
    to show. Source: Schuirmann (1987) for the two tests; Berger (1982) for all of them; Holm (1979).
    """
    able = [one for one in measured if one.lacks is None]
    beyond = dict(zip((one.name for one in able), holm([one.is_beyond for one in able], alpha=alpha), strict=True))
    return [_outcome(one, is_beyond=beyond.get(one.name, False), alpha=alpha) for one in measured]


def _outcome(one: Measured, *, is_beyond: bool, alpha: float) -> tuple[str, str]:
    if one.lacks is not None:
        return UNDECIDED, one.lacks
    if is_beyond:
        return DIFFERENT, "the whole interval lies beyond the margin"
    is_within = one.is_within(alpha)
    if one.is_too_few and (is_within or one.is_seen_within):
        shown = (
            f"independent examples do not show what happens at the rate of the margin; {math.ceil(one.smallest):,} do"
        )
        return UNDECIDED, f"{one.estimate.independent:,.0f} {shown}"
    if is_within:
        return EQUIVALENT, "the whole interval lies within the margin"
    if one.is_beyond(alpha):
        return UNDECIDED, "beyond the margin by itself, but not where all measures are asked at once"
    if not all(map(math.isfinite, one.estimate.bounds(alpha))):
        return UNDECIDED, "its scale cannot be told from 0, so that the interval has no end; give more or longer texts"
    return UNDECIDED, "the interval reaches across the margin"


def smallest_n(margin: float) -> float:
    """Return the number of examples from which on 97.5% of samples show what happens at a rate of `margin`."""
    if margin >= 1:
        return 1
    return math.log(TAIL) / math.log1p(-margin) if margin > 0 else math.inf


def n_needed(one: Measured) -> int | None:
    """Return how many examples, or clusters, would decide with 80% power, if the difference is what it seems.

    None where none within a billion would, since it sits on the margin. Source: Julious (2004), Sample Sizes for
    Clinical Trials with Normal Data, section 5, for the two tests.
    """
    from scipy.special import ndtri

    estimate, margin = one.loss, one.margin.margin
    if not (math.isfinite(estimate.error) and math.isfinite(one.smallest)):
        return None
    size = estimate.value if one.margin.one_sided else abs(estimate.value)
    wanted = estimate.error * math.sqrt(estimate.units) * float(ndtri(1 - TAIL) + ndtri(POWER))
    room = abs(margin - size)
    if wanted >= room * math.sqrt(_OUT_OF_REACH):
        return None
    return max(estimate.units, math.ceil(one.smallest), math.ceil((wanted / room) ** 2))


def dimension_rows(measured: Sequence[Measured]) -> pd.DataFrame:
    """Return the outcome of every measure that was taken, one row each: see `Comparison.dimensions`."""
    rows = []
    for one, (outcome, reason) in zip(measured, decide(measured), strict=True):
        row = {"dimension": one.margin.dimension, "measure": one.name, "large": one.seen[0], "compressed": one.seen[1]}
        low, high = (end if math.isfinite(end) else math.nan for end in one.estimate.interval)
        row |= {"difference": one.estimate.value, "low": low, "high": high, "margin": one.margin.margin}
        needed = n_needed(one) if outcome == UNDECIDED else None
        rows.append(row | {"outcome": outcome, "n": one.estimate.units, "n_needed": needed, "reason": reason})
    return pd.DataFrame(rows).astype({"n_needed": "Int64"})


def overall(outcomes: Sequence[str]) -> str:
    """Return the verdict over several outcomes: one that is not equivalent decides, then one that is undecided."""
    return next((outcome for outcome in (DIFFERENT, UNDECIDED) if outcome in set(outcomes)), EQUIVALENT)


def paper_rule(scores: pd.DataFrame, alignment: Alignment | None) -> dict:
    """Return the paper's own rule on the same data: jaccard, aligned, ece_difference, calibration_differs, drop_in.

    Aligned from a mean Jaccard of 0.7 on; calibration "differs significantly", for which the paper has no test, where
    the 95% interval of the difference in ECE leaves out 0. A model that fails both is no drop-in replacement.
    """
    ece = scores.set_index("score").loc["ece"]
    differs = bool(ece["low"] > 0 or ece["high"] < 0)
    rule = {"ece_difference": float(ece["difference"]), "calibration_differs": differs}
    if alignment is None:
        return {"jaccard": None, "aligned": None, **rule, "drop_in": None}
    aligned = is_aligned(alignment.mean)
    return {"jaccard": alignment.mean, "aligned": aligned, **rule, "drop_in": aligned or not differs}
