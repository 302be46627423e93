"""What a model is trained on, rows tokenised once and read from disk, and what a student is trained for.

That is its task, its teacher's probabilities, and its teacher's attention to words; hidden states may be added. Each
part is a mean over the batch; `student_loss` weighs them by the recipe.
"""

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax
from torch.nn.utils.rnn import pad_sequence

from trusteq import modality, words
from trusteq.errors import ModelError
from trusteq.listing import manifest_path, manifest_problems, to_json
from trusteq.modality import given
from trusteq.models.array_classifier import ArrayClassifier
from trusteq.models.checkpoint import Checkpoint
from trusteq.models.classifier import Classifier
from trusteq.models.compress import encoder_layers
from trusteq.models.recipe import Recipe
from trusteq.models.template import Template
from trusteq.store import describe, write_text

MOST_ENCODED = 2**26  # numbers that arrays become, of which all are kept
CHUNK = 10_000  # rows that are hashed at once, and of which a teacher's probabilities are computed at once


def tokenised(
    examples: pd.DataFrame, tokenizer, *, folder: Path, with_words: bool = False, template: Template | None = None
):
    """Return the examples as a memory-mapped `datasets.Dataset`: input_ids, labels, length, and what follows.

    token_type_ids where the tokenizer gives them; words, the number of each token's word or -1, if `with_words`.
    folder: where the rows are kept: the same texts with the same tokenizer are read and not tokenised again. template:
    what makes one text of a pair, whose own words are no words.

    Raises ModelError where words are asked for and the tokenizer does not tell where a token stands in the text.
    """
    import datasets

    if with_words and not tokenizer.is_fast:
        name = type(tokenizer).__name__
        raise ModelError(f"attribution_weight: {name} does not tell where a token stands; use a fast tokenizer")
    single = examples["text_b"].isna().all()
    texts = examples[["text_a", "label"] if single else ["text_a", "text_b", "label"]]

    def encode(batch: dict[str, list]) -> dict[str, list]:
        pair = [batch[name] for name in ("text_a", "text_b") if name in batch]
        given = pair
        if template and len(pair) == template.n_texts:
            fitted = [template.fitted(row, tokenizer, tokenizer.model_max_length) for row in zip(*pair, strict=True)]
            given, pair = [[template.join(*row) for row in fitted]], list(map(list, zip(*fitted, strict=True)))
        options = {"truncation": True, "max_length": tokenizer.model_max_length, "return_attention_mask": False}
        found = tokenizer(*given, **options, return_offsets_mapping=with_words)
        columns = {name: found[name] for name in ("input_ids", "token_type_ids") if name in found}
        columns |= {"labels": batch["label"], "length": [len(ids) for ids in found["input_ids"]]}
        if with_words:
            rows = enumerate(zip(*pair, strict=True))
            columns["words"] = [words.of_tokens(row, *_places(found, at, row, template)) for at, row in rows]
        return columns

    cut_by = with_words and (words.segmentation(texts.drop(columns="label").to_numpy().ravel()) or with_words)
    fingerprint = _fingerprint(texts, tokenizer, (cut_by, template) if template else cut_by)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{fingerprint}.arrow"
    if manifest_problems(manifest_path(kept)):
        kept.unlink(missing_ok=True)  # rows that are not those that were written would be trained on in silence
    with _without_progress():
        # Without a fingerprint of ours, the library makes one, for which it copies all texts.
        rows = datasets.Dataset(pa.Table.from_pandas(texts, preserve_index=False), fingerprint=fingerprint)
        # The library writes under a temporary name and renames: a killed run leaves no half file.
        found = rows.map(encode, batched=True, remove_columns=list(texts), cache_file_name=str(kept))
    if not manifest_path(kept).is_file() or manifest_problems(manifest_path(kept)):
        write_text(to_json(describe([kept], {}, root=folder)), manifest_path(kept))
    return found


def _places(found, at: int, texts: tuple[str, ...], template: Template | None) -> tuple[list, list]:
    """Return of each token of a row which text it stands in, None for none of them, and its (start, end) there."""
    segments, offsets = found.sequence_ids(at), found["offset_mapping"][at]
    if template is None or len(texts) != template.n_texts:
        return segments, offsets
    inside, places = template.sides(texts, offsets)
    return [None if own is None else side for own, side in zip(segments, inside, strict=True)], places


@dataclass(frozen=True)
class TextRows:
    """Rows of tokens for a student of texts. folder: where they are kept."""

    student: Classifier
    folder: Path
    teacher: Checkpoint | None
    recipe: Recipe
    lengths = True  # whether rows of like length are to share a batch

    def training(self, train: pd.DataFrame):
        """Return the rows that are trained on, with what the teacher says of them."""
        rows = self._rows(train, with_words=self.teacher is not None and needs_words(self.recipe))
        return rows if self.teacher is None else taught(rows, train, self.teacher)

    def evaluation(self, dev: pd.DataFrame):
        """Return the rows that an epoch is judged by."""
        return self._rows(dev)

    def _rows(self, examples: pd.DataFrame, *, with_words: bool = False):
        student = self.student
        how = {"folder": self.folder, "with_words": with_words, "template": student.template}
        return tokenised(examples, student.tokenizer, **how)

    @property
    def collated(self):
        """What makes a batch of rows."""
        return collator(self.student.tokenizer)


@dataclass(frozen=True)
class ArrayRows:
    """Arrays for a student of arrays, which become its inputs once, or batch by batch where they would fill memory."""

    student: ArrayClassifier
    teacher: Checkpoint | None
    lengths = False

    def training(self, train: pd.DataFrame) -> list[dict]:
        """Return the rows that are trained on, with what the teacher says of them."""
        rows = self.evaluation(train)
        if self.teacher is None:
            return rows
        return [row | {"teacher": said} for row, said in zip(rows, _said(self.teacher, train), strict=True)]

    def evaluation(self, dev: pd.DataFrame) -> list[dict]:
        """Return the rows that an epoch is judged by."""
        (arrays,), name = given(dev), "array"
        if len(arrays) * self._encoded(arrays[:1]).size <= MOST_ENCODED:
            parts = (self._encoded(arrays[at : at + CHUNK]) for at in range(0, len(arrays), CHUNK))
            arrays, name = list(itertools.chain.from_iterable(parts)), "encoded"
        return [{name: array, "labels": label} for array, label in zip(arrays, dev["label"], strict=True)]

    def collated(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Return a batch of rows."""
        known = "encoded" in rows[0]
        values = np.stack([of["encoded"] for of in rows]) if known else self._encoded([of["array"] for of in rows])
        made = {self.student.modality.argument: torch.from_numpy(values)}
        made |= {"labels": torch.tensor([row["labels"] for row in rows])}
        said = [row["teacher"] for row in rows if "teacher" in row]
        return made | ({"teacher": torch.tensor(np.array(said))} if said else {})

    def _encoded(self, arrays: list[np.ndarray]) -> np.ndarray:
        return self.student.modality.encode(self.student.processor, arrays)


def rows_for(student: Checkpoint, folder: Path, *, teacher: Checkpoint | None, recipe: Recipe) -> TextRows | ArrayRows:
    """Return what makes rows for a student of examples; folder: where tokens are kept."""
    if isinstance(student, ArrayClassifier):
        return ArrayRows(student, teacher)
    return TextRows(student, folder, teacher, recipe)


def _said(teacher: Checkpoint, examples: pd.DataFrame) -> np.ndarray:
    """Return a teacher's probabilities, float32 (n, C)."""
    return np.concatenate([teacher.predict_proba(*given(part)).astype(np.float32) for part in _chunks(examples)])


def taught(rows, examples: pd.DataFrame, teacher: Checkpoint):
    """Return the rows with a column "teacher": the teacher's probabilities, (C,), float32 and in memory."""
    import datasets

    flat = _said(teacher, examples).ravel()
    column = pa.FixedSizeListArray.from_arrays(flat, len(teacher.labels))
    # `add_column` hashes a column through pickle, with 1.5 KB for each row.
    named = datasets.Dataset(pa.table({"teacher": column}), fingerprint=hashlib.sha256(flat).hexdigest())
    return datasets.concatenate_datasets([rows, named], axis=1)


def collator(tokenizer):
    """Return the function that makes a batch of rows, as `tokenizer.pad` does: padded to the longest of them.

    Raises ModelError where the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{type(tokenizer).__name__} has no padding token, and a batch needs one; set pad_token")
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}

    def padded(parts: Iterator, padding: int) -> torch.Tensor:
        tensors = [torch.tensor(part) for part in parts]
        return pad_sequence(tensors, batch_first=True, padding_value=padding, padding_side=tokenizer.padding_side)

    def batch(rows: list[dict]) -> dict[str, torch.Tensor]:
        made = {name: padded((row[name] for row in rows), fill[name]) for name in fill if name in rows[0]}
        made["attention_mask"] = padded(([1] * len(row["input_ids"]) for row in rows), 0)
        made["labels"] = torch.tensor([row["labels"] for row in rows])
        if "teacher" in rows[0]:
            made["teacher"] = torch.tensor(np.array([row["teacher"] for row in rows], dtype=np.float32))
        if "words" in rows[0]:
            made["words"] = padded((row["words"] for row in rows), -1)
        return made

    return batch


def known(examples: pd.DataFrame) -> bytes:
    """Return the hashes of all that is trained on, in a row."""
    if modality.of(examples) is None:
        return b"".join(hashes(examples[["text_a", "text_b", "label"]]))
    return json.dumps([*modality.known_by(examples), *examples["label"].tolist()]).encode()


def hashes(table: pd.DataFrame) -> Iterator[bytes]:
    """Return the hashes of the rows of a table, some at a time: hashed at once, they take three times its memory."""
    for chunk in _chunks(table):
        yield pd.util.hash_pandas_object(chunk, index=False).to_numpy().tobytes()


def _chunks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (table.iloc[start : start + CHUNK] for start in range(0, len(table), CHUNK))


def _fingerprint(texts: pd.DataFrame, tokenizer, how: object) -> str:
    digest = hashlib.sha256()
    for part in hashes(texts):
        digest.update(part)
    vocabulary = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    settings = (type(tokenizer).__name__, str(sorted(tokenizer.init_kwargs.items(), key=str)), vocabulary)
    digest.update(repr((settings, tokenizer.model_max_length, how, list(texts))).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _without_progress() -> Iterator[None]:
    import datasets

    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


@dataclass(frozen=True)
class Batch:
    """inputs: of the models. labels: (n,). teacher: the teacher's probabilities, (n, C).

    words: number of the word of each token, (n, tokens), -1 for none; None where the recipe has no use for it.
    """

    inputs: Mapping[str, torch.Tensor]
    labels: torch.Tensor
    teacher: torch.Tensor
    words: torch.Tensor | None = None


def student_loss(student, batch: Batch, *, teacher: Checkpoint, recipe: Recipe) -> tuple[torch.Tensor, object]:
    """Return the loss of a student on a batch, and the outputs of the student.

    (1 - w) task + w soft labels + confidence_weight matched confidence + attribution_weight attribution +
    hidden_weight hidden states, with w the distillation weight.
    """
    gradients = recipe.attribution_weight > 0 and recipe.attribution_by == "gradients"
    layers = recipe.hidden_weight > 0
    with _watched(student, embeddings=gradients, layers=layers) as seen:
        outputs = student(**batch.inputs)
    weight = recipe.distillation_weight
    loss = (1 - weight) * cross_entropy(outputs.logits, batch.labels)
    loss = loss + weight * distillation_loss(outputs.logits, batch.teacher, recipe.temperature)
    if recipe.confidence_weight:
        loss = loss + recipe.confidence_weight * confidence_loss(outputs.logits, batch.teacher)
    if gradients or layers:
        with torch.set_grad_enabled(gradients), _watched(teacher.model, embeddings=gradients, layers=layers) as known:
            answers = teacher.model(**batch.inputs)
    if gradients:
        own = word_gradients(outputs.logits, seen["embeddings"][0], batch, create_graph=True)
        target = word_gradients(answers.logits, known["embeddings"][0], batch, create_graph=False)
        loss = loss + recipe.attribution_weight * (1 - cosine_similarity(own, target)).mean()
    elif recipe.attribution_weight:
        loss = loss + recipe.attribution_weight * deletion_loss(student, teacher, batch, recipe.temperature)
    if layers:
        states = seen["layers"][0]
        real = batch.inputs.get("attention_mask", states.new_ones(states.shape[:2])).bool()
        loss = loss + recipe.hidden_weight * hidden_loss(seen["layers"], known["layers"], real)
    return loss, outputs


def distillation_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return T^2 KL(teacher || student) at temperature T, averaged over the batch (Hinton et al., 2015, section 2).

    logits: of the student, (n, C). teacher: probabilities at temperature 1, (n, C).
    """
    target = torch.softmax(teacher.clamp_min(1e-12).log() / temperature, dim=-1)
    return temperature**2 * kl_div(log_softmax(logits / temperature, dim=-1), target, reduction="batchmean")


def confidence_loss(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return the mean squared difference of the largest probabilities of student and teacher."""
    return (logits.softmax(dim=-1).amax(dim=-1) - teacher.amax(dim=-1)).square().mean()


def word_gradients(logits: torch.Tensor, embeddings: torch.Tensor, batch: Batch, *, create_graph: bool) -> torch.Tensor:
    """Return gradient times embedding of each word for the gold class, (n, words); 0 beyond a text's last word.

    Of the logarithm of the probability, whose gradient has the direction of the probability's own but does not vanish
    where a model is certain. create_graph: whether the result can be trained on.
    """
    gold = log_softmax(logits, dim=-1).gather(1, batch.labels[:, None]).sum()
    (gradient,) = torch.autograd.grad(gold, embeddings, create_graph=create_graph)
    of_tokens = (gradient * embeddings).sum(dim=-1)
    of_words = of_tokens.new_zeros(len(of_tokens), int(batch.words.max()) + 2)
    of_words = of_words.scatter_add(1, batch.words + 1, of_tokens)[:, 1:]  # column 0 collects what is no word
    return of_words if create_graph else of_words.detach()


def deletion_loss(student, teacher: Classifier, batch: Batch, temperature: float) -> torch.Tensor:
    """Return the distillation loss on the texts with random words deleted, as perturbation methods ask a model."""
    inputs = with_words_deleted(batch.inputs, batch.words, padding=teacher.tokenizer.pad_token_id or 0)
    with torch.no_grad():
        target = teacher.model(**inputs).logits.softmax(dim=-1)
    return distillation_loss(student(**inputs).logits, target, temperature)


def with_words_deleted(
    inputs: Mapping[str, torch.Tensor], words: torch.Tensor, *, padding: int
) -> dict[str, torch.Tensor]:
    """Return the inputs without the tokens of randomly chosen words, closed up.

    As in LIME, the number of deleted words is drawn evenly from 1 to all of a text, and then which.
    """
    device, n_words = words.device, words.amax(dim=1) + 1
    # Drawn on the CPU: the same on every device, and a resumed training goes on where the stream was.
    chance = torch.rand(len(words), max(int(n_words.max()), 1)).to(device)
    deleted = (torch.rand(len(words)).to(device) * n_words).floor() + 1
    absent = torch.arange(chance.shape[1], device=device) >= n_words[:, None]
    rank = chance.masked_fill(absent, 2.0).argsort(dim=1).argsort(dim=1)
    gone = (rank < deleted[:, None]).gather(1, words.clamp_min(0)) & (words >= 0)
    kept = inputs["attention_mask"].bool() & ~gone
    kept[:, 0] |= ~kept.any(dim=1)  # a decoder's text may have no token but its words, and then nothing is left to read
    order = (~kept).byte().argsort(dim=1, stable=True)[:, : int(kept.sum(dim=1).max())]
    mask = kept.gather(1, order)
    fill = {"input_ids": padding, "token_type_ids": 0}
    moved = {name: inputs[name].gather(1, order).masked_fill(~mask, fill[name]) for name in fill.keys() & inputs.keys()}
    return moved | {"attention_mask": mask.long()}


def hidden_loss(student: list[torch.Tensor], teacher: list[torch.Tensor], real: torch.Tensor) -> torch.Tensor:
    """Return the mean cosine distance of hidden states, (n, tokens, hidden) a layer.

    real: (n, tokens), False at padding; states beyond are those of tokens that fill a window (Longformer). Each of the
    student's layers is compared with the teacher's at the same share of the depth.
    Source: the cosine loss of Sanh et al. (2019), section 3, here over all layers of the student.
    """
    depth, distances = len(teacher) / len(student), []
    for number, states in enumerate(student, start=1):
        target = teacher[max(round(number * depth), 1) - 1].detach()
        distances.append((1 - cosine_similarity(states, target, dim=-1))[:, : real.shape[1]][real].mean())
    return torch.stack(distances).mean()


@contextlib.contextmanager
def _watched(model, *, embeddings: bool, layers: bool) -> Iterator[dict[str, list[torch.Tensor]]]:
    """Collect what the embedding layer and the encoder's layers put out while the block runs."""
    seen, handles = {"embeddings": [], "layers": []}, []
    model = getattr(model, "module", model)  # inside the wrapper of a training on several GPUs

    def keep(name: str, output):
        states = output[0] if isinstance(output, tuple) else output
        if name == "embeddings" and not states.requires_grad:  # a teacher's weights are not trained
            states.requires_grad_()
        seen[name].append(states)

    if embeddings:
        handles.append(model.get_input_embeddings().register_forward_hook(lambda *call: keep("embeddings", call[-1])))
    for layer in encoder_layers(model) if layers else ():
        handles.append(layer.register_forward_hook(lambda *call: keep("layers", call[-1])))
    try:
        # The faster attention kernels have no second derivative.
        with sdpa_kernel(SDPBackend.MATH) if embeddings else contextlib.nullcontext():
            yield seen
    finally:
        for handle in handles:
            handle.remove()


def needs_words(recipe: Recipe) -> bool:
    """Return whether the recipe's loss asks which word a token belongs to."""
    return recipe.attribution_weight > 0


def check_teacher(student: Checkpoint, *, teacher: Checkpoint, recipe: Recipe) -> None:
    """Raise ModelError where a teacher cannot teach a student what the recipe asks for."""
    if student.labels != teacher.labels:
        raise ModelError(
            f"the teacher knows the classes {', '.join(teacher.labels)}, the student {', '.join(student.labels)}; "
            "teach with a model of the same task"
        )
    if not (needs_words(recipe) or recipe.hidden_weight):
        return
    if not isinstance(student, ArrayClassifier):
        _check_rows(student, teacher, recipe)
    elif needs_words(recipe):
        raise ModelError(f"attribution_weight is for words, and the student reads {student.modality.name}; set it to 0")
    sizes = [of.model.config.hidden_size for of in (teacher, student)]
    if recipe.hidden_weight and sizes[0] != sizes[1]:
        raise ModelError(
            f"hidden_weight: the teacher's hidden states have {sizes[0]} numbers, the student's {sizes[1]}; set it to 0"
        )
    if recipe.hidden_weight and any(getattr(of.model, "n_after", 0) for of in (teacher, student)):
        raise ModelError("hidden_weight: states are compared for label words of one token; set it to 0")


def _check_rows(student: Classifier, teacher: Classifier, recipe: Recipe) -> None:
    """Raise ModelError where the two cannot read the same rows of tokens, or do not show what they make of each."""
    if student.template != teacher.template:
        raise ModelError("teacher and student join pairs by different templates; give both the same template")
    for of in (student, teacher):
        name = type(of.model).__name__
        if of.equal_lengths or of.tokenizer.padding_side != "right":
            raise ModelError(
                f"{name} takes no rows padded on the right, by which words and states are compared; set "
                "attribution_weight and hidden_weight to 0"
            )
        if recipe.attribution_weight and recipe.attribution_by == "gradients" and of.model.config.is_encoder_decoder:
            raise ModelError(f"{name} embeds a text twice and has no one gradient of it; set attribution_by: deletion")
    if student.tokenizer.get_vocab() != teacher.tokenizer.get_vocab():
        raise ModelError(
            "teacher and student have different vocabularies, so that their tokens cannot be compared; "
            "set attribution_weight and hidden_weight to 0, or give the student the teacher's tokenizer"
        )
