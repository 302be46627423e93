"""Two methods that follow a class's probability back to the embeddings of the words, by the model's own gradients."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from trusteq.attribution.features import Features, Tokens
from trusteq.errors import ExperimentError

if TYPE_CHECKING:
    import torch

STEPS = 50
# Tokens that the model sees at once. Each layer keeps its activations for the way back, so that these are far fewer
# than in `models.forward`: at BERT-base size a token takes about 0.6 MB.
BUDGET = {"cuda": 1 << 13, "cpu": 1 << 9}


def integrated_gradients(example: Features, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gradients of the probabilities along the way from no words to all words, (features, classes).

    The way is the straight line between embeddings; without words, each of their tokens is the padding token, special
    tokens and punctuation stay. The weights add up to what the probability gains on the way, up to the error of
    Gauss-Legendre's rule with 50 points, or as many as `n_samples` passes allow when each class takes its own; two at
    least. A word without a token has weight 0.

    Raises ExperimentError where the tokenizer has no padding token.
    Source: Sundararajan et al. (2017), equation 1; captum's LayerIntegratedGradients.
    """
    import torch
    from captum.attr import LayerIntegratedGradients

    tokens, n_classes = example.tokens(), example.n_classes
    if tokens.padding is None:
        raise ExperimentError("integrated-gradients starts from padding, and the tokenizer has no pad_token; set one")
    device = tokens.model.device
    padded = np.where(tokens.feature >= 0, tokens.padding, tokens.ids)
    budget = BUDGET.get(device.type, BUDGET["cpu"])
    options = {
        "baselines": torch.tensor(padded, device=device).repeat(n_classes, 1),
        "n_steps": int(np.clip(n_samples // n_classes, 2, STEPS)),
        "method": "gausslegendre",
        "internal_batch_size": max(n_classes, budget // tokens.ids.shape[1]),
    }
    return _weights(LayerIntegratedGradients, example, tokens, **options)


def gradient_x_input(example: Features, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return the gradients of the probabilities times the embeddings, (features, classes); one pass a class.

    A word's weight is the sum over its tokens and over the hidden dimension; a word without a token has weight 0.

    Source: Shrikumar et al. (2016), section 2; captum's LayerGradientXActivation.
    """
    from captum.attr import LayerGradientXActivation

    return _weights(LayerGradientXActivation, example, example.tokens())


def _weights(attribution: Callable, example: Features, tokens: Tokens, **options) -> np.ndarray:
    """Return what a method of captum's gives the embeddings of each feature's tokens, summed, (features, C)."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    model = tokens.model
    ids = torch.tensor(tokens.ids, device=model.device).repeat(example.n_classes, 1)
    types = None if tokens.types is None else torch.tensor(tokens.types, device=model.device)

    def probabilities(ids: "torch.Tensor") -> "torch.Tensor":
        given = {} if types is None else {"token_type_ids": types.expand(len(ids), -1)}
        return model(ids, **given).logits.double().softmax(dim=-1)

    # The faster attention kernels of a GPU add up their gradients in no fixed order.
    with sdpa_kernel(SDPBackend.MATH):
        explainer = attribution(probabilities, model.get_input_embeddings())
        found = explainer.attribute(ids, target=list(range(example.n_classes)), **options)
    of_tokens = found.detach().double().sum(dim=-1).T.cpu().numpy()
    weights = np.zeros((example.n_features, example.n_classes))
    inside = tokens.feature >= 0
    np.add.at(weights, tokens.feature[inside], of_tokens[inside])
    return weights
