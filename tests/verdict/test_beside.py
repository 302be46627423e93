"""Examples side by side: which are chosen, and that their texts are shown as they are."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trusteq.alignment.ranking import Ranking
from trusteq.verdict.audit import audit
from trusteq.verdict.beside import beside, by_kind, groups
from trusteq.verdict.comparison import Comparison, Explained, Side
from trusteq.verdict.predictions import Predictions
from trusteq.words import words

IDS = [f"test-{number}" for number in range(6)]
TEXTS = ("An (old) man — sits, 2nd row.", "He <script>sits</script> & waits; she too…")


def explained(by_id, *, k=2):
    """Weights by id for the words of one text, or of two."""
    rows = [
        (name, segment, position, f"w{position}", "yes", float(weight))
        for name, segments in by_id.items()
        for segment, weights in enumerate(segments)
        for position, weight in enumerate(weights)
    ]
    made = pd.DataFrame(rows, columns=["id", "segment", "position", "word", "label", "weight"])
    return Explained(Ranking(made, pd.Series("yes", index=list(by_id))), None, k=k)


def predictions(yes):
    yes = np.array(yes)
    return Predictions(("no", "yes"), np.column_stack([1 - yes, yes]), np.ones(len(yes), int), np.array(IDS, object))


def pair(large, small, *, yes=((0.9, 0.8, 0.2, 0.3, 0.9, 0.9), (0.1, 0.9, 0.9, 0.1, 0.9, 0.4))):
    sides = (Side(name, predictions(of), by) for name, of, by in zip("ab", yes, (large, small), strict=True))
    return Comparison(*sides)


def test_they_are_ordered_by_overlap_beside_chance_within_their_kind():
    """test-1 and test-4 are both right, test-0 and test-5 turned wrong; all words of test-3 are top words."""
    large = {name: [[4, 3, 2, 1]] for name in IDS} | {"test-3": [[2, 1]], "test-1": [[4, 3, *[0] * 20]]}
    small = large | {"test-0": [[4, 1, 3, 2]], "test-5": [[1, 2, 3, 4]], "test-4": [[1, 2, 3, 4]]}
    small["test-1"] = [[0, 0, 4, 3, *[0] * 18]]
    found = by_kind(pair(explained(large), explained(small)))
    assert found["turned wrong"] == ["test-5", "test-0"] and found["turned right"] == ["test-2"]
    assert found["both wrong"] == []
    # Both share no top word; of 4 words random sets share 2 of 9 on average, of 22 next to nothing.
    assert found["both right"] == ["test-4", "test-1"]


def test_a_text_is_shown_as_it_is_with_the_weights_of_both():
    large, small = [[0.4, -0.2, 0, 0, 0, 0], [0.1] * 7], [[0] * 6, [0, -0.5, 0.25, 0, 0, 0, 0]]
    found = beside(pair(*(explained({IDS[0]: of}) for of in (large, small))), IDS[0], TEXTS)
    for seen, weights in zip(found.sides, (large, small), strict=True):
        assert tuple("".join(piece.text for piece in text) for text in seen.texts) == TEXTS
        for text, of, whole in zip(seen.texts, weights, TEXTS, strict=True):
            shown = [piece for piece in text if piece.weight is not None]
            assert [piece.text for piece in shown] == words(whole) and [piece.weight for piece in shown] == of
    strengths = [piece.strength for piece in found.sides[0].texts[0] if piece.weight is not None]
    assert strengths == [1, 0.5, 0, 0, 0, 0]
    assert (found.shared, found.large, found.compressed) == ((), ("An", "old"), ("script", "sits"))
    assert [(of.predicted, of.probability, of.of_gold) for of in found.sides] == [
        ("yes", 0.9, 0.9), ("no", 0.9, 0.1)
    ]  # fmt: skip
    assert (found.gold, found.jaccard) == ("yes", 0)


def test_of_a_long_text_the_words_near_top_words_are_shown_and_the_others_counted():
    weights = np.zeros(300)
    weights[[100, 200]] = 1, -1
    text = " ".join(f"w{n}" for n in range(300))
    found = beside(pair(*(explained({IDS[0]: [weights]}) for _ in "ab")), IDS[0], (text,))
    shown = [piece for piece in found.sides[0].texts[0] if piece.weight is not None]
    assert [piece.text for piece in shown] == [f"w{n}" for n in (*range(95, 106), *range(195, 206))]
    gaps = [int(n) for n in re.findall(r"… (\d+) …", "".join(of.text for of in found.sides[0].texts[0]))]
    assert gaps == [95, 89, 94] and sum(gaps) + len(shown) == 300
    assert [piece.text for piece in shown if piece.is_top] == ["w100", "w200"]
    cut = beside(pair(*(explained({IDS[0]: [weights[:250]]}) for _ in "ab")), IDS[0], (text,))
    assert len(cut.sides[0].texts[0]) == len(found.sides[0].texts[0])  # words beyond what a model takes stay words


def test_each_kind_says_how_many_there_are():
    large = {name: [[4, 3, 2, 1]] for name in IDS}
    examples = pd.DataFrame({"id": IDS, "text_a": "a b c d", "text_b": None})
    found = pair(explained(large), explained(large))
    of = groups(found, examples, more={"listed": IDS[:3]}, most=1)
    assert [(group.title, group.n, len(group.examples)) for group in of] == [
        ("listed", 3, 1), ("turned wrong", 2, 1), ("turned right", 1, 1), ("both right", 2, 1), ("both wrong", 1, 1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found():
    """Two models of a hundred texts, some of which would act on a page that let them."""
    rng = np.random.default_rng(0)
    names = [f"w{n}" for n in range(15)]
    texts = [f"<script>alert({n})</script> & " + " ".join(rng.permutation(names)[:12]) for n in range(100)]
    texts[7] = "?!"

    def model(order):
        def ask(of):
            yes = [1 / (1 + np.exp(-sum(weight * (f"w{n}" in text.split()) for n, weight in order))) for text in of]
            return np.column_stack([1 - np.array(yes), yes])

        return ask

    weights = rng.normal(size=15)
    examples = pd.DataFrame({"text_a": texts, "label": rng.integers(0, 2, 100)})
    two = (model(list(enumerate(of))) for of in (weights, weights[::-1]))
    return audit(*two, examples, labels=("no", "yes"), method="occlusion", explain=100)


def test_the_page_shows_them_and_lets_nothing_act(found):
    page = found.to_html()
    assert "<script" not in page and "&lt;" in page and page.count('class="example"') == 16
    assert sum(group.n for group in found.beside) == 99
    for number, group in enumerate(found.beside, 1):
        assert f'id="kind-{number}"' in page and f"{group.title} ({group.n})" in page
        apart = [example.jaccard - example.chance for example in group.examples]
        assert apart == sorted(apart)
    assert "<script" not in found.to_json() and found.to_html() == page


def test_texts_whose_every_word_is_a_top_word_are_not_shown():
    examples = pd.DataFrame({"text_a": ["a b c"] * 20, "label": 1})
    yes = lambda texts: np.array([[len(text) / 10, 1 - len(text) / 10] for text in texts])  # noqa: E731
    of = audit(yes, yes, examples, labels=("no", "yes"), method="occlusion", clusters=None)
    assert [group.n for group in of.beside] == [0] * 4 and "look at different words" not in of.to_html()


def test_what_was_dropped_is_said_near_the_top_and_in_every_form(found):
    said = "Of 100 examples to explain, 1 skipped: no words, such as emoji alone."
    page = " ".join(found.to_html().split())
    assert said in found.made_of and page.index(said) < page.index("Each measure against its margin")
    assert page.count(said) == 1 and said in found.to_json() and said in found.to_model_card()
    assert "What was dropped" not in replace(found, made_of=()).to_html()
    assert all(note in found.notes for note in found.made_of)


def test_speed_is_on_the_page_that_asks_for_it_alone(found):
    assert "times the speed" not in found.to_html() and "ms_per_text" not in found.to_json()
    shown = " ".join(replace(found, speed={
        side: {"ms_per_text": ms, "texts": 100, "device": device}
        for side, ms, device in (("large", 20.0, "cpu, 2 threads"), ("compressed", 5.0, None))
    }).to_html(speed=True).split())  # fmt: skip
    assert "large 20 ms a text (cpu, 2 threads), compressed 5 ms a text (device not known); 4 times the speed" in shown
    assert found.facts["sizes"] == {"large": None, "compressed": None} and "weights as loaded" not in shown
