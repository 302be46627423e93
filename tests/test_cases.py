"""Inputs that real users of such tools met: which test holds what is right, and those that no room of the tests has."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from trusteq import audit
from trusteq.attribution.methods import METHODS, Method
from trusteq.models.classifier import load_classifier
from trusteq.verdict.audit import audit_predictions
from trusteq.verdict.predictions import read_predictions

_PREDICTIONS, _PADDING = "verdict.test_predictions.", "models.test_padding."
HELD_BY = {
    "one row, and intervals of no width": "test_cases.test_one_row_decides_nothing",
    "a dozen rows all right": "test_cases.test_a_dozen_rows_all_right_decide_nothing",
    "rows that share one text": "test_cases.test_rows_that_share_their_first_text_are_one_group",
    "padding of the tokenizer and of the head": "models.test_padding.test_a_text_gets_the_same_in_any_company",
    "a pair without a boundary": "models.test_padding.test_a_pair_without_a_boundary_is_refused",
    "labels that can be read two ways": _PREDICTIONS + "test_what_a_label_means_depends_on_the_header_alone",
    "ties of zero weights": "alignment.test_ranking.test_two_rules_that_look_at_one_other_word_each_share_nothing",
    "all weights zero": "verdict.test_audit.test_examples_without_a_word_that_weighs_are_counted",
    "rows that are skipped": "verdict.test_audit.test_rows_without_a_gold_label_are_said_in_every_form",
    "-1 and +1": "examples.test_files.test_minus_one_beside_plus_one_alone_is_refused",
    "texts that are cut": "verdict.test_audit.test_texts_that_a_model_cuts_are_counted",
    "heads that choose no class": "models.test_classifier.test_heads_that_choose_no_class",
    "a column that is no class": _PREDICTIONS + "test_columns_that_may_be_no_class_are_refused_by_name_or_chosen",
    "a method that draws": "test_cases.test_a_method_that_is_added_and_draws_is_its_own_equal",
    "a compression that changes nothing": "models.test_compress.test_a_way_that_finds_nothing_to_change",
    "outputs that are none": "models.test_padding.test_probabilities_that_are_none_are_refused_at_the_first_batch",
    "equal rows": "test_cases.test_equal_rows_say_how_many_more_would_decide",
    "ids and classes called NA": _PREDICTIONS + "test_ids_and_classes_that_look_like_no_value_are_text",
    "longer than the model": "models.test_padding.test_a_long_text_is_cut_to_what_the_model_has_places_for",
    "a mask that is not there": "models.test_padding.test_a_mask_that_the_tokenizer_does_not_have",
    "gradients of two embeddings": _PADDING + "test_gradients_of_two_embeddings_or_of_tokens_first_are_refused",
    "a notebook without a header": "test_notebooks.test_a_notebook_without_a_header_is_one",
    "parameters": "test_notebooks.test_parameters_have_the_type_of_the_notebooks_own",
    "frames": "verdict.test_audit.test_a_table_of_examples_is_typed_before_a_model_runs",
    "labels that are whole floats": _PREDICTIONS + "test_whole_floats_are_labels",
    "rounded rows": _PREDICTIONS + "test_rounded_rows_are_divided_by_their_sum",
    "files as people save them": "examples.test_files.test_files_are_read_as_people_save_them",
    "case of class names": _PREDICTIONS + "test_class_names_are_matched_up_to_case",
    "classes in another order": _PREDICTIONS + "test_swapped_classes_are_reported_and_ordinary_errors_are_not",
    "checkpoints without names": "verdict.test_audit.test_names_of_classes_from_the_shell",
    "a score without a title": "verdict.test_report.test_a_score_is_added_as_one_function_and_one_record",
    "whatever can predict": "models.test_as_classifier.test_an_audit_takes_them",
    "refused before a pass": "models.test_as_classifier.test_an_audit_refuses_before_any_model_runs",
}


@pytest.mark.parametrize("case", HELD_BY)
def test_every_case_is_held_by_a_test(case):
    module, _, name = HELD_BY[case].rpartition(".")
    file = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    assert name in {of.name for of in ast.parse(file.read_text(encoding="utf-8")).body if hasattr(of, "name")}


def written(path, probabilities, labels):
    names = ("entailment", "neutral", "contradiction")[: np.shape(probabilities)[1]]
    table = pd.DataFrame(probabilities, columns=list(names))
    table.insert(0, "label", [names[label] for label in labels])
    table.to_csv(path, index=False)
    return read_predictions(path)


def outcomes(found):
    return set(found.dimensions["outcome"])


def test_one_row_decides_nothing(tiny_bert, tmp_path):
    """Of a model and its copy in bfloat16, and of two files of one row: an interval from one row has no width."""
    folder = tiny_bert("BertForSequenceClassification")
    large, half = load_classifier(folder, device="cpu"), load_classifier(folder, device="cpu")
    half.model.to(torch.bfloat16).to(torch.float32)
    row = pd.DataFrame({"id": ["test-0"], "text_a": ["a man reads"], "text_b": ["a dog runs"], "label": [0]})
    found = audit(large, half, row, n_samples=50)
    assert found.verdict == "undecided" and outcomes(found) == {"undecided"}
    assert found.dimensions["reason"].str.len().gt(0).all()
    files = [written(tmp_path / f"{at}.csv", [[p, 1 - p]], [0]) for at, p in enumerate((0.9, 0.6))]
    assert audit_predictions(*files).verdict == "undecided"


def test_a_dozen_rows_all_right_decide_nothing(tmp_path):
    files = [written(tmp_path / f"{p}.csv", [[p, 1 - p]] * 12, [0] * 12) for p in (0.99, 0.95)]
    found = audit_predictions(*files)
    assert found.verdict == "undecided" and outcomes(found) == {"undecided"}


@pytest.mark.parametrize("seed", range(6))
def test_rows_that_share_their_first_text_are_one_group(seed):
    rng = np.random.default_rng(seed)
    texts = [f"word{at} good" for at in range(200)]
    gold = rng.integers(2, size=200)

    def model():
        said = dict(zip(texts, np.where(rng.random(200) < 0.06, 1 - gold, gold), strict=True))
        return lambda text_a, text_b: np.eye(2)[[said.get(text, 0) for text in text_b]] * 0.9 + 0.05

    rows = pd.DataFrame({"text_a": "Is this review positive?", "text_b": texts, "label": gold})
    # Explained words are not what is asked here; two of them are enough.
    found = audit(model(), model(), rows, labels=("no", "yes"), method="occlusion", explain=2)
    assert found.verdict == "undecided"
    assert any("--group none" in note for note in [*found.notes, *found.dimensions["reason"]])


def test_equal_rows_say_how_many_more_would_decide(tmp_path):
    files = [written(tmp_path / f"{at}.csv", [[0.9, 0.1]] * 150, [0] * 150) for at in range(2)]
    row = audit_predictions(*files).dimensions.set_index("measure").loc["accuracy"]
    assert row["outcome"] == "undecided" and row["n_needed"] == 183 and "183" in row["reason"]


def test_a_method_that_is_added_and_draws_is_its_own_equal(tiny_bert, monkeypatch):
    """Its record says that it draws; a second list that lacked it made a model beside itself "not equivalent"."""

    def noise(example, n_samples, rng):
        yield np.ones((1, example.n_features), dtype=bool)
        return rng.normal(size=(example.n_features, example.n_classes))

    monkeypatch.setitem(METHODS, "noise", Method(noise, draws=True))
    model = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    texts = [f"man dog runs house good {word}" for word in ("bad", "very", "not", "eats", "park", "sleeps")] * 4
    rows = pd.DataFrame({"text_a": texts, "label": 0})
    found = audit(model, model, rows, method="noise", k=2, clusters=None)
    assert found.verdict != "not-equivalent" and found.comparison.alignment.ceiling < 1
