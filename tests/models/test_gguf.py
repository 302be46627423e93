"""Files of GGUF: a tiny Llama, written by the package gguf from weights that the plain library has too."""

import importlib.util

import numpy as np
import pytest
import torch
from refusals import one_line

from trusteq.errors import ModelError
from trusteq.models import classifier as checkpoints
from trusteq.models.build import build
from trusteq.models.checkpoint import fingerprint
from trusteq.models.classifier import load_classifier, locate
from trusteq.models.recipe import Recipe
from trusteq.registry import ModelSpec

gguf = pytest.importorskip("gguf")
from gguf_files import llama, write  # noqa: E402

LABELS, TEXTS = ["no", "yes"], ["a man reads", "the dog", "dog dog dog a man"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", llama())


def built(hub):
    spec = ModelSpec(name="tiny", title="Tiny", hub=str(hub))
    return build(spec, labels=LABELS, recipe=Recipe())


def state_of(model):
    return {name.removeprefix("model."): values for name, values in model.state_dict().items() if "score" not in name}


def test_the_weights_are_those_that_were_written(file, capfd):
    model, tokenizer = built(file)
    expected = llama().state_dict()
    found = state_of(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], values) for name, values in expected.items())
    assert tokenizer.tokenize("dog man") == ["dog", "Ġman"]
    assert capfd.readouterr() == ("", "")


def test_its_states_are_those_of_the_plain_library(file):
    model, tokenizer = built(file)
    tokens = tokenizer("a man", return_tensors="pt")
    with torch.inference_mode():
        found = model.model(tokens["input_ids"]).last_hidden_state
        expected = llama()(tokens["input_ids"]).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_four_bits_are_brought_to_single_precision(tmp_path):
    model, _ = built(write(tmp_path / "q.gguf", llama(), kind="Q4_1"))
    weight = llama().state_dict()["layers.1.mlp.up_proj.weight"].numpy()
    kind = gguf.GGMLQuantizationType.Q4_1
    expected = gguf.quants.dequantize(gguf.quants.quantize(weight, kind), kind)
    found = state_of(model)["layers.1.mlp.up_proj.weight"]
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)
    assert np.abs(expected - weight).max() > 1e-3  # four bits are seen


def test_what_is_saved_is_an_ordinary_checkpoint(file, tmp_path):
    model, tokenizer = built(file)
    before = checkpoints.as_classifier(model, tokenizer, LABELS)
    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    text = (tmp_path / "saved" / "config.json").read_text()
    assert "quantization" not in text and "gguf" not in text and str(file.parent) not in text
    after = load_classifier(tmp_path / "saved")
    np.testing.assert_array_equal(after.predict_proba(TEXTS), before.predict_proba(TEXTS))
    assert fingerprint(after) == fingerprint(before)


def test_a_file_inside_a_package_is_found_without_importing_it(file, tmp_path, monkeypatch):
    package = tmp_path / "weights_of_mine"
    package.mkdir()
    package.joinpath("__init__.py").write_text("raise RuntimeError('imported')")
    package.joinpath("tiny.gguf").write_bytes(file.read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("weights_of_mine/tiny.gguf") == str(package / "tiny.gguf")
    assert built("weights_of_mine/tiny.gguf")[0].config.hidden_size == 64


@pytest.mark.parametrize("name", ["no.gguf", "no_such_package/x.gguf", "numpy/x.gguf", "../x.gguf", "/x.gguf", ".gguf"])
def test_a_file_that_is_not_there(name):
    one_line(ModelError, lambda: locate(name), "trusteq[smollm2]")


def test_the_package_that_reads_them_is_not_there(file, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "gguf" else found(name))
    one_line(ModelError, lambda: built(file), "trusteq[smollm2]")


def test_a_file_has_no_classes(file):
    one_line(ModelError, lambda: load_classifier(file), "no class names")
    one_line(ModelError, lambda: load_classifier(file, labels=LABELS), "score.weight")


def test_a_file_is_asked_in_words(file):
    """A GGUF does not say as what it was saved: that it is a language model is told by its family."""
    words, template = {"no": "do", "yes": "an"}, "{text_a} man "
    found = load_classifier(file, words=words, template=template, device="cpu")
    trained = ModelSpec(name="tiny", title="Tiny", hub=str(file), words=words, template=template)
    model, tokenizer = build(trained, labels=LABELS, recipe=Recipe())
    both = found.predict_proba(TEXTS), checkpoints.as_classifier(model, tokenizer, LABELS).predict_proba(TEXTS)
    np.testing.assert_allclose(*both, rtol=0, atol=1e-6)
    assert found.labels == ("no", "yes") and np.ptp(both[0][:, 0]) > 1e-3
