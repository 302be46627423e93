"""What people have at hand, as a classifier: the same numbers as their own calls, and one line for what cannot be."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line, refused
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import trusteq
from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.models import as_classifier as module
from trusteq.models.as_classifier import named_classifier
from trusteq.models.classifier import Classifier, load_classifier
from trusteq.project import root

LABELS = ("neg", "pos")
TEXTS = ["good film", "bad film", "good dog", "bad dog", "a good day", "a bad day"] * 3
GOLD = [1, 0] * 9
EXAMPLES = pd.DataFrame({"id": [f"x-{n}" for n in range(18)], "text_a": TEXTS, "text_b": None, "label": GOLD})
PAIRS = EXAMPLES.assign(text_b=TEXTS[::-1])


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, [LABELS[label] for label in GOLD])


@pytest.fixture(scope="module")
def on_columns():
    """A pipeline that was fitted on a DataFrame of pairs."""
    columns = ColumnTransformer([(name, CountVectorizer(), name) for name in ("text_a", "text_b")])
    return make_pipeline(columns, LogisticRegression()).fit(PAIRS[["text_a", "text_b"]], GOLD)


@pytest.fixture(scope="module")
def folder(tiny_bert):
    return tiny_bert("BertForSequenceClassification")


def parts(folder):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def halves(texts, *_):
    return np.full((len(texts), 2), 0.5)


# --- sklearn ---


def test_a_pipeline_says_what_it_says_itself(pipeline):
    found = trusteq.as_classifier(pipeline)
    assert found.labels == LABELS
    np.testing.assert_array_equal(found.predict_proba(TEXTS), pipeline.predict_proba(TEXTS))
    assert found.predict_proba([]).shape == (0, 2)
    one_line(ModelError, lambda: found.predict_proba(TEXTS, TEXTS), "Pipeline reads one text", "text_a and text_b")


def test_a_pipeline_on_a_table_reads_pairs(on_columns):
    found = trusteq.as_classifier(on_columns, labels=LABELS)
    expected = on_columns.predict_proba(PAIRS[["text_a", "text_b"]])
    np.testing.assert_array_equal(found.predict_proba(PAIRS["text_a"], PAIRS["text_b"]), expected)
    assert found.labels == LABELS and trusteq.as_classifier(on_columns).labels == ("0", "1")
    one_line(ModelError, lambda: found.predict_proba(TEXTS), "reads pairs", "text_b")


def test_names_of_an_estimators_classes():
    def fitted(*values):
        gold = [values[label] for label in GOLD]
        return make_pipeline(CountVectorizer(), LogisticRegression()).fit(TEXTS, gold)

    # Of names the estimator knows the order, which is that of the alphabet; of indices the labels do.
    assert trusteq.as_classifier(fitted("pos", "neg"), labels=("pos", "neg")).labels == ("neg", "pos")
    assert trusteq.as_classifier(fitted(0, 1), labels=("pos", "neg")).labels == ("pos", "neg")
    one_line(ModelError, lambda: trusteq.as_classifier(fitted("a", "b"), labels=LABELS), "a, b", "neg, pos")
    one_line(ModelError, lambda: trusteq.as_classifier(fitted(1, 2), labels=LABELS), "1, 2")
    one_line(ModelError, lambda: trusteq.as_classifier(fitted(0, 1), labels=("a", "b", "c")), "not 3")


def test_estimators_that_give_no_probabilities():
    one_line(ModelError, lambda: trusteq.as_classifier(LogisticRegression()), "LogisticRegression is not fitted")
    unsure = make_pipeline(CountVectorizer(), LinearSVC()).fit(TEXTS, GOLD)
    one_line(ModelError, lambda: trusteq.as_classifier(unsure), "no probabilities", "CalibratedClassifierCV")


# --- transformers ---


@pytest.mark.parametrize("texts", [("the dog runs",), ("a man reads", "the man eats")])
def test_a_pipeline_of_transformers_and_its_parts_are_the_checkpoint(folder, texts):
    pipe = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    given = texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}
    scores = pipe(given, top_k=None)
    columns = [[text] for text in texts]
    for object in (pipe, parts(folder)):
        found = trusteq.as_classifier(object)
        assert isinstance(found, Classifier) and found.labels == ("no", "yes", "maybe")
        expected = [{of["label"]: of["score"] for of in scores}[label] for label in found.labels]
        np.testing.assert_allclose(found.predict_proba(*columns)[0], expected, rtol=0, atol=1e-6)
    assert trusteq.as_classifier(found) is found


def test_what_is_no_classifier_of_transformers(folder, tiny_bert):
    model, tokenizer = parts(folder)
    one_line(ModelError, lambda: trusteq.as_classifier((tokenizer, model)), "(model, tokenizer)")
    one_line(ModelError, lambda: trusteq.as_classifier((model,)), "(model, tokenizer)")
    bare = transformers.AutoModel.from_pretrained(tiny_bert("BertModel"))
    one_line(ModelError, lambda: trusteq.as_classifier((bare, tokenizer)), "BertModel", "logits")
    of_tokens = transformers.BertForTokenClassification(model.config)
    one_line(ModelError, lambda: trusteq.as_classifier((of_tokens, tokenizer)), "BertForTokenClassification")
    filling = transformers.pipeline("fill-mask", model=str(tiny_bert("BertForMaskedLM")), device="cpu")
    one_line(ModelError, lambda: trusteq.as_classifier(filling), "fill-mask", "text-classification")
    raw = transformers.pipeline(
        "text-classification", model=model, tokenizer=tokenizer, device="cpu", function_to_apply="sigmoid"
    )
    one_line(ModelError, lambda: trusteq.as_classifier(raw), "sigmoid", "softmax")


# --- sentence-transformers ---


@pytest.fixture(scope="module")
def encoder(tiny_bert):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    words = modules.Transformer(str(tiny_bert("BertModel")))
    return SentenceTransformer(modules=[words, modules.Pooling(16)], device="cpu")


def test_a_head_on_embeddings_says_what_it_says_itself(encoder):
    embedded = encoder.encode(TEXTS)
    head = LogisticRegression().fit(embedded, GOLD)
    found = trusteq.as_classifier((encoder, head), labels=LABELS)
    assert found.labels == LABELS
    np.testing.assert_allclose(found.predict_proba(TEXTS), head.predict_proba(embedded), rtol=0, atol=1e-6)
    one_line(ModelError, lambda: found.predict_proba(TEXTS, TEXTS), "reads one text", "(text_a, text_b)")
    for wrong in ((head, encoder), (encoder,), (encoder, "head")):
        one_line(ModelError, lambda wrong=wrong: trusteq.as_classifier(wrong), "(SentenceTransformer, fitted sklearn")
    one_line(ModelError, lambda: trusteq.as_classifier((encoder, LogisticRegression())), "is not fitted")
    one_line(ModelError, lambda: trusteq.as_classifier((encoder, LinearSVC().fit(embedded, GOLD))), "no probabilities")


def test_a_cross_encoder_is_its_checkpoint(folder):
    from sentence_transformers import CrossEncoder

    reader = CrossEncoder(str(folder), device="cpu")
    found = trusteq.as_classifier(reader)
    assert isinstance(found, Classifier) and found.labels == ("no", "yes", "maybe")
    expected = reader.predict(list(zip(TEXTS, TEXTS[::-1], strict=True)), apply_softmax=True)
    np.testing.assert_allclose(found.predict_proba(TEXTS, TEXTS[::-1]), expected, rtol=0, atol=1e-6)
    of_logits = found.predict_proba(TEXTS)
    reader.activation_fn = torch.nn.Softmax(dim=-1)  # not applied twice
    np.testing.assert_array_equal(trusteq.as_classifier(reader).predict_proba(TEXTS), of_logits)
    reader.activation_fn = torch.nn.Sigmoid()
    one_line(ModelError, lambda: trusteq.as_classifier(reader), "Sigmoid")
    ranking = CrossEncoder(str(folder), num_labels=1, device="cpu", model_kwargs={"ignore_mismatched_sizes": True})
    ranking.activation_fn = torch.nn.Identity()
    one_line(ModelError, lambda: trusteq.as_classifier(ranking), "one output")


def test_what_is_shaped_as_a_model_of_setfit():
    class SetFitModel:
        labels = list(LABELS)

        def predict_proba(self, inputs, batch_size=32, as_numpy=False, show_progress_bar=None):
            return torch.full((len(inputs), 2), 0.5, dtype=torch.bfloat16, requires_grad=True)

    found = trusteq.as_classifier(SetFitModel())
    assert found.labels == LABELS and (found.predict_proba(TEXTS) == 0.5).all()
    one_line(ModelError, lambda: found.predict_proba(TEXTS, TEXTS), "reads one text")


# --- callables ---


@pytest.mark.parametrize(
    "function",
    [
        lambda texts: halves(texts),
        lambda texts, batch_size=32: halves(texts[: 18 * (batch_size == 32)]),
        lambda text_a, text_b=None: halves(text_a),
        lambda text_a, text_b: halves(text_a),
        lambda *texts: halves(*texts),
        halves,
    ],
)
def test_callables_of_one_list_and_of_two(function):
    found = trusteq.as_classifier(function, labels=LABELS)
    assert (found.predict_proba(TEXTS) == 0.5).all() and found.predict_proba(TEXTS).shape == (18, 2)


def test_pairs_go_to_callables_of_two_lists_alone():
    def second(text_a, text_b):
        return np.array([[len(text), 10 - len(text)] for text in text_b]) / 10

    found = trusteq.as_classifier(second, labels=LABELS)
    np.testing.assert_array_equal(found.predict_proba(["a"], ["four"]), [[0.4, 0.6]])
    for function in (lambda texts: halves(texts), lambda texts, batch_size=32: halves(texts)):
        one = trusteq.as_classifier(function, labels=LABELS)
        one_line(ModelError, lambda one=one: one.predict_proba(["a"], ["b"]), "reads one text", "pairs")


def test_an_object_with_labels_keeps_its_own_unless_others_are_given():
    class Named:
        labels = ("a", "b")

        def predict_proba(self, texts):
            return halves(texts)

    assert trusteq.as_classifier(Named()).labels == ("a", "b")
    assert trusteq.as_classifier(Named(), labels=LABELS).labels == LABELS


@pytest.mark.parametrize(
    ("object", "part"),
    [
        (None, "NoneType is no classifier"),
        ("a/folder", "str is no classifier"),
        (LogisticRegression, "no classifier"),
        ((1, 2), "tuple is no classifier"),
        (lambda a, b, c: a, "takes 3 arguments"),
        (lambda: 1, "takes 0 arguments"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(object, part):
    one_line(ModelError, lambda: trusteq.as_classifier(object, labels=LABELS), part)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda found: found * np.nan, "nan or infinity"),
        (lambda found: found[:, 0], "have shape (18,)"),
        (lambda found: found[1:], "have shape (17, 2)"),
        (lambda found: found * 100, "do not sum to 1"),
        (lambda found: [["a", "b"]] * 18, "not numbers"),
    ],
)
def test_outputs_are_checked(change, part):
    found = trusteq.as_classifier(lambda texts: change(halves(texts)), labels=LABELS)
    one_line(ModelError, lambda: found.predict_proba(TEXTS), part)


def test_nothing_heavy_is_imported_for_a_callable():
    code = "import sys, trusteq; trusteq.as_classifier(lambda texts: texts, labels=('a', 'b'))"
    code += "; assert not {'torch', 'transformers', 'sklearn', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- in use ---


def test_an_audit_takes_them(pipeline, folder):
    one_argument = lambda texts: pipeline.predict_proba(texts)  # noqa: E731
    found = trusteq.audit(pipeline, one_argument, EXAMPLES, method="occlusion", explain=18, labels=LABELS)
    row = found.dimensions.set_index("measure").loc["accuracy"]
    assert (row["large"], row["compressed"]) == (1, 1) and found.comparison.alignment.mean == 1
    three = EXAMPLES.assign(text_b="a man")
    trusteq.audit(parts(folder), parts(folder), three, method="occlusion", explain=2)


@pytest.mark.parametrize(
    ("models", "options", "error", "part"),
    [
        (("pipeline", "pipeline"), {"examples": PAIRS}, ModelError, "reads one text"),
        (("classifier", "callable"), {"method": "integrated-gradients"}, ExperimentError, "needs a model's gradients"),
        (("classifier", "nothing"), {}, ModelError, "no classifier"),
        (("callable", "classifier"), {}, DataError, "different labels"),
    ],
)
def test_an_audit_refuses_before_any_model_runs(pipeline, folder, monkeypatch, models, options, error, part):
    def unasked(*_):
        raise AssertionError("a model was asked")

    classifier = load_classifier(folder, device="cpu")
    monkeypatch.setattr(Classifier, "predict_rows", unasked)
    monkeypatch.setattr(LogisticRegression, "predict_proba", unasked)
    unasked.labels = LABELS if "different" in part else classifier.labels
    known = {"pipeline": pipeline, "classifier": classifier, "callable": unasked, "nothing": 5}
    options = {"examples": EXAMPLES, **options}
    one_line(error, lambda: trusteq.audit(*(known[name] for name in models), **options), part)


def test_explain_takes_them(pipeline):
    found = trusteq.explain(pipeline, EXAMPLES.head(2), method="occlusion")
    good = found[(found["word"] == "good") & (found["label"] == "pos")]["weight"].iloc[0]
    expected = pipeline.predict_proba(["good film"])[0, 1] - pipeline.predict_proba(["film"])[0, 1]
    assert good == pytest.approx(expected, abs=1e-12)


def test_half_precision_and_names_for_what_has_none(tiny_bert):
    nameless = parts(tiny_bert("BertForSequenceClassification", labels=("LABEL_0", "LABEL_1", "LABEL_2")))
    pipe = transformers.pipeline("text-classification", model=nameless[0], tokenizer=nameless[1], device="cpu")
    named = trusteq.as_classifier(pipe, labels=("x", "y", "z"))
    whole = named.predict_proba(TEXTS)
    scores = {of["label"]: of["score"] for of in pipe(TEXTS[0], top_k=None)}
    np.testing.assert_allclose(whole[0], [scores[f"LABEL_{n}"] for n in range(3)], rtol=0, atol=1e-6)
    half = trusteq.as_classifier((nameless[0].bfloat16(), nameless[1]), labels=("x", "y", "z"))
    np.testing.assert_allclose(half.predict_proba(TEXTS), whole, rtol=0, atol=0.05)
    one_line(ModelError, lambda: trusteq.as_classifier(pipe), "BertForSequenceClassification", "give labels")


# --- named on the command line ---


@pytest.fixture
def own_code(tmp_path):
    """A file with a function that knows one word, as a user has it."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n\n\ndef guess(text_a):\n"
        "    yes = np.array([0.9 if 'good' in text else 0.2 for text in text_a])\n"
        "    return np.column_stack([1 - yes, yes])\n"
    )
    return file


def test_a_function_is_named_by_its_file(trusteq, own_code, tmp_path):
    named = ("--labels", "no,yes", "--method", "occlusion")
    done = trusteq("explain", f"{own_code}:guess", "--text-a", "a good film", *named)
    assert done.returncode == 0 and "predicted: yes" in done.stdout and "good     0.7" in done.stdout
    rows = tmp_path / "rows.csv"
    rows.write_text("text_a,label\n" + "".join(f"a {word} film {row},{kind}\n" for row in range(20)
                    for word, kind in (("good", "yes"), ("poor", "no"))))  # fmt: skip
    done = trusteq(
        "audit", *[f"{own_code}:guess"] * 2, "--data", rows, *named, "--explain", 5, "--out", tmp_path / "out"
    )
    assert done.returncode == 3, done.stderr


@pytest.fixture
def served():
    """A service that answers posts of texts by the share of words they have in common; its address, and the sizes."""
    sizes = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sizes.append(len(asked["text_a"]))
            seconds = asked["text_b"] or [""] * len(asked["text_a"])
            answer = {"probabilities": [shared(*pair) for pair in zip(asked["text_a"], seconds, strict=True)]}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/predict", sizes
        server.shutdown()


def shared(first, second):
    words = set(first.split())
    share = len(words & set(second.split())) / len(words)
    return [1 - share, share]


def test_the_books_example_asks_a_model_behind_an_address(served, tmp_path):
    address, sizes = served
    blocks = re.findall(r"```python\n(.*?)```", (root() / "book" / "rerun.md").read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = [block for block in blocks if "urlopen" in block]
    assert len([line for line in lines.splitlines() if line]) <= 15
    assert "http://localhost:8000/predict" in lines
    (tmp_path / "endpoint.py").write_text(lines.replace("http://localhost:8000/predict", address))
    found = named_classifier(f"{tmp_path / 'endpoint.py'}:predict")
    many, others = TEXTS * 4, TEXTS[1:] * 4 + TEXTS[:4]
    expected = [shared(*pair) for pair in zip(many, others, strict=True)]
    np.testing.assert_allclose(found.predict_proba(many, others), expected, rtol=0, atol=1e-12)
    assert sizes == [64, 8] and found.labels == ("negative", "positive")
    assert (found.predict_proba(many) == [1, 0]).all()


def test_what_is_not_there_is_refused_by_name(trusteq, own_code):
    asked = ("--text-a", "a", "--labels", "no,yes")
    refused(trusteq("explain", f"{own_code}:gues", *asked), "no 'gues'", "did you mean 'guess'")
    refused(trusteq("explain", f"{own_code.parent}/other.py:guess", *asked), "cannot be imported", "FileNotFoundError")
    refused(trusteq("explain", "no_such_package.models:guess", *asked), "cannot be imported", "no_such_package")
    refused(trusteq("explain", f"{own_code}:guess", "--text-a", "a"), "labels")
    refused(trusteq("explain", f"{own_code}:guess", *asked, "--template", "{text_a} {text_b}"), "template")
    own_code.write_text("1 / 0\n")
    refused(trusteq("explain", f"{own_code}:guess", *asked), "ZeroDivisionError")


def test_a_table_of_probabilities_is_read_by_its_columns():
    def model(columns):
        return trusteq.as_classifier(
            lambda texts: pd.DataFrame([[0.1, 0.9]] * len(texts), columns=columns), labels=LABELS
        )

    assert model(["pos", "neg"]).predict_proba(["a"]).tolist() == [[0.9, 0.1]]
    assert model([0, 1]).predict_proba(["a"]).tolist() == [[0.1, 0.9]]
    one_line(ModelError, lambda: model(["x", "y"]).predict_proba(["a"]), "have the columns x, y; call them neg, pos")


def test_what_a_callable_does_to_its_lists_and_its_array_stays_its_own():
    array, asked = np.zeros((2, 2)), []

    def model(texts):
        asked.append(list(texts))
        array[:] = [0.2, 0.8] if len(asked) == 2 else [0.6, 0.4]
        texts.clear()
        if len(asked) == 1:
            raise OSError("busy")
        return array

    found = trusteq.as_classifier(model, labels=LABELS)
    first = found.predict_proba(["a", "b"])
    found.predict_proba(["c", "d"])
    assert asked == [["a", "b"], ["a", "b"], ["c", "d"]] and first.tolist() == [[0.2, 0.8]] * 2


@pytest.mark.parametrize("labels", ["ab", ["a", "a"], ["a"], (), {"a": 0, "b": 1}])
def test_labels_are_two_names_or_more_each_once(labels):
    one_line(ModelError, lambda: trusteq.as_classifier(halves, labels=labels), "class names in index order")


def test_what_cannot_be_a_function_of_texts_is_refused_at_once(folder):
    async def waits(texts):
        return halves(texts)

    one_line(ModelError, lambda: trusteq.as_classifier(waits, labels=LABELS), "waits is async")
    one_line(ModelError, lambda: trusteq.as_classifier(parts(folder)[0], labels=LABELS), "give (model, tokenizer)")


def test_a_process_that_a_users_file_ends_is_no_verdict(tmp_path):
    """Exit code 0 means "equivalent"."""
    at_import, when_asked = tmp_path / "first.py", tmp_path / "second.py"
    at_import.write_text("import sys\nsys.exit(0)\n")
    when_asked.write_text("import sys\n\ndef model(texts):\n    sys.exit(0)\n")
    one_line(ModelError, lambda: named_classifier(f"{at_import}:model", labels=LABELS), "SystemExit: 0")
    found = named_classifier(f"{when_asked}:model", labels=LABELS)
    one_line(ModelError, lambda: found.predict_proba(["a"]), "called sys.exit(0)")


def test_a_file_is_a_module_that_can_be_looked_up_and_two_of_one_name_are_two(tmp_path):
    body = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass Model:\n"
    body += "    share: float = {}\n\n    def __call__(self, texts):\n"
    body += "        return [[self.share, 1 - self.share] for _ in texts]\n"
    found = []
    for share in (0.5, 0.25):
        (tmp_path / str(share)).mkdir()
        file = tmp_path / str(share) / "model.py"
        file.write_text(body.format(share) + "\nimport pickle\nmodel = pickle.loads(pickle.dumps(Model()))\n")
        found.append(named_classifier(f"{file}:model", labels=LABELS))
    assert [of.predict_proba(["a"])[0, 0] for of in found] == [0.5, 0.25]
    one_line(ModelError, lambda: named_classifier(str(file)), "a file of Python", "model.py:FUNCTION")


def test_classes_of_an_estimator_are_matched_up_to_case(pipeline):
    assert trusteq.as_classifier(pipeline, labels=("POS", "Neg")).labels == LABELS


def test_a_call_of_many_requests_gets_through_where_one_in_eleven_fails(monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    requests = itertools.count(1)

    def predict(texts):
        for _ in range(0, len(texts), 64):
            if next(requests) % 11 == 0:
                raise ConnectionError("500")
        return [[int(text) / 2000, 1 - int(text) / 2000] for text in texts]

    classifier = trusteq.as_classifier(predict, labels=("a", "b"))
    found = classifier.predict_proba([str(n) for n in range(2000)])
    np.testing.assert_allclose(found[:, 0], np.arange(2000) / 2000)
    assert 0 < classifier.calls["failed"] < classifier.calls["calls"]


def test_a_template_is_for_those_that_have_no_separator(monkeypatch):
    Model = dataclasses.make_dataclass("Model", [("needs_template", bool), ("template", object, None)])
    Model.joined_by = lambda self, template: dataclasses.replace(self, template=template)
    models = {"bert": Model(False), "gpt": Model(True)}
    monkeypatch.setattr(module, "named_classifier", lambda name, template=None: dataclasses.replace(models[name]))
    assert [one.template for one in module.named_classifiers(["bert", "gpt"], template="T")] == [None, "T"]
