"""Figures that several pages and the reports share: each takes a table and Axes, draws, and returns the Axes."""

import functools
import html
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML

from trusteq import words
from trusteq.alignment.overlap import PAPER_THRESHOLD
from trusteq.alignment.ranking import top_features

STYLE = Path(__file__).with_name("style.mplstyle")
GREY = "0.55"


def colours(models: Sequence[str]) -> dict[str, tuple]:
    """Return one colour per model, the same on every page of an experiment."""
    return dict(zip(models, sns.color_palette("colorblind", len(models)), strict=True))


def alignment_intervals(alignment: pd.DataFrame, names: Mapping[str, str], ax=None):
    """Draw the mean Jaccard of each pair with its 95% interval, between its chance level and its ceiling.

    alignment: the tables "alignment" or "controls", or rows of both. names: of models and controls. The
    dashed line is the paper's cut at 0.7.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.42 * len(_pairs(alignment)))).gca()
    for row, y, color, label in _dots(alignment):
        ax.hlines(y, row.low, row.high, color=color, linewidth=1.6)
        ax.plot(row.jaccard, y, "o", color=color, markersize=5, label=label)
        ax.plot(row.chance, y, "|", color="0.25", markersize=9)
        ax.plot(row.ceiling, y, "d", color=color, markerfacecolor="white", markersize=4.5)
    ax.plot([], [], "|", color="0.25", markersize=9, label="chance")
    ax.plot([], [], "d", color="0.25", markerfacecolor="white", markersize=4.5, label="ceiling")
    ax.axvline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    return _rows(ax, alignment, names, xlim=(0, 1.02), xlabel="mean Jaccard of the top words")


def scale_intervals(alignment: pd.DataFrame, names: Mapping[str, str], ax=None, *, margin: float | None = None):
    """Draw each pair on the scale from chance, 0, to ceiling, 1, with its 95% interval.

    The rest is as in `alignment_intervals`. margin: how far below the ceiling counts as the same, drawn as a band. A
    pair without a place on the scale is left out; intervals are cut where the picture ends.
    """
    alignment = alignment[alignment["normalised"].notna()]
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.42 * len(_pairs(alignment)))).gca()
    if margin is not None:
        ax.axvspan(1 - margin, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
    for row, y, color, label in _dots(alignment):
        ax.hlines(y, row.normalised_low, row.normalised_high, color=color, linewidth=1.6)
        ax.plot(row.normalised, y, "o", color=color, markersize=5, label=label)
    for anchor in (0, 1):
        ax.axvline(anchor, color="0.25", linewidth=1)
    return _rows(ax, alignment, names, xlim=(-0.3, 1.3), xlabel="0: chance, 1: the explainer with itself")


def _pairs(alignment: pd.DataFrame) -> list[tuple[str, str]]:
    return list(dict.fromkeys(zip(alignment["model_a"], alignment["model_b"], strict=True)))


def _dots(alignment: pd.DataFrame) -> Iterator[tuple]:
    """Yield each row with its height, the colour of its method, and the method's name where it comes first."""
    pairs, methods = _pairs(alignment), list(alignment["method"].unique())
    palette = sns.color_palette("dark", len(methods))
    for method, color in zip(methods, palette, strict=True):
        shift = 0.22 * (methods.index(method) - (len(methods) - 1) / 2)
        for number, row in enumerate(alignment[alignment["method"] == method].itertuples()):
            yield row, pairs.index((row.model_a, row.model_b)) + shift, color, None if number else method


def _rows(ax, alignment: pd.DataFrame, names: Mapping[str, str], *, xlim: tuple[float, float], xlabel: str):
    pairs = _pairs(alignment)
    ax.set_yticks(range(len(pairs)), [f"{names[a]} – {names[b]}" for a, b in pairs])
    ax.set(xlim=xlim, xlabel=xlabel, ylim=(len(pairs) - 0.5, -0.5))
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return ax


def jaccard_distribution(examples: pd.DataFrame, titles: Mapping[str, str], large: str, ax=None):
    """Draw how the Jaccard of single examples is spread, for each model against the large one."""
    ax = ax or plt.gca()
    rows = examples[examples["model_a"] == large].assign(model=lambda table: table["model_b"].map(titles))
    sns.boxplot(
        rows, x="jaccard", y="model", hue="method", palette="pastel", width=0.6, fliersize=0, ax=ax, linewidth=1
    )
    sns.stripplot(
        rows, x="jaccard", y="model", hue="method", palette="dark", dodge=True, size=3, alpha=0.6, legend=False, ax=ax
    )
    ax.axvline(rows["chance"].mean(), color="0.25", linewidth=1.2, label="mean chance")
    ax.axvline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    ax.set(xlim=(0, 1.02), xlabel=f"Jaccard with {titles[large]}, one dot an example", ylabel="")
    ax.get_legend().remove()
    ax.figure.legend(loc="outside upper center", ncols=4)
    return ax


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
    gap = filled["accuracy"] - middle
    ax.bar(
        middle, gap, bottom=middle, width=width, facecolor="none", edgecolor="0.3", hatch="///", linewidth=0, alpha=0.6
    )
    if "low" in filled:
        ax.vlines(
            filled["confidence"], filled["low"], filled["high"], color="0.25", linewidth=3.5, alpha=0.45, zorder=2
        )
    ax.scatter(filled["confidence"], filled["accuracy"], s=10 + 200 * filled["share"], color=color, zorder=3)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, zorder=2)
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy", title=title, aspect="equal")
    return ax


def confidence_histogram(table: pd.DataFrame, ax=None, *, color="C0", title: str = ""):
    """Draw the share of predictions per bin of confidence, with the mean confidence and the accuracy as lines."""
    ax = ax or plt.gca()
    middle, width = (table["lower"] + table["upper"]) / 2, table["upper"] - table["lower"]
    ax.bar(middle, table["share"], width=width, color=color, alpha=0.6, edgecolor="white")
    for column, style in (("confidence", "-"), ("accuracy", "--")):
        ax.axvline(
            (table["share"] * table[column].fillna(0)).sum(), color="0.2", linestyle=style, linewidth=1.2, label=column
        )
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of predictions", title=title)
    return ax


def per_model(reliability: pd.DataFrame, draw, titles: Mapping[str, str]):
    """Draw one panel per model with `draw` (`reliability_diagram` or `confidence_histogram`); return the figure."""
    chosen = colours(list(titles))
    panels = [
        (title, functools.partial(draw, reliability[reliability["model"] == model], color=chosen[model]))
        for model, title in titles.items()
    ]
    return small_multiples(panels)


def per_method(table: pd.DataFrame, draw, *, height: float = 4.0):
    """Draw one panel per method with `draw(rows, ax=ax)`; return the figure."""
    panels = [(method, functools.partial(draw, rows)) for method, rows in table.groupby("method", sort=False)]
    return small_multiples(panels, columns=2, size=(4.3 if len(panels) > 1 else 7, height))


def small_multiples(
    panels: Sequence[tuple[str, Callable]], *, columns: int = 3, size: tuple[float, float] = (3, 3.1), sharex=True
):
    """Draw each panel under its title, on axes of one scale, with one legend above all; return the figure.

    panels: title, and what draws on `ax`. columns: at most. size: of one panel, in inches. sharex: whether panels below
    each other have one scale to the right as well.
    """
    columns = 2 if len(panels) == 4 else min(columns, len(panels))
    rows = -(-len(panels) // columns)
    whole = {"figsize": (size[0] * columns, size[1] * rows), "squeeze": False}
    figure, axes = plt.subplots(rows, columns, sharex=sharex, sharey=True, **whole)
    for place, (ax, (title, draw)) in enumerate(zip(axes.flat, panels, strict=False)):
        draw(ax=ax)
        ax.set_title(textwrap.fill(title, int(9 * size[0])))  # longer ones would run into each other
        is_lowest = not sharex or place + columns >= len(panels)
        ax.tick_params(labelbottom=is_lowest)
        ax.set(xlabel=ax.get_xlabel() if is_lowest else "", ylabel="" if place % columns else ax.get_ylabel())
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    _legend_above(figure)
    return figure


def from_zero(figure):
    """Let the heights of a figure whose panels share them begin at 0; return it."""
    figure.axes[0].set_ylim(0)  # once all is drawn: a limit set earlier would cut later panels
    return figure


def _legend_above(figure) -> None:
    handles: dict = {}
    for ax in figure.axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=min(4, len(handles)))


OUTCOME_COLOURS = {"equivalent": "#1b7f4d", "undecided": "#8a6d00", "not-equivalent": "#b3261e"}
_WIDEST = 4  # margins: intervals beyond are cut, with an arrow


def margin_intervals(dimensions: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw the difference of each measure with its 95% interval in units of its margin; the band is equivalence.

    dimensions: of an audit, one row per measure. titles: of the measures, by name.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.5 * len(dimensions))).gca()
    ax.axvspan(-1, 1, color="#1b7f4d", alpha=0.12, linewidth=0)
    for y, row in enumerate(dimensions.itertuples()):
        if not np.isfinite(row.difference):
            ax.annotate("cannot be measured on these texts", (0, y), ha="center", va="center", fontsize=9)
            continue
        value, low, high = (np.array([row.difference, row.low, row.high]) / (row.margin or np.nan)).tolist()
        colour = OUTCOME_COLOURS[row.outcome]
        ax.hlines(y, max(low, -_WIDEST), min(high, _WIDEST), color=colour, linewidth=2.4)
        if -_WIDEST <= value <= _WIDEST:
            ax.plot(value, y, "o", color=colour, markersize=7)
        for end, beyond in ((-_WIDEST, low < -_WIDEST), (_WIDEST, high > _WIDEST)):
            if beyond:
                ax.plot(end, y, marker="<" if end < 0 else ">", color=colour, markersize=8, clip_on=False)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set_yticks(range(len(dimensions)), [titles[name] for name in dimensions["measure"]])
    ax.set(xlim=(-_WIDEST, _WIDEST), ylim=(len(dimensions) - 0.5, -0.5))
    ax.set(xlabel="difference (compressed − large) in units of the margin")
    ax.grid(axis="y", visible=False)
    return ax


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
    ax.set(xlabel="k, words in each top set", ylabel="mean Jaccard", ylim=(0, 1), xlim=(1, curve["k"].max()))
    ax.legend(loc="lower right")
    return ax


def _gold(examples: pd.DataFrame, labels: Sequence[str]) -> pd.Series:
    """Return the gold class name of each example, by id."""
    return examples.set_index("id")["label"].map(dict(enumerate(labels)))


def highlights(
    attributions: pd.DataFrame, examples: pd.DataFrame, labels: Sequence[str], *, title: str = "", k: int = 10
) -> HTML:
    """Return the texts with each word coloured by its weight for the gold label and its top `k` framed.

    Blue speaks for the label, orange against it; strength is relative to the example's largest weight.
    """
    gold = _gold(examples, labels)
    shown = attributions[attributions["id"].isin(gold.index)]
    gold = gold[gold.index.isin(shown["id"])]
    if gold.empty:
        return HTML(f"<p>{html.escape(title)}: none of the explained examples belongs here.</p>")
    top = top_features(shown, k=k, label=gold)
    parts = [f"<p><strong>{html.escape(title)}</strong></p>"] if title else []
    for example in examples[examples["id"].isin(gold.index)].itertuples():
        rows = shown[(shown["id"] == example.id) & (shown["label"] == gold[example.id])]
        weights = {(row.segment, row.position): row.weight for row in rows.itertuples()}
        texts = [text for text in (example.text_a, example.text_b) if isinstance(text, str)]
        marked = [_marked(text, segment, weights, top[example.id]) for segment, text in enumerate(texts)]
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
        style = f"background: rgba({colour}, {0.75 * abs(weight) / largest:.2f}); {frame}"
        pieces.append(html.escape(text[end:start]))
        word = html.escape(text[start:stop])
        pieces.append(f'<span class="tq-word" style="{style}" title="{weight:+.4f}">{word}</span>')
        end = stop
    return "".join((*pieces, html.escape(text[end:])))
