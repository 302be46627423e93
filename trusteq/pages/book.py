"""The book: executed notebooks of a run and of published results, put together with the prose and rendered."""

import base64
import itertools
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import nbformat
import yaml
from nbformat import NotebookNode

from trusteq.errors import ArtefactError
from trusteq.escapes import markdown
from trusteq.lessons import forms
from trusteq.listing import Listing, Problem
from trusteq.pages import explorer, instruments
from trusteq.pages.make import Page, make, overviews, pages
from trusteq.project import environment, root
from trusteq.store import atomic_path, write_text
from trusteq.study import publish
from trusteq.study.results import Results

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"  # the package cannot be run with -m
OF_PUBLISHED = "published"  # folder, below runs/ in the table of contents, of the pages of published results


@dataclass(frozen=True)
class Shown:
    """A page in the book. run: whose it is, None for an overview. suffix: of its exercises, where there are others."""

    page: Page
    run: Results | None
    title: str | None = None
    suffix: str = ""


def build_book(results: Results, *, reference: Path | None = None, output: Path | None = None) -> Path:
    """Build the book of a run into `output`/_build/html and return the path of its first page.

    results: of a run, or published ones. reference: where pages of published results are made, by default beside the
    run. What `_toc.yml` names of published results, and over all of them, is made where it is not there yet.
    Beside the pages stands the data of their instruments.
    Raises ArtefactError when the run is not complete; warnings of the build are errors.
    """
    if results.is_published:
        publish.open_published(results.folder)  # of which pages may be there that were made before a file was changed
    output, source = output or root(), root() / "book"  # not the root itself: Sphinx would read .venv and the results
    reference = (results.folder.parent / OF_PUBLISHED if reference is None else reference).resolve()
    toc = yaml.safe_load((root() / "_toc.yml").read_text(encoding="utf-8"))
    shown = {entry: _shown(entry, results, reference) for entry in entries(toc) if entry.startswith("runs/")}
    own = [one.page for pages in shown.values() for one in pages if one.run is results and not results.is_published]
    for page in own:
        name = results.experiment.name
        if wrong := Listing.at(page.home).wrong(page.file):
            raise ArtefactError(f"{Problem(page.file, wrong)}; run the experiment to its end with trusteq run {name}")
    with environment():
        make([one.page for pages in shown.values() for one in pages if one.page not in own])
    with atomic_path(source / "runs") as temporary:
        temporary.mkdir()
        (temporary / ".gitignore").write_text("*\n", encoding="utf-8")
        for entry, of in shown.items():
            for one in of:
                target = temporary / PurePosixPath(file_of(entry, one.page)).relative_to("runs")
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(one, target.with_suffix(".ipynb"))
    file = root() / "_build" / "toc.yml"
    write_text(yaml.safe_dump(expanded(toc, shown), sort_keys=False), file)
    shutil.rmtree(output / "_build" / "html" / "runs", ignore_errors=True)  # pages of another run would stay
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source), "--path-output", str(output)]
    command += ["--config", str(root() / "_config.yml"), "--toc", str(file)]
    command += ["--quiet", "--warningiserror", "--keep-going", "--nitpick"]
    with environment():  # the book's extension is of this very package
        failed = subprocess.run(command, cwd=root()).returncode
    if failed:
        raise RuntimeError("the book has warnings, shown above; each one is an error")
    forms.write(output / "_build" / "html" / "forms", forms.repository())
    for of in (instruments, explorer):
        of.write(results, output / "_build" / "html" / "runs" / instruments.FOLDER)
    return output / "_build" / "html" / "index.html"


def entries(toc: Mapping) -> Iterator[str]:
    """Yield every file that a table of contents names."""
    for part in toc.get("parts", []):
        for entry in part["chapters"]:
            yield entry["file"]
            yield from (section["file"] for section in entry.get("sections", []))


def _shown(entry: str, results: Results, reference: Path) -> list[Shown]:
    """Return the pages that stand for an entry: runs/NOTEBOOK, or runs/published/EXPERIMENT/NOTEBOOK."""
    parts = PurePosixPath(entry).parts[1:]
    if len(parts) == 1:
        folder = reference / results.experiment.name / "notebooks" if results.is_published else None
        own = [Shown(page, results, _title(results, page)) for page in pages(results, parts, folder=folder)]
        return own or [Shown(page, None) for page in overviews(parts, folder=reference / "notebooks")]
    _, name, notebook = parts
    run = publish.open_published(name)
    found = pages(run, [notebook], folder=reference / name / "notebooks")
    return [Shown(page, run, run.experiment.title, f"-{name}") for page in found]


def _title(run: Results, page: Page) -> str | None:
    """Return what sets a page apart from others of its notebook: the task, and the seed where there are several."""
    if page.task is None:
        return None
    seed = page.parameters.get("seed")
    several = seed is not None and len(run.experiment.seeds) > 1
    return run.experiment.task(page.task).title + (f", seed {seed}" if several else "")


def file_of(entry: str, page: Page) -> str:
    """Return the file in the book, without ending, of a page that stands for an entry of the table of contents."""
    return str(PurePosixPath(entry).with_name(page.name.replace("/", "-")))


def expanded(toc: Mapping, shown: Mapping[str, list[Shown]]) -> dict:
    """Return the table of contents with each entry replaced by its pages, and without what is then empty."""
    parts = [part | {"chapters": _filled(part["chapters"], shown)} for part in toc["parts"]]
    return dict(toc) | {"parts": [part for part in parts if part["chapters"]]}


def _filled(chapters: list[dict], shown: Mapping[str, list[Shown]]) -> list[dict]:
    found = []
    for entry in chapters:
        rest = _filled(entry.get("sections", []), shown)
        named = {name: entry[name] for name in ("file", "title") if name in entry}
        for of in _named(named, shown[entry["file"]]) if entry["file"] in shown else [named]:
            found.append(of | ({"sections": rest} if rest else {}))
    return found


def _named(entry: dict, pages: list[Shown]) -> Iterator[dict]:
    """Yield an entry of the table of contents for each of its pages; its title with what sets a page apart."""
    parts = [one.page.name.split("/")[1:] for one in pages]
    for one, part in zip(pages, parts, strict=True):
        own = [of for place, of in enumerate(part) if len({other[place] for other in parts}) > 1]
        title = {"title": ", ".join([entry["title"], *own])} if "title" in entry else {}
        yield {"file": file_of(entry["file"], one.page)} | title


def _copy(shown: Shown, target: Path) -> None:
    """Copy an executed notebook for readers, who may run it elsewhere: code folded, parameters in their own cell."""
    notebook = nbformat.read(shown.page.file, as_version=4)
    parameters = dict(shown.page.parameters)
    if shown.run is not None:
        parameters["experiment"] = shown.run.experiment.name
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    notebook.metadata = {name: of for name, of in notebook.metadata.items() if name in ("kernelspec", "language_info")}
    lesson = shown.page.source.parent.name == "lessons"
    for cell in notebook.cells:
        cell.metadata = {"tags": _tags(cell, lesson)} if _tags(cell, lesson) else {}
        if lesson and forms.is_solution(cell) and cell.cell_type == "code":
            cell.metadata["mystnb"] = {"code_prompt_show": "Show a solution", "code_prompt_hide": "Hide the solution"}
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = _with_values(cell.source, parameters)
    if lesson:
        notebook.cells[0].source += f"\n\n{forms.links(shown.page.source.stem, forms.repository())}"
    _offer_data(notebook, target.stem)
    notebook.cells.append(nbformat.v4.new_markdown_cell(_how_to_rerun(shown)))
    if shown.title is not None:
        _set_title(notebook, shown)
    if shown.suffix:
        _label_apart(notebook, shown.suffix)
    nbformat.write(notebook, target)


def _tags(cell: NotebookNode, lesson: bool) -> list[str]:
    tags = set(cell.metadata.get("tags", []))
    if "parameters" in tags:
        tags.add("remove-cell")
    elif cell.cell_type == "code" and not lesson:
        tags.add("remove-input")  # it only draws; the notebook has it
    elif lesson and cell.cell_type == "code" and forms.is_solution(cell):
        tags.add("hide-cell")
    return sorted(tags)


def _offer_data(notebook: NotebookNode, name: str) -> None:
    """Put a link below each table and figure whose data the notebook keeps as CSV; the link holds the data.

    So the data is there without a server, in the page and in the notebook, and cannot be parted from what it is of.
    """
    number = itertools.count(1)
    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            table = output.get("data", {}).pop("text/csv", None)
            outputs += [output] if table is None else [output, _data_link(table, f"{name}-{next(number)}.csv")]
        if outputs:
            cell.outputs = outputs


def _data_link(table: str, file: str) -> NotebookNode:
    address = "data:text/csv;charset=utf-8;base64," + base64.b64encode(table.encode()).decode()
    link = f'<p class="tq-data"><a download="{file}" href="{address}">Data as CSV<span> ({file})</span></a></p>'
    return nbformat.v4.new_output("display_data", {"text/html": link, "text/plain": f"Data as CSV ({file})"})


def _how_to_rerun(shown: Shown) -> str:
    """Return how the page of a notebook is made again, in three lines."""
    page, run = shown.page, shown.run
    source = page.source.relative_to(root())
    named = {} if run is None else {"experiment": run.experiment.name}
    chosen = "".join(f" -p {key}={value}" for key, value in (dict(page.parameters) | named).items())
    whole = "" if run is None else f"trusteq {'pages' if run.is_published else 'run'} {run.experiment.name}"
    lines = [
        f"- From its tables, in a checkout: `trusteq execute {source.as_posix()} again.ipynb{chosen}`",
        f"- With all pages of the run: `{whole}`" if whole else "- With the book around it: `trusteq book`",
        "- By hand, as a notebook: in a checkout, `pip install '.[lessons]'` brings what it needs.",
    ]
    return "\n".join(["```{admonition} Rerun this page", ":class: tq-rerun", *lines, "```"])


def _with_values(source: str, parameters: Mapping[str, object]) -> str:
    """Return a cell of parameters with other values; comments stay."""
    for name, value in parameters.items():
        line = re.compile(rf"^{name} = [^#\n]*?(\s*#.*)?$", flags=re.MULTILINE)
        source = line.sub(lambda found, name=name, value=value: f"{name} = {value!r}{found[1] or ''}", source)
    return source


def _set_title(notebook: NotebookNode, shown: Shown) -> None:
    first = next(cell for cell in notebook.cells if cell.source.startswith("# "))
    heading, *rest = first.source.splitlines()
    title = markdown(shown.title)
    named = f"{heading} {title}" if heading.endswith("?") else f"{heading}: {title}"
    first.source = "\n".join([named, *rest])


def _label_apart(notebook: NotebookNode, suffix: str) -> None:
    """Give the labels of exercises a suffix: the same page of several runs stands in one book."""
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for label in {label for cell in texts for label in re.findall(r"^:label: (\S+)$", cell.source, flags=re.MULTILINE)}:
        for cell in texts:
            cell.source = re.sub(
                rf"(:label: |{{solution(?:-start)?}} ){re.escape(label)}$", rf"\g<0>{suffix}", cell.source, flags=re.M
            )
