"""Masks of many examples in, class probabilities out: repeated masks are dropped, batches are shared by examples."""

import inspect
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import numpy as np

from trusteq.attribution.features import Features
from trusteq.models.probabilities import check_output

Question = tuple[Features, np.ndarray]  # an example and masks of its features, (n, features)
# Examples explained side by side. On a CPU one fills a batch; alone, its last digits depend on no other example.
WINDOW = {"cuda": 128}
TEXTS_AT_ONCE = 1024  # given to a callable


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
        return [self._answer(example, masks) for example, masks in questions]

    def start(self, questions: Sequence[Question]) -> Callable[[], list[np.ndarray]]:
        """Return a function that returns what `predict` returns, which is known already."""
        found = self.predict(questions)
        return lambda: found

    def _answer(self, example: Features, masks: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(masks), TEXTS_AT_ONCE):  # masked as they are asked: arrays take much memory
            chunk = masks[start : start + TEXTS_AT_ONCE]
            parts.append(check_output(self.predict_proba(*example.texts(chunk)), len(chunk), self.labels))
        return np.concatenate(parts)


def answer(predictor, methods: Sequence[tuple[Features, Generator | np.ndarray]]) -> list:
    """Run the methods of several examples side by side; return what each of them returns, as `answering` does."""
    (found,) = in_turns([answering(predictor, methods)], 1)
    return found


def in_turns(works: Iterable[Generator], most: int) -> Iterator:
    """Yield what each work returns, as it ends: `most` of them at a time, in turns, each up to where it waits.

    Of two, one prepares its next questions while a GPU answers those of the other.
    """
    ahead = iter(works)
    running = deque(itertools.islice(ahead, most))
    while running:
        work = running.popleft()
        try:
            next(work)
            running.append(work)
        except StopIteration as finished:
            running.extend(itertools.islice(ahead, 1))
            yield finished.value


def answering(predictor, methods: Sequence[tuple[Features, Generator | np.ndarray]]) -> Generator[None, None, list]:
    """Run the methods of several examples side by side; pause whenever the model is at work, return what each returns.

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
        finished = predictor.start([(methods[number][0], masks) for number, masks in new.items()]) if new else list
        yield
        for number, probabilities in zip(new, finished(), strict=True):
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
