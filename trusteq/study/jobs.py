"""What is explained of a fine-tuned model: each method, again where it draws, and the controls of the large model."""

from collections.abc import Collection
from dataclasses import asdict, dataclass

from trusteq.statistics import stream_seed
from trusteq.study.experiment import Experiment

AGAIN, RANDOM_HEAD = "again", "random-head"


@dataclass(frozen=True)
class Job:
    """One table of attributions: of what, by which method with which budget, and under which seed.

    method: its name in the experiment. explainer: the method that this is, by the name that `explain` knows.
    kind: "", the model itself; "again", the same under a second explainer seed, which all models share: their tables of
    this kind saw the same masks; "random-head", its twin.
    """

    task: str
    model: str
    seed: int
    method: str
    kind: str
    n_samples: int
    explainer_seed: int
    explainer: str
    boundary: str
    stable: float | None = None
    mask: str | None = None
    features: str | None = None

    @property
    def settings(self) -> dict[str, str | int | float]:
        """What it is told by, without what is not set: the keys of tables that are older than an option stay."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @property
    def table(self) -> str:
        """The name of the table, such as "lime" or "lime.again"."""
        return f"{self.method}.{self.kind}" if self.kind else self.method

    @property
    def options(self) -> dict[str, str | int | float]:
        """What `explain` and `estimate` are to be called with."""
        options = {"method": self.explainer, "n_samples": self.n_samples, "seed": self.explainer_seed}
        given = {name: getattr(self, name) for name in ("stable", "mask", "features")}
        return options | {"boundary": self.boundary} | {name: of for name, of in given.items() if of is not None}


def jobs(
    experiment: Experiment, *, task: str, model: str, seed: int, methods: Collection[str] | None = None
) -> list[Job]:
    """Return every table of attributions of one fine-tuned model, method by method.

    methods: those of the experiment's that are wanted; None: all. Each kind has its own explainer seed, and but for
    "again" each model has: two tables that saw the same masks agree by more than what the models share, and "again" is
    there to show by how much. The twin stands for another model, so that common masks are common to it as well.
    """
    own = experiment.explainer_seed(model, seed)
    seeds = {"": own, AGAIN: stream_seed(seed, AGAIN)}
    if experiment.has_twin(model, seed):
        seeds[RANDOM_HEAD] = own if experiment.common_masks else stream_seed(own, RANDOM_HEAD)
    return [
        Job(
            task,
            model,
            seed,
            method,
            kind,
            how.n_samples,
            explainer_seed,
            how.like or method,
            how.boundary,
            how.stable,
            how.mask,
            experiment.task(task).features,
        )
        for method, how in experiment.task_methods(task).items()
        if (methods is None or method in methods) and model in experiment.models_of(task, method)
        for kind, explainer_seed in seeds.items()
        if kind != AGAIN or experiment.draws(task, method)
    ]
