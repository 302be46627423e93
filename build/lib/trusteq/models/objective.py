"""What a student is trained for: its task, its teacher's probabilities, and its teacher's attention to words.

Hidden states may be added. Each part is a mean over the batch; `student_loss` weighs them by the recipe.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax

from trusteq.errors import ModelError
from trusteq.models.classifier import Classifier
from trusteq.models.compress import encoder_layers
from trusteq.models.recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """inputs: of the models. labels: (n,). teacher: the teacher's probabilities, (n, C).

    words: number of the word of each token, (n, tokens), -1 for none; None where the recipe has no use for it.
    """

    inputs: Mapping[str, torch.Tensor]
    labels: torch.Tensor
    teacher: torch.Tensor
    words: torch.Tensor | None = None


def student_loss(student, batch: Batch, *, teacher: Classifier, recipe: Recipe) -> tuple[torch.Tensor, object]:
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
        real = batch.inputs["attention_mask"].bool()
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
    words = of_tokens.new_zeros(len(of_tokens), int(batch.words.max()) + 2)
    words = words.scatter_add(1, batch.words + 1, of_tokens)[:, 1:]  # column 0 collects what is no word
    return words if create_graph else words.detach()


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
    order = (~kept).byte().argsort(dim=1, stable=True)[:, : int(kept.sum(dim=1).max())]
    mask = kept.gather(1, order)
    fill = {"input_ids": padding, "token_type_ids": 0}
    moved = {name: inputs[name].gather(1, order).masked_fill(~mask, fill[name]) for name in fill.keys() & inputs.keys()}
    return moved | {"attention_mask": mask.long()}


def hidden_loss(student: list[torch.Tensor], teacher: list[torch.Tensor], real: torch.Tensor) -> torch.Tensor:
    """Return the mean cosine distance of hidden states, (n, tokens, hidden) a layer.

    real: (n, tokens), False at padding. Each of the student's layers is compared with the teacher's at the same share
    of the depth.
    Source: the cosine loss of Sanh et al. (2019), section 3, here over all layers of the student.
    """
    depth, distances = len(teacher) / len(student), []
    for number, states in enumerate(student, start=1):
        target = teacher[max(round(number * depth), 1) - 1].detach()
        distances.append((1 - cosine_similarity(states, target, dim=-1))[real].mean())
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


def check_teacher(student, tokenizer, labels: tuple[str, ...], *, teacher: Classifier, recipe: Recipe) -> None:
    """Raise ModelError where a teacher cannot teach a student what the recipe asks for."""
    if tuple(labels) != teacher.labels:
        raise ModelError(
            f"the teacher knows the classes {', '.join(teacher.labels)}, the student {', '.join(labels)}; "
            "teach with a model of the same task"
        )
    if not (needs_words(recipe) or recipe.hidden_weight):
        return
    if tokenizer.get_vocab() != teacher.tokenizer.get_vocab():
        raise ModelError(
            "teacher and student have different vocabularies, so that their tokens cannot be compared; "
            "set attribution_weight and hidden_weight to 0, or give the student the teacher's tokenizer"
        )
    sizes = [model.config.hidden_size for model in (teacher.model, student)]
    if recipe.hidden_weight and sizes[0] != sizes[1]:
        raise ModelError(
            f"hidden_weight: the teacher's hidden states have {sizes[0]} numbers, the student's {sizes[1]}; set it to 0"
        )
