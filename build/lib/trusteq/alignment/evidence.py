"""What the top words are worth against known evidence and people's edits."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import Ranking, check_k
from trusteq.errors import DataError


def evidence_scores(attributions: Ranking, truth: pd.Series, *, k: int = 10) -> pd.DataFrame:
    """Compare the top k words of each example with the words that are known to matter.

    truth: id -> collection of (segment, position): planted evidence, a planted shortcut, or what people edited.
    Examples whose truth is empty or not given are left out.

    Returns one row per example, in the order of the labels: id; precision and recall of the top k, and what they are on
    average for as many random words (chance_precision, chance_recall); share, of the absolute weight, that lies on the
    truth, and the truth's share of the words (chance_share), all in [0, 1]. All are nan for an example without weights,
    share where every weight is 0. Truth among words that were cut off, so that the model does not see them, is missed.
    Raises DataError where `top_features` does, for attributions made "as-released" and for ids that occur twice.
    """
    check_k(k)
    attributions.need_positions(who="evidence_scores")
    if truth.index.has_duplicates:
        raise DataError(f"truth: example {truth.index[truth.index.duplicated()][0]!r} occurs twice; give each id once")
    ids, rows = attributions.label.index, attributions.rows
    known = [_places(truth.get(name)) for name in ids]
    places = zip(rows["code"].tolist(), rows["segment"].tolist(), rows["position"].tolist(), strict=True)
    is_true = np.array([(segment, position) in known[code] for code, segment, position in places], dtype=bool)
    rows = rows.assign(words=1, true=is_true, top=rows["rank"] < k, weight=rows["weight"].abs())
    rows = rows.assign(hits=rows["true"] & rows["top"], weight_on_truth=rows["weight"].where(rows["true"], 0.0))
    columns = ["words", "true", "top", "hits", "weight", "weight_on_truth"]
    sums = {name: np.bincount(rows["code"], rows[name].to_numpy(np.float64), len(ids)) for name in columns}
    return _evidence(pd.DataFrame(sums, index=ids.rename("id")), pd.Series(map(len, known), index=ids))


def _evidence(sums: pd.DataFrame, size: pd.Series) -> pd.DataFrame:
    """Return the scores from the sums over each example's words and the number of true ones."""
    sums, size = sums[size > 0], size[size > 0]
    scores = {
        "precision": sums["hits"] / sums["top"],
        "recall": (sums["hits"] / size).where(sums["words"] > 0),
        "chance_precision": sums["true"] / sums["words"],
        "chance_recall": sums["top"] * sums["true"] / sums["words"] / size,
        "share": sums["weight_on_truth"] / sums["weight"],
        "chance_share": sums["true"] / sums["words"],
    }
    return pd.DataFrame(scores).rename_axis("id").reset_index()


def _places(known: Collection | None) -> frozenset[tuple[int, int]]:
    # Lists of arrays, where they come from parquet; nan, where a column was joined to more examples.
    return frozenset((int(s), int(p)) for s, p in known) if isinstance(known, Collection | np.ndarray) else frozenset()
