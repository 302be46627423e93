"""Models made: encoders under a new head; copies of fine-tuned classifiers, compressed or under a random head."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
import transformers

from trusteq.errors import ModelError
from trusteq.examples.synthetic import vocabulary
from trusteq.models.classifier import LOADING, Classifier, check_weights, load_tokenizer, loading, locate
from trusteq.models.compress import WAYS, check_options, settled, steps
from trusteq.models.layers import HEADS
from trusteq.models.recipe import Recipe
from trusteq.registry import Compression, ModelSpec
from trusteq.statistics import stream_seed

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Keys of pretraining checkpoints that a classifier has no use for, and keys of the head that is new.
PRETRAINING_KEYS = ("cls.", "vocab_", "pooler.", "position_ids")
NEW_HEAD_KEYS = ("classifier.",)


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
        kind = transformers.AutoModel if head in HEADS else transformers.AutoModelForSequenceClassification
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
                f"{compression.way} cannot follow {step['way']}, which leaves no whole matrices of floats; "
                f"compress by {step['way']} once, and last"
            )
    way.function(model, **options)
    model.config.compression = [*before, {"way": compression.way, "options": options}]
    return replace(classifier, model=model if compression.recover else settled(model))


def random_head(classifier: Classifier, *, seed: int) -> Classifier:
    """Return a twin of a classifier that reads the same states by a head drawn anew: a control, which learned nothing.

    The head is every linear layer outside the encoder; what the encoder holds, BERT's pooler included, is kept. Weights
    are drawn as before fine-tuning, normal with the configuration's `initializer_range` and biases 0, in a random
    stream of `seed`. The classifier itself is left as it is.
    """
    model = copy.deepcopy(classifier.model)
    generator = torch.Generator().manual_seed(stream_seed(seed, "random-head"))
    with torch.no_grad():
        for layer in _head_layers(model):
            # Drawn on the CPU, so that the twin is the same on every device.
            drawn = torch.empty(layer.weight.shape).normal_(std=model.config.initializer_range, generator=generator)
            layer.weight.copy_(drawn)
            if layer.bias is not None:
                layer.bias.zero_()
    return replace(classifier, model=model)


def _head_layers(model: transformers.PreTrainedModel) -> list[torch.nn.Linear]:
    parts = (part for part in model.children() if part is not model.base_model)
    return [layer for part in parts for layer in part.modules() if isinstance(layer, torch.nn.Linear)]
