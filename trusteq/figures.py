"""Figures of the book: each function takes a table and Axes, draws, and returns the Axes. None saves a file."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import HTML

from trusteq import words
from trusteq.alignment import PAPER_THRESHOLD, top_features

STYLE = Path(__file__).with_name("style.mplstyle")
GREY = "0.55"


def colours(models: Sequence[str]) -> dict[str, tuple]:
    """Return one colour per model, the same on every page of an experiment."""
    return dict(zip(models, sns.color_palette("colorblind", len(models)), strict=True))


def training_history(history: pd.DataFrame, ax=None):
    """Draw training loss, dev loss and dev accuracy over epochs; a grey line marks the epoch that is kept."""
    ax = ax or plt.gca()
    accuracy = ax.twinx()
    ax.plot(history["epoch"], history["loss"], marker="o", color="C0", label="loss, training")
    ax.plot(history["epoch"], history["eval_loss"], marker="s", color="C0", linestyle="--", label="loss, dev")
    accuracy.plot(history["epoch"], history["eval_accuracy"], marker="^", color="C1", label="accuracy, dev")
    ax.axvline(history["epoch"][history["eval_accuracy"].idxmax()], color=GREY, zorder=0)
    ax.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
    accuracy.set(ylabel="accuracy", ylim=(0, 1))
    accuracy.spines["right"].set_visible(True)
    accuracy.grid(False)
    ax.figure.legend(loc="outside upper center", ncols=3)
    return ax


def reliability_diagram(table: pd.DataFrame, ax=None, *, color="C0", title: str = ""):
    """Draw accuracy against confidence by bin, the gap to the diagonal hatched.

    table: of `calibration.reliability_table`. A dot sits at the bin's mean confidence, its area the bin's share.
    """
    ax = ax or plt.gca()
    filled = table[table["count"] > 0]
    middle, width = (filled["lower"] + filled["upper"]) / 2, filled["upper"] - filled["lower"]
    ax.bar(middle, filled["accuracy"], width=width, color=color, alpha=0.45, edgecolor="white")
    gap = filled["accuracy"] - middle
    ax.bar(
        middle, gap, bottom=middle, width=width, facecolor="none", edgecolor="0.3", hatch="///", linewidth=0, alpha=0.6
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
    models = list(titles)
    columns = 2 if len(models) == 4 else min(3, len(models))
    rows = -(-len(models) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3 * columns, 3.1 * rows), squeeze=False, sharex=True, sharey=True
    )
    for ax, model in zip(axes.flat, models, strict=False):
        draw(reliability[reliability["model"] == model], ax, color=colours(models)[model], title=titles[model])
        ax.label_outer()
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    handles, names = axes.flat[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=len(handles))
    return figure


def alignment_intervals(alignment: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw the mean Jaccard of each pair with its 95% interval, its chance level as a tick, and the cut at 0.7."""
    ax = ax or plt.figure(figsize=(7, 0.8 + 0.42 * len(alignment.groupby(["model_a", "model_b"])))).gca()
    pairs = alignment[["model_a", "model_b"]].drop_duplicates().apply(tuple, axis=1).tolist()
    methods = list(alignment["method"].unique())
    for method, color in zip(methods, sns.color_palette("dark", len(methods)), strict=True):
        rows = alignment[alignment["method"] == method]
        shift = 0.22 * (methods.index(method) - (len(methods) - 1) / 2)
        y = np.array([pairs.index(pair) for pair in zip(rows["model_a"], rows["model_b"], strict=True)]) + shift
        ax.hlines(y, rows["low"], rows["high"], color=color, linewidth=1.6)
        ax.plot(rows["jaccard"], y, "o", color=color, markersize=5, label=method)
        ax.plot(rows["chance"], y, "|", color="0.25", markersize=9, label="chance" if method == methods[-1] else None)
    ax.axvline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    ax.set_yticks(range(len(pairs)), [f"{titles[a]} – {titles[b]}" for a, b in pairs])
    ax.set(xlim=(0, 1), xlabel="mean Jaccard of the top-10 sets", ylim=(len(pairs) - 0.5, -0.5))
    ax.figure.legend(loc="outside upper center", ncols=4)
    return ax


def alignment_matrix(alignment: pd.DataFrame, titles: Mapping[str, str], ax=None, *, title: str = ""):
    """Draw the mean Jaccard of all pairs of models under one method as a matrix."""
    ax = ax or plt.gca()
    order = list(titles)
    means = alignment.groupby(["model_a", "model_b"])["jaccard"].mean()
    square = pd.DataFrame(np.nan, index=order[1:], columns=order[:-1])
    for (a, b), mean in means.items():
        square.loc[b, a] = mean
    square = square.rename(index=titles, columns=titles)
    sns.heatmap(square, vmin=0, vmax=1, annot=True, fmt=".2f", cmap="crest", linewidths=1, cbar=False, ax=ax)
    ax.set(title=title)
    ax.grid(False)
    ax.tick_params(axis="x", rotation=30)
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


def trust_plane(verdicts: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw each smaller model by its change in ECE and its alignment with the large one, over all methods.

    verdicts: of `tables.verdict_table`. One panel's marker per task; a line spans the methods, their mean is the dot.
    """
    ax = ax or plt.gca()
    by_title = {titles[name]: colour for name, colour in colours(list(titles)).items()}
    methods = [column for column in verdicts if column.endswith("_jaccard")]
    for marker, (task, rows) in zip("osD^v", verdicts.groupby("task", sort=False), strict=False):
        values = rows[methods]
        colour = [by_title[model] for model in rows["model"]]
        ax.vlines(rows["ece_change"], values.min(axis=1), values.max(axis=1), colors=colour, linewidth=1.5)
        ax.scatter(rows["ece_change"], values.mean(axis=1), c=colour, marker=marker, s=55, zorder=3)
        ax.scatter([], [], c="0.4", marker=marker, label=task)
    for model in verdicts["model"].unique():
        ax.scatter([], [], color=by_title[model], marker="s", label=model)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.axhline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1)
    ax.set(xlabel="change in ECE against the large model", ylabel="mean Jaccard with the large model", ylim=(0, 1))
    ax.figure.legend(loc="outside right upper")
    return ax


def weight_by_rank(explained: Mapping[str, pd.DataFrame], test: pd.DataFrame, labels: Sequence[str], ax=None):
    """Draw the mean share of the absolute weight that the word of each rank carries, by method, for the gold label."""
    ax = ax or plt.gca()
    gold = _gold(test, labels)
    for method, table in explained.items():
        rows = table[table["label"] == table["id"].map(gold)].assign(size=lambda rows: rows["weight"].abs())
        rows = rows.assign(rank=rows.groupby("id")["size"].rank(ascending=False, method="first"))
        rows["share"] = rows["size"] / rows.groupby("id")["size"].transform("sum")
        mean = rows.groupby("rank")["share"].mean().head(20)
        ax.plot(mean.index, mean, marker="o", markersize=4, label=method)
    ax.axvline(10.5, color=GREY, linestyle="--", linewidth=1, label="edge of the top 10")
    ax.set(xlabel="rank of the word", ylabel="share of the absolute weight", ylim=(0, None), xticks=range(1, 21))
    ax.legend()
    return ax


def _gold(examples: pd.DataFrame, labels: Sequence[str]) -> pd.Series:
    """Return the gold class name of each example, by id."""
    return examples.set_index("id")["label"].map(dict(enumerate(labels)))


def highlights(
    attributions: pd.DataFrame, examples: pd.DataFrame, labels: Sequence[str], *, title: str = "", k: int = 10
) -> HTML:
    """Return the texts with each word coloured by its weight for the gold label and the top `k` framed.

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
