"""What the titles of figures say: found from made-up data, and something else of other data."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from trusteq.pages.comparison import closest_line, curve_line, source_line
from trusteq.pages.drawn import described, themed
from trusteq.pages.figures import headed
from trusteq.pages.finetune import training_line
from trusteq.pages.results import plane_line, verdict_line
from trusteq.pages.simulation import coverage_line, false_line

pytestmark = pytest.mark.usefixtures("drawing")
MODELS = ["large", "mini", "tiny"]


def frame(columns: str, *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


@pytest.mark.parametrize("legend", [True, False])
def test_a_headline_is_seen_and_read_aloud_once(legend):
    figure, axes = plt.subplots(1, 2, figsize=(4, 2))
    axes[0].plot([0, 1], [0, 1], label="line")
    if legend:
        figure.legend()
    headed(figure, "Three of four models are shown to be as good as the large one")
    title = figure.legends[0].get_title() if legend else figure._suptitle
    assert title.get_text().replace("\n", " ") == "Three of four models are shown to be as good as the large one"
    assert described(figure).count("Three of four models are shown to be as good") == 1


def test_verdicts_count_each_smaller_model_once_and_no_control():
    rows = [("mini", "undecided"), ("mini", "undecided"), ("tiny", "not-equivalent"), ("reseeded", "equivalent")]
    assert verdict_line(frame("model verdict", *rows), MODELS) == (
        "of 2 smaller models, 0 equivalent, 1 not-equivalent, 1 undecided"
    )
    rows[2] = ("tiny", "equivalent")
    assert "1 equivalent, 0 not-equivalent, 1 undecided" in verdict_line(frame("model verdict", *rows), MODELS)


@pytest.mark.parametrize(("y_low", "x_high", "said"), [(0.8, 0.01, 1), (0.7, 0.01, 0), (0.8, 0.03, 0)])
def test_the_plane_counts_crosses_wholly_within_the_box(y_low, x_high, said):
    found = frame("model x_low x_high y_low", ("tiny", -0.01, x_high, y_low), ("reseeded", 0.0, 0.0, 1.0))
    assert plane_line(found, MODELS, box=(0.02, 0.25)) == f"{said} of 1 surely the same in both"


def test_the_closest_pair_is_named_and_whether_methods_agree():
    rows = [("lime", "A – B", 0.6), ("lime", "A – C", 0.4), ("shap", "A – B", 0.5), ("shap", "A – C", 0.3)]
    columns = "method pair jaccard"
    assert closest_line(frame(columns, *rows)) == "Closest by every method: A – B"
    assert closest_line(frame(columns, *rows[:2])) == "Closest: A – B (0.60, lime)"
    rows[3] = ("shap", "A – C", 0.7)
    assert closest_line(frame(columns, *rows)) == "Closest, by method: A – B (0.60, lime); A – C (0.70, shap)"


def test_the_closest_pair_is_that_of_the_mean_over_seeds():
    rows = [("lime", "A – B", 0.9), ("lime", "A – B", 0.1), ("lime", "A – C", 0.6), ("lime", "A – C", 0.6)]
    assert closest_line(frame("method pair jaccard", *rows)) == "Closest: A – C (0.60, lime)"


def test_curves_are_counted_at_the_size_in_use_and_at_the_last():
    rows = [("mini", 10, 0.5, 0.4), ("mini", 20, 0.7, 0.8), ("tiny", 10, 0.3, 0.4), ("tiny", 20, 0.7, 0.8)]
    rows += [("reseeded", 10, 0.9, 0.4), ("reseeded", 20, 0.9, 0.8)]
    said = curve_line(frame("model_b k low chance", *rows), MODELS, k=10)
    assert said == "1 of 2 stand surely above chance at k = 10, 0 at k = 20"
    rows[3] = ("tiny", 20, 0.9, 0.8)
    assert curve_line(frame("model_b k low chance", *rows), MODELS, k=10).endswith("1 at k = 20")


def test_the_largest_source_is_counted_over_bars():
    rows = [("lime", "mini", "model", 0.1), ("lime", "mini", "explainer seed", 0.3)]
    rows += [("lime", "tiny", "model", 0.4), ("lime", "tiny", "explainer seed", 0.3)]
    rows += [("lime", "mini", "total", 0.4), ("lime", "tiny", "total", 0.7)]
    columns = "method model_b source disagreement"
    assert source_line(frame(columns, *rows)) == "The largest part of 2 bars: explainer seed 1, model 1"
    rows[0] = ("lime", "mini", "model", 0.5)
    assert source_line(frame(columns, *rows)) == "The largest part of 2 bars: explainer seed 0, model 2"


def test_trainings_that_keep_an_epoch_past_the_lowest_loss_are_counted():
    early = frame("eval_loss eval_accuracy", (0.5, 0.6), (0.8, 0.5))
    late = frame("eval_loss eval_accuracy", (0.5, 0.5), (0.8, 0.6))
    assert training_line([early, late]) == "1 of 2 trainings keep an epoch whose dev loss is above its lowest"
    assert training_line([late, late]).startswith("2 of 2")


def test_coverage_says_how_many_are_as_asked_or_how_far_they_are():
    asked = frame("holds coverage", (True, 0.95), (False, 0.9))
    assert coverage_line(asked) == "1 of 2 intervals hold the truth as often as asked"
    assert coverage_line(asked.assign(holds=None)) == "Coverage from 90% to 95%; 1 of 2 below 95%"
    assert coverage_line(asked.assign(holds=None, coverage=0.97)) == "Coverage from 97% to 97%; 0 of 2 below 95%"


def test_rates_beyond_what_is_promised_are_counted():
    found = frame("false_equivalent false_not_equivalent", (0.0, 0.031), (0.02, 0.01))
    assert false_line(found) == "1 of 4 rates above 2.5%, the highest 3.1%"
    assert false_line(found.clip(upper=0.02)) == "0 of 4 rates above 2.5%, the highest 2.0%"


def test_colours_become_variables_but_white_text_on_marks():
    assert themed('<path style="fill: #001c7f"/>') == '<path style="fill: var(--tq-001c7f, #001c7f)"/>'
    assert themed('<g style="fill: #ffffff">') == '<g style="fill: #ffffff">'
