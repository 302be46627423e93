"""Calibration with error bars as tables for a page: a row is a model or a control, an interval one column of text."""

from collections.abc import Sequence

import pandas as pd

from trusteq.store import Results
from trusteq.tables.base import interval_text
from trusteq.tables.comparisons import side_titles

# What scores are called at the head of a column; the others go by their own name.
_HEADS = {"brier": "Brier", "nll": "NLL", "ece": "ECE", "mce": "MCE"}
_HEADS |= {f"{kind}_ece": kind for kind in ("adaptive", "classwise", "debiased", "smooth")}


def score_view(found: pd.DataFrame, run: Results, *scores: str, chance: bool = False) -> pd.DataFrame:
    """Return scores by model title, each with its 95% interval; or, with `chance`, with its null band.

    found: of `tables.interval_scores`.
    """
    ends = ("null_low", "null_high", "if calibrated") if chance else ("low", "high", "95%")
    return _wide(found, run, "score", scores, "value", ends).dropna(axis="columns", how="all")


def error_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return ECE and MCE by model title with the null bands of both, and the interval of the ECE, which alone has one.

    found: of `tables.interval_scores`.
    """
    bands = score_view(found, run, "ece", "mce", chance=True).drop(columns=["model", "ECE"])
    return score_view(found, run, "ece").join(bands)


def decomposition_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return `tables.decomposition_table` by model title."""
    return found.assign(model=found["model"].map(side_titles(run))).rename(columns=_HEADS)


def outcome_view(differences: pd.DataFrame, run: Results, score: str) -> pd.DataFrame:
    """Return one score's differences from the large model with the outcome against its margin."""
    rows = differences[differences["score"] == score]
    columns = {"model": rows["model"].map(side_titles(run)), "value": rows["compressed"]}
    columns |= {"difference": rows["difference"], "95%": interval_text(rows["low"], rows["high"], digits=3)}
    needed = [f"{n:,}" if pd.notna(n) else "" for n in rows["n_needed"]]
    return pd.DataFrame(columns | {"outcome": rows["outcome"], "examples needed": needed})


def difference_view(differences: pd.DataFrame, run: Results, *scores: str) -> pd.DataFrame:
    """Return the differences of several scores from the large model's, each with its 95% interval."""
    return _wide(differences, run, "score", scores, "difference", ("low", "high", "95%"))


def temperature_view(found: pd.DataFrame, run: Results, *scores: str) -> pd.DataFrame:
    """Return each model's temperature, and scores before and after."""
    of = found.set_index(["model", "score"])
    models = list(dict.fromkeys(found["model"]))
    columns = {"model": pd.Series(models).map(side_titles(run)).tolist()}
    columns["temperature"] = found.drop_duplicates("model")["temperature"].tolist()
    for score in scores:
        for when in ("before", "after"):
            columns[f"{_HEADS.get(score, score)} {when}"] = [of.loc[(model, score), when] for model in models]
    return pd.DataFrame(columns)


def repair_view(differences: pd.DataFrame, found: pd.DataFrame, run: Results, score: str) -> pd.DataFrame:
    """Return one score's difference from the large model, before and after both are rescaled.

    differences: of `tables.calibration_differences`. found: of `tables.temperature_table`.
    """
    sides = {}
    for when, table in (("before", differences), ("after", found)):
        rows = table[table["score"] == score].set_index("model")
        text = interval_text(rows["low"], rows["high"], digits=3)
        columns = {when: rows["difference"], f"95%, {when}": text, f"outcome {when}": rows["outcome"]}
        sides[when] = pd.DataFrame(columns)
    table = sides["before"].join(sides["after"], how="inner").rename_axis("model").reset_index()
    return table.assign(model=table["model"].map(side_titles(run)))


def loyalty_view(found: pd.DataFrame, run: Results, *measures: str) -> pd.DataFrame:
    """Return measures of `tables.loyalty_tables` by model title, those with an interval beside it."""
    table = _wide(found, run, "measure", measures, "value", ("low", "high", "95%"))
    return table.dropna(axis="columns", how="all")


def _wide(
    found: pd.DataFrame, run: Results, key: str, names: Sequence[str], value: str, ends: tuple[str, str, str]
) -> pd.DataFrame:
    """Return one row a model, with two columns for each name: the value, and the text of its interval."""
    low, high, title = ends
    columns = {"model": found["model"].drop_duplicates().map(side_titles(run)).tolist()}
    for name in names:
        rows = found[found[key] == name]
        head = _HEADS.get(name, name)
        columns[head] = rows[value].tolist()
        columns[f"{head} {title}"] = interval_text(rows[low], rows[high], digits=3).tolist()
    return pd.DataFrame(columns)
