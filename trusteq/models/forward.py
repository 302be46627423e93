"""Rows of token ids through a model: sorted by length, in batches of a token budget, with next to no padding.

Of a BERT nothing is computed twice, and nothing that its head does not read. Masked versions of one text share their
tokens: what depends on a token and its place alone, the embedding and the first layer's projections, is computed once
for all rows of a batch. A head that reads the first token alone needs only that token of the last layer. For a
two-layer model the two save more than half of the time; the numbers are those of `model(...)` up to rounding.
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from torch.nn.functional import scaled_dot_product_attention

from trusteq.models.layers import EncoderClassifier, NoAttention

# Tokens of one batch. On a GPU a batch must be large to keep it busy; on a CPU it must stay in the cache.
BUDGET = {"cuda": 1 << 17, "cpu": 1 << 12}
# Multiplications that take as long as one more call of the model takes by itself: so much padding is worth saving one.
CALL = {"cuda": 1e11, "cpu": 2e8}
MOST_ROWS = 1 << 15  # of a batch: the attention kernels of a GPU number them in 16 bits


@dataclass(frozen=True)
class Rows:
    """Inputs of a model, right-padded with anything.

    ids: token ids, integers of shape (n, longest). lengths: tokens of each row, (n,).
    types: segment of each token, (n, longest); None where the model takes none.
    """

    ids: np.ndarray
    lengths: np.ndarray
    types: np.ndarray | None = None


def logits(model, rows: Sequence[Rows], *, padding: int | None = 0, budget: int | None = None) -> list[np.ndarray]:
    """Return the model's logits for each block of rows, float64 of shape (n, C).

    padding: id of the padding token; None where none may be read, so that only rows of equal length share a batch.
    budget: tokens of a batch. Out of memory on a GPU halves it, down to one row.
    """
    return started(model, rows, padding=padding, budget=budget)()


def started(
    model, rows: Sequence[Rows], *, padding: int | None = 0, budget: int | None = None
) -> Callable[[], list[np.ndarray]]:
    """Return a function that waits for what `logits` returns; until it is called, a GPU works and Python need not."""
    # By default oneDNN keeps a kernel for each of 1,024 shapes, hundreds of MB; read when torch first calls it.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    device = model.device.type
    of_a_token = 12 * model.config.num_hidden_layers * model.config.hidden_size**2  # multiplications, in all layers
    spare = 0 if padding is None else int(CALL.get(device, CALL["cpu"]) / of_a_token)
    whole = _stack(rows)
    order = np.argsort(whole.lengths, kind="stable")
    batch_of, lengths = Batches(whole, order, padding, model.device), whole.lengths[order]
    parts = _in_batches(
        lambda chosen: run_batch(model, batch_of[chosen]),
        lengths,
        budget=budget or BUDGET.get(device, BUDGET["cpu"]),
        spare=spare,
    )
    # On its way before anything is asked for later, which it would have to wait for.
    values = torch.cat(parts).double().to("cpu", non_blocking=True)
    arrived = torch.cuda.current_stream(model.device).record_event() if device == "cuda" else None

    def finished() -> list[np.ndarray]:
        if arrived is not None:
            arrived.synchronize()
        found = np.empty(values.shape)
        found[order] = values.numpy()
        return np.split(found, np.cumsum([len(block.lengths) for block in rows])[:-1])

    return finished


def _in_batches(
    run: Callable[[slice], torch.Tensor], lengths: np.ndarray, *, budget: int, spare: int
) -> list[torch.Tensor]:
    """Return the outputs of all batches of sorted rows; where memory runs out, go on with half the budget."""
    parts, done = [], 0
    while done < len(lengths):
        try:
            for batch in batches(lengths[done:], budget=budget, spare=spare):
                parts.append(run(slice(done, done + batch.stop - batch.start)))
                done += batch.stop - batch.start
        except torch.OutOfMemoryError:
            if budget <= lengths[done]:
                raise
        if done < len(lengths):  # here and not above, where the error still holds on to the tensors of its batch
            budget //= 2
            torch.cuda.empty_cache()
    return parts


def batches(lengths: np.ndarray, *, budget: int, spare: int) -> Iterator[slice]:
    """Yield slices of rows sorted by length, each of at most `budget` tokens, padding included, and at least one row.

    lengths: ascending, (n,). Rows of unequal length share a batch while they take no more than `spare` padding tokens.
    """
    start, n = 0, len(lengths)
    while start < n:
        stop = start + 1
        while stop < n:
            longest = int(lengths[stop])
            if (stop - start) * longest - int(lengths[start:stop].sum()) > spare:
                break
            # Jump to the end of this length, or to where the budget is spent.
            of_this_length = int(np.searchsorted(lengths, longest, side="right"))
            reach = min(of_this_length, start + max(1, min(budget // longest, MOST_ROWS)))
            if reach <= stop:
                break
            stop = reach
        yield slice(start, stop)
        start = stop


def _stack(rows: Sequence[Rows]) -> Rows:
    """Return all blocks as one."""
    if len(rows) == 1:
        return rows[0]
    longest = max(block.ids.shape[1] for block in rows)
    lengths = np.concatenate([block.lengths for block in rows])

    def together(blocks: Iterable[np.ndarray]) -> np.ndarray:
        whole, end = np.zeros((len(lengths), longest), dtype=np.int64), 0
        for block in blocks:
            start, end = end, end + len(block)
            whole[start:end, : block.shape[1]] = block
        return whole

    types = None if rows[0].types is None else together(block.types for block in rows)
    return Rows(together(block.ids for block in rows), lengths, types)


class Batches:
    """The rows of a model in an order, on its device, of which a slice is the inputs of one batch.

    They are brought there together: a copy waits until a GPU has done all that it was asked before.
    """

    def __init__(self, rows: Rows, order: np.ndarray, padding: int | None, device: torch.device):
        self.lengths, self.padding = rows.lengths[order], padding
        named = {"input_ids": rows.ids, "token_type_ids": rows.types}
        self.values = {name: torch.from_numpy(of).to(device) for name, of in named.items() if of is not None}
        self.order, self.ends = (torch.from_numpy(of).to(device) for of in (order, self.lengths))

    def __getitem__(self, chosen: slice) -> dict[str, torch.Tensor]:
        """Return ids, types where there are any, and a mask where rows are padded."""
        longest = int(self.lengths[chosen].max())
        inputs = {name: of[self.order[chosen], :longest] for name, of in self.values.items()}
        if self.lengths[chosen].min() == longest:
            return inputs
        absent = torch.arange(longest, device=self.ends.device) >= self.ends[chosen, None]
        fill = {"input_ids": self.padding, "token_type_ids": 0}
        filled = {name: of.masked_fill(absent, fill[name]) for name, of in inputs.items()}
        return filled | {"attention_mask": (~absent).long()}


def run_batch(model, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the model's logits, (n, C), for inputs on its device; a decoder keeps nothing of what it has read."""
    with torch.inference_mode():
        if is_bert(model):
            return bert_logits(model, **inputs)
        keeps_none = {"use_cache": False} if _has_cache(getattr(type(model), "forward", model)) else {}
        return model(**inputs, **keeps_none).logits


@functools.lru_cache(maxsize=64)
def _has_cache(forward: Callable) -> bool:
    return "use_cache" in inspect.signature(forward).parameters


def is_bert(model) -> bool:
    """Return whether `bert_logits` knows the model: an encoder of the library's BERT, under its head or one of ours."""
    ours = isinstance(model, EncoderClassifier)
    encoder = getattr(model, "encoder" if ours else "bert", None)
    known = ours or type(model) is transformers.BertForSequenceClassification
    if not (known and type(encoder) is transformers.BertModel and encoder.config.hidden_act == "gelu"):
        return False
    return not any(isinstance(layer.attention, NoAttention) for layer in encoder.encoder.layer)


def bert_logits(model, input_ids: torch.Tensor, token_type_ids=None, attention_mask=None) -> torch.Tensor:
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
