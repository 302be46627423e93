"""The figures of claims: estimates, intervals and what they say."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from trusteq.pages.claims import COLUMNS, CONTRADICTS, OPEN, SUPPORTS, Claim
from trusteq.pages.findings import VERDICT_COLOURS, claim_rows, forest

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
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == [
        "mrpc: all that counts",
        "mrpc: b",
        "snli: all that counts (3 trainings)",
        "snli: a (3 trainings)",
    ]
    assert segments(ax) == [(0.2, 0.4), (0.2, 0.4), (0.4, 0.7), (0.4, 0.7), (0.65, 0.8)]
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert drawn["the line, 0.6"].get_xdata() == [0.6, 0.6]
    assert drawn["shap"].get_xdata().tolist() == [0.7]


def test_the_forest_has_colours_by_verdict_and_fills_what_speaks_of_further_trainings():
    ax = forest({"first": CLAIM, "second": CLAIM})
    labels = [label.get_text() for label in ax.get_yticklabels()]
    head = ["first: cannot say", "snli, further trainings", "mrpc, these checkpoints"]
    assert labels == [*head, "second: cannot say", *head[1:]]
    points = [line for line in ax.get_lines() if line.get_marker() == "o"]
    of = [CONTRADICTS, OPEN] * 2
    assert [to_hex(line.get_color()) for line in points] == [to_hex(VERDICT_COLOURS[verdict]) for verdict in of]
    assert [to_hex(line.get_markerfacecolor()) == "#ffffff" for line in points] == [False, True] * 2
    assert segments(ax) == [(-1.0, -0.5), (-1.0, -0.5), (-0.5, 0.25), (-0.5, 0.25)]
    assert "0.300 (0.200 to 0.400)" in [text.get_text() for text in ax.texts]
