"""The one segmentation of a text into words, shared by every model, method, table and page.

A word is a maximal run of word characters (`\\w`) with their combining marks, and with the joiners inside it in scripts
that write them. Punctuation, emoji and white space are never features and always stay. What is written without spaces
(Chinese, Japanese, Thai, Lao, Khmer, Burmese) is cut further: by ICU where the extra `words` is installed, otherwise by
character. A word is shown in Unicode's composed form, NFC; a model is given the text as it is written.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import pandas as pd

_PLAIN = re.compile(r"\w+")
_JOINERS = "\u200c\u200d"
# Scripts whose letters the joiners shape, Hebrew to Mongolian and the Indic ones; elsewhere they end a word.
_JOINED = (
    "\u0590-\u109f\u1780-\u18af\u1a00-\u1c7f\ua800-\ua95f\ua980-\uaaff\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00011fff\U0001e900-\U0001e95f"
)
# Written without spaces: Thai, Lao, Burmese, Khmer, kana and Han, without digits, which are words by themselves.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecf\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef"
    "\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f\u1780-\u17d3\u17d7\u17dc\u3005-\u3007\u3021-\u3029\u3031-\u3035"
    "\u3038-\u303c\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_ATTACHED = "\u0e33\u0eb3\uff9e\uff9f"  # letters by their category that belong to the character before them
_STACKED = "\u1039\u17d2"  # signs that put the next consonant under the one before


class _Patterns(NamedTuple):
    special: re.Pattern  # a character by which words may be other than runs of `\w`
    word: re.Pattern  # of any script, with its marks
    marks: re.Pattern  # what may follow a character
    unspaced: re.Pattern  # a letter of a script without spaces
    character: re.Pattern  # such a letter with all that belongs to it
    part: re.Pattern  # of a word, either all such or none


def _marks(codes: Iterable[int]) -> str:
    """Return the combining marks among code points, as ranges of a character class."""
    marks = [code for code in codes if unicodedata.category(chr(code))[0] == "M"]
    runs = itertools.groupby(enumerate(marks), key=lambda numbered: numbered[1] - numbered[0])
    return "".join(f"{chr(run[0][1])}-{chr(run[-1][1])}" for run in (list(of) for _, of in runs))


@functools.cache
def _patterns() -> _Patterns:
    # Made for the first text beyond ASCII: looking through Unicode for its marks takes some 20 ms. Ranges, and none
    # beyond the first plane where most texts are looked at, since `re` is slow with many characters from there.
    in_first_plane = _marks(range(0x300, 0x10000))
    marks = in_first_plane + _marks(itertools.chain(range(0x10000, 0x20000), range(0xE0100, 0xE01F0)))
    joined = rf"(?<=[{_JOINED}])[{_JOINERS}]+(?=[{_JOINED}])[\w{marks}]"
    character = rf"[{_UNSPACED}](?:[{marks}{_ATTACHED}{_JOINERS}]|(?<=[{_STACKED}])[{_UNSPACED}])*"
    return _Patterns(
        special=re.compile(f"[{in_first_plane}{_JOINERS}{_UNSPACED}\U00010000-\U0010ffff]"),
        word=re.compile(rf"\w+(?:(?:[{marks}]|{joined})[\w{marks}]*)*"),
        marks=re.compile(f"[{marks}]*"),
        unspaced=re.compile(f"[{_UNSPACED}](?<![{marks}])"),
        character=re.compile(character),
        part=re.compile(f"(?:{character})+|(?:[^{_UNSPACED}]|[{marks}])+"),
    )


@functools.cache
def _icu() -> tuple[str, Callable[[str, str], Iterable[str]]] | None:
    """Return ICU's version, and what iterates over a text's words by a locale; None where it is not installed."""
    try:
        from icu4py import icu_version
        from icu4py.breakers import WordBreaker
    except ImportError:
        return None
    return icu_version, WordBreaker


@functools.lru_cache(maxsize=1 << 14)  # a text is masked a thousand times, and cut each time
def _cut(run: str, icu: tuple[str, Callable] | None) -> list[str]:
    """Return the words of a run of letters written without spaces, or its characters without ICU."""
    characters = _patterns().character.findall(run)
    if icu is None:
        return characters
    # ICU is given the composed form, so that both forms are cut alike; and it may not cut a mark from its letter.
    composed = [unicodedata.normalize("NFC", character) for character in characters]
    starts = {0, *itertools.accumulate(map(len, icu[1]("".join(composed), "root")))}
    found, at = [], 0
    for character, shown in zip(characters, composed, strict=True):
        found.append(character if at in starts else found.pop() + character)
        at += len(shown)
    return found


def _parts(run: str) -> list[str]:
    """Return the words of a run of word characters: what is written without spaces is cut, the rest is one word."""
    of = _patterns()
    parts = of.part.findall(run)
    return [word for part in parts for word in (_cut(part, _icu()) if of.unspaced.match(part) else [part])]


def _is_plain(text: str) -> bool:
    """Return whether the words of a text are its runs of `\\w`, which most are, and which is quickly told."""
    return text.isascii() or not _patterns().special.search(text)


def spans(text: str | None) -> list[tuple[int, int]]:
    """Return the (start, end) character offsets of the words of `text`, in order; none for None."""
    text = text or ""
    if _is_plain(text):
        return [match.span() for match in _PLAIN.finditer(text)]
    found = []
    for match in _patterns().word.finditer(text):
        found += itertools.pairwise(itertools.accumulate(map(len, _parts(match[0])), initial=match.start()))
    return found


def words(text: str | None) -> list[str]:
    """Return the words of `text`, in order and composed (NFC); none for None.

    A text and its canonical decomposition (NFD) have the same words.
    """
    text = text or ""
    if text.isascii():
        return _PLAIN.findall(text)
    found = _PLAIN.findall(text) if _is_plain(text) else [text[start:stop] for start, stop in spans(text)]
    return found if unicodedata.is_normalized("NFC", text) else [unicodedata.normalize("NFC", word) for word in found]


def segmentation(texts: Iterable[str | None]) -> str | None:
    """Return how texts in scripts without spaces are cut, "ICU <version>" or "characters"; None where none has any."""
    beyond = (text for text in texts if isinstance(text, str) and not text.isascii())
    if not any(_patterns().unspaced.search(text) for text in beyond):
        return None
    return "characters" if _icu() is None else f"ICU {_icu()[0]}"


def segmentation_note(name: str | None) -> list[str]:
    """Return what is to be said about a segmentation, named as `segmentation` does; nothing for None."""
    if name != "characters":
        return [f"Texts written without spaces are cut into words by {name}."] if name else []
    return ["Texts written without spaces are cut into characters; for their words: pip install 'trusteq[words]'."]


def past_marks(text: str, end: int) -> int:
    """Return where the combining marks end that stand at `end` in a text: tokenizers that drop accents stop before."""
    return _patterns().marks.match(text, end).end()


def unlike_plain(text: str) -> list[tuple[int, int]]:
    """Return the spans of a text's words where they are not its plain runs of `\\w`, else nothing."""
    if _is_plain(text):
        return []
    found = spans(text)
    return found if found != [match.span() for match in _PLAIN.finditer(text)] else []


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


def folded(word: str) -> str:
    """Return a word without what makes no difference: case, white space around it, the form of its accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", word.strip()).casefold())


def mask(text: str, keep: Sequence[bool], replacement: str = "") -> str:
    """Return `text` with `replacement` for each word whose entry in `keep` is false, white space collapsed.

    keep: one truth value per word of `text`. replacement: "" deletes the word.
    """
    pieces, end = [], 0
    for (start, stop), kept in zip(spans(text), keep, strict=True):
        pieces += (text[end:start], text[start:stop] if kept else replacement)
        end = stop
    return " ".join("".join((*pieces, text[end:])).split())
