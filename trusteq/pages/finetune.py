"""The page on fine-tuning: a task's examples, the recipes of its models, how they learnt, and what they then do."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.ticker import MaxNLocator

from trusteq.examples.load import load_examples
from trusteq.models.recipe import TEACHING, Recipe
from trusteq.pages.figures import GREY, from_zero, headed, small_multiples
from trusteq.pages.show import chosen_runs, fact_text, facts_table, put, show, titles
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
    runs = chosen_runs(run, model, seed).values()
    found = {name: recipe_of(run.experiment.model(name), run.experiment.recipe_for(task, name)) for name, _ in runs}
    for name, settings in found.items():
        settings["seeds"] = ", ".join(str(number) for other, number in runs if other == name)
    shared, own = shared_settings(found)
    if shared:
        put(show(facts_table(shared), caption="All models that are trained"))
    put(recipe_table({titles(run)[name]: settings for name, settings in own.items()}))


def training(run: Results, task: str, *, model: str | None = None, seed: int | None = None) -> None:
    """Show how each model learnt, one panel a model and seed, and say which were made without training."""
    named = {name: run.history(task, *which) for name, which in chosen_runs(run, model, seed).items()}
    panels = [(name, partial(training_history, history)) for name, history in named.items() if len(history)]
    without = [name for name, history in named.items() if history.empty]
    if panels:
        figure = from_zero(small_multiples(panels, sharex=False))
        figure.supxlabel("epoch", fontsize=10)
        put(headed(figure, training_line([of for of in named.values() if len(of)])))
    if without:
        put(f"Used as they were given or compressed, without training: {', '.join(without)}.")


def training_line(histories: Sequence[pd.DataFrame]) -> str:
    """Return in how many trainings the epoch that is kept has a higher dev loss than an earlier one."""
    kept = [of["eval_loss"][of["eval_accuracy"].idxmax()] > of["eval_loss"].min() for of in histories]
    return f"{sum(kept)} of {len(kept)} trainings keep an epoch whose dev loss is above its lowest"


def tested(run: Results, task: str, *, model: str | None = None, seed: int | None = None) -> None:
    """Show what each model makes of the test split and how long it took, then its dev split and its untrained twin."""
    names, runs = zip(*chosen_runs(run, model, seed).items(), strict=True)
    table = pd.DataFrame([run.facts(task, *which, "metrics") | run.facts(task, *which, "timing") for which in runs])
    seconds = ["training_seconds", "inference_seconds"]
    table = table[["accuracy", "majority", "test_examples", *seconds, "device"]]
    twins = [_accuracy(run, task, *which, "random-head") if run.experiment.has_twin(*which) else None for which in runs]
    further = pd.DataFrame({"dev split": [_accuracy(run, task, *which, "dev") for which in runs]})
    further["random head, test split"] = pd.Series(twins, dtype=float)
    for found in (table, further):
        found.insert(0, "model", names)
        put(show(found, formats=dict.fromkeys(seconds, "{:,.1f}")))


def _accuracy(run: Results, task: str, model: str, seed: int, part: str) -> float:
    table = run.predictions(task, model, seed, part)
    return float((table[list(run.experiment.task(task).labels)].to_numpy().argmax(axis=1) == table["label"]).mean())


def split_table(splits: Mapping[str, pd.DataFrame], labels: Collection[str]) -> pd.DataFrame:
    """Return the number of examples per split and class, and of rows skipped for want of a gold label."""
    names = dict(enumerate(labels))
    rows = {
        split: {"examples": len(found)}
        | found["label"].map(names).value_counts().reindex(labels, fill_value=0).to_dict()
        | {"skipped": found.attrs.get("unlabelled", 0)}
        for split, found in splits.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("split").reset_index()


def recipe_of(spec: ModelSpec, recipe: Recipe) -> dict:
    """Return what decides a fine-tuned model but for its seed: its start, its teacher, and the settings that apply."""
    settings = {"start": _origin(spec)} | ({"teacher": spec.teacher} if spec.teacher else {})
    settings |= {"template": spec.template, "words": spec.words} if spec.words else {}
    settings |= {"calibration": spec.calibration} if spec.calibration else {}
    if not is_trained_here(spec, recipe):
        return settings | {"training": "none"}
    return settings | recipe.model_dump(exclude=None if spec.teacher else set(TEACHING))


def is_trained_here(spec: ModelSpec, recipe: Recipe) -> bool:
    """Return whether an experiment trains the model."""
    return spec.is_trained and not spec.checkpoint and recipe.epochs > 0


def shared_settings(found: Mapping[str, dict]) -> tuple[dict, dict[str, dict]]:
    """Return the settings that all trained models have and no model has otherwise, and what is left of each model."""
    trained = [settings for settings in found.values() if "training" not in settings] if len(found) > 1 else []
    shared = {
        name: value
        for name, value in (trained[0] if trained else {}).items()
        if all(settings.get(name, value) == value for settings in found.values())
        and all(name in settings for settings in trained)
    }
    own = {
        model: {name: settings[name] for name in settings if name not in shared} for model, settings in found.items()
    }
    return shared, own


def recipe_table(found: Mapping[str, dict]) -> pd.DataFrame:
    """Return settings, one row each, with one column a model; a dash where a setting does not apply to it."""
    texts = {title: {name: fact_text(value) for name, value in settings.items()} for title, settings in found.items()}
    names = list(dict.fromkeys(name for settings in found.values() for name in settings))
    table = pd.DataFrame(texts, index=names).fillna("–").rename(index=lambda name: name.replace("_", " "))
    return table.rename_axis(index="what").reset_index()


def _origin(spec: ModelSpec) -> str:
    if spec.compress:
        options = ", ".join(f"{name} {value}" for name, value in spec.compress.options.items())
        return f"{spec.compress.of}, {spec.compress.way}{f' ({options})' if options else ''}"
    if spec.scratch:
        return f"random weights, {spec.scratch.num_hidden_layers} layers of {spec.scratch.hidden_size}"
    if spec.checkpoint:
        return f"{spec.checkpoint}, fine-tuned already"
    return spec.hub if spec.layers is None else f"{spec.hub}, first {spec.layers} layers"


def training_history(history: pd.DataFrame, ax=None):
    """Draw training loss, dev loss and dev accuracy over epochs; a grey line marks the epoch that is kept."""
    ax = ax or plt.gca()
    ax.plot(history["epoch"], history["loss"], marker="o", color="C0", label="loss, training")
    ax.plot(history["epoch"], history["eval_loss"], marker="s", color="C0", linestyle="--", label="loss, dev")
    ax.plot(history["epoch"], history["eval_accuracy"], marker="^", color="C1", label="accuracy, dev")
    ax.axvline(history["epoch"][history["eval_accuracy"].idxmax()], color=GREY, zorder=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(ylabel="cross-entropy (nats), accuracy")
    return ax
