"""The page on compression that keeps trust."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from trusteq.pages import compression
from trusteq.pages.compression import ERROR, trust_tables
from trusteq.pages.figures import counted, intervals
from trusteq.pages.show import open_with, put, show, titles, view, wide
from trusteq.pages.status import run_line
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

# A gain beside the largest difference between the means of the model's own training seeds.
SPREAD = {"method": "method", "model": "model", "gain": "gain", "seeds": "seeds", "seeds differ by": "seed_spread"}


def applies(experiment: Experiment) -> bool:
    """Return whether an experiment has several students of its large model."""
    return len(experiment.students) > 1


def opening(run: Results, task: str) -> None:
    """Say in one sentence how many students keep more words than the plain one, and draw by how much."""
    found = run.compression(task, "gains")
    open_with(answer(found), gain_intervals(found, titles(run)), run_line(run))


def answer(gains: pd.DataFrame) -> str:
    """Return in one sentence how many gains (of `compressions.gain_table`) are shown, and the largest."""
    best = gains.loc[gains["gain"].idxmax()]
    return (
        f"A gain in the words shared with the teacher shows in {(gains['low'] > 0).sum()} of {len(gains)} "
        f"comparisons with the plain student, by student and explainer; the largest is {best['gain']:+.3f} in mean "
        f"Jaccard ({best['low']:+.3f} to {best['high']:+.3f}), by {best['method']}."
    )


def objectives(run: Results, task: str) -> None:
    """Show what each student is trained for."""
    put(show(objective_table(run, task, run.experiment.students), digits=1))


def frontiers(run: Results, task: str) -> None:
    """Draw the alignment over accuracy and over the change in calibration error, and show what each student costs."""
    table = run.compression(task, "students")
    small = table[table["model"] != run.experiment.large]
    over = {"accuracy": "accuracy", f"{ERROR}_difference": "change in ECE"}
    figure = compression.frontiers(small, titles(run), over, height=6.4)
    for ax in figure.axes[len(figure.axes) // 2 :]:
        ax.axvline(0, color="0.25")
    formats = {"accuracy": "{:+z.3f}", "distance from its ECE": "{:+z.3f}", "times the training": "{:.1f}"}
    put(figure, show(price_table(small, run), formats=formats))


def gains(run: Results, task: str) -> None:
    """Show how much closer each student's words are than the plain one's."""
    found, of = run.compression(task, "gains"), {"model": "model"}
    table = wide(found, run, "method", columns={"{} gain": "gain", "{} 95%": ("low", "high")}, rows=of)
    table["training s"] = found.drop_duplicates("model")["training_seconds"].to_numpy()
    put(show(table, formats={"training s": "{:.1f}"}))


def by_seed(run: Results, task: str) -> None:
    """Show each student's training seeds one by one, and each gain beside what the seeds of one student differ by."""
    put(*trust_tables(run.compression(task, "students"), run), view(run.compression(task, "gains"), run, SPREAD))


def objective_table(run: Results, task: str, models: Collection[str]) -> pd.DataFrame:
    """Return the weights of each student's objective, its training seeds, and the mean seconds of a training."""
    rows = []
    for name in models:
        recipe, seeds = run.experiment.recipe_for(task, name), run.experiment.model_seeds(name)
        parts = {"labels": 1 - recipe.distillation_weight, "soft_labels": recipe.distillation_weight}
        parts |= {"confidence": recipe.confidence_weight, "attribution": recipe.attribution_weight}
        by = recipe.attribution_by if recipe.attribution_weight else None
        parts |= {"by": by, "hidden_states": recipe.hidden_weight, "epochs": recipe.epochs}
        seconds = [run.facts(task, name, seed, "timing")["training_seconds"] for seed in seeds]
        parts |= {"seeds": len(seeds), "seconds": np.mean(seconds)}
        rows.append({"model": run.experiment.model(name).title} | parts)
    return pd.DataFrame(rows)


def price_table(table: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return what each student's objective costs beside the plain student, in the mean over training seeds.

    table: rows of `compressions.compression_table` without the large model. Columns: model; accuracy, less the plain
    student's; distance from its ECE, the teacher's, less the plain student's; times the training seconds.
    """
    error, plain = f"{ERROR}_difference", run.experiment.students[0]
    means = table.drop_duplicates(["model", "seed"]).groupby("model", sort=False)
    means = means[["accuracy", error, "training_seconds"]].mean()
    own, others = means.loc[plain], means.drop(index=plain)
    columns = {"model": others.index.map(titles(run)), "accuracy": others["accuracy"] - own["accuracy"]}
    columns |= {"distance from its ECE": others[error].abs() - abs(own[error])}
    return pd.DataFrame(columns | {"times the training": others["training_seconds"] / own["training_seconds"]})


def gain_intervals(gains: pd.DataFrame, names: Mapping[str, str]):
    """Draw gains (of `compressions.gain_table`) with their 95% intervals, one colour a method; right of 0 is closer."""
    xlabel = "gain in mean Jaccard with the large model"
    ax = intervals(gains, names, columns=("gain", "low", "high"), marks=(), xlabel=xlabel, xlim=None)
    ax.axvline(0, color="0.25", linewidth=1)
    return counted(ax, gains["low"] > 0, "gains are shown")
