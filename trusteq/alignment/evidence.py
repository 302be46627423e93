"""What the top words are worth: against known evidence and people's edits, and to the model itself."""

import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import Ranking, check_k, top_features
from trusteq.attribution.explain import example_of
from trusteq.blocks import Stored
from trusteq.errors import DataError, nearest

if TYPE_CHECKING:
    from trusteq.models.classifier import Classifier


def evidence_scores(attributions: Ranking, truth: pd.Series, *, k: int = 10) -> pd.DataFrame:
    """Compare the top k words of each example with the words that are known to matter.

    truth: id -> collection of (segment, position): planted evidence, a planted shortcut, or what people edited.
    Examples whose truth is empty or not given are left out.

    Returns one row per example, in the order of the labels: id; precision and recall of the top k, and what they are on
    average for as many random words (chance_precision, chance_recall); share, of the absolute weight, that lies on the
    truth, and the truth's share of the words (chance_share), all in [0, 1]. All are nan for an example without weights,
    precision and share where every weight is 0. Truth among words that were cut off, so that the model does not see
    them, is missed.
    Raises DataError where `top_features` does, for attributions made "as-released" and for ids that occur twice.
    """
    check_k(k)
    attributions.need_positions(who="evidence_scores")
    if truth.index.has_duplicates:
        raise DataError(f"truth: example {truth.index[truth.index.duplicated()][0]!r} occurs twice; give each id once")
    return pd.concat((_scores(block, truth, k) for block in attributions.blocks()), ignore_index=True)


def _scores(attributions: Ranking, truth: pd.Series, k: int) -> pd.DataFrame:
    ids, rows = attributions.label.index, attributions.rows
    known = [_places(truth.get(name)) for name in ids]
    places = zip(rows["code"].tolist(), rows["segment"].tolist(), rows["position"].tolist(), strict=True)
    is_true = np.array([(segment, position) in known[code] for code, segment, position in places], dtype=bool)
    rows = rows.assign(words=1, true=is_true, top=rows["weighs"] & (rows["rank"] < k), weight=rows["weight"].abs())
    rows = rows.assign(hits=rows["true"] & rows["top"], weight_on_truth=rows["weight"].where(rows["true"], 0.0))
    columns = ["words", "true", "top", "hits", "weight", "weight_on_truth"]
    sums = {name: np.bincount(rows["code"], rows[name].to_numpy(np.float64), len(ids)) for name in columns}
    sums, size = pd.DataFrame(sums, index=ids), pd.Series(map(len, known), index=ids)
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


def faithfulness(
    classifier: "Classifier",
    examples: pd.DataFrame,
    attributions: pd.DataFrame | Stored,
    *,
    k: int = 10,
    label: pd.Series,
) -> pd.DataFrame:
    """Measure what the model itself makes of the top k words: id, comprehensiveness, sufficiency, in [-1, 1].

    comprehensiveness: p(label | all words) - p(label | all but the top k), high for words that matter. sufficiency:
    p(label | all words) - p(label | the top k alone), low for words that are enough. Words are deleted; punctuation and
    the boundary of a pair stay. nan for examples without a word that weighs something. All texts go into one call of
    the classifier.

    classifier: has predict_proba(text_a, text_b) and labels. examples: id, text_a, text_b of those that were explained,
    and of others. attributions, label: see `alignment.top_features`; rows are in the order of `label`.
    Raises DataError where `top_features` does, for attributions made "as-released", for examples that are not given or
    have other words, and for a class that the classifier lacks. A table on disk is measured block by block.
    Source: DeYoung et al. (2020), ERASER, section 4.2, with k fixed.
    """
    if isinstance(attributions, Stored):
        blocks = ((block, block["id"].unique()) for block in attributions.blocks())
        found = [
            faithfulness(classifier, examples[examples["id"].isin(ids)], block, k=k, label=label[ids])
            for block, ids in blocks
        ]
        return pd.concat(found).set_index("id").reindex(label.index).rename_axis("id").reset_index()
    Ranking(attributions, label).need_positions(who="faithfulness")
    tops = top_features(attributions, k=k, label=label)
    tops = tops[tops.map(len) > 0]
    classes, rows = _class_indices(classifier.labels, label[tops.index]), {row.id: row for row in examples.itertuples()}
    if lost := [name for name in tops.index if name not in rows]:
        raise DataError(f"faithfulness: no text of example {lost[0]!r}; give the examples that were explained")
    how = {name: of for name, of in attributions.attrs.items() if name in ("mask", "features")}  # of arrays
    asked = [_masked(classifier, rows[name], top, how) for name, top in tops.items()]
    found = pd.DataFrame(index=tops.index, columns=["comprehensiveness", "sufficiency"], dtype=np.float64)
    if asked:
        sides = [list(itertools.chain.from_iterable(parts)) for parts in zip(*asked, strict=True)]
        missing = [all(of is None for of in side) for side in sides]
        given = [None if is_missing else side for side, is_missing in zip(sides, missing, strict=True)]
        probabilities = np.asarray(classifier.predict_proba(*given))
        full, without, only = probabilities.reshape(len(tops), 3, -1)[np.arange(len(tops)), :, classes].T
        found = found.assign(comprehensiveness=full - without, sufficiency=full - only)
    return found.reindex(label.index).rename_axis("id").reset_index()


def _class_indices(labels: Sequence[str], label: pd.Series) -> list[int]:
    unknown = label[~label.isin(labels)]
    if len(unknown):
        raise DataError(f"label: the classifier has no class {unknown.iloc[0]!r}; {nearest(unknown.iloc[0], labels)}")
    return [list(labels).index(name) for name in label]


def _masked(classifier: "Classifier", row, top: frozenset, how: dict) -> list[list]:
    """Return the texts, or arrays, of an example whole, without its top features, and with these alone.

    Of a text, the first ones and the second ones. how: the mask and the cut of arrays.
    """
    # What a classifier cuts off was not explained; without the top words it would come into its view.
    limited = classifier if hasattr(classifier, "tokenizer") and hasattr(classifier, "max_length") else None
    example = example_of(row, len(classifier.labels), classifier=limited, **how)
    is_top = np.array([(segment, position) in top for segment, position, _ in example.features], dtype=bool)
    if is_top.sum() != len(top):
        raise DataError(f"faithfulness: example {row.id!r} lacks words that have weights; give the texts explained")
    found = example.texts(np.stack([np.ones_like(is_top), ~is_top, is_top]))
    return [[None] * 3 if side is None else side for side in found]
