"""The page on compression that keeps trust."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from trusteq.pages.show import interval_text
from trusteq.study.results import Results


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


def gain_view(gains: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the gains as a page shows them: one row a model, one column a method."""
    table = pd.DataFrame({"model": gains["model"].map(names).unique()})
    for method, rows in gains.groupby("method", sort=False):
        table[f"{method} gain"] = rows["gain"].to_numpy()
        table[f"{method} 95%"] = interval_text(rows["low"], rows["high"], digits=3).to_numpy()
    return table.assign(**{"training s": gains.drop_duplicates("model")["training_seconds"].to_numpy()})


def gain_intervals(gains: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw the gains of `tables.gain_table` with their 95% intervals, one colour a method; right of 0 is closer."""
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
