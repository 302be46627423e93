"""Sequential audits: explain examples in blocks until the alignment is decided, or the budget ends.

How often to look is fixed beforehand, and each look may be wrong in a part of alpha only, so that the whole sequence is
wrong no more often than one look would be: alpha spending. The interval shown is the one of that look's alpha, a
repeated confidence interval: it holds the truth as often as it says, whatever made the sequence stop.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trusteq.estimates import TAIL
from trusteq.modality import known_by
from trusteq.statistics import stream
from trusteq.verdict.margins import UNDECIDED

if TYPE_CHECKING:
    from trusteq.verdict.comparison import Explained

LOOKS = 5
_NODES = 256  # of each integral
_FAR = 8.0  # standard deviations below which no path is followed, 1e-15 of them
_FURTHEST = 37.0  # and above which no number is left

Sides = tuple["Explained", "Explained"]


@dataclass(frozen=True, eq=False)
class Stopped:
    """Where a sequence of looks ended.

    sides: the explanations of both models, of all blocks up to there. alpha: of each end of the interval to be shown.
    looks: a row for each that was planned: examples (explained by then), spent (of TAIL, by then), alpha (of each end
    of this look's interval), outcome (missing from the looks that were not needed).
    """

    sides: Sides
    alpha: float
    looks: pd.DataFrame

    @property
    def note(self) -> str:
        """Where it ended, in a sentence."""
        taken = self.looks.dropna(subset="outcome")
        examples, spent = taken[["examples", "spent"]].iloc[-1]
        return (
            f"Stopped at look {len(taken)} of {len(self.looks)}, with {examples:.0f} of at most "
            f"{self.looks['examples'].iloc[-1]} examples explained; each end of the interval has spent {spent:.2g} of "
            f"{TAIL:.2g}."
        )


def until_decided(
    examples: pd.DataFrame,
    explain: Callable[[pd.DataFrame], Iterable["Explained"]],
    outcome: Callable[["Explained", "Explained", float], str],
    *,
    seed: int = 0,
    n_looks: int = LOOKS,
) -> Stopped:
    """Explain block after block of examples until a look at what is explained so far decides, or none are left.

    examples: all that may be explained, id and text_a. explain: a block of them -> what is known of both models, whose
    clusters are first texts. outcome: what is explained so far of both, and the alpha of each end of the interval -> a
    decision; it is not asked before a word is explained. seed: of the order, see `blocks`.
    """
    parts = blocks(examples, at=looks(len(examples), n_looks), seed=seed)
    stops = np.cumsum(list(map(len, parts)))
    fractions = stops / len(examples)
    alphas, said, found = tails(fractions), [], []
    for part, alpha in zip(parts, alphas, strict=True):
        found.append(tuple(explain(examples.iloc[part])))
        sides = tuple(_joined(of, examples) for of in zip(*found, strict=True))
        said.append(outcome(*sides, alpha) if len(sides[0].first.label) else UNDECIDED)
        if said[-1] != UNDECIDED:
            break
    planned = pd.DataFrame({"examples": stops, "spent": spent(fractions), "alpha": alphas})
    return Stopped(sides, alpha, planned.join(pd.Series(said, name="outcome", dtype=object)))


def looks(budget: int, n_looks: int = LOOKS) -> list[int]:
    """Return after how many examples to look, in equal steps up to the budget; fewer looks for a smaller budget."""
    return sorted({-(-budget * look // n_looks) for look in range(1, n_looks + 1)})


def blocks(examples: pd.DataFrame, *, at: ArrayLike, seed: int) -> list[np.ndarray]:
    """Return the rows of each block: all examples of a first text together, the texts in an order drawn with `seed`.

    at: numbers of examples, rising, the last of them all. A block ends with the text in which that number is reached,
    so there are fewer blocks where one text has the examples of several. The order of the rows moves no text.
    """
    codes = np.unique(known_by(examples), return_inverse=True)[1]
    order = stream(seed, "audit", "order").permutation(codes.max() + 1)
    ends = np.bincount(codes)[order].cumsum()
    rows = np.argsort(np.argsort(order)[codes], kind="stable")
    return np.split(rows, np.unique(ends[np.searchsorted(ends, at)])[:-1])


def _joined(parts: Sequence["Explained"], examples: pd.DataFrame) -> "Explained":
    """Return what is known from several blocks as if they had been explained at once."""
    from trusteq.alignment.ranking import Ranking
    from trusteq.attribution.explain import together

    def ranking(of: list[Ranking]) -> Ranking:
        return Ranking(together([one.attributions for one in of]), pd.concat([one.label for one in of]))

    first, again = ranking([of.first for of in parts]), [of.again for of in parts]
    texts = pd.Series(known_by(examples), index=examples["id"])[first.label.index]
    is_clustered = any(of.clusters is not None for of in parts)  # no text is in two blocks
    return replace(
        parts[0],
        first=first,
        again=None if again[0] is None else ranking(again),
        clusters=texts if is_clustered else None,
    )


def spent(fraction: ArrayLike, alpha: float = TAIL) -> np.ndarray:
    """Return how much of alpha, at one end of the interval, is spent by a fraction of the examples, in (0, 1].

    Nearly nothing at first, so that the last look is nearly as sharp as a single one.
    Source: Lan and DeMets (1983), Discrete Sequential Boundaries for Clinical Trials, the first of their functions,
    like the boundaries of O'Brien and Fleming (1979).
    """
    from scipy.special import ndtr, ndtri

    return 2 * ndtr(ndtri(alpha / 2) / np.sqrt(fraction))


def tails(fractions: ArrayLike, alpha: float = TAIL) -> list[float]:
    """Return the alpha of each look, so that by then `spent` of sequences have missed the truth, at either end.

    fractions: of the examples at each look, rising to 1. Sums over independent units have, at several looks, the joint
    distribution of a Brownian motion; that they are studentised is met by asking the same level of Student's t. Levels
    that add up to alpha need no joint distribution, and cost up to 15 points of power (benchmarks/sequential.py).
    Source: Armitage, McPherson and Rowe (1969), Repeated Significance Tests on Accumulating Data, for the integrals;
    Jennison and Turnbull (2000), Group Sequential Methods, chapter 11, "Group Sequential t-Tests", for levels;
    Jennison and Turnbull (1989), Interim Analyses: The Repeated Confidence Interval Approach, for the intervals.
    """
    from scipy.special import ndtr

    fractions = np.asarray(fractions, dtype=np.float64)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    places, mass, found = np.zeros(1), np.ones(1), []  # of the paths that have passed no border yet
    steps, spends = np.sqrt(np.diff(fractions, prepend=0)), np.diff(spent(fractions, alpha), prepend=0)
    for scale, step, spend in zip(np.sqrt(fractions), steps, spends, strict=True):
        border = _border(places, mass, step, spend)
        found.append(float(ndtr(-border / scale)))
        half = (border + _FAR * scale) / 2
        reached = border - half + half * nodes
        density = np.exp(-(((reached[:, None] - places) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        places, mass = reached, half * weights * (density @ mass)
    return found


def _border(places: np.ndarray, mass: np.ndarray, step: float, spend: float) -> float:
    """Return what is passed with probability `spend` after a normal step, of deviation `step`, from these places."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    far = _FURTHEST * step
    return brentq(lambda at: mass @ ndtr((places - at) / step) - spend, places.min() - far, places.max() + far)
