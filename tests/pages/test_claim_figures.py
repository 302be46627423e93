"""The figures of claims: estimates, intervals and what they say."""

import dataclasses

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from trusteq.pages.claims import COLUMNS, CONTRADICTS, OPEN, SUPPORTS, VERDICT_COLOURS, Claim
from trusteq.pages.drawn import described
from trusteq.pages.findings import claim_rows, claim_title, costs_title, forest, verdicts_title

ROWS = pd.DataFrame(
    [
        ("snli", "a", "lime", 0.3, 0.2, 0.4, 9, 3, CONTRADICTS),
        ("snli", "a", "shap", 0.7, 0.65, 0.8, 9, 3, SUPPORTS),
        ("mrpc", "b", "lime", 0.5, 0.4, 0.7, 9, 1, OPEN),
    ],
    columns=COLUMNS,
)
CLAIM = Claim("", "share", ROWS.iloc[[0, 2]], ROWS, line=0.6)

pytestmark = pytest.mark.usefixtures("drawing")


def segments(ax):
    found = [segment for lines in ax.collections for segment in lines.get_segments()]
    return sorted(tuple(segment[:, 0].round(6)) for segment in found if segment.ndim == 2)


def test_every_row_is_drawn_after_what_decides():
    ax = claim_rows(CLAIM)
    labels = [" ".join(label.get_text().split()) for label in ax.get_yticklabels()]
    assert labels == [
        "mrpc: all that counts",
        "mrpc: b",
        "snli: all that counts (×3)",
        "snli: a (×3)",
    ]
    assert segments(ax) == [(0.2, 0.4), (0.2, 0.4), (0.4, 0.7), (0.4, 0.7), (0.65, 0.8)]
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert drawn["the line, 0.6"].get_xdata() == [0.6, 0.6]
    assert drawn["shap"].get_xdata().tolist() == [0.7]


def test_the_forest_has_colours_by_verdict_and_fills_what_speaks_of_further_trainings():
    figure = forest({"first": CLAIM, "second": CLAIM})
    figure.canvas.draw()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["first: cannot say", "second: cannot say"]
    for ax in figure.axes:
        assert [label.get_text() for label in ax.get_yticklabels()] == ["snli", "mrpc"]
        points = [line for line in ax.get_lines() if line.get_marker() == "o" and len(line.get_xdata())]
        of = [CONTRADICTS, OPEN]
        assert [to_hex(line.get_color()) for line in points] == [to_hex(VERDICT_COLOURS[verdict]) for verdict in of]
        assert [to_hex(line.get_markerfacecolor()) == "#ffffff" for line in points] == [False, True]
        assert segments(ax) == [(-1.0, -0.5), (-0.5, 0.25)]
        assert "0.300 (0.200 to 0.400)" in [text.get_text() for text in ax.texts]
    assert described(figure).startswith("The paper's 2 claims: 2 open. contradicts it")


def test_titles_follow_what_the_numbers_say():
    assert claim_title(CLAIM) == "contradicts it: snli; cannot say: mrpc"
    turned = Claim("", "share", ROWS.assign(verdict=SUPPORTS), ROWS, line=0.6)
    assert claim_title(turned) == "supports it: snli, snli, mrpc"
    assert claim_rows(turned).get_title(loc="left").replace("\n", " ") == claim_title(turned)
    asked_here = dataclasses.replace(turned, is_papers=False)
    claims = {"a": CLAIM, "b": turned, "c": turned, "d": asked_here}
    assert verdicts_title(claims) == "The paper's 3 claims: 2 supported, 1 open"
    costs = pd.DataFrame({"title": ["A", "B"], "data": "snli", "estimate": [0.9, 0.2]})
    assert costs_title(costs) == "Words kept: from 0.20 (B, snli) to 0.90 (A, snli)"
    assert costs_title(costs.assign(estimate=[0.1, 0.2])) == "Words kept: from 0.10 (A, snli) to 0.20 (B, snli)"


def test_a_claim_without_numbers_has_a_panel_that_says_so():
    (ax,) = forest({"none": Claim("", "share", ROWS[:0], ROWS[:0])}).axes
    assert ax.get_title(loc="left") == "none: cannot say"
