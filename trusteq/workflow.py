"""An experiment file in, results and a book out: wraps Snakemake and Jupyter Book."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import nbformat
import yaml

from trusteq import store
from trusteq.attribution.jobs import AGAIN, jobs
from trusteq.attribution.shards import WHOLE, Shard
from trusteq.errors import ArtefactError, ExperimentError, parse_error_line
from trusteq.examples import SPLITS, load_examples
from trusteq.experiment import ROOT, Experiment
from trusteq.store import Results

SNAKEFILE = ROOT / "workflow" / "Snakefile"
JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"  # the package cannot be run with -m
# Notebooks of which a run has many executed copies, each a page of the book.
STAGES = ("01_finetune", "02_attribution", "03_calibration", "04_comparison")


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
        environment = os.environ | {"TRUSTEQ_CHILD": "1", "PYTHONPATH": _python_path()}
        if hub is not None:
            environment["TRUSTEQ_HUB"] = str(hub.resolve())
        started = time.time()
        _snakemake(folder, "--unlock", quiet=True, environment=environment)
        status = _snakemake(folder, "--cores", str(cores), environment=environment, part=part)
    if status:
        raise _failure(folder / "logs", started)
    return Results(folder, experiment)


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


def _snakemake(folder: Path, *options: str, environment: dict, quiet: bool = False, part: Shard = WHOLE) -> int:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", str(folder)]
    command += ["--config", f"folder={folder}", f"shard={part}"]
    command += ["--rerun-incomplete", "--keep-going", "--quiet", "host", "reason"]
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
        store.write_text(text, path)


def _python_path() -> str:
    """Return a PYTHONPATH on which the notebooks find this very package, installed or not."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def _failure(logs: Path, started: float) -> Exception:
    """Return the error of the jobs that failed since `started`: one a user can mend before any other."""
    fresh = sorted(log for log in logs.rglob("*.log") if log.stat().st_mtime >= started - 1)
    for log in fresh:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if error := parse_error_line(line):
                return error
    where = fresh[-1] if fresh else logs
    return RuntimeError(f"a job failed; its log is the newest of {where.parent}, its last lines are shown above")


def build_book(results: Results, *, output: Path = ROOT) -> Path:
    """Build the book of a run into `output`/_build/html and return the path of its first page.

    Raises ArtefactError when the run is not complete; warnings of the build are errors.
    """
    pages = _pages(results)
    source = ROOT / "book"  # not ROOT itself: Sphinx would read .venv and the results
    runs = source / "runs"
    with store.atomic_path(runs) as temporary:
        temporary.mkdir()
        (temporary / ".gitignore").write_text("*\n", encoding="utf-8")
        for name, (file, title) in pages.items():
            _copy_page(file, temporary / f"{name}.ipynb", title)
    toc = ROOT / "_build" / "toc.yml"
    store.write_text(yaml.safe_dump(table_of_contents(pages), sort_keys=False), toc)
    shutil.rmtree(output / "_build" / "html" / "runs", ignore_errors=True)  # pages of another run would stay
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source), "--path-output", str(output)]
    command += ["--config", str(ROOT / "_config.yml"), "--toc", str(toc)]
    command += ["--quiet", "--warningiserror", "--keep-going", "--nitpick"]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise RuntimeError("the book has warnings, shown above; each one is an error")
    return output / "_build" / "html" / "index.html"


def _pages(results: Results) -> dict[str, tuple[Path, str | None]]:
    """Return the executed notebooks of a run: page name -> (file, title; None keeps the notebook's own)."""
    experiment, notebooks = results.experiment, results.folder / "notebooks"
    pages = {page.stem: (page, None) for page in sorted(notebooks.glob("*.ipynb"))}
    for task in experiment.tasks:
        title = experiment.task(task).title
        for seed in experiment.seeds:
            suffix = _suffix(experiment.seeds, seed)
            pages |= _page(notebooks, "03_calibration", [task, seed], f"Calibration: {title}{suffix}")
        pages |= _page(notebooks, "04_comparison", [task], f"Alignment: {title}")
        for model, seed in experiment.runs:
            suffix = _suffix(experiment.model_seeds(model), seed)
            what = f"{experiment.model(model).title}, {title}{suffix}"
            pages |= _page(notebooks, "01_finetune", [task, model, seed], f"Fine-tuning: {what}")
            pages |= _page(notebooks, "02_attribution", [task, model, seed], f"Attribution: {what}")
    for file, _ in pages.values():
        if not file.is_file():
            raise ArtefactError(f"{file}: not there; run the experiment to its end with trusteq run {experiment.name}")
    return pages


def _suffix(seeds: Collection[int], seed: int) -> str:
    return f", seed {seed}" if len(seeds) > 1 else ""


def _page(notebooks: Path, stage: str, parts: list, title: str) -> dict[str, tuple[Path, str]]:
    file = notebooks.joinpath(stage, *map(str, parts[:-1]), f"{parts[-1]}.ipynb")
    return {"-".join([stage, *map(str, parts)]): (file, title)}


def _copy_page(source: Path, target: Path, title: str | None) -> None:
    """Copy an executed notebook for readers: code folded, defaults of parameters left out, a title of its own.

    title: replaces the first heading, which is the same for all tasks and models; None for a page there is only one of.
    """
    notebook = nbformat.read(source, as_version=4)
    lesson = source.stem.startswith("lesson")
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if "parameters" in tags:
            tags.add("remove-cell")
        elif cell.cell_type == "code" and not lesson:
            tags.add("hide-input")
        cell.metadata["tags"] = sorted(tags)
    if title is not None:
        first = next(cell for cell in notebook.cells if cell.source.startswith("# "))
        first.source = "\n".join([f"# {title}", *first.source.splitlines()[1:]])
    nbformat.write(notebook, target)


def table_of_contents(pages: dict[str, tuple[Path, str | None]]) -> dict:
    """Return `_toc.yml` with each entry named after a stage replaced by the pages of that stage."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return toc | {"parts": [part | {"chapters": _entries(part["chapters"], pages)} for part in toc["parts"]]}


def _entries(entries: list[dict], pages: dict) -> list[dict]:
    filled = []
    for entry in entries:
        folder, stage = Path(entry["file"]).parts[:-1], Path(entry["file"]).name
        if folder and stage not in (*STAGES, *pages):
            continue  # a page that this run has not
        if stage in STAGES:
            filled += [{"file": f"runs/{name}"} for name in pages if name.startswith(f"{stage}-")]
        elif "sections" in entry:
            filled.append(entry | {"sections": _entries(entry["sections"], pages)})
        else:
            filled.append(entry)
    return filled
