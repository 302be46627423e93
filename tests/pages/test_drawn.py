"""What figures say without being seen, and how they stand in a page: figures drawn by hand."""

import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from trusteq.pages.calibration import error_intervals
from trusteq.pages.drawn import described, drawn
from trusteq.pages.figures import about, alignment_intervals, intervals, method_colours, said, scale_intervals
from trusteq.pages.show import figure_bundle, page_style, show, table_bundle
from trusteq.pages.web import inlined, mended


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def figure():
    """Two panels: points with an interval each, by name; and bars, a band and a dashed line across."""
    figure, (left, right) = plt.subplots(1, 2)
    left.hlines([0, 1], [0.1, 0.2], [0.3, 0.4], color="C1")
    left.plot([0.2, 0.3], [0, 1], "o", color="C1", label="lime")
    left.set_yticks([0, 1], ["Large – Small", "Large – Tiny"])
    left.set(xlabel="mean Jaccard", title="SNLI")
    right.bar([1, 2], [3, 4], width=0.5)
    right.fill_between([0, 1], [0, 0], [1, 2])
    right.axhline(2, linestyle="--")
    return figure


def test_the_data_of_a_figure_by_hand(figure):
    table = drawn(figure)
    left, right = (table[table["panel"] == "SNLI"], table[table["panel"].isna()])
    lines, points = (left[left["mark"] == mark] for mark in ("line", "point"))
    assert points[["series", "x", "y"]].values.tolist() == [
        ["lime", 0.2, "Large – Small"],
        ["lime", 0.3, "Large – Tiny"],
    ]
    assert lines[["series", "x", "x_to"]].values.tolist() == [["lime", 0.1, 0.3], ["lime", 0.2, 0.4]]
    bars = right.loc[right["mark"] == "bar", ["x", "x_to", "y", "y_to"]].values.tolist()
    assert bars == [[0.75, 1.25, 0, 3], [1.75, 2.25, 0, 4]]
    edges = right.loc[right["mark"] == "edge", ["x", "y"]].values.tolist()
    assert [1.0, 2.0] in edges and [0.0, 0.0] in edges
    assert not (right["mark"] == "point").any()  # a line across the whole figure is no data


def test_an_interval_without_ends_is_left_out():
    ax = plt.figure().gca()
    ax.hlines([0, 1], [np.nan, 0.1], [np.nan, 0.2])
    assert drawn(ax.figure)[["x", "x_to", "y"]].values.tolist() == [[0.1, 0.2, 1.0]]


def test_the_cells_of_a_matrix_by_name():
    ax = plt.figure().gca()
    ax.imshow([[1.0, 2.0], [3.0, np.nan]])
    ax.set(xticks=[0, 1], xticklabels=["a", "b"], yticks=[0, 1], yticklabels=["c", "d"])
    found = drawn(ax.figure)[["x", "y", "value"]].values.tolist()
    assert found[:3] == [["a", "c", 1.0], ["b", "c", 2.0], ["a", "d", 3.0]]


def test_a_figure_is_described_by_its_axes_rows_and_ranges(figure):
    text = described(figure)
    assert text == "mean Jaccard. Panels: SNLI. Rows: Large – Small, Large – Tiny. lime from 0.2 to 0.3."
    figure.suptitle("SNLI, test")
    figure.set_label("Small models agree less")
    assert described(figure) == f"Small models agree less. SNLI, test. {text}"


def test_a_long_list_is_cut():
    ax = plt.figure().gca()
    ax.set_yticks(range(20), [f"model {number}" for number in range(20)])
    assert "model 7 and 12 more." in described(ax.figure) and "model 8" not in described(ax.figure)


def test_a_notebook_keeps_a_figure_with_its_text_and_its_data(figure):
    data, metadata = figure_bundle(figure)
    assert {"image/png", "image/svg+xml", "text/csv", "text/plain"} == set(data)
    assert metadata["image/png"]["alt"] == data["text/plain"] == described(figure)
    assert f'aria-label="{described(figure)}"' in data["image/svg+xml"]
    kept, table = pd.read_csv(io.StringIO(data["text/csv"])), drawn(figure)
    assert list(kept) == list(table) and kept["x"].tolist() == pytest.approx(table["x"].tolist(), rel=1e-5)


def test_a_notebook_keeps_a_table_with_its_data():
    table = pd.DataFrame({"mean_jaccard": [1 / 3], "model": ["<b>"]})
    data = table_bundle(show(table))
    assert data["text/csv"] == "mean jaccard,model\n0.333333333,<b>\n"
    assert "0.333<" in data["text/html"] and "&lt;b&gt;" in data["text/html"]


def test_a_page_has_its_notebook_keep_both(monkeypatch, figure):
    shell = InteractiveShell()
    monkeypatch.setattr("trusteq.pages.show.get_ipython", lambda: shell)
    page_style()
    for thing in (figure, show(pd.DataFrame({"a": [1]}))):
        assert "text/csv" in shell.display_formatter.format(thing)[0]


def test_a_figure_in_the_page_has_variables_for_colours_that_fall_back_on_their_own(figure):
    svg = figure_bundle(figure)[0]["image/svg+xml"]
    text = inlined(svg)
    assert text.startswith('<div class="tq-figure-box') and "<style" not in text and "<metadata" not in text
    colours = set(re.findall(r"#[0-9a-f]{6}", svg))
    assert {f"--tq-{colour[1:]}, {colour})" for colour in colours} == set(
        re.findall(r"--tq-[0-9a-f]{6}, #\w{6}\)", text)
    )
    assert not re.search(r'(?<!, )#[0-9a-f]{6}[;"]', text)
    assert len(text) < len(svg)


def test_marks_are_cut_to_a_hundredth_of_a_point_and_numbers_of_the_label_are_not():
    text = inlined('<svg aria-label="from 0.372 to 0.669"><path d="M 1.2367 4.5"/></svg>')
    assert 'aria-label="from 0.372 to 0.669"' in text and '"M 1.23 4.5"' in text


def test_a_figure_that_fits_a_phone_is_marked():
    wide, narrow = (inlined(f'<svg height="9pt" width="{width}"></svg>') for width in ("397.6pt", "397.4pt"))
    assert ("tq-fits" in wide, "tq-fits" in narrow) == (False, True)
    assert "tq-fits" in inlined('<svg width="530"></svg>') and "tq-fits" not in inlined('<svg width="531"></svg>')


def test_a_name_on_two_lines_is_one_name():
    ax = intervals(
        pd.DataFrame({"model": ["a"], "method": "lime", "value": 0.5, "low": 0.4, "high": 0.6}),
        {"a": "a model whose name is longer than a line"}, marks=(), xlabel="share",
    )  # fmt: skip
    assert "\n" in ax.get_yticklabels()[0].get_text()
    assert "a model whose name is longer than a line" in drawn(ax.figure)["y"].tolist()
    assert "Rows: a model whose name is longer than a line." in described(ax.figure)


def test_white_text_keeps_its_colour_and_white_paper_does_not():
    text = inlined(
        '<svg ><g style="fill: #ffffff"/><path style="fill: #ffffff"/><g transform="scale(0.015625)"/></svg>'
    )
    assert '<g style="fill: #ffffff"/><path style="fill: var(--tq-ffffff, #ffffff)"/>' in text
    assert "scale(0.015625)" in text


def test_tables_are_put_into_a_box_once():
    lone, boxed = '<table class="a">1</table>', '<div class="pst-scrollable-table-container"><table>2</table></div>'
    assert mended(lone + boxed) == f'<div class="pst-scrollable-table-container">{lone}</div>{boxed}'
    assert mended('<div role="list" class="citation-list">') == '<div class="citation-list">'


def test_a_method_has_one_colour_whatever_stands_beside_it():
    assert method_colours(["shap"])["shap"] == method_colours(["decides", "lime", "shap"])["shap"]
    rows = pd.DataFrame(
        {"model": "a", "method": ["decides", "shap"], "value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.1}
    )
    ax = intervals(rows, {"a": "A"}, xlabel="share")
    colours = {line.get_label(): line.get_color() for line in ax.lines}
    assert colours["shap"] == method_colours(["shap"])["shap"] != colours["decides"]


def test_the_title_of_a_figure_says_what_it_shows():
    rows = pd.DataFrame({"model": ["a", "b"], "method": "lime", "jaccard": [0.5, 0.2], "low": [0.4, 0.1]})
    rows = rows.assign(high=0.6, chance=0.2, ceiling=0.9, normalised=[0.9, 0.1], normalised_low=[0.8, -0.1])
    rows = rows.assign(normalised_high=1.0)
    names = {"a": "A", "b": "B"}
    assert said(alignment_intervals(rows, names)) == "1 of 2 rows surely agree beyond chance"
    assert said(about(alignment_intervals(rows, names), "snli")) == "snli: 1 of 2 rows surely agree beyond chance"
    ax = scale_intervals(rows, names, margin=0.25)
    assert said(ax) == "1 of 2 surely come within the margin of the ceiling"
    assert described(ax.figure).startswith("1 of 2 surely come within the margin of the ceiling. 0: chance, 1:")
    assert drawn(ax.figure)["panel"].unique().tolist() == ["1 of 2 surely come within the margin of the ceiling"]
    found = pd.DataFrame({"model": ["a", "b"], "score": "ece", "value": [0.3, 0.1], "low": 0.1, "high": 0.4})
    ax = error_intervals(found.assign(null_low=0.0, null_high=0.2), names, ["a", "b"])
    assert said(ax) == "1 of 2 lie beyond what luck alone would give"
