"""The attribution methods, each with all that others ask of it; and those that take a line or two, or gradients."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trusteq.attribution.as_released import NLI, PI, Joined, JoinedTokens, JoinedWords, permutations
from trusteq.attribution.features import Features, Tokens
from trusteq.attribution.lime import lime
from trusteq.attribution.owen import owen
from trusteq.attribution.shapley import shapley
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


def occlusion(
    example: Features, n_samples: int, rng: np.random.Generator
) -> Generator[np.ndarray, np.ndarray, np.ndarray]:
    """Return what the probabilities lose without each word, (features, classes); one pass a word, whatever the budget.

    Source: Zeiler and Fergus (2014), section 4.2, on words instead of patches.
    """
    masks = np.concatenate([np.ones((1, example.n_features), dtype=bool), ~np.eye(example.n_features, dtype=bool)])
    probabilities = yield masks
    return probabilities[0] - probabilities[1:]


def random(example: Features, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Return standard normal weights, (features, classes): what agreement by chance looks like."""
    return rng.standard_normal((example.n_features, example.n_classes))


@dataclass(frozen=True)
class Method:
    """A way to weigh features.

    explain: takes (example, n_samples, rng). It proposes masks, (n, features), by `yield`, is sent the probabilities,
    (n, classes), as often as it likes, and returns weights, (features, classes), or (weights, standard errors). One
    that needs no probabilities just returns.
    draws: whether the weights depend on the explainer's seed, so that it does not fully agree with itself.
    needs_gradients: whether it asks for a model's gradients, which a callable has not. needs_padding: whether it puts
    padding in the place of words. has_errors: whether it returns standard errors. as_released: the function of the
    authors' scripts for each joint, and joined: the features of theirs; none where they have no such method.
    """

    explain: Callable
    draws: bool
    needs_gradients: bool = False
    needs_padding: bool = False
    has_errors: bool = False
    as_released: Mapping[str, Callable] = field(default_factory=dict)
    joined: type[Joined] | None = None

    def of(self, example: Features) -> Callable:
        """Return the function that explains an example: the authors' own where it is a pair as they join it."""
        return self.as_released.get(example.joint, self.explain)


METHODS: dict[str, Method] = {
    "lime": Method(lime, draws=True, as_released={NLI: lime, PI: lime}, joined=JoinedWords),
    "shap": Method(owen, draws=False, as_released={NLI: owen, PI: permutations}, joined=JoinedTokens),
    "shapley": Method(shapley, draws=True, has_errors=True),
    "occlusion": Method(occlusion, draws=False),
    "integrated-gradients": Method(integrated_gradients, draws=False, needs_gradients=True, needs_padding=True),
    "gradient-x-input": Method(gradient_x_input, draws=False, needs_gradients=True),
    "random": Method(random, draws=True),
}
BOUNDARIES = ("safe", "as-released")
