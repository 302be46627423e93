"""Files of predictions: read, matched by id and class name, refused with one line where they do not fit."""

import functools

import numpy as np
import pandas as pd
import pytest
from refusals import one_line

from trusteq.errors import DataError
from trusteq.verdict.predictions import Predictions, matched, read_predictions, suspicious_order

refused = functools.partial(one_line, DataError)
ROWS = [("a", "yes", 0.9, 0.1), ("b", "no", 0.2, 0.8), ("c", "no", 0.6, 0.4)]


def written(folder, rows=ROWS, columns=("id", "label", "yes", "no"), name="p.csv"):
    file = folder / name
    pd.DataFrame(rows, columns=list(columns)).to_csv(file, index=False)
    return file


def test_labels_by_name_or_index_are_the_same(tmp_path):
    by_name = read_predictions(written(tmp_path))
    by_index = read_predictions(written(tmp_path, [(i, ("yes", "no").index(y), *p) for i, y, *p in ROWS]))
    assert by_name.labels == by_index.labels == ("yes", "no")
    np.testing.assert_array_equal(by_name.gold, [0, 1, 1])
    np.testing.assert_array_equal(by_index.gold, by_name.gold)
    np.testing.assert_allclose(by_name.probabilities, [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert by_name.ids.tolist() == ["a", "b", "c"]


def test_classes_named_by_numbers_are_names(tmp_path):
    """With columns "1" and "0" the label 1 is the class called 1, which stands first."""
    file = written(tmp_path, [(1, 0.9, 0.1), (0, 0.2, 0.8)], ("label", "1", "0"))
    assert read_predictions(file).gold.tolist() == [0, 1]


def test_ids_are_text(tmp_path):
    file = written(tmp_path, [("007", 0, 0.9, 0.1), ("7", 1, 0.2, 0.8)])
    assert read_predictions(file).ids.tolist() == ["007", "7"]


@pytest.mark.parametrize(
    ("rows", "columns", "parts"),
    [
        (ROWS, ("id", "gold", "yes", "no"), ["no column 'label'", "known: gold, id, no, yes"]),
        ([r[:3] for r in ROWS], ("id", "label", "yes"), ["at least 2"]),
        ([(*ROWS[0], "text")], ("id", "label", "yes", "no", "note"), [":2", "'note'", "'text'"]),
        ([("a", "maybe", 0.9, 0.1)], ("id", "label", "yes", "no"), ["row 0", "'maybe'", "known: no, yes"]),
        ([("a", 2, 0.9, 0.1)], ("id", "label", "yes", "no"), ["row 0 is 2", "of 2 classes"]),
        ([("a", 0, 0.9, 0.3)], ("id", "label", "yes", "no"), ["row 0 sums to 1.2", "softmax"]),
        ([ROWS[0], ("b", "no", np.nan, 0.8)], ("id", "label", "yes", "no"), ["row 1", "nan"]),
        ([ROWS[0], ROWS[0]], ("id", "label", "yes", "no"), ["id 'a' occurs twice"]),
        ([], ("id", "label", "yes", "no"), ["no rows"]),
    ],
)
def test_a_file_that_holds_no_predictions_is_refused(tmp_path, rows, columns, parts):
    file = written(tmp_path, rows, columns)
    refused(lambda: read_predictions(file), file, *parts)


def test_a_file_that_is_not_there_or_no_csv_is_refused(tmp_path):
    refused(lambda: read_predictions(tmp_path / "none.csv"), "none.csv: no such file")
    (tmp_path / "empty.csv").touch()
    refused(lambda: read_predictions(tmp_path / "empty.csv"), "not a CSV")
    (tmp_path / "bytes.csv").write_bytes(b"label,yes,no\n\xff\xfe,0.1,0.9\n")
    refused(lambda: read_predictions(tmp_path / "bytes.csv"), "not a CSV")


def of(rows, labels=("yes", "no"), ids=None):
    table = pd.DataFrame(rows, columns=["label", *labels])
    return Predictions.of(table if ids is None else table.assign(id=ids), labels)


def test_models_are_matched_by_id_and_by_name_of_class():
    large = of([("yes", 0.9, 0.1), ("no", 0.2, 0.8)], ids=["b", "a"])
    compressed = of([("no", 0.7, 0.3), ("yes", 0.4, 0.6)], labels=("no", "yes"), ids=["a", "b"])
    left, right = matched(large, compressed)
    assert left.labels == right.labels == ("yes", "no")
    assert left.ids.tolist() == right.ids.tolist() == ["a", "b"]
    assert left.gold.tolist() == right.gold.tolist() == [1, 0]
    np.testing.assert_allclose(right.probabilities, [[0.3, 0.7], [0.6, 0.4]])


def test_three_classes_in_another_order_keep_their_gold():
    rows = [("a", 0.5, 0.2, 0.3), ("b", 0.1, 0.2, 0.7), ("c", 0.3, 0.4, 0.3)]
    table = pd.DataFrame(rows, columns=["label", "a", "b", "c"])
    one, other = (Predictions.of(table, labels) for labels in (("a", "b", "c"), ("c", "a", "b")))
    left, right = matched(one, other)
    np.testing.assert_array_equal(left.gold, right.gold)
    np.testing.assert_allclose(left.probabilities, right.probabilities)


@pytest.mark.parametrize(
    ("other", "parts"),
    [
        (of([("yes", 0.9, 0.1)], labels=("yes", "nope")), ["different labels", "nope"]),
        (of([("yes", 0.9, 0.1), ("no", 0.2, 0.8)], ids=["a", "x"]), ["1 ids", "'b'"]),
        (of([("yes", 0.9, 0.1)], ids=["a"]), ["1 ids", "0 in the second alone"]),
        (of([("yes", 0.9, 0.1), ("no", 0.2, 0.8)]), ["only one of the two has ids"]),
        (of([("no", 0.9, 0.1), ("no", 0.2, 0.8)], ids=["a", "b"]), ["id 'a'", "'yes'", "'no'"]),
    ],
)
def test_predictions_about_other_examples_are_refused(other, parts):
    refused(lambda: matched(of([("yes", 0.9, 0.1), ("no", 0.2, 0.8)], ids=["a", "b"]), other), *parts)


def test_without_ids_rows_must_be_as_many_and_labelled_alike():
    two = of([("yes", 0.9, 0.1), ("no", 0.2, 0.8)])
    refused(lambda: matched(two, of([("yes", 0.9, 0.1)])), "2 rows against 1")
    refused(lambda: matched(two, of([("yes", 0.9, 0.1), ("yes", 0.2, 0.8)])), "row 1")


def test_swapped_classes_are_reported_and_ordinary_errors_are_not():
    gold = np.repeat([0, 1, 2], 30)
    right = np.full((90, 3), 0.1)
    right[np.arange(90), gold] = 0.8
    labels = ("entailment", "neutral", "contradiction")
    swapped = suspicious_order(Predictions(labels, right[:, [2, 1, 0]], gold))
    assert "0.333" in swapped and "1.000" in swapped
    assert "entailment as contradiction, contradiction as entailment" in swapped
    assert suspicious_order(Predictions(labels, right, gold)) is None
    assert suspicious_order(Predictions(labels, np.full((90, 3), 1 / 3), gold)) is None
