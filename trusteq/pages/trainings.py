"""What the published trainings of models say: pairs of models, numbers of each, and one number over several trainings.

Three trainings or more speak of the way of compressing, as further ones would come out; fewer speak of these
checkpoints.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trusteq.alignment.overlap import Alignment, cluster_codes, mean_estimate
from trusteq.estimates import Bounds, Estimate, mean
from trusteq.pages.show import titles
from trusteq.study.compressions import compare_with_large
from trusteq.study.results import Results
from trusteq.verdict.comparison import Comparison, Side
from trusteq.verdict.seeds import between_seeds, crossed, is_about_way

Runs = Sequence[Results]
Value = pd.Series | Estimate  # of one pair: by example, or already a number
Two = tuple["Pair", "Pair"]
UNIT = (-1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Pair:
    """A large model and another one, explained by one method.

    data: the task. run: who publishes it. model: the title of the other. training: that of the large model, the same
    for all that goes with it, whoever publishes it. draws: whether the method does. is_trained: whether the model is.
    """

    data: str
    run: str
    model: str
    method: str
    training: int
    found: Comparison
    draws: bool = True
    is_trained: bool = True

    @property
    def other_training(self) -> int:
        """That of the other model."""
        return _number(self.found.b)

    @property
    def where(self) -> str:
        """Who publishes the other model, and under which training seed."""
        return f"seed {self.found.b.training_seed} of {self.run}"

    @property
    def jaccard(self) -> pd.Series:
        """The Jaccard index, by example."""
        return self.found.alignment.table.set_index("id")["jaccard"]

    @property
    def itself(self) -> pd.Series:
        """The same of the large model, explained again."""
        return self.found.a.explained.itself.table.set_index("id")["jaccard"]

    @property
    def above_chance(self) -> pd.Series:
        """The Jaccard index less that of two random sets of words."""
        return self.jaccard - self.found.alignment.table.set_index("id")["chance"]

    @property
    def below_ceiling(self) -> pd.Series:
        """By how much it falls short of what both models share with themselves, explained again."""
        top = self.found.ceiling
        return (top.table.set_index("id")["jaccard"] if isinstance(top, Alignment) else top) - self.jaccard

    @property
    def place(self) -> Estimate | None:
        """Where it lies from chance, 0, to ceiling, 1; None where the ceiling is not shown to be above chance."""
        found = self.found.alignment.place
        return found if np.isfinite(found.interval).all() else None


Measured = tuple[Pair, Value]


def _number(side: Side) -> int:
    return hash(side.predictions.probabilities.tobytes())


@dataclass(frozen=True)
class Evidence:
    """Pairs of models that claims are held against.

    pairs: the large model with each smaller one, by the methods that explain all models. twins: two trainings of the
    large model. taught: a distilled model, and one as deep without a teacher; kept: a student trained to keep its
    teacher's words, and the plain one; released: as the authors' scripts perturb a pair, and with its boundary kept.
    """

    pairs: Sequence[Pair] = ()
    twins: Sequence[Pair] = ()
    taught: Sequence[Two] = ()
    kept: Sequence[Two] = ()
    released: Sequence[Two] = ()


def about(trainings: int) -> str:
    """Return what so many trainings speak of."""
    return "further trainings" if is_about_way(trainings) else "these checkpoints"


def evidence(runs: Runs) -> Evidence:
    """Return what runs hold; what two of them publish of one training counts once."""
    parts = [_of_task(run, task) for run in runs for task in run.experiment.tasks]
    every = {name: [of for part in parts for of in getattr(part, name)] for name in Evidence.__dataclass_fields__}
    first = {_key(pair): pair for pair in reversed(every["pairs"])}
    every["pairs"] = [pair for pair in every["pairs"] if first[_key(pair)] is pair]
    for name in ("taught", "kept"):
        every[name] = [two for two in every[name] if first[_key(two[0])] is two[0]]
    return Evidence(**every)


def _key(pair: Pair) -> tuple:
    return pair.data, pair.method, pair.training, pair.other_training


def _of_task(run: Results, task: str) -> Evidence:
    experiment, methods = run.experiment, run.experiment.task_methods(task)
    found, for_all = compare_with_large(run, task), [name for name, of in methods.items() if of.models is None]
    small = {
        (one.a.explained.method, one.b.name, one.b.training_seed): _pair(run, task, one)
        for one in found
        if one.b.name != experiment.large
    }

    def beside(model: str, other: str) -> list[Two]:
        seeds = [(seed, experiment.origin_seed(other, seed)) for seed in experiment.model_seeds(model)]
        return [(small[of, model, a], small[of, other, b]) for of in for_all for a, b in seeds]

    released = {name: of.like for name, of in methods.items() if of.boundary == "as-released"}
    return Evidence(
        [pair for (method, *_), pair in small.items() if method in for_all],
        [pair for method in for_all for pair in _twins(run, task, found, method)],
        [two for names in distilled_and_cut(run, task) for two in beside(*names)],
        [two for names in keeping_and_plain(run, task) for two in beside(*names)],
        [(pair, small[released[method], *of]) for (method, *of), pair in small.items() if method in released],
    )


def _twins(run: Results, task: str, found: Iterable[Comparison], method: str) -> list[Pair]:
    own = [of for of in found if of.a.explained.method == method and of.b.name == run.experiment.large]
    sides = [of.b if of.b.explained else of.a for of in own]
    return [_pair(run, task, Comparison(*two)) for two in itertools.combinations(sides, 2)]


def _pair(run: Results, task: str, found: Comparison) -> Pair:
    method, name = found.a.explained.method, found.b.name
    facts = run.experiment.draws(task, method), run.experiment.model(name).is_trained
    return Pair(task, run.experiment.name, titles(run)[name], method, _number(found.a), found, *facts)


def distilled_and_cut(run: Results, task: str) -> list[tuple[str, str]]:
    """Return pairs of models with as many layers, fewer than the large one's, begun from the same weights as it.

    The first learns from its answers and is asked for nothing else, the second from labels alone.
    """
    experiment, large = run.experiment, run.experiment.large
    first = {name: experiment.model_seeds(name)[0] for name in experiment.models}
    layers = {name: run.facts(task, name, seed, "metrics")["layers"] for name, seed in first.items()}
    specs = {name: experiment.model(name) for name in layers if layers[name] < layers[large]}
    taught = [name for name, of in specs.items() if of.teacher == large and of.compress]
    recipes = {name: experiment.recipe_for(task, name) for name in taught}
    distilled = [name for name, of in recipes.items() if not (of.attribution_weight or of.confidence_weight)]
    cut = [name for name, of in specs.items() if of.teacher is None and not of.scratch]
    return [(one, other) for one in distilled for other in cut if layers[one] == layers[other]]


def keeping_and_plain(run: Results, task: str) -> list[tuple[str, str]]:
    """Return each student that is trained to keep its teacher's words, with the first student, which is not."""
    plain, *others = run.experiment.students or [""]
    return [(name, plain) for name in others if run.experiment.recipe_for(task, name).attribution_weight]


def measured(pairs: Iterable[Pair], value: Callable[[Pair], Value | None]) -> list[Measured]:
    """Return each pair with a number of it, without those that have none."""
    return [(pair, of) for pair in pairs if (of := value(pair)) is not None]


def once(pairs: Iterable[Pair]) -> list[Pair]:
    """Return one of the pairs that differ in the explainer alone, for what does not depend on it; without a method."""
    found = {(pair.data, pair.training, pair.other_training): pair for pair in pairs}
    return [replace(pair, method="") for pair in found.values()]


def twins_measured(twins: Sequence[Pair], value: Callable[[Pair], pd.Series]) -> list[Measured]:
    """Return what each training of the large model adds to the mean over all pairs of its trainings, by example.

    These jackknife pseudo-values vary over trainings as that mean does, though pairs share trainings; their mean is
    that over pairs. Of two trainings, both have the value of the one pair.
    Source: Arvesen (1969), Jackknifing U-Statistics.
    """
    found, groups = [], {}
    for pair in twins:
        groups.setdefault((pair.data, pair.method, pair.run), []).append(pair)
    for pairs in groups.values():
        values = {(pair.training, pair.other_training): value(pair) for pair in pairs}
        trainings = list(dict.fromkeys(one for both in values for one in both))
        for one in trainings:
            of_all, others = average(list(values.values())), [of for both, of in values.items() if one not in both]
            own = len(trainings) * of_all - (len(trainings) - 1) * average(others) if others else of_all
            found.append((replace(pairs[0], training=one, model="trained again"), own))
    return found


def over_trainings(found: Sequence[Measured], *, within: Bounds = UNIT) -> tuple[Estimate, int]:
    """Return one number over trainings, and how many they are.

    What was made of one training of the large model counts as one. From three on, trainings vary as examples do (see
    `seeds`); below, they are averaged as they are. Trainings that were explained on other examples enter as estimates.
    within: where the mean over trainings can lie, of any example.
    """
    clusters, by_training = found[0][0].found.a.explained.clusters, {}
    for pair, value in found:
        by_training.setdefault(pair.training, []).append(value)
    values, about_way = [average(of) for of in by_training.values()], is_about_way(len(by_training))
    if not isinstance(values[0], Estimate):
        if len({frozenset(of.index) for of in values}) == 1:
            table = pd.concat(values, axis=1).dropna()
            how = {"clusters": cluster_codes(clusters, table.index), "within": within}
            one = crossed(table.to_numpy().T, **how) if about_way else mean(table.mean(axis=1), **how)
            return one, len(values)
        values = [mean_estimate(of.dropna(), clusters=clusters, within=within) for of in values]
    return (between_seeds if about_way else mean_of)(values), len(values)


def average(values: Sequence[Value]) -> Value:
    """Return the mean of values of one kind."""
    return mean_of(values) if isinstance(values[0], Estimate) else sum(values) / len(values)


def mean_of(found: Sequence[Estimate]) -> Estimate:
    """Return the mean of estimates, whose bounds are the means of theirs: wide enough however they hang together."""

    def bounds(alpha: float) -> Bounds:
        low, high = np.mean([of.bounds(alpha) for of in found], axis=0)
        return float(low), float(high)

    fewest = (min(getattr(of, name) for of in found) for name in ("n", "units", "effective"))
    return Estimate(float(np.mean([of.value for of in found])), bounds, *fewest)


def magnitude(found: Estimate) -> Estimate:
    """Return the estimate of the same number without its sign; its lower bound is 0 where the sign is not known."""

    def bounds(alpha: float) -> Bounds:
        low, high = found.bounds(alpha)
        return max(low, -high, 0.0), max(abs(low), abs(high))

    return replace(found, value=abs(found.value), bounds=bounds)


def lowest_of(found: Sequence[Estimate]) -> Estimate:
    """Return the estimate of the lowest of several numbers: by Bonferroni, so the choice is in its interval."""

    def bounds(alpha: float) -> Bounds:
        low, high = np.min([of.bounds(alpha / len(found)) for of in found], axis=0)
        return float(low), float(high)

    return replace(min(found, key=lambda of: of.value), bounds=bounds)
