"""Results published without texts and weights: numbers, row indices, word positions; gathered from parts."""

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import modality, project
from trusteq.blocks import Stored, blocks_of, write_blocks
from trusteq.errors import ArtefactError, DataError, nearest, reading
from trusteq.examples.load import load_examples
from trusteq.listing import MODEL, Listing, sealed
from trusteq.store import (
    atomic_path,
    describe,
    entries,
    find,
    fingerprints,
    manifest_path,
    open_table,
    read_table,
    to_json,
    write_table,
    write_text,
)
from trusteq.study import graph
from trusteq.study.experiment import Experiment
from trusteq.study.results import PARTS, PUBLISHED, Results
from trusteq.study.sides import clusters, known_truths
from trusteq.words import by_place

# Stages whose tables are over models.
OVER_MODELS = ("calibration", "comparison", "compression")
_FACTS = ("metrics.json", "timing.json", "history.csv")
_TEXTS = ("word", "text_a", "text_b")
SHOWN = 8  # examples of images or sound that are published, so that pages can show some


def publish(run: Results, folder: Path | None = None) -> Path:
    """Write a complete run as it is published below `folder`, by default data/published, and return where.

    Attributions lose their words and keep their weights in single precision; of a model remain its metrics, times and
    training history. Added are which test examples share a first text, and the places of the words that are known to
    matter, so that no page needs a text. One more manifest names every file. Replaces in one step what was published
    of the run before. Raises ArtefactError where an artefact is missing or differs from its manifest.
    """
    target = (project.root() / PUBLISHED if folder is None else Path(folder)) / run.experiment.name
    with atomic_path(target) as temporary:
        temporary.mkdir()
        write_text(run.experiment.dump(whole=True), temporary / "experiment.yaml")
        for task in run.experiment.tasks:
            for model, seed in run.experiment.runs:
                publish_model(run, run.experiment, task, model, seed, temporary)
            publish_examples(run, task, temporary)
            for file in _tables_over_models(run, task):
                _publish_table(file, temporary / file.relative_to(run.folder))
        write_manifest(run.experiment, temporary)
    return target


def write_manifest(experiment: Experiment, folder: Path) -> None:
    """Write the manifest that names every file of published results, with the hash that it was written with."""
    manifest = describe([], {"experiment": experiment.name}, root=folder)
    there = [folder / "experiment.yaml", *folder.rglob("*.parquet"), *folder.glob(f"models/*/*/*/{MODEL}")]
    manifest["files"] = {name: of for file in there for name, of in entries(file, folder).items()}
    write_text(sealed(manifest), folder / MODEL)


def _tables_over_models(run: Results, task: str) -> list[Path]:
    """Return the tables over models of one task, without those of training seeds that the experiment has no more."""
    found = [file for stage in OVER_MODELS for file in find(run.folder / stage / task, "*.parquet")]
    seeds = set(map(str, run.experiment.seeds))
    return [file for file in found if file.parent.name == task or file.parent.name in seeds]


def _publish_table(source: Path, target: Path) -> None:
    """Write a table of a run, or of published results, as it is published: without words, in little room."""
    found = open_table(source, made_by="trusteq run")
    blocks = (_without_words(block, source) for block in blocks_of(found))
    table = next(blocks)
    target.parent.mkdir(parents=True, exist_ok=True)
    numbers = [name for name in table if pd.api.types.is_float_dtype(table[name])]
    others = [name for name in table if name not in numbers]
    # Bytes of one place side by side: a quarter less room, and nothing is lost.
    packed = {"compression": "zstd", "use_dictionary": others, "use_byte_stream_split": numbers}
    if isinstance(found, Stored):
        write_blocks(itertools.chain([table], blocks), target, attrs=found.attrs, **packed)
    else:
        table.to_parquet(target, index=False, **packed)
    _rewrite_manifest(manifest_path(source), manifest_path(target), [target])


def _without_words(table: pd.DataFrame, source: Path) -> pd.DataFrame:
    table = table.drop(columns=[name for name in _TEXTS if name in table])
    if "weight" in table:
        if table.duplicated(["id", "segment", "position", "label"]).any():
            raise ArtefactError(f"{source}: a place occurs twice; without words its rows could not be told apart")
        table["weight"] = table["weight"].astype("float32")
    return table


def publish_model(run: Results, experiment: Experiment, task: str, model: str, seed: int, folder: Path) -> None:
    """Write what is published of one fine-tuned model: the tables that `experiment` has, metrics, times and history."""
    for table in graph.model_tables(experiment, task, model, seed):
        _publish_table(run.folder / table, folder / table)
    source = run.trained(task, model, seed)
    target = folder / source.relative_to(run.folder)
    target.mkdir(parents=True)
    kept = [Path(shutil.copy(source / name, target / name)) for name in _FACTS]
    _rewrite_manifest(source / "manifest.json", target / "manifest.json", kept)


def _rewrite_manifest(source: Path, target: Path, files: list[Path]) -> None:
    """Write a manifest that keeps all facts of `source`, for other files; what is not published leaves its hash."""
    manifest = json.loads(source.read_text(encoding="utf-8"))
    manifest.setdefault("unpublished", manifest["files"])
    manifest["files"] = fingerprints(files, target.parent)
    write_text(to_json(manifest), target)


def publish_examples(run: Results, task: str, folder: Path) -> None:
    """Write which test examples share a first text, and the places of the words that are known to matter.

    Of images and sound, also the few examples that pages show.
    """
    facts = {"experiment": run.experiment.name, "task": task}
    groups = clusters(run, task)
    if groups is not None:
        # Numbered as the texts sort: the bootstrap draws clusters in their order, and intervals stay the same.
        table = pd.DataFrame({"id": groups.index, "group": np.unique(groups, return_inverse=True)[1]})
        write_table(table, folder / "groups" / f"{task}.parquet", **facts)
    rows = [
        (truth, name, int(segment), int(position))
        for truth, places in known_truths(run, task).items()
        for name, of_example in places.items()
        for segment, position in of_example
    ]
    table = pd.DataFrame(rows, columns=["truth", "id", "segment", "position"])
    write_table(table, folder / "truth" / f"{task}.parquet", **facts)
    if modality.of(run.experiment.task(task).columns) is not None and (shown := run.shown(task)) is not None:
        explained = shown["id"].isin(run.comparison(task, "examples")["id"])
        write_table(modality.packed(shown[explained].head(SHOWN)), folder / "shown" / f"{task}.parquet", **facts)


def names() -> list[str]:
    """Return the names of the published experiments; none where there is no project."""
    here = project.find()
    return [] if here is None else sorted(file.parent.name for file in (here / PUBLISHED).glob("*/experiment.yaml"))


def reference_runs() -> list[Results]:
    """Return the published results on real data, on which the findings rest."""
    runs = map(open_published, names())
    return [run for run in runs if not any(run.experiment.task(task).generated for task in run.experiment.tasks)]


def open_published(name: str | Path) -> Results:
    """Return the published results of an experiment, by its name or by their folder, verified.

    Raises ArtefactError where nothing is published of it, the folder holds no published results, or any file of them
    is missing, swapped, foreign, or not as the manifest has it.
    """
    with reading(ArtefactError, f"published {str(name)!r}", "name an experiment or a folder"):
        folder = Path(name) if Path(name).is_dir() else (project.find() or Path()) / PUBLISHED / name
        is_there = (folder / "manifest.json").is_file()
    if not is_there:
        lacks = "" if project.find() else "; a checkout of trusteq holds what is published: TRUSTEQ_PROJECT names it"
        raise ArtefactError(f"nothing is published of {str(name)!r}; {nearest(str(name), names())}{lacks}")
    for problem in Listing.at(folder).problems():
        raise ArtefactError(f"{problem}; `trusteq verify {folder}` names every problem; publish the run again")
    return Results.open(folder)


def load_published(
    name: str | Path, *, with_words: bool = False, hub: str | Path | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables of a published experiment by name; data/published/README.md says what is in each column.

    name: of the experiment, or the folder of published results. The tables:
    predictions, attributions, faithfulness, models, and every table of calibration, comparison and compression. Rows
    say what they are of: task, and model and seed where a table is of one model. with_words: put the words beside their
    places, from the data set itself, which must be at hand: on the Hub or in the mirror `hub`.

    Raises ArtefactError where nothing of this name is published or a file differs from its manifest, DataError where
    a data set cannot be read.
    """
    run = open_published(name)
    found = tables_of(run.folder)
    if with_words:
        found["attributions"] = _with_words(run, found["attributions"], hub)
    return found


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of published results in a folder: see `load_published`."""
    run = Results.open(folder)
    parts: dict[str, list[pd.DataFrame]] = {}
    for file in find(run.folder, "*.parquet"):
        with reading(ArtefactError, file, "a table of no stage of an experiment; remove it"):
            key, facts = _place(file.relative_to(run.folder).with_suffix(""))
        table = read_table(file, made_by="trusteq publish")
        parts.setdefault(key, []).append(table.assign(**facts)[[*facts, *table]])
    found = {key: pd.concat(tables, ignore_index=True) for key, tables in parts.items()}
    return found | {"models": _models(run)}


def _place(path: Path) -> tuple[str, dict]:
    """Return the name of the table that a file is a part of, and what its rows are of, from where it is."""
    stage, task, *rest = path.parts
    if stage in ("groups", "truth", "shown"):
        return {"truth": "known_words"}.get(stage, stage), {"task": task}
    if stage == "predictions":
        seed, _, part = rest[1].partition("-")
        return stage, {"task": task, "model": rest[0], "seed": int(seed), "part": part or PARTS[0]}
    if stage == "attribution":
        facts = {"task": task, "model": rest[0], "seed": int(rest[1])}
        if rest[2] == "faithfulness":
            return rest[2], facts
        method, _, kind = rest[2].partition(".")
        return "attributions", facts | {"method": method, "kind": kind}
    if stage == "calibration":
        return rest[1], {"task": task, "seed": int(rest[0])}
    return (rest[0] if stage == "comparison" else f"compression_{rest[0]}"), {"task": task}


def _models(run: Results) -> pd.DataFrame:
    rows = []
    for task in run.experiment.tasks:
        for model, seed in run.experiment.runs:
            run.trained(task, model, seed)  # verified
            facts = run.facts(task, model, seed, "metrics") | run.facts(task, model, seed, "timing")
            rows.append({"task": task, "model": model, "seed": seed} | facts)
    return pd.DataFrame(rows)


def _with_words(run: Results, attributions: pd.DataFrame, hub: str | Path | None) -> pd.DataFrame:
    """Return attributions with a column of words, from the data sets; the joint of the authors' scripts is "SEP"."""
    known = {}
    for task in run.experiment.tasks:
        settings = run.experiment.task(task)
        if modality.of(settings.columns) is None:
            places = by_place(load_examples(settings, "test", hub=hub))
            known |= {(task, *place): word for place, word in places.items()}
        else:
            rows = attributions.loc[attributions["task"] == task, ["id", "segment", "position"]].drop_duplicates()
            known |= {(task, *place): f"{place[1]}:{place[2]}" for place in rows.itertuples(index=False, name=None)}
    keys = zip(*(attributions[name] for name in ("task", "id", "segment", "position")), strict=True)
    found = [known.get(key, "SEP" if key[2] < 0 else None) for key in keys]
    if None in found:
        example = attributions["id"].iloc[found.index(None)]
        raise DataError(
            f"{run.experiment.name}: example {example!r} has other words in the data at hand; was it changed?"
        )
    attributions.insert(attributions.columns.get_loc("position") + 1, "word", found)
    return attributions


def gather(experiment: Experiment, parts: Sequence[Results], folder: Path) -> Results:
    """Write what `parts` hold of an experiment below `folder`, as published results without tables over its models.

    parts: runs of some of its models and training seeds, or published results of such; of what several hold, the first
    one's is taken. Raises ArtefactError for a model that none has whole, or that was made with other settings.
    """
    target = folder / experiment.name
    target.mkdir(parents=True)
    write_text(experiment.dump(whole=True), target / "experiment.yaml")
    for task in experiment.tasks:
        for model, seed in experiment.runs:
            part = _holder(experiment, parts, task, model, seed)
            publish_model(part, experiment, task, model, seed, target)
        publish_examples(next(part for part in parts if task in part.experiment.tasks), task, target)
    if any(experiment.model(name).compress for name in experiment.models):
        _gather_footprints(experiment, parts, target)
    write_manifest(experiment, target)
    return Results.open(target)


def _holder(experiment: Experiment, parts: Sequence[Results], task: str, model: str, seed: int) -> Results:
    wanted = graph.model_tables(experiment, task, model, seed)
    for part in parts:
        made_for = part.experiment
        if task not in made_for.tasks or (model, seed) not in made_for.runs:
            continue
        if all((part.folder / table).is_file() for table in wanted):
            ours, theirs = _settings(experiment, task, model), _settings(made_for, task, model)
            if differing := [name for name in ours if ours[name] != theirs.get(name)]:
                raise ArtefactError(
                    f"{part.folder}: {model} on {task} was made with another {', '.join(differing)} "
                    f"than {experiment.name} has; name the experiment that it was made for"
                )
            return part
    lacks = {str(part.folder): [table for table in wanted if not (part.folder / table).is_file()] for part in parts}
    missing = min(lacks.values(), key=len)[0]
    raise ArtefactError(
        f"{experiment.name}: {model} with seed {seed} on {task} is whole in none of the folders "
        f"({', '.join(lacks)}); the nearest to it lacks {missing}"
    )


def _settings(experiment: Experiment, task: str, model: str) -> dict:
    """Return what decides the tables of one model, by the name of the setting."""
    methods = {
        f"method {name}": how.model_dump(exclude={"models"})
        for name, how in experiment.task_methods(task).items()
        if model in experiment.models_of(task, name)
    }
    same = {name: getattr(experiment, name) for name in ("train_limit", "common_masks", "k")}
    found = {"recipe": experiment.recipe_for(task, model), "data": experiment.task(task).splits}
    return found | {"model": experiment.model(model), "explain": experiment.explained(task)} | same | methods


def _gather_footprints(experiment: Experiment, parts: Sequence[Results], target: Path) -> None:
    """Write the footprints of all models on the first task, each from the first part that measured it."""
    task = next(iter(experiment.tasks))
    measured = [part for part in parts if part.path("compression", task, "footprints").is_file()]
    rows = [part.compression(task, "footprints") for part in measured] or [pd.DataFrame(columns=["model"])]
    found = pd.concat(rows).drop_duplicates("model").set_index("model")
    if lost := [name for name in experiment.models if name not in found.index]:
        raise ArtefactError(
            f"{experiment.name}: no folder says what {lost[0]} costs on {task}; "
            "notebooks/05_compression.py measures it, where the weights are"
        )
    table = found.loc[list(experiment.models)].reset_index()
    path = target / "compression" / task / "footprints.parquet"
    write_table(table, path, experiment=experiment.name, task=task)
