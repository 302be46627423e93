"""Text of others where it leaves us: one function a border. HTML has its own, `html.escape` and jinja's."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


# What moves a cursor, colours a line, ends it, or turns its direction; half a surrogate pair cannot be encoded.
_ACTING = re.compile(
    "[\0-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_MARKUP = re.compile(
    r"[\\`*_{}\[\]<>&|$~^@#!]|(?<=\w):(?=/)|(?<=www)\.|^[-+=:](?=[\s:=-]|$)|(?<=^\d)[.)](?=\s|$)", re.IGNORECASE
)
_LINKS = re.compile(r"[\\`{}\[\]<>&|$~^@#!]|(?<=\w):(?=/)|(?<=www)\.", re.IGNORECASE)
# What a spreadsheet takes for a formula; a number, or an interval of two, is none.
_FORMULA = re.compile(r"\s*[=@+\-\t\r](?!\.?\d[\d.,eE%]*(?: to [+\-]?\.?\d[\d.,eE%]*)?$)")


def plain(text: str) -> str:
    """Return a text as one line for a terminal, a log or a figure: what acts in it is spelled out, as \\x1b."""
    return _ACTING.sub(lambda found: ascii(found[0])[1:-1], text)


def markdown(text: str, *, bold: bool = False) -> str:
    """Return a text that Markdown, MyST included, shows as it is, on one line. bold: stars keep their meaning."""
    return (_LINKS if bold else _MARKUP).sub(r"\\\g<0>", plain(text))


def for_spreadsheet(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table for people, whose texts no spreadsheet takes for a formula: those begin with an apostrophe.

    Numbers stay numbers. Tables that we read back are written verbatim, and are not opened by this door.
    """

    def cell(value: object) -> object:
        return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value

    from pandas.api.types import is_numeric_dtype

    found = table.copy()
    for at, kind in enumerate(table.dtypes):
        if not is_numeric_dtype(kind):
            found.isetitem(at, table.iloc[:, at].astype(object).map(cell))
    return found.rename(columns=cell)
