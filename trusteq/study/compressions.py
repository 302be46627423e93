"""What each way to compress a large model saves, and what it does to accuracy, alignment and calibration."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from trusteq.alignment.overlap import mean_estimate
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.study.sides import clusters, explained_runs, gold_labels, predicted_runs
from trusteq.verdict.comparison import Comparison, Side

VERSION = 3  # raise it when a number of these tables changes
SAVED = ["parameters", "nonzero_parameters", "weights_bytes"]


def names(experiment: Experiment) -> list[str]:
    """Return the names of the tables on an experiment's compressed models and on its students, if it has such.

    Among them is "footprints", which is measured where the weights are and not made here.
    """
    is_compressed = any(experiment.model(name).compress for name in experiment.models)
    return ["models", "footprints"] * is_compressed + ["students", "gains"] * (len(experiment.students) > 1)


def tables(run: Results, task: str) -> dict[str, pd.DataFrame]:
    """Return the tables that can be made of predictions and explanations, by the name under which they are stored."""
    wanted, students = names(run.experiment), run.experiment.students
    if not wanted:
        return {}
    comparisons = compare_with_large(run, task)
    found = {"models": compression_table(run, task, comparisons)}
    if len(students) > 1:
        known = found["models"]["model"].isin([run.experiment.large, *students])
        found["students"] = found["models"][known].reset_index(drop=True)
        gains = gain_table(run, task, comparisons, baseline=students[0])
        found["gains"] = gains[gains["model"].isin(students)]
    return {name: table for name, table in found.items() if name in wanted}


def compare_with_large(run: Results, task: str) -> list[Comparison]:
    """Return every model under each of its seeds beside the large one of the seed that it was made from, by method.

    The large model's other seeds are compared with its first; that one comes first, with itself and unexplained.
    """
    groups, gold, predicted = clusters(run, task), gold_labels(run, task), predicted_runs(run, task)
    comparisons = []
    for method in run.experiment.task_methods(task):
        runs = [who for who in run.experiment.runs if who[0] in run.experiment.models_of(task, method)]
        explained = explained_runs(run, task, method, runs, gold=gold, groups=groups)
        for who in runs:
            origin = _origin(run, *who)
            large = Side(origin[0], predicted[origin], explained[origin], origin[1])
            other = Side(who[0], predicted[who], explained[who] if who != origin else None, who[1])
            comparisons.append(Comparison(large, other))
    return comparisons


def _origin(run: Results, model: str, seed: int) -> tuple[str, int]:
    large, seeds = run.experiment.large, run.experiment.seeds
    return large, seeds[0] if model == large else run.experiment.origin_seed(large, seed)


def compression_table(run: Results, task: str, comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return every model of a run beside the large one: one row a method, model and training seed.

    Columns: method, model, seed, verdict; accuracy; jaccard, chance, ceiling; for each measure of `margins.yaml` its
    difference from the large model (of an alignment: the place on the scale from chance, 0, to ceiling, 1, under the
    measure's own name), and with _low, _high and _outcome its 95% interval and its outcome; parameters,
    nonzero_parameters, weights_bytes, training_seconds.
    """
    rows = []
    for found in comparisons:
        keys = {"method": found.a.explained.method, "model": found.b.name, "seed": found.b.training_seed}
        rows.append(keys | _measures(found) | _facts(run, task, found.b.name, found.b.training_seed))
    return pd.DataFrame(rows)


def _measures(found: Comparison) -> dict:
    alignment = found.alignment
    values = {"verdict": None if alignment is None else found.verdict}
    values["accuracy"] = float(found.scores.set_index("score").loc["accuracy", "compressed"])
    for column, name in {"chance": "chance", "ceiling": "ceiling", "jaccard": "mean"}.items():
        values[column] = None if alignment is None else getattr(alignment, name)
    for row in found.dimensions.itertuples():
        on_scale = found.margins[row.measure].alignment is not None
        values |= {
            row.measure if on_scale else f"{row.measure}_difference": row.difference + on_scale,
            f"{row.measure}_low": row.low + on_scale,
            f"{row.measure}_high": row.high + on_scale,
            f"{row.measure}_outcome": row.outcome,
        }
    return values


def _facts(run: Results, task: str, model: str, seed: int) -> dict:
    metrics, timing = (run.facts(task, model, seed, name) for name in ("metrics", "timing"))
    return {name: metrics[name] for name in SAVED} | {"training_seconds": timing["training_seconds"]}


def gain_table(run: Results, task: str, comparisons: Sequence[Comparison], *, baseline: str) -> pd.DataFrame:
    """Return how much closer to the large model each other model's words are than a baseline's, by method.

    The mean over examples of the difference in Jaccard with the large model, each model averaged over its training
    seeds first, with its 95% interval over examples; and what the seeds vary by. Columns: method, model,
    gain, low, high (of the examples), seed_spread (largest minus smallest mean of the model's own seeds), seeds,
    training_seconds (mean over seeds).
    """
    means: dict[tuple[str, str], list[pd.Series]] = {}
    for found in comparisons:
        if found.b.name != run.experiment.large:
            of_pair = found.alignment.table.set_index("id")["jaccard"]
            means.setdefault((found.a.explained.method, found.b.name), []).append(of_pair)
    rows, groups = [], comparisons[0].a.explained.clusters
    for (method, model), of_seeds in means.items():
        if model != baseline:
            seconds = [_facts(run, task, model, seed)["training_seconds"] for seed in run.experiment.model_seeds(model)]
            gain = _gain(of_seeds, means[method, baseline], groups)
            spread = {"seed_spread": np.ptp([one.mean() for one in of_seeds]), "seeds": len(of_seeds)}
            rows.append({"method": method, "model": model} | gain | spread | {"training_seconds": np.mean(seconds)})
    return pd.DataFrame(rows)


def _gain(of_seeds: list[pd.Series], of_baseline: list[pd.Series], groups: pd.Series | None) -> dict[str, float]:
    gain = (sum(of_seeds) / len(of_seeds) - sum(of_baseline) / len(of_baseline)).dropna()
    low, high = mean_estimate(gain, clusters=groups).interval
    return {"gain": gain.mean(), "low": low, "high": high}
