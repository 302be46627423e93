"""What published trainings say of the paper's claims: by hand, from pairs of models written for it."""

from types import SimpleNamespace

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.estimates import Estimate, mean
from trusteq.pages import claims, findings, status, trainings
from trusteq.pages.claims import CLAIMS, COLUMNS, CONTRADICTS, DIFFERS, OPEN, SUPPORTS, Claim
from trusteq.pages.findings import Findings
from trusteq.pages.trainings import Evidence, Pair
from trusteq.store import to_json, write_text
from trusteq.study import publish
from trusteq.study.results import Results
from trusteq.verdict.comparison import Comparison, Side
from trusteq.verdict.predictions import Predictions
from trusteq.verdict.seeds import between_seeds, crossed

LARGE, SMALL, TINY = MODELS
N = 400


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("trusteq.study.sides.load_examples", lambda *_, **__: made_up.EXAMPLES)
    return made_up.make_run(tmp_path)


def estimate(value, half=0.01):
    return Estimate(value, lambda alpha: (value - half, value + half), 100, 100, 100.0)


def values(middle, n=N, start=0, spread=0.05):
    """Values by example around a middle, which is their mean."""
    ids = [f"test-{row}" for row in range(start, start + n)]
    return pd.Series(middle + spread * np.tile([-1.0, 1.0], n // 2), index=pd.Index(ids, name="id"))


def pair(jaccard=0.5, *, data="snli", training=0, model="small", other=None, **more):
    """A pair whose Jaccard is `jaccard` in the mean, with chance 0.2, ceiling 0.8 and what else a test asks for."""
    own = values(jaccard) if isinstance(jaccard, float) else jaccard
    table = pd.DataFrame({"jaccard": own, "chance": more.pop("chance", 0.2)}).reset_index()
    place = estimate((own.mean() - 0.2) / 0.6)
    top = SimpleNamespace(table=table.assign(jaccard=more.pop("itself", 0.8)))
    outcome, difference = more.pop("accuracy", "undecided"), more.pop("error", 0.0)
    found = SimpleNamespace(
        alignment=SimpleNamespace(table=table, chance=table["chance"].mean(), place=place, normalised=place.value),
        ceiling=more.pop("ceiling", 0.8),
        differences={"debiased_ece": estimate(difference), "overconfidence": estimate(-difference)},
        dimensions=pd.DataFrame({"dimension": ["accuracy"], "outcome": [outcome]}),
        verdict=more.pop("verdict", "undecided"),
        a=SimpleNamespace(explained=SimpleNamespace(itself=top, clusters=None)),
        b=side(other if other is not None else (model, training), training),
    )
    how = {"method": "lime", "run": "run"} | more
    return Pair(data, model=model, training=training, found=found, **how)


def side(number, seed):
    return SimpleNamespace(
        predictions=SimpleNamespace(probabilities=np.array([hash(number) % 1000])), training_seed=seed
    )


def said(table):
    return table["verdict"].tolist()


# Numbers over trainings.


def over(*found):
    """The number over trainings of (training, values)."""
    return trainings.over_trainings([(pair(training=number), of) for number, of in found])


def test_three_trainings_on_the_same_examples_vary_as_these_do():
    of = [values(middle) for middle in (0.1, 0.2, 0.4)]
    found, n = over(*enumerate(of))
    assert n == 3
    assert found.interval == crossed(np.stack(of)).interval
    assert found.interval[0] < mean(sum(of) / 3).interval[0]


def test_three_trainings_on_other_examples_are_estimates_between_seeds():
    of = [values(0.1), values(0.2), values(0.4, start=N)]
    found, n = over(*enumerate(of))
    assert (n, found.value) == (3, pytest.approx(0.7 / 3))
    assert found.interval == between_seeds([mean(one) for one in of]).interval


def test_two_trainings_are_about_these_checkpoints():
    found, n = over((0, values(0.1)), (1, values(0.3)))
    assert (n, found.interval) == (2, pytest.approx(mean(values(0.2)).interval))


def test_what_is_made_of_one_training_counts_once():
    found, n = over((0, values(0.1)), (0, values(0.3)))
    assert (n, found.value) == (1, pytest.approx(0.2))


def test_estimates_are_averaged_with_their_bounds():
    found, n = over((0, estimate(0.1, 0.01)), (1, estimate(0.3, 0.03)))
    assert (n, found.interval) == (2, pytest.approx((0.18, 0.22)))


@pytest.mark.parametrize(("value", "ends"), [(0.3, (0.2, 0.4)), (-0.3, (0.2, 0.4)), (-0.05, (0.0, 0.15))])
def test_a_size_has_no_sign(value, ends):
    found = trainings.magnitude(estimate(value, 0.1))
    assert (found.value, found.interval) == (pytest.approx(abs(value)), pytest.approx(ends))


def test_the_lowest_of_several_pays_for_the_choice():
    both = [mean(values(middle)) for middle in (0.5, 0.3)]
    found = trainings.lowest_of(both)
    assert found.value == pytest.approx(0.3)
    assert found.bounds(0.025)[0] == both[1].bounds(0.0125)[0] < both[1].interval[0]
    assert trainings.lowest_of(both[:1]).interval == both[0].interval


def number(name):
    return trainings._number(side(name, 0))


def twins(a, b, jaccard, **more):
    return pair(jaccard, training=number(a), other=b, model="large", **more)


def test_pairs_of_trainings_vary_as_their_trainings_do():
    """Where each training adds its own part to a pair, a training's pseudo-value is twice its part."""
    parts = {"x": 0.1, "y": 0.2, "z": 0.35}
    every = [twins(a, b, parts[a] + parts[b]) for a, b in ("xy", "xz", "yz")]
    found = trainings.twins_measured(every, lambda one: one.jaccard)
    assert {of.training: own.mean() for of, own in found} == pytest.approx(
        {number(name): 2 * part for name, part in parts.items()}
    )
    only = trainings.twins_measured(every[:1], lambda one: one.jaccard)
    assert [own.mean() for _, own in only] == pytest.approx([0.3, 0.3])


# What runs hold.


def test_a_run_holds_pairs_and_twins(run):
    found = trainings.evidence([run])
    assert [(one.method, one.found.b.name) for one in found.pairs] == [
        (method, model) for method in ("lime", "shap") for model in (SMALL, TINY)
    ]
    assert [(one.found.a.training_seed, one.found.b.training_seed) for one in found.twins] == [(0, 1), (0, 1)]
    first = found.pairs[0]
    assert first.jaccard.tolist() == [pytest.approx(1 / 3), 1.0]  # {0, 1} and {0, 2}; the same two
    assert first.itself.tolist() == [pytest.approx(1 / 3), 1.0]
    assert first.above_chance.tolist() == [pytest.approx(of - made_up.CHANCE) for of in (1 / 3, 1)]
    assert first.below_ceiling.tolist() == [pytest.approx((1 / 3 + 1) / 2 - 1 / 3), 0.0]
    assert found.pairs[2].below_ceiling.tolist() == [pytest.approx(2 / 3), 0.0]  # shap draws nothing


def test_what_two_runs_publish_of_one_training_counts_once(run):
    again = Results(run.folder, run.experiment.model_copy(update={"name": "again"}))
    assert len(trainings.evidence([run, again]).pairs) == len(trainings.evidence([run]).pairs) == 4


def with_models(run, models, **more):
    values = run.experiment.model_dump(mode="json", exclude_unset=True) | {"models": models} | more
    return Results(run.folder, type(run.experiment)(**values))


def test_a_method_as_released_is_beside_the_one_that_it_is_like(run):
    released = {"like": "lime", "boundary": "as-released", "n_samples": 10, "models": [LARGE, SMALL]}
    both = with_models(run, {LARGE: {}, SMALL: {}}, methods={"lime": {"n_samples": 10}, "released": released})
    for model in (LARGE, SMALL):
        for name in ("", ".again"):
            table = run.attribution(TASK, model, 0, f"lime{name}")
            both.write(table, "attribution", TASK, model, 0, f"released{name}")
    found = trainings.evidence([both])
    assert {one.method for one in found.pairs} == {"lime"}
    assert [(one.method, safe.method, safe.found.b.name) for one, safe in found.released] == [
        ("released", "lime", SMALL)
    ]


CUT, TAUGHT = "demo-cut", "demo-cut-distilled"


def with_cut_and_distilled(run, **of_taught):
    """Return the run with two models of one layer of three in the place of the small ones, one of them taught."""
    for model, layers in {LARGE: 3, CUT: 1, TAUGHT: 1}.items():
        write_text(to_json({"layers": layers}), run.model(TASK, model, 0) / "metrics.json")
    return with_models(run, {LARGE: {"seeds": [0]}, CUT: {}, TAUGHT: of_taught})


def test_a_distilled_model_is_paired_with_one_as_deep_that_has_no_teacher(run):
    assert trainings.distilled_and_cut(with_cut_and_distilled(run), TASK) == [(TAUGHT, CUT)]
    kept = with_cut_and_distilled(run, recipe={"attribution_weight": 1.0})
    assert trainings.distilled_and_cut(kept, TASK) == []
    other = with_cut_and_distilled(run)
    write_text(to_json({"layers": 2}), run.model(TASK, CUT, 0) / "metrics.json")
    assert trainings.distilled_and_cut(other, TASK) == []


def test_a_student_that_keeps_words_is_paired_with_the_first_one(run):
    kept = {"like": SMALL, "title": "keeping", "recipe": {"attribution_weight": 1.0}}
    assert trainings.keeping_and_plain(with_models(run, {LARGE: {}, SMALL: {}, "kept": kept}), TASK) == [
        ("kept", SMALL)
    ]
    assert trainings.keeping_and_plain(with_models(run, {LARGE: {}, TINY: {}}), TASK) == []


def test_the_published_runs_have_the_pairs_that_claims_are_about():
    runs = findings._as_the_paper(publish.reference_runs())
    found = {run.experiment.name: trainings.distilled_and_cut(run, next(iter(run.experiment.tasks))) for run in runs}
    assert set(map(tuple, found.values())) == {(("minilm-distilled", "minilm-3-layers"),)}


# Claims.


@pytest.mark.parametrize(
    ("ends", "above", "below"),
    [((0.71, 0.8), SUPPORTS, CONTRADICTS), ((0.6, 0.71), OPEN, OPEN), ((0.5, 0.69), CONTRADICTS, SUPPORTS)],
)
def test_an_interval_says_something_where_all_of_it_does(ends, above, below):
    assert claims.said(*ends, line=0.7, above=True) == above
    assert claims.said(*ends, line=0.7, above=False) == below


@pytest.mark.parametrize(
    ("jaccards", "verdict"),
    [
        ((0.5, 0.4), SUPPORTS),
        ((0.9, 0.8), CONTRADICTS),
        ((0.5, 0.9), DIFFERS),
        ((0.5, 0.7), OPEN),
        ((0.5, 0.9, 0.7), DIFFERS),
        ((), OPEN),
    ],
)
def test_data_sets_together(jaccards, verdict):
    found = claims.low_alignment(Evidence([pair(of, data=f"data {at}") for at, of in enumerate(jaccards)]))
    assert found.verdict == verdict
    assert found.by_data["estimate"].tolist() == pytest.approx(list(jaccards))


def test_ten_models_of_one_training_are_one_training():
    many = claims.low_alignment(Evidence([pair(0.6, model=f"model {at}") for at in range(10)]))
    one = claims.low_alignment(Evidence([pair(0.6)]))
    columns = ["estimate", "low", "high", "trainings"]
    assert many.by_data[columns].to_numpy().tolist() == [pytest.approx(one.by_data[columns].to_numpy()[0])]


def test_a_data_sets_number_is_of_what_was_trained_often_enough():
    often = [pair(of, training=at) for at, of in enumerate((0.4, 0.5, 0.6))]
    rare, rounded = pair(0.9, model="rare"), pair(1.0, model="int8", is_trained=False)
    columns = ["what", "estimate", "trainings"]

    def number_of(*pairs):
        (row,) = claims.low_alignment(Evidence(pairs)).by_data[columns].to_numpy().tolist()
        return row

    assert number_of(*often, rare, rounded) == ["small", pytest.approx(0.5), 3]
    assert number_of(*often[:2], rare, rounded) == ["small, rare", pytest.approx((0.45 + 0.9) / 2), 1]
    assert number_of(rounded) == ["int8", pytest.approx(1.0), 1]


def test_a_rule_that_the_model_itself_fails_is_contradicted():
    trained_again = Evidence([pair(itself=0.9)], [twins("x", "y", 0.5)])
    found = claims.rule_on_itself(trained_again)
    assert said(found.by_data) == [CONTRADICTS]
    assert said(found.rows) == [CONTRADICTS, SUPPORTS]  # explained again, it passes, which does not decide
    assert said(claims.rule_on_itself(Evidence([pair(itself=0.9)])).by_data) == [SUPPORTS]
    assert said(claims.rule_on_itself(Evidence([pair(itself=1.0, draws=False)])).by_data) == []


def test_other_words_are_below_three_quarters_of_the_way():
    assert said(claims.different_words(Evidence([pair(0.6)])).by_data) == [SUPPORTS]  # 2/3 of it
    assert said(claims.different_words(Evidence([pair(0.7)])).by_data) == [CONTRADICTS]  # 5/6


def test_a_change_that_goes_both_ways_is_not_the_ways():
    steady = [pair(error=of, training=at) for at, of in enumerate((0.05, 0.051, 0.052))]
    fickle = [pair(error=of, training=at) for at, of in enumerate((0.05, -0.05, 0.05))]
    assert said(claims.calibration_changes(Evidence(steady)).by_data) == [SUPPORTS]
    assert said(claims.calibration_changes(Evidence(fickle)).by_data) == [OPEN]
    assert said(claims.calibration_changes(Evidence(fickle[1:2])).by_data) == [SUPPORTS]
    assert said(claims.better_calibrated(Evidence(fickle[1:2])).by_data) == [SUPPORTS]
    assert said(claims.better_calibrated(Evidence(steady)).by_data) == [CONTRADICTS]


def test_what_does_not_depend_on_the_explainer_is_taken_once():
    both = [pair(error=0.05, method=method) for method in ("lime", "shap")]
    assert len(claims.better_calibrated(Evidence(both)).rows) == 1


def confident(share, n=400):
    """Predictions that are right in 3 of 4 cases and always as sure as `share`: the ECE is |share - 3/4|."""
    table = pd.DataFrame({"id": [f"test-{row}" for row in range(n)], "label": (np.arange(n) % 4 == 0).astype(int)})
    table[list(LABELS)] = [share, (1 - share) / 2, (1 - share) / 2]
    return Side("", Predictions.of(table, LABELS, where="made up"))


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ((0.80, 0.95, 0.85), SUPPORTS),  # all too sure, the cut model by most
        ((0.80, 0.85, 0.95), CONTRADICTS),
        ((0.95, 0.77, 0.90), SUPPORTS),  # below the large model's error, the distilled one is closer
        ((0.85, 0.80, 0.95), CONTRADICTS),  # on both sides of it, by 0.05 less and 0.1 more
        ((0.85, 0.80, 0.90), OPEN),  # on both sides, as far
    ],
)
def test_distillation_is_closer_by_the_paired_interval(shares, verdict):
    large, cut, taught = map(confident, shares)
    found = claims.closer(Comparison(large, taught), Comparison(large, cut))
    far = [abs(abs(share - 0.75) - abs(shares[0] - 0.75)) for share in shares[1:]]
    assert found.value == pytest.approx(far[1] - far[0], abs=0.01)
    assert claims.said(*found.interval, line=0, above=False) == verdict


def test_distillation_has_a_row_for_each_training(monkeypatch):
    monkeypatch.setattr(claims, "closer", lambda one, other: one.differences["debiased_ece"])
    seeds = [(pair(error=of, training=at), pair()) for at, of in enumerate((-0.03, 0.004, 0.003))]
    found = claims.distillation(Evidence(taught=seeds))
    assert found.rows["what"].tolist() == [f"seed {at} of run" for at in range(3)]
    assert (said(found.rows)[0], found.verdict) == (SUPPORTS, OPEN)
    assert found.by_data["trainings"].tolist() == [3]


def test_one_accurate_model_with_other_words_shows_that_accuracy_is_no_proof():
    rounded = pair(0.78, model="int8", accuracy="equivalent", is_trained=False)
    worse, again = pair(0.3, model="worse"), twins("x", "y", 0.5, accuracy="equivalent", verdict="not-equivalent")
    assert claims.uncoupled(Evidence([rounded, worse])).verdict == CONTRADICTS
    found = claims.uncoupled(Evidence([rounded, worse], [again]))
    assert (found.verdict, found.by_data["estimate"].tolist()) == (SUPPORTS, [pytest.approx(0.5)])
    counts = ["compared", "as accurate", "of these not equivalent"]
    assert found.beside[counts].to_numpy().tolist() == [[3, 2, 1]]
    assert claims.uncoupled(Evidence([worse])).verdict == OPEN


def test_the_boundary_is_held_above_chance():
    """The Jaccard rises by 0.05, and chance by 0.09: above chance it falls by 0.04, on the same examples."""
    two = pair(0.55, method="released", chance=0.29), pair(0.5)
    found = claims.boundary(Evidence(released=[two]))
    assert found.by_data[["estimate", "low", "high"]].to_numpy()[0, 0] == pytest.approx(-0.04)
    assert found.verdict == CONTRADICTS
    assert found.beside.loc[0, ["chance, as released", "chance, boundary kept"]].tolist() == pytest.approx([0.29, 0.2])


@pytest.mark.parametrize(("jaccard", "verdict"), [(0.3, SUPPORTS), (0.6, OPEN), (0.75, CONTRADICTS)])
def test_most_is_compressions_where_its_step_exceeds_trainings(jaccard, verdict):
    """The ceiling is 0.8 and the large model reaches 0.7 with itself: training's step is 0.1."""
    found = Evidence([pair(jaccard, training=number("x"))], [twins("x", "y", 0.7)])
    claim = claims.mostly_compression(found)
    assert claim.by_data["estimate"].tolist() == [pytest.approx((0.8 - jaccard) - 0.1 - 0.1)]
    assert claim.verdict == verdict
    parts = claim.beside.loc[0, ["explainer", "training again", "training and model"]].tolist()
    assert parts == pytest.approx([0.2, 0.1, 0.8 - jaccard])


def test_compression_is_not_told_from_training_by_a_large_model_trained_once():
    assert claims.mostly_compression(Evidence([pair(0.3)])).by_data.empty


def test_gains_are_tested_between_students_and_between_teachers():
    from scipy.stats import ttest_1samp

    gains = {0: [0.05, 0.07], 1: [0.02], 2: [0.03]}  # two students of one teacher
    kept = [(pair(0.5 + of, training=at), pair(0.5, training=at)) for at, both in gains.items() for of in both]
    found = claims.keeping_trust(Evidence(kept=kept))
    tests = found.beside.set_index("between")
    for unit, values in {"students": [0.05, 0.07, 0.02, 0.03], "teachers": [0.06, 0.02, 0.03]}.items():
        test = ttest_1samp(values, 0)
        expected = [np.mean(values), *test.confidence_interval(), test.pvalue, len(values)]
        assert tests.loc[unit, ["gain", "low", "high", "p", "trainings"]].tolist() == pytest.approx(expected)
    assert found.rows["estimate"].tolist() == pytest.approx([0.05, 0.07, 0.02, 0.03])
    assert found.by_data["trainings"].tolist() == [3]


# The page.


def everything():
    accurate = {"accuracy": "equivalent", "error": 0.05}
    first = [pair(0.6, training=number(name), **accurate) for name in "xyz"]
    found = Evidence([*first, pair(0.75, data="mrpc")], [twins(*of, 0.7) for of in ("xy", "xz", "yz")])
    both = [(pair(0.55, training=at), pair(0.5, training=at)) for at in range(3)]
    return {name: claim(Evidence(found.pairs, found.twins, (), both, both)) for name, claim in CLAIMS.items()}


def test_one_row_a_claim_with_the_number_of_each_data_set():
    found = findings.summary_table(everything()).set_index("claim")
    assert found.columns.tolist() == ["of", "verdict", "mrpc", "snli", "the paper's"]
    low = found.loc["alignment is low"]
    assert low["verdict"] == DIFFERS
    assert low["snli"].startswith("0.600 (")
    assert low["mrpc"].endswith(")*")  # of one checkpoint
    assert found.loc["distillation keeps calibration better", ["verdict", "snli"]].tolist() == [OPEN, "–"]


def test_five_sentences_look_their_numbers_up():
    found = everything()
    texts = findings.sentences(found)
    papers, ours = ([claim.verdict for claim in found.values() if claim.is_papers == of] for of in (True, False))
    assert len(texts) == 5
    assert f"Of the paper's {len(papers)} claims**, the published runs support {papers.count(SUPPORTS)} on" in texts[0]
    assert f"Of {len(ours)} that are asked here, they support {ours.count(SUPPORTS)} on" in texts[0]
    assert "0.67 (" in texts[1]
    assert "+0.050 under lime" in texts[4]


def test_right_of_the_line_is_what_supports():
    row = dict.fromkeys(COLUMNS, "x") | {"n": 9, "trainings": 3}
    ends = {"estimate": 0.6, "low": 0.5, "high": 0.9, "verdict": OPEN}
    of = {above: Claim("", "", pd.DataFrame([row | ends]), pd.DataFrame(), 0.7, above) for above in (True, False)}
    for above, sign in ((True, 1), (False, -1)):
        (line,) = findings.placed(of[above]).to_dict("records")
        ends = sorted([sign * -1.0, sign * 1.0])
        assert [line[name] for name in ("place", "low", "high")] == pytest.approx([sign * -0.5, *ends])


def test_a_section_shows_a_picture_a_table_and_what_is_beside(shown, drawing):
    found = Findings([], everything())
    findings.section(found, "alignment is low")
    assert len(shown) == 3
    findings.section(found, "the small model is better calibrated")
    assert len(shown) == 5
    findings.at_a_glance(found)
    assert len(shown) == 7


def test_nothing_published_is_no_row_and_no_number(shown, drawing):
    found = findings.held(experiments=[])
    findings.at_a_glance(found)
    findings.summary(found)
    for statement, claim in found.claims.items():
        assert claim.rows.empty
        findings.section(found, statement)
    assert len(shown) == 4 + len(found.claims) == 14


def test_hours_are_summed_by_stage(run):
    for method, seconds in (("lime", 1800.0), ("lime", 3600.0), ("shap", 360.0)):
        table = run.attribution(TASK, SMALL, 0, "lime")
        name = f"{method}.{seconds:.0f}"
        run.write(table, "attribution", TASK, SMALL, 0, name, method=method, seconds=seconds)
    again = Results(run.folder, run.experiment.model_copy(update={"name": "again"}))
    found = status.job_table([run, again], unit=3600).rename(columns={"seconds": "hours"})
    assert (found["data"] == "small").all()  # what both share counts once
    found = found.set_index("stage")
    assert found.loc["training", ["jobs", "hours"]].tolist() == pytest.approx([4, 70 / 3600])
    assert found.loc["explaining, lime", ["jobs", "hours", "longest"]].tolist() == pytest.approx([2, 1.5, 1.0])


def test_the_papers_scale_is_seconds_times_examples_and_budget(run):
    from trusteq.study.experiment import Experiment

    row = {"row": "cpu BERT-base shape lime", "engine s/example": 2.0, "library s/example": 8.0}
    found = status.paper_scale([row], Experiment.load("paper"), device="cpu").set_index(["task", "method", "model"])
    assert found.loc[("snli", "lime", "BERT-base"), ["ours", "authors"]].tolist() == pytest.approx(
        [9824 * 2 / 3600, 9824 * 8 / 3600]
    )
    assert found.loc[("qqp", "lime", "BERT-base"), "ours"] == pytest.approx(15000 * 2 * 0.1 / 3600)
    assert found["ours"].notna().sum() == 2
