"""Probabilities against the library's own model, one text at a time; errors as one line and nothing printed."""

import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from refusals import one_line
from safetensors.torch import load_file, save_file

from trusteq.errors import ModelError
from trusteq.models import classifier as classifier_module
from trusteq.models import forward
from trusteq.models.classifier import load_classifier, locate

LABELS = ("no", "yes", "maybe")
PAIRS = [
    ("a man reads", "the man eats"),
    ("the very good dog runs in the park", "a dog sleeps"),
    ("not bad", "a woman in a house reads, eats, sleeps and runs!"),
    ("a man reads", ""),
    ("the dog", "the dog"),
]
FIRSTS, SECONDS = (list(texts) for texts in zip(*PAIRS, strict=True))


@pytest.fixture(scope="module")
def folder(tiny_bert):
    return tiny_bert("BertForSequenceClassification", labels=LABELS)


@pytest.fixture(scope="module")
def classifier(folder):
    return load_classifier(folder, device="cpu")


def reference(folder, *texts):
    """The probabilities of one text or pair by the library alone, in float32."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(*texts, return_tensors="pt")
    with torch.inference_mode():
        return torch.softmax(model(**tokens).logits, dim=-1)[0].numpy()


# --- probabilities ---


def test_rows_are_distributions_in_double_precision(classifier):
    probabilities = classifier.predict_proba(FIRSTS, SECONDS)
    assert (probabilities.dtype, probabilities.shape) == (np.float64, (len(PAIRS), len(LABELS)))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=0, atol=1e-15)
    assert (probabilities > 0).all()


def test_pairs_and_single_texts_as_by_the_library(classifier, folder):
    pairs, singles = classifier.predict_proba(FIRSTS, SECONDS), classifier.predict_proba(FIRSTS)
    for row, pair in enumerate(PAIRS):
        # Of one pair alone the library takes an empty second text for none; in a list it does not.
        if pair[1]:
            np.testing.assert_allclose(pairs[row], reference(folder, *pair), rtol=0, atol=1e-6)
        np.testing.assert_allclose(singles[row], reference(folder, pair[0]), rtol=0, atol=1e-6)
    assert np.abs(pairs - singles).max() > 0.01


@pytest.mark.parametrize("budget", [1, 20, 4096])
def test_neither_order_nor_company_matters(classifier, monkeypatch, budget):
    alone = np.concatenate([classifier.predict_proba([a], [b]) for a, b in PAIRS])
    monkeypatch.setitem(forward.BUDGET, "cpu", budget)
    np.testing.assert_allclose(classifier.predict_proba(FIRSTS, SECONDS), alone, rtol=0, atol=1e-6)
    np.testing.assert_allclose(classifier.predict_proba(FIRSTS[::-1], SECONDS[::-1]), alone[::-1], rtol=0, atol=1e-6)


def test_an_empty_second_text_is_still_a_pair(classifier):
    ids = classifier.tokenizer.convert_tokens_to_ids(["[CLS]", "the", "dog", "[SEP]", "[SEP]"])
    with torch.inference_mode():
        logits = classifier.model(torch.tensor([ids]), token_type_ids=torch.tensor([[0, 0, 0, 0, 1]])).logits
    pair = classifier.predict_proba(["the dog"], [""])
    np.testing.assert_allclose(pair, torch.softmax(logits, dim=-1).numpy(), rtol=0, atol=1e-6)
    assert np.abs(pair - classifier.predict_proba(["the dog"])).max() > 0.01


def test_missing_second_texts_mean_single_texts(classifier):
    single = classifier.predict_proba(FIRSTS)
    for missing in (None, float("nan")):
        assert np.array_equal(classifier.predict_proba(FIRSTS, [missing] * len(FIRSTS)), single)


def test_logits_large_and_small_become_probabilities(classifier, monkeypatch):
    values = np.array([[0.0, np.log(3)], [1000.0, 1000 + np.log(3)], [-1000.0, 1000.0], [5.0, 5.0]])
    monkeypatch.setattr(classifier_module, "started", lambda *given, **options: lambda: [values])
    expected = [[0.25, 0.75], [0.25, 0.75], [0, 1], [0.5, 0.5]]
    np.testing.assert_allclose(classifier.predict_proba(["the dog"] * 4), expected, rtol=0, atol=1e-12)


def test_no_texts_give_no_rows(classifier):
    assert classifier.predict_proba([]).shape == classifier.predict_proba([], []).shape == (0, len(LABELS))


def test_longer_texts_are_cut_at_the_maximum_length(classifier):
    words = ("man woman dog reads runs sleeps eats park house good bad very not " * 5).split()
    assert classifier.max_length == 32
    cut, whole = " ".join(words[:30]), " ".join(words)
    np.testing.assert_allclose(classifier.predict_proba([whole]), classifier.predict_proba([cut]), rtol=0, atol=1e-6)
    # [CLS] 14 words [SEP] 15 words [SEP] is what is left of two long sides; a short side is left whole.
    both = " ".join(words[:15]), " ".join(words[:14])
    assert any(
        np.allclose(classifier.predict_proba([whole], [whole]), classifier.predict_proba([a], [b]), rtol=0, atol=1e-6)
        for a, b in (both, both[::-1])
    )
    short = classifier.predict_proba(["the dog"], [" ".join(words[:27])])
    np.testing.assert_allclose(classifier.predict_proba(["the dog"], [whole]), short, rtol=0, atol=1e-6)


def test_a_tokenizer_without_a_limit_is_held_to_the_models_positions(tiny_bert):
    unlimited = load_classifier(tiny_bert("BertForSequenceClassification", model_max_length=None), device="cpu")
    assert unlimited.max_length == 64
    assert unlimited.predict_proba(["dog " * 100]).shape == (1, 3)


# --- loading ---


def test_labels_are_the_names_in_column_order(classifier):
    assert classifier.labels == LABELS
    assert not classifier.model.training


def test_loading_and_predicting_print_nothing(folder, capfd):
    before = transformers.logging.get_verbosity()
    load_classifier(folder).predict_proba(FIRSTS, SECONDS)
    assert capfd.readouterr() == ("", "")
    assert transformers.logging.get_verbosity() == before


def test_mirror_is_read_before_the_hub(folder, tmp_path, monkeypatch):
    inside = tmp_path / "models" / "owner" / "name"
    shutil.copytree(folder, inside)
    assert locate("owner/name", hub=tmp_path) == str(inside)
    assert load_classifier("owner/name", hub=tmp_path).labels == LABELS
    monkeypatch.setenv("TRUSTEQ_HUB", str(tmp_path))
    assert locate("owner/name") == str(inside)
    assert locate("owner/name", hub=tmp_path / "models") == "owner/name"
    assert locate(folder) == str(folder)
    assert locate("owner/other") == "owner/other"


def weights(change):
    """A change of the weights, as a change of the folder."""

    def apply(folder):
        file = folder / "model.safetensors"
        state = load_file(file)
        change(state)
        save_file(state, file, metadata={"format": "pt"})

    return apply


def config(**values):
    def apply(folder):
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **values}))

    return apply


def truncate(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


BROKEN = {
    "no head": (weights(lambda state: state.pop("classifier.weight")), "1 weights missing, first 'classifier.weight'"),
    "no layer": (weights(lambda state: [state.pop(k) for k in list(state) if "layer.1." in k]), "16 weights missing"),
    "extra": (weights(lambda state: state.update(extra=torch.ones(1))), "1 weights left over, first 'extra'"),
    "other shape": (weights(lambda state: state.update({"classifier.bias": torch.ones(2)})), "of another shape"),
    "no names": (config(id2label=None), "no class names; put them into id2label"),
    "names from 1": (config(id2label={"1": "no", "2": "yes", "3": "maybe"}), "no class names"),
    "too few names": (config(id2label={"0": "no", "1": "yes"}), "of another shape"),
    "no kind": (config(model_type="none"), "none"),
    "not json": (lambda folder: (folder / "config.json").write_text("{"), "config.json"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
    "cut weights": (truncate, "header"),
    "no tokenizer": (lambda folder: [file.unlink() for file in folder.glob("tokenizer*")], "tokenizer"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_checkpoint_that_cannot_serve_is_refused_in_one_line(folder, tmp_path, capfd, broken):
    change, message = BROKEN[broken]
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    with pytest.raises(ModelError) as raised:
        load_classifier(copy)
    line = str(raised.value)
    assert line.startswith(f"model {copy}: ") and message in line
    assert "\n" not in line and len(line) > len(f"model {copy}: ")
    assert capfd.readouterr() == ("", "")


def test_checkpoint_of_a_pretrained_model_is_not_a_classifier(tiny_bert):
    with pytest.raises(ModelError, match=r"2 weights missing, first 'classifier\.bias'"):
        load_classifier(tiny_bert("BertModel"))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "one/two/three"])
def test_missing_folder(name):
    with pytest.raises(ModelError, match=f"{name}: no such folder; give a checkpoint's folder or a Hub id"):
        load_classifier(name)


# --- names of classes ---


def test_names_for_a_checkpoint_without_any(tiny_bert):
    folder = tiny_bert("BertForSequenceClassification", labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    named = load_classifier(folder, device="cpu", labels=("b", "a", "c"))
    assert named.labels == ("b", "a", "c")
    np.testing.assert_allclose(named.predict_proba(["a man"])[0], reference(folder, "a man"), rtol=0, atol=1e-6)
    one_line(ModelError, lambda: load_classifier(folder, device="cpu"), "no class names", "or give labels")
    for wrong in (("a", "b"), ("a", "b", "b")):
        one_line(ModelError, lambda wrong=wrong: load_classifier(folder, labels=wrong), "3 classes", "one name a class")


def test_a_checkpoint_with_names_keeps_its_order(folder):
    assert load_classifier(folder, device="cpu", labels=("maybe", "no", "yes")).labels == LABELS
    assert load_classifier(folder, device="cpu", labels=("MAYBE", "NO", "YES")).labels == ("NO", "YES", "MAYBE")
    one_line(ModelError, lambda: load_classifier(folder, labels=("a", "b", "c")), "no, yes, maybe", "not a, b, c")


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"id2label": {"0": "score"}, "label2id": {"score": 0}}, "one output"),
        ({"problem_type": "multi_label_classification"}, "multi-label"),
        ({"problem_type": "regression"}, "regression"),
        ({"id2label": {"0": "yes", "1": "no", "2": "yes"}}, "two of its classes have one name"),
    ],
)
def test_heads_that_choose_no_class(folder, tmp_path, values, part):
    copy = shutil.copytree(folder, tmp_path / "copy")
    config(**values)(copy)
    one_line(ModelError, lambda: load_classifier(copy), copy, part)


def test_class_names_that_json_holds_as_numbers_are_text(tiny_bert):
    folder = tiny_bert("BertForSequenceClassification")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": 7, "1": 8, "2": 9}}))
    assert load_classifier(folder, device="cpu").labels == ("7", "8", "9")
    assert load_classifier(folder, device="cpu", labels=(9, 8, 7)).labels == ("7", "8", "9")
    for broken in ({"id2label": ["no", "yes", "maybe"]}, {"pad_token_id": 999}):
        (folder / "config.json").write_text(json.dumps(config | broken))
        one_line(ModelError, lambda: load_classifier(folder, device="cpu"), f"model {folder}")
