"""Verdicts on pairs whose difference is known: toy models whose every probability can be worked out by hand."""

import functools
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import one_line, refused

import trusteq
from trusteq import words
from trusteq.errors import DataError, ExperimentError, ModelError
from trusteq.registry import load_task
from trusteq.verdict import shown
from trusteq.verdict.audit import audit, audit_predictions
from trusteq.verdict.margins import load_margins, overall, parse_margins
from trusteq.verdict.predictions import Predictions

LABELS = ("no", "yes")
WORDS = [f"w{number}" for number in range(16)]


class Linear:
    """Two classes, the logit of the second a weighted count of words: what a word is worth is known."""

    def __init__(self, weights, *, labels=LABELS, scale=1.0):
        self.labels, self.weights, self.scale = labels, dict(zip(WORDS, weights, strict=True)), scale

    def __call__(self, text_a, text_b=None):
        logits = np.array([self.scale * sum(self.weights.get(word, 0) for word in text.split()) for text in text_a])
        yes = 1 / (1 + np.exp(-logits))
        both = {"no": 1 - yes, "yes": yes}
        return np.column_stack([both[label] for label in self.labels])


WEIGHTS = np.linspace(2, 0.1, 16) * np.where(np.arange(16) % 2, -1, 1)
LARGE = Linear(WEIGHTS)


@pytest.fixture(scope="module")
def examples():
    """600 texts of 12 words, labelled by draws from the large model's own probabilities: it is calibrated."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.permutation(WORDS)[:12]) for _ in range(600)]
    label = (rng.random(600) < LARGE(texts)[:, 1]).astype(int)
    return pd.DataFrame({"id": [f"test-{i}" for i in range(600)], "text_a": texts, "text_b": None, "label": label})


def outcomes(found):
    return found.dimensions.set_index("measure")["outcome"].to_dict()


quick = functools.partial(audit, explain=60, n_samples=200)


def test_a_model_with_itself_is_equivalent(examples):
    found = quick(LARGE, LARGE, examples)
    assert found.verdict == "equivalent"
    assert set(outcomes(found).values()) == {"equivalent"}
    row = found.dimensions.set_index("measure").loc["accuracy"]
    assert (row["difference"], row["high"]) == (0, pytest.approx(1 - 0.025 ** (1 / 600)))


def test_one_that_reads_other_words_is_not(examples):
    found = quick(LARGE, Linear(WEIGHTS[::-1]), examples)
    assert found.verdict == outcomes(found)["normalised_alignment"] == "not-equivalent"
    assert found.comparison.paper["aligned"] is False


def test_one_that_is_only_too_sure_differs_in_calibration_alone(examples):
    """Three times the logits: the same predictions for the same words, with other confidence."""
    found = quick(LARGE, Linear(WEIGHTS, scale=3), examples, method="occlusion")
    assert outcomes(found)["accuracy"] == "equivalent"
    assert outcomes(found)["overconfidence"] == outcomes(found)["ece"] == "not-equivalent"
    row = found.dimensions.set_index("measure").loc["overconfidence"]
    assert row["compressed"] > row["large"] + 0.05


def test_a_method_that_draws_nothing_has_the_ceiling_1(examples):
    found = quick(LARGE, LARGE, examples, method="occlusion")
    alignment = found.comparison.alignment
    assert alignment.ceiling == alignment.mean == alignment.normalised == 1


def test_classes_are_found_by_name(examples):
    """The same model with its columns the other way round is the same model."""
    found = quick(LARGE, Linear(WEIGHTS, labels=("yes", "no")), examples)
    assert found.verdict == "equivalent"


def test_five_examples_decide_nothing(examples):
    found = quick(LARGE, LARGE, examples.head(5))
    assert found.verdict == "undecided"
    row = found.dimensions.set_index("measure").loc["accuracy"]
    assert (row["n"], row["n_needed"]) == (5, 183)
    assert "examples: 5, and fewer than 15 decide nothing" in row["reason"]
    assert "To decide on accuracy: 183 examples" in " ".join(found.to_html().split())


def test_examples_of_one_premise_are_resampled_together(examples):
    pairs = examples.assign(text_a=np.repeat(examples["text_a"].head(200).to_numpy(), 3))
    found = quick(LARGE, LARGE, pairs)
    assert found.facts["independent"] == 200
    assert set(found.dimensions["n"][:1]) == {200}
    assert not any("independent" in note for note in found.notes)


def test_an_audit_does_not_depend_on_the_order_of_examples(examples):
    shuffled = examples.sample(frac=1, random_state=1)
    other = Linear(WEIGHTS[::-1])
    first, second = (quick(LARGE, other, table, explain=600, n_samples=50) for table in (examples, shuffled))
    pd.testing.assert_frame_equal(first.dimensions, second.dimensions)


def test_margins_can_be_chosen(examples):
    found = quick(LARGE, Linear(WEIGHTS[::-1]), examples, margins={"normalised_alignment": 2, "accuracy": 1})
    assert outcomes(found)["normalised_alignment"] == outcomes(found)["accuracy"] == "equivalent"
    assert found.comparison.margins["accuracy"].reason == "Chosen for this audit."
    assert load_margins()["accuracy"].margin == 0.02
    one_line(ExperimentError, lambda: load_margins({"acuracy": 1}), "'acuracy'", "did you mean 'accuracy'")
    one_line(ExperimentError, lambda: load_margins({"accuracy": -1}), "accuracy", "greater than or equal to 0")
    assert parse_margins(["ece=0.01"]) == {"ece": 0.01}
    one_line(ExperimentError, lambda: parse_margins(["ece"]), "'ece'", "MEASURE=VALUE")


def test_every_margin_has_a_reason_and_a_dimension():
    for margin in load_margins().values():
        assert margin.dimension in ("accuracy", "alignment", "calibration")
        assert len(margin.reason) > 40


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["equivalent"], "equivalent"),
        (["equivalent", "undecided"], "undecided"),
        (["equivalent", "undecided", "not-equivalent"], "not-equivalent"),
    ],
)
def test_the_worst_outcome_is_the_verdict(outcomes, expected):
    assert overall(pd.Series(outcomes)) == expected


def test_texts_that_cannot_tell_models_apart_are_undecided(examples):
    """With ten words or fewer every top 10 is the whole text: chance and ceiling are both 1."""
    short = examples.assign(text_a=[" ".join(text.split()[:8]) for text in examples["text_a"]])
    found = quick(LARGE, Linear(WEIGHTS[::-1]), short)
    assert outcomes(found)["normalised_alignment"] == "undecided"
    assert any("cannot tell models apart" in note for note in found.notes)


def saved(rng, n, *, scale=1.0):
    yes = rng.beta(2, 2, n)
    gold = (rng.random(n) < yes).astype(np.int64)
    sharp = yes**scale / (yes**scale + (1 - yes) ** scale)
    return [Predictions(LABELS, np.column_stack([1 - p, p]), gold) for p in (yes, sharp)]


def test_saved_predictions_are_judged_without_alignment():
    same, _ = saved(np.random.default_rng(0), 3000)
    found = audit_predictions(same, same)
    assert found.verdict == "equivalent"
    assert set(found.dimensions["dimension"]) == {"accuracy", "calibration"}
    assert found.comparison.paper["aligned"] is None
    assert any("not measured" in note for note in found.notes)
    assert audit_predictions(*saved(np.random.default_rng(0), 3000, scale=3)).verdict == "not-equivalent"


def test_an_audit_is_the_same_every_time():
    pair = saved(np.random.default_rng(1), 500, scale=1.1)
    assert audit_predictions(*pair, seed=3).to_json() == audit_predictions(*pair, seed=3).to_json()
    assert audit_predictions(*pair, seed=4).to_json() != audit_predictions(*pair, seed=3).to_json()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: t.head(0), ["no examples"]),
        (lambda t: t.assign(id="one"), ["id occurs twice"]),
        (lambda t: t.assign(label=7), ["large", "7"]),
    ],
)
def test_examples_that_cannot_be_used_are_refused(examples, change, parts):
    one_line(DataError, lambda: quick(LARGE, LARGE, change(examples)), *parts)


def test_a_callable_without_labels_takes_those_given(examples):
    bare = lambda text_a, text_b=None: LARGE(text_a)  # noqa: E731
    assert quick(bare, LARGE, examples, labels=LABELS, method="occlusion").verdict == "equivalent"
    one_line(ModelError, lambda: quick(bare, LARGE, examples), "labels=")


def test_models_about_other_classes_are_refused(examples):
    other = Linear(WEIGHTS)
    other.labels = ("bad", "good")
    one_line(DataError, lambda: quick(LARGE, other, examples), "different labels", "bad")


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"method": "lyme"}, "unknown method 'lyme'; did you mean 'lime'?"), ({"n_samples": 1}, "at least 2")],
)
def test_options_are_checked_before_a_model_is_asked(examples, options, problem):
    def unasked(*_):
        raise AssertionError("the model was asked")

    one_line(ExperimentError, lambda: quick(unasked, unasked, examples, labels=LABELS, **options), problem)


def test_probabilities_that_are_none_name_the_model(examples):
    broken = Linear(WEIGHTS)
    call = lambda *texts: np.full((len(texts[0]), 2), np.nan)  # noqa: E731
    broken.predict_proba = call
    one_line(DataError, lambda: quick(LARGE, broken, examples), "compressed", "nan")


def test_the_report_holds_the_verdict_and_asks_for_nothing(examples):
    found = quick(LARGE, Linear(WEIGHTS[::-1]), examples, names=("a/<b>", "c&d"))
    page = found.to_html()
    assert "Not equivalent" in page and "a/&lt;b&gt;" in page and "c&amp;d" in page
    asked = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)  # names of formats, which nothing is fetched from
    for outside in ("http:", "https:", "<script", "src=", "@import"):
        assert outside not in asked, outside
    values = json.loads(found.to_json())
    assert values["verdict"] == "not-equivalent" and values["models"]["large"] == "a/<b>"
    assert values["alignment"]["ceiling"] > values["alignment"]["mean"]
    decide = [name for name, margin in load_margins().items() if margin.is_of_parity]
    assert [row["measure"] for row in values["dimensions"]] == decide
    assert (values["retraining"], values["beside_retraining"], values["handover"]) == (None, None, None)
    card = found.to_model_card()
    assert "| Not equivalent |" in card and card.count("\n| ") == 2 + 1 + 2 + len(decide)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (("runs/minilm/0", "runs/minilm-3/0"), ("minilm", "minilm-3")),
        (("a.csv", "b.csv"), ("a.csv", "b.csv")),
        (("/m/a/0", "/m/a/0"), ("0", "0")),
        (("x/a/0/y", "x/b/1/y"), ("a/0", "b/1")),
        (("hub/model", "large"), ("hub/model", "large")),
    ],
)
def test_models_are_called_by_what_tells_them_apart(names, short):
    assert shown.short_names(*names) == short


def noisy(seed, scale=0.15):
    """The large model trained again: its weights move a little."""
    return Linear(WEIGHTS + np.random.default_rng(seed).normal(0, scale, size=16))


def test_a_twin_is_a_yardstick(examples):
    small, twin = noisy(1), noisy(2)
    found = quick(LARGE, small, examples, retrained=[twin], explain=40)
    table = found.twins.table.set_index("measure")
    assert list(table.index) == [name for name, margin in load_margins().items() if margin.retraining]
    assert (table["margin"] == [load_margins()[name].margin / 2 for name in table.index]).all()
    right = [
        np.array([of(list(examples["text_a"]))[:, 1] > 0.5]) == examples["label"].to_numpy() for of in (twin, small)
    ]
    assert table.loc["accuracy", "difference"] == pytest.approx(right[0].mean() - right[1].mean())
    assert found.retraining in ("no-worse", "undecided") and found.facts["examples"] == 600
    anchors = found.anchors.set_index("anchor")
    assert anchors.loc["knows no task", "note"] == "not measured"  # a callable has no encoder
    assert anchors.loc["the large model trained again", "jaccard"] > anchors.loc["blind chance", "jaccard"]
    assert "No worse than training the large model again?" in found.to_html()
    other = quick(LARGE, Linear(WEIGHTS[::-1]), examples, retrained=[twin], explain=40)
    assert other.retraining == "worse" and other.twins.n_twins == 1


def test_without_a_twin_or_dev_it_says_what_they_cost(examples):
    found = quick(LARGE, LARGE, examples)
    assert found.retraining is None and found.handover is None
    assert any("600 predictions and 12,000 passes of explaining" in note for note in found.notes)
    assert any("--dev" in note for note in found.notes)


def test_a_dev_split_chooses_a_threshold(examples):
    found = quick(LARGE, noisy(1), examples.head(300), dev=examples.tail(300), explain=30)
    assert found.handover["n_dev"].unique() == [300] and found.handover["n"].unique() == [300]
    assert "With hand-over" in found.to_html() and json.loads(found.to_json())["handover"]


def test_rows_belong_together_as_the_column_says(examples):
    prompt = examples.assign(text_b=examples["text_a"], text_a="Is this good?", topic=np.arange(600) // 60)

    class Second(Linear):
        def __call__(self, text_a, text_b=None):
            return super().__call__(text_b)

    found = quick(Second(WEIGHTS), Second(WEIGHTS), prompt, explain=30, method="occlusion")
    assert found.verdict == "undecided" and set(found.dimensions["outcome"]) == {"undecided"}
    assert all("--group none" in reason for reason in found.dimensions["reason"])
    apart = quick(Second(WEIGHTS), Second(WEIGHTS), prompt, explain=30, method="occlusion", clusters=None)
    assert apart.dimensions.set_index("measure").loc["accuracy", "outcome"] == "equivalent"
    by_topic = quick(Second(WEIGHTS), Second(WEIGHTS), prompt, explain=30, method="occlusion", clusters="topic")
    assert by_topic.facts["independent"] == 10
    sliced = quick(Second(WEIGHTS), noisy(1), prompt, explain=30, method="occlusion", slices="topic")
    assert sliced.slices["n"].tolist() == [60] * 10 and "Accuracy by slice" in sliced.to_html()
    one_line(DataError, lambda: quick(LARGE, LARGE, prompt, clusters="topics"), "no column 'topics'", "'topic'")


def test_it_stops_as_soon_as_the_alignment_is_decided(examples):
    found = quick(LARGE, Linear(WEIGHTS[::-1]), examples, explain=400, until_decided=True)
    assert len(found.comparison.alignment.table) < 400 and found.verdict == "not-equivalent"
    assert any("Stopped at look" in note for note in found.notes)


def test_the_package_offers_it():
    assert trusteq.audit is audit


def test_a_table_of_examples_is_typed_before_a_model_runs(examples):
    """Integer ids, label names, no id and no text_b are what people have; each gives the same audit of accuracy."""
    plain = quick(LARGE, noisy(1), examples, method="occlusion", explain=5)
    named = examples["label"].map(dict(enumerate(LABELS)))
    for table, note in (
        (examples.assign(id=range(600), label=named).drop(columns="text_b"), None),
        (examples.assign(label=examples["label"].astype(float)), None),
        (examples.assign(label=named.str.upper()), "labels are matched up to case: NO, YES"),
        (examples.drop(columns="id").set_index(pd.Index(range(7, 607))), "called by their row number"),
    ):
        found = quick(LARGE, noisy(1), table, method="occlusion", explain=5)
        of = found.dimensions.set_index("measure").loc["accuracy"]
        assert of["large"] == plain.dimensions.set_index("measure").loc["accuracy", "large"]
        assert note is None or any(note in said for said in found.notes)
        assert found.comparison.a.predictions.ids.dtype == object


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: t.drop(columns="label"), ["no column 'label'"]),
        (lambda t: t.rename(columns={"text_a": "text"}), ["no column 'text_a'", "did you mean 'text"]),
        (lambda t: t.assign(text_a=[*t["text_a"][:3], None, *t["text_a"][4:]]), ["row 3", "text_a is empty"]),
        (lambda t: t.assign(text_b=["b"] * 5 + [None] * 595), ["row 5", "text_b is empty"]),
        (lambda t: t.assign(text_a=5), ["row 0", "text_a is 5, not text"]),
        (lambda t: t.assign(text_a=pd.Series(["a \ud800"] * 600, dtype=object)), ["row 0", "half a surrogate pair"]),
        (lambda t: pd.concat([t, t[["label"]]], axis=1), ["a column twice"]),
        (lambda t: t.assign(label=[0.5] * 600), ["row 0", "0.5", "an index 0 to 1"]),
        (lambda t: t.assign(label=["ja"] * 600), ["row 0", "'ja'", "known: no, yes"]),
        (lambda t: t.assign(label=[1, None] * 300), ["row 1", "label is empty"]),
        (lambda t: t.assign(label=[1, -1] * 300), ["-1 and +1 alone"]),
        (lambda t: t.assign(label=[[1]] * 600), ["row 0", "label is no name or index"]),
        (lambda t: t.assign(text_a=[["a"]] * 600), ["row 0", "text_a is ['a'], not text"]),
        (lambda t: t.assign(label=-1), ["none of the 600 examples has a gold label"]),
        (lambda t: t.assign(id=[None, *range(599)]), ["row 0", "id is empty"]),
        (lambda t: t.assign(id=[1, "1", *range(2, 600)]), ["row 1", "id occurs twice"]),
        (lambda t: t.to_dict("records"), ["list, not a pandas.DataFrame"]),
    ],
)
def test_a_table_that_is_none_of_examples_is_refused_before_a_model_runs(examples, change, parts):
    def unasked(*_):
        raise AssertionError("the model was asked")

    one_line(DataError, lambda: quick(unasked, unasked, change(examples), labels=LABELS), *parts)
    if isinstance(change(examples), pd.DataFrame):
        one_line(DataError, lambda: quick(unasked, unasked, examples, dev=change(examples), labels=LABELS), "dev: ")


def test_rows_without_a_gold_label_are_said_in_every_form(examples, tmp_path):
    gold = examples["label"].where(np.arange(600) >= 20, -1)
    found = quick(LARGE, LARGE, examples.assign(label=gold), method="occlusion", explain=5)
    said = "20 rows without a gold label were skipped."
    assert found.facts["examples"] == 580 and said in found.notes[0]
    assert said in found.to_html() and said in json.loads(found.to_json())["notes"] and said in found.to_model_card()
    rows = examples.assign(label=gold)[["text_a", "label"]]
    rows.to_csv(tmp_path / "rows.csv", index=False)
    read = trusteq.read_examples(tmp_path / "rows.csv", task=load_task("sst2"))
    assert said in quick(LARGE, LARGE, read, method="occlusion", explain=5).notes


def test_models_whose_classes_differ_in_case_are_matched(examples):
    other = Linear(WEIGHTS)
    other.labels = ("no", "yes")
    shouting = lambda text_a, text_b=None: other(text_a)[:, ::-1]  # noqa: E731
    shouting.labels = ("YES", "NO")
    found = quick(LARGE, shouting, examples, method="occlusion")
    assert found.verdict == "equivalent" and found.comparison.alignment.mean == 1
    assert "compressed: class names are matched up to case: YES as yes, NO as no" in found.notes


def test_what_was_found_out_about_files_is_said_with_the_name_of_the_side():
    same, _ = saved(np.random.default_rng(0), 300)
    upper, twin = replace(same, labels=("NO", "YES")), replace(same, notes=("a twin's",))
    found = audit_predictions(
        replace(same, notes=("large's own",)), upper, retrained=[twin], dev=(same, upper), names=("a.csv", "b.csv")
    )
    case = "class names are matched up to case: NO as no, YES as yes"
    wanted = ["a.csv: large's own", f"b.csv: {case}", "retrained: a twin's", f"dev of b.csv: {case}"]
    assert list(found.notes[:4]) == wanted == json.loads(found.to_json())["notes"][:4]
    assert all(note.replace("'", "&#39;") in found.to_html() for note in wanted)


# --- checkpoints from the shell ---


NAMES = ("no", "yes", "maybe")


@pytest.fixture
def rows(tmp_path):
    """A file of pairs under columns of its own, labelled by name, with others beside them that mean nothing."""
    words = ["a", "the", "man", "woman", "dog", "reads", "runs", "sleeps", "house", "good", "bad", "very", "not"]
    rng = np.random.default_rng(0)
    texts = [[" ".join(rng.choice(words, size=5)) for _ in range(24)] for _ in range(3)]
    table = pd.DataFrame(dict(zip(("ask", "answer", "text_a"), texts, strict=True)))
    table["gold"] = [NAMES[row % 3] for row in range(24)]
    table.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


ASKED = ("--method", "occlusion", "--explain", 4)
COLUMNS = ("--text-a", "ask", "--text-b", "answer", "--label", "gold")


@pytest.mark.parametrize("given", [("--labels", "no, yes,maybe"), ()])
def test_an_audit_without_a_task(trusteq, tiny_bert, rows, tmp_path, given):
    folder, out = tiny_bert("BertForSequenceClassification"), tmp_path / "out"
    done = trusteq("audit", folder, folder, "--data", rows, *COLUMNS, *given, *ASKED, "--out", out)
    assert done.returncode == 3, done.stderr
    values = json.loads((out / "audit.json").read_text())
    assert values["labels"] == list(NAMES) and values["facts"]["cut"] == {}
    read = pd.read_csv(rows)
    model = loaded(folder)
    right = model.predict_proba(read["ask"], read["answer"]).argmax(axis=1) == np.arange(24) % 3
    assert values["scores"][0]["score"] == "accuracy" and values["scores"][0]["large"] == pytest.approx(right.mean())


def loaded(folder):
    from trusteq.models.classifier import load_classifier

    return load_classifier(folder, device="cpu")


def test_names_of_classes_from_the_shell(trusteq, tiny_bert, rows, tmp_path):
    nameless = tiny_bert("BertForSequenceClassification", labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    command = ("audit", nameless, nameless, "--data", rows, *COLUMNS, *ASKED, "--out", tmp_path / "out")
    refused(trusteq(*command), "no class names", "labels")
    assert trusteq(*command, "--labels", "no,yes,maybe").returncode == 3
    refused(trusteq(*command, "--labels", "no,no,yes"), "--labels", "each once")
    refused(trusteq(*command, "--labels", "no,yes"), "'maybe'", "rows.csv")
    refused(trusteq(*command[:-8], "--labels", "no,yes,maybe", "--text-b", "anwser", "--out", tmp_path / "x"), "column")


def test_texts_that_a_model_cuts_are_counted(tiny_bert, tmp_path):
    folders = [tiny_bert("BertForSequenceClassification", model_max_length=limit) for limit in (32, 8)]
    models = [loaded(folder) for folder in folders]
    texts = ["a man"] * 10 + ["the dog runs in the park and eats"] * 14
    table = pd.DataFrame({"id": map(str, range(24)), "text_a": texts, "text_b": None, "label": 0})
    found = audit(*models, table, method="occlusion", explain=4, clusters=None, names=("whole", "short"))
    assert found.facts["cut"] == {"short": 14}
    note = "short takes 8 tokens: 14 of 24 examples are longer, and cut."
    assert note in found.notes and note in found.to_html() and note in json.loads(found.to_json())["notes"]


def test_examples_without_a_word_that_weighs_are_counted():
    texts = ["red slow w1 w2", "w3 w4 w5 w6"] * 12
    table = pd.DataFrame({"id": [f"test-{at}" for at in range(24)], "text_a": texts, "text_b": None, "label": 0})

    def reads(word):
        return lambda text_a, text_b=None: np.array(
            [[0.9, 0.1] if word in text.split() else [0.2, 0.8] for text in text_a]
        )

    found = audit(reads("red"), reads("slow"), table, labels=("no", "yes"), method="occlusion", clusters=None)
    note = "large: 12 of 24 explained examples have no word that weighs anything, and so no top words."
    assert note in found.notes and note in found.to_html() and note in json.loads(found.to_json())["notes"]
    alignment = found.comparison.alignment
    assert (alignment.mean, alignment.undefined) == (0, 12) and alignment.chance == pytest.approx(1 / 4)


def test_texts_without_words_are_counted_and_never_an_error(examples):
    mixed = examples.head(60).copy()
    mixed.loc[:8, "text_a"] = ["🙂🙂", "?!", "❤️"] * 3
    found = quick(LARGE, LARGE, mixed)
    assert found.notes[0] == "Of 60 examples to explain, 9 skipped: no words, such as emoji alone."
    assert len(found.comparison.alignment.table) == 51
    found = quick(LARGE, LARGE, mixed, until_decided=True)
    assert found.notes[0].startswith("Of 60 examples to explain, 9 skipped")
    alone = quick(LARGE, LARGE, mixed.head(9), retrained=[LARGE])
    assert alone.comparison.alignment is None and "alignment" not in set(alone.dimensions["dimension"])
    assert "9 skipped: no words" in alone.to_html()


def test_one_segmentation_holds_for_both_models_and_is_said(examples, monkeypatch):
    chinese = examples.head(20).assign(text_a=[f"我今天去北京大学看书w{number}" for number in range(20)])
    for icu, said in ((words._icu(), "cut into words by ICU"), (None, "cut into characters")):
        monkeypatch.setattr(words, "_icu", lambda icu=icu: icu)
        found = quick(LARGE, Linear(WEIGHTS[::-1]), chinese, method="occlusion")
        assert said in found.notes[0]
        first, second = (of.explained.first.attributions for of in (found.comparison.a, found.comparison.b))
        assert first["word"].tolist() == second["word"].tolist()
        assert first.attrs["segmentation"] == second.attrs["segmentation"] == words.segmentation(chinese["text_a"])
    assert quick(LARGE, LARGE, examples.head(20)).notes[0] != found.notes[0]


def test_two_models_under_one_name_are_two_models(examples):
    """They were one entry of a dict: the second beside itself, "equivalent"."""
    apart = quick(LARGE, noisy(1, 3.0), examples, method="occlusion", explain=5)
    found = quick(LARGE, noisy(1, 3.0), examples, method="occlusion", explain=5, names=("m", "m"))
    assert found.comparison.names == ("m (large)", "m (compressed)")
    pd.testing.assert_series_equal(found.dimensions["difference"], apart.dimensions["difference"])
    twin = quick(
        LARGE, noisy(1), examples, retrained=[noisy(2)], names=("a", "retrained 1"), method="random", explain=5
    )
    assert twin.comparison.names == ("a (large)", "retrained 1 (compressed)")


def test_what_is_given_twice_is_said(examples):
    found = quick(LARGE, LARGE, examples, retrained=[LARGE], dev=examples, method="occlusion", explain=5)
    for said in ("compressed says what large says", "retrained 1 says what large says", "dev are the examples of the"):
        assert any(said in note for note in found.notes)
    apart = quick(LARGE, noisy(1), examples, dev=examples[:300], method="occlusion", explain=5)
    assert not any("says what" in note or "dev are the" in note for note in apart.notes)


@pytest.mark.parametrize("column", ["clusters", "slices"])
def test_what_examples_belong_to_is_checked_before_a_model_runs(examples, column):
    def never(text_a, text_b=None):
        raise AssertionError("asked")

    never.labels = LABELS
    for cell in (None, " ", np.nan):
        table = examples.assign(of=["a", cell] * 300)
        one_line(DataError, lambda table=table: audit(never, never, table, **{column: "of"}), "row 1: of is empty")
    for options in ({"k": 0}, {"explain": 0}):
        one_line(ExperimentError, lambda options=options: audit(never, never, examples, **options), "give at least 1")


def test_cells_of_several_types_are_groups(examples):
    table = examples.assign(of=[1, "b"] * 300)
    found = quick(LARGE, noisy(1), table, clusters="of", method="occlusion", explain=5)
    assert found.comparison.differences["accuracy"].units == 2


def test_a_file_in_the_place_of_the_folder_is_said_before_a_model_runs(trusteq, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "never.py").write_text("raise AssertionError")
    for out in ("file", "file/below"):
        refused(
            trusteq("audit", "never.py:a", "never.py:b", "--data", "no.csv", "--labels", "a,b", "--out", out), "--out"
        )


def test_rows_can_be_grouped_by_their_id(trusteq, tmp_path):
    (tmp_path / "rows.csv").write_text("id,text_a,label\n" + "".join(f"i{at},w{at} x,{at % 2}\n" for at in range(6)))
    (tmp_path / "model.py").write_text("def half(texts):\n    return [[0.5, 0.5]] * len(texts)\n")
    models = ["model.py:half"] * 2
    options = ["--data", "rows.csv", "--labels", "a,b", "--group", "id", "--method", "occlusion", "--out", "out"]
    assert trusteq("audit", *models, *options).returncode == 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda rng, n: np.eye(2)[np.arange(n) % 2], "answers with 0 and 1 alone"),
        (lambda rng, n: np.tile([0.7, 0.2995], (n, 1)), "sum to 1 only within 0.0005"),
        (lambda rng, n: np.stack([p := 0.4 + 0.2 * rng.random(n), 1 - p], axis=1), "asked twice for the same texts"),
        (lambda rng, n: np.tile([0.7, 0.3], (n, 1)), None),
    ],
)
def test_what_is_odd_about_a_models_answers_is_said_once(answer, said, tmp_path):
    rows = pd.DataFrame({"text_a": [f"a man {n}" for n in range(20)], "label": 0})
    rng = np.random.default_rng(0)
    asked = {"labels": ("no", "yes"), "method": "random", "explain": 4, "clusters": None, "keep": tmp_path}

    def same(text_a):
        return np.tile([0.6, 0.4], (len(text_a), 1))

    found = audit(same, lambda text_a: answer(rng, len(text_a)), rows, **asked)
    odd = [note for note in found.notes if note.startswith("compressed: ")]
    assert len(odd) == (said is not None) and all(said in note for note in odd)
    assert not [note for note in found.notes if note.startswith("large: ")]
