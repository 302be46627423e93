"""Training rows: texts tokenised once, kept on disk, read from there as they are needed."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import transformers

from trusteq import words
from trusteq.errors import ModelError
from trusteq.models.classifier import Classifier

CHUNK = 10_000  # rows that are hashed at once, and of which a teacher's probabilities are computed at once


def tokenised(examples: pd.DataFrame, tokenizer, *, folder: Path, with_words: bool = False):
    """Return the examples as a memory-mapped `datasets.Dataset`: input_ids, labels, length, and what follows.

    token_type_ids where the tokenizer gives them; words, the number of each token's word or -1, if `with_words`.
    folder: where the rows are kept: the same texts with the same tokenizer are read and not tokenised again.

    Raises ModelError where words are asked for and the tokenizer does not tell where a token stands in the text.
    """
    import datasets

    if with_words and not tokenizer.is_fast:
        name = type(tokenizer).__name__
        raise ModelError(f"attribution_weight: {name} does not tell where a token stands; use a fast tokenizer")
    single = examples["text_b"].isna().all()
    texts = examples[["text_a", "label"] if single else ["text_a", "text_b", "label"]]

    def encode(batch: dict[str, list]) -> dict[str, list]:
        pair = [batch[name] for name in ("text_a", "text_b") if name in batch]
        options = {"truncation": True, "max_length": tokenizer.model_max_length, "return_attention_mask": False}
        found = tokenizer(*pair, **options, return_offsets_mapping=with_words)
        columns = {name: found[name] for name in ("input_ids", "token_type_ids") if name in found}
        columns |= {"labels": batch["label"], "length": [len(ids) for ids in found["input_ids"]]}
        if with_words:
            columns["words"] = [
                words.of_tokens(row, found.sequence_ids(at), found["offset_mapping"][at])
                for at, row in enumerate(zip(*pair, strict=True))
            ]
        return columns

    fingerprint = _fingerprint(texts, tokenizer, with_words)
    folder.mkdir(parents=True, exist_ok=True)
    with _without_progress():
        # Without a fingerprint of ours, the library makes one, for which it copies all texts.
        rows = datasets.Dataset(pa.Table.from_pandas(texts, preserve_index=False), fingerprint=fingerprint)
        # The library writes under a temporary name and renames: a killed run leaves no half file.
        return rows.map(
            encode, batched=True, remove_columns=list(texts), cache_file_name=str(folder / f"{fingerprint}.arrow")
        )


def taught(rows, examples: pd.DataFrame, teacher: Classifier):
    """Return the rows with a column "teacher": the teacher's probabilities, (C,), float32 and in memory."""
    import datasets

    found = [teacher.predict_proba(part["text_a"], part["text_b"]).astype(np.float32) for part in _chunks(examples)]
    flat = np.concatenate(found).ravel()
    column = pa.FixedSizeListArray.from_arrays(flat, len(teacher.labels))
    # `add_column` hashes a column through pickle, with 1.5 KB for each row.
    named = datasets.Dataset(pa.table({"teacher": column}), fingerprint=hashlib.sha256(flat).hexdigest())
    return datasets.concatenate_datasets([rows, named], axis=1)


def collator(tokenizer):
    """Return the function that makes a batch of rows: padded to the longest of them."""
    pad = transformers.DataCollatorWithPadding(tokenizer)

    def batch(rows: list[dict]) -> dict[str, torch.Tensor]:
        names = [name for name in ("input_ids", "token_type_ids") if name in rows[0]]
        made = dict(pad([{name: row[name] for name in names} for row in rows]))
        made["labels"] = torch.tensor([row["labels"] for row in rows])
        if "teacher" in rows[0]:
            made["teacher"] = torch.tensor(np.array([row["teacher"] for row in rows], dtype=np.float32))
        if "words" in rows[0]:
            made["words"] = torch.full(made["input_ids"].shape, -1)
            # Some tokenizers pad on the left: the mask says where the tokens of a row are.
            made["words"][made["attention_mask"].bool()] = torch.tensor([word for row in rows for word in row["words"]])
        return made

    return batch


def hashes(table: pd.DataFrame) -> Iterator[bytes]:
    """Return the hashes of the rows of a table, some at a time: hashed at once, they take three times its memory."""
    for chunk in _chunks(table):
        yield pd.util.hash_pandas_object(chunk, index=False).to_numpy().tobytes()


def _chunks(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (table.iloc[start : start + CHUNK] for start in range(0, len(table), CHUNK))


def _fingerprint(texts: pd.DataFrame, tokenizer, with_words: bool) -> str:
    digest = hashlib.sha256()
    for part in hashes(texts):
        digest.update(part)
    vocabulary = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    settings = (type(tokenizer).__name__, str(sorted(tokenizer.init_kwargs.items(), key=str)), vocabulary)
    digest.update(repr((settings, tokenizer.model_max_length, with_words, list(texts))).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _without_progress() -> Iterator[None]:
    import datasets

    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
