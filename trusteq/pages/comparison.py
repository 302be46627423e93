"""The page on alignment: pairs of models and controls between chance and ceiling, and what they disagree about."""

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from trusteq.alignment.overlap import is_aligned
from trusteq.examples.load import load_examples
from trusteq.pages.attribution import chosen
from trusteq.pages.figures import (
    GREY,
    alignment_intervals,
    colours,
    highlights,
    jaccard_distribution,
    per_method,
    scale_intervals,
)
from trusteq.pages.show import (
    NOT_SHOWN,
    counterparts,
    interval_text,
    marked,
    of_seed,
    pair_names,
    paper_table,
    put,
    show,
    side_titles,
    titles,
)
from trusteq.study.results import Results
from trusteq.study.sides import probabilities
from trusteq.verdict.comparison import CONTROLS
from trusteq.verdict.margins import load_margins


def pairs(run: Results, task: str) -> None:
    """Show every pair and control between chance and ceiling, by method."""
    both = _pairs_and_controls(run, task)
    for method, rows in both.groupby("method", sort=False):
        put(show(pair_table(rows, run).drop(columns="method"), digits=2, caption=method))
    one_draw = [name for name, control in CONTROLS.items() if not control.has_ceiling]  # 1 by definition
    put(alignment_intervals(both[~both["model_b"].isin(one_draw)], side_titles(run)))


def scale(run: Results, task: str) -> None:
    """Show the pairs and controls on the scale from chance to ceiling."""
    margin = next(margin for margin in load_margins().values() if margin.dimension == "alignment")
    put(scale_intervals(_pairs_and_controls(run, task), side_titles(run), margin=margin.margin))


def papers_rule(run: Results, task: str) -> None:
    """Show what the paper's rule makes of the pairs, and its own numbers as far as they are held."""
    rule, held = rule_table(run.comparison(task, "alignment"), run, task), paper_table("jaccard_range").iloc[0]
    span = f"The paper's values for {held['scope']} lie between {held['low']} and {held['high']}."
    put(show(rule, caption=f"{span} Its single cells are not held."))


def matrix(run: Results, task: str) -> None:
    """Show the mean Jaccard of all pairs of models as a matrix, by method."""
    put(per_method(run.comparison(task, "alignment"), partial(alignment_matrix, titles=titles(run)), height=3.6))


def curves(run: Results, task: str) -> None:
    """Show alignment with the large model over the number of top words, by method, of the first training seed."""
    found = of_seed(run.comparison(task, "curves"), run.experiment.seeds[0])
    put(per_method(found, partial(alignment_curves, models=titles(run), k=run.experiment.k)))


def spread(run: Results, task: str) -> None:
    """Show the Jaccard of single examples, of each model with the large one."""
    ax = plt.figure().gca()
    put(jaccard_distribution(run.comparison(task, "examples"), titles(run), run.experiment.large, ax))


def sources(run: Results, task: str) -> None:
    """Show what the disagreement with the large model is made of, by method, of the first training seed."""
    found = of_seed(run.comparison(task, "sources"), run.experiment.seeds[0])
    models = list(dict.fromkeys(found["model_b"]))  # a method may explain some of them alone
    put(per_method(found, partial(disagreement_sources, names=side_titles(run), models=models), height=3.2))


def evidence(run: Results, task: str) -> None:
    """Show how much of what is known to matter the top words hold, and how much weight a planted shortcut has."""
    truth = run.comparison(task, "truth")
    recall = truth[truth["measure"] == "recall"]
    for name, rows in recall[recall["truth"] != "shortcut"].groupby("truth", sort=False):
        xlabel = f"share of the {name} among the top {run.experiment.k}"
        put(truth_intervals(rows, side_titles(run), xlabel=xlabel))
    shortcut = truth[(truth["truth"] == "shortcut") & (truth["measure"] == "share")]
    if len(shortcut):
        caption = "Weight on the planted shortcut, as a share of all absolute weight"
        put(show(truth_view(shortcut, run), digits=2, caption=caption))
    if truth.empty:
        put(f"Of {task} it is not known which words matter.")


def numbers(run: Results, task: str, table: str) -> None:
    """Show a table of the comparison: "ceilings", "segments", "companions", "sources", "truth" or "faithfulness_means"."""
    found = run.comparison(task, table)
    if len(found):
        put(show(_VIEWS[table](found, run), digits=2))


def same_reasons(run: Results, task: str, n: int = 3) -> None:
    """Show texts that the large model and the last one both classify correctly, with the words each relies on."""
    large, small = run.experiment.large, list(run.experiment.models)[-1]
    seed, explained = run.experiment.seeds[0], run.comparison(task, "examples")["id"]
    agreed = agreed_examples(run, task, small, seed=seed)
    n_test = len(run.predictions(task, small, seed))
    put(f"{len(agreed):,} of {n_test:,} test examples are classified correctly by both models.")
    if not run.may_show(task):
        return put(NOT_SHOWN)
    settings, names = run.experiment.task(task), titles(run)
    test = load_examples(settings, "test")
    shown = test[test["id"].isin(agreed) & test["id"].isin(explained)].head(n)
    weights = {model: chosen(run, task, model=model, seed=seed).by_place(model, seed) for model in (large, small)}
    for method, model in itertools.product(weights[small], weights):
        title = f"{method}, {names[model]}"
        put(highlights(weights[model][method], shown, settings.labels, title=title, k=run.experiment.k))


def _pairs_and_controls(run: Results, task: str) -> pd.DataFrame:
    return pd.concat([run.comparison(task, name) for name in ("alignment", "controls")])


def pair_table(alignment: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return alignment by pair between its two anchors: the Jaccard index, chance, ceiling, and the scale from 0 to 1.

    alignment: the tables "alignment" and "controls", one method's or several.
    """
    keys = {"method": alignment["method"], "pair": pair_names(alignment, run)} | _seeds(alignment)
    values = {
        "Jaccard": alignment["jaccard"],
        "95%": interval_text(alignment["low"], alignment["high"]),
        "chance": alignment["chance"],
        "ceiling": alignment["ceiling"],
        "0 to 1": alignment["normalised"],
        "95% of it": interval_text(alignment["normalised_low"], alignment["normalised_high"]),
    }
    return pd.DataFrame(keys | values)


def _seeds(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the column of training seeds, where a table is of several."""
    return {"seed": table["seed"]} if table["seed"].nunique() > 1 else {}


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


def ceiling_view(ceilings: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the agreement of each model with itself, as a table for a page."""
    columns = {"model": ceilings["model"].map(titles(run)), "method": ceilings["method"], "another": ceilings["other"]}
    columns |= _seeds(ceilings) | {"Jaccard": ceilings["jaccard"]}
    return pd.DataFrame(
        columns | {"95%": interval_text(ceilings["low"], ceilings["high"]), "chance": ceilings["chance"]}
    )


def segment_view(segments: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the agreement within each text, as a table for a page."""
    columns = {"method": segments["method"], "pair": pair_names(segments, run), "text": segments["segment"] + 1}
    columns |= _seeds(segments) | {"Jaccard": segments["jaccard"]}
    columns |= {"95%": interval_text(segments["low"], segments["high"]), "chance": segments["chance"]}
    return pd.DataFrame(columns | {"examples": segments["examples"]})


def companion_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return one row a pair and method, one column a companion."""
    keys = ["method", "pair", *_seeds(found)]
    wide = found.assign(pair=pair_names(found, run)).pivot_table(
        index=keys, columns="companion", values="value", sort=False
    )
    return wide.reset_index().rename_axis(columns=None)


def source_view(sources: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return what disagreement is made of, as a table for a page."""
    columns = {"method": sources["method"], "pair": pair_names(sources, run), "source": sources["source"]}
    columns |= _seeds(sources) | {"disagreement": sources["disagreement"]}
    columns |= {"95%": interval_text(sources["low"], sources["high"])}
    return pd.DataFrame(columns | {"share": sources["share"]})


def agreed_examples(run: Results, task: str, model: str, *, seed: int) -> pd.Index:
    """Return the ids of the test examples that the large model and `model` both classify correctly (paper, Table 2)."""
    right = []
    for name in (run.experiment.large, model):
        predicted, labels = probabilities(run, task, name, seed)
        right.append(predicted.argmax(axis=1) == labels)
    return pd.Index(run.predictions(task, model, seed)["id"][right[0] & right[1]])


def truth_view(truth: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return truths and measures as a table for a page; which they are, where there are several."""
    truth = truth.sort_values(["truth", "measure"], kind="stable")
    keys = {name: truth[name] for name in ("truth", "measure", "seed") if truth[name].nunique() > 1}
    columns = {"method": truth["method"], "model": truth["model"].map(side_titles(run)), "value": truth["value"]}
    columns |= {"95%": interval_text(truth["low"], truth["high"]), "chance": truth["chance"]}
    change = interval_text(truth["difference_low"], truth["difference_high"])
    is_large = truth["model"] == run.experiment.large
    columns |= {"against large": truth["difference"].mask(is_large), "95% of it": change.mask(is_large)}
    return pd.DataFrame(keys | columns)


def faithfulness_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return faithfulness as a table for a page: one row a model and method, both measures with their intervals."""
    table = found[["model", *_seeds(found), "method"]].drop_duplicates().reset_index(drop=True)
    for measure, rows in found.groupby("measure", sort=False):
        interval = interval_text(rows["low"], rows["high"])
        table[measure] = rows["value"].to_numpy()
        table[f"95% of {measure[:4]}."] = interval.to_numpy()
    return table.assign(model=table["model"].map(titles(run)))


_VIEWS = {
    "ceilings": ceiling_view,
    "segments": segment_view,
    "companions": companion_view,
    "sources": source_view,
    "truth": truth_view,
    "faithfulness_means": faithfulness_view,
}


def alignment_matrix(alignment: pd.DataFrame, titles: Mapping[str, str], ax=None):
    """Draw the mean Jaccard of all pairs of models under one method as a matrix."""
    ax = ax or plt.gca()
    order = list(titles)
    means = alignment.groupby(["model_a", "model_b"])["jaccard"].mean()
    square = pd.DataFrame(np.nan, index=order[1:], columns=order[:-1])
    for (a, b), mean in means.items():
        square.loc[b, a] = mean
    square = square.rename(index=titles, columns=titles)
    sns.heatmap(square, vmin=0, vmax=1, annot=True, fmt=".2f", cmap="crest", linewidths=1, cbar=False, ax=ax)
    ax.grid(False)
    ax.tick_params(axis="x", rotation=30)
    return ax


SOURCES = {"explainer seed": "#c9c9c9", "training seed": "#8fb8de", "model": "#c44e52"}


def alignment_curves(curves: pd.DataFrame, models: Mapping[str, str], ax=None, *, k: int | None = None):
    """Draw the mean Jaccard with the large model over k, one line a model, between chance and the large model's own.

    curves: the table "curves", one method's. models: the titles of the models, the large one first. k: where a
    line marks the size in use. The grey area is chance, the black line the large model under another explainer seed.
    """
    ax = ax or plt.gca()
    of = dict(iter(curves.groupby("model_b", sort=False)))
    small = [name for name in models if name in of]
    chance = pd.concat([of[name] for name in small]).groupby("k")["chance"].mean()
    ax.fill_between(chance.index, 0, chance, color="0.88", linewidth=0, label="chance")
    ax.plot(of["reseeded"]["k"], of["reseeded"]["jaccard"], color="black", linestyle=":", label="itself, reseeded")
    if "retrained" in of:
        ax.plot(of["retrained"]["k"], of["retrained"]["jaccard"], color="black", linestyle="--", label="retrained")
    for name in small:
        color = colours(list(models))[name]
        ax.fill_between(of[name]["k"], of[name]["low"], of[name]["high"], color=color, alpha=0.13, linewidth=0)
        ax.plot(of[name]["k"], of[name]["jaccard"], color=color, label=models[name])
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
    ax = ax or plt.gca()
    parts = sources[sources["source"] != "total"]
    models = models or list(dict.fromkeys(parts["model_b"]))
    ends = {sign: np.zeros(len(models)) for sign in (False, True)}
    for source in (name for name in SOURCES if name in set(parts["source"])):
        found = parts[parts["source"] == source].set_index("model_b")["disagreement"]
        values = found.reindex(models, fill_value=0).to_numpy()
        left = np.where(values < 0, ends[True], ends[False])
        ax.barh(range(len(models)), values, left=left, color=SOURCES[source], label=source, height=0.6)
        for sign, side in ends.items():
            side += np.where((values < 0) == sign, values, 0)
    ax.set_yticks(range(len(models)), [names[name] for name in models])
    ax.axvline(0, color="0.25", linewidth=1)
    ax.set(xlabel="disagreement, 1 − Jaccard", ylim=(len(models) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    return ax


def truth_intervals(truth: pd.DataFrame, names: Mapping[str, str], ax=None, *, xlabel: str):
    """Draw one measure against the truth for each model, by method, with 95% intervals; a tick is chance.

    truth: the table "truth", one truth and measure. names: of models and controls.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.36 * truth["model"].nunique())).gca()
    models, methods = list(dict.fromkeys(truth["model"])), list(truth["method"].unique())
    for place, (method, color) in enumerate(zip(methods, sns.color_palette("dark", len(methods)), strict=True)):
        rows = truth[truth["method"] == method]
        y = rows["model"].map(models.index).to_numpy() + 0.22 * (place - (len(methods) - 1) / 2)
        ax.hlines(y, rows["low"], rows["high"], color=color, linewidth=1.6)
        ax.plot(rows["value"], y, "o", color=color, markersize=5, label=method)
        ax.plot(rows["chance"], y, "|", color="0.25", markersize=9)
    ax.plot([], [], "|", color="0.25", markersize=9, label="chance")
    ax.set_yticks(range(len(models)), [names[name] for name in models])
    ax.set(xlim=(0, 1.02), ylim=(len(models) - 0.5, -0.5), xlabel=xlabel)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return ax
