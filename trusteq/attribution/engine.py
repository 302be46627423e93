"""Masks of many examples in, class probabilities out: repeated masks are dropped, batches are shared by examples.

Of an example enough may be known before its budget is spent: when its top words are stable.
"""

import inspect
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np

from trusteq.alignment.ranking import drawn_jaccards
from trusteq.attribution.features import Features
from trusteq.models.probabilities import check_output
from trusteq.statistics import stream

Question = tuple[Features, np.ndarray]  # an example and masks of its features, (n, features)
# Examples explained side by side. On a CPU one fills a batch; alone, its last digits depend on no other example.
WINDOW = {"cuda": 128}
TEXTS_AT_ONCE = 1024  # given to a callable
FIRST_LOOK, DRAWS = 128, 500  # masks before the first look at whether they are enough; draws of what weights may be
EXAMPLES, QUANTILE = 100, 1.645  # over so many examples, or more, a tolerance holds; of a lower 95% bound


def window(classifier) -> int:
    """Return how many examples are explained side by side on a classifier's device; 1 of a callable, which has none."""
    device = getattr(getattr(classifier, "model", None), "device", None)
    return WINDOW.get(getattr(device, "type", None), 1)


class TextPredictor:
    """Asks a callable, texts to probabilities, about masks."""

    window, classifier = 1, None

    def __init__(self, predict_proba: Callable, labels: Sequence[str]):
        self.predict_proba, self.labels = predict_proba, tuple(labels)
        self.retokenised: set[str] = set()
        self.passes = 0

    def predict(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """Return the probabilities, (n, C), that answer each question; raise ModelError for what are none."""
        self.passes += sum(len(masks) for _, masks in questions)
        return [self._answer(example.texts(masks), len(masks)) for example, masks in questions]

    def _answer(self, texts: tuple[list | None, ...], n: int) -> np.ndarray:
        parts = []
        for start in range(0, n, TEXTS_AT_ONCE):
            chunk = slice(start, start + TEXTS_AT_ONCE)
            found = self.predict_proba(*(None if part is None else part[chunk] for part in texts))
            parts.append(check_output(found, min(TEXTS_AT_ONCE, n - start), self.labels))
        return np.concatenate(parts)


def answer(predictor, methods: Sequence[tuple[Features, Generator | np.ndarray]]) -> list:
    """Run the methods of several examples side by side; return what each of them returns.

    methods: an example and its method, at work: a generator that proposes masks, (n, features), and is sent
    probabilities, (n, C); or what a method that proposes none has returned.
    """
    results: list = [None if inspect.isgenerator(method) else method for _, method in methods]
    memories = {number: _Memory() for number, (_, method) in enumerate(methods) if inspect.isgenerator(method)}
    proposed = {number: None for number in memories}
    while proposed:
        asked = {}
        for number, probabilities in proposed.items():
            try:
                asked[number] = memories[number].propose(methods[number][1].send(probabilities))
            except StopIteration as finished:
                results[number] = finished.value
        new = {number: masks for number, masks in asked.items() if len(masks)}
        found = predictor.predict([(methods[number][0], masks) for number, masks in new.items()]) if new else []
        for number, probabilities in zip(new, found, strict=True):
            memories[number].learn(probabilities)
        proposed = {number: memories[number].recall() for number in asked}
    return results


class _Memory:
    """What is known of one example: a mask that was asked about is not asked about again."""

    def __init__(self):
        self.places: dict[bytes, int] = {}
        self.known: list[np.ndarray] = []
        self.wanted: np.ndarray | None = None

    def propose(self, masks: np.ndarray) -> np.ndarray:
        """Take masks, (n, features); return those that are new, each once."""
        packed = np.packbits(masks, axis=1)
        keys = packed.view(f"V{packed.shape[1]}").ravel().tolist()
        fresh = []
        for row, key in enumerate(keys):
            if key not in self.places:
                self.places[key] = len(self.places)
                fresh.append(row)
        self.wanted = np.array([self.places[key] for key in keys])
        return masks[fresh]

    def learn(self, probabilities: np.ndarray) -> None:
        """Take the probabilities, (n, C), of the masks that were new."""
        self.known.append(probabilities)

    def recall(self) -> np.ndarray:
        """Return the probabilities of the masks proposed last, in their order."""
        self.known = [np.concatenate(self.known)]
        return self.known[0][self.wanted]


class Found(NamedTuple):
    """What a method makes of the masks that it has asked about.

    returned: what it returns. weights: (features, classes). drawn: draws what they would be of infinitely many masks,
    (draws, features, classes).
    """

    returned: np.ndarray | tuple
    weights: np.ndarray
    drawn: Callable[[], np.ndarray]


def until_stable(
    masks: np.ndarray, find: Callable[[np.ndarray, np.ndarray], Found], stable: float | None
) -> Generator[np.ndarray, np.ndarray, object]:
    """Ask about masks in their order, all or until the top ten is stable; return what a method is to return.

    masks: (n, features). find: makes something of the masks asked about and their probabilities. stable: the
    `agreement` that is enough; with it, whether it stopped early is returned beside the rest.
    """
    probabilities: list[np.ndarray] = []
    start = 0
    for look in [len(masks)] if stable is None else looks(*masks.shape):
        probabilities.append((yield masks[start:look]))
        found, start = find(masks[:look], np.concatenate(probabilities)), look
        if look == len(masks) or agreement(found.weights, found.drawn()) >= stable:
            return found.returned if stable is None else (found.returned, look < len(masks))


def looks(n: int, n_features: int) -> list[int]:
    """Return after how many of `n` masks it is looked whether they are enough: 128, 192, 256, 384, 512 and so on.

    The first look comes at eight masks a feature: of few more masks than features, too little is known of the spread.
    """
    sizes = (FIRST_LOOK * step // 2 << doubled for doubled in range(n.bit_length()) for step in (2, 3))
    return [look for look in sizes if 8 * n_features <= look < n] + [n]


def agreement(weights: np.ndarray, drawn: np.ndarray) -> float:
    """Return the mean Jaccard index by which the top ten at least agrees with that of infinitely many masks.

    The mean is over the classes and over examples: what is expected of this one, less what the mean of 100 like it may
    lie lower by chance, at 95%. Examples each of which reaches a tolerance so reach it together, whatever they are.
    weights: (features, classes). drawn: (draws, features, classes), what they may be, each for itself. Together they
    are taken for normal around 0, so that of weights which are all noise no more than chance is expected.
    Source: Efron and Morris (1973), Stein's Estimation Rule and Its Competitors, for the empirical Bayes estimate.
    """
    centre, noise = drawn.mean(axis=0), drawn.var(axis=0).mean(axis=0)
    size = (centre**2).mean(axis=0)
    signal = np.clip(1 - np.divide(noise, size, out=np.zeros_like(size), where=size > 0), 0, 1)
    jaccards = drawn_jaccards(weights, drawn - (1 - np.sqrt(signal)) * centre).mean(axis=1)
    return float(jaccards.mean() - QUANTILE * jaccards.std() / np.sqrt(EXAMPLES))


def normal(*shape: int) -> np.ndarray:
    """Return standard normal numbers, (draws, *shape), always the same: two looks differ by what was asked alone."""
    return stream(0, "stable").standard_normal((DRAWS, *shape))
