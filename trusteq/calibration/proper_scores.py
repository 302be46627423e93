"""Calibration: does a model's confidence say how often it is right?

Confidence is the largest class probability, and the prediction its class (the first one on ties). Every score but the
smooth ECE is a function of sums over examples, so that one definition serves the score itself, its bootstrap, the
paired difference of two models and the null bands: only what is summed differs. Table and figure share these sums.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.calibration.bins import Design, Sums
from trusteq.errors import DataError

_SUM_TOLERANCE = 1e-3  # rows of probabilities in half precision sum to 1 within it
_ROUNDING = 1e-6  # a float32 softmax may leave [0, 1] by this much; it is clipped


def reliability_table(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10, binning: str = "equal-width"
) -> pd.DataFrame:
    """Return accuracy against confidence, one row per bin of confidence.

    probabilities: shape (n, C), rows sum to 1. labels: shape (n,), integers in [0, C). For the rest see `assign_bins`.
    Columns: lower, upper, count, share (of all predictions), accuracy, confidence (mean), gap (accuracy - confidence);
    the last three are nan in empty bins, which are kept. Raises DataError for input that is not that.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design = Design.of(probabilities, n_bins=n_bins, binning=binning)
    sums = {name: values[0] for name, values in design.sums(labels).items()}
    count = sums["bin_count"]
    filled = np.where(count, count, np.nan)
    table = pd.DataFrame({"lower": design.edges[:-1], "upper": design.edges[1:], "count": count})
    table = table.assign(
        share=count / len(labels), accuracy=sums["bin_correct"] / filled, confidence=sums["bin_confidence"] / filled
    )
    return table.assign(gap=table["accuracy"] - table["confidence"])


def accuracy(sums: Sums) -> np.ndarray:
    """Share of examples whose most probable class is the label, in [0, 1]."""
    return _mean(sums, sums["bin_correct"])


def mce(sums: Sums) -> np.ndarray:
    """Maximum calibration error: largest absolute gap of a filled bin (Guo et al. 2017, equation 5)."""
    return np.max(np.abs(sums["bin_correct"] - sums["bin_confidence"]) / np.maximum(sums["bin_count"], 1), axis=-1)


def brier(sums: Sums) -> np.ndarray:
    """Squared distance to the one-hot label, summed over classes, averaged over examples: 0 to 2 (Brier 1950)."""
    return _mean(sums, sums["brier"])


def nll(sums: Sums) -> np.ndarray:
    """Mean negative log-likelihood of the labels in nats, probabilities clipped at 1e-12 as in the authors' scripts."""
    return _mean(sums, sums["nll"])


def mean_confidence(sums: Sums) -> np.ndarray:
    """Mean of the largest class probability, in [1/C, 1]."""
    return _mean(sums, sums["bin_confidence"])


def overconfidence(sums: Sums) -> np.ndarray:
    """Mean confidence less accuracy, in [-1, 1]: positive where the model promises more than it keeps."""
    return mean_confidence(sums) - accuracy(sums)


def _mean(sums: Sums, values: np.ndarray) -> np.ndarray:
    return values.sum(axis=-1) / sums["bin_count"].sum(axis=-1)


def error(sums: Sums, bins: str) -> np.ndarray:
    """Expected calibration error: mean absolute gap of the bins, weighted by share.

    bins: "bin", those of the confidence (Guo et al. 2017, equation 3); "mass", the same of equal mass (Nguyen and
    O'Connor 2015; AdaECE of Mukhoti et al. 2020); "class", those of each class's probability, of equal width, averaged
    over the classes (Kull et al. 2019).
    """
    n_sets = sums[f"{bins}_count"].shape[-1] // sums["bin_count"].shape[-1]
    return _mean(sums, np.abs(sums[f"{bins}_correct"] - sums[f"{bins}_confidence"])) / n_sets


def debiased(sums: Sums, bins: str = "bin") -> np.ndarray:
    """ECE less its bias, the expected effect of noise in the bins' accuracies; may be slightly below 0.

    bins: see `error`. The noise is taken as normal, with variance acc (1 - acc) / n of each bin. The mean of the
    resampled ECE is that of folded normals, in closed form, where the source draws. Not clipped: that would bring a
    bias back. Source: Kumar, Liang and Ma (2019), Verified Uncertainty Calibration; normal_debiased_ce of their
    library, p = 1.
    """
    count = np.maximum(sums[f"{bins}_count"], 1)
    rate = sums[f"{bins}_correct"] / count
    gap = np.abs(sums[f"{bins}_correct"] - sums[f"{bins}_confidence"]) / count
    noisy = _mean_of_folded_normal(gap, np.sqrt(rate * (1 - rate) / count))
    n_sets = count.shape[-1] // sums["bin_count"].shape[-1]
    return 2 * error(sums, bins) - _mean(sums, sums[f"{bins}_count"] * noisy) / n_sets


def _mean_of_folded_normal(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Return E|X| for X normal; |mean| where sd is 0."""
    from scipy.special import erf

    ratio = np.divide(mean, sd, out=np.full(np.shape(mean), np.inf), where=sd > 0)
    return sd * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + mean * erf(ratio / np.sqrt(2))


def smooth_ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the smooth ECE by relplot: no bins, a kernel of its own choice of width (Błasiok and Nakkiran 2023)."""
    from relplot import smECE  # a second of imports (seaborn), for this score alone

    return float(smECE(confidence, correct.astype(np.float64)))


@dataclass(frozen=True)
class Score:
    """A calibration score, with all that others ask of it.

    of_sums: from the sums of `Design`, name -> (..., width), to one number for each of "..."; by default the `error`
    over its bins. of_predictions: in its place, from the confidence, (n,), and whether the prediction is right, (n,),
    to a number; such a score has neither interval nor null band. title: in a sentence; by default its name with spaces.
    head: of a column; by default its name. bins: see `error`; the interval is that of the error less its bias.
    """

    name: str
    of_sums: Callable[[Sums], np.ndarray] | None = None
    of_predictions: Callable[[np.ndarray, np.ndarray], float] | None = None
    title: str = ""
    head: str = ""
    bins: str | None = None
    never_negative: bool = False
    has_interval: bool = True

    def __post_init__(self):
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))
        object.__setattr__(self, "head", self.head or self.name)
        if self.of_sums is None and self.bins:
            object.__setattr__(self, "of_sums", partial(error, bins=self.bins))
        object.__setattr__(self, "has_interval", self.has_interval and self.of_sums is not None)


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("accuracy", accuracy),
        Score("ece", title="ECE", head="ECE", bins="bin", never_negative=True),
        # The bootstrap is not valid for a maximum (Bickel and Freedman 1981): the MCE has a null band instead.
        Score("mce", mce, title="MCE", head="MCE", has_interval=False),
        Score("brier", brier, title="Brier score (0 to 2)", head="Brier"),
        Score("nll", nll, title="NLL (nats)", head="NLL"),
        Score("adaptive_ece", title="adaptive ECE", head="adaptive", bins="mass", never_negative=True),
        Score("classwise_ece", title="classwise ECE", head="classwise", bins="class", never_negative=True),
        Score("debiased_ece", debiased, title="debiased ECE", head="debiased", bins="bin"),
        Score("mean_confidence", mean_confidence),
        Score("overconfidence", overconfidence, title="mean confidence − accuracy"),
        Score("smooth_ece", of_predictions=smooth_ece, title="smooth ECE", head="smooth"),
    )
}


def scores(
    probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10, binning: str = "equal-width"
) -> dict[str, float]:
    """Return every score of `SCORES` by name; arguments and errors as for `reliability_table`.

    `binning` is that of ece, mce and debiased_ece; adaptive_ece and classwise_ece have their own, in `n_bins` too.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design = Design.of(probabilities, n_bins=n_bins, binning=binning)
    sums, correct = design.sums(labels), design.predicted == labels
    return {
        name: float(score.of_sums(sums)[0] if score.of_sums else score.of_predictions(design.confidence, correct))
        for name, score in SCORES.items()
    }


def brier_decomposition(probabilities: ArrayLike, labels: ArrayLike, *, n_bins: int = 10) -> dict[str, float]:
    """Return the parts of the Brier score: what is miscalibrated, what is known, and what cannot be known.

    brier = reliability - resolution + uncertainty + within_bin_variance - within_bin_covariance, exactly; each part is
    summed over classes, in `n_bins` bins of equal width of that class's probability. The last two are what happens
    within bins: 0 where all probabilities of a bin are equal. Arguments and errors as for `scores`.
    Source: Murphy (1973); Stephenson et al. (2008), Two Extra Components in the Brier Score Decomposition.
    """
    probabilities, labels = check_predictions(probabilities, labels)
    design, (n, n_classes) = Design.of(probabilities, n_bins=n_bins, binning="equal-width"), probabilities.shape
    happened = np.eye(n_classes)[labels]
    cells, base = design.class_bins, happened.mean(axis=0)
    count = np.maximum(np.bincount(cells.ravel(), minlength=n_bins * n_classes), 1)
    forecast, rate = (
        np.bincount(cells.ravel(), of.ravel(), n_bins * n_classes) / count for of in (probabilities, happened)
    )
    off = probabilities - forecast[cells]
    return {
        "reliability": float(((forecast - rate)[cells] ** 2).sum() / n),
        "resolution": float(((rate[cells] - base) ** 2).sum() / n),
        "uncertainty": float((base * (1 - base)).sum()),
        "within_bin_variance": float((off**2).sum() / n),
        "within_bin_covariance": float(2 * (off * (happened - rate[cells])).sum() / n),
    }


def check_predictions(probabilities: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities as float64 (n, C) in [0, 1] and labels as int64 (n,); raise DataError for anything else."""
    probabilities, values = check_probabilities(probabilities), np.asarray(labels)
    n, n_classes = probabilities.shape
    if values.shape != (n,):
        raise DataError(f"labels: shape {values.shape} for {n} rows of probabilities; give one label per row")
    if values.dtype.kind not in "iu":
        raise DataError(f"labels: {values.dtype}, not integers; give class indices 0 to {n_classes - 1}")
    outside = (values < 0) | (values >= n_classes)
    if outside.any():
        row = int(outside.argmax())
        hint = "leave out rows without a gold label" if values[row] == -1 else f"give 0 to {n_classes - 1}"
        raise DataError(f"labels: row {row} is {values[row]}, of {n_classes} classes; {hint}")
    return probabilities, values.astype(np.int64)


def check_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Return probabilities as float64 (n, C) in [0, 1]; raise DataError unless C is at least 2 and rows sum to 1."""
    try:
        values = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"probabilities: not a table of numbers ({error})") from None
    if values.ndim != 2 or values.shape[1] < 2:
        raise DataError(f"probabilities: shape {values.shape}; give (examples, classes) with at least 2 classes")
    if not len(values):
        raise DataError("probabilities: no rows; give at least one example")
    # nan fails both comparisons, so it counts as outside
    outside = ~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all(axis=1)
    if outside.any():
        row = int(outside.argmax())
        raise DataError(f"probabilities: row {row} is {_shown(values[row])}, not all in [0, 1]: give softmax output")
    off = np.abs(values.sum(axis=1) - 1) > _SUM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        raise DataError(f"probabilities: row {row} sums to {values[row].sum():.6g}, not 1: give softmax output")
    return np.clip(values, 0.0, 1.0)


def check_same_shape(large: np.ndarray, compressed: ArrayLike) -> np.ndarray:
    """Return the second model's probabilities as `check_predictions` does, for the same examples and classes."""
    compressed = check_probabilities(compressed)
    if large.shape != compressed.shape:
        raise DataError(f"probabilities: shapes {large.shape} and {compressed.shape}; give the same examples to both")
    return compressed


def _shown(row: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in row[:5]) + (", ...)" if len(row) > 5 else ")")
