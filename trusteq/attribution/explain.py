"""Attribution: how much each word of an example weighs in a classifier's probability of each class."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from trusteq.attribution import as_released
from trusteq.attribution.engine import TextPredictor, answer
from trusteq.attribution.features import Example, fitted
from trusteq.attribution.methods import BOUNDARIES, MASKS, METHODS
from trusteq.errors import DataError, ExperimentError, ModelError, nearest
from trusteq.statistics import stream

if TYPE_CHECKING:
    from trusteq.attribution.tokens import TokenPredictor
    from trusteq.models.classifier import Classifier

TYPES = {"id": "str", "segment": "int64", "position": "int64", "word": "str", "label": "str", "weight": "float64"}


COLUMNS = tuple(TYPES)


def explain(
    classifier: "Classifier | Callable",
    examples: pd.DataFrame,
    *,
    method: str = "lime",
    n_samples: int = 1000,
    seed: int = 0,
    boundary: str = "safe",
    joint: str | None = None,
    mask: str = "delete",
    labels: Sequence[str] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Weigh every word of every example for every class of the classifier.

    Words are features by (segment, position); the boundary between the two texts of a pair is never perturbed. Each
    example has its own random stream, from (seed, method, id): order and company change nothing, and two classifiers
    explained under one seed see the same perturbations, under two seeds independent ones.

    classifier: a Classifier; or anything that turns (text_a, text_b) into probabilities, (n, C), as a callable or by
    `predict_proba`, and has `.labels` or is given `labels`. examples: columns id, text_a, text_b.
    n_samples: budget of forward passes for one example (shap: max_evals).
    boundary: "as-released" repeats the authors' scripts over the joined text instead (lime and shap; their own masking
    and features; single texts have no boundary and are explained as ever); joint: what they join by, " [SEP] " or two
    spaces, by default the former for three classes. mask: "delete", or the token that stands for a masked word.
    progress: whether to show a bar with the time left, on the error stream.

    Returns id, segment (0 or 1; -1 for the joint itself), position (from 0, within the segment), word, label (class
    name), weight (float64); shapley adds standard_error. In `.attrs`: "boundary"; "skipped", id -> reason; "cut",
    id -> number of words beyond what the model takes, which get no weight; "retokenised", the number of examples whose
    masked texts could not be put together from the token ids of their words; "passes", the number of forward passes.

    Raises ExperimentError for unknown options or a budget below 2, DataError for repeated ids, ModelError for
    probabilities that are none.
    """
    check(examples, method=method, n_samples=n_samples, boundary=boundary, mask=mask)
    predictor = _predictor(classifier, labels)
    prepare = functools.partial(_prepare, predictor, method=method, boundary=boundary, joint=joint, mask=mask)
    finished, skipped, cut = [], {}, {}
    for window in _windows(examples, predictor.window, title=method if progress else None):
        at_work = []
        for row in window:
            example, propose, n_cut = prepare(row)
            if not example.n_features:
                skipped[row.id] = "no words"
                continue
            if n_cut:
                cut[row.id] = n_cut
            at_work.append((example, propose(example, n_samples, stream(seed, method, row.id))))
        answers = answer(predictor, at_work)
        finished += [
            (example.id, example.features, found) for (example, _), found in zip(at_work, answers, strict=True)
        ]
    table = _table(finished, predictor.labels, with_errors=method == "shapley")
    released = boundary == "as-released" and any(isinstance(text, str) for text in examples["text_b"])
    table.attrs = {"boundary": "as-released" if released else "safe", "skipped": skipped, "cut": cut}
    table.attrs |= {"retokenised": len(predictor.retokenised), "passes": predictor.passes}
    return table


def check(examples: pd.DataFrame, *, method: str, n_samples: int, boundary: str = "safe", mask: str = "delete") -> None:
    """Raise what `explain` would raise for these options and examples, before any model is run."""
    for what, value, known in (
        ("method", method, METHODS),
        ("boundary", boundary, BOUNDARIES),
        ("mask", mask, MASKS),
    ):
        if value not in known:
            raise ExperimentError(f"unknown {what} {value!r}; {nearest(value, known)}")
    if boundary == "as-released" and method not in as_released.METHODS:
        known = " and ".join(as_released.METHODS)
        raise ExperimentError(f"boundary='as-released' repeats the authors' {known}, not {method!r}; use 'safe'")
    if n_samples < 2:
        raise ExperimentError(f"n_samples={n_samples}: a method needs at least 2 forward passes")
    if examples["id"].duplicated().any():
        raise DataError(f"id {examples['id'][examples['id'].duplicated()].iloc[0]!r} occurs twice; ids must be unique")


def _predictor(classifier: "Classifier | Callable", labels: Sequence[str] | None) -> "TokenPredictor | TextPredictor":
    from trusteq.attribution.tokens import TokenPredictor
    from trusteq.models.classifier import Classifier

    if isinstance(classifier, Classifier):
        return TokenPredictor(classifier)
    predict_proba = getattr(classifier, "predict_proba", classifier)
    labels = getattr(classifier, "labels", None) if labels is None else labels
    if not callable(predict_proba) or labels is None:
        raise ModelError(
            "a classifier is callable, (text_a, text_b) -> probabilities, and has `.labels`; or give labels=(...)"
        )
    return TextPredictor(predict_proba, labels)


def _windows(examples: pd.DataFrame, size: int, *, title: str | None) -> Iterator[list]:
    """Yield the rows, `size` at a time; with a title, under a bar that counts those that are done."""
    rows = list(examples.itertuples())
    with tqdm(total=len(rows), desc=title, unit=" examples", mininterval=1, ascii=True, disable=title is None) as bar:
        for start in range(0, len(rows), size):
            yield rows[start : start + size]
            bar.update(len(rows[start : start + size]))


def _prepare(predictor, row, *, method: str, boundary: str, joint: str | None, mask: str) -> tuple:
    """Return the example, the function that explains it, and how many of its words the model does not see."""
    second = row.text_b if isinstance(row.text_b, str) else None
    n_classes = len(predictor.labels)
    if boundary == "as-released" and second is not None:
        released = as_released.example(row.id, row.text_a, second, method=method, joint=joint, n_classes=n_classes)
        return released, as_released.method(method, released), 0
    classifier = getattr(predictor, "classifier", None)
    example = Example(row.id, row.text_a, second, n_classes, predictor.replacement(mask), classifier)
    example, n_cut = fitted(example)
    return example, METHODS[method], n_cut


def _table(finished: list[tuple], labels: Sequence[str], *, with_errors: bool) -> pd.DataFrame:
    """Return the rows of all examples: example by example, class by class, in the order of the features.

    finished: id, features and what the method returned, for each example.
    """
    types = TYPES | ({"standard_error": "float64"} if with_errors else {})
    if not finished:
        return pd.DataFrame(columns=list(types)).astype(types)
    ids, features, found = zip(*finished, strict=True)
    counts = np.array([len(of_one) for of_one in features])
    segment, position, word = zip(*(feature for of_one in features for feature in of_one), strict=True)
    of_row, label_of_row = [], []  # number of the feature, counted over all examples, and of the class
    for start, count in zip(np.cumsum(counts) - counts, counts, strict=True):
        of_row.append(np.tile(np.arange(start, start + count), len(labels)))
        label_of_row.append(np.repeat(np.arange(len(labels)), count))
    of_row, label_of_row = np.concatenate(of_row), np.concatenate(label_of_row)
    # Arrays of references: an array of strings would be as wide as the longest word in every row.
    columns = {
        "id": np.repeat(np.array(ids, dtype=object), counts * len(labels)),
        "segment": np.array(segment)[of_row],
        "position": np.array(position)[of_row],
        "word": np.array(word, dtype=object)[of_row],
        "label": np.array(labels, dtype=object)[label_of_row],
    }
    values = [values if isinstance(values, tuple) else (values,) for values in found]
    for name, parts in zip(list(types)[len(columns) :], zip(*values, strict=True), strict=True):
        columns[name] = np.concatenate([part.T.ravel() for part in parts])
    return pd.DataFrame(columns).astype(types)
