"""A caller's own table of examples, typed and checked before any model is asked."""

import hashlib
import itertools
import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from trusteq import modality, words
from trusteq.errors import DataError, nearest
from trusteq.examples.files import UNENCODABLE, case_note_of, check_signs, label_index, skipped_note, whole


def checked_examples(examples: pd.DataFrame, labels: Sequence[str], *, where: str = "audit") -> pd.DataFrame:
    """Return examples as all else takes them: id (str, unique), text_a, text_b (None for single texts), label (index).

    In place of texts there may be arrays, such as images (`modality.MODULES`).
    labels: class names in index order. Ids of any type become text, and are made from row numbers where there are none;
    without text_b the texts are single; labels are indices or class names. Rows without a gold label (-1 or "-") are
    left out. `.attrs["unlabelled"]` counts them, `.attrs["notes"]` says what else was made of the table.
    Raises DataError, by row: no such column, no text, half of a pair, no label, a label that is no class, an id twice.
    """
    if not isinstance(examples, pd.DataFrame):
        raise DataError(f"{where}: examples are {type(examples).__name__}, not a pandas.DataFrame; give one")
    if isinstance(examples.columns, pd.MultiIndex) or not examples.columns.is_unique:
        raise DataError(f"{where}: examples have a column twice, or columns of several levels; name each once, flatly")
    kind = modality.of(examples)
    for column in (modality.column_of(examples), "label"):
        if column not in examples:
            raise DataError(f"{where}: no column {column!r} in the examples; {nearest(column, map(str, examples))}")
    if examples.empty:
        raise DataError(f"{where}: no examples; give at least one")
    ids, gold, notes = _ids(examples, where), *_gold(examples["label"], labels, where)
    found = examples.assign(id=ids, label=gold)
    if kind is None:
        found = found.assign(text_b=_second(examples, where))
        check_texts(found["text_a"], "text_a", where)
    else:
        check_arrays(found, kind, where)
    kept = found[gold >= 0] if (gold < 0).any() else found
    if kept.empty:
        raise DataError(f"{where}: none of the {len(found)} examples has a gold label; give at least one")
    unlabelled = examples.attrs.get("unlabelled", 0) + len(found) - len(kept)
    kept.attrs = examples.attrs | {"unlabelled": unlabelled, "notes": [*examples.attrs.get("notes", ()), *notes]}
    if "id" not in examples:
        kept.attrs["notes"].append("The examples have no id; they are called by their row number, from 0.")
    return kept


def notes_of(examples: pd.DataFrame) -> list[str]:
    """Return what is to be said about examples that were read or checked: their notes, and the rows left out."""
    return [*examples.attrs.get("notes", ()), *skipped_note(examples.attrs.get("unlabelled", 0))]


def word_notes(examples: pd.DataFrame) -> list[str]:
    """Return what is to be said about the words of examples to explain: what cuts them, how many examples have none."""
    if modality.of(examples) is not None:
        return []
    pairs = list(zip(examples["text_a"], examples["text_b"], strict=True))
    notes = words.segmentation_note(words.segmentation(itertools.chain.from_iterable(pairs)))
    texts = ([text for text in pair if isinstance(text, str)] for pair in pairs)
    if n := sum(not any(map(words.spans, sides)) for sides in texts):
        notes.append(f"Of {len(pairs):,} examples to explain, {n:,} skipped: no words, such as emoji alone.")
    return notes


def made_of_texts(examples: pd.DataFrame) -> dict[str, str]:
    """Return hashes of ids and texts, in their order; and of where words stand that a plain `\\w+` does not find.

    Of arrays, the hashes of ids and arrays.
    """
    if modality.of(examples) is not None:
        # By words a clip may be cut.
        cuts = map(str, examples["words"]) if "words" in examples else [""] * len(examples)
        rows = list(zip(examples["id"], modality.known_by(examples), cuts, strict=True))
        return {"examples": hashlib.sha256(json.dumps(rows).encode()).hexdigest()}
    hashes, is_plain = {"examples": hashlib.sha256(b"["), "words": hashlib.sha256(b"[")}, True
    for number, row in enumerate(examples.itertuples()):
        sides = [row.text_a, row.text_b if isinstance(row.text_b, str) else None]
        places = list(map(words.unlike_plain, filter(None, sides)))
        is_plain = is_plain and not any(places)
        for name, of in (("examples", [row.id, *sides]), ("words", places)):
            hashes[name].update((", " * (number > 0) + json.dumps(of)).encode())
    for of in hashes.values():
        of.update(b"]")  # as json.dumps has the list of all
    return {name: of.hexdigest() for name, of in hashes.items() if name == "examples" or not is_plain}


def _ids(examples: pd.DataFrame, where: str) -> np.ndarray:
    if "id" not in examples:
        return np.array([str(row) for row in range(len(examples))], dtype=object)
    ids = examples["id"].reset_index(drop=True)
    if (lost := ids.isna() | (ids.astype(str).str.strip() == "")).any():
        raise DataError(f"{where}: row {lost.argmax()}: id is empty; give every example one, or drop the column")
    if (twice := ids.astype(str).duplicated()).any():
        name = ids[twice.argmax()]
        raise DataError(f"{where}: row {twice.argmax()}: the id occurs twice, {name!r}; give each example its own")
    return ids.astype(str).to_numpy(dtype=object)


def _second(examples: pd.DataFrame, where: str) -> pd.Series | None:
    """Return the second texts; None where the texts are single."""
    if "text_b" not in examples or examples["text_b"].isna().all():
        return None
    check_texts(examples["text_b"], "text_b", where)
    return examples["text_b"]


def check_texts(texts: pd.Series, column: str, where: str, *, optional: bool = False) -> None:
    """Raise DataError, by row, for what is no text, or none that can be encoded; optional: some may be missing."""
    for row, text in enumerate(texts):
        if isinstance(text, str) and not UNENCODABLE.search(text):
            continue
        if not (missing := pd.api.types.is_scalar(text) and pd.isna(text)) or not optional:
            why = "with a NUL or half a surrogate pair" if isinstance(text, str) else "not text"
            found = "empty" if missing else f"{ascii(text)[:60]}, {why}"
            raise DataError(f"{where}: row {row}: {column} is {found}; give a text or leave the row out")


def check_arrays(examples: pd.DataFrame, kind: modality.Modality, where: str) -> None:
    """Raise DataError, by row, for what is no array of this kind."""
    for row, array in enumerate(examples[kind.name]):
        kind.check(array, f"{where}: row {row}: {kind.name}")


def _gold(values: pd.Series, labels: Sequence[str], where: str) -> tuple[np.ndarray, list[str]]:
    """Return class indices, int64 (n,), -1 without a gold label, and what is to be said about the labels."""
    labels = tuple(labels)
    if (strange := ~values.map(pd.api.types.is_scalar)).any():
        raise DataError(f"{where}: row {strange.to_numpy().argmax()}: label is no name or index; give one class a row")
    meaning = {value: _index(value, labels) for value in values.dropna().unique()}
    for row, value in enumerate(values):
        if pd.isna(value) or not str(value).strip():
            raise DataError(f"{where}: row {row}: label is empty; write -1 where there is no gold label")
        if meaning[value] is None:
            raise DataError(
                f"{where}: row {row} is labelled {repr(value)[:60]}, which is none of the large model's {len(labels)} "
                f"classes; {nearest(value, labels)}, or an index 0 to {len(labels) - 1}"
            )
    if -1 in meaning.values():
        check_signs(meaning, len(labels), where=where)
    indices, notes = [value for value in meaning if _is_number(value)], case_note_of(map(str, meaning), labels)
    named = [whole(label) for label in labels]
    if indices and set(named) != {None} and named != list(range(len(labels))):
        notes.append(f"Labels are indices: {', '.join(f'{i} is {label}' for i, label in enumerate(labels))}.")
    return values.map(meaning).to_numpy(dtype=np.int64), notes


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _index(value: object, labels: tuple[str, ...]) -> int | None:
    """Return the class index of a label of a table: a number is an index, whatever the classes are called."""
    if not _is_number(value):
        return label_index(str(value).strip(), labels)
    return int(value) if float(value).is_integer() and -1 <= value < len(labels) else None
