"""The page on compression that keeps trust."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from trusteq.pages.compression import FINER, frontier, trust_view
from trusteq.pages.show import interval_text, put, show, titles
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.verdict.margins import measures_of


def applies(experiment: Experiment) -> bool:
    """Return whether an experiment has several students of its large model."""
    return len(experiment.students) > 1


def objectives(run: Results, task: str) -> None:
    """Show what each student is trained for."""
    put(show(objective_table(run, task, run.experiment.students), digits=1))


def frontiers(run: Results, task: str) -> None:
    """Draw the alignment over accuracy and over the change in calibration error, and show what each student costs."""
    table, error = run.compression(task, "students"), measures_of("calibration")[0]
    small, methods = table[table["model"] != run.experiment.large], table["method"].unique()
    axes = plt.subplots(2, len(methods), figsize=(9, 8), sharey=True, squeeze=False)[1]
    for column, method in enumerate(methods):
        rows, (upper, lower) = small[small["method"] == method], axes[:, column]
        frontier(rows, titles(run), upper, x="accuracy", xlabel="accuracy").set_title(method)
        frontier(rows, titles(run), lower, x=f"{error}_difference", xlabel="change in ECE").axvline(0, color="0.25")
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    upper.figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    formats = {"accuracy": "{:+z.3f}", "distance from its ECE": "{:+z.3f}", "times the training": "{:.1f}"}
    put(upper, show(price_view(small, run), formats=formats))


def gains(run: Results, task: str) -> None:
    """Draw how much closer each student's words are than the plain one's, and show it in numbers."""
    found = run.compression(task, "gains")
    put(gain_intervals(found, titles(run)), show(gain_view(found, titles(run)), formats={"training s": "{:.1f}"}))


def by_seed(run: Results, task: str) -> None:
    """Show each student's training seeds one by one, and each gain beside what the seeds of one student differ by."""
    for method, rows in run.compression(task, "students").groupby("method", sort=False):
        put(show(trust_view(rows, titles(run)), digits=2, formats=FINER, caption=method))

    put(spread_view(run.compression(task, "gains"), titles(run)))


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


def price_view(table: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return what each student's objective costs beside the plain student, in the mean over training seeds.

    table: rows of `compressions.compression_table` without the large model. Columns: model; accuracy, less the plain
    student's; distance from its ECE, the teacher's, less the plain student's; times the training seconds.
    """
    error, plain = f"{measures_of('calibration')[0]}_difference", run.experiment.students[0]
    means = table.drop_duplicates(["model", "seed"]).groupby("model", sort=False)
    means = means[["accuracy", error, "training_seconds"]].mean()
    own, others = means.loc[plain], means.drop(index=plain)
    columns = {"model": others.index.map(titles(run)), "accuracy": others["accuracy"] - own["accuracy"]}
    columns |= {"distance from its ECE": others[error].abs() - abs(own[error])}
    return pd.DataFrame(columns | {"times the training": others["training_seconds"] / own["training_seconds"]})


def spread_view(gains: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return each gain beside the largest difference between the means of the model's own training seeds."""
    columns = {"method": gains["method"], "model": gains["model"].map(names), "gain": gains["gain"]}
    return pd.DataFrame(columns | {"seeds": gains["seeds"], "seeds differ by": gains["seed_spread"]})


def gain_view(gains: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the gains as a page shows them: one row a model, one column a method."""
    table = pd.DataFrame({"model": gains["model"].map(names).unique()})
    for method, rows in gains.groupby("method", sort=False):
        table[f"{method} gain"] = rows["gain"].to_numpy()
        table[f"{method} 95%"] = interval_text(rows["low"], rows["high"], digits=3).to_numpy()
    return table.assign(**{"training s": gains.drop_duplicates("model")["training_seconds"].to_numpy()})


def gain_intervals(gains: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw the gains with their 95% intervals, one colour a method; right of 0 is closer.

    gains: of `compressions.gain_table`.
    """
    models, methods = list(dict.fromkeys(gains["model"])), list(dict.fromkeys(gains["method"]))
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.5 * len(models))).gca()
    of = dict(zip(methods, sns.color_palette("dark", len(methods)), strict=True))
    for row in gains.itertuples():
        y = models.index(row.model) + 0.22 * (methods.index(row.method) - (len(methods) - 1) / 2)
        first = row.model == models[0]
        ax.hlines(y, row.low, row.high, color=of[row.method], linewidth=1.6)
        ax.plot(row.gain, y, "o", color=of[row.method], markersize=5, label=row.method if first else None)
    ax.axvline(0, color="0.25", linewidth=1)
    ax.set_yticks(range(len(models)), [names[name] for name in models])
    ax.set(ylim=(len(models) - 0.5, -0.5), xlabel="gain in mean Jaccard with the large model")
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return ax
