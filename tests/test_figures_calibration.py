"""Error bars of calibration figures are where the tables have them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from trusteq.calibration import proper_scores
from trusteq.calibration.null_bands import consistency_bars
from trusteq.pages.calibration import error_intervals
from trusteq.pages.figures import reliability_diagram

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
    assert left.get_xlabel() == "nll"
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
