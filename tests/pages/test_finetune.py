"""The page on fine-tuning: what each section shows of a made-up run, and its tables."""

import made_up
import pandas as pd
import pytest
from made_up import LABELS, MODELS, TASK

from trusteq.errors import ExperimentError
from trusteq.models.recipe import Recipe
from trusteq.pages import finetune
from trusteq.pages.finetune import recipe_of, recipe_table, shared_settings, split_table
from trusteq.registry import load_model
from trusteq.store import to_json, write_text

pytestmark = pytest.mark.usefixtures("drawing")
LARGE, DISTILLED, TINY = MODELS
HEAD, EPOCHS = "epoch,loss,eval_loss,eval_accuracy\n", "1,0.9,0.8,0.5\n2,0.5,0.9,0.4\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in which the last model was made without training."""
    run = made_up.make_run(tmp_path_factory.mktemp("results"))
    for model, seed in run.experiment.runs:
        home = run.model(TASK, model, seed)
        write_text(HEAD + EPOCHS * (model != TINY), home / "history.csv")
        write_text(to_json(run.facts(TASK, model, seed, "metrics") | {"majority": 0.25}), home / "metrics.json")
    return run


def test_the_curves_of_what_was_trained_and_words_for_the_rest(run, shown):
    finetune.training(run, TASK)
    figure, words = shown
    assert [ax.get_title() for ax in figure.axes if ax.get_visible()] == [
        *("Demo-large, seed 0", "Demo-large, seed 1"),
        "Demo-distilled",
    ]
    assert words.data == "Used as they were given or compressed, without training: Demo-tiny."


def test_one_model_or_one_seed_alone(run, shown):
    finetune.training(run, TASK, model=LARGE, seed=1)
    finetune.training(run, TASK, model=TINY)
    assert len(shown[0].axes) == 1
    assert len(shown) == 2
    with pytest.raises(ExperimentError, match="seed 7 is not in experiment 'small'; it has 0, 1"):
        finetune.tested(run, TASK, seed=7)


def test_what_the_models_make_of_the_test_split(run, shown):
    finetune.tested(run, TASK)
    table, _ = (styled.data for styled in shown)
    assert table["model"].tolist() == ["Demo-large, seed 0", "Demo-large, seed 1", "Demo-distilled", "Demo-tiny"]
    assert table["accuracy"].tolist() == [0.5] * 4
    assert table["majority"].tolist() == [0.25] * 4
    assert table["training seconds"].tolist() == [10, 10, 20, 30]


def test_accuracy_of_further_predictions(run, shown):
    finetune.tested(run, TASK)
    _, table = (styled.data for styled in shown)
    assert table["dev split"].tolist() == [0.75, 0.75, 0.75, 0.5]
    assert table["random head, test split"].tolist()[0] == 0.5
    assert table["random head, test split"].isna().tolist() == [False, True, True, True]


def test_examples_are_counted_where_they_are_at_hand(run, shown, tmp_path, monkeypatch):
    monkeypatch.setattr("trusteq.pages.finetune.load_examples", lambda *_, **__: made_up.EXAMPLES)
    finetune.examples(run, TASK)
    assert shown[0].data["split"].tolist() == ["train", "dev", "test"]
    published = made_up.make_run(tmp_path)
    write_text("{}", published.folder / "manifest.json")
    finetune.examples(published, TASK)
    assert "hold no texts" in shown[1].data


def test_splits_are_counted_by_class():
    train = pd.DataFrame({"label": [0, 0, 2]})
    train.attrs["unlabelled"] = 5
    table = split_table({"train": train, "test": pd.DataFrame({"label": [1]})}, LABELS)
    assert table.to_dict("list") == {
        "split": ["train", "test"],
        "examples": [3, 1],
        "entailment": [2, 0],
        "neutral": [0, 1],
        "contradiction": [1, 0],
        "skipped": [5, 0],
    }


def test_the_recipe_says_where_a_model_starts():
    def recipe(name):
        settings = recipe_of(load_model(name), Recipe(learning_rate=2e-5))
        return recipe_table({"value": settings}).set_index("what")["value"]

    assert recipe("minilm-3-layers")["start"] == "sentence-transformers/all-MiniLM-L6-v2, first 3 layers"
    assert recipe("bert-base")["start"] == "google-bert/bert-base-uncased"
    assert recipe("demo-tiny")["start"] == "random weights, 1 layers of 48"
    assert recipe("demo-tiny")["learning rate"] == "2e-05"
    assert "temperature" not in recipe("demo-tiny")
    assert recipe("demo-distilled")["teacher"] == "demo-large"
    assert recipe("demo-distilled")["temperature"] == "2"


def test_what_all_trained_models_share_is_said_once():
    found = {
        "large": {"start": "a", "epochs": 2, "batch_size": 8, "seeds": "0"},
        "small": {"start": "b", "epochs": 3, "batch_size": 8, "seeds": "0", "teacher": "large"},
        "int8": {"start": "large, int8", "training": "none", "seeds": "0"},
    }
    shared, own = shared_settings(found)
    assert shared == {"batch_size": 8, "seeds": "0"}
    assert recipe_table(own).set_index("what").loc["epochs"].tolist() == ["2", "3", "–"]
    assert "batch size" not in set(recipe_table(own)["what"])
    alone = {"large": found["large"]}
    assert shared_settings(alone) == ({}, alone)


def test_the_recipes_of_a_run(run, shown):
    finetune.recipes(run, TASK)
    shared, own = (styled.data for styled in shown)
    assert "epochs" in set(shared["what"])
    assert list(own) == ["what", "Demo-large", "Demo-distilled", "Demo-tiny"]
    assert own.set_index("what").loc["seeds"].tolist() == ["0, 1", "0", "0"]
    assert own.set_index("what").loc["teacher"].tolist() == ["–", LARGE, "–"]
