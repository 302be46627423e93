"""What there is to make of an experiment: jobs, what each needs and leaves, and the keys that say what it was made of.

A key is the hash of a stage's settings, of the keys of what it is made from, and of the stage's version. It stands in
the manifest of what the stage leaves: what is there under its key is not made again, whatever its age. Weights and
tables have the key of the job that makes them; a file of the user's own has the hash of its bytes. Prose, docstrings
and names of files are in no key: whoever changes a number raises the version of its stage.
"""

import functools
import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

from trusteq.attribution import explain
from trusteq.attribution.methods import METHODS
from trusteq.listing import MODEL, Listing, Problem, artefact_problems, manifest_of, named
from trusteq.models import recipe
from trusteq.registry import ModelSpec
from trusteq.store import begin, key_of, record, sha256
from trusteq.study import calibrate, compare, compressions
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import RANDOM_HEAD, jobs
from trusteq.study.results import part_name
from trusteq.study.shards import WHOLE, Shard
from trusteq.verdict.margins import load_margins

# By stage; a number that changes shows in the golden test, which names the one to raise.
VERSIONS = {
    "train": recipe.VERSION,
    "predict": recipe.PREDICT_VERSION,
    "explain": explain.VERSION,
    "calibrate": calibrate.VERSION,
    "compare": compare.VERSION,
    "compress": compressions.VERSION,
}
# Files of a checkpoint's weights, configuration and tokenizer, and those that are only about it.
CHECKPOINT = {".safetensors", ".bin", ".json", ".txt", ".model"}
ABOUT = {"metrics.json", "timing.json", "manifest.json"}


@dataclass(frozen=True)
class Job:
    """One piece of work that the workflow gives to one process.

    stage: "train", which predicts as well, "explain", "calibrate", "compare" or "compress". model, seed: None where it
    is about all of them. tables: where each artefact is, below the folder of the run, and its key; of a model, its
    manifest. needs: the jobs that it reads.
    """

    stage: str
    task: str
    model: str | None
    seed: int | None
    tables: dict[Path, str]
    needs: tuple["Job", ...] = ()

    @property
    def trained(self) -> str:
        """The key of the weights, of a job that trains."""
        return next(iter(self.tables.values()))

    @property
    def name(self) -> str:
        """Its name in the workflow and of its log."""
        return "-".join(str(part) for part in (self.stage, self.task, self.model, self.seed) if part is not None)

    @property
    def key(self) -> str:
        """The key of all that it leaves."""
        return digest(*self.tables.values())

    def is_made(self, folder: Path) -> bool:
        """Return whether all that it leaves is in the folder of a run, under its keys, as it was written."""
        return not self.lacks(folder)

    def lacks(self, folder: Path) -> dict[Path, str]:
        """Return what is missing below the folder of a run, was made of something else, or is not as it was written.

        By path what is wrong with it; "" where it never was there, or its settings have changed.
        """
        listing = Listing.at(folder)
        found = {path: state(folder / path, key, listing) for path, key in self.tables.items()}
        return {path: wrong for path, wrong in found.items() if wrong is not None}

    def is_about(self, stage: str, task: str, model: str | None = None, seed: int | None = None) -> bool:
        """Return whether it belongs to a stage of a task; model, seed: None for all."""
        asked = (self.stage, self.task) == (stage, task) and model in (None, self.model)
        return asked and seed in (None, self.seed)


def state(path: Path, key: str, listing: Listing) -> str | None:
    """Return None for an artefact that is there under its key as it was written; else what is wrong with it, or ""."""
    manifest = manifest_of(path)
    if listing.key(path) == key:  # under another one, the list speaks of what was there before
        for file in (path, manifest):
            if not file.is_file() or (file == manifest and listing.wrong(file)):
                return str(Problem(file, listing.wrong(file)))
    if not path.is_file() or key_of(manifest) != key:
        return ""
    return next((str(problem) for problem in artefact_problems(path, listed=False)), None)


def adopt(experiment: Experiment, folder: Path) -> int:
    """Enter in the list of a run what is there, under its key and manifest, but in no list; return how many.

    That is what a killed run, a shard on another machine, or an older version left. A list that is damaged, or was
    never there, is begun.
    """
    begin(folder)
    found = adoptable(experiment, folder)
    if found:
        record(*found)
    return len(found)


def adoptable(experiment: Experiment, folder: Path) -> list[Path]:
    """Return what `adopt` would enter in the list of a run."""
    listing = Listing.at(folder)
    wanted = {folder / path: key for job in all_jobs(experiment) for path, key in job.tables.items()}
    parts = {part: key for path, key in wanted.items() for part in path.parent.glob(f"{path.stem}.shard-*.parquet")}
    there = {path: key for path, key in (wanted | parts).items() if path.is_file() and key_of(manifest_of(path)) == key}
    return [path for path, key in there.items() if _is_new(path, key, listing)]


def _is_new(path: Path, key: str, listing: Listing) -> bool:
    """Return whether an artefact is not in the list, whole, but could be."""
    files = [manifest_of(path), *named(manifest_of(path))]
    listed = [file for file in files if listing.key(path) == key and listing.has(file)]
    is_listed = len(listed) == len(files)
    return not is_listed and not any(map(listing.wrong, listed)) and not artefact_problems(path, listed=False)


def digest(*parts: object) -> str:
    """Return the hash of values that JSON can hold, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def all_jobs(experiment: Experiment, shard: Shard = WHOLE) -> list[Job]:
    """Return every job of an experiment, each after those that it needs; of a shard, its part of the explanations."""
    return [job for task in experiment.tasks for job in _Task(experiment, task, shard).jobs()]


def model_tables(experiment: Experiment, task: str, model: str, seed: int) -> list[Path]:
    """Return every table of one fine-tuned model."""
    of = _Task(experiment, task, WHOLE)
    both = of.train(model, seed), of.explain(model, seed)
    return [path for job in both for path in job.tables if path.name != MODEL]


class _Task:
    """The jobs of one task."""

    def __init__(self, experiment: Experiment, task: str, shard: Shard):
        self.experiment, self.task, self.shard = experiment, task, shard
        self.data = _data(experiment, task)

    def jobs(self) -> list[Job]:
        ordered = sorted(self.experiment.runs, key=self._depth)
        made = [self.train(*run) for run in ordered] + [self.explain(*run) for run in ordered]
        return made if not self.shard.is_whole else [*made, *self.over_models()]

    def _depth(self, run: tuple[str, int]) -> int:
        needs = self.experiment.model(run[0]).needs
        return 1 + max((self._depth((name, 0)) for name in needs), default=0)

    @functools.cache  # noqa: B019, as short-lived as the graph
    def train(self, model: str, seed: int) -> Job:
        experiment, spec = self.experiment, self.experiment.model(model)
        needs = tuple(self.train(name, experiment.origin_seed(name, seed)) for name in spec.needs)
        how = None if spec.checkpoint else experiment.recipe_for(self.task, model).model_dump(mode="json")
        settings = [_start(spec), how, seed]
        settings += [experiment.train_limit, experiment.threads]
        home = Path("models", self.task, model, str(seed), MODEL)
        trained = _key("train", settings, self.data, *[need.trained for need in needs])
        parts = ["test", "dev", *[RANDOM_HEAD] * experiment.has_twin(model, seed)]
        tables = {
            Path("predictions", self.task, model, f"{part_name(seed, part)}.parquet"): _key("predict", part, trained)
            for part in parts
        }
        return Job("train", self.task, model, seed, {home: trained} | tables, needs)

    @functools.cache  # noqa: B019
    def explain(self, model: str, seed: int) -> Job:
        experiment, trained = self.experiment, self.train(model, seed)
        folder = Path("attribution", self.task, model, str(seed))
        tables = {
            folder / f"{self.shard.name(job.table)}.parquet": _key(
                "explain",
                job.settings | _version(job.explainer),
                experiment.explained(self.task),
                experiment.threads,
                trained.trained,
                self.data,
            )
            for job in jobs(experiment, task=self.task, model=model, seed=seed)
        }
        if self.shard.is_whole:
            tables[folder / "faithfulness.parquet"] = _key("explain", experiment.k, *tables.values())
        return Job("explain", self.task, model, seed, tables, (trained,))

    def over_models(self) -> list[Job]:
        """Return the jobs that read what was made of all models."""
        experiment = self.experiment
        predicted = tuple(self.train(*run) for run in experiment.runs)
        explained = tuple(self.explain(*run) for run in experiment.runs)
        margins = {name: margin.model_dump() for name, margin in load_margins().items()}
        made = [margins, *[job.key for job in predicted]]
        found = [
            self._over("calibrate", seed, calibrate.NAMES, Path("calibration", self.task, str(seed)), made, predicted)
            for seed in experiment.seeds
        ]
        both = (*predicted, *explained)
        made = [*made, experiment.k, VERSIONS["calibrate"], *[job.key for job in explained]]
        found.append(self._over("compare", None, compare.NAMES, Path("comparison", self.task), made, both))
        if names := compressions.names(experiment):
            home = Path("compression", self.task)
            found.append(self._over("compress", None, names, home, [*made, VERSIONS["compare"]], both))
        return found

    def _over(self, stage: str, seed: int | None, names, home: Path, made: list, needs: tuple[Job, ...]) -> Job:
        tables = {home / f"{name}.parquet": _key(stage, name, seed, self.task, *made) for name in names}
        return Job(stage, self.task, None, seed, tables, needs)


def _key(stage: str, *made_of: object) -> str:
    return digest(stage, VERSIONS[stage], *made_of)


def _version(method: str) -> dict[str, int]:
    version = METHODS[method].version
    return {"version": version} if version > 1 else {}  # the first is in no key: they are older than the number


def _start(spec: ModelSpec) -> dict:
    """Return what a model is made from: its definition, with the bytes of files of the user's own in place of names."""
    # Nothing is said of what is not there, as before models could have it: their keys are what they were.
    absent = {name for name in ("checkpoint", "template") if getattr(spec, name) is None}
    definition = spec.model_dump(mode="json", exclude=absent)
    folder = Path(spec.checkpoint or "")
    if spec.checkpoint and folder.is_dir():
        files = sorted(file for file in folder.iterdir() if file.suffix in CHECKPOINT and file.name not in ABOUT)
        definition["checkpoint"] = {file.name: sha256(file) for file in files}
    for origin in ("hub", "checkpoint"):
        file = Path(getattr(spec, origin) or "")
        if file.suffix == ".gguf" and file.is_file():
            definition[origin] = sha256(file) + file.suffix
    return definition


def _data(experiment: Experiment, task: str) -> dict:
    """Return what decides the examples of a task: its definition, with the bytes of files in place of their names."""
    definition = experiment.task(task).model_dump(mode="json", exclude={"title", "paper", "features"})
    for source in itertools.chain.from_iterable(sources or () for sources in (definition["splits"] or {}).values()):
        file = Path(source["file"] or "")
        if file.is_file():
            source["file"] = sha256(file) + file.suffix  # the suffix says how the bytes are read
    return definition
