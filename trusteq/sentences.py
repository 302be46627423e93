"""Sentences of the book that carry numbers: each reads tables and says what holds for this run."""

from collections.abc import Iterable, Mapping

import pandas as pd

from trusteq import tables
from trusteq.alignment import is_aligned
from trusteq.store import Results


def run_sentence(run: Results) -> str:
    """Return what was run, in a sentence: models, tasks, methods, seeds, examples."""
    experiment = run.experiment
    names = [experiment.task(task).title for task in experiment.tasks]
    explained = ", ".join(
        f"{run.comparison(task, 'examples')['id'].nunique()} explained on {task}" for task in experiment.tasks
    )
    tested = ", ".join(
        f"{run.facts(task, experiment.large, experiment.seeds[0], 'metrics')['test_examples']} on {task}"
        for task in experiment.tasks
    )
    limit = f" Training was cut to {experiment.train_limit} examples." if experiment.train_limit else ""
    return (
        f"This run is **{experiment.name}** ({experiment.title}): {len(experiment.models)} models on "
        f"{' and '.join(names)}, training seed{'s' * (len(experiment.seeds) > 1)} "
        f"{', '.join(map(str, experiment.seeds))}. "
        f"Test examples: {tested}; of these, {explained}.{limit}"
    )


def calibration_sentence(scores: pd.DataFrame, run: Results) -> str:
    """Return which models have a lower and which a higher ECE than the large one, in a sentence."""
    ece = scores.set_index("model")["ece"].rename(tables.titles(run))
    large, others = ece.iloc[0], ece.iloc[1:]
    lower, higher = others[others < large], others[others >= large]
    parts = [
        f"{_listed(names.index)} {'has' if len(names) == 1 else 'have'} a {word} ECE than {ece.index[0]} ({large:.4f})"
        for names, word in ((lower, "lower"), (higher, "higher"))
        if len(names)
    ]
    return (
        f"In this run {'; '.join(parts)}. The paper reports a lower ECE for BERT-Tiny than for BERT-base. These point "
        "values do not say whether a difference is more than noise: a perfectly calibrated model, too, has one above 0."
    )


def alignment_sentence(alignment: pd.DataFrame, run: Results) -> str:
    """Return the range of the means, the chance levels and what the paper's rule says, in sentences."""
    low, high = alignment["jaccard"].min(), alignment["jaccard"].max()
    aligned = sum(map(is_aligned, alignment["jaccard"]))
    at_chance = int((alignment["low"] <= alignment["chance"]).sum())
    return (
        f"The means run from {low:.2f} to {high:.2f}, over chance levels of {alignment['chance'].min():.2f} to "
        f"{alignment['chance'].max():.2f}. By the paper's rule {aligned} of {len(alignment)} comparisons are aligned. "
        f"In {at_chance} of {len(alignment)} the interval does not exclude the chance level."
    )


def paper_range_sentence() -> str:
    """Return the range of the paper's Jaccard values, as far as it is held."""
    row = tables.paper_table("jaccard_range").iloc[0]
    span = f"between {row['low']} and {row['high']}"
    return f"The paper's values for {row['scope']} lie {span}; its single cells are not held."


def verdict_sentence(verdicts: pd.DataFrame) -> str:
    """Return how many of the smaller models the paper's alignment rule would let pass, in a sentence."""
    passed = verdicts[verdicts["aligned"] == "yes"]
    names = "" if passed.empty else f" ({_listed(passed['model'] + ' on ' + passed['task'])})"
    return (
        f"By the alignment half of the rule, {len(passed)} of {len(verdicts)} replacements pass under every method"
        f"{names}. "
        "Before that is read as a verdict, compare each Jaccard with its chance level, and remember that an explainer "
        "that draws random samples does not fully agree with itself."
    )


def _listed(names) -> str:
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def benchmark_sentence(rows: Iterable[Mapping]) -> str:
    """Return where the engine's benchmark was measured, and which of its rows are open and why."""
    machines = sorted({row["machine"] for row in rows if row["value"] is not None})
    open_rows = [row for row in rows if row["value"] is None]
    text = f"Measured on: {'; '.join(machines) or 'no machine yet'}."
    for reason in sorted({row["open"] for row in open_rows}):
        text += f" Open, {reason}: {', '.join(row['row'] for row in open_rows if row['open'] == reason)}."
    return text
