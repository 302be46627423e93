"""Sentences about alignment: pairs, controls, ceilings, and what disagreement is made of."""

import pandas as pd

from trusteq.alignment.overlap import is_aligned
from trusteq.pages.show import paper_table, titles
from trusteq.sentences.base import joined, listed
from trusteq.study.results import Results
from trusteq.study.sides import CONTROLS


def alignment_sentence(alignment: pd.DataFrame, run: Results) -> str:
    """Return the range of the means, the chance levels, what the paper's rule says, and the scale between anchors."""
    low, high = alignment["jaccard"].min(), alignment["jaccard"].max()
    aligned = sum(map(is_aligned, alignment["jaccard"]))
    at_chance = int((alignment["low"] <= alignment["chance"]).sum())
    scale = alignment["normalised"].dropna()
    text = (
        f"The means run from {low:.2f} to {high:.2f}, over chance levels of {alignment['chance'].min():.2f} to "
        f"{alignment['chance'].max():.2f}. By the paper's rule {aligned} of {len(alignment)} comparisons are aligned. "
        f"In {at_chance} of {len(alignment)} the interval does not exclude the chance level."
    )
    if scale.empty:
        return text + " No explainer agrees with itself beyond chance: there is no scale to put them on."
    return text + f" From chance, 0, to ceiling, 1, they lie between {scale.min():.2f} and {scale.max():.2f}."


def control_sentence(controls: pd.DataFrame, run: Results) -> str:
    """Return where the controls stand between chance and ceiling, and whether random words are told from chance."""
    parts = []
    for name in ("retrained", "random-head", "random-features"):
        rows = controls[(controls["model_b"] == name) & controls["normalised"].notna()]
        if len(rows):
            values = [f"{row.normalised:.2f} ({row.method})" for row in rows.itertuples()]
            parts.append(f"{CONTROLS[name]} at {listed(values)}")
    if not parts:
        return "No control has a place on the scale: no explainer agrees with itself beyond chance."
    blind = controls[controls["model_b"] == "random-features"].dropna(subset=["normalised_low", "normalised_high"])
    seen = int(((blind["normalised_low"] <= 0) & (blind["normalised_high"] >= 0)).sum())
    return (
        f"{titles(run)[run.experiment.large]} with itself under another explainer seed stands at 1 by "
        f"construction; the other controls: {'; '.join(parts)}. The interval of random words holds 0 in {seen} of "
        f"{len(blind)} cases."
    )


def yardstick_sentence(alignment: pd.DataFrame, controls: pd.DataFrame, run: Results) -> str:
    """Return which smaller models agree with the large one as much as it does with itself retrained, or less."""
    names, large = titles(run), run.experiment.large
    parts = []
    for row in controls[controls["model_b"] == "retrained"].itertuples():
        same = alignment[(alignment["method"] == row.method) & (alignment["seed"] == row.seed)]
        same = same[same["model_a"] == large]
        high = same.loc[same["jaccard"] >= row.jaccard, "model_b"].map(names)
        who = f"{listed(high)} agree{'s' * (len(high) == 1)}" if len(high) else "no smaller model agrees"
        low = int((same["high"] < row.low).sum())
        parts.append(
            f"under {row.method} {who} with {names[large]} at least as well as its retrained self does "
            f"({row.jaccard:.2f}); {low} of {len(same)} smaller models agree clearly less, their intervals being apart"
        )
    if not parts:
        return f"{names[large]} has one training seed in this run: how far it would agree with itself is not known."
    return joined(parts)


def curve_sentence(curves: pd.DataFrame, run: Results) -> str:
    """Return how far above chance the smaller models stand for few and for many words, by method."""
    rows = curves[curves["model_b"].isin(run.experiment.models)]
    parts = []
    for method, found in rows.groupby("method", sort=False):
        above = (found["jaccard"] - found["chance"]).groupby(found["k"]).mean()
        few, many = above.index.min(), above.index.max()
        values = ", ".join(f"{above[k]:+.2f} at k = {k}" for k in sorted({few, run.experiment.k, many}))
        parts.append(f"under {method} {values}, most at k = {above.idxmax()} ({above.max():+.2f})")
    return f"The smaller models' mean distance from chance: {'; '.join(parts)}."


def segment_sentence(segments: pd.DataFrame, run: Results) -> str:
    """Return in which text of the pair the smaller models agree more with the large one, beyond chance."""
    rows = segments[segments["model_b"].isin(run.experiment.models)]
    parts = []
    for method, found in rows.groupby("method", sort=False):
        above = (found["jaccard"] - found["chance"]).groupby(found["segment"]).mean()
        values = [f"{value:+.2f} in text {segment + 1}" for segment, value in above.items()]
        parts.append(f"under {method} {listed(values)}")
    return f"Mean distance from chance within a text: {'; '.join(parts)}."


def companion_sentence(found: pd.DataFrame, alignment: pd.DataFrame, run: Results) -> str:
    """Return whether all measures of agreement put the same smaller model next to the large one, by method."""
    names = titles(run)
    parts = []
    for method, rows in found[found["model_b"].isin(run.experiment.models)].groupby("method", sort=False):
        pairs = alignment[(alignment["method"] == method) & (alignment["model_a"] == run.experiment.large)]
        best = {"Jaccard": pairs.groupby("model_b")["jaccard"].mean().idxmax()}
        for name, values in rows.dropna(subset="value").groupby("companion", sort=False):
            best[name.replace("_", " ")] = values.groupby("model_b")["value"].mean().idxmax()
        if len(set(best.values())) == 1:
            parts.append(f"under {method} all of them put {names[best['Jaccard']]} closest to the large model")
        else:
            closest = "; ".join(f"{names[model]} by {measure}" for measure, model in best.items())
            parts.append(f"under {method} they differ on which model is closest to the large one ({closest})")
    return joined(parts)


def source_sentence(sources: pd.DataFrame, run: Results) -> str:
    """Return what part of the disagreement each source has, averaged over the smaller models, by method."""
    rows = sources[sources["model_b"].isin(run.experiment.models)]
    parts = []
    for method, found in rows.groupby("method", sort=False):
        sums = found.groupby("source", sort=False)["disagreement"].sum()  # a model may lack a source
        total = sums.pop("total")
        if total == 0:
            parts.append(f"under {method} there is no disagreement")
            continue
        shares = [f"{value / total:.0%} from the {source}" for source, value in sums.items()]
        mean = total / (found["source"] == "total").sum()
        parts.append(f"under {method} a disagreement of {mean:.2f}, {listed(shares)}")
    return f"Averaged over the smaller models: {'; '.join(parts)}."


def ceiling_sentence(ceilings: pd.DataFrame, run: Results) -> str:
    """Return how far the explainers agree with themselves, and how many models reach 0.7 with themselves."""
    parts = []
    for method, found in ceilings[ceilings["other"] == "explainer seed"].groupby("method", sort=False):
        values, reach = found["jaccard"], int(found["jaccard"].map(is_aligned).sum())
        text = f"under {method} the models agree with themselves at {values.min():.2f} to {values.max():.2f}"
        parts.append(f"{text}, {reach} of {len(found)} at 0.7 or more")
    for model, found in ceilings[ceilings["other"] == "training seed"].groupby("model", sort=False):
        values = [f"{row.jaccard:.2f} ({row.method})" for row in found.itertuples()]
        parts.append(f"retrained, {titles(run)[model]} agrees with itself at {listed(values)}")
    return joined(parts)


def paper_range_sentence() -> str:
    """Return the range of the paper's Jaccard values, as far as it is held."""
    row = paper_table("jaccard_range").iloc[0]
    span = f"between {row['low']} and {row['high']}"
    return f"The paper's values for {row['scope']} lie {span}; its single cells are not held."
