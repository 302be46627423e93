"""One job of a run, in a process of its own: what the workflow calls."""

import sys
from collections.abc import Mapping
from pathlib import Path

from trusteq.study import graph, processes, stages
from trusteq.study.results import Results
from trusteq.study.shards import Shard


def do(job: Mapping[str, str | int | None]) -> None:
    """Do one job of the run in the working directory; see `workflow.Step`."""
    run, part = Results.open(Path.cwd()), Shard.parse(job.get("shard"))
    with processes.sole_writer(run.folder, job["name"]):
        for file in _pages(run, job["task"]) if job["stage"] == "pages" else _stage(run, job, part):
            file.touch()  # the workflow goes by times as well, and what was kept is as good as new


def _pages(run: Results, task: str | None) -> list[Path]:
    from trusteq.pages import make  # what reads and executes notebooks takes seconds to import

    wanted = [page for page in make.pages(run) if page.task == task]
    make.make(wanted, log=sys.stderr)
    return [page.file for page in wanted]


def _stage(run: Results, job: Mapping[str, str | int | None], part: Shard) -> list[Path]:
    which = {name: job[name] for name in ("model", "seed")}
    stages.make(run, job["stage"], job["task"], **which, methods=job.get("methods"), shard=str(part))
    of = [one for one in graph.all_jobs(run.experiment, part) if one.is_about(job["stage"], job["task"], **which)]
    return [file for one in of for path in one.tables if (file := run.folder / path).is_file()]
