"""Bounds are checked on what a file's own head tells; whatever a library throws is one error of ours."""

import gzip
import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from refusals import one_line

from trusteq import bounds
from trusteq.errors import ArtefactError, DataError, ExperimentError, ModelError, error_line, reading, shortened
from trusteq.examples.delimited import JSON_LINE, lines
from trusteq.models.classifier import load_classifier


def test_a_file_is_unpacked_up_to_the_bound_and_no_further(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "MOST_BYTES", 1000)
    for size, fits in ((1000, True), (1001, False)):
        plain, packed = tmp_path / "plain", tmp_path / "packed"
        plain.write_bytes(b"x" * size)
        packed.write_bytes(gzip.compress(b"x" * size))
        for file in (plain, packed):
            if fits:
                assert bounds.unpacked(file, DataError) == b"x" * size
            else:
                one_line(DataError, lambda file=file: bounds.unpacked(file, DataError), file, "at most 1,000")


def test_a_device_without_end_is_no_file(tmp_path):
    link = tmp_path / "words"
    link.symlink_to("/dev/zero")
    one_line(DataError, lambda: bounds.unpacked(link, DataError), link, "not a file")


@pytest.mark.parametrize(("name", "value"), [("MOST_CELLS", 11), ("MOST_COLUMNS", 1), ("MOST_BYTES", 5999)])
def test_what_a_parquet_file_comes_to_is_counted_with_texts_as_often_as_they_occur(tmp_path, monkeypatch, name, value):
    """Two columns of six rows; a text of 1,000 bytes six times."""
    table = pa.table({"a": pa.array(["x" * 1000] * 6).dictionary_encode(), "n": range(6)})
    pq.write_table(table, tmp_path / "a.parquet")
    check = lambda: bounds.check_parquet(tmp_path / "a.parquet", DataError, where="here")  # noqa: E731
    check()
    monkeypatch.setattr(bounds, name, value + 1 if name != "MOST_COLUMNS" else 2)
    check()
    monkeypatch.setattr(bounds, name, value)
    one_line(DataError, check, "here", f"at most {value:,}")


def test_columns_of_all_types_and_names_are_counted(tmp_path):
    odd = {
        "a.b": ["x"] * 3,
        "l": [["x", "y"]] * 3,
        "b": [b"x"] * 3,
        "s": [{"q": "r"}] * 3,
        "n": [None] * 3,
        "": ["x"] * 3,
    }
    pq.write_table(pa.table(odd), tmp_path / "odd.parquet")
    bounds.check_parquet(tmp_path / "odd.parquet", DataError, where="here")


def test_lines_are_those_of_the_csv_module_and_none_is_too_long(tmp_path, monkeypatch):
    for text in ("", "a", "a\n", "a\r\nb\rc\n\n\nd", "\r\n", "a\x0bb\u2028c\n"):
        assert list(lines(tmp_path, text)) == list(io.StringIO(text, newline=""))
        assert "".join(lines(tmp_path, text, of=JSON_LINE)) == text
    longest = "x" * bounds.MOST_LINE
    assert list(lines(tmp_path, longest)) == [longest]
    one_line(DataError, lambda: list(lines(tmp_path, f"a\n{longest}y\nb")), f"{tmp_path}:2", "a line of more than")


def test_aliases_are_counted_as_often_as_they_are_used_and_depth_ends(tmp_path, monkeypatch):
    file = tmp_path / "a.yaml"
    file.write_text("a: &a [1, 2, 3]\nb: [*a, *a]\n")  # the whole, two keys, 4 values, and a list of two times 4
    assert bounds.yaml_mapping(file, ExperimentError) == {"a": [1, 2, 3], "b": [[1, 2, 3]] * 2}
    monkeypatch.setattr(bounds, "MOST_NODES", 16)
    bounds.yaml_mapping(file, ExperimentError)
    monkeypatch.setattr(bounds, "MOST_NODES", 15)
    one_line(ExperimentError, lambda: bounds.yaml_mapping(file, ExperimentError), file, "at most 15")
    file.write_text("a: &a [*a]\n")
    one_line(ExperimentError, lambda: bounds.yaml_mapping(file, ExperimentError), file, "at most 15")


@pytest.mark.parametrize(
    "error", [KeyError("k"), RecursionError(), OverflowError("big"), MemoryError(), OSError("a\nb")]
)
def test_whatever_is_thrown_while_reading_is_one_line_that_keeps_its_cause(error):
    def read():
        with reading(ArtefactError, "here", "mend it"):
            raise error

    one_line(ArtefactError, read, "here: ", "; mend it")
    with pytest.raises(ArtefactError) as caught:
        read()
    assert caught.value.__cause__ is error


def test_an_interrupt_and_our_own_errors_pass_through_what_reads():
    for error in (KeyboardInterrupt(), DataError("ours")):
        with pytest.raises(type(error)) as caught, reading(ArtefactError, "here", "mend it"):
            raise error
        assert caught.value is error


def test_a_panic_of_rust_is_no_exception_and_is_one_line():
    panic = type("PanicException", (BaseException,), {})
    with (
        pytest.raises(ModelError, match="here: PanicException at line 3; mend it"),
        reading(ModelError, "here", "mend it"),
    ):
        raise panic("at line 3")


def test_what_is_long_is_shortened_in_the_line_alone():
    assert shortened("abc", 3) == "abc" and shortened("x" * 100, 20) == f"{'x' * 10} ... {'x' * 5}"
    error = DataError(f"known: {'n' * 5000}, {'word ' * 2000}")
    assert len(error_line(error)) < 2100 and len(str(error)) > 5000
    assert error_line(DataError("a: \x1b[31m\n")) == "trusteq error: DataError: a: \\x1b[31m\\n"


@pytest.fixture
def changed(tiny_bert):
    """A function that writes a checkpoint whose config.json has other values."""

    def changed(**values):
        folder = tiny_bert("BertForSequenceClassification")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))
        return folder

    return changed


def test_code_that_a_checkpoint_brings_is_not_even_asked_about(changed, monkeypatch):
    """The library asks on the terminal, and would run it on a yes."""
    folder = changed(model_type="theirs", auto_map={"AutoConfig": "theirs.Config"})
    (folder / "theirs.py").write_text(f"open({str(folder / 'CANARY')!r}, 'w')\nclass Config: pass\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    one_line(ModelError, lambda: load_classifier(folder), folder)
    assert not (folder / "CANARY").exists() and sys.stdin.read() == "y\n" * 9


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 10**7}, "10,000,000 num_hidden_layers, and at most 1,000"),
        ({"num_labels": 10**9, "id2label": None}, "1,000,000,000 num_labels"),
        ({"vocab_size": 10**9}, "config.json describes 16,"),
        ({"problem_type": "no such"}, "problem_type of config.json is 'no such'"),
    ],
)
def test_a_configuration_is_measured_before_a_model_is_made(changed, values, said):
    one_line(ModelError, lambda: load_classifier(changed(**values)), said)
