"""The page on calibration: a row is a model or a control, an interval one column of text."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from trusteq.calibration.proper_scores import SCORES
from trusteq.pages.figures import (
    colours,
    confidence_histogram,
    counted,
    headed,
    interval,
    last_bin_title,
    named_rows,
    per_model,
    reliability_diagram,
    rows_figure,
    sureness_title,
)
from trusteq.pages.show import (
    PAPER_MARK,
    Columns,
    counterparts,
    marked,
    open_with,
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
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED

# What the section on agreement shows, a table each.
_AGREEMENT = (
    ("negative_flips", "positive_flips", "relative_negative_flips"),
    ("error_kappa", "error_jaccard", "error_jaccard_by_chance"),
    ("kl", "kl_90", "kl_99", "largest_change"),
    ("risk_coverage", "conformal_size", "conformal_coverage", "worst_class"),
)
# What the sections of the page show; scores that are in none of these are errors measured otherwise.
_PROPER, _BINNED, _SIGNED = ("accuracy", "brier", "nll"), ("ece", "mce"), ("mean_confidence", "overconfidence")
_MODEL = {"model": "model"}
_VALUE, _BY_LUCK = {"{}": "value", "{} 95%": ("low", "high")}, {"{} if calibrated": ("null_low", "null_high")}
_DIFFERENCE = {"{}": "difference", "{} 95%": ("low", "high")}
_OUTCOME = _MODEL | {"value": "compressed", "difference": "difference", "95%": ("low", "high")}
_OUTCOME |= {"outcome": "outcome", "examples needed": "needed"}
_REPAIR = _MODEL | {
    title.format(when): f"{of}_{when}" if isinstance(of, str) else tuple(f"{end}_{when}" for end in of)
    for when in ("before", "after")
    for title, of in {"{}": "difference", "95%, {}": ("low", "high"), "outcome {}": "outcome"}.items()
}


def numbers(run: Results, task: str, seed: int, section: str) -> None:
    """Show the tables of a section: "scores", "kinds", "differences", "parts", "repair", "loyalty" or "agreement"."""
    for caption, table in SECTIONS[section](run, task, seed):
        put(show(table, caption=caption, formats={"temperature": "{:.2f}"}))


def opening(run: Results, task: str, seed: int) -> None:
    """Say in one sentence how many smaller models are calibrated as the large one is, and draw every ECE."""
    errors, found = (run.calibration(task, seed, name) for name in ("intervals", "differences"))
    ax = error_intervals(errors, side_titles(run), list(run.experiment.models))
    of_models = [table[table["model"].isin(run.experiment.models)] for table in (errors, found)]
    open_with(answer(*of_models), ax, run_line(run))


def answer(errors: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Return in one sentence how calibration errors differ from the large model's, and how many may be luck.

    errors: the table "intervals" of the models; differences: that of the smaller ones.
    """
    found, ece = differences[differences["score"] == "debiased_ece"], errors[errors["score"] == "ece"]
    counts = found["outcome"].value_counts()
    alike, unlike, unsaid = (counts.get(outcome, 0) for outcome in (EQUIVALENT, DIFFERENT, UNDECIDED))
    by_luck = (ece["value"] <= ece["null_high"]).sum()
    return (
        f"The evidence puts the calibration error of {alike} of {len(found)} smaller models within "
        f"{found['margin'].max():g} of the large one's, that of {unlike} beyond, and leaves {unsaid} undecided; luck "
        f"alone could explain {by_luck} of all {len(ece)} errors."
    )


def errors(run: Results, task: str, seed: int) -> None:
    """Show ECE and MCE with what luck alone would make of them, and beside the paper's numbers."""
    found = run.calibration(task, seed, "intervals")
    table = score_view(found, run, *_BINNED, columns=_VALUE | _BY_LUCK)
    put(table)
    if counterparts(run).notna().any():
        beside = run.calibration(task, seed, "scores")[["model", "ece", "mce", "brier"]]
        put(show(beside_paper(beside, run, task), caption="Beside the models of the paper whose part they play"))


def reliability(run: Results, task: str, seed: int) -> None:
    """Show a reliability diagram of each model."""
    found = run.calibration(task, seed, "reliability")
    put(headed(per_model(found, reliability_diagram, titles(run)), sureness_title(found)))


def confidence(run: Results, task: str, seed: int) -> None:
    """Show how sure the models are: histograms, and the share of the predictions in each bin of confidence."""
    found = run.calibration(task, seed, "reliability")
    shares = show(share_table(found, run, task), digits=1, caption="Percent of the test split by confidence")
    put(headed(per_model(found, confidence_histogram, titles(run)), last_bin_title(found, titles(run))), shares)


Tables = Iterator[tuple[str, pd.DataFrame]]


def _scores(run: Results, task: str, seed: int) -> Tables:
    yield "", score_view(run.calibration(task, seed, "intervals"), run, *_PROPER, columns=_VALUE)


def _kinds(run: Results, task: str, seed: int) -> Tables:
    others = [name for name in SCORES if name not in _PROPER + _BINNED + _SIGNED]
    columns = {"{}": "value"} | _BY_LUCK
    table = score_view(run.calibration(task, seed, "intervals"), run, *others, columns=columns)
    yield "", table.drop(columns="debiased if calibrated")  # what luck adds is taken from it already


def _differences(run: Results, task: str, seed: int) -> Tables:
    found = run.calibration(task, seed, "differences")
    for row in found.dropna(subset="margin").drop_duplicates("score").itertuples():
        rows = found[found["score"] == row.score]
        needed = rows["n_needed"].map("{:,}".format, na_action="ignore").astype(object).fillna("")
        table = view(rows.assign(needed=needed), run, _OUTCOME, digits=3)
        yield f"{SCORES[row.score].title}, margin ±{row.margin:g}", table
    yield "Without a margin; above 0 is worse", score_view(found, run, "brier", "nll", columns=_DIFFERENCE)


def _parts(run: Results, task: str, seed: int) -> Tables:
    found, heads = run.calibration(task, seed, "decomposition"), {name: score.head for name, score in SCORES.items()}
    yield "", view(found, run, {heads.get(name, name): name for name in found})


def _repair(run: Results, task: str, seed: int) -> Tables:
    before, after = (run.calibration(task, seed, name) for name in ("differences", "temperature"))
    columns, rows = {"{} before": "before", "{} after": "after"}, _MODEL | {"temperature": "temperature"}
    yield "", score_view(after, run, "ece", "nll", "overconfidence", columns=columns, rows=rows)
    both = before.merge(after, on=["model", "score"], suffixes=("_before", "_after"))
    for score in ("debiased_ece", "overconfidence"):
        table = view(both[both["score"] == score], run, _REPAIR, digits=3)
        yield f"Difference from the large model in {SCORES[score].title}", table


def _agreement(run: Results, task: str, seed: int) -> Tables:
    found = run.calibration(task, seed, "agreement")
    values = {"{}": "value", "{} 95%": ("low", "high")}
    for measures in _AGREEMENT:
        rows = found[found["measure"].isin(measures)].assign(what=lambda rows: rows["title"])
        yield "", wide(rows, run, "what", columns=values, rows={"model": "model"})


def _loyalty(run: Results, task: str, seed: int) -> Tables:
    found = run.calibration(task, seed, "loyalty")
    for measures in (("label_loyalty", "probability_loyalty"), ("total_variation", "confidence_distance")):
        heads = dict(zip(measures, measures, strict=True))
        yield "", wide(found, run, "measure", heads, columns=_VALUE, rows=_MODEL)


SECTIONS = {
    "scores": _scores,
    "kinds": _kinds,
    "differences": _differences,
    "parts": _parts,
    "repair": _repair,
    "loyalty": _loyalty,
    "agreement": _agreement,
}


def score_view(found: pd.DataFrame, run: Results, *scores: str, columns: Columns, rows: Columns = _MODEL):
    """Return scores by model title, each with `columns` of its own (`wide`)."""
    return wide(found, run, "score", {score: SCORES[score].head for score in scores}, columns=columns, rows=rows)


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
    paper = paper_table("confidence_share").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    paper = paper.dropna(subset="share").assign(model=lambda held: f"{PAPER_MARK}_" + held["model"])
    both = pd.concat([reliability.assign(model=reliability["model"].map(titles(run))), paper])
    names = both["lower"].map("{:.1f}".format) + "–" + both["upper"].map("{:.1f}".format)
    both = both.assign(confidence=names, percent=100 * both["share"])
    table = both.pivot(index="confidence", columns="model", values="percent")
    return table[[*titles(run).values(), *paper["model"].unique()]].reset_index().rename_axis(columns=None)


def error_intervals(
    found: pd.DataFrame, names: Mapping[str, str], models: Sequence[str], ax=None, *, score: str = "ece"
):
    """Draw one calibration score of every model and control with its 95% interval; the grey bar is its null band.

    found: the table "intervals". names: titles of models and controls. models: of the experiment, for their
    colours; controls are black.
    """
    rows = found[found["score"] == score]
    ax = ax or rows_figure(len(rows))
    chosen = colours(models)
    # A control far off would press the models together: it is cut, with an arrow and its value.
    widest = 1.3 * rows.loc[rows["model"].isin(models), ["value", "high", "null_high"]].max(axis=None)
    for y, row in enumerate(rows.itertuples()):
        ax.barh(y, row.null_high - row.null_low, left=row.null_low, height=0.62, color="0.85")
        ends = (row.value, row.low, row.high)
        interval(ax, y, *ends, color=chosen.get(row.model, "0.15"), within=(-1, widest))
        if row.value > widest:
            ax.annotate(f"{row.value:.2f}", (widest, y), (-8, 0), textcoords="offset points", ha="right", va="center")
    counted(ax, rows["value"] > rows["null_high"], "lie beyond what luck alone would give")
    return named_rows(ax, [names[name] for name in rows["model"]], xlabel=SCORES[score].title, xlim=(0, widest))
