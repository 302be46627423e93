"""A GPU against the CPU: probabilities, weights, gradients, training, memory that runs out.

Marked `cuda` they run where there is a GPU, by `benchmarks/gpu.sh`, with the real model that TRUSTEQ_GPU_MODEL names.
Everywhere the same bodies run with the CPU in its place, in the batches and windows of a GPU: what they hold is then
that neither changes a result.
"""

import contextlib
import copy
import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

import trusteq
from trusteq.attribution import engine
from trusteq.attribution.explain import explain
from trusteq.models import forward
from trusteq.models.build import compress, random_head
from trusteq.models.checkpoint import fingerprint
from trusteq.models.classifier import load_classifier
from trusteq.models.finetune import finetune
from trusteq.models.forward import Rows
from trusteq.models.probabilities import check_output
from trusteq.models.recipe import Recipe
from trusteq.registry import Compression, ModelSpec

REAL = os.environ.get("TRUSTEQ_GPU_MODEL")  # a fine-tuned model of SNLI; its pairs are in TRUSTEQ_HUB
WORDS = ["a", "the", "man", "woman", "dog", "reads", "runs", "sleeps", "in", "park", "good", "bad", "very", "not"]
BUDGETS = {"lime": 400, "shap": 200, "shapley": 400, "integrated-gradients": 150, "gradient-x-input": 2}
# Weights drawn so wide that made-up texts differ are farther from rounding than those of a trained model.
LOOSER = 1 if REAL else 10


def made_up_pairs(n):
    rng = np.random.default_rng(0)
    texts = [[" ".join(rng.choice(WORDS, rng.integers(3, 14))) for _ in range(2)] for _ in range(n)]
    return pd.DataFrame(texts, columns=["text_a", "text_b"]).assign(id=[f"p{number}" for number in range(n)], label=0)


def pairs(n):
    return trusteq.load_examples("snli", "test", limit=n) if REAL else made_up_pairs(min(n, 100))


def on(classifier, device, dtype=torch.float32):
    """A copy of a classifier on a device."""
    return replace(classifier, model=copy.deepcopy(classifier.model).to(device, dtype))


@pytest.fixture(scope="module")
def here(tiny_bert):
    """The model on the CPU."""
    torch.set_num_threads(min(8, os.cpu_count()) if REAL else 1)
    torch.set_float32_matmul_precision("highest")
    return load_classifier(REAL or tiny_bert("BertForSequenceClassification", model_max_length=64), device="cpu")


@pytest.fixture(scope="module")
def told(here):
    """What the CPU says of pairs: the pairs, their probabilities, and the weights of some by each method."""
    table = pairs(2000)
    explained = table.head(100 if REAL else 10)
    weights = {method: explain(here, explained, method=method, n_samples=n) for method, n in BUDGETS.items()}
    return table, here.predict_proba(table["text_a"], table["text_b"]), explained, weights


@pytest.fixture(params=[pytest.param("cuda", marks=pytest.mark.cuda), "cpu"])
def device(request, monkeypatch, told):
    """The GPU; or the CPU, set up as one."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU on this machine")
    for settings in (forward.BUDGET, forward.CALL, engine.WINDOW):
        monkeypatch.setitem(settings, "cpu", settings["cuda"])
    return request.param


def beside(found, expected, *, k=10):
    """The largest difference of weights, and the mean Jaccard index of the top words over examples and classes."""
    pd.testing.assert_frame_equal(found.drop(columns="weight"), expected.drop(columns="weight"), check_like=True)
    difference = np.abs(found["weight"] - expected["weight"]).groupby([found["id"], found["label"]]).max()
    return difference, jaccards(found, expected, k=k)


def jaccards(a, b, *, k=10):
    keys = ["id", "label"]
    tops = [of.groupby(keys)[["segment", "position", "weight"]].apply(top, k=k) for of in (a, b)]
    return np.array([len(one & other) / len(one | other) for one, other in zip(*tops, strict=True)])


def top(words, *, k):
    chosen = words.assign(size=words["weight"].abs()).sort_values("size", ascending=False, kind="stable").head(k)
    return frozenset(zip(chosen["segment"], chosen["position"], strict=True))


def test_probabilities_in_single_precision(here, told, device):
    table, expected, _, _ = told
    found = on(here, device).predict_proba(table["text_a"], table["text_b"])
    assert expected.std(axis=0).max() > 0.05
    assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("method", BUDGETS)
def test_weights_in_single_precision(here, told, device, method):
    """Few of SHAP's branches, and of the looks of `shapley`, may turn on the last digit; elsewhere none differs."""
    _, _, explained, weights = told
    found = explain(on(here, device), explained, method=method, n_samples=BUDGETS[method])
    kept = ["id", "segment", "position", "word", "label", "weight"]
    difference, jaccard = beside(found[kept], weights[method][kept])
    assert weights[method]["weight"].abs().max() > 0.05
    assert (difference <= 1e-4).mean() >= 0.99
    assert (jaccard == 1).mean() >= 0.99


@contextlib.contextmanager
def in_half(classifier, device, how):
    """The classifier in bfloat16: products alone (`torch.autocast`), or its weights and all states."""
    if how == "weights":
        yield on(classifier, device, torch.bfloat16)
        return
    with torch.autocast(device, dtype=torch.bfloat16):
        yield on(classifier, device)


# How many times looser the weights' own: where states are rounded after each layer, SNLI's pairs differ by up to .055
# on a CPU, with autocast by .013.
HALF = [("autocast", 1), ("weights", 4)]


@pytest.mark.parametrize(("how", "looser"), HALF)
def test_probabilities_in_half_precision(here, told, device, how, looser):
    table, expected, _, _ = told
    with in_half(here, device, how) as classifier:
        found = classifier.predict_proba(table["text_a"], table["text_b"])
    difference, looser = np.abs(found - expected), looser * LOOSER
    print(f"bf16, {how}: largest {difference.max():.2g}, mean {difference.mean():.2g}")
    assert difference.max() > 1e-5  # it was in half precision
    assert difference.max() <= 2e-2 * looser
    assert difference.mean() <= 2e-3 * looser
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 1 - 0.005 * looser


@pytest.mark.parametrize("method", ["lime", "shapley"])
@pytest.mark.parametrize(("how", "looser"), HALF)
def test_top_words_in_half_precision(here, told, device, method, how, looser):
    _, _, explained, weights = told
    with in_half(here, device, how) as classifier:
        found = explain(classifier, explained, method=method, n_samples=BUDGETS[method])
    jaccard = jaccards(found, weights[method])
    print(f"bf16, {how}, {method}: mean Jaccard of the top ten {jaccard.mean():.3f}")
    assert jaccard.mean() >= 1 - 0.05 * looser


@contextlib.contextmanager
def little_memory(device, monkeypatch):
    """A GPU that gives this process no more than it holds and 64 MB; a CPU that takes no more than 600 tokens."""
    if device == "cuda":
        torch.cuda.empty_cache()
        room = torch.cuda.memory_reserved() + 64 * 2**20
        torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    run = forward.run_batch

    def cramped(model, inputs):
        if inputs["input_ids"].numel() > 600:
            raise torch.OutOfMemoryError("out of memory")
        return run(model, inputs)

    with monkeypatch.context() as patched:
        patched.setattr(forward, "run_batch", cramped)
        yield


def test_memory_that_runs_out(here, device, monkeypatch):
    """Halved until it fits, the batches give the same; nothing of what did not fit stays in the way."""
    rng = np.random.default_rng(0)
    n, budget = (40_000, 1 << 20) if device == "cuda" else (200, None)
    rows = Rows(rng.integers(5, 20, size=(n, 60)), rng.integers(3, 61, size=n), np.zeros((n, 60), dtype=np.int64))
    model, sizes = on(here, device).model, []
    run = forward.run_batch
    monkeypatch.setattr(
        forward, "run_batch", lambda model, inputs: sizes.append(inputs["input_ids"].numel()) or run(model, inputs)
    )
    (expected,) = forward.logits(model, [rows], budget=budget)
    free = list(sizes)
    sizes.clear()
    with little_memory(device, monkeypatch):
        (found,) = forward.logits(model, [rows], budget=budget)
    assert len(free) < len(sizes)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_windows_give_what_each_example_gives_alone(here, told, device):
    _, _, explained, _ = told
    classifier = on(here, device)
    assert engine.window(classifier) == engine.WINDOW["cuda"]
    some = explained.head(5)
    together = explain(classifier, some, n_samples=100)
    alone = [explain(classifier, some.iloc[[row]], n_samples=100) for row in range(len(some))]
    difference, _ = beside(together, pd.concat(alone, ignore_index=True))
    assert difference.max() <= 1e-4
    assert together.attrs["passes"] == sum(of.attrs["passes"] for of in alone)


def test_many_windows_come_back_in_order(here, told, device, monkeypatch):
    _, _, explained, _ = told
    classifier = on(here, device)
    whole = explain(classifier, explained, n_samples=50)
    monkeypatch.setitem(engine.WINDOW, device, 7)
    parts = explain(classifier, explained, n_samples=50)
    difference, _ = beside(parts, whole)
    assert difference.max() <= 1e-4
    assert parts.attrs["passes"] == whole.attrs["passes"]


def test_full_batches_of_the_shortest_rows(here, device):
    """More rows of one token than the kernels of a GPU can number: they are parted before."""
    n = 70_000 if device == "cuda" else 33_000
    rows = Rows(np.full((n, 2), 7), np.repeat([1, 2], [n - 10, 10]))
    (found,) = forward.logits(on(here, device).model, [rows])
    np.testing.assert_allclose(found[:-10], found[[0]].repeat(n - 10, axis=0), rtol=0, atol=1e-4)


def families():
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "initializer_range": 0.3, "num_labels": 3, "pad_token_id": 0}
    return {
        "Llama": transformers.LlamaConfig(**sizes, num_key_value_heads=2),
        "Roberta": transformers.RobertaConfig(**sizes, max_position_embeddings=64),
        "ModernBert": transformers.ModernBertConfig(**sizes, max_position_embeddings=64),
        "DebertaV2": transformers.DebertaV2Config(**sizes, max_position_embeddings=64),
        "DistilBert": transformers.DistilBertConfig(vocab_size=50, dim=32, n_layers=2, n_heads=4, num_labels=3),
    }


@pytest.mark.parametrize("family", ["Llama", "Roberta", "ModernBert", "DebertaV2", "DistilBert"])
def test_other_families(device, family):
    rng = np.random.default_rng(0)
    rows = Rows(rng.integers(5, 50, size=(60, 30)), rng.integers(3, 31, size=60))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForSequenceClassification.from_config(families()[family]).eval()
    (expected,) = forward.logits(model, [rows], budget=64)
    (found,) = forward.logits(model.to(device), [rows])
    assert expected.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max() + 1e-5)


WAYS = {
    "keep-layers": {"layers": [1]},
    "prune-weights": {"share": 0.5},
    "prune-heads": {"share": 0.5},
    "low-rank": {"keep": 0.5},
    "drop-attention": {"layers": [1]},
    "int8": {},
    "int4": {},
}


@pytest.mark.parametrize("way", WAYS)
def test_compressed_there_and_here(here, told, device, way):
    """In 8 bits the CPU rounds what it multiplies as well, and a GPU does not."""
    table = told[0].head(50)
    compression = Compression(of="x", way=way, options=WAYS[way])
    found = compress(on(here, device), compression).predict_proba(table["text_a"], table["text_b"])
    expected = compress(here, compression).predict_proba(table["text_a"], table["text_b"])
    assert np.abs(found - expected).max() <= (0.2 if way == "int8" else 1e-3)


def test_a_random_head_and_a_fingerprint(here, device):
    there = on(here, device)
    weights = [random_head(of, seed=3).model.state_dict().values() for of in (here, there)]
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(theirs.cpu().numpy(), ours.numpy())
    assert (fingerprint(there) == fingerprint(here)) == (device == "cpu")
    assert len({fingerprint(there), fingerprint(on(here, device, torch.bfloat16))}) == 2


def test_a_callable_that_returns_tensors_of_its_device(here, device):
    there = on(here, device, torch.bfloat16)

    def asked(text_a, text_b):
        tokens = there.tokenizer(list(text_a), list(text_b), padding=True, return_tensors="pt").to(device)
        return there.model(**tokens).logits.float().softmax(-1)

    found = check_output(asked(["a man"], ["a dog runs"]), 1, here.labels)
    np.testing.assert_allclose(found, here.predict_proba(["a man"], ["a dog runs"]), atol=0.1)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("by", ["gradients", "deletion"])
def test_a_student_learns_from_a_teacher(tiny_bert, tmp_path, device, by):
    folder = tiny_bert("BertForSequenceClassification", model_max_length=64)
    teacher = load_classifier(folder, device=device)
    table = made_up_pairs(32)
    recipe = Recipe(epochs=1, batch_size=8, attribution_weight=1.0, attribution_by=by, hidden_weight=1.0)
    spec = ModelSpec(name="s", title="S", hub=str(folder), layers=1, teacher="t")
    given = {"spec": spec, "labels": teacher.labels, "recipe": recipe, "seed": 0, "teacher": teacher}
    tuned = finetune(table, table.head(8), checkpoints=tmp_path / "c", **given)
    assert tuned.classifier.model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert np.isfinite(tuned.history[["loss", "eval_loss"]]).all(axis=None)
