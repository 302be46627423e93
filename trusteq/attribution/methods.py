"""The attribution methods, each with all that others ask of it; the two simplest are written here."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field

import numpy as np

from trusteq.attribution.as_released import NLI, PI, Joined, JoinedTokens, JoinedWords, permutations
from trusteq.attribution.features import Features
from trusteq.attribution.gradients import gradient_x_input, integrated_gradients
from trusteq.attribution.lime import lime
from trusteq.attribution.owen import owen
from trusteq.attribution.shapley import shapley


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
    needs_gradients: whether it asks for a model's gradients, which a callable has not. has_errors: whether it returns
    standard errors. as_released: the function of the authors' scripts for each joint, and joined: the features of
    theirs; none where they have no such method.
    """

    explain: Callable
    draws: bool
    needs_gradients: bool = False
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
    "integrated-gradients": Method(integrated_gradients, draws=False, needs_gradients=True),
    "gradient-x-input": Method(gradient_x_input, draws=False, needs_gradients=True),
    "random": Method(random, draws=True),
}
BOUNDARIES = ("safe", "as-released")
