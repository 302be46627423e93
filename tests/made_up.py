"""A run of three models on one task, small enough to check by hand: four test examples, two of them explained.

The large model has a second training seed and a randomly headed twin, as the workflow makes them."""

import pandas as pd

from trusteq.registry import validated
from trusteq.store import describe, to_json, write_text
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

TASK = "demo-nli"
LABELS = ("entailment", "neutral", "contradiction")
MODELS = ("demo-large", "demo-distilled", "demo-tiny")
GOLD = [0, 1, 2, 0]
# The class each model predicts for the four examples, and its confidence in all of them.
PREDICTED = {
    "demo-large": ([0, 1, 2, 1], 0.95),
    "demo-distilled": ([0, 2, 2, 0], 0.75),
    "demo-tiny": ([0, 1, 0, 1], 0.55),
}
# Weights of the four words of test-0 for its gold class: the top two are {0, 1}, {0, 2} and {2, 3}.
WEIGHTS = {"demo-large": [4, -3, 2, 1], "demo-distilled": [4, 1, 3, 2], "demo-tiny": [1, 2, -3, 4]}
# The same under another seed of lime: the large model's top two are now {0, 2}, those of the others as before.
AGAIN = {"demo-large": [4, 1, 3, 2], "demo-distilled": [4, 1, 3, 2], "demo-tiny": [1, 2, -3, 4]}
# Of the large model: trained under seed 1, {1, 2}, and with a random head, {2, 3}.
RETRAINED, RANDOM_HEAD = [1, 4, 3, 2], [1, 2, 3, 4]
EXAMPLES = pd.DataFrame(
    {
        "id": [f"test-{row}" for row in range(4)],
        "text_a": ["a <b> & c", "one two", "x", "y"],
        "text_b": ["d.", "three, four", "z", "z"],
        "label": GOLD,
    }
)
# What a Jaccard of two random pairs out of four words is on average: 4/6 share one word, 1/6 both.
CHANCE = 4 / 6 * 1 / 3 + 1 / 6


def predictions(model, split="test"):
    predicted, confidence = PREDICTED[model]
    table = pd.DataFrame({"id": EXAMPLES["id"].str.replace("test", split), "label": GOLD})
    for index, label in enumerate(LABELS):
        table[label] = [confidence if index == top else (1 - confidence) / 2 for top in predicted]
    return table


def attribution(weights):
    """Return attributions of test-0, by `weights` for its gold class, and of test-1, where every model agrees."""
    words = {"test-0": [(0, 0, "a"), (0, 1, "b"), (0, 2, "c"), (1, 0, "d")]}
    words["test-1"] = [(0, 0, "one"), (0, 1, "two"), (1, 0, "three"), (1, 1, "four")]
    of_class = {"test-0": ("entailment", weights), "test-1": ("neutral", [4, 3, 2, 1])}
    rows = [
        (name, *word, label, float(weight if label == of_class[name][0] else 0))
        for name in words
        for label in LABELS
        for word, weight in zip(words[name], of_class[name][1], strict=True)
    ]
    table = pd.DataFrame(rows, columns=["id", "segment", "position", "word", "label", "weight"])
    table.attrs = {"skipped": {}, "boundary": "safe"}
    return table


def make_run(folder):
    """Write predictions, attributions and facts of all models; return the results."""
    values = {"name": "small", "title": "Made up", "tasks": [TASK], "models": {name: {} for name in MODELS}, "k": 2}
    values["models"]["demo-large"] = {"seeds": [0, 1]}
    values["methods"] = {"lime": {"n_samples": 10}, "shap": {"n_samples": 10}}
    run = Results(folder / "small", validated(Experiment, values, where="made up"))
    for number, model in enumerate(MODELS, start=1):
        run.write(predictions(model), "predictions", TASK, model, 0)
        run.write(predictions(model, "dev"), "predictions", TASK, model, "0-dev")
        for method in ("lime", "shap"):
            run.write(attribution(WEIGHTS[model]), "attribution", TASK, model, 0, method)
        run.write(attribution(AGAIN[model]), "attribution", TASK, model, 0, "lime.again")
        run.write(faithfulness(number), "attribution", TASK, model, 0, "faithfulness")
        metrics = {
            "layers": number,
            "hidden_size": 8 * number,
            "parameters": 1_500_000 * number,
            "nonzero_parameters": 1_000_000 * number,
            "weights_bytes": 250_000,
        }
        metrics |= {"accuracy": 0.5, "test_examples": 4}
        timing = {"inference_seconds": number / 2, "training_seconds": 10.0 * number, "device": "cpu"}
        for name, facts in {"metrics": metrics, "timing": timing}.items():
            write_text(to_json(facts), run.model(TASK, model, 0) / f"{name}.json")
    write_controls(run)
    return run


def make_publishable(folder, monkeypatch):
    """Return such a run with all that is published of a model; publish reads and writes in `folder`."""
    examples = EXAMPLES.assign(evidence=[((0, 1),), (), (), ()], shortcut=[(), (), (), ()])
    for home in ("trusteq.study.publish", "trusteq.study.sides"):
        monkeypatch.setattr(f"{home}.load_examples", lambda *_, **__: examples)
    monkeypatch.setattr("trusteq.study.publish.PUBLISHED", folder / "published")
    run = make_run(folder / "results")
    for model, seed in run.experiment.runs:
        home = run.model(TASK, model, seed)
        write_text("weights", home / "model.safetensors")
        write_text("epoch,dev_accuracy\n1,0.5\n", home / "history.csv")
        files = [file for file in home.iterdir() if file.name != "manifest.json"]
        write_text(to_json(describe(files, {"seed": seed}, root=home)), home / "manifest.json")
    return run


def write_controls(run):
    """Write the large model's second training seed, which predicts as demo-distilled does, and its twin."""
    large = MODELS[0]
    run.write(predictions("demo-distilled"), "predictions", TASK, large, 1)
    run.write(predictions("demo-distilled", "dev"), "predictions", TASK, large, "1-dev")
    run.write(predictions("demo-tiny"), "predictions", TASK, large, "0-random-head")
    for method in ("lime", "shap"):
        run.write(attribution(RANDOM_HEAD), "attribution", TASK, large, 0, f"{method}.random-head")
        run.write(attribution(RETRAINED), "attribution", TASK, large, 1, method)
    run.write(attribution(RETRAINED), "attribution", TASK, large, 1, "lime.again")
    run.write(faithfulness(1), "attribution", TASK, large, 1, "faithfulness")
    for name in ("metrics", "timing"):
        write_text(to_json(run.facts(TASK, large, 0, name)), run.model(TASK, large, 1) / f"{name}.json")


def faithfulness(number):
    """Return what a model loses by its top words: by shap, the last model loses less than by random words."""
    rows = [
        (name, method, value, value / 2)
        for method, value in {"lime": 0.5, "shap": 0.4, "random features": 0.15 * number}.items()
        for name in ("test-0", "test-1")
    ]
    return pd.DataFrame(rows, columns=["id", "method", "comprehensiveness", "sufficiency"])
