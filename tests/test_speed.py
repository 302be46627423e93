"""What explaining cost, and what the benchmark of the engine measured."""

import made_up
import pandas as pd

from trusteq.pages.attribution import attribution_cost
from trusteq.pages.status import benchmark_rows, benchmark_table, training_benchmark_table
from trusteq.sentences.run import benchmark_sentence


def test_the_cost_of_attribution():
    explained = made_up.attribution([1, 2, 3, 4])
    explained.attrs |= {"skipped": {"test-9": "no word"}, "cut": {"test-1": 7}, "retokenised": 0, "passes": 90}
    table = attribution_cost({"lime": explained}, {"lime": 5.0})
    expected = {"method": "lime", "explained": 2, "skipped": 1, "cut": 1, "retokenised": 0}
    expected |= {"words_per_example": 4.0, "passes_per_example": 45.0, "seconds_per_example": 2.5}
    assert table.to_dict("records") == [expected]


def test_the_benchmark_shows_what_was_measured_and_says_what_is_open():
    rows = [
        {"row": "fast", "value": 3.0, "what": "times", "at least": 2, "bare share": 0.9, "machine": "m"},
        {"row": "lean", "value": 40.0, "what": "MB more", "at most": 300, "machine": "m"},
        {"row": "gpu a", "value": None, "open": "no GPU", "machine": "m"},
        {"row": "gpu b", "value": None, "open": "no GPU", "machine": "other"},
    ]
    table = benchmark_table(rows).set_index("row")
    assert table[["measured", "wanted"]].to_numpy().tolist() == [[3.0, "≥ 2"], [40.0, "≤ 300"]]
    assert table.loc["fast", "bare_share"] == 0.9 and pd.isna(table.loc["lean", "bare_share"])
    assert benchmark_sentence(rows) == "Measured on: m. Open, no GPU: gpu a, gpu b."
    assert benchmark_sentence(rows[:1]) == "Measured on: m."


def test_the_benchmark_of_training_shows_both_sides():
    measured = {"row": "cpu", "value": 6.0, "what": "times", "at least": 5, "ours s/epoch": 1.0, "authors s/epoch": 6.0}
    table = training_benchmark_table([measured, {"row": "gpu", "value": None, "open": "no GPU"}])
    assert table[["row", "measured", "at least"]].to_numpy().tolist() == [["cpu", 6.0, 5.0]]
    assert table["ours accuracy"].isna().all()
    rows = benchmark_rows("finetune")
    assert len(training_benchmark_table(rows)) == sum(row["value"] is not None for row in rows)


def test_the_benchmark_of_the_repository_can_be_shown():
    rows = benchmark_rows()
    assert len(benchmark_table(rows)) + sum(row["value"] is None for row in rows) == len(rows) > 0
