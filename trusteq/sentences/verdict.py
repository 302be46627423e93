"""Sentences about verdicts, about the truth of explanations, and about the scale of a Jaccard."""

import pandas as pd

from trusteq.pages.show import paper_table, side_titles, titles
from trusteq.sentences.base import joined, listed
from trusteq.study.results import Results
from trusteq.study.sides import CONTROLS
from trusteq.verdict.decide import OUTCOMES


def verdict_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return the verdicts on the smaller models and whether the controls come out as they should, in sentences.

    found: of `all_verdicts`, one method a task.
    """
    models = found.drop_duplicates(["task", "model"])
    small = models[models["model"].isin(run.experiment.models)]
    counts = [f"{(small['verdict'] == outcome).sum()} {outcome}" for outcome in OUTCOMES]
    text = f"Of {len(small)} replacement{'s' * (len(small) != 1)}, by the margins: {listed(counts)}."
    for control, outcome in (("reseeded", "equivalent"), ("random-head", "not-equivalent")):
        rows = models[models["model"] == control]
        right = int((rows["verdict"] == outcome).sum())
        text += f' The control "{CONTROLS[control]}" is found {outcome} in {right} of {len(rows)} tasks.'
    again = models.loc[models["model"] == "retrained", "verdict"]
    if len(again):
        text += f" The large model retrained is found {listed(dict.fromkeys(again))}."
    passed = int(small["drop_in"].astype(bool).sum())
    return f"{text} The paper's rule would let {passed} of {len(small)} pass."


def method_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return for which models the outcome of the alignment depends on the method.

    found: of `all_verdicts`, all methods.
    """
    rows = found[found["measure"] == "normalised_alignment"]
    outcomes = rows.groupby(["task", "model"], sort=False)["outcome"].nunique()
    differ = [f"{side_titles(run)[model]} on {task}" for task, model in outcomes.index[outcomes > 1]]
    if differ:
        return f"The method decides about the alignment of {listed(differ)}."
    return f"All methods agree on the outcome of the alignment, in {len(outcomes)} of {len(outcomes)} cases."


def truth_sentence(truth: pd.DataFrame, run: Results) -> str:
    """Return how much of a truth the large model's top words hold, and which smaller models hold less, by method."""
    names, large = titles(run), run.experiment.large
    parts = []
    for method, found in truth.groupby("method", sort=False):
        own = found[found["model"] == large].iloc[0]
        small = found[found["model"].isin(run.experiment.models) & (found["model"] != large)]
        less = small.loc[small["difference_high"] < 0, "model"].map(names)
        more = small.loc[small["difference_low"] > 0, "model"].map(names)
        told = "clearly above it" if own["low"] > own["chance"] else "not clearly above it"
        text = f"under {method} it is {own['value']:.2f} for {names[large]} (chance {own['chance']:.2f}), {told}"
        text += f"; less for {listed(less)}" if len(less) else "; for no smaller model clearly less"
        parts.append(text + (f"; more for {listed(more)}" if len(more) else ""))
    return f"Measured on {int(truth['examples'].min())} examples. {joined(parts)}"


def faithfulness_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return for how many models and methods the top words matter more to the model than random ones."""
    values = found[found["measure"] == "comprehensiveness"].set_index(["model", "seed", "method"])["value"]
    random = values.xs("random features", level="method")
    named = values.drop("random features", level="method")
    better = named.droplevel("method").gt(random.reindex(named.droplevel("method").index)).to_numpy()
    failed = [f"{method} of {titles(run)[model]}" for model, _, method in named.index[~better]]
    text = f"Without its top words a model loses more than without random ones in {better.sum()} of {len(better)} cases"
    return f"{text}; not by {listed(failed)}." if failed else f"{text}."


def chance_sentence(means: pd.DataFrame) -> str:
    """Return the mean chance over SNLI beside the paper's range. means: of `mean_chance`."""
    row = paper_table("jaccard_range").iloc[0]
    values = [f"{found.chance:.3f} over {found.counted}" for found in means.itertuples()]
    place = [f"{(found.chance - row['low']) / (row['high'] - row['low']):.0%}" for found in means.itertuples()]
    return (
        f"Over the pairs of SNLI test, two sets drawn blindly have a mean Jaccard of {listed(values)}: that is "
        f"{listed(place)} of the way up the paper's range of {row['low']} to {row['high']}."
    )


def half_sentence(places: pd.DataFrame) -> str:
    """Return what a mean Jaccard of 0.5, and the paper's cut, would be on this run's scale, task by task and method.

    places: of `tables.on_the_scale`.
    """
    lines = []
    for row in places.to_dict("records"):
        half, cut, where = row["0.5 is"], row["0.7 is"], f"- **{row['task']}, {row['method']}**: "
        if pd.isna(half):
            lines.append(where + "the explainer does not agree with itself beyond chance; no number could be judged.")
            continue
        if half >= 1:
            says = "as high as a model could reach with itself: not low"
        elif half <= 0:
            says = "no more than chance: low"
        else:
            says = f"{half:.0%} of the way from chance to the ceiling"
        asks = "more than a model reaches with itself" if cut > 1 else f"{cut:.0%} of that way"
        text = f"0.5 would be {says}; the cut at 0.7 asks for {asks}"
        lines.append(f"{where}{text} (chance {row['chance']:.2f}, ceiling {row['ceiling']:.2f}).")
    return "\n".join(lines)
