"""The engine: what is asked of the classifier, how often, for whom; and what a callable must not return."""

import re

import numpy as np
import pandas as pd
import pytest

from trusteq.attribution import engine
from trusteq.attribution.engine import TextPredictor, answer, answering, in_turns
from trusteq.attribution.explain import explain
from trusteq.attribution.features import Texts
from trusteq.attribution.methods import METHODS
from trusteq.attribution.tokens import TokenPredictor
from trusteq.errors import ModelError
from trusteq.models.classifier import load_classifier

LABELS = ("no", "yes")


class Counted:
    """p(yes) grows with the words of both texts; keeps every text or pair that it was asked about."""

    labels = LABELS

    def __init__(self):
        self.asked = []

    def __call__(self, text_a, text_b=None):
        pairs = list(zip(text_a, [None] * len(text_a) if text_b is None else text_b, strict=True))
        self.asked += pairs
        lengths = np.array([sum(len(re.findall(r"\w", text or "")) for text in pair) for pair in pairs])
        yes = lengths / (lengths + 10)
        return np.column_stack([1 - yes, yes])


def example(text_a, text_b=None, id="x"):
    return Texts(id, 2, (text_a,) if text_b is None else (text_a, text_b))


def table(*rows):
    """Examples from (id, text_a, text_b)."""
    return pd.DataFrame(rows, columns=["id", "text_a", "text_b"])


def masks_of(*rows):
    return np.array([[character == "1" for character in row] for row in rows])


def method(*proposals):
    """A method that proposes these masks round by round, and returns all it was sent."""
    sent = []
    for masks in proposals:
        sent.append((yield masks))
    return sent


def direct(text, masks):
    """The probabilities, each mask asked about by itself."""
    return np.concatenate([Counted()(*text.texts(row[None])) for row in masks])


# --- each mask once ---


def test_repeated_masks_are_asked_about_once():
    classifier, text = Counted(), example("one two three")
    predictor = TextPredictor(classifier, LABELS)
    masks = masks_of("111", "010", "111", "010", "010", "000")
    ((found,),) = answer(predictor, [(text, method(masks))])
    np.testing.assert_array_equal(found, direct(text, masks))
    assert classifier.asked == [("one two three", None), ("two", None), ("", None)]
    assert predictor.passes == 3


def test_masks_of_earlier_rounds_are_not_asked_about_again():
    classifier, text = Counted(), example("one two", "three")
    predictor = TextPredictor(classifier, LABELS)
    rounds = [masks_of("111", "100"), masks_of("100", "001", "111"), masks_of("001", "100"), masks_of("011")]
    (found,) = answer(predictor, [(text, method(*rounds))])
    for masks, probabilities in zip(rounds, found, strict=True):
        np.testing.assert_array_equal(probabilities, direct(text, masks))
    assert classifier.asked == [("one two", "three"), ("one", ""), ("", "three"), ("two", "three")]
    assert predictor.passes == 4


@pytest.mark.parametrize("n_words", [1, 7, 8, 9, 64, 65, 200])
def test_masks_of_any_number_of_words_are_told_apart(n_words):
    classifier, text = Counted(), example(" ".join("abcdefg"[: 1 + n % 7] for n in range(n_words)))
    masks = np.concatenate([np.eye(n_words, dtype=bool), ~np.eye(n_words, dtype=bool)])
    predictor = TextPredictor(classifier, LABELS)
    ((found, again),) = answer(predictor, [(text, method(masks, masks[::-1]))])
    np.testing.assert_array_equal(found, direct(text, masks))
    np.testing.assert_array_equal(again, found[::-1])
    assert predictor.passes == len(np.unique(masks, axis=0))


def test_proposals_are_left_alone():
    masks = masks_of("101", "101")
    before = masks.copy()
    answer(TextPredictor(Counted(), LABELS), [(example("one two three"), method(masks))])
    assert np.array_equal(masks, before)


def test_passes_are_the_texts_asked_about():
    classifier = Counted()
    examples = table(("a", "two men play chess", "nobody"), ("b", "rain", None), ("c", "?", None))
    explained = explain(classifier, examples, method="lime", n_samples=200)
    assert explained.attrs["passes"] == len(classifier.asked) == len(set(classifier.asked))
    assert len(classifier.asked) <= 2**5 + 2  # all masks of five words, and of one
    assert explained.attrs["skipped"] == {"c": "no words"}


# --- several examples side by side ---


def test_each_example_gets_its_own_answers():
    """One is done at once, one after three rounds, one proposes what another has proposed, and one proposes nothing."""
    texts = [example("one two", id="a"), example("one two", id="b"), example("three", "four five", id="c")]
    rounds = [
        [masks_of("11", "01")],
        [masks_of("11"), masks_of("10", "11"), masks_of("00")],
        [masks_of("111", "010"), masks_of("000")],
    ]
    at_work = [(text, method(*masks)) for text, masks in zip(texts, rounds, strict=True)]
    at_work.insert(1, (example("six", id="d"), "the result itself"))
    first, nothing, second, third = answer(TextPredictor(Counted(), LABELS), at_work)
    assert nothing == "the result itself"
    for text, masks, found in zip(texts, rounds, (first, second, third), strict=True):
        assert len(found) == len(masks)
        for proposed, probabilities in zip(masks, found, strict=True):
            np.testing.assert_array_equal(probabilities, direct(text, proposed))


# --- windows in turns ---


class Late(TextPredictor):
    """Keeps in a log when it is asked and when an answer is waited for."""

    def __init__(self):
        super().__init__(Counted(), LABELS)
        self.log = []

    def start(self, questions):
        finished = super().start(questions)
        self.log.append("asked")
        return lambda: self.log.append("waited") or finished()


def test_one_window_prepares_while_the_other_is_answered():
    predictor, masks = Late(), [masks_of("11"), masks_of("01")]
    works = [answering(predictor, [(example("one two", id=name), method(*masks))]) for name in "ab"]
    assert len(list(in_turns(works, 2))) == 2
    assert predictor.log == ["asked", "asked", *["waited", "asked"] * 2, "waited", "waited"]


def test_one_at_a_time_each_is_done_before_the_next():
    predictor, masks = Late(), [masks_of("11"), masks_of("01")]
    works = (answering(predictor, [(example("one two", id=name), method(*masks))]) for name in "ab")
    assert len(list(in_turns(works, 1))) == 2
    assert predictor.log == ["asked", "waited"] * 4


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_all_works_end_and_no_more_are_begun_than_asked_for(most):
    begun, at_once = [], []

    def work(number):
        begun.append(number)
        at_once.append(len(begun) - len(ended))
        for _ in range(1 + number % 3):
            yield
        return number

    ended = []
    for number in in_turns(map(work, range(7)), most):
        ended.append(number)
    assert sorted(ended) == list(range(7)) == begun
    assert max(at_once) == min(most, 7)


@pytest.mark.parametrize("name", ["lime", "shap", "shapley"])
def test_windows_in_turns_change_nothing(monkeypatch, classifier, name):
    """Rounds end at different times, and the rows of the table are in the order of the examples all the same."""
    texts = ["the man reads", "a dog", "?", "a woman runs in the park , not a dog", "the man sleeps in the house ."]
    examples = table(*[(f"e{number}", text, "a dog runs in the park") for number, text in enumerate(texts)])
    alone = explain(classifier, examples, method=name, n_samples=60)
    monkeypatch.setitem(engine.WINDOW, "cpu", 2)
    done = []
    found = explain(classifier, examples, method=name, n_samples=60, progress=done.append)
    pd.testing.assert_frame_equal(found, alone, atol=1e-6)
    assert found.attrs == alone.attrs
    assert sorted(done) == [1, 2, 2]


def test_no_methods_give_no_results():
    assert answer(TextPredictor(Counted(), LABELS), []) == []


@pytest.fixture(scope="module")
def classifier(tiny_bert):
    return load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")


EXAMPLES = table(
    ("a", "a man reads in the park.", "the dog sleeps"),
    ("b", "the very good dog runs", ""),
    ("c", "?", "..."),
    ("d", "not a bad house, very good!", "a woman eats and runs"),
    ("e", "dog", "dog"),
)


@pytest.fixture
def calls(monkeypatch):
    """How many examples each call of the predictor was about."""
    numbers, predict = [], TokenPredictor.predict

    def counted(self, questions):
        numbers.append(len(questions))
        return predict(self, questions)

    monkeypatch.setattr(TokenPredictor, "predict", counted)
    return numbers


@pytest.mark.parametrize("singles", [False, True])
@pytest.mark.parametrize("window", [2, 100])
@pytest.mark.parametrize("name", METHODS)
def test_side_by_side_as_one_by_one(classifier, monkeypatch, calls, name, window, singles):
    examples = EXAMPLES.assign(text_b=None) if singles else EXAMPLES
    alone = explain(classifier, examples, method=name, n_samples=60)
    assert set(calls) <= {1}
    calls.clear()
    monkeypatch.setitem(engine.WINDOW, "cpu", window)
    together = explain(classifier, examples, method=name, n_samples=60)
    pd.testing.assert_frame_equal(together, alone, check_exact=False, rtol=0, atol=1e-5)
    assert together.attrs == alone.attrs
    if calls:
        assert max(calls) == min(window, alone["id"].nunique())


def test_order_does_not_matter(classifier, monkeypatch):
    monkeypatch.setitem(engine.WINDOW, "cpu", 3)
    forwards = explain(classifier, EXAMPLES, method="shap", n_samples=60)
    backwards = explain(classifier, EXAMPLES[::-1], method="shap", n_samples=60)
    order = ["id", "label", "segment", "position"]
    one, other = (found.sort_values(order, ignore_index=True) for found in (forwards, backwards))
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=0, atol=1e-5)


# --- tokens and texts ---


@pytest.mark.parametrize("mask", ["delete", "[MASK]", "[UNK]"])
@pytest.mark.parametrize("name", ["lime", "shap", "occlusion"])
def test_a_classifier_as_a_callable_gives_the_same(classifier, name, mask):
    by_text = explain(
        classifier.predict_proba, EXAMPLES, method=name, n_samples=60, mask=mask, labels=classifier.labels
    )
    by_token = explain(classifier, EXAMPLES, method=name, n_samples=60, mask=mask)
    pd.testing.assert_frame_equal(by_token, by_text, check_exact=False, rtol=0, atol=1e-5)
    assert by_token["weight"].abs().max() > 0.01
    assert by_token.attrs == by_text.attrs


def test_a_callable_is_given_limited_numbers_of_texts(monkeypatch):
    monkeypatch.setattr(engine, "TEXTS_AT_ONCE", 7)
    sizes, classifier = [], Counted()

    def limited(text_a, text_b=None):
        sizes.append(len(text_a))
        return classifier(text_a, text_b)

    few = explain(limited, EXAMPLES[:2], n_samples=40, labels=LABELS)
    assert max(sizes) == 7
    pd.testing.assert_frame_equal(few, explain(classifier, EXAMPLES[:2], n_samples=40))


def test_single_texts_come_without_second_texts():
    seen = []

    def single_only(text_a, text_b=None):
        seen.append(text_b)
        return np.full((len(text_a), 2), 0.5)

    explain(single_only, table(("a", "two men", None), ("b", "rain", float("nan"))), n_samples=5, labels=LABELS)
    assert seen and not any(seen)


@pytest.mark.parametrize("convert", [list, np.float32, lambda found: pd.DataFrame(found, columns=LABELS)])
def test_probabilities_of_any_kind_of_array(convert):
    expected = explain(Counted(), EXAMPLES, method="shap", n_samples=50)
    found = explain(lambda *texts: convert(Counted()(*texts)), EXAMPLES, method="shap", n_samples=50, labels=LABELS)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=0, atol=1e-6)


# --- what a callable must not return ---


SHAPE = "probabilities for 4 texts and the classes no, yes have shape"
WRONG = {
    "too few rows": (lambda found: found[:-1], rf"{SHAPE} \(3, 2\); return one row a text and .* \(4, 2\)"),
    "too many classes": (lambda found: np.column_stack([found, found]), rf"{SHAPE} \(4, 4\)"),
    "one column": (lambda found: found[:, 1], rf"{SHAPE} \(4,\)"),
    "transposed": (lambda found: found.T, rf"{SHAPE} \(2, 4\)"),
    "nothing": (lambda found: None, rf"{SHAPE} \(\)"),
    "ragged": (lambda found: [[0.5, 0.5]] * 3 + [[1.0]], "probabilities"),
    "words": (lambda found: [["no", "yes"]] * 4, "probabilities"),
    "nan": (lambda found: found * np.nan, "probabilities hold nan or infinity; return finite numbers"),
    "one nan": (lambda found: np.where(np.arange(4)[:, None] == 2, np.nan, found), "nan or infinity"),
    "infinity": (lambda found: found + np.inf, "nan or infinity"),
    "logits": (np.log, "do not sum to 1"),
    "percentages": (lambda found: 100 * found, r"do not sum to 1 \(off by 99\)"),
    "one row off": (lambda found: found + (np.arange(4)[:, None] == 1) * 0.002, r"\(off by 0.004\)"),
    "negative": (lambda found: np.tile([-0.5, 1.5], (4, 1)), "or are negative; return "),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_probabilities_that_are_none_are_refused_in_one_line(wrong):
    change, message = WRONG[wrong]
    with pytest.raises(ModelError, match=message) as raised:
        explain(
            lambda *texts: change(Counted()(*texts)),
            table(("a", "three more words", None)),
            method="occlusion",
            labels=LABELS,
        )
    assert "\n" not in str(raised.value)


def test_rounding_is_no_error():
    half = explain(lambda *texts: Counted()(*texts).astype(np.float16), EXAMPLES, method="occlusion", labels=LABELS)
    assert half["weight"].abs().max() > 0.01


@pytest.mark.parametrize("nothing", [None, 5, "text"])
def test_what_cannot_be_called_is_refused(nothing):
    with pytest.raises(ModelError, match="callable"):
        explain(nothing, EXAMPLES, labels=LABELS)


def test_a_callable_needs_labels():
    with pytest.raises(ModelError, match="give labels"):
        explain(lambda *texts: None, EXAMPLES)
