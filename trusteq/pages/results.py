"""The page of results: models, and verdicts on them."""

import textwrap
from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.pages.figures import GREY, WIDTH, colours, headed, margin_intervals
from trusteq.pages.show import (
    PAPER_MARK,
    counterparts,
    of_seed,
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
from trusteq.verdict.margins import OUTCOMES, load_margins, measures_of, overall
from trusteq.verdict.predictions import stacked

VERSION = 3


def models(run: Results) -> None:
    """Show what was run, the paper's Table 1 of it, and the paper's own with the model here that plays each part."""
    put(run_line(run), show(model_table(run, run.experiment.seeds[0]), digits=1, formats={"parameters_M": "{:.2f}"}))
    paper = paper_model_table(run)
    if (paper["played_by"] == "none").all():
        put("None of these models plays the part of one of the paper's.")
        return
    sizes = ["paper_layers", "paper_parameters_M", "paper_hidden_size", "paper_size_MB"]
    whole = dict.fromkeys(["paper_layers", "paper_hidden_size"], "{:.0f}")
    put(show(paper[["model", "played_by", *sizes]], digits=1, formats=whole))
    put(show(paper.drop(columns=["played_by", *sizes]), digits=1))


def verdicts(run: Results) -> None:
    """Show the verdicts by each task's first method, how many there are of each, and each measure as a figure."""
    chosen = deciding(all_verdicts(run))
    methods = ", ".join(f"{rows['method'].iloc[0]} on {task}" for task, rows in chosen.groupby("task", sort=False))
    put(show(verdict_table(chosen, run), caption=f"Alignment by {methods}"))
    put(show(count_table(chosen, run), caption="How many verdicts of each kind"))
    for task, rows in chosen.groupby("task", sort=False):
        figure = verdict_panels(rows, side_titles(run), measure_titles())
        put(headed(figure, f"{task}: {verdict_line(rows, run.experiment.models)}"))


def verdict_line(found: pd.DataFrame, models: Collection[str]) -> str:
    """Return how many of the smaller models have each verdict, as a sentence about one task and one method."""
    verdict = found[found["model"].isin(models)].drop_duplicates("model")["verdict"]
    counts = ", ".join(f"{(verdict == outcome).sum()} {outcome}" for outcome in OUTCOMES)
    return f"of {len(verdict)} smaller models, {counts}"


def answers(run: Results) -> None:
    """Show the three answers about each smaller model."""
    caption = "Alone: the share answered alone at a risk of 1% of flips kept"
    put(show(answer_table(run), formats={"alone": "{:.0%}"}, caption=caption))


def differences(run: Results) -> None:
    """Show what the answers rest on: each difference, each loss beside training again, each risk of a hand-over."""
    table = difference_table(deciding(all_verdicts(run)), run)
    put(show(table, formats={"difference": "{:+z.3f}", "margin": "{:.2f}"}, caption="Each measure and its margin"))
    found = all_verdicts(run, "retraining")
    if len(found):
        chosen = deciding(found).assign(title=lambda rows: rows["measure"].map(measure_titles()))
        columns = {"task": "task", "model": "model", "loss": "title", "compressed": "compressed"}
        columns |= {"trained again": "retrained", "difference": "difference", "95%": ("low", "high")}
        table = view(chosen, run, columns | {"at most": "margin", "outcome": "outcome"}, digits=3)
        put(show(table, caption=f"Beside {found['twins'].max()} further training(s) of the large model"))
    else:
        put("The large model was trained once, so whether a smaller one is no worse than training again was not asked.")
    columns = {
        "task": "task",
        "model": "model",
        "risk": "risk",
        "at most": "level",
        "from a confidence of": "threshold",
    }
    columns |= {"share alone": "share", "at least": "share_low", "risk on test": "realised"}
    columns |= {"95%": ("realised_low", "realised_high")}
    shares = dict.fromkeys(["share alone", "at least"], "{:.0%}") | {"at most": "{:.1%}", "risk on test": "{:.4f}"}
    table = view(handovers(run), run, columns, digits=4)
    put(show(table, formats=shares, caption="Hand-over, threshold chosen on dev"), promise_line(handovers(run)))


def margins(run: Results) -> None:
    """Show each verdict at half, at all and at twice the margins, and what agrees no more than what knows no task."""
    found = deciding(all_verdicts(run, "margins"))
    heads = {0.5: "half the margins", 1.0: "the margins", 2.0: "twice the margins"}
    put(wide(found, run, "times", heads, columns={"{}": "verdict"}, rows={"task": "task", "model": "model"}))
    columns = {"task": "task", "model": "model", "method": "method", "lead": "lead", "95%": ("low", "high")}
    leads = all_verdicts(run, "leads").assign(of=lambda rows: rows["is_evidence"].map({True: "", False: "no evidence"}))
    put(show(view(leads, run, columns | {"of the same reasons": "of"}), digits=2, caption="Lead over the random head"))


def answer_table(run: Results) -> pd.DataFrame:
    """Return the three answers about each smaller model by the first method: task, model, ..., and the share alone."""
    keys = ["task", "model"]
    found = deciding(all_verdicts(run)).drop_duplicates(keys)
    found = found[found["model"].isin(run.experiment.models)][[*keys, "verdict"]]
    again, alone = all_verdicts(run, "retraining"), handovers(run).query("risk == 'flips' and level == 0.01")
    answers = deciding(again).drop_duplicates(keys)[[*keys, "answer"]] if len(again) else again[[*keys, "answer"]]
    table = found.merge(answers, on=keys, how="left").merge(alone[[*keys, "share"]], on=keys, how="left")
    columns = {"task": "task", "model": "model", "interchangeable": "verdict", "beside training again": "answer"}
    return view(table.fillna({"answer": "not asked"}), run, columns | {"alone": "share"})


def methods(run: Results) -> None:
    """Show the outcome of the alignment by every method, and how often the method decides about it."""
    found = all_verdicts(run)
    outcomes = found[found["dimension"] == "alignment"].groupby(["task", "model"])["outcome"].nunique()
    caption = f"Outcomes that depend on the method: {(outcomes > 1).sum()} of {len(outcomes)}"
    put(show(method_table(found, run), digits=2, caption=caption))


def plane(run: Results) -> None:
    """Draw each model by its change in calibration error and its alignment, one panel a task."""
    found, margins = plane_table(deciding(all_verdicts(run))), load_margins()
    box = tuple(margins[measures_of(dimension)[0]].margin for dimension in ("calibration", "alignment"))
    panels = plt.subplots(1, len(run.experiment.tasks), figsize=(9, 4.6), sharey=True, squeeze=False)[1].flat
    for ax, (task, rows) in zip(panels, found.groupby("task", sort=False), strict=True):
        trust_plane(rows, side_titles(run), list(run.experiment.models), ax, box=box)
        ax.set_title(f"{task}: {plane_line(rows, run.experiment.models, box=box)}")
        ax.label_outer()
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    put(ax)


def plane_line(plane: pd.DataFrame, models: Collection[str], *, box: tuple) -> str:
    """Return of how many smaller models the whole cross lies within the box of `trust_plane`."""
    rows = plane[plane["model"].isin(models)]
    inside = (rows["x_low"] >= -box[0]) & (rows["x_high"] <= box[0]) & (rows["y_low"] >= 1 - box[1])
    return f"{inside.sum()} of {len(rows)} surely the same in both"


def model_table(run: Results, seed: int) -> pd.DataFrame:
    """Return the paper's Table 1: size of each model, and its accuracy and inference time on each task.

    inference_s: seconds for the whole test split, which has another size than the paper's.
    """
    rows = []
    for name, title in titles(run).items():
        metrics = {task: run.facts(task, name, seed, "metrics") for task in run.experiment.tasks}
        shape = next(iter(metrics.values()))
        row = {"model": title, "layers": shape["layers"], "hidden_size": shape["hidden_size"]}
        row |= {"parameters_M": shape["parameters"] / 1e6, "size_MB": shape["weights_bytes"] / 1e6}
        for task, facts in metrics.items():
            row[f"{task}_accuracy"] = 100 * facts["accuracy"]
            row[f"{task}_inference_s"] = run.facts(task, name, seed, "timing")["inference_seconds"]
        rows.append(row)
    return pd.DataFrame(rows)


def paper_model_table(run: Results) -> pd.DataFrame:
    """Return the paper's own Table 1, with the model of this run that plays each part, or "none"."""
    table = paper_table("models")
    parts = {role: run.experiment.model(name).title for name, role in counterparts(run).dropna().items()}
    units = {"parameters_millions": "parameters_M", "size_mb": "size_MB"}  # as our own table has them
    numbers = table.drop(columns="model").rename(columns=units).add_prefix(f"{PAPER_MARK}_")
    played = table[["model"]].assign(played_by=[parts.get(model, "none") for model in table["model"]])
    return pd.concat([played, numbers], axis=1)


def all_verdicts(run: Results, table: str = "verdicts") -> pd.DataFrame:
    """Return the verdicts of all tasks under the first training seed, `task` first; or another table about them."""
    seed = run.experiment.seeds[0]
    return stacked({task: of_seed(run.comparison(task, table), seed) for task in run.experiment.tasks}, "task")


def handovers(run: Results) -> pd.DataFrame:
    """Return the hand-over of every smaller model of every task under the first training seed, `task` first."""
    seed = run.experiment.seeds[0]
    return stacked({task: run.calibration(task, seed, "handover") for task in run.experiment.tasks}, "task")


def promise_line(found: pd.DataFrame) -> str:
    """Return how many thresholds (of `handovers`) are shown to miss their level on the test split."""
    chosen = found.dropna(subset="threshold")
    missed = (chosen["realised_low"] > chosen["level"]).sum()
    broken = " Inputs there are not like those of dev, and the promise does not hold." if missed else ""
    return (
        f"Of {len(chosen)} thresholds, {missed} are shown to miss their level on the test split: the whole interval of "
        f"the risk lies above it.{broken}"
    )


def deciding(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of each task's first method, which the overall verdict goes by."""
    first = found.groupby("task")["method"].transform("first")
    return found[found["method"] == first]


def verdict_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return one row a task and model: the outcome in each dimension, the verdict, and the paper's rule beside.

    found: of `all_verdicts`, one method a task (see `deciding`). Where a dimension has several measures, the outcome is
    over all of them.
    """
    dimensions, keys = found["dimension"].unique(), ["task", "model"]
    outcomes = found.pivot_table(index=keys, columns="dimension", values="outcome", aggfunc=overall, sort=False)
    each = view(found.drop_duplicates(keys), run, {"task": "task", "model": "model", "verdict": "verdict"})
    rule = found.drop_duplicates(keys)["drop_in"].map({True: "drop-in", False: "no drop-in"})
    parts = [each[keys], outcomes[dimensions].set_index(each.index), each["verdict"], rule.rename("paper's rule")]
    return pd.concat(parts, axis=1).reset_index(drop=True)


def count_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return how many of the smaller models, and of each control over the tasks, have each verdict.

    found: as in `verdict_table`. drop-in: those that the paper's rule lets pass.
    """
    each = found.drop_duplicates(["task", "model"])
    who = each["model"].where(~each["model"].isin(run.experiment.models), "smaller models").replace(side_titles(run))
    counts = {outcome: (each["verdict"] == outcome).groupby(who, sort=False).sum() for outcome in OUTCOMES}
    counts |= {"drop-in": each["drop_in"].astype(bool).groupby(who, sort=False).sum()}
    return pd.DataFrame(counts).rename_axis("who").reset_index()


def method_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the outcome of the alignment and the verdict by task, model and method."""
    rows = found[found["dimension"] == "alignment"]
    placed = rows.assign(low=rows["low"] + 1, high=rows["high"] + 1)  # of the place itself, not of its distance from 1
    columns = {"task": "task", "model": "model", "method": "method", "0 to 1": "compressed", "95%": ("low", "high")}
    return view(placed, run, columns | {"alignment": "outcome", "verdict": "verdict"})


def difference_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return every measure of one method a task with its difference, interval, margin and outcome."""
    needed = [f"{n:,} of {m:,}" if pd.notna(m) else "" for n, m in zip(found["n"], found["n_needed"], strict=True)]
    named = found.assign(title=found["measure"].map(measure_titles()), needed=needed)
    columns = {"task": "task", "model": "model", "measure": "title", "difference": "difference", "95%": ("low", "high")}
    columns |= {"margin": "margin", "outcome": "outcome", "why": "reason", "examples needed": "needed"}
    return view(named, run, columns, digits=3)


def measure_titles() -> dict[str, str]:
    """Return the title of each measure of an audit, by name."""
    return {name: margin.title for name, margin in load_margins().items()}


def plane_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row a task, model and method: the change in calibration error and the alignment, with intervals.

    x is the difference in (bias-corrected) expected calibration error, y the alignment from chance, 0, to ceiling, 1.
    """
    keys, ends = ["task", "model", "method"], ["difference", "low", "high"]
    error = found[found["measure"] == measures_of("calibration")[0]].set_index(keys)[ends]
    words = found[found["dimension"] == "alignment"].set_index(keys)[ends] + 1
    both = error.set_axis(["x", "x_low", "x_high"], axis=1).join(words.set_axis(["y", "y_low", "y_high"], axis=1))
    return both.reset_index()


def verdict_panels(found: pd.DataFrame, names: Mapping[str, str], titles: Mapping[str, str]):
    """Draw `margin_intervals` for each model of one task, one panel a model; return the figure.

    found: of `all_verdicts`, one task and one method. names: of models and controls. titles: of the measures.
    """
    models = list(dict.fromkeys(found["model"]))
    rows = -(-len(models) // 2)
    shape = {"figsize": (WIDTH, 0.6 + 1.8 * rows), "squeeze": False, "sharex": True, "sharey": True}
    figure, axes = plt.subplots(rows, 2, **shape)
    for ax, model in zip(axes.flat, models, strict=False):
        measures = found[found["model"] == model]
        margin_intervals(measures, titles, ax)
        ax.set_title(f"{textwrap.fill(names[model], 22)}\n{measures['verdict'].iloc[0]}", fontsize="small")
        ax.set_xlabel("")
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    figure.supxlabel("difference (smaller − large) in units of the margin", fontsize=10)
    return figure


def trust_plane(plane: pd.DataFrame, names: Mapping[str, str], models: Sequence[str], ax=None, *, box: tuple):
    """Draw each model by its change in calibration error and its alignment with the large one, with 95% intervals.

    plane: of `plane_table`, one task and one method. models: of the experiment, for their colours; controls are
    grey. box: the margins (of the change, either way; of the alignment, below 1) that count as the same, drawn green.
    """
    ax = ax or plt.gca()
    chosen, markers = colours(list(models)), iter("sD^vP*")
    ax.axvspan(-box[0], box[0], ymin=0, ymax=1, color="#1b7f4d", alpha=0.05, linewidth=0)
    ax.fill_between([-box[0], box[0]], 1 - box[1], 1.35, color="#1b7f4d", alpha=0.14, linewidth=0)
    for row in plane.itertuples():
        color = chosen.get(row.model, "0.35")
        ax.hlines(row.y, row.x_low, row.x_high, color=color, linewidth=1.2)
        ax.vlines(row.x, row.y_low, row.y_high, color=color, linewidth=1.2)
        marker = "o" if row.model in chosen else next(markers)
        ax.plot(row.x, row.y, marker, color=color, markersize=7, linestyle="none", label=names[row.model])
    for anchor in (0, 1):
        ax.axhline(anchor, color="0.25", linewidth=0.8)
    ax.axvline(0, color=GREY, linewidth=1)
    ax.set(xlabel="change in ECE", ylabel="alignment: 0 chance, 1 ceiling", ylim=(-0.35, 1.35))
    return ax
