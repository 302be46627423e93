"""The book: executed notebooks of a run and of published results, put together with the prose and rendered."""

import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

from trusteq.errors import ArtefactError
from trusteq.project import root
from trusteq.store import atomic_path, write_text
from trusteq.study import notebooks, publish
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

JUPYTER_BOOK = "from jupyter_book.cli.main import main; main()"  # the package cannot be run with -m


# Notebooks of which a run has many executed copies, each a page of the book.
STAGES = ("01_finetune", "02_attribution", "03_calibration", "04_comparison")


CHAPTER = ("results", "04", "03", "05", "06", "is_half_low", "first")  # of the pages of published results, in order


OVERVIEWS = ("findings", "cost")  # pages over all published results


def build_book(results: Results, *, reference: Path | None = None, output: Path | None = None) -> Path:
    """Build the book of a run into `output`/_build/html and return the path of its first page.

    results: of a run, or what `make_pages` made of published results. reference: where it makes the pages of these, by
    default beside the run: those that are there are part of the book, and the pages over all of them always are.
    Raises ArtefactError when the run is not complete; warnings of the build are errors.
    """
    reference = results.folder.parent / "published" if reference is None else reference.resolve()
    make_overviews(reference)
    pages = _pages(results) | {page: (reference / "notebooks" / f"{page}.ipynb", None) for page in OVERVIEWS}
    for name in publish.names():
        if name != results.experiment.name and (reference / name / "notebooks").is_dir():
            pages |= _reference_pages(Results.open(reference / name))
    source = root() / "book"  # not the root itself: Sphinx would read .venv and the results
    runs = source / "runs"
    with atomic_path(runs) as temporary:
        temporary.mkdir()
        (temporary / ".gitignore").write_text("*\n", encoding="utf-8")
        for name, (file, title) in pages.items():
            page = temporary / f"{name}.ipynb"
            page.parent.mkdir(exist_ok=True)
            _copy_page(file, page, title, run=name.rpartition("/")[0])
    toc = root() / "_build" / "toc.yml"
    write_text(yaml.safe_dump(table_of_contents(pages), sort_keys=False), toc)
    shutil.rmtree(output / "_build" / "html" / "runs", ignore_errors=True)  # pages of another run would stay
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(source), "--path-output", str(output)]
    command += ["--config", str(root() / "_config.yml"), "--toc", str(toc)]
    command += ["--quiet", "--warningiserror", "--keep-going", "--nitpick"]
    if subprocess.run(command, cwd=root()).returncode:
        raise RuntimeError("the book has warnings, shown above; each one is an error")
    return output / "_build" / "html" / "index.html"


def _pages(results: Results) -> dict[str, tuple[Path, str | None]]:
    """Return the executed notebooks of a run: page name -> (file, title; None keeps the notebook's own)."""
    experiment, notebooks = results.experiment, results.folder / "notebooks"
    pages = {file.stem: (file, None) for file in sorted(notebooks.glob("*.ipynb"))}
    for task in experiment.tasks:
        title = experiment.task(task).title
        for seed in experiment.seeds:
            suffix = _suffix(experiment.seeds, seed)
            pages |= _page(notebooks, "03_calibration", [task, seed], f"Calibration: {title}{suffix}")
        pages |= _page(notebooks, "04_comparison", [task], f"Alignment: {title}")
        for model, seed in [] if results.is_published else experiment.runs:
            suffix = _suffix(experiment.model_seeds(model), seed)
            what = f"{experiment.model(model).title}, {title}{suffix}"
            pages |= _page(notebooks, "01_finetune", [task, model, seed], f"Fine-tuning: {what}")
            pages |= _page(notebooks, "02_attribution", [task, model, seed], f"Attribution: {what}")
    how = f"make it with trusteq pages {experiment.name}"
    if not results.is_published:
        how = f"run the experiment to its end with trusteq run {experiment.name}"
    for file, _ in pages.values():
        if not file.is_file():
            raise ArtefactError(f"{file}: not there; {how}")
    return pages


def _reference_pages(results: Results) -> dict[str, tuple[Path, str | None]]:
    """Return the pages of published results as a chapter: in a folder, the front page titled after the experiment."""
    experiment, pages = results.experiment, _pages(results)
    front = _front(experiment)
    pages[front] = (pages[front][0], experiment.title)
    return {f"{experiment.name}/{page}": entry for page, entry in pages.items() if page.startswith(CHAPTER)}


def _front(experiment: Experiment) -> str:
    """Return the page that the others of published results stand under."""
    return "first" if experiment.name.startswith("first-") else "results"


def _suffix(seeds: Collection[int], seed: int) -> str:
    return f", seed {seed}" if len(seeds) > 1 else ""


def _page(notebooks: Path, stage: str, parts: list, title: str) -> dict[str, tuple[Path, str]]:
    file = notebooks.joinpath(stage, *map(str, parts[:-1]), f"{parts[-1]}.ipynb")
    return {"-".join([stage, *map(str, parts)]): (file, title)}


def _folders(pages: Collection[str]) -> list[str]:
    """Return the published experiments that have pages, in their order."""
    return list(dict.fromkeys(page.split("/")[0] for page in pages if "/" in page))


def _reference(name: str, pages: Collection[str]) -> dict:
    """Return the entry of published results: their first page, and the others under it."""
    front = _front(publish.open_published(name).experiment)
    own = [page for part in (front, *CHAPTER) for page in pages if page.startswith(f"{name}/{part}")]
    first, *others = dict.fromkeys(own)
    return {"file": f"runs/{first}", "sections": [{"file": f"runs/{page}"} for page in others]}


def _copy_page(source: Path, target: Path, title: str | None, *, run: str = "") -> None:
    """Copy an executed notebook for readers: code folded, defaults of parameters left out, a title of its own.

    title: replaces the first heading, which is the same for all tasks and models; None for a page there is only one of.
    run: the published experiment that it is of; none for the run that the book is made of.
    """
    notebook = nbformat.read(source, as_version=4)
    if run:
        _label_apart(notebook, run)
    lesson = source.stem.startswith("lesson")
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if "parameters" in tags:
            tags.add("remove-cell")
        elif cell.cell_type == "code" and not lesson:
            tags.add("hide-input")
        cell.metadata["tags"] = sorted(tags)
    if title is not None:
        first = next(cell for cell in notebook.cells if cell.source.startswith("# "))
        first.source = "\n".join([f"# {title}", *first.source.splitlines()[1:]])
    nbformat.write(notebook, target)


def _label_apart(notebook: NotebookNode, suffix: str) -> None:
    """Give the labels of exercises a suffix: the same page of several runs stands in one book."""
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for label in {label for cell in texts for label in re.findall(r"^:label: (\S+)$", cell.source, flags=re.MULTILINE)}:
        for cell in texts:
            cell.source = re.sub(
                rf"(:label: |{{solution}} ){re.escape(label)}$", rf"\g<0>-{suffix}", cell.source, flags=re.M
            )


def table_of_contents(pages: dict[str, tuple[Path, str | None]]) -> dict:
    """Return `_toc.yml` with each entry named after a stage replaced by its pages, and without what is then empty."""
    toc = yaml.safe_load((root() / "_toc.yml").read_text(encoding="utf-8"))
    parts = [part | {"chapters": _entries(part["chapters"], pages)} for part in toc["parts"]]
    return toc | {"parts": [part for part in parts if part["chapters"]]}


def _entries(entries: list[dict], pages: dict) -> list[dict]:
    filled = []
    for entry in entries:
        folder, stage = Path(entry["file"]).parts[:-1], Path(entry["file"]).name
        if stage == "published":
            filled += [_reference(name, pages) for name in _folders(pages)]
        elif folder and stage not in (*STAGES, *pages):
            continue  # a page that this run has not
        elif stage in STAGES:
            filled += [{"file": f"runs/{name}"} for name in pages if name.startswith(f"{stage}-")]
        elif "sections" in entry:
            sections = _entries(entry["sections"], pages)
            filled.append({"file": entry["file"]} | ({"sections": sections} if sections else {}))
        else:
            filled.append(entry)
    return filled


def make_overviews(results: Path) -> None:
    """Make the pages over all published results, OVERVIEWS, from data/published itself."""
    for page in OVERVIEWS:
        notebooks.execute(root() / "notebooks" / f"{page}.py", results.resolve() / "notebooks" / f"{page}.ipynb", {})
