"""May this small model replace that large one? An audit measures both models and compares them.

Accuracy, alignment and calibration, each against a margin with a reason (`margins.yaml`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import Ranking
from trusteq.calibration.bins import check_predictions
from trusteq.errors import DataError, ModelError
from trusteq.statistics import stream_seed
from trusteq.verdict.comparison import SIDES, Comparison, Explained, Side
from trusteq.verdict.margins import load_margins
from trusteq.verdict.predictions import Predictions, check_same_labels, matched

if TYPE_CHECKING:
    from trusteq.verdict.report import Audit


def audit(
    large: Callable,
    compressed: Callable,
    examples: pd.DataFrame,
    *,
    margins: Mapping[str, float] | None = None,
    seed: int = 0,
    method: str = "lime",
    n_samples: int = 1000,
    explain: int = 200,
    k: int = 10,
    labels: Sequence[str] | None = None,
    names: tuple[str, str] = ("large", "compressed"),
    progress: bool = False,
) -> "Audit":
    """Audit a pair of models: may the compressed one replace the large one?

    large, compressed: Classifiers, or callables (text_a, text_b) -> probabilities; the same class names, in any order.
    examples: id, text_a, text_b, label (index into `labels`, by default the large model's; where a callable has no
    `.labels` of its own, they are its as well).
    margins: by measure, replacing the defaults of margins.yaml. Accuracy and calibration use all examples, the
    alignment `explain` of them, drawn with `seed`, explained for their gold label by `method` with `n_samples` passes:
    each model twice, under seeds of its own, so that the explainer's agreement with itself is the ceiling.

    Examples that share their first text (SNLI's hypotheses about one premise) are resampled together.
    Raises DataError for examples or probabilities that cannot be used or models with different labels, ExperimentError
    for unknown options.
    """
    from trusteq.attribution.explain import check
    from trusteq.examples.load import sample
    from trusteq.verdict.report import audited

    wanted = load_margins(margins)
    labels = _labels_of(large, labels) if labels is None else tuple(labels)
    # Checked before any model is run: explaining takes minutes.
    for model in (large, compressed):
        check_same_labels(labels, _labels_of(model, labels))
    if examples.empty or examples["id"].duplicated().any():
        raise DataError("audit: no examples, or an id occurs twice; give each example a unique id")
    check(examples, method=method, n_samples=n_samples)
    models = large, compressed
    predictions = [predicted(*of, examples, labels) for of in zip(names, models, strict=True)]
    settings = {"method": method, "n_samples": n_samples, "k": k, "seed": seed, "labels": labels, "progress": progress}
    chosen = sample(examples, explain, seed=seed)
    found = [explained(*of, chosen, **settings) for of in zip(SIDES, models, strict=True)]
    return audited(Comparison(*map(Side, names, predictions, found), margins=wanted, seed=seed))


def audit_predictions(
    large: Predictions,
    compressed: Predictions,
    *,
    margins: Mapping[str, float] | None = None,
    names: tuple[str, str] = ("large", "compressed"),
    seed: int = 0,
) -> "Audit":
    """Audit accuracy and calibration alone, from saved predictions; raise DataError where the two do not match."""
    from trusteq.verdict.report import audited

    sides = map(Side, names, matched(large, compressed))
    return audited(Comparison(*sides, margins=load_margins(margins), seed=seed))


def _labels_of(model: Callable, labels: tuple[str, ...] | None) -> tuple[str, ...]:
    if (found := getattr(model, "labels", labels)) is None:
        raise ModelError("audit: the large model has no `.labels`; give labels=(...), the class names in order")
    return tuple(found)


def predicted(name: str, model: Callable, examples: pd.DataFrame, labels: tuple[str, ...]) -> Predictions:
    """Return what a model says about examples, its classes in the order of `labels`; `name` is for errors."""
    pair = examples["text_b"].map(lambda text: isinstance(text, str)).any()
    predict_proba = getattr(model, "predict_proba", model)
    texts = (examples["text_a"].tolist(), examples["text_b"].tolist() if pair else None)
    try:
        probabilities, gold = check_predictions(predict_proba(*texts), examples["label"].to_numpy())
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    if probabilities.shape[1] != len(labels):
        raise DataError(f"{name}: {probabilities.shape[1]} probabilities for {len(labels)} labels")
    own = _labels_of(model, labels)
    in_order = probabilities[:, [own.index(label) for label in labels]]
    return Predictions(labels, in_order, gold, examples["id"].to_numpy(dtype=object), first_texts(examples))


def first_texts(examples: pd.DataFrame) -> np.ndarray | None:
    """Return the first text of each example as its cluster, None where no two examples share one."""
    texts = examples["text_a"].to_numpy(dtype=object)
    return texts if examples["text_a"].duplicated().any() else None


def explained(
    side: str,
    model: Callable,
    examples: pd.DataFrame,
    *,
    method: str,
    n_samples: int,
    k: int,
    seed: int,
    labels: tuple[str, ...],
    progress: bool,
) -> Explained:
    """Return the explanations of one side, each under a seed of its own: two where the method draws."""
    from trusteq.attribution.explain import explain
    from trusteq.attribution.methods import METHODS

    options = {"method": method, "n_samples": n_samples, "labels": _labels_of(model, labels), "progress": progress}
    seeds = [stream_seed(seed, "audit", side, str(time)) for time in range(2 if METHODS[method].draws else 1)]
    tables = [explain(model, examples, seed=drawn, **options) for drawn in seeds]
    seen = examples[~examples["id"].isin(tables[0].attrs["skipped"])]  # the others have no words
    label, texts = seen.set_index("id")["label"].map(dict(enumerate(labels))), first_texts(seen)
    clusters = None if texts is None else pd.Series(texts, index=label.index)
    first, *again = (Ranking(table, label) for table in tables)
    return Explained(first, *again or [None], k, clusters, method, n_samples)
