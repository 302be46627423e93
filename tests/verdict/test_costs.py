"""Size and speed of the models of an audit."""

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from trusteq import audit
from trusteq.models.build import build
from trusteq.models.classifier import as_classifier
from trusteq.models.finetune import sizes
from trusteq.models.recipe import Recipe
from trusteq.registry import ModelSpec, Scratch
from trusteq.verdict.costs import size_of, sizes_of, speed_of

TINY = Scratch(num_hidden_layers=1, hidden_size=8, num_attention_heads=1, intermediate_size=8)


@pytest.fixture(scope="module")
def checkpoint():
    model, tokenizer = build(ModelSpec(name="t", title="T", scratch=TINY), labels=("no", "yes"), recipe=Recipe())
    return as_classifier(model, tokenizer, ("no", "yes"), device="cpu")


def test_a_checkpoint_has_a_size_and_a_callable_none(checkpoint):
    found, known = size_of(checkpoint), sizes(checkpoint.model)
    assert {name: known[name] for name in ("parameters", "nonzero_parameters")} | {
        "weights_bytes": 4 * known["parameters"]
    } == found
    assert sizes_of([checkpoint, len]) == {"large": found, "compressed": None}


def test_weights_that_are_shared_count_once(checkpoint):
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 20}
    model = transformers.T5ForSequenceClassification(transformers.T5Config(**sizes))
    found = size_of(replace(checkpoint, model=model))
    assert found["parameters"] == model.num_parameters() and found["weights_bytes"] == 4 * model.num_parameters()


def test_speed_is_the_time_of_a_text_in_a_pass_over_all(checkpoint):
    asked = [{"calls": 0, "failed": 0}, {"calls": 7, "failed": 1}]
    found = speed_of([checkpoint, len], [0.005, 0.0025], asked, texts=400)
    device = f"cpu, {torch.get_num_threads()} threads"
    assert found["large"] == {"ms_per_text": 5.0, "texts": 400, "device": device, "calls": 0, "failed": 0}
    assert found["compressed"] == {"ms_per_text": 2.5, "texts": 400, "device": None, "calls": 7, "failed": 1}


def test_predictions_that_are_kept_keep_the_time_they_took(tmp_path):
    def slow(text_a, text_b=None):
        time.sleep(0.1)
        return np.full((len(text_a), 2), 0.5)

    rows = pd.DataFrame({"text_a": ["a dog", "a man"] * 5, "label": 0})
    for _ in range(2):
        found = audit(slow, slow, rows, labels=("no", "yes"), method="random", clusters=None, keep=tmp_path)
        assert 0.1 <= found.speed["large"]["ms_per_text"] * 10 / 1000 < 2
