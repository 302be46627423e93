"""Read a file of examples into the one table that all else takes; what is wrong with it is named by file and line."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from trusteq.errors import DataError, nearest
from trusteq.registry import Task, load_task

Records = Iterator[tuple[int, dict]]  # line in the file, from 1; column -> value
_NO_GOLD_LABEL = ("-1", "-")  # on the Hub; in SNLI's files, where the annotators found no majority
_SNLI_COLUMNS = {"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"}  # SNLI's and MNLI's own files
_QUORA_LABEL = "is_duplicate"  # in Quora's and GLUE's files; the Hub renames it
_ANNOTATORS = {f"label{i}" for i in range(1, 6)}  # single judgements in SNLI's txt; copies drop empty ones at the end
_UNENCODABLE = re.compile("[\0\ud800-\udfff]")  # JSON escapes bring these in; tokenizers and parquet choke on them


def read_examples(path: str | Path, *, task: str | Task) -> pd.DataFrame:
    """Read examples from a csv, tsv, txt (tab-separated, as SNLI's own), jsonl or parquet file, in file order.

    Columns: `text_a, text_b, label`, or the task's own names, or those of SNLI's files (`sentence1, sentence2,
    gold_label`); others are ignored. Labels by index or by name. csv is quoted; tsv and txt are not. Text is kept as it
    is. Returns id (the file's own, or "<stem>-<row>", rows from 0), text_a, text_b (None for single texts), label
    (index). Rows without a gold label (-1 or "-") are skipped; `.attrs["unlabelled"]` counts them.
    Raises DataError with `path:line`, lines from 1 and the header included (parquet: rows from 1).
    """
    rows = read_rows(path, task=task)
    examples = rows[rows["label"] >= 0].reset_index(drop=True)
    examples.attrs["unlabelled"] = len(rows) - len(examples)
    return examples


def read_rows(path: str | Path, *, task: str | Task) -> pd.DataFrame:
    """Return all rows of a file, as `read_examples` does; label is -1, and there are no texts, without a gold label."""
    task = load_task(task) if isinstance(task, str) else task
    path = Path(path)
    columns, records = _reader(path)(path)
    layout = _layout(path, columns, task)
    rows, lines = [], {}
    for row, (line, record) in enumerate(records):
        try:
            example = _example(record, layout, task)
            name = _id(record["id"]) if "id" in record else f"{path.stem}-{row}"
            if name in lines:
                raise DataError(f"id {_short(name)} occurs twice, first on line {lines[name]}; ids must be unique")
        except DataError as error:
            raise _bad(path, line, str(error)) from None
        lines[name] = line
        rows.append((name, *(example or (None, None, -1))))
    table = pd.DataFrame(rows, columns=["id", "text_a", "text_b", "label"]).astype({"label": np.int64})
    if not (table["label"] >= 0).any():
        what = f"none of its {len(table)} rows has a gold label" if len(table) else "no rows"
        raise _bad(path, 1, f"{what}; give at least one labelled example")
    return table


def _bad(path: Path, line: int, message: str) -> DataError:
    return DataError(f"{path}:{line}: {' '.join(message.split())}")  # a broken header can hold line breaks


def _short(value: object, limit: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def _layout(path: Path, columns: dict[str, int], task: Task) -> dict[str, str]:
    """Return field -> column for the naming scheme that the file follows; the closest one explains what is missing."""
    own = dict(task.columns)
    schemes = [{field: field for field in own}, own]
    if "text_b" in own:
        schemes.append(_SNLI_COLUMNS)
    if own["text_a"] == "question1":
        schemes.append(own | {"label": _QUORA_LABEL})
    best = max(schemes, key=lambda scheme: sum(column in columns for column in scheme.values()))
    missing = [column for column in best.values() if column not in columns]
    if missing and columns:
        unused = [column for column in columns if column not in best.values()]
        raise _bad(path, min(columns.values()), f"no column {missing[0]!r}; {nearest(missing[0], unused or columns)}")
    return best


def _example(record: dict, layout: dict[str, str], task: Task) -> tuple[str, str | None, int] | None:
    """Return the texts and the label index of one record; None where it has no gold label."""
    lost = [column for column in layout.values() if column not in record]
    if lost:
        raise DataError(f"no column {lost[0]!r}; {nearest(lost[0], record)}")
    label = _label(record[layout["label"]], layout["label"], task)
    if label is None:
        return None
    texts = [_text(record[layout[field]], layout[field]) for field in ("text_a", "text_b") if field in layout]
    return (texts[0], texts[1] if len(texts) == 2 else None, label)


def _label(value: object, column: str, task: Task) -> int | None:
    if isinstance(value, float) and value.is_integer():  # parquet widens integer columns that hold a null
        value = int(value)
    if _is_empty(value):
        raise DataError(f"{column} is empty; write -1 where there is no gold label")
    name = str(value).strip()
    if name in _NO_GOLD_LABEL:
        return None
    if name in task.labels:
        return task.labels.index(name)
    indices = [str(index) for index in range(len(task.labels))]
    if name in indices:
        return int(name)
    hint = nearest(_short(name)[1:-1], task.labels)
    raise DataError(f"unknown label {_short(name)} of task {task.name!r}; {hint}, or an index 0 to {indices[-1]}")


def _text(value: object, column: str) -> str:
    if _is_empty(value):
        raise DataError(f"{column} is empty; give a text or leave the row out")
    if not isinstance(value, str):
        raise DataError(f"{column} is {_short(value)}, not text; quote it")
    if _UNENCODABLE.search(value):
        raise DataError(f"{column} holds a NUL or half a surrogate pair: {_short(value)}; remove it")
    return value


def _id(value: object) -> str:
    if _is_empty(value):
        raise DataError("id is empty; give every row one, or drop the column")
    return str(value)


def _is_empty(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) or not str(value).strip()


def _reader(path: Path):
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path}: unknown extension {path.suffix!r}; {nearest(path.suffix.lower(), READERS)}")
    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'no such file'}; give a file of examples")
    return READERS[path.suffix.lower()]


def _decoded(path: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark."""
    try:
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    try:
        text, bad = data.decode("utf-8"), data.find(b"\0")
    except UnicodeDecodeError as error:
        line = _line_of(data, error.start)
        raise _bad(path, line, f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8") from None
    if bad >= 0:
        raise _bad(path, _line_of(data, bad), "holds a NUL byte; save the file as UTF-8 text")
    return text


def _line_of(data: bytes, offset: int) -> int:
    return len(re.findall(rb"\r\n|\r|\n", data[:offset])) + 1


def _read_delimited(path: Path, *, delimiter: str, quoting: int) -> tuple[dict[str, int], Records]:
    lines = io.StringIO(_decoded(path), newline="")  # splits lines as the csv module wants them: ends kept
    rows = _rows(path, csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True))
    line, header = next(rows, (1, []))
    repeated = [column for column in header if header.count(column) > 1]
    if repeated:
        raise _bad(path, line, f"column {_short(repeated[0])} occurs twice; name each column once")
    trailing = _ANNOTATORS if delimiter == "\t" else set()
    return dict.fromkeys(header, line), _zipped(path, header, rows, trailing=trailing)


def _rows(path: Path, reader) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each row starts, and its fields; blank lines are no rows."""
    line = 1
    try:
        for fields in reader:
            if fields:
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise _bad(path, line, f"{error}; check the quotes of the row that starts here") from None


def _zipped(path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], *, trailing: set[str]) -> Records:
    """Yield rows as dicts; raise on ragged ones, unless only columns named in `trailing` are cut off."""
    for line, fields in rows:
        if len(fields) > len(header) or not trailing.issuperset(header[len(fields) :]):
            raise _bad(path, line, f"{len(fields)} fields, the header has {len(header)}; check separators and quotes")
        yield line, dict(zip(header, fields, strict=False))


def _read_jsonl(path: Path) -> tuple[dict[str, int], Records]:
    records = list(_json_objects(path))
    line, first = records[0] if records else (1, {})
    return dict.fromkeys(first, line), iter(records)


def _json_objects(path: Path) -> Records:
    for line, raw in enumerate(_decoded(path).split("\n"), start=1):  # str.splitlines would also split inside texts
        if not raw.strip():
            continue
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise _bad(path, line, f"broken JSON ({error}); give one object a line") from None
        if not isinstance(record, dict):
            raise _bad(path, line, f"{_short(record)} is not a JSON object; give one object a line")
        yield line, record


def _read_parquet(path: Path) -> tuple[dict[str, int], Records]:
    try:
        frame = pd.read_parquet(path)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise _bad(path, 1, f"not a parquet file ({str(error)[:120]})") from None
    return dict.fromkeys(frame.columns, 1), enumerate(frame.to_dict("records"), start=1)


READERS = {
    ".csv": partial(_read_delimited, delimiter=",", quoting=csv.QUOTE_MINIMAL),
    ".tsv": partial(_read_delimited, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".txt": partial(_read_delimited, delimiter="\t", quoting=csv.QUOTE_NONE),
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
