"""Classifiers made: built under a new head, or from random weights, and copied compressed."""

import copy
import functools
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import transformers

from trusteq import modality
from trusteq.errors import ModelError
from trusteq.examples.synthetic import vocabulary
from trusteq.modality import Modality
from trusteq.models.array_classifier import ArrayClassifier, load_processor
from trusteq.models.classifier import (
    GGUF,
    TEMPLATE,
    Classifier,
    as_classifier,
    asking,
    check_size,
    check_weights,
    checked_classes,
    give_padding,
    in_any_company,
    load_classifier,
    load_tokenizer,
    loading,
    locate,
    names_of,
    padding_id,
    positions,
    read_config,
    weights_at,
)
from trusteq.models.compress import WAYS, apply, check_options, keep_config, settled, steps
from trusteq.models.label_calibration import other_words, reading, reads_words
from trusteq.models.layers import HEADS
from trusteq.models.recipe import Recipe
from trusteq.models.template import Template
from trusteq.registry import Compression, ModelSpec
from trusteq.statistics import stream_seed

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def build(spec: ModelSpec, *, labels: Sequence[str], recipe: Recipe):
    """Return (model, tokenizer) before fine-tuning: pretrained or random encoder, new random head, one padding token.

    Raises ModelError where pretrained weights are missing or left over but for a head's.
    """
    names = _class_settings(labels)
    model, tokenizer = _pretrained(spec, recipe.head, names) if spec.hub else _from_scratch(spec, recipe.head, names)
    if spec.template is not None:
        setattr(model.config, TEMPLATE, Template.of(spec.template).text)
    if spec.words is not None:
        model = asking(model, tokenizer, {label: spec.words[label] for label in checked_classes(spec.words, labels)})
    tokenizer.model_max_length = min(recipe.max_length, positions(model) - getattr(model, "n_after", 0))
    _agree_on_padding(model, tokenizer)
    return model, tokenizer


def untuned(
    spec: ModelSpec, examples: pd.DataFrame, *, labels: Sequence[str], recipe: Recipe
) -> Classifier | ArrayClassifier:
    """Return a model before fine-tuning as a classifier of such examples; raise ModelError where it takes none."""
    if (kind := modality.of(examples)) is not None:
        return untuned_of_arrays(spec, examples.iloc[0], labels=labels, kind=kind)
    model, tokenizer = build(spec, labels=labels, recipe=recipe)
    student = as_classifier(model, tokenizer, labels, device=model.device)
    student.check_texts(pairs=examples["text_b"].notna().any())
    return student


def untuned_of_arrays(spec: ModelSpec, example: pd.Series, *, labels: Sequence[str], kind: Modality) -> ArrayClassifier:
    """Return a model of arrays such as an example's before fine-tuning; raise ModelError as `build` does."""
    if spec.scratch:
        facts = {name: np.asarray(example[name]).item() for name in kind.facts}
        config, processor = kind.scratch(spec.scratch, _class_settings(labels), example[kind.name], **facts)
        model = getattr(transformers, kind.auto_model).from_config(config)
    else:
        source = locate(spec.hub)
        with loading(spec.hub):
            config = read_config(spec.hub, source, **_class_settings(labels))
            if spec.layers is not None:
                keep_config(config, range(spec.layers))
            processor = load_processor(spec.hub, source, kind=kind)
            model, report = weights_at(source, config, getattr(transformers, kind.auto_model))
        _check_pretrained(spec, model, report)
    return ArrayClassifier.of(spec.name, model, processor, labels, kind, device=model.device)


def ready(name: str, classifier: Classifier | ArrayClassifier) -> Classifier | ArrayClassifier:
    """Return a classifier that has been trained, set to predict; see `in_any_company`."""
    classifier.model.eval()
    return in_any_company(name, classifier) if isinstance(classifier, Classifier) else classifier


def _class_settings(labels: Sequence[str]) -> dict:
    """Return what a configuration says of the classes."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _check_pretrained(spec: ModelSpec, model: transformers.PreTrainedModel, report: dict) -> None:
    """Raise ModelError where pretrained weights are missing or left over but for a head's, and for layers cut."""
    is_head = functools.partial(_is_head, model) if spec.words is None else lambda key: False
    check_weights(spec.hub, report, is_new=is_head, is_unused=lambda key: is_head(key) or _is_cut(spec, model, key))


def _agree_on_padding(model: transformers.PreTrainedModel, tokenizer) -> None:
    """Let the rows of a training be padded with what the head takes for padding, a new token where none may be it."""
    give_padding(model, tokenizer)
    padding = padding_id(model, tokenizer)
    if padding is None:
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
        padding = model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
        rows = max(len(model.get_input_embeddings().weight), len(tokenizer))
        model.resize_token_embeddings(rows, mean_resizing=False)
    if tokenizer.pad_token_id != padding:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)


def _pretrained(spec: ModelSpec, head: str, names: dict):
    source = locate(spec.hub)
    with loading(spec.hub):
        config = read_config(spec.hub, source, **names)
        if spec.layers is not None:
            keep_config(config, range(spec.layers))
        tokenizer = load_tokenizer(spec.hub, source)
        kind = transformers.AutoModel if head in HEADS else transformers.AutoModelForSequenceClassification
        _check_encoder(spec.hub, config, head)
        if spec.words is not None:
            kind = transformers.AutoModelForCausalLM
            names_of(spec.hub, config, None, spec.words)
        if source.endswith(GGUF):
            check_size(spec.hub, source, config, kind)
        model, report = weights_at(source, config, kind)
    _check_pretrained(spec, model, report)
    if head in HEADS:
        encoder, model = model, HEADS[head](config)
        model.encoder.load_state_dict(encoder.state_dict())
    return model, tokenizer


def _check_encoder(name: str, config: transformers.PretrainedConfig, head: str) -> None:
    """Raise ModelError for a decoder, whose first token has read no other, and for an encoder with a decoder."""
    is_encoder = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING and not config.is_encoder_decoder
    if head in HEADS and not is_encoder:
        raise ModelError(f"model {name}: head {head!r} is for encoders such as BERT; set head to standard")


def _inner(model: transformers.PreTrainedModel, key: str) -> str | None:
    """Return the name that a checkpoint's tensor has inside the base model, None of one that stands outside."""
    inner = key.removeprefix(f"{model.base_model_prefix}.")
    own = {name.partition(".")[0] for name in model.base_model.state_dict()}
    return inner if inner != key or inner.partition(".")[0] in own else None


def _is_head(model: transformers.PreTrainedModel, key: str) -> bool:
    """Return whether a tensor belongs to a head: outside the base model, or in what pools its last states."""
    return (inner := _inner(model, key)) is None or inner.startswith("pooler.")


def _is_cut(spec: ModelSpec, model: transformers.PreTrainedModel, key: str) -> bool:
    """Return whether a tensor belongs to a layer beyond the first ones that are kept."""
    found = re.match(r"(.*?\.)(\d+)\.", _inner(model, key) or "")
    if spec.layers is None or found is None or int(found[2]) < spec.layers:
        return False
    return any(name.startswith(f"{found[1]}0.") for name in model.base_model.state_dict())


def _from_scratch(spec: ModelSpec, head: str, names: dict):
    if spec.tokenizer is None:
        tokenizer = _word_tokenizer()
    else:
        with loading(spec.tokenizer):
            tokenizer = load_tokenizer(spec.tokenizer, locate(spec.tokenizer))
    config = transformers.BertConfig(vocab_size=len(tokenizer), **spec.scratch.model_dump(), **names)
    return HEADS.get(head, transformers.BertForSequenceClassification)(config), tokenizer


def _word_tokenizer() -> transformers.BertTokenizer:
    """Return a tokenizer with one token for every word of the generated corpora."""
    # A vocabulary file is silently ignored by transformers 5: the mapping itself has to be passed.
    return transformers.BertTokenizer(vocab={token: index for index, token in enumerate(SPECIAL_TOKENS + vocabulary())})


def compress(classifier: Classifier, compression: Compression) -> Classifier:
    """Return a compressed copy of a fine-tuned classifier.

    Raises ModelError for a model that this way does not fit.
    """
    model = copy.deepcopy(classifier.model)
    before, options = steps(model.config), check_options(compression.way, compression.options)
    way = WAYS[compression.way]
    for step in before:
        if step["way"] in way.cannot_follow:
            raise ModelError(
                f"{compression.way} cannot follow {step['way']}, which leaves nothing whole for it to work on; "
                f"compress by {step['way']} once, and last"
            )
    apply(model, compression.way, options, whole=classifier.model)
    model.config.compression = [*before, {"way": compression.way, "options": options}]
    return replace(classifier, model=model if compression.recover else settled(model))


def random_head(classifier: Classifier, *, seed: int) -> Classifier:
    """Return a twin of a classifier that reads the same states by a head drawn anew: a control, which learned nothing.

    Of a classifier by label words, which has no head, other words are read (`label_calibration.other_words`). Else the
    head is every linear layer outside the encoder; what the encoder holds, BERT's pooler included, is kept. Weights
    are drawn as before fine-tuning, normal with the standard deviation that the configuration says and biases 0, in a
    random stream of `seed`. The classifier itself is left as it is.
    """
    if reads_words(classifier):
        return other_words(classifier, seed=seed)
    model = copy.deepcopy(classifier.model)
    generator = torch.Generator().manual_seed(stream_seed(seed, "random-head"))
    with torch.no_grad():
        for layer in _head_layers(model):
            # Drawn on the CPU, so that the twin is the same on every device.
            drawn = torch.empty(layer.weight.shape).normal_(std=_width(model.config), generator=generator)
            layer.weight.copy_(drawn)
            if layer.bias is not None:
                layer.bias.zero_()
    return replace(classifier, model=model)


def as_it_is(spec: ModelSpec, labels: Sequence[str]) -> Classifier:
    """Return a model that is fine-tuned already (registry: `checkpoint`), its classes in the order of these labels.

    The rows of its head's last layer are moved. Raises ModelError as `load_classifier` does, and if none is the last.
    """
    classifier = load_classifier(spec.checkpoint, labels=labels, template=spec.template, words=spec.words)
    order = [classifier.labels.index(label) for label in labels]
    if reads_words(classifier):
        known = classifier.model.label_words
        columns = {name: getattr(known, name) for name in ("words", "tokens", "log_prior")}
        classifier = reading(classifier, **{name: of and tuple(of[at] for at in order) for name, of in columns.items()})
        order = sorted(order)
    model = classifier.model
    last = [layer for layer in _head_layers(model) if len(layer.weight) == len(labels)]
    if order != sorted(order):
        if len(last) != 1:
            raise ModelError(f"model {spec.checkpoint}: its head cannot be put in the order {', '.join(labels)}")
        for values in last[0].parameters():
            values.data = values.data[order]
    for name, value in _class_settings(labels).items():
        setattr(model.config, name, value)
    return replace(classifier, labels=tuple(labels))


def _width(config: transformers.PretrainedConfig) -> float:
    """Return the standard deviation of new weights; BART has another name for it, and T5 draws by the layer's size."""
    return getattr(config, "initializer_range", None) or getattr(config, "init_std", None) or config.d_model**-0.5


def _head_layers(model: transformers.PreTrainedModel) -> list[torch.nn.Linear]:
    parts = (part for part in model.children() if part is not model.base_model)
    return [layer for part in parts for layer in part.modules() if isinstance(layer, torch.nn.Linear)]
