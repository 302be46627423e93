"""The page on ways to compress."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.pages.figures import (
    GREY,
    OUTCOME_COLOURS,
    WIDTH,
    about,
    colours,
    entitled,
    headed,
    legend_above,
    named_rows,
)
from trusteq.pages.show import open_with, put, show, titles, view
from trusteq.pages.status import run_line
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, OUTCOMES, UNDECIDED, load_margins, measures_of

(WORDS,), ERROR = measures_of("alignment"), measures_of("calibration")[0]
# What a model keeps; the verdict first, since narrow screens scroll.
_TRUST = {"model": "model", "seed": "seed", "verdict": "verdict", "accuracy": "accuracy", "Jaccard": "jaccard"}
_TRUST |= {"chance": "chance", "ceiling": "ceiling", "0 to 1": WORDS, "95%": (f"{WORDS}_low", f"{WORDS}_high")}
_TRUST |= {"ECE change": f"{ERROR}_difference"}
# What it costs: the columns, their titles, and what one is in theirs.
_COSTS = {
    "parameters": ("parameters M", 1e6),
    "nonzero_parameters": ("non-zero M", 1e6),
    "weights_bytes": ("on disk MB", 1e6),
    "latency_1_ms": ("1 text ms", 1),
    "latency_32_ms": ("32 texts ms", 1),
    "peak_memory_bytes": ("peak memory MB", 1e6),
}
# By dimension, the value that its band is centred on, and the label of the axis.
_PANELS = {
    "accuracy": (0, "accuracy,\ndifference"),
    "alignment": (1, "alignment,\n0 chance, 1 ceiling"),
    "calibration": (0, "ECE,\ndifference"),
}


def applies(experiment: Experiment) -> bool:
    """Return whether an experiment has a model that is compressed after its fine-tuning."""
    return any(experiment.model(name).compress for name in experiment.models)


def opening(run: Results, task: str) -> None:
    """Say in one sentence how many smaller models may replace the large one, and draw what words cost in bytes."""
    small = _small(run, task).assign(megabytes=lambda table: table["weights_bytes"] / 1e6)
    large = run.compression(task, "models").query("model == @run.experiment.large")["weights_bytes"].iloc[0]
    open_with(
        answer(small, large), frontiers(small, titles(run), {"megabytes": "MB on disk"}, height=4.6), run_line(run)
    )


def answer(small: pd.DataFrame, large: float) -> str:
    """Return in one sentence how many models are equivalent to the large one, and the least bytes of such a one.

    small: rows of `compressions.compression_table` without the large model; the first method is the one that decides.
    large: bytes of the large model.
    """
    of = small[small["method"] == small["method"].iloc[0]]
    alike, unlike, unsaid = (of["verdict"] == outcome for outcome in (EQUIVALENT, DIFFERENT, UNDECIDED))
    least = of.loc[alike, "weights_bytes"].min() / large
    smallest = f"; the smallest that is equivalent takes {least:.0%} of the large one's bytes" if alike.any() else ""
    return (
        f"The evidence calls {alike.sum()} of {len(of)} smaller models, every training counted, equivalent to the "
        f"large one, {unlike.sum()} not equivalent, and leaves {unsaid.sum()} undecided, their words found by "
        f"{of['method'].iloc[0]}{smallest}."
    )


def costs(run: Results, task: str) -> None:
    """Show what each model costs where it is used."""
    put(show(cost_table(run.compression(task, "models"), titles(run), run.compression(task, "footprints")), digits=2))


def kept(run: Results, task: str) -> None:
    """Show what each model keeps of accuracy, words and calibration, count the verdicts, and draw all of it."""
    put(*trust_tables(run.compression(task, "models"), run))
    put(show(count_table(_small(run, task)), caption="How many verdicts of each kind"))
    for method, rows in _small(run, task).groupby("method", sort=False):
        alike = rows["verdict"] == EQUIVALENT
        finding = f"{method}: {alike.sum()} of {len(rows)} equivalent, every training counted"
        put(headed(kept_panels(rows, titles(run)), finding))


def recovery(run: Results, task: str) -> None:
    """Show what training on after the compression adds, of each model that is there with and without it."""
    found = recovery_table(_small(run, task), run)
    shown = show(found, formats={"alignment": "{:+z.2f}", "accuracy": "{:+z.3f}"})
    put(shown if len(found) else "No model is here both with and without training after the compression.")


def _small(run: Results, task: str) -> pd.DataFrame:
    table = run.compression(task, "models")
    return table[table["model"] != run.experiment.large].reset_index(drop=True)


def cost_table(table: pd.DataFrame, names: Mapping[str, str], footprints: pd.DataFrame) -> pd.DataFrame:
    """Return what each model costs: one row a model, its first seed.

    table: of `compressions.compression_table`. names: titles. footprints: model, latency_1_ms, latency_32_ms,
    peak_memory_bytes.
    """
    measured = footprints[["model", "latency_1_ms", "latency_32_ms", "peak_memory_bytes"]]
    first = table.drop_duplicates("model").merge(measured, on="model", how="left")
    costs = {title: first[column] / unit for column, (title, unit) in _COSTS.items()}
    return pd.DataFrame({"model": first["model"].map(names)} | costs)


def trust_tables(table: pd.DataFrame, run: Results) -> list:
    """Return what each model keeps of the large one's accuracy, words and calibration, one styled table a method.

    table: rows of `compressions.compression_table`. The alignment is the place between chance, 0, and ceiling, 1.
    """
    formats = {"accuracy": "{:.3f}", "ECE change": "{:+z.3f}"}
    parts = []
    for method, rows in table.groupby("method", sort=False):
        found = view(rows, run, _TRUST)
        if not rows.duplicated("model").any():
            found = found.drop(columns="seed", errors="ignore")
        found["95% "] = view(rows, run, {"95%": (f"{ERROR}_low", f"{ERROR}_high")}, digits=3)["95%"]
        parts.append(show(found, digits=2, formats=formats, caption=method))
    return parts


def count_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return how many of the compressed models, each training seed for itself, have each verdict, by method."""
    counts = pd.crosstab(table["method"], table["verdict"]).reindex(columns=list(OUTCOMES), fill_value=0)
    return counts.reindex(table["method"].unique()).reset_index()


def recovery_table(table: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return what training on after the compression adds: model (that has it), method, accuracy, alignment."""
    specs = {name: run.experiment.model(name).compress for name in table["model"].unique()}
    further = {name: of.model_copy(update={"recover": True}) for name, of in specs.items() if of and not of.recover}
    rows = []
    for method, of in table.drop_duplicates(["method", "model"]).groupby("method", sort=False):
        values = of.set_index("model")[["accuracy", WORDS]]
        for name, wanted in further.items():
            for other in (other for other, spec in specs.items() if spec == wanted):
                rows.append((titles(run)[other], method, *(values.loc[other] - values.loc[name])))
    return pd.DataFrame(rows, columns=["model", "method", "accuracy", "alignment"])


def kept_panels(table: pd.DataFrame, names: Mapping[str, str]):
    """Draw each compressed model against the large one in accuracy, alignment and calibration; return the figure.

    table: rows of `compressions.compression_table` of one method, without the large model; several seeds of a model
    share a row. names: titles. What counts as the same by the margins is green. Colours are the outcomes.
    """
    models, margins = list(dict.fromkeys(table["model"])), load_margins()
    heights = table["model"].map(models.index) + 0.18 * table.groupby("model").cumcount()
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(WIDTH, 1.8 + 0.36 * len(models)), sharey=True)
    for ax, (dimension, (centre, label)) in zip(axes, _PANELS.items(), strict=True):
        measure = measures_of(dimension)[0]
        ax.axvline(centre, color=GREY, linewidth=1)
        for y, row in zip(heights, table.to_dict("records"), strict=True):
            colour, value = OUTCOME_COLOURS[row[f"{measure}_outcome"]], measure if centre else f"{measure}_difference"
            ax.hlines(y, row[f"{measure}_low"], row[f"{measure}_high"], color=colour, linewidth=1.8)
            ax.plot(row[value], y, "o", color=colour, markersize=5)
        # Only less alignment counts against a model; in the other measures more does as well.
        margin, green = margins[measure].margin, OUTCOME_COLOURS["equivalent"]
        ax.axvspan(centre - margin, ax.get_xlim()[1] if centre else margin, color=green, alpha=0.12, linewidth=0)
        named_rows(ax, [names[name] for name in models], xlabel=label).locator_params(axis="x", nbins=3)
        alike = table[f"{measure}_outcome"] == EQUIVALENT
        ax.set_title(f"{alike.sum()} of {len(alike)}\nthe same", fontsize="medium")
    for outcome, colour in OUTCOME_COLOURS.items():
        axes[0].plot([], [], "o", color=colour, label=outcome)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def frontiers(table: pd.DataFrame, names: Mapping[str, str], over: Mapping[str, str], *, height: float):
    """Draw `frontier` for each method, a column, and each of several columns of the table, a row; return the figure.

    over: labels of the axes by columns. height: of all, in inches.
    """
    methods = list(table.groupby("method", sort=False))
    shape = {"figsize": (WIDTH, height), "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(len(over), len(methods), **shape)
    for at, (method, rows) in enumerate(methods):
        for ax, (x, xlabel) in zip(axes[:, at], over.items(), strict=True):
            frontier(rows, names, ax, x=x, xlabel=xlabel).locator_params(axis="x", nbins=4)
            ax.set_ylabel("" if at else ax.get_ylabel())
        about(entitled(axes[0, at], furthest(rows, names)), method)
    legend_above([axes[0, -1]], ncols=2)
    return figure


def furthest(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Return which model comes furthest from chance, 0, to ceiling, 1, in the mean over its training seeds."""
    means = table.groupby("model")[WORDS].mean()
    return f"{names[means.idxmax()]} comes furthest, to {means.max():.2f}" if means.notna().any() else "no place known"


def frontier(table: pd.DataFrame, names: Mapping[str, str], ax, *, x: str, xlabel: str):
    """Draw alignment over another column, one colour a model, a small dot for each training seed, a large one the mean.

    table: rows of `compressions.compression_table` of one method, without the large model. names: titles.
    """
    by = table.groupby("model", sort=False)
    chosen = colours(list(names))
    for (name, rows), marker in zip(by, "osD^vP*XhH<>" * 3, strict=False):
        color = chosen[name]
        points, mean = rows[[x, WORDS]].to_numpy(), rows[[x, WORDS]].mean()
        for point in points:
            ax.plot(*zip(mean, point, strict=True), color=color, linewidth=0.8, alpha=0.6)
        ax.plot(*points.T, marker, color=color, markersize=4, alpha=0.55, linestyle="none")
        shown = {"markersize": 9, "markeredgecolor": "white", "linestyle": "none"}
        ax.plot(*mean, marker, color=color, label=names[name], **shown)
    ax.set(xlabel=xlabel, ylabel="alignment: 0 chance, 1 ceiling")
    return ax
