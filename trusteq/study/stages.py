"""What the notebooks on fine-tuning and attribution do, as functions; and both for many small models in one process."""

import contextlib
import functools
import os
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from trusteq.calibration.proper_scores import scores
from trusteq.examples.load import load_examples, sample
from trusteq.models import footprint
from trusteq.models.classifier import Classifier, load_classifier
from trusteq.models.finetune import FineTuned, finetune, predict, save
from trusteq.models.heads import random_head
from trusteq.store import write_text
from trusteq.study import layout
from trusteq.study.jobs import RANDOM_HEAD, jobs
from trusteq.study.results import Results, part_name
from trusteq.study.shards import attributions


@dataclass(frozen=True)
class Which:
    """One fine-tuned model of a run."""

    run: Results
    task: str
    model: str
    seed: int

    @property
    def facts(self) -> dict:
        """What names it in a manifest: task, model, seed and recipe."""
        recipe = self.run.experiment.recipe_for(self.task, self.model)
        return {"task": self.task, "model": self.model, "seed": self.seed, "recipe": recipe.model_dump()}


def train(which: Which, train: pd.DataFrame, dev: pd.DataFrame) -> FineTuned:
    """Fine-tune or compress a model, from the fine-tuned models that it is made from."""
    experiment, task = which.run.experiment, which.task
    spec = experiment.model(which.model)
    known = {
        name: load_classifier(which.run.trained(task, name, experiment.origin_seed(name, which.seed)))
        for name in spec.needs
    }
    return finetune(
        train,
        dev,
        spec=spec,
        labels=experiment.task(task).labels,
        recipe=experiment.recipe_for(task, which.model),
        seed=which.seed,
        checkpoints=which.run.folder / "checkpoints" / task / which.model / str(which.seed),
        tokens=which.run.folder / "tokens" / task,
        original=known.get(spec.compress.of) if spec.compress else None,
        teacher=known.get(spec.teacher),
    )


def keep(which: Which, tuned: FineTuned, test: pd.DataFrame) -> dict[str, float]:
    """Write a model and its predictions of the test split; return its metrics and the seconds that predicting took."""
    predictions, seconds = predict(tuned.classifier, test)
    labels = list(tuned.classifier.labels)
    accuracy = scores(predictions[labels], predictions["label"])["accuracy"]
    majority = test["label"].value_counts(normalize=True).max()
    metrics = {"accuracy": accuracy, "majority": majority, "test_examples": len(test)}
    folder = which.run.model(which.task, which.model, which.seed)
    save(tuned, folder, metrics=metrics, timing={"inference_seconds": seconds}, **which.facts)
    which.run.write(predictions, "predictions", which.task, which.model, which.seed, **which.facts)
    return metrics | {"inference_seconds": seconds}


def further(which: Which, tuned: FineTuned, dev: pd.DataFrame, test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Write and return the predictions of the dev split and, of the large model's randomly headed twin, of the test."""
    found = {"dev": predict(tuned.classifier, dev)[0]}
    if which.run.experiment.has_twin(which.model, which.seed):
        found[RANDOM_HEAD] = predict(random_head(tuned.classifier, seed=which.seed), test)[0]
    for part, table in found.items():
        name = part_name(which.seed, part)
        which.run.write(table, "predictions", which.task, which.model, name, **which.facts, part=part)
    return found


def explain_all(which: Which, classifier: Classifier, test: pd.DataFrame) -> None:
    """Explain a model and write every table of attributions that the experiment asks for."""
    run, task, model, seed = which.run, which.task, which.model, which.seed
    twin = random_head(classifier, seed=seed) if run.experiment.has_twin(model, seed) else None
    chosen = sample(test, run.experiment.explained(task))
    for job in jobs(run.experiment, task=task, model=model, seed=seed):
        attributions(run, job, twin if job.kind == RANDOM_HEAD else classifier, chosen)


def complete(run: Results, task: str, *, anew: bool = False, workers: int | None = None) -> list[str]:
    """Make what a run lacks of one task, several models at a time, and return their names.

    The artefacts are those of the notebooks 01 and 02, without the pages: what takes them seconds to start is started
    once. For small models; `trusteq run` does the same for large ones, and can be stopped. anew: make everything again.
    """
    if anew:
        shutil.rmtree(run.folder, ignore_errors=True)
    waiting = [which for which in _all(run, task) if not _is_made(which)]
    names = list(dict.fromkeys(which.model for which in waiting))
    if not waiting:
        return names
    write_text(run.experiment.dump(), run.folder / "experiment.yaml")
    one_thread = {"initializer": torch.set_num_threads, "initargs": [1]}
    with ProcessPoolExecutor(workers or os.cpu_count(), footprint.context(), **one_thread) as pool:
        running = {}
        while waiting or running:
            missing = {which.model for which in [*waiting, *filter(None, running.values())]}
            ready = [which for which in waiting if not missing & set(run.experiment.model(which.model).needs)]
            waiting = [which for which in waiting if which not in ready]
            running |= {pool.submit(_quietly, _tune, which): which for which in ready}
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                done.result()
                if which := running.pop(done):  # models that are made from this one do not wait until it is explained
                    running[pool.submit(_quietly, _explain, which)] = None
    return names


def _all(run: Results, task: str) -> list[Which]:
    return [Which(run, task, model, seed) for model, seed in run.experiment.runs]


def _is_made(which: Which) -> bool:
    run, parts = which.run, (which.task, which.model, which.seed)
    tables = layout.prediction_tables(run.experiment, *parts) + layout.attribution_tables(run.experiment, *parts)
    return (run.model(*parts) / "manifest.json").is_file() and all((run.folder / table).is_file() for table in tables)


def _quietly(make: Callable[[Which], None], which: Which) -> None:
    # What a trainer prints would come in the order of several processes at once.
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        make(which)


def _tune(which: Which) -> None:
    examples = functools.partial(_examples, which.run.folder, which.task)
    dev, test = examples("dev"), examples("test")
    tuned = train(which, examples("train"), dev)
    keep(which, tuned, test)
    further(which, tuned, dev, test)


def _explain(which: Which) -> None:
    classifier = load_classifier(which.run.trained(which.task, which.model, which.seed))
    explain_all(which, classifier, _examples(which.run.folder, which.task, "test"))


@functools.cache
def _examples(folder: Path, task: str, split: str) -> pd.DataFrame:
    """Return what a run trains, chooses and tests on; read once by each process."""
    experiment = Results.open(folder).experiment
    limit = experiment.train_limit if split == "train" else None
    return load_examples(experiment.task(task), split, limit=limit)
