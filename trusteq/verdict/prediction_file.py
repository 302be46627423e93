"""What a file of predictions says: its table, which columns are classes, what its labels mean, and its probabilities.

Nothing is guessed from the rows: labels mean what the header lets them mean, and what can be read two ways is refused.
"""

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import bounds
from trusteq.calibration.bins import why_no_probabilities
from trusteq.errors import DataError, nearest, reading
from trusteq.examples.delimited import bad, kind_of, separated
from trusteq.examples.files import check_signs, label_index, matched_case, whole

EXTENSIONS = (".csv", ".tsv", ".parquet")
_PARQUET = b"PAR1"
_HALF = 1e-3  # rows of probabilities in half precision sum to 1 within it
_NOISE = 1e-6  # and those of float32 within this
_MOST = 0.1  # rounding may explain more, of many classes at few decimals, but to divide by it would make numbers up
_LOOKED_AT = 10_000  # rows, of which the one with most decimals says how a file is rounded
# Never a class's probabilities, whatever they hold; a class called so is chosen by `labels`.
_ASIDE = {
    "",
    "unnamed: 0",
    "index",
    "idx",
    "prediction",
    "predictions",
    "predicted",
    "pred",
    "y_pred",
    "predicted_label",
}
_DECIMALS = re.compile(r"[+-]?\d*(?:[.,](\d*))?(?:[eE]([+-]?\d+))?")


def is_predictions(path: str | Path) -> bool:
    """Whether a path names a file of predictions rather than a model: csv, tsv or parquet, perhaps with .gz."""
    return kind_of(Path(path))[1] in EXTENSIONS and not Path(path).is_dir()


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a file of predictions: text, or numbers where the file has types.

    cells: one column a column. lines: (n,), the line on which each row starts, or None. decimal: what stands before the
    decimals. notes: what was found out about the file.
    """

    path: Path | str
    cells: pd.DataFrame
    lines: np.ndarray | None
    decimal: str
    notes: tuple[str, ...]

    def at(self, row: int) -> str:
        """Return where a row is, for an error."""
        return f"row {row}" if self.lines is None else f"row {row} (line {self.lines[row]})"

    def error(self, message: str) -> DataError:
        """Return an error that names the file."""
        return DataError(f"{self.path}: {message}")

    def text(self, column: str) -> pd.Series:
        """Return a column as text, "" where a cell is empty."""
        cells = self.cells[column]
        texts = cells if self.lines is not None else cells.astype(object).where(cells.notna(), "").map(str)
        return texts.str.strip().str.normalize("NFC")

    def numbers(self, column: str) -> np.ndarray | None:
        """Return a column as numbers, nan where a cell is empty; None where it is text.

        Raises DataError where most cells are numbers and one is not.
        """
        if column not in self._numbers:
            self._numbers[column] = self._parsed(column)
        return self._numbers[column]

    def _parsed(self, column: str) -> np.ndarray | None:
        cells = self.cells[column]
        if pd.api.types.is_bool_dtype(cells):
            return None
        if pd.api.types.is_numeric_dtype(cells):
            return cells.to_numpy(dtype=np.float64, na_value=np.nan)
        text = self.text(column)
        found = pd.to_numeric(text.str.replace(self.decimal, ".") if self.decimal != "." else text, errors="coerce")
        none = (found.isna() & (text != "") & (text.str.lower() != "nan")).to_numpy()
        if 2 * none.sum() >= max((text != "").sum(), 1):
            return None
        if none.any():
            row = int(none.argmax())
            where = self.at(row)
            raise self.error(f"{where}: column {column!r} holds {text.iloc[row]!r} among numbers; give a probability")
        return found.to_numpy(dtype=np.float64)

    @functools.cached_property
    def _numbers(self) -> dict[str, np.ndarray | None]:
        return {}

    @functools.cached_property
    def _decimals(self) -> dict[str, int]:
        return {}

    def decimals(self, column: str) -> int:
        """Return the most decimals that any cell of a column is written with."""
        if column not in self._decimals:
            found = (_DECIMALS.fullmatch(cell) for cell in self.text(column).iloc[:_LOOKED_AT])
            written = (len(match[1] or "") - int(match[2] or 0) for match in found if match)
            self._decimals[column] = max(written, default=0)
        return self._decimals[column]


def read_table(path: str | Path) -> Table:
    """Read the cells of a csv, tsv or parquet file, perhaps compressed by gzip; raise DataError by line."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a CSV with label and one column of probabilities per class")
    with path.open("rb") as file:
        is_parquet = file.read(4) == _PARQUET
    if is_parquet:
        table = Table(path, _read_parquet(path), None, ".", ())
    elif kind_of(path)[1] == ".parquet":
        raise DataError(f"{path}: not a parquet file, whatever it is called; name it .csv if it is one")
    else:
        table = _read_text(path)
    names = [unicodedata.normalize("NFC", str(name)).strip() for name in table.cells.columns]
    if isinstance(table.cells.columns, pd.MultiIndex) or len(set(names)) < len(names):
        raise table.error(f"a column twice, or columns of several levels ({_listed(names)}); name each once, flatly")
    table.cells.columns = names
    if "label" not in names:
        like = f"known: {', '.join(sorted(names))}" + ("; are values separated by commas?" if len(names) == 1 else "")
        raise table.error(f"no column 'label', as the gold labels are to be called; {like}")
    if table.cells.empty:
        raise table.error("no rows; give at least one example")
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    bounds.check_parquet(path, DataError, where=path)
    with reading(DataError, path, "not a whole parquet file, or of types that no predictions have; write it again"):
        cells = pd.read_parquet(path)
    return cells.reset_index() if cells.index.name is not None else cells  # an id is often kept as the index


def _read_text(path: Path) -> Table:
    found = separated(path, separator="\t" if kind_of(path)[1] == ".tsv" else ",")
    header = [name.strip() for name in found.header]
    if not header:
        raise DataError(f"{path}: not a CSV file: it is empty; give label and one column of probabilities per class")
    lines, rows = [], []
    for line, fields in found.rows:
        if len(fields) != len(header):
            raise bad(path, line, f"{len(fields)} fields, the header has {len(header)}; check separators and quotes")
        lines.append(line)
        rows.append(fields)
    cells = pd.DataFrame(rows, columns=header, dtype=object)
    decimal = "," if found.separator != "," and _has_decimal_commas(cells) else "."
    notes = (*found.notes, *(["decimals stand after commas"] if decimal == "," else []))
    return Table(path, cells, np.array(lines, dtype=np.int64), decimal, notes)


def _has_decimal_commas(cells: pd.DataFrame) -> bool:
    text = cells.drop(columns="label", errors="ignore").stack().astype(str)
    return text.str.fullmatch(r"\s*-?\d*,\d+\s*").any() and not text.str.fullmatch(r"\s*-?\d*\.\d+\s*").any()


def class_columns(table: Table, labels: Sequence[str] | None, *, aside: Sequence[str]) -> tuple[tuple[str, ...], list]:
    """Return the columns that are classes, in index order, and what is to be said about the others.

    labels: the class names in index order, where they are known; None: every column of numbers but `aside`, in the
    file's order, refused by name where the rows sum to 1 only without one. Raises DataError for fewer than two classes
    or a column that may be none.
    """
    others = [str(column) for column in table.cells.columns if column not in aside]
    bounds.check(len(others), bounds.MOST_COLUMNS, "columns", table.path, DataError)
    if labels is not None:
        names = [_column_of(label, others, table) for label in labels]
        if len(set(names)) < max(len(names), 2):
            raise table.error(f"the classes {_listed(names)}: name each class once, at least 2")
        bounds.check(len(names), bounds.MOST_CLASSES, "classes", table.path, DataError)
        return tuple(names), _ignored_note([column for column in others if column not in names], names)
    numbers = {column: values for column in others if (values := table.numbers(column)) is not None}
    bounds.check(len(numbers), bounds.MOST_CLASSES, "columns of numbers", table.path, DataError)
    found = _summing(table, numbers)
    if len(found) < 2:
        texts = [f"{column} ({table.text(column).iloc[0]!r:.40})" for column in others if column not in numbers]
        beside = f", and text in {_listed(texts, 4)}" if texts else ""
        raise table.error(f"{len(found)} columns of probabilities{beside}; give one for each class, at least 2")
    return tuple(found), _ignored_note([column for column in others if column not in found], found)


def _column_of(label: str, columns: Sequence[str], table: Table) -> str:
    name = label if label in columns else matched_case(label, columns)
    if name is None:
        raise table.error(f"no column of the class {label!r}; {nearest(label, columns)}")
    return name


def _ignored_note(ignored: Sequence[str], classes: Sequence[str]) -> list[str]:
    if not ignored:
        return []
    return [f"the classes are the columns {_listed(classes)}; ignored: {_listed(ignored)}"]


def _listed(names: Sequence[str], most: int = 12) -> str:
    shown = [repr(name) if not name or "," in name else name for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def _summing(table: Table, numbers: dict[str, np.ndarray]) -> list[str]:
    """Return the columns of numbers that are classes: all, or those that can be where all others cannot."""
    every = list(numbers)
    if not every:
        return []
    values, named = np.column_stack(list(numbers.values())), np.array([column.lower() in _ASIDE for column in every])
    inside = _inside(values).all(axis=0)
    for keep in (~named, np.ones_like(named), inside & ~named):  # most columns first; text says the rest
        if (
            keep.sum() >= 2
            and inside[keep].all()
            and _off(values[:, keep].sum(axis=1)) <= _most_off(table, every, keep)
        ):
            return [column for column, kept in zip(every, keep, strict=True) if kept]
    if inside.sum() > 2:
        _check_without_one(table, np.array(every)[inside], values[:, inside])
    return [column for column, aside in zip(every, named, strict=True) if not aside]


def _check_without_one(table: Table, columns: np.ndarray, values: np.ndarray) -> None:
    """Raise DataError where rows would sum to 1 without one column, which then may be no class."""
    most, total = _most_off(table, columns), values.sum(axis=1)
    doubtful = [column for column, of in zip(columns, values.T, strict=True) if _off(total - of) <= most]
    if doubtful:
        raise table.error(
            f"rows sum to 1 only without the column {' or '.join(map(repr, map(str, doubtful)))}, which then is no "
            "class; drop it, or name the classes (--labels A,B,C)"
        )


def _inside(values: np.ndarray) -> np.ndarray:
    return (values >= -_NOISE) & (values <= 1 + _NOISE)  # false for nan


def _off(sums: np.ndarray) -> float:
    return float(np.abs(sums - 1).max())


def _most_off(table: Table, columns: Sequence[str], keep: np.ndarray | None = None) -> float:
    """Return how far from 1 a row may be: half precision, or half a unit of the last decimal for each class."""
    chosen = [column for column, kept in zip(columns, keep, strict=True) if kept] if keep is not None else columns
    digits = max(table.decimals(column) for column in chosen)
    return max(_HALF, min(len(chosen) * 0.5 * 10.0**-digits, _MOST) + _NOISE if digits else 0.0)


def probabilities_of(table: Table, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return probabilities, float64 (n, C), whose rows sum to 1, and what is to be said about them.

    Rows that are off by no more than the rounding of what is written explains are divided by their sum. Raises
    DataError, by row: an empty cell, logits, percentages, rows that sum to something else.
    """
    found = {column: table.numbers(column) for column in columns}
    for column, numbers in found.items():
        if numbers is None:
            raise table.error(f"column {column!r} holds {table.text(column).iloc[0]!r}; give a class's probabilities")
        if np.isnan(numbers).any():
            row = int(np.isnan(numbers).argmax())
            raise table.error(f"{table.at(row)}: column {column!r} is empty (nan); give a probability")
    values = np.column_stack(list(found.values()))
    if why := why_no_probabilities(values):
        raise table.error(why)
    sums = values.sum(axis=1)
    off, most = np.abs(sums - 1), _most_off(table, columns)
    if off.max() > most:
        row = int((off > most).argmax())
        line = "" if table.lines is None else f"line {table.lines[row]}: "
        raise table.error(
            f"{line}row {row} sums to {sums[row]:.6g}, not 1, and rounding explains {most:.2g} at most; the "
            "probabilities of all classes sum to 1, as softmax gives them"
        )
    rounded = off > _NOISE
    if not rounded.any():
        return values, []
    values[rounded] /= sums[rounded, None]
    said = f"{rounded.sum():,} of {len(values):,} rows sum to 1 only up to rounding (off by {off.max():.2g} at most)"
    return values, [f"{said} and were divided by their sum"]


def gold_of(table: Table, labels: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Return the class index of each row's label, int64 (n,), -1 without a gold label, and what is to be said.

    See `label_index`: what a label means depends on the header alone. Raises DataError, by row.
    """
    text = table.text("label")
    if (text == "").any():
        raise table.error(f"{table.at(int((text == '').argmax()))}: label is empty; write -1 where there is none")
    meaning = {spelled: label_index(spelled, labels) for spelled in text.unique()}
    gold, strange = text.map(meaning), text.map(lambda spelled: meaning[spelled] is None)
    if strange.any():
        row = int(strange.to_numpy().argmax())
        raise table.error(_no_label(table, row, text.iloc[row], labels))
    if -1 in meaning.values():
        check_signs(meaning, len(labels), where=str(table.path))
    return gold.to_numpy(dtype=np.int64), _meaning_notes(meaning, labels)


def _no_label(table: Table, row: int, spelled: str, labels: tuple[str, ...]) -> str:
    number, line = whole(spelled), "" if table.lines is None else f"line {table.lines[row]}: "
    if number is None:
        return f"{line}row {row} is labelled {spelled!r}; {nearest(spelled, labels)}"
    numbered = [label for label in labels if whole(label) is not None]
    if not numbered:
        return f"{line}label of row {row} is {number}, of {len(labels)} classes; give 0 to {len(labels) - 1}"
    index = f"; were it an index, it would be the class {labels[number]!r}" if 0 <= number < len(labels) else ""
    return (
        f"{line}row {row} is labelled {number}, and no class is called so (known: {_listed(labels)}){index}; label by "
        "class name, or name the classes in words"
    )


def _meaning_notes(meaning: dict[str, int], labels: tuple[str, ...]) -> list[str]:
    numbers = {spelled for spelled in meaning if whole(spelled) is not None and meaning[spelled] >= 0}
    notes, numbered = [], [label for label in labels if whole(label) is not None]
    if numbers and not numbered:
        shown = _listed([f"{index} is {label}" for index, label in enumerate(labels)])
        notes.append(f"labels are indices: {shown}")
    if numbers and numbered and [whole(label) for label in labels] != list(range(len(labels))):
        notes.append(f"labels are class names, not indices, as classes are called {_listed(numbered)}")
    others = sorted(set(meaning) - set(labels) - numbers - {spelled for spelled in meaning if meaning[spelled] == -1})
    if others:
        notes.append(f"labels are matched up to case: {_listed(others)}")
    return notes


def check_empty_columns(table: Table, labels: tuple[str, ...], gold: np.ndarray) -> list[str]:
    """Return what is to be said about columns that add nothing to the sum of 1, which may be no classes.

    They are 0 in every row, or so near to it that rows sum to 1 better without. Raises DataError where labels by index
    mean one class if such a column is a class, and another if it is none.
    """
    values = np.column_stack([table.numbers(label) for label in labels])
    sums = values.sum(axis=1)
    gained = np.abs(sums - 1).mean() - np.abs(sums[:, None] - values - 1).mean(axis=0)
    empty = ~values.any(axis=0) | ((values.max(axis=0) <= _most_off(table, labels)) & (gained > _NOISE))
    if not empty.any():
        return []
    names = _listed([label for label, is_empty in zip(labels, empty, strict=True) if is_empty])
    text = table.text("label")
    by_index = ~text.isin(labels) & text.map(lambda spelled: whole(spelled) is not None) & (gold >= 0)
    used, rest = gold[by_index.to_numpy()], np.flatnonzero(~empty)
    if len(used) and used.max() < len(rest) and (rest[used] != used).any():
        raise table.error(
            f"the column {names} is 0 in every row, or next to it: if it is no class, labels by index mean other "
            "classes; drop it, label by class name, or name the classes (--labels A,B,C)"
        )
    return [f"no row gives any probability to {names}, or next to none; if that is no class, drop the column"]
