"""May a smaller model replace the large one? The verdicts on saved predictions and attributions, controls included."""

from collections.abc import Iterator

import pandas as pd

from trusteq.study.calibrate import differences_from
from trusteq.study.comparisons import Compared, Comparison
from trusteq.study.sides import predicted_sides
from trusteq.verdict.decide import Explained, decided, overall, paper_rule
from trusteq.verdict.margins import load_margins

# The controls that have predictions to be judged by.
JUDGED = ("reseeded", "retrained", "random-head")


_PAPER = ["jaccard", "aligned", "calibration_differs", "drop_in"]


def verdicts(compared: Compared) -> pd.DataFrame:
    """Return the verdict on every smaller model and control, by method and seed: one row a measure.

    Columns: method, seed, model, verdict; dimension, measure, large, compressed, difference, low, high, margin,
    outcome, n, n_needed (see `decision.Audit`); and the paper's own rule, the same in all rows of a model: jaccard,
    aligned, calibration_differs, drop_in. Only the alignment differs between methods.
    """
    scores, margins, parts = _scores(compared), load_margins(), []
    for found in _judged(compared):
        explained = _explained(compared, found)
        differences, n = scores[found.seed, found.model_b]
        dimensions, rule = decided(differences, explained, margins=margins, n=n), paper_rule(differences, explained)
        keys = {"method": found.method, "seed": found.seed, "model": found.model_b}
        keys["verdict"] = overall(dimensions["outcome"])
        parts.append(dimensions.assign(**keys, **{name: rule[name] for name in _PAPER}))
    table = pd.concat(parts, ignore_index=True)
    return table[["method", "seed", "model", "verdict", *(name for name in table if name not in keys)]]


def _judged(compared: Compared) -> Iterator[Comparison]:
    return (found for found in compared.against_large if not found.is_control or found.model_b in JUDGED)


def _scores(compared: Compared) -> dict[tuple[int, str], tuple[pd.DataFrame, int]]:
    """Return `differences_from` the large model, the same for every method, by seed and model."""
    run, found = compared.run, {}
    for seed in run.experiment.seeds:
        sides = predicted_sides(run, compared.task, seed)
        large = sides[run.experiment.large]
        # The reseeded control is another run of the explainer: its predictions are the large model's own.
        for name, side in (sides | {"reseeded": large}).items():
            found[seed, name] = differences_from(large, side)
    return found


def _explained(compared: Compared, found: Comparison) -> Explained:
    aligned = compared.align(found.a, found.b, found.label, ceiling=found.ceiling)
    budget = compared.run.experiment.task_methods(compared.task)[found.method].n_samples
    return Explained(aligned, pd.DataFrame(), compared.resampled(found), found.method, budget)
