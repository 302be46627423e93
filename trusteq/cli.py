"""The command line: thin, and light until a command needs more."""

import contextlib
import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from trusteq.errors import ERROR_MARK, ExperimentError, TrusteqError, error_line, shortened
from trusteq.escapes import plain

if TYPE_CHECKING:
    from trusteq.verdict.report import Audit

# Written out: to import them takes pandas, and --help is to answer at once; a test holds the two together.
METHODS = "lime, shap, shapley, occlusion, integrated-gradients, gradient-x-input or random"
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="May this small model replace that large one? Run experiments, build the book, explain, verify.",
)
# What brings the modules that not everybody needs; all others come with "study".
_EXTRAS = {
    "images": ("mlxtend", "skimage"),
    "models": ("accelerate", "captum", "datasets", "safetensors", "tokenizers", "torch", "transformers"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
}
TEXT_FIELDS = ("text_a", "text_b", "label")
EXIT_CODES = {"equivalent": 0, "no-worse": 0, "yes": 0, "not-equivalent": 1, "worse": 1, "no": 1, "undecided": 3}


class Calibration(StrEnum):
    """What the probabilities of label words are divided by."""

    none = "none"
    contextual = "contextual"
    batch = "batch"


CalibrateOption = Annotated[
    Calibration | None, typer.Option(help="Divide by what label words have for content-free texts, or for a batch.")
]


class Ask(StrEnum):
    """The three questions of an audit."""

    interchangeable = "interchangeable"
    retraining = "retraining"
    handover = "handover"


HubOption = Annotated[Path | None, typer.Option(help="A mirror of the Hub: DIR/models/<id>, DIR/datasets/<id>.")]
TemplateOption = Annotated[
    str | None,
    typer.Option(
        help="What joins a pair for a tokenizer without a separator: '{text_a} ... {text_b}', a new line as \\n.",
        parser=lambda text: text.replace("\\n", "\n"),  # as errors and experiment files write it
        metavar="<str>",
    ),
]
MaskOption = Annotated[
    str,
    typer.Option(
        help="What a masked word leaves: delete, [MASK], [UNK]; of images mean, blur, zero; of sound silence or noise."
    ),
]
FeaturesOption = Annotated[
    str | None, typer.Option(help="How an image or sound is cut into features, such as grid-7x7, slic-50, segments-16.")
]
WordsOption = Annotated[
    str | None,
    typer.Option(
        help="Label words of a language model: 'negative= negative,positive= positive'; the template asks for them."
    ),
]
ProjectOption = Annotated[Path | None, typer.Option(help="A checkout of trusteq; default: the one you are in.")]


def _tell(text: str, *, err: bool = False) -> None:
    """Print text line by line, each without what would act in a terminal."""
    typer.echo("\n".join(map(plain, str(text).split("\n"))), err=err)


def _note(text: str) -> None:
    """Print one note on stderr, in one line whatever it holds."""
    typer.echo(plain(f"note: {text}"), err=True)


def _set(*, hub: Path | None = None, project: Path | None = None) -> None:
    """Have everything in this process read from a mirror of the Hub, and from a project, where one is named."""
    for name, folder in (("TRUSTEQ_HUB", hub), ("TRUSTEQ_PROJECT", project)):
        if folder is not None:
            os.environ[name] = str(folder.resolve())


def _of_project(project: Path | None, *, hub: Path | None = None) -> None:
    """The same for a command that needs a project: end in one line where there is none."""
    from trusteq.project import root

    _set(hub=hub, project=project)
    root()


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="An experiment file, or its name in experiments/.")],
    cores: Annotated[
        int | None, typer.Option(min=1, help="Jobs at a time; default: 2, or what the profile says.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Explain so many test examples.")] = None,
    train_limit: Annotated[int | None, typer.Option(min=1, help="Train on so many examples.")] = None,
    hub: HubOption = None,
    results: Annotated[Path, typer.Option(help="Folder below which results are kept.")] = Path("results"),
    shard: Annotated[
        str | None, typer.Option(help="Explain part i of n alone, as i/n; a run without it joins.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Where jobs are run: local, slurm, or a folder with a config.yaml.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which jobs would run, and why; run none.")] = False,
    project: ProjectOption = None,
):
    """Run what is missing or changed of an experiment."""
    _of_project(project)
    from trusteq.study import workflow
    from trusteq.study.experiment import Experiment

    limited = Experiment.load(experiment).limited(explain=limit, train_limit=train_limit)
    if dry_run:
        steps, said = workflow.dry_run(limited, results=results, hub=hub, shard=shard, profile=profile)
        for line in said:
            _tell(line)
        for step in steps:
            _tell(f"{step.name}: {', '.join(step.stale)}")
        _tell(f"{len(steps)} jobs")
        return
    how = {"cores": cores, "hub": hub, "shard": shard, "profile": profile}
    done = workflow.run(limited, results=results, announce=_tell, **how)
    _tell(f"Results: {done.folder}")


@app.command(hidden=True)
def job(what: str):
    """Do one job of the run in the working directory: what the workflow calls."""
    from trusteq.study.processes import end_with_main

    end_with_main()  # before what takes seconds to import
    from trusteq.study import one_job

    one_job.do(json.loads(what))


@app.command()
def book(
    results: Annotated[Path, typer.Option(help="The results of one run.")] = Path("results/demo"),
    reference: Annotated[Path, typer.Option(help="Where trusteq pages makes its pages.")] = Path("results/published"),
    project: ProjectOption = None,
):
    """Build the book of a run, and of published results, into _build/html."""
    _of_project(project)
    from trusteq.pages.book import build_book
    from trusteq.study.results import Results

    _tell(f"Book: {build_book(Results.open(results), reference=reference)}")


@app.command()
def publish(
    results: Annotated[list[Path], typer.Argument(help="The results of a run; with --experiment, of its parts.")],
    experiment: Annotated[str | None, typer.Option(help="Publish this one, from runs of parts of it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Default: data/published of the project.")] = None,
    hub: HubOption = None,
    project: ProjectOption = None,
):
    """Write the results of a run without texts and weights, as the book publishes them."""
    _set(hub=hub, project=project)
    if out is None:
        _of_project(project)
    from trusteq.study import publish as publishing
    from trusteq.study import workflow
    from trusteq.study.experiment import Experiment
    from trusteq.study.results import Results

    runs = [Results.open(folder) for folder in results]
    if experiment is not None:
        done = workflow.publish_parts(Experiment.load(experiment), runs, out)
    elif len(runs) == 1:
        done = publishing.publish(runs[0], out)
    else:
        raise ExperimentError("publish: several folders of results; say with --experiment what they are parts of")
    _tell(f"Published: {done}")


@app.command()
def pages(
    names: Annotated[list[str] | None, typer.Argument(help="Published experiments or folders; default: all.")] = None,
    results: Annotated[Path, typer.Option(help="Folder below which the pages are made.")] = Path("results/published"),
    project: ProjectOption = None,
):
    """Make the pages of published results from their tables alone, without texts, models or torch."""
    _of_project(project)
    from trusteq.study import publish as publishing
    from trusteq.study import workflow

    for name in names or publishing.names():
        _tell(f"Pages: {workflow.make_pages(name, results=results)}")


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help="A published experiment.")],
    cores: Annotated[int, typer.Option(min=1, help="Jobs at a time.")] = 2,
    hub: HubOption = None,
    results: Annotated[Path, typer.Option(help="Folder below which it is run again.")] = Path("results/reproduced"),
    tolerance: Annotated[float, typer.Option(min=0, help="Largest difference of a cell.")] = 1e-6,
    project: ProjectOption = None,
):
    """Run a published experiment again and compare it cell by cell. Exit code: 0 within the tolerance, 1 not."""
    _of_project(project, hub=hub)
    from trusteq.study import publish as publishing
    from trusteq.study import workflow
    from trusteq.study.reproduce import compare_tables, machines

    before = publishing.load_published(name)
    original = publishing.open_published(name)
    done = workflow.run(original.experiment, results=results, cores=cores, hub=hub)
    again = publishing.publish(done, results / "published")
    found = compare_tables(before, publishing.tables_of(again), tolerance=tolerance)
    _tell(found.to_string(index=False))
    differing = found.loc[~found["within"], "table"].tolist()
    _tell(f"tolerance {tolerance:g}; outside of it: {', '.join(differing) or 'nothing'}")
    if differing and (there := machines(original)) != (here := machines(done)):
        _tell(f"made on {there}; run again on {here}: another processor rounds otherwise, see book/rerun.md")
    raise typer.Exit(1 if differing else 0)


@app.command()
def execute(
    notebook: Annotated[Path, typer.Argument(help="A py:percent notebook.")],
    output: Annotated[Path, typer.Argument(help="The executed notebook to write.")],
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE, repeatable.")] = None,
    hub: HubOption = None,
    project: ProjectOption = None,
):
    """Execute one notebook with other parameters."""
    _set(hub=hub, project=project)
    from trusteq.project import environment
    from trusteq.study import notebooks

    parameters = notebooks.parse_parameters(parameter or [], notebooks.defaults(notebook))
    with environment():
        notebooks.execute(notebook.resolve(), output.resolve(), parameters)


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A checkpoint's folder, a Hub id, an .onnx file, or file.py:function.")],
    text_a: Annotated[str | None, typer.Option(help="The first text.")] = None,
    text_b: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    file: Annotated[Path | None, typer.Option("--input", help="A file in place of texts: an image, or sound.")] = None,
    method: Annotated[str, typer.Option(help=f"Attribution method: {METHODS}.")] = "lime",
    n_samples: Annotated[int, typer.Option(min=2, help="Budget of forward passes.")] = 1000,
    stable: Annotated[
        float | None, typer.Option(help="Stop once the top ten agrees with the exact one by this mean Jaccard index.")
    ] = None,
    mask: MaskOption = "delete",
    features: FeaturesOption = None,
    labels: Annotated[str | None, typer.Option(help="A,B,C: class names in index order, where it has none.")] = None,
    template: TemplateOption = None,
    words: WordsOption = None,
    calibrate: CalibrateOption = None,
    seed: int = 0,
    hub: HubOption = None,
):
    """Weigh the words of one text or pair, or the parts of a file, for the predicted class; print the largest first."""
    import pandas as pd

    from trusteq import modality
    from trusteq.attribution.explain import check, gradient_notes
    from trusteq.attribution.explain import explain as explain_examples
    from trusteq.models.as_classifier import named_classifier
    from trusteq.words import segmentation_note

    if (text_a is None) == (file is None) or (file is not None and text_b is not None):
        raise ExperimentError("explain: give --text-a, with --text-b for a pair, or --input FILE")
    names, of_classes = _class_names(labels, None), _label_words(words)
    classifier = named_classifier(model, hub=hub, labels=names, template=template, words=of_classes)
    if calibrate is not None:
        from trusteq.models.label_calibration import calibrated

        classifier = calibrated(classifier, calibrate.value)
    if file is None:
        example = pd.DataFrame({"id": ["example"], "text_a": [text_a], "text_b": [text_b]}, dtype=object)
    else:
        example = modality.read_file(file, getattr(classifier, "modality", None))
    how = {"method": method, "n_samples": n_samples, "stable": stable, "mask": mask, "features": features}
    check(example, **how, classifier=classifier)
    predicted = classifier.labels[classifier.predict_proba(*modality.given(example)).argmax()]
    weights = explain_examples(classifier, example, **how, seed=seed)
    for cut in weights.attrs["cut"].values():
        _note(f"{cut} words beyond {classifier.max_length} tokens are cut and have no weight")
    for note in gradient_notes(weights):
        _note(note)
    for note in segmentation_note(weights.attrs.get("segmentation")):
        _note(note)
    if "mask" in weights.attrs:
        _note(f"features: {weights.attrs['features']}, masked by {weights.attrs['mask']}")
    if "label_words" in weights.attrs:
        from trusteq.models.label_calibration import facts, notes

        for note in notes(facts(classifier, *modality.given(example))):
            _note(note)
    _tell(f"predicted: {predicted}")
    if weights.empty:
        _note("there is no word to explain in these texts")
        return
    passes, stopped = weights.attrs["passes"], weights.attrs.get("stopped")
    weights = weights[weights["label"] == predicted].sort_values("weight", key=abs, ascending=False)
    _tell(weights.drop(columns=["id", "label"]).to_string(index=False))
    if stable is not None:
        _tell(f"passes: {passes:,} of {n_samples:,}; {'stopped' if stopped else 'not stopped'} at stable={stable:g}")


@app.command()
def audit(
    large: Annotated[
        str, typer.Argument(help="A checkpoint's folder, Hub id, .onnx file, file.py:function, or file of predictions.")
    ],
    compressed: Annotated[
        list[str], typer.Argument(help="The same of the model that is to replace it; of several, each is audited.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for audit.json, audit.html, model-card.md; of several models: OUT/NAME, audits.csv."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="Examples: csv, tsv, jsonl, parquet, SNLI's files; a column image or sound names files."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="The task of the examples, such as snli.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="A,B,C: class names in index order; default: the task's, or the checkpoint's.")
    ] = None,
    text_a: Annotated[str | None, typer.Option(help="Column of --data with the first text.")] = None,
    text_b: Annotated[str | None, typer.Option(help="Column of --data with the second text of a pair.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of --data with the label.")] = None,
    template: TemplateOption = None,
    words: WordsOption = None,
    calibrate: CalibrateOption = None,
    retrained: Annotated[
        list[str] | None, typer.Option(help="The large model trained again with another seed, repeatable.")
    ] = None,
    dev: Annotated[
        list[Path] | None,
        typer.Option(help="Examples to choose a hand-over's threshold on; or both models' predictions of them."),
    ] = None,
    ask: Annotated[Ask, typer.Option(help="Which answer the exit code gives.")] = Ask.interchangeable,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share to answer alone, for --ask handover.")] = 0.5,
    margin: Annotated[list[str] | None, typer.Option(help="MEASURE=VALUE in place of a default, repeatable.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of what belongs together; none: rows are independent.")
    ] = None,
    slices: Annotated[str | None, typer.Option("--slice", help="Column whose parts are compared one by one.")] = None,
    watch: Annotated[
        Path | None, typer.Option(help="Words that must not decide, such as names: UTF-8, one a line.")
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Explain block by block, until the alignment is decided.")
    ] = False,
    explain: Annotated[int, typer.Option(min=2, help="Explain so many of the examples, at most.")] = 200,
    method: Annotated[str, typer.Option(help=f"Attribution method: {METHODS}.")] = "lime",
    n_samples: Annotated[int, typer.Option(min=2, help="Budget of forward passes for one example.")] = 1000,
    mask: MaskOption = "delete",
    features: FeaturesOption = None,
    seed: int = 0,
    hub: HubOption = None,
):
    """Decide whether one model may replace another. Exit code of the answer that is asked: 0 yes, 1 no, 3 undecided."""
    from trusteq.verdict import report, several
    from trusteq.verdict.margins import parse_margins
    from trusteq.verdict.prediction_file import is_predictions

    for asked, given, how in ((Ask.retraining, retrained, "--retrained"), (Ask.handover, dev, "--dev")):
        if ask == asked and not given:
            raise ExperimentError(f"audit: --ask {asked} needs more than two models; give {how}")
    folders = [_writable(folder) for folder in several.folders(out, compressed)]
    models, column = [large, *compressed, *(retrained or [])], None if group == "none" else group
    names, options = _class_names(labels, task), {"margins": parse_margins(margin or []), "seed": seed}
    if all(map(is_predictions, models)):
        if watch is not None:
            raise ExperimentError("audit: --watch needs models and --data; predictions say nothing about words")
        how = {"group": column, "slices": slices, "labels": names}
        found = _audits_of_files(models, len(compressed), dev or [], how=how, options=options)
    else:
        if data is None:
            raise ExperimentError("audit: give --data FILE, with --task or --labels, or two files of predictions")
        if dev and len(dev) > 1:
            raise ExperimentError(f"audit: --dev has {len(dev)} files; give one file of examples")
        how = {"task": task, "labels": names, "fields": {"text_a": text_a, "text_b": text_b, "label": label}}
        how |= {"group": column, "slices": slices}
        options |= {"explain": explain, "method": method, "n_samples": n_samples, "until_decided": until_decided}
        options |= {"mask": mask, "features": features}
        options |= {"clusters": None if group == "none" else column or "text_a", "slices": slices, "progress": True}
        if watch is not None:
            from trusteq.verdict.watch import read_words

            options["watch"] = read_words(watch)
        named, options["keep"] = {"hub": hub, "template": template, "words": _label_words(words)}, out
        if named["words"] is not None and names is None:
            how["labels"] = tuple(named["words"])
        options["calibration"] = calibrate and calibrate.value
        found = _audits_of_models(models, len(compressed), data, dev, how=how, named=named, options=options)
    rows, codes = [], []
    for name, folder, audited in zip(compressed, folders, found, strict=True):
        report.write_audit(audited, folder)
        _show_audit(audited, folder)
        codes.append(EXIT_CODES[_answered(audited, ask, share)])
        rows.append(several.row(folder.name, name, audited, code=codes[-1]))
    if len(rows) > 1:
        several.write(rows, out / several.TABLE)
        _tell(f"all of them: {out / several.TABLE}. {several.NOTE}")
    raise typer.Exit(next((code for code in (1, 3) if code in codes), 0))


def _writable(folder: Path) -> Path:
    """Return a folder that can be written to, or made; end in one line where it cannot, before any model is run."""
    there = next(of for of in (folder, *folder.absolute().parents) if of.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ExperimentError(f"--out {folder}: {there} is no folder that can be written to; name another")
    return folder


def _audits_of_files(models: list[str], n: int, dev: list[Path], *, how: dict, options: dict) -> Iterator["Audit"]:
    """Yield the audit of each of the `n` models after the first; the rest are the first one trained again."""
    from trusteq.verdict.audit import audit_predictions
    from trusteq.verdict.predictions import read_predictions

    if dev and len(dev) != 1 + n:
        raise ExperimentError(f"audit: --dev has {len(dev)} files; give the large and the compressed model's, {1 + n}")
    first, *others = (read_predictions(model, **how) for model in models)
    of_dev = [read_predictions(file, **how | {"slices": None}) for file in dev]
    for at, small in enumerate(others[:n], 1):
        pair = {"names": (models[0], models[at]), "dev": (of_dev[0], of_dev[at]) if dev else None}
        yield audit_predictions(first, small, retrained=others[n:], **pair, **options)


def _audits_of_models(
    models: list[str], n: int, data: Path, dev: list[Path] | None, *, how: dict, named: dict, options: dict
) -> Iterator["Audit"]:
    """The same of models that are run on the examples of a file."""
    from trusteq.examples.files import read_examples
    from trusteq.verdict.audit import audit, check_method, checked_models

    names, fields = how["labels"], {name: column for name, column in how["fields"].items() if column is not None}
    columns = fields | {kept: kept for kept in {how["group"]} - {None, *TEXT_FIELDS}}
    sliced = columns | {kept: kept for kept in {how["slices"]} - {None, *TEXT_FIELDS}}
    # What the file lacks is said before a model is loaded, where the names of the classes are known by then.
    read = {"task": how["task"], "labels": names}
    examples = None if names is None else read_examples(data, columns=sliced, **read)
    from trusteq.models.as_classifier import named_classifiers

    first, *others = given = named_classifiers(models, labels=names, **named)
    alone = [model for model, one in zip(models, given, strict=True) if getattr(one, "template", None) is None]
    if named["template"] is not None and alone:
        _note(f"--template is not for {', '.join(alone)}: it joins what has no separator.")
    if names is None:
        read["labels"] = first.labels
        examples = read_examples(data, columns=sliced, **read)
    options |= {"labels": read["labels"], "dev": read_examples(dev[0], columns=columns, **read) if dev else None}
    # What is wrong with the last of them is said before the first one is run.
    checked = checked_models((first, *others), read["labels"])
    check_method(checked, examples, **{name: options[name] for name in ("method", "n_samples", "mask", "features")})
    for at, small in enumerate(others[:n], 1):
        with _stopped_in_a_line(options["keep"]):
            found = audit(first, small, examples, retrained=others[n:], names=(models[0], models[at]), **options)
        yield found


def _show_audit(found: "Audit", folder: Path) -> None:
    from trusteq.verdict import report, shown

    for note in found.notes:
        _note(note)
    _tell(shown.dimension_table(found.comparison).to_string(index=False))
    for row in report.answer_table(found).itertuples():
        _tell(f"{row.question} {row.answer}")
    _tell(f"verdict: {found.verdict}; report: {folder / 'audit.html'}")


@contextlib.contextmanager
def _stopped_in_a_line(kept: Path) -> Iterator[None]:
    """Let Ctrl-C, and a scheduler's SIGTERM, end in one line what goes on in the folder when it is called again."""
    from trusteq.verdict.kept import GOES_ON

    def stop(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt(signal.Signals(number))

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt as stopped:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one, while Python ends, would bring a traceback
        _tell(f"stopped; {GOES_ON.format(kept)}", err=True)
        sys.exit(128 + (signal.SIGTERM if stopped.args == (signal.SIGTERM,) else signal.SIGINT))
    finally:
        signal.signal(signal.SIGTERM, before)


def _class_names(labels: str | None, task: str | None) -> tuple[str, ...] | None:
    """Return the class names of --labels or of a task; None where the checkpoint has to tell."""
    if labels is not None:
        names = tuple(name.strip() for name in labels.split(","))
        if len(names) < 2 or "" in names or len(set(names)) < len(names):
            raise ExperimentError(f"--labels {labels}: give two names or more, each once, as A,B,C")
        return names
    if task is None:
        return None
    from trusteq.registry import load_task

    return load_task(task).labels


def _label_words(words: str | None) -> dict[str, str] | None:
    """Return the words of --words by class: 'negative= negative,positive= positive', spaces before them kept."""
    if words is None:
        return None
    pairs = [pair.partition("=") for pair in words.split(",")]
    found = {label.strip(): word for label, _, word in pairs}
    if len(found) < len(pairs) or not all(label.strip() and equal for label, equal, _ in pairs):
        raise ExperimentError(f"--words {words}: give each class one word, as 'negative= negative,positive= positive'")
    return found


def _answered(found: "Audit", ask: Ask, share: float) -> str:
    """Return the answer that is asked; of a hand-over, whether at least this share may be answered alone."""
    if ask == Ask.retraining:
        return found.retraining
    if ask == Ask.handover:
        row = found.asked
        return "yes" if row["share_low"] >= share else "undecided" if row["share"] >= share else "no"
    return found.verdict


@app.command()
def calibrate(
    predictions: Annotated[Path, typer.Argument(help="A file: label, one column per class, perhaps id.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; default: the file's name + -calibration.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="Class names A,B,C in index order: the columns to score.")] = None,
    seed: int = 0,
):
    """Score the calibration of saved predictions, with null bands and a reliability diagram."""
    from trusteq.examples.delimited import kind_of
    from trusteq.verdict import report, shown
    from trusteq.verdict.predictions import read_predictions

    out = Path(f"{kind_of(predictions)[0]}-calibration") if out is None else out
    read, out = read_predictions(predictions, labels=_class_names(labels, None)), _writable(out)
    found = report.write_calibration(read, out, name=predictions.name, seed=seed)
    for note in found.attrs["notes"]:
        _note(note)
    _tell(shown.shown_scores(found).to_string(index=False))
    _tell(f"report: {out / 'calibration.html'}")


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="A folder of results.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the problems as a list of path and problem.")] = False,
):
    """Check every artefact below a folder against its manifest and the list of its run; name every problem."""
    from trusteq import store
    from trusteq.errors import ArtefactError

    count, problems = store.verify(folder)
    if as_json:
        typer.echo(json.dumps([{"path": str(path), "problem": problem} for path, problem in problems], indent=2))
        raise typer.Exit(2 if problems else 0)
    for problem in problems[:-1]:
        _tell(problem, err=True)
    if problems:
        raise ArtefactError(problems[-1])
    _tell(f"{count} manifests, all artefacts as written")


def _spread(arguments: list[str]) -> list[str]:
    """Return arguments in which `--dev A B` is `--dev A --dev B`: options take one value at a time."""
    found, is_dev = [], False
    for argument in arguments:
        if is_dev and not argument.startswith("-") and found[-1] != "--dev":
            found.append("--dev")
        elif argument.startswith("-"):
            is_dev = argument == "--dev"
        found.append(argument)
    return found


class _Unbroken:
    """A stream that outlives its reader: what nobody reads is dropped, so that the exit code stays the answer.

    dropped: errors that are no failure.
    """

    def __init__(self, stream, dropped: type[OSError]):
        self._stream, self._dropped = stream, dropped

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._or_nowhere():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._or_nowhere():
            self._stream.flush()

    @contextlib.contextmanager
    def _or_nowhere(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())  # what is left in it fails no more
            if not isinstance(error, self._dropped):
                raise


def _open_streams() -> None:
    """Have a stdin, stdout and stderr: where one was closed, the next file that is opened would be taken for it."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        if number and (name := ("stdout", "stderr")[number - 1]):
            setattr(sys, name, os.fdopen(os.dup(number), "w", encoding="utf-8"))
    os.close(number)


_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_A_PATH = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS)
_OF_A_PATH += (errno.ENAMETOOLONG, errno.ELOOP)


def _failed(error: RuntimeError | OSError) -> NoReturn:
    """End in one line: 2 where a file that was named cannot be used, 4 for all else; a full disk is called so."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _OF_A_PATH and error.filename is not None:
        _tell(error_line(ExperimentError(f"{error.filename}: {error.strerror}; name another file or folder")), err=True)
        sys.exit(2)
    text = plain(shortened(str(error), 2000))
    full = number in _FULL or os.strerror(errno.ENOSPC) in text
    _tell(f"trusteq failed: {'the disk is full; free some of it and call again: ' * full}{text}", err=True)
    sys.exit(4)


def main() -> NoReturn:
    """Run the command line: exit 2 and one line for bad input, 4 when something else failed, 130 after Ctrl-C."""
    _open_streams()
    with contextlib.suppress(AttributeError):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale may know fewer letters than a name has
    with contextlib.ExitStack() as streams:
        streams.enter_context(contextlib.redirect_stdout(_Unbroken(sys.stdout, BrokenPipeError)))
        streams.enter_context(contextlib.redirect_stderr(_Unbroken(sys.stderr, OSError)))
        _command()


def _command() -> NoReturn:
    try:
        code = app(_spread(sys.argv[1:]), standalone_mode=False)
        if code == 128 + signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            _tell("stopped", err=True)
        sys.exit(code)
    except TrusteqError as error:
        _tell(error_line(error), err=True)
        sys.exit(2)
    except TyperException as error:  # an unknown option or command, a value out of range; no message: help was shown
        message = shortened(plain(" ".join(error.format_message().split())), 1000).removesuffix(".")
        if message:
            _tell(f"{ERROR_MARK}{message}; see --help", err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        lacking = (error.name or "trusteq").partition(".")[0]
        if lacking == "trusteq":  # not for want of a package
            traceback.print_exc()
            sys.exit(4)
        extra = next((extra for extra, modules in _EXTRAS.items() if lacking in modules), "study")
        hint = f"pip install 'trusteq[{extra}]'"
        _tell(f"{ERROR_MARK}ModelError: this needs {lacking}, which is not installed; {hint}", err=True)
        sys.exit(2)
    except (RuntimeError, OSError) as error:
        _failed(error)
    except Exception:  # exit code 1, Python's own, means "not equivalent"
        traceback.print_exc()
        sys.exit(4)
