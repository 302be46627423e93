"""Where the project is: notebooks, experiments, prose and published results, which the package does not hold."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from trusteq.errors import ExperimentError

PUBLISHED = Path("data", "published")  # in the project
MARKS = ("notebooks", "experiments", "workflow")  # folders that only a project has, side by side


def find(project: str | Path | None = None) -> Path | None:
    """Return the root of the project, None where there is none.

    project: named by the caller; otherwise the environment's TRUSTEQ_PROJECT, the working directory or the nearest
    folder above it, or the checkout that the package is run from.
    """
    if named := project or os.environ.get("TRUSTEQ_PROJECT"):
        return Path(named).resolve() if _is_project(Path(named)) else None
    here = Path.cwd()
    return next(filter(_is_project, (here, *here.parents, Path(__file__).resolve().parents[1])), None)


def root(project: str | Path | None = None) -> Path:
    """Return the root of the project; raise ExperimentError where there is none."""
    found = find(project)
    if found is None:
        named = project or os.environ.get("TRUSTEQ_PROJECT")
        where = f"{named} is no project" if named else f"no project in {Path.cwd()} or above it"
        raise ExperimentError(
            f"{where}: it holds {', '.join(MARKS)}; name a checkout of trusteq with --project DIR or TRUSTEQ_PROJECT"
        )
    return found


def _is_project(folder: Path) -> bool:
    return all((folder / mark).is_dir() for mark in MARKS)


@contextlib.contextmanager
def environment(hub: Path | None = None) -> Iterator[None]:
    """Have the processes that this one starts find this very package, installed or not, its project and a mirror."""
    package, here = str(Path(__file__).resolve().parents[1]), find()
    changed = {"PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))}
    changed |= {} if here is None else {"TRUSTEQ_PROJECT": str(here)}
    changed |= {} if hub is None else {"TRUSTEQ_HUB": str(hub.resolve())}
    with changed_environment(changed):
        yield


@contextlib.contextmanager
def changed_environment(changed: Mapping[str, str]) -> Iterator[None]:
    """Have this process, and those that it starts, in an environment with other values, until the block ends."""
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
