"""The forward pass of a BERT classifier with nothing computed twice, and nothing that its head does not read.

Masked versions of one text share their tokens: what depends on a token and its place alone, the embedding and the
first layer's projections, is computed once for all rows of a batch. A head that reads the first token alone needs only
that token of the last layer. For a two-layer model the two save more than half of the time; the numbers are those of
`model(...)` up to rounding.
"""

import torch
import transformers
from torch.nn.functional import scaled_dot_product_attention

from trusteq.models.heads import EncoderClassifier


def is_bert(model) -> bool:
    """Return whether `logits` knows the model: an encoder of the library's BERT, under its head or one of ours."""
    ours = isinstance(model, EncoderClassifier)
    encoder = getattr(model, "encoder" if ours else "bert", None)
    known = ours or type(model) is transformers.BertForSequenceClassification
    return known and type(encoder) is transformers.BertModel and encoder.config.hidden_act == "gelu"


def logits(model, input_ids: torch.Tensor, token_type_ids=None, attention_mask=None) -> torch.Tensor:
    """Return the logits of a BERT classifier, (n, C), as `model(...)` does.

    input_ids: (n, tokens). token_type_ids: of the same shape; None for zeros. attention_mask: 0 at padding; None where
    there is none.
    """
    ours = isinstance(model, EncoderClassifier)
    encoder = model.encoder if ours else model.bert
    layers = encoder.encoder.layer
    states, projected = _first_projections(encoder, layers[0], input_ids, token_type_ids)
    seen = None if attention_mask is None else attention_mask[:, None, None].bool()
    reads_first_token = model.reads_first_token if ours else True  # BERT's own head pools it
    for layer in layers:
        if layer is not layers[0]:
            projected = _project(layer, states)
        if reads_first_token and layer is layers[-1]:
            projected[0], states = projected[0][:, :1], states[:, :1]
        states = _attend(layer, states, projected, seen)
    if ours:
        return model.logits(states, torch.ones_like(input_ids) if attention_mask is None else attention_mask)
    return model.classifier(encoder.pooler(states))


def _first_projections(encoder, layer, ids: torch.Tensor, types: torch.Tensor | None) -> tuple:
    """Return the embedded tokens, (n, tokens, hidden), and their queries, keys and values in the first layer."""
    embeddings, length = encoder.embeddings, ids.shape[1]
    types = torch.zeros_like(ids) if types is None else types
    places = torch.arange(length, device=ids.device).expand_as(ids)
    shared = ids.device.type == "cpu"  # on a GPU finding the distinct ones would wait for it
    if shared:
        n_types = embeddings.token_type_embeddings.num_embeddings
        keys, of_token = torch.unique((ids * length + places) * n_types + types, return_inverse=True)
        ids, places, types = keys // n_types // length, keys // n_types % length, keys % n_types
    states = embeddings.word_embeddings(ids) + embeddings.token_type_embeddings(types)
    states = embeddings.LayerNorm(states + embeddings.position_embeddings(places))
    projected = _project(layer, states)
    if shared:
        states, *projected = (torch.nn.functional.embedding(of_token, values) for values in (states, *projected))
    return states, projected


def _project(layer, states: torch.Tensor) -> list[torch.Tensor]:
    """Return the queries, keys and values of a layer, each of the shape of `states`."""
    attention = layer.attention.self
    return [attention.query(states), attention.key(states), attention.value(states)]


def _attend(layer, states: torch.Tensor, projected: list[torch.Tensor], seen: torch.Tensor | None) -> torch.Tensor:
    """Return a layer's output for `states`. projected: queries for these, keys and values for all tokens."""
    size = layer.attention.self.attention_head_size
    queries, keys, values = (part.unflatten(-1, (-1, size)).transpose(1, 2) for part in projected)
    mixed = scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
    return layer.feed_forward_chunk(layer.attention.output(mixed.transpose(1, 2).flatten(2), states))
