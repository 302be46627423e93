"""Saved predictions: read, two models' brought to the same examples and classes, and how far the two agree (loyalty).

Loyalty needs no labels: does the compressed model say what the large one says, right or wrong? Its first two measures
are those of Xu et al. (2021), Beyond Preserved Accuracy: Evaluating Loyalty and Robustness of BERT Compression.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.bins import check_predictions, check_probabilities, check_same_shape
from trusteq.calibration.intervals import bootstrap_groups, consistency_bars
from trusteq.calibration.proper_scores import reliability_table
from trusteq.errors import DataError, nearest
from trusteq.examples.files import matched_case, skipped_note
from trusteq.statistics import interval, resampled_sums
from trusteq.verdict.prediction_file import (
    Table,
    check_empty_columns,
    class_columns,
    gold_of,
    probabilities_of,
    read_table,
)

_SWAP = 0.2  # accuracy that another order of the classes would have to add to be called suspicious


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a model said about each example.

    labels: class names, in the order of the columns. probabilities: float64, (n, C). gold: int64, (n,), class indices.
    ids: (n,) of str, or None where the file has none. clusters: (n,), what belongs together (such as all hypotheses
    about one premise), or None. slices: (n,) of str, the part of the data that each example is in, or None.
    notes: what was found out about where they come from, and should be known before they are relied on.
    """

    labels: tuple[str, ...]
    probabilities: np.ndarray
    gold: np.ndarray
    ids: np.ndarray | None = None
    clusters: np.ndarray | None = None
    slices: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def predicted(self) -> np.ndarray:
        """The class that is predicted for each example, (n,), the first one on ties."""
        return self.probabilities.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Whether each prediction is right, booleans of shape (n,)."""
        return self.predicted == self.gold

    @classmethod
    def of(cls, table: pd.DataFrame, labels, *, where: str = "predictions") -> "Predictions":
        """Return the predictions in a table: `label` (index or name), one column per class, perhaps `id`."""
        labels = tuple(map(str, labels))
        try:
            gold, _ = gold_of(Table(where, table, None, ".", ()), labels)
            probabilities, gold = check_predictions(table[list(labels)].to_numpy(), gold)
        except DataError as error:
            raise DataError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
        ids = table["id"].astype(str).to_numpy(dtype=object) if "id" in table else None
        if ids is not None and len(repeated := table["id"][table["id"].duplicated()]):
            raise DataError(f"{where}: id {repeated.iloc[0]!r} occurs twice; ids must be unique")
        return cls(labels, probabilities, gold, ids)

    def columns(self, labels: tuple[str, ...]) -> "Predictions":
        """Return the same with the classes in the order of `labels`, which are the same names."""
        order = [self.labels.index(label) for label in labels]
        gold = np.argsort(order)[self.gold]
        return replace(self, labels=labels, probabilities=self.probabilities[:, order], gold=gold)

    def rows(self, rows: np.ndarray) -> "Predictions":
        """Return the examples at `rows`."""
        of_each = {name: getattr(self, name) for name in ("ids", "clusters", "slices")}
        moved = {name: None if values is None else values[rows] for name, values in of_each.items()}
        return replace(self, probabilities=self.probabilities[rows], gold=self.gold[rows], **moved)


def read_predictions(
    path: str | Path, *, group: str | None = None, slices: str | None = None, labels: Sequence[str] | None = None
) -> Predictions:
    """Read a file of predictions: `label`, one column of probabilities per class name, and an optional `id`.

    csv, tsv or parquet, perhaps compressed by gzip. `label` holds class names, or indices in the order of the columns;
    rows without a gold label (-1 or "-") are skipped. Columns of text are ignored; `.notes` says so, and what else was
    found out. group, slices: columns that say which examples belong together, and in which part of the data they are.
    labels: the class names in index order, where other columns hold numbers too.
    Raises DataError: no such file, not a CSV, no label, fewer than two classes, a column that may be no class, rows
    that sum to 1 not even within what rounding explains, a label that is none.
    """
    table = read_table(path)
    for column in (group, slices):
        if column is not None and column not in table.cells:
            raise table.error(f"no column {column!r}; {nearest(column, map(str, table.cells.columns))}")
    names, notes = class_columns(table, labels, aside=("id", "label", group, slices))
    gold, meanings = gold_of(table, names)
    probabilities, rounded = probabilities_of(table, names)
    empty = [] if labels is not None else check_empty_columns(table, names, gold)
    labelled = gold >= 0
    if not labelled.any():
        raise table.error(f"none of its {len(gold)} rows has a gold label; give at least one labelled example")
    of_each = {"clusters": group, "slices": slices, "ids": "id" if "id" in table.cells else None}
    texts = {name: _texts(table, column) for name, column in of_each.items() if column}
    said = (*table.notes, *notes, *meanings, *rounded, *empty, *skipped_note(int((~labelled).sum())))
    found = Predictions(names, probabilities.clip(0, 1), gold, notes=said, **texts)
    return found if labelled.all() else found.rows(np.flatnonzero(labelled))


def _texts(table: Table, column: str) -> np.ndarray:
    """Return the cells of a column that says what a row is; raise DataError for an empty one, or an id twice."""
    texts = table.text(column)
    if (texts == "").any():
        row = int((texts == "").to_numpy().argmax())
        raise table.error(f"{table.at(row)}: {column} is empty; give every row one, or leave the column out")
    if column == "id" and len(repeated := texts[texts.duplicated()]):
        raise table.error(f"id {repeated.iloc[0]!r} occurs twice; ids must be unique")
    return texts.to_numpy(dtype=object)


def spelled_as(labels: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return a model's class names, in its order, as `wanted` spells them: the same names, perhaps in other case.

    Raises DataError where they are not the same, and names those of one alone.
    """
    found = tuple(label if label in wanted else matched_case(label, wanted) or label for label in labels)
    if set(found) == set(wanted) and len(found) == len(wanted):
        return found
    both = f"{', '.join(wanted)} against {', '.join(labels)}"
    alone = [sorted(set(names) - set(others)) for names, others in ((wanted, found), (found, wanted))]
    which = "; ".join(
        f"{', '.join(map(repr, names))} in the {of} alone"
        for of, names in zip(("first", "second"), alone, strict=True)
        if names
    )
    raise DataError(f"the models have different labels: {both} ({which}); give both, and the examples, the same names")


def check_same_labels(large: Sequence[str], compressed: Sequence[str]) -> None:
    """Raise DataError unless both models have the same class names, spelled alike, in whatever order."""
    if set(spelled_as(compressed, large)) != set(compressed):
        raise DataError(f"class names differ in case: {', '.join(large)} against {', '.join(compressed)}")


def case_note(labels: Sequence[str], spelled: Sequence[str]) -> tuple[str, ...]:
    """Return what is to be said where class names were matched up to case."""
    changed = [f"{own} as {name}" for own, name in zip(labels, spelled, strict=True) if own != name]
    return (f"class names are matched up to case: {', '.join(changed)}",) if changed else ()


def respelled(predictions: Predictions, labels: tuple[str, ...]) -> Predictions:
    """Return the same with the classes as `labels` spells them, in that order, and a note where the case differs."""
    spelled = spelled_as(predictions.labels, labels)
    notes = (*predictions.notes, *case_note(predictions.labels, spelled))
    return replace(predictions, labels=spelled, notes=notes).columns(labels)


def matched(large: Predictions, compressed: Predictions) -> tuple[Predictions, Predictions]:
    """Return both models' predictions with the same classes in the same order, about the same examples by id.

    Raises DataError where the class names, the ids, the numbers of rows or the gold labels differ.
    """
    compressed = respelled(compressed, large.labels)
    if (large.ids is None) != (compressed.ids is None):
        raise DataError("only one of the two has ids; give both a column id, or neither")
    n, other = len(large.gold), len(compressed.gold)
    if large.ids is None and n != other:
        raise DataError(f"{n} rows against {other}; give predictions for the same examples")
    if large.ids is not None:
        large, compressed = (predictions.rows(np.argsort(predictions.ids)) for predictions in (large, compressed))
        if not np.array_equal(large.ids, compressed.ids):
            only = [sorted(set(a.ids) - set(b.ids)) for a, b in ((large, compressed), (compressed, large))]
            raise DataError(
                f"{len(only[0])} ids are in the first alone and {len(only[1])} in the second alone, such as "
                f"{' and '.join(repr(of[0]) for of in only if of)}; give predictions for the same examples"
            )
    if (differs := large.gold != compressed.gold).any():
        row = int(differs.argmax())
        which = f"row {row}" if large.ids is None else f"id {large.ids[row]!r}"
        raise DataError(
            f"{which} has the label {large.labels[large.gold[row]]!r} in the first and "
            f"{large.labels[compressed.gold[row]]!r} in the second; they are not about the same examples"
        )
    for what in ("clusters", "slices"):
        ours, theirs = getattr(large, what), getattr(compressed, what)
        if ours is not None and theirs is not None and (differs := ours != theirs).any():
            row = int(differs.argmax())
            raise DataError(f"row {row} is in {ours[row]!r} in the first, in {theirs[row]!r} in the second ({what})")
    return large, compressed


def suspicious_order(predictions: Predictions) -> str | None:
    """Return a warning if the model would be far more accurate with its classes in another order, else None.

    A wrong id2label is the usual cause: names can agree while what they stand for does not.
    """
    from scipy.optimize import linear_sum_assignment

    n_classes = len(predictions.labels)
    predicted = predictions.probabilities.argmax(axis=1)
    counts = np.bincount(predicted * n_classes + predictions.gold, minlength=n_classes**2).reshape(n_classes, n_classes)
    _, order = linear_sum_assignment(-counts)
    now, best = (counts[np.arange(n_classes), to].sum() / counts.sum() for to in (np.arange(n_classes), order))
    if best - now <= _SWAP:
        return None
    moved = [f"{predictions.labels[a]} as {predictions.labels[b]}" for a, b in enumerate(order) if a != b]
    return (
        f"the classes look swapped: accuracy is {now:.3f}, and would be {best:.3f} with {', '.join(moved)}; "
        "check id2label of its config.json, or the columns of its file"
    )


def reliability_with_bars(predictions: Predictions) -> pd.DataFrame:
    """Return the reliability table with low and high: where 95% of accuracies would be, were the model calibrated."""
    return consistency_bars(reliability_table(predictions.probabilities, predictions.gold))


def stacked(tables: Mapping[str, pd.DataFrame], key: str = "model") -> pd.DataFrame:
    """Return tables by name as one, the name in a first column called `key`."""
    return pd.concat(tables, names=[key]).reset_index(level=0).reset_index(drop=True)


def label_loyalty(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return 1 where both predict the same class, else 0, shape (n,); its mean is the share (Xu et al. 2021, 3.1)."""
    return (large.argmax(axis=1) == compressed.argmax(axis=1)).astype(np.float64)


def jensen_shannon(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of each row, in nats, 0 to log 2 but for rounding, shape (n,) (Lin 1991)."""
    from scipy.special import rel_entr

    middle = (large + compressed) / 2
    return (rel_entr(large, middle) + rel_entr(compressed, middle)).sum(axis=1) / 2


def probability_loyalty(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return 1 - sqrt(Jensen-Shannon divergence, base 2), in [0, 1], shape (n,) (Xu et al. 2021, 3.2)."""
    return 1 - np.sqrt((jensen_shannon(large, compressed) / np.log(2)).clip(0, 1))


def total_variation(large: np.ndarray, compressed: np.ndarray) -> np.ndarray:
    """Return the most by which the probability of any set of classes differs, in [0, 1], shape (n,)."""
    return np.abs(large - compressed).sum(axis=1) / 2


def confidence_distance(large: np.ndarray, compressed: np.ndarray) -> float:
    """Return the 1-Wasserstein distance of the two distributions of confidence, in [0, 1].

    It compares the confidences as a whole, not example by example: 0 where one model is as sure as the other, of
    whatever examples.
    """
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(large.max(axis=1), compressed.max(axis=1)))


# Each takes probabilities (n, C) of both models, and returns one number per example, or one in all.
LOYALTY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray | float]] = {
    of.__name__: of for of in (label_loyalty, probability_loyalty, total_variation, confidence_distance)
}


def loyalty_table(
    large: ArrayLike, compressed: ArrayLike, *, clusters: ArrayLike | None = None, seed: int = 0
) -> pd.DataFrame:
    """Return each measure of `LOYALTY`, with its bootstrap interval: measure, value, low, high.

    large, compressed: probabilities of shape (n, C), of the same examples and classes. clusters: see
    `statistics.resampled_sums`. A mean over examples has an interval; the distance of two distributions has none (nan).
    Raises DataError for other input.
    """
    large = check_probabilities(large)
    compressed = check_same_shape(large, compressed)
    measured = {name: measure(large, compressed) for name, measure in LOYALTY.items()}
    means = {name: values for name, values in measured.items() if np.ndim(values)}
    values = np.column_stack(list(means.values()))
    order, groups, size = bootstrap_groups(values, clusters=clusters, seed=seed)
    columns = [np.ones(len(values)), *values[order].T]
    drawn = resampled_sums(np.column_stack([np.bincount(groups, of, minlength=size) for of in columns]), seed=seed)
    # A mean of equal values can leave their range by rounding; the interval of a constant is that constant.
    low, high = interval((drawn[:, 1:] / drawn[:, :1]).clip(values.min(axis=0), values.max(axis=0)), n=size)
    table = pd.DataFrame({"measure": list(measured), "value": [np.mean(values) for values in measured.values()]})
    bounds = pd.DataFrame({"measure": list(means), "low": low, "high": high})
    return table.merge(bounds, on="measure", how="left")
