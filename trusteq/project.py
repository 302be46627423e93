"""Where the project is: notebooks, experiments, prose and published results, which the package does not hold."""

import os
from pathlib import Path

from trusteq.errors import ExperimentError

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
