"""Sentences that carry numbers say what the tables hold, whatever that is."""

import made_up
import pandas as pd
import pytest
from made_up import MODELS, TASK

from trusteq.sentences.alignment import (
    alignment_sentence,
    ceiling_sentence,
    companion_sentence,
    control_sentence,
    curve_sentence,
    paper_range_sentence,
    segment_sentence,
    source_sentence,
    yardstick_sentence,
)
from trusteq.sentences.run import run_sentence
from trusteq.sentences.verdict import (
    chance_sentence,
    faithfulness_sentence,
    half_sentence,
    method_sentence,
    truth_sentence,
    verdict_sentence,
)
from trusteq.study.evidence import faithfulness_table

LARGE, DISTILLED, TINY = MODELS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = made_up.make_run(tmp_path_factory.mktemp("results"))
    run.write(pd.DataFrame({"id": ["test-0", "test-1", "test-0"]}), "comparison", TASK, "examples")
    return run


def pairs(values, *, method="lime", **columns):
    """Return one row a pair with the large model: values is model_b -> (jaccard, low, high)."""
    rows = [(LARGE, name, *numbers) for name, numbers in values.items()]
    table = pd.DataFrame(rows, columns=["model_a", "model_b", "jaccard", "low", "high"])
    return table.assign(method=method, seed=0, **{"chance": 0.4, "normalised": 0.5} | columns)


def test_what_was_run(run):
    sentence = run_sentence(run)
    assert "3 models" in sentence
    assert "Test examples: 4 on demo-nli; of these, 2 explained on demo-nli." in sentence


def test_alignment(run):
    table = pairs({DISTILLED: (0.7, 0.5, 0.8), TINY: (0.41, 0.3, 0.5)}, normalised=[0.9, 0.02])
    sentence = alignment_sentence(table, run)
    assert "The means run from 0.41 to 0.70, over chance levels of 0.40 to 0.40." in sentence
    assert "1 of 2 comparisons are aligned" in sentence
    assert "In 1 of 2 the interval does not exclude the chance level" in sentence
    assert sentence.endswith("they lie between 0.02 and 0.90.")
    assert "no scale" in alignment_sentence(table.assign(normalised=float("nan")), run)
    assert "pairs with BERT-base lie between 0.372 and 0.669" in paper_range_sentence()


def test_controls(run):
    values = {"reseeded": (0.8, 0.7, 0.9), "random-head": (0.5, 0.4, 0.6), "random-features": (0.4, 0.3, 0.5)}
    bounds = {"normalised_low": [1, 0.2, -0.1], "normalised_high": [1, 0.4, 0.1]}
    table = pairs(values, normalised=[1, 0.3, 0.0], **bounds)
    sentence = control_sentence(table, run)
    assert "its random head at 0.30 (lime); random words at 0.00 (lime)" in sentence
    assert "retrained" not in sentence
    assert "holds 0 in 1 of 1 cases" in sentence
    assert "no explainer agrees" in control_sentence(table.assign(normalised=float("nan")), run)


def test_the_retrained_model_as_yardstick(run):
    found = pairs({DISTILLED: (0.7, 0.6, 0.8), TINY: (0.41, 0.3, 0.5)})
    controls = pairs({"retrained": (0.65, 0.55, 0.75)})
    sentence = yardstick_sentence(found, controls, run)
    assert "Under lime Demo-distilled agrees with Demo-large at least as well as its retrained self" in sentence
    assert "(0.65); 1 of 2 smaller models agree clearly less" in sentence
    both = yardstick_sentence(found, controls.assign(jaccard=0.1), run)
    assert "Demo-distilled and Demo-tiny agree with Demo-large" in both
    assert "no smaller model agrees" in yardstick_sentence(found, controls.assign(jaccard=0.9), run)
    assert "has one training seed" in yardstick_sentence(found, controls[:0], run)


def test_curves_and_segments(run):
    curves = pd.DataFrame({"method": "lime", "model_b": [TINY] * 3, "k": [1, 2, 3]})
    curves = curves.assign(jaccard=[0.5, 0.6, 0.7], chance=[0.3, 0.3, 0.7])
    sentence = curve_sentence(curves, run)
    assert "under lime +0.20 at k = 1, +0.30 at k = 2, +0.00 at k = 3, most at k = 2 (+0.30)." in sentence
    segments = pd.DataFrame({"method": "lime", "model_b": [TINY, TINY, "itself"], "segment": [0, 1, 0]})
    segments = segments.assign(jaccard=[0.5, 0.4, 1.0], chance=[0.4, 0.5, 0.4])
    assert "under lime +0.10 in text 1 and -0.10 in text 2." in segment_sentence(segments, run)


@pytest.mark.parametrize(
    ("tiny", "expected"), [(0.1, "all of them put Demo-distilled closest"), (0.9, "Demo-tiny by cosine")]
)
def test_companions(run, tiny, expected):
    found = pd.DataFrame({"method": "lime", "model_b": [DISTILLED, TINY], "companion": "cosine", "value": [0.5, tiny]})
    table = pairs({DISTILLED: (0.7, 0.6, 0.8), TINY: (0.41, 0.3, 0.5)})
    assert expected in companion_sentence(found, table, run)


def test_sources(run):
    rows = [("explainer seed", 0.3), ("model", 0.1), ("total", 0.4)]
    table = pd.DataFrame(
        [("lime", TINY, *row) for row in rows], columns=["method", "model_b", "source", "disagreement"]
    )
    sentence = source_sentence(table, run)
    assert "under lime a disagreement of 0.40, 75% from the explainer seed and 25% from the model." in sentence
    trained = table.assign(model_b=DISTILLED, disagreement=[0.1, 0.1, 0.6])
    trained.loc[3] = ["lime", DISTILLED, "training seed", 0.4]
    both = source_sentence(pd.concat([trained, table]), run)  # the sources still add up
    assert "of 0.50, 40% from the explainer seed, 20% from the model and 40% from the training seed." in both
    assert "there is no disagreement" in source_sentence(table.assign(disagreement=0.0), run)


def test_truth(run):
    table = pd.DataFrame({"method": "lime", "model": [*MODELS, "random-head"], "value": [0.6, 0.4, 0.7, 0.1]})
    table = table.assign(low=[0.5, 0.3, 0.6, 0], chance=0.3, examples=30)
    table = table.assign(difference_low=[0, -0.3, 0.01, -0.6], difference_high=[0, -0.1, 0.2, -0.4])
    assert truth_sentence(table, run) == (
        "Measured on 30 examples. Under lime it is 0.60 for Demo-large (chance 0.30), clearly above it; "
        "less for Demo-distilled; more for Demo-tiny."
    )
    unsure = truth_sentence(table.assign(low=0.1, difference_low=-1, difference_high=1), run)
    assert "not clearly above it; for no smaller model clearly less." in unsure


def test_faithfulness(run):
    table = faithfulness_table(run, TASK, None)
    sentence = faithfulness_sentence(table, run)
    assert "in 5 of 6 cases; not by shap of Demo-tiny." in sentence
    without = table[table["model"] != TINY]
    assert faithfulness_sentence(without, run).endswith("in 4 of 4 cases.")


def test_verdicts(run):
    names = [DISTILLED, TINY, "reseeded", "retrained", "random-head"]
    verdicts = ["undecided", "not-equivalent", "equivalent", "undecided", "not-equivalent"]
    table = pd.DataFrame({"task": TASK, "model": names, "verdict": verdicts, "drop_in": [True, False] + [True] * 3})
    sentence = verdict_sentence(table, run)
    assert "Of 2 replacements, by the margins: 0 equivalent, 1 not-equivalent and 1 undecided." in sentence
    assert 'The control "itself, reseeded" is found equivalent in 1 of 1 tasks.' in sentence
    assert "The large model retrained is found undecided." in sentence
    assert "The paper's rule would let 1 of 2 pass." in sentence


def test_methods_that_differ_are_named(run):
    table = pd.DataFrame({"task": TASK, "model": [TINY, TINY], "measure": "normalised_alignment"})
    same, differ = table.assign(outcome="equivalent"), table.assign(outcome=["equivalent", "undecided"])
    assert method_sentence(differ, run) == "The method decides about the alignment of Demo-tiny on demo-nli."
    assert "All methods agree" in method_sentence(same, run)


def test_chance_beside_the_papers_range():
    means = pd.DataFrame({"counted": ["positions", "distinct words"], "chance": [0.372, 0.669]})
    assert "0.372 over positions and 0.669 over distinct words: that is 0% and 100%" in chance_sentence(means)


def test_ceilings(run):
    rows = [("lime", LARGE, "explainer seed", 0.6), ("lime", TINY, "explainer seed", 0.8)]
    rows += [("lime", LARGE, "training seed", 0.5)]
    table = pd.DataFrame(rows, columns=["method", "model", "other", "jaccard"])
    assert ceiling_sentence(table, run) == (
        "Under lime the models agree with themselves at 0.60 to 0.80, 1 of 2 at 0.7 or more. "
        "Retrained, Demo-large agrees with itself at 0.50 (lime)."
    )


@pytest.mark.parametrize(
    ("half", "cut", "expected"),
    [
        (0.25, 0.5, "0.5 would be 25% of the way from chance to the ceiling; the cut at 0.7 asks for 50% of that way"),
        (1.2, 2.0, "as high as a model could reach with itself: not low; the cut at 0.7 asks for more than"),
        (-0.1, 0.4, "no more than chance: low"),
        (float("nan"), float("nan"), "no number could be judged"),
    ],
)
def test_is_half_low(half, cut, expected):
    row = {"task": TASK, "method": "lime", "chance": 0.2, "ceiling": 0.6, "0.5 is": half, "0.7 is": cut}
    assert expected in half_sentence(pd.DataFrame([row]))
