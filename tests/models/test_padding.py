"""Heads that read the last token, models without a pad token, without a boundary, without a last place: all small."""

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line
from word_tokenizer import EOS, SPECIAL, WORDS, tokenizer

from trusteq import audit
from trusteq.attribution.explain import explain
from trusteq.errors import ExperimentError, ModelError
from trusteq.models.classifier import LONGEST, as_classifier, load_classifier
from trusteq.models.layers import MeanPoolingClassifier

TEXTS = ["a man", "the dog runs in the park", "a woman in a house reads , eats and sleeps", "the dog", "dog", "man ."]
LABELS = ("no", "yes", "maybe")


SMALL = {"vocab_size": len(SPECIAL + WORDS), "num_labels": 3, "id2label": dict(enumerate(LABELS))}
WIDE = {"initializer_range": 0.5}
LLAMA = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, **WIDE}
SHAPES = {
    "GPT2": {"n_layer": 2, "n_embd": 32, "n_head": 2, **WIDE},
    "Llama": LLAMA,
    "Mistral": LLAMA | {"num_key_value_heads": 2},
    "XLNet": {"n_layer": 2, "d_model": 32, "n_head": 2, "d_inner": 32, **WIDE},
    "T5": {"d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 2, "num_heads": 2, "initializer_factor": 3.0}
    | {"decoder_start_token_id": 0},
    "Bart": {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "init_std": 0.5},
    "Roberta": LLAMA | {"max_position_embeddings": 34, "pad_token_id": 1},
}


def saved(folder, kind, words, **config):
    """A checkpoint with random weights, as somebody may have saved it."""
    special = {"eos_token_id": EOS, "bos_token_id": EOS}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = getattr(transformers, f"{kind}Config")(**SMALL, **SHAPES[kind], **(special | config))
        getattr(transformers, f"{kind}ForSequenceClassification")(made).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def by_the_library(folder, words):
    """What the library says of each text alone."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        rows = [model(torch.tensor([words(text)["input_ids"]])).logits.softmax(-1)[0] for text in TEXTS]
    return torch.stack(rows).numpy()


CHECKPOINTS = {
    "pad of the head is eos, the tokenizer has none": ("GPT2", {}, {"pad_token_id": EOS}),
    "neither has one": ("GPT2", {}, {"pad_token_id": None}),
    "pad of the tokenizer is eos, the head has none": ("Llama", {"pad_token": "<eos>"}, {}),
    "pad is eos, which ends each text": ("Llama", {"pad_token": "<eos>", "ends": True}, {}),
    "no pad, and eos ends each text": ("Mistral", {"ends": True}, {}),
    "another pad than the tokenizer's": ("Mistral", {"pad_token": "<pad>"}, {"pad_token_id": EOS}),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
@pytest.mark.filterwarnings("ignore")
def test_a_text_gets_the_same_in_any_company(case, tmp_path):
    kind, of_tokenizer, of_config = CHECKPOINTS[case]
    words = tokenizer(**of_tokenizer)
    folder = saved(tmp_path, kind, words, **of_config)
    classifier, expected = load_classifier(folder, device="cpu"), by_the_library(folder, words)
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS[::-1]), expected[::-1], rtol=0, atol=1e-5)
    alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)


def test_a_padding_id_beyond_the_vocabulary_is_never_read(tmp_path):
    words = tokenizer(pad_token="<pad>")
    folder = saved(tmp_path, "Llama", words)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    model.config.pad_token_id = 999
    found = as_classifier(model, words, LABELS, device="cpu").predict_proba(TEXTS)
    np.testing.assert_allclose(found, by_the_library(folder, words), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["lime", "shap", "occlusion", "gradient-x-input"])
def test_a_decoder_without_special_tokens_is_explained_to_the_last_word(method, tmp_path):
    """Without its only word a text has no token; the model then reads the one that starts a text."""
    classifier = load_classifier(saved(tmp_path, "GPT2", tokenizer(), pad_token_id=None), device="cpu")
    table = pd.DataFrame({"id": ["a", "b"], "text_a": ["man", "the dog runs"], "text_b": None})
    found = explain(classifier, table, method=method, n_samples=30)
    assert np.isfinite(found["weight"]).all() and found["weight"].abs().max() > 0
    expected = classifier.predict_proba(["man"]) - classifier.predict_proba(["<eos>"])
    if method == "occlusion":
        np.testing.assert_allclose(found[found["id"] == "a"]["weight"], expected[0], rtol=0, atol=1e-6)


def test_probabilities_that_are_none_are_refused_at_the_first_batch(tmp_path):
    classifier = load_classifier(saved(tmp_path, "GPT2", tokenizer()), device="cpu")
    classifier.model.score.weight.data[:] = float("nan")
    table = pd.DataFrame({"id": ["a"], "text_a": ["man"], "text_b": None})
    one_line(ModelError, lambda: classifier.predict_proba(["a man"]), "nan")
    one_line(ModelError, lambda: explain(classifier, table, method="occlusion"), "nan")
    classifier.model.save_pretrained(tmp_path)
    one_line(ModelError, lambda: load_classifier(tmp_path, device="cpu"), tmp_path, "nan")


def test_a_text_without_tokens_and_nothing_to_stand_for_it():
    words = tokenizer()
    words.eos_token = None
    config = transformers.GPT2Config(**SMALL, **SHAPES["GPT2"], pad_token_id=None)
    config.hidden_size = 32
    classifier = as_classifier(MeanPoolingClassifier(config), words, LABELS, device="cpu")
    one_line(ModelError, lambda: classifier.predict_proba([""]), "without any token", "bos_token")


class DependsOnCompany(transformers.BertForSequenceClassification):
    """Its logits are centred over the batch."""

    def forward(self, *given, **named):
        found = super().forward(*given, **named)
        found.logits = found.logits - found.logits.mean(dim=0)
        return found


def test_what_depends_on_its_company_is_refused():
    import trusteq

    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16, "num_hidden_layers": 1}
    model = DependsOnCompany(transformers.BertConfig(**SMALL, **sizes, initializer_range=0.5))
    one_line(ModelError, lambda: trusteq.as_classifier((model, tokenizer(pad_token="<pad>"))), "depends on the texts")


# --- where the first text ends ---


@pytest.mark.parametrize("kind", ["GPT2", "Llama"])
@pytest.mark.parametrize("special", [{}, {"pad_token": "<pad>"}, {"ends": True}])
def test_a_pair_without_a_boundary_is_refused(kind, special, tmp_path):
    classifier = load_classifier(saved(tmp_path, kind, tokenizer(**special)), device="cpu")
    table = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": ["the dog"]})
    for call in (lambda: classifier.predict_proba(["a man"], ["the dog"]), lambda: explain(classifier, table)):
        one_line(ModelError, call, "puts nothing between", "template=")
    classifier.predict_proba(["a man"])


def test_a_separator_of_any_kind_is_a_boundary(tmp_path):
    classifier = load_classifier(saved(tmp_path, "Llama", tokenizer(pair="$A <eos> $B <eos>")), device="cpu")
    assert classifier.predict_proba(["a man"], ["the dog"]).shape == (1, 3)


TEMPLATE = "the house : {text_a} . a {text_b} reads"


def test_a_template_joins_a_pair_and_its_words_are_no_features(tmp_path):
    folder = saved(tmp_path, "GPT2", tokenizer())
    classifier, plain = load_classifier(folder, device="cpu", template=TEMPLATE), load_classifier(folder, device="cpu")
    joined = plain.predict_proba(["the house : a man . a the dog runs reads"])
    np.testing.assert_allclose(classifier.predict_proba(["a man"], ["the dog runs"]), joined, rtol=0, atol=1e-6)
    table = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": ["the dog runs"]})
    found = explain(classifier, table, method="occlusion")
    of_a_class = found[found["label"] == "yes"]
    places = of_a_class[["segment", "position", "word"]].to_numpy().tolist()
    assert places == [[0, 0, "a"], [0, 1, "man"], [1, 0, "the"], [1, 1, "dog"], [1, 2, "runs"]]
    without = plain.predict_proba(["the house : a . a the dog runs reads"])
    assert of_a_class["weight"].iloc[1] == pytest.approx((joined - without)[0, 1], abs=1e-6)
    assert found.attrs["template"] == TEMPLATE and found.attrs["boundary"] == "safe"
    # What gradients say of the two texts is what they say of the same words where the user joins them.
    by_pair = explain(classifier, table, method="gradient-x-input")
    alone = explain(
        plain,
        pd.DataFrame({"id": ["a"], "text_a": ["the house : a man . a the dog runs reads"], "text_b": None}),
        method="gradient-x-input",
    )
    one, other = (of[of["label"] == "yes"]["weight"].to_numpy() for of in (by_pair, alone))
    np.testing.assert_allclose(one, other[[2, 3, 5, 6, 7]], rtol=0, atol=1e-6)


def test_an_audit_names_the_template_of_each_model_that_has_one(tmp_path):
    classifier = load_classifier(saved(tmp_path, "GPT2", tokenizer()), device="cpu", template=TEMPLATE)

    def same(text_a, text_b=None):
        return classifier.predict_proba(text_a, text_b)

    pairs = pd.DataFrame(
        {"text_a": ["a man", "the dog"] * 8, "text_b": ["the dog runs", "a man reads"] * 8, "label": 0}
    )
    asked = {"labels": classifier.labels, "method": "occlusion", "explain": 2, "clusters": None}
    found = audit(classifier, same, pairs, **asked)
    note = f"large reads a pair as one text, joined by the template {TEMPLATE!r}."
    assert [of for of in found.notes if "template" in of] == [note]
    found = audit(classifier, same, pairs.drop(columns="text_b"), **asked)
    assert not [of for of in found.notes if "template" in of]


def test_a_template_that_is_too_long_leaves_out_what_the_model_does_not_see(tmp_path):
    folder = saved(tmp_path, "GPT2", tokenizer(limit=8))
    classifier = load_classifier(folder, device="cpu", template=TEMPLATE)
    table = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": ["the dog runs"]})
    found = explain(classifier, table, method="occlusion")
    # "the house : a man . a the" is what eight tokens hold.
    assert found[found["label"] == "yes"]["word"].tolist() == ["a", "man", "the"]
    assert found.attrs["cut"] == {"a": 2}


@pytest.mark.parametrize("template", ["", "{text_a}{text_b}", "{text_b} and {text_a}", "{text_a} {", "{x}"])
def test_a_template_needs_both_texts_and_something_between(template, tmp_path):
    one_line(ModelError, lambda: load_classifier("any/model", template=template), "{text_a}", "between")


# --- how much of a text a model takes ---


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "limit", "config", "expected"),
    [
        ("Roberta", None, {}, 32),  # 34 places, of which the first two are those of padding
        ("Roberta", 20, {}, 20),
        ("T5", 16, {"pad_token_id": 0}, 16),
        ("T5", None, {"pad_token_id": 0}, LONGEST),
        ("XLNet", None, {"pad_token_id": 0}, LONGEST),
        ("GPT2", None, {"n_positions": 24}, 24),
    ],
)
def test_a_long_text_is_cut_to_what_the_model_has_places_for(kind, limit, config, expected, tmp_path):
    config = {"pad_token_id": 1, **config} if kind == "Roberta" else config
    shape = {name: value for name, value in SHAPES[kind].items() if name not in config}
    words = tokenizer(limit=limit, pad_token="<pad>", ends=True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = getattr(transformers, f"{kind}Config")(**SMALL, **shape, eos_token_id=EOS, **config)
        getattr(transformers, f"{kind}ForSequenceClassification")(made).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    classifier = load_classifier(tmp_path, device="cpu")
    assert classifier.max_length == expected
    long = "dog " * 100
    assert classifier.predict_proba([long]).shape == (1, 3)
    cut = classifier.n_cut([long, "dog"], None)
    assert cut == (expected < 100)


# --- what is known before a model runs ---


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["T5", "Bart", "XLNet"])
@pytest.mark.parametrize("method", ["integrated-gradients", "gradient-x-input"])
def test_gradients_of_two_embeddings_or_of_tokens_first_are_refused(kind, method, tmp_path, monkeypatch):
    words = tokenizer(pad_token="<pad>", ends=True)
    classifier = load_classifier(saved(tmp_path, kind, words, pad_token_id=0), device="cpu")
    table = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": None})
    monkeypatch.setattr(type(classifier.model), "forward", None)
    one_line(ExperimentError, lambda: explain(classifier, table, method=method), method, "shapley")


@pytest.mark.parametrize("mask", ["[MASK]", "[UNK]"])
def test_a_mask_that_the_tokenizer_does_not_have(mask, tmp_path, monkeypatch):
    words = tokenizer()
    words.unk_token = None
    classifier = load_classifier(saved(tmp_path, "GPT2", words), device="cpu")
    table = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": None})
    monkeypatch.setattr(type(classifier.model), "forward", None)
    one_line(ExperimentError, lambda: explain(classifier, table, mask=mask), mask, "'delete'")


def test_padding_as_a_baseline_needs_a_token(tmp_path, monkeypatch):
    classifier = load_classifier(saved(tmp_path, "GPT2", tokenizer()), device="cpu")
    table = pd.DataFrame({"id": ["a"], "text_a": ["a man"], "text_b": None})
    monkeypatch.setattr(type(classifier.model), "forward", None)
    one_line(ExperimentError, lambda: explain(classifier, table, method="integrated-gradients"), "pad_token")
