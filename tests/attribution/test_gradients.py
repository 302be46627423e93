"""Gradient methods against paths integrated by hand, torch's own gradients, and what weights must add up to."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from scipy.integrate import quad_vec
from scipy.special import softmax

from trusteq import words
from trusteq.attribution.explain import explain, gradient_notes, together
from trusteq.attribution.features import Texts
from trusteq.attribution.methods import (
    CANCELLED,
    FLOOR,
    STEPS,
    TOLERANCE,
    convergence_delta,
    gradient_x_input,
    integrated_gradients,
)
from trusteq.errors import ExperimentError
from trusteq.models.classifier import Classifier, as_classifier, load_classifier
from trusteq.models.layers import HEADS
from trusteq.verdict.audit import audit

METHODS = {"integrated-gradients": integrated_gradients, "gradient-x-input": gradient_x_input}
EACH = pytest.mark.parametrize("method", sorted(METHODS))

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] . , ? ! ' _ two men play ##ing s ##s chess isn t it nobody caf ##e"
VOCABULARY = TOKENS.split()
PAIR = ("pair", "Two men playing, chess!", "it isn't nobody?")
EXAMPLES = pd.DataFrame(
    [
        PAIR,
        ("empty-second", "nobody plays: chess", ""),
        ("emoji", "two😀men play café", "chess"),  # the first piece is one unknown token over two words
        ("underscores", "play_chess", "it, it"),
    ],
    columns=["id", "text_a", "text_b"],
)


class Bag(torch.nn.Module):
    """A classifier whose logits are linear in the embeddings: their sum over all tokens, times a matrix."""

    device = torch.device("cpu")
    config = SimpleNamespace(max_position_embeddings=64)

    def __init__(self, n_classes=3, size=5):
        super().__init__()
        self.embeddings = torch.nn.Embedding(len(VOCABULARY), size)
        self.output = torch.nn.Linear(size, n_classes)
        for number, values in enumerate(self.parameters()):
            values.data = torch.sin(torch.arange(values.numel()) + number).reshape(values.shape)
        self.embeddings.weight.data[VOCABULARY.index("s")] = self.embeddings.weight.data[VOCABULARY.index("##s")]

    def get_input_embeddings(self):
        return self.embeddings

    def forward(self, input_ids, token_type_ids=None):
        return SimpleNamespace(logits=self.output(self.embeddings(input_ids).sum(dim=1)))


@pytest.fixture(scope="module")
def tokenizer():
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    return transformers.BertTokenizer(vocab=ids, model_max_length=32)


@pytest.fixture(scope="module")
def bag(tokenizer):
    return Classifier(Bag(), tokenizer, ("no", "yes", "maybe"), 32)


@pytest.fixture(scope="module")
def bert(tiny_bert):
    return load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")


def example(classifier, id="x", text_a="", text_b=None):
    sides = (text_a,) if text_b is None else (text_a, text_b)
    return Texts(id, len(classifier.labels), sides, "", classifier)


def weights_of(method, classifier, *row, n_samples=1000):
    found = METHODS[method](example(classifier, *row), n_samples, np.random.default_rng(0))
    return found[0] if isinstance(found, tuple) else found


def delta_of(classifier, *row, n_samples=1000):
    return integrated_gradients(example(classifier, *row), n_samples, np.random.default_rng(0))[1]


def tokens_by_hand(*pieces):
    """The tokens of a text and the word each belongs to, from (token, number of the word or None)."""
    return [VOCABULARY.index(token) for token, _ in pieces], [word for _, word in pieces]


# "Two men playing, chess!" and "it isn't nobody?", whose words are two men playing chess it isn t nobody
PAIR_TOKENS = tokens_by_hand(
    *[("[CLS]", None), ("two", 0), ("men", 1), ("play", 2), ("##ing", 2), (",", None), ("chess", 3), ("!", None)],
    *[("[SEP]", None), ("it", 4), ("isn", 5), ("'", None), ("t", 6), ("nobody", 7), ("?", None), ("[SEP]", None)],
)


# --- closed forms ---


def test_integrated_gradients_of_linear_logits_is_the_path_integrated_by_hand(bag):
    ids, word = PAIR_TOKENS
    embeddings = bag.model.embeddings.weight.detach().double().numpy()
    matrix, bias = (values.detach().double().numpy() for values in bag.model.output.parameters())
    start = embeddings[[0 if at is not None else token for token, at in zip(ids, word, strict=True)]]
    change = (embeddings[ids] - start) @ matrix.T  # of the logits, by token

    def gradients(way):
        p = softmax(start.sum(axis=0) @ matrix.T + bias + way * change.sum(axis=0))
        return change * p - np.outer(change @ p, p)  # dp_c = p_c (dz_c - sum_k p_k dz_k)

    of_tokens, _ = quad_vec(gradients, 0, 1, epsabs=1e-12)
    assert bag.tokenizer(*[[text] for text in PAIR[1:]])["input_ids"] == [ids]
    expected = [sum(of_tokens[place] for place, at in enumerate(word) if at == number) for number in range(8)]
    np.testing.assert_allclose(weights_of("integrated-gradients", bag, *PAIR), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("which", ["bag", "bert"])
def test_gradient_x_input_is_torchs_own_gradient_times_the_embedding(which, bag, bert):
    classifier = bag if which == "bag" else bert
    texts = PAIR[1:] if which == "bag" else ("the man, reads", "a dog!")
    word = PAIR_TOKENS[1] if which == "bag" else [None, 0, 1, None, 2, None, 3, 4, None, None]
    tokens = classifier.tokenizer(*[[text] for text in texts], return_tensors="pt")
    assert len(word) == tokens["input_ids"].shape[1]
    kept = []
    layer = classifier.model.get_input_embeddings()
    hook = layer.register_forward_hook(lambda module, inputs, found: kept.append(found))
    types = tokens["token_type_ids"]
    probabilities = classifier.model(tokens["input_ids"], token_type_ids=types).logits.softmax(dim=-1)[0]
    hook.remove()
    expected = np.zeros((max(at for at in word if at is not None) + 1, 3))
    for index, probability in enumerate(probabilities):
        (gradient,) = torch.autograd.grad(probability, kept, retain_graph=True)
        for place, at in enumerate(word):
            if at is not None:
                expected[at, index] += float((gradient * kept[0]).detach()[0, place].sum())
    found = weights_of("gradient-x-input", classifier, "x", *texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


TEXTS = [
    ("the man, reads in a park.", "a dog sleeps!"),
    ("a woman eats", ""),
    ("very good, not bad?", None),
    ("?", "dog"),
]


def padded_probabilities(classifier, text_a, text_b):
    """The probabilities of a text whose words are all single tokens, when each is the padding token."""
    inputs = classifier.tokenizer(*[[text] for text in (text_a, text_b) if text is not None], return_tensors="pt")
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    is_word = [token.isalpha() for token in classifier.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])]
    inputs["input_ids"][0, torch.tensor(is_word)] = classifier.tokenizer.pad_token_id
    with torch.no_grad():
        return classifier.model(**inputs).logits.double().softmax(dim=-1)[0].numpy()


@pytest.mark.parametrize("texts", TEXTS)
def test_integrated_gradients_add_up_to_what_the_words_change(bert, texts):
    seconds = None if texts[1] is None else [texts[1]]
    gained = bert.predict_proba([texts[0]], seconds)[0] - padded_probabilities(bert, *texts)
    found = weights_of("integrated-gradients", bert, "x", *texts)
    assert found.shape == (len(words.words(texts[0])) + len(words.words(texts[1])), 3) and np.abs(gained).max() > 0.005
    np.testing.assert_allclose(found.sum(axis=0), gained, rtol=0, atol=1e-3)


@EACH
def test_the_classes_gain_nothing_together(method, bert):
    found = weights_of(method, bert, "x", *TEXTS[0])
    np.testing.assert_allclose(found.sum(axis=1), 0, rtol=0, atol=1e-6)


# --- tokens and words ---


@EACH
def test_a_word_of_several_tokens_weighs_what_they_weigh_together(method, bag):
    assert bag.tokenizer.tokenize("men plays") == ["men", "play", "##s"]
    # "s" has the embedding of "##s", and a bag of tokens does not know where they stand.
    apart, together = (weights_of(method, bag, "x", text, None) for text in ("men play s chess", "men plays chess"))
    expected = [apart[0], apart[1] + apart[2], apart[3]]
    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-12)
    assert np.abs(apart[1:3]).max(axis=1).min() > 1e-6


@EACH
def test_a_token_over_two_words_goes_to_the_first_and_the_other_has_none(method, bag):
    found = weights_of(method, bag, "x", "two😀men play", "café")
    assert bag.tokenizer.tokenize("two😀men") == ["[UNK]"] and bag.tokenizer.tokenize("café") == ["caf", "##e"]
    assert np.abs(found).max(axis=1)[1] == 0 and (np.abs(found).max(axis=1)[[0, 2, 3]] > 0).all()


@EACH
def test_words_beyond_the_model_weigh_nothing(method, bag):
    short = Classifier(bag.model, bag.tokenizer, bag.labels, 5)
    found = weights_of(method, short, "x", "two men play chess it", None)
    assert (np.abs(found).max(axis=1) > 0).tolist() == [True, True, True, False, False]


# --- models ---


@pytest.mark.parametrize("head", sorted(HEADS))
@EACH
def test_our_own_heads(method, head, bert):
    torch.manual_seed(0)
    config = transformers.BertConfig.from_dict(bert.model.config.to_dict())
    classifier = as_classifier(HEADS[head](config), bert.tokenizer, bert.labels, device="cpu")
    found = weights_of(method, classifier, "x", *TEXTS[0])
    assert (np.abs(found).max(axis=1) > 0).all()
    if method == "integrated-gradients":
        (whole,) = classifier.predict_proba(*[[text] for text in TEXTS[0]])
        gained = whole - padded_probabilities(classifier, *TEXTS[0])
        np.testing.assert_allclose(found.sum(axis=0), gained, rtol=0, atol=1e-3)


@EACH
def test_a_model_without_segments(method, bert):
    torch.manual_seed(0)
    shape = {"dim": 16, "hidden_dim": 32, "n_heads": 2, "n_layers": 2, "initializer_range": 0.5, "num_labels": 3}
    config = transformers.DistilBertConfig(vocab_size=len(bert.tokenizer), max_position_embeddings=64, **shape)
    ids = bert.tokenizer.get_vocab()
    names = ["input_ids", "attention_mask"]
    tokenizer = transformers.BertTokenizer(vocab=ids, model_max_length=32, model_input_names=names)
    model = transformers.DistilBertForSequenceClassification(config)
    classifier = as_classifier(model, tokenizer, bert.labels, device="cpu")
    assert (np.abs(weights_of(method, classifier, "x", *TEXTS[0])).max(axis=1) > 0).all()


@EACH
def test_half_precision_agrees_with_single(method, bert):
    model = transformers.BertForSequenceClassification(bert.model.config)
    model.load_state_dict(bert.model.state_dict())
    half = as_classifier(model.to(torch.bfloat16), bert.tokenizer, bert.labels, device="cpu")
    found, expected = (weights_of(method, classifier, "x", *TEXTS[0]) for classifier in (half, bert))
    assert found.dtype == expected.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.1 * np.abs(expected).max())


@EACH
@pytest.mark.parametrize("trainable", [True, False])
def test_the_model_is_left_alone(method, trainable, tiny_bert):
    classifier = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    before = {name: values.clone() for name, values in classifier.model.state_dict().items()}
    expected = weights_of(method, classifier, "x", *TEXTS[0])
    classifier.model.requires_grad_(trainable)
    with torch.no_grad():
        np.testing.assert_array_equal(weights_of(method, classifier, "x", *TEXTS[0]), expected)
    assert {values.requires_grad for values in classifier.model.parameters()} == {trainable}
    assert all(values.grad is None for values in classifier.model.parameters())
    assert all(torch.equal(values, before[name]) for name, values in classifier.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in classifier.model.modules())


# --- budget ---


@pytest.mark.parametrize(("n_samples", "steps"), [(2, 2), (9, 3), (149, 49), (150, 50), (9999, 50)])
def test_steps_keep_to_the_budget_of_passes(bag, n_samples, steps, monkeypatch):
    passes = []
    forward = Bag.forward
    monkeypatch.setattr(
        Bag, "forward", lambda self, ids, **types: passes.append(len(ids)) or forward(self, ids, **types)
    )
    weights_of("integrated-gradients", bag, *PAIR, n_samples=n_samples)
    # What is gained is asked first, a row at a time; then captum looks up both ends of the way, three rows each.
    assert passes[:5] == [1, 1, 1, 3, 3] and sum(passes[5:]) == 3 * steps


def test_batches_keep_to_their_tokens_and_change_next_to_nothing(bert, monkeypatch):
    expected = weights_of("integrated-gradients", bert, "x", *TEXTS[0])
    sizes = []
    hook = bert.model.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape))
    monkeypatch.setitem(integrated_gradients.__globals__["BUDGET"], "cpu", 80)
    found = weights_of("integrated-gradients", bert, "x", *TEXTS[0])
    hook.remove()
    assert max(rows * tokens for rows, tokens in sizes) <= 80
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


# --- what the weights should add up to ---


def steps_taken(monkeypatch):
    """A list to which each rule that is applied adds its points."""
    from captum.attr import LayerIntegratedGradients

    taken, attribute = [], LayerIntegratedGradients.attribute
    monkeypatch.setattr(
        LayerIntegratedGradients,
        "attribute",
        lambda self, *given, n_steps, **named: (
            taken.append(n_steps) or attribute(self, *given, n_steps=n_steps, **named)
        ),
    )
    return taken


@pytest.mark.parametrize("n_samples", [6, 9, 60])
@pytest.mark.parametrize("texts", TEXTS)
def test_the_delta_is_captums_as_a_share_of_what_is_gained(bert, texts, n_samples):
    from captum.attr import LayerIntegratedGradients

    inputs, seconds = example(bert, "x", *texts).inputs(), None if texts[1] is None else [texts[1]]
    padded = torch.tensor(np.where(inputs.feature >= 0, bert.tokenizer.pad_token_id, inputs.values)).repeat(3, 1)
    types = bert.tokenizer([texts[0]], seconds, return_tensors="pt")["token_type_ids"]

    def probabilities(ids):
        return bert.model(ids, token_type_ids=types.expand(len(ids), -1)).logits.double().softmax(dim=-1)

    explainer = LayerIntegratedGradients(probabilities, bert.model.get_input_embeddings())
    options = {"n_steps": n_samples // 3, "method": "gausslegendre", "target": [0, 1, 2]}
    ids = torch.tensor(inputs.values).repeat(3, 1)
    found = explainer.attribute(ids, padded, **options, return_convergence_delta=True)
    gained = bert.predict_proba([texts[0]], seconds)[0] - padded_probabilities(bert, *texts)
    expected = np.abs(found[1].numpy()) / np.maximum(np.abs(gained), FLOOR)
    np.testing.assert_allclose(delta_of(bert, "x", *texts, n_samples=n_samples), expected, rtol=0, atol=1e-3)


def test_the_delta_by_hand():
    total, gained = np.array([0.11, -0.2, 0.002, 0.3]), np.array([0.1, -0.2, 0.001, -0.3])
    np.testing.assert_allclose(convergence_delta(total, gained), [0.1, 0, 0.1, 2], rtol=0, atol=1e-12)


class Straight(Bag):
    """Probabilities that are linear on every way: of logits so small that softmax bends next to nothing."""

    def forward(self, input_ids, token_type_ids=None):
        return SimpleNamespace(logits=super().forward(input_ids).logits * 1e-4)


@pytest.fixture
def straight(tokenizer):
    return Classifier(Straight(), tokenizer, ("no", "yes", "maybe"), 32)


def test_a_linear_model_converges_in_two_steps(straight, monkeypatch):
    monkeypatch.setattr("trusteq.attribution.methods.FLOOR", 1e-9)
    found = weights_of("integrated-gradients", straight, *PAIR, n_samples=6)
    assert np.abs(found.sum(axis=0)).min() > 1e-6  # something is gained, and all of it found
    assert delta_of(straight, *PAIR, n_samples=6).max() < 1e-4


class Switch(Bag):
    """Logits that turn sharply somewhere on the way, which a few points step over."""

    def forward(self, input_ids, token_type_ids=None):
        return SimpleNamespace(logits=torch.tanh(super().forward(input_ids).logits * 10))


@pytest.fixture
def switch(tokenizer):
    return Classifier(Switch(), tokenizer, ("no", "yes", "maybe"), 32)


@pytest.mark.parametrize(
    ("n_samples", "expected"),
    # The last rule takes what is left: 1000 // 3 - 50 - 100.
    [
        (9, [3]),
        (150, [50]),
        (300, [50]),
        (450, [50, 100]),
        (1000, [50, 100, 183]),
        (2000, [50, 100, 200, 316]),
        (9999, [50, 100, 200, 400]),
    ],
)
def test_steps_are_doubled_while_the_budget_lasts(n_samples, expected, switch, monkeypatch):
    monkeypatch.setattr("trusteq.attribution.methods.TOLERANCE", -1.0)  # nothing is ever good enough
    taken = steps_taken(monkeypatch)
    weights_of("integrated-gradients", switch, *PAIR, n_samples=n_samples)
    assert taken == expected and 3 * sum(taken) <= n_samples


def test_what_converges_takes_no_more_steps_and_keeps_its_numbers(bag, switch, monkeypatch):
    taken = steps_taken(monkeypatch)
    once = weights_of("integrated-gradients", bag, *PAIR, n_samples=3 * STEPS)
    np.testing.assert_array_equal(weights_of("integrated-gradients", bag, *PAIR, n_samples=9999), once)
    assert taken == [STEPS, STEPS]
    before = delta_of(switch, *PAIR, n_samples=3 * STEPS).max()
    taken.clear()
    after = delta_of(switch, *PAIR, n_samples=9999).max()
    assert after <= TOLERANCE < before and taken[:2] == [STEPS, 2 * STEPS]


def test_what_misses_its_sum_is_in_the_result_and_said(straight, switch):
    converged, missed = (
        explain(of, EXAMPLES, method="integrated-gradients", n_samples=12) for of in (straight, switch)
    )
    for found, classifier in ((converged, straight), (missed, switch)):
        deltas = [delta_of(classifier, *row, n_samples=12).max() for row in EXAMPLES.itertuples(index=False)]
        assert found.attrs["convergence"] == dict(zip(EXAMPLES["id"], deltas, strict=True))
    assert gradient_notes(converged) == []
    beyond = [delta for delta in missed.attrs["convergence"].values() if delta > TOLERANCE]
    (note,) = gradient_notes(missed)
    assert len(beyond) > 0 and f"{len(beyond)} of 4 examples" in note and f"{max(beyond):.0%}" in note
    parts = [
        explain(switch, rows, method="integrated-gradients", n_samples=12) for rows in (EXAMPLES[:2], EXAMPLES[2:])
    ]
    assert gradient_notes(together(parts)) == [note]


def test_of_other_methods_no_delta_is_defined(bert):
    for method in ("gradient-x-input", "occlusion"):
        found = explain(bert, EXAMPLES, method=method)
        assert "convergence" not in found.attrs and gradient_notes(found) == []


def test_a_model_that_scales_each_embedding_leaves_nothing_of_gradient_times_input(tokenizer):
    """Along an embedding no probability changes then, by Euler's theorem on homogeneous functions."""
    scaled = Classifier(Scaled(), tokenizer, ("no", "yes", "maybe"), 32)
    found = explain(scaled, EXAMPLES, method="gradient-x-input")
    assert found["weight"].abs().max() < 1e-6 < explain(scaled, EXAMPLES, method="integrated-gradients")["weight"].max()
    assert max(found.attrs["left"].values()) < CANCELLED
    (note,) = gradient_notes(found)
    assert "gradient times embedding is 0" in note


class Scaled(Bag):
    """A bag of embeddings that are brought to length 1."""

    def forward(self, input_ids, token_type_ids=None):
        scaled = torch.nn.functional.normalize(self.embeddings(input_ids), dim=-1)
        return SimpleNamespace(logits=self.output(scaled.sum(dim=1)))


def test_an_audit_says_it_of_each_side(bert):
    table = pd.DataFrame({"id": list("abcd"), "text_b": "a dog", "label": 0})
    table["text_a"] = ["the man, reads in a park.", "a woman eats", "very good", "not bad"]
    options = {"method": "integrated-gradients", "explain": 4, "clusters": None, "names": ("whole", "small")}
    found = audit(bert, bert, table, n_samples=6, **options)
    said = [note for note in found.notes if "miss what the probability gains by more than 5%" in note]
    assert [note.split(":")[0] for note in said] == ["whole", "small"]
    enough = audit(bert, bert, table, n_samples=1000, **options)
    assert not any("miss what" in note for note in enough.notes)


# --- through explain ---


@EACH
def test_explain_gives_the_same_weights(method, bag):
    explained = explain(bag, EXAMPLES, method=method)
    assert list(explained["id"].unique()) == list(EXAMPLES["id"]) and explained["weight"].dtype == np.float64
    for row in EXAMPLES.itertuples():
        rows = explained[explained["id"] == row.id]
        expected = weights_of(method, bag, row.id, row.text_a, row.text_b)
        for index, label in enumerate(bag.labels):
            here = rows[rows["label"] == label]
            assert list(here["word"]) == words.words(row.text_a) + words.words(row.text_b)
            np.testing.assert_array_equal(here["weight"], expected[:, index])


@EACH
@pytest.mark.parametrize("which", ["bag", "bert"])
def test_order_company_and_seed_change_no_bit(method, which, bag, bert):
    classifier = bag if which == "bag" else bert
    whole = explain(classifier, EXAMPLES, method=method, n_samples=30)
    shuffled = explain(classifier, EXAMPLES.iloc[[2, 0, 3, 1]], method=method, n_samples=30, seed=1)
    for id in EXAMPLES["id"]:
        alone = explain(classifier, EXAMPLES[EXAMPLES["id"] == id], method=method, n_samples=30)["weight"]
        for table in (whole, shuffled):
            np.testing.assert_array_equal(table.loc[table["id"] == id, "weight"], alone)


@EACH
def test_single_texts(method, bert):
    single = pd.DataFrame([("x", "the man reads", None)], columns=["id", "text_a", "text_b"])
    explained = explain(bert, single, method=method)
    assert set(explained["segment"]) == {0} and list(explained["word"]) == ["the", "man", "reads"] * 3
    pair = explain(bert, single.assign(text_b=""), method=method)
    assert list(pair["word"]) == list(explained["word"]) and not np.allclose(pair["weight"], explained["weight"])


# --- errors ---


@EACH
def test_a_callable_has_no_gradients(method):
    def half(text_a, text_b=None):
        return np.full((len(text_a), 2), 0.5)

    expected = f"^{method} needs a model's gradients, and a callable has none; give a Classifier .*another method.*'$"
    with pytest.raises(ExperimentError, match=expected):
        explain(half, EXAMPLES, method=method, labels=("no", "yes"))


@EACH
def test_a_tokenizer_that_does_not_tell_where_its_tokens_stand(method, bag):
    slow = Classifier(bag.model, SimpleNamespace(is_fast=False), bag.labels, 32)
    with pytest.raises(ExperimentError, match=f"^{method} needs to know where each token stands .*fast tokenizer"):
        explain(slow, EXAMPLES, method=method)


def test_a_tokenizer_without_padding(bag):
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    bare = Classifier(bag.model, transformers.BertTokenizer(vocab=ids), bag.labels, 32)
    bare.tokenizer.pad_token = None
    with pytest.raises(ExperimentError, match=r"^integrated-gradients starts from padding, .* no pad_token; set one$"):
        weights_of("integrated-gradients", bare, *PAIR)
