"""Several compressed models beside one large model, in one call."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from trusteq.errors import ExperimentError
from trusteq.verdict.several import folders


def predictions_file(folder, name, *, accuracy, n=6_000):
    rng = np.random.default_rng(0)
    right = rng.random(n) < accuracy
    yes = np.where(right, 0.9, 0.1)
    pd.DataFrame({"label": "yes", "no": 1 - yes, "yes": yes}).to_csv(folder / name, index=False)
    return folder / name


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["runs/mini/0", "runs/distil/0"], ["mini", "distil"]),
        (["a/x.csv", "a/y.csv.gz"], ["x", "y"]),
        (["x.csv", "x.parquet"], ["x.csv", "x.parquet"]),  # their stems would not tell them apart
        (["p.py:small", "p.py:tiny"], ["p.py-small", "p.py-tiny"]),
        (["org/one", "other/two"], ["org-one", "other-two"]),
        (["a/b", "a-b"], ["a-b", "a-b-2"]),
        (["..", "../.."], ["model", "model-2"]),
        (["x/audits.csv", "y/b"], ["x-audits", "y-b"]),
    ],
)
def test_each_has_a_folder_below_the_one_that_is_named(models, names):
    assert folders(Path("out"), models) == [Path("out") / name for name in names]


def test_one_alone_has_the_folder_itself():
    assert folders(Path("out"), ["runs/mini/0"]) == [Path("out")]


@pytest.mark.parametrize("second", ["a", "./a", "a/"])
def test_one_that_is_named_twice_is_refused(second):
    with pytest.raises(ExperimentError, match="twice"):
        folders(Path("out"), ["a", "b", second])


def test_files_are_audited_one_by_one_and_shown_in_one_table(tmp_path, trusteq):
    large, same, worse, close = (
        predictions_file(tmp_path, f"{name}.csv", accuracy=accuracy)
        for name, accuracy in (("large", 0.9), ("same", 0.9), ("worse", 0.5), ("close", 0.889))
    )
    alone = trusteq("audit", large, worse, "--out", tmp_path / "alone")
    done = trusteq("audit", large, same, worse, close, "--out", tmp_path / "out")
    assert (alone.returncode, done.returncode) == (1, 1), done.stderr
    table = pd.read_csv(tmp_path / "out" / "audits.csv")
    assert table["name"].tolist() == ["same", "worse", "close"]
    assert table["verdict"].tolist()[:2] == ["equivalent", "not-equivalent"] and table["code"].tolist()[:2] == [0, 1]
    assert table["model"].tolist() == [str(same), str(worse), str(close)]
    for name in table["name"]:
        values = json.loads((tmp_path / "out" / name / "audit.json").read_text())
        (row,) = (row for row in values["dimensions"] if row["measure"] == "accuracy")
        of = table.set_index("name").loc[name]
        assert (of["verdict"], of["accuracy_outcome"]) == (values["verdict"], row["outcome"])
        assert of["accuracy_difference"] == pytest.approx(row["difference"])
    # What stands beside it changes nothing of an audit.
    beside = tmp_path / "out" / "worse" / "audit.json"
    assert beside.read_text() == (tmp_path / "alone" / "audit.json").read_text()
    assert str(tmp_path / "out" / "audits.csv") in done.stdout and "luck" in done.stdout


@pytest.mark.parametrize(
    ("accuracies", "code"), [((0.9, 0.9), 0), ((0.9, 0.88), 3), ((0.88, 0.5), 1), ((0.5, 0.9, 0.88), 1)]
)
def test_the_exit_code_is_that_of_the_worst(tmp_path, trusteq, accuracies, code):
    large = predictions_file(tmp_path, "large.csv", accuracy=0.9)
    small = [predictions_file(tmp_path, f"{at}.csv", accuracy=accuracy) for at, accuracy in enumerate(accuracies)]
    assert trusteq("audit", large, *small, "--out", tmp_path / "out").returncode == code


def test_each_has_its_own_predictions_of_a_dev_split(tmp_path, trusteq):
    names = ("large", "a", "b", "large-dev", "a-dev", "b-dev")
    large, a, b, *dev = (predictions_file(tmp_path, f"{name}.csv", accuracy=0.9) for name in names)
    command = ("audit", large, a, b, "--ask", "handover", "--out", tmp_path / "out")
    assert trusteq(*command, "--dev", *dev).returncode == 0
    assert pd.read_csv(tmp_path / "out" / "audits.csv")["handover_share"].tolist() == [1.0, 1.0]
    refused(trusteq(*command, "--dev", *dev[:2]), "--dev has 2 files", "3")


def test_checkpoints_are_audited_one_by_one(tmp_path, trusteq, tiny_bert):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["man", "dog", "runs", "reads", "good", "bad"], size=5)) for _ in range(24)]
    labels = ["no", "yes", "maybe"] * 8
    pd.DataFrame({"text_a": texts, "text_b": texts[::-1], "label": labels}).to_csv(tmp_path / "rows.csv", index=False)
    models = [tiny_bert("BertForSequenceClassification", seed=seed) for seed in (0, 1, 2)]
    asked = ("--data", tmp_path / "rows.csv", "--method", "occlusion", "--explain", 4)
    done = trusteq("audit", *models, *asked, "--out", tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "audits.csv")
    assert len(table) == 2 and done.returncode == (1 if 1 in table["code"].tolist() else 3), done.stderr
    alone = trusteq("audit", models[0], models[2], *asked, "--out", tmp_path / "alone")
    assert alone.returncode == table["code"][1]
    beside = tmp_path / "out" / table["name"][1] / "audit.json"
    assert beside.read_text() == (tmp_path / "alone" / "audit.json").read_text()


def test_what_is_wrong_with_the_last_is_said_before_the_first_is_run(tmp_path, trusteq, tiny_bert):
    (tmp_path / "rules.py").write_text(
        "from pathlib import Path\n\n\n"
        "def large(text_a, text_b):\n    Path('ran').touch()\n    return [[0.5, 0.3, 0.2]] * len(text_a)\n\n\n"
        "small = lambda text_a, text_b: large(text_a, text_b)\n"
        "large.labels = small.labels = ('no', 'yes', 'maybe')\n"
    )
    other = tiny_bert("BertForSequenceClassification", labels=("no", "yes", "other"))
    rows = {"text_a": ["a man"] * 20, "text_b": ["a dog"] * 20, "label": ["no"] * 20}
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    models = (f"{tmp_path}/rules.py:large", f"{tmp_path}/rules.py:small", other)
    refused(trusteq("audit", *models, "--data", tmp_path / "rows.csv", "--out", tmp_path / "out"), "other", "maybe")
    assert not (tmp_path / "ran").exists()
