"""Graphs of ONNX Runtime: the checkpoint's numbers, closed forms of graphs made by hand, and one line for others."""

import re
import shutil
import sys
import warnings

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pandas as pd
import pytest
import tokenizers
import transformers
from refusals import one_line, refused
from scipy.special import softmax

import trusteq
from trusteq.errors import ExperimentError, ModelError
from trusteq.models.as_classifier import named_classifier
from trusteq.models.classifier import Classifier, load_classifier, positions
from trusteq.models.onnx_session import OnnxClassifier, load_graph
from trusteq.project import root

LABELS = ("no", "yes")
FIRSTS = ["a man reads", "the woman runs in the park and a very good dog sleeps", "bad"]
SECONDS = ["the man eats", "a dog", "a man reads a very good house"]
WORDS = ("a", "man", "reads", "in", "the", "park", "dog")


@pytest.fixture(scope="module")
def exported(tiny_bert):
    """A checkpoint with the two graphs that the lines of the book make of it."""
    folder = tiny_bert("BertForSequenceClassification")
    blocks = re.findall(r"```python\n(.*?)```", (root() / "book" / "rerun.md").read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = [block for block in blocks if "quantize_dynamic" in block]
    assert lines.count('"checkpoint"') == 1
    with warnings.catch_warnings():  # torch's exporter uses what torch calls outdated
        warnings.simplefilter("ignore")
        exec(lines.replace('"checkpoint"', repr(str(folder))), {})
    return folder


@pytest.fixture
def bare(exported, tmp_path):
    """A folder of the graph in full precision, with the tokenizer and config.json, and no other weights."""
    shutil.copytree(exported, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors", "*.int8.onnx"))
    return tmp_path / "bare"


def words_tokenizer(**options):
    """Words by white space, the number of each its id; no special tokens, and no segments."""
    ids = {word: number for number, word in enumerate(("<unk>", *WORDS))}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **options)


def graph(inputs="int64[n, t] input_ids, int64[n, t] attention_mask", outputs="float[n, 2] logits", tail=None):
    """Return a graph whose scores are 0.2 and -0.1 times the sum of the token ids under the mask."""
    mask = "Cast<to=1>(attention_mask)" if "attention_mask" in inputs else "Constant<value_float=1.0>()"
    tail = "logits = Identity(scores)" if tail is None else tail
    text = f"""<ir_version: 10, opset_import: ["" : 20]> g ({inputs}) => ({outputs})
    <float[1, 2] weights = {{0.2, -0.1}}, int64[1] tokens = {{1}}> {{
        ids = Cast<to=1>(input_ids)
        mask = {mask}
        kept = Mul(ids, mask)
        total = ReduceSum(kept, tokens)
        scores = MatMul(total, weights)
        {tail}
    }}"""
    return onnx.parser.parse_model(text)


def session(**options):
    return onnxruntime.InferenceSession(graph(**options).SerializeToString())


def closed_form(texts):
    totals = [sum(WORDS.index(word) + 1 for word in text.split()) for text in texts]
    return softmax(np.outer(totals, [0.2, -0.1]), axis=1)


# --- exported checkpoints ---


@pytest.mark.parametrize("seconds", [None, SECONDS], ids=["singles", "pairs"])
def test_an_exported_checkpoint_says_what_it_says_itself(exported, seconds):
    expected = load_classifier(exported, device="cpu").predict_proba(FIRSTS, seconds)
    found = named_classifier(str(exported / "model.onnx"))
    assert found.labels == ("no", "yes", "maybe") and not found.gives_probabilities
    np.testing.assert_allclose(found.predict_proba(FIRSTS, seconds), expected, rtol=0, atol=1e-5)
    in_8_bits = named_classifier(str(exported / "model.int8.onnx")).predict_proba(FIRSTS, seconds)
    assert 1e-5 < np.abs(in_8_bits - expected).max() < 0.1


def test_in_8_bits_an_answer_does_not_depend_on_the_texts_beside_it(exported):
    found = named_classifier(str(exported / "model.int8.onnx"))
    alone = [found.predict_proba([text])[0] for text in FIRSTS]
    np.testing.assert_array_equal(found.predict_proba(FIRSTS), alone)
    # In one batch the graph itself says otherwise: this is why.
    batch = dict(found.tokenizer(FIRSTS, padding=True, return_tensors="np"))
    (logits,) = found.session.run(None, batch)
    assert np.abs(softmax(logits, axis=1) - alone).max() > 1e-4


def test_a_session_with_its_tokenizer(exported):
    own = onnxruntime.InferenceSession(str(exported / "model.onnx"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    found = trusteq.as_classifier((own, tokenizer), labels=("x", "y", "z"))
    expected = load_classifier(exported, device="cpu").predict_proba(FIRSTS, SECONDS)
    np.testing.assert_allclose(found.predict_proba(FIRSTS, SECONDS), expected, rtol=0, atol=1e-5)
    assert trusteq.as_classifier(found) is found and found.predict_proba([]).shape == (0, 3)
    one_line(ModelError, lambda: trusteq.as_classifier((own, tokenizer)), "no class names", "labels")
    for wrong in ((tokenizer, own), (own,), (own, None)):
        one_line(ModelError, lambda wrong=wrong: trusteq.as_classifier(wrong, labels="abc"), "(session, tokenizer)")
    one_line(ModelError, lambda: trusteq.as_classifier((own, tokenizer), labels=LABELS), "(n, 2)", "no, yes")


def test_texts_are_cut_as_by_the_checkpoint(exported):
    checkpoint, found = load_classifier(exported, device="cpu"), load_graph(exported / "model.onnx")
    long = ["a man reads " * 20, "a man"]
    assert found.max_length == checkpoint.max_length == 32
    assert found.n_cut(long, None) == checkpoint.n_cut(long, None) == 1
    np.testing.assert_allclose(found.predict_proba(long), checkpoint.predict_proba(long), rtol=0, atol=1e-5)
    examples = pd.DataFrame({"id": ["x", "y"], "text_a": long, "text_b": None})
    cut = [trusteq.explain(of, examples, method="occlusion").attrs["cut"] for of in (checkpoint, found)]
    assert cut[0] == cut[1] == {"x": 30}


def test_places_are_counted_as_the_model_would(bare):
    config = transformers.RobertaConfig(
        vocab_size=24, hidden_size=16, num_attention_heads=2, num_hidden_layers=1, intermediate_size=32,
        max_position_embeddings=30, id2label=dict(enumerate("abc")),
    )  # fmt: skip
    config.save_pretrained(bare)
    limit = positions(transformers.RobertaForSequenceClassification(config))
    assert limit == 28 and load_graph(bare / "model.onnx").max_length == limit


def test_explanations_are_the_checkpoints(exported):
    examples = pd.DataFrame({"id": list("xyz"), "text_a": FIRSTS, "text_b": SECONDS})
    expected = trusteq.explain(load_classifier(exported, device="cpu"), examples, n_samples=50)
    found = trusteq.explain(load_graph(exported / "model.onnx"), examples, n_samples=50)
    np.testing.assert_allclose(found["weight"], expected["weight"], rtol=0, atol=1e-4)
    assert found.attrs["retokenised"] == 0
    for method in ("gradient-x-input", "integrated-gradients"):
        call = lambda method=method: trusteq.explain(load_graph(exported / "model.onnx"), examples, method=method)  # noqa: E731
        one_line(ExperimentError, call, "gradients", "an ONNX graph has none")


# --- named ---


def test_which_weights_a_folder_means(exported, bare, tmp_path):
    assert isinstance(named_classifier(str(exported)), Classifier)
    assert isinstance(named_classifier(str(bare)), OnnxClassifier)
    (bare / "onnx").mkdir()
    (bare / "model.onnx").rename(bare / "onnx" / "small.onnx")  # as on the Hub, one folder below the tokenizer
    assert named_classifier(str(bare / "onnx" / "small.onnx")).labels == ("no", "yes", "maybe")
    shutil.copy(bare / "onnx" / "small.onnx", bare / "one.onnx")
    assert isinstance(named_classifier(str(bare)), OnnxClassifier)
    shutil.copy(bare / "one.onnx", bare / "two.onnx")
    one_line(ModelError, lambda: named_classifier(str(bare)), "2 graphs", "no model.onnx", "one.onnx")
    shutil.copytree(bare, tmp_path / "hub" / "models" / "us" / "tiny")
    (tmp_path / "hub" / "models" / "us" / "tiny" / "two.onnx").unlink()
    assert isinstance(named_classifier("us/tiny", hub=tmp_path / "hub"), OnnxClassifier)


def test_what_cannot_be_loaded_is_refused_in_one_line(bare):
    file = bare / "model.onnx"
    one_line(ModelError, lambda: named_classifier(str(bare / "none.onnx")), "none.onnx: no such file")
    whole = onnx.load(file)
    onnx.save(whole, file, save_as_external_data=True, location="weights")
    assert named_classifier(str(file)).predict_proba(FIRSTS).shape == (3, 3)
    (bare / "weights").unlink()
    one_line(ModelError, lambda: named_classifier(str(file)), str(file), "weights")
    file.write_bytes(whole.SerializeToString()[:1000])
    one_line(ModelError, lambda: named_classifier(str(file)), str(file), "failed")
    onnx.save(whole, file)
    one_line(ModelError, lambda: load_graph(file, labels=LABELS), str(file), "3 classes")
    one_line(ModelError, lambda: load_graph(file, template="{text_b}"), "template")
    (bare / "tokenizer.json").unlink()
    one_line(ModelError, lambda: named_classifier(str(bare)), str(bare), "tokenizer")
    (bare / "config.json").unlink()
    one_line(ModelError, lambda: named_classifier(str(bare)), str(bare), "config.json")


def test_without_the_library_the_extra_is_named(trusteq, bare, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    refused(trusteq("explain", bare, "--text-a", "a"), "onnxruntime", "pip install 'trusteq[onnx]'")


def test_an_audit_of_a_checkpoint_and_its_graph(trusteq, exported, tmp_path):
    asked = load_classifier(exported, device="cpu")
    texts = [f"the {who} {what} in {where}" for who in ("man", "dog") for what in ("reads", "runs", "eats")
             for where in ("house", "park", "the house")]  # fmt: skip
    gold = [asked.labels[at] for at in asked.predict_proba(texts).argmax(axis=1)]
    pd.DataFrame({"text_a": texts, "label": gold}).to_csv(tmp_path / "rows.csv", index=False)
    models = (exported, exported / "model.int8.onnx")
    how = ("--labels", "no,yes,maybe", "--method", "occlusion", "--explain", 4)
    done = trusteq("audit", *models, "--data", tmp_path / "rows.csv", *how, "--out", tmp_path / "out")
    assert done.returncode in (1, 3), done.stderr
    assert (tmp_path / "out" / "audit.html").is_file()


# --- graphs made by hand ---


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"inputs": "int32[n, t] input_ids, int32[n, t] attention_mask"},
        {"inputs": "int64[n, t] input_ids, bool[n, t] attention_mask"},
        {"inputs": "int64[n, t] input_ids, float[n, t] attention_mask"},
        {"inputs": "int64[n, t] input_ids"},
        {"inputs": "int64[n, t] token_type_ids, int64[n, t] attention_mask, int64[n, t] input_ids"},
        {"inputs": "int64[1, t] input_ids, int64[1, t] attention_mask"},
        {"outputs": "float[n, 2] scores", "tail": ""},
        {"outputs": "float[n, 1] total, float[n, 2] scores", "tail": ""},
        {"outputs": "float[n, 2] halved, float[n, 2] logits",
         "tail": "logits = Identity(scores) two = Constant<value_float=2.0>() halved = Div(scores, two)"},
        {"outputs": "float16[n, 2] logits", "tail": "logits = Cast<to=10>(scores)"},
        {"outputs": "float[n, 2] probabilities", "tail": "probabilities = Softmax<axis=1>(scores)"},
    ],
    ids=str,
)  # fmt: skip
def test_a_graphs_answers_have_a_closed_form(options):
    texts = ["a man reads", "a dog", "the man reads in the park", "park", "a man reads in the dog park the"]
    found = trusteq.as_classifier((session(**options), words_tokenizer(pad_token="<unk>")), labels=LABELS)
    tolerance = 1e-3 if "float16" in str(options) else 1e-6
    np.testing.assert_allclose(found.predict_proba(texts), closed_form(texts), rtol=0, atol=tolerance)
    assert found.gives_probabilities == ("Softmax" in str(options))
    assert found.max_length == 4096


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"inputs": "int64[n, t] input_ids, int64[n, t] position_ids"}, ["position_ids", "input_ids, attention_mask"]),
        ({"inputs": "int64[n, t] input_ids, int64[n, t] decoder_input_ids"}, ["decoder_input_ids"]),
        ({"inputs": "float16[n, t] input_ids"}, ["input_ids tensor(float16)"]),
        ({"inputs": "int64[2, t] input_ids, int64[2, t] attention_mask"}, ["(2, 't')", "dynamic_shapes"]),
        ({"inputs": "int64[1, 8] input_ids", "outputs": "float[1, 2] logits"}, ["input_ids (1, 8)", "dynamic_shapes"]),
        ({"outputs": "float[n, 1] total", "tail": ""}, ["total ('n', 1)", "(n, 2)", "no, yes"]),
        ({"outputs": "float[n, t] kept", "tail": ""}, ["kept has shape (1, 3), not (1, 2)"]),
        ({"outputs": "float[n, 2] logits", "tail": "zero = Sub(scores, scores) logits = Div(zero, zero)"}, ["nan"]),
    ],
    ids=str,
)
def test_other_graphs_are_refused_in_one_line(options, parts):
    make = lambda: trusteq.as_classifier((session(**options), words_tokenizer()), labels=LABELS)  # noqa: E731
    one_line(ModelError, make, *parts)


def test_a_graph_without_input_ids():
    text = '<ir_version: 10, opset_import: ["" : 20]> g (float[n, 2] x) => (float[n, 2] y) { y = Identity(x) }'
    vectors = onnxruntime.InferenceSession(onnx.parser.parse_model(text).SerializeToString())
    make = lambda: trusteq.as_classifier((vectors, words_tokenizer()), labels=LABELS)  # noqa: E731
    one_line(ModelError, make, "takes x tensor(float)", "input_ids")


def test_a_text_beyond_the_places_of_a_graph(exported):
    """Nothing but the checkpoint's configuration says that there are 64, and a session has none."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported, model_max_length=1000)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    own = onnxruntime.InferenceSession(str(exported / "model.onnx"), options)
    found = trusteq.as_classifier((own, tokenizer), labels="abc")
    assert found.predict_proba(["a " * 62]).shape == (1, 3)
    one_line(ModelError, lambda: found.predict_proba(["a " * 63]), "65 tokens", "set tokenizer.model_max_length")


def test_pairs_whose_boundary_would_be_lost_need_a_template(bare):
    onnx.save(graph(), bare / "model.onnx")
    transformers.BertConfig(id2label=dict(enumerate(LABELS))).save_pretrained(bare)
    words_tokenizer(model_max_length=64).save_pretrained(bare)
    found = load_graph(bare / "model.onnx")
    one_line(ModelError, lambda: found.predict_proba(["a man"], ["a dog"]), "where one ends is lost", "template")
    joined = load_graph(bare / "model.onnx", template="the {text_a} in {text_b}")
    expected = closed_form(["the a man in a dog"])
    np.testing.assert_allclose(joined.predict_proba(["a man"], ["a dog"]), expected, rtol=0, atol=1e-6)
