"""Classifiers with another head than the library's own: an encoder, a way to pool its states, linear layers."""

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput

from trusteq.statistics import stream_seed

if TYPE_CHECKING:
    from trusteq.models.classifier import Classifier


class EncoderClassifier(transformers.PreTrainedModel):
    """An encoder whose last hidden states `logits` turns into one score per class; a subclass adds the head.

    reads_first_token: whether the head reads the first token alone, so that the last layer need not compute others.
    """

    config_class = transformers.PretrainedConfig
    base_model_prefix = "encoder"
    reads_first_token = False

    def __init__(self, config):
        super().__init__(config)
        self.encoder = transformers.AutoModel.from_config(config)
        self.add_head(config)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None):
        """Return logits of shape (n, C), and the cross-entropy loss where labels are given."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        states = self.encoder(input_ids, attention_mask=attention_mask, **types).last_hidden_state
        logits = self.logits(states, torch.ones_like(input_ids) if attention_mask is None else attention_mask)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


class FirstTokenClassifier(EncoderClassifier):
    """Two linear layers without activation, hidden -> 2C -> C, on the first token (released scripts, NLI)."""

    reads_first_token = True

    def add_head(self, config) -> None:
        """Add the two layers."""
        self.hidden = torch.nn.Linear(config.hidden_size, 2 * config.num_labels)
        self.output = torch.nn.Linear(2 * config.num_labels, config.num_labels)

    def logits(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits, (n, C), from states, (n, tokens, hidden); the mask is not needed."""
        return self.output(self.hidden(states[:, 0]))


class MeanPoolingClassifier(EncoderClassifier):
    """One linear layer on the mean of all tokens' states, which is how sentence encoders such as MiniLM are trained."""

    def add_head(self, config) -> None:
        """Add the layer."""
        self.output = torch.nn.Linear(config.hidden_size, config.num_labels)

    def logits(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return logits, (n, C), from states, (n, tokens, hidden), and mask, (n, tokens), 0 at padding."""
        weights = mask[..., None].to(states.dtype)
        return self.output((states * weights).sum(dim=1) / weights.sum(dim=1))


# By the recipe's name; any other ("standard") is the library's own classifier.
HEADS = {"two-linear": FirstTokenClassifier, "mean-pooling": MeanPoolingClassifier}


def saved_kind(config: transformers.PretrainedConfig) -> type:
    """Return the class that a saved configuration was written by: one of ours, or the library's own."""
    ours = {kind.__name__: kind for kind in HEADS.values()}
    written_by = (config.architectures or ("",))[0]
    return ours.get(written_by, transformers.AutoModelForSequenceClassification)


def random_head(classifier: "Classifier", *, seed: int) -> "Classifier":
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
