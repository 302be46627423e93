"""The page on fine-tuning: a task's examples, the recipes of its models, how they learnt, and what they then do."""

from collections.abc import Collection, Mapping
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from trusteq.examples.load import load_examples
from trusteq.models.recipe import TEACHING, Recipe
from trusteq.pages.figures import GREY, from_zero, small_multiples
from trusteq.pages.show import chosen_runs, fact_text, facts_table, put, run_names, show, titles
from trusteq.registry import ModelSpec
from trusteq.study.results import Results


def examples(run: Results, task: str) -> None:
    """Show how many examples each split has by class; of published results, that the texts are not at hand."""
    if run.is_published:
        return put("Published results hold no texts: the examples are counted where the models are trained.")
    settings = run.experiment.task(task)
    limits = {"train": run.experiment.train_limit, "dev": None, "test": None}
    splits = {split: load_examples(settings, split, limit=limit) for split, limit in limits.items()}
    put(split_table(splits, settings.labels))


def recipes(run: Results, task: str, *, model: str | None = None, seed: int | None = None) -> None:
    """Show what decides the models: the settings that all trained ones share, and those in which models differ."""
    runs = chosen_runs(run, model, seed)
    found = {name: recipe_of(run.experiment.model(name), run.experiment.recipe_for(task, name)) for name, _ in runs}
    for name, settings in found.items():
        settings["seeds"] = ", ".join(str(number) for other, number in runs if other == name)
    shared, own = shared_settings(found)
    if shared:
        put(show(facts_table(shared), caption="All models that are trained"))
    put(recipe_table({titles(run)[name]: settings for name, settings in own.items()}))


def training(run: Results, task: str, *, model: str | None = None, seed: int | None = None) -> None:
    """Show how each model learnt, one panel a model and seed, and say which were made without training."""
    runs = chosen_runs(run, model, seed)
    histories = [run.history(task, *which) for which in runs]
    named = list(zip(run_names(run, runs), histories, strict=True))
    panels = [(name, partial(training_history, history)) for name, history in named if len(history)]
    without = [name for name, history in named if history.empty]
    if panels:
        put(from_zero(small_multiples(panels, sharex=False)))
    if without:
        put(f"Used as compression made them, without training: {', '.join(without)}.")


def tested(run: Results, task: str, *, model: str | None = None, seed: int | None = None) -> None:
    """Show what each model makes of the test split, and how long it took to train and to predict."""
    runs = chosen_runs(run, model, seed)
    table = pd.DataFrame([run.facts(task, *which, "metrics") | run.facts(task, *which, "timing") for which in runs])
    seconds = ["training_seconds", "inference_seconds"]
    table = table[["accuracy", "majority", "test_examples", *seconds, "device"]]
    put(show(_by_run(run, runs, table), formats=dict.fromkeys(seconds, "{:,.1f}")))


def further(run: Results, task: str, *, model: str | None = None, seed: int | None = None) -> None:
    """Show the accuracy of each model on the dev split, and of the large model's randomly headed twin."""
    runs = chosen_runs(run, model, seed)
    table = pd.DataFrame({"dev split": [_accuracy(run, task, *which, "dev") for which in runs]})
    twins = [_accuracy(run, task, *which, "random-head") if run.experiment.has_twin(*which) else None for which in runs]
    put(_by_run(run, runs, table.assign(**{"random head, test split": pd.Series(twins, dtype=float)})))


def _by_run(run: Results, runs: list[tuple[str, int]], table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([pd.Series(run_names(run, runs), name="model"), table], axis="columns")


def _accuracy(run: Results, task: str, model: str, seed: int, part: str) -> float:
    table = run.predictions(task, model, seed, part)
    return float((table[list(run.experiment.task(task).labels)].to_numpy().argmax(axis=1) == table["label"]).mean())


def split_table(splits: Mapping[str, pd.DataFrame], labels: Collection[str]) -> pd.DataFrame:
    """Return the number of examples per split and class, and of rows skipped for want of a gold label."""
    rows = []
    for name, found in splits.items():
        counts = found["label"].value_counts()
        per_class = {label: int(counts.get(index, 0)) for index, label in enumerate(labels)}
        rows.append({"split": name, "examples": len(found), **per_class, "skipped": found.attrs.get("unlabelled", 0)})
    return pd.DataFrame(rows)


def recipe_of(spec: ModelSpec, recipe: Recipe) -> dict:
    """Return what decides a fine-tuned model but for its seed: its start, its teacher, and the settings that apply."""
    settings = {"start": _origin(spec)} | ({"teacher": spec.teacher} if spec.teacher else {})
    if not spec.is_trained:
        return settings | {"training": "none"}
    return settings | recipe.model_dump(exclude=None if spec.teacher else set(TEACHING))


def shared_settings(found: Mapping[str, dict]) -> tuple[dict, dict[str, dict]]:
    """Return the settings that all trained models have and no model has otherwise, and what is left of each model."""
    trained = [settings for settings in found.values() if "training" not in settings]
    shared = {
        name: value
        for name, value in (trained[0] if len(found) > 1 and trained else {}).items()
        if all(name in settings for settings in trained)
        and all(settings.get(name, value) == value for settings in found.values())
    }
    own = {
        model: {name: value for name, value in settings.items() if name not in shared}
        for model, settings in found.items()
    }
    return shared, own


def recipe_table(found: Mapping[str, dict]) -> pd.DataFrame:
    """Return settings, one row each, with one column a model; a dash where a setting does not apply to it."""
    names = dict.fromkeys(name for settings in found.values() for name in settings)
    table = {"what": [name.replace("_", " ") for name in names]}
    for title, settings in found.items():
        table[title] = [fact_text(settings[name]) if name in settings else "–" for name in names]
    return pd.DataFrame(table)


def _origin(spec: ModelSpec) -> str:
    if spec.compress:
        options = ", ".join(f"{name} {value}" for name, value in spec.compress.options.items())
        return f"{spec.compress.of}, {spec.compress.way}{f' ({options})' if options else ''}"
    if spec.scratch:
        return f"random weights, {spec.scratch.num_hidden_layers} layers of {spec.scratch.hidden_size}"
    return spec.hub if spec.layers is None else f"{spec.hub}, first {spec.layers} layers"


def training_history(history: pd.DataFrame, ax=None):
    """Draw training loss, dev loss and dev accuracy over epochs; a grey line marks the epoch that is kept."""
    ax = ax or plt.gca()
    ax.plot(history["epoch"], history["loss"], marker="o", color="C0", label="loss, training")
    ax.plot(history["epoch"], history["eval_loss"], marker="s", color="C0", linestyle="--", label="loss, dev")
    ax.plot(history["epoch"], history["eval_accuracy"], marker="^", color="C1", label="accuracy, dev")
    ax.axvline(history["epoch"][history["eval_accuracy"].idxmax()], color=GREY, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="epoch", ylabel="cross-entropy (nats), accuracy")
    return ax
