"""One YAML file that names tasks, models, seeds, methods and the recipe: the whole of an experiment."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from trusteq import modality, project, registry
from trusteq.attribution.features import MASKS
from trusteq.attribution.methods import METHODS, listed
from trusteq.bounds import yaml_mapping
from trusteq.errors import ExperimentError, nearest, reading
from trusteq.models.recipe import Positive, Recipe
from trusteq.registry import Compression, Entry, ModelSpec, Scratch, Splits, Task, load_model, load_task, validated
from trusteq.statistics import stream_seed
from trusteq.verdict.comparison import CONTROLS

# Names become folders, wildcards and words of a command; nothing in them may act.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], Field(min_length=1)]


class MethodSettings(Entry):
    """How one method explains, and which models.

    n_samples: the budget of forward passes for one example; methods that need fewer take fewer.
    stable: the mean Jaccard index of top ten and exact one that is enough, see `explain`; absent, the budget is spent.
    boundary: "as-released" perturbs pairs as the authors' scripts do, their boundary with them.
    mask: what stands where a feature is left out, see `explain`; absent, as by default.
    like: the method that it is, where it goes by another name because it is run in two ways.
    models: those that it explains, the large one among them; absent, all.
    """

    n_samples: Annotated[int, Field(ge=2, le=10**9)] = 1000
    stable: Annotated[float, Field(gt=0, lt=1)] | None = None
    boundary: Literal["safe", "as-released"] = "safe"
    mask: str | None = None
    like: str | None = None
    models: tuple[str, ...] | None = None


class TaskSettings(Entry):
    """What one task changes: recipe keys, methods, number of explained examples; and what it is.

    title, labels, columns, paper, generated, splits, features: see `registry.Task`. They replace what the registry has
    of a task of this name, key by key; a task that it has not is defined by them.
    """

    recipe: dict = {}
    methods: dict[Name, MethodSettings] | None = None
    explain: Positive | None = None
    title: str | None = None
    labels: tuple[str, ...] | None = None
    columns: dict[str, str] | None = None
    paper: str | None = None
    generated: str | None = None
    splits: Splits | None = None
    features: str | None = None


class ModelSettings(Entry):
    """What one model changes: recipe keys, and training seeds where it has more than the run; and what it is.

    seeds: those of the run and others. How far a model agrees with itself under another training seed is the ceiling
    for its agreement with any other model.
    like: the registry's entry that it is, where it goes by another name because its recipe is another; title: its own.
    hub, scratch, compress, checkpoint, layers, tokenizer, template, words, calibration, teacher, paper: see
    `registry.ModelSpec`; one of the first four defines a model that the registry has not. A checkpoint is used as it
    is: no recipe, and one seed.
    """

    recipe: dict = {}
    seeds: Seeds | None = None
    like: str | None = None
    title: str | None = None
    hub: registry.Pretrained | None = None
    scratch: Scratch | None = None
    compress: Compression | None = None
    checkpoint: registry.Checkpoint | None = None
    layers: int | None = None
    tokenizer: str | None = None
    template: str | None = None
    words: dict[str, str] | None = None
    calibration: registry.Calibration | None = None
    teacher: str | None = None
    paper: str | None = None

    @property
    def is_defined(self) -> bool:
        """Whether it says itself where the model comes from."""
        return any((self.hub, self.scratch, self.compress, self.checkpoint))

    @model_validator(mode="after")
    def _a_name_has_a_title(self):
        if self.is_defined and self.like:
            raise ValueError("'like' names another entry: leave it out where the model itself is given")
        for name in ("template", "words", "calibration"):
            if not self.is_defined and getattr(self, name) is not None:
                raise ValueError(f"{name!r} belongs to a model that is given here: by 'hub' or 'checkpoint'")
        if self.checkpoint and self.recipe:
            raise ValueError("a 'checkpoint' is used as it is: leave its recipe out, or train from 'hub'")
        if not self.is_defined and (self.like is None) != (self.title is None):
            raise ValueError("'like' and 'title' go together: a model under another name has a title of its own")
        return self


# What of the settings of a task and of a model says what it is; the rest says how it is used here.
_TASK, _MODEL = set(Task.model_fields) - {"name"}, set(ModelSpec.model_fields) - {"name"}


class Experiment(Entry):
    """An experiment: every task with every model, seed and method.

    models: the first is the large model that the others may replace.
    seeds: training seeds of every model; those of calibration and comparison pages.
    explain: number of test examples explained (a seeded sample); absent, all of them.
    common_masks: whether all models see the same perturbations; otherwise each one's are drawn independently, and two
    models cannot agree merely because an explainer's luck was the same for both.
    train_limit: number of training examples (a seeded sample); absent, all of them.
    threads: CPU threads of one job; part of the experiment because it can change the last digits.
    """

    name: Name
    title: registry.Title
    tasks: dict[Name, TaskSettings]
    models: dict[Name, ModelSettings]
    seeds: Seeds = (0,)
    methods: dict[Name, MethodSettings]
    recipe: dict = {}
    explain: Positive | None = None
    common_masks: bool = False
    train_limit: Positive | None = None
    k: Positive = 10
    threads: Annotated[int, Field(ge=1, le=256)] = 1

    @field_validator("tasks", "models", mode="before")
    @classmethod
    def _names_alone(cls, value):
        """A plain list of names stands for entries that change nothing."""
        if not isinstance(value, list):
            return value
        if not all(isinstance(name, str) for name in value):
            raise ValueError("in a list every entry is a name alone; to change one, write 'NAME: {...}' without a dash")
        return {name: {} for name in value}

    @model_validator(mode="after")
    def _names_exist(self):
        if not self.tasks or not self.models:
            raise ValueError("an experiment needs at least one task and one model")
        for name in self.tasks:
            self.task(name)
            if not self.task_methods(name):
                raise ValueError(f"task {name!r} has no method; {nearest('', METHODS)}")
            for method, settings in self.task_methods(name).items():
                self._check_method(method, settings)
            self._check_kind(task=name)
        for name in self.models:
            if name in CONTROLS:
                raise ValueError(f"model {name!r}: a control of the large model is called so; give it another name")
            for needed in self.model(name).needs:
                if needed not in self.models:
                    raise ValueError(f"model {name!r} is made from {needed!r}; add it to the models")
            for task in self.tasks:
                self._check_words(task, name)
        return self

    def _check_words(self, task: str, name: str) -> None:
        """Raise ValueError for words of other classes, and a model that is neither trained nor read by words."""
        words, labels = self.model(name).words, self.task(task).labels
        if words is not None and words.keys() != set(labels):
            first = sorted(words.keys() ^ set(labels))[0]
            what = f"class {first!r} has no word" if first in labels else f"there is no class {first!r}"
            raise ValueError(f"model {name!r}: words: {what} in task {task!r}; its classes are {', '.join(labels)}")
        untrained = self.recipe_for(task, name).epochs == 0 and not self.model(name).checkpoint
        if untrained and words is None and self.model(name).is_trained:
            raise ValueError(f"model {name!r}: epochs: 0 is for label words; give 'words', or train its head")

    def _check_kind(self, *, task: str) -> None:
        """Raise ValueError for masks, and for what models have, that are not for the task's kind of input."""
        kind = modality.of(self.task(task).columns)
        masks = MASKS if kind is None else kind.mask_names
        for name, settings in self.task_methods(task).items():
            if settings.mask is not None and settings.mask not in masks:
                raise ValueError(f"method {name!r}: unknown mask {settings.mask!r}; {nearest(settings.mask, masks)}")
            if kind is not None and settings.boundary != "safe":
                raise ValueError(f"method {name!r}: boundary {settings.boundary} is for pairs of texts; leave it out")
        for name, model in ((name, self.model(name)) for name in self.models):
            of_texts = {"template": model.template, "words": model.words, "tokenizer": model.tokenizer}
            of_arrays = {"patch_size": model.scratch and model.scratch.patch_size}
            if lost := [key for key, value in (of_arrays if kind is None else of_texts).items() if value is not None]:
                read = "texts" if kind is None else kind.name
                raise ValueError(
                    f"model {name!r}: {lost[0]} is not for task {task!r}, which is of {read}; leave it out"
                )

    def _check_method(self, name: str, settings: MethodSettings) -> None:
        method = settings.like or name
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; {nearest(method, METHODS)}")
        if settings.boundary == "as-released" and not METHODS[method].as_released:
            released = listed(lambda of: of.as_released)
            raise ValueError(f"method {name!r}: boundary as-released is for {released} alone")
        if settings.stable is not None and not METHODS[method].stops:
            known = listed(lambda of: of.stops)
            raise ValueError(f"method {name!r}: stable is for {known} alone")
        chosen = settings.models or tuple(self.models)
        for model in chosen:
            if model not in self.models:
                raise ValueError(f"method {name!r}: no model {model!r}; {nearest(model, self.models)}")
        if self.large not in chosen:
            raise ValueError(f"method {name!r}: its models lack {self.large!r}, with which others are compared")

    @model_validator(mode="after")
    def _seeds_fit(self):
        own = ((f"models.{name}.", name, self.model_seeds(name)) for name in self.models)
        for where, name, seeds in (("", None, self.seeds), *own):
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{where}seeds {list(seeds)}: give each seed once")
            if name and self.model(name).checkpoint and len(seeds) > 1:
                raise ValueError(f"{where}seeds {list(seeds)}: a checkpoint is one training; give the run one seed")
        for name in self.models:
            if lost := sorted(set(self.seeds) - set(self.model_seeds(name))):
                raise ValueError(f"models.{name}.seeds lack {lost}; a model has all seeds of the run and perhaps more")
        return self

    @classmethod
    def load(cls, path: str | Path) -> "Experiment":
        """Read an experiment file, given by path or by its name in `experiments/`.

        Raises ExperimentError: no such file, not YAML, too large, an unknown key, task, model or method.
        """
        known = _known_files()
        file = known.get(str(path), Path(path))
        with reading(ExperimentError, f"experiment {str(path)!r}", "name a file"):
            if not file.is_file():
                raise ExperimentError(f"no experiment file {str(path)!r}; {nearest(file.stem, known)}")
        return validated(cls, yaml_mapping(file, ExperimentError), where=str(file))

    def limited(self, *, explain: int | None = None, train_limit: int | None = None) -> "Experiment":
        """Return the experiment with fewer explained or training examples; None leaves a limit as it is."""
        values = self.model_dump(mode="json", exclude_unset=True)
        if explain is not None:
            values["explain"] = explain
            for settings in values["tasks"].values():
                settings.pop("explain", None)
        if train_limit is not None:
            values["train_limit"] = train_limit
        return validated(Experiment, values, where=self.name)

    def dump(self, *, whole: bool = False) -> str:
        """Return the experiment as YAML; loading it gives an equal experiment.

        whole: with the definition of every task and model, so that it can be read where the registry lacks them.
        """
        values = self.model_dump(mode="json", exclude_unset=True)
        if whole:
            for name, settings in values["tasks"].items():
                settings |= self.task(name).model_dump(mode="json", exclude_none=True, exclude={"name"})
            for name, settings in values["models"].items():
                settings |= self.model(name).model_dump(mode="json", exclude_none=True, exclude={"name"})
                settings.pop("like", None)
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)

    def task(self, name: str) -> Task:
        """Return the task: what the registry has of it, and what this experiment says instead."""
        self._check("task", name, self.tasks)
        own = self.tasks[name].model_dump(include=_TASK, exclude_none=True)
        if not own.keys() >= {"title", "labels", "columns"}:
            known = load_task(name).model_dump(exclude_none=True)
            origin = {"generated", "splits"}
            own = {key: value for key, value in known.items() if not (key in origin and origin & own.keys())} | own
        return validated(Task, own | {"name": name}, where=f"{self.name}: tasks.{name}")

    def model(self, name: str) -> ModelSpec:
        """Return what the model is: the registry's entry under the name and title that it has here, or its own."""
        self._check("model", name, self.models)
        settings = self.models[name]
        if settings.is_defined:
            own = settings.model_dump(include=_MODEL, exclude_none=True)
            return validated(ModelSpec, own | {"name": name}, where=f"{self.name}: models.{name}")
        if settings.like is None:
            return load_model(name)
        return load_model(settings.like).model_copy(update={"name": name, "title": settings.title, "paper": None})

    def recipe_for(self, task: str, model: str) -> Recipe:
        """Return the recipe: the defaults, then what the experiment, the task and the model change."""
        values = self.recipe | self.tasks[task].recipe | self.models[model].recipe
        return validated(Recipe, values, where=f"{self.name}: recipe of {model} on {task}")

    def task_methods(self, task: str) -> dict[str, MethodSettings]:
        """Return the attribution methods of a task with their settings."""
        return self.tasks[task].methods or self.methods

    def draws(self, task: str, method: str) -> bool:
        """Return whether the weights of one of the task's methods depend on the explainer's seed."""
        return METHODS[self.task_methods(task)[method].like or method].draws

    def models_of(self, task: str, method: str) -> tuple[str, ...]:
        """Return the models that one of the task's methods explains, in the order of the experiment."""
        chosen = self.task_methods(task)[method].models
        return tuple(name for name in self.models if chosen is None or name in chosen)

    def explained(self, task: str) -> int | None:
        """Return the number of test examples explained, None for all."""
        return self.tasks[task].explain or self.explain

    def explainer_seed(self, model: str, seed: int) -> int:
        """Return the seed of a model's explainer: the training seed with common masks, otherwise one of its own."""
        self._check("model", model, self.models)
        return seed if self.common_masks else stream_seed(seed, "explainer", model)

    def model_seeds(self, model: str) -> tuple[int, ...]:
        """Return the training seeds of a model: its own, otherwise those of the run."""
        self._check("model", model, self.models)
        return self.models[model].seeds or self.seeds

    def origin_seed(self, model: str, seed: int) -> int:
        """Return the training seed of a model from which others of this seed are made: the same, else its first."""
        seeds = self.model_seeds(model)
        return seed if seed in seeds else seeds[0]

    def has_twin(self, model: str, seed: int) -> bool:
        """Return whether a randomly headed twin of this model is made: of the large one, under the run's seeds."""
        return model == self.large and seed in self.seeds

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Every model with each of its training seeds, as (model, seed): all that is fine-tuned for a task."""
        return [(model, seed) for model in self.models for seed in self.model_seeds(model)]

    @property
    def large(self) -> str:
        """The model that the others may replace: the first."""
        return next(iter(self.models))

    @property
    def students(self) -> list[str]:
        """The models that learn from the large one."""
        return [name for name in self.models if self.model(name).teacher == self.large]

    def _check(self, kind: str, name: str, known) -> None:
        if name not in known:
            raise ExperimentError(f"{kind} {name!r} is not in experiment {self.name!r}; {nearest(name, known)}")


def _known_files() -> dict[str, Path]:
    """Return the experiment files of the project by name, those of published results where there is no other."""
    here = project.find()
    if here is None:
        return {}
    published = {file.parent.name: file for file in (here / project.PUBLISHED).glob("*/experiment.yaml")}
    return published | {file.stem: file for file in (here / "experiments").glob("*.yaml")}
