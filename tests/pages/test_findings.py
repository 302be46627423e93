"""What published tables say of the paper's claims: by hand, from tables written for it."""

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.pages import claims, findings, status
from trusteq.pages.claims import CONTRADICTS, OPEN, SUPPORTS, Claim
from trusteq.pages.findings import Findings
from trusteq.store import to_json, write_text
from trusteq.study import publish
from trusteq.study.results import Results
from trusteq.verdict.margins import load_margins

LARGE, SMALL, TINY = MODELS


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A made-up run whose tables of comparison hold no rows but those that a test writes."""
    monkeypatch.setattr("trusteq.study.sides.load_examples", lambda *_, **__: made_up.EXAMPLES)
    run = made_up.make_run(tmp_path)
    for name in ("alignment", "controls", "sources"):
        write(run, name, [pair(SMALL, {"source": ""}, 0, 1)], rows=0)
    write(run, "examples", [pair(SMALL, {"id": "test-0"}, 0, 1)], rows=0)
    return run


def write(run, name, found, stage="comparison", rows=None):
    run.write(pd.DataFrame([{"seed": 0, **row} for row in found])[:rows], stage, TASK, name)


def pair(model_b, estimate, low, high, **more):
    key = {"method": "lime", "model_a": LARGE, "model_b": model_b}
    missing = dict.fromkeys(("jaccard", "chance", "normalised", "disagreement", "share"), np.nan)
    return key | missing | {"low": low, "high": high, "examples": 5, "undefined": 1} | estimate | more


def verdict(model, measure, difference, outcome, **more):
    row = {"method": "lime", "model": model, "measure": measure, "difference": difference, "outcome": outcome}
    row["dimension"] = load_margins()[measure].dimension
    row |= {"large": np.nan, "low": difference - 0.01, "high": difference + 0.01}
    return row | {"n": 4, "verdict": "undecided"} | more


def said(found):
    return found["verdict"].tolist()


def spans(found):
    """Return numbers that are read beside a claim, by what and method: (lowest, highest)."""
    keys = [name for name in ("what", "method") if name in found]
    return found.set_index(keys)[["lowest", "highest"]].apply(tuple, axis=1).to_dict()


def trained_once(run):
    """Return the run as if its large model had one training seed."""
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    return Results(run.folder, type(run.experiment)(**{**values, "models": values["models"] | {LARGE: {}}}))


def test_alignment_is_low_where_the_whole_interval_is_below_the_cut(run):
    ends = [(0.5, 0.69), (0.6, 0.71), (0.71, 0.8)]
    rows = [pair(SMALL, {"jaccard": 0.6}, *of) for of in ends]
    write(run, "alignment", [*rows, {**rows[0], "model_a": SMALL, "model_b": TINY}])
    found = claims.low_alignment([run]).rows
    assert said(found) == [SUPPORTS, OPEN, CONTRADICTS]
    assert found["data"].unique().tolist() == ["small"]
    assert found["n"].tolist() == [5, 5, 5]


def test_a_rule_that_the_model_itself_fails_is_contradicted(run):
    rows = [pair("reseeded", {"jaccard": mean}, mean - 0.02, mean + 0.02) for mean in (0.6, 0.7, 1.0)]
    rows += [pair("retrained", {"jaccard": 0.3}, 0.2, 0.4), pair("random-head", {"jaccard": 0.3}, 0.2, 0.4)]
    write(run, "controls", rows)
    assert said(claims.rule_on_itself([run]).rows) == [CONTRADICTS, OPEN, SUPPORTS, CONTRADICTS]


def test_outcomes_against_margins_become_what_they_say_of_the_claim(run):
    outcomes = {SMALL: "equivalent", TINY: "not-equivalent", "retrained": "not-equivalent"}
    rows = [verdict(model, "normalised_alignment", -0.2, outcome) for model, outcome in outcomes.items()]
    rows += [verdict(model, "ece", 0.05, outcome) for model, outcome in outcomes.items()]
    rows += [verdict(model, "overconfidence", 0.0, "undecided") for model in outcomes]
    write(run, "verdicts", rows)
    words = claims.different_words([run]).rows
    assert said(words) == [CONTRADICTS, SUPPORTS]  # controls are no compressed models
    assert words["estimate"].tolist() == pytest.approx([0.8, 0.8])
    assert words["low"].tolist() == pytest.approx([0.79, 0.79])
    assert said(claims.calibration_changes([run]).rows) == [CONTRADICTS, SUPPORTS, OPEN, OPEN]
    assert said(claims.better_calibrated([run]).rows) == [
        CONTRADICTS,
        CONTRADICTS,
    ]  # a larger error, by whole intervals


def test_only_models_of_the_same_accuracy_can_show_that_trust_is_another_thing(run):
    rows = [verdict(SMALL, "accuracy", 0.0, "equivalent", verdict="not-equivalent")]
    rows += [verdict(TINY, "accuracy", -0.3, "not-equivalent", verdict="not-equivalent")]
    write(run, "verdicts", rows)
    found = claims.uncoupled([run]).rows
    assert said(found) == [SUPPORTS]
    assert found["estimate"].tolist() == [0.0]


def confident(share, n=400):
    """Predictions that are right in 3 of 4 cases and always as sure as `share`: the ECE is |share - 3/4|."""
    table = pd.DataFrame({"id": [f"test-{row}" for row in range(n)], "label": np.arange(n) % 4 == 0})
    table["label"] = table["label"].astype(int)
    table[list(LABELS)] = [share, (1 - share) / 2, (1 - share) / 2]
    return table


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (
            (0.80, 0.95, 0.85),
            SUPPORTS,
        ),  # all too sure, the cut model by most
        ((0.80, 0.85, 0.95), CONTRADICTS),
        ((0.95, 0.77, 0.90), SUPPORTS),  # below the large model's error, the distilled one is closer
        ((0.85, 0.80, 0.95), OPEN),  # on both sides of it
    ],
)
def test_distillation_is_closer_by_the_paired_interval(run, monkeypatch, shares, expected):
    monkeypatch.setattr("trusteq.study.sides.load_examples", lambda *_, **__: confident(0.8).assign(text_a="a b"))
    cut_run = with_cut_and_distilled(run)
    for model, share in zip(cut_run.experiment.models, shares, strict=True):
        cut_run.write(confident(share), "predictions", TASK, model, 0)
    gaps = {
        model: abs(share - 0.75) - abs(shares[0] - 0.75) for model, share in zip((CUT, TAUGHT), shares[1:], strict=True)
    }
    write(cut_run, "verdicts", [verdict(model, "ece", gap, "undecided") for model, gap in gaps.items()])
    found = claims.distillation([cut_run]).rows
    assert said(found) == [expected]
    assert found["estimate"].iloc[0] == pytest.approx(abs(gaps[TAUGHT]) - abs(gaps[CUT]), abs=0.01)
    told = claims.distillation([cut_run]).beside
    assert told["error less its"].tolist() == pytest.approx(list(gaps.values()))


CUT, TAUGHT = "demo-cut", "demo-cut-distilled"


def with_cut_and_distilled(run):
    """Return the run with two models of one layer of three in the place of the small ones, one of them taught."""
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    values["models"] = {LARGE: {"seeds": [0]}, CUT: {}, TAUGHT: {}}
    for model, layers in {LARGE: 3, CUT: 1, TAUGHT: 1}.items():
        write_text(to_json({"layers": layers}), run.model(TASK, model, 0) / "metrics.json")
    return Results(run.folder, type(run.experiment)(**values))


def test_a_distilled_model_is_paired_with_one_as_deep_that_has_no_teacher(run):
    pair_run = with_cut_and_distilled(run)
    assert claims.distilled_and_cut(pair_run, TASK) == [(TAUGHT, CUT)]
    write_text(to_json({"layers": 2}), run.model(TASK, CUT, 0) / "metrics.json")
    assert claims.distilled_and_cut(pair_run, TASK) == []
    values = pair_run.experiment.model_dump(mode="json", exclude_unset=True)
    values["models"][TAUGHT] = {"recipe": {"attribution_weight": 1.0}}
    kept = Results(run.folder, type(run.experiment)(**values))
    write_text(to_json({"layers": 1}), run.model(TASK, CUT, 0) / "metrics.json")
    assert claims.distilled_and_cut(kept, TASK) == []


def test_the_published_runs_have_the_pair_that_the_claim_is_about():
    runs = [run for run in publish.reference_runs() if run.experiment.k == findings.PAPER_K]
    found = {run.experiment.name: claims.distilled_and_cut(run, task) for run, task in claims.runs_and_tasks(runs)}
    assert set(map(tuple, found.values())) == {(("minilm-distilled", "minilm-3-layers"),)}


def test_what_the_boundary_changes_is_paired_by_example(run):
    released = {"like": "lime", "boundary": "as-released", "n_samples": 10}
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    values["methods"] = {"lime": {"n_samples": 10}, "released": released}
    both = Results(run.folder, type(run.experiment)(**values))
    rows = [
        {"method": method, "model_a": LARGE, "model_b": SMALL, "id": f"test-{row}", "jaccard": 0.1 * row + more}
        for method, more in (("lime", 0.0), ("released", 0.25))
        for row in range(4)
    ]
    write(both, "examples", rows)
    found = claims.boundary([both]).rows
    assert found[["estimate", "low", "high"]].to_numpy().tolist() == [pytest.approx([0.25, 0.25, 0.25])]
    assert (said(found), found["n"].tolist()) == ([SUPPORTS], [4])


@pytest.mark.parametrize(
    ("ends", "again", "once"),
    [
        ((0.31, 0.40), SUPPORTS, OPEN),
        ((0.29, 0.40), OPEN, OPEN),  # half of all may be as much as 0.3
        ((0.10, 0.21), OPEN, OPEN),  # or as little as 0.2
        ((-0.10, 0.19), CONTRADICTS, CONTRADICTS),
    ],
)
def test_most_of_the_disagreement_is_more_than_half_of_all_of_it(run, ends, again, once):
    rows = [pair(SMALL, {"disagreement": sum(ends) / 2}, *ends, source="model", share=0.5)]
    rows += [pair(SMALL, {"disagreement": 0.5}, 0.4, 0.6, source="total", share=1.0)]
    others = [row | {"model_b": "random-head", "low": 0.8, "high": 0.9} for row in rows]
    write(run, "sources", [*rows, *others, pair(TINY, {}, 0.1, 0.3, source="explainer seed", share=0.5)])
    found = claims.mostly_compression([run]).rows
    assert said(found) == [again]
    assert found[["estimate", "low", "high"]].to_numpy().tolist() == [pytest.approx([sum(ends) / 2, *ends])]
    assert said(claims.mostly_compression([trained_once(run)]).rows) == [once]


def test_of_a_model_made_without_training_all_but_the_explainers_part_is_compressions(run):
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    settings = values | {"models": {LARGE: {}, SMALL: {}, "demo-int8": {}}}
    once = Results(run.folder, type(run.experiment)(**settings))
    rows = [
        pair(model, {"disagreement": of}, of - 0.1, of + 0.1, source=source, share=of / 0.8) | {"method": method}
        for model in (SMALL, "demo-int8")
        for method in ("lime", "shap")
        for source, of in (("explainer seed", 0.2), ("model", 0.6), ("total", 0.8))
    ]
    write(run, "sources", rows)
    found = claims.mostly_compression([once]).rows
    # Under shap, which draws nothing, int8 has no row; what is trained may be what training made of it.
    small, int8 = (once.experiment.model(name).title for name in (SMALL, "demo-int8"))
    assert dict(zip(found["what"], found["verdict"], strict=True)) == {
        f"{small}, lime": OPEN,
        f"{small}, shap": OPEN,
        f"{int8}, lime": SUPPORTS,
    }
    told = spans(claims.mostly_compression([once]).beside)
    assert told["compression", "lime"] == pytest.approx((0.75, 0.75))
    assert told["compression with training", "shap"] == pytest.approx((0.75, 0.75))
    assert ("compression", "shap") not in told


@pytest.mark.parametrize(
    ("verdicts", "together", "told"),
    [
        ([SUPPORTS, OPEN], SUPPORTS, "supports: 1; contradicts: 0; cannot say: 1; of 2 rows"),
        ([CONTRADICTS, CONTRADICTS], CONTRADICTS, "supports: 0; contradicts: 2; cannot say: 0; of 2 rows"),
        ([OPEN], OPEN, "supports: 0; contradicts: 0; cannot say: 1; of 1 rows"),
        ([], OPEN, "Nothing is published that could say."),
    ],
)
def test_rows_together(verdicts, together, told):
    rows = [
        {"data": "x", "what": "y", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 1, "verdict": of} for of in verdicts
    ]
    found = pd.DataFrame(rows, columns=claims.COLUMNS)
    assert findings.verdict_on(found) == together
    (row,) = findings.summary_table({"a claim": Claim("0.4", found)}).to_dict("records")
    counted = {SUPPORTS: " (1 of 2)", CONTRADICTS: " (2 of 2)"}.get(together, "")
    assert row["verdict"] == together + counted
    assert (row["ours"], row["data"]) == (("0.50", "x") if verdicts else ("none", "none"))
    assert findings.count_line(found) == told


def test_a_claim_is_mixed_where_rows_do_both_and_many_runs_are_counted():
    rows = [{"data": "snli", "what": what, "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 1} for what in "abc"]
    found = pd.DataFrame(rows).assign(verdict=[SUPPORTS, SUPPORTS, CONTRADICTS])
    assert findings.summary_table({"a claim": Claim("0.4", found)})["verdict"].tolist() == ["mixed"]
    runs = [Claim("0.4", rows.assign(data=list("xyz")[: len(rows)])) for rows in (found[:2], found)]
    assert findings.summary_table(dict(zip("ab", runs, strict=True)))["data"].tolist() == ["x, y", "3 runs"]


def test_a_section_shows_rows_numbers_beside_them_and_the_figure_it_has(shown, drawing):
    row = {"data": "x", "what": "y", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 1, "verdict": OPEN}
    rows, beside = pd.DataFrame([row]), pd.DataFrame({"what": ["chance"], "lowest": [0.1], "highest": [0.2]})
    known = Findings(
        [], {"plain": Claim("0.4", rows), "whole": Claim("0.4", rows, beside, {"the cut": (0.7,)}, "Jaccard")}
    )
    findings.section(known, "plain")
    assert len(shown) == 1
    findings.section(known, "whole")
    assert len(shown) == 4


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


def test_reasons_are_read_off_the_tables(run):
    rows = [pair(SMALL, {"jaccard": 0.5, "normalised": 0.25}, 0.4, 0.6, chance=0.4)]
    rows += [pair(TINY, {"jaccard": 0.6, "normalised": 0.75}, 0.5, 0.7, chance=0.4)]
    write(run, "alignment", rows)
    own = [pair("reseeded", {"jaccard": 0.66}, 0.6, 0.7)]
    own += [pair("retrained", {"jaccard": 0.5, "normalised": 0.4}, 0.4, 0.6)]
    write(run, "controls", own)
    parts = {"explainer seed": (0.25, 0.5), "model": (0.75, 0.5), "total": (1, 1)}
    lows = {SMALL: 0.1, TINY: -0.1}
    sources = [
        pair(model, {"disagreement": 0.5}, lows[model], 1, source=source, share=parts[source][at])
        for at, model in enumerate(lows)
        for source in parts
    ]
    write(run, "sources", sources)
    large = dict.fromkeys(("accuracy", "ece", "overconfidence"), 0.03)
    verdicts = [verdict(SMALL, "accuracy", 0.0, "equivalent", verdict="not-equivalent")]
    verdicts += [verdict(TINY, "accuracy", -0.3, "not-equivalent", verdict="not-equivalent")]
    for model, change in ((SMALL, -0.17), (TINY, 0.04)):
        verdicts += [verdict(model, measure, change, "undecided") for measure in ("ece", "overconfidence")]
    again = {"accuracy": (0.001, "equivalent"), "overconfidence": (0.03, "undecided")}
    verdicts += [verdict("retrained", measure, *of) for measure, of in again.items()]
    write(run, "verdicts", [row | {"large": large[row["measure"]]} for row in verdicts])
    assert spans(claims.low_alignment([run]).beside) == {
        ("chance", "lime"): (0.4, 0.4),
        ("the large model with itself, reseeded", "lime"): (0.66, 0.66),
        ("the large model with itself, retrained", "lime"): (0.5, 0.5),
    }
    assert spans(claims.rule_on_itself([run]).beside) == {
        ("share of disagreement: explainer seed", "lime"): (0.25, 0.5)
    }
    assert spans(claims.different_words([run]).beside) == {
        ("the smaller models", "lime"): (0.25, 0.75),
        ("the large model with itself, retrained", "lime"): (0.4, 0.4),
    }
    measure = "mean confidence minus accuracy"
    assert spans(claims.calibration_changes([run]).beside) == {
        f"the smaller models: {measure}": (-0.17, 0.04),
        f"the large model itself, retrained: {measure}": (0.03, 0.03),
    }
    assert spans(claims.better_calibrated([run]).beside) == {"error of the large model": (0.03, 0.03)}
    counts = claims.uncoupled([run]).beside.set_index("who").T.to_dict("list")
    assert counts == {"the smaller models": [2, 1, 1], "the large model itself, retrained": [1, 1, 0]}
    parts = {("explainer seed", "lime"): (0.25, 0.5), ("compression", "lime"): (0.5, 0.75)}
    assert spans(claims.mostly_compression([run]).beside) == parts
    parts["compression with training", "lime"] = parts.pop(("compression", "lime"))
    assert spans(claims.mostly_compression([trained_once(run)]).beside) == parts


def test_nothing_published_is_no_row_and_no_number(shown):
    found = Findings([], findings.claims_of([]))
    for statement, claim in found.claims.items():
        assert claim.rows.empty and claim.beside.empty
        findings.section(found, statement)
    assert len(shown) == len(found.claims) == 10


def test_what_the_boundary_does_to_chance(run):
    released = {"like": "lime", "boundary": "as-released", "n_samples": 10, "models": [LARGE, SMALL]}
    methods = {"lime": {"n_samples": 10}, "released": released}
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    both = Results(run.folder, type(run.experiment)(**{**values, "methods": methods}))
    anchored = {"lime": [(SMALL, 0.6), (TINY, 0.7)], "released": [(SMALL, 0.4)]}
    chance = {"lime": 0.25, "released": 0.5}
    rows = [
        pair(model, {}, 0, 1, chance=chance[method], normalised=place) | {"method": method}
        for method, places in anchored.items()
        for model, place in places
    ]
    write(both, "alignment", [*rows, rows[0] | {"model_a": SMALL, "model_b": TINY, "normalised": 0.9}])
    assert spans(claims.boundary([both]).beside) == {
        ("chance, as released", "lime"): (0.5, 0.5),
        ("0 to 1, as released", "lime"): (0.4, 0.4),
        ("chance, boundary kept", "lime"): (0.25, 0.25),
        ("0 to 1, boundary kept", "lime"): (0.6, 0.6),
    }


def test_what_keeping_trust_costs_beside_the_plain_student(run):
    kept = {"like": SMALL, "title": "keeping", "recipe": {"attribution_weight": 1.0}}
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    values["models"] = {LARGE: {}, SMALL: {}, "kept": kept}
    lab = Results(run.folder, type(run.experiment)(**values))
    accuracy = {LARGE: [0.9], SMALL: [0.7, 0.72], "kept": [0.69, 0.7]}
    rows = [
        {"method": method, "model": model, "seed": seed, "accuracy": share}
        for method in ("lime", "shap")
        for model, shares in accuracy.items()
        for seed, share in enumerate(shares)
    ]
    write(lab, "students", rows, "compression")
    write(lab, "gains", [pair("kept", {"model": "kept", "gain": 0.1}, 0.05, 0.15)], "compression")
    (ends,) = spans(claims.keeping_trust([lab]).beside).values()
    assert ends == pytest.approx((-0.015, -0.015))
