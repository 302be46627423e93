"""An audit in words: its measures and scores as text for people, on pages and in the terminal."""

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING

import pandas as pd

from trusteq.calibration.proper_scores import SCORES

if TYPE_CHECKING:
    from trusteq.verdict.comparison import Comparison

SIDES = ("large", "compressed")
VERDICTS = {"equivalent": "Equivalent", "not-equivalent": "Not equivalent", "undecided": "Undecided"}
MEANINGS = {
    "equivalent": "In every measure the 95% interval of the difference lies within its margin.",
    "not-equivalent": "In at least one measure the 95% interval of the difference lies outside its margin.",
    "undecided": "No measure is shown to lie outside its margin, and at least one is not shown to lie within.",
}


def dimension_table(found: "Comparison") -> pd.DataFrame:
    """Return the measures of a comparison as text for people."""
    titles = measure_titles(found)
    rows = [
        {
            "measure": titles[row.measure],
            "large": number(row.large),
            "compressed": number(row.compressed),
            "difference": number(row.difference, sign=True),
            "95% interval": range_text(row.low, row.high),
            "margin": f"{'−' if found.margins[row.measure].one_sided else '±'}{row.margin:g}",
            "outcome": VERDICTS[row.outcome].lower(),
        }
        for row in found.dimensions.itertuples()
    ]
    return pd.DataFrame(rows)


def score_table(scores: pd.DataFrame, bands: pd.DataFrame) -> pd.DataFrame:
    """Return every score of both models as text for people, each beside its null band."""
    bands = bands.set_index(["model", "score"])
    rows = []
    for row in scores.itertuples():
        values = {"score": SCORES[row.score].title}
        for side in SIDES:
            band = bands.loc[(side, row.score)]
            values[side] = number(getattr(row, side))
            values[f"{side}, if calibrated"] = range_text(band["low"], band["high"])
        values |= {"difference": number(row.difference, sign=True), "95% interval": range_text(row.low, row.high)}
        rows.append(values)
    return pd.DataFrame(rows)


def shown_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of one model as text for people: score, value, interval, if calibrated."""
    rows = [
        {
            "score": SCORES[row.score].title,
            "value": number(row.value, digits=4),
            "95% interval": range_text(row.low, row.high, digits=4),
            "if calibrated": f"{number(row.expected, digits=4)}{bracketed(row.null_low, row.null_high, digits=4)}",
        }
        for row in scores.itertuples()
    ]
    return pd.DataFrame(rows)


def paper_sentence(rule: Mapping) -> str:
    """Return what the paper's rule (`decide.paper_rule`) says about a pair."""
    differs = "differs" if rule["calibration_differs"] else "does not differ"
    ece = f"the ECE {differs} at 95% ({rule['ece_difference']:+.4f})"
    if rule["jaccard"] is None:
        return f"{ece[0].upper()}{ece[1:]}; its other half, the overlap of words, was not measured."
    aligned = "reaches" if rule["aligned"] else "is below"
    answer = "It lets the model pass." if rule["drop_in"] else "By that rule it is no drop-in replacement."
    return f"The mean Jaccard of the top words is {rule['jaccard']:.3f}, which {aligned} 0.7, and {ece}. {answer}"


def short_names(large: str, compressed: str) -> tuple[str, str]:
    """Return what of two paths tells them apart: the parts from the first to the last that differ."""
    parts = [PurePath(name).parts for name in (large, compressed)]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and parts[0][end] == parts[1][end]:
            parts = [of[1:] if end == 0 else of[:-1] for of in parts]
    return str(PurePath(*parts[0])), str(PurePath(*parts[1]))


def measure_titles(found: "Comparison") -> dict[str, str]:
    """Return the title of each measure by name."""
    return {name: margin.title for name, margin in found.margins.items()}


def number(value: float, *, digits: int = 3, sign: bool = False) -> str:
    """Return a number as text, a dash if there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def range_text(low: float, high: float, *, digits: int = 3) -> str:
    """Return an interval as text, a dash if there is none."""
    return f"{number(low, digits=digits)} to {number(high, digits=digits)}" if math.isfinite(low) else "–"


def bracketed(low: float, high: float, *, digits: int = 3) -> str:
    """Return an interval in brackets, to stand after a number; nothing if there is none."""
    return f" ({range_text(low, high, digits=digits)})" if math.isfinite(low) else ""
