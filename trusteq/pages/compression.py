"""The page on ways to compress."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from trusteq.pages.figures import GREY, OUTCOME_COLOURS
from trusteq.pages.show import interval_text, put, show, titles
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.verdict.margins import OUTCOMES, load_margins, measures_of

FINER = {"accuracy": "{:.3f}", "ECE change": "{:+z.3f}"}


def applies(experiment: Experiment) -> bool:
    """Return whether an experiment has a model that is compressed after its fine-tuning."""
    return any(experiment.model(name).compress for name in experiment.models)


def saved(run: Results, task: str) -> None:
    """Show what each model costs where it is used."""
    found = saving_view(run.compression(task, "models"), titles(run), run.compression(task, "footprints"))
    put(show(found, digits=2))


def kept(run: Results, task: str) -> None:
    """Show what each model keeps of accuracy, words and calibration, count the verdicts, and draw all of it."""
    table, names = run.compression(task, "models"), titles(run)
    for method, rows in table.groupby("method", sort=False):
        put(show(trust_view(rows, names), digits=2, formats=FINER, caption=method))
    put(show(count_view(_small(run, task)), caption="How many verdicts of each kind"))

    margins = {name: margin.margin for name, margin in load_margins().items()}
    for method, rows in _small(run, task).groupby("method", sort=False):
        figure = kept_panels(rows, names, margins)
        figure.supxlabel(method)
        put(figure)


def recovery(run: Results, task: str) -> None:
    """Show what training on after the compression adds, of each model that is there with and without it."""
    found = recovery_view(_small(run, task), run)
    shown = show(found, formats={"alignment": "{:+z.2f}", "accuracy": "{:+z.3f}"})
    put(shown if len(found) else "No model is here both with and without training after the compression.")


def price(run: Results, task: str) -> None:
    """Draw the alignment over the bytes on disk, one panel a method."""
    small = _small(run, task)
    small["megabytes"] = small["weights_bytes"] / 1e6
    panels = plt.subplots(1, small["method"].nunique(), figsize=(9, 4.6), sharey=True, squeeze=False)[1].flat
    for ax, (method, rows) in zip(panels, small.groupby("method", sort=False), strict=True):
        frontier(rows, titles(run), ax, x="megabytes", xlabel="MB on disk").set_title(method)
        ax.label_outer()
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    put(ax)


def _small(run: Results, task: str) -> pd.DataFrame:
    table = run.compression(task, "models")
    return table[table["model"] != run.experiment.large].reset_index(drop=True)


def saving_view(table: pd.DataFrame, names: Mapping[str, str], footprints: pd.DataFrame) -> pd.DataFrame:
    """Return what each model costs: one row a model, its first seed.

    table: of `compressions.compression_table`. names: titles. footprints: model, latency_1_ms, latency_32_ms,
    peak_memory_bytes.
    """
    measured = footprints[["model", "latency_1_ms", "latency_32_ms", "peak_memory_bytes"]]
    first = table.drop_duplicates("model").merge(measured, on="model", how="left")
    columns = {"model": first["model"].map(names), "parameters M": first["parameters"] / 1e6}
    columns |= {"non-zero M": first["nonzero_parameters"] / 1e6, "on disk MB": first["weights_bytes"] / 1e6}
    columns |= {"1 text ms": first["latency_1_ms"], "32 texts ms": first["latency_32_ms"]}
    return pd.DataFrame(columns | {"peak memory MB": first["peak_memory_bytes"] / 1e6})


def trust_view(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return what each model keeps of the large one's accuracy, words and calibration, of one method.

    table: rows of `compressions.compression_table`. The alignment is the place between chance, 0, and ceiling, 1.
    """
    (words,), error = measures_of("alignment"), measures_of("calibration")[0]
    columns = {"model": table["model"].map(names)}
    if table.duplicated("model").any():
        columns["seed"] = table["seed"]
    columns |= {"verdict": table["verdict"]}  # first, since narrow screens scroll
    columns |= {"accuracy": table["accuracy"], "Jaccard": table["jaccard"], "chance": table["chance"]}
    columns |= {"ceiling": table["ceiling"], "0 to 1": table[words]}
    columns["95%"] = interval_text(table[f"{words}_low"], table[f"{words}_high"])
    columns["ECE change"] = table[f"{error}_difference"]
    columns["95% "] = interval_text(table[f"{error}_low"], table[f"{error}_high"], digits=3)
    return pd.DataFrame(columns)


def count_view(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many of the compressed models, each training seed for itself, have each verdict, by method."""
    counts = pd.crosstab(table["method"], table["verdict"]).reindex(columns=list(OUTCOMES), fill_value=0)
    return counts.reindex(table["method"].unique()).reset_index()


def recovery_view(table: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return what training on after the compression adds: model (that has it), method, accuracy, alignment."""
    (words,), rows = measures_of("alignment"), []
    specs = {name: run.experiment.model(name).compress for name in table["model"].unique()}
    pairs = [
        (name, other)
        for name, spec in specs.items()
        for other, further in specs.items()
        if spec and not spec.recover and further == spec.model_copy(update={"recover": True})
    ]
    for method, of in table.drop_duplicates(["method", "model"]).groupby("method", sort=False):
        values = of.set_index("model")[["accuracy", words]]
        for name, other in pairs:
            gain = values.loc[other] - values.loc[name]
            rows.append((titles(run)[other], method, gain["accuracy"], gain[words]))
    return pd.DataFrame(rows, columns=["model", "method", "accuracy", "alignment"])


# By dimension, the value that its band is centred on, and the label of the axis.
_PANELS = {
    "accuracy": (0, "accuracy, difference"),
    "alignment": (1, "alignment: 0 chance, 1 ceiling"),
    "calibration": (0, "ECE, difference"),
}


def kept_panels(table: pd.DataFrame, names: Mapping[str, str], margins: Mapping[str, float]):
    """Draw each compressed model against the large one in accuracy, alignment and calibration; return the figure.

    table: rows of `compressions.compression_table` of one method, without the large model; several seeds of a model
    share a row. names: titles. margins: by measure; what counts as the same is green. Colours are the outcomes.
    """
    models = list(dict.fromkeys(table["model"]))
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(9, 1.2 + 0.34 * len(models)), sharey=True)
    for ax, (dimension, (centre, label)) in zip(axes, _PANELS.items(), strict=True):
        measure = measures_of(dimension)[0]
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

    table: rows of `compressions.compression_table` of one method, without the large model. names: titles.
    """
    ax = ax or plt.gca()
    models = list(dict.fromkeys(table["model"]))
    of = dict(zip(models, sns.color_palette("dark", len(models)), strict=True))
    (words,) = measures_of("alignment")
    for (name, rows), marker in zip(table.groupby("model", sort=False), "osD^vP*XhH<>" * 3, strict=False):
        points = rows[[x, words]]
        mean = points.mean()
        for point in points.to_numpy():
            ax.plot(*zip(mean, point, strict=True), color=of[name], linewidth=0.8, alpha=0.6)
        ax.plot(*points.to_numpy().T, marker, color=of[name], markersize=4, alpha=0.55, linestyle="none")
        shown = {"markersize": 9, "markeredgecolor": "white", "linestyle": "none"}
        ax.plot(*mean, marker, color=of[name], label=names[name], **shown)
    ax.set(xlabel=xlabel, ylabel="alignment: 0 chance, 1 ceiling")
    return ax
