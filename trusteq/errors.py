"""Errors a user can mend: each message is one line that says what is wrong, where, and how to mend it."""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator

from trusteq.escapes import plain


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


@contextlib.contextmanager
def reading(
    kind: type[TrusteqError], where: object, hint: str, *, besides: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turn whatever a library throws at what it reads into one error of ours, which it caused.

    A library for a format promises no exceptions for files that are none: KeyError, RecursionError, OverflowError and
    panics of Rust, which are no Exception, all come. where: what is read. hint: how to mend it. besides: what is let
    through, as errors of ours are.
    """
    try:
        yield
    except (TrusteqError, *besides):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise kind(f"{where}: {said(error)}; {hint}") from error


def said(error: BaseException) -> str:
    """Return what an error of a library says, in one short line."""
    strerror = getattr(error, "strerror", None)
    text = shortened(" ".join(str(strerror or error).split()), 200)
    return text if isinstance(error, (OSError, ValueError)) and text else f"{type(error).__name__} {text}".strip()


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` letters, with dots in its middle where there are more."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[5 - most // 2 :]}"


ERROR_MARK = "trusteq error: "
_MOST_SHOWN = 2000  # letters of a line: a column may be called by a megabyte
_WORD = re.compile(r"\S{301,}")


def error_line(error: TrusteqError) -> str:
    """Return the one line that the command line prints for an error, and that `parse_error_line` reads back.

    What is long in it is shortened, and what acts in a terminal is spelled out.
    """
    message = _WORD.sub(lambda found: shortened(found[0], 120), plain(str(error)))
    return f"{ERROR_MARK}{type(error).__name__}: {shortened(message, _MOST_SHOWN)}"


def parse_error_line(line: str) -> TrusteqError | None:
    """Return the error that `error_line` wrote, None for any other line."""
    kind, _, message = line.removeprefix(ERROR_MARK).partition(": ")
    return globals()[kind](message) if line.startswith(ERROR_MARK) and kind in globals() else None
