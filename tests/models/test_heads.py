"""A randomly headed twin: the encoder kept, the head drawn as before fine-tuning, the classifier left as it is."""

from typing import get_args

import numpy as np
import pytest
import torch
import transformers

from trusteq.models.build import random_head
from trusteq.models.classifier import as_classifier
from trusteq.models.layers import HEADS
from trusteq.models.recipe import Recipe

LABELS = ("no", "yes", "maybe")
WORDS = ["a", "the", "man", "woman", "dog", "reads", "sleeps", "eats", "park", "house", "good", "bad", "very", "not"]
TEXTS = [" ".join(np.random.default_rng(row).permutation(WORDS)[: 1 + row % 8]) for row in range(80)]
# The linear layers outside the encoder of each kind of head.
LAYERS = {
    "standard": ["classifier"],
    "two-linear": ["hidden", "output"],
    "mean-pooling": ["output"],
    "distilbert": ["pre_classifier", "classifier"],
}


def test_a_recipe_names_the_heads_that_there_are():
    assert set(get_args(Recipe.model_fields["head"].annotation)) == {"standard", *HEADS}


@pytest.fixture(scope="module", params=list(LAYERS))
def head(request):
    return request.param


@pytest.fixture(scope="module")
def classifier(tiny_bert, head):
    """A classifier with weights drawn wide, those of its head's biases included, as if it had been trained."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_bert("BertModel"))
    names = {"num_labels": len(LABELS), "vocab_size": len(tokenizer), "initializer_range": 0.5}
    if head == "distilbert":
        config = transformers.DistilBertConfig(dim=16, n_heads=2, hidden_dim=32, n_layers=2, **names)
        kind = transformers.DistilBertForSequenceClassification
    else:
        sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 2}
        config = transformers.BertConfig(**sizes, **names)
        kind = HEADS.get(head, transformers.BertForSequenceClassification)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(config)
        for layer in LAYERS[head]:
            torch.nn.init.normal_(model.get_submodule(layer).bias)
    return as_classifier(model, tokenizer, LABELS, device="cpu")


def state(classifier):
    return {name: values.clone() for name, values in classifier.model.state_dict().items()}


def test_the_head_alone_is_drawn_anew(classifier, head):
    before, after = state(classifier), state(random_head(classifier, seed=0))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {f"{layer}.{what}" for layer in LAYERS[head] for what in ("weight", "bias")}
    assert not any(after[f"{layer}.bias"].any() for layer in LAYERS[head])


def test_the_classifier_is_left_as_it_is(classifier):
    before, probabilities = state(classifier), classifier.predict_proba(TEXTS)
    twin = random_head(classifier, seed=0)
    with torch.no_grad():
        for parameter in twin.model.parameters():
            parameter.zero_()  # nothing is shared
    after = state(classifier)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert np.array_equal(classifier.predict_proba(TEXTS), probabilities)
    assert (twin.tokenizer, twin.labels, twin.max_length) == (classifier.tokenizer, LABELS, classifier.max_length)


def test_weights_are_drawn_as_before_fine_tuning(classifier, head):
    """Over 200 seeds: mean 0 and the configuration's standard deviation, within four standard errors."""
    twins = [random_head(classifier, seed=seed).model for seed in range(200)]
    for layer in LAYERS[head]:
        drawn = np.concatenate([twin.get_submodule(layer).weight.detach().numpy().ravel() for twin in twins])
        assert abs(drawn.mean()) < 4 * 0.5 / np.sqrt(len(drawn))
        assert abs(drawn.std() - 0.5) < 4 * 0.5 / np.sqrt(2 * len(drawn))


def test_the_seed_decides_and_nothing_else(classifier):
    torch.manual_seed(1)
    first = random_head(classifier, seed=3).predict_proba(TEXTS)
    torch.manual_seed(2)
    state_of_torch = torch.random.get_rng_state()
    assert np.array_equal(random_head(classifier, seed=3).predict_proba(TEXTS), first)
    assert torch.equal(torch.random.get_rng_state(), state_of_torch)
    assert not np.allclose(random_head(classifier, seed=4).predict_proba(TEXTS), first)


def test_of_a_twin_drawn_narrow_the_outputs_are_near_uniform_and_the_predictions_vary(classifier, monkeypatch):
    monkeypatch.setattr(classifier.model.config, "initializer_range", 0.02)
    found = [random_head(classifier, seed=seed).predict_proba(TEXTS) for seed in range(8)]
    assert max(np.abs(probabilities - 1 / 3).max() for probabilities in found) < 0.2
    # Not under every seed: what the states of all texts share may decide for one class.
    assert sum(len(np.unique(probabilities.argmax(axis=1))) > 1 for probabilities in found) >= 2
