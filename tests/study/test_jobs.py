"""What is explained of a model: each method, again where it draws, and the large model's twin."""

import numpy as np
import pandas as pd
import pytest

from trusteq.attribution.explain import explain
from trusteq.attribution.methods import METHODS
from trusteq.models.classifier import load_classifier
from trusteq.registry import validated
from trusteq.statistics import stream_seed
from trusteq.study.experiment import Experiment
from trusteq.study.graph import all_jobs
from trusteq.study.jobs import Job, jobs

TASK = "demo-nli"


def experiment(**changes):
    values = {"name": "small", "title": "Small", "tasks": [TASK], "seeds": [0, 2]}
    values["models"] = {"demo-large": {"seeds": [0, 1, 2]}, "demo-tiny": {}}
    values["methods"] = {"shap": {"n_samples": 20}, "lime": {"n_samples": 10}}
    return validated(Experiment, values | changes, where="here")


def named(model, seed, **options):
    return [job.table for job in jobs(experiment(), task=TASK, model=model, seed=seed, **options)]


def test_the_tables_of_a_model():
    assert named("demo-tiny", 0) == ["shap", "lime", "lime.again"]
    assert named("demo-large", 2) == ["shap", "shap.random-head", "lime", "lime.again", "lime.random-head"]
    assert named("demo-large", 1) == ["shap", "lime", "lime.again"]  # not a seed of the run: no twin
    assert named("demo-large", 0, methods=["lime"]) == ["lime", "lime.again", "lime.random-head"]
    assert named("demo-large", 0, methods=[]) == []


def test_a_job_says_how_to_explain():
    first, *_ = jobs(experiment(), task=TASK, model="demo-tiny", seed=0)
    seed = stream_seed(0, "explainer", "demo-tiny")
    how = {"explainer": "shap", "boundary": "safe"}
    assert first == Job(TASK, "demo-tiny", 0, method="shap", kind="", n_samples=20, explainer_seed=seed, **how)
    assert first.options == {"method": "shap", "n_samples": 20, "seed": seed, "boundary": "safe"}


def test_a_method_may_go_by_another_name_and_explain_some_models_alone():
    released = {"like": "lime", "boundary": "as-released", "n_samples": 10, "models": ["demo-large"]}
    made = experiment(methods={"shap": {"n_samples": 20}, "released": released})
    assert [job.table for job in jobs(made, task=TASK, model="demo-tiny", seed=0)] == ["shap"]
    *_, last = jobs(made, task=TASK, model="demo-large", seed=1)  # it draws as the method does that it is
    assert last.table == "released.again"
    how = {"method": "lime", "n_samples": 10, "boundary": "as-released"}
    assert last.options == how | {"seed": stream_seed(1, "again")}


def test_what_is_enough_is_said_where_it_is_set_and_stands_in_the_key():
    loose, tight, none = (
        experiment(methods={"lime": {"n_samples": 10} | how}) for how in ({"stable": 0.8}, {"stable": 0.9}, {})
    )
    first, plain = (next(iter(jobs(of, task=TASK, model="demo-tiny", seed=0))) for of in (loose, none))
    assert first.options == plain.options | {"stable": 0.8}
    assert "stable" not in plain.settings and first.settings == plain.settings | {"stable": 0.8}
    keys = [next(job for job in all_jobs(of) if job.stage == "explain").key for of in (loose, tight, none)]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("common", [True, False])
def test_only_the_second_runs_share_masks_unless_all_are_common(common):
    made = experiment(common_masks=common)
    found = [job for model in made.models for job in jobs(made, task=TASK, model=model, seed=0, methods=["lime"])]
    seeds = {(job.model, job.kind): job.explainer_seed for job in found}
    assert len(seeds) == 5
    if common:
        assert {seed for (_, kind), seed in seeds.items() if kind != "again"} == {0}
    else:
        assert len({seed for (_, kind), seed in seeds.items() if kind != "again"}) == 3
    assert {seed for (_, kind), seed in seeds.items() if kind == "again"} == {stream_seed(0, "again")}
    assert stream_seed(0, "again") not in {seed for (_, kind), seed in seeds.items() if kind != "again"}


@pytest.mark.parametrize("method", METHODS)
def test_exactly_the_methods_that_draw_depend_on_the_seed(tiny_bert, method):
    classifier = load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")
    texts = {"text_a": ["the man reads in a house"], "text_b": ["a very good dog sleeps, not the woman"]}
    examples = pd.DataFrame({"id": ["x"], **texts})
    one, other = (explain(classifier, examples, method=method, n_samples=60, seed=seed)["weight"] for seed in (0, 1))
    assert np.allclose(one, other, rtol=0, atol=1e-12) != METHODS[method].draws


def test_sampling_methods_are_methods():
    assert any(method.draws for method in METHODS.values())
