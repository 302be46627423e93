"""The pages of a run: which notebooks it has, each executed again where its text, or what it shows, has changed."""

import importlib
import json
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TextIO

from trusteq import project
from trusteq.listing import Listing, Problem
from trusteq.store import begin, record, sha256
from trusteq.study import graph, notebooks
from trusteq.study.results import PUBLISHED, Results

VERSION = 5  # raise it when what all pages share, such as `show`, shows its things otherwise: all are then made again


@dataclass(frozen=True)
class Page:
    """One executed notebook.

    source: the notebook. name: its name, then task and seed where it is about these. file: where it is written.
    parameters: that it is executed with. key: of its text, the version of its module and all that it may read.
    home: the folder whose list names it.
    """

    source: Path
    name: str
    file: Path
    parameters: Mapping[str, object]
    key: str
    home: Path

    @property
    def task(self) -> str | None:
        """The task that it is about, None where it is about all."""
        return self.parameters.get("task")

    @property
    def is_made(self) -> bool:
        """Whether it is there under its key, as it was written."""
        if Listing.at(self.home).wrong(self.file):
            return False
        try:
            return json.loads(self.file.read_text(encoding="utf-8"))["metadata"]["trusteq"]["key"] == self.key
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    @property
    def damage(self) -> str:
        """What is wrong with it, of a page that was made before; "" otherwise."""
        listing = Listing.at(self.home)
        wrong = listing.has(self.file) and listing.wrong(self.file)
        return str(Problem(self.file, wrong)) if wrong else ""


def pages(run: Results, names: Collection[str] | None = None, *, folder: Path | None = None) -> list[Page]:
    """Return the pages of a run: of each notebook with a parameter `experiment`, where it applies to the run.

    A notebook with a parameter `task` has a page for each task, and one with a number for its `seed` for each seed.
    names: of notebooks, those alone. folder: of executed notebooks, by default the run's own. A page's module may say
    in `applies(experiment)` that a run has not what it shows.
    """
    found, made_of = [], _made_of(run)
    for source in _sources():
        known, module = notebooks.defaults(source), _module_of(source)
        applies = getattr(module, "applies", lambda experiment: True)
        if "experiment" in known and (names is None or source.stem in names) and applies(run.experiment):
            found += _pages_of(run, source, known, folder, made_of)
    return found


def overviews(names: Collection[str], *, folder: Path) -> list[Page]:
    """Return the pages, of those called so, that are about no single run: about what is published or measured."""
    root = project.root()
    measured = sorted([*(root / PUBLISHED).glob("*/manifest.json"), *(root / "benchmarks").glob("*.json")])
    made_of = [sha256(file) for file in measured]
    wanted = [
        source for source in _sources() if source.stem in names and "experiment" not in notebooks.defaults(source)
    ]
    return [
        Page(source, source.stem, folder / f"{source.stem}.ipynb", {}, _key(source, source.stem, made_of), folder)
        for source in wanted
    ]


def _sources() -> list[Path]:
    return sorted((project.root() / "notebooks").rglob("*.py"))


def _module_of(source: Path) -> ModuleType | None:
    """Return the module of a page, which is called as its notebook, without number; None where it has none."""
    name = source.stem.lstrip("0123456789_")
    known = (Path(__file__).parent / f"{name}.py").is_file()
    return importlib.import_module(f"trusteq.pages.{name}") if known else None


def _pages_of(run: Results, source: Path, known: Mapping, folder: Path | None, made_of: Mapping) -> Iterator[Page]:
    experiment, home, folder = run.experiment, folder or run.folder, folder or run.folder / "notebooks"
    for task in experiment.tasks if "task" in known else (None,):
        for seed in experiment.seeds if known.get("seed") is not None else (None,):
            which = {name: of for name, of in (("task", task), ("seed", seed)) if of is not None}
            name = "/".join(map(str, (source.stem, *which.values())))
            parameters = {"experiment": str(run.folder)} | which
            yield Page(source, name, folder / f"{name}.ipynb", parameters, _key(source, name, made_of[task]), home)


def _key(source: Path, name: str, made_of: list[str]) -> str:
    versions = [VERSION, getattr(_module_of(source), "VERSION", 1)]
    return graph.digest("page", versions, sha256(source), name, made_of)


def _made_of(run: Results) -> dict[str | None, list[str]]:
    """Return what the pages about each task, and those about none (None), may read: the experiment and its results."""
    tasks = (*run.experiment.tasks, None)
    if run.is_published:
        return {task: [sha256(run.folder / "manifest.json")] for task in tasks}
    text, jobs = run.experiment.dump(whole=True), graph.all_jobs(run.experiment)
    return {task: [text, *[job.key for job in jobs if task in (None, job.task)]] for task in tasks}


def make(wanted: Collection[Page], *, log: TextIO | None = None) -> list[Page]:
    """Execute those pages that are not there under their keys, in one kernel; return these.

    log: is told what cells print, while they do. Raises what `notebooks.execute` raises.
    """
    missing = [page for page in wanted if not page.is_made]
    for page in missing:
        begin(page.home)
        if page.damage:
            print(f"{page.damage}; made again", file=log or sys.stderr)
    if missing:
        with notebooks.kernel() as manager:
            for page in missing:
                facts = {"key": page.key}
                notebooks.execute(page.source, page.file, page.parameters, manager=manager, log=log, metadata=facts)
                record(page.file)
    return missing
