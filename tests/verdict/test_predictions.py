"""Files of predictions: read, matched by id and class name, refused with one line where they do not fit."""

import functools
import gzip

import numpy as np
import pandas as pd
import pytest
from refusals import one_line

from trusteq.errors import DataError
from trusteq.verdict.prediction_file import is_predictions
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


def text(folder, content, name="p.csv", **options):
    """Write a file as it stands and read it."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_predictions(file, **options)


YES_NO = "label,yes,no\n"


def test_what_a_label_means_depends_on_the_header_alone(tmp_path):
    """Classes called 1, 2, 3 make every whole number a name; a row more or less changes no other row's meaning."""
    rows = "1,.8,.1,.1\n2,.1,.8,.1\n1,.8,.1,.1\n"
    found = text(tmp_path, "label,1,2,3\n" + rows)
    assert found.gold.tolist() == [0, 1, 0]
    assert found.notes == ("labels are class names, not indices, as classes are called 1, 2, 3",)
    for first in ("1", "a"):
        content = f"label,{first},2,3\n" + f"{first},.8,.1,.1\n2,.1,.8,.1\n3,.1,.1,.8\n0,.8,.1,.1\n"
        refused(
            lambda content=content: text(tmp_path, content),
            *(
                "line 5: row 3 is labelled 0",
                "no class is called so",
                f"were it an index, it would be the class '{first}'",
            ),
        )
    assert text(tmp_path, "label,0,1\n1,.8,.2\n").notes == ()  # both readings are the same
    assert text(tmp_path, "label,1.0,2.0\n1,.8,.2\n2,.1,.9\n").gold.tolist() == [0, 1]
    assert text(tmp_path, YES_NO + "1,.8,.2\n").notes == ("labels are indices: 0 is yes, 1 is no",)


@pytest.mark.parametrize("labels", ["0.0 1.0 2.0", "0 1.0 +2", "a 1 C"])
def test_whole_floats_are_labels(tmp_path, labels):
    rows = [f"{label},.2,.3,.5" for label in labels.split()]
    assert text(tmp_path, "\n".join(["label,a,b,c", *rows])).gold.tolist() == [0, 1, 2]


def test_a_label_that_is_none_is_named_by_row_and_line(tmp_path):
    refused(lambda: text(tmp_path, YES_NO + "0,.8,.2\n1,.8,.2\n0,.8,.2\n,.8,.2\n"), "row 3 (line 5): label is empty")
    refused(lambda: text(tmp_path, YES_NO + "0.5,.8,.2\n"), "row 0 is labelled '0.5'")
    table = pd.DataFrame({"label": [1.0, None], "yes": [0.8, 0.1], "no": [0.2, 0.9]})
    table.to_parquet(tmp_path / "p.parquet")
    refused(lambda: read_predictions(tmp_path / "p.parquet"), "row 1: label is empty")


def test_rows_without_a_gold_label_are_skipped_and_said(tmp_path):
    found = text(tmp_path, "id,label,yes,no\na,1,.8,.2\nb,-1,.1,.9\nc,-,.3,.7\nd,0,.4,.6\n")
    assert found.ids.tolist() == ["a", "d"] and found.gold.tolist() == [1, 0]
    assert "2 rows without a gold label were skipped." in found.notes
    np.testing.assert_allclose(found.probabilities, [[0.8, 0.2], [0.4, 0.6]])
    for header in (YES_NO, "label,0,1\n"):
        content = header + "1,.8,.2\n-1,.1,.9\n"
        refused(lambda content=content: text(tmp_path, content), "-1 and +1 alone", "write 0 and 1")
    refused(lambda: text(tmp_path, YES_NO + "-1,.8,.2\n"), "none of its 1 rows has a gold label")
    assert text(tmp_path, "label,-1,1\n1,.8,.2\n-1,.1,.9\n").gold.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("header", "cells", "ignored"),
    [
        ("label,text,yes,no,prediction", '{},"a, b",{},{},yes', "text, prediction"),
        ("label,prediction,yes,no", "{},0,{},{}", "prediction"),
        (",label,yes,no", "7,{},{},{}", "''"),
        ("label,loss,yes,no", "{},2.5,{},{}", "loss"),
        ("label,logit_yes,logit_no,yes,no", "{},2,-2,{},{}", "logit_yes, logit_no"),
    ],
)
def test_columns_that_cannot_be_classes_are_ignored_and_said(tmp_path, header, cells, ignored):
    found = text(tmp_path, "\n".join([header, cells.format(0, 0.8, 0.2), cells.format(1, 0.1, 0.9)]))
    assert found.labels == ("yes", "no") and found.gold.tolist() == [0, 1]
    assert f"the classes are the columns yes, no; ignored: {ignored}" in found.notes


def test_columns_that_may_be_no_class_are_refused_by_name_or_chosen(tmp_path):
    content = "label,loss,yes,no\n0,.25,.75,.25\n1,.125,.125,.875\n"
    refused(lambda: text(tmp_path, content), "only without the column 'loss'", "--labels")
    chosen = text(tmp_path, content, labels=("no", "yes"))
    assert chosen.labels == ("no", "yes") and chosen.gold.tolist() == [0, 1]  # indices of the names given
    refused(lambda: text(tmp_path, YES_NO + "0,.8,.2\n", labels=("yes", "noo")), "class 'noo'", "did you mean 'no'")
    sport = text(tmp_path, "label,win,draw,loss\n2,.25,.25,.5\n")
    assert sport.labels == ("win", "draw", "loss")  # no list of names decides


def test_a_column_of_zeros_is_refused_where_it_shifts_labels_by_index(tmp_path):
    rows = "{},0,.8,.2\n{},0,.1,.9\n"
    refused(lambda: text(tmp_path, "label,loss,yes,no\n" + rows.format(0, 1)), "column loss is 0 in every row")
    by_name = text(tmp_path, "label,loss,yes,no\n" + rows.format("yes", "no"))
    assert by_name.gold.tolist() == [1, 2] and "probability to loss" in by_name.notes[0]
    assert text(tmp_path, "label,a,b,c\n" + rows.format(2, 1)).gold.tolist() == [2, 1]  # two classes would not do
    for small in ("0.0004,.8,.2", "0.001,.80,.20"):  # within what a row may be off
        content = f"label,loss,yes,no\n0,{small}\n1,{small}\n"
        refused(lambda content=content: text(tmp_path, content), "column loss is 0 in every row, or next to it")
    assert text(tmp_path, "label,a,b,c\n1,.0004,.7996,.2\n1,.0001,.8999,.1\n").gold.tolist() == [1, 1]
    other = text(tmp_path, YES_NO + "yes,.8,.2\nno,.1,.9\n")
    refused(lambda: matched(other, by_name), "different labels", "'loss' in the second alone")


def test_ids_and_classes_that_look_like_no_value_are_text(tmp_path):
    ids = ["NA", "null", "None", "nan", "N/A", "NaN", "#N/A"]
    found = text(tmp_path, "id,label,yes,None\n" + "".join(f"{name},None,.25,.75\n" for name in ids))
    assert found.ids.tolist() == ids and found.labels == ("yes", "None") and set(found.gold) == {1}
    content = "id,label,yes,no\na,yes,.8,.2\n,no,.1,.9\n"
    refused(lambda: text(tmp_path, content), "row 1 (line 3): id is empty")


@pytest.mark.parametrize(("n_classes", "digits"), [(2, 3), (3, 3), (3, 2), (3, 1), (77, 3), (1000, 4)])
def test_rounded_rows_are_divided_by_their_sum(tmp_path, n_classes, digits):
    given = np.random.default_rng(n_classes).dirichlet(np.ones(n_classes), 60).round(digits)
    names = [f"c{i}" for i in range(n_classes)]
    table = pd.DataFrame(given, columns=names).assign(label=names[-1])
    table.to_csv(tmp_path / "p.csv", index=False, float_format=f"%.{digits}f")
    found = read_predictions(tmp_path / "p.csv")
    np.testing.assert_allclose(found.probabilities, given / given.sum(axis=1, keepdims=True), rtol=1e-9)
    off = (np.abs(given.sum(axis=1) - 1) > 1e-6).sum()
    assert (off > 0) == (n_classes > 2)
    assert sum(f"{off} of 60 rows sum to 1 only up to rounding" in note for note in found.notes) == (off > 0)


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ("0,.999,.003", ["line 2: row 0 sums to 1.002", "rounding explains 0.001 at most"]),
        ("0,.900,.200", ["sums to 1.1"]),
        ("0,1,1", ["sums to 2"]),
        ("0,0,0", ["sums to 0"]),
        ("0,2.5,-1.5\n1,-3,4", ["logits"]),
        ("0,80,20\n1,10,90", ["percentages"]),
        ("0,-0.6931,-0.6931", ["log-probabilities"]),
        ("0,inf,0", ["row 0 is (inf, 0)"]),
        ("0,.8,.2\n1,.1x,.9\n1,.1,.9", ["row 1 (line 3): column 'yes' holds '.1x' among numbers"]),
        ("0,80%,20%", ["0 columns of probabilities, and text in yes ('80%'), no ('20%')"]),
        ("0,.8,", ["row 0 (line 2): column 'no' is empty"]),
    ],
)
def test_what_rounding_does_not_explain_is_refused_with_its_reason(tmp_path, rows, parts):
    refused(lambda: text(tmp_path, YES_NO + rows + "\n"), *parts)


SAVED = "label,yes,no\nyes,0.8,0.2\nno,0.1,0.9\n"


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("A.CSV", SAVED, None),
        ("a.csv.gz", gzip.compress(SAVED.encode()), None),
        ("a.csv", SAVED.replace(",", ";"), "semicolons, not commas"),
        ("a.csv", SAVED.replace(",", ";").replace(".", ","), "decimals stand after commas"),
        ("a.csv", SAVED.replace(",", "\t"), "tabs, not commas"),
        ("a.csv", "sep=,\n" + SAVED, None),
        ("a.csv", "sep=;\r\n" + SAVED.replace(",", ";").replace("\n", "\r\n"), None),
        ("a.tsv", SAVED.replace(",", "\t"), None),
        ("a.tsv", SAVED.replace(",", "\t").replace("yes", '"yes"'), None),
        ("a.TSV.GZ", gzip.compress(SAVED.replace(",", "\t").encode()), None),
        ("a.csv", SAVED.encode("utf-16"), None),
        ("a.csv", SAVED.encode("utf-8-sig"), None),
        ("a.csv", SAVED.replace(",", ", "), None),
        ("a.csv", SAVED.replace("\nyes", "\nYES"), "up to case: YES"),
    ],
)
def test_files_are_read_as_people_save_them(tmp_path, name, content, note):
    found = text(tmp_path, content, name)
    assert is_predictions(tmp_path / name)
    assert found.labels == ("yes", "no") and found.gold.tolist() == [0, 1]
    np.testing.assert_array_equal(found.probabilities, [[0.8, 0.2], [0.1, 0.9]])
    assert not found.notes if note is None else any(note in said for said in found.notes)


@pytest.mark.parametrize("by", ["column", "index"])
def test_parquet_is_read_with_its_ids(tmp_path, by):
    table = pd.DataFrame({"id": [7, 8], "label": ["yes", "no"], "yes": [0.8, 0.1], "no": [0.2, 0.9]})
    (table if by == "column" else table.set_index("id")).to_parquet(tmp_path / "a.parquet")
    found = read_predictions(tmp_path / "a.parquet")
    assert found.ids.tolist() == ["7", "8"] and found.gold.tolist() == [0, 1] and found.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", "label;yes\tno\n", [":1", "no commas in the header, but tabs and semicolons"]),
        ("a.csv", SAVED.encode("utf-16-le"), [":1", "NUL byte, as UTF-16 has", "UTF-8"]),
        ("a.csv", "label,oui,n\xe9\n".encode("latin-1"), [":1", "byte 0xe9 is not UTF-8"]),
        ("a.csv", b"PK\x03\x04...", ["Excel"]),
        ("a.csv.gz", gzip.compress(SAVED.encode())[:20], ["not a whole gzip file"]),
        ("a.parquet", SAVED, ["not a parquet file"]),
        ("a.parquet", b"PAR1xx", ["not a whole parquet file"]),
        ("a.csv", "label,yes,yes\n", ["'yes' occurs twice"]),
        ("a.csv", SAVED + "yes,.1\n", [":4", "2 fields, the header has 3"]),
    ],
)
def test_files_that_are_not_plain_are_refused_with_the_reason(tmp_path, name, content, parts):
    refused(lambda: text(tmp_path, content, name), tmp_path / name, *parts)


def test_models_and_other_files_are_no_predictions(tmp_path):
    (tmp_path / "model.csv").mkdir()
    for name in ("model.csv", "org/model", "file.py:function", "a.jsonl", "a.gz"):
        assert not is_predictions(tmp_path / name)


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


def test_class_names_are_matched_up_to_case():
    large = of([("yes", 0.9, 0.1), ("no", 0.2, 0.8)])
    left, right = matched(large, of([("YES", 0.3, 0.7), ("No", 0.6, 0.4)], labels=("No", "YES")))
    assert left.labels == right.labels == ("yes", "no") and right.gold.tolist() == [0, 1]
    np.testing.assert_allclose(right.probabilities, [[0.7, 0.3], [0.4, 0.6]])
    assert right.notes == ("class names are matched up to case: No as no, YES as yes",)
    both = of([("yes", 0.9, 0.1)], labels=("yes", "YES"))
    refused(lambda: matched(both, of([("yes", 0.9, 0.1)], labels=("yes", "Yes"))), "different labels")


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


def test_a_column_twice_is_refused_whatever_tells_them_apart(tmp_path):
    for header in ("label,no, no", "label,caf\u00e9,cafe\u0301"):
        file = tmp_path / "twice.csv"
        file.write_text(f"{header}\n0,0.8,0.2\n", encoding="utf-8")
        refused(lambda file=file: read_predictions(file), "a column twice")
    levels = pd.MultiIndex.from_tuples([("label", ""), ("p", "no"), ("p", "yes")])
    pd.DataFrame([["no", 0.8, 0.2]], columns=levels).to_parquet(tmp_path / "levels.parquet")
    refused(lambda: read_predictions(tmp_path / "levels.parquet"), "columns of several levels")


def test_the_form_of_accents_makes_no_other_class_and_no_other_id(tmp_path):
    rows = [("caf\u00e9 1", "caf\u00e9", 0.9, 0.1)]
    composed = read_predictions(written(tmp_path, rows, ("id", "label", "caf\u00e9", "the")))
    rows = [("cafe\u0301 1", "cafe\u0301", 0.9, 0.1)]
    decomposed = read_predictions(written(tmp_path, rows, ("id", "label", "cafe\u0301", "the")))
    assert matched(composed, decomposed)[1].labels == composed.labels


@pytest.mark.parametrize("what", ["group", "slices"])
def test_files_that_group_their_rows_otherwise_are_refused(tmp_path, what):
    first, second = (
        read_predictions(written(tmp_path, [(0, 0.9, 0.1, of)], ("label", "yes", "no", "of")), **{what: "of"})
        for of in "ab"
    )
    refused(lambda: matched(first, second), "row 0 is in 'a' in the first, in 'b' in the second")
