"""LIME through its own library, on word positions (Ribeiro et al., 2016)."""

import numpy as np

from trusteq.attribution.perturb import Perturbed

# The paper keeps 20 features and uses the top 10; a word that is not kept has weight 0.
FEATURES_KEPT = 20


def lime(example: Perturbed, n_samples: int, seed: int) -> np.ndarray:
    """Return LIME's weights, (words, classes).

    The library explains a text of the word numbers "0 1 2 ...", so that each position is a feature of its own; the
    numbers it leaves in a perturbed text say which words of the example are kept.
    """
    from lime.lime_text import LimeTextExplainer

    def predict_proba(texts: list[str]) -> np.ndarray:
        masks = np.zeros((len(texts), example.n_words), dtype=bool)
        for mask, text in zip(masks, texts, strict=True):
            mask[[int(number) for number in text.split()]] = True
        return example.predict_proba(masks)

    labels = example.classifier.labels
    explainer = LimeTextExplainer(split_expression=r"\s+", random_state=np.random.RandomState(seed))
    explanation = explainer.explain_instance(
        " ".join(map(str, range(example.n_words))),
        predict_proba,
        labels=range(len(labels)),
        num_features=FEATURES_KEPT,
        num_samples=n_samples,
    )
    weights = np.zeros((example.n_words, len(labels)))
    for label, features in explanation.as_map().items():
        for feature, weight in features:
            # The library numbers features by first occurrence, which is their order in the text.
            weights[feature, label] = weight
    return weights
