"""Every calibration score against loops written from the definitions, and against sklearn, torchmetrics and relplot.

The random cases hold what goes wrong: confidences at 0, 1 and bin edges, ties, one class only, a single example.
"""

import math
from bisect import bisect_left, bisect_right
from itertools import islice

import numpy as np
import pytest
import sklearn
import torch
from relplot import smECE, smECE_sigma
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from trusteq.calibration.bins import Design, check_predictions
from trusteq.calibration.proper_scores import SCORES, scores, smooth_ece

CASES = 10_000


def cases():
    """Yield (probabilities, labels, n_bins, binning): up to 20 examples of 2 to 5 classes."""
    rng = np.random.default_rng(0)
    for number in range(CASES):
        n, n_classes = 1 + number % 20, int(rng.integers(2, 6))
        smooth = rng.dirichlet(np.full(n_classes, 0.5), size=n)
        certain = np.eye(n_classes)[rng.integers(n_classes, size=n)]
        edges = rng.multinomial(10, np.full(n_classes, 1 / n_classes), size=n) / 10  # and many ties
        tied = np.full((n, n_classes), 1 / n_classes)
        kinds = rng.choice(4, p=[0.55, 0.15, 0.25, 0.05], size=n)
        probabilities = np.choose(kinds[:, None], [smooth, certain, edges, tied])
        labels = rng.integers(n_classes, size=n) if number % 5 else np.full(n, rng.integers(n_classes))
        yield probabilities, labels, int(rng.choice([1, 2, 5, 10, 15])), ("equal-width", "equal-mass")[number % 2]


def some_cases():
    """Yield one case in 7: the libraries take milliseconds for each."""
    return islice(cases(), 0, None, 7)


def sums_only(probabilities, labels, n_bins, binning):
    """All scores but the smooth ECE, which alone takes longer than the rest of this file."""
    probabilities, labels = check_predictions(probabilities, labels)
    sums = Design.of(probabilities, n_bins=n_bins, binning=binning).sums(labels)
    return {name: float(score.of_sums(sums)[0]) for name, score in SCORES.items() if score.of_sums}


def gaps(confidences, hits, bin_of):
    """(count, mean hit, mean confidence) of each bin, example by example."""
    bins = {}
    for confidence, hit in zip(confidences, hits, strict=True):
        bins.setdefault(bin_of(confidence), []).append((confidence, hit))
    return [
        (len(inside), sum(hit for _, hit in inside) / len(inside), sum(value for value, _ in inside) / len(inside))
        for inside in bins.values()
    ]


def error(bins):
    return sum(count * abs(hit - value) for count, hit, value in bins) / sum(count for count, _, _ in bins)


def our_bin(edges):
    """(lower, upper]; the first one includes 0."""
    return lambda value: max(bisect_left(edges, value) - 1, 0)


def mass_edges(values, n_bins):
    """Quantiles by linear interpolation; the outer ones are 0 and 1."""
    return [0.0, *np.quantile(values, [i / n_bins for i in range(1, n_bins)]).tolist(), 1.0]


def folded(mean, variance):
    """E|X| of a normal X."""
    if variance == 0:
        return abs(mean)
    z = mean / math.sqrt(variance)
    return math.sqrt(2 * variance / math.pi) * math.exp(-z * z / 2) + mean * math.erf(z / math.sqrt(2))


def looped(probabilities, labels, n_bins, binning):
    """Every score from its definition, in plain Python."""
    rows, labels = probabilities.tolist(), labels.tolist()
    n, n_classes = len(rows), len(rows[0])
    confidences = [max(row) for row in rows]
    hits = [row.index(max(row)) == label for row, label in zip(rows, labels, strict=True)]
    width, mass = [i / n_bins for i in range(n_bins + 1)], mass_edges(confidences, n_bins)
    bins = gaps(confidences, hits, our_bin(width if binning == "equal-width" else mass))
    noisy = sum(count * folded(hit - value, hit * (1 - hit) / count) for count, hit, value in bins) / n
    by_class = [
        error(gaps([row[c] for row in rows], [label == c for label in labels], our_bin(width)))
        for c in range(n_classes)
    ]
    return {
        "accuracy": sum(hits) / n,
        "ece": error(bins),
        "mce": max(abs(hit - value) for _, hit, value in bins),
        "brier": sum((row[c] - (c == y)) ** 2 for row, y in zip(rows, labels, strict=True) for c in range(n_classes))
        / n,
        "nll": -sum(math.log(max(row[y], 1e-12)) for row, y in zip(rows, labels, strict=True)) / n,
        "adaptive_ece": error(gaps(confidences, hits, our_bin(mass))),
        "classwise_ece": sum(by_class) / n_classes,
        "debiased_ece": 2 * error(bins) - noisy,
        "mean_confidence": sum(confidences) / n,
        "overconfidence": (sum(confidences) - sum(hits)) / n,
    }


def test_scores_of_random_cases_are_those_of_a_loop():
    names = [name for name, score in SCORES.items() if score.of_sums]
    found = np.array([list(sums_only(*case).values()) for case in cases()])
    expected = np.array([[result[name] for name in names] for result in (looped(*case) for case in cases())])
    for column, name in enumerate(names):
        np.testing.assert_allclose(found[:, column], expected[:, column], rtol=1e-9, atol=1e-12, err_msg=name)


def test_accuracy_brier_and_nll_of_random_cases_are_those_of_sklearn():
    found, expected = [], []
    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        for probabilities, labels, n_bins, binning in some_cases():
            result = sums_only(probabilities, labels, n_bins, binning)
            found.append([result["accuracy"], result["brier"], result["nll"]])
            classes = range(probabilities.shape[1])
            clipped = np.clip(probabilities, 1e-12, 1)
            clipped /= clipped.sum(axis=1, keepdims=True)  # sklearn asks for rows that sum to 1: moves nll by 1e-11
            expected.append(
                [
                    accuracy_score(labels, probabilities.argmax(axis=1)),
                    brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False),
                    log_loss(labels, clipped, labels=classes),
                ]
            )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def their_bin(n_bins):
    """torchmetrics: [lower, upper) in single precision; a confidence of exactly 1 has a bin of its own, the last."""
    edges = torch.linspace(0, 1, n_bins + 1).tolist()
    return lambda value: bisect_right(edges, value) - 1


def test_ece_and_mce_of_random_cases_are_those_of_torchmetrics_but_for_its_borders():
    """They agree wherever no confidence lies on an edge, and everywhere once ours are put into its bins."""
    compared = 0
    for probabilities, labels, n_bins, _ in some_cases():
        preds, target = torch.from_numpy(probabilities), torch.from_numpy(labels)
        options = {"num_classes": probabilities.shape[1], "n_bins": n_bins, "validate_args": False}
        theirs = [float(multiclass_calibration_error(preds, target, norm=norm, **options)) for norm in ("l1", "max")]
        confidence = probabilities.max(axis=1)
        single, hits = confidence.astype(np.float32).tolist(), (probabilities.argmax(axis=1) == labels).tolist()
        bins = gaps(single, hits, their_bin(n_bins))
        assert [error(bins), max(abs(hit - value) for _, hit, value in bins)] == pytest.approx(theirs, abs=1e-5)
        if np.abs(confidence * n_bins - np.round(confidence * n_bins)).min() > 1e-5:
            compared += 1
            ours = sums_only(probabilities, labels, n_bins, "equal-width")
            assert [ours["ece"], ours["mce"]] == pytest.approx(theirs, abs=1e-5)
    assert compared > CASES / 7 / 20


@pytest.mark.parametrize(
    ("probabilities", "labels", "ours", "theirs"),
    [
        # 1 and 0.95: ours both in (0.9, 1]; theirs apart, since 1 is beyond their last bin [0.9, 1)
        ([[1, 0], [0.95, 0.05]], [1, 0], abs(0.5 - 0.975), (1 + 0.05) / 2),
        # 0.8 and 0.75: ours both in (0.7, 0.8]; theirs in [0.8, 0.9) and [0.7, 0.8)
        ([[0.8, 0.2], [0.75, 0.25]], [1, 0], abs(0.5 - 0.775), (0.8 + 0.25) / 2),
        # 0.8 and 0.85: ours in (0.7, 0.8] and (0.8, 0.9]; theirs both in [0.8, 0.9)
        ([[0.8, 0.2], [0.85, 0.15]], [1, 0], (0.8 + 0.15) / 2, abs(0.5 - 0.825)),
    ],
)
def test_torchmetrics_disagrees_at_one_and_on_borders(probabilities, labels, ours, theirs):
    assert scores(probabilities, labels)["ece"] == pytest.approx(ours)
    preds, target = torch.tensor(probabilities, dtype=torch.float64), torch.tensor(labels)
    assert float(multiclass_calibration_error(preds, target, num_classes=2, n_bins=10)) == pytest.approx(theirs)


def test_smooth_ece_is_that_of_relplot():
    for number, (probabilities, labels, n_bins, binning) in enumerate(cases()):
        if number == 100:
            break
        correct = (probabilities.argmax(axis=1) == labels) * 1.0
        found = scores(probabilities, labels, n_bins=n_bins, binning=binning)["smooth_ece"]
        assert found == smECE(probabilities.max(axis=1), correct)
        assert 0 <= found <= 1


def test_smooth_ece_is_the_definition_of_its_paper():
    """The integral of the smoothed residual, by a reflected Gaussian kernel, at the width that equals the error."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=300)
    correct = rng.random(300) < confidence**2
    grid = (np.arange(4000) + 0.5) / 4000
    images = (
        np.concatenate([confidence + 2 * shift for shift in range(-2, 3)]),
        np.concatenate([2 * shift - confidence for shift in range(-2, 3)]),
    )

    def at(sigma):
        kernel = sum(
            np.exp(-((grid[:, None] - image) ** 2) / (2 * sigma**2)).reshape(len(grid), -1, 300).sum(axis=1)
            for image in images
        ) / (sigma * math.sqrt(2 * math.pi))
        return np.abs(kernel @ (correct - confidence) / 300).mean()

    assert smECE_sigma(confidence, correct * 1.0, 0.1) == pytest.approx(at(0.1), abs=2e-3)
    low, high = 0.001, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if at(middle) <= middle else (middle, high)
    assert smooth_ece(confidence, correct) == pytest.approx(high, abs=3e-3)


def test_debiased_ece_is_the_mean_of_its_sources_resampling():
    """Kumar et al. draw the accuracy of each bin from a normal, many times; 2 * ECE - mean of those ECEs."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, size=200)
    probabilities, labels = np.column_stack([confidence, 1 - confidence]), (rng.random(200) > confidence) * 1
    bins = gaps(confidence.tolist(), (labels == 0).tolist(), our_bin([i / 10 for i in range(11)]))
    count, hit, value = np.array(bins).T
    accuracies = rng.normal(hit, np.sqrt(hit * (1 - hit) / count), size=(400_000, len(count)))
    resampled = (np.abs(accuracies - value) @ count / 200).mean()
    result = scores(probabilities, labels)
    assert result["debiased_ece"] == pytest.approx(2 * result["ece"] - resampled, abs=2e-4)
