"""The page beyond sentence pairs, held against the published tables that it is made of."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trusteq.pages import beyond
from trusteq.pages.replace import NOT_ASKED
from trusteq.study.publish import open_published
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED

SINGLE, PUBLISHED = "single texts, encoder", "sst2-minilm"


@pytest.fixture(scope="module")
def kinds():
    return beyond.held({SINGLE: PUBLISHED, "nobody has this": "not-published"})


@pytest.fixture(scope="module")
def anchors(kinds):
    return beyond.anchors(kinds)


def test_only_what_is_published_is_shown(kinds):
    assert [kind.name for kind in kinds] == [SINGLE]
    assert kinds[0].methods == ["lime", "shap"]


def test_anchors_are_those_of_the_comparison(anchors):
    run = open_published(PUBLISHED)
    alignment, controls = (run.comparison("sst2", name) for name in ("alignment", "controls"))
    alignment = alignment[alignment["model_a"] == "minilm"]
    for method in ("lime", "shap"):
        of = anchors[anchors["method"] == method].set_index("model")["value"]
        expected = alignment[alignment["method"] == method].set_index("model_b")["normalised"]
        assert of["MiniLM first 3 layers"] == pytest.approx(expected["minilm-3-layers"], abs=1e-6)
        known = controls[controls["method"] == method].set_index("model_b")["normalised"]
        assert of["its random head"] == pytest.approx(known["random-head"], abs=1e-6)
        assert of["trained again"] == pytest.approx(known["retrained"], abs=1e-6)
    assert (anchors["low"] <= anchors["value"]).all() and (anchors["value"] <= anchors["high"]).all()


def test_the_answer_counts_kinds():
    rows = [
        ("one", beyond.OTHER_FEATURES, "yes"), ("one", beyond.MORE_THAN_AGAIN, "no"),
        ("one", beyond.OTHER_CALIBRATION, "no"),
        ("two", beyond.OTHER_FEATURES, "yes"), ("two", beyond.OTHER_CALIBRATION, "yes"),
    ]  # fmt: skip
    said = beyond.answer(pd.DataFrame(rows, columns=["of", "trend", "holds"]))
    assert "other features on 2 of 2, more than training again on 0 of 1, another calibration on 1 of 2." in said
    assert "is shown on 2;" in said


def test_a_random_head_that_agrees_as_well_is_named():
    rows = [
        ("one", "lime", "compressed", 0.2), ("one", "lime", "compressed", 0.4), ("one", "lime", "knows no task", 0.35),
        ("two", "lime", "compressed", 0.8), ("two", "lime", "knows no task", 0.6),
    ]  # fmt: skip
    assert beyond.as_well_without_the_task(pd.DataFrame(rows, columns=["kind", "method", "what", "value"])) == ["one"]


def test_every_model_has_its_answers(kinds):
    table = beyond.models(kinds).set_index("model")
    assert set(table["interchangeable"]) <= {EQUIVALENT, UNDECIDED, DIFFERENT}
    verdicts = open_published(PUBLISHED).comparison("sst2", "verdicts")
    for title, name in (("MiniLM in int8", "minilm-int8"), ("MiniLM distilled to 3 layers", "minilm-distilled")):
        of = verdicts[verdicts["model"] == name]
        worst = DIFFERENT if (of["verdict"] == DIFFERENT).any() else UNDECIDED
        assert table.at[title, "interchangeable"] == worst
    assert table["accuracy"].between(0.8, 0.9).all()


def test_a_trend_holds_where_its_whole_interval_does(kinds):
    table = beyond.trends(kinds)
    for row in table.itertuples():
        below = row.trend == beyond.OTHER_FEATURES
        beyond_line = (row.high < row.line) if below else (row.low > row.line)
        within = (row.low > row.line) if below else (row.high < row.line)
        assert row.holds == ("yes" if beyond_line else "no" if within else "cannot say")
    assert len(table) == 3


def test_the_trends_are_drawn_with_their_intervals(kinds):
    found = beyond.trends(kinds)
    axes = beyond.trend_figure(found).axes
    for ax, row in zip(axes, found.itertuples(), strict=True):
        (segment,) = ax.collections[0].get_segments()
        assert segment[:, 0].tolist() == [row.low, row.high]
        assert [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata())] == [row.line, row.estimate]


def test_the_table_says_of_each_kind_and_trend_whether_it_holds_and_by_which_number():
    rows = [
        ("a", "other features", "yes", 0.3333, 0.2, 0.5),
        ("a", "another calibration", "no", -0.00001, -0.001, 0.0012),
        ("b", "other features", "cannot say", 1, 0.9, 1.1),
    ]
    found = pd.DataFrame(rows, columns=["of", "trend", "holds", "estimate", "low", "high"])
    assert beyond.trend_table(found).to_dict("list") == {
        "of": ["a", "b"],
        "other features": ["yes, 0.33 (0.20 to 0.50)", "cannot say, 1.00 (0.90 to 1.10)"],
        "another calibration": ["no, 0.000 (-0.001 to 0.001)", NOT_ASKED],
    }


def test_the_figure_has_a_row_for_each_kind_and_method(anchors):
    ax = beyond.anchor_figure(anchors)
    assert [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()] == [
        f"{SINGLE}, {of}" for of in ("lime", "shap")
    ]
    drawn = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])
    compressed = anchors.loc[anchors["what"] == "compressed", "value"]
    assert set(np.round(compressed, 9)) <= set(np.round(drawn.astype(float), 9))


def test_where_nothing_is_known_to_decide_that_is_said(kinds, shown):
    beyond.truth(kinds)
    assert "known what decides" in shown[0].data


def test_where_nothing_was_trained_all_models_are_asked():
    found = open_published(PUBLISHED)
    untrained = [replace(pair, is_trained=False) for pair in beyond.evidence([found]).pairs]
    kind = beyond.Kind("x", found, "sst2", beyond.Evidence(pairs=untrained))
    first, *rest = beyond.trends([kind]).itertuples()
    assert first.estimate == pytest.approx(np.mean([pair.place.value for pair in untrained]))
    assert len(rest) == 1  # without a twin nothing is said of training again


def test_where_nothing_is_published_the_page_says_so_and_has_no_tables(shown):
    asked = {"nobody has this": "not-published"}
    kinds = beyond.held(asked)
    beyond.opening(kinds, asked)
    for section in (
        beyond.carries_over,
        beyond.anchor_table,
        beyond.model_table,
        beyond.truth,
        beyond.pictures,
        beyond.label_words,
    ):
        section(kinds)
    assert "Nothing of this is published" in shown[0].data
    assert beyond.not_published(kinds, asked) == ["Not published yet: nobody has this."]
