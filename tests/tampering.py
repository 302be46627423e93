"""What may happen to an artefact: changed, cut, emptied, lost, swapped, replaced with its manifest; and put back.

Each change is a function of a file and the folder of its run: it returns what is then in which file, None where it is
gone. Nothing is written but by `changed`.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from trusteq.listing import MODEL, Listing, manifest_of, sealed, to_json


def flip(file: Path, home: Path) -> dict[Path, bytes | None]:
    """One bit of the byte in the middle: of a text, a letter or a digit becomes another one."""
    content = file.read_bytes()
    middle = len(content) // 2
    return {file: content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]}


def cut(file: Path, home: Path) -> dict[Path, bytes | None]:
    """The last byte is gone."""
    return {file: file.read_bytes()[:-1]}


def empty(file: Path, home: Path) -> dict[Path, bytes | None]:
    return {file: b""}


def delete(file: Path, home: Path) -> dict[Path, bytes | None]:
    """A table is lost with its manifest."""
    return dict.fromkeys(with_manifest(file))


def swap(file: Path, home: Path) -> dict[Path, bytes | None]:
    """With a file of its kind that holds something else; tables with their manifests."""
    content, kind = file.read_bytes(), "*.parquet" if file.suffix == ".parquet" else f"*{file.suffix}"
    kin = sorted(home.rglob(kind), key=lambda one: (one.name != file.name, one <= file, one))
    others = [one for one in [*kin, *home.rglob("*.json")] if one.parent != home]
    other = next(one for one in others if one.read_bytes() != content)
    pairs = zip(with_manifest(file), with_manifest(other), strict=True)
    return {one: of.read_bytes() for pair in pairs for one, of in (pair, pair[::-1])}


def replace(file: Path, home: Path) -> dict[Path, bytes | None]:
    """By something else that its manifest describes; a manifest, a list: by one that says something else."""
    if file == Listing.at(home).file:
        content = json.loads(file.read_text(encoding="utf-8"))
        content["files"].pop(max(content["files"]))
        return {file: sealed(content).encode()}
    if file.name.endswith(MODEL):
        return {file: to_json(json.loads(file.read_text(encoding="utf-8")) | {"machine": "another"}).encode()}
    content = flip(file, home)[file]
    manifest = manifest_of(file) if file.suffix in (".parquet", ".arrow") else file.with_name(MODEL)
    if file.parent == home or not manifest.is_file():
        return {file: content}
    described = json.loads(manifest.read_text(encoding="utf-8"))
    described["files"][file.name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    return {file: content, manifest: to_json(described).encode()}


CHANGES = {change.__name__: change for change in (flip, cut, empty, delete, swap, replace)}


def with_manifest(file: Path) -> list[Path]:
    return [file, manifest_of(file)] if file.suffix == ".parquet" else [file]


@contextlib.contextmanager
def changed(file: Path, change: str, home: Path):
    """Change a file of a run, or of published results, times kept; put everything back as it was afterwards."""
    before = {one: (one.read_bytes(), one.stat()) for one in CHANGES[change](file, home)}
    try:
        apply(file, change, home)
        yield
    finally:
        write(before)


def apply(file: Path, change: str, home: Path) -> None:
    """Change a file, times kept."""
    write({one: (content, one.stat()) for one, content in CHANGES[change](file, home).items()})


def write(contents) -> None:
    for file, (content, stat) in contents.items():
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
