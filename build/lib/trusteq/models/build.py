"""Models before fine-tuning: pretrained or randomly initialised encoders under a new head."""

from collections.abc import Sequence

import transformers

from trusteq.examples.synthetic import vocabulary
from trusteq.models.classifier import LOADING, check_weights, load_tokenizer, loading, locate
from trusteq.models.heads import HEADS
from trusteq.models.recipe import Recipe
from trusteq.registry import ModelSpec

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
