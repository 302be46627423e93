"""The first sentence of each page of the story: what it says of tables written by hand, and of what is published."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from trusteq.pages import boundary, calibration, compression, is_half_low, keeping_trust, paper, replace
from trusteq.pages.show import of_seed, paper_table
from trusteq.study.publish import open_published

pytestmark = pytest.mark.usefixtures("drawing")

PAIR = "A man sleeps.", "The man runs."


def sentence(shown) -> str:
    """What an opening says; it shows this and one figure, then what was run, each run in a line."""
    said, figure, *about = shown
    assert all(line.data.startswith("This run is") for line in about)
    assert said.data == f"**{figure.get_label()}**"
    return said.data


class TestPaper:
    def test_it_says_what_the_papers_tables_have(self, shown):
        paper.opening()
        said = sentence(shown)
        for number in ("Of 4 smaller", "88.2%", "90.1%", "0.372 to 0.669, all below", "cut of 0.7"):
            assert number in said

    def test_other_tables_say_something_else(self):
        models = pd.DataFrame({"model": ["L", "S", "T"], "nli_accuracy": [80.0, 70.0, 75.0]})
        said = paper.answer(models, pd.Series({"low": 0.5, "high": 0.71}))
        assert "Of 2 smaller models, the best is right in 75.0%" in said
        assert "L's at a mean Jaccard of 0.5 to 0.71, not all below" in said

    def test_its_tables_stand_as_it_has_them(self):
        scores = paper.as_the_paper("calibration", "model", by=("task",))
        assert scores["model"].tolist() == paper_table("models")["model"].tolist()
        assert list(scores)[:3] == ["model", "paper nli ece", "paper pi ece"]
        pairs = paper.as_the_paper("jaccard", "model_a", "model_b", by=("task", "method"))
        assert len(pairs) == 10 and len(pairs.columns) == 2 + 4
        assert pairs["model_a"].tolist() == ["BERT-base"] * 4 + ["Distil-BERT"] * 3 + ["BERT-Medium"] * 2 + [
            "BERT-Mini"
        ]
        assert pairs.iloc[:, 2:].isna().all(axis=None)

    def test_values_side_by_side_are_those_of_the_rows(self, monkeypatch):
        rows = [("pi", "B", 1.0), ("pi", "A", 2.0), ("nli", "B", 3.0), ("nli", "A", 4.0)]
        table = pd.DataFrame(rows, columns=["task", "model", "ece"])
        monkeypatch.setattr(paper, "paper_table", lambda name: table)
        found = paper.as_the_paper("any", "model", by=("task",))
        assert found.to_dict("list") == {"model": ["B", "A"], "paper pi ece": [1.0, 2.0], "paper nli ece": [3.0, 4.0]}

    def test_what_is_not_held_is_said(self, shown):
        run = paper.held("snli-minilm")
        for section in (paper.models, paper.words, paper.calibration):
            section(run)
        tables = [table for table in shown if hasattr(table, "to_html")]
        assert [table.caption for table in tables][:2] == ["The paper's models", "Ours"]
        assert all(text in tables[0].to_html() for text in ("not held", "90.09", "41.7<", "259.77"))
        assert tables[3].to_html().count("not held") == 40


class TestIsHalfLow:
    def test_of_scales_by_hand(self):
        found = pd.DataFrame({"chance": [0.3, 0.3], "ceiling": [0.6, 0.7], "0.5 is": [2 / 3, 0.5]})
        said = is_half_low.answer(found)
        assert "chance gives 0.30, and" in said and "with itself at 0.60 to 0.70;" in said
        assert "0.5 stands at 0.50 to 0.67" in said

    def test_where_there_is_no_scale(self):
        found = pd.DataFrame({"chance": [0.3], "ceiling": [0.2], "0.5 is": [np.nan]})
        assert "Nobody can say" in is_half_low.answer(found)

    def test_of_what_is_published(self, shown):
        run = open_published("snli-minilm")
        is_half_low.opening(run)
        found = of_seed(run.comparison("snli", "alignment"), run.experiment.seeds[0])
        assert f"chance gives {found['chance'].mean():.2f}, and" in sentence(shown)


class TestBoundary:
    def claim(self, change):
        row = {"data": "d", "method": "lime", "Jaccard, as released": 0.6, "Jaccard, boundary kept": 0.4}
        beside = pd.DataFrame([row | {"chance, as released": 0.5, "chance, boundary kept": 0.1}])
        by = pd.DataFrame([{"data": "d", "estimate": change, "low": change - 0.1, "high": change + 0.1}])
        return SimpleNamespace(by_data=by, beside=beside)

    def test_by_hand(self):
        said = boundary.answer(self.claim(-0.2))
        assert "on d it moves the mean Jaccard of two models from 0.40 to 0.60, and chance from 0.10 to 0.50" in said
        assert "changes by -0.200 (-0.300 to -0.100)" in said
        assert "changes by +0.200" in boundary.answer(self.claim(0.2))

    def test_of_what_is_published(self, shown):
        found = boundary.held()
        boundary.opening(found)
        (row,) = found.claims[boundary.STATEMENT].by_data.itertuples()
        assert f"on {row.data}" in sentence(shown) and f"{row.estimate:+.3f}" in sentence(shown)

    def test_without_a_run_that_explains_as_released(self, shown, monkeypatch):
        monkeypatch.setattr(boundary, "reference_runs", list)
        boundary.opening(boundary.held())
        (said,) = shown
        assert said.data == "**Nothing is published that could say.**"

    def test_the_boundary_is_lost_in_half_of_the_texts_or_in_none(self):
        """LIME removes 1 to n of n features, each number as often; so each goes in (n + 1) / 2n of the texts."""
        ways = boundary.ways(*PAIR)
        released, kept = (ways[how] for how in boundary.HOW)
        n = released.n_features
        assert (n, kept.n_features) == (6, 6)  # man counts once, SEP too; or man twice
        assert boundary.lost(released, 0) == pytest.approx((n + 1) / (2 * n), abs=0.02)
        assert boundary.lost(kept, 0) == 0

    def test_a_pair_by_example(self, shown):
        boundary.pair(*PAIR, samples=3)
        features, released, kept = shown
        assert features.data["boundary"].tolist() == list(boundary.HOW)
        assert "SEP" in features.data["words"][0] and "SEP" not in features.data["words"][1]
        assert len(released.data) == len(kept.data) == 3


class TestCalibration:
    def tables(self, *outcomes):
        rows = [("debiased_ece", 0.02, outcome) for outcome in outcomes]
        differences = pd.DataFrame([*rows, ("accuracy", 0.9, "equivalent")], columns=["score", "margin", "outcome"])
        errors = pd.DataFrame({"score": ["ece", "ece", "mce"], "value": [0.1, 0.2, 0.1], "null_high": [0.1, 0.1, 0.9]})
        return errors, differences

    def test_by_hand(self):
        said = calibration.answer(*self.tables("equivalent", "undecided", "undecided"))
        assert "of 1 of 3 smaller models within 0.02" in said and "of 0 beyond, and leaves 2 undecided" in said
        assert "luck alone could explain 1 of all 2 errors" in said
        assert "of 0 of 1 smaller models" in calibration.answer(*self.tables("not-equivalent"))

    def test_of_what_is_published_controls_left_out(self, shown):
        run = open_published("snli-minilm")
        calibration.opening(run, "snli", 0)
        found = run.calibration("snli", 0, "differences").query("score == 'debiased_ece'").set_index("model")["outcome"]
        small = found[list(run.experiment.models)[1:]]
        said = f"of {(small == 'equivalent').sum()} of {len(small)} smaller models within 0.02"
        assert said in sentence(shown)


class TestCompression:
    def test_by_hand(self):
        rows = [("lime", "equivalent", 50.0), ("lime", "equivalent", 20.0), ("lime", "undecided", 10.0)]
        small = pd.DataFrame([*rows, ("shap", "not-equivalent", 5.0)], columns=["method", "verdict", "weights_bytes"])
        said = compression.answer(small, 100.0)
        assert (
            "calls 2 of 3 smaller models" in said
            and "0 not equivalent, and leaves 1 undecided, their words found by lime" in said
        )
        assert "takes 20% of the large one's bytes" in said
        none = small.assign(verdict="not-equivalent")
        assert "leaves 0 undecided, their words found by lime." in compression.answer(none, 100.0)

    def test_of_what_is_published(self, shown):
        run = open_published("snli-lab")
        compression.opening(run, "snli")
        first = run.compression("snli", "models").query("method == 'lime' and model != 'minilm'")
        alike = first[first["verdict"] == "equivalent"]
        assert f"calls {len(alike)} of {len(first)} smaller models" in sentence(shown)


class TestKeepingTrust:
    def test_by_hand(self):
        rows = [("lime", 0.01, -0.01, 0.03), ("shap", 0.05, 0.02, 0.08)]
        gains = pd.DataFrame(rows, columns=["method", "gain", "low", "high"])
        said = keeping_trust.answer(gains)
        assert "shows in 1 of 2 comparisons" in said and "+0.050 in mean Jaccard (+0.020 to +0.080), by shap" in said
        assert "shows in 0 of 2" in keeping_trust.answer(gains.assign(low=-0.1))

    def test_of_what_is_published(self, shown):
        run = open_published("snli-minilm")
        keeping_trust.opening(run, "snli")
        gains = run.compression("snli", "gains")
        assert f"shows in {(gains['low'] > 0).sum()} of {len(gains)} comparisons" in sentence(shown)


class TestReplace:
    def test_by_hand(self):
        rows = [("a", "equivalent", "no-worse", 0.5), ("b", "undecided", "no-worse", 0.0)]
        table = pd.DataFrame(rows, columns=["model", "interchangeable", "beside training again", "alone"])
        said = replace.answer(table)
        assert "call 1 of 2 smaller models interchangeable" in said and "and 2 of 2 no worse" in said
        assert "0% to 50% of the inputs alone, and turn at most 1%" in said
        once = table.assign(**{"beside training again": ["not asked", "worse"]})
        assert "and 0 of 1 no worse" in replace.answer(once)

    def test_a_model_in_8_bits_is_interchangeable(self, shown):
        found = replace.held("snli-again", only=["MiniLM in int8"])
        assert [of.verdict for of in found.values()] == ["equivalent"]
        words = open_published("snli-again").comparison("snli", "verdicts").query("model == 'minilm-int8'")
        assert set(words["method"]) == {"lime", "shap"} and set(words["verdict"]) == {"equivalent"}
        replace.opening(found)
        assert "call 1 of 1 smaller models interchangeable" in sentence(shown) and "0 of 0 no worse" in shown[0].data

    def test_of_what_is_published(self, shown):
        found = replace.held("mrpc-minilm")
        replace.opening(found)
        run = open_published("mrpc-minilm")
        assert f"of {len(run.experiment.models) - 1} smaller models" in sentence(shown)
        shown.clear()
        replace.table(found)
        replace.example(found, next(iter(found)))
        answers, measures, curve = shown
        chosen = run.calibration("mrpc", 0, "handover").query("risk == 'flips' and level == 0.01")["share"].fillna(0)
        assert answers.data["alone"].tolist() == pytest.approx(chosen.tolist())
        assert set(measures.data["outcome"]) <= {"equivalent", "not-equivalent", "undecided"}
        assert isinstance(curve, Figure)


def test_titles_of_openings_follow_their_numbers():
    models = pd.DataFrame({"nli_accuracy": [90.0, 88.0, 80.0], "pi_accuracy": [91.0, 90.0, 92.0]})
    assert paper.right_title(models) == "Right less often by -1.0 to 10.0 points"
    beside = pd.DataFrame({"as far": [3, 1], "smaller models": [4, 4]})
    assert is_half_low.yardstick_title(beside) == "4 of 8 come as far as the large model trained again"
    assert is_half_low.yardstick_title(beside[:0]).startswith("the large model was trained once")
    table = pd.DataFrame({"model": ["a", "a", "b"], compression.WORDS: [0.2, 0.4, 0.5]})
    assert compression.furthest(table, {"a": "A", "b": "B"}) == "B comes furthest, to 0.50"
    table = table.assign(**{compression.WORDS: [0.9, 0.7, 0.5]})
    assert compression.furthest(table, {"a": "A", "b": "B"}) == "A comes furthest, to 0.80"


def test_half_of_the_pairs_have_the_median_of_words():
    counts = pd.DataFrame({"counted": "positions", "words": [3, 1, 2], "pairs": [2, 1, 2]})
    both = pd.concat([counts, counts.assign(counted="distinct words", words=[2, 1, 1])])
    ax = is_half_low.word_histogram(both, last=5)
    assert is_half_low.median_words(counts) == [2]
    assert is_half_low.median_words(counts.assign(pairs=[9, 1, 2])) == [3]
    assert ax.get_title(loc="left").replace("\n", " ") == "Half of the pairs have at most 2 or 1 words"


@pytest.mark.parametrize(("moves", "counts"), [((0.1, 0.05), (1, 1)), ((0.1, 0.2), (1, 0)), ((-0.1, 0.0), (0, 0))])
def test_the_title_on_the_boundary_tells_the_number_from_what_is_above_chance(moves, counts):
    values = {"Jaccard, as released": 0.5 + moves[0], "chance, as released": 0.3 + moves[1]}
    beside = pd.DataFrame({"data": ["snli"], "Jaccard, boundary kept": 0.5, "chance, boundary kept": 0.3} | values)
    claim = SimpleNamespace(beside=beside, by_data=pd.DataFrame({"data": ["snli"]}))
    raw, above = counts
    said = f"As released the mean is higher on {raw} of 1 data sets, and what is above chance on {above}"
    assert boundary.title(claim) == said
