"""The page of results, on a made-up run whose numbers are known by hand."""

import pandas as pd
import pytest
from made_up import TASK

from trusteq.pages.results import handovers, model_table, models, paper_model_table, promise_line
from trusteq.study.publish import open_published

TITLES = ["Demo-large", "Demo-distilled", "Demo-tiny"]


def test_models_beside_the_papers_table_1(run):
    table = model_table(run, 0)
    assert table["model"].tolist() == TITLES
    assert table["layers"].tolist() == [1, 2, 3]
    assert table["parameters_M"].tolist() == [1.5, 3.0, 4.5]
    assert table["size_MB"].tolist() == [0.25] * 3
    assert table[f"{TASK}_accuracy"].tolist() == [50.0] * 3
    assert table[f"{TASK}_inference_s"].tolist() == [0.5, 1.0, 1.5]
    paper = paper_model_table(run)
    assert paper["model"].tolist() == ["BERT-base", "Distil-BERT", "BERT-Medium", "BERT-Mini", "BERT-Tiny"]
    assert paper["played_by"].tolist() == ["Demo-large", "Demo-distilled", "none", "none", "Demo-tiny"]
    assert paper["paper_nli_accuracy"].tolist() == [90.09, 87.97, 88.18, 85.12, 79.9]
    assert paper["paper_pi_inference_s"].isna().tolist() == [False, False, False, False, True]


@pytest.mark.parametrize(("published", "tables"), [("digits", 1), ("demo", 3)])
def test_where_nobody_plays_a_part_of_the_paper_its_table_is_left_out(published, tables, shown):
    models(open_published(published))
    assert sum(hasattr(of, "to_html") for of in shown) == tables


def test_thresholds_that_miss_their_level_are_counted():
    rows = [(0.01, 0.5, 0.02), (0.01, 0.5, 0.01), (0.01, None, 0.5)]  # missed, not shown to be, none chosen
    said = promise_line(pd.DataFrame(rows, columns=["level", "threshold", "realised_low"]))
    assert said.startswith("Of 2 thresholds, 1 are shown to miss") and said.endswith("does not hold.")
    assert " 0 are shown" in promise_line(handovers(open_published("snli-minilm")))
    assert " 0 are shown" not in promise_line(handovers(open_published("sst2-minilm")))  # as the page "replace" says
