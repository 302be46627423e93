"""What the top words are worth to the model itself."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import Ranking, top_features
from trusteq.attribution.explain import example_of
from trusteq.errors import DataError, nearest

if TYPE_CHECKING:
    from trusteq.models.classifier import Classifier


def faithfulness(
    classifier: "Classifier", examples: pd.DataFrame, attributions: pd.DataFrame, *, k: int = 10, label: pd.Series
) -> pd.DataFrame:
    """Measure what the model itself makes of the top k words: id, comprehensiveness, sufficiency, in [-1, 1].

    comprehensiveness: p(label | all words) - p(label | all but the top k), high for words that matter. sufficiency:
    p(label | all words) - p(label | the top k alone), low for words that are enough. Words are deleted; punctuation and
    the boundary of a pair stay. nan for examples without a word. All texts go into one call of the classifier.

    classifier: has predict_proba(text_a, text_b) and labels. examples: id, text_a, text_b of those that were explained,
    and of others. attributions, label: see `alignment.top_features`; rows are in the order of `label`.
    Raises DataError where `top_features` does, for attributions made "as-released", for examples that are not given or
    have other words, and for a class that the classifier lacks.
    Source: DeYoung et al. (2020), ERASER, section 4.2, with k fixed.
    """
    Ranking(attributions, label).need_positions(who="faithfulness")
    tops = top_features(attributions, k=k, label=label)
    tops = tops[tops.map(len) > 0]
    classes = _class_indices(classifier.labels, label[tops.index])
    texts = [_texts(classifier, example, top) for example, top in zip(_rows(examples, tops.index), tops, strict=True)]
    firsts, seconds = ([text for of_example in texts for text in of_example[side]] for side in (0, 1))
    found = pd.DataFrame(index=tops.index, columns=["comprehensiveness", "sufficiency"], dtype=np.float64)
    if texts:
        pairs = any(text is not None for text in seconds)
        probabilities = np.asarray(classifier.predict_proba(firsts, seconds if pairs else None)).reshape(
            len(tops), 3, -1
        )
        full, without, only = probabilities[np.arange(len(tops)), :, classes].T
        found = found.assign(comprehensiveness=full - without, sufficiency=full - only)
    return found.reindex(label.index).rename_axis("id").reset_index()


def _class_indices(labels: Sequence[str], label: pd.Series) -> list[int]:
    unknown = label[~label.isin(labels)]
    if len(unknown):
        raise DataError(f"label: the classifier has no class {unknown.iloc[0]!r}; {nearest(unknown.iloc[0], labels)}")
    return [list(labels).index(name) for name in label]


def _rows(examples: pd.DataFrame, ids: pd.Index) -> list:
    rows = {row.id: row for row in examples.itertuples()}
    lost = [name for name in ids if name not in rows]
    if lost:
        raise DataError(f"faithfulness: no text of example {lost[0]!r}; give the examples that were explained")
    return [rows[name] for name in ids]


def _texts(classifier: "Classifier", row, top: frozenset) -> tuple[list[str], list[str | None]]:
    """Return the first and the second texts of an example whole, without its top words, and with these alone."""
    # What a classifier cuts off was not explained; without the top words it would come into its view.
    limited = classifier if hasattr(classifier, "tokenizer") and hasattr(classifier, "max_length") else None
    example = example_of(row, len(classifier.labels), classifier=limited)
    is_top = np.array([(segment, position) in top for segment, position, _ in example.features], dtype=bool)
    if is_top.sum() != len(top):
        raise DataError(f"faithfulness: example {row.id!r} lacks words that have weights; give the texts explained")
    firsts, seconds = example.texts(np.stack([np.ones_like(is_top), ~is_top, is_top]))
    return firsts, [None] * 3 if seconds is None else seconds
