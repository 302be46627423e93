"""What a run holds: what models and controls of the large one predicted and why, and what is known to matter."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.alignment.ranking import Ranking
from trusteq.blocks import Stored
from trusteq.errors import DataError
from trusteq.examples.load import load_edits, load_examples
from trusteq.registry import load_task
from trusteq.store import read_table
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import AGAIN
from trusteq.study.results import Results
from trusteq.verdict.audit import grouped
from trusteq.verdict.comparison import Explained
from trusteq.verdict.predictions import Predictions
from trusteq.verdict.seeds import FEWEST_SEEDS

Sides = Mapping[str, Predictions]
Run = tuple[str, int]  # a model and its training seed
Pair = tuple[int, int]  # training seeds of the large model and of another


def probabilities(run: Results, task: str, model: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a model's test probabilities, (n, C), and the labels, (n,)."""
    predictions = run.predictions(task, model, seed)
    return predictions[list(run.experiment.task(task).labels)].to_numpy(), predictions["label"].to_numpy()


def clusters(run: Results, task: str) -> pd.Series | None:
    """Return the first text of every test example by id, or its number where texts are not at hand.

    None where no two examples share one. Examples with one first text, such as SNLI's hypotheses about one premise, are
    resampled together. The texts are for that alone: no artefact holds them.
    """
    if run.is_published:
        file = run.path("groups", task)
        known = file.is_file()
        return read_table(file, made_by="trusteq publish").set_index("id")["group"].astype(object) if known else None
    examples = load_examples(run.experiment.task(task), "test")
    texts = grouped(examples)
    return None if texts is None else pd.Series(texts, index=pd.Index(examples["id"], name="id"), dtype=object)


def numbered(groups: pd.Series | None) -> pd.Series | None:
    """Return clusters (see `clusters`) by numbers, which are compared faster; None for None."""
    # As the texts sort: the bootstrap draws clusters in their order, and intervals stay the same.
    return None if groups is None else pd.Series(pd.factorize(groups, sort=True)[0], index=groups.index)


def predicted_sides(
    run: Results, task: str, seed: int, part: str = "test", *, groups: pd.Series | None = None
) -> dict[str, Predictions]:
    """Return the predictions of every model, then of the large one's controls, by name.

    "retrained", where it has another training seed, and, of the test split, "random-head". part: "test" or "dev"; those
    of the test split know which examples are resampled together. groups: of `clusters`, where they are known already.
    """
    experiment, other = run.experiment, other_seed(run, seed)
    found = {name: run.predictions(task, name, seed, part) for name in experiment.models}
    if other is not None:
        found["retrained"] = run.predictions(task, experiment.large, other, part)
    if part == "test" and experiment.has_twin(experiment.large, seed):
        found["random-head"] = run.predictions(task, experiment.large, seed, "random-head")
    return _sides(run, task, found, clusters(run, task) if groups is None and part == "test" else groups)


def predicted_runs(
    run: Results, task: str, runs: Iterable[Run] | None = None, *, groups: pd.Series | None = None
) -> dict[Run, Predictions]:
    """Return the predictions of the test split of models under training seeds, by default of all; groups: as there."""
    tables = {who: run.predictions(task, *who) for who in runs or run.experiment.runs}
    return _sides(run, task, tables, clusters(run, task) if groups is None else groups)


def _sides(run: Results, task: str, tables: Mapping, groups: pd.Series | None) -> dict:
    labels = run.experiment.task(task).labels
    found = {name: Predictions.of(table, labels, where=str(name)) for name, table in tables.items()}
    ids = next(iter(found.values())).ids  # in memory once for all that have the same
    found = {name: replace(of, ids=ids) if np.array_equal(of.ids, ids) else of for name, of in found.items()}
    if groups is None:
        return found
    return {name: replace(of, clusters=of_ids(groups, of.ids).to_numpy()) for name, of in found.items()}


def of_ids(values: pd.Series, ids: ArrayLike) -> pd.Series:
    """Return the values of some ids; of all, in their order, without looking them up."""
    return values if values.index.equals(pd.Index(ids)) else values[ids]


def explained_runs(
    run: Results, task: str, method: str, runs: Iterable[Run], *, gold: pd.Series, groups: pd.Series | None
) -> dict[Run, Explained]:
    """Return what one method says of models under training seeds, for the gold class; each table is read once.

    gold: id -> class name. groups: of `clusters`. Without a second seed of the explainer, where the method draws
    nothing, the second table is the first.
    """
    experiment, label, found = run.experiment, None, {}
    how = {"k": experiment.k, "clusters": groups, "method": method}
    how["n_samples"] = experiment.task_methods(task)[method].n_samples
    for who in runs:
        first = run.explanations(task, *who, method)
        if label is None:
            label = of_ids(gold, first.ids() if isinstance(first, Stored) else first["id"].unique())
        first = Ranking(first, label)
        draws = experiment.draws(task, method)
        again = Ranking(run.explanations(task, *who, f"{method}.{AGAIN}"), label) if draws else first
        found[who] = Explained(first, again, **how)
    return found


def other_seed(run: Results, seed: int) -> int | None:
    """Return another training seed of the large model, None where it has no other."""
    return next((other for other in run.experiment.model_seeds(run.experiment.large) if other != seed), None)


@dataclass(frozen=True)
class SeedPairs:
    """Training seeds over which a claim about a way of compressing runs: (large seed, the other model's seed).

    fixed: the one training seed of the large model with which all are compared, a condition that the claim must name;
    None where each pair has another.
    """

    pairs: tuple[Pair, ...]
    fixed: int | None = None


def paired_seeds(experiment: Experiment, model: str) -> SeedPairs:
    """Return the pairs of trainings of the large model and of another one that are independent of each other.

    A model made from the large one, or from what is made from it, belongs to the seed that it was made from; without
    training of its own it counts once for that. One trained by itself goes with the large one of the same number: as
    good a pairing as any. Each seed of the large model enters once; where fewer than `FEWEST_SEEDS` pairs are left so,
    and one seed of it has more partners, that one is `fixed` and they are the pairs.
    """
    distinct = {_training(experiment, model, seed): seed for seed in reversed(experiment.model_seeds(model))}
    seeds = [seed for seed in experiment.model_seeds(model) if seed in distinct.values()]
    made = [(_large_seed(experiment, model, seed), seed) for seed in seeds]
    varied, held = _apart(made, seeds, experiment.model_seeds(experiment.large))
    if len(varied) >= min(len(held), FEWEST_SEEDS):
        return SeedPairs(tuple(varied))
    return SeedPairs(tuple(held), held[0][0])


def _apart(
    made: list[tuple[int | None, int]], seeds: list[int], of_large: tuple[int, ...]
) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs if each seed of the large model is to enter once, and the most that one of them has."""
    if made[0][0] is None:
        return [(seed, seed) for seed in seeds if seed in of_large], [(of_large[0], seed) for seed in seeds]
    by_large = [[pair for pair in made if pair[0] == large] for large in of_large]
    return [pairs[0] for pairs in by_large if pairs], max(by_large, key=len)


def _training(experiment: Experiment, model: str, seed: int) -> Run:
    """Return the last training behind a model: its own, or that of what it is made from without one."""
    spec = experiment.model(model)
    if spec.is_trained:
        return model, seed
    return _training(experiment, spec.compress.of, experiment.origin_seed(spec.compress.of, seed))


def _large_seed(experiment: Experiment, model: str, seed: int) -> int | None:
    """Return the training seed of the large model that a model is made from, None where it is not."""
    if model == experiment.large:
        return seed
    origins = (_large_seed(experiment, of, experiment.origin_seed(of, seed)) for of in experiment.model(model).needs)
    return next((found for found in origins if found is not None), None)


def gold_labels(run: Results, task: str) -> pd.Series:
    """Return the gold class name of every test example, by id."""
    predictions = run.predictions(task, run.experiment.large, run.experiment.seeds[0])
    names = np.array(run.experiment.task(task).labels, dtype=object)
    return pd.Series(names[predictions["label"]], index=predictions["id"])


def known_truths(run: Results, task: str) -> dict[str, pd.Series]:
    """Return what is known to matter in the test examples, id -> (segment, position) of the words, by name.

    "evidence" and "shortcut" of generated tasks; "edits", the words that people changed to flip a label of SNLI, where
    that data set can be read and the task tests on SNLI's own test split. Empty for other tasks.
    """
    if run.is_published:
        return _published_truths(run, task)
    settings = run.experiment.task(task)
    if settings.generated:
        test = load_examples(settings, "test").set_index("id")
        return {name: test[name] for name in ("evidence", "shortcut") if name in test}
    if settings.splits.test == load_task("snli").splits.test:  # whatever the task is called
        try:
            return {"edits": load_edits().set_index("id")["edited"]}
        except DataError:  # a data set of its own, which a mirror may lack
            return {}
    return {}


def _published_truths(run: Results, task: str) -> dict[str, pd.Series]:
    table = read_table(run.path("truth", task), made_by="trusteq publish")
    places = table.assign(place=list(zip(table["segment"], table["position"], strict=True)))
    return {
        name: rows.groupby("id", sort=False)["place"].agg(tuple) for name, rows in places.groupby("truth", sort=False)
    }
