"""An audit that is stopped, by whatever, and asked again: it goes on, to the report of one that nobody stopped."""

import json
import re
import signal
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tenacity
from refusals import one_line

from trusteq.attribution import engine
from trusteq.attribution.explain import explain
from trusteq.errors import DataError, ModelError
from trusteq.models import as_classifier as adapters
from trusteq.models.as_classifier import as_classifier
from trusteq.statistics import stream_seed
from trusteq.store import find, verify
from trusteq.verdict import kept as kept_tables
from trusteq.verdict.audit import audit
from trusteq.verdict.kept import EXAMPLES, Kept
from trusteq.verdict.predictions import Predictions

LABELS = ("no", "yes")
WORDS = [f"w{number}" for number in range(16)]
WEIGHTS = np.linspace(2, 0.1, 16) * np.where(np.arange(16) % 2, -1, 1)
OPTIONS = {"explain": 24, "n_samples": 20, "labels": LABELS, "clusters": None}
PARTS = 2 * 2 * 3  # of 24 examples in tens, each side twice


class Model:
    """Two classes, the logit of the second a weighted count of words; what it does at a call can be told it."""

    def __init__(self, weights=WEIGHTS, at_call=lambda number: None):
        self.weights, self.at_call, self.calls, self.texts = dict(zip(WORDS, weights, strict=True)), at_call, 0, 0

    def __call__(self, texts):
        self.calls, self.texts = self.calls + 1, self.texts + len(texts)
        self.at_call(self.calls)
        yes = 1 / (1 + np.exp([-sum(self.weights.get(word, 0) for word in text.split()) for text in texts]))
        return np.column_stack([1 - yes, yes])


def raising(error, *, when):
    def at_call(number):
        if when(number):
            raise error

    return at_call


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(WORDS)[:12]) for _ in range(60)]
    label = rng.integers(2, size=60)
    return pd.DataFrame({"id": [f"test-{i}" for i in range(60)], "text_a": texts, "text_b": None, "label": label})


@pytest.fixture(scope="module")
def whole(examples):
    """The audit that nobody stopped, and how many texts its models were asked about."""
    models = Model(), Model(WEIGHTS[::-1])
    found = audit(*models, examples, **OPTIONS)
    return found, sum(of.texts for of in models)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(adapters, "WAIT", tenacity.wait_none())


def same(found, whole):
    return found.to_json() == whole[0].to_json() and found.to_html() == whole[0].to_html()


def parts(folder):
    return [file for file in find(folder, "*.parquet") if file.parent.suffix == ".parts"]


def test_an_audit_that_is_killed_twice_and_finished_is_the_one_nobody_stopped(examples, whole, tmp_path):
    n_texts = []
    for stop in (37, 20, 10_000):
        models = [
            Model(of, raising(KeyboardInterrupt, when=lambda n, at=stop: n > at)) for of in (WEIGHTS, WEIGHTS[::-1])
        ]
        if stop < 10_000:
            with pytest.raises(KeyboardInterrupt):
                audit(*models, examples, **OPTIONS, keep=tmp_path)
            assert parts(tmp_path)
        else:
            found = audit(*models, examples, **OPTIONS, keep=tmp_path)
        n_texts.append(sum(of.texts for of in models))
    assert same(found, whole)
    assert n_texts[-1] < whole[1] and sum(n_texts) < 1.3 * whole[1]
    assert parts(tmp_path) == [] and not list(tmp_path.rglob("*.parts"))
    count, problems = verify(tmp_path)
    assert (count, problems) == (2 + 4, [])


def test_what_is_done_is_asked_again_of_a_few_texts_alone(examples, whole, tmp_path):
    models = Model(), Model(WEIGHTS[::-1])
    for _ in range(2):
        before = [(of.calls, of.texts) for of in models]
        assert same(audit(*models, examples, **OPTIONS, keep=tmp_path), whole)
    asked = [(of.calls - calls, of.texts - texts) for of, (calls, texts) in zip(models, before, strict=True)]
    assert asked == [(1, 32), (1, 32)]


@pytest.mark.parametrize("of_model", ["callable", "checkpoint"])
def test_tables_are_those_of_explaining_at_once(examples, tiny_bert, tmp_path, of_model):
    if of_model == "callable":
        model, table = as_classifier(Model(), labels=LABELS), examples.head(24)
    else:
        from trusteq.models.classifier import load_classifier

        model = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
        words = ["a", "the", "man", "woman", "dog", "reads", "runs", "sleeps", "in", "park", "house", "not"]
        rng = np.random.default_rng(0)
        texts = [" ".join(rng.permutation(words)[: 3 + row % 9]) for row in range(24)]
        table = pd.DataFrame({"id": [str(row) for row in range(24)], "text_a": texts, "text_b": None})
    options = {"method": "lime", "n_samples": 20}
    kept, labels, gold = Kept(tmp_path), model.labels, np.zeros(24, dtype=int)
    said = kept.predictions("m", model, (table["text_a"].tolist(), None), table, labels)
    np.testing.assert_allclose(said, model.predict_proba(table["text_a"].tolist()), rtol=0, atol=1e-12)
    said = Predictions(labels, said, gold, table["id"].to_numpy(dtype=object))
    (wanted,) = kept.explanations("m", "m", model, table, said, seed=3, times=1, **options)
    made = kept.table(wanted)
    expected = explain(model, table, seed=stream_seed(3, "audit", "m", "0"), **options)
    pd.testing.assert_frame_equal(made, expected, check_exact=True)
    assert made.attrs == expected.attrs | {name: made.attrs[name] for name in ("calls", "failed")}
    read = Kept(tmp_path).table(wanted)
    pd.testing.assert_frame_equal(read, made, check_exact=True)
    assert read.attrs == made.attrs


def test_a_part_holds_whole_windows(examples, monkeypatch):
    said = Predictions(LABELS, np.full((60, 2), 0.5), np.zeros(60, dtype=int), examples["id"].to_numpy(dtype=object))

    def step():
        (wanted,) = Kept().explanations("m", "m", model, examples, said, method="occlusion", n_samples=20, seed=0)
        return wanted.step

    class Device:
        type = "cuda"

    class Holder:
        device, labels = Device, LABELS

    model = Holder()
    model.model = Holder
    assert step() == engine.WINDOW["cuda"] == 128
    monkeypatch.setitem(engine.WINDOW, "cuda", 4)
    assert step() == 12 >= EXAMPLES
    model = Model()
    assert step() == EXAMPLES


def longer(examples):
    return examples.assign(text_a=[f"w0 {examples['text_a'][0]}", *examples["text_a"][1:]])


@pytest.mark.parametrize(
    ("change", "anew", "why"),
    [
        ({"seed": 1}, 4, "other settings"),
        ({"n_samples": 21}, 4, "other settings"),
        ({"method": "shapley"}, 4, "other settings"),
        ({"examples": longer}, 6, "of other examples"),
        ({"model": Model(WEIGHTS * 1.5)}, 3, "now answers otherwise"),
        ({"labels": ("yes", "no")}, 6, "other settings"),
    ],
)
def test_what_changed_is_made_anew_and_said(examples, tmp_path, capsys, change, anew, why):
    """So many tables: of 2 predictions and 4 attributions."""
    audit(Model(), Model(), examples, **OPTIONS, keep=tmp_path)
    options = OPTIONS | {name: of for name, of in change.items() if name not in ("examples", "model")}
    table, model = change.get("examples", lambda of: of)(examples), change.get("model", Model())
    capsys.readouterr()
    found = audit(Model(), model, table, **options, keep=tmp_path, progress=True)
    said = [line for line in re.split(r"[\r\n]", capsys.readouterr().err) if "made anew" in line]
    assert len(said) == anew and why in said[0], said
    assert found.to_json() == audit(Model(), model, table, **options).to_json()
    assert verify(tmp_path) == (6, [])


def test_what_is_damaged_is_made_anew_and_said(examples, whole, tmp_path, capsys):
    models = Model(), Model(WEIGHTS[::-1], raising(KeyboardInterrupt, when=lambda n: n > 15))
    with pytest.raises(KeyboardInterrupt):
        audit(*models, examples, **OPTIONS, keep=tmp_path)
    large, other = find(tmp_path, "large-1.parquet")[0], parts(tmp_path)[0]
    large.write_bytes(large.read_bytes()[:-8])
    other.with_suffix(".manifest.json").unlink()
    (other.parent / f".{other.name}.left").mkdir()
    capsys.readouterr()
    assert same(audit(Model(), Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path, progress=True), whole)
    said = capsys.readouterr().err
    assert "large-1: made anew: " in said and "differs from its manifest" in said
    assert f"{other.name} or its manifest is not there" in said
    assert verify(tmp_path) == (6, []) and not list(tmp_path.rglob("*.left"))


def test_predictions_are_kept_block_by_block(examples, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(kept_tables, "ROWS", 16)
    stopped = Model(at_call=raising(KeyboardInterrupt, when=lambda n: n == 5))  # the first block asks twice
    with pytest.raises(KeyboardInterrupt):
        audit(stopped, Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path)
    assert [file.stem for file in parts(tmp_path)] == ["0-16", "16-32", "32-48"]
    large = Model()
    assert same(audit(large, Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path), whole)
    assert large.texts == 16 + 12 + explained_texts(examples)  # asked again, left, explained


def explained_texts(examples):
    """How many texts the large model is asked about to explain what an audit explains."""
    model = Model()
    audit(model, Model(WEIGHTS[::-1]), examples, **OPTIONS)
    return model.texts - len(examples) - kept_tables.TWICE


def test_a_server_may_move_a_little_and_it_is_said(examples, whole, tmp_path, capsys):
    audit(Model(), Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path)
    capsys.readouterr()
    moved = Model(WEIGHTS * 1.001)
    assert same(audit(moved, Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path, progress=True), whole)
    said = capsys.readouterr().err
    assert re.search(r"large: its answers moved by up to 0\.00\d+ since they were kept", said)
    assert "made anew" not in said and moved.calls == 1


def test_the_cost_is_said_before_and_what_is_kept_is_no_part_of_it(examples, tmp_path, capsys):
    stopped = Model(at_call=raising(KeyboardInterrupt, when=lambda n: n > 2 + 24 + 10))
    with pytest.raises(KeyboardInterrupt):
        audit(stopped, Model(), examples, **OPTIONS, keep=tmp_path, progress=True)
    said = capsys.readouterr().err
    assert "large: 48 examples x 20 passes = 960 at most; about" in said
    assert "in all: 96 examples x 20 passes = 1,920 at most; about" in said
    audit(Model(), Model(), examples, **OPTIONS, keep=tmp_path, progress=True)
    said = capsys.readouterr().err
    assert "large: 14 examples x 20 passes = 280 at most; about" in said and "34 explanations are kept already" in said
    assert "10/24" in said  # where the bar starts


def test_audits_share_what_is_kept_of_the_large_model(examples, tmp_path):
    large = Model()
    for number in (1, 2):
        before = large.texts
        audit(large, Model(WEIGHTS * number), examples, **OPTIONS, names=("big", f"small {number}"), keep=tmp_path)
    assert large.texts - before == 32
    assert len(find(tmp_path / "attributions", "*.parquet")) == 6


def test_looks_are_kept_too(examples, tmp_path):
    models, texts = (Model(), Model(WEIGHTS[::-1])), []
    for _ in range(2):
        found = audit(*models, examples, **OPTIONS, until_decided=True, keep=tmp_path)
        texts.append(sum(of.texts for of in models))
    assert texts[1] - texts[0] == 64
    assert found.to_json() == audit(*models, examples, **OPTIONS, until_decided=True).to_json()


# --- endpoints ---


def test_one_that_fails_once_in_eleven_calls_is_asked_again_and_it_is_said(examples, whole, tmp_path):
    fails = raising(ConnectionError("reset"), when=lambda n: n % 11 == 0)
    found = audit(Model(), Model(WEIGHTS[::-1], fails), examples, **OPTIONS, keep=tmp_path)
    pd.testing.assert_frame_equal(found.dimensions, whole[0].dimensions)
    asked, note = found.speed["compressed"], "compressed: calls failed and were asked again; timing.json has how often."
    assert asked["calls"] == 2 + 2 * 24 + asked["failed"] and asked["failed"] == asked["calls"] // 11 > 0
    assert note in found.notes and not any(of.startswith("large: calls failed") for of in found.notes)
    assert note in audit(Model(), Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path).notes  # of what is kept


@pytest.mark.parametrize(
    ("error", "n_calls"),
    [
        (ConnectionError("reset"), 5),
        (RuntimeError("429"), 5),
        (json.JSONDecodeError("half", "{", 1), 5),
        (TypeError("a mistake"), 1),
        (KeyError("probabilities"), 1),
        (ValueError("a mistake"), 1),
        (ModelError("ours"), 1),
    ],
)
def test_what_may_pass_is_asked_again_and_a_mistake_is_not(error, n_calls):
    model = Model(at_call=raising(error, when=lambda n: True))
    with pytest.raises(ModelError if n_calls > 1 else type(error)) as caught:
        as_classifier(model, labels=LABELS).predict_proba(["a"] * 7)
    assert model.calls == n_calls
    if n_calls > 1:
        assert caught.value.__cause__ is error
        one_line(ModelError, lambda: as_classifier(model, labels=LABELS)(["a"] * 7), "Model failed 5 times for 7 texts")


def test_waits_grow_and_differ(monkeypatch):
    monkeypatch.undo()
    waits = []
    monkeypatch.setattr(tenacity.nap.time, "sleep", waits.append)
    classifier = as_classifier(Model(at_call=raising(OSError(), when=lambda n: n < 5)), labels=LABELS)
    assert len(classifier.predict_proba(["a"])) == 1 and classifier.calls == Counter(calls=5, failed=4)
    assert [of <= wait < of + 0.5 for of, wait in zip((0.5, 2, 8, 32), waits, strict=True)] == [True] * 4


def test_one_that_fails_for_good_is_named_and_what_is_done_is_kept(examples, whole, tmp_path):
    fails = raising(ConnectionError("refused"), when=lambda n: n > 40)
    gone = Model(WEIGHTS[::-1], fails)
    one_line(
        ModelError,
        lambda: audit(Model(), gone, examples, **OPTIONS, keep=tmp_path),
        "compressed: Model failed 5 times",
        "the last time with ConnectionError: refused",
        f"what is done is kept in {tmp_path}: the same command goes on there",
    )
    assert parts(tmp_path) and find(tmp_path, "large-2.parquet")
    assert same(audit(Model(), Model(WEIGHTS[::-1]), examples, **OPTIONS, keep=tmp_path), whole)
    nan = Model(at_call=lambda n: None)
    nan.predict_proba = lambda texts: np.full((len(texts), 2), np.nan)
    one_line(DataError, lambda: audit(nan, Model(), examples, **OPTIONS), "large: ", "nan")


# --- checkpoints ---


def test_a_checkpoint_is_its_weights_its_configuration_and_its_tokenizer(tiny_bert):
    import torch

    from trusteq.models.checkpoint import fingerprint
    from trusteq.models.classifier import load_classifier

    folder = tiny_bert("BertForSequenceClassification")
    first, again = load_classifier(folder, device="cpu"), load_classifier(folder, device="cpu")
    again.predict_proba(["a man reads"] * 2)
    again.tokenizer(["a", "a man"], padding=True, truncation=True, max_length=4)
    assert fingerprint(first) == fingerprint(again)
    other = (
        tiny_bert("BertForSequenceClassification", seed=1),
        tiny_bert("BertForSequenceClassification", labels=LABELS),
    )
    short = tiny_bert("BertForSequenceClassification", model_max_length=16)
    found = {fingerprint(load_classifier(of, device="cpu")) for of in (*other, short)} | {fingerprint(first)}
    assert len(found) == 4
    with torch.no_grad():
        next(again.model.parameters()).view(-1)[7] += 1e-6
    assert fingerprint(again) not in found


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_the_weights_of_a_quantised_layer_count():
    import torch

    from trusteq.models.checkpoint import bytes_of

    layers = [torch.quantize_per_tensor(torch.tensor([1.0, of]), 0.1, 0, torch.qint8) for of in (2.0, 2.0, 2.1)]
    first, same, other = (bytes_of((layer, None)) for layer in layers)
    assert first == same != other


# --- from the shell ---

PREDICTOR = '''
import os
import signal
from pathlib import Path

import numpy as np

WEIGHTS = np.linspace(2, 0.1, 16) * np.where(np.arange(16) % 2, -1, 1)


def large(texts, weights=WEIGHTS):
    """Do at a call what a file beside this one says: a number of a signal, or "fail"."""
    order, calls = Path("order"), Path("calls")
    calls.write_text(str(int(calls.read_text()) + 1 if calls.exists() else 1))
    if order.exists() and int(calls.read_text()) > int(order.read_text().split()[1]):
        what = order.read_text().split()[0]
        if what == "fail":
            raise ConnectionError("refused")
        os.kill(os.getpid(), int(what))
    yes = 1 / (1 + np.exp([-sum(weights[int(word[1:])] for word in text.split()) for text in texts]))
    return np.column_stack([1 - yes, yes])


def small(texts):
    return large(texts, WEIGHTS[::-1])
'''


@pytest.fixture
def command(examples, tmp_path):
    (tmp_path / "mine.py").write_text(PREDICTOR)
    examples.drop(columns="text_b").to_csv(tmp_path / "rows.csv", index=False)
    given = ("mine.py:large", "mine.py:small", "--data", "rows.csv", "--labels", "no,yes", "--group", "none")
    return lambda out: ("audit", *given, "--explain", 24, "--n-samples", 20, "--out", out)


MEASURED = 'class="measured"'


def order(folder, what, at):
    (folder / "calls").unlink(missing_ok=True)
    (folder / "order").write_text(f"{what} {at}")


def finished(trusteq, command, folder):
    """Finish an audit that was stopped, and make it anew elsewhere: the same but for when it was made."""
    counts = []
    for out in ("out", "whole"):
        order(folder, "fail", 10_000)
        assert trusteq(*command(out)).returncode == 1
        counts.append(int((folder / "calls").read_text()))
    for name in ("audit.json", "audit.html", "model-card.md"):
        there, anew = ((folder / out / name).read_text().splitlines() for out in ("out", "whole"))
        # How fast the models were, which the page says in one line, is no two times the same.
        assert len(timed := [line for line in there if MEASURED in line]) == (name == "audit.html")
        assert [line for line in there if line not in timed] == [line for line in anew if MEASURED not in line]
    tables = find(folder / "whole", "*.parquet")
    assert len(tables) == 6
    for table in tables:
        assert (folder / "out" / table.relative_to(folder / "whole")).read_bytes() == table.read_bytes()
    return counts


def last_line(done):
    return done.stderr.splitlines()[-1]


KEPT = "what is done is kept in out: the same command goes on there"


def test_a_process_that_is_killed_and_one_that_is_interrupted_go_on(interpreter, trusteq, command, tmp_path):
    for number, at, code in ((signal.SIGKILL, 40, -signal.SIGKILL), (signal.SIGINT, 20, 130)):
        order(tmp_path, int(number), at)
        done = interpreter("-m", "trusteq", *command("out"))
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr and done.stdout == ""
    assert last_line(done) == f"stopped; {KEPT}"
    assert "lime" in done.stderr and "explanations are kept already" in done.stderr
    again, anew = finished(trusteq, command, tmp_path)
    assert again < anew - 40


def test_a_scheduler_s_signal_ends_it_in_a_line(trusteq, command, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    order(tmp_path, int(signal.SIGTERM), 30)
    done = trusteq(*command("out"))
    assert done.returncode == 143 and last_line(done) == f"stopped; {KEPT}"
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_endpoint_that_is_gone_ends_it_in_a_line(trusteq, command, tmp_path):
    order(tmp_path, "fail", 40)
    done = trusteq(*command("out"))
    assert done.returncode == 2 and done.stdout == ""
    error = f"mine.py:large: large failed 5 times for {{}} texts, the last time with ConnectionError: refused; {KEPT}"
    assert re.fullmatch(re.escape(f"trusteq error: ModelError: {error}").replace(r"\{\}", r"\d+"), last_line(done))
    assert parts(tmp_path / "out")
    again, anew = finished(trusteq, command, tmp_path)
    assert again < anew


def test_another_file_is_another_model(trusteq, command, tmp_path):
    order(tmp_path, "fail", 10_000)
    assert trusteq(*command("out")).returncode == 1
    (tmp_path / "mine.py").write_text(PREDICTOR + "# a word more\n")
    said = trusteq(*command("out")).stderr
    assert said.count("made anew") == 6 and "of other model" in said


def test_a_command_that_keeps_nothing_is_stopped_in_a_line(trusteq, command, tmp_path):
    order(tmp_path, int(signal.SIGINT), 1)
    done = trusteq("explain", "mine.py:large", "--labels", "no,yes", "--text-a", "w0 w1 w2")
    assert (done.returncode, done.stderr, done.stdout) == (130, "stopped\n", "")
