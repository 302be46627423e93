"""Alignment taken apart: by the number of top words, by text of the pair, by other measures, and by what it lacks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from trusteq.alignment import ranking
from trusteq.alignment.overlap import (
    EXAMPLE,
    Alignment,
    Clusters,
    Shared,
    chances,
    distinct,
    each,
    exact_mean,
    jaccards,
    mean_table,
    numbers,
    scored,
    small,
    summarise,
)
from trusteq.alignment.ranking import COMPANIONS, Ranking
from trusteq.errors import DataError


class Measure(NamedTuple):
    """What is counted of the examples that two rankings share, and its means over all of them, from counts and ids."""

    counts: Callable[[Shared], np.ndarray]
    means: Callable[[np.ndarray, pd.Index], pd.DataFrame]


class Parts(NamedTuple):
    """An alignment and what it is made of: `table` as of `Alignment`, then `curve`, `by_segment` and `companions`.

    The last two are None where features are words without a place.
    """

    table: pd.DataFrame
    curve: pd.DataFrame
    segments: pd.DataFrame | None = None
    companions: pd.DataFrame | None = None


def parts(a: Ranking, b: Ranking, *, k: int = 10, clusters: Clusters = None) -> Parts:
    """Return all of `Parts`, from one reading of both tables; the rest is as in `aligned`."""
    ranking.check_k(k)
    measures = [Measure(lambda shared: small(shared.counts(k)), scored), _curve(range(1, 21), clusters)]
    measures += [] if a.is_as_released else [_by_segment(k, clusters), _companions(clusters)]
    return Parts(*_taken(a, b, *measures))


def _taken(a: Ranking, b: Ranking, *measures: Measure) -> Iterator[pd.DataFrame]:
    counts = each(a, b, *(measure.counts for measure in measures))
    return (measure.means(of, a.label.index) for measure, of in zip(measures, counts, strict=True))


def curve(a: Ranking, b: Ranking, *, ks: Iterable[int] = range(1, 21), clusters: Clusters = None) -> pd.DataFrame:
    """Return the alignment for each number of top words: k, jaccard, low, high, chance; means over the examples.

    The 95% intervals are for each k by itself. The rest is as in `aligned`.
    """
    ks = list(dict.fromkeys(ks))
    ranking.check_k(min(ks, default=0))
    return next(_taken(a, b, _curve(ks, clusters)))


def _curve(ks: Sequence[int], clusters: Clusters) -> Measure:
    def counts(shared: Shared) -> np.ndarray:
        return np.stack([small(shared.counts(k)) for k in ks], axis=1)

    def means(counts: np.ndarray, ids: pd.Index) -> pd.DataFrame:
        by_k = list(zip(ks, counts.swapaxes(0, 1), strict=True))
        columns = ((k, pd.Series(jaccards(of), index=ids).dropna()) for k, of in by_k)
        found = mean_table(columns, clusters=clusters, within=(0, 1)).rename(columns={"value": "jaccard"})
        chance = [exact_mean(of[~np.isnan(of)]) for of in (chances(of) for _, of in by_k)]
        return found.rename_axis("k").reset_index().assign(chance=chance)

    return Measure(counts, means)


def by_segment(a: Ranking, b: Ranking, *, k: int = 10, clusters: Clusters = None) -> pd.DataFrame:
    """Return the alignment within each text of a pair: segment, jaccard, low, high, chance, examples, undefined.

    The top k are those of the whole example, cut to the segment. Chance is that of two random sets as large as the two
    cuts, out of the segment's words: what the models share in how many words they take from it counts as given.
    examples: those that enter the means; undefined: those where neither set has a word of the segment.
    Raises DataError where `aligned` does, and for attributions made "as-released": words belong to no segment.
    """
    ranking.check_k(k)
    for side in (a, b):
        side.need_positions(who="by_segment")
    return next(_taken(a, b, _by_segment(k, clusters)))


def _by_segment(k: int, clusters: Clusters) -> Measure:
    def counts(shared: Shared) -> np.ndarray:
        return np.stack([small(shared.counts(k, segment=of)) for of in range(shared.n_segments)], axis=1)

    def means(counts: np.ndarray, ids: pd.Index) -> pd.DataFrame:
        rows = []
        for segment, of in enumerate(counts.swapaxes(0, 1)):
            if of[:, 3].any():
                found = summarise(scored(of, ids), ceiling=None, clusters=clusters)
                ends = (found.mean, found.low, found.high, found.chance)
                rows.append((segment, *ends, len(found.table) - found.undefined, found.undefined))
        return pd.DataFrame(rows, columns=["segment", "jaccard", "low", "high", "chance", "examples", "undefined"])

    return Measure(counts, means)


def companions(a: Ranking, b: Ranking, *, clusters: Clusters = None) -> pd.DataFrame:
    """Return the mean of each of `COMPANIONS`, which see the weights or their order: companion, value, low, high, ...

    A word that only one of the models sees weighs 0 in the other. undefined: examples without the score, which enter no
    mean. The rest is as in `aligned`; also raises DataError for attributions made "as-released".
    """
    for side in (a, b):
        side.need_positions(who="companions")
    return next(_taken(a, b, _companions(clusters)))


def _companions(clusters: Clusters) -> Measure:
    def means(scores: np.ndarray, ids: pd.Index) -> pd.DataFrame:
        columns = [pd.Series(of, index=ids) for of in scores.T]
        known = zip(COMPANIONS, (of.dropna() for of in columns), strict=True)
        found = mean_table(known, clusters=clusters).assign(undefined=[int(of.isna().sum()) for of in columns])
        return found.rename_axis("companion").reset_index()

    return Measure(_companion_scores, means)


def _companion_scores(shared: Shared) -> np.ndarray:
    """Return every companion of every example, (n, companions), those with as many words at once."""
    places = [numbers(side.rows, side.rows["code"].to_numpy()) for side in shared.sides]
    every = distinct(np.concatenate(places))
    weights = np.zeros((2, len(every)))
    for of, side, own in zip(weights, shared.sides, places, strict=True):
        of[np.searchsorted(every, own)] = side.rows["weight"]
    sizes = np.bincount(every >> EXAMPLE, minlength=len(shared.sides[0].label))
    starts, scores = np.cumsum(sizes) - sizes, np.empty((len(sizes), len(COMPANIONS)))
    for size in np.unique(sizes):
        those = sizes == size
        a, b = weights[:, starts[those, None] + np.arange(size)]
        scores[those] = np.stack([companion(a, b) for companion in COMPANIONS.values()], axis=-1)
    return scores


def decompose(
    explainer: Alignment,
    training: tuple[Alignment, Alignment] | None,
    model: Alignment,
    *,
    clusters: Clusters = None,
) -> pd.DataFrame:
    """Split the disagreement of two models, 1 - Jaccard, into what else would differ: source, disagreement, ..., share.

    explainer: the models with themselves under another explainer seed, their ceiling C(model) (see `ceiling`). model:
    the two models, under different explainer seeds, J(model). training: the same of the large model and its retrained
    twin, which has another training seed: C(training) and J(training); or None.

    "explainer seed": 1 - C(model), what their own explainers' noise alone takes, so of this pair. "training seed":
    C(training) - J(training), by how much the twin falls short of its own ceiling; as it has nothing of the pair in it,
    it is the same number for every model that is set beside one retraining; without a row when there is none. "model":
    the rest, C(model) - J(model) less the training's, by how much further below its ceiling the pair is. They add up to
    "total", 1 - J(model). With the Jaccard index as a kernel, C - J is half the squared distance between two models'
    distributions of top sets (maximum mean discrepancy): without noise of the explainer in it and, but for sampling,
    not below 0. It is a decomposition of means, not of variance; "model" is negative for a pair closer than the twins.

    Over the examples that all have. low, high: 95% intervals; clusters: see `align`.
    share: of the total; nan where that is 0.
    Raises DataError when no example is in all.
    Source: Gretton et al. (2012), A Kernel Two-Sample Test, lemma 6, for the distance.
    """
    given = {"ceiling": explainer, "model": model}
    given |= {} if training is None else {"training ceiling": training[0], "training": training[1]}
    tables = {name: found.table.set_index("id")["jaccard"] for name, found in given.items()}
    agreement = pd.concat(tables, axis=1, join="inner").dropna()
    if agreement.empty:
        raise DataError("decompose: no example is in all of the comparisons; compare the same examples throughout")
    table = mean_table(_steps(agreement), clusters=clusters).rename(columns={"value": "disagreement"})
    table = table.rename_axis("source").reset_index()
    total = table["disagreement"].iloc[-1]
    return table.assign(share=table["disagreement"] / total if total else np.nan)


def _steps(agreement: pd.DataFrame) -> pd.DataFrame:
    """Return what each source takes of each example's agreement: one column a source, the total last."""
    steps = {"explainer seed": 1 - agreement["ceiling"]}
    rest = agreement["ceiling"] - agreement["model"]
    if "training" in agreement:
        steps["training seed"] = agreement["training ceiling"] - agreement["training"]
        rest = rest - steps["training seed"]
    return pd.DataFrame(steps | {"model": rest, "total": 1 - agreement["model"]})
