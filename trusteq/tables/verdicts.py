"""May a smaller model replace the large one? The verdicts on saved predictions and attributions, controls included."""

from collections.abc import Iterator

import pandas as pd

from trusteq.decision import Explained, decided, overall, paper_rule, stacked
from trusteq.margins import load_margins
from trusteq.store import Results
from trusteq.tables.base import interval_text
from trusteq.tables.comparisons import Compared, Comparison, of_seed, side_titles
from trusteq.tables.scores import differences_from, predicted_sides

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


def all_verdicts(run: Results, *, seed: int) -> pd.DataFrame:
    """Return the verdicts of all tasks under one training seed, `task` first."""
    parts = {task: of_seed(run, task, "verdicts", seed=seed) for task in run.experiment.tasks}
    return stacked(parts, "task")


def deciding(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each task's first method, which the overall verdict goes by."""
    first = found.groupby("task")["method"].transform("first")
    return found[found["method"] == first]


def verdict_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return one row a task and model: the outcome in each dimension, the verdict, and the paper's rule beside.

    found: of `all_verdicts`, one method a task (see `deciding`). Where a dimension has several measures, the outcome is
    over all of them.
    """
    names = side_titles(run)
    rows = []
    for (task, model), measures in found.groupby(["task", "model"], sort=False):
        row = {"task": task, "model": names[model]}
        row |= {name: overall(rows_["outcome"]) for name, rows_ in measures.groupby("dimension", sort=False)}
        drop_in = "drop-in" if measures["drop_in"].iloc[0] else "no drop-in"
        rows.append(row | {"verdict": measures["verdict"].iloc[0], "paper's rule": drop_in})
    return pd.DataFrame(rows)


def method_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the outcome of the alignment and the verdict by task, model and method."""
    rows = found[found["measure"] == "normalised_alignment"]
    columns = {"task": rows["task"], "model": rows["model"].map(side_titles(run)), "method": rows["method"]}
    columns |= {"0 to 1": rows["compressed"], "95%": interval_text(rows["low"] + 1, rows["high"] + 1)}
    return pd.DataFrame(columns | {"alignment": rows["outcome"], "verdict": rows["verdict"]})


def difference_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return every measure of one method a task with its difference, interval, margin and outcome."""
    names, titles = side_titles(run), {name: margin.title for name, margin in load_margins().items()}
    columns = {"task": found["task"], "model": found["model"].map(names), "measure": found["measure"].map(titles)}
    columns |= {"difference": found["difference"], "95%": interval_text(found["low"], found["high"], digits=3)}
    needed = [f"{n:,} of {m:,}" if pd.notna(m) else "" for n, m in zip(found["n"], found["n_needed"], strict=True)]
    return pd.DataFrame(columns | {"margin": found["margin"], "outcome": found["outcome"], "examples needed": needed})


def plane_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row a task, model and method: the change in calibration error and the alignment, with intervals.

    x is the difference in (bias-corrected) expected calibration error, y the alignment from chance, 0, to ceiling, 1.
    """
    keys = ["task", "model", "method"]
    error = found[found["measure"] == "ece"].set_index(keys)[["difference", "low", "high"]]
    words = found[found["measure"] == "normalised_alignment"].set_index(keys)[["difference", "low", "high"]] + 1
    both = error.set_axis(["x", "x_low", "x_high"], axis=1).join(words.set_axis(["y", "y_low", "y_high"], axis=1))
    return both.reset_index()
