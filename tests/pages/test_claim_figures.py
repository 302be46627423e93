"""The figure of a claim: estimates, intervals and what each row says of it."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from trusteq.pages.claims import COLUMNS, CONTRADICTS, OPEN, SUPPORTS
from trusteq.pages.findings import VERDICT_COLOURS, claim_intervals

ROWS = pd.DataFrame(
    [
        ("snli", "a", 0.3, 0.2, 0.4, 9, SUPPORTS),
        ("snli", "b", 0.7, 0.6, 0.8, 9, CONTRADICTS),
        ("mrpc", "a", 0.5, 0.4, 0.6, 9, SUPPORTS),
        ("mrpc", "b", 0.1, None, None, 9, OPEN),
    ],
    columns=COLUMNS,
)

pytestmark = pytest.mark.usefixtures("drawing")


def test_every_row_has_its_estimate_interval_and_verdict():
    ax = claim_intervals(ROWS, lines={"the cut": (0.6, 0.2)}, xlabel="share")
    drawn = {line.get_label(): line for line in ax.get_lines()}
    for verdict, rows in ROWS.groupby("verdict"):
        assert drawn[verdict].get_xdata().tolist() == rows["estimate"].tolist()
        assert drawn[verdict].get_ydata().tolist() == rows.index.tolist()
        assert to_hex(drawn[verdict].get_color()) == to_hex(VERDICT_COLOURS[verdict])
    segments = [segment for found in ax.collections for segment in found.get_segments()]
    ends = sorted(tuple(segment[:, 0]) for segment in segments if segment.ndim == 2)  # no end, no segment
    assert ends == [(0.2, 0.4), (0.4, 0.6), (0.6, 0.8)]
    assert drawn["the cut"].get_xdata() == [0.6, 0.6]
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == [SUPPORTS, CONTRADICTS, OPEN, "the cut"]


def test_the_data_is_named_where_there_is_more_than_one():
    labels = [label.get_text() for label in claim_intervals(ROWS, lines={}, xlabel="").get_yticklabels()]
    assert labels == ["a (snli)", "b (snli)", "a (mrpc)", "b (mrpc)"]
    one = claim_intervals(ROWS.head(2), lines={}, xlabel="")
    assert [label.get_text() for label in one.get_yticklabels()] == ["a", "b"]
