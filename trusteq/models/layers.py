"""Parts of a model that the library does not have: heads of ours, weights in few bits, thin products."""

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput

from trusteq import modality
from trusteq.errors import ModelError
from trusteq.models.label_words import LabelWordsModel

LARGEST = 127
BLOCK = 32  # weights that share a step, in 4 bits
EXACT = 1024  # so many products of two 8-bit numbers add up to less than 2**24, all whole numbers of single precision


class EncoderClassifier(transformers.PreTrainedModel):
    """An encoder whose last hidden states `logits` turns into one score per class; a subclass adds the head.

    reads_first_token: whether the head reads the first token alone, so that the last layer need not compute others.
    """

    config_class = transformers.PretrainedConfig
    base_model_prefix = "encoder"
    reads_first_token = False

    def __init__(self, config):
        super().__init__(config)
        self.encoder = transformers.AutoModel.from_config(config)
        self.add_head(config)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        """Return logits of shape (n, C), and the cross-entropy loss where labels are given."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.encoder(input_ids, attention_mask=attention_mask, **types).last_hidden_state
        logits = self.logits(states, torch.ones_like(input_ids) if attention_mask is None else attention_mask)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class FirstTokenClassifier(EncoderClassifier):
    """Two linear layers without activation, hidden -> 2C -> C, on the first token (released scripts, NLI)."""

    reads_first_token = True

    def add_head(self, config) -> None:
        """Add the two layers."""
        self.hidden = torch.nn.Linear(config.hidden_size, 2 * config.num_labels)
        self.output = torch.nn.Linear(2 * config.num_labels, config.num_labels)

    def logits(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits, (n, C), from states, (n, tokens, hidden); the mask is not needed."""
        return self.output(self.hidden(states[:, 0]))


class MeanPoolingClassifier(EncoderClassifier):
    """One linear layer on the mean of all tokens' states, which is how sentence encoders such as MiniLM are trained."""

    def add_head(self, config) -> None:
        """Add the layer."""
        self.output = torch.nn.Linear(config.hidden_size, config.num_labels)

    def logits(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits, (n, C), from states, (n, tokens, hidden), and mask, (n, tokens), 0 at padding."""
        weights = mask[..., None].to(states.dtype)
        return self.output((states * weights).sum(dim=1) / weights.sum(dim=1))


# By the recipe's name; any other ("standard") is the library's own classifier.
HEADS = {"two-linear": FirstTokenClassifier, "mean-pooling": MeanPoolingClassifier}


def saved_kind(config: transformers.PretrainedConfig) -> type:
    """Return the class that a saved configuration was written by: one of ours, or the library's own."""
    ours = {kind.__name__: kind for kind in (*HEADS.values(), LabelWordsModel)}
    written_by, kind = (config.architectures or ("",))[0], modality.of_config(config)
    auto = "AutoModelForSequenceClassification" if kind is None else kind.auto_model
    return ours.get(written_by, getattr(transformers, auto))


class Int8Linear(torch.nn.Module):
    """A linear layer with weights in 8 bits, one scale an output, that brings its inputs to 8 bits, one scale a row.

    With a scale for each row the answer for a text does not depend on the texts beside it, which one scale for a whole
    batch, as in torch's own dynamic quantisation, would not give. Where a gradient is asked for, and on a GPU, the same
    weights are multiplied in single precision.
    """

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None):
        super().__init__()
        self.register_buffer("weight", weight)  # int8, (out, in)
        self.register_buffer("scale", scale)  # (out,)
        self.register_buffer("bias", bias)  # (out,), or None

    @classmethod
    def of(cls, layer: torch.nn.Linear) -> "Int8Linear":
        """Return the layer with its weights rounded to 8 bits."""
        weight = layer.weight.detach()
        scale = weight.abs().amax(dim=1).clamp_min(1e-12) / LARGEST
        bias = None if layer.bias is None else layer.bias.detach().clone()
        return cls(torch.round(weight / scale[:, None]).to(torch.int8), scale, bias)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return (..., out) from (..., in)."""
        if states.is_cuda or (torch.is_grad_enabled() and states.requires_grad):
            return torch.nn.functional.linear(states, self.weight * self.scale[:, None], self.bias)
        scale = states.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / LARGEST
        rounded = torch.round(states / scale).to(torch.int8)
        products = whole_products(rounded.flatten(0, -2), self.weight).unflatten(0, states.shape[:-1])
        found = products * scale * self.scale
        return found if self.bias is None else found + self.bias


def whole_products(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return rows @ weight.T, exactly, as int32 (n, out). rows: int8 (n, in); weight: int8 (out, in).

    Where the CPU has no instructions for 8 bits, torch's own product of whole numbers is twenty times slower than one
    in single precision, which is exact as long as it adds few enough.
    """
    if torch.cpu._is_vnni_supported():
        return torch._int_mm(rows, weight.T)
    parts = zip(rows.split(EXACT, dim=1), weight.split(EXACT, dim=1), strict=True)
    return sum(torch.nn.functional.linear(a.float(), b.float()).to(torch.int32) for a, b in parts)


class Int4Linear(torch.nn.Module):
    """A linear layer with weights in 4 bits, that multiplies them in single precision.

    Every 32 weights of a row are a block with a step and a least weight in half precision: 20 bytes, those of GGUF's
    Q4_1, so that a weight takes 5 bits. Source: llama.cpp, `ggml-quants.c`, `quantize_row_q4_1_ref`.
    """

    def __init__(self, blocks: torch.Tensor, bias: torch.Tensor | None, n_in: int):
        super().__init__()
        self.register_buffer("blocks", blocks)  # uint8, (out, blocks of a row, 20)
        self.register_buffer("bias", bias)  # (out,), or None
        self.n_in = n_in

    @classmethod
    def of(cls, layer: torch.nn.Linear) -> "Int4Linear":
        """Return the layer with its weights rounded to 4 bits; a row's last block is filled up with its last weight."""
        weight, bias = layer.weight.detach(), layer.bias
        missing = -weight.shape[1] % BLOCK
        whole = torch.cat([weight, weight[:, -1:].expand(-1, missing)], dim=1).unflatten(1, (-1, BLOCK))
        least = whole.amin(dim=-1, keepdim=True)
        step = (whole.amax(dim=-1, keepdim=True) - least) / 15
        numbers = ((whole - least) * torch.where(step > 0, 1 / step, 0) + 0.5).to(torch.uint8).clamp(max=15)
        low, high = numbers.chunk(2, dim=-1)
        ends = torch.cat([step, least], dim=-1).half().view(torch.uint8)
        blocks = torch.cat([ends, low | high << 4], dim=-1)
        return cls(blocks, None if bias is None else bias.detach().clone(), weight.shape[1])

    @property
    def weight(self) -> torch.Tensor:
        """The weights in single precision, (out, in)."""
        ends, both = self.blocks.split([4, BLOCK // 2], dim=-1)
        step, least = ends.contiguous().view(torch.float16).float().chunk(2, dim=-1)
        numbers = torch.cat([both & 15, both >> 4], dim=-1)
        return (numbers * step + least).flatten(1)[:, : self.n_in]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Return (..., out) from (..., in)."""
        return torch.nn.functional.linear(states, self.weight, self.bias)


class NoAttention(torch.nn.Module):
    """What is left of an attention block that is dropped: it adds nothing to the states that pass it by.

    norm: the normalisation inside the block, of the sum of both (BERT), which stays; None where the sum is taken
    outside of it (Llama).
    """

    def __init__(self, norm: torch.nn.Module | None):
        super().__init__()
        self.LayerNorm = norm  # as in BERT, so that a block that is dropped twice is what it was

    def forward(self, hidden_states: torch.Tensor, *_, **__) -> tuple[torch.Tensor, None]:
        """Return what the block returns, for states of shape (n, tokens, hidden), and no weights of attention."""
        return torch.zeros_like(hidden_states) if self.LayerNorm is None else self.LayerNorm(hidden_states), None


def as_linear(layer: torch.nn.Module) -> torch.nn.Linear:
    """Return a linear layer as it is, and one that holds its weights transposed (GPT-2's Conv1D) as a linear layer."""
    if isinstance(layer, torch.nn.Linear):
        return layer
    made = torch.nn.Linear(*layer.weight.shape, device="meta")
    made.weight, made.bias = torch.nn.Parameter(layer.weight.detach().T.contiguous()), layer.bias
    return made


class ThinProduct(torch.nn.Sequential):
    """Two linear layers in a row in place of one."""

    @property
    def weight(self) -> torch.Tensor:
        """The second one's weights: T5 asks the layers of its feed-forward blocks for the type of theirs."""
        return self[1].weight


def factorised(layer: torch.nn.Linear, keep: float) -> ThinProduct:
    """Return two linear layers in a row, with `keep` of the layer's weights, that come nearest to it.

    Raises ModelError where so few weights leave no rank.
    """
    n_out, n_in = layer.weight.shape
    rank = int(keep * n_out * n_in / (n_out + n_in))
    if rank < 1:
        raise ModelError(f"low-rank: keep={keep:g} of {n_out} x {n_in} weights leaves rank 0; keep more")
    left, singular, right = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    root = singular[:rank].sqrt()
    # The copy on "meta" has the shapes without the cost of a random start.
    shapes = ((n_in, rank, False), (rank, n_out, layer.bias is not None))
    thin = [torch.nn.Linear(*shape, device="meta") for shape in shapes]
    thin[0].weight = torch.nn.Parameter((root[:, None] * right[:rank]).contiguous())
    thin[1].weight = torch.nn.Parameter((left[:, :rank] * root).contiguous())
    if layer.bias is not None:
        thin[1].bias = torch.nn.Parameter(layer.bias.detach().clone())
    return ThinProduct(*thin)
