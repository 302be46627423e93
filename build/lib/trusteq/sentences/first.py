"""Sentences about the paper's three first experiments: what was asked, and what a run answers."""

from collections.abc import Iterable

import pandas as pd

from trusteq.pages.first import ASKED, ASKED_MODELS, EXPECTED, HALF_WIDTH, as_asked
from trusteq.pages.show import titles
from trusteq.sentences.base import capital, listed
from trusteq.study.results import Results

_RANGE = f"the expected {EXPECTED[0]} to {EXPECTED[1]}"


def first_question_sentence(run: Results) -> str:
    """Return who plays the parts of the paper's two models, and which of the three experiments this run holds."""
    names, experiment = list(titles(run).values()), run.experiment
    text = f"The paper names {listed(ASKED_MODELS)}. "
    if set(ASKED_MODELS) <= set(names):
        text += "This run has both."
    elif len(names) == 1:
        text += f"This run has one model alone, {names[0]}: there is nothing to compare it with."
    else:
        text += f"In this run {names[0]} is the large model, and {listed(names[1:])} may replace it."
    held = [f"{letters} on {task}" for task in experiment.tasks if (letters := _letters(run, task))]
    return f"{text} Of the three it holds {listed(held) or 'none'}."


def _letters(run: Results, task: str) -> str:
    if run.experiment.tasks[task].splits is not None:  # other data under the task's name
        return ""
    explained = any(as_asked(run, task, method) for method in run.experiment.task_methods(task))
    if task == "mrpc":
        return "(a) and (b)" if explained else "(b)"
    if task == "sst2":
        return "(c)" if explained else "(c), its second half,"
    return ""


def first_alignment_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return each mean with its interval, and whether it lies in the expected range.

    found: of `tables.first_alignment`.
    """
    if found.empty:
        return "There is no smaller model to compare with the large one."
    asked = f"{ASKED['method']}, the top {ASKED['k']}, {ASKED['examples']} examples"
    lines = []
    for row in found.itertuples():
        how = "as the paper asks" if row.as_asked else f"which is not what the paper asks ({asked})"
        text = f"the top {run.experiment.k} words of {row.examples:,} examples, {how}. "
        if row.place == "nowhere":
            lines.append((row, f"{text}None of them has a word: there is no mean."))
            continue
        text += f"The mean Jaccard is {row.jaccard:.2f} (95% interval {row.low:.2f} to {row.high:.2f}). "
        where = f"It lies {row.place} {_RANGE}, "
        if row.settled:
            text += f"{where}and so does its whole interval."
        else:
            reach = "beyond it" if row.place == "within" else "into it"
            text += f"{where}but its interval reaches {reach}: so few examples leave it open."
        lines.append((row, text))
    return _items(lines, run)


def first_scale_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return where the mean and the expected range stand between chance and ceiling.

    found: of `tables.first_alignment`.
    """
    lines = []
    for row in found.itertuples():
        anchors = f"chance is {row.chance:.2f} and the ceiling, {row.method} beside itself, {row.ceiling:.2f}"
        if pd.isna(row.normalised):
            lines.append((row, f"{anchors}: there is no room between the two in which a mean could be judged."))
            continue
        text = f"{anchors}. From the one, 0, to the other, 1, the mean stands at {row.normalised:.2f}{_meaning(row)}. "
        span = f"{row.expected_low:.2f} to {row.expected_high:.2f}"
        lines.append((row, f"{text}{capital(_RANGE)} would be {span} there{_ends(row)}."))
    return _items(lines, run)


def _meaning(row) -> str:
    """Return the interval on the scale, and what it tells the pair from."""
    low, high = row.normalised_low, row.normalised_high
    if pd.isna(low):
        return ", without an interval"
    text = f" ({low:.2f} to {high:.2f}), "
    if low > 1:
        return f"{text}beyond what one model reaches with itself"
    if high < 0:
        return f"{text}below chance"
    told = {"chance": low > 0, "one model explained twice": high < 1}
    apart = [name for name, is_told in told.items() if is_told]
    same = [name for name, is_told in told.items() if not is_told]
    if not same:
        return f"{text}above chance and below what one model reaches with itself"
    if not apart:
        return f"{text}told from neither {' nor '.join(same)}"
    return f"{text}told from {apart[0]}, but not from {same[0]}"


def _ends(row) -> str:
    if row.expected_low > 1:
        return ", all of it more than one model reaches with itself"
    parts = ["its lower end no more than chance gives"] * (row.expected_low <= 0)
    parts += ["its upper end more than one model reaches with itself"] * (row.expected_high > 1)
    return "".join(f", {part}" for part in parts)


def first_needed_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return how many examples an interval of ±0.02 would take. found: of `tables.first_alignment`."""
    lines = []
    for row in found.itertuples():
        if pd.isna(row.needed):
            lines.append((row, "there is no interval to go by."))
            continue
        text = f"{row.examples:,} examples give an interval of ±{(row.high - row.low) / 2:.3f}; "
        if row.needed <= row.examples:
            lines.append((row, f"{text}for ±{HALF_WIDTH} they are enough."))
            continue
        held = f"of the {row.tested:,} of the test split"
        if row.needed > row.tested:
            held = f"more than the {row.tested:,} of the test split"
        lines.append((row, f"{text}±{HALF_WIDTH} would take about {row.needed:,.0f}, {held}."))
    return _items(lines, run)


def first_steps_sentence(run: Results) -> str:
    """Return the values that the Jaccard index of one example can take, from k alone."""
    k = run.experiment.k
    values = [f"{shared / (2 * k - shared):.2f}" for shared in range(k + 1)]
    return f"Between two sets of {k} words the index of a single example can only be {listed(values)}."


def first_confidence_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return how far the confidence moves, beside the accuracy. found: of `tables.first_calibration`."""
    lines = []
    for large, row in _shifts(found):
        gaps = [f"{side.confidence - side.accuracy:+.3f}" for side in (large, row)]
        text = (
            f"the mean confidence goes from {large.confidence:.3f} to {row.confidence:.3f}, the accuracy from "
            f"{large.accuracy:.3f} to {row.accuracy:.3f}, and the share of predictions that are more than 0.9 sure "
            f"from {large.sure:.0%} to {row.sure:.0%}. Confidence less accuracy is {gaps[0]}, then {gaps[1]}."
        )
        lines.append((row, text))
    return _items(lines, run)


def first_ece_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return how the ECE shifts, and whether the interval of the difference leaves out 0.

    found: of `tables.first_calibration`.
    """
    lines = []
    for large, row in _shifts(found):
        text = f"the ECE goes from {large.ece:.4f} to {row.ece:.4f} ({row.difference:+.4f}). "
        span = f"The 95% interval of the difference, {row.low:+.4f} to {row.high:+.4f}, "
        if row.low > 0 or row.high < 0:
            text += f"{span}leaves out 0: the calibration shifts, for the {'worse' if row.low > 0 else 'better'}."
        elif pd.isna(row.low):
            text += "It has no interval."
        else:
            text += f"{span}holds 0: {row.examples:,} examples show no shift, and do not show that there is none."
        lines.append((row, text))
    return _items(lines, run)


def _shifts(found: pd.DataFrame) -> Iterable[tuple]:
    """Yield the large model's row and another model's, task by task."""
    for _, rows in found.groupby("task", sort=False):
        large, *others = rows.itertuples()
        yield from ((large, row) for row in others)


def _items(lines: Iterable[tuple], run: Results) -> str:
    """Return one list item a row, headed by its task, method and smaller model."""
    names, items = titles(run), []
    for row, text in lines:
        parts = [row.task, *([row.method] if hasattr(row, "method") else []), names[row.model]]
        items.append(f"- **{', '.join(parts)}**: {text}")
    return "\n".join(items)
