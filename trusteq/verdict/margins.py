"""What counts as the same, measure by measure (`margins.yaml`), and the decision: three outcomes, one verdict.

A pair is equivalent if every measure is (an intersection-union test, which needs no correction for their number), not
equivalent as soon as one is not, and undecided otherwise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from pydantic import Field, model_validator

from trusteq import statistics
from trusteq.alignment.overlap import Alignment, is_aligned
from trusteq.calibration.proper_scores import SCORES
from trusteq.errors import ExperimentError, nearest
from trusteq.registry import Entry, validated

MARGINS = Path(__file__).with_name("margins.yaml")
OUTCOMES = EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "not-equivalent", "undecided"
_SEEN = ["large", "compressed", "difference", "low", "high"]


class Margin(Entry):
    """What counts as the same in one measure, and why; one_sided: only less of it counts against equivalence.

    What is measured is the difference in a calibration score, or what of an `Alignment` is held against its ceiling.
    """

    dimension: str
    title: str
    score: str | None = None
    alignment: Literal["normalised"] | None = None
    margin: float = Field(ge=0, allow_inf_nan=False)
    one_sided: bool
    reason: str

    @model_validator(mode="after")
    def _one_source(self):
        if (self.score is None) == (self.alignment is None):
            raise ValueError("a measure is of a 'score' or of the 'alignment', and of one of them")
        known = [name for name, score in SCORES.items() if score.has_interval]
        if self.score is not None and self.score not in known:
            raise ValueError(f"no score {self.score!r} that has an interval; {nearest(self.score, known)}")
        return self


def load_margins(changed: Mapping[str, float] | None = None) -> dict[str, Margin]:
    """Return the default margin of every measure, some of them `changed`; raise ExperimentError for unknown ones."""
    defaults = yaml.safe_load(MARGINS.read_text(encoding="utf-8"))
    for name, value in (changed or {}).items():
        if name not in defaults:
            raise ExperimentError(f"margins: no measure {name!r}; {nearest(name, defaults)}")
        defaults[name] |= {"margin": value, "reason": "Chosen for this audit."}
    return {name: validated(Margin, values, where=f"margins: {name}") for name, values in defaults.items()}


def measures_of(dimension: str) -> list[str]:
    """Return the measures of one dimension, the one that stands for it in a picture first."""
    return [name for name, margin in load_margins().items() if margin.dimension == dimension]


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


def measured(
    margins: Mapping[str, Margin], scores: pd.DataFrame, n: int, alignment: Alignment | None, n_explained: int
) -> pd.DataFrame:
    """Return the outcome of every measure that was taken, one row each: see `Comparison.dimensions`.

    scores: of `score_differences`, from n examples or clusters. alignment: with its ceiling, from n_explained of them;
    without it, its measures are left out.
    """
    by_name = scores.set_index("score")
    rows = []
    for name, margin in margins.items():
        if margin.score:
            rows.append(_row(name, margin, by_name.loc[margin.score, _SEEN].to_dict(), n))
        elif alignment is not None:
            rows.append(_row(name, margin, _against_ceiling(alignment, margin.alignment), n_explained))
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


def _against_ceiling(alignment: Alignment, what: str) -> dict[str, float]:
    """Return a value of an alignment against 1, which the large model reaches with itself."""
    value, low, high = (getattr(alignment, f"{what}{end}") for end in ("", "_low", "_high"))
    return dict(zip(_SEEN, (1.0, value, value - 1, low - 1, high - 1), strict=True))


def _row(name: str, margin: Margin, seen: Mapping[str, float], n: int) -> dict:
    # Only a loss counts in a one-sided measure: turned round, a loss is above zero.
    value, low, high = (seen[end] for end in ("difference", "low", "high"))
    if margin.one_sided:
        value, low, high = -value, -high, -low
    decision = statistics.decide(value, low, high, margin=margin.margin, n=n, one_sided=margin.one_sided)
    found = {"margin": margin.margin, "outcome": decision.outcome, "n": n, "n_needed": decision.n_needed}
    return {"dimension": margin.dimension, "measure": name, **seen, **found}
