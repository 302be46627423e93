"""Tables about alignment, what the top words are worth, and verdicts, on a made-up run whose numbers are known."""

import shutil
from collections import Counter

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import CHANCE, MODELS, TASK

from trusteq import blocks
from trusteq.alignment import ranking
from trusteq.errors import ArtefactError, DataError
from trusteq.pages.comparison import VIEWS, rule_table
from trusteq.pages.is_half_low import mean_chance, on_the_scale, steadiness_table
from trusteq.pages.results import all_verdicts, deciding, difference_table, method_table, plane_table, verdict_table
from trusteq.pages.show import paper_table
from trusteq.pages.status import word_counts
from trusteq.registry import validated
from trusteq.study.compare import (
    NAMES,
    alignment_table,
    ceiling_table,
    companion_table,
    compare,
    control_table,
    curve_table,
    evidence_table,
    example_table,
    faithfulness_table,
    segment_table,
    source_table,
    tables,
)
from trusteq.study.compare import verdict_table as judged_verdicts
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results
from trusteq.study.sides import known_truths
from trusteq.verdict import comparison
from trusteq.verdict.comparison import Control

LARGE, DISTILLED, TINY = MODELS
CONTROLS = list(comparison.CONTROLS)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return made_up.make_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module", autouse=True)
def independent():
    """Take the examples as independent: clusters are tested with the tables of calibration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trusteq.study.compare.clusters", lambda run, task: None)
        yield


@pytest.fixture(scope="module")
def compared(run, independent):
    return compare(run, TASK)


@pytest.fixture(scope="module")
def verdicts(compared):
    return judged_verdicts(compared)


def changed(run, **values):
    """Return the run under an experiment that differs in some values."""
    settings = run.experiment.model_dump(mode="json", exclude_unset=True) | values
    return Results(run.folder, validated(Experiment, settings, where="changed"))


def test_every_table_of_attributions_is_ranked_once(run, monkeypatch):
    ranked = Counter()
    of_table = ranking.ranked_rows

    def counted(attributions, *, label):
        ranked[id(attributions)] += 1
        kept.append(attributions)  # or another table could be given its id
        return of_table(attributions, label=label)

    kept = []
    monkeypatch.setattr(ranking, "ranked_rows", counted)
    tables(run, TASK)
    on_disk = [file for file in (run.folder / "attribution").rglob("*.parquet") if file.stem != "faithfulness"]
    assert len(on_disk) == 14
    assert sum(ranked.values()) == len(ranked) == len(on_disk) + 2  # and random words, for each method


def test_all_tables_have_names(run):
    assert list(tables(run, TASK)) == list(NAMES)


def test_a_control_is_a_record(run, monkeypatch):
    """What a control is decides where it stands, not what it is called."""
    records = comparison.CONTROLS | {"reseeded": Control("once more", judged=False, is_large=True)}
    records["random-features"] = Control("noise", is_other=True)
    monkeypatch.setattr("trusteq.study.compare.CONTROLS", records)
    compared = compare(run, TASK)
    assert [found.b.control.title for found in compared.controls[:2]] == ["itself", "once more"]
    assert set(judged_verdicts(compared)["model"]) == {DISTILLED, TINY, "retrained", "random-head"}
    assert set(source_table(compared)["model_b"]) == {DISTILLED, TINY, "random-head", "random-features"}


def test_alignment_by_hand(compared):
    alignment, examples = alignment_table(compared), example_table(compared)
    pairs = [(LARGE, DISTILLED), (LARGE, TINY), (DISTILLED, TINY)]
    assert list(zip(alignment["model_a"], alignment["model_b"], strict=True)) == pairs * 2
    assert alignment["method"].tolist() == ["lime"] * 3 + ["shap"] * 3
    # test-0 shares one word of three, none, one; on test-1 all models agree.
    assert alignment["jaccard"].tolist() == pytest.approx([2 / 3, 1 / 2, 2 / 3] * 2)
    assert alignment["chance"].tolist() == pytest.approx([CHANCE] * 6)
    assert (alignment["examples"] == 2).all()
    assert (alignment["undefined"] == 0).all()
    assert ((alignment["low"] <= alignment["jaccard"]) & (alignment["jaccard"] <= alignment["high"])).all()
    first = examples[(examples["method"] == "lime") & (examples["model_b"] == TINY)]
    assert first["id"].tolist() == ["test-0", "test-1"] * 2
    assert first["jaccard"].tolist() == pytest.approx([0, 1, 1 / 3, 1])
    assert (examples["n_features"] == 4).all()
    assert set(examples["model_b"]) == {DISTILLED, TINY}  # pairs of models, no controls


def test_a_method_of_some_models_is_compared_among_them(run):
    of_two = {"lime": {"n_samples": 10, "models": [LARGE, TINY]}, "shap": {"n_samples": 10}}
    compared = compare(changed(run, methods=of_two), TASK)
    pairs = [(found.a.explained.method, *found.names) for found in compared.pairs]
    assert pairs[:2] == [("lime", LARGE, TINY), ("shap", LARGE, DISTILLED)]
    assert len(pairs) == 4


def test_tables_as_released_are_left_out_where_places_are_needed(run):
    released = {"like": "lime", "boundary": "as-released", "n_samples": 10}
    both = changed(run, methods={"lime": {"n_samples": 10}, "released": released})
    for model, seed in both.experiment.runs:
        for kind in ("", ".again", *[".random-head"] * both.experiment.has_twin(model, seed)):
            table = both.attribution(TASK, model, seed, f"lime{kind}")
            table.attrs["boundary"] = "as-released"
            both.write(table, "attribution", TASK, model, seed, f"released{kind}")
    compared = compare(both, TASK)
    jaccard = alignment_table(compared).set_index(["model_a", "model_b", "method"])["jaccard"].unstack()
    assert jaccard["released"].tolist() == jaccard["lime"].tolist()  # no word occurs twice
    for table in (segment_table(compared), companion_table(compared)):
        assert table["method"].unique().tolist() == ["lime"]
    assert curve_table(compared)["method"].unique().tolist() == ["lime", "released"]
    assert {truth[0] for truth in evidence_table(compared, {}).to_numpy()} == set()


def test_the_ceiling_of_a_pair_is_the_mean_of_both_agreements_with_themselves(compared):
    alignment = alignment_table(compared)
    # Under another seed of lime the large model shares one word of three on test-0; the others repeat themselves.
    expected = [5 / 6, 5 / 6, 1, 1, 1, 1]
    assert alignment["ceiling"].tolist() == pytest.approx(expected)
    normalised = [(j - CHANCE) / (c - CHANCE) for j, c in zip(alignment["jaccard"], expected, strict=True)]
    assert alignment["normalised"].tolist() == pytest.approx(normalised)


def test_common_masks_are_of_the_second_explanations_and_only_where_masks_are_drawn(compared):
    alignment = alignment_table(compared)
    assert alignment["common_masks"].tolist() == pytest.approx([1, 2 / 3, 2 / 3, np.nan, np.nan, np.nan], nan_ok=True)


def test_where_the_first_explanations_share_their_masks_the_pair_is_compared_across_seeds(run):
    alignment = alignment_table(compare(changed(run, common_masks=True), TASK))
    # The large model's second explanation, {0, 2}, beside the first ones of the others, {0, 2} and {2, 3}.
    assert alignment["jaccard"].tolist()[:2] == pytest.approx([1, 2 / 3])
    assert alignment["common_masks"].tolist()[:2] == pytest.approx([1, 2 / 3])


def test_controls_by_hand(compared):
    table = control_table(compared).set_index(["method", "model_b"])
    assert list(table.loc["lime"].index) == list(table.loc["shap"].index) == CONTROLS
    assert (table["model_a"] == LARGE).all()
    lime = table.loc["lime"]
    assert lime["jaccard"].tolist()[:4] == pytest.approx([1, 2 / 3, 2 / 3, 1 / 2])
    # The retrained model repeats itself under another seed of lime; twin and random words have no second explanation.
    assert lime["ceiling"].tolist() == pytest.approx([np.nan, 2 / 3, 5 / 6, 2 / 3, 2 / 3], nan_ok=True)
    assert lime["normalised"]["reseeded"] == 1
    shap = table.loc["shap", "reseeded"]
    assert (shap["jaccard"], shap["normalised"]) == (1, 1)  # nothing is drawn
    assert shap["normalised_low"] < 1 == shap["normalised_high"]  # and two examples say little


def test_without_a_second_training_seed_there_is_no_retrained_control(run):
    alone = compare(changed(run, models=list(MODELS)), TASK)
    assert "retrained" not in set(control_table(alone)["model_b"])
    assert set(ceiling_table(alone)["other"]) == {"explainer seed"}
    assert set(source_table(alone)["source"]) == {"explainer seed", "model", "total"}


def test_a_lost_second_explanation_is_named(run, tmp_path):
    with pytest.raises(ArtefactError, match=r"not there; it is made by notebooks/02_attribution\.py"):
        compare(changed(run, methods={"shapley": {}}), TASK)


def test_each_model_with_itself(compared):
    table = ceiling_table(compared)
    lime = table[table["method"] == "lime"]
    assert lime["model"].tolist() == [*MODELS, LARGE]
    assert lime["other"].tolist() == ["explainer seed"] * 3 + ["training seed"]
    assert lime["jaccard"].tolist() == pytest.approx([2 / 3, 1, 1, 2 / 3])
    view = VIEWS["ceilings"](lime, compared.run)
    assert view["model"].tolist() == ["Demo-large", "Demo-distilled", "Demo-tiny", "Demo-large"]
    assert view["95%"].tolist()[1] == "0.16 to 1.00"


def test_tables_of_parts_cover_every_model_and_control(compared):
    others = [DISTILLED, TINY, *CONTROLS]
    curves = curve_table(compared)
    assert curves.groupby(["method", "model_b"], sort=False).size().to_dict() == {
        (method, name): 20 for method in ("lime", "shap") for name in others
    }
    assert curves.query("method == 'lime' and k == 2 and model_b == @TINY")["jaccard"].item() == pytest.approx(1 / 2)
    segments = segment_table(compared)
    assert segments.groupby(["method", "model_b"]).size().eq(2).all()
    companions = companion_table(compared)
    itself = companions[companions["model_b"] == "itself"]
    assert itself["value"].tolist() == pytest.approx([1] * len(itself))
    wide = VIEWS["companions"](companions, compared.run)
    assert list(wide) == ["method", "pair", "weighted_jaccard", "rbo", "spearman", "cosine"]
    assert wide["pair"].tolist()[:2] == ["Demo-large – Demo-distilled", "Demo-large – Demo-tiny"]
    assert VIEWS["segments"](segments, compared.run)["text"].tolist()[:2] == [1, 2]


def test_sources_by_hand(compared):
    table = source_table(compared)
    assert set(table["model_b"]) == {DISTILLED, TINY, "random-head"}
    found = table[(table["method"] == "lime") & (table["model_b"] == DISTILLED)]
    assert found["source"].tolist() == ["explainer seed", "training seed", "model", "total"]
    # 1 - 5/6; 5/6 - 2/3, the large model below its ceiling with itself trained again; 5/6 - 2/3 less that.
    assert found["disagreement"].tolist() == pytest.approx([1 / 6, 1 / 6, 0, 1 / 3])
    shap = table[(table["method"] == "shap") & (table["model_b"] == TINY)]
    assert shap["disagreement"].tolist() == pytest.approx([0, 1 / 3, 1 / 6, 1 / 2])
    assert VIEWS["sources"](shap, compared.run)["share"].tolist() == pytest.approx([0, 2 / 3, 1 / 3, 1])


def test_one_retraining_is_one_number_whatever_it_stands_beside(run):
    """Though the twin, explained once, has a ceiling of its own; and though one of the models has fewer examples."""
    compared, columns = compare(run, TASK), ["disagreement", "low", "high"]
    table = source_table(compared)
    lime = table[(table["method"] == "lime") & (table["source"] == "training seed")]
    own = table[(table["method"] == "lime") & (table["source"] == "explainer seed")]["disagreement"]
    assert own.nunique() == 2
    assert len(lime) == 3
    assert len(lime[columns].drop_duplicates()) == 1
    first = next(found for found in compared.pairs if found.b.name == TINY)
    first.alignment.table.loc[0, "jaccard"] = np.nan
    table = source_table(compared)
    lime = table[(table["method"] == "lime") & (table["source"] == "training seed")]
    assert lime["disagreement"].tolist() == pytest.approx([0] * 3)  # test-0 is nobody's now


def test_a_model_made_without_training_has_no_step_of_the_training_seed(run, compared):
    for stage in ("attribution", "predictions", "models"):
        shutil.copytree(run.folder / stage / TASK / TINY, run.folder / stage / TASK / "demo-int8")
    several = compare(changed(run, models={LARGE: {"seeds": [0, 1]}, TINY: {}, "demo-int8": {}}), TASK)
    table = source_table(several)
    found = table[(table["method"] == "shap") & (table["model_b"] == "demo-int8")]
    assert found["source"].tolist() == ["explainer seed", "model", "total"]
    assert found["disagreement"].tolist() == pytest.approx([0, 1 / 2, 1 / 2])
    trained = table[(table["method"] == "shap") & (table["model_b"] == TINY)]
    assert trained["source"].tolist() == ["explainer seed", "training seed", "model", "total"]


def test_whole_clusters_are_drawn(run, monkeypatch):
    """With both examples in one cluster nothing says how it varies: every interval is what is possible."""
    clusters = pd.Series("premise", index=made_up.EXAMPLES["id"])
    monkeypatch.setattr("trusteq.study.compare.clusters", lambda run, task: clusters)
    alignment = alignment_table(compare(run, TASK))
    assert set(alignment["low"]) == {0} and set(alignment["high"]) == {1}


def test_pairs_stand_between_their_anchors(compared):
    alignment = alignment_table(compared)
    table = VIEWS["alignment"](pd.concat([alignment, control_table(compared)]), compared.run)
    assert list(table) == ["method", "pair", "Jaccard", "95%", "chance", "ceiling", "0 to 1", "95% of it"]
    assert table["pair"].tolist()[:2] == ["Demo-large – Demo-distilled", "Demo-large – Demo-tiny"]
    assert "Demo-large – its random head" in set(table["pair"])
    assert table["0 to 1"].isna().tolist() == [False] * 6 + [True] + [False] * 4 + [True] + [False] * 4
    itself = table[table["pair"] == "Demo-large – itself, reseeded"]
    # Of two examples only, some draws leave lime's ceiling at chance: its scale has no interval.
    assert itself["95% of it"].isna().tolist() == [True, False]
    assert "seed" in VIEWS["alignment"](alignment.assign(seed=[0, 1] * 3), compared.run)


def test_the_papers_rule_and_number_beside(compared, monkeypatch):
    alignment = alignment_table(compared)
    table = rule_table(alignment.assign(jaccard=[0.7, 0.69, 1.0] * 2), compared.run, TASK)
    assert table["at least 0.7"].tolist() == ["yes", "no", "yes"] * 2
    assert table["paper_jaccard"].isna().all()  # the paper's single cells are not held
    assert table.attrs["no_counterpart"] == [False] * 6
    paper = paper_table("jaccard")
    held = (paper["task"] == "nli") & (paper["method"] == "shap") & (paper["model_b"] == "BERT-Tiny")
    paper.loc[held & (paper["model_a"] == "BERT-base"), "jaccard"] = 0.25
    monkeypatch.setattr("trusteq.pages.comparison.paper_table", lambda name: paper)
    turned = alignment.rename(columns={"model_a": "model_b", "model_b": "model_a"})
    for rows in (alignment, turned):
        numbers = rule_table(rows, compared.run, TASK)["paper_jaccard"].tolist()
        assert numbers == pytest.approx([np.nan] * 4 + [0.25, np.nan], nan_ok=True)


def test_truth_by_hand(compared):
    # The large model's top two of test-0; the distilled one has one of them, the tiny one none. test-1 has no truth.
    truth = pd.Series({"test-0": ((0, 0), (0, 1)), "test-1": ()})
    table = evidence_table(compared, {"evidence": truth})
    lime = table[(table["method"] == "lime") & (table["measure"] == "recall")].set_index("model")
    assert list(lime.index) == [*MODELS, "retrained", "random-head", "random-features"]
    assert lime["value"].tolist()[:5] == [1, 0.5, 0, 0.5, 0]
    assert lime["chance"].tolist() == [0.5] * 6
    assert lime["difference"].tolist()[:3] == [0, -0.5, -1]
    assert (lime["examples"] == 1).all()
    share = table[(table["method"] == "shap") & (table["measure"] == "share")].set_index("model")
    assert share["value"].tolist()[:3] == pytest.approx([0.7, 0.5, 0.3])
    view = VIEWS["truth"](lime.reset_index(), compared.run)
    assert view["model"].tolist()[-2:] == ["its random head", "random words"]
    assert view["against large"].isna().tolist() == [True] + [False] * 5


def test_without_a_truth_the_table_is_empty_and_has_its_columns(compared):
    table = evidence_table(compared, {})
    assert table.empty
    assert {"truth", "measure", "value", "chance", "difference", "examples"} <= set(table)


def test_known_truths(run, monkeypatch):
    known = known_truths(run, TASK)
    assert list(known) == ["evidence", "shortcut"]
    assert set(known["evidence"].index) >= {"test-0", "test-999"}
    snli = changed(run, tasks=["snli", "sst2"])
    edits = pd.DataFrame({"id": ["test-7"], "edited": [((0, 1),)]})
    monkeypatch.setattr("trusteq.study.sides.load_edits", lambda: edits)
    assert known_truths(snli, "snli")["edits"].to_dict() == {"test-7": ((0, 1),)}
    assert known_truths(snli, "sst2") == {}


def test_edits_that_cannot_be_read_or_are_of_other_rows_are_left_out(run, monkeypatch):
    def fail():
        raise DataError("no such data set")

    monkeypatch.setattr("trusteq.study.sides.load_edits", fail)
    assert known_truths(changed(run, tasks=["snli"]), "snli") == {}
    source = {"dataset": "stanfordnlp/snli", "config": "plain_text", "split": "validation"}
    other = changed(run, tasks={"snli": {"splits": {"train": [source], "test": [source]}}})
    monkeypatch.setattr("trusteq.study.sides.load_edits", lambda: pytest.fail("ids are those of another split"))
    assert known_truths(other, "snli") == {}


def test_faithfulness_by_model_and_method(run):
    table = faithfulness_table(run, TASK, None)
    values = table[table["measure"] == "comprehensiveness"].set_index(["model", "method"])["value"]
    assert values[TINY, "random features"] == pytest.approx(0.45)
    view = VIEWS["faithfulness_means"](table, run)
    assert list(view) == ["model", "method", "comprehensiveness", "95% of comp.", "sufficiency", "95% of suff."]
    assert view["sufficiency"].tolist()[:3] == pytest.approx([0.25, 0.2, 0.075])


def test_verdicts_of_models_and_controls(verdicts):
    table = verdicts
    judged = [DISTILLED, TINY, "reseeded", "retrained", "random-head"]
    assert table["model"].drop_duplicates().tolist() == judged
    assert table.groupby(["method", "model"]).size().eq(4).all()
    lime = table[table["method"] == "lime"].set_index(["model", "measure"])
    assert lime["difference"][TINY, "accuracy"] == pytest.approx(-0.25)
    assert lime["difference"]["reseeded"].tolist() == [0, 0, 0, 0]
    # The second training seed predicts as the distilled model does, the twin as the tiny one.
    assert lime["compressed"]["retrained", "accuracy"] == lime["compressed"][DISTILLED, "accuracy"] == 0.75
    assert lime["compressed"]["random-head", "accuracy"] == 0.5
    normalised = (2 / 3 - CHANCE) / (5 / 6 - CHANCE)
    assert lime["compressed"][DISTILLED, "normalised_alignment"] == pytest.approx(normalised)
    assert lime["jaccard"][DISTILLED].tolist() == pytest.approx([2 / 3] * 4)
    assert not lime["aligned"][DISTILLED].any()


def test_clusters_reach_the_predictions(run, monkeypatch):
    clusters = pd.Series(["a", "a", "b", "b"], index=made_up.EXAMPLES["id"])
    for home in ("compare", "sides"):
        monkeypatch.setattr(f"trusteq.study.{home}.clusters", lambda run, task: clusters)
    table = judged_verdicts(compare(run, TASK)).set_index(["method", "model", "measure"])
    assert table["n"]["lime", TINY, "accuracy"] == 2
    assert table["n"]["lime", TINY, "normalised_alignment"] == 1


@pytest.fixture
def found(run, verdicts, tmp_path):
    other = Results(tmp_path, run.experiment)
    other.write(verdicts, "comparison", TASK, "verdicts")
    return all_verdicts(other)


def test_verdicts_for_a_page(run, found):
    chosen = deciding(found)
    assert set(chosen["method"]) == {"lime"}
    changed_outcomes = chosen.assign(
        outcome=["equivalent", "equivalent", "equivalent", "undecided"] * 5, verdict="undecided", drop_in=[True] * 20
    )
    table = verdict_table(changed_outcomes, run)
    assert table["model"].tolist()[:2] == ["Demo-distilled", "Demo-tiny"]
    assert table.iloc[0].to_dict() == {
        "task": TASK,
        "model": "Demo-distilled",
        "accuracy": "equivalent",
        "alignment": "equivalent",
        "calibration": "undecided",
        "verdict": "undecided",
        "paper's rule": "drop-in",
    }
    assert method_table(found, run)["method"].tolist() == ["lime"] * 5 + ["shap"] * 5
    needed = difference_table(chosen.assign(n_needed=5000), run)["examples needed"].tolist()
    assert needed[:2] == ["4 of 5,000", "2 of 5,000"]


def test_the_plane_has_a_point_for_each_model_and_method(found):
    plane = plane_table(found)
    assert len(plane) == 10
    reseeded = plane[(plane["model"] == "reseeded") & (plane["method"] == "lime")].iloc[0]
    assert (reseeded["x"], reseeded["y"]) == pytest.approx((0, 1))


def test_word_counts_of_snli_are_what_was_measured():
    counts = word_counts()
    assert counts.groupby("counted")["pairs"].sum().to_dict() == {"distinct words": 9824, "positions": 9824}
    means = mean_chance(counts).set_index("counted")
    assert means["mean_words"].to_dict() == pytest.approx({"positions": 21.5, "distinct words": 18.0}, abs=0.05)
    assert means["chance"].to_dict() == pytest.approx({"positions": 0.378, "distinct words": 0.468}, abs=5e-4)
    assert means["always_1"]["distinct words"] == pytest.approx(0.055, abs=5e-4)


def test_chance_by_words():
    chances = [ranking.chance_jaccard(n, 10) for n in range(1, 12)]
    assert chances[:10] == [1] * 10
    # Of eleven words each set lacks one: the same one, 1/11, or the sets share 9 of 11.
    assert chances[10] == pytest.approx(1 / 11 + 10 / 11 * 9 / 11)


def test_steadiness_takes_the_measured_rows_about_it():
    rows = [
        {"row": "steadiness shapley 5000", "value": 0.9, "what": "w"},
        {"row": "steadiness lime 1000", "value": 0.6, "what": "w"},
        {"row": "steadiness lime 5000", "value": None},
        {"row": "memory", "value": 200, "what": "MB"},
    ]
    table = steadiness_table(rows)
    assert table[["method", "passes", "Jaccard"]].to_numpy().tolist() == [["lime", 1000, 0.6], ["shapley", 5000, 0.9]]


def test_places_on_the_scale(run, tmp_path):
    other = Results(tmp_path, run.experiment)
    rows = pd.DataFrame(
        {
            "method": ["lime", "shap", "lime"],
            "seed": [0, 0, 1],
            "model_a": LARGE,
            "chance": [0.25, 0.4, 0.9],
            "ceiling": [0.75, 0.4, 1.0],
        }
    )
    other.write(rows, "comparison", TASK, "alignment")
    table = on_the_scale(other, seed=0)
    assert table["method"].tolist() == ["lime", "shap"]
    assert table["0.5 is"].tolist() == pytest.approx([0.5, np.nan], nan_ok=True)
    assert table["0.7 is"].tolist() == pytest.approx([0.9, np.nan], nan_ok=True)


def test_no_written_table_holds_a_word_of_a_text(compared, verdicts):
    """Names of models and methods are all the text there is: SNLI's sentences may not be passed on."""
    known = set(MODELS) | set(CONTROLS) | {"lime", "shap", "test-0", "test-1"}
    made = [alignment_table(compared), example_table(compared), curve_table(compared), verdicts]
    for table in [*made, segment_table(compared), control_table(compared)]:
        keys = table[[name for name in ("id", "method", "model", "model_a", "model_b") if name in table]]
        assert set(keys.to_numpy().ravel()) <= known
        assert not {"word", "text_a", "text_b"} & set(table)


def test_tables_on_disk_give_the_same_as_tables_that_are_held(run, independent, monkeypatch):
    held = tables(run, TASK)
    for name, value in {"MOST_HELD": 0, "BLOCK": 1}.items():
        monkeypatch.setattr(blocks, name, value)
    for name, table in tables(run, TASK).items():
        pd.testing.assert_frame_equal(table, held[name], check_exact=True, obj=name)
