"""Alignment taken apart: by the number of top words, by text of the pair, by other measures, and by what it lacks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from trusteq.alignment import ranking
from trusteq.alignment.overlap import Alignment, Clusters, exact_mean, mean_table, n_features, score, summarise
from trusteq.alignment.ranking import COMPANIONS, Ranking
from trusteq.errors import DataError


def curve(
    a: Ranking, b: Ranking, *, ks: Iterable[int] = range(1, 21), clusters: Clusters = None, seed: int = 0
) -> pd.DataFrame:
    """Return the alignment for each number of top words: k, jaccard, low, high, chance; means over the examples.

    The 95% intervals are for each k by itself; all k share the bootstrap draws. The rest is as in `aligned`.
    """
    ks = list(dict.fromkeys(ks))
    ranking.check_k(min(ks, default=0))
    ranking.check_same_examples(a, b)
    words = n_features(a, b)
    tables = [score(a.ranked, b.ranked, words, k=k).set_index("id") for k in ks]
    scores = pd.concat([table["jaccard"] for table in tables], axis=1, keys=ks).dropna()
    found = mean_table(scores, clusters=clusters, seed=seed).rename(columns={"value": "jaccard"})
    chance = [exact_mean(table["chance"].dropna()) for table in tables]
    return found.rename_axis("k").reset_index().assign(chance=chance)


def by_segment(a: Ranking, b: Ranking, *, k: int = 10, clusters: Clusters = None, seed: int = 0) -> pd.DataFrame:
    """Return the alignment within each text of a pair: segment, jaccard, low, high, chance, examples, undefined.

    The top k are those of the whole example, cut to the segment. Chance is that of two random sets as large as the two
    cuts, out of the segment's words: what the models share in how many words they take from it counts as given.
    examples: those that enter the means; undefined: those where neither set has a word of the segment.
    Raises DataError where `aligned` does, and for attributions made "as-released": words belong to no segment.
    """
    ranking.check_k(k)
    for side in (a, b):
        side.need_positions(who="by_segment")
    ranking.check_same_examples(a, b)
    rows = []
    for segment in sorted(set(a.attributions["segment"]) | set(b.attributions["segment"])):
        cuts = ([[place for place in top[:k] if place[0] == segment] for top in of.ranked] for of in (a, b))
        table = score(*cuts, n_features(a, b, segment=segment), k=k)
        found = summarise(table, ceiling=None, clusters=clusters, seed=seed)
        means = (found.mean, found.low, found.high, found.chance)
        rows.append((int(segment), *means, len(found.table) - found.undefined, found.undefined))
    return pd.DataFrame(rows, columns=["segment", "jaccard", "low", "high", "chance", "examples", "undefined"])


def companions(a: Ranking, b: Ranking, *, clusters: Clusters = None, seed: int = 0) -> pd.DataFrame:
    """Return the mean of each of `COMPANIONS`, which see the weights or their order: companion, value, low, high, ...

    A word that only one of the models sees weighs 0 in the other. undefined: examples without the score, which enter no
    mean. The rest is as in `aligned`; also raises DataError for attributions made "as-released".
    """
    scores = _companions(a, b)
    found = [mean_table(scores[[name]].dropna(), clusters=clusters, seed=seed) for name in COMPANIONS]
    return pd.concat(found).assign(undefined=scores.isna().sum()).rename_axis("companion").reset_index()


def _companions(a: Ranking, b: Ranking) -> pd.DataFrame:
    """Return every companion of every example: one row an id, one column a companion."""
    for side in (a, b):
        side.need_positions(who="companions")
    ranking.check_same_examples(a, b)
    sides = [side.rows.set_index(["code", "segment", "position"])["weight"] for side in (a, b)]
    weights = pd.concat(sides, axis=1, keys=["a", "b"]).fillna(0.0).sort_index()
    ends = np.cumsum(np.bincount(weights.index.get_level_values("code"), minlength=len(a.label)))[:-1]
    examples = np.split(weights.to_numpy(), ends)
    values = [[score(*example.T) for score in COMPANIONS.values()] for example in examples]
    return pd.DataFrame(values, index=a.label.index, columns=list(COMPANIONS))


def decompose(
    explainer: Alignment, training: Alignment | None, model: Alignment, *, clusters: Clusters = None, seed: int = 0
) -> pd.DataFrame:
    """Split the disagreement of two models, 1 - Jaccard, into what else would differ: source, disagreement, ..., share.

    explainer: the models with themselves under another explainer seed (see `ceiling`). training: the same recipe under
    another training seed, and another explainer seed; or None. model: the two models, under different explainer seeds.
    The sources add up to "total", 1 - J(model): "explainer seed" is 1 - J(explainer); "training seed" is
    J(explainer) - J(training), without its row when there is none; "model" is the rest. It is a nested decomposition of
    means: each comparison varies all that the one before it did and one thing more. It is not a decomposition of
    variance, and a source can come out negative.

    Over the examples that all have. low, high: 95% intervals by a joint bootstrap; clusters, seed: see `align`.
    share: of the total; nan where that is 0.
    Raises DataError when no example is in all.
    """
    given = {"explainer seed": explainer, "training seed": training, "model": model}
    tables = {source: found.table.set_index("id")["jaccard"] for source, found in given.items() if found is not None}
    agreement = pd.concat(tables, axis=1, join="inner").dropna()
    if agreement.empty:
        raise DataError("decompose: no example is in all of the comparisons; compare the same examples throughout")
    agreement.insert(0, "itself", 1.0)
    steps = (agreement.shift(axis=1) - agreement).drop(columns="itself")
    steps["total"] = 1 - agreement["model"]
    table = mean_table(steps, clusters=clusters, seed=seed).rename(columns={"value": "disagreement"})
    table = table.rename_axis("source").reset_index()
    total = table["disagreement"].iloc[-1]
    table["share"] = table["disagreement"] / total if total else np.nan
    return table
