"""Size and speed of the models of an audit."""

import time

import pytest
import torch

from trusteq.models.classifier import as_classifier, build
from trusteq.models.finetune import sizes
from trusteq.models.recipe import Recipe
from trusteq.registry import ModelSpec, Scratch
from trusteq.verdict.costs import size_of, sizes_of, speed_of, stopwatch

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


def test_speed_is_the_time_of_a_pass_over_its_texts(checkpoint):
    seconds = {}
    with stopwatch(seconds, "a"):
        time.sleep(0.02)
    assert 0.02 <= seconds["a"] < 2
    found = speed_of([checkpoint, len], [2.0, 1.0], 400)
    assert found["large"] == {"ms_per_text": 5.0, "texts": 400, "device": f"cpu, {torch.get_num_threads()} threads"}
    assert found["compressed"] == {"ms_per_text": 2.5, "texts": 400, "device": None}
    assert speed_of([checkpoint, len], [2.0, None], 400) is None
