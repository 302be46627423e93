"""The tables of an audit, and its numbers, as text for people."""

import math
from collections.abc import Mapping
from pathlib import PurePath

import pandas as pd

from trusteq.calibration.proper_scores import SCORES
from trusteq.verdict.comparison import SIDES, Comparison
from trusteq.verdict.handover import RISKS
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED, Margin
from trusteq.verdict.retraining import Retraining

VERDICTS = {EQUIVALENT: "Equivalent", DIFFERENT: "Not equivalent", UNDECIDED: "Undecided"}


def dimension_table(found: Comparison) -> pd.DataFrame:
    """Return the measures of a comparison as text for people."""
    rows = [
        {
            "measure": found.margins[row.measure].title,
            "large": number(row.large),
            "compressed": number(row.compressed),
            "difference": number(row.difference, sign=True),
            "95% interval": range_text(row.low, row.high),
            "margin": f"{'−' if found.margins[row.measure].one_sided else '±'}{row.margin:g}",
            "outcome": VERDICTS[row.outcome].lower(),
            "why": row.reason,
        }
        for row in found.dimensions.itertuples()
    ]
    return pd.DataFrame(rows)


def retraining_table(found: Retraining, margins: Mapping[str, Margin]) -> pd.DataFrame:
    """Return what is lost beside what the large model loses when it is trained again, as text for people."""
    rows = [
        {
            "loss beside the large model": margins[row.measure].title,
            "compressed": number(row.compressed),
            "trained again": number(row.retrained),
            "difference": number(row.difference, sign=True),
            "95% interval": range_text(row.low, row.high),
            "at most": f"{row.margin:g}",
            "outcome": row.outcome,
            "why": row.reason,
        }
        for row in found.table.itertuples()
    ]
    return pd.DataFrame(rows)


def handover_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `handover` as text for people."""
    rows = [
        {
            "risk": RISKS[row.risk].title,
            "at most": f"{row.level:.1%}",
            "from a confidence of": number(row.threshold, digits=4),
            "share answered alone": f"{row.share:.1%}",
            "at least": "–" if math.isnan(row.share_low) else f"{row.share_low:.1%}",
            "risk on test": number(row.realised, digits=4),
            "95% interval": range_text(row.realised_low, row.realised_high, digits=4),
        }
        for row in found.itertuples()
    ]
    return pd.DataFrame(rows)


def agreement_shown(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `agreement_table` as text for people."""
    texts = {name: [number(value) for value in found[name]] for name in ("large", "compressed", "value")}
    between = [range_text(low, high) for low, high in zip(found["low"], found["high"], strict=True)]
    table = {"measure": found["title"], **texts, "95% interval": between, "note": found["note"].fillna("")}
    return pd.DataFrame(table)


def slices_shown(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `slice_table` as text for people."""
    texts = {name: [number(value) for value in found[name]] for name in ("large", "compressed", "difference")}
    between = [range_text(low, high) for low, high in zip(found["low"], found["high"], strict=True)]
    head = {"slice": found["slice"].astype(str), "n": [f"{n:,}" for n in found["n"]]}
    return pd.DataFrame(head | texts | {"simultaneous 95%": between, "note": found["note"].fillna("")})


def anchors_shown(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `anchor_table` as text for people."""
    between = [range_text(low, high, digits=2) for low, high in zip(found["low"], found["high"], strict=True)]
    places = [number(value, digits=2) for value in found["place"]]
    means = [number(value) for value in found["jaccard"]]
    table = {"anchor": found["anchor"], "mean Jaccard": means, "0 to 1": places, "95% interval": between}
    return pd.DataFrame(table | {"note": found["note"]})


def watch_shown(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `Watched` as text for people."""
    texts = {name: [f"{value:.1%}" for value in found[name]] for name in ("large", "compressed")}
    change = [f"{100 * value:+.1f}".replace("-", "−") for value in found["difference"]]
    ends = zip(100 * found["low"], 100 * found["high"], strict=True)
    between = [range_text(low, high, digits=1) for low, high in ends]
    table = {"on listed words": found["title"], **texts, "difference, points": change, "95% interval": between}
    return pd.DataFrame(table | {"by chance": [f"{value:.1%}" for value in found["chance"]], "n": found["n"]})


def sizes_shown(sizes: Mapping[str, Mapping | None]) -> pd.DataFrame:
    """Return the sizes of both models (`costs.sizes_of`) as text for people."""
    rows = [(side, *(_size_texts(of) if of else ["not known"] * 3)) for side, of in sizes.items()]
    return pd.DataFrame(rows, columns=["model", "parameters", "of them not 0", "weights as loaded"])


def _size_texts(of: Mapping) -> tuple[str, ...]:
    return f"{of['parameters']:,}", f"{of['nonzero_parameters']:,}", f"{of['weights_bytes'] / 1e6:,.1f} MB"


def speed_sentence(speed: Mapping[str, Mapping]) -> str:
    """Return what was measured of the speed of both models (`costs.speed_of`)."""
    spent = {side: of["ms_per_text"] for side, of in speed.items()}
    said = [f"{side} {spent[side]:.3g} ms a text ({of['device'] or 'device not known'})" for side, of in speed.items()]
    times = spent["large"] / spent["compressed"]
    over = f"one pass over {speed['large']['texts']:,} texts, first calls included"
    return f"{', '.join(said)}; {times:.2g} times the speed, from {over}."


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
    rows = []
    for row in scores.itertuples():
        chance = number(row.expected, digits=4) + bracketed(row.null_low, row.null_high, digits=4)
        own = number(row.value, digits=4), range_text(row.low, row.high, digits=4)
        rows.append((SCORES[row.score].title, *own, chance))
    return pd.DataFrame(rows, columns=["score", "value", "95% interval", "if calibrated"])


def paper_sentence(rule: Mapping) -> str:
    """Return what the paper's rule (`margins.paper_rule`) says about a pair."""
    differs = "differs" if rule["calibration_differs"] else "does not differ"
    ece = f"the ECE {differs} at 95% ({number(rule['ece_difference'], digits=4, sign=True)})"
    if rule["jaccard"] is None:
        return f"{ece[0].upper()}{ece[1:]}; its other half, the overlap of words, was not measured."
    aligned = "reaches" if rule["aligned"] else "is below"
    answer = "It lets the model pass." if rule["drop_in"] else "By that rule it is no drop-in replacement."
    return f"The mean Jaccard of the top words is {rule['jaccard']:.3f}, which {aligned} 0.7, and {ece}. {answer}"


def short_names(*names: str) -> tuple[str, ...]:
    """Return what of several paths tells them apart: the parts from the first to the last that differ."""
    parts = [PurePath(name).parts for name in names]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and len({of[end] for of in parts}) == 1:
            parts = [of[1:] if end == 0 else of[:-1] for of in parts]
    return tuple(str(PurePath(*of)) for of in parts)


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
