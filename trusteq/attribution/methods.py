"""The attribution methods, each with all that others ask of it."""

from collections.abc import Callable

from trusteq.attribution.baselines import occlusion, random
from trusteq.attribution.gradients import gradient_x_input, integrated_gradients
from trusteq.attribution.lime import lime
from trusteq.attribution.owen import owen
from trusteq.attribution.shapley import shapley

# A method takes (example, n_samples, rng). It proposes masks, (n, features), by `yield`, is sent the probabilities,
# (n, classes), as often as it likes, and returns weights, (features, classes), or (weights, standard errors). One that
# needs no probabilities just returns.
METHODS: dict[str, Callable] = {
    "lime": lime,
    "shap": owen,
    "shapley": shapley,
    "occlusion": occlusion,
    "integrated-gradients": integrated_gradients,
    "gradient-x-input": gradient_x_input,
    "random": random,
}


# The methods whose weights depend on the explainer's seed: they do not fully agree with themselves.
SAMPLING = frozenset({"lime", "shapley", "random"})


BOUNDARIES = ("safe", "as-released")


MASKS = ("delete", "[MASK]", "[UNK]")
