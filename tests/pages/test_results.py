"""The page of results, on a made-up run whose numbers are known by hand."""

from made_up import TASK

from trusteq.pages.results import model_table, paper_model_table

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
