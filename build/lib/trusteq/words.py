"""The one segmentation of a text into words, shared by every model, method, table and page.

A word is a maximal run of word characters (`\\w`). Punctuation and white space are never features and always stay.
"""

import re
from collections.abc import Sequence

import pandas as pd

WORD = re.compile(r"\w+")


def spans(text: str | None) -> list[tuple[int, int]]:
    """Return the (start, end) character offsets of the words of `text`, in order; none for None."""
    return [match.span() for match in WORD.finditer(text or "")]


def words(text: str | None) -> list[str]:
    """Return the words of `text`, in order; none for None."""
    return WORD.findall(text or "")


def by_place(examples: pd.DataFrame) -> dict[tuple[str, int, int], str]:
    """Return the words of examples by where they stand: (id, segment, position), each position within its text."""
    return {
        (row.id, segment, position): word
        for row in examples.itertuples()
        for segment, text in enumerate((row.text_a, row.text_b))
        for position, word in enumerate(words(text) if isinstance(text, str) else ())
    }


def of_tokens(
    texts: Sequence[str | None], segments: Sequence[int | None], offsets: Sequence[tuple[int, int]]
) -> list[int]:
    """Return the number of the first word that each token shares a character with; -1 for none.

    texts: one, or a pair. Words are counted through all of them, from 0. segments, offsets: of each token, as a fast
    tokenizer gives them: which text, None for special tokens, and its (start, end) there.
    """
    known = [(at, *span) for at, text in enumerate(texts) for span in spans(text)]
    found, after = [], 0  # tokens come in the order of the text, so words that lie behind stay behind
    for segment, (start, end) in zip(segments, offsets, strict=True):
        if segment is None:
            found.append(-1)
            continue
        while after < len(known) and (known[after][0], known[after][2]) <= (segment, start):
            after += 1
        inside = after < len(known) and known[after][0] == segment and known[after][1] < end
        found.append(after if inside else -1)
    return found


def mask(text: str, keep: Sequence[bool], replacement: str = "") -> str:
    """Return `text` with `replacement` for each word whose entry in `keep` is false, white space collapsed.

    keep: one truth value per word of `text`. replacement: "" deletes the word.
    """
    pieces, end = [], 0
    for (start, stop), kept in zip(spans(text), keep, strict=True):
        pieces += (text[end:start], text[start:stop] if kept else replacement)
        end = stop
    return " ".join("".join((*pieces, text[end:])).split())
