"""Figures of the book: each function takes a table and Axes, draws, and returns the Axes. None saves a file."""

from trusteq.figures.alignment import alignment_intervals, alignment_matrix, jaccard_distribution, scale_intervals
from trusteq.figures.anchors import chance_curve, word_histogram
from trusteq.figures.base import GREY, STYLE, colours
from trusteq.figures.breakdown import alignment_curves, disagreement_sources, truth_intervals
from trusteq.figures.calibration import confidence_histogram, error_intervals, per_model, reliability_diagram
from trusteq.figures.compression import frontier, gain_intervals, kept_panels
from trusteq.figures.findings import claim_intervals
from trusteq.figures.simulation import coverage_intervals
from trusteq.figures.training import training_history
from trusteq.figures.verdict import OUTCOME_COLOURS, alignment_curve, margin_intervals, trust_plane, verdict_panels
from trusteq.figures.words import highlights, weight_by_rank

__all__ = [
    "GREY",
    "OUTCOME_COLOURS",
    "STYLE",
    "alignment_curve",
    "alignment_curves",
    "alignment_intervals",
    "alignment_matrix",
    "chance_curve",
    "claim_intervals",
    "colours",
    "confidence_histogram",
    "coverage_intervals",
    "disagreement_sources",
    "error_intervals",
    "frontier",
    "gain_intervals",
    "highlights",
    "jaccard_distribution",
    "kept_panels",
    "margin_intervals",
    "per_model",
    "reliability_diagram",
    "scale_intervals",
    "training_history",
    "trust_plane",
    "truth_intervals",
    "verdict_panels",
    "weight_by_rank",
    "word_histogram",
]
