"""The simulations behind the page on intervals: their truths, what they would catch, and the committed tables."""

import json

import decisions
import intervals as coverages
import numpy as np
import pandas as pd
import pytest
import seeds
from decisions import PAIRS, POWERS, World
from intervals import MEANS, coverage, coverage_row, covered, overlap_intervals
from worlds import PredictionWorld, overlap_world, prediction_world

from trusteq import estimates
from trusteq.alignment import overlap
from trusteq.calibration import proper_scores
from trusteq.calibration.intervals import difference_estimates
from trusteq.estimates import TAIL
from trusteq.pages import simulation as page

stats = pytest.importorskip("scipy.stats")


@pytest.fixture(scope="module")
def world():
    return prediction_world(size=20_000)


@pytest.fixture(scope="module")
def overlaps():
    return overlap_world(premises=500)


def committed(benchmark):
    return pd.DataFrame(json.loads(benchmark.FILE.read_text(encoding="utf-8"))["rows"])


def same_rows(found, expected):
    found, expected = pd.DataFrame(found), pd.DataFrame(expected)
    plain = [json.loads(of.to_json(orient="records", double_precision=15)) for of in (found, expected[found.columns])]
    for one, other in zip(*plain, strict=True):
        for name, value in one.items():
            is_number = isinstance(value, float)
            assert value == (pytest.approx(other[name], rel=1e-9, abs=1e-12) if is_number else other[name]), name


# --- intervals of many examples ---


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


def test_intervals_of_overlaps_are_those_of_an_alignment(overlaps):
    found, again = overlap_intervals(overlaps, np.random.default_rng(2), 300), np.random.default_rng(2)
    again.integers(overlaps.jaccard.size, size=300)
    premises = again.integers(len(overlaps.jaccard), size=100)
    ids = [f"test-{number}" for number in range(300)]
    clusters = pd.Series(np.repeat(np.arange(100), 3), index=ids)

    def summarised(jaccard, ceiling=None):
        columns = {"jaccard": jaccard, "chance": overlaps.chance, "n_features": overlaps.n_words}
        table = pd.DataFrame({"id": ids} | {name: of[premises].ravel() for name, of in columns.items()})
        return overlap.summarise(table, ceiling=ceiling, clusters=clusters)

    selves = map(summarised, (overlaps.large_itself, overlaps.compressed_itself))
    own = summarised(overlaps.jaccard, overlap.ceiling(*selves, clusters=clusters))
    assert found["normalised alignment, clusters"] == pytest.approx((own.normalised_low, own.normalised_high))
    assert found["jaccard, clusters"] == pytest.approx((own.low, own.high))


def test_coverage_counts_what_holds_the_truth():
    low, high = np.array([0.0, 0.6, np.nan, 0.2]), np.array([0.4, 1.0, np.nan, 0.8])
    row = coverage_row("accuracy", 10, 0.5, low, high)
    assert (row["coverage"], row["below"], row["above"]) == (0.25, 0.25, 0.25)
    assert row["holds"] is False
    assert coverage_row("ece", 10, 0.5, low, high)["holds"] is None


def test_intervals_half_as_wide_are_caught(monkeypatch):
    reach = estimates.Moments.reach
    right = pd.DataFrame(coverage(200, simulations=100, binned=0)).set_index("what")
    monkeypatch.setattr(estimates, "unseen", lambda effective, alpha: 0.0)
    monkeypatch.setattr(estimates.Moments, "reach", lambda self, alpha: tuple(end / 2 for end in reach(self, alpha)))
    wrong = pd.DataFrame(coverage(200, simulations=100, binned=0)).set_index("what")
    means = ["brier", "nll", "overconfidence", "brier difference", "nll difference", "jaccard", "jaccard, clusters"]
    assert right["coverage"].drop("jaccard, clusters ignored").min() > 0.88
    assert wrong.loc[means, "coverage"].max() < 0.85 and not wrong.loc[means, "holds"].any()


def test_what_is_simulated_depends_on_the_seed_alone():
    first, again, other = (pd.DataFrame(coverage(60, simulations=5, binned=2, seed=seed)) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first["half_width"].equals(other["half_width"])


def test_the_committed_coverages_are_what_the_simulation_gives():
    rows = committed(coverages)
    expected = rows[(rows["n"] == 500) & rows["what"].str.contains("jaccard|alignment")]
    world = overlap_world()
    found = covered(overlap_intervals, world, world.truth(), n=500, simulations=2000, seed=0)
    same_rows(list(found), expected)


def test_coverages_hold_as_committed_and_can_be_drawn():
    coverage = page.coverages()
    assert set(coverage["n"]) == set(coverages.SIZES)
    promised = coverage[coverage["holds"].notna()]
    assert promised["holds"].all(), promised[~promised["holds"].astype(bool)].to_string()
    assert not promised["what"].str.contains("E?CE").any()
    ax = page.coverage_intervals(promised)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(promised["what"].unique())
    assert len(ax.figure.legends[0].get_texts()) == promised["n"].nunique()


# --- decisions of few examples ---


@pytest.mark.parametrize("cells", [*PAIRS.values(), *POWERS.values()], ids=[*PAIRS, *POWERS])
def test_the_truth_of_a_pair_is_what_many_draws_come_to(cells):
    world = World("", cells, 300_000)
    large, small, gold, _ = world.draw(np.random.default_rng(0))
    one, two = (proper_scores.scores(of[:, [0, 1]], gold) for of in (large, small))
    for name, true in world.truth().items():
        assert two[name] - one[name] == pytest.approx(true, abs=0.004), name


def test_pairs_lie_exactly_on_their_margins():
    beyond = {name: World(name, cells, 1).truth() for name, cells in PAIRS.items()}
    alone = beyond.pop("accuracy alone")
    assert alone == pytest.approx({"accuracy": -0.02, "ece": 0, "overconfidence": 0}, abs=1e-12)
    for name, truth in beyond.items():
        assert truth == pytest.approx({"accuracy": -0.02, "ece": 0.02, "overconfidence": 0.02}, abs=1e-12), name
        assert {of: decisions.MARGINS[of].margin for of in truth} == dict.fromkeys(truth, 0.02)


@pytest.mark.parametrize("above_chance", [decisions.steady, decisions.noisy])
def test_alignments_lie_exactly_on_their_margin(above_chance):
    pair, ceiling = above_chance(np.random.default_rng(0).random((1_000_000, 3)))
    assert pair.mean() / ceiling.mean() == pytest.approx(0.75, abs=0.003)
    assert 1 - decisions.MARGINS[decisions.ALIGNMENT].margin == decisions.PLACE
    jaccards = np.concatenate([pair, ceiling]) + decisions.CHANCE
    assert jaccards.min() >= 0 and jaccards.max() <= 1


def test_clusters_are_alike_and_classes_as_many():
    world = World("", PAIRS["many flips"], 4000, classes=20, clusters=40, alike=1.0)
    large, small, gold, clusters = world.draw(np.random.default_rng(0))
    assert large.shape == small.shape == (4000, 20) and set(gold) == set(range(20))
    right = pd.Series(small.argmax(axis=1) == gold).groupby(clusters)
    assert right.ngroups == 40 and (right.nunique() == 1).all()


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 2, 50), (0, 3, 40), (1, 1, 15)])
def test_tangos_interval_has_tangos_score(gained, lost, n):
    """Reference: the share lost that is most likely where the difference is given, by search."""
    change = np.repeat([1.0, -1.0, 0.0], [gained, lost, n - gained - lost])
    for bound, z in zip(decisions.tango(change, n), (1.96, -1.96), strict=True):
        shares = np.linspace(max(0, -bound), (1 - bound) / 2, 200_001)[1:-1]
        logs = gained * np.log(shares + bound) + lost * np.log(shares)
        logs += (n - gained - lost) * np.log(1 - 2 * shares - bound)
        share = 0.0 if lost == 0 and logs[0] >= logs.max() - 1e-9 else shares[logs.argmax()]
        score = ((gained - lost) / n - bound) / np.sqrt((2 * share + bound * (1 - bound)) / n)
        assert score == pytest.approx(z, abs=0.01)
    nothing = 1.96**2 / (96 + 1.96**2)
    assert decisions.tango(np.zeros(96), 96) == pytest.approx((-nothing, nothing), rel=1e-4)


def test_students_interval_is_scipys():
    values = np.random.default_rng(1).exponential(size=40) / 10
    expected = stats.ttest_1samp(values, 0).confidence_interval(1 - 2 * TAIL)
    assert decisions.student(estimates.mean(values), values) == pytest.approx((expected.low, expected.high))
    assert decisions.student(estimates.mean(values)) == pytest.approx((expected.low, expected.high))


def test_what_is_simulated_is_what_everybody_gets():
    large, small, gold, _ = World("", PAIRS["many flips"], 60).draw(np.random.default_rng(0))
    with decisions.only_wanted():
        lean = {name: of.interval for name, of in difference_estimates(large, small, gold, seed=3).items()}
    full = difference_estimates(large, small, gold, seed=3)
    assert set(lean) == set(decisions.WANTED) < set(full)
    assert lean == {name: full[name].interval for name in lean}


def test_intervals_too_narrow_are_caught_at_the_margin(monkeypatch):
    def narrow(*args, **options):
        found = difference_estimates(*args, **options)
        return {name: of.widened(lambda alpha, of=of: -of.error) for name, of in found.items()}

    world = World("many flips", PAIRS["many flips"], 200)
    with decisions.only_wanted():
        right = {row["measure"]: row for row in decisions.simulated(world, repetitions=60, seed=0)}
        monkeypatch.setattr(decisions, "difference_estimates", narrow)
        wrong = {row["measure"]: row for row in decisions.simulated(world, repetitions=60, seed=0)}
    for name in ("accuracy", "overconfidence"):
        assert right[name]["coverage"] > 0.9 and wrong[name]["coverage"] < 0.85 and not wrong[name]["holds"]
    assert wrong["accuracy"]["false_not_equivalent"] > decisions.MOST_FALSE


@pytest.mark.parametrize("world", [World("half the margin", POWERS["half the margin"], 200, kind=decisions.POWER),
                                   decisions.Aligned("a method that draws", decisions.noisy, 240, 8)])  # fmt: skip
def test_the_committed_decisions_are_what_the_simulation_gives(world):
    rows = committed(decisions)
    expected = rows[(rows["world"] == world.name) & (rows["n"] == world.n) & (rows["clusters"] == world.clusters)]
    with decisions.only_wanted():
        found = list(decisions.simulated(world, repetitions=int(expected["repetitions"].iloc[0]), seed=0))
    assert len(found) == len(expected)
    same_rows(found, expected)


def test_decisions_hold_as_committed():
    rows = committed(decisions)
    assert {(of.name, of.n, of.clusters) for of in decisions.worlds()} == set(
        rows[["world", "n", "clusters"]].itertuples(index=False, name=None)
    )
    assert rows["holds"].all(), rows[~rows["holds"].astype(bool)].to_string()
    at_margin = rows[rows["kind"] == decisions.AT_MARGIN]
    assert at_margin["repetitions"].min() >= 1000
    assert at_margin[["false_equivalent", "false_not_equivalent"]].astype(float).max().max() <= 0.035
    few = (rows["n"] < 15) | rows["clusters"].between(1, 7)
    assert few.any() and (rows.loc[few, "decided"] == 0).all()


def test_false_decisions_can_be_drawn_and_shares_shown():
    found = page.decisions("at the margin")
    ax = page.false_rates(found)
    assert [text.get_text() for text in ax.get_yticklabels()] == list(found["what"].unique())
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [len(found)] * 2
    for shown in (page.at_margins, page.power, page.seeds, page.sequential, page.handover, page.origin):
        shown()


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
