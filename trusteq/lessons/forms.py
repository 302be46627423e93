"""Both forms of a lesson, as notebooks to take away: solved, as it is kept, and for students, its answers empty.

A cell tagged `solution` is an answer: prose goes; code keeps the names that it gives values to, and functions their
signature and docstring. So the two forms cannot drift apart.
`python -m trusteq.lessons.forms FOLDER` writes them.
"""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

from trusteq.errors import TrusteqError
from trusteq.project import root
from trusteq.store import write_text

SOLUTION = "solution"  # the tag
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
SETUP = """\
# On Colab alone: the project, its published results among it. Elsewhere this does nothing.
import os
if "COLAB_RELEASE_TAG" in os.environ:
    !git clone --quiet --depth 1 {repository} /content/trusteq
    %pip install --quiet /content/trusteq
    os.environ["TRUSTEQ_PROJECT"] = "/content/trusteq\""""


def lessons() -> dict[str, Path]:
    """Return the lessons of the project by name."""
    return {file.stem: file for file in sorted((root() / "notebooks" / "lessons").glob("lesson_*.py"))}


def solved(source: Path) -> NotebookNode:
    """Return a lesson with its answers."""
    return nbformat.v4.new_notebook(cells=jupytext.read(source).cells, metadata={"kernelspec": KERNEL})


def student(source: Path) -> NotebookNode:
    """Return a lesson with an empty cell for each answer."""
    notebook = solved(source)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code" or not is_solution(cell)]
    for cell in filter(is_solution, notebook.cells):
        cell.source, cell.metadata["tags"] = unsolved(cell.source), ["answer"]
    return notebook


FORMS = {"student": student, "solved": solved}


def is_solution(cell: NotebookNode) -> bool:
    """Return whether a cell is an answer."""
    return SOLUTION in cell.metadata.get("tags", [])


def unsolved(code: str) -> str:
    """Return the code of an answer without the answer: its first comments, `name = ...`, signatures with docstrings."""
    lines, tree = code.splitlines(), ast.parse(code)
    return "\n".join([*lines[: tree.body[0].lineno - 1], *filter(None, map(_unsolved, tree.body))])


def _unsolved(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign):
        return f"{ast.unparse(statement.targets[0])} = ..."
    if isinstance(statement, ast.FunctionDef):
        has_docstring = ast.get_docstring(statement) is not None
        statement.body = [*statement.body[:has_docstring], ast.Expr(ast.Constant(...))]
        return ast.unparse(statement)
    return ""


def repository() -> str:
    """Return the address of the project on GitHub, from `_config.yml`; empty as long as it has none."""
    config = yaml.safe_load((root() / "_config.yml").read_text(encoding="utf-8"))
    return config.get("repository", {}).get("url", "").rstrip("/")


def links(lesson: str, address: str) -> str:
    """Return what the page of a lesson links to, as Markdown; Binder and Colab where the project has an address.

    Colab opens what the branch gh-pages holds, which is the book as it is built.
    """
    files = [f'<a href="../forms/{lesson}-{form}.ipynb" download>{form} form</a>' for form in FORMS]
    if address:
        of = address.removeprefix("https://github.com/")
        binder = f"https://mybinder.org/v2/gh/{of}/HEAD?urlpath=lab/tree/forms/{lesson}-student.ipynb"
        colab = f"https://colab.research.google.com/github/{of}/blob/gh-pages/forms/{lesson}-student.ipynb"
        files += [f'<a href="{binder}">open in Binder</a>', f'<a href="{colab}">open in Colab</a>']
    return f"To work on it, as a notebook: {', '.join(files)}."


def write(folder: Path, address: str = "") -> list[Path]:
    """Write both forms of every lesson into a folder, each in one step, and return the files."""
    files = []
    for name, source in lessons().items():
        for form, made in FORMS.items():
            notebook = made(source)
            if address:
                notebook.cells.insert(1, nbformat.v4.new_code_cell(SETUP.format(repository=address)))
            files.append(folder / f"{name}-{form}.ipynb")
            write_text(nbformat.writes(notebook), files[-1])
    return files


def main(arguments: Sequence[str]) -> None:
    """Write the forms into the one folder that is named."""
    if len(arguments) != 1:
        sys.exit("one folder is wanted: python -m trusteq.lessons.forms FOLDER")
    try:
        files = write(Path(arguments[0]), repository())
    except TrusteqError as error:
        sys.exit(f"trusteq error: {error}")
    print(f"{len(files)} notebooks in {arguments[0]}")


if __name__ == "__main__":
    main(sys.argv[1:])
