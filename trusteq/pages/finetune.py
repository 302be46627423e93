"""The page on fine-tuning: data, recipes and how models learnt."""

from collections.abc import Collection, Mapping

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.models.recipe import TEACHING, Recipe
from trusteq.pages.figures import GREY
from trusteq.pages.show import facts_table
from trusteq.registry import ModelSpec


def split_table(splits: Mapping[str, pd.DataFrame], labels: Collection[str]) -> pd.DataFrame:
    """Return the number of examples per split and class, and of rows skipped for want of a gold label."""
    rows = []
    for name, examples in splits.items():
        counts = examples["label"].value_counts()
        per_class = {label: int(counts.get(index, 0)) for index, label in enumerate(labels)}
        rows.append(
            {"split": name, "examples": len(examples), **per_class, "skipped": examples.attrs.get("unlabelled", 0)}
        )
    return pd.DataFrame(rows)


def recipe_table(spec: ModelSpec, recipe: Recipe, seed: int) -> pd.DataFrame:
    """Return what decides a fine-tuned model, one row per setting."""
    settings = {"start": _origin(spec)} | ({"teacher": spec.teacher} if spec.teacher else {})
    if spec.compress and not spec.compress.recover:
        return facts_table(settings | {"training": "none", "seed": seed})
    values = recipe.model_dump(exclude=None if spec.teacher else set(TEACHING))
    return facts_table(settings | values | {"seed": seed})


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
    accuracy = ax.twinx()
    ax.plot(history["epoch"], history["loss"], marker="o", color="C0", label="loss, training")
    ax.plot(history["epoch"], history["eval_loss"], marker="s", color="C0", linestyle="--", label="loss, dev")
    accuracy.plot(history["epoch"], history["eval_accuracy"], marker="^", color="C1", label="accuracy, dev")
    ax.axvline(history["epoch"][history["eval_accuracy"].idxmax()], color=GREY, zorder=0)
    ax.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, None))
    accuracy.set(ylabel="accuracy", ylim=(0, 1))
    accuracy.spines["right"].set_visible(True)
    accuracy.grid(False)
    ax.figure.legend(loc="outside upper center", ncols=3)
    return ax
