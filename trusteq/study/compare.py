"""Alignment of pairs of models, beside its chance level, its ceiling and its controls."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from trusteq.alignment.decompose import by_segment, curve, decompose
from trusteq.alignment.overlap import Alignment, align
from trusteq.alignment.rank_measures import companions
from trusteq.study.comparisons import Compared, Comparison


def alignment_tables(compared: Compared) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the alignment of every pair of models under every method and seed, and the same example by example.

    First: method, seed, model_a, model_b; jaccard, low, high (95% interval over examples); chance; ceiling; normalised,
    normalised_low, normalised_high; common_masks, the mean Jaccard where both models see the same perturbations
    (missing for methods without any); examples, undefined.
    Second: method, seed, model_a, model_b, id, jaccard, chance, n_features.
    """
    rows, examples = [], []
    for pair in compared.pairs:
        found = compared.align(pair.a, pair.b, pair.label, ceiling=pair.ceiling)
        rows.append(pair.key | _values(found) | {"common_masks": _common(compared, pair)} | _counts(found))
        examples.append(found.table.assign(**pair.key))
    columns = ["method", "seed", "model_a", "model_b", "id", "jaccard", "chance", "n_features"]
    return pd.DataFrame(rows), pd.concat(examples, ignore_index=True)[columns]


def control_table(compared: Compared) -> pd.DataFrame:
    """Return the same of the large model and each of its controls; the first has no ceiling, being one draw twice."""
    rows = []
    for control in compared.comparisons:
        if control.is_control:
            found = compared.align(control.a, control.b, control.label, ceiling=control.ceiling)
            rows.append(control.key | _values(found) | _counts(found))
    return pd.DataFrame(rows)


def ceiling_table(compared: Compared) -> pd.DataFrame:
    """Return each model's agreement with itself: method, seed, model, other ("explainer seed", "training seed"), ..."""
    rows = [
        {"method": method, "seed": seed, "model": model, "other": other}
        | {"jaccard": found.mean, "low": found.low, "high": found.high, "chance": found.chance}
        for (method, seed, model, other), found in compared.itself.items()
    ]
    return pd.DataFrame(rows)


def curve_table(compared: Compared) -> pd.DataFrame:
    """Return alignment with the large model over k, controls included: keys, k, jaccard, low, high, chance."""
    return _each(compared.against_large, compared, curve)


def segment_table(compared: Compared) -> pd.DataFrame:
    """Return alignment with the large model within each text of a pair, controls included (see `by_segment`)."""
    return _each(compared.by_place, compared, by_segment, k=compared.run.experiment.k)


def companion_table(compared: Compared) -> pd.DataFrame:
    """Return the other measures of agreement with the large model, controls included (see `ranking.companions`)."""
    return _each(compared.by_place, compared, companions)


def _each(
    comparisons: Iterable[Comparison], compared: Compared, measure: Callable[..., pd.DataFrame], **options
) -> pd.DataFrame:
    """Return what `measure` makes of each of the comparisons, under their keys."""
    parts = []
    for found in comparisons:
        table = measure(found.a, found.b, label=found.label, clusters=compared.clusters, **options)
        parts.append(pd.DataFrame([found.key] * len(table)).join(table))
    return pd.concat(parts, ignore_index=True)


def source_table(compared: Compared) -> pd.DataFrame:
    """Return what the disagreement with the large model is made of: keys, source, disagreement, low, high, share.

    One block for each smaller model, and for the randomly headed twin; see `breakdown.decompose`. The step of the
    training seed is that of the large model; it is missing where that has one seed only, and of a smaller model that
    is made without training.
    """
    parts = []
    for found in compared.against_large:
        if found.is_control and found.model_b != "random-head":
            continue
        retrained = compared.itself.get((found.method, found.seed, found.model_a, "training seed"))
        if not found.is_control and not compared.run.experiment.model(found.model_b).is_trained:
            retrained = None
        pair = compared.align(found.a, found.b, found.label)
        table = decompose(found.ceiling, retrained, pair, clusters=compared.clusters)
        parts.append(pd.DataFrame([found.key] * len(table)).join(table))
    return pd.concat(parts, ignore_index=True)


def _values(found: Alignment) -> dict:
    values = {"jaccard": found.mean, "low": found.low, "high": found.high, "chance": found.chance}
    scale = {"ceiling": found.ceiling, "normalised": found.normalised}
    scale |= {"normalised_low": found.normalised_low, "normalised_high": found.normalised_high}
    return values | {name: np.nan if value is None else value for name, value in scale.items()}


def _counts(found: Alignment) -> dict:
    return {"examples": len(found.table), "undefined": found.undefined}


def _common(compared: Compared, pair: Comparison) -> float:
    return np.nan if pair.common is None else align(*pair.common, k=compared.run.experiment.k, label=pair.label).mean
