"""Ways to make a fine-tuned classifier smaller, each a plain function that changes a model in place.

All of them leave embeddings and head as they are and work on the layers of the encoder, and of the decoder where there
is one; weights that layers share (ALBERT) are changed once. What was done is written into the model's configuration, by
which a saved model is put together again; `classifier.compress` works on a copy.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field, ValidationError, create_model

from trusteq.errors import ExperimentError, ModelError, nearest

if TYPE_CHECKING:
    import torch
    import transformers

Share = Annotated[float, Field(gt=0, lt=1)]
Layers = Annotated[tuple[int, ...], Field(min_length=1)]
# The linear layers of an attention block that read the hidden states, and the one that writes them (BERT, RoBERTa).
READING, WRITING = ("query", "key", "value"), "dense"
# What a layer calls its attention block: Llama and BART, GPT-2, BERT.
ATTENTION = ("self_attn", "attn", "attention")
# What a configuration calls the number of layers, of encoder and decoder, and what it lists with one entry a layer.
DEPTHS, BY_LAYER = ("num_hidden_layers", "decoder_layers", "num_decoder_layers"), ("layer_types", "attention_window")


def keep_layers(model: "transformers.PreTrainedModel", *, layers: Layers) -> None:
    """Keep these layers, counted from 0, in this order, and drop the others: of encoder and decoder the same ones."""
    stacks, depth = layer_stacks(model), model.config.num_hidden_layers
    if any(len(stack) != depth for stack in stacks):
        raise ModelError(
            f"keep-layers: {type(model).__name__} has no {depth} layers with weights of their own, in encoder and "
            "decoder alike; compress it in another way"
        )
    _check_layers(layers, depth, way="keep-layers")
    for stack in stacks:
        _keep(stack, layers, name=type(model).__name__)
    keep_config(model.config, layers)


def _check_layers(layers: Layers, depth: int, *, way: str) -> None:
    if len(set(layers)) < len(layers):  # kept twice, they are two names for one tensor: the library does not save that
        raise ModelError(f"{way}: a layer occurs twice in {', '.join(map(str, layers))}; name each one once")
    if outside := [layer for layer in layers if not 0 <= layer < depth]:
        raise ModelError(f"{way}: no layer {outside[0]}; the model has {depth}, counted from 0")


def _keep(stack: "torch.nn.ModuleList", layers: Layers, *, name: str) -> None:
    parts = [layer.state_dict().keys() for layer in stack]
    for place, layer in enumerate(layers):
        if parts[layer] != parts[place]:
            raise ModelError(f"keep-layers: in {name} layer {place} has weights that others lack; keep it where it is")
    kept = [stack[layer] for layer in layers]
    del stack[:]
    stack.extend(kept)
    for place, layer in enumerate(kept):
        for part in layer.modules():
            if hasattr(part, "layer_idx"):  # where it keeps what it has seen of a text, in a decoder
                part.layer_idx = place


def keep_config(config: "transformers.PretrainedConfig", layers: Sequence[int]) -> None:
    """Make a configuration that of a model that has only these of its layers, counted from 0."""
    for name in BY_LAYER:
        if isinstance(values := getattr(config, name, None), list):
            setattr(config, name, [values[layer] for layer in layers if layer < len(values)])
    for name in DEPTHS:
        if hasattr(config, name):
            setattr(config, name, len(layers))


def int8(model: "transformers.PreTrainedModel") -> None:
    """Store the weights of linear layers in 8 bits, and multiply whole numbers on the CPU (see `Int8Linear`)."""
    from trusteq.models.layers import Int8Linear

    _replace_linear(model, Int8Linear.of, way="int8")


def int4(model: "transformers.PreTrainedModel") -> None:
    """Store the weights of linear layers in 4 bits, 5 with the steps of their blocks (see `Int4Linear`)."""
    from trusteq.models.layers import Int4Linear

    _replace_linear(model, Int4Linear.of, way="int4")


def drop_attention(model: "transformers.PreTrainedModel", *, layers: Layers) -> None:
    """Drop the attention blocks of these layers, counted from 0; their feed-forward blocks stay.

    Source: He et al. (2024), What matters in Transformers? Not all attention is needed, "Attention Drop".
    """
    from trusteq.models.layers import NoAttention

    for stack in layer_stacks(model):
        _check_layers(layers, len(stack), way="drop-attention")
        for layer in (stack[number] for number in layers):
            name = next((of for of in ATTENTION if hasattr(layer, of)), None)
            if name is None:
                kind = type(model).__name__
                raise ModelError(f"drop-attention does not know the layers of {kind}; compress it in another way")
            parts = getattr(layer, name).named_modules()
            norm = next((part for called, part in parts if called.endswith("LayerNorm")), None)
            setattr(layer, name, NoAttention(norm))


def prune_weights(model: "transformers.PreTrainedModel", *, share: Share) -> None:
    """Set this share of the weights of all linear layers to 0, the smallest in absolute value first.

    Training leaves them at 0. Source: Han et al. (2015), section 3, by torch's global unstructured pruning.
    """
    from torch.nn.utils import prune

    pruned = [(layer, "weight") for layer in _some_linear(model, "prune-weights")]
    prune.global_unstructured(pruned, pruning_method=prune.L1Unstructured, amount=share)


def prune_heads(model: "transformers.PreTrainedModel", *, share: Share) -> None:
    """Remove this share of the attention heads of every layer, the least important first.

    The importance of a head is the Frobenius norm of what it can write for what it reads, its value weights times its
    output weights. Source: for the removal of heads, Michel et al. (2019); the measure needs no data.
    """
    for number, block in enumerate(_attention_blocks(model)):
        heads, removed = block.self.num_attention_heads, share * block.self.num_attention_heads
        if abs(removed - round(removed)) > 1e-6:
            raise ModelError(
                f"prune-heads: layer {number} has {heads} heads, of which {share:g} is not a whole number; "
                f"take a share in steps of 1/{heads}"
            )
        _keep_heads(block, heads - round(removed))


def low_rank(model: "transformers.PreTrainedModel", *, keep: Share) -> None:
    """Replace the weights of each linear layer by a product of two thin matrices, nearest in the Frobenius norm.

    keep: share of a layer's weights that the two matrices have together. Source: Eckart and Young (1936).
    """
    from trusteq.models.layers import factorised

    _replace_linear(model, lambda layer: factorised(layer, keep), way="low-rank")


def apply(model: "transformers.PreTrainedModel", way: str, options: dict, *, whole) -> list[str]:
    """Compress a model in place by one way; return the names of the tensors that it replaced, removed or changed.

    options: validated (`check_options`). whole: the model that it is a copy of. Raises ModelError where nothing changed
    and no claim shows that the model is what the way makes.
    """
    WAYS[way].function(model, **options)
    before, after = whole.state_dict(), model.state_dict()
    changed = [name for name in before | after if not _is_same(before.get(name), after.get(name))]
    claim = WAYS[way].claim
    if not changed and (claim is None or claim(model, options)):
        raise ModelError(f"{way} changed nothing of {type(model).__name__}; it has nothing that this way works on")
    return changed


def _is_same(before: "torch.Tensor | None", after: "torch.Tensor | None") -> bool:
    if before is None or after is None or (before.shape, before.dtype) != (after.shape, after.dtype):
        return False
    return bool((before == after).all())


def _other_depth(model: "transformers.PreTrainedModel", options: dict) -> str | None:
    depth, wanted = len(layer_stacks(model)[0]), len(options["layers"])
    return f"{depth} layers and not {wanted}" if depth != wanted else None


def _fewer_zeros(model: "transformers.PreTrainedModel", options: dict) -> str | None:
    zeros, wanted = share_of_zeros(model), options["share"]
    return f"{zeros:.1%} of its weights at 0 and not {wanted:.1%}" if zeros < wanted - 1e-4 else None


@dataclass(frozen=True)
class Way:
    """A way to compress.

    function: changes a model in place; its keyword-only parameters, annotated, are the options.
    ordinary: whether the library's own form holds the result, so that nothing is put together when it is loaded.
    trainable: whether the result can be trained on.
    cannot_follow: ways that leave it no whole matrices of floats, or layers unlike each other.
    claim: takes a loaded model and the options, and returns what is found instead of what this way makes, or None; only
    for what can be loaded without being there. undoes: claims of earlier steps that no longer hold after this one.
    """

    function: Callable[..., None]
    ordinary: bool = False
    trainable: bool = True
    cannot_follow: tuple[str, ...] = ("int8", "int4")
    claim: Callable[..., str | None] | None = None
    undoes: tuple[Callable, ...] = (_fewer_zeros,)


WAYS: dict[str, Way] = {
    "keep-layers": Way(
        keep_layers,
        ordinary=True,
        cannot_follow=("int8", "int4", "drop-attention"),
        claim=_other_depth,
        undoes=(_other_depth, _fewer_zeros),
    ),
    "drop-attention": Way(drop_attention),
    "int8": Way(int8, trainable=False, undoes=()),
    "int4": Way(int4, trainable=False),
    "prune-weights": Way(prune_weights, ordinary=True, claim=_fewer_zeros),
    "prune-heads": Way(prune_heads, cannot_follow=("int8", "int4", "low-rank")),
    "low-rank": Way(low_rank, cannot_follow=("int8", "int4", "low-rank")),
}
STEP = {"way", "options"}


def check_options(way: str, options: dict) -> dict:
    """Return the options of a way, validated; raise ExperimentError that says what the way takes."""
    if way not in WAYS:
        raise ExperimentError(f"unknown way to compress {way!r}; {nearest(way, WAYS)}")
    parameters = inspect.signature(WAYS[way].function).parameters.values()
    taken = {option.name: (option.annotation, ...) for option in parameters if option.name != "model"}
    schema = create_model(way, __config__=ConfigDict(extra="forbid"), **taken)
    try:
        return schema.model_validate(options).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        takes = ", ".join(taken) or "no options"
        raise ExperimentError(f"{way}: option {name!r}: {first['msg']}; it takes {takes}") from None


def steps(config: "transformers.PretrainedConfig") -> list[dict]:
    """Return what was made of a model, step by step, each with its "way" and "options"; empty for a whole one."""
    made = config.to_dict().get("compression", [])
    if not isinstance(made, list) or any(not isinstance(step, dict) or set(step) != STEP for step in made):
        raise ModelError('"compression" in config.json is no list of {"way": ..., "options": {...}}; compress it again')
    return made


def settled(model: "transformers.PreTrainedModel") -> "transformers.PreTrainedModel":
    """Make pruning, which until then is applied at each step of a training, part of the weights; return the model."""
    from torch.nn.utils import prune

    for part in model.modules():
        if hasattr(part, "weight_orig"):
            prune.remove(part, "weight")
    return model


def put_together(model: "transformers.PreTrainedModel", weights: dict[str, "torch.Tensor"]) -> dict:
    """Give a model of the library's own form the structure that its configuration says, and these weights.

    Returns missing_keys, unexpected_keys and mismatched_keys, as the library's report on loading does.
    """
    for layer in linear_layers(model):
        layer.to("meta")  # only the shapes are needed: factorising weights that will be replaced takes minutes
    for step in steps(model.config):
        way = WAYS[step["way"]]
        if not way.ordinary:
            way.function(model, **check_options(step["way"], step["options"]))
    # Checkpoints may be stored in half precision; we compute in single precision.
    weights = {name: values.float() if values.is_floating_point() else values for name, values in weights.items()}
    expected = {name: values.shape for name, values in model.state_dict().items()}
    mismatched = [name for name, values in weights.items() if values.shape != expected.get(name, values.shape)]
    fitting = {name: values for name, values in weights.items() if name not in mismatched}
    found = model.load_state_dict(fitting, strict=False, assign=True)
    missing = set(found.missing_keys) - set(mismatched)
    model.tie_weights(missing_keys=missing, recompute_mapping=False)  # takes those away that a file has by another name
    return {
        "missing_keys": sorted(missing),
        "unexpected_keys": found.unexpected_keys,
        "mismatched_keys": [(name,) for name in mismatched],
    }


def check_claim(name: str, model: "transformers.PreTrainedModel") -> None:
    """Raise ModelError where a model is not what its configuration says was made of it.

    What changes the structure cannot be loaded if it is not there; layers that are left and zeros can. They are looked
    for unless a later step has changed them: 8 bits leave zeros, what removes or replaces weights does not.
    """
    for number, step in enumerate(made := steps(model.config)):
        claim = WAYS[step["way"]].claim
        options = check_options(step["way"], step["options"])
        if claim is None or any(claim in WAYS[later["way"]].undoes for later in made[number + 1 :]):
            continue
        if found := claim(model, options):
            raise ModelError(f"model {name}: its config.json says {step['way']}, and it has {found}; compress it again")


def share_of_zeros(model: "transformers.PreTrainedModel") -> float:
    """Return the share of the weights of linear layers that are 0, in few bits or not."""
    from trusteq.models.layers import Int4Linear, Int8Linear

    weights = [layer.weight for layer in (*linear_layers(model), *_inside(model, (Int8Linear, Int4Linear)))]
    return float(sum((weight == 0).sum() for weight in weights) / sum(weight.numel() for weight in weights))


def encoder_layers(model: "transformers.PreTrainedModel") -> "torch.nn.ModuleList":
    """Return the layers of an encoder, or of a decoder that has none; raise ModelError as `layer_stacks` does."""
    return layer_stacks(model)[0]


def layer_stacks(model: "transformers.PreTrainedModel") -> list["torch.nn.ModuleList"]:
    """Return the layers of a model, shared ones once, of an encoder-decoder the encoder's first; ModelError if none."""
    import torch

    parts = model.base_model.named_modules()
    lists = {name: part for name, part in parts if isinstance(part, torch.nn.ModuleList)}
    outer = [part for name, part in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    if not outer:
        raise ModelError(f"{type(model).__name__} keeps its layers in a form that cannot be compressed; use a BERT")
    return outer


def linear_layers(model: "transformers.PreTrainedModel") -> list["torch.nn.Linear | transformers.Conv1D"]:
    """Return the linear layers inside the layers, GPT-2's Conv1D among them, which holds its weights transposed."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return _inside(model, (torch.nn.Linear, Conv1D))


def _inside(model: "transformers.PreTrainedModel", kinds: tuple[type, ...]) -> list:
    return [part for stack in layer_stacks(model) for part in stack.modules() if type(part) in kinds]


def _some_linear(model: "transformers.PreTrainedModel", way: str) -> list["torch.nn.Linear"]:
    if not (found := linear_layers(model)):
        raise ModelError(
            f"{way}: {type(model).__name__} has no linear layers inside its layers, so that nothing would change; its "
            "weights are of another kind"
        )
    return found


def _replace_linear(model: "transformers.PreTrainedModel", make: Callable, *, way: str) -> None:
    from trusteq.models.layers import as_linear

    linear = set(_some_linear(model, way))
    # A list first: what replaces a layer may hold linear layers itself.
    for parent in [part for stack in layer_stacks(model) for part in stack.modules()]:
        for name, part in list(parent.named_children()):
            if part in linear:
                setattr(parent, name, make(as_linear(part)))


def _attention_blocks(model: "transformers.PreTrainedModel") -> Iterable["torch.nn.Module"]:
    from trusteq.models.layers import NoAttention

    for layer in encoder_layers(model):
        block = getattr(layer, "attention", None)
        if isinstance(block, NoAttention):
            continue
        attention = getattr(block, "self", None)
        # Longformer has a second set of heads, for the tokens that all others read.
        if not all(hasattr(attention, name) for name in READING) or hasattr(attention, "query_global"):
            raise ModelError(f"prune-heads knows the attention of BERT and RoBERTa, not of {type(model).__name__}")
        yield block


def _keep_heads(block: "torch.nn.Module", n: int) -> None:
    import torch
    from transformers.pytorch_utils import prune_linear_layer

    attention, writing = block.self, getattr(block.output, WRITING)
    size, heads = attention.attention_head_size, attention.num_attention_heads
    values = attention.value.weight.detach().unflatten(0, (heads, size))
    outputs = writing.weight.detach().unflatten(1, (heads, size))
    importance = torch.linalg.matrix_norm(torch.einsum("ohd,hdi->hoi", outputs, values))
    kept = importance.argsort(descending=True, stable=True)[:n].sort().values
    rows = (kept[:, None] * size + torch.arange(size, device=kept.device)).flatten()
    for name in READING:
        setattr(attention, name, prune_linear_layer(getattr(attention, name), rows))
    setattr(block.output, WRITING, prune_linear_layer(writing, rows, dim=1))
    attention.num_attention_heads, attention.all_head_size = n, n * size
