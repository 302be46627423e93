"""Calibration: does a model's confidence say how often it is right?"""

from trusteq.calibration.proper_scores import reliability_table, scores

__all__ = ["reliability_table", "scores"]
