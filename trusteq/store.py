"""Artefacts on disk: written under a temporary name and renamed, each with a manifest, verified when read."""

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from trusteq.errors import ArtefactError

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


def find(folder: Path, pattern: str) -> list[Path]:
    """Return the files below `folder` whose names match, sorted; not those a process left behind when it was killed."""
    return sorted(file for file in folder.rglob(pattern) if not _is_hidden(file.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def write_text(text: str, path: Path) -> None:
    """Write `text` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_json(values: dict) -> str:
    """Return `values` as JSON whose bytes depend on the values alone."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_table(table: pd.DataFrame, path: Path, *, key: str | None = None, **parameters) -> None:
    """Write `table` as Parquet, with a manifest beside it: `parameters`, and the key of what it was made of."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
        manifest = describe([temporary], parameters, root=temporary.parent, key=key)
    write_text(to_json(manifest), manifest_path(path))


def read_table(path: Path, *, made_by: str) -> pd.DataFrame:
    """Read a table and verify it against its manifest.

    made_by: what makes the table, named in the ArtefactError when it is missing or damaged.
    """
    if not path.is_file():
        raise ArtefactError(f"{path}: not there; it is made by {made_by}")
    for problem in _problems(manifest_path(path)):
        raise ArtefactError(f"{problem}; make it again with {made_by}")
    return pd.read_parquet(path)


class Found(NamedTuple):
    """A table that need not be made and the seconds that it took, or None; and what there is to say about it."""

    table: pd.DataFrame | None
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
        table = read_table(path, made_by=made_by)
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
    except (ValueError, KeyError, TypeError):
        raise ArtefactError(f"the manifest of {part.name} does not say what it was made of") from None
    if manifest.get("key") != key:
        raise ArtefactError(f"{part.name} was made with other settings: of model, method, budget, seed or version")
    if other := [name for name in made_of if facts[name] != made_of[name]]:
        raise ArtefactError(f"{part.name} was made of other {' and '.join(other)}")
    return facts


def manifest_path(path: Path) -> Path:
    """Return where the manifest of the table at `path` is."""
    return path.with_suffix(".manifest.json")


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


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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


def verify(folder: Path) -> tuple[int, list[str]]:
    """Check every artefact below `folder` against its manifest; return the number of manifests and all problems."""
    manifests = find(Path(folder), "*manifest.json")
    if not manifests:
        raise ArtefactError(f"{folder}: no manifest below this folder; name the results of a run, such as results/demo")
    return len(manifests), [problem for manifest in manifests for problem in _problems(manifest)]


def _problems(manifest: Path) -> list[str]:
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        hashes = {name: facts["sha256"] for name, facts in files.items()}
    except FileNotFoundError:
        return [f"{manifest}: not there"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{manifest}: not a manifest"]
    problems = []
    for name, expected in hashes.items():
        file = manifest.parent / name
        if not file.is_file():
            problems.append(f"{file}: named in {manifest.name} but not there")
        elif sha256(file) != expected:
            problems.append(f"{file}: differs from its manifest")
    return problems
