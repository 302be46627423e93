"""The attribution methods, each with all that others ask of it; and those that take a line or two, or gradients."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trusteq.attribution.as_released import NLI, PI, Joined, JoinedTokens, JoinedWords, permutations
from trusteq.attribution.features import Features, Inputs
from trusteq.attribution.lime import lime
from trusteq.attribution.owen import owen
from trusteq.attribution.shapley import shapley
from trusteq.errors import ExperimentError

if TYPE_CHECKING:
    import torch


STEPS, MOST_STEPS = 50, 400  # at first, and at most: finding the points of a rule takes time by their number's cube
TOLERANCE, FLOOR = 0.05, 0.01  # of `convergence_delta`: a share of what a probability gains; probability
CANCELLED = 1e-3  # where terms cancel by chance, 1 / sqrt(hidden size) of them is left: 0.036 of BERT-base
# Tokens that the model sees at once. Each layer keeps its activations for the way back, so that these are far fewer
# than in `models.forward`: at BERT-base size a token takes about 0.6 MB.
BUDGET = {"cuda": 1 << 13, "cpu": 1 << 9}


def integrated_gradients(example: Features, n_samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the probabilities along the way from no features to all, (features, classes).

    The way is the straight line from `Inputs.baseline`. Of texts it is one between embeddings; without words, each of
    their tokens is the padding token, special tokens and punctuation stay. The weights add up to what the probability
    gains on the way, up to the error of Gauss-Legendre's rule with 50 points, or as many as `n_samples` passes allow
    when each class takes its own; two at least. A feature of which the model reads nothing has weight 0.

    Beside the weights stands each class's `convergence_delta`, (classes,). Where one is above TOLERANCE, the rule is
    applied again with twice the points, up to 400, as long as all that were taken keep to `n_samples` passes.

    Raises ExperimentError where the tokenizer has no padding token.
    Source: Sundararajan et al. (2017), equation 1, and section 5 on the steps; captum's LayerIntegratedGradients.
    """
    import torch
    from captum.attr import LayerIntegratedGradients

    inputs, n_classes = example.inputs(), example.n_classes
    if inputs.baseline is None:
        raise ExperimentError("integrated-gradients starts from padding, and the tokenizer has no pad_token; set one")
    baseline = torch.tensor(inputs.baseline, device=inputs.device)
    batch = max(n_classes, BUDGET.get(inputs.device.type, BUDGET["cpu"]) // inputs.n_tokens)
    baselines = torch.cat([baseline] * n_classes)
    options = {"baselines": baselines, "method": "gausslegendre", "internal_batch_size": batch}
    gained, affordable = _gained(inputs, baseline), n_samples // n_classes
    steps = int(np.clip(affordable, 2, STEPS))
    while True:
        terms = _attributed(LayerIntegratedGradients, inputs, n_classes, n_steps=steps, **options)
        weights = _by_feature(terms, example, inputs)
        affordable -= steps
        delta = convergence_delta(weights.sum(axis=0), gained)
        more = min(2 * steps, affordable, MOST_STEPS)
        if delta.max() <= TOLERANCE or more <= steps:
            return weights, delta
        steps = more


def convergence_delta(total: np.ndarray, gained: np.ndarray) -> np.ndarray:
    """Return by how much of what the probabilities gain their weights' sums miss it, (classes,), 0 or more.

    total: the sum of each class's weights, (classes,). gained: what the sums should be, (classes,). A gain below FLOOR,
    of which a share says little, counts as FLOOR.

    Source: Sundararajan et al. (2017), proposition 1 (completeness); captum's `compute_convergence_delta`, unsigned.
    """
    return np.abs(total - gained) / np.maximum(np.abs(gained), FLOOR)


def _gained(inputs: Inputs, baseline: "torch.Tensor") -> np.ndarray:
    """Return what each probability gains on the way from the baseline, (classes,).

    At the start of the way of a text the embeddings are those of padding, and no more: of the padded ids themselves
    RoBERTa would count places anew, and a decoder's head would read another token.
    """
    import torch

    probabilities, start = _probabilities(inputs), []
    values = torch.tensor(inputs.values, device=inputs.device)
    with torch.no_grad():
        end = probabilities(values)
        with inputs.layer.register_forward_hook(lambda *call: start.append(call[-1])):
            probabilities(baseline)
        with inputs.layer.register_forward_hook(lambda *call: start[0]):
            return (end - probabilities(values))[0].cpu().numpy()


def gradient_x_input(example: Features, n_samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the probabilities times what they are taken of, (features, classes); one pass a class.

    A word's weight is the sum over its tokens and over the hidden dimension of their embeddings, that of what is made
    of numbers the sum over these; a feature of which the model reads nothing has weight 0.
    Beside the weights stands how much the sum over the hidden dimension leaves of its terms, (classes,), from 0 to 1:
    next to nothing, below CANCELLED, for a model that brings each embedding to one length before anything reads it
    (DeBERTa, ModernBERT), since no probability changes along an embedding then.

    Source: Shrikumar et al. (2016), section 2; captum's LayerGradientXActivation.
    """
    from captum.attr import LayerGradientXActivation

    inputs = example.inputs()
    terms = _attributed(LayerGradientXActivation, inputs, example.n_classes)
    left, whole = (of.abs().amax(dim=1).cpu().numpy() for of in (terms.sum(dim=-1), terms.abs().sum(dim=-1)))
    share = np.divide(left, whole, out=np.ones_like(whole), where=whole > 0)  # of a gradient that is 0 nothing cancels
    return _by_feature(terms, example, inputs), share


def _probabilities(inputs: Inputs) -> Callable:
    """Return the function from what a model reads, (n, ...), to probabilities, (n, C)."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # The faster attention kernels of a GPU add up their gradients in no fixed order.
    @sdpa_kernel(SDPBackend.MATH)
    def probabilities(values: "torch.Tensor") -> "torch.Tensor":
        return inputs.logits(values).double().softmax(dim=-1)

    return probabilities


def _attributed(attribution: Callable, inputs: Inputs, n_classes: int, **options) -> "torch.Tensor":
    """Return what a method of captum's gives the layer, (classes, elements, hidden); of numbers hidden is 1."""
    import torch

    explainer = attribution(_probabilities(inputs), inputs.layer)
    values = torch.cat([torch.tensor(inputs.values, device=inputs.device)] * n_classes)
    found = explainer.attribute(values, target=list(range(n_classes)), **options)
    found = found[:, : len(inputs.feature)].detach().double()  # Longformer adds padding of its own at the end
    return found.reshape(n_classes, inputs.feature.size, -1)


def _by_feature(terms: "torch.Tensor", example: Features, inputs: Inputs) -> np.ndarray:
    """Return the sums of (classes, elements, hidden) over each feature's elements, (features, classes)."""
    feature = inputs.feature.ravel()
    weights, inside = np.zeros((example.n_features, example.n_classes)), feature >= 0
    np.add.at(weights, feature[inside], terms.sum(dim=-1).T.cpu().numpy()[inside])
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
    stops: whether it takes `stable`, when its top ten is good enough; it then returns (what it returns, whether it
    stopped early).
    needs_gradients: whether it asks for a model's gradients, which a callable has not. needs_padding: whether it puts
    padding in the place of words. has_errors: whether it returns standard errors. beside: what else it returns beside
    the weights, a number for each class, (classes,): its name in the table's `.attrs`, and which of the classes' is
    kept. No "convergence" is defined for gradients at one point, which add up to nothing that is known. as_released:
    the function of the authors' scripts for each joint, and joined: the features of theirs; none where they have no
    such method. version: raised by whoever changes weights of this method alone (`explain.VERSION`: of all).
    """

    explain: Callable
    draws: bool
    stops: bool = False
    needs_gradients: bool = False
    needs_padding: bool = False
    has_errors: bool = False
    beside: tuple[str, Callable] | None = None
    as_released: Mapping[str, Callable] = field(default_factory=dict)
    joined: type[Joined] | None = None
    version: int = 1

    def of(self, example: Features) -> Callable:
        """Return the function that explains an example: the authors' own where it is a pair as they join it."""
        return self.as_released.get(example.joint, self.explain)


METHODS: dict[str, Method] = {
    "lime": Method(lime, draws=True, stops=True, as_released={NLI: lime, PI: lime}, joined=JoinedWords),
    "shap": Method(owen, draws=False, as_released={NLI: owen, PI: permutations}, joined=JoinedTokens),
    "shapley": Method(shapley, draws=True, stops=True, has_errors=True, version=2),
    "occlusion": Method(occlusion, draws=False),
    "integrated-gradients": Method(
        integrated_gradients,
        draws=False,
        needs_gradients=True,
        needs_padding=True,
        beside=("convergence", np.max),
        version=2,
    ),
    "gradient-x-input": Method(gradient_x_input, draws=False, needs_gradients=True, beside=("left", np.max)),
    "random": Method(random, draws=True),
}
BOUNDARIES = ("safe", "as-released")


def listed(holds: Callable[[Method], object]) -> str:
    """Return the names of the methods of which something holds, for a message."""
    return " and ".join(name for name, of in METHODS.items() if holds(of))
