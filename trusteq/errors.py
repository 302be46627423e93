"""Errors a user can mend: each message is one line that says what is wrong, where, and how to mend it."""

import difflib
from collections.abc import Iterable


class TrusteqError(Exception):
    """Base of all errors caused by input; the command line prints its one line and exits with code 2."""


class DataError(TrusteqError):
    """Examples, labels or probabilities that cannot be used."""


class ModelError(TrusteqError):
    """A checkpoint or a callable that cannot serve as a classifier."""


class ExperimentError(TrusteqError):
    """An experiment file, a task, a model, a method or a parameter that does not exist or does not fit."""


class ArtefactError(TrusteqError):
    """A result that is missing, damaged or not the one its manifest describes."""


def nearest(name: object, choices: Iterable[str]) -> str:
    """Return a hint that names the choice closest to `name`, then all choices."""
    known = sorted(str(choice) for choice in choices)
    by_case = {choice.casefold(): choice for choice in known}
    close = difflib.get_close_matches(str(name).casefold(), by_case, n=1, cutoff=0.5)
    guess = f"did you mean {by_case[close[0]]!r}? " if close else ""
    return f"{guess}known: {', '.join(known) or 'none'}"


ERROR_MARK = "trusteq error: "


def error_line(error: TrusteqError) -> str:
    """Return the one line that the command line prints for an error, and that `parse_error_line` reads back."""
    return f"{ERROR_MARK}{type(error).__name__}: {error}"


def parse_error_line(line: str) -> TrusteqError | None:
    """Return the error that `error_line` wrote, None for any other line."""
    kind, _, message = line.removeprefix(ERROR_MARK).partition(": ")
    return globals()[kind](message) if line.startswith(ERROR_MARK) and kind in globals() else None
