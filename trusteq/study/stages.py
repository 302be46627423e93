"""What each stage of an experiment does: train and predict, explain, calibrate, compare, compress."""

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from trusteq.blocks import Stored
from trusteq.examples.load import load_examples
from trusteq.listing import MODEL
from trusteq.modality import given
from trusteq.store import record, write_table, write_text
from trusteq.study import calibrate, compare, compressions, graph
from trusteq.study.graph import Job
from trusteq.study.jobs import RANDOM_HEAD, jobs
from trusteq.study.results import Results
from trusteq.study.shards import WHOLE, Shard, attributions

if TYPE_CHECKING:
    from trusteq.models.classifier import Classifier
    from trusteq.models.finetune import FineTuned


def make(
    run: Results,
    stage: str,
    task: str,
    *,
    model: str | None = None,
    seed: int | None = None,
    methods: Collection[str] | None = None,
    shard: str | None = None,
) -> None:
    """Make what is missing or changed of a stage of one task, and what that needs; say what is made, line by line.

    stage: "train" (which predicts as well), "explain", "calibrate", "compare" or "compress". model, seed: None for all.
    methods: explain by these of the experiment's alone, without the faithfulness of all. shard: "i/n", explain that
    part of the examples alone. Nothing is done where all is there under its key, and of published results.
    Raises ExperimentError for a task, model or method that the experiment has not, and what the stages raise.
    """
    run.experiment.task(task)
    if model is not None:
        run.experiment.model(model)
    if run.is_published:
        return
    graph.adopt(run.experiment, run.folder)
    for job in graph.all_jobs(run.experiment, Shard.parse(shard)):
        if job.is_about(stage, task, model, seed):
            _ensure(run, job, Shard.parse(shard), methods)


def _ensure(run: Results, job: Job, part: Shard = WHOLE, methods: Collection[str] | None = None) -> None:
    if job.is_made(run.folder):
        return
    if not (run.folder / "experiment.yaml").is_file():
        write_text(run.experiment.dump(), run.folder / "experiment.yaml")
        record(run.folder / "experiment.yaml")
    for need in job.needs:
        _ensure(run, need)
    print(f"{job.stage}: {' '.join(str(of) for of in (job.task, job.model, job.seed) if of is not None)}", flush=True)
    if job.stage == "explain":
        explain(run, job, part, methods)
    else:
        STAGES[job.stage](run, job)


def make_over_models(run: Results) -> None:
    """Make the tables over models of results that hold what they are made from, published ones included."""
    for job in graph.all_jobs(run.experiment):
        if job.model is None:
            STAGES[job.stage](run, job)


def train(run: Results, job: Job) -> None:
    """Fine-tune or compress a model where it is not there under its key, and write what it predicts."""
    from trusteq.models.build import random_head
    from trusteq.models.classifier import load_classifier
    from trusteq.models.finetune import predict
    from trusteq.models.label_calibration import settings_of

    dev, test = (load_examples(run.experiment.task(job.task), split) for split in ("dev", "test"))
    home, *tables = job.tables
    if home in job.lacks(run.folder):
        tuned = _fine_tuned(run, job, dev)
        classifier, (found, seconds) = tuned.classifier, predict(tuned.classifier, test)
        _keep(run, job, tuned, found, test, seconds)
    else:
        classifier = load_classifier(run.trained(job.task, job.model, job.seed))
        found, _ = predict(classifier, test)
    parts = {"test": (found, classifier), "dev": (predict(classifier, dev)[0], classifier)}
    if run.experiment.has_twin(job.model, job.seed):
        twin = random_head(classifier, seed=job.seed)
        parts[RANDOM_HEAD] = predict(twin, test)[0], twin
    for path, (part, (table, by)) in zip(tables, parts.items(), strict=True):
        facts = _facts(run, job) | settings_of(by)
        write_table(table, run.folder / path, key=job.tables[path], **facts, part=part)
        record(run.folder / path)


def _fine_tuned(run: Results, job: Job, dev: pd.DataFrame) -> "FineTuned":
    """Fine-tune or compress a model, from the fine-tuned models that it is made from, or take one that is given."""
    from trusteq.models.build import as_it_is
    from trusteq.models.classifier import load_classifier
    from trusteq.models.finetune import finetune, untrained

    experiment, spec = run.experiment, run.experiment.model(job.model)
    if spec.checkpoint:
        return _calibrated(untrained(as_it_is(spec, experiment.task(job.task).labels)), spec.calibration, dev)
    known = {need.model: load_classifier(run.trained(need.task, need.model, need.seed)) for need in job.needs}
    original = known.get(spec.compress.of) if spec.compress else None
    tuned = finetune(
        load_examples(experiment.task(job.task), "train", limit=experiment.train_limit),
        dev,
        spec=spec,
        labels=experiment.task(job.task).labels,
        recipe=experiment.recipe_for(job.task, job.model),
        seed=job.seed,
        checkpoints=run.folder / "checkpoints" / job.task / job.model / str(job.seed),
        tokens=run.folder / "tokens" / job.task,
        original=original,
        teacher=known.get(spec.teacher),
    )
    return _calibrated(tuned, spec.calibration or _calibration(original), dev)


def _calibration(classifier: "Classifier | None") -> str | None:
    from trusteq.models.label_calibration import reads_words

    return classifier.model.label_words.calibration if reads_words(classifier) else None


def _calibrated(tuned: "FineTuned", name: str | None, dev: pd.DataFrame) -> "FineTuned":
    """Return a model with what its own label words are worth before it reads a text, estimated on the dev split."""
    from trusteq.models.label_calibration import calibrated

    return tuned if name is None else replace(tuned, classifier=calibrated(tuned.classifier, name, given(dev)))


def _keep(run: Results, job: Job, tuned: "FineTuned", found: pd.DataFrame, test: pd.DataFrame, seconds: float) -> None:
    from trusteq.calibration.proper_scores import scores
    from trusteq.models.finetune import save
    from trusteq.models.label_calibration import facts, reads_words

    accuracy = scores(found[list(tuned.classifier.labels)], found["label"])["accuracy"]
    majority = test["label"].value_counts(normalize=True).max()
    metrics = {"accuracy": accuracy, "majority": majority, "test_examples": len(test)}
    if reads_words(tuned.classifier):
        metrics["label_words"] = facts(tuned.classifier, *given(test), test["label"].to_numpy())
    folder = run.model(job.task, job.model, job.seed)
    timing = {"inference_seconds": seconds}
    save(tuned, folder, metrics=metrics, timing=timing, key=job.trained, **_facts(run, job))
    record(folder / MODEL)


def _facts(run: Results, job: Job) -> dict:
    """Return what names a model in a manifest: experiment, task, model, seed and recipe."""
    recipe = run.experiment.recipe_for(job.task, job.model).model_dump()
    which = {"task": job.task, "model": job.model, "seed": job.seed}
    return {"experiment": run.experiment.name} | which | {"recipe": recipe}


def explain(run: Results, job: Job, part: Shard = WHOLE, methods: Collection[str] | None = None) -> None:
    """Explain a model: write every table of attributions that is not there, and what the model loses by its words."""
    from trusteq.models.build import random_head
    from trusteq.models.classifier import load_classifier

    task, model, seed = job.task, job.model, job.seed
    classifier = load_classifier(run.trained(task, model, seed))
    twin = random_head(classifier, seed=seed) if run.experiment.has_twin(model, seed) else None
    test = load_examples(run.experiment.task(task), "test", limit=run.experiment.explained(task))
    found, keys = {}, {path.stem: key for path, key in job.tables.items()}
    for one in jobs(run.experiment, task=task, model=model, seed=seed, methods=methods):
        subject = twin if one.kind == RANDOM_HEAD else classifier
        key = keys[part.name(one.table)]
        found[one.table] = attributions(run, one, subject, test, key=key, part=part, progress=True)
    if part.is_whole and methods is None:
        table = faithfulness(run, job, classifier, test, found)
        path = run.path("attribution", task, model, seed, "faithfulness")
        which = {"experiment": run.experiment.name, "task": task, "model": model, "seed": seed}
        write_table(table, path, key=keys["faithfulness"], **which)
        record(path)


def faithfulness(
    run: Results, job: Job, classifier: "Classifier", examples: pd.DataFrame, found: dict[str, pd.DataFrame | Stored]
) -> pd.DataFrame:
    """Return what a model makes of its own top words: id, method, comprehensiveness, sufficiency.

    found: its tables of attributions. method: those whose words have places, and as many words drawn at random.
    """
    from trusteq.alignment.evidence import faithfulness as measured
    from trusteq.alignment.overlap import random_features

    gold = examples.set_index("id")["label"].map(dict(enumerate(classifier.labels)))
    methods = [name for name in run.experiment.task_methods(job.task) if name in found]
    judged = {name: found[name] for name in methods if found[name].attrs["boundary"] == "safe"}
    judged["random features"] = random_features(next(iter(judged.values())), seed=job.seed)
    how = {"k": run.experiment.k, "label": gold}
    scored = {name: measured(classifier, examples, table, **how) for name, table in judged.items()}
    table = pd.concat(scored, names=["method"]).reset_index("method").reset_index(drop=True)
    return table[["id", "method", "comprehensiveness", "sufficiency"]]


def over_models(tables: Callable[[Results, Job], dict[str, pd.DataFrame]]) -> Callable[[Results, Job], None]:
    """Return a stage that writes what `tables` returns, each table under the name that the job has for it."""

    def stage(run: Results, job: Job) -> None:
        made = tables(run, job)
        which = {"experiment": run.experiment.name, "task": job.task, "k": run.experiment.k}
        which |= {} if job.seed is None else {"seed": job.seed}
        for path, key in job.tables.items():
            write_table(made[path.stem], run.folder / path, key=key, **which)
            record(run.folder / path)

    return stage


def _compressed(run: Results, job: Job) -> dict[str, pd.DataFrame]:
    """Return the tables on compressed models, with what they cost: measured here, or where published results were."""
    known = run.compression(job.task, "footprints") if run.is_published else footprints(run, job.task)
    return compressions.tables(run, job.task) | {"footprints": known}


def footprints(run: Results, task: str) -> pd.DataFrame:
    """Return what each model costs on this machine, of its first training seed: see `models.footprint.footprint`."""
    from trusteq.models.footprint import TEXTS, footprint

    test = load_examples(run.experiment.task(task), "test", limit=TEXTS)
    first = [(name, run.experiment.model_seeds(name)[0]) for name in run.experiment.models]
    return pd.DataFrame([{"model": name, **footprint(run.trained(task, name, seed), test)} for name, seed in first])


STAGES: dict[str, Callable[[Results, Job], None]] = {
    "train": train,
    "explain": explain,
    "calibrate": over_models(lambda run, job: calibrate.tables(run, job.task, job.seed)),
    "compare": over_models(lambda run, job: compare.tables(run, job.task)),
    "compress": over_models(_compressed),
}
