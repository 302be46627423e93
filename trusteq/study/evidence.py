"""What the top words are worth: against planted evidence, against people's edits, and to the models themselves."""

import itertools
from collections.abc import Mapping

import pandas as pd

from trusteq.alignment.evidence import evidence_scores
from trusteq.alignment.overlap import exact_mean, mean_intervals
from trusteq.errors import DataError
from trusteq.examples.edits import load_edits
from trusteq.examples.load import load_examples
from trusteq.registry import load_task
from trusteq.store import read_table
from trusteq.study.results import Results
from trusteq.verdict.comparison import Explained

MEASURES = {"precision": "chance_precision", "recall": "chance_recall", "share": "chance_share"}
_KEYS = ["truth", "method", "seed", "model"]


def known_truths(run: Results, task: str) -> dict[str, pd.Series]:
    """Return what is known to matter in the test examples, id -> (segment, position) of the words, by name.

    "evidence" and "shortcut" of generated tasks; "edits", the words that people changed to flip a label of SNLI, where
    that data set can be read and the task tests on SNLI's own test split. Empty for other tasks.
    """
    if run.is_published:
        return _published_truths(run, task)
    settings = run.experiment.task(task)
    if settings.generated:
        test = load_examples(settings, "test").set_index("id")
        return {name: test[name] for name in ("evidence", "shortcut")}
    if settings.name == "snli" and settings.splits.test == load_task("snli").splits.test:
        try:
            return {"edits": load_edits().set_index("id")["edited"]}
        except DataError:  # a data set of its own, which a mirror may lack
            return {}
    return {}


def _published_truths(run: Results, task: str) -> dict[str, pd.Series]:
    table = read_table(run.path("truth", task), made_by="trusteq publish")
    places = table.assign(place=list(zip(table["segment"], table["position"], strict=True)))
    return {
        name: rows.groupby("id", sort=False)["place"].agg(tuple) for name, rows in places.groupby("truth", sort=False)
    }


def truth_table(
    truths: Mapping[str, pd.Series], sides: Mapping[tuple[str, int], Mapping[str, Explained]]
) -> pd.DataFrame:
    """Return how much of the truth each side's top words hold, by method and seed.

    truths: of `known_truths`. sides: (method, seed) -> name -> what explains it; the first is the large model.
    Columns: truth, method, seed, model; measure ("precision", "recall", or "share" of the weight that lies on the
    truth); value, low, high (95% interval), chance; difference from the large model, difference_low, difference_high;
    examples, those with a truth. Empty without a truth.
    """
    columns = [*_KEYS, "measure", "value", "low", "high", "chance"]
    columns += ["difference", "difference_low", "difference_high", "examples"]
    rows = []
    for (truth, places), (of, explained) in itertools.product(truths.items(), sides.items()):
        scored = {
            name: evidence_scores(side.first, places, k=side.k).set_index("id") for name, side in explained.items()
        }
        (large, side), *_ = explained.items()
        for name, measure in itertools.product(scored, MEASURES):
            values = _against(scored[name], scored[large], measure, side.clusters)
            if values:
                rows.append(dict(zip(_KEYS, (truth, *of, name), strict=True)) | {"measure": measure} | values)
    return pd.DataFrame(rows, columns=columns)


def _against(scores: pd.DataFrame, large: pd.DataFrame, measure: str, clusters: pd.Series | None) -> dict:
    """Return the mean of a measure and of its difference from the large model's, both with intervals."""
    columns = pd.DataFrame({"value": scores[measure], "chance": scores[MEASURES[measure]], "large": large[measure]})
    columns = columns.dropna()
    if columns.empty:
        return {}
    columns["difference"] = columns["value"] - columns.pop("large")
    low, high = (dict(zip(columns, ends, strict=True)) for ends in mean_intervals(columns, clusters=clusters, seed=0))
    means = {name: exact_mean(columns[name]) for name in columns}
    found = {"value": means["value"], "low": low["value"], "high": high["value"], "chance": means["chance"]}
    found |= {"difference": means["difference"], "difference_low": low["difference"]}
    return found | {"difference_high": high["difference"], "examples": len(columns)}


def faithfulness_table(run: Results, task: str, clusters: pd.Series | None) -> pd.DataFrame:
    """Return what each model makes of its own top words: model, seed, method, measure, value, low, high, examples.

    method: those of the task, and "random features", as many words drawn at random.
    """
    rows = []
    for model, seed in itertools.product(run.experiment.models, run.experiment.seeds):
        table = run.attribution(task, model, seed, "faithfulness").set_index("id")
        for method, scores in table.groupby("method", sort=False):
            scores = scores[["comprehensiveness", "sufficiency"]].dropna()
            low, high = mean_intervals(scores, clusters=clusters, seed=0)
            for column, start, stop in zip(scores, low, high, strict=True):
                key = {"model": model, "seed": seed, "method": method, "measure": column}
                rows.append(key | {"value": exact_mean(scores[column]), "low": start, "high": stop})
    return pd.DataFrame(rows)
