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


def test_delete_keeps_punctuation_and_collapses_white_space():
    assert words.delete("A dog, a cat.\n", [True, False, False, True]) == "A , cat."
    assert words.delete("A dog, a cat.", [False] * 4) == ", ."


def test_delete_joins_no_neighbours():
    assert words.words(words.delete("one two three", [True, False, True])) == ["one", "three"]


def test_delete_nothing_only_collapses_white_space():
    assert words.delete("  A  dog,\ta cat. ", [True] * 4) == "A dog, a cat."


def test_delete_of_a_text_without_words():
    assert words.delete(" ?! ", []) == "?!"


@pytest.mark.parametrize("keep", [[True], [True] * 3])
def test_delete_wants_one_value_per_word(keep):
    with pytest.raises(ValueError, match="zip"):
        words.delete("two words", keep)
