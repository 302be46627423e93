"""An experiment file in, results and pages out: wraps Snakemake."""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from trusteq.errors import ExperimentError, parse_error_line
from trusteq.examples.load import SPLITS, load_examples
from trusteq.project import root
from trusteq.store import write_text
from trusteq.study import publish
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import AGAIN, jobs
from trusteq.study.merge_parts import gather
from trusteq.study.results import Results
from trusteq.study.shards import WHOLE, Shard


def run(
    experiment: Experiment,
    *,
    results: Path,
    cores: int,
    hub: Path | None = None,
    shard: str | None = None,
    announce: Callable[[str], None] | None = None,
) -> Results:
    """Run what is missing or changed of an experiment and return its results.

    results: folder below which the results of every experiment are. cores: jobs at a time.
    hub: a mirror read before the Hub. shard: "i/n" explains that part of the examples alone, for a later run to join.
    announce: is told what will be explained, line by line, before anything is run.

    Raises the error of a notebook if the user can mend it, RuntimeError if a job failed otherwise, ExperimentError if
    the same experiment is running already.
    """
    if hub is not None and not hub.is_dir():
        raise ExperimentError(f"--hub {hub}: no such folder; a mirror holds models/<hub id> and datasets/<hub id>")
    part = Shard.parse(shard)
    explained = check_inputs(experiment, hub)
    folder = results.resolve() / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        for line in plan(experiment, explained, part) if announce else ():
            announce(line)
        _write_if_changed(folder / "experiment.yaml", experiment.dump())
        _make(folder, cores, hub=hub, part=part)
    return Results(folder, experiment)


def make_pages(name: str | Path, *, results: Path, cores: int) -> Results:
    """Make the pages of published results from a copy of them below `results`, and return that copy.

    name: of an experiment, or a folder of published results. Neither texts nor models are needed, nor the packages that
    read them. Raises ArtefactError for another name, the error of a page if the user can mend it, RuntimeError if a
    page failed otherwise.
    """
    run = publish.open_published(name)
    folder = results.resolve() / run.experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        copy = publish.working_copy(run, results.resolve())
        _make(folder, cores)
    return copy


def publish_parts(experiment: Experiment, parts: Sequence[Results], folder: Path | None = None, *, cores: int) -> Path:
    """Publish an experiment from results of its parts (`trusteq.parts.gather`) and return where.

    The tables over models are computed from what was gathered. folder: as of `publish.publish`.
    """
    with tempfile.TemporaryDirectory(prefix="parts-") as scratch:
        gathered = gather(experiment, parts, Path(scratch))
        whole = make_pages(gathered.folder, results=Path(scratch) / "pages", cores=cores)
        return publish.publish(whole, folder)


def check_inputs(experiment: Experiment, hub: Path | None) -> dict[str, int]:
    """Return the number of examples to explain of each task.

    Raises DataError or ModelError for a data set or model of the Hub that cannot be had, before anything is run.
    """
    explained = {}
    for name, task in zip(experiment.tasks, map(experiment.task, experiment.tasks), strict=True):
        for split in (split for split in SPLITS if split != "test" and task.splits):
            load_examples(task, split, hub=hub, limit=1)
        explained[name] = len(load_examples(task, "test", hub=hub, limit=experiment.explained(name)))
    specs = [experiment.model(name) for name in experiment.models]
    hub_ids = sorted({spec.hub or spec.tokenizer for spec in specs} - {None})
    if hub_ids:
        from trusteq.models.classifier import load_config

        for hub_id in hub_ids:
            load_config(hub_id, hub=hub)
    return explained


def plan(experiment: Experiment, explained: Mapping[str, int], part: Shard = WHOLE) -> Iterator[str]:
    """Yield one line a task: how many forward passes explaining all of it takes at most.

    explained: the number of examples of each task.
    """
    runs = experiment.runs
    twins = sum(experiment.has_twin(*run) for run in runs)
    for task, n in explained.items():
        all_jobs = [job for model, seed in runs for job in jobs(experiment, task=task, model=model, seed=seed)]
        passes = sum(job.n_samples for job in all_jobs)
        times = Counter((job.method, job.n_samples) for job in all_jobs)
        again = any(job.kind == AGAIN for job in all_jobs)
        yield (
            f"{task}: {_counted(n, 'example')} x {passes:,} passes "
            f"({', '.join(f'{method} {count:,} x {budget:,}' for (method, budget), count in times.items())}: "
            f"{_counted(len(runs), 'fine-tuned model')}{', under two explainer seeds where a method draws' * again}, "
            f"and {_counted(twins, 'random head')}) = {n * passes:,} passes at most"
            + ("" if part.is_whole else f"; of these, shard {part}")
        )


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def _make(folder: Path, cores: int, *, hub: Path | None = None, part: Shard = WHOLE) -> None:
    environment = os.environ | {"TRUSTEQ_CHILD": "1", "PYTHONPATH": _python_path()}
    if hub is not None:
        environment["TRUSTEQ_HUB"] = str(hub.resolve())
    started = time.time()
    _snakemake(folder, "--unlock", quiet=True, environment=environment)
    if _snakemake(folder, "--cores", str(cores), environment=environment, part=part):
        raise _failure(folder / "logs", started)


def _snakemake(folder: Path, *options: str, environment: dict, quiet: bool = False, part: Shard = WHOLE) -> int:
    snakefile = root() / "workflow" / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    command += ["--config", f"folder={folder}", f"shard={part}"]
    # A job that fails leaves whole files only, and the tables among them are of use to the next run.
    command += ["--rerun-incomplete", "--keep-incomplete", "--keep-going", "--quiet", "host", "reason"]
    sink = subprocess.DEVNULL if quiet else None
    return subprocess.run(
        [*command, *options], env=environment, preexec_fn=die_with_parent, stdout=sink, stderr=sink
    ).returncode


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, so that a killed run leaves no job behind (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the run's lock, which the system releases however the process ends."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExperimentError(f"{folder}: this experiment is running already; wait for it or stop it") from None
        yield


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(text, path)


def _python_path() -> str:
    """Return a PYTHONPATH on which the notebooks find this very package, installed or not."""
    return os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))))


def _failure(logs: Path, started: float) -> Exception:
    """Return the error of the jobs that failed since `started`: one a user can mend before any other."""
    fresh = sorted(log for log in logs.rglob("*.log") if log.stat().st_mtime >= started - 1)
    for log in fresh:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if error := parse_error_line(line):
                return error
    where = fresh[-1] if fresh else logs
    return RuntimeError(f"a job failed; its log is the newest of {where.parent}, its last lines are shown above")
