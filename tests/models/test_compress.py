"""Every way to compress against numpy or the library's own model; what is saved is what was compressed."""

import copy
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line
from safetensors.torch import load_file, save_file

import trusteq
from trusteq.errors import ExperimentError, ModelError
from trusteq.models import finetune
from trusteq.models.build import compress
from trusteq.models.classifier import as_classifier, load_classifier
from trusteq.models.compress import (
    WAYS,
    Way,
    apply,
    check_options,
    encoder_layers,
    linear_layers,
    settled,
    share_of_zeros,
    steps,
)
from trusteq.models.forward import bert_logits, is_bert
from trusteq.models.layers import HEADS, Int4Linear, Int8Linear, factorised, whole_products
from trusteq.models.recipe import Recipe
from trusteq.registry import Compression, ModelSpec, validated

LABELS = ("no", "yes", "maybe")
WORDS = "a the man woman dog reads runs sleeps in park good bad very not"
VOCABULARY = f"[PAD] [UNK] [CLS] [SEP] [MASK] . , {WORDS}".split()
SIZES = {"vocab_size": len(VOCABULARY), "hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 64}
SIZES |= {"num_hidden_layers": 3, "num_attention_heads": 4, "initializer_range": 0.5}
HEAD_SIZE = 4
OPTIONS = {
    "keep-layers": {"layers": (0, 2)},
    "drop-attention": {"layers": (1,)},
    "int8": {},
    "int4": {},
    "prune-weights": {"share": 0.5},
    "prune-heads": {"share": 0.5},
    "low-rank": {"keep": 0.6},
}
# "standard" is the library's BERT, the next two ours; RoBERTa and DistilBERT keep their layers under other names.
KINDS = ("standard", *HEADS, "roberta", "distilbert")
LIBRARY = {"standard": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}


def network(kind="standard", **changes):
    """A random model with wide weights, biases included, so that nothing can be dropped unseen."""
    sizes, names = SIZES | changes, {"id2label": dict(enumerate(LABELS))}
    if kind == "roberta":
        config = transformers.RobertaConfig(**sizes, **names, type_vocab_size=2, pad_token_id=0)
    elif kind == "distilbert":
        shape = {"dim": sizes.pop("hidden_size"), "hidden_dim": sizes.pop("intermediate_size")}
        shape |= {"n_layers": sizes.pop("num_hidden_layers"), "n_heads": sizes.pop("num_attention_heads")}
        config = transformers.DistilBertConfig(**sizes, **shape, **names)
    else:
        config = transformers.BertConfig(**sizes, **names)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make = HEADS.get(kind) or getattr(transformers, f"{LIBRARY[kind]}ForSequenceClassification")
        model = make(config)
        for name, values in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(values, std=0.3)
    return model


def classifier(kind="standard", **changes):
    ids = {token: index for index, token in enumerate(VOCABULARY)}
    tokenizer = transformers.BertTokenizer(vocab=ids, model_max_length=32)
    return as_classifier(network(kind, **changes), tokenizer, LABELS, device="cpu")


def compressed(whole, *ways, **options):
    """The classifier after one way or more; options: of the last."""
    for number, way in enumerate(ways, start=1):
        taken = options if options and number == len(ways) else OPTIONS[way]
        whole = compress(whole, Compression(of="large", way=way, options=taken))
    return whole


def texts(n=12, *, seed=0):
    """Pairs of 1 to 8 words a side."""
    rng = np.random.default_rng(seed)
    sides = [[" ".join(rng.choice(WORDS.split(), size=rng.integers(1, 9))) for _ in range(n)] for _ in range(2)]
    rows = {"text_a": sides[0], "text_b": sides[1], "label": rng.integers(0, 3, size=n)}
    return pd.DataFrame({"id": [f"test-{row}" for row in range(n)], **rows})


EXAMPLES = texts()
PAIRS = (list(EXAMPLES["text_a"]), list(EXAMPLES["text_b"]))


def inputs(of):
    return of.tokenizer(*PAIRS, padding=True, return_tensors="pt")


@torch.no_grad()
def logits(of):
    tokens = inputs(of)
    if "distil" in type(of.model).__name__.lower():
        tokens.pop("token_type_ids")
    return of.model(**tokens).logits


def numbers(layer):
    """Weight and bias of a linear layer as numpy."""
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def same_outside_the_layers(before, after):
    """Assert that embeddings and head are what they were, to the last bit."""
    inside = {name for name, _ in before.model.named_modules() if name.endswith((".layer.0", ".layer.1", ".layer.2"))}
    state = after.model.state_dict()
    outside = {name for name in before.model.state_dict() if not name.startswith(tuple(inside))}
    assert outside
    assert all(torch.equal(before.model.state_dict()[name], state[name]) for name in outside)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_original_is_left_alone_and_so_is_all_but_the_layers(kind, way):
    if (kind, way) == ("distilbert", "prune-heads"):
        return
    whole = classifier(kind)
    state, config = copy.deepcopy(whole.model.state_dict()), whole.model.config.to_dict()
    made = compressed(whole, way)
    assert all(torch.equal(values, whole.model.state_dict()[name]) for name, values in state.items())
    assert whole.model.config.to_dict() == config and steps(whole.model.config) == []
    assert steps(made.model.config) == [{"way": way, "options": OPTIONS[way]}]
    same_outside_the_layers(whole, made)
    assert not torch.allclose(logits(made), logits(whole), atol=1e-3, rtol=0)


# --- keep-layers ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [(0,), (0, 2), (2, 0), (0, 1, 2)])
def test_kept_layers_make_the_model_that_has_these_alone(kind, layers):
    whole = classifier(kind)
    expected = network(kind, num_hidden_layers=len(layers))
    state, renamed = whole.model.state_dict(), {}
    for name in expected.state_dict():
        before, found, after = name.partition(".layer.")
        renamed[name] = state[f"{before}{found}{layers[int(after[0])]}{after[1:]}" if found else name]
    expected.load_state_dict(renamed)
    made = compressed(whole, "keep-layers", layers=layers)
    assert torch.equal(logits(made), logits(replace(made, model=expected.eval())))
    assert made.model.config.num_hidden_layers == len(layers)


@pytest.mark.parametrize(("layers", "reason"), [((0, 3), "no layer 3"), ((-1,), "no layer -1"), ((1, 1), "twice")])
def test_layers_that_cannot_be_kept(layers, reason):
    one_line(ModelError, lambda: compressed(classifier(), "keep-layers", layers=layers), "keep-layers", reason)


def test_layers_in_another_form():
    whole = classifier()
    other = replace(whole, model=copy.deepcopy(whole.model))
    layers = other.model.bert.encoder.layer
    other.model.bert.encoder.layer = torch.nn.Sequential(*layers)
    for way in WAYS:
        one_line(ModelError, lambda way=way: compressed(other, way), "BertFor", "cannot", "use a BERT")


# --- prune-weights ---


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("kind", ["standard", "roberta", "distilbert"])
def test_the_smallest_weights_of_all_layers_together_are_pruned(kind, share):
    whole = classifier(kind)
    made = compressed(whole, "prune-weights", share=share)
    before, after = ([numbers(layer)[0] for layer in linear_layers(of.model)] for of in (whole, made))
    sizes = np.abs(np.concatenate([weight.ravel() for weight in before]))
    limit = np.sort(sizes)[round(share * len(sizes)) - 1]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, np.where(np.abs(old) <= limit, 0, old))
    n_zeros = sum(int((weight == 0).sum()) for weight in after)
    assert n_zeros == round(share * len(sizes))
    assert share_of_zeros(made.model) == pytest.approx(share, abs=1 / len(sizes))


def trained(whole, *, way, tmp_path, **options):
    compression = Compression(of="large", way=way, options=options or OPTIONS[way], recover=True)
    spec = ModelSpec(name="small", title="Small", compress=compression)
    recipe = Recipe(batch_size=8, learning_rate=1e-2, epochs=2, max_length=32)
    settings = {"labels": LABELS, "recipe": recipe, "seed": 0, "checkpoints": tmp_path / "checkpoints"}
    return finetune.finetune(texts(16), texts(8, seed=1), spec=spec, original=whole, **settings)


def test_pruned_weights_stay_at_0_in_training_and_the_others_move(tmp_path):
    whole = classifier()
    before = compressed(whole, "prune-weights")
    tuned = trained(whole, way="prune-weights", tmp_path=tmp_path)
    assert len(tuned.history) == 2
    for old, new in zip(linear_layers(before.model), linear_layers(tuned.classifier.model), strict=True):
        old, new = numbers(old)[0], numbers(new)[0]
        np.testing.assert_array_equal(old == 0, new == 0)
        assert (old != new)[old != 0].mean() > 0.9
    finetune.save(tuned, tmp_path / "saved", metrics={}, timing={})
    assert share_of_zeros(load_classifier(tmp_path / "saved", device="cpu").model) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("way", ["keep-layers", "prune-heads", "low-rank", "drop-attention"])
def test_the_other_ways_recover_in_the_form_they_have(way, tmp_path):
    whole = classifier()
    before = compressed(whole, way).model.state_dict()
    tuned = trained(whole, way=way, tmp_path=tmp_path).classifier
    after = tuned.model.state_dict()
    assert {name: values.shape for name, values in after.items()} == {
        name: values.shape for name, values in before.items()
    }
    layers = [name for name in before if ".layer." in name and name.endswith("weight")]
    assert not any(torch.equal(before[name], after[name]) for name in layers)
    assert_saved_is_loaded(tuned, tmp_path / "saved")


# --- prune-heads ---


def head_norms(layer):
    """The norm of each head's output weights times value weights, by numpy."""
    values, outputs = numbers(layer.attention.self.value)[0], numbers(layer.attention.output.dense)[0]
    cuts = [slice(start, start + HEAD_SIZE) for start in range(0, 16, HEAD_SIZE)]
    return np.array([np.linalg.norm(outputs[:, cut] @ values[cut]) for cut in cuts])


@pytest.mark.parametrize("kind", ["standard", *HEADS, "roberta"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_removed_head_is_one_that_writes_nothing(kind, share):
    whole = classifier(kind)
    expected = copy.deepcopy(whole)
    for layer in encoder_layers(expected.model):
        removed = head_norms(layer).argsort()[: round(4 * share)]
        columns = (removed[:, None] * HEAD_SIZE + np.arange(HEAD_SIZE)).ravel()
        with torch.no_grad():
            layer.attention.output.dense.weight[:, columns] = 0
    made = compressed(whole, "prune-heads", share=share)
    torch.testing.assert_close(logits(made), logits(expected), rtol=1e-5, atol=1e-5)
    n_left = round(16 * (1 - share))
    for layer in encoder_layers(made.model):
        attention = layer.attention
        assert attention.self.query.weight.shape == attention.self.value.weight.shape == (n_left, 16)
        assert attention.output.dense.weight.shape == (16, n_left)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_share_that_cuts_a_head(share):
    one_line(ModelError, lambda: compressed(classifier(), "prune-heads", share=share), "4 heads", "steps of 1/4")


def test_heads_can_be_removed_twice_and_not_from_every_model():
    twice = compressed(compressed(classifier(), "prune-heads"), "prune-heads")
    assert encoder_layers(twice.model)[0].attention.self.value.weight.shape == (4, 16)
    one_line(ModelError, lambda: compressed(classifier("distilbert"), "prune-heads"), "BERT and RoBERTa", "DistilBert")


# --- low-rank ---


@pytest.mark.parametrize("kind", ["standard", "roberta", "distilbert"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_low_rank_is_the_truncated_svd(kind, keep):
    whole = classifier(kind)
    made = compressed(whole, "low-rank", keep=keep)
    fewer = 0
    for name, layer in whole.model.named_modules():
        if layer not in linear_layers(whole.model):
            continue
        weight, bias = numbers(layer)
        n_out, n_in = weight.shape
        rank = int(keep * n_out * n_in / (n_out + n_in))
        left, singular, right = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
        thin = made.model.get_submodule(name)
        assert [tuple(part.weight.shape) for part in thin] == [(rank, n_in), (n_out, rank)]
        product = thin[1].weight.detach().double().numpy() @ thin[0].weight.detach().double().numpy()
        np.testing.assert_allclose(product, (left[:, :rank] * singular[:rank]) @ right[:rank], rtol=0, atol=1e-4)
        np.testing.assert_array_equal(thin[1].bias.detach().numpy(), bias)
        assert rank * (n_out + n_in) <= keep * n_out * n_in
        fewer += weight.size - rank * (n_out + n_in)
    sizes = [sum(values.numel() for values in of.model.parameters()) for of in (whole, made)]
    assert sizes[1] == sizes[0] - fewer == finetune.sizes(made.model)["parameters"]


def test_low_rank_is_exact_where_the_rank_is_enough():
    whole = classifier()
    with torch.no_grad():
        for layer in linear_layers(whole.model):
            layer.weight.copy_(torch.randn(layer.out_features, 4) @ torch.randn(4, layer.in_features) / 8)
    made = compressed(whole, "low-rank", keep=0.5)  # rank 4 of 16 x 16, 5 of 16 x 32
    torch.testing.assert_close(logits(made), logits(whole), rtol=1e-4, atol=1e-4)


def test_no_rank_left():
    one_line(ModelError, lambda: compressed(classifier(), "low-rank", keep=0.1), "keep=0.1", "16 x 16", "rank 0")
    assert factorised(torch.nn.Linear(16, 16), 0.13)[0].out_features == 1


# --- int8 ---


@pytest.fixture
def linear():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = torch.nn.Linear(24, 7)
        with torch.no_grad():
            layer.weight[3] *= 100  # an output of another order has a scale of its own
            layer.weight[5] = 0
    return layer


def states(*shape, seed=2):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_weights_in_8_bits_are_within_half_a_step(linear):
    weight, small = numbers(linear)[0], Int8Linear.of(linear)
    assert small.weight.dtype == torch.int8 and small.weight.shape == (7, 24)
    steps_of = np.abs(weight).max(axis=1) / 127
    np.testing.assert_allclose(small.scale.numpy(), np.maximum(steps_of, 1e-12 / 127), rtol=1e-6)
    found = small.weight.numpy() * small.scale.numpy()[:, None]
    assert (np.abs(found - weight) <= 0.5001 * small.scale.numpy()[:, None]).all()
    assert (np.abs(small.weight.numpy()).max(axis=1) == [127, 127, 127, 127, 127, 0, 127]).all()


@pytest.mark.parametrize("instructions", [True, False])
@pytest.mark.parametrize("shape", [(5, 24, 7), (1, 1024, 3), (2, 1025, 3), (3, 4096, 9)])
def test_products_of_whole_numbers_are_exact_with_and_without_instructions_for_8_bits(monkeypatch, shape, instructions):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: instructions)
    n, n_in, n_out = shape
    generator = torch.Generator().manual_seed(3)
    rows, weight = (torch.randint(-127, 128, (size, n_in), generator=generator).to(torch.int8) for size in (n, n_out))
    rows[0], weight[0] = 127, 127  # the largest sum
    weight[1] = torch.tensor([-127, 126] * n_in)[:n_in]  # and a small one of large products
    found = whole_products(rows, weight)
    assert found.dtype == torch.int32
    np.testing.assert_array_equal(found.numpy(), rows.numpy().astype(np.int64) @ weight.numpy().astype(np.int64).T)


@pytest.mark.parametrize("instructions", [True, False])
def test_the_product_is_that_of_the_integers(linear, monkeypatch, instructions):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: instructions)
    small, given = Int8Linear.of(linear), states(5, 24)
    with torch.inference_mode():
        found = small(given).numpy()
    scale = np.abs(given.numpy()).max(axis=1, keepdims=True) / np.float32(127)
    rounded = np.rint(given.numpy() / scale)
    whole_numbers = rounded.astype(np.int64) @ small.weight.numpy().astype(np.int64).T
    by_hand = whole_numbers.astype(np.float32) * scale * small.scale.numpy() + small.bias.numpy()
    np.testing.assert_array_equal(found, by_hand)
    with torch.inference_mode():
        exact = linear(given).numpy()
    # Two roundings, each half a step of 127, over 24 products of like size.
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("shape", [(1, 24), (2, 3, 24), (17, 24), (1, 1, 24), (64, 5, 24)])
def test_any_number_of_rows(linear, shape):
    small, given = Int8Linear.of(linear), states(*shape)
    with torch.inference_mode():
        found = small(given)
        rows = torch.stack([small(row) for row in given.reshape(-1, 1, 24)]).reshape(found.shape)
    assert found.shape == (*shape[:-1], 7)
    assert torch.equal(found, rows), "a row alone is a row in company, to the last bit"


def test_rows_of_zeros_and_no_bias():
    small = Int8Linear.of(torch.nn.Linear(8, 8, bias=False))
    with torch.inference_mode():
        assert torch.equal(small(torch.zeros(3, 8)), torch.zeros(3, 8))


def test_the_gradient_is_that_of_the_rounded_weights(linear):
    small, given = Int8Linear.of(linear), states(5, 24).requires_grad_()
    (gradient,) = torch.autograd.grad(small(given).square().sum(), given)
    weight = small.weight.double().numpy() * small.scale.double().numpy()[:, None]
    value = given.detach().double().numpy() @ weight.T + linear.bias.detach().double().numpy()
    np.testing.assert_allclose(gradient.numpy(), 2 * value @ weight, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_int8_stays_near_and_a_text_alone_gets_what_it_gets_in_company(kind):
    # Weights drawn as usual: over many random layers as wide as elsewhere here, any rounding grows.
    whole = classifier(kind, initializer_range=0.1)
    small = compressed(whole, "int8")
    assert not linear_layers(small.model)
    together = small.predict_proba(*PAIRS)
    assert 0 < np.abs(together - whole.predict_proba(*PAIRS)).max() < 0.02
    alone = [small.predict_proba([first], [second])[0] for first, second in zip(*PAIRS, strict=True)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["gradient-x-input", "integrated-gradients"])
def test_int8_is_explained_by_gradients_as_its_rounded_weights_are(method):
    whole = classifier()
    small, rounded = compressed(whole, "int8"), copy.deepcopy(whole)
    for layer in linear_layers(rounded.model):
        as_stored = Int8Linear.of(layer)
        layer.weight.data = as_stored.weight * as_stored.scale[:, None]
    found, expected = (trusteq.explain(of, EXAMPLES.head(3), method=method) for of in (small, rounded))
    assert found["weight"].abs().max() > 1e-3
    pd.testing.assert_frame_equal(found, expected, check_exact=False, atol=1e-6)


# --- int4 ---


@pytest.mark.parametrize("n_in", [24, 32, 33, 96, 100])
def test_weights_in_4_bits_are_within_half_a_step_of_their_block(n_in):
    layer = torch.nn.Linear(n_in, 5)
    layer.weight.data = states(5, n_in) * torch.tensor([1.0, 100, 1e-3, 0, 1])[:, None] + 0.5
    weight, small = layer.weight.detach().double().numpy(), Int4Linear.of(layer)
    assert small.blocks.dtype == torch.uint8 and small.blocks.shape == (5, -(-n_in // 32), 20)
    found = small.weight.double().numpy()
    assert found.shape == (5, n_in)
    for start in range(0, n_in, 32):
        block, made = weight[:, start : start + 32], found[:, start : start + 32]
        step = np.ptp(block, axis=1, keepdims=True) / 15
        # The step and the least weight are in half precision: 11 bits.
        assert (
            np.abs(made - block) <= step / 2 + 2.0**-11 * (np.abs(block).max(axis=1, keepdims=True) + 16 * step)
        ).all()
        assert all(len(set(row)) <= 16 for row in made)


def test_4_bits_undo_a_training_that_moved_weights_by_less_than_half_a_step():
    """As of SmolLM2, whose weights come from such blocks: see the page beyond."""
    layer = torch.nn.Linear(64, 5)
    layer.weight.data = states(5, 64)
    layer.weight.data = Int4Linear.of(layer).weight
    before, tuned = layer.weight.detach().clone().unflatten(1, (-1, 32)), copy.deepcopy(layer)
    least, most = before.amin(dim=-1, keepdim=True), before.amax(dim=-1, keepdim=True)
    inner = (before > least) & (before < most)  # the others say where the steps are
    moved = before + inner * 0.45 * (most - least) / 15 * torch.sign(states(5, 64)).unflatten(1, (-1, 32))
    tuned.weight.data = moved.flatten(1)
    assert (tuned.weight - layer.weight).abs().median() > 0.05
    torch.testing.assert_close(Int4Linear.of(tuned).weight, layer.weight, rtol=0, atol=2e-3)


def test_the_bytes_are_those_of_gguf():
    gguf = pytest.importorskip("gguf")
    layer = torch.nn.Linear(96, 7, bias=False)
    layer.weight.data = states(7, 96)
    layer.weight.data[3], layer.weight.data[4] = 0, 0.25
    expected = gguf.quants.quantize(layer.weight.detach().numpy(), gguf.GGMLQuantizationType.Q4_1)
    small = Int4Linear.of(layer)
    np.testing.assert_array_equal(small.blocks.flatten(1).numpy(), expected)
    np.testing.assert_array_equal(
        small.weight.numpy(), gguf.quants.dequantize(expected, gguf.GGMLQuantizationType.Q4_1)
    )
    assert torch.equal(small(states(3, 96)), states(3, 96) @ small.weight.T)


def test_int4_is_a_model_of_rounded_weights_and_5_bits_each(tmp_path):
    whole = classifier(hidden_size=64, intermediate_size=128)
    small, rounded = compressed(whole, "int4"), copy.deepcopy(whole)
    for layer in linear_layers(rounded.model):
        layer.weight.data = Int4Linear.of(layer).weight
    torch.testing.assert_close(logits(small), logits(rounded), rtol=0, atol=1e-5)
    n = sum(layer.weight.numel() for layer in linear_layers(whole.model))
    tuned = finetune.FineTuned(small, pd.DataFrame(columns=finetune.HISTORY, dtype=float), 0.0)
    finetune.save(tuned, tmp_path / "small", metrics={}, timing={})
    finetune.save(replace(tuned, classifier=whole), tmp_path / "whole", metrics={}, timing={})
    sizes = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("small", "whole")]
    assert sizes[0]["parameters"] == sizes[1]["parameters"]
    saved = sizes[1]["weights_bytes"] - sizes[0]["weights_bytes"]
    assert saved == pytest.approx(4 * n - 5 * n / 8, rel=0.01)  # a file has names and places besides


# --- drop-attention ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [(0,), (1,), (2, 0), (0, 1, 2)])
def test_a_block_that_is_dropped_is_one_that_writes_nothing(kind, layers):
    whole = classifier(kind)
    made, silent = compressed(whole, "drop-attention", layers=layers), copy.deepcopy(whole)
    for number in layers:
        block = encoder_layers(silent.model)[number].attention
        writing = block.out_lin if kind == "distilbert" else block.output.dense
        for values in writing.parameters():
            values.data.zero_()
    torch.testing.assert_close(logits(made), logits(silent), rtol=0, atol=1e-5)
    fewer = finetune.sizes(whole.model)["parameters"] - finetune.sizes(made.model)["parameters"]
    assert fewer == len(layers) * 4 * (16 * 16 + 16)


def test_blocks_that_cannot_be_dropped():
    for layers, reason in (((0, 3), "no layer 3"), ((-1,), "no layer -1"), ((1, 1), "twice")):
        one_line(
            ModelError,
            lambda of=layers: compressed(classifier(), "drop-attention", layers=of),
            "drop-attention",
            reason,
        )
    once = compressed(classifier(), "drop-attention", layers=(1,))
    one_line(ModelError, lambda: compressed(once, "drop-attention", layers=(1,)), "drop-attention changed nothing")
    twice = compressed(once, "drop-attention", layers=(0,))
    assert torch.equal(logits(twice), logits(compressed(classifier(), "drop-attention", layers=(0, 1))))


# --- on disk ---


def assert_saved_is_loaded(made, folder):
    """Assert that a model is, when saved and loaded, what it was: its weights to the last bit."""
    if not (folder / "config.json").exists():
        for part in (made.model, made.tokenizer):
            part.save_pretrained(folder)
    loaded = load_classifier(folder, device="cpu")
    assert steps(loaded.model.config) == json.loads(json.dumps(steps(made.model.config)))
    before, after = made.model.state_dict(), loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(
        torch.equal(values, after[name]) and values.dtype == after[name].dtype for name, values in before.items()
    )
    # Not to the last bit: of very thin matrices the product depends on where in memory a file's weights come to lie.
    np.testing.assert_allclose(loaded.predict_proba(*PAIRS), made.predict_proba(*PAIRS), rtol=0, atol=1e-6)


CHAINS = [
    ("keep-layers", "low-rank", "int8"),
    ("keep-layers", "prune-heads", "prune-weights", "int8"),
    ("prune-heads", "prune-heads", "low-rank"),
    ("low-rank", "prune-weights"),
    ("prune-weights", "low-rank"),
    ("prune-weights", "prune-heads"),
    ("keep-layers", "drop-attention", "prune-heads", "int4"),
    ("drop-attention", "low-rank", "int8"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_the_model(kind, way, tmp_path):
    if (kind, way) != ("distilbert", "prune-heads"):
        assert_saved_is_loaded(compressed(classifier(kind), way), tmp_path)


@pytest.mark.parametrize("ways", [*((way,) for way in WAYS), *CHAINS], ids="+".join)
def test_a_model_of_a_run_is_the_model(ways, tmp_path):
    made = compressed(classifier("two-linear"), *ways)
    tuned = finetune.FineTuned(made, pd.DataFrame(columns=finetune.HISTORY, dtype=float), 0.0)
    finetune.save(tuned, tmp_path / "model", metrics={}, timing={})
    assert_saved_is_loaded(made, tmp_path / "model")


@pytest.mark.parametrize(
    ("ways", "last"),
    [
        (("keep-layers", "keep-layers"), {"layers": (1,)}),
        (("prune-weights", "keep-layers"), {"layers": (1,)}),
        (("prune-weights", "keep-layers"), {"layers": (0,)}),
        (("prune-weights", "prune-weights"), {"share": 0.7}),
        (("prune-weights", "prune-weights"), {"share": 0.3}),
    ],
)
def test_what_a_later_step_changes_is_not_looked_for(ways, last, tmp_path):
    assert_saved_is_loaded(compressed(classifier(), *ways, **last), tmp_path / "saved")


def test_what_was_loaded_can_be_compressed_on(tmp_path):
    made = compressed(classifier(), "keep-layers", "low-rank")
    assert_saved_is_loaded(made, tmp_path / "first")
    further = compressed(load_classifier(tmp_path / "first", device="cpu"), "int8")
    assert [step["way"] for step in steps(further.model.config)] == ["keep-layers", "low-rank", "int8"]
    assert np.allclose(further.predict_proba(*PAIRS), compressed(made, "int8").predict_proba(*PAIRS), rtol=0, atol=1e-6)
    assert_saved_is_loaded(further, tmp_path / "second")


@pytest.mark.parametrize("way", WAYS)
def test_half_precision_on_disk_is_single_precision_in_use(way, tmp_path):
    made = compressed(classifier(), way)
    for part in (made.model.half(), made.tokenizer):
        part.save_pretrained(tmp_path)
    loaded = load_classifier(tmp_path, device="cpu")
    types = {values.dtype for values in loaded.model.state_dict().values()}
    assert types == {torch.float32} | {"int8": {torch.int8}, "int4": {torch.uint8}}.get(way, set())
    expected = settled(made.model.float())
    wanted = replace(made, model=expected).predict_proba(*PAIRS)
    np.testing.assert_allclose(loaded.predict_proba(*PAIRS), wanted, rtol=0, atol=1e-6)


def test_a_way_that_finds_nothing_to_change(monkeypatch):
    whole = classifier()
    bare = replace(whole, model=copy.deepcopy(whole.model))
    for layer in linear_layers(bare.model):
        layer.__class__ = type("Other", (torch.nn.Linear,), {})
    for way, options in {"int8": {}, "int4": {}, "low-rank": {"keep": 0.5}, "prune-weights": {"share": 0.5}}.items():
        one_line(ModelError, lambda way=way, of=options: compressed(bare, way, **of), way, "Bert", "linear")
    assert compressed(bare, "keep-layers", layers=(0,)).model.config.num_hidden_layers == 1
    monkeypatch.setitem(WAYS, "idle", Way(lambda model: None))
    monkeypatch.setitem(OPTIONS, "idle", {})
    one_line(ModelError, lambda: compressed(classifier(), "idle"), "idle changed nothing of Bert")


def test_what_a_way_changed_is_returned():
    whole = classifier()
    model = copy.deepcopy(whole.model)
    changed = apply(model, "int8", {}, whole=whole.model)
    assert changed and all(".layer." in name for name in changed)
    assert {name.rpartition(".")[2] for name in changed} == {"weight", "scale"}


@pytest.mark.parametrize("ordinary", [True, False])
def test_a_way_is_one_function_and_one_record(ordinary, tmp_path, monkeypatch):
    def rounded(model, *, digits: int) -> None:
        for layer in linear_layers(model):
            layer.weight.data = layer.weight.data.round(decimals=digits)

    monkeypatch.setitem(WAYS, "rounded", Way(rounded, ordinary=ordinary))
    # Rounding makes zeros, and may unmake what pruning claims for all that a new way says.
    assert_saved_is_loaded(compressed(classifier(), "prune-weights", "rounded", digits=1), tmp_path)
    with pytest.raises(ModelError, match=r"^rounded cannot follow int8"):
        compressed(classifier(), "int8", "rounded", digits=1)


# --- in use ---


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["standard", *HEADS])
def test_the_engines_pass_is_the_models(kind, way):
    # In single precision, whose rounding 8 bits would now and then magnify: weights as narrow as usual.
    made = compressed(classifier(kind, initializer_range=0.1), way)
    if way == "drop-attention":
        assert not is_bert(made.model)  # its own pass is taken
        return
    assert is_bert(made.model)
    tokens = inputs(made)
    with torch.inference_mode():
        torch.testing.assert_close(bert_logits(made.model, **tokens), made.model(**tokens).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["standard", "roberta"])
def test_compressed_models_can_be_explained(kind, way):
    made = compressed(classifier(kind), way)
    for method in ("lime", "gradient-x-input"):
        table = trusteq.explain(made, EXAMPLES.head(2), method=method, n_samples=30)
        assert set(table["id"]) == {"test-0", "test-1"} and np.isfinite(table["weight"]).all()
        assert table["weight"].abs().max() > 0


@pytest.mark.parametrize("way", WAYS)
def test_compressed_models_can_be_audited(way):
    whole = classifier()
    found = trusteq.audit(whole, compressed(whole, way), EXAMPLES, n_samples=20, explain=2)
    assert found.verdict in ("equivalent", "not-equivalent", "undecided")


# --- bad input ---


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.5, float("nan"), "half"])
@pytest.mark.parametrize(("way", "name"), [("prune-weights", "share"), ("prune-heads", "share"), ("low-rank", "keep")])
def test_a_share_is_between_0_and_1(way, name, share):
    one_line(ExperimentError, lambda: check_options(way, {name: share}), way, name)


@pytest.mark.parametrize(
    ("way", "options", "parts"),
    [
        ("int9", {}, ["int9", "did you mean 'int", "keep-layers"]),
        ("prune-weights", {"shares": 0.5}, ["takes share"]),
        ("prune-weights", {}, ["share", "required"]),
        ("int8", {"share": 0.5}, ["'share'", "takes no options"]),
        ("keep-layers", {"layers": []}, ["layers"]),
        ("keep-layers", {"layers": [0.5]}, ["layers"]),
    ],
)
def test_unknown_ways_and_options(way, options, parts):
    one_line(ExperimentError, lambda: check_options(way, options), *parts)
    entry = {"name": "m", "title": "M", "compress": {"of": "large", "way": way, "options": options}}
    one_line(ExperimentError, lambda: validated(ModelSpec, entry, where="here.yaml"), "here.yaml", *parts)


def test_8_bits_are_not_trained_on():
    entry = {"name": "m", "title": "M", "compress": {"of": "large", "way": "int8", "recover": True}}
    one_line(ExperimentError, lambda: validated(ModelSpec, entry, where="here.yaml"), "int8", "train first")


@pytest.mark.parametrize(
    ("ways", "parts"),
    [
        *((("int8", way), [f"{way} cannot follow int8", "last"]) for way in WAYS),
        *((("int4", way), [f"{way} cannot follow int4", "last"]) for way in WAYS),
        (("drop-attention", "keep-layers"), ["keep-layers cannot follow drop-attention"]),
        (("low-rank", "low-rank"), ["low-rank cannot follow low-rank", "once"]),
        (("low-rank", "prune-heads"), ["prune-heads cannot follow low-rank", "last"]),
    ],
)
def test_ways_that_come_too_late(ways, parts):
    one_line(ModelError, lambda: compressed(classifier(), *ways), *parts)


def claims(folder, way, *, weights, options=None):
    """A folder with the whole model's weights or a compressed one's, whose config.json says that `way` was taken."""
    made = classifier() if weights == "whole" else compressed(classifier(), way)
    for part in (made.model, made.tokenizer):
        part.save_pretrained(folder)
    edit(folder, lambda config: config.update(compression=[{"way": way, "options": options or OPTIONS[way]}]))
    return folder


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("way", "parts"),
    [
        ("keep-layers", ["3 layers and not 2", "compress it again"]),
        ("prune-weights", ["0.0% of its weights at 0 and not 50.0%", "compress it again"]),
        ("prune-heads", ["weights of another shape", "attention.output.dense.weight"]),
        ("low-rank", ["weights missing"]),
        ("int8", ["weights missing", "scale"]),
        ("int4", ["weights missing", "blocks"]),
        ("drop-attention", ["weights", "layer.1.attention"]),
    ],
)
def test_a_config_that_claims_what_the_weights_are_not(way, parts, tmp_path, capfd):
    folder = claims(tmp_path / "model", way, weights="whole")
    capfd.readouterr()
    one_line(ModelError, lambda: load_classifier(folder, device="cpu"), folder, *parts)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("way", ["prune-heads", "low-rank", "int8", "int4", "drop-attention"])
def test_weights_that_are_what_the_config_does_not_say(way, tmp_path):
    folder = claims(tmp_path / "model", way, weights="compressed")
    edit(folder, lambda config: config.pop("compression"))
    one_line(ModelError, lambda: load_classifier(folder, device="cpu"), folder, "weights", "does not fit")


def test_a_config_that_names_no_known_way(tmp_path):
    folder = claims(tmp_path / "model", "int9", weights="whole", options={"bits": 8})
    one_line(ModelError, lambda: load_classifier(folder, device="cpu"), folder, "int9", "did you mean 'int")


@pytest.mark.parametrize("value", ["int8", None, ["int8"], [{"way": "int8"}], {"way": "int8", "options": {}}])
def test_a_config_in_another_form(value, tmp_path):
    folder = claims(tmp_path / "model", "int8", weights="whole")
    edit(folder, lambda config: config.update(compression=value))
    one_line(ModelError, lambda: load_classifier(folder, device="cpu"), "config.json", "compress it again")


@pytest.mark.parametrize("way", ["low-rank", "prune-weights"])
def test_a_config_with_options_that_the_way_does_not_take(way, tmp_path):
    folder = claims(tmp_path / "model", way, weights="compressed", options={"portion": 0.5})
    one_line(ExperimentError, lambda: load_classifier(folder, device="cpu"), way, "it takes")


@pytest.mark.parametrize("change", [lambda state: state.popitem(), lambda state: state.update(new=torch.ones(2))])
def test_compressed_weights_have_to_be_whole_and_no_more(change, tmp_path):
    folder = shutil.copytree(claims(tmp_path / "model", "low-rank", weights="compressed"), tmp_path / "broken")
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    one_line(ModelError, lambda: load_classifier(folder, device="cpu"), "1 weights", "does not fit")
