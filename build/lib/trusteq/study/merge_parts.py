"""One experiment from results made in parts: on several machines, or in several goes that kept no weights."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from trusteq.errors import ArtefactError
from trusteq.store import write_table, write_text
from trusteq.study import graph, publish
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results


def gather(experiment: Experiment, parts: Sequence[Results], folder: Path) -> Results:
    """Write what `parts` hold of an experiment below `folder`, as published results without tables over its models.

    parts: runs of some of its models and training seeds, or published results of such; of what several hold, the first
    one's is taken. Raises ArtefactError for a model that none has whole, or that was made with other settings.
    """
    target = folder / experiment.name
    target.mkdir(parents=True)
    write_text(experiment.dump(whole=True), target / "experiment.yaml")
    for task in experiment.tasks:
        for model, seed in experiment.runs:
            part = _holder(experiment, parts, task, model, seed)
            publish.publish_model(part, experiment, task, model, seed, target)
        publish.publish_examples(next(part for part in parts if task in part.experiment.tasks), task, target)
    if any(experiment.model(name).compress for name in experiment.models):
        _gather_footprints(experiment, parts, target)
    publish.write_manifest(experiment, target)
    return Results.open(target)


def _holder(experiment: Experiment, parts: Sequence[Results], task: str, model: str, seed: int) -> Results:
    wanted = graph.model_tables(experiment, task, model, seed)
    for part in parts:
        made_for = part.experiment
        if task not in made_for.tasks or (model, seed) not in made_for.runs:
            continue
        if all((part.folder / table).is_file() for table in wanted):
            ours, theirs = _settings(experiment, task, model), _settings(made_for, task, model)
            if differing := [name for name in ours if ours[name] != theirs.get(name)]:
                raise ArtefactError(
                    f"{part.folder}: {model} on {task} was made with another {', '.join(differing)} "
                    f"than {experiment.name} has; name the experiment that it was made for"
                )
            return part
    lacks = {str(part.folder): [table for table in wanted if not (part.folder / table).is_file()] for part in parts}
    missing = min(lacks.values(), key=len)[0]
    raise ArtefactError(
        f"{experiment.name}: {model} with seed {seed} on {task} is whole in none of the folders "
        f"({', '.join(lacks)}); the nearest to it lacks {missing}"
    )


def _settings(experiment: Experiment, task: str, model: str) -> dict:
    """Return what decides the tables of one model, by the name of the setting."""
    methods = {
        f"method {name}": how.model_dump(exclude={"models"})
        for name, how in experiment.task_methods(task).items()
        if model in experiment.models_of(task, name)
    }
    same = {name: getattr(experiment, name) for name in ("train_limit", "common_masks", "k")}
    found = {"recipe": experiment.recipe_for(task, model), "data": experiment.task(task).splits}
    return found | {"model": experiment.model(model), "explain": experiment.explained(task)} | same | methods


def _gather_footprints(experiment: Experiment, parts: Sequence[Results], target: Path) -> None:
    """Write the footprints of all models on the first task, each from the first part that measured it."""
    task = next(iter(experiment.tasks))
    measured = [part for part in parts if part.path("compression", task, "footprints").is_file()]
    rows = [part.compression(task, "footprints") for part in measured] or [pd.DataFrame(columns=["model"])]
    found = pd.concat(rows).drop_duplicates("model").set_index("model")
    if lost := [name for name in experiment.models if name not in found.index]:
        raise ArtefactError(
            f"{experiment.name}: no folder says what {lost[0]} costs on {task}; "
            "notebooks/05_compression.py measures it, where the weights are"
        )
    table = found.loc[list(experiment.models)].reset_index()
    path = target / "compression" / task / "footprints.parquet"
    write_table(table, path, experiment=experiment.name, task=task)
