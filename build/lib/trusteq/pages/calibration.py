"""The page on calibration: a row is a model or a control, an interval one column of text."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.calibration.proper_scores import SCORES
from trusteq.pages.figures import colours, confidence_histogram, per_model, reliability_diagram
from trusteq.pages.show import (
    PAPER_MARK,
    counterparts,
    interval_text,
    marked,
    paper_table,
    put,
    show,
    side_titles,
    titles,
)
from trusteq.study.results import Results

# What each section of the page shows; scores that are in none of these are errors measured otherwise.
_PROPER, _BINNED, _SIGNED = ("accuracy", "brier", "nll"), ("ece", "mce"), ("mean_confidence", "overconfidence")


def scores(run: Results, task: str, seed: int) -> None:
    """Show accuracy, Brier score and NLL with their intervals."""
    put(score_view(run.calibration(task, seed, "intervals"), run, *_PROPER))


def errors(run: Results, task: str, seed: int) -> None:
    """Show ECE and MCE with what luck alone would make of them, and beside the paper's numbers."""
    found = run.calibration(task, seed, "intervals")
    put(error_view(found, run), error_intervals(found, side_titles(run), list(run.experiment.models)))
    beside = run.calibration(task, seed, "scores")[["model", "ece", "mce", "brier"]]
    put(show(beside_paper(beside, run, task), caption="Beside the models of the paper whose part they play"))


def kinds(run: Results, task: str, seed: int) -> None:
    """Show the calibration errors that are measured otherwise."""
    others = [name for name in SCORES if name not in _PROPER + _BINNED + _SIGNED]
    view = score_view(run.calibration(task, seed, "intervals"), run, *others, chance=True)
    put(view.drop(columns="debiased if calibrated"))


def differences(run: Results, task: str, seed: int) -> None:
    """Show the difference from the large model of each score that has a margin, then of those that have none."""
    found = run.calibration(task, seed, "differences")
    for row in found.dropna(subset="margin").drop_duplicates("score").itertuples():
        put(show(outcome_view(found, run, row.score), caption=f"{SCORES[row.score].title}, margin ±{row.margin:g}"))
    put(show(difference_view(found, run, "brier", "nll"), caption="Without a margin; above 0 is worse"))


def reliability(run: Results, task: str, seed: int) -> None:
    """Show a reliability diagram of each model."""
    put(per_model(run.calibration(task, seed, "reliability"), reliability_diagram, titles(run)))


def confidence(run: Results, task: str, seed: int) -> None:
    """Show how sure the models are: histograms, and the share of the predictions in each bin of confidence."""
    found = run.calibration(task, seed, "reliability")
    shares = show(share_table(found, run, task), digits=1, caption="Percent of the test split by confidence")
    put(per_model(found, confidence_histogram, titles(run)), shares)


def parts(run: Results, task: str, seed: int) -> None:
    """Show what the Brier score is made of."""
    put(decomposition_view(run.calibration(task, seed, "decomposition"), run))


def repair(run: Results, task: str, seed: int) -> None:
    """Show what temperature scaling repairs, in each model and in its difference from the large one."""
    before, after = (run.calibration(task, seed, name) for name in ("differences", "temperature"))
    view = temperature_view(after, run, "ece", "nll", "overconfidence")
    put(show(view, formats={"temperature": "{:.2f}"}))
    for score in ("debiased_ece", "overconfidence"):
        caption = f"Difference from the large model in {SCORES[score].title}"
        put(show(repair_view(before, after, run, score), caption=caption))


def loyalty(run: Results, task: str, seed: int) -> None:
    """Show how loyal the other sides are to the large model."""
    found = run.calibration(task, seed, "loyalty")
    put(loyalty_view(found, run, "label_loyalty", "probability_loyalty"))
    put(loyalty_view(found, run, "total_variation", "confidence_distance"))


def score_view(found: pd.DataFrame, run: Results, *scores: str, chance: bool = False) -> pd.DataFrame:
    """Return scores by model title, each with its 95% interval; or, with `chance`, with its null band.

    found: the table "intervals".
    """
    ends = ("null_low", "null_high", "if calibrated") if chance else ("low", "high", "95%")
    return _wide(found, run, "score", scores, "value", ends).dropna(axis="columns", how="all")


def error_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return ECE and MCE by model title with the null bands of both, and the interval of the ECE, which alone has one.

    found: the table "intervals".
    """
    bands = score_view(found, run, "ece", "mce", chance=True).drop(columns=["model", "ECE"])
    return score_view(found, run, "ece").join(bands)


def decomposition_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the parts of the Brier score by model title."""
    heads = {name: score.head for name, score in SCORES.items()}
    return found.assign(model=found["model"].map(side_titles(run))).rename(columns=heads)


def outcome_view(differences: pd.DataFrame, run: Results, score: str) -> pd.DataFrame:
    """Return one score's differences from the large model with the outcome against its margin."""
    rows = differences[differences["score"] == score]
    columns = {"model": rows["model"].map(side_titles(run)), "value": rows["compressed"]}
    columns |= {"difference": rows["difference"], "95%": interval_text(rows["low"], rows["high"], digits=3)}
    needed = [f"{n:,}" if pd.notna(n) else "" for n in rows["n_needed"]]
    return pd.DataFrame(columns | {"outcome": rows["outcome"], "examples needed": needed})


def difference_view(differences: pd.DataFrame, run: Results, *scores: str) -> pd.DataFrame:
    """Return the differences of several scores from the large model's, each with its 95% interval."""
    return _wide(differences, run, "score", scores, "difference", ("low", "high", "95%"))


def temperature_view(found: pd.DataFrame, run: Results, *scores: str) -> pd.DataFrame:
    """Return each model's temperature, and scores before and after."""
    of = found.set_index(["model", "score"])
    models = list(dict.fromkeys(found["model"]))
    columns = {"model": pd.Series(models).map(side_titles(run)).tolist()}
    columns["temperature"] = found.drop_duplicates("model")["temperature"].tolist()
    for score in scores:
        for when in ("before", "after"):
            columns[f"{SCORES[score].head} {when}"] = [of.loc[(model, score), when] for model in models]
    return pd.DataFrame(columns)


def repair_view(differences: pd.DataFrame, found: pd.DataFrame, run: Results, score: str) -> pd.DataFrame:
    """Return one score's difference from the large model, before and after both are rescaled.

    differences, found: the tables "differences" and "temperature".
    """
    sides = {}
    for when, table in (("before", differences), ("after", found)):
        rows = table[table["score"] == score].set_index("model")
        text = interval_text(rows["low"], rows["high"], digits=3)
        columns = {when: rows["difference"], f"95%, {when}": text, f"outcome {when}": rows["outcome"]}
        sides[when] = pd.DataFrame(columns)
    table = sides["before"].join(sides["after"], how="inner").rename_axis("model").reset_index()
    return table.assign(model=table["model"].map(side_titles(run)))


def loyalty_view(found: pd.DataFrame, run: Results, *measures: str) -> pd.DataFrame:
    """Return measures of loyalty by model title, those with an interval beside it."""
    table = _wide(found, run, "measure", measures, "value", ("low", "high", "95%"))
    return table.dropna(axis="columns", how="all")


def _wide(
    found: pd.DataFrame, run: Results, key: str, names: Sequence[str], value: str, ends: tuple[str, str, str]
) -> pd.DataFrame:
    """Return one row a model, with two columns for each name: the value, and the text of its interval."""
    low, high, title = ends
    columns = {"model": found["model"].drop_duplicates().map(side_titles(run)).tolist()}
    for name in names:
        rows = found[found[key] == name]
        head = SCORES[name].head if name in SCORES else name
        columns[head] = rows[value].tolist()
        columns[f"{head} {title}"] = interval_text(rows[low], rows[high], digits=3).tolist()
    return pd.DataFrame(columns)


def beside_paper(scores: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return the scores by model title with the paper's ECE, MCE and Brier score of the counterpart beside them."""
    paper = paper_table("calibration").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    paper = paper.set_index("model")[["ece", "mce", "brier"]].add_prefix(f"{PAPER_MARK}_")
    roles = scores["model"].map(counterparts(run))
    beside = paper.reindex(roles).set_axis(scores.index)
    return marked(pd.concat([scores.assign(model=scores["model"].map(titles(run))), beside], axis=1), roles.isna())


def share_table(reliability: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return the share of predictions per confidence bin, in percent: one row per bin, one column per model.

    The paper's shares on the same kind of task stand beside them, for the models of which any is held.
    """
    ours = reliability.assign(confidence=_bin_names(reliability), percent=100 * reliability["share"])
    table = ours.pivot(index="confidence", columns="model", values="percent")[list(run.experiment.models)]
    paper = paper_table("confidence_share").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    table = table.rename(columns=titles(run)).reset_index().rename_axis(columns=None)
    for name in paper["model"].unique():
        shares = (100 * paper["share"]).set_axis(_bin_names(paper))[(paper["model"] == name).to_numpy()]
        if shares.notna().any():
            table[f"{PAPER_MARK}_{name}"] = table["confidence"].map(shares)
    return table


def _bin_names(bins: pd.DataFrame) -> pd.Series:
    return bins["lower"].map("{:.1f}".format) + "–" + bins["upper"].map("{:.1f}".format)


def error_intervals(
    found: pd.DataFrame, names: Mapping[str, str], models: Sequence[str], ax=None, *, score: str = "ece"
):
    """Draw one calibration score of every model and control with its 95% interval; the grey bar is its null band.

    found: the table "intervals". names: titles of models and controls. models: of the experiment, for their
    colours; controls are black.
    """
    rows = found[found["score"] == score]
    ax = ax or plt.figure(figsize=(7, 1.0 + 0.33 * len(rows))).gca()
    chosen = colours(models)
    # A control far off would press the models together: it is cut, with an arrow and its value.
    widest = 1.3 * rows.loc[rows["model"].isin(models), ["value", "high", "null_high"]].max(axis=None)
    for y, row in enumerate(rows.itertuples()):
        color = chosen.get(row.model, "0.15")
        ax.barh(y, row.null_high - row.null_low, left=row.null_low, height=0.62, color="0.85")
        if row.value > widest:
            ax.plot(widest, y, ">", color=color, markersize=7, clip_on=False)
            ax.annotate(f"{row.value:.2f}", (widest, y), (-8, 0), textcoords="offset points", ha="right", va="center")
            continue
        ax.hlines(y, row.low, row.high, color=color, linewidth=2.2)
        ax.plot(row.value, y, "o", color=color, markersize=6)
    ax.set_yticks(range(len(rows)), [names[name] for name in rows["model"]])
    ax.set(xlim=(0, widest), ylim=(len(rows) - 0.4, -0.6), xlabel=SCORES[score].title)
    ax.grid(axis="y", visible=False)
    return ax
