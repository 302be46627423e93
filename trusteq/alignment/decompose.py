"""Alignment taken apart: by the number of top words, by text of the pair, by other measures, and by what it lacks."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from trusteq.alignment import ranking
from trusteq.alignment.overlap import Alignment, Clusters, exact_mean, mean_table, n_features, score, summarise
from trusteq.alignment.ranking import COMPANIONS, Ranking
from trusteq.errors import DataError


def curve(a: Ranking, b: Ranking, *, ks: Iterable[int] = range(1, 21), clusters: Clusters = None) -> pd.DataFrame:
    """Return the alignment for each number of top words: k, jaccard, low, high, chance; means over the examples.

    The 95% intervals are for each k by itself. The rest is as in `aligned`.
    """
    ks = list(dict.fromkeys(ks))
    ranking.check_k(min(ks, default=0))
    ranking.check_same_examples(a, b)
    words = n_features(a, b)
    tables = [score(a.ranked, b.ranked, words, k=k).set_index("id") for k in ks]
    scores = pd.concat([table["jaccard"] for table in tables], axis=1, keys=ks).dropna()
    found = mean_table(scores, clusters=clusters, within=(0, 1)).rename(columns={"value": "jaccard"})
    chance = [exact_mean(table["chance"].dropna()) for table in tables]
    return found.rename_axis("k").reset_index().assign(chance=chance)


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
    ranking.check_same_examples(a, b)
    rows = []
    for segment in sorted(set(a.attributions["segment"]) | set(b.attributions["segment"])):
        cuts = ([[place for place in top[:k] if place[0] == segment] for top in of.ranked] for of in (a, b))
        table = score(*cuts, n_features(a, b, segment=segment), k=k)
        found = summarise(table, ceiling=None, clusters=clusters)
        means = (found.mean, found.low, found.high, found.chance)
        rows.append((int(segment), *means, len(found.table) - found.undefined, found.undefined))
    return pd.DataFrame(rows, columns=["segment", "jaccard", "low", "high", "chance", "examples", "undefined"])


def companions(a: Ranking, b: Ranking, *, clusters: Clusters = None) -> pd.DataFrame:
    """Return the mean of each of `COMPANIONS`, which see the weights or their order: companion, value, low, high, ...

    A word that only one of the models sees weighs 0 in the other. undefined: examples without the score, which enter no
    mean. The rest is as in `aligned`; also raises DataError for attributions made "as-released".
    """
    scores = _companions(a, b)
    found = [mean_table(scores[[name]].dropna(), clusters=clusters) for name in COMPANIONS]
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
