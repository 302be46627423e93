"""Interpretability alignment: do two models find the same words important?"""

from trusteq.alignment.overlap import align
from trusteq.alignment.ranking import chance_jaccard, jaccard, top_features

__all__ = ["align", "chance_jaccard", "jaccard", "top_features"]
