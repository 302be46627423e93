"""The paper's three first experiments: their files, and what their page says of the made-up run and of any other."""

import math
import re

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from made_up import CHANCE, MODELS, TASK

from trusteq.pages import first
from trusteq.pages.first import (
    applies,
    as_asked,
    examples_needed,
    first_alignment,
    first_answers,
    first_calibration,
    first_calibration_view,
    needed_view,
    range_place,
    scale_view,
    word_view,
)
from trusteq.project import root
from trusteq.store import write_text
from trusteq.study import notebooks
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

LARGE, DISTILLED, TINY = MODELS
NAMES = ("first-alignment", "first-calibration", "first-sentiment")
NAN = math.nan


@pytest.fixture(scope="module")
def aligned(run):
    return first_alignment(run).set_index(["method", "model"])


@pytest.fixture(scope="module")
def calibrated(run):
    return first_calibration(run).set_index("model")


@pytest.fixture
def one(run):
    """Return one row about demo-distilled, by lime, with some values replaced."""

    def one(**changes):
        row = {"task": TASK, "method": "lime", "model": DISTILLED, "jaccard": 0.6, "low": 0.55, "high": 0.65}
        row |= {"chance": 0.1, "ceiling": 0.6, "normalised": 1.0, "normalised_low": 0.9, "normalised_high": 1.1}
        row |= {"examples": 50, "as_asked": True, "expected_low": 0.8, "expected_high": 1.2}
        row |= {"needed": 313.0, "tested": 1725} | changes
        row["place"], row["settled"] = range_place(row["jaccard"], row["low"], row["high"])
        return pd.DataFrame([row])

    return one


@pytest.fixture
def shift():
    """Return the large model's row and demo-distilled's, the latter with these values."""

    def shift(ece, difference, low, high):
        same = {"task": TASK, "examples": 400, "accuracy": 0.75, "confidence": 0.8, "sure": 0.5}
        large = same | {"model": LARGE, "ece": 0.05, "difference": NAN, "low": NAN, "high": NAN}
        other = same | {"model": DISTILLED, "ece": ece, "difference": difference, "low": low, "high": high}
        return pd.DataFrame([large, other | {"confidence": 0.7, "sure": 0.25}])

    return shift


class TestExperiments:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_model_against_its_distilled_half_under_one_seed(self, name):
        found = Experiment.load(name)
        assert (list(found.models), found.seeds) == (["minilm", "minilm-distilled"], (0,))
        half = found.model("minilm-distilled")
        assert (half.teacher, half.compress.of, half.compress.recover) == ("minilm", "minilm", True)
        (task,) = found.tasks
        assert found.recipe_for(task, "minilm") == found.recipe_for(task, "minilm-distilled")

    def test_alignment_is_asked_as_the_paper_does(self):
        for name, task in (("first-alignment", "mrpc"), ("first-sentiment", "sst2")):
            found = Experiment.load(name)
            assert list(found.tasks) == [task]
            assert as_asked(Results(root(), found), task, "lime")
            assert found.task_methods(task)["lime"].n_samples == 1000
        assert not as_asked(Results(root(), Experiment.load("first-calibration")), "mrpc", "gradient-x-input")

    def test_the_page_is_for_these_experiments(self):
        assert all(applies(Experiment.load(name)) for name in NAMES)
        assert not any(applies(Experiment.load(name)) for name in ("demo", "snli-minilm", "mrpc-minilm"))

    @pytest.mark.parametrize("name", NAMES)
    def test_the_papers_models_go_in_as_the_comment_says(self, name):
        text = (root() / "experiments" / "first-alignment.yaml").read_text(encoding="utf-8")
        comment = yaml.safe_load("\n".join(re.findall(r"^#   (\w.+)$", text, flags=re.MULTILINE)))
        assert list(comment) == ["models", "recipe"]
        comment["models"] = {model: {} for model in comment["models"]}
        values = Experiment.load(name).model_dump(exclude_unset=True) | comment
        found = Experiment.model_validate(values)
        assert [found.model(model).title for model in found.models] == ["BERT-base", "Distil-BERT"]


class TestAlignmentTable:
    def test_means_anchors_and_scale(self, aligned):
        assert list(aligned.index) == [(method, model) for method in ("lime", "shap") for model in (DISTILLED, TINY)]
        assert aligned["jaccard"].tolist() == pytest.approx([2 / 3, 1 / 2] * 2)
        assert aligned["chance"].tolist() == pytest.approx([CHANCE] * 4)
        assert aligned["ceiling"].tolist() == pytest.approx([5 / 6, 5 / 6, 1, 1])
        assert aligned["normalised"].tolist() == pytest.approx([5 / 8, 1 / 4, 5 / 11, 2 / 11])

    def test_the_expected_range_on_the_scale(self, aligned):
        assert aligned.loc[("lime", TINY), ["expected_low", "expected_high"]].tolist() == pytest.approx([0.25, 0.7])
        ends = [(end - CHANCE) / (1 - CHANCE) for end in (0.5, 0.7)]
        assert aligned.loc[("shap", TINY), ["expected_low", "expected_high"]].tolist() == pytest.approx(ends)

    def test_two_examples_settle_nothing(self, aligned):
        assert (aligned["examples"].tolist(), aligned["tested"].tolist()) == ([2] * 4, [4] * 4)
        assert aligned["place"].tolist() == ["within"] * 4
        assert not aligned["settled"].any()
        assert not aligned["as_asked"].any()
        # Of two examples, at 1/3 and at 1, the interval is all that is possible.
        assert aligned.loc[("lime", DISTILLED), "needed"] == math.ceil(2 * (1 / 2 / 0.02) ** 2)

    @pytest.mark.parametrize(
        ("numbers", "expected"),
        [
            ((0.6, 0.55, 0.65), ("within", True)),
            ((0.5, 0.5, 0.7), ("within", True)),
            ((0.52, 0.49, 0.55), ("within", False)),
            ((0.4, 0.3, 0.49), ("below", True)),
            ((0.4, 0.3, 0.5), ("below", False)),
            ((0.8, 0.71, 0.9), ("above", True)),
            ((0.8, 0.4, 0.9), ("above", False)),
            ((0.6, NAN, NAN), ("within", False)),
            ((NAN, NAN, NAN), ("nowhere", False)),
        ],
    )
    def test_place(self, numbers, expected):
        assert range_place(*numbers) == expected

    def test_examples_needed(self):
        assert examples_needed(0.5, 0.6, 50) == 50 * 2.5**2 + 0.5  # ±0.05, 2.5 times too wide: 312.5, and so 313
        assert examples_needed(0.5, 0.54, 70) == 70
        assert examples_needed(0.5, 0.5, 9) == 0
        assert math.isnan(examples_needed(NAN, NAN, 9))
        assert math.isnan(examples_needed(0.5, 0.5, 1))
        values = np.random.default_rng(0).normal(0.6, 0.2, 20_000)
        half = 1.96 * values.std() / math.sqrt(len(values))
        wanted = examples_needed(-half, half, len(values))
        assert wanted == pytest.approx((1.96 * values.std() / 0.02) ** 2, abs=1)


class TestCalibrationTable:
    def test_confidence_accuracy_and_ece(self, calibrated):
        assert list(calibrated.index) == list(MODELS)
        assert calibrated["examples"].tolist() == [4, 4, 4]
        assert calibrated["accuracy"].tolist() == pytest.approx([0.75, 0.75, 0.5])
        assert calibrated["confidence"].tolist() == pytest.approx([0.95, 0.75, 0.55])
        assert calibrated["sure"].tolist() == [1, 0, 0]
        assert calibrated["ece"].tolist() == pytest.approx([0.2, 0, 0.05])

    def test_differences_are_those_of_the_page_on_calibration(self, run, calibrated):
        assert calibrated["difference"].tolist() == pytest.approx([NAN, -0.2, -0.15], nan_ok=True)
        written = run.calibration(TASK, 0, "differences").query("score == 'ece'").set_index("model")
        for end in ("low", "high"):
            assert calibrated[end][1:].tolist() == written.loc[[DISTILLED, TINY], end].tolist()

    def test_view(self, run, calibrated):
        view = first_calibration_view(calibrated.reset_index(), run)
        assert view["model"].tolist() == ["Demo-large", "Demo-distilled", "Demo-tiny"]
        assert view["95% of it"].isna().tolist() == [True, False, False]


class TestAnswers:
    def test_one_row_a_model_and_question(self, run, aligned, calibrated):
        found = first_answers(aligned.reset_index(), calibrated.reset_index(), run)
        assert found["model"].tolist() == ["Demo-distilled"] * 3 + ["Demo-tiny"] * 3
        jaccard, ece = "mean Jaccard of the top 2, {}: 0.5 to 0.7?", "does the ECE shift?"
        assert found["question"].tolist() == [jaccard.format("lime"), jaccard.format("shap"), ece] * 2
        assert found["found"].tolist() == pytest.approx([2 / 3, 2 / 3, -0.2, 1 / 2, 1 / 2, -0.15])
        assert set(found["answer"][found["question"] != ece]) == {"open"}

    @pytest.mark.parametrize(
        ("numbers", "answer"),
        [((0.6, 0.55, 0.65), "yes"), ((0.4, 0.3, 0.45), "no"), ((0.6, 0.4, 0.8), "open"), ((NAN, NAN, NAN), "open")],
    )
    def test_of_alignment(self, run, one, shift, numbers, answer):
        values = dict(zip(("jaccard", "low", "high"), numbers, strict=True))
        found = first_answers(one(**values), shift(0.1, 0.05, 0.01, 0.09), run)
        assert found["answer"].tolist() == [answer, "yes"]

    @pytest.mark.parametrize(
        ("low", "high", "answer"),
        [(0.01, 0.1, "yes"), (-0.1, -0.01, "yes"), (0.0, 0.1, "not shown"), (-0.1, 0.1, "not shown")],
    )
    def test_of_calibration(self, run, one, shift, low, high, answer):
        assert first_answers(one(), shift(0.1, 0.05, low, high), run)["answer"].tolist() == ["yes", answer]


class TestViews:
    def test_where_the_mean_and_its_interval_lie(self, run, one):
        settled, open_ = (word_view(one(low=low), run).iloc[0] for low in (0.55, 0.4))
        assert settled[["mean is", "its interval"]].tolist() == ["within the range", "too"]
        assert open_["its interval"] == "reaches over an end"
        assert settled["model"] == "Demo-distilled"
        assert word_view(one()[:0], run).empty

    def test_the_expected_range_on_the_scale(self, run, one):
        row = scale_view(one(), run).iloc[0]
        assert row[["0 to 1", "95%", "expected range"]].tolist() == [1.0, "0.90 to 1.10", "0.80 to 1.20"]
        assert scale_view(one(normalised_low=NAN), run)["95%"].isna().all()

    def test_examples_needed(self, run, one):
        row = needed_view(one(), run).iloc[0]
        assert row["half width"] == pytest.approx(0.05)
        assert row[["examples", "for ±0.02", "test split"]].tolist() == [50, 313, 1725]
        assert needed_view(one(needed=NAN), run)["for ±0.02"].isna().all()


@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")  # seaborn 0.13 calls matplotlib 3.11 in its old way
def test_the_page_shows_all_its_parts(run, shown, drawing):
    for part in (first.answers, first.words, first.scale, first.needed, first.calibration):
        part(run)
    assert "2 words a set: 0.00, 0.33, 1.00." in shown[7].data
    assert len(shown) == 11


def test_the_page_is_made_without_torch_data_or_models(run, tmp_path):
    source = tmp_path / "first.py"
    guard = "# %%\nimport sys\n\nprint('torch' in sys.modules, 'datasets' in sys.modules)\n"
    source.write_text((root() / "notebooks" / "first.py").read_text(encoding="utf-8") + guard, encoding="utf-8")
    assert len(jupytext.read(source).cells) > 15
    write_text(run.experiment.dump(), run.folder / "experiment.yaml")
    parameters = {"experiment": str(run.folder / "experiment.yaml"), "results": str(run.folder.parent)}
    notebooks.execute(source, tmp_path / "first.ipynb", parameters)
    page = nbformat.read(tmp_path / "first.ipynb", as_version=4)
    assert page.cells[-1].outputs[0].text == "False False\n"
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
