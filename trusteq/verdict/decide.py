"""The decision on a pair of models: each measure against its margin, three outcomes, one verdict.

The pair is equivalent if every measure is (an intersection-union test, which needs no correction for their number), not
equivalent as soon as one is not, and undecided otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trusteq import statistics
from trusteq.alignment.overlap import Alignment, is_aligned
from trusteq.calibration.intervals import score_differences
from trusteq.calibration.null_bands import null_bands
from trusteq.verdict.margins import Margin
from trusteq.verdict.predictions import Predictions, reliability_with_bars, stacked, suspicious_order

# The score that decides on a measure of another name: the error itself is biased upwards, the more so the fewer
# examples there are.
DECIDING = {"ece": "debiased_ece"}


OUTCOMES = EQUIVALENT, DIFFERENT, UNDECIDED = "equivalent", "not-equivalent", "undecided"


@dataclass(frozen=True, eq=False)
class Explained:
    """What the explanations of both models say: the alignment against its ceiling, and the same over k = 1, 2, ...

    resampled: number of examples, or of clusters, behind the intervals. method, n_samples: how they were made.
    """

    alignment: Alignment
    curve: pd.DataFrame
    resampled: int
    method: str
    n_samples: int


@dataclass(frozen=True, eq=False)
class Audit:
    """The verdict on a pair of models and all it rests on.

    verdict: "equivalent", "not-equivalent" or "undecided", over the measures that were taken.
    dimensions: one row per measure: dimension, measure, large, compressed, difference (compressed - large), low, high
    (95% interval), margin, outcome, n (examples, or clusters), n_needed (that would decide; missing where decided).
    paper: the paper's own rule on the same data: jaccard, aligned, ece_difference, calibration_differs, drop_in.
    scores: every calibration score of both models with the interval of its difference. bands: what a perfectly
    calibrated model would score. reliability: of `reliability_with_bars`. Both say in `model`: "large" or "compressed".
    explained: None where there are no explanations. notes: what the reader should know before trusting it.
    """

    names: tuple[str, str]
    labels: tuple[str, ...]
    verdict: str
    dimensions: pd.DataFrame
    paper: dict
    scores: pd.DataFrame
    bands: pd.DataFrame
    reliability: pd.DataFrame
    explained: Explained | None
    margins: dict[str, Margin]
    notes: tuple[str, ...]
    facts: dict

    def to_json(self) -> str:
        """Return the audit as JSON: verdict, dimensions, the paper's rule, scores, margins with reasons, notes."""
        from trusteq.verdict.report import audit_json

        return audit_json(self)

    def to_html(self) -> str:
        """Return the audit as one self-contained page that prints well."""
        from trusteq.verdict.report import audit_html

        return audit_html(self)

    def to_model_card(self) -> str:
        """Return the section that the audit adds to the compressed model's card, in Markdown."""
        from trusteq.verdict.report import model_card

        return model_card(self)


def judge(
    large: Predictions,
    compressed: Predictions,
    *,
    explained: Explained | None = None,
    margins: Mapping[str, Margin],
    names: tuple[str, str] = ("large", "compressed"),
    seed: int = 0,
) -> Audit:
    """Decide on a pair from matched predictions and, where there are any, explanations."""
    scores = score_differences(
        large.probabilities, compressed.probabilities, large.gold, clusters=large.clusters, seed=seed
    )
    n = statistics.n_clusters(large.clusters, len(large.gold))
    dimensions = decided(scores, explained, margins=margins, n=n)
    pair = {"large": large, "compressed": compressed}
    tables = {side: reliability_with_bars(model) for side, model in pair.items()}
    bands = {side: null_bands(model.probabilities, seed=seed) for side, model in pair.items()}
    swapped = zip(names, map(suspicious_order, pair.values()), strict=True)
    notes = [f"{name}: {note}" for name, note in swapped if note]
    return Audit(
        names=names,
        labels=large.labels,
        verdict=overall(dimensions["outcome"]),
        dimensions=dimensions,
        paper=paper_rule(scores, explained),
        scores=scores,
        bands=stacked(bands),
        reliability=stacked(tables),
        explained=explained,
        margins=dict(margins),
        notes=(*notes, *_notes(large, explained)),
        facts={"examples": len(large.gold), "resampled": n, "seed": seed, "draws": statistics.DRAWS},
    )


def decided(
    scores: pd.DataFrame, explained: Explained | None, *, margins: Mapping[str, Margin], n: int
) -> pd.DataFrame:
    """Return the outcome of every measure that was taken: the rows of `Audit.dimensions`.

    scores: of `uncertainty.score_differences`, from n examples or clusters.
    """
    rows = [_row(name, margin, _found(name, scores, explained), n) for name, margin in margins.items()]
    return pd.DataFrame([row for row in rows if row is not None]).astype({"n_needed": "Int64"})


def overall(outcomes: Sequence[str]) -> str:
    """Return the verdict over several outcomes: one that is not equivalent decides, then one that is undecided."""
    return next((outcome for outcome in (DIFFERENT, UNDECIDED) if outcome in set(outcomes)), EQUIVALENT)


@dataclass(frozen=True)
class _Found:
    """One measure of both models, the difference with its interval, and the number of examples where it is its own."""

    large: float
    compressed: float
    difference: float
    low: float
    high: float
    n: int | None = None


def _found(name: str, scores: pd.DataFrame, explained: Explained | None) -> _Found | None:
    if name != "normalised_alignment":
        row = scores.set_index("score").loc[DECIDING.get(name, name)]
        return _Found(*row[["large", "compressed", "difference", "low", "high"]])
    if explained is None:
        return None
    found = explained.alignment
    low, high = found.normalised_low - 1, found.normalised_high - 1
    return _Found(1.0, found.normalised, found.normalised - 1, low, high, explained.resampled)


def _row(name: str, margin: Margin, found: _Found | None, n: int) -> dict | None:
    if found is None:
        return None
    n = n if found.n is None else found.n
    # Only a loss counts in a one-sided measure: turned round, a loss is above zero.
    value, low, high = (
        (-found.difference, -found.high, -found.low) if margin.one_sided else (found.difference, found.low, found.high)
    )
    decision = statistics.decide(value, low, high, margin=margin.margin, n=n, one_sided=margin.one_sided)
    values = {"large": found.large, "compressed": found.compressed, "difference": found.difference}
    values |= {"low": found.low, "high": found.high, "margin": margin.margin, "outcome": decision.outcome}
    return {"dimension": margin.dimension, "measure": name} | values | {"n": n, "n_needed": decision.n_needed}


def paper_rule(scores: pd.DataFrame, explained: Explained | None) -> dict:
    """Return the paper's own rule on the same data.

    Aligned from a mean Jaccard of 0.7 on; calibration "differs significantly", for which the paper has no test, where
    the 95% interval of the difference in ECE leaves out 0. A model that fails both is no drop-in replacement.
    """
    ece = scores.set_index("score").loc["ece"]
    differs = bool(ece["low"] > 0 or ece["high"] < 0)
    rule = {"ece_difference": float(ece["difference"]), "calibration_differs": differs}
    if explained is None:
        return {"jaccard": None, "aligned": None, **rule, "drop_in": None}
    aligned = is_aligned(explained.alignment.mean)
    return {"jaccard": explained.alignment.mean, "aligned": aligned, **rule, "drop_in": aligned or not differs}


def _notes(large: Predictions, explained: Explained | None) -> list[str]:
    notes = []
    if explained is None:
        notes.append("Alignment was not measured: predictions say nothing about the words behind them.")
    elif not np.isfinite(explained.alignment.normalised):
        notes.append(
            "The explainer agrees with itself no more than chance would: on these texts it cannot tell models apart. "
            "Give longer texts, or more samples."
        )
    if large.clusters is None:
        notes.append("Examples are taken as independent; where they come in groups, intervals are too narrow.")
    return notes
