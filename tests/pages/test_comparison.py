"""Figures about alignment, evidence and verdicts hold the values of the table; and what each section shows."""

import itertools
from functools import partial

import made_up
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_up import MODELS, TASK
from matplotlib.collections import LineCollection

from trusteq.pages import comparison, figures
from trusteq.pages.comparison import (
    agreed_examples,
    alignment_curves,
    alignment_matrix,
    disagreement_sources,
)
from trusteq.pages.figures import (
    alignment_intervals,
    colours,
    intervals,
    jaccard_distribution,
    per_method,
    scale_intervals,
)
from trusteq.pages.is_half_low import chance_curve, word_histogram
from trusteq.pages.results import trust_plane, verdict_panels

TITLES = dict(zip(MODELS, ("Large", "Distilled", "Tiny"), strict=True))
NAMES = TITLES | {"reseeded": "itself, reseeded", "random-head": "its random head"}


pytestmark = pytest.mark.usefixtures("drawing")


@pytest.fixture
def alignment():
    rows = [
        ("lime", "demo-large", "demo-distilled", 0.6, 0.5, 0.7, 0.3, 0.8),
        ("lime", "demo-large", "demo-tiny", 0.4, 0.2, 0.5, 0.35, 0.85),
        ("lime", "demo-distilled", "demo-tiny", 0.8, 0.7, 0.9, 0.3, 0.8),
        ("shap", "demo-large", "demo-distilled", 0.5, 0.4, 0.6, 0.3, 1.0),
        ("shap", "demo-large", "demo-tiny", 0.1, 0.05, 0.2, 0.35, 1.0),
        ("shap", "demo-distilled", "demo-tiny", 0.9, 0.8, 1.0, 0.3, 1.0),
    ]
    columns = ["method", "model_a", "model_b", "jaccard", "low", "high", "chance", "ceiling"]
    table = pd.DataFrame(rows, columns=columns)
    for name, column in {"normalised": "jaccard", "normalised_low": "low", "normalised_high": "high"}.items():
        table[name] = (table[column] - table["chance"]) / (table["ceiling"] - table["chance"])
    return table


def dots(ax, marker):
    """Return the x of all points with that marker, in the order drawn."""
    return [x for line in ax.get_lines() if line.get_marker() == marker for x in line.get_xdata()]


def segments(ax):
    """Return the ends of all horizontal or vertical lines of collections, (n, 2, 2), in the order drawn."""
    return np.concatenate([found.get_segments() for found in ax.collections if isinstance(found, LineCollection)])


def line(ax, label):
    """Return the x and y of the line with that label."""
    (found,) = [line for line in ax.get_lines() if line.get_label() == label]
    return [list(map(float, values)) for values in found.get_data()]


def test_alignment_intervals(alignment):
    ax = alignment_intervals(alignment, TITLES)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "Large – Distilled",
        "Large – Tiny",
        "Distilled – Tiny",
    ]
    assert dots(ax, "o") == alignment["jaccard"].tolist()
    assert dots(ax, "|") == alignment["chance"].tolist()
    assert dots(ax, "d") == alignment["ceiling"].tolist()
    np.testing.assert_allclose(segments(ax)[:, :, 0], alignment[["low", "high"]])
    assert segments(ax)[:, 0, 1].round().tolist() == [0, 1, 2] * 2
    assert line(ax, "the paper's cut, 0.7")[0] == [0.7, 0.7]
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "lime",
        "shap",
        "chance",
        "ceiling",
        "the paper's cut, 0.7",
    ]


def test_a_control_has_a_row_of_its_own(alignment):
    control = alignment.iloc[:1].assign(model_b="reseeded")
    ax = alignment_intervals(pd.concat([alignment, control]), NAMES)
    assert [label.get_text() for label in ax.get_yticklabels()][-1] == "Large – itself, reseeded"


def test_scale_intervals_leave_out_what_has_no_place(alignment):
    alignment.loc[1, ["normalised", "normalised_low", "normalised_high"]] = np.nan
    ax = scale_intervals(alignment, TITLES, margin=0.25)
    kept = alignment.drop(index=1)
    assert dots(ax, "o") == kept["normalised"].tolist()
    np.testing.assert_allclose(segments(ax)[:, :, 0], kept[["normalised_low", "normalised_high"]])
    (band,) = ax.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((0.75, 0.25))


def test_alignment_matrix_holds_each_pair_once(alignment):
    ax = alignment_matrix(alignment[alignment["method"] == "lime"], TITLES)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Distilled", "Tiny"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Large", "Distilled"]
    values = np.ma.filled(ax.collections[0].get_array().astype(float), np.nan).reshape(2, 2)
    np.testing.assert_allclose(values, [[0.6, np.nan], [0.4, 0.8]])
    assert sorted(text.get_text() for text in ax.texts) == ["0.40", "0.60", "0.80"]


@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")  # seaborn 0.13 calls matplotlib 3.11 in its old way
def test_jaccard_distribution_shows_every_example_against_the_large_model():
    rows = [
        ("lime", 0, "demo-large", "demo-tiny", "test-0", 0.25, 0.3, 5),
        ("lime", 0, "demo-large", "demo-tiny", "test-1", 0.75, 0.5, 5),
        ("shap", 0, "demo-large", "demo-tiny", "test-0", 0.5, 0.4, 5),
        ("lime", 0, "demo-distilled", "demo-tiny", "test-0", 1.0, 0.9, 5),
    ]
    columns = ["method", "seed", "model_a", "model_b", "id", "jaccard", "chance", "n_features"]
    ax = jaccard_distribution(pd.DataFrame(rows, columns=columns), TITLES, "demo-large")
    dots = np.concatenate([found.get_offsets()[:, 0] for found in ax.collections])
    assert sorted(np.ma.filled(dots, np.nan)) == [0.25, 0.5, 0.75]
    assert line(ax, "mean chance")[0] == pytest.approx([0.4, 0.4])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Tiny"]
    assert ax.get_xlabel().startswith("Jaccard with Large")


def test_alignment_curves():
    ks = np.arange(1, 4)
    parts = [
        pd.DataFrame(
            {"model_b": name, "k": ks, "jaccard": value, "low": value - 0.1, "high": value + 0.1, "chance": 0.2}
        )
        for name, value in {"demo-distilled": 0.5, "demo-tiny": 0.3, "reseeded": 0.7, "itself": 1.0}.items()
    ]
    ax = alignment_curves(pd.concat(parts), TITLES, k=2)
    assert line(ax, "Distilled") == [[1, 2, 3], [0.5] * 3]
    assert line(ax, "Tiny")[1] == [0.3] * 3
    assert line(ax, "itself, reseeded")[1] == [0.7] * 3
    assert "retrained" not in ax.get_legend_handles_labels()[1]
    drawn = {found.get_label(): found.get_color() for found in ax.get_lines()}
    assert drawn["Tiny"] == colours(list(TITLES))["demo-tiny"]


def test_disagreement_sources_stack_and_negative_parts_go_left():
    rows = [
        ("demo-distilled", "explainer seed", 0.3),
        ("demo-distilled", "training seed", 0.2),
        ("demo-distilled", "model", -0.1),
        ("demo-distilled", "total", 0.4),
        ("random-head", "explainer seed", 0.3),
        ("random-head", "training seed", -0.1),
        ("random-head", "model", 0.2),
        ("random-head", "total", 0.4),
    ]
    ax = disagreement_sources(pd.DataFrame(rows, columns=["model_b", "source", "disagreement"]), NAMES)
    bars = [[(bar.get_x(), bar.get_width()) for bar in container] for container in ax.containers]
    np.testing.assert_allclose(bars, [[(0, 0.3), (0, 0.3)], [(0.3, 0.2), (0, -0.1)], [(0, -0.1), (0.3, 0.2)]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Distilled", "its random head"]


def test_panels_of_sources_have_one_scale_that_holds_all_bars():
    rows = [("demo-tiny", "lime", "model", 0.2), ("demo-tiny", "shap", "model", -0.3)]
    found = pd.DataFrame(rows, columns=["model_b", "method", "source", "disagreement"])
    figure = per_method(found, partial(disagreement_sources, names=NAMES))
    for ax in figure.axes:
        assert ax.get_xlim()[0] < -0.3 < 0.2 < ax.get_xlim()[1]


def test_a_source_that_one_model_lacks_leaves_no_hole():
    rows = [("demo-distilled", "explainer seed", 0.3), ("demo-distilled", "model", 0.2)]
    rows += [("demo-tiny", source, 0.1) for source in ("explainer seed", "training seed", "model")]
    ax = disagreement_sources(pd.DataFrame(rows, columns=["model_b", "source", "disagreement"]), NAMES | TITLES)
    bars = [[(bar.get_x(), bar.get_width()) for bar in container] for container in ax.containers]
    np.testing.assert_allclose(bars, [[(0, 0.3), (0, 0.1)], [(0.3, 0), (0.1, 0.1)], [(0.3, 0.2), (0.2, 0.1)]])


def test_a_model_that_a_method_does_not_explain_keeps_its_place():
    rows = pd.DataFrame([("demo-tiny", "model", 0.2)], columns=["model_b", "source", "disagreement"])
    ax = disagreement_sources(rows, TITLES, models=["demo-distilled", "demo-tiny"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Distilled", "Tiny"]
    assert [bar.get_width() for bar in ax.containers[0]] == [0, 0.2]


def test_intervals():
    table = pd.DataFrame(
        {
            "method": ["lime", "lime", "shap", "shap"],
            "model": ["demo-large", "random-head"] * 2,
            "value": [0.6, 0.5, 0.4, 0.3],
            "low": [0.5, 0.4, 0.3, 0.2],
            "high": [0.7, 0.6, 0.5, 0.4],
            "chance": [0.2, 0.2, 0.2, 0.2],
        }
    )
    ax = intervals(table, NAMES, xlabel="share")
    assert line(ax, "lime")[0] == [0.6, 0.5]
    assert line(ax, "shap")[0] == [0.4, 0.3]
    np.testing.assert_allclose(segments(ax)[:, :, 0], table[["low", "high"]])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Large", "its random head"]


@pytest.fixture
def judged():
    rows = [
        ("demo-tiny", "not-equivalent", "accuracy", -0.06, -0.08, -0.04, 0.02, "not-equivalent"),
        ("demo-tiny", "not-equivalent", "ece", 0.01, 0.0, 0.03, 0.02, "undecided"),
        ("reseeded", "equivalent", "accuracy", 0.0, 0.0, 0.0, 0.02, "equivalent"),
        ("reseeded", "equivalent", "ece", 0.0, 0.0, 0.0, 0.02, "equivalent"),
    ]
    columns = ["model", "verdict", "measure", "difference", "low", "high", "margin", "outcome"]
    return pd.DataFrame(rows, columns=columns)


def test_one_panel_a_judged_model(judged):
    figure = verdict_panels(judged, NAMES, {"accuracy": "Accuracy", "ece": "ECE"})
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in shown] == ["Tiny\nnot-equivalent", "itself, reseeded\nequivalent"]
    assert dots(shown[0], "o") == pytest.approx([-3, 0.5])
    assert [label.get_text() for label in shown[0].get_yticklabels()] == ["Accuracy", "ECE"]
    figure.canvas.draw()


def test_trust_plane():
    plane = pd.DataFrame(
        {
            "model": ["demo-tiny", "random-head"],
            "x": [0.01, 0.3],
            "x_low": [0.0, 0.2],
            "x_high": [0.02, 0.4],
            "y": [0.5, 0.2],
            "y_low": [0.4, 0.1],
            "y_high": [0.6, 0.3],
        }
    )
    ax = trust_plane(plane, NAMES, MODELS, box=(0.02, 0.25))
    assert line(ax, "Tiny") == [[0.01], [0.5]]
    assert line(ax, "its random head") == [[0.3], [0.2]]
    ends = segments(ax)
    np.testing.assert_allclose(ends[0], [[0.0, 0.5], [0.02, 0.5]])
    np.testing.assert_allclose(ends[1], [[0.01, 0.4], [0.01, 0.6]])
    drawn = {found.get_label(): found.get_color() for found in ax.get_lines()}
    assert drawn["Tiny"] == colours(list(MODELS))["demo-tiny"]


def test_chance_curve_and_words():
    chance = pd.DataFrame({"words": [9, 10, 11], "chance": [1.0, 1.0, 0.8]})
    ax = chance_curve(chance, band=(0.4, 0.6))
    assert line(ax, "chance") == [[9, 10, 11], [1.0, 1.0, 0.8]]
    (band,) = ax.patches
    assert (band.get_y(), band.get_height()) == pytest.approx((0.4, 0.2))
    counts = pd.DataFrame({"counted": ["positions"] * 2 + ["distinct words"], "words": [5, 6, 5], "pairs": [1, 3, 2]})
    histogram = word_histogram(counts, plt.figure().gca(), last=10)
    assert line(histogram, "SNLI test, positions")[1] == [0.25, 0.75]
    assert line(histogram, "SNLI test, distinct words")[1] == [1.0]


def test_pairs_and_controls_between_their_anchors(run, shown):
    comparison.pairs(run, TASK)
    about, lime, shap, figure = shown
    assert about.data.startswith("This run is **small**")
    assert (lime.caption, shap.caption) == ("lime", "shap")
    assert len(lime.data) == 8
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "Demo-large – random words"
    assert "Demo-large – itself" not in labels  # it is 1 by definition


def test_the_papers_rule_and_range(run, shown):
    comparison.papers_rule(run, TASK)
    assert "pairs with BERT-base lie between 0.372 and 0.669" in shown[0].caption
    assert len(shown[0].data) == 6


@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")
@pytest.mark.parametrize("section", comparison.FIGURES)
def test_sections_of_one_figure(run, shown, section):
    comparison.figure(run, TASK, section)
    comparison.scale(run, TASK)
    for figure in shown:
        figure.canvas.draw()
    assert len(shown) == 2


@pytest.mark.parametrize("table", ["ceilings", "segments", "companions", "sources", "faithfulness_means"])
def test_sections_of_numbers(run, shown, table):
    comparison.numbers(run, TASK, table)
    assert len(shown[0].data)


def test_without_a_truth_there_is_a_word_and_no_table(run, shown, tmp_path):
    empty = made_up.make_run(tmp_path)
    empty.write(run.comparison(TASK, "truth")[:0], "comparison", TASK, "truth")
    comparison.evidence(empty, TASK)
    comparison.numbers(empty, TASK, "truth")
    assert [text.data for text in shown] == ["Of demo-nli it is not known which words matter."]


def test_evidence_and_shortcut(run, shown, tmp_path):
    parts = itertools.product(("evidence", "shortcut"), ("recall", "precision", "share"), (MODELS[0], "random-head"))
    truth = pd.DataFrame(parts, columns=["truth", "measure", "model"]).assign(method="lime", seed=0, value=0.5)
    truth = truth.assign(low=0.4, high=0.6, chance=0.3, difference=0.0, difference_low=-0.1, difference_high=0.1)
    known = made_up.make_run(tmp_path)
    known.write(truth, "comparison", TASK, "truth")
    comparison.evidence(known, TASK)
    figure, shortcut = shown
    assert figure.axes[0].get_xlabel() == "share of the evidence among the top 2"
    assert shortcut.data["model"].tolist() == ["Demo-large", "its random head"]
    comparison.numbers(known, TASK, "truth")
    assert list(shown[2].data)[:2] == ["truth", "measure"]
    assert shown[2].data["measure"].tolist() == 2 * [*["precision"] * 2, *["recall"] * 2, *["share"] * 2]


def test_the_same_texts_of_the_large_and_the_last_model(run, shown, monkeypatch):
    monkeypatch.setattr("trusteq.examples.load.load_examples", lambda *_, **__: made_up.EXAMPLES)
    comparison.same_reasons(run, TASK)
    assert shown[0].data == "2 of 4 test examples are classified correctly by both models."
    assert [text.data.partition("</")[0].rpartition(">")[2] for text in shown[1:]] == [
        *("lime, Demo-large", "lime, Demo-tiny"),
        *("shap, Demo-large", "shap, Demo-tiny"),
    ]


def test_examples_that_both_models_get_right(run):
    # the large model is right on 0, 1, 2; distilled on 0, 2, 3; tiny on 0, 1
    assert agreed_examples(run, TASK, "demo-distilled", seed=0).tolist() == ["test-0", "test-2"]
    assert agreed_examples(run, TASK, "demo-tiny", seed=0).tolist() == ["test-0", "test-1"]


def test_several_training_seeds_are_kept_apart(run):
    found = {name: run.comparison(TASK, name) for name in ("companions", "faithfulness_means")}
    twice = {name: pd.concat([table, table.assign(seed=1)], ignore_index=True) for name, table in found.items()}
    for name, table in found.items():
        view = comparison.VIEWS[name]
        assert len(view(twice[name], run)) == 2 * len(view(table, run))


@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")
def test_of_many_examples_some_are_dots_and_it_is_said(monkeypatch):
    monkeypatch.setattr(figures, "MOST_DOTS", 10)
    rows = pd.DataFrame({"jaccard": np.arange(1001) / 1000, "chance": 0.3, "id": "test"})
    keys = {"method": "lime", "model_a": "demo-large", "model_b": "demo-tiny"}
    ax = jaccard_distribution(rows.assign(**keys), TITLES, "demo-large")
    dots = np.concatenate([found.get_offsets()[:, 0] for found in ax.collections])
    assert len(dots) == 10 and np.ptp(dots) > 0.85  # spread over all
    assert ax.get_xlabel() == "Jaccard with Large, dots: 10 of 1,001 examples"
    assert sum(len(line.get_xdata()) for line in ax.get_lines()) < 50  # nor are there outliers drawn without a size
