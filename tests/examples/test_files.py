import csv
import gzip
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from refusals import one_line

from trusteq.errors import DataError, ExperimentError
from trusteq.examples.files import read_examples
from trusteq.examples.table import made_of_texts
from trusteq.registry import load_task
from trusteq.words import unlike_plain

SNLI_HEADER = [
    *("gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse"),
    *("sentence1", "sentence2", "captionID", "pairID", "label1", "label2", "label3", "label4", "label5"),
]


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file of that name, and return its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def snli_row(gold, premise, hypothesis, *judgements):
    parses, ids = ["( p )", "( h )", "(root() p)", "(root() h)"], ["7.jpg#0", "7.jpg#0e"]
    return "\t".join([gold, *parses, premise, hypothesis, *ids, *judgements])


def refused(path, line, message, *, task="snli"):
    """Assert that reading fails with one line that starts with path:line and holds the message."""
    with pytest.raises(DataError) as caught:
        read_examples(path, task=task)
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what is read ---


@pytest.mark.parametrize("columns", [("text_a", "text_b", "label"), ("premise", "hypothesis", "label"),
                                     ("sentence1", "sentence2", "gold_label")])  # fmt: skip
@pytest.mark.parametrize("extension", ["csv", "tsv", "txt", "jsonl", "parquet"])
@pytest.mark.parametrize("by_name", [True, False])
def test_every_format_and_naming_gives_the_same_table(tmp_path, columns, extension, by_name):
    values = ["neutral", "contradiction"] if by_name else [1, 2]
    frame = pd.DataFrame([("A man naps.", "He is «tired».", values[0]), ("It rains.", "No rain.", values[1])])
    frame.columns = columns
    path = tmp_path / f"pairs.{extension}"
    if extension == "parquet":
        frame.to_parquet(path)
    elif extension == "jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="," if extension == "csv" else "\t")
    examples = read_examples(path, task="snli")
    assert examples.columns.tolist() == ["id", "text_a", "text_b", "label"]
    assert examples["id"].tolist() == ["pairs-0", "pairs-1"]
    assert examples["text_a"].tolist() == ["A man naps.", "It rains."]
    assert examples["text_b"].tolist() == ["He is «tired».", "No rain."]
    assert examples["label"].tolist() == [1, 2]
    assert examples["label"].dtype == np.int64
    assert examples.attrs["unlabelled"] == 0


def test_snlis_own_txt(write):
    rows = [
        "\t".join(SNLI_HEADER),
        snli_row("neutral", 'A "man" naps.', 'He says "no', "neutral", "entailment", "neutral", "neutral", "neutral"),
        snli_row("-", "A man naps.", "He eats.", "neutral", "entailment", "contradiction", "", ""),
        snli_row("entailment", "A man naps.", "He rests.", "entailment", "", "", "", ""),
        snli_row("contradiction", "A man naps.", "He runs.", "contradiction"),  # empty judgements cut off
    ]
    examples = read_examples(write("snli_1.0_dev.txt", "\n".join(rows) + "\n"), task="snli")
    assert examples["id"].tolist() == ["snli_1.0_dev-0", "snli_1.0_dev-2", "snli_1.0_dev-3"]
    assert examples["text_a"].iloc[0] == 'A "man" naps.'
    assert examples["text_b"].tolist() == ['He says "no', "He rests.", "He runs."]
    assert examples["label"].tolist() == [1, 0, 2]
    assert examples.attrs["unlabelled"] == 1


def test_snlis_own_jsonl(write):
    records = [
        {"annotator_labels": ["neutral"], "gold_label": gold, "sentence1": "A man naps.", "sentence2": "He rests."}
        for gold in ("-", "entailment")
    ]
    path = write("snli_1.0_dev.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    examples = read_examples(path, task="mnli")
    assert examples["id"].tolist() == ["snli_1.0_dev-1"]
    assert examples.attrs["unlabelled"] == 1


@pytest.mark.parametrize(
    ("task", "header"),
    [("qqp", "question1,question2,is_duplicate"), ("qqp", "question1,question2,label"),
     ("mrpc", "sentence1,sentence2,label"), ("paws", "sentence1,sentence2,label"), ("demo-nli", "text_a,text_b,label")],
)  # fmt: skip
def test_columns_of_the_other_tasks(write, task, header):
    examples = read_examples(write("a.csv", f"{header}\nOne?,Two?,1\n"), task=task)
    assert examples[["text_a", "text_b", "label"]].to_numpy().tolist() == [["One?", "Two?", 1]]


@pytest.mark.parametrize("header", ["sentence,label", "label,text_a", "idx,sentence,label"])
def test_single_texts_have_none_as_second_text(write, header):
    row = {"sentence": "fine", "text_a": "fine", "label": "positive", "idx": "5"}
    content = f"{header}\n{','.join(row[column] for column in header.split(','))}\n"
    examples = read_examples(write("a.csv", content), task=load_task("sst2"))
    assert examples["text_b"].tolist() == [None]
    assert examples[["id", "text_a", "label"]].to_numpy().tolist() == [["a-0", "fine", 1]]


def test_ids_of_the_file_are_kept(write):
    path = write("a.csv", "id,text_a,text_b,label\n017,a,b,0\nx,a,b,-1\n18,a,b,1\n")
    assert read_examples(path, task="snli")["id"].tolist() == ["017", "18"]
    path = write("a.jsonl", '{"id": 3, "text_a": "a", "text_b": "b", "label": 0}\n')
    assert read_examples(path, task="snli")["id"].tolist() == ["3"]


def test_text_is_kept_as_it_is(write):
    text = "  Ça — \u2028 “x”\u0085\t, \r\n y  "
    path = write("a.csv", '\ufefftext_a,text_b,label\r\n"' + text + '","He said ""no"".",0\r\n\r\n')
    examples = read_examples(path, task="snli")
    assert examples.loc[0, ["text_a", "text_b"]].tolist() == [text, 'He said "no".']
    record = json.dumps({"text_a": text, "text_b": "b", "label": 0}, ensure_ascii=False)
    path = write("a.jsonl", "\ufeff" + record + "\r\n\r\n" + record)
    assert read_examples(path, task="snli")["text_a"].tolist() == [text, text]


def test_blank_lines_are_no_rows(write):
    path = write("a.csv", "text_a,text_b,label\n\na,b,0\n\n\nc,d,-\ne,f,1\n\n")
    assert read_examples(path, task="snli")["id"].tolist() == ["a-0", "a-2"]


def test_parquet_labels_may_be_widened_by_nulls_elsewhere(tmp_path):
    frame = pd.DataFrame({"text_a": ["a", "b"], "text_b": ["c", "d"], "label": [2.0, -1.0]})
    frame.to_parquet(tmp_path / "a.PARQUET")
    examples = read_examples(str(tmp_path / "a.PARQUET"), task="snli")
    assert examples["label"].tolist() == [2]
    assert examples.attrs["unlabelled"] == 1


PAIRS = "text_a,text_b,label\na man,naps,1\n"


@pytest.mark.parametrize(
    ("name", "content", "notes"),
    [
        ("pairs.csv.gz", gzip.compress(PAIRS.encode()), 0),
        ("pairs.CSV", PAIRS.encode("utf-16"), 0),
        ("pairs.csv", "sep=,\n" + PAIRS, 0),
        ("pairs.csv", PAIRS.replace(",", ";"), 1),
        ("pairs.csv", PAIRS.replace(",", "\t"), 1),
        ("pairs.tsv", PAIRS, 1),
        ("pairs.csv", PAIRS.replace(",1\n", ",Neutral\n"), 1),
        ("pairs.csv", PAIRS.replace(",1\n", ",1.0\n"), 0),
    ],
)
def test_files_are_read_as_people_save_them(write, name, content, notes):
    examples = read_examples(write(name, content), task="snli")
    assert examples.to_numpy().tolist() == [["pairs-0", "a man", "naps", 1]]
    assert len(examples.attrs["notes"]) == notes


def test_a_column_of_images_beside_texts_is_not_read_and_that_is_said(write):
    path = write("pairs.csv", "text_a,image,label\na man,man.png,yes\n")
    examples = read_examples(path, labels=("no", "yes"))
    assert list(examples) == ["id", "text_a", "text_b", "label"]
    assert examples.attrs["notes"] == ["texts are read, and the column 'image' is not"]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("extra", [["a\nline", "a\ttab"], ["plain", "plain too"]])
def test_a_tsv_that_pandas_quoted_is_read_back(tmp_path, quoting, extra):
    texts = ['He said "no".', *extra]
    frame = pd.DataFrame({"text_a": texts, "text_b": "b", "label": 0})
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False, quoting=quoting)
    assert read_examples(tmp_path / "a.tsv", task="snli")["text_a"].tolist() == texts


@pytest.mark.parametrize("text", ['"A man" naps.', '"Stop!"', 'He said "no', '"', '""', '"a ""b"" c'])
def test_quotes_of_a_raw_tsv_stay(write, text):
    content = f"text_a\ttext_b\tlabel\n{text}\tb\t0\n"
    assert read_examples(write("a.tsv", content), task="snli")["text_a"].tolist() == [text]


# --- what is refused ---


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("premise,hypothesis,lable\na,b,0\n", 1, "no column 'label'; did you mean 'lable'?"),
        ("text_a,text_B,label\na,b,0\n", 1, "no column 'text_b'; did you mean 'text_B'?"),
        ("\n\npremise,label\na,0\n", 3, "no column 'hypothesis'"),
        ("x,y\na,0\n", 1, "no column 'text_a'"),
        ('"text\na",label\na,0\n', 1, "known: text a"),
        ("text_a,text_b,label,label\na,b,0,0\n", 1, "column 'label' occurs twice"),
        ("", 1, "no rows"),
        ("text_a,text_b,label\n", 1, "no rows"),
        ("text_a,text_b,label\na,b,-\na,b,-1\n", 1, "none of its 2 rows has a gold label"),
        ("text_a,text_b,label\na,b,entails\n", 2, "unknown label 'entails' of task 'snli'; did you mean 'entailment'?"),
        ("text_a,text_b,label\na,b,3\n", 2, "unknown label '3'"),
        ("text_a,text_b,label\na,b,-2\n", 2, "unknown label '-2'"),
        ("text_a,text_b,label\na,b,\n", 2, "label is empty"),
        ("text_a,text_b,label\na,b,0\n ,b,0\n", 3, "text_a is empty"),
        ("premise,hypothesis,label\na,,0\n", 2, "hypothesis is empty"),
        ("text_a,text_b,label\na,b\n", 2, "2 fields, the header has 3"),
        ("text_a,text_b,label\na,b,0\na,b,c,0\n", 3, "4 fields, the header has 3"),
        ('text_a,text_b,label\n"a\nb\r\nc",d,0\ne,f\n', 5, "2 fields"),
        ('text_a,text_b,label\n\n"a\nb",d,nope\n', 3, "unknown label 'nope'"),
        ('text_a,text_b,label\na,b,0\n"a,b,0\na,b,0\n', 3, "unexpected end of data"),
        ('text_a,text_b,label\n"a"b,b,0\n', 2, "check the quotes"),
        ("text_a,text_b,label\n" + "a" * 200_000 + ",b,0\n", 2, "field larger than field limit"),
        ("text_a,text_b,label\r\na,b,0\r\na\0,b,0\r\n", 3, "NUL byte"),
        (b"text_a,text_b,label\na,b,0\na,caf\xe9,0\n", 3, "byte 0xe9 is not UTF-8"),
        (b"\xef\xbb\xbftext_a,text_b,label\r\xff,b,0\r", 2, "byte 0xff is not UTF-8"),
        ("text_a,text_b,label\na,b,0\n".encode("utf-16-le"), 1, "NUL byte, as UTF-16 has; save the file as UTF-8"),
        ("text_a\ttext_b;label\na\tb;0\n", 1, "no commas in the header, but tabs and semicolons"),
        (b"PK\x03\x04", None, "Excel"),
        ("id,text_a,text_b,label\n1,a,b,0\n2,a,b,-1\n1,a,b,0\n", 4, "id '1' occurs twice, first on line 2"),
        ("id,text_a,text_b,label\n,a,b,0\n", 2, "id is empty"),
    ],
)
def test_bad_csv_is_named_by_line(write, content, line, message):
    refused(write("bad.csv", content), line, message)


def test_lines_are_counted_with_the_one_that_names_the_separator(write):
    refused(write("a.csv", "sep=;\ntext_a;text_b;label\na;b;0\na;b;x\n"), 4, "unknown label 'x'")


def test_minus_one_beside_plus_one_alone_is_refused(write):
    """In a task of two classes -1 would silently count as no gold label."""
    for labels in (["1", "-1"], ["+1", "-1", "1"], ["1.0", "-1.0"]):
        path = write("signs.csv", "\n".join(["sentence,label", *(f"fine,{label}" for label in labels)]))
        refused(path, 1, "-1 and +1 alone", task="sst2")
    kept = read_examples(write("a.csv", "sentence,label\na,1\nb,-1\nc,0\n"), task="sst2")
    assert kept["label"].tolist() == [1, 0] and kept.attrs["unlabelled"] == 1
    named = load_task("sst2").model_copy(update={"labels": ("-1", "1")})
    kept = read_examples(write("a.csv", "sentence,label\na,1\nb,-1\n"), task=named)
    assert kept["label"].tolist() == [1, 0]


def test_classes_called_by_numbers_make_labels_names(write):
    """What a label means depends on the class names alone: 0 is no index where classes are called 1 and 2."""
    stars = load_task("sst2").model_copy(update={"labels": ("1", "2")})
    assert read_examples(write("a.csv", "sentence,label\na,1\nb,2.0\n"), task=stars)["label"].tolist() == [0, 1]
    refused(write("b.csv", "sentence,label\na,1\nb,0\n"), 3, "a number is a name and no index", task=stars)


@pytest.mark.parametrize("extension", ["tsv", "txt"])
@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ([snli_row("neutral", "a", "b", *5 * "x"), "neutral\ta\tb"], 3, "3 fields, the header has 14"),
        ([snli_row("neutral", "a", "b", *6 * "x")], 2, "15 fields"),
        ([snli_row("neutral", "a", "", *5 * "x")], 2, "sentence2 is empty"),
        ([snli_row("neutral", "a", "b"), "", snli_row("hidden", "a", "b")], 4, "unknown label 'hidden'"),
    ],
)
def test_bad_tab_separated_files_are_named_by_line(write, extension, rows, line, message):
    refused(write(f"bad.{extension}", "\n".join(["\t".join(SNLI_HEADER), *rows])), line, message)


GOOD = '{"text_a": "a", "text_b": "b", "label": 0}\n'


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("", 1, "no rows"),
        ("\n\n", 1, "no rows"),
        (GOOD + "\n{'text_a': 1}\n", 3, "broken JSON"),
        (GOOD + '{"text_a": "a", ', 2, "broken JSON"),
        (GOOD + "[" * 100_000 + "\n", 2, "broken JSON"),
        (GOOD + '["a", "b", 0]\n', 2, "is not a JSON object"),
        ("{}\n", 1, "no column 'text_a'; known: none"),
        (GOOD + '{"text_a": "a", "text_c": "b", "label": 0}', 2, "no column 'text_b'; did you mean 'text_"),
        ('\n{"premise": "a", "hypotesis": "b", "label": 0}', 2, "no column 'hypothesis'; did you mean 'hypotesis'?"),
        (GOOD + '{"text_a": null, "text_b": "b", "label": 0}', 2, "text_a is empty"),
        (GOOD + '{"text_a": 5, "text_b": "b", "label": 0}', 2, "text_a is 5, not text"),
        (GOOD + '{"text_a": "a\\u0000", "text_b": "b", "label": 0}', 2, "text_a holds a NUL"),
        (GOOD + '{"text_a": "a", "text_b": "\\ud83d", "label": 0}', 2, "text_b holds a NUL or half a surrogate pair"),
        (GOOD + '{"text_a": "a", "text_b": "b", "label": null}', 2, "label is empty"),
        (GOOD + '{"text_a": "a", "text_b": "b", "label": 0.5}', 2, "unknown label '0.5'"),
        (GOOD + '{"text_a": "a", "text_b": "b", "label": true}', 2, "unknown label 'True'"),
        (GOOD + '{"text_a": "a", "text_b": "b", "label": "' + "x" * 500 + '"}', 2, "xxx... of task"),
        (GOOD + GOOD.replace("{", '{"id": "bad-0", '), 2, "id 'bad-0' occurs twice, first on line 1"),
        (GOOD.replace("{", '{"id": null, ') + GOOD, 1, "id is empty"),
    ],
)
def test_bad_jsonl_is_named_by_line(write, content, line, message):
    refused(write("bad.jsonl", content), line, message)


def test_bad_parquet_is_named_by_row(tmp_path, write):
    refused(write("bad.parquet", "text_a,text_b,label\n"), 1, "not a parquet file")
    path = tmp_path / "pairs.parquet"
    for columns, line, message in [
        ({"text_a": ["a"], "text_b": ["b"], "lable": [0]}, 1, "did you mean 'lable'"),
        ({"text_a": ["a", None], "text_b": ["b", "b"], "label": [0, 0]}, 2, "text_a is empty"),
        ({"text_a": ["a", "a"], "text_b": [1, 2], "label": [0, 0]}, 1, "text_b is 1, not text"),
        ({"text_a": ["a", "a"], "text_b": ["b", "b"], "label": [0, None]}, 2, "label is empty"),
        ({"id": ["x", "x"], "text_a": ["a", "a"], "text_b": ["b", "b"], "label": [0, 0]}, 2, "occurs twice"),
        ({"text_a": [], "text_b": [], "label": []}, 1, "no rows"),
    ]:
        pd.DataFrame(columns).to_parquet(path)
        refused(path, line, message)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    for path, message in [
        (tmp_path / "none.csv", "no such file"),
        (tmp_path / "pairs.cvs", "did you mean '.csv'"),
        (tmp_path / "pairs", "unknown extension ''"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            read_examples(path, task="snli")
        assert str(caught.value).startswith(f"{path}: ")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="not a file"):
        read_examples(tmp_path / "folder.csv", task="snli")


def test_unknown_tasks_are_named(write):
    with pytest.raises(ExperimentError, match="did you mean 'snli'"):
        read_examples(write("a.csv", "text_a,text_b,label\na,b,0\n"), task="snil")


def test_further_columns_are_kept_where_they_are_named(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("text_a,topic,label\nfine,a,1\npoor,7,0\n")
    found = read_examples(file, labels=("no", "yes"), columns={"topic": "topic"})
    assert found["topic"].tolist() == ["a", "7"] and "topic" not in read_examples(file, labels=("no", "yes"))
    one_line(
        DataError, lambda: read_examples(file, labels=("no", "yes"), columns={"topic": "topics"}), "'topics'", "'topic'"
    )


def test_a_column_that_the_first_record_lacks_is_not_lost(write):
    rows = '{"text_a": "a b", "label": 0}\n{"text_a": "c", "text_b": "d", "label": 1}\n'
    with pytest.raises(DataError, match=r":1: no column 'text_b'"):
        read_examples(write("few.jsonl", rows), labels=("no", "yes"))


def test_ids_can_be_kept_twice_and_taken_from_another_column(write):
    file = write("ids.csv", "key,id,text_a,label\nk,i,a,0\n")
    for named, expected in (({"id": "id"}, "i"), ({"id": "key"}, "k")):
        found = read_examples(file, labels=("no", "yes"), columns=named)
        assert found["id"].tolist() == [expected] and found.columns.is_unique
    with pytest.raises(DataError, match="one column for two of text_a, label: label, label"):
        read_examples(file, labels=("no", "yes"), columns={"text_a": "label"})


def test_the_form_of_accents_makes_no_other_label(write):
    file = write("accents.csv", "text_a,label\na,cafe\u0301\n")
    assert read_examples(file, labels=("the", "caf\u00e9"))["label"].tolist() == [1]


def test_texts_are_hashed_as_one_list_of_all():
    """One by one, so that a million take no room; the hashes are those of runs that are there."""
    rows = [("test-0", "a «dog»", "x"), ("test-1", "今天去", None), ("test-2", "", "y")]
    for chosen in ([], rows, rows[::2]):
        examples = pd.DataFrame(chosen, columns=["id", "text_a", "text_b"])
        places = [[unlike_plain(text) for text in sides if text] for _, *sides in chosen]
        whole = {"examples": list(map(list, chosen))} | ({"words": places} if any(map(any, places)) else {})
        assert made_of_texts(examples) == {
            name: hashlib.sha256(json.dumps(of).encode()).hexdigest() for name, of in whole.items()
        }
