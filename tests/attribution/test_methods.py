"""The records of the methods: what is asked of them is in them, and a new one is a function and a record."""

import numpy as np
import pandas as pd
import pytest

from trusteq.attribution.explain import TYPES, explain
from trusteq.attribution.methods import METHODS, Method
from trusteq.errors import ExperimentError
from trusteq.models.classifier import load_classifier
from trusteq.registry import validated
from trusteq.study.experiment import Experiment

EXAMPLES = pd.DataFrame([("x", "two men play", "nobody")], columns=["id", "text_a", "text_b"])


def half(text_a, text_b=None):
    return np.full((len(text_a), 2), 0.5)


def mine(example, n_samples, rng):
    """Weights and errors out of nowhere, after one look."""
    probabilities = yield np.ones((1, example.n_features), dtype=bool)
    weights = rng.normal(size=(example.n_features, probabilities.shape[1]))
    return weights, np.abs(weights)


@pytest.fixture(scope="module")
def bert(tiny_bert):
    return load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setitem(METHODS, "mine", Method(mine, draws=True, has_errors=True))


def test_a_method_is_one_function_and_one_record(added):
    one, again, other = (explain(half, EXAMPLES, method="mine", labels=("no", "yes"), seed=seed) for seed in (0, 0, 1))
    assert list(one) == [*TYPES, "standard_error"] and one.equals(again) and not one.equals(other)
    np.testing.assert_array_equal(one["standard_error"], one["weight"].abs())
    with pytest.raises(ExperimentError, match="repeats the authors' lime and shap, not 'mine'"):
        explain(half, EXAMPLES, method="mine", labels=("no", "yes"), boundary="as-released")


def test_a_method_that_draws_gets_its_second_run_in_an_experiment(added):
    values = {"name": "x", "title": "X", "tasks": ["demo-nli"], "models": ["demo-large"]}
    values["methods"] = {"mine": {}, "again": {"like": "mine"}, "shap": {}}
    experiment = validated(Experiment, values, where="here.yaml")
    assert [experiment.draws("demo-nli", name) for name in ("mine", "again", "shap")] == [True, True, False]


@pytest.mark.parametrize("name", METHODS)
def test_what_draws_moves_with_the_seed_and_nothing_else_does(name, bert):
    text = "the man reads a good dog in the park and a woman runs, very bad dog"
    examples = pd.DataFrame([("x", text, "not a house")], columns=["id", "text_a", "text_b"])
    one, other = (explain(bert, examples, method=name, n_samples=60, seed=seed) for seed in (0, 1))
    assert (not one["weight"].equals(other["weight"])) == METHODS[name].draws
    assert ("standard_error" in one) == METHODS[name].has_errors


def test_a_callable_is_refused_before_it_is_asked():
    for name in (name for name, method in METHODS.items() if method.needs_gradients):
        with pytest.raises(ExperimentError, match=f"^{name} needs a model's gradients, and a callable has none; give"):
            explain(lambda *texts: 1 / 0, EXAMPLES, method=name, labels=("no", "yes"))


def test_names_are_read_without_heavy_libraries(python):
    modules = ["attribution.methods", "attribution.explain", "attribution.cost", "registry", "study.experiment"]
    heavy = {"torch", "transformers", "datasets", "lime", "shap", "captum", "sklearn"}
    code = f"import sys, {', '.join(f'trusteq.{name}' for name in modules)}; print({heavy!r} & set(sys.modules))"
    assert python(code).stdout.strip() == "set()"
