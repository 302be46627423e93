"""The keys of the lessons' exercises: the right answer from what is given, and what common mistakes would find."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import chance_jaccard, jaccard
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED, overall

Z = 1.959964  # of a 95% interval of a mean


@dataclass(frozen=True)
class Key:
    """right: a number, array, set, text or tuple of texts. mistakes: what to say, and the answer that shows it.

    tolerance: by how much a number may be off. For a text `mistakes` has what is said of each wrong one.
    """

    right: object
    mistakes: Mapping = field(default_factory=dict)
    tolerance: float = 1e-6


class NotYet(Exception):
    """What an answer is to be checked with does not work yet; the text says what."""


def confidence(p: np.ndarray, labels: np.ndarray) -> Key:
    of_label = "this is the probability of the gold label; the confidence is the largest one, right or wrong"
    of_class = "these are numbers of classes, as argmax gives them; the confidence is the probability itself"
    return Key(p.max(axis=1), {of_label: p[np.arange(len(p)), labels], of_class: p.argmax(axis=1)})


def gap(sure: np.ndarray, right: np.ndarray, low: float, high: float) -> Key:
    inside = (sure > low) & (sure <= high)
    accuracy, mean = right[inside].mean(), sure[inside].mean()
    mistakes = {"this is the gap over all predictions; keep those inside the bin": right.mean() - sure.mean()}
    mistakes |= {"this is the accuracy alone": accuracy, "this is the mean confidence alone": mean}
    return Key(accuracy - mean, mistakes)


def ece(table: pd.DataFrame) -> Key:
    filled = table[table["count"] > 0]
    gaps, signed = filled["gap"].abs(), (filled["share"] * filled["gap"]).sum()
    mistakes = {"take absolute values first, since gaps of both signs would cancel": signed}
    mistakes |= {"take absolute values before the sum, since gaps of both signs would cancel": -signed}
    mistakes |= {"this is the largest gap, which is the MCE": gaps.max()}
    mistakes |= {"every bin counts the same here; weigh it by its share of the predictions": gaps.mean()}
    mistakes |= {"empty bins count here as well as full ones; weigh each by its share": gaps.sum() / len(table)}
    mistakes |= {"this weighs by counts; weigh by shares, which add up to 1": (filled["count"] * gaps).sum()}
    return Key((filled["share"] * gaps).sum(), mistakes)


def luck(drawn: np.ndarray, measured: float) -> Key:
    mistakes = {"this is how often luck gives less; how often does it give as much": (drawn < measured).mean()}
    return Key((drawn >= measured).mean(), mistakes | {"this is a count; a share is wanted": (drawn >= measured).sum()})


def ask(predict: Callable, words: Sequence[str], masks: np.ndarray) -> Key:
    p = predict([" ".join(itertools.compress(words, mask)) for mask in masks])
    of_left_out = predict([" ".join(itertools.compress(words, ~mask)) for mask in masks])
    mistakes = {"these are the probabilities of the first class, negative": p[:, 0]}
    return Key(p[:, 1], mistakes | {"the words are kept here that the mask leaves out": of_left_out[:, 1]})


def nearness(masks: np.ndarray) -> Key:
    distance = 1 - np.sqrt(masks.mean(axis=1))
    mistakes = {"these are the distances; nearness falls with them": distance}
    mistakes |= {"the distance counts in hundredths: multiply it by 100": np.exp(-(distance**2) / (2 * 25**2))}
    mistakes |= {"look at the 2 below the fraction's line": np.exp(-((100 * distance) ** 2) / 25**2)}
    rootless = np.exp(-((100 * (1 - masks.mean(axis=1))) ** 2) / (2 * 25**2))
    mistakes |= {"the distance is 1 less the square root of the share": rootless}
    return Key(np.exp(-((100 * distance) ** 2) / (2 * 25**2)), mistakes)


def slopes(masks: np.ndarray, p: np.ndarray, near: np.ndarray) -> Key:
    line, flat = _line(masks, p, near), _line(masks, p, np.ones(len(p)))
    mistakes = {"the first number is the intercept, which is no word's weight: leave it out": line}
    mistakes |= {"every masked text counts the same here; multiply both sides by the root of nearness": flat[1:]}
    mistakes |= {"multiply by the root of nearness, not by itself": _line(masks, p, near**2)[1:]}
    root, even = np.sqrt(near), np.ones(len(p))
    mistakes |= {"the target is multiplied here, and the table is not": _line(masks, p * root, even)[1:]}
    mistakes |= {"the table is multiplied here, and the target is not": _line(masks, p / root, near)[1:]}
    return Key(line[1:], mistakes)


def _line(masks: np.ndarray, p: np.ndarray, near: np.ndarray) -> np.ndarray:
    root, columns = np.sqrt(near), np.column_stack([np.ones(len(masks)), masks])
    return np.linalg.lstsq(columns * root[:, None], p * root, rcond=None)[0]


def top(weights: np.ndarray, k: int) -> Key:
    first, signed, least = (set(np.argsort(of)[:k].tolist()) for of in (-np.abs(weights), -weights, np.abs(weights)))
    mistakes = {"these are the words that speak for the class; one that speaks against it counts as much": signed}
    return Key(first, mistakes | {"these are the words with the smallest weights": least})


def itself(tops: Sequence[frozenset]) -> Key:
    pairs = [jaccard(a, b) for a, b in itertools.combinations(tops, 2)]
    everything = np.mean([jaccard(a, b) for a, b in itertools.product(tops, tops)])
    first = np.mean([jaccard(tops[0], b) for b in tops[1:]])
    mistakes = {"a set is compared with itself here, which gives 1; take pairs of two runs": everything}
    return Key(np.mean(pairs), mistakes | {"these are the pairs with the first run; take all pairs": first})


def joins(value: Mapping, word: int, others: frozenset) -> Key:
    mistakes = {"this is what the word adds when it is alone": value[frozenset({word})] - value[frozenset()]}
    mistakes |= {"this is the probability with the word; subtract the one without it": value[others | {word}]}
    return Key(value[others | {word}] - value[others], mistakes)


def shapley(value: Mapping, n: int) -> Key:
    everyone, nobody = frozenset(range(n)), frozenset()
    adds = np.array([_adds(value, order) for order in itertools.permutations(range(n))])
    plain = [np.mean([value[s | {i}] - value[s] for s in _subsets(n) if i not in s]) for i in range(n)]
    mistakes = {
        "this leaves out one word at a time (occlusion)": [value[everyone] - value[everyone - {i}] for i in range(n)],
        "this is what each word adds alone": [value[frozenset({i})] - value[nobody] for i in range(n)],
        "this is a sum over the orders; take the mean": adds.sum(axis=0),
        "every subset counts the same here (Banzhaf's value); average over orders": plain,
    }
    return Key(adds.mean(axis=0), mistakes)


def _adds(value: Mapping, order: Sequence[int]) -> list[float]:
    """Return what each word adds when it joins in this order, by the word's place."""
    worth = [value[frozenset(order[:step])] for step in range(len(order) + 1)]
    return [worth[step + 1] - worth[step] for step in map(order.index, range(len(order)))]


def _subsets(n: int) -> list[frozenset]:
    return [frozenset(of) for size in range(n + 1) for of in itertools.combinations(range(n), size)]


def own(model: Callable, words: Sequence[str]) -> Key:
    try:
        value = {of: float(model([words[i] for i in sorted(of)])) for of in _subsets(len(words))}
    except Exception as error:
        raise NotYet(f"your model gives no number for every list of words ({type(error).__name__}: {error})") from None
    if not all(0 <= p <= 1 for p in value.values()):
        raise NotYet("your model gives numbers that are no probabilities, from 0 to 1")
    return shapley(value, len(words))


def share_of_two(a: frozenset, b: frozenset) -> Key:
    mistakes = {"divide by the union, which counts a shared element once": len(a & b) / (len(a) + len(b))}
    return Key(jaccard(a, b), mistakes | {"divide by the union, not by the size of one set": len(a & b) / len(a)})


def chance(n: int, k: int) -> Key:
    shared = k * k / n
    mistakes = {
        "this is the Jaccard index of the mean overlap; take the mean of the indices": shared / (2 * k - shared)
    }
    mistakes |= {"this is k / n, the share of one set that is shared; the union is larger than a set": k / n}
    level, n_sets = chance_jaccard(n, k), math.comb(n, k)
    if n_sets > 1:
        of_different = (level * n_sets - 1) / (n_sets - 1)
        mistakes |= {"two blind choices may be the same set, so these pairs count as well": of_different}
    return Key(level, mistakes | {"this is how many are shared on average": shared})


def mean_chance(n_words: Sequence[int], k: int) -> Key:
    bent = "the curve is bent: take the mean of the levels, not the level of the mean length"
    levels = [chance_jaccard(n, k) for n in n_words]
    return Key(np.mean(levels), {bent: chance_jaccard(round(np.mean(n_words)), k)})


def place(seen: float, chance: float, ceiling: float) -> Key:
    mistakes = {"this is how far it is above chance; divide by how far one can come": seen - chance}
    mistakes |= {"this is a share of the ceiling; the scale begins at chance, not at 0": seen / ceiling}
    mistakes |= {"this is where it would lie if the ceiling were 1": (seen - chance) / (1 - chance)}
    return Key((seen - chance) / (ceiling - chance), mistakes)


def paired(large: np.ndarray, small: np.ndarray) -> Key:
    change, n = small.astype(float) - large, len(large)
    ends, apart = np.array([-Z, Z]), np.sqrt(large.var() + small.var()) / np.sqrt(n)
    mistakes = {"the models saw the same examples: take the spread of the differences, not of each": ends * apart}
    mistakes |= {"this is the spread of one example; divide by the root of their number": ends * change.std()}
    mistakes |= {"this is one standard error to each side; 95% take 1.96": ends / Z * change.std() / np.sqrt(n)}
    mistakes = {said: change.mean() + of for said, of in mistakes.items()}
    half = Z * change.std() / np.sqrt(n)
    return Key(change.mean() + np.array([-half, half]), mistakes, tolerance=2e-5 + half / n)  # sd by n or by n - 1


def outcomes(low: Sequence[float], high: Sequence[float], margin: float) -> Key:
    ends = list(zip(low, high, strict=True))
    zero = tuple(EQUIVALENT if a <= 0 <= b else DIFFERENT for a, b in ends)
    mistakes = {"this asks whether 0 is inside; ask where the interval lies beside the margin": zero}
    return Key(tuple(_outcome(a, b, margin) for a, b in ends), mistakes)


def _outcome(low: float, high: float, margin: float) -> str:
    if -margin <= low and high <= margin:
        return EQUIVALENT
    return DIFFERENT if low > margin or high < -margin else UNDECIDED


def needed(difference: float, spread: float, margin: float) -> Key:
    root = Z * spread / (margin - abs(difference))
    part = "the difference uses up a part of the margin; what is left is margin less |difference|"
    mistakes = {part: (Z * spread / margin) ** 2, "square it: the interval shrinks with the root of n": root}
    return Key(root**2, mistakes, tolerance=0.002 * root**2 + 1)


def verdict(found: Sequence[str]) -> Key:
    said = {
        EQUIVALENT: "every measure has to be within its margin for that",
        UNDECIDED: "that is so where no measure is beyond its margin, and one is open",
        DIFFERENT: "that takes one measure at least that is wholly beyond its margin",
    }
    return Key(overall(found), said)


def flips(large: np.ndarray, small: np.ndarray) -> Key:
    mistakes = {"these are the changes both ways; count those from right to wrong": (large != small).mean()}
    mistakes |= {"this is the net change in accuracy, in which flips both ways cancel": large.mean() - small.mean()}
    mistakes |= {"this is a share of what the large model gets right; take all inputs": (~small)[large].mean()}
    return Key((large & ~small).mean(), mistakes | {"these go from wrong to right": (~large & small).mean()})


def beside_twin(large: np.ndarray, small: np.ndarray, twin: np.ndarray) -> Key:
    mistakes = {"this is how often the small model answers otherwise; subtract the twin's": (small != large).mean()}
    mistakes |= {"hold the small model and the twin each beside the large one": (small != twin).mean()}
    return Key((small != large).mean() - (twin != large).mean(), mistakes)


def risk(sure: np.ndarray, lost: np.ndarray, threshold: float) -> Key:
    alone = sure >= threshold
    mistakes = {"this is the risk among what it answers; the promise is about all inputs": lost[alone].mean()}
    mistakes |= {"these are all its negative flips; what is handed over is not lost": lost.mean()}
    return Key((alone & lost).mean(), mistakes | {"this is the share it answers alone": alone.mean()})


KEYS: dict[str, Callable[..., Key]] = {
    "cal-confidence": confidence,
    "cal-gap": gap,
    "cal-ece": ece,
    "cal-luck": luck,
    "lime-ask": ask,
    "lime-nearness": nearness,
    "lime-slopes": slopes,
    "lime-top": top,
    "lime-itself": itself,
    "shapley-joins": joins,
    "shapley-values": shapley,
    "shapley-own": own,
    "chance-two": share_of_two,
    "chance-small": chance,
    "chance-long": chance,
    "chance-mean": mean_chance,
    "chance-place": place,
    "eq-paired": paired,
    "eq-outcomes": outcomes,
    "eq-needed": needed,
    "audit-verdict": verdict,
    "audit-flips": flips,
    "audit-twin": beside_twin,
    "audit-risk": risk,
}
