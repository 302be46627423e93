"""A run on a cluster: the profile that says where jobs go, what a job asks for, and how explaining is cut in shards."""

import functools
import importlib.util
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from trusteq import project
from trusteq.attribution.engine import WINDOW
from trusteq.bounds import yaml_mapping
from trusteq.errors import ExperimentError, nearest
from trusteq.pages.status import BUDGETS, benchmark_rows
from trusteq.store import to_json, write_text
from trusteq.study.experiment import Experiment
from trusteq.study.graph import Job
from trusteq.study.jobs import jobs
from trusteq.study.results import Results
from trusteq.study.shards import PART, Shard

PLAN = ".cluster.json"  # in the folder of a run
ROWS = {"cpu": "cpu {} shape", "cuda": "gpu {} shape bf16"}  # of benchmarks/attribution.json, by device
# Until the benchmark has rows of a GPU, one is taken to be so many times as fast as a CPU core: rather too few, so that
# shards come out shorter than they were meant and not longer.
GPU_GUESS = 50
# By stage, at the first attempt: memory in MB, minutes, GPUs. The second attempt gets twice the first two, and so on.
RESOURCES = {"train": (16_000, 240, 1), "explain": (16_000, 60, 1)}
READERS = (8_000, 60, 0)  # the other stages and the pages read tables


@dataclass(frozen=True)
class Cut:
    """How a job that explains is cut: into `of` shards, which explain by `methods`, those that have not been yet."""

    of: int
    methods: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a profile decides of a run's graph: whether jobs ask for GPUs, and how those that explain are cut, by name.

    It is decided once and written: every process of the run, on whichever node, has the same graph by it.
    """

    gpu: bool = False
    cuts: Mapping[str, Cut] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Return what was last written to the folder of a run."""
        file = folder / PLAN
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"gpu": False, "cuts": {}}
        return cls(known["gpu"], {name: Cut(cut["of"], tuple(cut["methods"])) for name, cut in known["cuts"].items()})

    def write(self, folder: Path) -> None:
        """Write it to the folder of a run."""
        write_text(to_json(asdict(self)), folder / PLAN)

    def resources(self, stage: str) -> dict[str, int]:
        """Return what a job of a stage asks a scheduler for: mem_mb, runtime (minutes), gpu."""
        memory, minutes, gpus = RESOURCES.get(stage, READERS)
        return {"mem_mb": memory, "runtime": minutes, "gpu": gpus if self.gpu else 0}


NOTHING = Plan()


@dataclass(frozen=True)
class Profile:
    """A folder with Snakemake's own settings in `config.yaml`.

    executor: what runs the jobs. device: "cuda" where `resources` have GPUs to give. shard_minutes: in `config`, how
    long a shard is to take; None: each model is explained in one piece.
    """

    folder: Path
    executor: str
    device: str
    shard_minutes: float | None

    @classmethod
    def find(cls, name: str) -> "Profile":
        """Read a profile, a folder or the name of one of the project's; raise ExperimentError where it is unusable."""
        known = {file.parent.name: file for file in project.root().glob("workflow/profiles/*/config.yaml")}
        file = Path(name, "config.yaml") if Path(name, "config.yaml").is_file() else known.get(name)
        if file is None:
            raise ExperimentError(f"profile {name!r}: no folder with a config.yaml; {nearest(name, known)}")
        said = yaml_mapping(file, ExperimentError)
        try:
            minutes = (said.get("config") or {}).get("shard_minutes")
            gpu = int((said.get("resources") or {}).get("gpu", 0))
            found = cls(
                file.parent.resolve(),
                said.get("executor", "local"),
                "cuda" if gpu else "cpu",
                None if minutes is None else float(minutes),
            )
            if found.shard_minutes is not None and not found.shard_minutes > 0:
                raise ValueError(f"shard_minutes {minutes} is not above 0")
        except (AttributeError, TypeError, ValueError) as error:
            raise ExperimentError(f"{file}: not a profile: {' '.join(str(error).split())}") from None
        if found.executor != "local":
            _check_executor(found.executor, file)
        return found


def _check_executor(name: str, file: Path) -> None:
    """Raise ExperimentError for an executor that is not installed, or whose jobs share no folder."""
    plugin = f"snakemake_executor_plugin_{name}".replace("-", "_")
    if importlib.util.find_spec(plugin) is None:
        raise ExperimentError(f"{file}: executor {name!r} is not installed; pip install 'trusteq[cluster]'")
    if importlib.import_module(plugin).common_settings.implies_no_shared_fs:
        raise ExperimentError(
            f"{file}: executor {name!r} shares no folder among jobs, as a run needs; see the book's page On a cluster"
        )


def plan(
    run: Results, wanted: list[Job], explained: Mapping[str, int], profile: Profile, hub: Path | None = None
) -> Plan:
    """Return what a profile decides of the wanted jobs. explained: the number of examples of each task.

    A job is cut if it is expected to take more than 4/3 of the minutes of a shard, so that no shard falls below two
    thirds of them.
    """
    found, minutes = {}, profile.shard_minutes
    for job in (job for job in wanted if job.stage == "explain" and minutes):
        lacking = job.lacks(run.folder)
        which = {"task": job.task, "model": job.model, "seed": job.seed}
        todo = [of for of in jobs(run.experiment, **which) if _table(job, of.table) in lacking]
        n, weight = explained[job.task], _weight(run.experiment, job.model, hub)
        seconds = sum(n * of.n_samples * seconds_per_pass(of.explainer, weight, profile.device) for of in todo)
        shards = min(math.ceil(seconds / (60 * minutes)), math.ceil(n / WINDOW.get(profile.device, 1)))
        if seconds > 80 * minutes and shards > 1:
            found[job.name] = Cut(shards, tuple(dict.fromkeys(of.method for of in todo)))
    return Plan(profile.device == "cuda", found)


def part_tables(run: Results, job: Job, cut: Cut) -> dict[Path, str]:
    """Return the tables of the shards of a job and their keys, which are the whole's; {part} stands for the number."""
    made = jobs(run.experiment, task=job.task, model=job.model, seed=job.seed, methods=cut.methods)
    part = Shard(PART, cut.of)
    return {_table(job, part.name(of.table)): job.tables[_table(job, of.table)] for of in made}


def _table(job: Job, name: str) -> Path:
    return Path("attribution", job.task, job.model, str(job.seed), f"{name}.parquet")


@functools.cache
def _measured() -> pd.DataFrame:
    """Return what the benchmark measured of the paper's models: seconds a pass by (device, method), index weight."""
    seconds = {row["row"].replace("-", ""): row.get("engine s/example") for row in benchmark_rows()}
    models = pd.read_csv(project.root() / "data" / "paper" / "models.csv")
    table = pd.DataFrame(index=models["layers"] * models["hidden_size"] ** 2)
    for (device, row), (method, budget) in itertools.product(ROWS.items(), BUDGETS.items()):
        names = [f"{row.format(model)} {method}".replace("-", "") for model in models["model"]]
        table[device, method] = [float(seconds.get(name) or "nan") / budget for name in names]
    return table.sort_index()


def seconds_per_pass(method: str, weight: float, device: str) -> float:
    """Return the seconds that a forward pass is expected to take while explaining, on one CPU core or a GPU.

    weight: layers times squared hidden size. The benchmark's next larger model stands for the model; beyond the largest
    one, time is proportional to weight. Methods other than SHAP are taken as LIME. A GPU's rows that are not measured
    are the CPU's over GPU_GUESS.
    """
    known = _measured()[device, method if method in BUDGETS else "lime"].dropna()
    if known.empty:
        return seconds_per_pass(method, weight, "cpu") / GPU_GUESS
    larger = known[known.index >= weight]
    return known.iloc[-1] * weight / known.index[-1] if larger.empty else larger.iloc[0]


def _weight(experiment: Experiment, model: str, hub: Path | None) -> float:
    """Return layers times squared hidden size; of a compressed model, at most that of the one it is made from."""
    spec = experiment.model(model)
    if spec.compress:
        return _weight(experiment, spec.compress.of, hub)
    if spec.scratch:
        return spec.scratch.num_hidden_layers * spec.scratch.hidden_size**2
    from trusteq.models.classifier import load_config

    config = load_config(spec.hub or spec.checkpoint, hub=hub)
    layers = spec.layers or getattr(config, "num_hidden_layers", 12)
    return layers * getattr(config, "hidden_size", 768) ** 2


def said(plan: Plan, profile: Profile) -> str:
    """Return one line: into how many shards explaining is cut, how long all of it is to take, and how that is known."""
    if not plan.cuts:
        return f"profile {profile.folder.name}: no job is cut into shards"
    shards, what = sum(cut.of for cut in plan.cuts.values()), "GPU" if profile.device == "cuda" else "core"
    hours = f"{shards * profile.shard_minutes / 60:,.3g} hours on one {what}, divided by how many there are"
    by = "benchmarks/attribution.json"
    if _measured()[profile.device, "lime"].isna().all():
        by += f", whose GPU rows are open: a GPU is taken to be {GPU_GUESS} times a core"
    return (
        f"profile {profile.folder.name}: {len(plan.cuts)} jobs explain in {shards:,} shards, at most {hours}, by {by}"
    )
