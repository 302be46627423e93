"""Artefacts on disk: written under a temporary name and renamed, each with a manifest, verified when read."""

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from trusteq.blocks import Stored, attrs_of
from trusteq.bounds import json_object
from trusteq.errors import ArtefactError, reading
from trusteq.listing import (
    LIST,
    MODEL,
    Listing,
    Problem,
    artefact_problems,
    file_problem,
    find,
    manifest_of,
    manifest_path,
    manifest_problems,
    sealed,
    sha256,
    to_json,
)

PACKAGES = ("torch", "transformers", "datasets", "lime", "shap", "captum", "numpy", "pandas", "scikit-learn")
# What torch chooses its CPU kernels by, widest first: the flag as Linux spells it, and its name.
_WIDTHS = {"avx512f": "AVX-512", "avx2": "AVX2"}


@functools.cache
def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name, its widest vector instructions and the number of cores.

    Where the system has no `cpuinfo`, its architecture stands for name and instructions.
    """
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", "").split()
    widest = next((f" with {name}" for flag, name in _WIDTHS.items() if flag in flags), "")
    return f"{facts.get('model name') or platform.machine()}{widest} ({os.cpu_count()} cores)"


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it replaces `path`, otherwise it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        temporary = holder / path.name
        yield temporary
        temporary.stat()  # fails where nothing was written, before anything is moved
        if path.is_dir() and not temporary.is_dir():
            raise ArtefactError(f"{path}: a folder, which no file is to replace; name a file")
        if path.is_dir():
            path.rename(holder / "replaced")
        temporary.replace(path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_text(text: str, path: Path) -> None:
    """Write `text` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(table: pd.DataFrame | Stored, path: Path, *, key: str | None = None, **parameters) -> None:
    """Write `table` as Parquet, with a manifest beside it: `parameters`, and the key of what it was made of."""
    with atomic_path(path) as temporary:
        if isinstance(table, Stored):
            table.write(temporary)
        else:
            table.to_parquet(temporary, index=False)
        manifest = describe([temporary], parameters, root=temporary.parent, key=key)
    write_text(to_json(manifest), manifest_path(path))


def read_table(path: Path, *, made_by: str) -> pd.DataFrame:
    """Read a table and verify it against its manifest.

    made_by: what makes the table, named in the ArtefactError when it is missing or damaged.
    """
    return _held(verified(path, made_by), made_by)


def _held(path: Path, made_by: str) -> pd.DataFrame:
    with reading(ArtefactError, path, f"make it again with {made_by}"):
        return pd.read_parquet(path)


def open_table(path: Path, *, made_by: str) -> pd.DataFrame | Stored:
    """Return a table as `read_table` does; one of more than `blocks.MOST_HELD` rows as on disk, to read in blocks."""
    found = Stored((verified(path, made_by),))
    return replace(found, attrs=attrs_of(path)) if found.is_large else _held(path, made_by)


def verified(path: Path, made_by: str) -> Path:
    """Return the path of a table that is as its manifest says; raise ArtefactError as `read_table` does."""
    if not path.is_file():
        raise ArtefactError(f"{path}: not there; it is made by {made_by}")
    for problem in artefact_problems(path):
        raise ArtefactError(f"{problem}; make it again with {made_by}")
    return path


class Found(NamedTuple):
    """A table that need not be made and the seconds that it took, or None; and what there is to say about it."""

    table: pd.DataFrame | Stored | None
    seconds: float
    note: str


NOTHING = Found(None, 0.0, "")


def kept(path: Path, key: str, made_of: dict, rows: range, *, made_by: str = "trusteq run") -> Found:
    """Return the table of this key, these inputs and these rows where it is there already."""
    if not path.exists():
        return NOTHING
    try:
        facts = facts_of(path, key, made_of)
        if facts["rows"] != [rows.start, rows.stop]:
            raise ArtefactError(f"{path.name} is of other examples")
        table = open_table(path, made_by=made_by)
    except ArtefactError as error:
        return NOTHING._replace(note=f"{path.stem}: made anew: {error}")
    return Found(table, facts["seconds"], f"{path.stem}: kept as it is")


def facts_of(part: Path, key: str, made_of: dict) -> dict:
    """Return rows and seconds from a part's manifest; raise ArtefactError where it was made of something else."""
    try:
        manifest = json.loads(manifest_path(part).read_text(encoding="utf-8"))
        facts = {name: manifest["parameters"][name] for name in ("rows", "seconds", *made_of)}
    except FileNotFoundError:
        raise ArtefactError(f"{part.name} or its manifest is not there") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ArtefactError(f"the manifest of {part.name} does not say what it was made of") from None
    if manifest.get("key") != key:
        raise ArtefactError(f"{part.name} was made with other settings: of model, method, budget, seed or version")
    if other := [name for name in made_of if facts[name] != made_of[name]]:
        raise ArtefactError(f"{part.name} was made of other {' and '.join(other)}")
    return facts


def fingerprints(files: Iterable[Path], root: Path) -> dict[str, dict]:
    """Return the hash and the size of each file, by its path below `root`."""
    return {file.relative_to(root).as_posix(): {"sha256": sha256(file), "bytes": file.stat().st_size} for file in files}


def key_of(manifest: Path) -> str | None:
    """Return the key in a manifest; None where there is none to read."""
    try:
        return json.loads(manifest.read_text(encoding="utf-8")).get("key")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def describe(files: Iterable[Path], parameters: dict, *, root: Path, key: str | None = None) -> dict:
    """Return a manifest of files below `root`: hash and size of each, key, parameters, versions, git state, time."""
    return ({} if key is None else {"key": key}) | {
        "files": fingerprints(files, root),
        "parameters": parameters,
        "versions": versions(),
        "git": git_state(),
        "machine": f"{platform.system()} on {processor()}",
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@functools.cache
def git_state() -> dict[str, str | bool | None]:
    """Return the commit of the checkout and whether it was changed; None where there is no git."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "changed": None}


def record(*artefacts: Path) -> None:
    """Enter what was just written in the list of its run, if it has one.

    artefacts: tables and manifests of models, whose hashes are those that their manifests have since they were written;
    or files without manifest, all of one run. Raises nothing where the list is damaged: the next run begins it anew.
    """
    listing = Listing.above(artefacts[0].absolute())
    if listing is None:
        return
    home = listing.file.parent
    with _locked(home):
        listing = Listing.at(home)  # as it is now: other jobs write in it as well
        if listing.problem:
            return
        replaced = {of.parent.absolute() for of in artefacts if of.name == MODEL}
        files = {name: of for name, of in listing.files.items() if (home / name).parent not in replaced}
        for artefact in artefacts:
            files |= entries(artefact.absolute(), home)
        write_text(sealed(listing.content | {"files": files}), listing.file)


def entries(artefact: Path, home: Path) -> dict[str, dict]:
    """Return what a list says of an artefact and its manifest, or of a file that has none."""
    if artefact.name != MODEL and artefact.suffix != ".parquet":
        return fingerprints([artefact], home)
    manifest = manifest_of(artefact)
    content = json.loads(manifest.read_text(encoding="utf-8"))
    below = manifest.parent.relative_to(home)
    files = fingerprints([manifest], home) | {(below / name).as_posix(): of for name, of in content["files"].items()}
    key = {} if content.get("key") is None else {"key": content["key"]}
    return files | {(name := artefact.relative_to(home).as_posix()): files[name] | key}


def forget(names: Iterable[str], home: Path) -> None:
    """Take files, by their paths below a run's folder, out of its list."""
    with _locked(home):
        listing = Listing.at(home)
        left_out = set(names)
        kept = {name: of for name, of in listing.files.items() if name not in left_out}
        write_text(sealed(listing.content | {"files": kept}), listing.file)


def begin(home: Path) -> str:
    """Begin the list of a run where there is none to go by; return what was wrong with it, "" for nothing."""
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        problem = Listing.at(home).problem
        if problem:
            write_text(sealed({"files": {}}), home / LIST)
    return problem


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Write the list alone. Where the file system has no locks, the next run enters what two jobs at once may lose."""
    import fcntl  # not on every system, and most who read results never write any

    with (home / f".{LIST}.lock").open("w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check(file: Path, *, made_by: str) -> None:
    """Raise ArtefactError unless a file that has no manifest of its own is there as it was written."""
    if not file.is_file():
        raise ArtefactError(f"{file}: not there; it is made by {made_by}")
    if wrong := file_problem(file):
        raise ArtefactError(f"{Problem(file, wrong)}; make it again with {made_by}")


def read_json(file: Path, *, made_by: str) -> dict:
    """Read facts or a manifest, verified; made_by: what makes it, named in the ArtefactError."""
    check(file, made_by=made_by)
    return json_object(file, ArtefactError, f"make it again with {made_by}")


def verify(folder: Path) -> tuple[int, list[Problem]]:
    """Check all below `folder` against lists and manifests; return the number of manifests and every problem.

    Each file has one problem at most. A file that cannot be read is one, and the others are checked all the same.
    """
    folder = Path(folder)
    manifests = find(folder, "*manifest.json")
    homes = sorted({file.parent for name in (LIST, "experiment.yaml") for file in find(folder, name)})
    if not manifests and not homes:
        raise ArtefactError(f"{folder}: no manifest below this folder; name the results of a run, such as results/demo")
    listings = [Listing.at(home) for home in homes]
    found = [problem for listing in listings for problem in listing.problems()]
    lists = {listing.file for listing in listings}
    found += [problem for manifest in manifests if manifest not in lists for problem in manifest_problems(manifest)]
    return len(manifests), list({problem.path: problem for problem in reversed(found)}.values())[::-1]
