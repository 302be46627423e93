"""The paper's three first experiments: what they ask and expect, and what a run has to say to it.

Everything is read from the tables of a run, those of its first training seed.
"""

import math

import numpy as np
import pandas as pd

from trusteq.alignment.overlap import normalised
from trusteq.pages.show import interval_text, titles
from trusteq.study.results import Results
from trusteq.study.sides import of_seed

# The paper, among its open questions: LIME's top five words of 50 random test pairs, by BERT-base and by Distil-BERT.
ASKED = {"method": "lime", "k": 5, "examples": 50}


ASKED_MODELS = ("BERT-base", "Distil-BERT")


EXPECTED = (0.5, 0.7)  # the mean Jaccard it expects


HALF_WIDTH = 0.02  # of an interval that would tell such a mean from its neighbours


_ALIGNMENT = ["method", "model", "jaccard", "low", "high", "chance", "ceiling"]


_ALIGNMENT += ["normalised", "normalised_low", "normalised_high"]


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
        pairs = of_seed(run, task, "alignment", seed=seed).rename(columns={"model_b": "model"})
        tested = run.facts(task, large, seed, "metrics")["test_examples"]
        for pair in pairs[pairs["model_a"] == large].to_dict("records"):
            examples = pair["examples"] - pair["undefined"]
            row = {"task": task} | {name: pair[name] for name in _ALIGNMENT} | {"examples": examples}
            row["as_asked"] = as_asked(run, task, pair["method"])
            row["place"], row["settled"] = range_place(pair["jaccard"], pair["low"], pair["high"])
            anchors = pair["chance"], pair["ceiling"]
            row["expected_low"], row["expected_high"] = (float(normalised(end, *anchors)) for end in EXPECTED)
            row["needed"] = examples_needed(pair["low"], pair["high"], examples)
            rows.append(row | {"tested": tested})
    return pd.DataFrame(rows)


def as_asked(run: Results, task: str, method: str) -> bool:
    """Return whether a run explains a task as the paper asks: by LIME, the top five words, 50 examples."""
    found = {"method": method, "k": run.experiment.k, "examples": run.experiment.explained(task)}
    return found == ASKED


def range_place(mean: float, low: float, high: float) -> tuple[str, bool]:
    """Return where a mean lies, "within" the expected range, "below" or "above" it, and whether its interval does too.

    nan is "nowhere".
    """
    if math.isnan(mean):
        return "nowhere", False
    places = [_place(value) for value in (mean, low, high)]
    return places[0], len(set(places)) == 1


def _place(value: float) -> str:
    start, end = EXPECTED
    return "nowhere" if math.isnan(value) else "below" if value < start else "above" if value > end else "within"


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
    `uncertainty.score_differences`), missing for the large model itself.
    """
    seed, rows = run.experiment.seeds[0], []
    for task in run.experiment.tasks:
        ece = run.calibration(task, seed, "scores").set_index("model")["ece"]
        differences = run.calibration(task, seed, "differences").query("score == 'ece'").set_index("model")
        bins = run.calibration(task, seed, "reliability")
        for model in run.experiment.models:
            row = {"task": task, "model": model} | _means(bins[bins["model"] == model]) | {"ece": ece[model]}
            is_large = model == run.experiment.large
            ends = dict.fromkeys(["difference", "low", "high"], np.nan) if is_large else differences.loc[model]
            rows.append(row | {name: float(ends[name]) for name in ("difference", "low", "high")})
    return pd.DataFrame(rows)


def _means(bins: pd.DataFrame) -> dict:
    """Return the means over all predictions from one model's reliability table; empty bins have none."""
    filled = bins[bins["count"] > 0]
    means = {name: float(filled["share"] @ filled[name]) for name in ("accuracy", "confidence")}
    return {"examples": int(bins["count"].sum())} | means | {"sure": float(bins["share"].iloc[-1])}


def first_calibration_view(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return `first_calibration` as a table for a page."""
    columns = {"task": found["task"], "model": found["model"].map(titles(run)), "accuracy": found["accuracy"]}
    columns |= {"mean confidence": found["confidence"], "above 0.9": found["sure"], "ECE": found["ece"]}
    columns |= {"difference": found["difference"], "95% of it": interval_text(found["low"], found["high"], digits=3)}
    return pd.DataFrame(columns)


def first_answers(alignment: pd.DataFrame, calibration: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return the answers in short: task, model, question, found, 95%, answer ("yes", "no", "open", or "not shown").

    alignment: of `first_alignment`. calibration: of `first_calibration`. An answer is "open" where the interval reaches
    over an end of the expected range; that no shift is shown does not say that there is none.
    """
    parts = []
    for row in alignment.itertuples():
        answer = "open" if not row.settled else "yes" if row.place == "within" else "no"
        question = f"mean Jaccard of the top {run.experiment.k}, {row.method}: {EXPECTED[0]} to {EXPECTED[1]}?"
        parts.append((row.task, row.model, question, row.jaccard, row.low, row.high, answer))
    for row in calibration.dropna(subset="difference").itertuples():
        answer = "yes" if row.low > 0 or row.high < 0 else "not shown"
        parts.append((row.task, row.model, "does the ECE shift?", row.difference, row.low, row.high, answer))
    table = pd.DataFrame(parts, columns=["task", "model", "question", "found", "low", "high", "answer"])
    table = table.sort_values(["task", "model"], kind="stable", ignore_index=True)
    table.insert(4, "95%", interval_text(table.pop("low"), table.pop("high"), digits=3))
    return table.assign(model=table["model"].map(titles(run)))
