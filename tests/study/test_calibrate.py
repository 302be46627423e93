"""Calibration with error bars, on the made-up run: its controls predict as the distilled and the tiny model do."""

import math
from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.calibration import proper_scores
from trusteq.errors import ArtefactError
from trusteq.study.calibrate import (
    calibration_differences,
    decomposition_table,
    interval_scores,
    loyalty_tables,
    reliability_tables,
    score_table,
    temperature_table,
)
from trusteq.study.sides import clusters, predicted_sides
from trusteq.verdict.margins import load_margins
from trusteq.verdict.predictions import LOYALTY, Predictions

LARGE, DISTILLED, TINY = MODELS
SIDES = [*MODELS, "retrained", "random-head"]
TITLES = ["Demo-large", "Demo-distilled", "Demo-tiny", "itself, retrained", "its random head"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_up.make_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def sides(run):
    return predicted_sides(run, TASK, 0)


@pytest.fixture(scope="module")
def models(sides):
    return {name: sides[name] for name in MODELS}


@pytest.fixture(scope="module")
def found(sides):
    return interval_scores(sides)


@pytest.fixture(scope="module")
def differences(sides):
    return calibration_differences(sides)


@pytest.fixture(scope="module")
def repaired(run, sides):
    return temperature_table(sides, predicted_sides(run, TASK, 0, "dev"))


@pytest.fixture(scope="module")
def loyalty(sides):
    return loyalty_tables(sides)


def column(table, key, value, of):
    """Return one column of the rows where `key` is `value`, by model."""
    return table[table[key] == value].set_index("model")[of]


class TestClusters:
    @pytest.fixture
    def texts(self, monkeypatch):
        """Give the task these first texts."""

        def texts(*first):
            examples = made_up.EXAMPLES.assign(text_a=first)
            monkeypatch.setattr("trusteq.study.sides.load_examples", lambda task, split: examples)

        return texts

    def test_are_the_grouped_by_id(self, run, texts):
        texts("p", "q", "p", "q")
        assert clusters(run, TASK).to_dict() == {"test-0": "p", "test-1": "q", "test-2": "p", "test-3": "q"}
        assert predicted_sides(run, TASK, 0)[TINY].clusters.tolist() == ["p", "q", "p", "q"]

    def test_are_none_where_no_two_share_one(self, run, texts):
        texts("p", "q", "r", "s")
        assert clusters(run, TASK) is None
        assert predicted_sides(run, TASK, 0)[TINY].clusters is None

    def test_follow_the_ids_and_not_the_order(self, run, monkeypatch):
        turned = made_up.EXAMPLES.assign(text_a=["p", "q", "p", "r"])[::-1].reset_index(drop=True)
        monkeypatch.setattr("trusteq.study.sides.load_examples", lambda task, split: turned)
        assert predicted_sides(run, TASK, 0)[TINY].clusters.tolist() == ["p", "q", "p", "r"]

    def test_are_resampled_as_wholes(self, run, texts):
        texts("p", "p", "p", "p")  # one cluster: nothing says how it varies
        found = interval_scores(predicted_sides(run, TASK, 0)).query("score == 'accuracy'")
        assert set(found["low"]) == {0} and set(found["high"]) == {1}


def test_sides_are_the_models_and_the_controls_of_the_large_one(run, sides):
    assert list(sides) == SIDES
    np.testing.assert_array_equal(sides["retrained"].probabilities, sides[DISTILLED].probabilities)
    np.testing.assert_array_equal(sides["random-head"].probabilities, sides[TINY].probabilities)
    dev = predicted_sides(run, TASK, 0, "dev")
    assert list(dev) == SIDES[:-1]  # the twin is no model to be repaired
    assert dev[LARGE].ids[0] == "dev-0"


def test_a_large_model_with_one_seed_has_no_second_self(run):
    models = run.experiment.models | {LARGE: run.experiment.models[LARGE].model_copy(update={"seeds": None})}
    once = run.experiment.model_copy(update={"models": models})
    assert list(predicted_sides(replace(run, experiment=once), TASK, 0)) == [*MODELS, "random-head"]


def test_a_lost_table_is_named(run, tmp_path):
    with pytest.raises(ArtefactError, match=r"0\.parquet: not there; it is made by notebooks/01_finetune\.py"):
        predicted_sides(replace(run, folder=tmp_path), TASK, 0)


def test_scores_with_intervals_are_those_without(models, found):
    assert found["model"].unique().tolist() == SIDES
    plain = score_table(models)
    for score in plain.columns.drop("model"):
        assert column(found, "score", score, "value")[list(MODELS)].tolist() == plain[score].tolist()
    accuracy = found[found["score"] == "accuracy"]
    assert ((accuracy["low"] <= accuracy["value"]) & (accuracy["value"] <= accuracy["high"])).all()
    errors = found[found["score"].isin(["ece", "mce"])]
    assert ((errors["null_low"] >= 0) & (errors["null_low"] <= errors["null_high"])).all()


def test_reliability_has_the_bars_of_a_calibrated_model(models):
    table = reliability_tables(models)
    filled = table[table["count"] > 0].set_index("model")
    # Four predictions at 0.95: all four are right in 81%, three or more in 99%, so the middle 95% is 3/4 to 1.
    assert filled.loc[LARGE, ["low", "high"]].tolist() == [0.75, 1.0]
    assert table.loc[table["count"] == 0, ["low", "high"]].isna().all(axis=None)


def test_the_parts_of_the_brier_score_make_it_up(found, sides):
    table = decomposition_table(sides).set_index("model")
    assert table.index.tolist() == SIDES
    np.testing.assert_allclose(table["brier"], column(found, "score", "brier", "value"))
    parts = table["reliability"] - table["resolution"] + table["uncertainty"] + table["within_bins"]
    np.testing.assert_allclose(table["brier"], parts)
    assert table["uncertainty"].tolist() == pytest.approx([0.625] * 5)  # of the labels alone: 1 - 1/4 - 1/16 - 1/16


class TestDifferences:
    def test_are_from_the_large_model(self, differences):
        assert differences["model"].unique().tolist() == [DISTILLED, TINY, "itself", "retrained", "random-head"]
        assert column(differences, "score", "accuracy", "difference").tolist() == [0, -0.25, 0, 0, -0.25]
        assert column(differences, "score", "ece", "difference").tolist() == pytest.approx(
            [-0.2, -0.15, 0, -0.2, -0.15]
        )

    def test_from_itself_is_exactly_0(self, differences):
        rows = differences[differences["model"] == "itself"]
        assert (rows["difference"] == 0).all()
        assert (rows["low"].dropna() == -rows["high"].dropna()).all()  # of what was not seen in four examples
        assert rows.set_index("score")["high"]["accuracy"] == pytest.approx(1 - 0.025 ** (1 / 4))

    def test_margins_stand_at_the_scores_that_decide(self, differences):
        decided = differences.dropna(subset="outcome")
        judged = {margin.score: margin for margin in load_margins().values() if margin.score}
        assert set(decided["score"]) == set(judged)
        assert len(decided) == 3 * 5
        assert differences.loc[differences["outcome"].isna(), ["margin", "n", "n_needed"]].isna().all(axis=None)
        assert {name: of.title for name, of in judged.items()} == {
            "accuracy": "accuracy",
            "debiased_ece": "expected calibration error",
            "overconfidence": "mean confidence minus accuracy",
        }

    def test_do_not_depend_on_the_order_of_the_rows(self, sides, differences):
        turned = sides | {TINY: sides[TINY].rows(np.array([2, 0, 3, 1]))}
        pd.testing.assert_frame_equal(calibration_differences(turned), differences)

    def test_of_many_examples_are_decided(self):
        rng = np.random.default_rng(0)
        likely = rng.uniform(0.6, 0.9, 2500)
        gold = (rng.random(2500) > likely).astype(np.int64)
        ids = np.array([f"test-{row}" for row in range(2500)], dtype=object)
        sides = {
            name: Predictions(("a", "b"), np.column_stack([values, 1 - values]), gold, ids)
            for name, values in {"large": likely, "same": likely + 0.001, "sure": likely**0.2}.items()
        }
        outcomes = calibration_differences(sides).dropna(subset="outcome").groupby("model")["outcome"].agg(list)
        assert outcomes["same"] == outcomes["itself"] == ["equivalent"] * 3
        assert sorted(outcomes["sure"]) == ["equivalent", "not-equivalent", "not-equivalent"]


class TestTemperature:
    def test_makes_confidence_accuracy(self, repaired):
        # All confidences of a model are equal, and those of dev as those of test: the NLL is least where they are the
        # accuracy. Odds of 0.95 to 0.025 become 0.75 to 0.125; 0.75 is right already; 0.55 to 0.225 become 2 to 1.
        expected = {LARGE: math.log(38) / math.log(6), DISTILLED: 1, TINY: math.log(0.55 / 0.225) / math.log(2)}
        temperatures = repaired.drop_duplicates("model").set_index("model")["temperature"]
        assert temperatures.to_dict() == pytest.approx(expected | {"retrained": 1}, rel=1e-5)
        assert column(repaired, "score", "ece", "before").tolist() == pytest.approx([0.2, 0, 0.05, 0], abs=1e-5)
        assert column(repaired, "score", "ece", "after").tolist() == pytest.approx([0, 0, 0, 0], abs=1e-5)

    def test_never_changes_a_prediction_and_never_raises_the_nll_of_what_it_was_fitted_to(self, repaired):
        accuracy, nll = (repaired[repaired["score"] == score] for score in ("accuracy", "nll"))
        assert accuracy["before"].tolist() == accuracy["after"].tolist()
        assert (nll["after"] <= nll["before"] + 1e-12).all()

    def test_differences_are_from_the_rescaled_large_model(self, repaired):
        differences = column(repaired, "score", "overconfidence", "difference")
        assert np.isnan(differences[LARGE])
        assert differences.drop(LARGE).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_loyalty_by_hand(loyalty):
    assert loyalty["model"].unique().tolist() == SIDES[1:]
    assert loyalty["measure"].unique().tolist() == list(LOYALTY)
    assert column(loyalty, "measure", "label_loyalty", "value").tolist() == [0.5, 0.75, 0.5, 0.75]
    distance = column(loyalty, "measure", "confidence_distance", "value")
    assert distance.tolist() == pytest.approx([0.2, 0.4, 0.2, 0.4])


def test_loyalty_goes_by_id(sides, loyalty):
    turned = sides | {TINY: sides[TINY].rows(np.array([2, 0, 3, 1]))}
    pd.testing.assert_frame_equal(loyalty_tables(turned), loyalty)


def test_no_table_holds_a_text(differences, repaired, loyalty):
    """Premises are data of others: they group the examples, and go no further."""
    known = {*SIDES, "itself", *proper_scores.SCORES, *LOYALTY}
    known |= {"equivalent", "not-equivalent", "undecided", "examples: 4, and fewer than 15 decide nothing"}
    for table in (differences, repaired, loyalty):
        for name in table.select_dtypes(exclude="number"):
            assert set(table[name].dropna()) <= known


def test_labels_of_the_sides(sides):
    assert {side.labels for side in sides.values()} == {LABELS}
