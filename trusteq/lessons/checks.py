"""Self-checks of the lessons: what is wrong with an answer, never the answer.

A check returns what it found and raises nothing, so that "run all" in class reaches the end of a page whose exercises
are not solved yet; a notebook shows what it returns, and a test reads `Feedback.right`.
"""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trusteq.errors import ExperimentError, nearest
from trusteq.lessons.keys import KEYS, Key, NotYet

_UNANSWERED = "put your answer where the three dots are, and run the cell"


@dataclass(frozen=True)
class Feedback:
    """Whether an answer is right, and what to look at where it is not."""

    right: bool
    text: str = ""

    def __str__(self) -> str:
        return "Right." if self.right else f"Not yet: {self.text}."

    def _repr_markdown_(self) -> str:
        return "✓ **Right.**" if self.right else f"✗ **Not yet:** {self.text}."


def check(exercise: str, answer: object, *given: object) -> Feedback:
    """Return whether an answer is right.

    exercise: its label. given: what the answer is to be found from. Raises ExperimentError for an unknown exercise, and
    nothing for any answer.
    """
    key_of = _key_of(exercise)
    try:
        wrong = _UNANSWERED if answer is ... or answer is None else what_is_wrong(answer, key_of(*given))
    except NotYet as error:
        wrong = str(error)
    return Feedback(not wrong, wrong)


def right_answer(exercise: str, *given: object) -> object:
    """Return the answer of an exercise, with which a lesson goes on whatever was answered."""
    return _key_of(exercise)(*given).right


def _key_of(exercise: str):
    if exercise not in KEYS:
        raise ExperimentError(f"no exercise {exercise!r}; {nearest(exercise, KEYS)}")
    return KEYS[exercise]


def what_is_wrong(answer: object, key: Key) -> str:
    """Return what to look at in an answer, the empty text where it is right."""
    if isinstance(key.right, Set):
        return _wrong_set(answer, key)
    return (_wrong_texts if isinstance(key.right, str | tuple) else _wrong_numbers)(answer, key)


def _wrong_set(answer: object, key: Key) -> str:
    if not isinstance(answer, Set):
        return f"a set is wanted, such as set(...); this is of type {type(answer).__name__}"
    if answer == key.right:
        return ""
    if said := next((said for said, wrong in key.mistakes.items() if answer == wrong), ""):
        return said
    if texts := sorted(of for of in answer - key.right if isinstance(of, str)):
        return f"places are wanted, counted from 0, and not words such as {texts[0]!r}"
    if len(answer) != len(key.right):
        return f"the set has {len(answer)} elements, and should have {len(key.right)}"
    return f"of the {len(answer)} elements {len(answer - key.right)} should not be there"


def _wrong_texts(answer: object, key: Key) -> str:
    if isinstance(key.right, str):
        if not isinstance(answer, str):
            return f"a text in quotes is wanted; this is of type {type(answer).__name__}"
        return "" if answer == key.right else key.mistakes.get(answer, f"{answer!r} is not it")
    answer = answer.tolist() if isinstance(answer, np.ndarray | pd.Series) else answer
    if not isinstance(answer, list | tuple) or len(answer) != len(key.right):
        return f"a list of {len(key.right)} words is wanted, one for each row"
    rows = [str(row) for row, (given, right) in enumerate(zip(answer, key.right, strict=True)) if given != right]
    said = next((said for said, wrong in key.mistakes.items() if tuple(answer) == wrong), "")
    return said or (f"look again at row {', '.join(rows)} (rows count from 0)" if rows else "")


def _wrong_numbers(answer: object, key: Key) -> str:
    right, what = np.asarray(key.right, dtype=float), "one number" if np.ndim(key.right) == 0 else "an array of numbers"
    try:
        value = np.asarray([] if isinstance(answer, str | Set) else answer, dtype=float)
    except (TypeError, ValueError):
        value = np.array([])
    if not value.size:
        return f"{what} is wanted; this is of type {type(answer).__name__}"
    mistakes = {said: np.asarray(wrong, dtype=float) for said, wrong in key.mistakes.items()}
    mistakes |= {"this is in percent; a share, from 0 to 1, is wanted": 100 * right, "the sign is turned round": -right}
    found = {"": right} | mistakes
    said = next((said for said, of in found.items() if _same(value, of, key.tolerance)), None)
    return _where(value, right, what, key.tolerance) if said is None else said


def _same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=tolerance)


def _where(value: np.ndarray, right: np.ndarray, what: str, tolerance: float) -> str:
    """Return where numbers go wrong that show none of the known mistakes."""
    if value.shape != right.shape:
        return f"{what} is wanted, of shape {right.shape}; this has the shape {value.shape}"
    if np.isnan(value).any():
        return "this is not a number (nan): a nan was added, such as an empty bin's gap, or 0 was divided by 0"
    if not right.ndim:
        return "this is too large" if value > right else "this is too small"
    if _same(np.sort(value), np.sort(right), tolerance):
        return "the numbers are right, and stand in another order"
    off = ~np.isclose(value, right, rtol=1e-9, atol=tolerance)
    return f"{off.sum()} of {off.size} numbers are off, the first at place {np.flatnonzero(off)[0]} (counted from 0)"
