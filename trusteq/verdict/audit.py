"""May this small model replace that large one? An audit measures what `decision.judge` decides on.

Accuracy, alignment and calibration, each against a margin with a reason (`margins.yaml`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from trusteq import statistics
from trusteq.alignment import overlap
from trusteq.calibration import proper_scores
from trusteq.errors import DataError, ModelError
from trusteq.verdict.decide import Audit, Explained, judge
from trusteq.verdict.margins import load_margins
from trusteq.verdict.predictions import Predictions, matched


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
) -> Audit:
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
    from trusteq import attribution
    from trusteq.examples.load import sample

    wanted = load_margins(margins)
    labels = _labels_of(large, labels) if labels is None else tuple(labels)
    # Checked before any model is run: explaining takes minutes.
    for model in (large, compressed):
        if set(_labels_of(model, labels)) != set(labels):
            raise DataError(
                f"the models have different labels: {', '.join(labels)} against {', '.join(model.labels)}; give both "
                "models and the examples the same class names"
            )
    if examples.empty or examples["id"].duplicated().any():
        raise DataError("audit: no examples, or an id occurs twice; give each example a unique id")
    attribution.check(examples, method=method, n_samples=n_samples)
    predictions = [
        predicted(model, examples, labels, where=name) for model, name in zip((large, compressed), names, strict=True)
    ]
    chosen = sample(examples, explain, seed=seed)
    settings = {"method": method, "n_samples": n_samples, "k": k, "seed": seed, "labels": labels, "progress": progress}
    explained = explanations(large, compressed, chosen, **settings)
    return judge(*predictions, explained=explained, margins=wanted, names=names, seed=seed)


def audit_predictions(
    large: Predictions,
    compressed: Predictions,
    *,
    margins: Mapping[str, float] | None = None,
    names: tuple[str, str] = ("large", "compressed"),
    seed: int = 0,
) -> Audit:
    """Audit accuracy and calibration alone, from saved predictions; raise DataError where the two do not match."""
    return judge(*matched(large, compressed), margins=load_margins(margins), names=names, seed=seed)


def _labels_of(model: Callable, labels: tuple[str, ...] | None) -> tuple[str, ...]:
    if (found := getattr(model, "labels", labels)) is None:
        raise ModelError("audit: the large model has no `.labels`; give labels=(...), the class names in order")
    return tuple(found)


def predicted(model: Callable, examples: pd.DataFrame, labels: tuple[str, ...], *, where: str) -> Predictions:
    """Return what a model says about examples, its classes in the order of `labels`; `where` names it in errors."""
    pair = examples["text_b"].map(lambda text: isinstance(text, str)).any()
    predict_proba = getattr(model, "predict_proba", model)
    texts = (examples["text_a"].tolist(), examples["text_b"].tolist() if pair else None)
    try:
        probabilities, gold = proper_scores.check_predictions(predict_proba(*texts), examples["label"].to_numpy())
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    if probabilities.shape[1] != len(labels):
        raise DataError(f"{where}: {probabilities.shape[1]} probabilities for {len(labels)} labels")
    own = _labels_of(model, labels)
    in_order = probabilities[:, [own.index(label) for label in labels]]
    return Predictions(labels, in_order, gold, examples["id"].to_numpy(dtype=object), first_texts(examples))


def first_texts(examples: pd.DataFrame) -> np.ndarray | None:
    """Return the first text of each example as its cluster, None where no two examples share one."""
    texts = examples["text_a"].to_numpy(dtype=object)
    return texts if examples["text_a"].duplicated().any() else None


def explanations(
    large: Callable,
    compressed: Callable,
    examples: pd.DataFrame,
    *,
    method: str,
    n_samples: int,
    k: int,
    seed: int,
    labels: tuple[str, ...],
    progress: bool,
) -> Explained:
    """Explain both models, twice where the method draws, and return their alignment with its ceiling."""
    from trusteq.attribution.explain import explain
    from trusteq.attribution.methods import SAMPLING

    runs = {
        side: [
            explain(
                model,
                examples,
                method=method,
                n_samples=n_samples,
                seed=statistics.stream_seed(seed, "audit", side, str(time)),
                labels=_labels_of(model, labels),
                progress=progress,
            )
            for time in range(2 if method in SAMPLING else 1)
        ]
        for side, model in (("large", large), ("compressed", compressed))
    }
    seen = examples[~examples["id"].isin(runs["large"][0].attrs["skipped"])]  # the others have no words
    label, texts = seen.set_index("id")["label"].map(dict(enumerate(labels))), first_texts(seen)
    clusters = None if texts is None else pd.Series(texts, index=label.index)
    how = {"label": label, "clusters": clusters, "seed": seed}
    pair = runs["large"][0], runs["compressed"][0]
    found = overlap.align(*pair, k=k, ceiling=_ceiling(runs.values(), k=k, **how), **how)
    n = statistics.n_clusters(texts, len(label))
    return Explained(found, overlap.curve(*pair, **how), n, method, n_samples)


def _ceiling(runs: Iterable[list], *, k: int, label: pd.Series, clusters: pd.Series | None, seed: int):
    """Return how far the models agree with themselves: 1 where the method draws nothing, so that there is one run."""
    own = [overlap.align(*of, k=k, label=label, clusters=clusters, seed=seed) for of in runs if len(of) > 1]
    return overlap.ceiling(*own) if own else 1.0
