"""The simulations behind the book's page on intervals: their truths, what they would catch, and the committed table."""

import json

import numpy as np
import pandas as pd
import pytest
import seeds
from simulation import (
    _coverage_row,
    _explained,
    binned_intervals,
    coverage,
    decisions,
    mean_intervals,
    overlap_intervals,
)
from worlds import MEANS, PredictionWorld, overlap_world, prediction_world, world_at_margin

from trusteq import statistics
from trusteq.calibration import intervals, proper_scores
from trusteq.pages.simulation import benchmark, coverage_intervals, table


@pytest.fixture(scope="module")
def world():
    return prediction_world(size=20_000)


@pytest.fixture(scope="module")
def overlaps():
    return overlap_world(premises=500)


def test_the_truth_of_predictions_is_what_many_draws_come_to(world):
    """Brute force: half a million labelled examples, scored as anybody would."""
    rows, labels = world.draw(np.random.default_rng(0), (500_000,))
    for model in ("large", "compressed"):
        found, truth = proper_scores.scores(world.models[model][rows], labels), world.truth(model)
        for name in (*MEANS, "ece"):
            assert found[name] == pytest.approx(truth[name], abs=0.004), (model, name)
    assert world.truth("calibrated")["ece"] == pytest.approx(0, abs=1e-12)


def test_labels_are_drawn_by_their_chances():
    chances = np.array([[0.1, 0.2, 0.7], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    rows, labels = PredictionWorld(chances, {}).draw(np.random.default_rng(0), (3, 100_000))
    for row in range(3):
        seen = np.bincount(labels[rows == row], minlength=3) / (rows == row).sum()
        assert seen == pytest.approx(chances[row], abs=0.01)


def test_top_tens_overlap_as_they_must(overlaps):
    short = overlaps.n_words <= 10
    assert short.any() and (overlaps.jaccard[short] == 1).all() and (overlaps.chance[short] == 1).all()
    shared = 20 * overlaps.jaccard / (1 + overlaps.jaccard)  # of two sets of ten
    assert np.allclose(shared[~short], shared[~short].round())
    truth = overlaps.truth()
    assert overlaps.chance.mean() < overlaps.jaccard.mean() < overlaps.ceiling.mean()
    assert 0 < truth["normalised alignment"] < 1


def test_the_ends_of_the_scale_are_the_same_model_and_one_that_shares_nothing():
    ends = [overlap_world(distance=distance, premises=2000) for distance in (0, np.inf)]
    same, other = (world.truth()["normalised alignment"] for world in ends)
    assert same == pytest.approx(1, abs=0.03) and other == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize("measure", ["accuracy", "overconfidence", "ece"])
def test_a_world_at_the_margin_is_there(measure):
    world = world_at_margin(measure, 0.02)
    assert abs(world.truth("compressed")[measure] - world.truth("large")[measure]) == pytest.approx(0.02, abs=1e-4)


def test_a_world_at_the_margin_of_alignment_is_there():
    truth = world_at_margin("normalised_alignment", 0.25).truth()
    assert truth["normalised alignment"] == pytest.approx(0.75, abs=1e-3)


def test_side_by_side_intervals_are_the_packages_own(world):
    """One data set alone, against the functions that everybody calls; draws differ, so within their noise."""
    found = mean_intervals(world, np.random.default_rng(1), 400, 1, seed=0)
    found |= binned_intervals(world, np.random.default_rng(1), 400, 1, seed=0)
    rows, labels = world.draw(np.random.default_rng(1), (400, 1))
    large, compressed = (world.models[name][rows[:, 0]] for name in ("large", "compressed"))
    alone = intervals.score_intervals(compressed, labels[:, 0]).set_index("score")
    paired = intervals.score_differences(large, compressed, labels[:, 0]).set_index("score")
    for name in (*MEANS, "ece"):
        for key, own in ((name, alone.loc[name]), (f"{name} difference", paired.loc[name])):
            noise = 0.1 * (own["high"] - own["low"])
            assert [float(end[0]) for end in found[key]] == pytest.approx([own["low"], own["high"]], abs=noise), key


def test_the_normalised_interval_is_that_of_an_alignment(overlaps):
    rng, again = np.random.default_rng(2), np.random.default_rng(2)
    found = overlap_intervals(overlaps, rng, 300, 1, seed=0)["normalised alignment, clusters"]
    again.integers(overlaps.jaccard.size, size=(300, 1))
    premises = again.integers(len(overlaps.jaccard), size=100)
    own = _explained(overlaps, premises, 0)
    noise = 0.1 * (own.normalised_high - own.normalised_low)
    ends = [own.normalised_low, own.normalised_high]
    assert [float(end[0]) for end in found] == pytest.approx(ends, abs=noise)


def test_coverage_counts_what_holds_the_truth():
    low, high = np.array([0.0, 0.6, np.nan, 0.2]), np.array([0.4, 1.0, np.nan, 0.8])
    row = _coverage_row("accuracy", 10, 0.5, low, high)
    assert (row["coverage"], row["below"], row["above"]) == (0.25, 0.25, 0.25)
    assert row["holds"] is False
    assert _coverage_row("ece", 10, 0.5, low, high)["holds"] is None


def test_intervals_half_as_wide_are_caught(monkeypatch):
    def halved(draws, *, n, level=0.95):
        low, high = statistics.interval(draws, n=n, level=level)
        return (3 * low + high) / 4, (low + 3 * high) / 4

    right = coverage(200, simulations=200, binned=0)
    monkeypatch.setattr("simulation.interval", halved)
    wrong = coverage(200, simulations=200, binned=0).set_index("what")
    assert right.set_index("what").drop(index="jaccard, clusters ignored")["coverage"].min() > 0.88
    assert wrong["coverage"].max() < 0.8
    assert not wrong["holds"].any()


def test_what_is_simulated_depends_on_the_seed_alone():
    first, again, other = (coverage(60, simulations=20, binned=2, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first["half_width"].equals(other["half_width"])


def test_decisions_say_what_was_wanted():
    table = decisions(600, simulations=40, binned=4, judged=2)
    assert list(table["what"]).count("same model, verdict equivalent") == 1
    at_margin = table[table["what"].str.contains("at its margin")]
    assert set(at_margin["wanted"]) == {"≤ 5%"} and (at_margin["share"] <= 0.25).all()
    random_head = table.set_index("what").loc["random head, verdict not equivalent"]
    assert random_head["share"] == 1 and random_head["holds"]


def test_all_that_must_hold_holds_in_the_committed_tables():
    coverage, decisions = table("coverage"), table("decisions")
    assert set(coverage["n"]) == {500, 2000, 10_000}
    for found in (coverage, decisions):
        asked = found[found["holds"].notna()]
        assert asked["holds"].all(), asked[~asked["holds"].astype(bool)].to_string()
    assert not coverage[coverage["what"].str.contains("E?CE")]["holds"].notna().any()


def test_coverages_can_be_drawn():
    coverage = table("coverage")
    promised = coverage[coverage["holds"].notna()]
    ax = coverage_intervals(promised)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(promised["what"].unique())
    assert len(ax.figure.legends[0].get_texts()) == promised["n"].nunique()


def test_the_committed_table_is_what_the_simulation_gives():
    """The slow one, about half a minute: all rows of n = 500."""
    committed = [row for row in benchmark()["coverage"] if row["n"] == 500]
    sizes = {row["what"]: row["simulations"] for row in committed}
    found = coverage(500, simulations=sizes["accuracy"], binned=sizes["ece"])
    rows = found.astype(object).where(found.notna(), None).to_dict("records")
    measured = {"truth", "half_width"}  # the rest are counts and what follows from them
    assert [{key: row[key] for key in row.keys() - measured} for row in rows] == [
        {key: row[key] for key in row.keys() - measured} for row in committed
    ]
    for key in measured:
        assert [row[key] for row in rows] == pytest.approx([row[key] for row in committed], rel=1e-9, abs=1e-12)


# --- seeds as random factors ---


@pytest.mark.parametrize("clustered", [False, True])
def test_a_drop_over_seeds_and_examples_is_the_margin_and_seeds_differ_as_they_should(clustered):
    values = seeds.drops(np.random.default_rng(0), (400, 2, 2000), seed_sd=0.02, clustered=clustered)
    means = values.mean(axis=2)
    error = means.mean(axis=1).std() / np.sqrt(len(means))
    assert means.mean() == pytest.approx(seeds.MARGIN, abs=4 * error)
    # The halves of two seeds on other examples share their seeds alone.
    halves = [values[:, :, half].mean(axis=2) for half in (slice(None, 1000), slice(1000, None))]
    first, second = (half[:, 0] - half[:, 1] for half in halves)
    assert np.sqrt(np.mean(first * second) / 2) == pytest.approx(0.02, rel=0.1)


def test_claims_about_a_way_hold_their_level_in_every_world_and_those_from_one_seed_do_not():
    rows = pd.DataFrame(json.loads(seeds.FILE.read_text(encoding="utf-8"))["worlds"])
    assert len(rows) == 3 * len(seeds.WORLDS)
    assert rows.groupby("estimate")["holds"].all().to_dict() == {
        "between_seeds": True,
        "crossed": True,
        "one seed": False,
    }
