"""What should exist: the list of a run, or of published results, the manifests below it, and what differs from them.

Each table has a manifest beside it, and each model one in its folder, with the hashes of what was written. One list at
the root of a run (`artefacts.json`), or of published results (`manifest.json`), names every file, manifests included,
and holds a hash of itself. So a file that is changed, lost, swapped, added, or replaced together with its manifest is
found. It is no signature: who rewrites the file, its manifest and the list is not found.
"""

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from trusteq.bounds import MOST_JSON
from trusteq.errors import shortened
from trusteq.escapes import plain

LIST, MODEL = "artefacts.json", "manifest.json"  # of a run; of a model's folder, and the list of published results
_CACHES = ("logs", "tokens", "checkpoints")  # folders of a run that hold no results
_ABSENT, _LONGEST = "not there", 300  # letters of a path that are shown
_DEEPEST = 5  # folders of a run: attribution/<task>/<model>/<seed>/


def to_json(values: dict) -> str:
    """Return `values` as JSON whose bytes depend on the values alone."""
    return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def find(folder: Path, pattern: str) -> list[Path]:
    """Return the files below `folder` whose names match, sorted; not those a process left behind when it was killed."""
    return sorted(file for file in folder.rglob(pattern) if not _is_hidden(file.relative_to(folder)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def manifest_path(path: Path) -> Path:
    """Return where the manifest of the table at `path` is."""
    return path.with_suffix(".manifest.json")


class Problem(NamedTuple):
    """What is wrong with a file; as text, one line that can be printed."""

    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{shown(str(self.path))}: {self.problem}"


def shown(name: str) -> str:
    """Return a name that came from a file as it can be printed: no control characters, its middle left out if long."""
    return shortened(plain(name), _LONGEST)


def sealed(content: dict) -> str:
    """Return a list as it is written: with the hash of all that it says."""
    said = {name: value for name, value in content.items() if name != "sha256"}
    return to_json(said | {"sha256": hashlib.sha256(to_json(said).encode()).hexdigest()})


@functools.lru_cache(maxsize=32)
def _read_list(text: bytes) -> dict | None:
    """Return the content of a list; None where a byte of it is not as it was written."""
    try:
        content = json.loads(text)
        whole = isinstance(content["files"], dict) and sealed(content).encode() == text
        return content if whole and all(isinstance(of["sha256"], str) for of in content["files"].values()) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def wrong_hash(file: Path, expected: str) -> str:
    """Return what is wrong with a file that should have a hash; "differs" where it has another one; "" for nothing."""
    try:
        if not file.is_file():
            return _ABSENT
        return "" if sha256(file) == expected else "differs"
    except (OSError, ValueError) as error:  # a name that no system takes among them
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"


class Listing(NamedTuple):
    """The list at the root of a run, or of published results.

    file: where it is. content: what it says; "files" are by path below its folder. problem: with the list itself.
    """

    file: Path
    content: dict
    problem: str = ""

    @classmethod
    def at(cls, folder: Path) -> "Listing":
        """Return the list at the root of a run, or of published results, whatever it is like."""
        of_run, published = folder / LIST, folder / MODEL
        file = published if os.path.exists(published) and not os.path.exists(of_run) else of_run
        try:
            content = _read_list(file.read_bytes())
        except FileNotFoundError:
            return cls(file, {}, _ABSENT)
        except OSError as error:
            return cls(file, {}, f"cannot be read ({error.strerror})")
        return cls(file, content or {}, "" if content else "damaged: not as it was written")

    @classmethod
    def above(cls, path: Path) -> "Listing | None":
        """Return the list that a file should stand in; None where it belongs to no run that has one."""
        near = path.parents[:_DEEPEST]  # a list that somebody left further up is not of this run
        homes = [home for home in near if os.path.exists(home / LIST)]
        homes += [home for home in near if _is_published(home)]
        return cls.at(homes[0]) if homes else None

    @property
    def files(self) -> dict[str, dict]:
        """By path below the folder: sha256, bytes, and of an artefact with a key its key."""
        return self.content.get("files", {})

    def name(self, file: Path) -> str:
        """Return the path of a file below the folder."""
        return file.relative_to(self.file.parent).as_posix()

    def has(self, file: Path) -> bool:
        """Return whether the list names a file."""
        return self.name(file) in self.files

    def key(self, artefact: Path) -> str | None:
        """Return the key under which the list has an artefact; None where it has it under none."""
        return self.files.get(self.name(artefact), {}).get("key")

    def wrong(self, file: Path) -> str:
        """Return what is wrong with a file of the folder, by this list; "" for nothing."""
        if self.problem:
            return f"cannot be checked: {self.file} is {self.problem}"
        known = self.files.get(self.name(file))
        if known is None:
            return f"not in {self.file.name}"
        found = wrong_hash(file, known["sha256"])
        if found == "differs":
            return self._swapped(file) or f"differs from {self.file.name}"
        return f"in {self.file.name}, but {found}" if found else ""

    def _swapped(self, file: Path) -> str:
        found = sha256(file)
        others = (name for name, of in self.files.items() if of["sha256"] == found)
        return next((f"swapped: it holds what {self.file.name} has as {shown(name)}" for name in others), "")

    def problems(self) -> list[Problem]:
        """Return what is wrong with any file of the folder: changed, missing, or not in the list."""
        if self.problem:
            return [Problem(self.file, f"{self.problem}; without this list, what is swapped or foreign is not found")]
        home = self.file.parent
        files = [home / name for name in self.files]
        found = [Problem(file, wrong) for file in files if (wrong := self.wrong(file))] + self.foreign()
        named = self.content.get("parameters", {}).get("experiment", home.name)
        if named != home.name and os.path.exists(home.with_name(named)):
            found.append(Problem(self.file, f"swapped: it is the list of {shown(named)}"))
        return found

    def foreign(self) -> list[Problem]:
        """Return the files of the folder that are not in the list."""
        there = [file for file in find(self.file.parent, "*") if not self._is_cache(file) and not os.path.isdir(file)]
        said = f"foreign: not in {self.file.name}"
        return [Problem(file, said) for file in there if file != self.file and not self.has(file)]

    def _is_cache(self, file: Path) -> bool:
        return self.file.name == LIST and file.relative_to(self.file.parent).parts[0] in _CACHES


def _is_published(folder: Path) -> bool:
    return os.path.exists(folder / "experiment.yaml") and os.path.exists(folder / MODEL)


def named(manifest: Path) -> dict[Path, str]:
    """Return the hash of each file that a manifest names; none where it is not a whole manifest."""
    files = _read_manifest(manifest)
    return {} if isinstance(files, str) else files


def _read_manifest(manifest: Path) -> dict[Path, str] | str:
    """Return the hash of each file that a manifest names; or what is wrong with the manifest."""
    try:
        if manifest.stat().st_size > MOST_JSON:
            return "not a manifest: too large"
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        hashes = {name: str(of["sha256"]) for name, of in files.items()}
    except FileNotFoundError:
        return _ABSENT
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "not a manifest"
    if away := [name for name in hashes if Path(name).is_absolute() or ".." in Path(name).parts]:
        return f"not a manifest: it names {shown(away[0])}, which is not below its folder"
    return {manifest.parent / name: expected for name, expected in hashes.items()}


def manifest_problems(manifest: Path) -> list[Problem]:
    """Return what is wrong with a manifest, or with the files that it names."""
    files = _read_manifest(manifest)
    if isinstance(files, str):
        return [Problem(manifest, files)]
    found = {file: wrong_hash(file, expected) for file, expected in files.items()}
    said = {"differs": "differs from its manifest", _ABSENT: f"named in {manifest.name} but not there"}
    return [Problem(file, said.get(wrong, wrong)) for file, wrong in found.items() if wrong]


def manifest_of(path: Path) -> Path:
    """Return the manifest of an artefact: beside a table; a model's is what stands for it."""
    return path if path.name == MODEL else manifest_path(path)


def artefact_problems(path: Path, *, listed: bool = True) -> list[Problem]:
    """Return what is wrong with an artefact: a table, or the manifest of a model, which stands for all in its folder.

    The list of its run has to hold its manifest as it is, and the manifest every file as it is. listed: False leaves
    the list out.
    """
    manifest, listing = manifest_of(path), Listing.above(path.absolute()) if listed else None
    if listing is not None and (wrong := listing.wrong(manifest.absolute())):
        return [Problem(manifest, wrong)]
    if found := manifest_problems(manifest):
        return found
    is_named = path == manifest or path in named(manifest)
    return [] if is_named else [Problem(manifest, f"does not name {path.name}")]


def foreign_to(manifest: Path) -> list[Problem]:
    """Return the files in a model's folder that its manifest does not name: a loader might take them for its own."""
    known = {*named(manifest), manifest}
    said = f"foreign: {MODEL} does not name it; remove it"
    return [Problem(file, said) for file in find(manifest.parent, "*") if file not in known]


def file_problem(file: Path) -> str:
    """Return what is wrong with a file that has no manifest of its own: by the list of its run, else its model's."""
    listing = Listing.above(file.absolute())
    if listing is not None:
        return listing.wrong(file.absolute())
    files = named(file.with_name(MODEL))
    return wrong_hash(file, files[file]) if file in files else ""
