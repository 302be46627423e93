"""Two methods that follow a class's probability back to the embeddings of the words, by the model's own gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trusteq import words
from trusteq.attribution.features import Example
from trusteq.errors import ExperimentError

if TYPE_CHECKING:
    import torch

STEPS = 50


# Tokens that the model sees at once. Each layer keeps its activations for the way back, so that these are far fewer
# than in `models.forward`: at BERT-base size a token takes about 0.6 MB.
BUDGET = {"cuda": 1 << 13, "cpu": 1 << 9}


def integrated_gradients(example: Example, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gradients of the probabilities along the way from no words to all words, (features, classes).

    The way is the straight line between embeddings; without words, each of their tokens is the padding token, special
    tokens and punctuation stay. The weights add up to what the probability gains on the way, up to the error of
    Gauss-Legendre's rule with 50 points, or as many as `n_samples` passes allow when each class takes its own; two at
    least. A word without a token has weight 0.

    Raises ExperimentError where there is no model to differentiate, only a callable.
    Source: Sundararajan et al. (2017), equation 1; captum's LayerIntegratedGradients.
    """
    import torch
    from captum.attr import LayerIntegratedGradients

    tokens = _tokens(example, "integrated-gradients")
    padding = example.classifier.tokenizer.pad_token_id
    if padding is None:
        raise ExperimentError("integrated-gradients starts from padding, and the tokenizer has no pad_token; set one")
    padded = tokens.ids.masked_fill(torch.as_tensor(tokens.word >= 0, device=tokens.ids.device), padding)
    n_classes, length = tokens.ids.shape
    budget = BUDGET.get(tokens.ids.device.type, BUDGET["cpu"])
    options = {
        "baselines": padded,
        "n_steps": int(np.clip(n_samples // n_classes, 2, STEPS)),
        "method": "gausslegendre",
        "internal_batch_size": max(n_classes, budget // length),
    }
    return _weights(LayerIntegratedGradients, example, tokens, **options)


def gradient_x_input(example: Example, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gradients of the probabilities times the embeddings, (features, classes); one pass a class.

    A word's weight is the sum over its tokens and over the hidden dimension; a word without a token has weight 0.

    Raises ExperimentError where there is no model to differentiate, only a callable.
    Source: Shrikumar et al. (2016), section 2; captum's LayerGradientXActivation.
    """
    from captum.attr import LayerGradientXActivation

    return _weights(LayerGradientXActivation, example, _tokens(example, "gradient-x-input"))


@dataclass(frozen=True)
class _Tokens:
    """What the model is given, once for each class, and which word each token belongs to.

    ids: (C, tokens), the rows alike. types: segment of each token, (1, tokens); None where the model takes none.
    word: number of the feature of each token, (tokens,); -1 for special tokens and punctuation.
    """

    ids: "torch.Tensor"
    types: "torch.Tensor | None"
    word: np.ndarray


def _tokens(example: Example, method: str) -> _Tokens:
    import torch

    classifier = example.classifier
    if classifier is None:
        raise ExperimentError(
            f"{method} needs a model's gradients, and a callable has none; "
            "give a Classifier (trusteq.load_classifier), or use another method, such as 'shapley'"
        )
    if not classifier.tokenizer.is_fast:
        raise ExperimentError(
            f"{method} needs to know where each token stands in the text, and {type(classifier.tokenizer).__name__} "
            "does not tell; save the model with a fast tokenizer, or use another method, such as 'shapley'"
        )
    options = {"truncation": True, "max_length": classifier.max_length, "return_offsets_mapping": True}
    # Lists of one text: given as they are, a pair with an empty second text would be taken for a single text.
    texts = [None if text is None else [text] for text in (example.text_a, example.text_b)]
    found = classifier.tokenizer(*texts, **options)
    ids, types = (
        torch.tensor(found[name], device=classifier.model.device) if name in found else None
        for name in ("input_ids", "token_type_ids")
    )
    word = words.of_tokens((example.text_a, example.text_b), found.sequence_ids(0), found["offset_mapping"][0])
    return _Tokens(ids.repeat(example.n_classes, 1), types, np.array(word))


def _weights(attribution: Callable, example: Example, tokens: _Tokens, **options) -> np.ndarray:
    """Return what a method of captum's gives the embeddings of each word's tokens, summed, (features, C)."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = example.classifier.model

    def probabilities(ids: "torch.Tensor") -> "torch.Tensor":
        types = {} if tokens.types is None else {"token_type_ids": tokens.types.expand(len(ids), -1)}
        return model(ids, **types).logits.double().softmax(dim=-1)

    # The faster attention kernels of a GPU add up their gradients in no fixed order.
    with sdpa_kernel(SDPBackend.MATH):
        explainer = attribution(probabilities, model.get_input_embeddings())
        found = explainer.attribute(tokens.ids, target=list(range(example.n_classes)), **options)
    of_tokens = found.detach().double().sum(dim=-1).T.cpu().numpy()
    weights = np.zeros((example.n_features, example.n_classes))
    inside = tokens.word >= 0
    np.add.at(weights, tokens.word[inside], of_tokens[inside])
    return weights
