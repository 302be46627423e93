"""Experiment files and the registry they draw on: what is read, and what is refused with one line."""

import functools

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import ValidationError
from refusals import one_line

from trusteq import registry
from trusteq.attribution.explain import explain
from trusteq.errors import ExperimentError
from trusteq.models.recipe import Recipe
from trusteq.project import root
from trusteq.statistics import stream_seed
from trusteq.study.experiment import Experiment

SMALL = {
    "name": "small",
    "title": "Small",
    "tasks": ["demo-nli", "demo-pi"],
    "models": ["demo-large", "demo-mini", "demo-tiny"],
    "methods": {"lime": {"n_samples": 10}},
}


@pytest.fixture
def load(tmp_path):
    """Load an experiment from a file that holds SMALL with some keys replaced."""

    def load(**changes):
        file = tmp_path / "small.yaml"
        file.write_text(yaml.safe_dump(SMALL | changes), encoding="utf-8")
        return Experiment.load(file)

    return load


CUT = {"of": "minilm", "way": "int8"}
SHAPE = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 8}
refused = functools.partial(one_line, ExperimentError)


@pytest.mark.parametrize("file", sorted((root() / "experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_experiment_loads_by_name_and_round_trips(file, tmp_path):
    experiment = Experiment.load(file.stem)
    assert experiment.name == file.stem
    again = tmp_path / "again.yaml"
    again.write_text(experiment.dump(), encoding="utf-8")
    assert Experiment.load(again) == experiment


def test_the_demo_is_two_tasks_five_models_two_methods():
    demo = Experiment.load("demo")
    assert list(demo.tasks) == ["demo-nli", "demo-pi"]
    assert demo.large == "demo-large"
    assert {method for task in demo.tasks for method in demo.task_methods(task)} == {"lime", "shap"}
    assert all(demo.explained(task) >= 24 for task in demo.tasks)


def test_the_paper_experiment_is_the_papers_recipe():
    paper = Experiment.load("paper")
    assert [paper.model(name).hub for name in paper.models] == [
        "google-bert/bert-base-uncased",
        "distilbert/distilbert-base-uncased",
        "google/bert_uncased_L-8_H-512_A-8",
        "google/bert_uncased_L-4_H-256_A-4",
        "google/bert_uncased_L-2_H-128_A-2",
    ]
    common = {
        "batch_size": 32,
        "learning_rate": 1e-5,
        "schedule": "constant",
        "warmup_ratio": 0,
        "weight_decay": 0,
        "max_grad_norm": 1.0,
        "precision": "fp32",
        "max_length": 512,
    }
    expected = {
        "snli": common | {"epochs": 5, "head": "two-linear"},
        "qqp": common | {"epochs": 10, "head": "standard"},
    }
    for task, recipe in expected.items():
        for model in paper.models:
            found = paper.recipe_for(task, model).model_dump()
            assert {key: found[key] for key in recipe} == recipe
    assert paper.seeds == (42,)
    assert paper.k == 10
    assert {task: paper.explained(task) for task in paper.tasks} == {"snli": None, "qqp": 15000}
    assert {name: method.n_samples for name, method in paper.task_methods("snli").items()} == {
        "lime": 1000,
        "shap": 500,
    }
    assert paper.task_methods("qqp")["lime"].n_samples == 100


def test_names_alone_stand_for_entries_without_changes(load):
    listed = load()
    spelled = load(tasks={name: {} for name in SMALL["tasks"]}, models={name: {} for name in SMALL["models"]})
    assert listed == spelled
    assert listed.large == "demo-large"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"like": "lyme"}, "unknown method 'lyme'; did you mean 'lime'"),
        ({"boundary": "as-released"}, "boundary as-released is for lime and shap alone"),
        ({"like": "lime", "models": ["demo-large", "demo-tny"]}, "no model 'demo-tny'; did you mean 'demo-tiny'"),
        ({"like": "lime", "models": ["demo-tiny"]}, "its models lack 'demo-large', with which others are compared"),
    ],
)
def test_a_method_that_cannot_be_run_so_is_refused(load, settings, problem):
    refused(lambda: load(methods={"shapley": settings}), problem)


def test_the_model_overrides_the_task_and_the_task_the_experiment(load):
    experiment = load(
        recipe={"epochs": 1, "batch_size": 8, "max_length": 16},
        tasks={"demo-nli": {"recipe": {"epochs": 2, "batch_size": 4}}, "demo-pi": {}},
        models={"demo-large": {"recipe": {"epochs": 3}}, "demo-tiny": {}},
    )
    found = {
        (task, model): experiment.recipe_for(task, model).model_dump(include={"epochs", "batch_size", "max_length"})
        for task in experiment.tasks
        for model in experiment.models
    }
    assert found == {
        ("demo-nli", "demo-large"): {"epochs": 3, "batch_size": 4, "max_length": 16},
        ("demo-nli", "demo-tiny"): {"epochs": 2, "batch_size": 4, "max_length": 16},
        ("demo-pi", "demo-large"): {"epochs": 3, "batch_size": 8, "max_length": 16},
        ("demo-pi", "demo-tiny"): {"epochs": 1, "batch_size": 8, "max_length": 16},
    }
    assert experiment.recipe_for("demo-pi", "demo-tiny").learning_rate == Recipe().learning_rate == 1e-5


def test_a_task_overrides_methods_explained_examples_and_splits(load):
    source = {"dataset": "stanfordnlp/snli", "config": "plain_text", "split": "validation"}
    splits = {"train": [source], "test": [source | {"split": "test"}]}
    changed = {"methods": {"shap": {"n_samples": 7}}, "explain": 3, "splits": splits}
    experiment = load(explain=5, tasks={"demo-nli": {}, "snli": changed}, models=["minilm"])
    assert list(experiment.task_methods("demo-nli")) == ["lime"]
    assert {name: method.n_samples for name, method in experiment.task_methods("snli").items()} == {"shap": 7}
    assert (experiment.explained("demo-nli"), experiment.explained("snli")) == (5, 3)
    assert experiment.task("snli").splits.train[0].split == "validation"
    assert registry.load_task("snli").splits.train[0].split == "train"  # the registry's own is as it was


def test_limits_replace_those_of_the_tasks_and_leave_the_experiment_as_it_was(load):
    experiment = load(tasks={"demo-nli": {"explain": 9}, "demo-pi": {}}, explain=20)
    limited = experiment.limited(explain=4, train_limit=100)
    assert [limited.explained(task) for task in limited.tasks] == [4, 4]
    assert limited.train_limit == 100
    assert (experiment.explained("demo-nli"), experiment.explained("demo-pi"), experiment.train_limit) == (9, 20, None)
    assert experiment.limited() == experiment


@pytest.mark.parametrize("common", [True, False])
def test_common_masks_are_the_same_for_two_models_and_others_are_not(load, common):
    experiment = load(common_masks=common)
    examples = pd.DataFrame({"id": ["x"], "text_a": ["two men play chess"], "text_b": ["nobody plays"]})
    asked = {}

    def spy(model):
        def predict_proba(firsts, seconds):
            asked.setdefault(model, []).extend(zip(firsts, seconds, strict=True))
            return np.full((len(firsts), 2), 0.5)

        return predict_proba

    for model in ("demo-large", "demo-tiny"):
        seed = experiment.explainer_seed(model, 7)
        explain(spy(model), examples, method="lime", n_samples=40, seed=seed, labels=("no", "yes"))
    assert (asked["demo-large"] == asked["demo-tiny"]) is common


def test_the_explainers_seed(load):
    assert load().common_masks is False
    apart, common = load(), load(common_masks=True)
    assert [common.explainer_seed(model, 7) for model in common.models] == [7, 7, 7]
    assert len({apart.explainer_seed(model, seed) for model in apart.models for seed in (0, 1)}) == 6
    assert apart.explainer_seed("demo-tiny", 7) == stream_seed(7, "explainer", "demo-tiny")
    refused(lambda: apart.explainer_seed("demo-tinny", 7), "did you mean 'demo-tiny'?")


def test_a_model_may_have_more_training_seeds_than_the_run(load):
    assert load().runs == [(model, 0) for model in SMALL["models"]]
    models = {"demo-large": {"seeds": [3, 5, 4]}, "demo-mini": {"seeds": [4, 3]}, "demo-tiny": {}}
    experiment = load(seeds=[3, 4], models=models)
    assert [experiment.model_seeds(model) for model in models] == [(3, 5, 4), (4, 3), (3, 4)]
    assert experiment.runs == [
        *(("demo-large", seed) for seed in (3, 5, 4)),
        *(("demo-mini", seed) for seed in (4, 3)),
        *(("demo-tiny", seed) for seed in (3, 4)),
    ]
    refused(lambda: experiment.model_seeds("demo-tinny"), "did you mean 'demo-tiny'?")
    # The control belongs to the large model, and to the seeds under which models are compared.
    assert [run for run in experiment.runs if experiment.has_twin(*run)] == [("demo-large", 3), ("demo-large", 4)]


def test_the_demo_trains_its_large_model_twice():
    demo = Experiment.load("demo")
    assert (demo.seeds, demo.model_seeds(demo.large)) == ((0,), (0, 1))
    assert len(demo.runs) == len(demo.models) + 1


def test_values_are_frozen(load):
    with pytest.raises(ValidationError, match="frozen"):
        load().k = 3


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"tasks": ["demo-nil"]}, ["unknown task 'demo-nil'", "did you mean 'demo-nli'?"]),
        ({"models": ["demo-tinny"]}, ["unknown model 'demo-tinny'", "did you mean 'demo-tiny'?"]),
        ({"methods": {"lyme": {"n_samples": 5}}}, ["unknown method 'lyme'", "did you mean 'lime'?"]),
        ({"explian": 3}, ["unknown key 'explian'", "did you mean 'explain'?"]),
        ({"tasks": {"demo-nli": {"explan": 3}}}, ["unknown key 'tasks.demo-nli.explan'", "did you mean 'explain'?"]),
        ({"methods": {"lime": {"samples": 5}}}, ["methods.lime", "n_samples"]),
        ({"methods": {"lime": {"n_samples": 1}}}, ["methods.lime.n_samples"]),
        ({"methods": {"lime": {"stable": 1}}}, ["methods.lime.stable"]),
        ({"methods": {"lime": {"stable": 0}}}, ["methods.lime.stable"]),
        ({"methods": {"shap": {"stable": 0.9}}}, ["method 'shap'", "stable is for lime and shapley alone"]),
        ({"recipe": {"epoch": 5}}, ["demo-large on demo-nli", "unknown key 'epoch'", "did you mean 'epochs'?"]),
        ({"models": {"demo-tiny": {"recipe": {"head": "two"}}}}, ["demo-tiny", "head", "two-linear"]),
        ({"models": ["demo-distilled"]}, ["'demo-distilled' is made from 'demo-large'"]),
        ({"models": {"demo-large": {}, "demo-distilled": {"like": "demo-tiny"}}}, ["'like' and 'title' go together"]),
        ({"models": {"demo-large": {}, "demo-int8": {}, "x": {"like": "demo-in8", "title": "X"}}}, ["'demo-int8'"]),
        ({"models": {"demo-tiny": {"seeds": [1, 2]}}}, ["models.demo-tiny.seeds lack [0]"]),
        ({"models": {"demo-tiny": {"seeds": [0, 1, 1]}}}, ["models.demo-tiny.seeds [0, 1, 1]", "once"]),
        ({"models": {"demo-tiny": {"seeds": []}}}, ["models.demo-tiny.seeds:"]),
        ({"models": {"demo-tiny": {"seeds": [0, -1]}}}, ["models.demo-tiny.seeds.1:"]),
        ({"seeds": [1, 1]}, ["seeds [1, 1]: give each seed once"]),
        ({"tasks": []}, ["at least one task"]),
        ({"models": []}, ["at least one task and one model"]),
        ({"tasks": [{"demo-nli": {}}]}, ["tasks: in a list every entry is a name alone"]),
        ({"name": "../up"}, ["name:"]),
        ({"seeds": []}, ["seeds:"]),
        ({"seeds": [-1]}, ["seeds.0:"]),
        ({"explain": 0}, ["explain:"]),
        ({"common_masks": "often"}, ["common_masks:"]),
        ({1: 2}, ["1:"]),
        ({"models": {"x": {"title": "X", "checkpoint": "a/b", "recipe": {"epochs": 2}}}}, ["leave its recipe out"]),
        (
            {"models": {"x": {"title": "X", "checkpoint": "a/b"}}, "seeds": [0, 1]},
            ["models.x.seeds [0, 1]", "one training"],
        ),
        ({"models": {"x": {"title": "X", "checkpoint": "a/b", "seeds": [0, 1]}}}, ["models.x.seeds [0, 1]"]),
        ({"models": {"x": {"title": "X", "checkpoint": "a/b", "like": "minilm"}}}, ["'like' names another entry"]),
        ({"models": {"demo-tiny": {"template": "{text_a} or {text_b}"}}}, ["'template' belongs to a model"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path, changes, parts):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL | changes, sort_keys=False), encoding="utf-8")
    refused(lambda: Experiment.load(file), str(file), *parts)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"a: [1", "not a YAML file"),
        (b"name: \xff\xfe", "not a YAML file"),
        (b"name: a\x00b", "not a YAML file"),
        (b"- a\n- b\n", "found list"),
        (b"", "found NoneType"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, content, part):
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    refused(lambda: Experiment.load(file), str(file), part)


def test_no_such_file():
    refused(lambda: Experiment.load("dmeo"), "no experiment file 'dmeo'", "did you mean 'demo'?")
    refused(lambda: Experiment.load("/nowhere/snli-minilm2.yaml"), "did you mean 'snli-minilm'?")


def test_names_outside_the_experiment_are_refused(load):
    refused(lambda: load().task("snli"), "task 'snli' is not in experiment 'small'", "known: demo-nli, demo-pi")
    refused(
        lambda: load().model("demo-medium"), "model 'demo-medium' is not in experiment 'small'", "known: demo-large"
    )


def test_every_entry_of_the_registry_loads():
    tasks, models = (registry.registered()[kind] for kind in ("tasks", "models"))
    arrays = {"digits": "image", "digits-beside": "image", "spoken": "sound"}
    assert sorted(tasks) == sorted(["demo-nli", "demo-pi", "mnli", "mrpc", "paws", "qqp", "snli", "sst2", *arrays])
    for name in tasks:
        task = registry.load_task(name)
        assert task.name == name
        inputs = {arrays[name]} if name in arrays else {"text_a"} if name == "sst2" else {"text_a", "text_b"}
        assert set(task.columns) == inputs | {"label"}
    for name in models:
        spec = registry.load_model(name)
        assert spec.teacher is None or registry.load_model(spec.teacher).name == spec.teacher


def test_labels_stand_in_the_contracts_order():
    nli, pi = ("entailment", "neutral", "contradiction"), ("different", "paraphrase")
    expected = dict.fromkeys(["demo-nli", "snli", "mnli"], nli) | dict.fromkeys(["demo-pi", "qqp", "mrpc", "paws"], pi)
    expected["sst2"] = ("negative", "positive")
    expected |= {"digits": tuple("0123456789"), "digits-beside": tuple("01234")}
    expected["spoken"] = ("yes", "no", "stop", "go", "left", "right", "up", "down")
    assert {name: registry.load_task(name).labels for name in registry.registered()["tasks"]} == expected


def test_unknown_names_are_refused_with_the_nearest():
    refused(lambda: registry.load_task("snly"), "unknown task 'snly'", "did you mean 'snli'?")
    refused(lambda: registry.load_model("bert-bas"), "unknown model 'bert-bas'", "did you mean 'bert-base'?")


@pytest.mark.parametrize(
    ("kind", "values", "part"),
    [
        (registry.Task, {"labels": ["a", "b"], "columns": {}}, "exactly one of 'generated' and 'splits'"),
        (registry.Task, {"labels": ["a"], "columns": {}, "generated": "nli"}, "labels"),
        (registry.ModelSpec, {}, "exactly one of 'hub', 'scratch', 'compress' and 'checkpoint'"),
        (registry.ModelSpec, {"hub": "a/b", "checkpoint": "c/d"}, "exactly one of"),
        (registry.ModelSpec, {"checkpoint": "a/b", "layers": 2}, "'layers' cuts pretrained weights"),
        (registry.ModelSpec, {"checkpoint": "a/b", "teacher": "minilm"}, "used as it is"),
        (registry.ModelSpec, {"checkpoint": "a/b", "tokenizer": "c/d"}, "used as it is"),
        (registry.ModelSpec, {"compress": CUT, "template": "{text_a} {text_b}"}, "'template' is for pretrained"),
        (registry.ModelSpec, {"scratch": SHAPE, "template": "{text_a} {text_b}"}, "'template' is for pretrained"),
        (registry.ModelSpec, {"hub": "a/b", "layers": 0}, "layers"),
        (registry.ModelSpec, {"hub": "a/b", "layer": 1}, "did you mean 'layers'?"),
        (registry.ModelSpec, {"scratch": {"hiden_size": 1}}, "scratch"),
    ],
)
def test_a_bad_entry_is_refused(kind, values, part):
    refused(lambda: registry.validated(kind, {"name": "n", "title": "t", **values}, where="here"), "here: ", part)


def test_an_unknown_key_inside_a_list_is_named_with_its_neighbours():
    splits = {"train": [{"dataset": "a/b", "spilt": "train"}], "test": [{"dataset": "a/b", "split": "test"}]}
    values = {"name": "n", "title": "t", "labels": ["a", "b"], "columns": {}, "splits": splits}
    splits["train"][0]["split"] = "train"
    refused(
        lambda: registry.validated(registry.Task, values, where="here"),
        "unknown key 'splits.train.0.spilt'",
        "did you mean 'split'?",
    )
