"""Sentences of the book that carry numbers: each reads tables and says what holds for this run."""

from trusteq.sentences.alignment import (
    alignment_sentence,
    ceiling_sentence,
    companion_sentence,
    control_sentence,
    curve_sentence,
    paper_range_sentence,
    segment_sentence,
    source_sentence,
    yardstick_sentence,
)
from trusteq.sentences.calibration import (
    bar_sentence,
    calibration_outcome_sentence,
    calibration_sentence,
    decomposition_sentence,
    loyalty_sentence,
    null_band_sentence,
    temperature_sentence,
)
from trusteq.sentences.run import benchmark_sentence, run_sentence
from trusteq.sentences.verdict import (
    chance_sentence,
    faithfulness_sentence,
    half_sentence,
    method_sentence,
    truth_sentence,
    verdict_sentence,
)

__all__ = [
    "alignment_sentence",
    "bar_sentence",
    "benchmark_sentence",
    "calibration_outcome_sentence",
    "calibration_sentence",
    "ceiling_sentence",
    "chance_sentence",
    "companion_sentence",
    "control_sentence",
    "curve_sentence",
    "decomposition_sentence",
    "faithfulness_sentence",
    "half_sentence",
    "loyalty_sentence",
    "method_sentence",
    "null_band_sentence",
    "paper_range_sentence",
    "run_sentence",
    "segment_sentence",
    "source_sentence",
    "temperature_sentence",
    "truth_sentence",
    "verdict_sentence",
    "yardstick_sentence",
]
