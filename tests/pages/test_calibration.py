"""Error bars of calibration figures are where the tables have them; and what each section shows."""

import made_up
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import MODELS, TASK
from matplotlib.collections import LineCollection

from trusteq.calibration import proper_scores
from trusteq.calibration.intervals import consistency_bars
from trusteq.pages import calibration
from trusteq.pages.calibration import error_intervals
from trusteq.pages.figures import reliability_diagram

TITLES = ["Demo-large", "Demo-distilled", "Demo-tiny", "itself, retrained", "its random head"]
NAMES = {"large": "Large", "small": "Small", "random-head": "its random head"}


pytestmark = pytest.mark.usefixtures("drawing")


@pytest.fixture
def found():
    """An ECE of two models and of a control far off, and another score, which is not drawn."""
    rows = [
        ("large", "ece", 0.02, 0.0, 0.04, 0.01, 0.03),
        ("small", "ece", 0.06, 0.04, 0.08, 0.01, 0.05),
        ("random-head", "ece", 0.5, 0.45, 0.55, 0.01, 0.03),
        ("large", "nll", 1.0, 0.9, 1.1, 0.8, 1.2),
    ]
    return pd.DataFrame(rows, columns=["model", "score", "value", "low", "high", "null_low", "null_high"])


def spans(ax):
    """Return the ends of each horizontal line drawn as an interval."""
    lines = [part for part in ax.collections if isinstance(part, LineCollection)]
    return [tuple(path[:, 0].tolist()) for part in lines for path in part.get_segments()]


def test_errors_with_intervals_and_null_bands(found):
    ax = error_intervals(found, NAMES, ["large", "small"])
    assert spans(ax) == [(0.0, 0.04), (0.04, 0.08)]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(bars, [(0.01, 0.03), (0.01, 0.05), (0.01, 0.03)])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(NAMES.values())
    assert ax.get_xlabel() == "ECE"


def test_a_control_far_off_is_an_arrow_with_its_value(found):
    ax = error_intervals(found, NAMES, ["large", "small"])
    assert [text.get_text() for text in ax.texts] == ["0.50"]
    arrow = next(line for line in ax.get_lines() if line.get_marker() == ">")
    assert arrow.get_xdata()[0] == ax.get_xlim()[1] == pytest.approx(1.3 * 0.08)
    near = found.assign(value=found["value"].clip(upper=0.09))
    assert len(error_intervals(near, NAMES, ["large", "small"]).texts) == 0


def test_errors_are_drawn_where_they_are_told(found):
    _, (left, right) = plt.subplots(1, 2)
    assert error_intervals(found, NAMES, ["large"], left, score="nll") is left
    assert left.get_xlabel() == "NLL (nats)"
    assert not right.has_data()


def test_reliability_diagram_with_the_bars_of_a_calibrated_model():
    confidence = np.repeat([0.55, 0.95], [20, 30])
    probabilities, labels = np.column_stack([1 - confidence, confidence]), np.ones(50, dtype=int)
    table = consistency_bars(proper_scores.reliability_table(probabilities, labels))
    ax = reliability_diagram(table)
    (bars,) = [part for part in ax.collections if isinstance(part, LineCollection)]
    filled = table[table["count"] > 0]
    expected = [[(row.confidence, row.low), (row.confidence, row.high)] for row in filled.itertuples()]
    np.testing.assert_allclose(bars.get_segments(), expected)


SECTIONS = {
    "scores": "t",
    "errors": "tt",
    "kinds": "t",
    "differences": "tttt",
    "reliability": "f",
    "confidence": "ft",
    "parts": "t",
    "repair": "ttt",
    "loyalty": "tt",
}


@pytest.mark.parametrize(("section", "expected"), SECTIONS.items())
def test_sections_show_tables_and_figures_in_order(run, shown, section, expected):
    if section in calibration.SECTIONS:
        calibration.numbers(run, TASK, 0, section)
    else:
        getattr(calibration, section)(run, TASK, 0)
    assert "".join("f" if hasattr(thing, "axes") else "t" for thing in shown) == expected
    assert all("model" in styled.data for styled in shown if hasattr(styled, "data") and section != "confidence")


def test_differences_are_shown_score_by_score_with_their_margins(run, shown):
    calibration.numbers(run, TASK, 0, "differences")
    captions = [styled.caption for styled in shown]
    assert captions[0] == "accuracy, margin ±0.02"
    assert "debiased ECE, margin ±0.02" in captions
    assert shown[0].data["95%"].tolist()[2] == "-0.602 to 0.602"  # the large model beside itself, on four examples
    assert list(shown[-1].data) == ["model", "Brier", "Brier 95%", "NLL", "NLL 95%"]


def test_a_score_that_is_added_is_shown_with_the_other_kinds(run, shown, monkeypatch, tmp_path):
    added = proper_scores.Score("new", proper_scores.SCORES["accuracy"].of_sums, head="anew")
    monkeypatch.setitem(proper_scores.SCORES, "new", added)
    found = run.calibration(TASK, 0, "intervals")
    other = made_up.make_run(tmp_path)
    extra = found[found["score"] == "nll"].assign(score="new")
    other.write(pd.concat([found, extra], ignore_index=True), "calibration", TASK, 0, "intervals")
    calibration.numbers(other, TASK, 0, "kinds")
    assert list(shown[0].data)[-2:] == ["anew", "anew if calibrated"]
    assert shown[0].data["model"].tolist()[: len(MODELS)] == ["Demo-large", "Demo-distilled", "Demo-tiny"]


def tables(run, shown, section):
    """Return the tables that a section shows."""
    shown.clear()
    calibration.numbers(run, TASK, 0, section)
    return [styled.data for styled in shown]


def test_scores_with_their_intervals_and_errors_with_their_null_bands(run, shown):
    (scores,) = tables(run, shown, "scores")
    assert list(scores) == ["model", "accuracy", "accuracy 95%", "Brier", "Brier 95%", "NLL", "NLL 95%"]
    assert scores["model"].tolist() == TITLES
    assert scores["accuracy"].tolist() == [0.75, 0.75, 0.5, 0.75, 0.5]
    low, high = map(float, scores["accuracy 95%"][0].split(" to "))
    assert 0 <= low < 0.75 < high <= 1
    (kinds,) = tables(run, shown, "kinds")
    assert {"adaptive if calibrated", "debiased", "smooth"} <= set(kinds)
    assert not {"smooth if calibrated", "debiased if calibrated", "adaptive 95%"} & set(kinds)  # no band
    shown.clear()
    calibration.errors(run, TASK, 0)
    assert list(shown[0].data) == ["model", "ECE", "ECE 95%", "ECE if calibrated", "MCE", "MCE if calibrated"]


def test_differences_with_their_outcomes(run, shown):
    accuracy, *_ = tables(run, shown, "differences")
    assert list(accuracy) == ["model", "value", "difference", "95%", "outcome", "examples needed"]
    assert accuracy["model"].tolist() == [*TITLES[1:3], "itself", *TITLES[3:]]


def test_repair(run, shown):
    temperatures, _, overconfidence = tables(run, shown, "repair")
    assert list(temperatures)[:4] == ["model", "temperature", "ECE before", "ECE after"]
    assert temperatures["ECE before"].tolist() == pytest.approx([0.2, 0, 0.05, 0], abs=1e-5)
    assert overconfidence["model"].tolist() == TITLES[1:4]
    assert overconfidence["before"].tolist() == pytest.approx([-0.2, -0.15, -0.2])
    assert overconfidence["after"].tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_loyalty_and_the_parts_of_the_brier_score(run, shown):
    loyal, far = tables(run, shown, "loyalty")
    assert list(loyal)[:3] == ["model", "label loyalty", "label loyalty 95%"]
    assert list(far) == ["model", "total variation", "total variation 95%", "confidence distance"]
    (parts,) = tables(run, shown, "parts")
    assert parts["model"].tolist() == TITLES
    assert "Brier" in parts
