"""Calibration with error bars, of every model and of the controls of the large one.

Each function takes the predictions of `predicted_sides`, the large model's first. `model` in a table is the name of a
model or of a control.
"""

from dataclasses import replace

import pandas as pd

from trusteq.calibration.intervals import scores_beside
from trusteq.calibration.proper_scores import brier_decomposition, fit_temperature, rescale, scores
from trusteq.study.results import Results
from trusteq.study.sides import Sides, predicted_sides
from trusteq.verdict.agreement import agreement_table
from trusteq.verdict.comparison import CONTROLS, Comparison, Side
from trusteq.verdict.handover import handover
from trusteq.verdict.predictions import Predictions, loyalty_table, matched, reliability_with_bars, stacked

VERSION = 3  # raise it when a number of these tables changes
NAMES = ("scores", "reliability", "differences", "temperature", "loyalty", "intervals", "decomposition")
NAMES += ("agreement", "handover")


def score_table(models: Sides) -> pd.DataFrame:
    """Return every calibration score of every model: model, then one column per score."""
    return pd.DataFrame({"model": name} | scores(found.probabilities, found.gold) for name, found in models.items())


def reliability_tables(models: Sides) -> pd.DataFrame:
    """Return the reliability table of every model, in 10 bins: model, then the columns of `reliability_with_bars`."""
    return stacked({name: reliability_with_bars(found) for name, found in models.items()})


def interval_scores(sides: Sides) -> pd.DataFrame:
    """Return every score with its interval and its null band: model, then the columns of `scores_beside`."""
    return stacked(
        {name: scores_beside(found.probabilities, found.gold, clusters=found.clusters) for name, found in sides.items()}
    )


def decomposition_table(sides: Sides) -> pd.DataFrame:
    """Return the parts of the Brier score: brier = reliability - resolution + uncertainty + within_bins."""
    rows = []
    for name, found in sides.items():
        parts = brier_decomposition(found.probabilities, found.gold)
        within = parts.pop("within_bin_variance") - parts.pop("within_bin_covariance")
        brier = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + within
        rows.append({"model": name, "brier": brier} | parts | {"within_bins": within})
    return pd.DataFrame(rows)


def calibration_differences(sides: Sides) -> pd.DataFrame:
    """Return the difference of every score from the large model's: of the other sides, and of the large one "itself".

    Columns: model, score, large, compressed, difference, low, high (paired, 95%); and where the score has a margin,
    margin, outcome, n, n_needed, reason (see `Comparison.dimensions`). Of the errors, the corrected one has a margin.
    """
    large, *others = sides
    known = {**sides, "itself": sides[large]}
    order = [name for name in others if name not in CONTROLS] + [name for name in CONTROLS if name in known]
    return stacked({name: _differences(sides[large], known[name]) for name in order})


def _differences(large: Predictions, other: Predictions) -> pd.DataFrame:
    found = Comparison(*(Side("", predictions) for predictions in matched(large, other)))
    outcomes = found.dimensions
    outcomes = outcomes.assign(score=[found.margins[measure].score for measure in outcomes["measure"]])
    outcomes = outcomes[["score", "margin", "outcome", "n", "n_needed", "reason"]].astype({"n": "Int64"})
    return found.scores.merge(outcomes, on="score", how="left")


def temperature_table(sides: Sides, dev: Sides) -> pd.DataFrame:
    """Return what temperature scaling repairs: every score on the test split, before and after.

    dev: the same sides' predictions of the dev split, to which each temperature is fitted; sides without any are left
    out. Columns: model, temperature, score, before, after; and difference, low, high, outcome of the rescaled model
    from the rescaled large one, missing for the latter.
    """
    temperatures = {name: fit_temperature(found.probabilities, found.gold) for name, found in dev.items()}
    rescaled = {
        name: replace(sides[name], probabilities=rescale(sides[name].probabilities, temperature))
        for name, temperature in temperatures.items()
    }
    rows = []
    for name, temperature in temperatures.items():
        before, after = (scores(of[name].probabilities, of[name].gold) for of in (sides, rescaled))
        rows += [(name, temperature, score, value, after[score]) for score, value in before.items()]
    table = pd.DataFrame(rows, columns=["model", "temperature", "score", "before", "after"])
    differences = calibration_differences(rescaled)[["model", "score", "difference", "low", "high", "outcome"]]
    return table.merge(differences, on=["model", "score"], how="left")


def loyalty_tables(sides: Sides) -> pd.DataFrame:
    """Return how loyal every other side is to the large model: model, then the columns of `loyalty_table`."""
    large, *others = sides
    tables = {}
    for name in others:
        first, second = matched(sides[large], sides[name])
        tables[name] = loyalty_table(first.probabilities, second.probabilities, clusters=first.clusters)
    return stacked(tables)


def agreement_tables(sides: Sides, dev: Sides) -> pd.DataFrame:
    """Return how the predictions of every other side agree with the large model's: model, then `agreement_table`."""
    large, *others = sides
    known = {name: (dev[large], dev[name]) if name in dev else None for name in others}
    return stacked({name: agreement_table(sides[large], sides[name], dev=known[name]) for name in others})


def handover_tables(models: Sides, dev: Sides) -> pd.DataFrame:
    """Return on which share of inputs each smaller model may answer alone: model, then the columns of `handover`."""
    large, *others = models
    if not others:
        return pd.DataFrame(columns=["model"])
    pairs = {name: [matched(of[large], of[name]) for of in (dev, models)] for name in others}
    return stacked({name: handover(*pair) for name, pair in pairs.items()})


def tables(run: Results, task: str, seed: int) -> dict[str, pd.DataFrame]:
    """Return every table on the calibration of a task, by the name under which it is stored."""
    sides, dev = (predicted_sides(run, task, seed, part) for part in ("test", "dev"))
    models = {name: sides[name] for name in run.experiment.models}
    found = [score_table(models), reliability_tables(models), calibration_differences(sides)]
    found += [temperature_table(sides, dev), loyalty_tables(sides), interval_scores(sides), decomposition_table(sides)]
    found += [agreement_tables(sides, dev), handover_tables(models, dev)]
    return dict(zip(NAMES, found, strict=True))
