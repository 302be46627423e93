"""Fine-tuning with `transformers.Trainer`: a recipe in, the best epoch's classifier and its history out."""

import functools
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
import transformers
from transformers.trainer_utils import get_last_checkpoint

from trusteq.errors import DataError, ExperimentError
from trusteq.modality import given
from trusteq.models.build import compress, ready, untuned
from trusteq.models.checkpoint import Checkpoint, bytes_of
from trusteq.models.classifier import Classifier
from trusteq.models.compress import DEPTHS, settled
from trusteq.models.label_calibration import calibrated, reads_words
from trusteq.models.layers import Int4Linear
from trusteq.models.recipe import Recipe
from trusteq.models.training import Batch, check_teacher, known, rows_for, student_loss
from trusteq.registry import ModelSpec
from trusteq.store import atomic_path, describe, to_json, write_text

HISTORY = ("epoch", "loss", "eval_loss", "eval_accuracy")


@dataclass(frozen=True)
class FineTuned:
    """classifier: of the best epoch. history: epoch, loss, eval_loss, eval_accuracy (dev). seconds: of training.

    The history of a model that was compressed and not trained on has no rows.
    """

    classifier: Checkpoint
    history: pd.DataFrame
    seconds: float


def finetune(
    train: pd.DataFrame,
    dev: pd.DataFrame,
    *,
    spec: ModelSpec,
    labels: Sequence[str],
    recipe: Recipe,
    seed: int,
    checkpoints: Path,
    tokens: Path | None = None,
    original: Checkpoint | None = None,
    teacher: Checkpoint | None = None,
) -> FineTuned:
    """Fine-tune a model and return the epoch with the best dev accuracy; by words and 0 epochs, as it is.

    train, dev: tables of examples. labels: class names in index order.
    checkpoints: folder for the state of every epoch, from which a killed run resumes when it is asked for the very same
    again; removed at the end. tokens: folder of tokenised rows, for other models to use again; None: removed as well.
    original: the fine-tuned classifier that this one is a compression of (registry: `compress`).
    teacher: a classifier that `models.training` learns from (registry: `teacher`).

    Raises ModelError when the pretrained weights cannot be loaded, a way to compress does not fit the model or a
    teacher does not fit the student; DataError when there is nothing to train on; ExperimentError when this machine
    cannot compute in the recipe's precision.
    """
    if train.empty or dev.empty:
        raise DataError(f"fine-tuning needs training and dev examples, got {len(train)} and {len(dev)}")
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise ExperimentError("recipe: precision 'fp16' needs a GPU and none is here; set precision to fp32 or bf16")
    transformers.set_seed(seed)
    start = compress(original, spec.compress) if spec.compress else None
    if start is not None and not spec.compress.recover:
        return untrained(start)
    if start is not None and reads_words(start):
        start = calibrated(start, "none")  # what its words are worth changes with its weights
    student = start or untuned(spec, train, labels=labels, recipe=recipe)
    for table, where in ((train, "train"), (dev, "dev")):
        if isinstance(student, Classifier):
            student.check_slots((table["text_a"], table["text_b"]), where)
        else:
            student.modality.check_fits(student, table)
    if recipe.epochs == 0:
        if spec.words is None:
            raise ExperimentError("recipe: epochs 0 is for models that are asked in words; a head is to be trained")
        return untrained(ready(spec.name, student))
    if teacher is not None:
        check_teacher(student, teacher=teacher, recipe=recipe)
    rows = rows_for(student, tokens or checkpoints / "tokens", teacher=teacher, recipe=recipe)
    settings = [spec.model_dump_json(), recipe.model_dump_json(), seed, list(labels)]
    _clear_other_runs(checkpoints, _digest(settings, [train, dev], [original, teacher]))
    trainer = _StudentTrainer(
        model=student.model,
        args=_arguments(recipe, seed, checkpoints, lengths=rows.lengths),
        data_collator=rows.collated,
        train_dataset=rows.training(train),
        eval_dataset=rows.evaluation(dev),
        compute_metrics=_accuracy,
        # An encoder-decoder returns its hidden states beside them.
        preprocess_logits_for_metrics=lambda found, labels: found[0] if isinstance(found, tuple) else found,
        processing_class=student.reader,
    )
    trainer.lesson = {"teacher": teacher, "recipe": recipe}
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=_checkpoint_to_resume(checkpoints))
    seconds = time.perf_counter() - started
    history = _history(trainer.state.log_history)
    shutil.rmtree(checkpoints, ignore_errors=True)
    # Without what computes in the recipe's precision: what is explained is read from disk, in single precision.
    trained = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    return FineTuned(ready(spec.name, replace(student, model=settled(trained))), history, seconds)


def untrained(classifier: Checkpoint) -> FineTuned:
    """Return a model that was compressed or given, and not trained."""
    return FineTuned(classifier, pd.DataFrame(columns=HISTORY, dtype=float), 0.0)


def _digest(settings: list, tables: Sequence[pd.DataFrame], models: Sequence[Checkpoint | None]) -> str:
    """Return one hash of all that decides the outcome of a training run."""
    digest = hashlib.sha256(repr(settings).encode())
    for table in tables:
        digest.update(known(table))
    for model in filter(None, models):
        for name, values in model.model.state_dict().items():
            digest.update(name.encode() + bytes_of(values))
    return digest.hexdigest()


def _clear_other_runs(checkpoints: Path, digest: str) -> None:
    """Clear away what runs with another digest left."""
    mark = checkpoints / "run.sha256"
    if not mark.is_file() or mark.read_text() != digest:
        shutil.rmtree(checkpoints, ignore_errors=True)
        write_text(digest, mark)


def _checkpoint_to_resume(checkpoints: Path) -> str | None:
    """Return the newest whole checkpoint."""
    for folder in checkpoints.glob("checkpoint-*"):
        # The trainer writes its state last: a checkpoint without it was cut short.
        if not (folder / "trainer_state.json").is_file():
            shutil.rmtree(folder)
    return get_last_checkpoint(checkpoints)


def _arguments(recipe: Recipe, seed: int, checkpoints: Path, *, lengths: bool = True) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        output_dir=str(checkpoints),
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=128,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule
        if recipe.warmup_ratio == 0 or recipe.schedule != "constant"
        else "constant_with_warmup",
        warmup_steps=recipe.warmup_ratio,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        use_cpu=not torch.cuda.is_available(),
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        save_total_limit=1,
        remove_unused_columns=False,
        # Texts of like length share a batch, which then hardly needs padding.
        **({"train_sampling_strategy": "group_by_length", "length_column_name": "length"} if lengths else {}),
        average_tokens_across_devices=False,  # a batch's loss is the mean over texts, on however many devices
        optim="adamw_torch_fused" if torch.cuda.is_available() else "adamw_torch",
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        seed=seed,
    )


class _StudentTrainer(transformers.Trainer):
    """The library's trainer, with `training.student_loss` on batches that carry a teacher's probabilities."""

    def _get_train_sampler(self, *given):
        sampler = super()._get_train_sampler(*given)
        # As a column of a memory-mapped table, lengths are read one by one, which takes minutes for 550,000 rows.
        if hasattr(sampler, "lengths"):
            sampler.lengths = sampler.lengths[:]
        return sampler

    def _save(self, *given, **options):
        """Keep weights under the names that the model has, by which they are read again; the Hub has others of some."""
        model = self.accelerator.unwrap_model(self.model)
        model.save_pretrained = functools.partial(model.save_pretrained, save_original_format=False)
        try:
            super()._save(*given, **options)
        finally:
            del model.save_pretrained

    def compute_loss(self, model, inputs, return_outputs=False, **options):
        taught = {name: inputs.pop(name) for name in ("teacher", "words") if name in inputs}
        if "teacher" not in taught:
            return super().compute_loss(model, inputs, return_outputs=return_outputs, **options)
        labels = inputs.pop("labels")
        loss, outputs = student_loss(model, Batch(inputs, labels, **taught), **self.lesson)
        return (loss, outputs) if return_outputs else loss


def _accuracy(evaluation) -> dict[str, float]:
    return {"accuracy": float((evaluation.predictions.argmax(-1) == evaluation.label_ids).mean())}


def _history(log: list[dict]) -> pd.DataFrame:
    """Return one row per epoch: epoch, loss (training), eval_loss and eval_accuracy (dev)."""
    epochs = pd.DataFrame(log).groupby("epoch", as_index=False)[list(HISTORY[1:])].first()
    return epochs.dropna(subset=["eval_accuracy"], ignore_index=True)


def predict(classifier: Checkpoint, examples: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return the table of predictions (id, label, one column per class) and the seconds the model took."""
    started = time.perf_counter()
    probabilities = classifier.predict_proba(*given(examples))
    seconds = time.perf_counter() - started
    table = pd.DataFrame(probabilities, columns=list(classifier.labels))
    return pd.concat([examples[["id", "label"]].reset_index(drop=True), table], axis=1), seconds


def save(tuned: FineTuned, folder: Path, *, metrics: dict, timing: dict, key: str | None = None, **parameters) -> None:
    """Write the model (safetensors), tokenizer, metrics, timing, history and manifest as one folder, in one step.

    metrics: what the seed decides. timing: what the machine decides; kept apart so that metrics can be compared. key:
    of all that decides the model, for the manifest.
    """
    with atomic_path(folder) as temporary:
        tuned.classifier.save(temporary)
        tuned.history.to_csv(temporary / "history.csv", index=False)
        size = sum(file.stat().st_size for file in temporary.glob("*.safetensors"))
        shape = sizes(tuned.classifier.model) | {"weights_bytes": size}
        write_text(to_json(metrics | shape), temporary / "metrics.json")
        timing = timing | {"training_seconds": tuned.seconds, "device": device_name(tuned.classifier)}
        write_text(to_json(timing), temporary / "timing.json")
        manifest = describe(sorted(temporary.iterdir()), parameters, root=temporary, key=key)
        write_text(to_json(manifest), temporary / "manifest.json")


def sizes(model) -> dict[str, int]:
    """Return parameters and nonzero_parameters (`counted`), layers, a decoder's too, and hidden_size."""
    return counted(model) | {
        "layers": sum(getattr(model.config, name, 0) for name in DEPTHS),
        "hidden_size": model.config.hidden_size,
    }


def weights_of(model) -> list[torch.Tensor]:
    """Return the weights and stored statistics of a model, shared ones once."""
    return list({(values.data_ptr(), values.shape): values for values in model.state_dict().values()}.values())


def counted(model) -> dict[str, int]:
    """Return parameters and nonzero_parameters; of weights in 4 bits each one, and not the bytes that hold them."""
    packed = {part.blocks.data_ptr(): part for part in model.modules() if isinstance(part, Int4Linear)}
    found = {"parameters": 0, "nonzero_parameters": 0}
    for values in weights_of(model):
        values = packed[values.data_ptr()].weight if values.data_ptr() in packed else values
        found["parameters"] += values.numel()
        found["nonzero_parameters"] += int(values.count_nonzero())
    return found


def device_name(classifier: Checkpoint) -> str:
    """Return the name of the device a classifier is on, with the number of threads of a CPU."""
    device = classifier.model.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
