import pytest

from trusteq import words

TEXT = "Two dogs, one_ball: it's 3.5 m\tça «là» 日本"


def test_words_are_maximal_runs_of_word_characters():
    assert words.words(TEXT) == ["Two", "dogs", "one_ball", "it", "s", "3", "5", "m", "ça", "là", "日本"]


def test_spans_cut_the_words_out_of_the_text():
    assert [TEXT[start:stop] for start, stop in words.spans(TEXT)] == words.words(TEXT)
    assert words.spans("a  bc") == [(0, 1), (3, 5)]


@pytest.mark.parametrize("text", [None, "", " .,!? "])
def test_text_without_words(text):
    assert words.words(text) == []
    assert words.spans(text) == []


def test_deleting_keeps_punctuation_and_collapses_white_space():
    assert words.mask("A dog, a cat.\n", [True, False, False, True]) == "A , cat."
    assert words.mask("A dog, a cat.", [False] * 4) == ", ."


def test_deleting_joins_no_neighbours():
    assert words.words(words.mask("one two three", [True, False, True])) == ["one", "three"]


def test_a_replacement_stands_for_each_word():
    assert words.mask("A dog, a cat.\n", [True, False, False, True], "[MASK]") == "A [MASK], [MASK] cat."
    assert words.mask("it's  3.5", [False, True, True, False], "_") == "_'s 3._"
    assert words.mask(r"a b", [False, True], r"\1") == r"\1 b"


@pytest.mark.parametrize("replacement", ["", "[MASK]"])
def test_masking_nothing_only_collapses_white_space(replacement):
    assert words.mask("  A  dog,\ta\u00a0cat. ", [True] * 4, replacement) == "A dog, a cat."


@pytest.mark.parametrize("replacement", ["", "[MASK]"])
def test_masking_a_text_without_words(replacement):
    assert words.mask(" ?! ", [], replacement) == "?!"
    assert words.mask("", [], replacement) == ""


@pytest.mark.parametrize("keep", [[True], [True] * 3])
def test_masking_wants_one_value_per_word(keep):
    with pytest.raises(ValueError, match="zip"):
        words.mask("two words", keep)
