"""Data, recipes and fine-tuned models."""

from collections.abc import Collection, Mapping

import pandas as pd

from trusteq.experiment import TEACHING, Recipe
from trusteq.registry import ModelSpec
from trusteq.store import Results
from trusteq.tables.base import PAPER_MARK, counterparts, facts_table, paper_table, titles


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


def model_table(run: Results, seed: int) -> pd.DataFrame:
    """Return the paper's Table 1: size of each model, and its accuracy and inference time on each task.

    inference_s: seconds for the whole test split, which has another size than the paper's.
    """
    rows = []
    for name, title in titles(run).items():
        metrics = {task: run.facts(task, name, seed, "metrics") for task in run.experiment.tasks}
        shape = next(iter(metrics.values()))
        row = {"model": title, "layers": shape["layers"], "hidden_size": shape["hidden_size"]}
        row |= {"parameters_M": shape["parameters"] / 1e6, "size_MB": shape["weights_bytes"] / 1e6}
        for task, facts in metrics.items():
            row[f"{task}_accuracy"] = 100 * facts["accuracy"]
            row[f"{task}_inference_s"] = run.facts(task, name, seed, "timing")["inference_seconds"]
        rows.append(row)
    return pd.DataFrame(rows)


def paper_model_table(run: Results) -> pd.DataFrame:
    """Return the paper's own Table 1, with the model of this run that plays each part, or "none"."""
    table = paper_table("models")
    parts = {role: run.experiment.model(name).title for name, role in counterparts(run).dropna().items()}
    numbers = table.drop(columns="model").add_prefix(f"{PAPER_MARK}_")
    return pd.concat([table[["model"]].assign(played_by=table["model"].map(parts).fillna("none")), numbers], axis=1)
