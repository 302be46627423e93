"""What each way to compress a large model saves, and what it does to accuracy, alignment and calibration."""

import numpy as np
import pandas as pd

from trusteq.statistics import bootstrap_mean
from trusteq.study.calibrate import differences_from
from trusteq.study.comparisons import Compared, compare_with_large
from trusteq.study.results import Results
from trusteq.study.sides import predicted_runs
from trusteq.verdict.decide import Explained, decided, overall
from trusteq.verdict.margins import load_margins

SAVED = ["parameters", "nonzero_parameters", "weights_bytes"]


def compression_table(run: Results, task: str) -> pd.DataFrame:
    """Return every model of a run beside the large one: one row a method, model and training seed.

    Columns: method, model, seed, verdict; accuracy; jaccard, chance, ceiling; for each measure of `margins.yaml` its
    difference from the large model (in `normalised_alignment`: the place on the scale from chance, 0, to ceiling, 1),
    and with _low, _high and _outcome its 95% interval and its outcome; parameters, nonzero_parameters, weights_bytes,
    training_seconds. The large model's own rows come first, with itself for its first seed.
    """
    compared, predicted = compare_with_large(run, task), predicted_runs(run, task)
    aligned = {(found.method, found.model_b, found.seed): found for found in compared.comparisons}
    differences = {who: differences_from(predicted[_origin(run, *who)], predicted[who]) for who in run.experiment.runs}
    rows = []
    for method in run.experiment.task_methods(task):
        for who in run.experiment.runs:
            if who[0] not in run.experiment.models_of(task, method):
                continue
            explained = _explained(compared, aligned.get((method, *who)))
            scores, n = differences[who]
            measured = decided(scores, explained, margins=load_margins(), n=n)
            keys = {"method": method, "model": who[0], "seed": who[1]}
            rows.append(keys | _measures(measured, explained) | _facts(run, task, *who))
    return pd.DataFrame(rows)


def _origin(run: Results, model: str, seed: int) -> tuple[str, int]:
    large, seeds = run.experiment.large, run.experiment.seeds
    return large, seeds[0] if model == large else run.experiment.origin_seed(large, seed)


def _explained(compared: Compared, found) -> Explained | None:
    if found is None:  # the large model itself
        return None
    aligned = compared.align(found.a, found.b, found.label, ceiling=found.ceiling)
    return Explained(aligned, pd.DataFrame(), compared.resampled(found), found.method, 0)


def _measures(measured: pd.DataFrame, explained: Explained | None) -> dict:
    itself = explained is None
    values = {"verdict": None if itself else overall(measured["outcome"])}
    values["accuracy"] = float(measured.set_index("measure").loc["accuracy", "compressed"])
    found = None if itself else explained.alignment
    values |= {name: None if itself else getattr(found, name) for name in ("mean", "chance", "ceiling")}
    values["jaccard"] = values.pop("mean")
    for row in measured.itertuples():
        shift = 1 if row.measure == "normalised_alignment" else 0
        values |= {
            f"{row.measure}_difference" if shift == 0 else row.measure: row.difference + shift,
            f"{row.measure}_low": row.low + shift,
            f"{row.measure}_high": row.high + shift,
            f"{row.measure}_outcome": row.outcome,
        }
    return values


def _facts(run: Results, task: str, model: str, seed: int) -> dict:
    metrics, timing = (run.facts(task, model, seed, name) for name in ("metrics", "timing"))
    return {name: metrics[name] for name in SAVED} | {"training_seconds": timing["training_seconds"]}


def gain_table(run: Results, task: str, *, baseline: str) -> pd.DataFrame:
    """Return how much closer to the large model each other model's words are than a baseline's, by method.

    The mean over examples of the difference in Jaccard with the large model, each model averaged over its training
    seeds first, with its 95% bootstrap interval over examples; and what the seeds vary by. Columns: method, model,
    gain, low, high (of the examples), seed_spread (largest minus smallest mean of the model's own seeds), seeds,
    training_seconds (mean over seeds).
    """
    compared = compare_with_large(run, task)
    means = {}
    for found in compared.comparisons:
        of_pair = compared.align(found.a, found.b, found.label).table.set_index("id")["jaccard"]
        means.setdefault((found.method, found.model_b), []).append(of_pair)
    rows = []
    for (method, model), of_seeds in means.items():
        if model in (baseline, run.experiment.large):
            continue
        gain = (sum(of_seeds) / len(of_seeds) - sum(means[method, baseline]) / len(means[method, baseline])).dropna()
        groups = None if compared.clusters is None else compared.clusters[gain.index].to_numpy(dtype=object)
        low, high = bootstrap_mean(gain, clusters=groups)
        seconds = [_facts(run, task, model, seed)["training_seconds"] for seed in run.experiment.model_seeds(model)]
        row = {"method": method, "model": model, "gain": gain.mean(), "low": low, "high": high}
        row |= {"seed_spread": np.ptp([one.mean() for one in of_seeds]), "seeds": len(of_seeds)}
        rows.append(row | {"training_seconds": np.mean(seconds)})
    return pd.DataFrame(rows)
