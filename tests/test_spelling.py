"""What people read is spelled right: prose, notebooks, docstrings and the words of a page's scripts."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Not tests/, whose misspelled names are bad input, nor results and the scripts of others.
FOLDERS = ("benchmarks", "book", "experiments", "notebooks", "trusteq", "workflow")
SUFFIXES = {".bib", ".css", ".html", ".js", ".md", ".py", ".yaml", ".yml"}
NOT_OURS = {"mathjax", "runs"}


def read_by_people() -> list[Path]:
    below = (file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in SUFFIXES)
    return sorted([*ROOT.glob("*.md"), *(file for file in below if not NOT_OURS & set(file.parts))])


def spelling(folder: Path, files: list[Path]) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "codespell_lib", "--toml", ROOT / "pyproject.toml", *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_what_people_read_is_spelled_right():
    files = read_by_people()
    assert len(files) > 150
    done = spelling(ROOT, files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("wrong", ["teh", "recieved"])
def test_a_misspelled_word_is_found(tmp_path, wrong):
    file = tmp_path / "page.md"
    file.write_text(f"A page about {wrong} model.\n")
    done = spelling(tmp_path, [file])
    assert done.returncode != 0
    assert wrong in done.stdout
