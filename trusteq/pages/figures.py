"""Figures that several pages and the reports share: each takes a table and Axes, draws, and returns the Axes."""

import functools
import html
import io
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from trusteq import modality, words
from trusteq.alignment.overlap import PAPER_THRESHOLD
from trusteq.alignment.ranking import top_features
from trusteq.attribution.methods import METHODS
from trusteq.escapes import plain
from trusteq.pages.drawn import described, themed
from trusteq.registry import registered
from trusteq.verdict.handover import RISKS

# Of an SVG: it would name the time, the program and two addresses; without it the same figure is the same text.
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
STYLE = Path(__file__).with_name("style.mplstyle")
GREY = "0.55"
WIDTH = 5.2  # inches of a figure: a phone shows it whole, and its text can be read there
LABEL_LETTERS = 26  # of a row's name on one line
MOST_DOTS = 100  # of one box
_PAPERS_CUT = {f"the paper's cut, {PAPER_THRESHOLD}": PAPER_THRESHOLD}


def settled(figure: Figure) -> Figure:
    """Return a figure whose texts have their controls spelled out. That `$` starts no formula is in STYLE."""
    for text in figure.findobj(Text):
        text.set_text("\n".join(map(plain, text.get_text().split("\n"))))
    return figure


# Seaborn's "colorblind" without what is too faint on white or is a grey, which is no model's; with olive and slate.
_LARGE, *_SMALLER = map(
    to_rgb,
    ("#0173b2", "#029e73", "#cc78bc", "#ca9161", "#56b4e9", "#8c9a00", "#d55e00", "#de8f05", "#6f7fbf"),
)


def colours(models: Sequence[str]) -> dict[str, tuple]:
    """Return one colour per model, by name, the same in every experiment; the first of them is the large one.

    The large model has the first colour. A model of the registry has the colour of its place there, and any other the
    one after; one that is taken already gives way to the next that is free, as long as any is.
    """
    (large, *smaller), known = models or [None], list(registered()["models"])
    chosen = {large: _LARGE}
    for name in sorted(smaller, key=lambda name: known.index(name) if name in known else len(known)):
        start = known.index(name) if name in known else len(known)
        wanted = [_SMALLER[(start + step) % len(_SMALLER)] for step in range(len(_SMALLER))]
        chosen[name] = next((colour for colour in wanted if colour not in chosen.values()), wanted[0])
    return {name: chosen[name] for name in models}


def method_colours(methods: Sequence[str]) -> dict[str, tuple]:
    """Return one colour per method, the same everywhere; what decides is nearly black, and a single number grey."""
    known = dict(zip(METHODS, sns.color_palette("dark", len(METHODS)), strict=True)) | {"single": (0.55, 0.55, 0.55)}
    return {method: known.get(method, (0.2, 0.2, 0.2)) for method in methods}


# How marks beside a point are drawn; those without a colour have the point's.
_MARKS = {
    "chance": {"marker": "|", "color": "0.25", "markersize": 9},
    "ceiling": {"marker": "d", "markerfacecolor": "white", "markersize": 4.5},
}


def intervals(
    found: pd.DataFrame,
    names: Mapping[str, str],
    ax=None,
    *,
    columns: Sequence[str] = ("value", "low", "high"),
    marks: Sequence[str] = ("chance",),
    cut: Mapping[str, float] | None = None,
    xlabel: str,
    xlim: tuple[float, float] = (0, 1.02),
):
    """Draw points with their intervals, one row a model, or pair, the methods in colours of their own.

    columns: the value and the ends of its interval. marks: columns that are marked beside the point. cut: a line that
    is drawn across, by its name. names: titles of the sides, which are in model, or in model_a and model_b.
    """
    found = found.reset_index(drop=True)
    sides = [column for column in ("model", "model_a", "model_b") if column in found]
    keys, methods = list(zip(*(found[side] for side in sides), strict=True)), list(found["method"].unique())
    rows = list(dict.fromkeys(keys))
    ax = ax or rows_figure(len(rows))
    # What a row has stands around its middle, whatever other rows have.
    heights = pd.Series([float(rows.index(key)) for key in keys])
    place = found["method"].map(methods.index).groupby(heights).rank() - 1
    heights += 0.24 * (place - place.groupby(heights).transform("max") / 2)
    for method, color in method_colours(methods).items():
        of = (found["method"] == method).to_numpy()
        y = heights[of]
        value, low, high = (found.loc[of, column] for column in columns)
        ax.hlines(y, low, high, color=color, linewidth=1.6)
        ax.plot(value, y, "o", color=color, markersize=5, label=method)
        for mark in marks:
            ax.plot(found.loc[of, mark], y, linestyle="", **{"color": color} | _MARKS[mark])
    for mark in marks:
        ax.plot([], [], linestyle="", label=mark, **{"color": "0.25"} | _MARKS[mark])
    for name, value in (cut or {}).items():
        ax.axvline(value, color=GREY, linestyle="--", linewidth=1, label=name)
    legend_above([ax], ncols=3 if marks else 4)
    return named_rows(ax, [" – ".join(names[side] for side in row) for row in rows], xlabel=xlabel, xlim=xlim)


def rows_figure(n_rows: int):
    """Return the Axes of a new figure with so many rows, with room for names of two lines."""
    return plt.figure(figsize=(WIDTH, 1.4 + 0.31 * n_rows)).gca()


def alignment_intervals(alignment: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw the mean Jaccard of each pair with its 95% interval, between its chance level and its ceiling.

    alignment: the tables "alignment" or "controls", or rows of both. names: of models and controls.
    """
    columns, marks, xlabel = ("jaccard", "low", "high"), ("chance", "ceiling"), "mean Jaccard of the top words"
    ax = intervals(alignment, names, ax, columns=columns, marks=marks, cut=_PAPERS_CUT, xlabel=xlabel)
    return counted(ax, alignment["low"] > alignment["chance"], "rows surely agree beyond chance")


def entitled(ax, finding: str):
    """Have the title say what the Axes show, on as many lines as it takes; return the Axes."""
    letters = int(8.5 * ax.figure.get_figwidth() * ax.get_position().width)
    ax.set_title("\n".join(textwrap.wrap(finding, max(letters, 24))), loc="left", fontsize="medium")
    return ax


def said(ax) -> str:
    """Return the title of the Axes on one line."""
    return " ".join((ax.get_title(loc="left") or ax.get_title()).split())


def about(ax, what: str):
    """Have the title name first what it is about, such as a task; return the Axes."""
    return entitled(ax, f"{what}: {said(ax)}" if said(ax) else what)


def headed(figure, finding: str):
    """Have all panels of a figure say something together, above the legend; return the figure."""
    text = textwrap.fill(finding, int(12 * figure.get_figwidth()))
    if figure.legends:  # above it, since a title of the figure would lie on a legend outside the panels
        figure.legends[0].set_title(text, prop={"weight": "bold", "size": "medium"})
    else:
        figure.suptitle(text, weight="bold", size="medium")
    return figure


def counted(ax, holds: pd.Series, what: str):
    """Have the title say of how many rows something holds; return the Axes."""
    return entitled(ax, f"{holds.sum()} of {len(holds)} {what}")


def scale_intervals(alignment: pd.DataFrame, names: Mapping[str, str], ax=None, *, margin: float | None = None):
    """Draw each pair on the scale from chance, 0, to ceiling, 1, with its 95% interval.

    The rest is as in `alignment_intervals`. margin: how far below the ceiling counts as the same, drawn as a band. A
    pair without a place on the scale is left out; intervals are cut where the picture ends.
    """
    placed = alignment[alignment["normalised"].notna()]
    columns, xlabel = ("normalised", "normalised_low", "normalised_high"), "0: chance, 1: the explainer with itself"
    ax = intervals(placed, names, ax, columns=columns, marks=(), xlabel=xlabel, xlim=(-0.3, 1.3))
    if margin is not None:
        ax.axvspan(1 - margin, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
        counted(ax, placed["normalised_low"] >= 1 - margin, "surely come within the margin of the ceiling")
    for anchor in (0, 1):
        ax.axvline(anchor, color="0.25", linewidth=1)
    return ax


def interval(ax, y: float, value: float, low: float, high: float, *, color, within: tuple[float, float]) -> None:
    """Draw a point with its interval at one height; an arrow stands where they go beyond the ends of `within`."""
    first, last = within
    if low <= last and high >= first:
        ax.hlines(y, max(low, first), min(high, last), color=color, linewidth=2.4)
    if first <= value <= last:
        ax.plot(value, y, "o", color=color, markersize=7)
    reach = np.array([value, low, high])  # an end that is not known is nan
    for end, marker, is_beyond in ((first, "<", (reach < first).any()), (last, ">", (reach > last).any())):
        if is_beyond:
            ax.plot(end, y, marker, color=color, markersize=8, clip_on=False)


def point(ax, y: float, value: float, low: float, high: float, *, color, filled: bool) -> None:
    """Draw a number with its interval at one height, the point filled or hollow."""
    ax.hlines(y, low, high, color=color, linewidth=1.6)
    ax.plot(value, y, "o", color=color, markerfacecolor=color if filled else "white", markersize=5)


def spans(names: Sequence[str], marks: Mapping, cuts: Mapping[str, float] | None = None, ax=None, *, xlabel: str):
    """Draw from where to where each row reaches; its two ends are marked, and lines drawn across, by their names."""
    ax, rows = ax or rows_figure(len(names)), range(len(names))
    ax.hlines(rows, *marks.values(), color="0.6", linewidth=3)
    for (name, values), marker, width in zip(marks.items(), "|d", (2, 0.5), strict=True):
        how = {"color": "0.15", "markersize": 9, "markeredgewidth": width, "linestyle": "none"}
        ax.plot(values, rows, marker, label=name, **how)
    for (name, value), style in zip((cuts or {}).items(), (":", "--"), strict=False):
        ax.axvline(value, color=GREY, linestyle=style, linewidth=1.2, label=name)
    legend_above([ax], ncols=2)
    return named_rows(ax, names, xlabel=xlabel, xlim=(0, 1.04))


def named_rows(ax, names: Sequence[str], *, xlabel: str, xlim: tuple[float, float] | None = None):
    """Give the rows of a figure their names, on two lines where long, the first one at the top; return the Axes."""
    ax.set_yticks(range(len(names)), [_on_lines(name) for name in names])
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel=xlabel)
    if xlim:  # None would not leave the limits alone, but end their growing with the panels to come
        ax.set_xlim(xlim)
    ax.grid(axis="y", visible=False)
    return ax


def _on_lines(name: str) -> str:
    most = max(LABEL_LETTERS, len(name) // 2 + 6)  # so that two lines do, which is what a row has room for
    return textwrap.fill(name, most, break_on_hyphens=False)


def jaccard_distribution(examples: pd.DataFrame, titles: Mapping[str, str], large: str, ax=None):
    """Draw how the Jaccard of single examples is spread, for each model against the large one.

    The boxes are of all examples; of many, `MOST_DOTS` of each box are dots, evenly spaced in the order of the table.
    """
    ax = ax or plt.gca()
    rows = examples[examples["model_a"] == large].assign(model=lambda table: table["model_b"].map(titles))
    chosen = method_colours(list(rows["method"].unique()))
    what = {"x": "jaccard", "y": "model", "hue": "method", "hue_order": list(chosen), "palette": chosen, "ax": ax}
    each = rows.groupby(["method", "model"], sort=False)
    size, place = each["model"].transform("size"), each.cumcount()
    is_dot = place * MOST_DOTS // size != (place - 1) * MOST_DOTS // size
    sns.boxplot(rows, **what, width=0.6, showfliers=False, linewidth=1, boxprops={"alpha": 0.35})
    sns.stripplot(rows[is_dot], **what, dodge=True, size=3, alpha=0.6, legend=False)
    ax.axvline(rows["chance"].mean(), color="0.25", linewidth=1.2, label="mean chance")
    for name, value in _PAPERS_CUT.items():
        ax.axvline(value, color=GREY, linestyle="--", linewidth=1, label=name)
    dots = "one dot an example" if is_dot.all() else f"dots: {is_dot.sum():,} of {len(rows):,} examples"
    ax.set(xlim=(0, 1.02), xlabel=f"Jaccard with {titles[large]}, {dots}", ylabel="")
    ax.set_yticks(ax.get_yticks(), [_on_lines(name.get_text()) for name in ax.get_yticklabels()])
    ax.get_legend().remove()
    ax.figure.legend(loc="outside upper center", ncols=2)
    return entitled(ax, spread_title(rows))


def spread_title(examples: pd.DataFrame) -> str:
    """Return how far single examples lie apart, beside their mean. examples: model, method, jaccard."""
    of = examples.groupby(["model", "method"])["jaccard"]
    half = (of.quantile(0.75) - of.quantile(0.25)).max()
    return f"Of single examples the middle half spans up to {half:.2f}, around means of at most {of.mean().max():.2f}"


def reliability_diagram(table: pd.DataFrame, ax=None, *, color="C0", title: str = ""):
    """Draw accuracy against confidence by bin, the gap to the diagonal hatched.

    table: of `calibration.reliability_table`. A dot sits at the bin's mean confidence, its area the bin's share. With
    the columns low and high (`null_bands.consistency_bars`), grey bars show where 95% of the dots of a perfectly
    calibrated model would be.
    """
    ax = ax or plt.gca()
    filled = table[table["count"] > 0]
    middle, width = (filled["lower"] + filled["upper"]) / 2, filled["upper"] - filled["lower"]
    ax.bar(middle, filled["accuracy"], width=width, color=color, alpha=0.45, edgecolor="white")
    hatched = {"facecolor": "none", "edgecolor": "0.3", "hatch": "///", "linewidth": 0, "alpha": 0.6}
    ax.bar(middle, filled["accuracy"] - middle, bottom=middle, width=width, **hatched)
    if "low" in filled:
        bars = {"color": "0.25", "linewidth": 3.5, "alpha": 0.45, "zorder": 2}
        ax.vlines(filled["confidence"], filled["low"], filled["high"], **bars)
    ax.scatter(filled["confidence"], filled["accuracy"], s=6 + 90 * filled["share"], color=color, zorder=3)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, zorder=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=title, aspect="equal")
    ax.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    return ax


def confidence_histogram(table: pd.DataFrame, ax=None, *, color="C0", title: str = ""):
    """Draw the share of predictions per bin of confidence, with the mean confidence and the accuracy as lines."""
    ax = ax or plt.gca()
    middle, width = (table["lower"] + table["upper"]) / 2, table["upper"] - table["lower"]
    ax.bar(middle, table["share"], width=width, color=color, alpha=0.6, edgecolor="white")
    for column, style in (("confidence", "-"), ("accuracy", "--")):
        mean = (table["share"] * table[column].fillna(0)).sum()
        ax.axvline(mean, color="0.2", linestyle=style, linewidth=1.2, label=column)
    ax.set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="confidence", ylabel="share of predictions", title=title)
    return ax


def per_model(reliability: pd.DataFrame, draw, titles: Mapping[str, str]):
    """Draw one panel per model with `draw` (`reliability_diagram` or `confidence_histogram`); return the figure."""
    of, chosen = dict(iter(reliability.groupby("model"))), colours(list(titles))
    panels = [(title, functools.partial(draw, of[model], color=chosen[model])) for model, title in titles.items()]
    return small_multiples(panels, columns=2, size=(WIDTH / min(len(panels), 2), 2.5 if len(panels) > 2 else 3.2))


def sureness_title(reliability: pd.DataFrame) -> str:
    """Return how many models are surer than they are right. reliability: tables by model, one below the other."""
    filled = reliability[reliability["count"] > 0]
    gaps = (filled["share"] * (filled["confidence"] - filled["accuracy"])).groupby(filled["model"]).sum()
    return f"{(gaps > 0).sum()} of {len(gaps)} models are surer than they are right, by {gaps.max():+.2f} at most"


def last_bin_title(reliability: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Return from which share to which, by model, the predictions are in the last bin of confidence."""
    last = reliability[reliability["lower"] == reliability["lower"].max()].set_index("model")["share"]
    ends = (f"{last[name]:.0%} ({titles[name]})" for name in (last.idxmin(), last.idxmax()))
    return f"Surer than {reliability['lower'].max():g}: from {' to '.join(ends)} of the predictions"


def per_method(table: pd.DataFrame, draw, *, height: float = 4.0, names: Iterable[str] = ()):
    """Draw one panel per method with `draw(rows, ax=ax)`; return the figure.

    names: of rows in the panels, which stand below each other where one of these is long.
    """
    panels = [(method, functools.partial(draw, rows)) for method, rows in table.groupby("method", sort=False)]
    columns = 1 if max(map(len, names), default=0) > LABEL_LETTERS else min(len(panels), 2)
    return small_multiples(panels, columns=columns, size=(WIDTH / columns, height))


def small_multiples(
    panels: Sequence[tuple[str, Callable]], *, columns: int = 3, size: tuple[float, float] = (3, 3.1), sharex=True
):
    """Draw each panel under its title, on axes of one scale, with one legend above all; return the figure.

    panels: title, and what draws on `ax`. columns: at most. size: of one panel, in inches. sharex: whether panels below
    each other have one scale to the right as well.
    """
    columns = 2 if len(panels) == 4 and columns > 1 else min(columns, len(panels))
    rows = -(-len(panels) // columns)
    whole = {"figsize": (size[0] * columns, size[1] * rows), "squeeze": False}
    figure, axes = plt.subplots(rows, columns, sharex=sharex, sharey=True, **whole)
    for place, (ax, (title, draw)) in enumerate(zip(axes.flat, panels, strict=False)):
        draw(ax=ax)
        finding = ax.get_title(loc="left")
        ax.set_title("", loc="left")
        lines = (textwrap.fill(" ".join(of.split()), int(9 * size[0])) for of in (title, finding) if of)
        ax.set_title("\n".join(lines), fontsize="medium")  # longer ones would run into each other
        is_lowest = not sharex or place + columns >= len(panels)
        ax.tick_params(labelbottom=is_lowest)
        ax.set(xlabel=ax.get_xlabel() if is_lowest else "", ylabel="" if place % columns else ax.get_ylabel())
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    legend_above(figure.axes)
    return figure


def from_zero(figure):
    """Let the heights of a figure whose panels share them begin at 0; return it."""
    figure.axes[0].set_ylim(0)  # once all is drawn: a limit set earlier would cut later panels
    return figure


def legend_above(axes: Sequence, ncols: int = 4) -> None:
    """Put one legend above the figure, which names once what several of its Axes draw."""
    handles: dict = {}
    for handle, name in (pair for ax in axes for pair in zip(*ax.get_legend_handles_labels(), strict=True)):
        handles.setdefault(name, handle)
    if handles:
        where = {"loc": "outside upper center", "ncols": min(ncols, len(handles)), "columnspacing": 1.2}
        axes[0].figure.legend(handles.values(), handles.keys(), **where)


OUTCOME_COLOURS = {"equivalent": "#1b7f4d", "undecided": "#8a6d00", "not-equivalent": "#b3261e"}
_WIDEST = 4  # margins: intervals beyond are cut, with an arrow


def margin_intervals(dimensions: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw the difference of each measure with its 95% interval in units of its margin; the band is equivalence.

    dimensions: of an audit, one row per measure. titles: of the measures, by name.
    """
    ax = ax or rows_figure(len(dimensions))
    ax.axvspan(-1, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
    for y, row in enumerate(dimensions.itertuples()):
        if np.isfinite(row.difference):
            ends = np.array([row.difference, row.low, row.high]) / (row.margin or np.nan)
            interval(ax, y, *ends.tolist(), color=OUTCOME_COLOURS[row.outcome], within=(-_WIDEST, _WIDEST))
        else:
            ax.annotate("cannot be measured on these texts", (0, y), ha="center", va="center", fontsize=9)
    ax.axvline(0, color=GREY, linewidth=1)
    xlabel = "difference (compressed − large) in units of the margin"
    return named_rows(ax, [titles[name] for name in dimensions["measure"]], xlim=(-_WIDEST, _WIDEST), xlabel=xlabel)


def alignment_curve(curve: pd.DataFrame, ax=None, *, color="C0", label: str = "the pair", k: int | None = None):
    """Draw the mean Jaccard over the size k of the top sets, with its 95% interval, above the chance level.

    curve: of `alignment.curve`: k, jaccard, low, high, chance. k: where a line marks the size in use.
    """
    ax = ax or plt.gca()
    ax.fill_between(curve["k"], 0, curve["chance"], color="0.9", linewidth=0)
    ax.plot(curve["k"], curve["chance"], color="0.45", linewidth=1.2, label="chance")
    ax.fill_between(curve["k"], curve["low"], curve["high"], color=color, alpha=0.25, linewidth=0)
    ax.plot(curve["k"], curve["jaccard"], color=color, marker="o", markersize=3, label=label)
    if k is not None:
        ax.axvline(k, color=GREY, linestyle="--", linewidth=1)
    counted(ax, curve["low"] > curve["chance"], "sizes of the top set agree beyond chance")
    ax.set(xlabel="k, words in each top set", ylabel="mean Jaccard", ylim=(0, 1), xlim=(1, curve["k"].max()))
    ax.legend(loc="lower right")
    return ax


def handover_curve(table: pd.DataFrame, ax=None, *, chosen: pd.DataFrame | None = None):
    """Draw what is lost over the share of inputs that the small model answers alone, a line for each risk.

    table: of `handover.handover_curve`. chosen: of `handover.handover`, its thresholds marked where they came out, each
    with its interval, and its level as a tick at the share.
    """
    ax = ax or plt.gca()
    for (name, risk), color in zip(RISKS.items(), sns.color_palette("dark", len(RISKS)), strict=True):
        ax.plot(table["share"], table[name], color=color, linewidth=1.6, label=risk.title)
        if chosen is not None:
            at = chosen[(chosen["risk"] == name) & chosen["threshold"].notna()]
            ax.vlines(at["share"], at["realised_low"], at["realised_high"], color=color, linewidth=1.2)
            ax.plot(at["share"], at["realised"], "o", color=color, markersize=5, clip_on=False)
            ax.plot(at["share"], at["level"], "_", color=color, markersize=10, markeredgewidth=2)
    if chosen is not None:
        ax.plot([], [], "o", color="0.25", markersize=5, label="chosen on dev")
        ax.plot([], [], "_", color="0.25", markersize=10, markeredgewidth=2, label="promised at most")
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set(xlim=(0, 1), xlabel="share of inputs answered by the small model", ylabel="risk over all inputs")
    ax.legend(loc="upper left")
    return entitled(ax, handover_title(table, chosen))


def handover_title(table: pd.DataFrame, chosen: pd.DataFrame | None) -> str:
    """Return how many chosen thresholds kept what they promise, or what is lost without any hand-over."""
    used = None if chosen is None else chosen[chosen["threshold"].notna()]
    if used is not None and len(used):
        return f"{(used['realised'] <= used['level']).sum()} of {len(used)} thresholds lose no more than promised"
    alone = table.loc[table["share"].idxmax()]
    lost = (f"{risk.title} {alone[name]:+.1%}" for name, risk in RISKS.items())
    return f"Of all inputs answered alone: {', '.join(lost)}"


def inline(draw: Callable) -> dict[str, str]:
    """Return what `draw` puts on a new figure, in the book's style: its SVG, and its text for who cannot see it.

    The caller's figures stay as they are. Colours are variables, so that the page can be dark.
    """
    open_before = set(plt.get_fignums())
    with plt.style.context(STYLE):
        plt.figure()  # what draws on the current axes would draw on the caller's
        draw()
        file = io.StringIO()
        alt = described(plt.gcf())
        settled(plt.gcf()).savefig(file, format="svg", metadata=NO_METADATA, bbox_inches="tight")
    for opened in set(plt.get_fignums()) - open_before:
        plt.close(opened)
    text = file.getvalue()
    return {"svg": themed(text[text.index("<svg") :]), "alt": alt}


def highlights(
    attributions: pd.DataFrame, examples: pd.DataFrame, labels: Sequence[str], *, title: str = "", k: int = 10
) -> HTML:
    """Return the texts, images or sound with each part coloured by its weight for the gold label, its top `k` framed.

    Blue speaks for the label, orange against it; strength is relative to the example's largest weight.
    """
    gold = examples.set_index("id")["label"].map(dict(enumerate(labels)))  # the class by id
    shown = attributions[attributions["id"].isin(gold.index)]
    gold = gold[gold.index.isin(shown["id"])]
    if gold.empty:
        return HTML(f"<p>{html.escape(title)}: none of the explained examples belongs here.</p>")
    top = top_features(shown, k=k, label=gold)
    parts, kind = [f"<p><strong>{html.escape(title)}</strong></p>"] if title else [], modality.of(examples)
    for example in examples[examples["id"].isin(gold.index)].itertuples():
        rows = shown[(shown["id"] == example.id) & (shown["label"] == gold[example.id])]
        weights = {(row.segment, row.position): row.weight for row in rows.itertuples()}
        if kind is None:
            texts = [text for text in (example.text_a, example.text_b) if isinstance(text, str)]
            marked = [_marked(text, segment, weights, top[example.id]) for segment, text in enumerate(texts)]
        else:
            marked = [kind.marked(example, weights, top[example.id], attributions.attrs.get("features"))]
        heading = f"<small>{html.escape(example.id)}, {html.escape(gold[example.id])}</small>"
        parts.append(f'<p class="tq-example">{heading}<br>{"<br>".join(marked)}</p>')
    return HTML("\n".join(parts))


def _marked(text: str, segment: int, weights: Mapping[tuple[int, int], float], top: frozenset) -> str:
    """Return one text as HTML: every word in a coloured span, everything else escaped as it stands."""
    largest = max(map(abs, weights.values())) or 1.0
    pieces, end = [], 0
    for position, (start, stop) in enumerate(words.spans(text)):
        weight = weights[segment, position]
        colour = "58, 110, 220" if weight > 0 else "235, 130, 20"
        frame = "outline: 1px solid currentColor;" if (segment, position) in top else ""
        strength = f"calc({0.75 * abs(weight) / largest:.2f} * var(--tq-strength, 1))"  # less where the page is dark
        style = f"background: rgba({colour}, {strength}); {frame}"
        pieces.append(html.escape(text[end:start]))
        word = html.escape(text[start:stop])
        pieces.append(f'<span class="tq-word" style="{style}" title="{weight:+.4f}">{word}</span>')
        end = stop
    return "".join((*pieces, html.escape(text[end:])))
