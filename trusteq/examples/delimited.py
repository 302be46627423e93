"""Text of a file and rows of separated values, as people save them: compressed, UTF-16, with semicolons, with sep=."""

import codecs
import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trusteq import bounds
from trusteq.errors import DataError

SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_SAYS_SEPARATOR = re.compile(r"(?i)\A\"?sep=(.)\"?(?:\r\n|\r|\n|\Z)")  # the first line that Excel writes and reads
# One line, or the start of one that is too long: to look for its end would take as long as it is.
_LINE = re.compile(rf"(?!\Z)[^\r\n]{{0,{bounds.MOST_LINE + 1}}}+(?:\r\n|\r|\n)?")
JSON_LINE = re.compile(rf"(?!\Z)[^\n]{{0,{bounds.MOST_LINE + 1}}}+\n?")  # texts of JSON hold all other ends of lines
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ZIP = b"PK\x03\x04"  # an Excel file is one


@dataclass(frozen=True)
class Separated:
    """Rows of separated values.

    header: column names, as written. line: of the header, from 1. rows: (line on which a row starts, its fields).
    separator: one of `SEPARATORS`, or what the file's own "sep=" names. notes: what was found out about the file.
    """

    header: list[str]
    line: int
    rows: Iterator[tuple[int, list[str]]]
    separator: str
    notes: tuple[str, ...]


def kind_of(path: Path) -> tuple[str, str]:
    """Return a file's name without its extension, and the extension in lower case, ".gz" aside."""
    inner = Path(path.stem) if path.suffix.lower() == ".gz" else Path(path.name)
    return inner.stem, inner.suffix.lower()


def bad(path: Path, line: int, message: str) -> DataError:
    """Return the error that names a file and a line of it."""
    return DataError(f"{path}:{line}: {' '.join(message.split())}")  # a broken header can hold line breaks


def decoded(path: Path) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark, perhaps compressed by gzip."""
    data = _read(path).removeprefix(codecs.BOM_UTF8)
    encoding = "UTF-16" if data.startswith(_UTF16) else "UTF-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line, byte = _line_of(data, error.start), data[min(error.start, len(data) - 1)]
        hint = "this is not a CSV or JSON file that can be read; save the file as UTF-8"
        raise bad(path, line, f"byte 0x{byte:02x} is not {encoding}: {hint}") from None
    if "\0" in text:
        looks = ", as UTF-16 has" if text.count("\0") > len(text) / 4 else ""
        raise bad(path, _line_of(data, data.find(b"\0")), f"holds a NUL byte{looks}; save the file as UTF-8 text")
    return text


def _read(path: Path) -> bytes:
    try:
        data = bounds.unpacked(path, DataError)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    if data.startswith(_ZIP):
        raise DataError(f"{path}: not a CSV but a zip or an Excel file; save the table as CSV in UTF-8")
    return data


def _line_of(data: bytes, offset: int) -> int:
    ends, breaks = data.count(b"\n", 0, offset), data.count(b"\r", 0, offset)
    return ends + breaks - data.count(b"\r\n", 0, offset) + 1


def lines(path: Path, text: str, *, of: re.Pattern = _LINE) -> Iterator[str]:
    """Yield the lines of a text with their ends, one after the other: a list of them all takes the memory again.

    Raises DataError for one of more than MOST_LINE letters.
    """
    for number, found in enumerate(of.finditer(text), 1):
        if found.end() - found.start() > bounds.MOST_LINE:
            raise bad(path, number, f"a line of more than {bounds.MOST_LINE:,} letters; give one row a line")
        yield found[0]


def separated(path: Path, *, separator: str, raw: bool = False) -> Separated:
    """Return the rows of a file whose values should stand between `separator`.

    Where the header holds none of it but one other of `SEPARATORS`, that one is taken and noted. raw: a quote is a
    letter like any other (SNLI's own files), unless the csv module would have written the file just so.
    Raises DataError, by line: another encoding, several separators, a column twice, broken quotes.
    """
    text = decoded(path)
    found, said, body = _separator(path, text, separator)
    quoting = csv.QUOTE_NONE if raw and not _is_quoted(path, body, found) else csv.QUOTE_MINIMAL
    reader = csv.reader(lines(path, body), delimiter=found, quoting=quoting, strict=True)
    rows = _rows(path, reader, 1 + (body is not text))
    line, header = next(rows, (1, []))
    bounds.check(len(header), bounds.MOST_COLUMNS, "columns", f"{path}:{line}", DataError)
    if repeated := [column for column in header if header.count(column) > 1]:
        raise bad(path, line, f"column {repeated[0]!r:.60} occurs twice; name each column once")
    return Separated(header, line, rows, found, said)


def _separator(path: Path, text: str, wanted: str) -> tuple[str, tuple[str, ...], str]:
    """Return the separator of a text, what to say about it, and the text without a line that names it."""
    if says := _SAYS_SEPARATOR.match(text):
        return says[1], (), text[says.end() :]
    head = next((line for line in lines(path, text) if line.strip()), "")
    others = [other for other in SEPARATORS if other != wanted and other in head]
    if wanted in head or not others:
        return wanted, (), text
    if len(others) > 1:
        seen = " and ".join(SEPARATORS[other] for other in others)
        raise bad(
            path, 1, f"no {SEPARATORS[wanted]} in the header, but {seen}; separate values by {SEPARATORS[wanted]}"
        )
    return others[0], (f"values are separated by {SEPARATORS[others[0]]}, not {SEPARATORS[wanted]}",), text


def _is_quoted(path: Path, text: str, separator: str) -> bool:
    """Whether quotes stand around fields, not in them: the header is quoted, or the csv module writes the same text."""
    if '"' not in text:
        return False
    head = next((line for line in lines(path, text) if line.strip()), "").rstrip("\r\n")
    if all(len(name) > 1 and name[0] == name[-1] == '"' for name in head.split(separator)):
        return True
    rows = csv.reader(lines(path, text), delimiter=separator, strict=True)
    try:
        return all(
            ours == theirs
            for ours, theirs in itertools.zip_longest(_split(_written(rows, separator)), _split(lines(path, text)))
        )
    except csv.Error:
        return False


def _written(rows: Iterable[list[str]], separator: str) -> Iterator[str]:
    """Yield rows as the csv module writes them."""
    file = io.StringIO()
    for row in filter(None, rows):
        csv.writer(file, delimiter=separator, lineterminator="\n").writerow(row)
        yield file.getvalue()
        file.seek(0)
        file.truncate()


def _split(texts: Iterable[str]) -> Iterator[str]:
    return (line for text in texts for line in text.splitlines() if line)


def _rows(path: Path, reader, first: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row starts, and its fields; blank lines are no rows."""
    line, cells = first, 0
    try:
        for fields in reader:
            if fields:
                cells += len(fields)
                bounds.check(cells, bounds.MOST_CELLS, "cells or more", f"{path}:{line}", DataError)
                yield line, fields
            line = reader.line_num + first
    except csv.Error as error:
        raise bad(path, line, f"{error}; check the quotes of the row that starts here") from None
