"""The folder of one run: where each artefact is, and how to read it."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from trusteq import modality, project
from trusteq.blocks import Stored
from trusteq.errors import ArtefactError, nearest, reading
from trusteq.listing import LIST, MODEL, Listing, artefact_problems, find, foreign_to
from trusteq.project import PUBLISHED
from trusteq.registry import Task
from trusteq.store import check, manifest_path, open_table, read_json, read_table, write_table
from trusteq.study.experiment import Experiment
from trusteq.words import by_place

PARTS = ("test", "dev", "random-head")  # what a model's predictions are of; the last: test, under its twin


@functools.cache
def _generated_words(task: str) -> dict[tuple[str, int, int], str]:
    """Return the words of a generated task's test examples by where they stand. task: as JSON, which can be hashed."""
    from trusteq.examples.load import load_examples

    return by_place(load_examples(Task.model_validate_json(task), "test"))


def part_name(seed: int, part: str) -> str:
    """Return the name of the table of a model's predictions: the training seed alone for the test split."""
    return str(seed) if part == "test" else f"{seed}-{part}"


@dataclass(frozen=True)
class Results:
    """The folder of one run of one experiment: where each artefact is, and how to read it."""

    folder: Path
    experiment: Experiment

    @property
    def is_published(self) -> bool:
        """Whether these are results without texts and weights (`trusteq.published`)."""
        return (self.folder / MODEL).is_file() and not (self.folder / LIST).is_file()

    @classmethod
    def of(cls, experiment: str | Path, results: str | Path | None = None) -> "Results":
        """Return the results of an experiment file below the folder `results`, by default the checkout's own."""
        loaded = Experiment.load(experiment)
        return cls(Path(results or project.root() / "results").resolve() / loaded.name, loaded)

    @classmethod
    def open(cls, folder: str | Path) -> "Results":
        """Open the results of a run: its folder, or a folder that holds one run alone."""
        folder = Path(folder).resolve()
        runs = [folder] if (folder / "experiment.yaml").is_file() else sorted(folder.glob("*/experiment.yaml"))
        if len(runs) != 1:
            found = ", ".join(run.parent.name for run in runs) or "none"
            raise ArtefactError(f"{folder}: expected the results of one run; runs found in it: {found}")
        folder = runs[0] if runs[0].is_dir() else runs[0].parent
        check(folder / "experiment.yaml", made_by="trusteq run")
        return cls(folder, Experiment.load(folder / "experiment.yaml"))

    def may_show(self, task: str) -> bool:
        """Return whether a page may show the texts of a task: published results show those that we generate alone.

        Images and sound are made of what a reader may not have; the few that a page shows are published, see `shown`.
        """
        settings = self.experiment.task(task)
        return not self.is_published or (settings.generated and modality.of(settings.columns) is None)

    def shown(self, task: str) -> pd.DataFrame | None:
        """Return the test examples that a page may show, of published images and sound a few; None where it may not."""
        file = self.path("shown", task)
        if self.is_published and file.is_file():
            return modality.unpacked(read_table(file, made_by="trusteq publish"))
        if not self.may_show(task):
            return None
        from trusteq.examples.load import load_examples

        return load_examples(self.experiment.task(task), "test")

    def model(self, task: str, model: str, seed: int) -> Path:
        """Return the folder of a fine-tuned model with its metrics and training history."""
        return self.folder / "models" / task / model / str(seed)

    def trained(self, task: str, model: str, seed: int) -> Path:
        """Return the folder of a fine-tuned model, verified; raise ArtefactError if it is missing or damaged."""
        folder = self.model(task, model, seed)
        for problem in artefact_problems(folder / MODEL):
            raise ArtefactError(f"{problem}; notebooks/01_finetune.py with task={task} model={model} makes it")
        for foreign in foreign_to(folder / MODEL):
            raise ArtefactError(str(foreign))
        return folder

    def path(self, stage: str, *parts: object) -> Path:
        """Return the path of a table, such as `path("predictions", task, model, seed)`."""
        return self.folder.joinpath(stage, *map(str, parts[:-1]), f"{parts[-1]}.parquet")

    def write(self, table: pd.DataFrame, stage: str, *parts: object, **parameters) -> None:
        """Write a table of this run with its manifest."""
        write_table(table, self.path(stage, *parts), experiment=self.experiment.name, **parameters)

    def predictions(self, task: str, model: str, seed: int, part: str = "test") -> pd.DataFrame:
        """Return id, label (index) and one column of probabilities per class, for every example of a part.

        part: "test"; "dev", on which calibration may be repaired; or "random-head", the test split under the large
        model's randomly headed twin. Raises ArtefactError for another.
        """
        if part not in PARTS:
            raise ArtefactError(f"predictions: no part {part!r}; {nearest(part, PARTS)}")
        made_by = f"notebooks/01_finetune.py with task={task} model={model} seed={seed}"
        return read_table(self.path("predictions", task, model, part_name(seed, part)), made_by=made_by)

    def attribution(self, task: str, model: str, seed: int, table: str) -> pd.DataFrame:
        """Return id, segment, position, word, label (class name), weight of the explained test examples.

        table: a method; "<method>.again", under another explainer seed, of a method that draws; "<method>.random-head",
        of the large model's twin; or "faithfulness": id, method, comprehensiveness, sufficiency. Published results hold
        no words: those of generated texts are put back, elsewhere the place stands for the word.
        """
        found = self.explanations(task, model, seed, table)
        return found if isinstance(found, pd.DataFrame) else found.whole()

    def explanations(self, task: str, model: str, seed: int, table: str) -> pd.DataFrame | Stored:
        """Return the same; a table of more rows than are held (`blocks.MOST_HELD`) as it is on disk."""
        made_by = f"notebooks/02_attribution.py with task={task} model={model} seed={seed}"
        found = open_table(self.path("attribution", task, model, seed, table), made_by=made_by)
        if isinstance(found, Stored):
            return replace(found, changed=lambda block: self._with_words(task, block))
        return self._with_words(task, found)

    def _with_words(self, task: str, found: pd.DataFrame) -> pd.DataFrame:
        if "word" not in found and "position" in found:  # published
            places = list(zip(found["id"], found["segment"], found["position"], strict=True))
            known = _generated_words(self.experiment.task(task).model_dump_json()) if self.may_show(task) else {}
            shown = [known.get(place, f"{place[1]}:{place[2]}") for place in places]
            found.insert(found.columns.get_loc("position") + 1, "word", shown)
        return found

    def calibration(self, task: str, seed: int, table: str) -> pd.DataFrame:
        """Return a calibration table of all models, such as "scores" or "reliability"."""
        made_by = f"notebooks/03_calibration.py with task={task} seed={seed}"
        return read_table(self.path("calibration", task, seed, table), made_by=made_by)

    def comparison(self, task: str, table: str) -> pd.DataFrame:
        """Return a comparison table over pairs of models, such as "alignment" or "examples"."""
        return read_table(self.path("comparison", task, table), made_by=f"notebooks/04_comparison.py with task={task}")

    def compression(self, task: str, table: str) -> pd.DataFrame:
        """Return a table on compressed models: "models", "footprints", "students" or "gains"."""
        made_by = f"notebooks/{'05_compression' if table in ('models', 'footprints') else '06_keeping_trust'}.py"
        return read_table(self.path("compression", task, table), made_by=made_by)

    def facts(self, task: str, model: str, seed: int, name: str) -> dict:
        """Return a model's "metrics", "timing" or "manifest"."""
        made_by = f"notebooks/01_finetune.py with task={task} model={model}"
        return read_json(self.model(task, model, seed) / f"{name}.json", made_by=made_by)

    def history(self, task: str, model: str, seed: int) -> pd.DataFrame:
        """Return how a model learnt: epoch, loss, eval_loss, eval_accuracy (dev); no rows without training."""
        file = self.model(task, model, seed) / "history.csv"
        check(file, made_by=f"notebooks/01_finetune.py with task={task} model={model}")
        with reading(ArtefactError, file, "make it again with trusteq run"):
            return pd.read_csv(file)

    def parameters(self, stage: str, *parts: object) -> dict:
        """Return what the manifest of a table says that it was made with, such as its method, budget and seconds."""
        file = manifest_path(self.path(stage, *parts))
        found = read_json(file, made_by="trusteq run, with its table").get("parameters")
        if not isinstance(found, dict):
            raise ArtefactError(f"{file}: names no parameters; make it again with trusteq run")
        return found


def manifests(run: Results) -> dict[Path, dict]:
    """Return every manifest of a run by where it is, verified; of a run without a list, all that are below it."""
    listing = Listing.at(run.folder)
    known = {file for file in find(run.folder, "*manifest.json") if listing.problem or listing.has(file)}
    found = {file: read_json(file, made_by="trusteq run") for file in sorted(known - {listing.file})}
    return found | ({listing.file: listing.content} if run.is_published else {})


def open_run(experiment: str | Path, results: str | Path | None = None) -> Results:
    """Return the results of an experiment: of a run below `results`, or where there is none, as they are published.

    experiment: a name, an experiment file, or a folder of results. results: by default the project's own folder.
    """
    if Path(experiment).is_dir():
        return Results.open(experiment)
    run = Results.of(experiment, results)
    published = PUBLISHED / run.experiment.name
    if (run.folder / "experiment.yaml").is_file() or not (here := project.find()) or not (here / published).is_dir():
        return run
    return Results.open(here / published)
