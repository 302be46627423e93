"""Tables of the book, on a made-up run whose numbers are known by hand."""

import math

import made_up
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.errors import ExperimentError
from trusteq.pages.calibration import beside_paper, share_table
from trusteq.pages.show import (
    chosen_methods,
    chosen_runs,
    interval_text,
    of_seed,
    open_page,
    put,
    show,
    titles,
    view,
    wide,
)
from trusteq.store import write_text
from trusteq.study.sides import gold_labels

TITLES = ["Demo-large", "Demo-distilled", "Demo-tiny"]


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


def test_gold_labels(run):
    gold = gold_labels(run, TASK)
    assert gold.to_dict() == {f"test-{row}": LABELS[label] for row, label in enumerate(made_up.GOLD)}


def test_chosen_methods(run):
    assert list(chosen_methods(run, TASK, None)) == ["lime", "shap"]
    assert list(chosen_methods(run, TASK, ["shap"])) == ["shap"]
    with pytest.raises(ExperimentError, match=r"method 'shp' is not in experiment 'small'; did you mean 'shap'\?"):
        chosen_methods(run, TASK, ["lime", "shp"])


def test_chosen_runs_and_their_names(run):
    every = chosen_runs(run, None, None)
    assert list(every.values()) == [("demo-large", 0), ("demo-large", 1), ("demo-distilled", 0), ("demo-tiny", 0)]
    assert list(every)[:3] == ["Demo-large, seed 0", "Demo-large, seed 1", "Demo-distilled"]
    assert chosen_runs(run, "demo-large", 1) == {"Demo-large": ("demo-large", 1)}
    assert chosen_runs(run, None, 1) == {"Demo-large": ("demo-large", 1)}
    with pytest.raises(ExperimentError, match="did you mean 'demo-tiny'"):
        chosen_runs(run, "demo-tny", None)


def test_an_interval_is_a_span_or_one_number_and_never_minus_zero():
    low, high = pd.Series([0.224, -0.2, -0.001, np.nan]), pd.Series([0.221, 0.3, 0.004, 1.0])
    assert interval_text(low, high).tolist()[:3] == ["0.22", "-0.20 to 0.30", "0.00"]
    assert pd.isna(interval_text(low, high)[3])
    assert interval_text(low, high, digits=3)[2] == "-0.001 to 0.004"


def test_rows_of_one_seed():
    assert of_seed(pd.DataFrame({"seed": [1, 0, 1], "x": [1, 2, 3]}), 1).to_dict("list") == {
        "seed": [1, 1],
        "x": [1, 3],
    }


@pytest.mark.usefixtures("drawing")
def test_what_belongs_together_is_put_in_order_and_figures_are_closed(shown):
    ax = plt.figure().gca()
    put(pd.DataFrame({"paper_x": [np.nan]}), ax, "**words**")
    table, figure, words = shown
    assert "not held" in table.to_html()
    assert figure is ax.figure
    assert words.data == "**words**"
    assert plt.get_fignums() == []


def test_opening_a_page_sets_its_style_and_importing_does_not(run):
    write_text(run.experiment.dump(), run.folder / "experiment.yaml")
    with plt.rc_context():
        assert open_page(run.folder).folder == run.folder
        assert plt.rcParams["figure.figsize"] == [5.2, 3.4]


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


def test_models_of_one_title_are_told_apart(run, monkeypatch):
    spec = run.experiment.model("demo-tiny")
    monkeypatch.setattr(type(run.experiment), "model", lambda self, name: spec)
    assert titles(run) == {name: f"{spec.title} ({name})" for name in MODELS}


def test_a_view_titles_sides_and_joins_the_ends_of_intervals(run):
    found = pd.DataFrame({"model": ["demo-tiny", "random-head"], "seed": 0, "low": [0.1, 0.2], "high": [0.3, 0.2]})
    columns = {"who": "model", "seed": "seed", "95%": ("low", "high")}
    assert view(found, run, columns).to_dict("list") == {
        "who": ["Demo-tiny", "its random head"],
        "95%": ["0.10 to 0.30", "0.20"],
    }
    assert list(view(found.assign(seed=[0, 1]), run, columns)) == ["who", "seed", "95%"]
    pair = pd.DataFrame({"model_a": ["demo-large"], "model_b": ["itself"], "segment": [0]})
    assert view(pair, run, {"pair": "pair", "text": "text"}).to_numpy().tolist() == [["Demo-large – itself", 1]]


def test_a_wide_table_has_columns_for_each_value_and_gaps_where_a_row_lacks_one(run):
    rows = [("demo-large", "a", 1.0), ("demo-tiny", "a", 2.0), ("demo-tiny", "b", 3.0)]
    found = pd.DataFrame(rows, columns=["model", "score", "value"]).assign(low=np.nan, high=np.nan)
    columns = {"{}": "value", "{} 95%": ("low", "high")}
    table = wide(found, run, "score", {"b": "B", "a": "A"}, columns=columns, rows={"model": "model"})
    assert list(table) == ["model", "B", "A"]  # no interval, no column
    assert table["model"].tolist() == ["Demo-large", "Demo-tiny"]
    assert table["B"].tolist() == pytest.approx([np.nan, 3.0], nan_ok=True)
    assert table["A"].tolist() == [1.0, 2.0]
