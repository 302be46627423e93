"""The one segmentation of a text into words, shared by every model, method, table and page.

A word is a maximal run of word characters (`\\w`). Punctuation and white space are never features and always stay.
"""

import re
from collections.abc import Sequence

WORD = re.compile(r"\w+")


def spans(text: str | None) -> list[tuple[int, int]]:
    """Return the (start, end) character offsets of the words of `text`, in order; none for None."""
    return [match.span() for match in WORD.finditer(text or "")]


def words(text: str | None) -> list[str]:
    """Return the words of `text`, in order; none for None."""
    return WORD.findall(text or "")


def mask(text: str, keep: Sequence[bool], replacement: str = "") -> str:
    """Return `text` with `replacement` for each word whose entry in `keep` is false, white space collapsed.

    keep: one truth value per word of `text`. replacement: "" deletes the word.
    """
    pieces, end = [], 0
    for (start, stop), kept in zip(spans(text), keep, strict=True):
        pieces += (text[end:start], text[start:stop] if kept else replacement)
        end = stop
    return " ".join("".join((*pieces, text[end:])).split())
