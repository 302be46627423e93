"""Training rows: what the tokenizer itself says of each text, on disk once, and batches padded with what is no word."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from refusals import one_line

from trusteq.errors import ModelError
from trusteq.models import training as module
from trusteq.models.classifier import load_classifier
from trusteq.models.training import collator, taught, tokenised
from trusteq.words import words

# [PAD] is not 0, so that a batch padded with zeros shows.
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]")
PIECES = "a man read ##s ##ing the dog didn ' t sleep . , ? 3 5 _ - e 犬 猫"
VOCABULARY = (*SPECIAL, *PIECES.split())
TEXTS = {
    "text_a": [
        "A man reads.",
        "the DOG, reading",
        "3.5 dogs",
        "didn't_sleep",
        "well-read?",
        "猫犬 a",
        "...",
        "é e\u0301",
    ],
    "text_b": ["the dog sleeps", "A-man", "  didn't  ", "a", "?", "unknowable words, reads", "man", "the ﬁ \u2028 man"],
}


def table(texts, *, split="train", labels=None):
    n = len(texts["text_a"])
    ids = [f"{split}-{row}" for row in range(n)]
    labels = np.arange(n) % 2 if labels is None else labels
    return pd.DataFrame({"id": ids, "text_b": None, "label": labels} | texts)[["id", "text_a", "text_b", "label"]]


def make_tokenizer(*, vocabulary=VOCABULARY, **options):
    ids = {token: index for index, token in enumerate(vocabulary)}
    return transformers.BertTokenizer(vocab=ids, model_max_length=32, **options)


def cut(tokenizer, max_length):
    """Set the maximum length as `finetune.build` does: of a tokenizer that was made with another."""
    tokenizer.model_max_length = max_length
    return tokenizer


PAIRS, TOKENIZER = table(TEXTS), make_tokenizer()
SINGLE = PAIRS.assign(text_b=None)


@pytest.fixture
def read(tmp_path):
    """Tokenise with defaults that a test can change."""

    def read(examples=PAIRS, tokenizer=TOKENIZER, **options):
        return tokenised(examples, tokenizer, folder=tmp_path, **options)

    return read


@pytest.fixture
def calls(monkeypatch):
    """The number of texts of each call of a tokenizer."""
    seen, real = [], transformers.BertTokenizer.__call__

    def counted(self, texts, *others, **options):
        seen.append(len(texts))
        return real(self, texts, *others, **options)

    monkeypatch.setattr(transformers.BertTokenizer, "__call__", counted)
    return seen


def texts_of(example):
    return [text for text in (example.text_a, example.text_b) if isinstance(text, str)]


# --- the tokens ---


@pytest.mark.parametrize("max_length", [32, 7])
@pytest.mark.parametrize("examples", [PAIRS, SINGLE], ids=["pairs", "single"])
def test_rows_are_what_the_tokenizer_says_of_each_text_alone(read, examples, max_length):
    tokenizer = cut(make_tokenizer(), max_length)
    rows = read(examples, tokenizer)
    assert rows.column_names == ["input_ids", "token_type_ids", "labels", "length"]
    assert len(rows) == len(examples)
    for row, example in zip(rows, examples.itertuples(), strict=True):
        alone = tokenizer(*texts_of(example), truncation=True, max_length=max_length)
        assert row["input_ids"] == alone["input_ids"]
        assert row["token_type_ids"] == alone["token_type_ids"]
        assert row["labels"] == example.label
        assert row["length"] == len(alone["input_ids"]) <= max_length


def test_a_tokenizer_without_token_types(read):
    tokenizer = make_tokenizer(model_input_names=["input_ids", "attention_mask"])
    rows = read(tokenizer=tokenizer)
    assert rows.column_names == ["input_ids", "labels", "length"]
    assert "token_type_ids" not in collator(tokenizer)(list(rows))


def test_the_examples_are_left_alone(read):
    examples = PAIRS.copy(deep=True)
    read(examples, with_words=True)
    pd.testing.assert_frame_equal(examples, PAIRS)


# --- the words ---


def numbered_characters(text, first):
    """Return {position: number of its word}, from `first`, character by character, without a regular expression."""
    numbers, number, inside = {}, first - 1, False
    for position, character in enumerate(text):
        is_word = character.isalnum() or character == "_"
        number += is_word and (not inside or character in "猫犬")  # each of which is a word
        inside = is_word
        if is_word:
            numbers[position] = number
    return numbers


@pytest.mark.parametrize("max_length", [32, 7])
@pytest.mark.parametrize("examples", [PAIRS, SINGLE], ids=["pairs", "single"])
def test_each_token_lies_in_its_word(read, examples, max_length):
    tokenizer = cut(make_tokenizer(), max_length)
    for row, example in zip(read(examples, tokenizer, with_words=True), examples.itertuples(), strict=True):
        texts = texts_of(example)
        numbers = [numbered_characters(text, len(words("\n".join(texts[:at])))) for at, text in enumerate(texts)]
        found = tokenizer(*texts, truncation=True, max_length=max_length, return_offsets_mapping=True)
        expected = [
            -1 if segment is None else next((numbers[segment][at] for at in range(*span) if at in numbers[segment]), -1)
            for segment, span in zip(found.sequence_ids(0), found["offset_mapping"], strict=True)
        ]
        assert row["words"] == expected
        if max_length == 32:
            assert set(row["words"]) - {-1} == set(range(sum(len(words(text)) for text in texts)))


def test_rows_of_words_that_were_cut_otherwise_are_not_read_again(read, monkeypatch):
    examples = table({"text_a": ["今天 a"], "text_b": ["a"]})
    assert set(read(examples, with_words=True)[0]["words"]) == {-1, 0, 1, 2}
    monkeypatch.setattr("trusteq.words._icu", lambda: None)
    assert set(read(examples, with_words=True)[0]["words"]) == {-1, 0, 1, 2, 3}


def test_the_words_of_a_pair_by_hand(read):
    (row,) = read(table({"text_a": ["A man reads."], "text_b": ["the dog, didn't"]}), with_words=True)
    tokens = TOKENIZER.convert_ids_to_tokens(row["input_ids"])
    assert list(zip(tokens, row["words"], strict=True)) == [
        *[("[CLS]", -1), ("a", 0), ("man", 1), ("read", 2), ("##s", 2), (".", -1), ("[SEP]", -1)],
        *[("the", 3), ("dog", 4), (",", -1), ("didn", 5), ("'", -1), ("t", 6), ("[SEP]", -1)],
    ]


class Slow(transformers.PreTrainedTokenizer):
    """A tokenizer of the library's slow kind: it cannot tell where a token stands."""

    vocab_size = 300

    def get_vocab(self):
        return {chr(code): code for code in range(self.vocab_size)} | self.added_tokens_encoder

    def _tokenize(self, text):
        return list(text)

    def _convert_token_to_id(self, token):
        return ord(token)

    def _convert_id_to_token(self, index):
        return chr(index)


def test_a_slow_tokenizer_is_good_for_all_but_words(read, tmp_path):
    latin, slow = table({"text_a": ["a man", "dog"]}), Slow(model_max_length=32)
    one_line(ModelError, lambda: read(latin, slow, with_words=True), "attribution_weight", "Slow", "fast tokenizer")
    assert list(tmp_path.iterdir()) == []
    assert [row["input_ids"] for row in read(latin, slow)] == [list(b"a man"), list(b"dog")]


# --- the file ---


def test_rows_are_read_from_the_folder(read, tmp_path):
    rows = read()
    (file,) = tmp_path.glob("*.arrow")
    assert [cached["filename"] for cached in rows.cache_files] == [str(file)]


def test_the_same_texts_are_tokenised_once(read, calls, tmp_path):
    first = read()
    # Neither ids nor the index nor the tokenizer as an object are of the texts.
    again = read(table(TEXTS, split="dev").set_index(np.arange(100, 108)), make_tokenizer())
    assert calls == [len(PAIRS)]
    assert list(again) == list(first)
    assert len(list(tmp_path.glob("*.arrow"))) == 1


def test_rows_that_changed_on_disk_are_tokenised_again(read, calls, tmp_path):
    first = list(read())
    (file,) = tmp_path.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert list(read()) == first
    assert calls == [len(PAIRS), len(PAIRS)]


OTHERS = {
    "texts": {"examples": PAIRS.assign(text_b=PAIRS["text_b"] + ".")},
    "texts exchanged": {"examples": table({"text_a": TEXTS["text_b"], "text_b": TEXTS["text_a"]})},
    "single texts": {"examples": SINGLE},
    "order": {"examples": PAIRS[::-1]},
    "labels": {"examples": table(TEXTS, labels=1)},
    "vocabulary": {"tokenizer": make_tokenizer(vocabulary=[*SPECIAL, *VOCABULARY[:4:-1]])},
    "casing": {"tokenizer": make_tokenizer(do_lower_case=False)},
    "maximum length": {"tokenizer": cut(make_tokenizer(), 7)},
    "with words": {"with_words": True},
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS.keys())
def test_anything_else_is_another_file(read, calls, tmp_path, change):
    first, other = read(), read(**change)
    assert calls == [len(PAIRS), len(PAIRS)]
    assert len(list(tmp_path.glob("*.arrow"))) == 2
    assert list(first) != list(other)


def test_a_run_cut_short_leaves_no_file(read, monkeypatch, tmp_path):
    many = pd.concat([PAIRS] * 150, ignore_index=True)  # more than the 1,000 rows that are tokenised at once
    real, seen = transformers.BertTokenizer.__call__, []

    def killed(self, texts, *others, **options):
        seen.append([path.suffix for path in tmp_path.iterdir()])
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(self, texts, *others, **options)

    with monkeypatch.context() as patched:
        patched.setattr(transformers.BertTokenizer, "__call__", killed)
        with pytest.raises(KeyboardInterrupt):
            read(many)
    assert not any(".arrow" in suffixes for suffixes in seen), "written under another name until it is whole"
    assert list(tmp_path.iterdir()) == []
    assert len(read(many)) == len(many)


# --- batches ---


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_is_padded_with_what_is_no_word(read, side):
    tokenizer = make_tokenizer(padding_side=side)
    rows = list(read(tokenizer=tokenizer, with_words=True))[:3]
    batch = collator(tokenizer)(rows)
    longest = max(row["length"] for row in rows)
    assert len({row["length"] for row in rows}) > 1 and tokenizer.pad_token_id != 0
    fill = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0, "words": -1}
    for name, padding in fill.items():
        padded = [([padding] * (longest - row["length"]), row[name]) for row in rows]
        assert batch[name].tolist() == [more + own if side == "left" else own + more for more, own in padded]
    assert batch["attention_mask"].sum(dim=1).tolist() == [row["length"] for row in rows]
    assert ((batch["input_ids"] == tokenizer.pad_token_id) == (batch["attention_mask"] == 0)).all()
    assert batch["labels"].tolist() == [row["labels"] for row in rows]
    assert batch["words"].dtype == batch["labels"].dtype == torch.int64
    assert "teacher" not in batch


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_is_padded_as_the_tokenizer_pads(read, side):
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.padding_side = side
    rows = list(read())
    names = ("input_ids", "token_type_ids")
    theirs = tokenizer.pad([{name: row[name] for name in names} for row in rows], return_tensors="pt")
    ours = collator(tokenizer)(rows)
    assert list(ours) == [*theirs, "labels"]
    for name in theirs:
        assert ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name])


def test_a_tokenizer_without_a_padding_token_makes_no_batch():
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match="BertTokenizer has no padding token"):
        collator(tokenizer)


def test_a_batch_holds_what_models_take(read):
    batch = collator(TOKENIZER)(list(read()))
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask", "labels"}


# --- a teacher's probabilities ---


@pytest.fixture(scope="module")
def teacher(tiny_bert):
    return load_classifier(tiny_bert("BertForSequenceClassification"), device="cpu")


@pytest.mark.parametrize("examples", [PAIRS, SINGLE], ids=["pairs", "single"])
@pytest.mark.parametrize("chunk", [3, 4, 100])  # 8 rows: a last chunk cut short, chunks that fit, one chunk
def test_each_row_has_its_own_probabilities(read, teacher, monkeypatch, chunk, examples):
    monkeypatch.setattr(module, "CHUNK", chunk)
    plain = read(examples)
    rows = taught(plain, examples, teacher)
    expected = teacher.predict_proba(examples["text_a"], examples["text_b"])
    assert np.ptp(expected, axis=0).min() > 1e-3, "probabilities that differ from row to row"
    np.testing.assert_allclose(list(rows["teacher"]), expected, rtol=0, atol=1e-6)
    assert rows.remove_columns("teacher").to_dict() == plain.to_dict()
    batch = collator(TOKENIZER)(list(rows)[2:5])
    assert batch["teacher"].dtype == torch.float32
    np.testing.assert_allclose(batch["teacher"].numpy(), expected[2:5], rtol=0, atol=1e-6)


def test_a_teacher_sees_one_chunk_at_a_time(read, teacher, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    sizes, real = [], type(teacher).predict_proba

    def counted(self, firsts, seconds):
        sizes.append(len(firsts))
        return real(self, firsts, seconds)

    monkeypatch.setattr(type(teacher), "predict_proba", counted)
    taught(read(), PAIRS, teacher)
    assert sizes == [3, 3, 2]
