"""What the authors' scripts do with a pair, against lime and shap themselves, called as the scripts call them."""

import re
import zlib

import numpy as np
import pandas as pd
import pytest

from trusteq.alignment import ranking
from trusteq.attribution import as_released
from trusteq.attribution.as_released import NLI, PI, JoinedTokens, JoinedWords
from trusteq.attribution.explain import explain
from trusteq.attribution.lime import perturbations
from trusteq.errors import ExperimentError
from trusteq.models.classifier import load_classifier
from trusteq.statistics import stream

LABELS = {NLI: ("entailment", "neutral", "contradiction"), PI: ("different", "paraphrase")}
JOINTS = pytest.mark.parametrize("joint", [NLI, PI], ids=["nli", "pi"])
PAIRS = {
    "plain": ("Two men play chess in the park.", "Nobody plays outside."),
    "repeated": ("The dog saw the other dog, and ran.", "A dog ran after the dog"),
    "marks": ("Isn't it (well, nearly) over -- or what?", "It's over; don't wait!"),
    "spaces": ("\n \nTwo  spaces  here, a tab\there\n  and a line.", "  Second\n\ntext "),
    "separator": ("SEP is a word [SEP] here", "and SEP here"),
    "late separator": ("no such word here", "but SEP here, twice: SEP"),
    "no second words": ("two men play", ""),
    "no first words": ("", "two men play"),
    "one word": ("chess", ""),
    "long": (" ".join(f"w{number}" for number in range(18)) + ".", " ".join(f"v{number}" for number in range(9))),
    "torn marks": ("हिन्दी cafe\u0301 我今天 می\u200cخواهم", "क्या कैफ़े"),
    "other scripts": ("Été à l'école: 猫 和 狗 snake_case", "naïve 😀 café"),
}
EACH = pytest.mark.parametrize("name", PAIRS)


class Irregular:
    """Probabilities that depend on every character, segment and place of a word, so that nothing ties or adds up.

    calls: every pair of texts that was asked about.
    """

    def __init__(self, joint):
        self.labels, self.calls = LABELS[joint], []

    def __call__(self, text_a, text_b):
        self.calls += zip(text_a, text_b, strict=True)
        logits = np.array([[self.logit(*pair, label) for label in self.labels] for pair in self.calls[-len(text_a) :]])
        return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    def logit(self, first, second, label):
        words = [f"{segment}{token}" for segment, text in enumerate((first, second)) for token in text.split()]
        numbers = [zlib.crc32(f"{label}{word}".encode()) / 2**32 - 0.5 for word in words]
        return sum(number * np.cos(place) for place, number in enumerate(numbers)) + 3 * sum(numbers) ** 2


def table(*names):
    return pd.DataFrame([(name, *PAIRS[name]) for name in names], columns=["id", "text_a", "text_b"])


def explained(name, task, **options):
    """Attributions of one pair; task: the joint of the task whose classes the classifier has."""
    return explain(Irregular(task), table(name), boundary="as-released", **options)


def by_label(rows, joint):
    """Weights of one example, (features, classes), in the order of the features."""
    return np.column_stack([rows.loc[rows["label"] == label, "weight"] for label in LABELS[joint]])


def scripted(joint):
    """The classifier as the scripts hand it to a library: one text in, split as they split it."""
    classifier = Irregular(joint)

    def nli(text):
        for separator in (" [SEP] ", "[SEP]"):
            if separator in text:
                first, second = text.split(separator, 1)
                return first.strip(), second.strip()
        return text.strip(), ""

    def pi(text):
        parts = text.split("  ", 1)
        return (parts[0], parts[1]) if len(parts) == 2 else (text, "")

    def predict_proba(texts):
        return classifier(*zip(*map(nli if joint == NLI else pi, map(str, texts)), strict=True))

    return predict_proba


# --- lime ---


class Replay(np.random.RandomState):
    """A stream that makes the library draw given masks, (n, features)."""

    def __init__(self, masks):
        super().__init__(0)
        self.masks = masks[1:]

    def randint(self, low, high, size):
        assert (low, high, size) == (1, self.masks.shape[1] + 1, len(self.masks))
        self.removed = iter(self.masks)
        return (~self.masks).sum(axis=1)

    def choice(self, features, size, replace):
        removed = np.flatnonzero(~next(self.removed))
        assert len(removed) == size and not replace
        return removed


@JOINTS
@EACH
def test_lime_is_the_library_on_the_joined_text(name, joint):
    from lime.lime_text import LimeTextExplainer

    rows = explained(name, joint, method="lime", n_samples=200, seed=5)
    labels, text = LABELS[joint], joint.join(PAIRS[name])
    masks = perturbations(len(rows) // len(labels), 200, stream(5, "lime", name))
    reference = LimeTextExplainer(random_state=Replay(masks)).explain_instance(
        text, scripted(joint), labels=range(len(labels)), num_features=20, num_samples=200
    )
    for index, label in enumerate(labels):
        ours = rows[rows["label"] == label].set_index("word")["weight"]
        theirs = pd.Series({str(word): weight for word, weight in reference.as_list(label=index)})
        assert set(ours.index) == set(re.findall(r"\w+", text)) and len(theirs) == min(len(ours), 20)
        np.testing.assert_allclose(ours, theirs.reindex(ours.index, fill_value=0), rtol=0, atol=1e-6)


def test_lime_asks_about_the_texts_that_the_library_asks_about():
    from lime.lime_text import IndexedString

    rng = np.random.default_rng(0)
    for name, (first, second) in PAIRS.items():
        for joint in LABELS:
            example = JoinedWords(name, 2, first, second, joint)
            theirs = IndexedString(first + joint + second)
            assert [word for _, _, word in example.features] == theirs.inverse_vocab
            masks = rng.random((20, example.n_features)) < 0.5
            wanted = [theirs.inverse_removing(np.flatnonzero(~keep)) for keep in masks]
            assert [example._masked(keep) for keep in masks] == wanted


# --- shap ---


class Tokens:
    """The tokenizer of the PI scripts."""

    def __call__(self, text, return_offsets_mapping=True):
        found = list(re.finditer(r"\w+|[^\w\s]", text))
        return {"input_ids": [match[0] for match in found], "offset_mapping": [match.span() for match in found]}


def masker(joint):
    import shap

    return shap.maskers.Text(r"\s+" if joint == NLI else Tokens())


@JOINTS
@EACH
def test_shap_sees_the_tokens_texts_and_tree_of_the_library(name, joint):
    first, second = PAIRS[name]
    example = JoinedTokens(name, 2, first, second, joint)
    theirs, text = masker(joint), first + joint + second
    assert [word for _, _, word in example.features] == theirs.feature_names(text)[0]
    masks = np.random.default_rng(0).random((30, example.n_features)) < 0.5
    wanted = [str(theirs(keep, text)[0][0]) for keep in (*masks, ~masks[0] | masks[0], masks[0] & ~masks[0])]
    masks = np.concatenate([masks, np.ones_like(masks[:1]), np.zeros_like(masks[:1])])
    assert [example._masked(keep) for keep in masks] == wanted
    if example.n_features > 1:  # the library fails on one token
        np.testing.assert_array_equal(example.tree(), theirs.clustering(text)[:, :2])


@pytest.mark.parametrize("budget", [10**6, 500, 60, 13])
@EACH
def test_shap_of_nli_is_the_librarys_partition_explainer(name, budget):
    import shap

    if name == "long":
        budget = min(budget, 2000)  # its tree takes more than the patience of a test
    rows = explained(name, NLI, method="shap", n_samples=budget)
    explainer = shap.Explainer(scripted(NLI), masker(NLI), algorithm="partition")
    theirs = explainer([NLI.join(PAIRS[name])], max_evals=budget, silent=True).values[0]
    np.testing.assert_allclose(by_label(rows, NLI), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("budget", [100, 250])
@pytest.mark.parametrize("name", [name for name in PAIRS if name != "one word"])
def test_shap_of_pi_is_the_librarys_permutation_explainer(name, budget, monkeypatch):
    import shap

    rows = explained(name, PI, method="shap", n_samples=budget, seed=3)
    n, rng = len(rows) // 2, stream(3, "shap", name)

    def same_orders(indexes, index_mask, clustering):
        assert index_mask.all()
        indexes[:] = as_released._shuffled(clustering[:, :2].astype(int), n, rng)

    monkeypatch.setattr("shap.explainers._permutation.partition_tree_shuffle", same_orders)
    explainer = shap.Explainer(scripted(PI), masker(PI), algorithm="permutation")
    theirs = explainer([PI.join(PAIRS[name])], max_evals=max(budget, 2 * n + 1), silent=True).values[0]
    np.testing.assert_allclose(by_label(rows, PI), theirs, rtol=0, atol=1e-6)


def test_orders_keep_the_branches_of_the_tree_together_and_are_equally_likely():
    tree = np.array([[0, 1], [2, 3], [4, 5]])  # ((0 1) (2 3))
    rng = np.random.default_rng(0)
    orders = [tuple(as_released._shuffled(tree, 4, rng)) for _ in range(4000)]
    counts = pd.Series(orders).value_counts()
    assert len(counts) == 8 and counts.between(430, 570).all()  # 500 expected, three standard deviations are 63
    assert {frozenset(order[:2]) for order in orders} == {frozenset({0, 1}), frozenset({2, 3})}


def test_shap_of_one_word_is_what_the_word_changes():
    rows = explained("one word", PI, method="shap", n_samples=100)
    whole, empty = Irregular(PI)(["chess", "..."], ["", ""])
    np.testing.assert_allclose(by_label(rows, PI), [whole - empty], rtol=0, atol=1e-12)


# --- what becomes of the boundary ---


@pytest.mark.parametrize("method", ["lime", "shap"])
def test_nli_loses_its_separator_about_half_of_the_time(method):
    classifier = Irregular(NLI)
    explain(classifier, table("plain"), method=method, n_samples=500, boundary="as-released")
    together = [first for first, second in classifier.calls if not second]
    assert 0.4 < len(together) / len(classifier.calls) < 0.6
    # Then both sentences are the first text, and LIME leaves the brackets of the separator there.
    assert any("park" in text and "outside" in text for text in together)
    assert all("[]" in text for text in together) if method == "lime" else not any("[" in text for text in together)


def test_the_second_question_is_empty_whenever_shap_asks():
    classifier = Irregular(PI)
    explain(classifier, table("plain", "marks"), method="shap", n_samples=200, boundary="as-released")
    assert len(set(classifier.calls)) > 100
    assert {second for _, second in classifier.calls} == {""}


def test_the_boundary_of_questions_moves_where_lime_removes_an_inner_word():
    classifier = Irregular(PI)
    explain(classifier, table("plain"), method="lime", n_samples=300, boundary="as-released")
    first, second = (set(re.findall(r"\w+", text)) for text in PAIRS["plain"])
    assert classifier.calls[0] == PAIRS["plain"] and not first & second
    moved = [first & set(re.findall(r"\w+", b)) | second & set(re.findall(r"\w+", a)) for a, b in classifier.calls]
    assert np.mean([bool(words) for words in moved]) > 0.7


@pytest.mark.parametrize(
    ("text", "joint", "pair"),
    [
        ("a b [SEP] c [SEP] d", NLI, ("a b", "c [SEP] d")),
        ("a[SEP] b [SEP] c", NLI, ("a[SEP] b", "c")),
        ("[SEP] a", NLI, ("", "a")),
        ("a [SEP]", NLI, ("a", "")),
        (" a  [] b ", NLI, ("a  [] b", "")),
        ("a b", PI, ("a b", "")),
        ("a   b  c", PI, ("a", " b  c")),
        ("  a", PI, ("", "a")),
    ],
)
def test_split(text, joint, pair):
    assert as_released.split(text, joint) == pair


# --- the table ---


def places(rows, joint):
    rows = rows[rows["label"] == LABELS[joint][0]]
    return list(zip(rows["segment"], rows["position"], rows["word"], strict=True))


def test_lime_has_a_row_for_each_distinct_word_at_its_first_occurrence():
    pair = [(0, 0, "The"), (0, 1, "dog"), (0, 2, "saw"), (0, 3, "the"), (0, 4, "other"), (0, 6, "and"), (0, 7, "ran")]
    second = [(1, 0, "A"), (1, 3, "after")]
    assert places(explained("repeated", NLI, n_samples=50), NLI) == [*pair, (-1, -1, "SEP"), *second]
    assert places(explained("repeated", PI, n_samples=50), PI) == pair + second


def test_a_separator_among_the_words_is_one_feature_with_the_joint():
    first = [(0, 0, "SEP"), (0, 1, "is"), (0, 2, "a"), (0, 3, "word"), (0, 5, "here")]
    assert places(explained("separator", NLI, n_samples=50), NLI) == [*first, (1, 0, "and")]
    assert (1, 1, "SEP") in places(explained("late separator", NLI, n_samples=50), NLI)
    for name in ("separator", "late separator"):
        classifier = Irregular(NLI)
        explain(classifier, table(name), method="lime", n_samples=200, boundary="as-released")
        texts = [" ".join(pair) for pair in classifier.calls if not pair[1]]
        assert texts and not any("SEP" in text for text in texts)


def test_shap_has_a_row_for_each_token():
    rows = explained("separator", NLI, method="shap", n_samples=50)
    first = [(0, 0, "SEP"), (0, 1, "is"), (0, 2, "a"), (0, 3, "word"), (0, 4, "[SEP]"), (0, 5, "here")]
    assert places(rows, NLI) == [*first, (-1, -1, "[SEP]"), (1, 0, "and"), (1, 1, "SEP"), (1, 2, "here")]
    rows = explained("marks", PI, method="shap", n_samples=50)
    assert [word for _, _, word in places(rows, PI)][:8] == ["Isn", "'", "t", "it", "(", "well", ",", "nearly"]
    second = ["It", "'", "s", "over", ";", "don", "'", "t", "wait", "!"]
    assert [place for place in places(rows, PI) if place[0] == 1] == [(1, at, word) for at, word in enumerate(second)]
    assert {segment for segment, _, _ in places(rows, PI)} == {0, 1}


@JOINTS
@pytest.mark.parametrize("method", ["lime", "shap"])
def test_attrs_and_order(method, joint):
    names = [name for name in PAIRS if name != "long"]
    options = {"method": method, "n_samples": 40, "seed": 2, "boundary": "as-released"}
    together = explain(Irregular(joint), table(*names), **options)
    assert together.attrs["boundary"] == "as-released" and together.attrs["skipped"] == {}
    assert list(together["id"].unique()) == names and np.isfinite(together["weight"]).all()
    for name in names[::-1]:
        alone = explain(Irregular(joint), table(name), **options)
        rows = together[together["id"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, rows, check_exact=True)


@JOINTS
@pytest.mark.parametrize("method", ["lime", "shap"])
def test_pairs_without_words_are_skipped(method, joint):
    blank = pd.DataFrame([("blank", " ", ""), ("empty", "", "")], columns=["id", "text_a", "text_b"])
    found = explain(Irregular(joint), blank, method=method, n_samples=20, boundary="as-released")
    assert found.empty and found.attrs["skipped"] == {"blank": "no words", "empty": "no words"}


def test_top_features_are_words_and_the_separator_can_be_the_first():
    class Together(Irregular):
        """What matters is whether both sentences have become one, and a little whether there is a dog."""

        def logit(self, first, second, label):
            return (3 * (not second) + ("dog" in first + second)) * (label == "neutral")

    label = pd.Series({"repeated": "neutral"})
    for method, separator in (("lime", "SEP"), ("shap", "[SEP]")):
        rows = explain(Together(NLI), table("repeated"), method=method, n_samples=500, boundary="as-released")
        (first,), (both,) = (ranking.top_features(rows, k=k, label=label) for k in (1, 2))
        assert first == {separator} and both == {separator, "dog"}
    # The table of SHAP has both copies of a token, the set has the word once; what weighs nothing is in no set.
    (top,) = ranking.top_features(rows, k=100, label=label)
    assert top == {"dog", "dog,", "[SEP]"}


@pytest.mark.parametrize("method", ["lime", "shap"])
def test_single_texts_are_explained_as_ever(method):
    class Single(Irregular):
        def __call__(self, text_a, text_b=None):
            assert text_b is None
            return super().__call__(text_a, [""] * len(text_a))

    singles = table("plain", "marks").assign(text_b=None)
    released, safe = (
        explain(Single(NLI), singles, method=method, n_samples=60, boundary=boundary)
        for boundary in ("as-released", "safe")
    )
    pd.testing.assert_frame_equal(released, safe, check_exact=True)
    assert released.attrs == safe.attrs and released.attrs["boundary"] == "safe"


# --- joints and classifiers ---


def test_the_joint_goes_by_the_number_of_classes():
    for joint, other in ((NLI, PI), (PI, NLI)):
        words = set(explained("plain", joint, n_samples=20)["word"])
        assert words == set(explained("plain", joint, n_samples=20, joint=joint)["word"])
        assert words ^ set(explained("plain", joint, n_samples=20, joint=other)["word"]) == {"SEP"}


@pytest.mark.parametrize("joint", ["[SEP]", " ", ""])
def test_unknown_joint(joint):
    wanted = f"unknown joint {joint!r}; the authors join NLI by ' [SEP] ' and PI by '  ': give either"
    with pytest.raises(ExperimentError, match=f"^{re.escape(wanted)}$"):
        explained("plain", NLI, n_samples=20, joint=joint)


@pytest.mark.parametrize(("joint", "labels"), [(NLI, ("no", "yes", "maybe")), (PI, ("no", "yes"))], ids=["nli", "pi"])
@pytest.mark.parametrize("method", ["lime", "shap"])
def test_a_classifier_and_its_predictions_as_a_callable_agree(method, joint, labels, tiny_bert):
    folder = tiny_bert("BertForSequenceClassification", labels=labels)
    classifier = load_classifier(folder, device="cpu")
    examples = pd.DataFrame(
        [("x", "the dog runs in the park.", "not a dog, a man"), ("y", "a good man", "")],
        columns=["id", "text_a", "text_b"],
    )
    seen = []

    def predict_proba(text_a, text_b):
        seen.extend(text_b)
        return classifier.predict_proba(text_a, text_b)

    options = {"method": method, "n_samples": 60, "boundary": "as-released"}
    ours = explain(classifier, examples, **options)
    theirs = explain(predict_proba, examples, labels=classifier.labels, **options)
    pd.testing.assert_frame_equal(ours, theirs, check_exact=False, rtol=0, atol=1e-6)
    assert all(isinstance(second, str) for second in seen)  # one sentence is encoded as a pair even so
