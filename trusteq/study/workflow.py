"""An experiment file in, results and pages out: wraps Snakemake."""

import errno
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trusteq import project
from trusteq.errors import ExperimentError, parse_error_line
from trusteq.examples.load import SPLITS, load_examples
from trusteq.listing import MODEL, Listing, Problem, manifest_of, named
from trusteq.pages import make as showing
from trusteq.store import forget, record, write_text
from trusteq.study import cluster, graph, processes, publish, stages
from trusteq.study.cluster import NOTHING, Cut, Plan, Profile
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import AGAIN, jobs
from trusteq.study.publish import gather
from trusteq.study.results import Results
from trusteq.study.shards import PART, WHOLE, Shard


@dataclass(frozen=True)
class Step:
    """One job of the workflow, as its rule has it.

    job: what is to be done, as JSON, which `one_job.do` reads. inputs, outputs: files below the run's folder. keys: of
    what it leaves, by name: where one differs from the last run's, the job runs again. stale: what is not there under
    its key, as it was written; of shards, what is there otherwise. damage: what is wrong with what was, in a line each.
    resources: see `cluster.Plan`. parts: into how many shards it is cut, which are jobs of their own; {part} then
    stands for the number of one.
    """

    name: str
    message: str
    job: str
    inputs: list[str]
    outputs: list[str]
    keys: dict[str, str]
    stale: list[str]
    resources: dict[str, int]
    threads: int = 1
    parts: int = 1
    damage: tuple[str, ...] = ()


def steps(run: Results, part: Shard = WHOLE, plan: Plan = NOTHING) -> list[Step]:
    """Return the jobs of a run, each after those that it needs: what is computed, then the pages.

    plan: what a profile decides. Of a job that is cut, the shards come before the job itself, which joins them.
    """
    made, shards = [], []
    for job in graph.all_jobs(run.experiment, part):
        step = _computing(run, job, part, plan)
        if job.name in plan.cuts:
            shards.append(_shards(run, job, step, plan.cuts[job.name]))
            joined = each_part(shards[-1].outputs, shards[-1].parts)
            step = replace(step, inputs=step.inputs + joined)
        made.append(step)
    return shards + made + (_showing(run, made, plan) if part.is_whole else [])


def each_part(files: Iterable[str], of: int) -> list[str]:
    """Return files in whose names {part} stands for the number of a shard, of each of so many shards."""
    return [file.replace(PART, str(part)) for part in range(1, of + 1) for file in files]


def _shards(run: Results, job: graph.Job, step: Step, cut: Cut) -> Step:
    """Return the step that explains in shards what another step then joins."""
    tables = cluster.part_tables(run, job, cut)
    keys = {file: key for path, key in tables.items() for file in each_part([str(path)], cut.of)}
    part = {"shard": f"{PART}/{cut.of}", "methods": cut.methods}
    listing, there = Listing.at(run.folder), [file for file in keys if (run.folder / file).is_file()]
    return replace(
        step,
        name=f"{step.name}-shard",
        message=f"{step.message}, shard {{wildcards.part}} of {cut.of}",
        job=json.dumps(json.loads(step.job) | {"name": f"{step.name}-shard-{PART}"} | part),
        outputs=[str(file) for path in tables for file in (path, manifest_of(path))],
        keys={str(path): key for path, key in tables.items()},
        stale=[file for file in there if graph.state(run.folder / file, keys[file], listing) is not None],
        damage=(),
        parts=cut.of,
    )


def _computing(run: Results, job: graph.Job, part: Shard, plan: Plan) -> Step:
    what = {name: getattr(job, name) for name in ("name", "stage", "task", "model", "seed")} | {"shard": str(part)}
    about, lacks = " ".join(str(of) for of in (job.task, job.model, job.seed) if of is not None), job.lacks(run.folder)
    return Step(
        name=job.name,
        message=f"{job.stage} {about}",
        job=json.dumps(what),
        inputs=[str(path) for need in job.needs for path in need.tables],
        outputs=list(map(str, job.tables)),
        keys={str(path): key for path, key in job.tables.items()},
        stale=list(map(str, lacks)),
        resources=plan.resources(job.stage),
        threads=run.experiment.threads if job.model else 1,
        damage=tuple(filter(None, lacks.values())),
    )


def _showing(run: Results, made: Sequence[Step], plan: Plan) -> list[Step]:
    """Return the steps that make the pages of each task, and those of the run: each in one process."""
    found, pages = [], showing.pages(run)
    for task in (*run.experiment.tasks, None):
        wanted = [page for page in pages if page.task == task]
        stale = [page.name for page in wanted if not page.is_made]
        name = "pages" if task is None else f"pages-{task}"
        found.append(
            Step(
                name=name,
                message=f"{name}: {', '.join(stale) or 'none'}",
                job=json.dumps({"name": name, "stage": "pages", "task": task}),
                inputs=[file for step in made for file in step.outputs],
                outputs=[str(page.file.relative_to(run.folder)) for page in wanted],
                keys={page.name: page.key for page in wanted},
                stale=stale,
                resources=plan.resources("pages"),
                damage=tuple(filter(None, (page.damage for page in wanted))),
            )
        )
    return [step for step in found if step.outputs]


def run(
    experiment: Experiment,
    *,
    results: Path,
    cores: int | None = None,
    hub: Path | None = None,
    shard: str | None = None,
    profile: str | None = None,
    announce: Callable[[str], None] | None = None,
) -> Results:
    """Run what is missing or changed of an experiment and return its results.

    results: folder below which the results of every experiment are. cores: jobs at a time; None: 2, or what a profile
    says. hub: a mirror read before the Hub. shard: "i/n" explains that part of the examples alone, for a later run to
    join. profile: where and how jobs are run, see `cluster.Profile`; None: here.
    announce: is told what will be explained, line by line, before anything is run.

    Raises the error of a job if the user can mend it, RuntimeError if a job failed otherwise, ExperimentError if the
    same experiment is running already or there is no project.
    """
    project.root()
    part, how = Shard.parse(shard), None if profile is None else Profile.find(profile)
    explained = check_inputs(experiment, hub)
    folder = results.resolve() / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    with processes.alone(folder):
        run_of = Results(folder, experiment)
        told = [*plan(experiment, explained, part), *damage(run_of, steps(run_of, part))] if announce else []
        for line in told:
            announce(line)
        graph.adopt(experiment, folder)
        _forget_what_is_gone(run_of)
        _write_if_changed(folder / "experiment.yaml", experiment.dump())
        record(folder / "experiment.yaml")
        planned = _planned(run_of, part, explained, how, hub)
        planned.write(folder)
        if how and announce:
            announce(cluster.said(planned, how))
        _make(folder, cores, hub=hub, part=part, profile=how)
        _forget_what_is_gone(run_of)
    return run_of


def dry_run(
    experiment: Experiment,
    *,
    results: Path,
    hub: Path | None = None,
    shard: str | None = None,
    profile: str | None = None,
) -> tuple[list[Step], list[str]]:
    """Return the jobs that `run` would run, and what it would say of files (`damage`) and shards; write nothing."""
    run_of = Results(results.resolve() / experiment.name, experiment)
    part, how = Shard.parse(shard), None if profile is None else Profile.find(profile)
    stale = [step for step in steps(run_of, part) if step.stale]
    told = list(damage(run_of, stale))
    if how:
        told.append(cluster.said(_planned(run_of, part, check_inputs(experiment, hub), how, hub), how))
    return stale, told


def _planned(run: Results, part: Shard, explained: Mapping[str, int], how: Profile | None, hub: Path | None) -> Plan:
    """Return what a profile decides of a run; without one nothing, and a part of a run is not cut once more."""
    wanted = graph.all_jobs(run.experiment) if part.is_whole else []
    return cluster.plan(run, wanted, explained, how, hub) if how else NOTHING


def damage(run: Results, planned: Sequence[Step]) -> Iterator[str]:
    """Yield a line for each file of a run that is not as it was written, and what the next run does about it."""
    listing, file = Listing.at(run.folder), run.folder / "experiment.yaml"
    if listing.problem and file.is_file():
        yield f"{Problem(listing.file, listing.problem)}; begun anew, from the manifests that are there"
    elif (file.is_file() or listing.has(file)) and listing.wrong(file):
        yield f"{Problem(file, listing.wrong(file))}; written again"
    yield from (f"{line}; made again" for step in planned for line in step.damage)
    if not listing.problem:
        adopted = graph.adoptable(run.experiment, run.folder)
        if adopted:
            yield f"{listing.file}: lacks {len(adopted)} tables or models that are as their manifests say; entered"
        known = {file, *adopted} | {of for path in adopted for of in (manifest_of(path), *named(manifest_of(path)))}
        pages = {run.folder / output for step in planned for output in step.outputs}
        foreign = [problem for problem in listing.foreign() if problem.path not in known | pages]
        yield from (f"{problem}; remove it" for problem in foreign)


def _forget_what_is_gone(run: Results) -> None:
    """Take out of the list what is neither there nor anything that the experiment leaves: it was removed by hand."""
    listing = Listing.at(run.folder)
    gone = [name for name in listing.files if not (run.folder / name).exists()]
    if gone:
        left = {path for job in graph.all_jobs(run.experiment) for path in job.tables}
        left |= {manifest_of(path) for path in left} | {Path(listing.name(page.file)) for page in showing.pages(run)}
        forget([name for name in gone if not {Path(name), Path(name).with_name(MODEL)} & left], run.folder)


def make_pages(name: str | Path, *, results: Path, names: Sequence[str] | None = None) -> Path:
    """Make the pages of published results below `results` and return the folder that holds them.

    name: of an experiment, or a folder of published results. names: of notebooks, those alone. Neither texts nor models
    are needed, nor the packages that read them. Raises ArtefactError for another name, the error of a page if the user
    can mend it.
    """
    published = publish.open_published(name)
    folder = results.resolve() / published.experiment.name / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    with processes.alone(folder), project.environment():
        showing.make(showing.pages(published, names, folder=folder))
    return folder


def publish_parts(experiment: Experiment, parts: Sequence[Results], folder: Path | None = None) -> Path:
    """Publish an experiment from results of its parts (`publish.gather`) and return where.

    The tables over models are computed from what was gathered. folder: as of `publish.publish`.
    """
    with tempfile.TemporaryDirectory(prefix="parts-") as scratch:
        gathered = gather(experiment, parts, Path(scratch))
        stages.make_over_models(gathered)
        return publish.publish(gathered, folder)


def check_inputs(experiment: Experiment, hub: Path | None) -> dict[str, int]:
    """Return the number of examples to explain of each task.

    Raises ExperimentError for a mirror that is not there, DataError or ModelError for a data set or model of the Hub
    that cannot be had, before anything is run.
    """
    if hub is not None and not hub.is_dir():
        raise ExperimentError(f"--hub {hub}: no such folder; a mirror holds models/<hub id> and datasets/<hub id>")
    explained = {}
    for name, task in zip(experiment.tasks, map(experiment.task, experiment.tasks), strict=True):
        for split in (split for split in SPLITS if split != "test" and task.splits):
            load_examples(task, split, hub=hub, limit=1)
        explained[name] = len(load_examples(task, "test", hub=hub, limit=experiment.explained(name)))
    specs = [experiment.model(name) for name in experiment.models]
    hub_ids = sorted({spec.hub or spec.checkpoint or spec.tokenizer for spec in specs} - {None})
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


def _make(
    folder: Path, cores: int | None, *, hub: Path | None = None, part: Shard = WHOLE, profile: Profile | None = None
) -> None:
    with project.environment(hub):
        started, for_memory = time.time(), processes.killed_for_memory()
        if (folder / ".snakemake" / "locks").is_dir():
            _snakemake(folder, "--unlock", part=part, quiet=True)
        # What was made of something else is made again though the workflow's own records are lost, or say otherwise.
        made = steps(Results.open(folder), part, Plan.read(folder))
        stale = [name for step in made if step.stale for name in (step.stale if step.parts > 1 else [step.name])]
        options = ["--profile", str(profile.folder)] if profile else []
        options += ["--cores", str(cores or 2)] if cores or not profile else []
        options += ["--forcerun", *stale] if stale else []
        if _snakemake(folder, *options, part=part):
            raise _failure(folder, started, processes.killed_for_memory() > for_memory)


def _snakemake(folder: Path, *options: str, part: Shard, quiet: bool = False) -> int:
    snakefile = project.root() / "workflow" / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    command += ["--config", f"shard={part}"]
    # A job that fails leaves whole files only, and the tables among them are of use to the next run. That the set of
    # inputs changed is no reason to run a job again: keys say what it was made of, and shards are not there to stay.
    command += ["--rerun-triggers", "mtime", "params", "code", "software-env"]
    command += ["--rerun-incomplete", "--keep-incomplete", "--keep-going", "--quiet", "host", "reason"]
    sink = subprocess.DEVNULL if quiet else None
    ends_with_us = functools.partial(processes.end_with_parent, os.getpid())
    return subprocess.run([*command, *options], preexec_fn=ends_with_us, stdout=sink, stderr=sink).returncode


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(text, path)


def _failure(folder: Path, started: float, for_memory: bool) -> Exception:
    """Return the error of the jobs that failed since `started`: one a user can mend before any other."""
    logs = {log: log.read_text(encoding="utf-8", errors="replace") for log in sorted((folder / "logs").glob("*.log"))}
    fresh = {log: text.strip().splitlines() for log, text in logs.items() if log.stat().st_mtime >= started - 1}
    for error in (parse_error_line(line) for lines in fresh.values() for line in lines):
        if error:
            return error
    for job in processes.killed(folder):
        why = "for want of memory" if for_memory else "from outside, or for want of memory"
        log = folder / "logs" / f"{job}.log"
        return RuntimeError(f"{job} was killed {why}; run it again, what is done is kept; log: {log}")
    for log, lines in fresh.items():
        if "Traceback (most recent call last):" in lines:
            why = next((line for line in lines if os.strerror(errno.ENOSPC) in line), lines[-1])
            return RuntimeError(f"{log.stem}: {why}; log: {log}")
    return _cannot_write(folder) or RuntimeError(f"a job ended before it could say why; logs: {folder / 'logs'}")


def _cannot_write(folder: Path) -> Exception | None:
    """Return what keeps a job from writing its log, if anything does."""
    try:
        with tempfile.TemporaryFile(dir=folder / "logs") as probe:
            probe.write(bytes(2**20))
    except OSError as error:
        return RuntimeError(
            f"{folder / 'logs'}: {error.strerror}; run it again once that is mended, what is done is kept"
        )
    return None
