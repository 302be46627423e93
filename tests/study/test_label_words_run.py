"""A language model in an experiment: asked by words, trained or not, calibrated on the dev split."""

import json

import numpy as np
import pytest
import torch
import transformers
from refusals import one_line
from word_tokenizer import SPECIAL, tokenizer

from trusteq.errors import ExperimentError
from trusteq.examples.load import load_examples
from trusteq.examples.synthetic import vocabulary
from trusteq.models.classifier import load_classifier
from trusteq.models.label_calibration import calibrated, label_share
from trusteq.registry import load_model, validated
from trusteq.store import manifest_path
from trusteq.study import graph
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.study.stages import make

TASK = "demo-nli"
WORDS = {"contradiction": " no", "entailment": " yes", "neutral": " may be"}
ASKED = {"title": "Asked", "template": "one : {text_a} two : {text_b} so", "words": WORDS}
SHAPE = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decoder")
    tokens = [*SPECIAL, *vocabulary(), "one", "two", ":", "so", "no", "yes", "may", "be"]
    words = tokenizer(tokens=list(dict.fromkeys(tokens)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.LlamaConfig(vocab_size=len(words), initializer_range=0.3, **SHAPE)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def experiment(folder, *, asked=None, **keys):
    models = {"asked": ASKED | {"hub": str(folder), "recipe": {"epochs": 0}, "calibration": "batch"} | (asked or {})}
    models["cut"] = {"title": "Cut", "compress": {"of": "asked", "way": "keep-layers", "options": {"layers": [0]}}}
    named = {"name": "words", "title": "Words", "tasks": [TASK], "methods": {"lime": {"n_samples": 10}}}
    return Experiment(**named | {"models": models, "explain": 2} | keys)


def test_a_run_keeps_what_its_label_words_say(folder, tmp_path):
    torch.set_num_threads(1)
    run = Results(tmp_path / "words", experiment(folder))
    make(run, "explain", TASK)
    labels = run.experiment.task(TASK).labels
    dev, test = (load_examples(TASK, part) for part in ("dev", "test"))
    texts, of_dev = ((of["text_a"].tolist(), of["text_b"].tolist()) for of in (test, dev))
    own = {label: WORDS[label] for label in labels}
    plain = load_classifier(folder, device="cpu", words=own, template=ASKED["template"])
    expected = calibrated(plain, "batch", of_dev)
    found = run.predictions(TASK, "asked", 0)
    np.testing.assert_allclose(found[list(labels)], expected.predict_proba(*texts), rtol=0, atol=1e-6)
    said = run.facts(TASK, "asked", 0, "metrics")["label_words"]
    share = label_share(plain, *texts)
    np.testing.assert_allclose([said["label_share"], said["least_label_share"]], [share.mean(), share.min()], rtol=1e-4)
    assert (said["calibration"], said["estimated_on"], said["words"]) == ("batch", len(dev), own)
    assert {"accuracy_by_sum", "accuracy_by_mean"} <= said.keys()
    cut = load_classifier(run.trained(TASK, "cut", 0)).model.label_words
    assert cut.calibration == "batch" and cut.log_prior != expected.model.label_words.log_prior  # its own
    for part, calibration in (("0", "batch"), ("0-random-head", "contextual")):
        manifest = json.loads(
            manifest_path(run.folder / "predictions" / TASK / "asked" / f"{part}.parquet").read_text()
        )
        assert manifest["parameters"]["label_words"]["calibration"] == calibration
    assert len(run.attribution(TASK, "asked", 0, "lime"))


def test_keys_of_models_without_words_are_what_they_were():
    definition = graph._start(load_model("bert-tiny"))
    assert not {"words", "calibration"} & definition.keys()


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ({"words": {"entailment": " yes", "neutral": " may"}}, ["class 'contradiction' has no word", TASK]),
        ({"words": WORDS | {"other": " so"}}, ["there is no class 'other'"]),
        ({"words": None}, ["'calibration' is for label words"]),
        ({"words": None, "calibration": None}, ["epochs: 0 is for label words"]),
        ({"template": None}, ["'words' are what a language model says after a 'template'"]),
        ({"calibration": "batched"}, ["calibration"]),
    ],
    ids=str,
)
def test_bad_words_are_one_line(asked, parts, folder):
    values = experiment(folder).model_dump(mode="json", exclude_unset=True)
    values["models"]["asked"] |= asked
    one_line(ExperimentError, lambda: validated(Experiment, values, where="words.yaml"), *parts)
