"""The paper's three first experiments: what they ask and expect, and what a run has to say to it.

Everything is read from the tables of a run, those of its first training seed.
"""

import math

import numpy as np
import pandas as pd

from trusteq.pages.figures import (
    about,
    alignment_intervals,
    confidence_histogram,
    headed,
    jaccard_distribution,
    last_bin_title,
    per_model,
    rows_figure,
)
from trusteq.pages.show import of_seed, put, show, titles, view
from trusteq.pages.status import run_line
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

# The paper, among its open questions: LIME's top five words of 50 random test pairs, by BERT-base and by Distil-BERT.
ASKED = {"method": "lime", "k": 5, "examples": 50}
EXPECTED = (0.5, 0.7)  # the mean Jaccard it expects
HALF_WIDTH = 0.02  # of an interval that would tell such a mean from its neighbours
SHIFTED = "ece"  # the score whose shift it asks for
_SIDES = {"task": "task", "method": "method", "model": "model"}
_NUMBERS = ["jaccard", "low", "high", "chance", "ceiling", "normalised", "normalised_low", "normalised_high"]
_FOUND = [*_SIDES, *_NUMBERS, "examples", "as_asked", "place", "settled"]
_FOUND += ["expected_low", "expected_high", "needed", "tested"]


def applies(experiment: Experiment) -> bool:
    """Return whether an experiment is one of the three: a large model and one smaller, with so few explanations."""
    explained = {experiment.explained(task) for task in experiment.tasks}
    return len(experiment.models) == 2 and explained == {ASKED["examples"]}


def answers(run: Results) -> None:
    """Show what was run, who plays the parts of the paper's two, whether as it asks, and the answers in short."""
    large, *small = titles(run).values()
    rows = [
        {"task": task, "large": large, "may replace it": ", ".join(small), "method": method}
        | {"explained as asked": "yes" if as_asked(run, task, method) else "no"}
        for task in run.experiment.tasks
        for method in run.experiment.task_methods(task)
    ]
    put(run_line(run), pd.DataFrame(rows), first_answers(first_alignment(run), first_calibration(run), run))


def words(run: Results) -> None:
    """Show the mean Jaccard with the large model and draw it over the expected range, task by task."""
    for task, rows in first_alignment(run).groupby("task", sort=False):
        ax = alignment_intervals(_pairs(run, task), titles(run))
        ax.axvspan(*EXPECTED, color="0.5", alpha=0.15, linewidth=0)
        put(show(word_view(rows, run), digits=2, caption=task), about(ax, task))


def scale(run: Results) -> None:
    """Show where mean and expected range stand between chance and ceiling."""
    put(show(scale_view(first_alignment(run), run), digits=2))


def needed(run: Results) -> None:
    """Show how many examples a narrow interval takes, and draw how the single examples are spread."""
    found, k = first_alignment(run), run.experiment.k
    values = ", ".join(f"{shared / (2 * k - shared):.2f}" for shared in range(k + 1))
    put(needed_view(found, run), f"The values that one example can take, with {k} words a set: {values}.")
    for task, rows in found.groupby("task", sort=False):
        ax = rows_figure(4 * len(rows))
        examples = of_seed(run.comparison(task, "examples"), run.experiment.seeds[0])
        put(about(jaccard_distribution(examples, titles(run), run.experiment.large, ax), task))


def calibration(run: Results) -> None:
    """Draw how sure the models are, task by task, and show how the ECE and what it is made of shift."""
    for task in run.experiment.tasks:
        bins = run.calibration(task, run.experiment.seeds[0], "reliability")
        figure = per_model(bins, confidence_histogram, titles(run))
        put(headed(figure, f"{task}: {last_bin_title(bins, titles(run))}"))
    put(first_calibration_view(first_calibration(run), run))


def _pairs(run: Results, task: str) -> pd.DataFrame:
    pairs = of_seed(run.comparison(task, "alignment"), run.experiment.seeds[0])
    return pairs[pairs["model_a"] == run.experiment.large]


def first_alignment(run: Results) -> pd.DataFrame:
    """Return the alignment of every smaller model with the large one, beside what the paper expects.

    Columns: task, method, model; jaccard, low, high (95% interval), chance, ceiling, normalised with its interval;
    examples, those that enter the mean; as_asked, whether method, k and number of examples are the paper's; place,
    "within" the expected range, "below" or "above" it, and settled, whether the whole interval is (see `range_place`);
    expected_low, expected_high, the expected range from chance, 0, to ceiling, 1; needed, the number of examples for an
    interval of ±0.02, and tested, the size of the test split.
    """
    large, seed = run.experiment.large, run.experiment.seeds[0]
    rows = []
    for task in run.experiment.tasks:
        tested = run.facts(task, large, seed, "metrics")["test_examples"]
        for pair in _pairs(run, task).rename(columns={"model_b": "model"}).to_dict("records"):
            row = pair | {"task": task, "examples": pair["examples"] - pair["undefined"], "tested": tested}
            row["as_asked"] = as_asked(run, task, pair["method"])
            row["place"], row["settled"] = range_place(pair["jaccard"], pair["low"], pair["high"])
            room = max(pair["ceiling"] - pair["chance"], 0) or math.nan
            row["expected_low"], row["expected_high"] = ((end - pair["chance"]) / room for end in EXPECTED)
            rows.append(row | {"needed": examples_needed(pair["low"], pair["high"], row["examples"])})
    return pd.DataFrame(rows, columns=_FOUND)


def as_asked(run: Results, task: str, method: str) -> bool:
    """Return whether a run explains a task as the paper asks: by LIME, the top five words, 50 examples."""
    found = {"method": method, "k": run.experiment.k, "examples": run.experiment.explained(task)}
    return found == ASKED


def range_place(mean: float, low: float, high: float) -> tuple[str, bool]:
    """Return where a mean lies, "within" the expected range, "below" or "above" it, and whether its interval does too.

    nan is "nowhere".
    """
    (start, end), values = EXPECTED, np.array([mean, low, high])
    places = np.select([values < start, values > end, ~np.isnan(values)], ["below", "above", "within"], "nowhere")
    return str(places[0]), not math.isnan(mean) and bool((places == places[0]).all())


def examples_needed(low: float, high: float, n: int, *, half_width: float = HALF_WIDTH) -> float:
    """Return how many examples an interval of ±`half_width` takes, if n of them give one from `low` to `high`.

    The width of an interval falls with the square root of the number of examples. nan without an interval, and for a
    single example, which shows no spread.
    """
    wanted = n * ((high - low) / (2 * half_width)) ** 2 if n > 1 else math.nan
    return wanted if math.isnan(wanted) else float(math.ceil(round(wanted, 6)))  # rounding is no further example


def first_calibration(run: Results) -> pd.DataFrame:
    """Return how the calibration shifts from the large model to the others: one row a task and model, the large first.

    Columns: task, model; examples; accuracy, mean confidence, sure (share of the predictions in the last bin of
    confidence), ece; difference of the ECE from the large model's with its paired 95% interval, low, high (see
    `intervals.difference_table`), missing for the large model itself.
    """
    seed, rows = run.experiment.seeds[0], []
    for task in run.experiment.tasks:
        ece = run.calibration(task, seed, "scores").set_index("model")[SHIFTED]
        differences = run.calibration(task, seed, "differences").query("score == @SHIFTED").set_index("model")
        differences = differences[["difference", "low", "high"]].reindex(run.experiment.models)
        bins = run.calibration(task, seed, "reliability")
        for model, ends in differences.iterrows():
            row = {"task": task, "model": model} | _means(bins[bins["model"] == model])
            rows.append(row | {"ece": ece[model]} | ends.to_dict())
    return pd.DataFrame(rows)


def _means(bins: pd.DataFrame) -> dict:
    """Return the means over all predictions from one model's reliability table; empty bins have none."""
    filled = bins[bins["count"] > 0]
    means = {name: float(filled["share"] @ filled[name]) for name in ("accuracy", "confidence")}
    return {"examples": int(bins["count"].sum())} | means | {"sure": float(bins["share"].iloc[-1])}


def word_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the means of `first_alignment` as a table for a page; expected: where the mean, and its interval, lie."""
    settled = found["settled"].map({True: "too", False: "reaches over an end"})
    columns = {"method": "method", "model": "model", "examples": "examples", "mean Jaccard": "jaccard"}
    columns |= {"95%": ("low", "high"), "chance": "chance", "ceiling": "ceiling", "mean is": "mean"}
    named = found.assign(mean=found["place"] + " the range", interval=settled)
    return view(named, run, columns | {"its interval": "interval"})


def scale_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return mean and expected range of `first_alignment` from chance, 0, to ceiling, 1, as a table for a page."""
    columns = _SIDES | {"chance": "chance", "ceiling": "ceiling", "0 to 1": "normalised"}
    columns |= {"95%": ("normalised_low", "normalised_high"), "expected range": ("expected_low", "expected_high")}
    return view(found, run, columns)


def needed_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return how many examples an interval of ±0.02 would take, from `first_alignment`, as a table for a page."""
    named = found.assign(half=(found["high"] - found["low"]) / 2, needed=found["needed"].astype("Int64"))
    columns = _SIDES | {"examples": "examples", "half width": "half"}
    return view(named, run, columns | {f"for ±{HALF_WIDTH}": "needed", "test split": "tested"})


def first_calibration_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return `first_calibration` as a table for a page."""
    columns = {"task": "task", "model": "model", "accuracy": "accuracy", "mean confidence": "confidence"}
    columns |= {"above 0.9": "sure", "ECE": "ece", "difference": "difference", "95% of it": ("low", "high")}
    return view(found, run, columns, digits=3)


def first_answers(alignment: pd.DataFrame, calibration: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the answers in short: task, model, question, found, 95%, answer ("yes", "no", "open", or "not shown").

    alignment: of `first_alignment`. calibration: of `first_calibration`. An answer is "open" where the interval reaches
    over an end of the expected range; that no shift is shown does not say that there is none.
    """
    asked = f"mean Jaccard of the top {run.experiment.k}, " + alignment["method"] + ": {} to {}?".format(*EXPECTED)
    answer = np.select([~alignment["settled"], alignment["place"] == "within"], ["open", "yes"], "no")
    words = alignment.assign(question=asked, found=alignment["jaccard"], answer=answer)
    shifts = calibration.dropna(subset="difference")
    answer = np.where((shifts["low"] > 0) | (shifts["high"] < 0), "yes", "not shown")
    shifts = shifts.assign(question="does the ECE shift?", found=shifts["difference"], answer=answer)
    every = pd.concat([words, shifts]).sort_values(["task", "model"], kind="stable", ignore_index=True)
    columns = {"task": "task", "model": "model", "question": "question", "found": "found", "95%": ("low", "high")}
    return view(every, run, columns | {"answer": "answer"}, digits=3)
