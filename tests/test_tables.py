"""Tables of the book, on a made-up run whose numbers are known by hand."""

import json
import math

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.errors import ExperimentError
from trusteq.models.recipe import Recipe
from trusteq.pages.calibration import beside_paper, share_table
from trusteq.pages.comparison import agreed_examples
from trusteq.pages.finetune import recipe_table, split_table
from trusteq.pages.results import model_table, paper_model_table
from trusteq.pages.show import chosen_methods, show
from trusteq.pages.status import origin_table, time_table
from trusteq.registry import load_model
from trusteq.store import manifest_path, to_json, write_text
from trusteq.study.calibrate import reliability_tables, score_table
from trusteq.study.results import Results
from trusteq.study.sides import gold_labels

TITLES = ["Demo-large", "Demo-distilled", "Demo-tiny"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run: made-up predictions and attributions, and the tables of calibration computed from them."""
    run = made_up.make_run(tmp_path_factory.mktemp("results"))
    run.write(score_table(run, TASK, 0), "calibration", TASK, 0, "scores")
    run.write(reliability_tables(run, TASK, 0), "calibration", TASK, 0, "reliability")
    return run


def test_scores_by_hand(run):
    scores = run.calibration(TASK, 0, "scores").set_index("model")
    assert list(scores.index) == list(MODELS)
    assert {"accuracy", "ece", "mce", "brier", "nll"} <= set(scores)
    # All confidences of a model are equal, so one bin holds everything: ECE = MCE = |accuracy - confidence|.
    assert scores["accuracy"].tolist() == [0.75, 0.75, 0.5]
    assert scores["ece"].tolist() == pytest.approx([0.2, 0, 0.05])
    assert scores["mce"].tolist() == pytest.approx([0.2, 0, 0.05])
    right, wrong = 0.05**2 + 2 * 0.025**2, 0.95**2 + 0.975**2 + 0.025**2
    assert scores["brier"]["demo-large"] == pytest.approx((3 * right + wrong) / 4)
    assert scores["nll"]["demo-tiny"] == pytest.approx(-(math.log(0.55) + math.log(0.225)) / 2)


def test_reliability_keeps_ten_bins_a_model(run):
    table = run.calibration(TASK, 0, "reliability")
    assert table["model"].tolist() == [model for model in MODELS for _ in range(10)]
    filled = table[table["count"] > 0]
    assert filled["lower"].tolist() == [0.9, 0.7, 0.5]
    assert filled["count"].tolist() == [4, 4, 4]


def test_shares_in_percent_beside_those_the_paper_holds(run):
    table = share_table(run.calibration(TASK, 0, "reliability"), run, TASK)
    assert list(table) == ["confidence", *TITLES, "paper_BERT-base", "paper_BERT-Tiny"]
    assert table["confidence"].tolist() == [f"{low / 10:.1f}–{(low + 1) / 10:.1f}" for low in range(10)]
    expected = {"Demo-large": 9, "Demo-distilled": 7, "Demo-tiny": 5}
    for title, row in expected.items():
        assert table[title].tolist() == [100.0 if bin_ == row else 0.0 for bin_ in range(10)]
    assert table["paper_BERT-base"].tolist()[9] == pytest.approx(88)
    assert table["paper_BERT-Tiny"].tolist()[9] == pytest.approx(44.23)
    assert table[["paper_BERT-base", "paper_BERT-Tiny"]][:9].isna().all(axis=None)


def test_scores_beside_the_paper_are_not_invented(run):
    table = beside_paper(run.calibration(TASK, 0, "scores"), run, TASK)
    assert table["model"].tolist() == TITLES
    scores = run.calibration(TASK, 0, "scores")
    assert list(table) == [*scores, "paper_ece", "paper_mce", "paper_brier"]
    assert table[["paper_ece", "paper_mce", "paper_brier"]].isna().all(axis=None)
    assert table["ece"].tolist() == pytest.approx([0.2, 0, 0.05])


def test_a_score_of_the_paper_finds_its_counterpart(run, monkeypatch):
    paper = pd.DataFrame({"task": ["pi", "nli"], "model": "BERT-Tiny", "ece": [0.9, 0.1], "mce": 0.2, "brier": 0.3})
    monkeypatch.setattr("trusteq.pages.calibration.paper_table", lambda name: paper)
    table = beside_paper(run.calibration(TASK, 0, "scores"), run, TASK)
    assert table["paper_ece"].tolist() == pytest.approx([np.nan, np.nan, 0.1], nan_ok=True)


def test_models_beside_the_papers_table_1(run):
    table = model_table(run, 0)
    assert table["model"].tolist() == TITLES
    assert table["layers"].tolist() == [1, 2, 3]
    assert table["parameters_M"].tolist() == [1.5, 3.0, 4.5]
    assert table["size_MB"].tolist() == [0.25] * 3
    assert table[f"{TASK}_accuracy"].tolist() == [50.0] * 3
    assert table[f"{TASK}_inference_s"].tolist() == [0.5, 1.0, 1.5]
    paper = paper_model_table(run)
    assert paper["model"].tolist() == ["BERT-base", "Distil-BERT", "BERT-Medium", "BERT-Mini", "BERT-Tiny"]
    assert paper["played_by"].tolist() == ["Demo-large", "Demo-distilled", "none", "none", "Demo-tiny"]
    assert paper["paper_nli_accuracy"].tolist() == [90.09, 87.97, 88.18, 85.12, 79.9]
    assert paper["paper_pi_inference_s"].isna().tolist() == [False, False, False, False, True]


def test_examples_that_both_models_get_right(run):
    # the large model is right on 0, 1, 2; distilled on 0, 2, 3; tiny on 0, 1
    assert agreed_examples(run, TASK, "demo-distilled", seed=0).tolist() == ["test-0", "test-2"]
    assert agreed_examples(run, TASK, "demo-tiny", seed=0).tolist() == ["test-0", "test-1"]


def test_gold_labels(run):
    gold = gold_labels(run, TASK)
    assert gold.to_dict() == {f"test-{row}": LABELS[label] for row, label in enumerate(made_up.GOLD)}


def test_chosen_methods(run):
    assert list(chosen_methods(run, TASK, None)) == ["lime", "shap"]
    assert list(chosen_methods(run, TASK, ["shap"])) == ["shap"]
    with pytest.raises(ExperimentError, match=r"method 'shp' is not in experiment 'small'; did you mean 'shap'\?"):
        chosen_methods(run, TASK, ["lime", "shp"])


def test_splits_are_counted_by_class():
    train = pd.DataFrame({"label": [0, 0, 2]})
    train.attrs["unlabelled"] = 5
    table = split_table({"train": train, "test": pd.DataFrame({"label": [1]})}, LABELS)
    assert table.to_dict("list") == {
        "split": ["train", "test"],
        "examples": [3, 1],
        "entailment": [2, 0],
        "neutral": [0, 1],
        "contradiction": [1, 0],
        "skipped": [5, 0],
    }


def test_the_recipe_says_where_a_model_starts():
    def recipe(name):
        return recipe_table(load_model(name), Recipe(learning_rate=2e-5), 7).set_index("what")["value"]

    assert recipe("minilm-3-layers")["start"] == "sentence-transformers/all-MiniLM-L6-v2, first 3 layers"
    assert recipe("bert-base")["start"] == "google-bert/bert-base-uncased"
    assert recipe("demo-tiny")["start"] == "random weights, 1 layers of 48"
    assert recipe("demo-tiny")["learning rate"] == "2e-05"
    assert recipe("demo-tiny")["seed"] == "7"
    assert "temperature" not in recipe("demo-tiny")
    assert recipe("demo-distilled")["teacher"] == "demo-large"
    assert recipe("demo-distilled")["temperature"] == "2.000"


def test_time_by_stage(tmp_path, run):
    other = Results(tmp_path, run.experiment)
    for name, seconds in {"01_finetune/t/m/0": 2.0, "01_finetune/t/n/0": 3.0, "results": 1.5}.items():
        notebook = json.dumps({"metadata": {"papermill": {"duration": seconds}}})
        write_text(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
    killed = tmp_path / "notebooks" / "01_finetune" / "t" / "n" / ".1.ipynb.x" / "1.ipynb"
    killed.parent.mkdir()
    killed.write_text(notebook[:20], encoding="utf-8")
    assert time_table(other).to_dict("list") == {
        "stage": ["01_finetune", "results"],
        "notebooks": [2, 1],
        "seconds": [5.0, 1.5],
        "longest": [3.0, 1.5],
    }


def test_origin_shows_a_mixed_run_as_one(tmp_path):
    run = made_up.make_run(tmp_path)
    assert origin_table(run).set_index("what")["value"]["pandas"] == pd.__version__
    assert origin_table(run).set_index("what")["value"]["device"] == "cpu"
    changed = manifest_path(run.path("predictions", TASK, "demo-tiny", 0))
    manifest = json.loads(changed.read_text(encoding="utf-8"))
    manifest["versions"]["pandas"] = "0.1"
    manifest["git"] = {"commit": None, "changed": None}
    write_text(to_json(manifest), changed)
    origin = origin_table(run).set_index("what")["value"]
    assert origin["pandas"] == f"0.1, {pd.__version__}"
    assert "no git" in origin["git"]


def test_shown_numbers_are_rounded_and_gaps_named():
    table = pd.DataFrame({"model_name": ["<b>"], "score": [0.12345], "gap": [np.nan], "paper_score": [np.nan]})
    markup = show(table, digits=2, formats={"score": "{:.4f}"}, caption="Scores").to_html()
    assert "model name" in markup
    assert "&lt;b&gt;" in markup
    assert "<b>" not in markup
    assert "0.1235" in markup or "0.1234" in markup
    assert markup.count("not held") == 1
    assert markup.count("–") == 1
    assert "Scores" in markup
    assert list(table) == ["model_name", "score", "gap", "paper_score"]  # the table itself is as it was


def test_rows_that_share_a_name_are_each_shown_by_their_own_place():
    table = pd.DataFrame({"with_95%": ["a to b", "c to d"], "paper": [np.nan, np.nan]}, index=[0, 0])
    table.attrs["no_counterpart"] = [True, False]
    markup = show(table).to_html()
    assert markup.index("–") < markup.index("not held")
    assert markup.count("not held") == markup.count("–") == 1
    assert "nowrap" in markup


def test_numbers_of_the_paper_are_rounded_too():
    markup = show(pd.DataFrame({"paper_ece": [0.123456, np.nan]}), digits=3).to_html()
    assert "0.123<" in markup
    assert "not held" in markup
