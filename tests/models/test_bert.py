"""The engine's own forward pass against the library's model, for every head, with and without padding and types."""

import pytest
import torch
import transformers

from trusteq.models.forward import bert_logits, is_bert
from trusteq.models.layers import FirstTokenClassifier, MeanPoolingClassifier

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "num_labels": 3,
    "initializer_range": 0.5,
}
KINDS = [transformers.BertForSequenceClassification, FirstTokenClassifier, MeanPoolingClassifier]


def network(kind, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(transformers.BertConfig(**SIZES, **changes)).double().eval()


def tokens(rows=7, length=20, *, seed=1):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 50, (rows, length), generator=generator)
    types = (torch.arange(length) >= torch.randint(1, length, (rows, 1), generator=generator)).long()
    mask = (torch.arange(length) < torch.randint(1, length + 1, (rows, 1), generator=generator)).long()
    return ids, types, mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("with_types", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_the_logits_are_the_models(kind, layers, with_types, with_mask):
    model = network(kind, num_hidden_layers=layers)
    ids, types, mask = tokens()
    inputs = {"input_ids": ids} | ({"token_type_ids": types} if with_types else {})
    inputs |= {"attention_mask": mask} if with_mask else {}
    with torch.inference_mode():
        assert is_bert(model)
        found, expected = bert_logits(model, **inputs), model(**inputs).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert expected.std(dim=0).min() > 0.01  # rows do differ


def test_a_token_at_another_place_is_another_token():
    model = network(transformers.BertForSequenceClassification, num_hidden_layers=2)
    ids = torch.tensor([[1, 2, 3, 4], [1, 3, 2, 4], [1, 2, 3, 4]])
    with torch.inference_mode():
        found = bert_logits(model, ids)
        torch.testing.assert_close(found, model(ids).logits, rtol=0, atol=1e-12)
    assert torch.equal(found[0], found[2]) and not torch.allclose(found[0], found[1])


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (transformers.DistilBertForSequenceClassification, transformers.DistilBertConfig(dim=16, n_heads=2)),
        (transformers.RobertaForSequenceClassification, transformers.RobertaConfig(**SIZES)),
        (transformers.BertForSequenceClassification, transformers.BertConfig(**SIZES, hidden_act="relu")),
        (FirstTokenClassifier, transformers.RobertaConfig(**SIZES)),
    ],
)
def test_other_models_are_left_to_their_library(kind, config):
    assert not is_bert(kind(config))
