"""Read a file of examples into the one table that all else takes; what is wrong with it is named by file and line."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import bounds, modality
from trusteq.errors import DataError, nearest, reading
from trusteq.examples.delimited import JSON_LINE, bad, decoded, kind_of, lines, separated
from trusteq.modality import TEXTS
from trusteq.registry import Task, load_task
from trusteq.words import folded

Records = Iterator[tuple[int, dict]]  # line in the file, from 1; column -> value
Read = tuple[dict[str, int], Records, tuple[str, ...]]  # column -> line; the records; what was found out
_FIELDS = (*TEXTS, *modality.MODULES, "label")
_NO_GOLD_LABEL = ("-1", "-")  # on the Hub; in SNLI's files, where the annotators found no majority
_SNLI_COLUMNS = {"text_a": "sentence1", "text_b": "sentence2", "label": "gold_label"}  # SNLI's and MNLI's own files
_QUORA_LABEL = "is_duplicate"  # in Quora's and GLUE's files; the Hub renames it
_ANNOTATORS = {f"label{i}" for i in range(1, 6)}  # single judgements in SNLI's txt; copies drop empty ones at the end
_WHOLE = re.compile(r"[+-]?\d{1,9}(\.0*)?")
UNENCODABLE = re.compile("[\0\ud800-\udfff]")  # JSON escapes bring these in; tokenizers and parquet choke on them


def read_examples(
    path: str | Path,
    *,
    task: str | Task | None = None,
    labels: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Read examples from a csv, tsv, txt (tab-separated, as SNLI's own), jsonl or parquet file, in file order.

    In place of texts a column `image` or `sound` may name files, which are read from where this one is.
    Columns: `text_a, text_b, label`, or the task's own names, or those of SNLI's files (`sentence1, sentence2,
    gold_label`); others are ignored. Labels by index or by name. csv is quoted; tsv and txt are not. Text is kept as it
    is. Other separators, UTF-16 and gzip are taken where the file is plain about them. Returns id (the file's own, or
    "<stem>-<row>", rows from 0), text_a, text_b (None for single texts), label (index). Rows without a gold label (-1
    or "-") are skipped; `.attrs["unlabelled"]` counts them, and `.attrs["notes"]` says what was found out.
    labels: class names in index order, in place of a task. columns: the file's column for each of text_a, text_b (left
    out for single texts) and label, where they are not the task's; those not named are called as here. Under any other
    name a column is kept as text, such as what examples are grouped by.
    Raises DataError with `path:line`, lines from 1 and the header included (parquet: rows from 1).
    """
    rows = read_rows(path, task=_task(Path(path), task, labels, columns or {}), columns=columns)
    examples = rows[rows["label"] >= 0].reset_index(drop=True)
    examples.attrs = {"unlabelled": len(rows) - len(examples), "notes": rows.attrs["notes"]}
    return examples


def _task(path: Path, task: str | Task | None, labels: Sequence[str] | None, named: Mapping[str, str]) -> str | Task:
    """Return what says how a file is read: a task, or one of these class names and the columns that the file has."""
    if task is None and labels is None:
        raise DataError(f"{path}: give a task, or labels, the class names in index order")
    if task is not None and labels is None:
        return task
    if task is not None:
        known = load_task(task) if isinstance(task, str) else task
        return known.model_copy(update={"labels": tuple(labels)})
    present = _reader(path)(path)[0]
    try:
        kind = None if TEXTS[0] in {*present, *named} else modality.of(present)
    except DataError as error:
        raise bad(path, 1, f"{error}, or say which column holds texts") from None
    sides = [side for side in TEXTS if side in (TEXTS[0], *present)] if kind is None else [kind.name]
    fields = {field: field for field in (*sides, "label")}
    return Task.model_construct(name=path.stem, title=path.stem, labels=tuple(labels), columns=fields)


def read_rows(path: str | Path, *, task: str | Task, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return all rows of a file, as `read_examples` does; label is -1, and there are no texts, without a gold label."""
    task = load_task(task) if isinstance(task, str) else task
    path = Path(path)
    present, records, notes = _reader(path)(path)
    further = {name: column for name, column in (columns or {}).items() if name not in _FIELDS}
    layout = _layout(path, present, task, {name: of for name, of in (columns or {}).items() if name in _FIELDS})
    kind = modality.of(layout)
    inputs = TEXTS if kind is None else (kind.name,)
    identity = further.pop("id", "id")
    for column in (*further.values(), *([identity] if identity != "id" else [])):
        if column not in present:
            raise bad(path, 1, f"no column {column!r}; {nearest(column, present)}")
    rows, lines, spelled, stem = [], {}, set(), kind_of(path)[0]
    for row, (line, record) in enumerate(records):
        try:
            example = _example(record, layout, task, folder=path.parent)
            name = _id(record[identity]) if identity in record else f"{stem}-{row}"
            if name in lines:
                raise DataError(f"id {_short(name)} occurs twice, first on line {lines[name]}; ids must be unique")
        except DataError as error:
            raise bad(path, line, str(error)) from None
        lines[name] = line
        spelled.add(str(record[layout["label"]]))
        missing = (*[None] * len(inputs), -1)
        rows.append((name, *(example or missing), *(str(record[column]) for column in further.values())))
    table = pd.DataFrame(rows, columns=["id", *inputs, "label", *further]).astype({"label": np.int64})
    if (table["label"] < 0).any():
        check_signs(spelled, len(task.labels), where=f"{path}:1")
    if not (table["label"] >= 0).any():
        what = f"none of its {len(table)} rows has a gold label" if len(table) else "no rows"
        raise bad(path, 1, f"{what}; give at least one labelled example")
    table = table if kind is None else modality.with_facts(table, kind)
    unread = [] if kind is not None else [of for of in modality.MODULES if of in present and of not in layout.values()]
    passed_over = [f"texts are read, and the column {of!r} is not" for of in unread]
    table.attrs["notes"] = [*notes, *case_note_of(spelled, task.labels), *passed_over]
    return table


def case_note_of(spelled: Iterable[str], labels: Sequence[str]) -> list[str]:
    others = sorted({found for found in map(str.strip, spelled) if found not in labels and matched_case(found, labels)})
    return [f"labels are matched up to case: {', '.join(others)}"] if others else []


def _short(value: object, limit: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def _layout(path: Path, columns: dict[str, int], task: Task, named: dict[str, str]) -> dict[str, str]:
    """Return field -> column for the naming scheme that the file follows; the closest one explains what is missing.

    columns: of the file. named: the column for a field, where the user says so, in every scheme.
    """
    own = dict(task.columns) | named
    schemes = [{field: field for field in own}, own]
    if "text_b" in own:
        schemes.append(_SNLI_COLUMNS)
    if own.get("text_a") == "question1":
        schemes.append(own | {"label": _QUORA_LABEL})
    schemes = [scheme | named for scheme in schemes]
    best = max(schemes, key=lambda scheme: sum(column in columns for column in scheme.values()))
    if len(set(best.values())) < len(best):
        raise bad(path, 1, f"one column for two of {', '.join(best)}: {', '.join(best.values())}; name another")
    missing = [column for column in best.values() if column not in columns]
    if missing and columns:
        unused = [column for column in columns if column not in best.values()]
        raise bad(path, min(columns.values()), f"no column {missing[0]!r}; {nearest(missing[0], unused or columns)}")
    return best


def _example(record: dict, layout: dict[str, str], task: Task, *, folder: Path) -> tuple | None:
    """Return the texts, or what was read, and the label index of one record; None where it has no gold label.

    folder: where the files are that it names.
    """
    lost = [column for column in layout.values() if column not in record]
    if lost:
        raise DataError(f"no column {lost[0]!r}; {nearest(lost[0], record)}")
    label = _label(record[layout["label"]], layout["label"], task)
    if label is None:
        return None
    kind = modality.of(layout)
    what = "a text" if kind is None else "the name of a file"
    texts = [_text(record[layout[field]], layout[field], what) for field in _FIELDS[:-1] if field in layout]
    if kind is not None:
        return kind.read(folder / texts[0]), label
    return (texts[0], texts[1] if len(texts) == 2 else None, label)


def _label(value: object, column: str, task: Task) -> int | None:
    if _is_empty(value):
        raise DataError(f"{column} is empty; write -1 where there is no gold label")
    name = str(value).strip()
    if (index := label_index(name, task.labels)) is not None:
        return None if index < 0 else index
    raise DataError(f"unknown label {_short(name)} of task {task.name!r}; {known_labels(name, task.labels)}")


def known_labels(name: object, labels: Sequence[str]) -> str:
    """Return a hint that names what a label may be: a class name, or an index where none is called by a number."""
    named = nearest(str(name)[:60], labels)
    if any(whole(label) is not None for label in labels):
        return f"{named}; classes are called by numbers, so a number is a name and no index"
    return f"{named}, or an index 0 to {len(labels) - 1}"


def label_index(spelled: str, labels: Sequence[str]) -> int | None:
    """Return the class index that a label stands for, -1 where it says that there is none, None for anything else.

    It is a class name, perhaps in other case; or, where no class is called by a whole number, a whole number is an
    index. So what a label means depends on the class names alone, never on the other labels. Pandas and parquet widen
    integers that stand with a null: 2.0 is 2.
    """
    if spelled in labels:
        return labels.index(spelled)
    number, numbered = whole(spelled), [whole(label) for label in labels]
    if number is not None and numbered.count(number) == 1:
        return numbered.index(number)
    if spelled in _NO_GOLD_LABEL or number == -1:
        return -1
    if number is not None:
        return number if set(numbered) == {None} and 0 <= number < len(labels) else None
    alike = matched_case(spelled, labels)
    return None if alike is None else labels.index(alike)


def matched_case(name: str, labels: Sequence[str]) -> str | None:
    """Return the one label that is `name` up to case and the form of accents; None where there is none, or several."""
    alike = [label for label in labels if folded(label) == folded(name)]
    return alike[0] if len(alike) == 1 else None


def whole(name: str) -> int | None:
    """Return the whole number that a text is, as 2, +2, -1 and 2.0 are; None for any other text."""
    return int(float(name)) if _WHOLE.fullmatch(name) else None


def check_signs(labels: Iterable[object], n_classes: int, *, where: str) -> None:
    """Raise DataError where the labels of two classes are -1 and 1 alone: -1 would count as no gold label."""
    found = {whole(str(label).strip()) for label in labels}
    if n_classes == 2 and found == {-1, 1}:
        why = "the labels are -1 and +1 alone, and -1 means no gold label here"
        raise DataError(f"{where}: {why}; write 0 and 1, or the class names")


def skipped_note(n: int) -> list[str]:
    """Return what is to be said about rows without a gold label; nothing where there are none."""
    return [f"{n:,} row{'s' * (n != 1)} without a gold label {'were' if n != 1 else 'was'} skipped."] if n else []


def _text(value: object, column: str, what: str) -> str:
    if _is_empty(value):
        raise DataError(f"{column} is empty; give {what} or leave the row out")
    if not isinstance(value, str):
        raise DataError(f"{column} is {_short(value)}, not text; quote it")
    if UNENCODABLE.search(value):
        raise DataError(f"{column} holds a NUL or half a surrogate pair: {_short(value)}; remove it")
    return value


def _id(value: object) -> str:
    if _is_empty(value):
        raise DataError("id is empty; give every row one, or drop the column")
    return str(value)


def _is_empty(value: object) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)) or not str(value).strip()


def _reader(path: Path):
    if (extension := kind_of(path)[1]) not in READERS:
        raise DataError(f"{path}: unknown extension {path.suffix!r}; {nearest(extension, READERS)}")
    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'no such file'}; give a file of examples")
    return READERS[extension]


def _read_delimited(path: Path, *, separator: str, raw: bool) -> Read:
    found = separated(path, separator=separator, raw=raw)
    trailing = _ANNOTATORS if separator == "\t" else set()
    return (
        dict.fromkeys(found.header, found.line),
        _zipped(path, found.header, found.rows, trailing=trailing),
        found.notes,
    )


def _zipped(path: Path, header: list[str], rows: Iterator[tuple[int, list[str]]], *, trailing: set[str]) -> Records:
    """Yield rows as dicts; raise on ragged ones, unless only columns named in `trailing` are cut off."""
    for line, fields in rows:
        if len(fields) > len(header) or not trailing.issuperset(header[len(fields) :]):
            raise bad(path, line, f"{len(fields)} fields, the header has {len(header)}; check separators and quotes")
        yield line, dict(zip(header, fields, strict=False))


def _read_jsonl(path: Path) -> Read:
    records = list(_json_objects(path))
    present: dict[str, int] = {}
    for line, record in records:  # of all records: a column that the first one lacks is not to be lost
        present |= {column: line for column in record if column not in present}
    return present, iter(records), ()


def _json_objects(path: Path) -> Records:
    values = 0
    for line, raw in enumerate(lines(path, decoded(path), of=JSON_LINE), start=1):
        if not raw.strip():
            continue
        values += 1 + raw.count(",")
        bounds.check(values, bounds.MOST_CELLS, "values or more", f"{path}:{line}", DataError)
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise bad(path, line, f"broken JSON ({error}); give one object a line") from None
        if not isinstance(record, dict):
            raise bad(path, line, f"{_short(record)} is not a JSON object; give one object a line")
        yield line, record


def _read_parquet(path: Path) -> Read:
    bounds.check_parquet(path, DataError, where=f"{path}:1")
    with reading(DataError, f"{path}:1", "not a parquet file that can be read; write it again"):
        frame = pd.read_parquet(path)
    starts = range(0, len(frame), 1 << 16)  # a million records at once would take a gigabyte
    records = itertools.chain.from_iterable(frame[at : at + (1 << 16)].to_dict("records") for at in starts)
    return dict.fromkeys(frame.columns, 1), enumerate(records, start=1), ()


READERS = {
    ".csv": partial(_read_delimited, separator=",", raw=False),
    ".tsv": partial(_read_delimited, separator="\t", raw=True),
    ".txt": partial(_read_delimited, separator="\t", raw=True),
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
