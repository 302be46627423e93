import pytest

from trusteq.errors import (
    ArtefactError,
    DataError,
    ExperimentError,
    ModelError,
    TrusteqError,
    error_line,
    nearest,
    parse_error_line,
)


def test_nearest_names_the_closest_and_all_in_order():
    hint = nearest("demo-nil", ["snli", "demo-pi", "demo-nli"])
    assert hint == "did you mean 'demo-nli'? known: demo-nli, demo-pi, snli"


def test_nearest_does_not_guess_where_nothing_is_close():
    assert nearest("xyz", ["demo-nli", "snli"]) == "known: demo-nli, snli"


def test_nearest_of_nothing():
    assert nearest("lime", []) == "known: none"


def test_nearest_takes_names_that_are_not_text():
    assert nearest(12, [123, 4]) == "did you mean '123'? known: 123, 4"


@pytest.mark.parametrize("kind", [DataError, ModelError, ExperimentError, ArtefactError, TrusteqError])
def test_the_error_line_is_read_back_as_the_same_error(kind):
    error = kind("results/a: b: not there; make it again")
    line = error_line(error)
    assert line == f"trusteq error: {kind.__name__}: results/a: b: not there; make it again"
    again = parse_error_line(line)
    assert type(again) is kind
    assert str(again) == str(error)
    assert isinstance(again, TrusteqError)


@pytest.mark.parametrize(
    "line",
    ["", "DataError: no mark", "trusteq error: NoSuchError: text", "trusteq error: No such option: --core; see --help"],
)
def test_other_lines_are_not_errors(line):
    assert parse_error_line(line) is None


def test_the_nearest_is_found_whatever_the_case():
    assert nearest("label", ["LABEL", "text_b"]).startswith("did you mean 'LABEL'?")
