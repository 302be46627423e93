"""What label words are worth before a text is read, taken off; and how much of a decoder's probability is on them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from transformers.modeling_outputs import SequenceClassifierOutput

from trusteq.errors import ModelError
from trusteq.models.forward import Rows, logits
from trusteq.models.label_words import SETTINGS, LabelWords, LabelWordsModel
from trusteq.statistics import stream_seed

Classifier = TypeVar("Classifier")  # that of `models.classifier`, which imports this module
CALIBRATIONS = ("none", "contextual", "batch")
CONTENT_FREE = ("N/A", "[MASK]", "")  # Zhao et al. (2021), section 5


def calibrated(classifier: "Classifier", name: str, texts: tuple | None = None) -> "Classifier":
    """Return a classifier by label words whose probabilities are divided by those it has before it reads a text.

    name: "contextual" divides by the mean of its probabilities for content-free texts (Zhao et al., 2021, section 5),
    "batch" by the mean of those for unlabelled ones (Zhou et al., 2024, section 3), "none" by nothing. texts: first and
    second ones, for "batch"; None for those in a classifier that reads single texts.

    Raises ModelError for another name, for "batch" without texts, and for a classifier with a head.
    """
    if name not in CALIBRATIONS:
        raise ModelError(f"unknown calibration {name!r}; known: {', '.join(CALIBRATIONS)}")
    if not reads_words(classifier):
        raise ModelError(f"calibration {name!r} is for classification by label words; give words, or leave it out")
    plain = reading(classifier, calibration="none", log_prior=None, estimated_on=0)
    if name == "none":
        return plain
    if name == "batch" and not (texts and len(texts[0])):
        raise ModelError("calibration 'batch' needs a batch of texts, as an audit or a run has; use 'contextual'")
    blocks = [plain.encode(*texts)] if name == "batch" else _content_free(plain)
    probabilities = np.concatenate(plain.predict_rows(blocks))
    prior = np.log(probabilities.mean(axis=0).clip(1e-12)).tolist()
    return reading(plain, calibration=name, log_prior=tuple(prior), estimated_on=len(probabilities))


def _content_free(classifier: "Classifier") -> list[Rows]:
    is_pair = classifier.template.n_texts == 2
    return [classifier.encode([text], [text] if is_pair else None) for text in CONTENT_FREE]


def other_words(classifier: "Classifier", *, seed: int) -> "Classifier":
    """Return a control that reads as many tokens, drawn from the vocabulary in a random stream of `seed`, for words.

    No two words share a token. Where the classifier is calibrated, the control is so by content-free texts, which ask
    for no others.
    """
    known, tokenizer = classifier.model.label_words, classifier.tokenizer
    last = len(classifier.model.get_input_embeddings().weight)
    usable = sorted(at for at in set(tokenizer.get_vocab().values()) - set(tokenizer.all_special_ids) if at < last)
    drawn = np.random.default_rng(stream_seed(seed, "random-head")).choice(usable, sum(known.lengths), replace=False)
    ends = np.cumsum(known.lengths)
    tokens = tuple(tuple(part.tolist()) for part in np.split(drawn, ends[:-1]))
    words = tuple(tokenizer.decode(of) for of in tokens)
    twin = reading(classifier, tokens=tokens, words=words, calibration="none", log_prior=None, estimated_on=0)
    return twin if known.calibration == "none" else calibrated(twin, "contextual")


def reads_words(classifier) -> bool:
    """Return whether a classifier tells classes by the likelihood of label words."""
    return isinstance(getattr(classifier, "model", None), LabelWordsModel)


def reading(classifier: "Classifier", **changes) -> "Classifier":
    """Return a classifier by label words with other settings (`LabelWords`) over the same weights."""
    model = copy.copy(classifier.model)
    model.config = copy.copy(model.config)
    known = model.label_words.model_copy(update=changes)
    setattr(model.config, SETTINGS, known.model_dump(mode="json"))
    model.label_words = LabelWords.of(model.config)
    return replace(classifier, model=model)


@dataclass(frozen=True)
class _Likelihoods:
    """A model whose logits are the log-likelihoods themselves."""

    model: LabelWordsModel

    def __getattr__(self, name: str):
        return getattr(self.model, name)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=self.model.log_likelihoods(input_ids, attention_mask))

    __call__ = forward


def log_likelihoods(classifier: "Classifier", text_a: Sequence[str], text_b: Sequence[str] | None = None) -> np.ndarray:
    """Return the summed log-likelihood of each class's word, float64 (n, C), in nats, before any calibration."""
    rows = classifier.encode(list(text_a), None if text_b is None else list(text_b))
    (found,) = logits(_Likelihoods(classifier.model), [rows], padding=classifier.padding)
    return found


def label_share(classifier: "Classifier", text_a: Sequence[str], text_b: Sequence[str] | None = None) -> np.ndarray:
    """Return how much of the probability of what comes next is on the label words, (n,), 0 to 1.

    The rest is left out when the classes' probabilities are made to sum to 1, whatever they are calibrated by.
    """
    return np.exp(log_likelihoods(classifier, text_a, text_b)).sum(axis=1)


def settings_of(classifier) -> dict:
    """Return what is kept with a result by label words, under one key; nothing of another classifier."""
    known = classifier.model.label_words.model_dump(mode="json") if reads_words(classifier) else {}
    return {"label_words": known} if known else {}


def facts(classifier: "Classifier", text_a: Sequence[str], text_b: Sequence[str] | None = None, gold=None) -> dict:
    """Return what a result by label words says of them: words, by, calibration and its texts, and the shares.

    gold: class indices, (n,): where words have several lengths, the uncalibrated accuracy by sum and by mean is told.
    """
    known, found = classifier.model.label_words, log_likelihoods(classifier, text_a, text_b)
    share, said = np.exp(found).sum(axis=1), known.model_dump(include={"by", "calibration", "estimated_on"})
    words = dict(zip(classifier.labels, known.words, strict=True))
    made = {"words": words} | said | {"label_share": float(share.mean()), "least_label_share": float(share.min())}
    if gold is not None and len(set(known.lengths)) > 1:
        by = {"sum": found, "mean": found / np.array(known.lengths)}
        made |= {f"accuracy_by_{name}": float((of.argmax(axis=1) == gold).mean()) for name, of in by.items()}
    return made


def notes(made: dict) -> list[str]:
    """Return what is to be said of a result by label words, from its `facts`."""
    words = ", ".join(f"{label} by {word!r}" for label, word in made["words"].items())
    texts = {"none": "", "contextual": " content-free texts", "batch": " texts without their labels"}
    estimated = f", estimated on {made['estimated_on']}{texts[made['calibration']]}" if made["estimated_on"] else ""
    found = [
        f"tells {words}, by the {made['by']} of the log-likelihoods of the tokens; calibration: "
        f"{made['calibration']}{estimated}.",
        f"on average {made['label_share']:.2g} of the probability is on the label words (least "
        f"{made['least_label_share']:.2g}); the rest is left out, which makes confidence look higher.",
    ]
    if "accuracy_by_sum" in made:
        sums = " and ".join(f"by {of} {made[f'accuracy_by_{of}']:.3f}" for of in ("sum", "mean"))
        found.append(f"its words have several lengths: the accuracy, not calibrated, is {sums} of the tokens.")
    return found
