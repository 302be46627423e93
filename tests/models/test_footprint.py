"""The footprint of a model against counts by hand, a clock of our own, and layers of known size."""

import resource
import types

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import one_line

from trusteq.errors import DataError, ModelError
from trusteq.models import footprint as module
from trusteq.models.build import build, compress, untuned
from trusteq.models.classifier import load_classifier
from trusteq.models.footprint import footprint, latency, peak_memory
from trusteq.models.recipe import Recipe
from trusteq.registry import Compression, ModelSpec, Scratch

PAIRS = pd.DataFrame({"text_a": ["a man", "a dog", "a house", "the park", "not bad"], "text_b": list("vwxyz")})


class Counting:
    """A classifier that only remembers what it is asked."""

    def __init__(self):
        self.asked = []

    def predict_proba(self, text_a, text_b=None):
        self.asked.append((text_a, text_b))


# --- latency ---


def test_batches_are_drawn_in_turn_from_the_examples():
    classifier = Counting()
    latency(classifier, PAIRS, batch=2, repeats=2)
    assert len(classifier.asked) == module.WARM_UP + 2
    firsts, seconds = zip(*classifier.asked, strict=True)
    assert list(firsts[:3]) == [["a man", "a dog"], ["a house", "the park"], ["not bad", "a man"]]
    assert list(seconds[:3]) == [["v", "w"], ["x", "y"], ["z", "v"]]


def test_a_batch_may_be_larger_than_the_table():
    classifier = Counting()
    latency(classifier, PAIRS.head(2), batch=5, repeats=1)
    assert classifier.asked[0][0] == ["a man", "a dog", "a man", "a dog", "a man"]


def test_the_latency_is_the_median_after_the_warm_up_in_milliseconds(monkeypatch):
    seconds = [100.0] * module.WARM_UP + [0.004, 0.001, 0.002, 9.0, 0.003]
    ticks = iter([tick for end in seconds for tick in (0.0, end)])
    monkeypatch.setattr(module, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert latency(Counting(), PAIRS, batch=1, repeats=5) == pytest.approx(3.0)
    assert next(ticks, None) is None


@pytest.mark.parametrize("measure", [latency, peak_memory])
def test_without_examples_nothing_is_measured(measure):
    one_line(DataError, lambda: measure(Counting(), PAIRS.head(0), batch=1), "no examples", "give at least one")


# --- memory ---


def saved(folder, *, layers, hidden=512):
    """A model from scratch whose layers have 6 hidden^2 weights each, and 9 hidden biases and norms."""
    shape = Scratch(num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=4, intermediate_size=hidden)
    with torch.random.fork_rng():
        parts = build(ModelSpec(name="m", title="M", scratch=shape), labels=("no", "yes"), recipe=Recipe())
    for part in parts:
        part.save_pretrained(folder)
    return folder


def test_memory_rises_by_the_weights_of_the_layers(tmp_path):
    few, many = (peak_memory(saved(tmp_path / str(n), layers=n), PAIRS) for n in (1, 9))
    of_a_layer = 4 * (6 * 512**2 + 9 * 512)
    assert many - few == pytest.approx(8 * of_a_layer, rel=0.25)
    # What any model costs, such as the 300 MB of the libraries, is not counted: this one has its layer and not much.
    assert of_a_layer < few < 3 * of_a_layer


def test_memory_of_a_model_that_is_not_there(tmp_path):
    one_line(ModelError, lambda: peak_memory(tmp_path / "none", PAIRS), "no such folder")


def test_where_the_peak_cannot_be_reset_it_is_the_systems_own(monkeypatch):
    class Forbidden:
        def __init__(self, name):
            assert name.startswith("/proc/self/")

        def write_text(self, text):
            raise PermissionError

        def read_text(self):
            raise FileNotFoundError

    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert module._peak() == pytest.approx(peak, rel=0.05)
    monkeypatch.setattr(module, "Path", Forbidden)
    assert module._resident_from_here() >= peak
    monkeypatch.setattr(module.sys, "platform", "darwin")  # where the unit is a byte
    assert module._peak() * 1024 == pytest.approx(module._resident_from_here() * 1024)


# --- all together ---


def test_a_footprint_by_hand(tiny_bert):
    folder = tiny_bert("BertForSequenceClassification")
    found = footprint(folder, PAIRS)
    hidden, inner, words, places = 16, 32, 25, 64
    embeddings = (words + places + 2) * hidden + 2 * hidden
    layer = 4 * (hidden + 1) * hidden + 2 * hidden * inner + hidden + inner + 4 * hidden
    head = (hidden + 1) * hidden + (hidden + 1) * 3
    assert found["parameters"] == embeddings + 2 * layer + head
    # A new model's biases are 0, of the linear layers and of the norms, and so is the embedding of padding.
    zeros = hidden + 2 * (4 * hidden + inner + hidden + 2 * hidden) + hidden + 3 + hidden
    assert found["nonzero_parameters"] == found["parameters"] - zeros
    assert found["weights_bytes"] == (folder / "model.safetensors").stat().st_size > 4 * found["parameters"]
    assert found["latency_1_ms"] > 0 and found["latency_32_ms"] > 0
    assert isinstance(found["peak_memory_bytes"], int)
    assert set(found) == {
        *("parameters", "nonzero_parameters", "weights_bytes", "latency_1_ms", "latency_32_ms", "peak_memory_bytes")
    }


def test_single_texts_and_zeros(tiny_bert, tmp_path):
    classifier = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    pruned = compress(classifier, Compression(of="m", way="prune-weights", options={"share": 0.5}))
    for part in (pruned.model, pruned.tokenizer):
        part.save_pretrained(tmp_path)
    whole, half = (module.sizes(of.model) for of in (classifier, pruned))
    found = footprint(tmp_path, PAIRS.assign(text_b=None))
    weights = 2 * (4 * 16 * 16 + 2 * 16 * 32)
    assert found["nonzero_parameters"] == half["nonzero_parameters"] == whole["nonzero_parameters"] - weights // 2
    assert found["parameters"] == whole["parameters"]


SHAPE = Scratch(num_hidden_layers=2, hidden_size=16, num_attention_heads=2, intermediate_size=16, patch_size=7)
ROWS = {
    "image": {"image": [np.full((14, 21), grey, dtype=np.uint8) for grey in (0, 90, 255)]},
    "colour": {"image": [np.full((14, 21, 3), grey, dtype=np.uint8) for grey in (0, 90, 255)]},
    "sound": {"sound": [np.sin(np.arange(4000) / tone, dtype=np.float32) for tone in (3, 5, 9)], "rate": 8000},
}


@pytest.mark.parametrize("kind", ROWS)
def test_models_of_arrays_are_measured(kind, tmp_path):
    examples = pd.DataFrame({"id": list("abc"), **ROWS[kind], "label": [0, 1, 0]})
    spec = ModelSpec(name="small", title="Small", scratch=SHAPE)
    untuned(spec, examples, labels=("no", "yes"), recipe=Recipe()).save(tmp_path)
    found = footprint(tmp_path, examples)
    assert found["parameters"] > 0 and found["latency_1_ms"] > 0 and isinstance(found["peak_memory_bytes"], int)
