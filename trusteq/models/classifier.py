"""Classifiers: texts in, class probabilities out, and how they are loaded."""

import contextlib
import functools
import importlib.util
import io
import json
import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file
from scipy.special import softmax
from transformers.initialization import no_init_weights

from trusteq import bounds, modality
from trusteq.errors import ModelError, TrusteqError, nearest, said, shortened
from trusteq.examples.load import quiet_hub
from trusteq.models.array_classifier import ArrayClassifier, load_processor
from trusteq.models.checkpoint import Checkpoint, chosen_device
from trusteq.models.compress import WAYS, check_claim, put_together, steps
from trusteq.models.forward import Rows, started
from trusteq.models.label_calibration import calibrated, reading, reads_words
from trusteq.models.label_words import SETTINGS, LabelWords, LabelWordsModel, is_causal, tokens_of
from trusteq.models.layers import saved_kind
from trusteq.models.probabilities import check_finite, check_output
from trusteq.models.template import Template, check_slots

# Weights that do not fit go into the report that `check_weights` reads, instead of into an error that names none.
# Checkpoints may be stored in half precision; we compute in single precision.
LOADING = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
LONGEST = 4096  # tokens of a text, for models that have no last place and a tokenizer without a limit
GGUF = ".gguf"  # llama.cpp's files, weights in few bits, tokenizer and all, which are read in single precision
TEMPLATE = "trusteq_template"  # the key of a checkpoint's config.json with the template that it was fine-tuned with
# Numbers of a config.json that say how often something is made.
_COUNTS = re.compile(r"(layer|block|group|expert|stage|label)s?$|^n_|^num_|depth")
_PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")
# What of a config.json the library takes for whatever it is.
_FITS = {
    "id2label": lambda found: isinstance(found, dict),
    "architectures": lambda found: isinstance(found, list) and all(isinstance(of, str) for of in found),
    "dtype": lambda found: isinstance(found, str),
    "problem_type": lambda found: found in _PROBLEMS,
    TEMPLATE: lambda found: isinstance(found, str),
    SETTINGS: lambda found: isinstance(found, dict),
}
_WEIGHTS = ("*.safetensors", "*.bin")
# What a model must say the same of, alone and together, up to rounding.
COMPANY, SAME = ("a man reads", "a man reads in the park, and a dog sleeps in the house", "the dog sleeps"), 1e-4


class ReadsTokens:
    """What classifiers of token ids share, whatever computes: how texts become tokens, and are cut to `max_length`.

    Each has `tokenizer`, `labels`, `max_length`, `template`, and `predict_rows`, from token ids to probabilities.
    """

    def predict_proba(self, text_a: Sequence[str], text_b: Sequence[str | None] | None = None) -> np.ndarray:
        """Return class probabilities, float64 of shape (n, C), rows summing to 1.

        text_b: the second texts of pairs; None, or all missing, for single texts. An empty second text is still a pair.
        """
        firsts = list(text_a)
        if not firsts:
            return np.empty((0, len(self.labels)))
        seconds = None if text_b is None or not any(isinstance(text, str) for text in text_b) else list(text_b)
        (probabilities,) = self.predict_rows([self.encode(firsts, seconds)])
        return probabilities

    def encode(self, firsts: list[str], seconds: list[str] | None) -> Rows:
        """Return the token ids of texts or pairs; raise ModelError for pairs whose boundary would be lost."""
        tokens = self.tokenizer(*self.given(firsts, seconds), truncation=True, max_length=self.max_length)
        for name in ("input_ids", "token_type_ids"):
            if name in tokens and not all(tokens[name]):
                tokens[name] = [row or self._start[name] for row in tokens[name]]
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        kept = np.arange(lengths.max()) < lengths[:, None]
        filled = {name: np.zeros(kept.shape, dtype=np.int64) for name in ("input_ids", "token_type_ids")}
        for name in filled.keys() & tokens.keys():
            filled[name][kept] = np.concatenate(tokens[name])
        return Rows(filled["input_ids"], lengths, filled["token_type_ids"] if "token_type_ids" in tokens else None)

    def given(
        self, firsts: list[str], seconds: list[str] | None, *, whole: bool = False
    ) -> tuple[list[str], list[str] | None]:
        """Return what the tokenizer is given: the texts as they are, or within the template, cut unless `whole`."""
        texts = (firsts,) if seconds is None else (firsts, seconds)
        if self.template is None or self.template.n_texts != len(texts):
            self.check_texts(pairs=seconds is not None)
            return firsts, seconds
        rows = zip(*texts, strict=True)
        if not whole:
            rows = (self.template.fitted(row, self.tokenizer, self.max_length) for row in rows)
        return [self.template.join(*row) for row in rows], None

    def check_texts(self, *, pairs: bool) -> None:
        """Raise ModelError for pairs where the tokenizer joins them by nothing, and there is no template."""
        if pairs and self.needs_template:
            raise ModelError(
                f"{type(self.tokenizer).__name__} puts nothing between the texts of a pair, so that where one ends is "
                "lost; give template='Premise: {text_a}\\nHypothesis: {text_b}', as it was trained, to load_classifier "
                "(--template) or, where it is trained, to the model in the experiment"
            )

    @property
    def needs_template(self) -> bool:
        """Whether it has no template for pairs, and its tokenizer puts nothing between the texts of a pair."""
        return (self.template is None or self.template.n_texts < 2) and self._loses_boundary

    def joined_by(self, template: str):
        """Return the same classifier with a template; raise ModelError for what is none."""
        return replace(self, template=Template.of(template))

    def n_cut(self, firsts: list[str], seconds: list[str] | None) -> int:
        """Return how many of the texts or pairs have more tokens than the model takes."""
        tokens = self.tokenizer(*self.given(firsts, seconds, whole=True), verbose=False)["input_ids"]
        return sum(len(ids) > self.max_length for ids in tokens)

    @functools.cached_property
    def _loses_boundary(self) -> bool:
        alone = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("a", "b")]
        if not all(alone):  # a vocabulary of words that has neither
            added = self.tokenizer.num_special_tokens_to_add
            return added(pair=True) <= added(pair=False)
        pair, texts = self.tokenizer("a", "b"), alone[0] + alone[1]
        ids, types = pair["input_ids"], pair.get("token_type_ids", ())
        beside = any(ids[at : at + len(texts)] == texts for at in range(len(ids)))
        return beside and len(set(types)) < 2

    @functools.cached_property
    def _start(self) -> dict[str, list[int]]:
        """What a model reads of a text that has no token: the token that starts, or ends, a text."""
        known = [self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, self.tokenizer.pad_token_id]
        usable = [token for token in known if token is not None]
        if not usable:
            raise ModelError("a text without any token, and the tokenizer has no bos_token to stand for it; set one")
        return {"input_ids": usable[:1], "token_type_ids": [0]}


@dataclass(frozen=True)
class Classifier(ReadsTokens, Checkpoint):
    """A sequence classifier with its tokenizer and class names.

    labels: class names, in the order of the columns of the probabilities.
    max_length: tokens of a text or pair; longer ones are cut, the longer side first.
    equal_lengths: whether only rows of equal length share a batch, since padding would change what the model says.
    template: what makes one text of a pair, for a tokenizer that puts nothing between the two, or asks for the class in
    words; None for all others.
    """

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase
    labels: tuple[str, ...]
    max_length: int
    equal_lengths: bool = False
    template: Template | None = None

    @property
    def reader(self) -> transformers.PreTrainedTokenizerBase:
        """The tokenizer."""
        return self.tokenizer

    def described(self) -> list:
        """Return all that decides what it says beside its weights, as JSON can hold it."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        words = {"vocabulary": self.tokenizer.get_vocab()} if backend is None else json.loads(backend.to_str())
        words |= {"truncation": None, "padding": None}  # as whoever asked last had it
        config, model, reader, labels, device = super().described()
        template = None if self.template is None else self.template.text
        # In the order that fingerprints always had: by them kept audits are known.
        own = [config, words, model, reader, self.tokenizer.special_tokens_map, labels, self.max_length]
        return [*own, self.equal_lengths, device, template]

    def joined_by(self, template: str) -> "Classifier":
        """Return the same classifier with a template, which its configuration keeps too."""
        joined = replace(self, template=Template.of(template, is_prompt=reads_words(self)))
        setattr(self.model.config, TEMPLATE, template)
        return joined if not reads_words(self) else by_words(joined, dict(zip(self.labels, self.words, strict=True)))

    @property
    def words(self) -> tuple[str, ...]:
        """The label words whose likelihood tells the classes, in their order; none of a classifier with a head."""
        return self.model.label_words.words if reads_words(self) else ()

    @property
    def padding(self) -> int | None:
        """The id that rows are padded with; None where only rows of equal length share a batch."""
        return None if self.equal_lengths else padding_id(self.model, self.tokenizer)

    def predict_proba(self, text_a: Sequence[str], text_b: Sequence[str | None] | None = None) -> np.ndarray:
        """Return class probabilities, float64 (n, C), as `ReadsTokens` does; raise DataError for an empty slot."""
        self.check_slots((list(text_a), [] if text_b is None else list(text_b)), "predict_proba")
        return super().predict_proba(text_a, text_b)

    def check_slots(self, texts: tuple, where: str) -> None:
        """Raise DataError, by row, where a slot of a prompt would be empty. texts: of each slot."""
        if reads_words(self):
            check_slots(texts, where)

    def check_texts(self, *, pairs: bool) -> None:
        """Raise ModelError where the boundary of pairs would be lost, or a prompt has a slot more or less."""
        if reads_words(self) and pairs != (self.template.n_texts == 2):
            kinds = ("pairs", "single texts") if pairs else ("single texts", "pairs")
            raise ModelError(
                f"the examples are {kinds[0]}, and template {self.template.text!r} is for {kinds[1]}; give one with "
                f"{'{text_a} and {text_b}' if pairs else '{text_a} alone'}"
            )
        super().check_texts(pairs=pairs)

    def predict_rows(self, rows: Sequence[Rows]) -> list[np.ndarray]:
        """Return the class probabilities of each block of token ids, float64 of shape (n, C).

        Raises ModelError for probabilities that are none.
        """
        return self.start_rows(rows)()

    def start_rows(self, rows: Sequence[Rows]) -> Callable[[], list[np.ndarray]]:
        """Return a function that waits for what `predict_rows` returns, on which a GPU works until then."""
        finished = started(self.model, rows, padding=self.padding)
        return lambda: [check_finite(softmax(block, axis=1)) for block in finished()]


def load_classifier(
    path_or_hub_id: str | Path,
    *,
    hub: str | Path | None = None,
    device: str = "auto",
    labels: Sequence[str] | None = None,
    template: str | None = None,
    words: Mapping[str, str] | None = None,
    calibration: str | None = None,
) -> Classifier | ArrayClassifier:
    """Load a fine-tuned classifier, of texts or of what else a checkpoint reads, from a folder, a mirror or the Hub.

    hub: a mirror (`DIR/models/<hub id>/`) read before the Hub; default: the environment's TRUSTEQ_HUB.
    device: "auto" takes CUDA when there is one.
    labels: class names in index order, for a checkpoint that has none (LABEL_0); of one that has names, the same ones,
    which stay in its order.
    template: what makes one text of a pair for a tokenizer that puts nothing between the two (Llama, GPT-2), such as
    "Premise: {text_a}\\nHypothesis: {text_b}"; its own words are never features. Default: the one that a checkpoint was
    fine-tuned with here.
    words: of a language model, what it would say of each class after the template, such as {"negative": " negative",
    "positive": " positive"} after "Review: {text_a}\\nSentiment:"; their likelihoods tell the class. calibration: of
    these, "contextual" or "none"; see `label_calibration.calibrated`.

    Raises ModelError: nothing there, weights missing or left over, class names missing, a Hub that cannot be reached, a
    head that is no classifier, probabilities that depend on the texts beside a text.
    """
    source, joined = locate(path_or_hub_id, hub), None if template is None else Template.of(template)
    with loading(path_or_hub_id):
        config = read_config(path_or_hub_id, source)
        asks, kind = words is not None and saved_kind(config) is not LabelWordsModel, modality.of_config(config)
        if kind is not None and (template, words) != (None, None):
            raise ModelError(f"model {path_or_hub_id}: it reads {kind.name}; a template, and words, are for texts")
        load_reader = load_tokenizer if kind is None else functools.partial(load_processor, kind=kind)
        with _hint_at_words(words is None and is_causal(config) and saved_kind(config) is not LabelWordsModel):
            names = names_of(path_or_hub_id, config, labels, words)
            tokenizer = load_reader(path_or_hub_id, source)
            model, report = _model(path_or_hub_id, source, config, transformers.AutoModelForCausalLM if asks else None)
            check_weights(path_or_hub_id, report)
        check_claim(path_or_hub_id, model)
        if kind is not None:
            return ArrayClassifier.of(path_or_hub_id, model, tokenizer, names, kind, device=device)
        _check_ids(path_or_hub_id, model, tokenizer)
        if joined is not None:
            setattr(model.config, TEMPLATE, joined.text)
        if words is not None:
            model = asking(model, tokenizer, {label: words[label] for label in names})
        found = in_any_company(path_or_hub_id, as_classifier(model, tokenizer, names, device=device))
        return found if calibration is None else calibrated(found, calibration)


@contextlib.contextmanager
def _hint_at_words(is_language_model: bool) -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        if not is_language_model:
            raise
        hint = "; it is a language model: to classify by what it would say, give words and a template"
        raise ModelError(f"{error}{hint} (--words, --template)") from error.__cause__


def names_of(
    name: str | Path, config: transformers.PretrainedConfig, labels: Sequence[str] | None, words: Mapping | None
) -> tuple[str, ...]:
    """Return the class names of a checkpoint: its own, or those given with words, in the order of `labels`."""
    if words is None:
        return class_names(name, config, labels)
    if not is_causal(config):
        kind = (config.architectures or ["unknown"])[0]
        raise ModelError(
            f"model {name}: words are for a language model, and this is {kind}, with a head; leave them out"
        )
    if saved_kind(config) is LabelWordsModel:
        labels = class_names(name, config, labels)
    return checked_classes(words, labels)


def checked_classes(words: Mapping[str, str], labels: Sequence[str] | None) -> tuple[str, ...]:
    """Return the classes that have words, in the order of `labels`, if given; raise ModelError for other classes."""
    names = tuple(words) if labels is None else tuple(map(str, labels))
    if strange := [label for label in words if label not in names]:
        raise ModelError(f"words: there is no class {strange[0]!r}; {nearest(strange[0], names)}")
    if missing := [label for label in names if label not in words]:
        raise ModelError(f"words: class {missing[0]!r} has no word; give each class one, such as ' {missing[0]}'")
    if len(names) < 2:
        raise ModelError("words: give two classes or more, as 'negative= negative,positive= positive'")
    return names


def asking(model: transformers.PreTrainedModel, tokenizer, words: Mapping[str, str]) -> LabelWordsModel:
    """Return a model that tells classes by words after the template of its configuration.

    model: a language model, or one that tells them by other words. Raises ModelError where there is no template, and as
    `tokens_of` does.
    """
    if (text := getattr(model.config, TEMPLATE, None)) is None:
        raise ModelError("words need a template that asks for them, such as 'Review: {text_a}\\nSentiment:'; give one")
    known = LabelWords(words=tuple(words.values()), tokens=tokens_of(words, tokenizer, Template.of(text)))
    model.config.id2label = dict(enumerate(words))
    model.config.label2id = {label: index for index, label in enumerate(words)}
    if model.config.get_text_config().pad_token_id is None:  # any token will do: what is read is told by lengths
        usable = [token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id) if token is not None]
        model.config.get_text_config().pad_token_id = (usable or [0])[0]
    tokenizer.padding_side = "right"
    return LabelWordsModel.around(model.decoder if isinstance(model, LabelWordsModel) else model, known)


def by_words(classifier: Classifier, words: Mapping[str, str]) -> Classifier:
    """Return a classifier by label words with these words after its template, not calibrated."""
    tokens = tokens_of(words, classifier.tokenizer, classifier.template)
    changes = {"words": tuple(words.values()), "tokens": tokens, "by": classifier.model.label_words.by}
    return reading(classifier, **changes, calibration="none", log_prior=None, estimated_on=0)


def read_config(name: str | Path, source: str, **names) -> transformers.PretrainedConfig:
    """Return the configuration at `source`; raise ModelError for numbers that would fill memory before any weight.

    names: what to put into it. Code that a checkpoint brings is never run, nor asked about.
    """
    source, file = read_from(source)
    settings, _ = transformers.PretrainedConfig.get_config_dict(source, **file)
    if not isinstance(settings, dict):
        raise ModelError(f"model {name}: config.json is {type(settings).__name__}, not an object; save it again")
    _check_counts(name, settings)
    for key, fits in _FITS.items():
        if settings.get(key) is not None and not fits(settings[key]):
            raise ModelError(
                f"model {name}: {key} of config.json is {settings[key]!r:.60}; save it with save_pretrained"
            )
    bounds.check(len(settings.get("id2label") or ()), bounds.MOST_CLASSES, "classes", f"model {name}", ModelError)
    return transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **file, **names)


def _check_counts(name: str | Path, settings: Mapping) -> None:
    for key, value in settings.items():
        if isinstance(value, dict) and key not in ("id2label", "label2id"):
            _check_counts(name, value)
        elif isinstance(value, int) and _COUNTS.search(key) and not key.endswith(("_size", "_id", "_positions")):
            bounds.check(value, bounds.MOST_LAYERS, key, f"model {name}: config.json", ModelError)


def check_size(name: str | Path, source: str, config: transformers.PretrainedConfig, kind: type) -> None:
    """Raise ModelError where a config describes more weights than its files can hold: 4 bits each, in a GGUF 1 bit."""
    files = [Path(source)] if source.endswith(GGUF) else [of for kind in _WEIGHTS for of in Path(source).glob(kind)]
    n_bytes = sum(file.stat().st_size for file in files) * (4 if source.endswith(GGUF) else 1)
    if not n_bytes:
        return  # none, or of the Hub
    with torch.device("meta"), no_init_weights(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a layer of no rows is said where it does not fit
        model = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
    if empty := [of for of, values in model.named_parameters() if not values.numel()]:
        raise ModelError(
            f"model {name}: config.json describes {empty[0]} without any weight; save it with save_pretrained"
        )
    described = sum(of.numel() for of in model.parameters())
    if described > 2 * n_bytes + 2**20:
        raise ModelError(
            f"model {name}: config.json describes {described:,} weights, and its files have {n_bytes:,} bytes; "
            "the checkpoint does not fit its config.json: save it again with save_pretrained"
        )


def _check_ids(name: str | Path, model: transformers.PreTrainedModel, tokenizer) -> None:
    """Raise ModelError where the tokenizer has words beyond the embedding; added tokens are not always used."""
    rows, added = len(model.get_input_embeddings().weight), tokenizer.get_added_vocab()
    beyond = [word for word, index in tokenizer.get_vocab().items() if not 0 <= index < rows and word not in added]
    if beyond:
        raise ModelError(
            f"model {name}: its tokenizer has {len(beyond):,} words, such as {beyond[0]!r:.40}, beyond the {rows:,} "
            "that the model knows; save model and tokenizer together"
        )
    least = tokenizer.num_special_tokens_to_add(pair=True) + 2
    if tokenizer.model_max_length < least:
        raise ModelError(f"model {name}: its tokenizer has model_max_length {tokenizer.model_max_length}; give {least}")


def _model(name: str | Path, source: str, config: transformers.PretrainedConfig, kind: type | None = None) -> tuple:
    """Return the model of a checkpoint, by default of the class that wrote it, and the report for `check_weights`."""
    kind, ways = kind or saved_kind(config), [step["way"] for step in steps(config)]
    for way in ways:
        if way not in WAYS:
            raise ModelError(f"model {name}: config.json names a way to compress {way!r}; {nearest(way, WAYS)}")
    check_size(name, source, config, kind)
    if all(WAYS[way].ordinary for way in ways):
        return weights_at(source, config, kind)
    # Random weights would only be replaced, and until then they fill the memory that compressing saves.
    with no_init_weights():
        model = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
    file = transformers.utils.cached_file(source, transformers.utils.SAFE_WEIGHTS_NAME)
    return model, put_together(model.eval(), load_file(file))


def load_config(hub_id: str, *, hub: str | Path | None = None) -> transformers.PretrainedConfig:
    """Return the configuration of a model of the Hub or its mirror; raise ModelError if it cannot be had."""
    with loading(hub_id):
        return read_config(hub_id, locate(hub_id, hub))


def as_classifier(model, tokenizer, labels: Sequence[str], *, device: "str | torch.device" = "auto") -> Classifier:
    """Return a model ready to predict, on its device, by its own template; one without a padding token is given one."""
    device = chosen_device(device)
    give_padding(model, tokenizer)
    limit = min(tokenizer.model_max_length, positions(model) - getattr(model, "n_after", 0))
    text = getattr(model.config, TEMPLATE, None)
    joined = None if text is None else Template.of(text, is_prompt=isinstance(model, LabelWordsModel))
    return Classifier(model.to(device).eval(), tokenizer, tuple(labels), int(limit), template=joined)


def positions(model: transformers.PreTrainedModel) -> int:
    """Return how many tokens a model has places for; LONGEST for one that needs none (T5) or says no number (XLNet).

    RoBERTa and its kin count places from the padding token's id on, so that as many of their positions are never used.
    """
    places = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if places is None or places <= 0:
        return LONGEST
    tables = (part for name, part in model.named_modules() if name.endswith("position_embeddings"))
    for table in tables:
        if getattr(table, "padding_idx", None) is not None:
            return min(places, len(table.weight) - table.padding_idx - 1)
    return places


def padding_id(model: transformers.PreTrainedModel, tokenizer) -> int | None:
    """Return the id that rows are padded with: the one that the head takes for padding; None where it has no embedding.

    A decoder's head reads the last token that is not its `pad_token_id`, whatever the tokenizer pads with.
    """
    own = model.config.get_text_config().pad_token_id
    padding = (tokenizer.pad_token_id or 0) if own is None else own
    return padding if 0 <= padding < len(model.get_input_embeddings().weight) else None


def give_padding(model: transformers.PreTrainedModel, tokenizer) -> None:
    """Let a head without a padding token know the one that is used, so that it reads the last token of each row.

    Not one that may end a text, which the head would pass over; -1, which no token is, where there is no other: rows
    are then not padded at all.
    """
    config = model.config.get_text_config()
    if config.pad_token_id is not None:
        return
    ends = {*tokenizer("a")["input_ids"][-1:], tokenizer.unk_token_id}
    known = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    n_known = len(model.get_input_embeddings().weight)
    usable = [token for token in known if token is not None and token not in ends and token < n_known]
    config.pad_token_id = usable[0] if usable else -1


def in_any_company(name: str | Path, classifier: Classifier) -> Classifier:
    """Return a classifier that says the same of a text whatever stands beside it, without padding where that is why.

    Raises ModelError where even rows of equal length change each other, or for a model that has no logits, (n, C).
    """
    tolerance = max(SAME, 10 * torch.finfo(classifier.model.dtype).eps)
    try:
        for equal_lengths in (classifier.equal_lengths, True):
            found = replace(classifier, equal_lengths=equal_lengths)
            pairs = reads_words(found) and found.template.n_texts == 2
            blocks = [found.encode([text], [text] if pairs else None) for text in COMPANY]
            alone = np.concatenate([found.predict_rows([block])[0] for block in blocks])
            check_output(alone, len(COMPANY), classifier.labels)
            if np.abs(np.concatenate(found.predict_rows(blocks)) - alone).max() <= tolerance:
                return found
    except (AttributeError, ValueError, IndexError, TypeError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise ModelError(f"model {name}: cannot classify a text of three words ({why})") from None
    except ModelError as error:
        raise ModelError(f"model {name}: {error}") from None
    raise ModelError(
        f"model {name}: what it says of a text depends on the texts in its batch; use a form without batch statistics"
    )


def locate(path_or_hub_id: str | Path, hub: str | Path | None = None) -> str:
    """Return what is read: a folder, the mirror's folder of a Hub id, the Hub id, or a file of GGUF (`read_from`)."""
    if str(path_or_hub_id).endswith(GGUF):
        return _gguf_file(str(path_or_hub_id))
    if Path(path_or_hub_id).is_dir():
        return str(path_or_hub_id)
    mirror = hub or os.environ.get("TRUSTEQ_HUB")
    if mirror and Path(mirror, "models", path_or_hub_id).is_dir():
        return str(Path(mirror, "models", path_or_hub_id))
    if str(path_or_hub_id).count("/") > 1 or str(path_or_hub_id).startswith((".", "/")):
        raise ModelError(f"{path_or_hub_id}: no such folder; give a checkpoint's folder or a Hub id")
    return str(path_or_hub_id)


def _gguf_file(name: str) -> str:
    """Return the path of a file of GGUF, given as one or as `package/file.gguf`, inside a package that is installed.

    The package is looked for, never imported. Raises ModelError where it, or what reads such files, is not installed.
    """
    package, _, inside = name.partition("/")
    found = importlib.util.find_spec(package) if package.isidentifier() and inside else None
    folders = () if found is None else found.submodule_search_locations or ()
    there = [file for file in (Path(name), *[Path(of, inside) for of in folders]) if file.is_file()]
    if not there or importlib.util.find_spec("gguf") is None:
        missing = "no such file, nor one in an installed package" if not there else "the package gguf reads such files"
        raise ModelError(f"model {name:.300}: {missing}; pip install 'trusteq[smollm2]', or give the path of a file")
    return str(there[0].absolute())


def read_from(source: str) -> tuple[str, dict[str, str]]:
    """Return what the library's `from_pretrained` takes for what `locate` found: where, and which file of GGUF."""
    file = Path(source)
    return (str(file.parent), {"gguf_file": file.name}) if source.endswith(GGUF) else (source, {})


def weights_at(source: str, config: transformers.PretrainedConfig, kind: type) -> tuple:
    """Return the model at a source, in single precision whatever it is stored in, and the report on its weights."""
    where, file = read_from(source)
    if not file:
        return kind.from_pretrained(where, config=config, trust_remote_code=False, **LOADING)
    vars(config).pop("_model_name_or_path", None)  # what the file calls itself
    whole = transformers.GgufConfig(dequantize=True)  # on a GPU, the library may leave weights in 4 bits otherwise
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no setting of the library turns off
        model, report = kind.from_pretrained(
            where, config=config, quantization_config=whole, trust_remote_code=False, **file, **LOADING
        )
    model.config.name_or_path = file["gguf_file"]  # of a path, the name alone
    return model, report


@contextlib.contextmanager
def loading(name: str | Path) -> Iterator[None]:
    """Turn the library's errors on loading `name` into one ModelError; its reports and progress bars are not shown."""
    verbosity, bar = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with quiet_hub():
            yield
    except TrusteqError:
        raise
    except BaseException as error:  # the library promises nothing: a panic of its tokenizers is not even an Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"model {name}: {_why_not_loaded(name, error)}") from error
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bar:
            transformers.logging.enable_progress_bar()


def _why_not_loaded(name: str | Path, error: BaseException) -> str:
    if isinstance(error.__cause__, LocalEntryNotFoundError):
        return f"the Hub cannot be reached; name a mirror that holds models/{name} with --hub DIR"
    text = str(error).strip().split("\n")[0]
    if str(name).endswith(GGUF):
        return f"no whole GGUF file of a family that the library reads; download it again ({shortened(text, 150)})"
    if "weights_only" in text or isinstance(error, pickle.UnpicklingError):  # the library would have us run it
        return "its weights are a pickle that holds more than tensors, which is not read; save them as safetensors"
    return shortened(text, 300) if isinstance(error, (OSError, ValueError)) and text else said(error)


def load_tokenizer(name: str | Path, source: str) -> transformers.PreTrainedTokenizerBase:
    """Return the tokenizer at `source`; raise ModelError if there is none, or none that the packages here can read."""
    try:
        source, file = read_from(source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False, **file)
    except (ImportError, ValueError) as error:
        if not isinstance(error.__context__ or error, ImportError):
            raise
        hint = "its vocabulary is a SentencePiece model; `pip install sentencepiece protobuf` to read it"
        raise ModelError(f"model {name}: {hint}") from None  # the library names another package, of no use here
    # Without its files the library makes one that knows special tokens alone, and every word is unknown.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ModelError(f"model {name}: no tokenizer; save it beside the weights with save_pretrained")
    return tokenizer


def check_weights(
    name: str | Path, report: dict, *, is_new: Callable = lambda key: False, is_unused: Callable = lambda key: False
) -> None:
    """Raise ModelError if a checkpoint lacked weights or had weights that were not used.

    report: what `from_pretrained(..., output_loading_info=True)` returned beside the model.
    is_new, is_unused: whether a key may be missing, or left over; by default none may.
    """
    for what, keys, is_fine in (
        ("missing", report["missing_keys"], is_new),
        ("left over", report["unexpected_keys"], is_unused),
        ("of another shape", [key[0] for key in report.get("mismatched_keys", ())], lambda key: False),
    ):
        wrong = sorted(key for key in keys if not is_fine(key))
        if wrong:
            raise ModelError(
                f"model {name}: {len(wrong)} weights {what}, first {wrong[0]!r}; "
                "the checkpoint does not fit its config.json: save it again with save_pretrained"
            )


def class_names(
    name: str | Path, config: transformers.PretrainedConfig, given: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the class names of a checkpoint in index order: its own, or those given where it has none.

    Raises ModelError for a head that is not of one class among two or more, and where there are no names or others.
    """
    if config.num_labels < 2 or config.problem_type in ("regression", "multi_label_classification"):
        kind = "one output" if config.num_labels < 2 else config.problem_type.replace("_", "-")
        raise ModelError(f"model {name}: its head has {kind}; a classifier chooses one of two classes or more")
    found = [config.id2label.get(index) for index in range(config.num_labels)]
    own = tuple(None if of is None else str(of) for of in found)
    nameless = None in own or any(label == f"LABEL_{index}" for index, label in enumerate(own))
    if given is None and nameless:
        raise ModelError(
            f"model {name}: no class names; put them into id2label of its config.json, as {json.dumps({0: '...'})}, "
            "or give labels"
        )
    if given is None and len(set(own)) < len(own):
        raise ModelError(
            f"model {name}: two of its classes have one name ({', '.join(own)}); rename them in config.json"
        )
    if given is None:
        return own
    labels = tuple(map(str, [given] if isinstance(given, (str, Mapping)) else given))
    if len(labels) != len(own) or len(set(labels)) < len(labels):
        raise ModelError(f"model {name}: {len(own)} classes, and labels {', '.join(labels)}; give one name a class")
    if nameless:
        return labels
    by_name = {label.casefold(): label for label in labels}
    if {label.casefold() for label in own} != by_name.keys() or len(by_name) < len(own):
        raise ModelError(
            f"model {name}: its classes are {', '.join(own)}, not {', '.join(labels)}; leave labels out, or "
            "rename them in its config.json"
        )
    return tuple(by_name[label.casefold()] for label in own)
