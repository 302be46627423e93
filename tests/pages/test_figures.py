"""The Axes hold the values of the table, and nothing is saved or styled behind the caller's back."""

import html
from pathlib import Path

import made_up
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml
from made_up import LABELS, MODELS

from trusteq.calibration import proper_scores
from trusteq.pages.attribution import weight_by_rank
from trusteq.pages.drawn import described
from trusteq.pages.figures import (
    GREY,
    colours,
    confidence_histogram,
    entitled,
    from_zero,
    handover_curve,
    handover_title,
    headed,
    highlights,
    interval,
    intervals,
    last_bin_title,
    per_method,
    per_model,
    reliability_diagram,
    small_multiples,
    spread_title,
    sureness_title,
)
from trusteq.pages.finetune import training_history

ROOT = Path(__file__).parents[2]
TITLES = dict(zip(MODELS, ("Large", "Distilled", "Tiny"), strict=True))


pytestmark = pytest.mark.usefixtures("drawing")


@pytest.fixture
def reliability():
    """Six predictions of two classes: two bins filled, [0.5, 0.6] half right and (0.8, 0.9] all right."""
    confidence = np.array([0.55, 0.6, 0.9, 0.9, 0.9, 0.9])
    return proper_scores.reliability_table(np.column_stack([1 - confidence, confidence]), np.array([0, 1, 1, 1, 1, 1]))


def line(ax, label):
    """Return the x and y of the line with that label."""
    (found,) = [line for line in ax.get_lines() if line.get_label() == label]
    return [list(map(float, values)) for values in found.get_data()]


def test_drawing_changes_no_style_and_draws_where_it_is_told(reliability):
    before = dict(matplotlib.rcParams)
    _, (left, right) = plt.subplots(1, 2)
    assert reliability_diagram(reliability, left) is left
    assert confidence_histogram(reliability, left) is left
    assert not right.has_data()
    assert dict(matplotlib.rcParams) == before


def test_one_colour_a_model():
    chosen = colours(list(MODELS))
    assert list(chosen) == list(MODELS)
    assert len(set(chosen.values())) == 3
    assert colours(list(MODELS)) == chosen


def test_a_model_has_one_colour_in_all_experiments():
    found = {}
    for file in [*ROOT.glob("experiments/*.yaml"), *ROOT.glob("data/published/*/experiment.yaml")]:
        models = list(yaml.safe_load(file.read_text(encoding="utf-8"))["models"])
        chosen = colours(models)
        assert chosen[models[0]] == colours(["any other"])["any other"]  # that of the large one
        assert len(set(chosen.values())) == min(len(models), 9)
        for name, colour in chosen.items():
            assert found.setdefault(name, colour) == colour, (file, name)
    assert len(found) > 20


def test_a_colour_belongs_to_the_name_and_not_to_its_place():
    first = colours(["minilm", "minilm-distilled", "minilm-int8"])
    assert colours(["minilm", "minilm-int8", "minilm-distilled"]) == first
    assert colours(["minilm", "minilm-int8"])["minilm-int8"] == first["minilm-int8"]
    assert colours([]) == {}


def test_what_panels_say_together_stands_above_them_and_in_their_text(reliability):
    table = pd.concat([reliability.assign(model=model) for model in "ab"])
    for draw in (confidence_histogram, reliability_diagram):  # with a legend, and without
        figure = headed(per_model(table, draw, {"a": "A", "b": "B"}), "0 of 2 models are too sure")
        assert described(figure).startswith("0 of 2 models are too sure. ")
        figure.canvas.draw()


def test_titles_of_reliability_follow_the_bins(reliability):
    less = pd.concat([reliability.assign(model="a"), reliability.assign(model="b", accuracy=0.2)])
    (gap,) = {round(float((reliability["share"] * reliability["confidence"].fillna(0)).sum() - 0.2), 2)}
    assert sureness_title(less) == f"1 of 2 models are surer than they are right, by {gap:+.2f} at most"
    assert sureness_title(less.assign(accuracy=1.0)).startswith("0 of 2")
    last = pd.concat([reliability.assign(model="a"), reliability.assign(model="b", share=np.eye(10)[9])])
    assert last_bin_title(last, {"a": "A", "b": "B"}) == ("Surer than 0.9: from 0% (A) to 100% (B) of the predictions")
    last = last.assign(share=1 - last["share"])
    assert last_bin_title(last, {"a": "A", "b": "B"}).startswith("Surer than 0.9: from 0% (B) to")


def test_the_title_of_single_examples_follows_their_spread():
    rows = pd.DataFrame({"model": "a", "method": "lime", "jaccard": [0.0, 0.25, 0.5, 0.75, 1.0]})
    assert spread_title(rows) == "Of single examples the middle half spans up to 0.50, around means of at most 0.50"
    assert "up to 0.00, around means of at most 0.30" in spread_title(rows.assign(jaccard=0.3))


def test_a_panel_keeps_its_name_and_what_it_says():
    def draw(ax):
        entitled(ax.plot([1])[0].axes, "1 of 2 agree")

    (ax,) = small_multiples([("lime", draw)]).axes
    assert (ax.get_title(), ax.get_title(loc="left")) == ("lime\n1 of 2 agree", "")


def test_a_row_with_one_method_stands_at_its_name_and_two_around_it():
    rows = pd.DataFrame({"model": ["a", "a", "b"], "method": ["lime", "shap", "shap"], "value": 0.5, "low": 0.4})
    ax = intervals(rows.assign(high=0.6), {"a": "A", "b": "B"}, marks=(), xlabel="share")
    assert line(ax, "lime")[1] == pytest.approx([-0.12])
    assert line(ax, "shap")[1] == pytest.approx([0.12, 1.0])


def test_reliability_diagram(reliability):
    ax = reliability_diagram(reliability, title="T")
    bars, gaps = ax.containers
    assert [bar.get_height() for bar in bars] == pytest.approx([0.5, 1.0])
    assert [bar.get_x() for bar in bars] == pytest.approx([0.5, 0.8])
    assert [bar.get_width() for bar in bars] == pytest.approx([0.1, 0.1])
    assert [bar.get_y() for bar in gaps] == pytest.approx([0.55, 0.85])  # from the diagonal ...
    assert [bar.get_y() + bar.get_height() for bar in gaps] == pytest.approx([0.5, 1.0])  # ... to the accuracy
    (dots,) = ax.collections
    np.testing.assert_allclose(dots.get_offsets(), [[0.575, 0.5], [0.9, 1.0]])
    small, large = dots.get_sizes()
    assert small < large  # by the bins' shares, 1/3 and 2/3
    assert ax.get_title() == "T"


def test_confidence_histogram(reliability):
    ax = confidence_histogram(reliability)
    (bars,) = ax.containers
    assert [bar.get_height() for bar in bars] == pytest.approx(reliability["share"].tolist())
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
    assert line(ax, "confidence")[0] == pytest.approx([(0.55 + 0.6 + 4 * 0.9) / 6] * 2)
    assert line(ax, "accuracy")[0] == pytest.approx([5 / 6] * 2)


@pytest.mark.parametrize(
    ("models", "visible", "panels"),
    [(MODELS, 3, 4), (MODELS[:1], 1, 1), ((*MODELS, "d"), 4, 4), ((*MODELS, "d", "e"), 5, 6)],
)
def test_one_panel_a_model(reliability, models, visible, panels):
    table = pd.concat([reliability.assign(model=model) for model in models])
    figure = per_model(table, confidence_histogram, {model: model.upper() for model in models})
    assert len(figure.axes) == panels
    assert [ax.get_title() for ax in figure.axes if ax.get_visible()] == [model.upper() for model in models]
    assert sum(ax.get_visible() for ax in figure.axes) == visible


def test_a_panel_shows_its_own_model(reliability):
    other = reliability.assign(share=np.eye(10)[0])
    table = pd.concat([reliability.assign(model="a"), other.assign(model="b")])
    figure = per_model(table, confidence_histogram, {"b": "B", "a": "A"})
    assert [figure.axes[0].containers[0][0].get_height(), figure.axes[1].containers[0][0].get_height()] == [1, 0]
    figure.canvas.draw()  # the legend outside fits


def test_one_panel_a_method_and_one_legend_for_all():
    table = pd.DataFrame({"method": ["lime", "lime", "shap"], "value": [1, 2, 3]})

    def draw(rows, ax):
        ax.plot(rows["value"], label="both")
        ax.plot([0], label=f"of {len(rows)}")
        ax.set(xlabel="x", ylabel="y")

    figure = per_method(table, draw)
    assert [ax.get_title() for ax in figure.axes] == ["lime", "shap"]
    assert [ax.get_ylabel() for ax in figure.axes] == ["y", ""]
    assert [ax.get_xlabel() for ax in figure.axes] == ["x", "x"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["both", "of 2", "of 1"]


def test_panels_have_their_scale_below_and_one_height_that_holds_all():
    panels = [(str(top), lambda ax, top=top: ax.plot([0, 1], [top / 2, top])) for top in range(1, 6)]
    figure = from_zero(small_multiples(panels))
    shown = [ax for ax in figure.axes if ax.get_visible()]
    figure.canvas.draw()
    assert [any(tick.label1.get_visible() for tick in ax.xaxis.get_major_ticks()) for ax in shown] == [
        *(False, False, True),  # nothing is below the third
        *(True, True),
    ]
    assert {ax.get_ylim() for ax in shown} == {shown[0].get_ylim()}
    assert shown[0].get_ylim()[0] == 0
    assert shown[0].get_ylim()[1] > 5


def test_training_history_marks_the_epoch_that_is_kept():
    history = pd.DataFrame(
        {
            "epoch": [1.0, 2.0, 3.0],
            "loss": [1.0, 0.6, 0.3],
            "eval_loss": [0.9, 0.8, 1.1],
            "eval_accuracy": [0.5, 0.7, 0.7],
        }
    )
    ax = training_history(history)
    assert line(ax, "loss, training") == [[1, 2, 3], [1.0, 0.6, 0.3]]
    assert line(ax, "loss, dev")[1] == [0.9, 0.8, 1.1]
    assert line(ax, "accuracy, dev")[1] == [0.5, 0.7, 0.7]
    (kept,) = [found for found in ax.get_lines() if found.get_color() == GREY]
    assert list(kept.get_xdata()) == [2, 2]  # the first of the best


def test_weight_by_rank_by_hand():
    explained = {"lime": made_up.attribution([1, -3, 0, 4])}
    gold = pd.Series([LABELS[label] for label in made_up.GOLD], index=made_up.EXAMPLES["id"])
    ax = weight_by_rank(explained, gold, k=2)
    assert line(ax, "edge of the top 2")[0] == [2.5, 2.5]
    ranks, shares = line(ax, "lime")
    assert ranks == [1, 2, 3, 4]
    # test-0 sorts to 4, 3, 1, 0 of 8; test-1 has 4, 3, 2, 1 of 10
    assert shares == pytest.approx([(4 / 8 + 0.4) / 2, (3 / 8 + 0.3) / 2, (1 / 8 + 0.2) / 2, (0 + 0.1) / 2])


def page(weights=(4, -3, 2, 1), **options):
    return highlights(made_up.attribution(weights), made_up.EXAMPLES, LABELS, **options)._repr_html_()


def test_highlights_escape_everything_that_is_not_theirs():
    markup = page(title="<script>alert('x')</script>")
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup
    assert "<b>" not in markup
    text = "".join(_text_of(markup))
    assert "a <b> & c" in text  # as written, punctuation and white space included
    assert "three, four" in text


def test_labels_and_ids_are_escaped_too():
    examples = made_up.EXAMPLES.assign(id=["<i>", "test-1", "test-2", "test-3"])
    attributions = made_up.attribution([1, 2, 3, 4]).replace({"test-0": "<i>", "entailment": "<u>"})
    markup = highlights(attributions, examples, ("<u>", *LABELS[1:]))._repr_html_()
    assert "<i>" not in markup
    assert "<u>" not in markup


def test_highlights_colour_by_sign_and_strength_and_frame_the_top():
    markup = page(k=2)
    words = {word: style for style, word in _spans(markup)}
    # In the dark theme all are weaker, by one factor.
    assert "rgba(58, 110, 220, calc(0.75 * var(" in words["a"]  # the largest weight, for the label
    assert "rgba(235, 130, 20, calc(0.56 * var(" in words["b"]  # 3/4 of it, against the label
    assert "rgba(58, 110, 220, calc(0.19 * var(" in words["d"]
    framed = [word for style, word in _spans(markup) if "outline" in style]
    assert framed == ["a", "b", "one", "two"]


def test_highlights_show_explained_examples_only_and_say_so_when_there_are_none():
    assert page().count("tq-example") == 2
    none = highlights(made_up.attribution([1, 2, 3, 4]), made_up.EXAMPLES[2:], LABELS, title="A <b>")
    assert none._repr_html_() == "<p>A &lt;b&gt;: none of the explained examples belongs here.</p>"


def test_highlights_of_weights_that_are_all_zero():
    assert {word for style, word in _spans(page([0, 0, 0, 0])) if "calc(0.00 *" in style} >= {"a", "b", "c", "d"}


def _spans(markup):
    """Return (style, word) of every word of a page."""
    pieces = markup.split('<span class="tq-word" style="')[1:]
    return [(piece.split('"')[0], piece.split(">")[1].split("<")[0]) for piece in pieces]


def _text_of(markup):
    """Yield the text between the tags, unescaped."""
    for piece in f">{markup}".split("<"):
        yield html.unescape(piece.partition(">")[2])


def test_handover_curve_holds_risks_and_what_was_chosen():
    table = pd.DataFrame({"threshold": [1.0, 0.5, 0.0], "share": [0.1, 0.6, 1.0], "flips": [0, 0.01, 0.03],
                          "accuracy": [0, -0.01, 0.02]})  # fmt: skip
    _, ax = plt.subplots()
    assert handover_curve(table, ax) is ax
    assert line(ax, "flips kept") == [[0.1, 0.6, 1.0], [0, 0.01, 0.03]]
    assert line(ax, "accuracy lost") == [[0.1, 0.6, 1.0], [0, -0.01, 0.02]]
    chosen = pd.DataFrame({"risk": ["flips", "flips"], "level": [0.01, 0.02], "threshold": [np.nan, 0.5],
                           "share": [0.0, 0.6], "realised": [0.0, 0.01], "realised_low": [0.0, 0.005],
                           "realised_high": [0.0, 0.03]})  # fmt: skip
    _, ax = plt.subplots()
    handover_curve(table, ax, chosen=chosen)
    points = [tuple(map(list, of.get_data())) for of in ax.get_lines() if of.get_marker() in ("o", "_")]
    assert ([0.6], [0.01]) in points  # realised; nothing is drawn where nothing may be answered alone
    assert ([0.6], [0.02]) in points  # its level
    assert ([0.0], [0.0]) not in points
    assert [path.vertices.tolist() for of in ax.collections for path in of.get_paths()] == [[[0.6, 0.005], [0.6, 0.03]]]


def test_the_title_of_a_handover_follows_what_was_realised():
    table = pd.DataFrame({"share": [0.5, 1.0], "flips": [0.0, 0.03], "accuracy": [0.0, -0.02]})
    assert handover_title(table, None) == "Of all inputs answered alone: flips kept +3.0%, accuracy lost -2.0%"
    chosen = pd.DataFrame({"threshold": [0.5, 0.9, np.nan], "level": 0.01, "realised": [0.005, 0.02, 0.0]})
    assert handover_title(table, chosen) == "1 of 2 thresholds lose no more than promised"
    assert handover_title(table, chosen.assign(realised=0.0)).startswith("2 of 2")
    assert handover_title(table, chosen[2:]) == handover_title(table, None)


@pytest.mark.parametrize(
    ("value", "low", "high", "arrows"),
    [(-5, np.nan, 9, "<>"), (-5, -6, 0, "<"), (0, -1, 1, ""), (0, np.nan, np.nan, ""), (7, np.nan, np.nan, ">")],
)
def test_what_lies_beyond_a_figure_has_an_arrow_whether_its_ends_are_known_or_not(value, low, high, arrows):
    ax = plt.figure().gca()
    interval(ax, 0, value, low, high, color="k", within=(-4, 4))
    assert [line.get_marker() for line in ax.lines if line.get_marker() != "o"] == list(arrows)
