"""The page on ways to compress."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from trusteq.pages.figures import GREY, OUTCOME_COLOURS
from trusteq.pages.show import interval_text


def saving_view(table: pd.DataFrame, names: Mapping[str, str], footprints: pd.DataFrame) -> pd.DataFrame:
    """Return what each model costs: one row a model, its first seed.

    table: of `compression_table`. names: titles. footprints: model, latency_1_ms, latency_32_ms, peak_memory_bytes.
    """
    measured = footprints[["model", "latency_1_ms", "latency_32_ms", "peak_memory_bytes"]]
    first = table.drop_duplicates("model").merge(measured, on="model", how="left")
    columns = {"model": first["model"].map(names), "parameters M": first["parameters"] / 1e6}
    columns |= {"non-zero M": first["nonzero_parameters"] / 1e6, "on disk MB": first["weights_bytes"] / 1e6}
    columns |= {"1 text ms": first["latency_1_ms"], "32 texts ms": first["latency_32_ms"]}
    return pd.DataFrame(columns | {"peak memory MB": first["peak_memory_bytes"] / 1e6})


def trust_view(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return what each model keeps of the large one's accuracy, words and calibration, of one method.

    table: rows of `compression_table`. The alignment is the place between chance, 0, and ceiling, 1.
    """
    columns = {"model": table["model"].map(names)}
    if table.duplicated("model").any():
        columns["seed"] = table["seed"]
    columns |= {"accuracy": table["accuracy"], "Jaccard": table["jaccard"], "chance": table["chance"]}
    columns |= {"ceiling": table["ceiling"], "0 to 1": table["normalised_alignment"]}
    columns["95%"] = interval_text(table["normalised_alignment_low"], table["normalised_alignment_high"])
    columns["ECE change"] = table["ece_difference"]
    columns["95% "] = interval_text(table["ece_low"], table["ece_high"], digits=3)
    return pd.DataFrame(columns | {"verdict": table["verdict"]})


# The measure, the value that its band is centred on, and the label of the axis.
PANELS = {
    "accuracy": (0, "accuracy, difference"),
    "normalised_alignment": (1, "alignment: 0 chance, 1 ceiling"),
    "ece": (0, "ECE, difference"),
}


def kept_panels(table: pd.DataFrame, names: Mapping[str, str], margins: Mapping[str, float]):
    """Draw each compressed model against the large one in accuracy, alignment and calibration; return the figure.

    table: rows of `tables.compression_table` of one method, without the large model; several seeds of a model share a
    row. names: titles. margins: by measure; what counts as the same is green. Colours are the outcomes.
    """
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plt.subplots(1, 3, figsize=(9, 1.2 + 0.34 * len(models)), sharey=True)
    for ax, (measure, (centre, label)) in zip(axes, PANELS.items(), strict=True):
        ax.axvline(centre, color=GREY, linewidth=1)
        values = table[measure if centre else f"{measure}_difference"]
        for value, row in zip(values, table.to_dict("records"), strict=True):
            y, colour = models.index(row["model"]), OUTCOME_COLOURS[row[f"{measure}_outcome"]]
            y += 0.18 * (list(table.loc[table["model"] == row["model"], "seed"]).index(row["seed"]))
            ax.hlines(y, row[f"{measure}_low"], row[f"{measure}_high"], color=colour, linewidth=1.8)
            ax.plot(value, y, "o", color=colour, markersize=5)
        # Only less alignment counts against a model; in the other measures more does as well.
        end = ax.get_xlim()[1] if centre else margins[measure]
        ax.axvspan(centre - margins[measure], end, color=OUTCOME_COLOURS["equivalent"], alpha=0.12, linewidth=0)
        ax.set(xlabel=label)
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(models)), [names[name] for name in models])
    axes[0].set_ylim(len(models) - 0.5, -0.5)
    for outcome, colour in OUTCOME_COLOURS.items():
        axes[0].plot([], [], "o", color=colour, label=outcome)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def frontier(table: pd.DataFrame, names: Mapping[str, str], ax=None, *, x: str, xlabel: str):
    """Draw alignment over another column, one colour a model, a small dot for each training seed, a large one the mean.

    table: rows of `tables.compression_table` of one method, without the large model. names: titles.
    """
    ax = ax or plt.gca()
    models = list(dict.fromkeys(table["model"]))
    of = dict(zip(models, sns.color_palette("dark", len(models)), strict=True))
    for (name, rows), marker in zip(table.groupby("model", sort=False), "osD^vP*XhH<>" * 3, strict=False):
        points = rows[[x, "normalised_alignment"]]
        mean = points.mean()
        for point in points.to_numpy():
            ax.plot(*zip(mean, point, strict=True), color=of[name], linewidth=0.8, alpha=0.6)
        ax.plot(*points.to_numpy().T, marker, color=of[name], markersize=4, alpha=0.55, linestyle="none")
        shown = {"markersize": 9, "markeredgecolor": "white", "linestyle": "none"}
        ax.plot(*mean, marker, color=of[name], label=names[name], **shown)
    ax.set(xlabel=xlabel, ylabel="alignment: 0 chance, 1 ceiling")
    return ax
