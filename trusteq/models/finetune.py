"""Fine-tuning with `transformers.Trainer`: a recipe in, the best epoch's classifier and its history out."""

import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from transformers.trainer_utils import get_last_checkpoint

from trusteq import store
from trusteq.errors import DataError, ExperimentError
from trusteq.examples.synthetic import vocabulary
from trusteq.experiment import Recipe
from trusteq.models.classifier import LOADING, Classifier, as_classifier, check_weights, load_tokenizer, loading, locate
from trusteq.models.heads import HEADS
from trusteq.registry import ModelSpec

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Keys of pretraining checkpoints that a classifier has no use for, and keys of the head that is new.
PRETRAINING_KEYS = ("cls.", "vocab_", "pooler.", "position_ids")
NEW_HEAD_KEYS = ("classifier.",)


@dataclass(frozen=True)
class FineTuned:
    """classifier: of the best epoch. history: epoch, loss, eval_loss, eval_accuracy (dev). parameters: their number."""

    classifier: Classifier
    history: pd.DataFrame
    parameters: int


def finetune(
    train: pd.DataFrame,
    dev: pd.DataFrame,
    *,
    spec: ModelSpec,
    labels: Sequence[str],
    recipe: Recipe,
    seed: int,
    checkpoints: Path,
    teacher: Classifier | None = None,
) -> FineTuned:
    """Fine-tune a model and return the epoch with the best dev accuracy.

    train, dev: tables of examples. labels: class names in index order.
    checkpoints: folder for the state of every epoch, from which a killed run resumes when it is asked for the very same
    again; removed at the end.
    teacher: a classifier whose probabilities on `train` join the labels in the loss (registry: `teacher`).

    Raises ModelError when the pretrained weights cannot be loaded, DataError when there is nothing to train on,
    ExperimentError when this machine cannot compute in the recipe's precision.
    """
    if train.empty or dev.empty:
        raise DataError(f"fine-tuning needs training and dev examples, got {len(train)} and {len(dev)}")
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise ExperimentError("recipe: precision 'fp16' needs a GPU and none is here; set precision to fp32 or bf16")
    transformers.set_seed(seed)
    model, tokenizer = build(spec, labels=labels, recipe=recipe)
    trainer = _DistillingTrainer(
        model=model,
        args=_arguments(recipe, seed, checkpoints),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        train_dataset=_rows(train, tokenizer, recipe, teacher),
        eval_dataset=_rows(dev, tokenizer, recipe),
        compute_metrics=_accuracy,
        processing_class=tokenizer,
    )
    trainer.distillation = (recipe.distillation_weight, recipe.temperature)
    settings = [spec.model_dump_json(), recipe.model_dump_json(), seed, list(labels)]
    digest = _digest(settings, trainer.train_dataset, trainer.eval_dataset)
    trainer.train(resume_from_checkpoint=_checkpoint_to_resume(checkpoints, digest))
    history = _history(trainer.state.log_history)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return FineTuned(as_classifier(trainer.model, tokenizer, labels), history, model.num_parameters())


def build(spec: ModelSpec, *, labels: Sequence[str], recipe: Recipe):
    """Return (model, tokenizer) before fine-tuning: pretrained or random encoder, new random head."""
    names = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    model, tokenizer = _pretrained(spec, recipe.head, names) if spec.hub else _from_scratch(spec, recipe.head, names)
    tokenizer.model_max_length = min(recipe.max_length, model.config.max_position_embeddings)
    return model, tokenizer


def _pretrained(spec: ModelSpec, head: str, names: dict):
    source = locate(spec.hub)
    cut = {} if spec.layers is None else {"num_hidden_layers": spec.layers}
    with loading(spec.hub):
        config = transformers.AutoConfig.from_pretrained(source, **names, **cut)
        tokenizer = load_tokenizer(spec.hub, source)
        kind = transformers.AutoModelForSequenceClassification if head == "standard" else transformers.AutoModel
        model, report = kind.from_pretrained(source, config=config, **LOADING)
    beyond = () if spec.layers is None else ("layer.",)
    check_weights(spec.hub, report, new_ok=NEW_HEAD_KEYS, unused_ok=PRETRAINING_KEYS + beyond)
    if head in HEADS:
        encoder, model = model, HEADS[head](config)
        model.encoder.load_state_dict(encoder.state_dict())
    return model, tokenizer


def _from_scratch(spec: ModelSpec, head: str, names: dict):
    tokenizer = _word_tokenizer() if spec.tokenizer is None else _hub_tokenizer(spec.tokenizer)
    config = transformers.BertConfig(vocab_size=len(tokenizer), **spec.scratch.model_dump(), **names)
    return HEADS.get(head, transformers.BertForSequenceClassification)(config), tokenizer


def _word_tokenizer() -> transformers.BertTokenizer:
    """Return a tokenizer with one token for every word of the generated corpora."""
    # A vocabulary file is silently ignored by transformers 5: the mapping itself has to be passed.
    return transformers.BertTokenizer(vocab={token: index for index, token in enumerate(SPECIAL_TOKENS + vocabulary())})


def _hub_tokenizer(hub_id: str):
    with loading(hub_id):
        return load_tokenizer(hub_id, locate(hub_id))


def _rows(examples: pd.DataFrame, tokenizer, recipe: Recipe, teacher: Classifier | None = None) -> list[dict]:
    """Return one dict of token ids and label per example, with the teacher's probabilities where there is one."""
    single = examples["text_b"].isna().all()
    texts = [list(examples["text_a"])] + ([] if single else [list(examples["text_b"])])
    tokens = tokenizer(*texts, truncation=True, max_length=tokenizer.model_max_length)
    columns = dict(tokens) | {"labels": examples["label"].tolist()}
    if teacher is not None:
        columns["teacher"] = teacher.predict_proba(examples["text_a"], examples["text_b"]).astype(np.float32).tolist()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _digest(*parts: list) -> str:
    """Return one hash of all that decides the outcome of a training run."""
    digest = hashlib.sha256()
    for part in itertools.chain(*parts):
        digest.update(json.dumps(part).encode())
    return digest.hexdigest()


def _checkpoint_to_resume(checkpoints: Path, digest: str) -> str | None:
    """Return the newest whole checkpoint of the run with this digest; clear away what other runs left."""
    mark = checkpoints / "run.sha256"
    if not mark.is_file() or mark.read_text() != digest:
        shutil.rmtree(checkpoints, ignore_errors=True)
        store.write_text(digest, mark)
    for folder in checkpoints.glob("checkpoint-*"):
        # The trainer writes its state last: a checkpoint without it was cut short.
        if not (folder / "trainer_state.json").is_file():
            shutil.rmtree(folder)
    return get_last_checkpoint(checkpoints)


def _arguments(recipe: Recipe, seed: int, checkpoints: Path) -> transformers.TrainingArguments:
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
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        seed=seed,
    )


class _DistillingTrainer(transformers.Trainer):
    """The library's trainer, with the loss of Hinton et al. (2015) on batches that carry a teacher's probabilities."""

    def compute_loss(self, model, inputs, return_outputs=False, **options):
        teacher = inputs.pop("teacher", None)
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
        if teacher is not None:
            weight, temperature = self.distillation
            loss = (1 - weight) * loss + weight * distillation_loss(outputs.logits, teacher, temperature)
        return (loss, outputs) if return_outputs else loss


def distillation_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T^2 KL(teacher || student) at temperature T, averaged over the batch (Hinton et al., 2015, section 2).

    logits: of the student, (n, C). teacher: probabilities at temperature 1, (n, C).
    """
    target = torch.softmax(teacher.clamp_min(1e-12).log() / temperature, dim=-1)
    student = torch.log_softmax(logits / temperature, dim=-1)
    return temperature**2 * torch.nn.functional.kl_div(student, target, reduction="batchmean")


def _accuracy(evaluation) -> dict[str, float]:
    return {"accuracy": float((evaluation.predictions.argmax(-1) == evaluation.label_ids).mean())}


def _history(log: list[dict]) -> pd.DataFrame:
    """Return one row per epoch: epoch, loss (training), eval_loss and eval_accuracy (dev)."""
    epochs = pd.DataFrame(log).groupby("epoch", as_index=False)[["loss", "eval_loss", "eval_accuracy"]].first()
    return epochs.dropna(subset=["eval_accuracy"], ignore_index=True)


def predict(classifier: Classifier, examples: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return the table of predictions (id, label, one column per class) and the seconds the model took."""
    started = time.perf_counter()
    probabilities = classifier.predict_proba(examples["text_a"], examples["text_b"])
    seconds = time.perf_counter() - started
    table = pd.DataFrame(probabilities, columns=list(classifier.labels))
    return pd.concat([examples[["id", "label"]].reset_index(drop=True), table], axis=1), seconds


def save(tuned: FineTuned, folder: Path, *, metrics: dict, timing: dict, **parameters) -> None:
    """Write the model (safetensors), tokenizer, metrics, timing, history and manifest as one folder, in one step.

    metrics: what the seed decides. timing: what the machine decides; kept apart so that metrics can be compared.
    """
    with store.atomic_path(folder) as temporary:
        tuned.classifier.model.save_pretrained(temporary)
        tuned.classifier.tokenizer.save_pretrained(temporary)
        tuned.history.to_csv(temporary / "history.csv", index=False)
        size = sum(file.stat().st_size for file in temporary.glob("*.safetensors"))
        shape = {"parameters": tuned.parameters, "weights_bytes": size} | _shape(tuned.classifier.model.config)
        store.write_text(store.to_json(metrics | shape), temporary / "metrics.json")
        store.write_text(store.to_json(timing | {"device": device_name(tuned.classifier)}), temporary / "timing.json")
        manifest = store.describe(sorted(temporary.iterdir()), parameters)
        store.write_text(store.to_json(manifest), temporary / "manifest.json")


def _shape(config) -> dict[str, int]:
    return {"layers": config.num_hidden_layers, "hidden_size": config.hidden_size}


def device_name(classifier: Classifier) -> str:
    """Return the name of the device a classifier is on, with the number of threads of a CPU."""
    device = classifier.model.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"
