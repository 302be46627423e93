"""The page on alignment: pairs of models and controls between chance and ceiling, and what they disagree about."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trusteq.alignment.overlap import is_aligned
from trusteq.pages import attribution
from trusteq.pages.figures import (
    GREY,
    alignment_intervals,
    colours,
    counted,
    headed,
    intervals,
    jaccard_distribution,
    named_rows,
    per_method,
    scale_intervals,
)
from trusteq.pages.show import (
    NOT_SHOWN,
    counterparts,
    marked,
    of_seed,
    pair_names,
    paper_table,
    put,
    show,
    side_titles,
    titles,
    view,
    wide,
)
from trusteq.pages.status import run_line
from trusteq.study.results import Results
from trusteq.study.sides import probabilities
from trusteq.verdict.comparison import CONTROLS
from trusteq.verdict.margins import load_margins

_INTERVAL = {"95%": ("low", "high")}
_JACCARD = {"seed": "seed", "Jaccard": "jaccard"} | _INTERVAL | {"chance": "chance"}
_SCALE = {"ceiling": "ceiling", "0 to 1": "normalised", "95% of it": ("normalised_low", "normalised_high")}
_DISAGREEMENT = {"source": "source", "seed": "seed", "disagreement": "disagreement"} | _INTERVAL | {"share": "share"}
_VALUE = {"method": "method", "model": "model", "value": "value"} | _INTERVAL | {"chance": "chance"}
_AGAINST = {"against large": "difference", "95% of it": ("difference_low", "difference_high")}
_PAIR = {"method": "method", "pair": "pair"}


def pairs(run: Results, task: str) -> None:
    """Show every pair and control between chance and ceiling, by method."""
    both = _pairs_and_controls(run, task)
    put(run_line(run))
    for method, rows in both.groupby("method", sort=False):
        put(show(VIEWS["alignment"](rows, run).drop(columns="method"), digits=2, caption=method))
    one_draw = [name for name, control in CONTROLS.items() if not control.has_ceiling]  # 1 by definition
    put(alignment_intervals(both[~both["model_b"].isin(one_draw)], side_titles(run)))


def scale(run: Results, task: str) -> None:
    """Show the pairs and controls on the scale from chance to ceiling."""
    margin = next(margin for margin in load_margins().values() if margin.dimension == "alignment")
    put(scale_intervals(_pairs_and_controls(run, task), side_titles(run), margin=margin.margin))


def _pairs_and_controls(run: Results, task: str) -> pd.DataFrame:
    return pd.concat([run.comparison(task, name) for name in ("alignment", "controls")])


def papers_rule(run: Results, task: str) -> None:
    """Show what the paper's rule makes of the pairs, and its own numbers as far as they are held."""
    rule, held = rule_table(run.comparison(task, "alignment"), run, task), paper_table("jaccard_range").iloc[0]
    span = f"The paper's values for {held['scope']} lie between {held['low']} and {held['high']}."
    put(show(rule, caption=f"{span} Its single cells are not held."))


def numbers(run: Results, task: str, table: str) -> None:
    """Show a table of the comparison by its name, one of `VIEWS`; nothing of an empty one."""
    found = run.comparison(task, table)
    if len(found):
        put(show(VIEWS[table](found, run), digits=2))


def figure(run: Results, task: str, table: str) -> None:
    """Draw a table of the comparison by its name, one of `FIGURES`."""
    put(FIGURES[table](run.comparison(task, table), run))


def evidence(run: Results, task: str) -> None:
    """Show how much of what is known to matter the top words hold, and how much weight a planted shortcut has."""
    truth = run.comparison(task, "truth")
    recall = truth[truth["measure"] == "recall"]
    for name, rows in recall[recall["truth"] != "shortcut"].groupby("truth", sort=False):
        xlabel = f"share of the {name} among the top {run.experiment.k}"
        ax, small = intervals(rows, side_titles(run), xlabel=xlabel), rows[rows["model"].isin(run.experiment.models)]
        put(counted(ax, small["low"] > small["chance"], f"surely hold more {name} than chance"))
    shortcut = truth[(truth["truth"] == "shortcut") & (truth["measure"] == "share")]
    if len(shortcut):
        caption = "Weight on the planted shortcut, as a share of all absolute weight"
        put(show(truth_view(shortcut, run), digits=2, caption=caption))
    if truth.empty:
        put(f"Of {task} it is not known which words matter.")


def same_reasons(run: Results, task: str, n: int = 3) -> None:
    """Show texts that the large model and the last one both classify correctly, with the words each relies on."""
    large, small = run.experiment.large, list(run.experiment.models)[-1]
    seed, explained = run.experiment.seeds[0], run.comparison(task, "examples")["id"]
    agreed = agreed_examples(run, task, small, seed=seed)
    n_test = len(run.predictions(task, small, seed))
    put(f"{len(agreed):,} of {n_test:,} test examples are classified correctly by both models.")
    if (test := run.shown(task)) is None:
        return put(NOT_SHOWN)
    shown = test[test["id"].isin(agreed) & test["id"].isin(explained)].head(n)
    of = attribution.chosen(run, task, seed=seed)
    weights = {model: of.by_place(model, seed) for model in (large, small)}
    for method, model in itertools.product(weights[small], weights):
        of.put_texts(weights[model][method], shown, f"{method}, {titles(run)[model]}")


def truth_view(truth: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return truths and measures as a table for a page; which they are, where there are several."""
    against = ["difference", "difference_low", "difference_high"]
    is_large = truth["model"] == run.experiment.large
    truth = truth.assign(**truth[against].mask(is_large)).sort_values(["truth", "measure"], kind="stable")
    return view(truth, run, {"truth": "truth", "measure": "measure", "seed": "seed"} | _VALUE | _AGAINST)


_SEED = {"seed": "seed"}
_EACH = {"model": "model"} | _SEED | {"method": "method"}
_BOTH = {"{}": "value", "95% of {:.4}.": ("low", "high")}
VIEWS = {
    "alignment": partial(view, columns=_PAIR | _JACCARD | _SCALE),
    "ceilings": partial(view, columns={"model": "model", "method": "method", "another": "other"} | _JACCARD),
    "segments": partial(view, columns=_PAIR | {"text": "text"} | _JACCARD | {"examples": "examples"}),
    "companions": partial(wide, key="companion", columns={"{}": "value"}, rows=_PAIR | _SEED),
    "sources": partial(view, columns=_PAIR | _DISAGREEMENT),
    "truth": truth_view,
    "faithfulness_means": partial(wide, key="measure", columns=_BOTH, rows=_EACH, digits=2),
}


def rule_table(alignment: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return the paper's rule and the paper's number for each pair, and the mean Jaccard under common masks."""
    paper = paper_table("jaccard").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    known = {(row.method, frozenset((row.model_a, row.model_b))): row.jaccard for row in paper.itertuples()}
    a, b = (alignment[side].map(counterparts(run)) for side in ("model_a", "model_b"))
    sides = zip(alignment["method"], a, b, strict=True)
    numbers = [known.get((method, frozenset(pair)), np.nan) for method, *pair in sides]
    columns = {"method": alignment["method"], "pair": pair_names(alignment, run), "Jaccard": alignment["jaccard"]}
    columns["at least 0.7"] = ["yes" if is_aligned(mean) else "no" for mean in alignment["jaccard"]]
    columns |= {"common masks": alignment["common_masks"], "paper_jaccard": numbers}
    return marked(pd.DataFrame(columns), a.isna() | b.isna())


def agreed_examples(run: Results, task: str, model: str, *, seed: int) -> pd.Index:
    """Return the ids of the test examples that the large model and `model` both classify correctly (paper, Table 2)."""
    right = []
    for name in (run.experiment.large, model):
        predicted, labels = probabilities(run, task, name, seed)
        right.append(predicted.argmax(axis=1) == labels)
    return pd.Index(run.predictions(task, model, seed)["id"][right[0] & right[1]])


def _matrix(alignment: pd.DataFrame, run: Results) -> Figure:
    draw = partial(alignment_matrix, titles=titles(run))
    figure = per_method(alignment, draw, height=3.6, names=titles(run).values())
    return headed(figure, closest_line(alignment.assign(pair=pair_names(alignment, run))))


def closest_line(alignment: pd.DataFrame) -> str:
    """Return which pair has the highest mean Jaccard by each method, and whether they all say the same.

    alignment: one row a pair and method (and seed), with the columns pair, method and jaccard.
    """
    means = alignment.groupby(["method", "pair"], sort=False)["jaccard"].mean()
    best = [means.loc[[method]].idxmax() for method in alignment["method"].unique()]
    found = "; ".join(f"{pair} ({means[method, pair]:.2f}, {method})" for method, pair in best)
    pairs = {pair for _, pair in best}
    if len(best) > 1 and len(pairs) == 1:
        return f"Closest by every method: {pairs.pop()}"
    return f"Closest, by method: {found}" if len(best) > 1 else f"Closest: {found}"


def _curves(curves: pd.DataFrame, run: Results) -> Figure:
    found, k, models = of_seed(curves, run.experiment.seeds[0]), run.experiment.k, titles(run)
    return headed(per_method(found, partial(alignment_curves, models=models, k=k)), curve_line(found, models, k=k))


def curve_line(curves: pd.DataFrame, models: Collection[str], *, k: int) -> str:
    """Return how many curves of models stand surely above chance at the size in use, and at the largest."""
    of, last = curves[curves["model_b"].isin(models)], curves["k"].max()
    above = (of["low"] > of["chance"]).groupby(of["k"]).sum()
    n = len(of[of["k"] == last])
    return f"{above.get(k, 0)} of {n} stand surely above chance at k = {k}, {above[last]} at k = {last}"


def _spread(examples: pd.DataFrame, run: Results) -> Figure:
    large = run.experiment.large
    return jaccard_distribution(examples, titles(run), large, plt.figure().gca()).figure


def _sources(sources: pd.DataFrame, run: Results) -> Figure:
    found = of_seed(sources, run.experiment.seeds[0])
    models = list(dict.fromkeys(found["model_b"]))  # a method may explain some of them alone
    draw = partial(disagreement_sources, names=side_titles(run), models=models)
    figure = per_method(found, draw, height=3.2, names=titles(run).values())
    return headed(figure, source_line(found))


def source_line(sources: pd.DataFrame) -> str:
    """Return of how many bars each source of disagreement is the largest part.

    sources: of one seed, with the columns method, model_b, source and disagreement.
    """
    parts = sources[sources["source"].isin(_SOURCES)]  # their total is a row as well
    parts = parts.pivot(index=["method", "model_b"], columns="source", values="disagreement")
    counts = parts.idxmax(axis=1).value_counts().reindex([name for name in _SOURCES if name in parts], fill_value=0)
    return f"The largest part of {len(parts)} bars: " + ", ".join(f"{name} {n}" for name, n in counts.items())


# Of the first training seed, where seeds cannot be drawn together.
FIGURES = {"alignment": _matrix, "curves": _curves, "examples": _spread, "sources": _sources}


def alignment_matrix(alignment: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw the mean Jaccard of all pairs of models under one method as a matrix."""
    order = list(titles)
    square = alignment.pivot_table(index="model_b", columns="model_a", values="jaccard")
    square = square.reindex(index=order[1:], columns=order[:-1]).rename(index=titles, columns=titles)
    # So light that dark numbers can be read on every shade: seaborn's own white ones cannot on the middle ones.
    shades = {"cmap": sns.light_palette("#2a9d8f", as_cmap=True), "annot_kws": {"color": "#111111"}}
    ax = sns.heatmap(square, vmin=0, vmax=1, annot=True, fmt=".2f", **shades, linewidths=1, cbar=False, ax=ax)
    ax.grid(False)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")  # a long one reaches its column
    ax.set(xlabel="", ylabel="")
    return ax


_SOURCES = {"explainer seed": "#c9c9c9", "training seed": "#8fb8de", "model": "#c44e52"}


def alignment_curves(curves: pd.DataFrame, models: Mapping[str, str], ax=None, *, k: int | None = None):
    """Draw the mean Jaccard with the large model over k, one line a model, between chance and the large model's own.

    curves: the table "curves", one method's. models: the titles of the models, the large one first. k: where a
    line marks the size in use. The grey area is chance, the black line the large model under another explainer seed.
    """
    ax, of, chosen = ax or plt.gca(), dict(iter(curves.groupby("model_b", sort=False))), colours(list(models))
    small = [name for name in models if name in of]
    chance = pd.concat([of[name] for name in small]).groupby("k")["chance"].mean()
    ax.fill_between(chance.index, 0, chance, color="0.88", linewidth=0, label="chance")
    for control, label, style in (("reseeded", "itself, reseeded", ":"), ("retrained", "retrained", "--")):
        if control in of:
            ax.plot(of[control]["k"], of[control]["jaccard"], color="black", linestyle=style, label=label)
    for name in small:
        ax.fill_between(of[name]["k"], of[name]["low"], of[name]["high"], color=chosen[name], alpha=0.13, linewidth=0)
        ax.plot(of[name]["k"], of[name]["jaccard"], color=chosen[name], label=models[name])
    if k is not None:
        ax.axvline(k, color=GREY, linewidth=1)
    ax.set(xlabel="k, words in each top set", ylabel="mean Jaccard", ylim=(0, 1.02), xlim=(1, curves["k"].max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def disagreement_sources(
    sources: pd.DataFrame, names: Mapping[str, str], ax=None, *, models: Sequence[str] | None = None
):
    """Draw what the disagreement with the large model is made of, one stacked bar a model; negative parts go left.

    sources: the table "sources", one method's. names: of models and controls. models: the bars; None: those there are.
    """
    parts = sources.pivot(index="model_b", columns="source", values="disagreement")
    models = models or list(dict.fromkeys(sources["model_b"]))
    parts = parts.reindex(index=models, columns=[name for name in _SOURCES if name in parts]).fillna(0)
    ax = parts.plot.barh(stacked=True, color=_SOURCES, width=0.6, legend=False, ax=ax or plt.gca())
    ax.axvline(0, color="0.25", linewidth=1)
    ax.set(ylabel="")
    return named_rows(ax, [names[name] for name in models], xlabel="disagreement, 1 − Jaccard")
