"""What published tables say of the paper's claims: by hand, from tables written for it."""

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.pages import claims, cost, findings
from trusteq.pages.claims import CONTRADICTS, OPEN, SUPPORTS
from trusteq.pages.findings import Claim
from trusteq.sentences import reasons
from trusteq.sentences.findings import cost_sentence, count_sentence, scale_sentence, why_list
from trusteq.study.results import Results

LARGE, SMALL, TINY = MODELS


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr("trusteq.study.sides.load_examples", lambda *_, **__: made_up.EXAMPLES)
    return made_up.make_run(tmp_path)


def write(run, name, rows, stage="comparison"):
    run.write(pd.DataFrame([{"seed": 0, **row} for row in rows]), stage, TASK, name)


def pair(model_b, estimate, low, high, **more):
    key = {"method": "lime", "model_a": LARGE, "model_b": model_b}
    return key | {"low": low, "high": high, "examples": 5, "undefined": 1} | estimate | more


def verdict(model, measure, difference, outcome, **more):
    row = {"method": "lime", "model": model, "measure": measure, "difference": difference, "outcome": outcome}
    return row | {"low": difference - 0.01, "high": difference + 0.01, "n": 4, "verdict": "undecided"} | more


def said(found):
    return found["verdict"].tolist()


def trained_once(run):
    """Return the run as if its large model had one training seed."""
    values = run.experiment.model_dump(mode="json", exclude_unset=True)
    return Results(run.folder, type(run.experiment)(**{**values, "models": values["models"] | {LARGE: {}}}))


def test_alignment_is_low_where_the_whole_interval_is_below_the_cut(run):
    ends = [(0.5, 0.69), (0.6, 0.71), (0.71, 0.8)]
    rows = [pair(SMALL, {"jaccard": 0.6}, *of) for of in ends]
    write(run, "alignment", [*rows, {**rows[0], "model_a": SMALL, "model_b": TINY}])
    found = claims.low_alignment([run])
    assert said(found) == [SUPPORTS, OPEN, CONTRADICTS]
    assert found["data"].unique().tolist() == ["small"]
    assert found["n"].tolist() == [5, 5, 5]


def test_a_rule_that_the_model_itself_fails_is_contradicted(run):
    rows = [pair("reseeded", {"jaccard": mean}, mean - 0.02, mean + 0.02) for mean in (0.6, 0.7, 1.0)]
    rows += [pair("retrained", {"jaccard": 0.3}, 0.2, 0.4), pair("random-head", {"jaccard": 0.3}, 0.2, 0.4)]
    write(run, "controls", rows)
    assert said(claims.rule_on_itself([run])) == [CONTRADICTS, OPEN, SUPPORTS, CONTRADICTS]


def test_outcomes_against_margins_become_what_they_say_of_the_claim(run):
    outcomes = {SMALL: "equivalent", TINY: "not-equivalent", "retrained": "not-equivalent"}
    rows = [verdict(model, "normalised_alignment", -0.2, outcome) for model, outcome in outcomes.items()]
    rows += [verdict(model, "ece", 0.05, outcome) for model, outcome in outcomes.items()]
    rows += [verdict(model, "overconfidence", 0.0, "undecided") for model in outcomes]
    write(run, "verdicts", rows)
    words = claims.different_words([run])
    assert said(words) == [CONTRADICTS, SUPPORTS]  # controls are no compressed models
    assert words["estimate"].tolist() == pytest.approx([0.8, 0.8])
    assert words["low"].tolist() == pytest.approx([0.79, 0.79])
    assert said(claims.calibration_changes([run])) == [CONTRADICTS, SUPPORTS, OPEN, OPEN]
    assert said(claims.better_calibrated([run])) == [CONTRADICTS, CONTRADICTS]  # a larger error, by whole intervals


def test_only_models_of_the_same_accuracy_can_show_that_trust_is_another_thing(run):
    rows = [verdict(SMALL, "accuracy", 0.0, "equivalent", verdict="not-equivalent")]
    rows += [verdict(TINY, "accuracy", -0.3, "not-equivalent", verdict="not-equivalent")]
    write(run, "verdicts", rows)
    found = claims.uncoupled([run])
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
    for model, share in zip(MODELS, shares, strict=True):
        run.write(confident(share), "predictions", TASK, model, 0)
    found = claims.distillation([run], cut=SMALL, distilled=TINY)
    assert said(found) == [expected]
    gap = [abs(share - 0.75) - abs(shares[0] - 0.75) for share in shares[1:]]
    assert found["estimate"].iloc[0] == pytest.approx(abs(gap[1]) - abs(gap[0]), abs=0.01)


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
    found = claims.boundary([both])
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
    found = claims.mostly_compression([run])
    assert said(found) == [again]
    assert found[["estimate", "low", "high"]].to_numpy().tolist() == [pytest.approx([sum(ends) / 2, *ends])]
    assert said(claims.mostly_compression([trained_once(run)])) == [once]


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
    found = claims.mostly_compression([once])
    # Under shap, which draws nothing, int8 has no row; what is trained may be what training made of it.
    small, int8 = (once.experiment.model(name).title for name in (SMALL, "demo-int8"))
    assert dict(zip(found["what"], found["verdict"], strict=True)) == {
        f"{small}, lime": OPEN,
        f"{small}, shap": OPEN,
        f"{int8}, lime": SUPPORTS,
    }
    told = reasons.mostly_compression([once])
    assert "; compression makes 75% with lime; compression with training makes 75% with lime and 75% with shap." in told
    assert "compression's in 1 of 1 rows that leave training out." in told


@pytest.mark.parametrize(
    ("verdicts", "together", "told"),
    [
        ([SUPPORTS, OPEN], SUPPORTS, "Of 2 rows, 1 supports it and 1 cannot say."),
        ([CONTRADICTS, CONTRADICTS], CONTRADICTS, "Of 2 rows, 2 contradict it."),
        ([OPEN], OPEN, "The one row cannot say."),
        ([], OPEN, "Nothing is published that could say."),
    ],
)
def test_rows_together(verdicts, together, told):
    rows = [
        {"data": "x", "what": "y", "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 1, "verdict": of} for of in verdicts
    ]
    found = pd.DataFrame(rows, columns=claims.COLUMNS)
    assert findings.verdict_on(found) == together
    (row,) = findings.summary({"a claim": Claim("0.4", found)}).to_dict("records")
    counted = {SUPPORTS: " (1 of 2)", CONTRADICTS: " (2 of 2)"}.get(together, "")
    assert row["verdict"] == together + counted
    assert (row["ours"], row["data"]) == (("0.50", "x") if verdicts else ("none", "none"))
    assert count_sentence(found) == told


def test_rows_that_stand_against_the_others_are_named():
    rows = [{"data": "snli", "what": what, "estimate": 0.5, "low": 0.4, "high": 0.6, "n": 1} for what in "abc"]
    found = pd.DataFrame(rows).assign(verdict=[SUPPORTS, SUPPORTS, CONTRADICTS])
    text = "Of 3 rows, 2 support it and 1 contradicts it. Against the others, contradicts it: c (snli, 0.50)."
    assert count_sentence(found) == text
    claim = {"a claim": Claim("0.4", found, "So it is.")}
    assert findings.summary(claim)["verdict"].tolist() == ["mixed"]
    runs = [Claim("0.4", rows.assign(data=list("xyz")[: len(rows)])) for rows in (found[:2], found)]
    assert findings.summary(dict(zip("ab", runs, strict=True)))["data"].tolist() == ["x, y", "3 runs"]
    assert why_list(claim) == "- **a claim**: mixed. So it is."


def test_hours_are_summed_by_stage(run):
    for method, seconds in (("lime", 1800.0), ("lime", 3600.0), ("shap", 360.0)):
        table = run.attribution(TASK, SMALL, 0, "lime")
        name = f"{method}.{seconds:.0f}"
        run.write(table, "attribution", TASK, SMALL, 0, name, method=method, seconds=seconds)
    again = Results(run.folder, run.experiment.model_copy(update={"name": "again"}))
    found = cost.run_costs([run, again])
    assert (found["data"] == "small").all()  # what both share counts once
    found = found.set_index("stage")
    assert found.loc["training", ["jobs", "hours"]].tolist() == pytest.approx([4, 70 / 3600])
    assert found.loc["explaining, lime", ["jobs", "hours", "longest"]].tolist() == pytest.approx([2, 1.5, 1.0])
    assert cost_sentence(found.reset_index()).startswith("Together 1.6 hours")


def test_the_papers_scale_is_seconds_times_examples_and_budget(run):
    from trusteq.study.experiment import Experiment

    row = {"row": "cpu BERT-base shape lime", "engine s/example": 2.0, "library s/example": 8.0}
    found = cost.paper_scale([row], Experiment.load("paper"), device="cpu").set_index(["task", "method", "model"])
    assert found.loc[("snli", "lime", "BERT-base"), ["ours", "authors"]].tolist() == pytest.approx(
        [9824 * 2 / 3600, 9824 * 8 / 3600]
    )
    assert found.loc[("qqp", "lime", "BERT-base"), "ours"] == pytest.approx(15000 * 2 * 0.1 / 3600)
    assert found["ours"].notna().sum() == 2
    text = scale_sentence(found.reset_index(), "cores")
    assert "not measured" in text and "BERT-base" not in text.split("not measured")[1].split(",")[0]


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
    small, tiny = (run.experiment.model(name).title for name in (SMALL, TINY))
    assert [getattr(reasons, name)([run]) for name in TOLD] == [
        "Chance alone gives 0.40; with itself the large model shares 0.66 under another explainer seed and 0.50 "
        "trained again.",
        "Of the disagreement with the smaller models the explainer's seed alone makes 25% to 50% with lime.",
        f"From chance, 0, to ceiling, 1, they come 0.25 ({small}, lime) to 0.75 ({tiny}, lime). The large model "
        "itself, trained again, comes 0.40 with lime.",
        f"Some are less sure than the large model ({small} by 0.17), some surer ({tiny} by 0.04). The large model "
        "itself, trained again, moves by +0.03.",
        "The large model's own error is 0.030: a smaller model's can be lower by no more than that.",
        "Shown to be as accurate: 1 of 2 smaller models; not equivalent, of these: 1. And 1 of 1 large models "
        "trained again; not equivalent, of these: 0.",
        "Of the disagreement, the explainer's seed makes 25% to 50% with lime; compression makes 50% to 75% with lime. "
        "More than nothing is compression's in 1 of 2 rows that leave training out.",
    ]
    told = "the explainer's seed makes 25% to 50% with lime; compression with training makes 50% to 75% with lime"
    assert reasons.mostly_compression([trained_once(run)]) == f"Of the disagreement, {told}."
    changes = reasons.distillation([run], cut=SMALL, distilled=TINY)
    assert changes == f"Their errors less the large model's: small: {small} -0.170 and {tiny} +0.040."


TOLD = ("low_alignment", "rule_on_itself", "different_words", "calibration_changes", "better_calibrated")
TOLD += ("uncoupled", "mostly_compression")


@pytest.mark.parametrize("name", [*TOLD, "distillation", "boundary", "keeping_trust"])
def test_nothing_published_gives_no_reason(name):
    assert getattr(reasons, name)([]) == ""


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
    assert reasons.boundary([both]) == (
        "The level of chance is 0.50 as released and 0.25 with the boundary kept; from there, 0, to the ceiling, 1, "
        "the smaller models come 0.40 and 0.60."
    )


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
    assert reasons.keeping_trust([lab]) == "Accuracy changes by -0.015, in the mean over training seeds."
