"""What is compared with what: every pair of models and the controls, for each method and training seed of a task."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from trusteq.alignment.overlap import Alignment, align, ceiling, random_features
from trusteq.alignment.ranking import as_released
from trusteq.statistics import n_clusters, stream_seed
from trusteq.study.jobs import AGAIN, RANDOM_HEAD
from trusteq.study.results import Results
from trusteq.study.sides import CONTROLS, clusters, gold_labels, other_seed


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two tables of attributions of the same examples, by one method.

    model_b: a model, or one of CONTROLS. label: id -> class explained. ceiling: the mean of both sides' agreement with
    themselves; None for "itself", where both sides are the same draw. common: both sides again, under an explainer seed
    that all models share; None for methods that draw nothing and for controls.
    """

    method: str
    seed: int
    model_a: str
    model_b: str
    a: pd.DataFrame
    b: pd.DataFrame
    label: pd.Series
    ceiling: Alignment | None = None
    common: tuple[pd.DataFrame, pd.DataFrame] | None = None

    @property
    def key(self) -> dict:
        """What names the comparison in a table: method, seed, model_a, model_b."""
        return {"method": self.method, "seed": self.seed, "model_a": self.model_a, "model_b": self.model_b}

    @property
    def is_control(self) -> bool:
        """Whether the second side is a control and not another model."""
        return self.model_b in CONTROLS


@dataclass(frozen=True, eq=False)
class Compared:
    """All comparisons of one task, and each model's agreement with itself, by (method, seed, model, what differs)."""

    run: Results
    task: str
    clusters: pd.Series | None
    comparisons: tuple[Comparison, ...]
    itself: Mapping[tuple[str, int, str, str], Alignment]

    @property
    def pairs(self) -> list[Comparison]:
        """The comparisons of two models."""
        return [found for found in self.comparisons if not found.is_control]

    @property
    def by_place(self) -> list[Comparison]:
        """Those of `against_large` whose features are words by their place, not words as the authors' scripts do."""
        return [found for found in self.against_large if not as_released(found.a)]

    @property
    def against_large(self) -> list[Comparison]:
        """The comparisons of the large model with each other one, then the controls, by method and seed."""
        return [found for found in self.comparisons if found.model_a == self.run.experiment.large]

    def resampled(self, found: Comparison) -> int:
        """Return the number of examples, or of clusters, behind the interval of a comparison."""
        ids = found.label.index
        return n_clusters(None if self.clusters is None else self.clusters[ids], len(ids))

    def align(self, a: pd.DataFrame, b: pd.DataFrame, label: pd.Series, **options) -> Alignment:
        """Compare two tables of attributions with the experiment's k and the task's clusters."""
        return align(a, b, k=self.run.experiment.k, label=label, clusters=self.clusters, **options)


def compare(run: Results, task: str) -> Compared:
    """Read all attributions of a task and return what is compared with what."""
    groups, gold = clusters(run, task), gold_labels(run, task)
    comparisons, itself = [], {}
    for method, seed in itertools.product(run.experiment.task_methods(task), run.experiment.seeds):
        of_method = _OneMethod(run, task, method, seed, gold, groups)
        comparisons += of_method.pairs() + of_method.controls()
        itself |= {(method, seed, *who): found for who, found in of_method.itself.items()}
    return Compared(run, task, groups, tuple(comparisons), itself)


def compare_with_large(run: Results, task: str) -> Compared:
    """Read the attributions of a task and return the large model beside every other model under each of its seeds.

    The large model's own other seeds are among them. Each model is compared with the large one of the seed that it was
    made from (`Experiment.origin_seed`); no controls. Cheaper than `compare` where there are many models.
    """
    experiment, groups, gold = run.experiment, clusters(run, task), gold_labels(run, task)
    comparisons, itself = [], {}
    for method in experiment.task_methods(task):
        kinds = ("", AGAIN) if experiment.draws(task, method) else ("", "")
        explained = [who for who in experiment.runs if who[0] in experiment.models_of(task, method)]
        tables = {
            who: [run.attribution(task, *who, f"{method}.{kind}" if kind else method) for kind in kinds]
            for who in explained
        }
        label = gold[tables[explained[0]][0]["id"].unique()]
        how = {"k": experiment.k, "label": label, "clusters": groups}
        own = {who: align(*pair, **how) for who, pair in tables.items()}
        itself |= {(method, seed, model, "explainer seed"): found for (model, seed), found in own.items()}
        for model, seed in explained:
            first = experiment.seeds[0] if model == experiment.large else experiment.origin_seed(experiment.large, seed)
            a, b = (experiment.large, first), (model, seed)
            if a != b:
                top = ceiling(own[a], own[b], clusters=groups)
                pair = tables[a][0], tables[b][0]
                comparisons.append(Comparison(method, seed, experiment.large, model, *pair, label, top))
    return Compared(run, task, groups, tuple(comparisons), itself)


class _OneMethod:
    """The attributions of one method and training seed, each read once, and what is made of them."""

    def __init__(self, run: Results, task: str, method: str, seed: int, gold: pd.Series, clusters: pd.Series | None):
        self.run, self.task, self.method, self.seed, self.clusters = run, task, method, seed, clusters
        self.large, self.draws = run.experiment.large, run.experiment.draws(task, method)
        self.first = {name: self.read(name, seed) for name in run.experiment.models_of(task, method)}
        self.again = {name: self.read(name, seed, AGAIN) for name in self.first} if self.draws else self.first
        self.label = gold[self.first[self.large]["id"].unique()]
        self.itself = {(name, "explainer seed"): self.align(self.first[name], self.again[name]) for name in self.first}

    def read(self, model: str, seed: int, kind: str = "") -> pd.DataFrame:
        return self.run.attribution(self.task, model, seed, f"{self.method}.{kind}" if kind else self.method)

    def align(self, a: pd.DataFrame, b: pd.DataFrame) -> Alignment:
        return align(a, b, k=self.run.experiment.k, label=self.label, clusters=self.clusters)

    def one(self, model_a: str, model_b: str, a: pd.DataFrame, b: pd.DataFrame, ceiling=None, common=None):
        return Comparison(self.method, self.seed, model_a, model_b, a, b, self.label, ceiling, common)

    def left(self, model: str) -> pd.DataFrame:
        # Where the experiment's first tables share their masks, the second run of one side makes the two independent.
        return self.again[model] if self.run.experiment.common_masks else self.first[model]

    def pairs(self) -> list[Comparison]:
        found = []
        for a, b in itertools.combinations(self.first, 2):
            top = ceiling(*(self.itself[name, "explainer seed"] for name in (a, b)), clusters=self.clusters)
            common = (self.again[a], self.again[b]) if self.draws else None
            found.append(self.one(a, b, self.left(a), self.first[b], top, common))
        return found

    def controls(self) -> list[Comparison]:
        """Return the controls of the large model; its own agreement with itself stands for a side that has none."""
        of_large, own = self.first[self.large], self.itself[self.large, "explainer seed"]
        random = random_features(of_large, seed=stream_seed(self.seed, "random features"))
        twin = self.read(self.large, self.seed, RANDOM_HEAD)
        return [
            self.one(self.large, "itself", of_large, of_large),
            self.one(self.large, "reseeded", of_large, self.again[self.large], own),
            *self.retrained(own),
            self.one(self.large, "random-head", self.left(self.large), twin, own),
            self.one(self.large, "random-features", of_large, random, own),
        ]

    def retrained(self, own: Alignment) -> list[Comparison]:
        """Return the large model beside itself under another training seed, if it has one."""
        other = other_seed(self.run, self.seed)
        if other is None:
            return []
        first = self.read(self.large, other)
        again = self.read(self.large, other, AGAIN) if self.draws else first
        top = ceiling(own, self.align(first, again), clusters=self.clusters)
        self.itself[self.large, "training seed"] = self.align(self.first[self.large], first)
        return [self.one(self.large, "retrained", self.first[self.large], first, top)]
