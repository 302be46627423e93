"""Tokenizers of every kind that people use, each learnt from a few texts, as their files put them together."""

import functools
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL = {"pad": "<pad>", "unk": "<unk>", "bos": "<s>", "eos": "</s>", "mask": "<mask>"}
OF_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERN = rf"{CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|%s| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, eq=False)
class Kind:
    """How a tokenizer is put together. learnt_by: the pre-tokenizer for learning, where another one is used then."""

    model: str
    splitter: object = None
    normaliser: object = None
    learnt_by: object = None
    around: str = "<s> $A </s>"
    pair: str = "<s> $A </s> </s> $B </s>"
    added: tuple = ()
    in_bytes: bool = False
    strips: bool = True  # whether the mask token takes the space before it


def pattern(of: str) -> object:
    split = pre_tokenizers.Split(Regex(of), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def marks(scheme: str = "always", *, split: bool = True) -> object:
    return pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)


@functools.cache
def charsmap() -> bytes:
    """The table of characters of SentencePiece's own normaliser, nmt_nfkc, which is in all of its models."""
    made = io.BytesIO()
    options = {"vocab_size": 60, "hard_vocab_limit": False, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a man"]), model_writer=made, **options)
    return sentencepiece_model_pb2.ModelProto.FromString(made.getvalue()).normalizer_spec.precompiled_charsmap


def after_words(*, scheme="always"):
    return pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), marks(scheme)])


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
RUNS = tuple(AddedToken(" " * n, normalized=True) for n in (2, 3, 4, 8))
QUOTES = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
KINDS: dict[str, Kind] = {
    "GPT-2": Kind("bytes", BYTES, around="$A", pair="$A <s> $B"),
    "RoBERTa": Kind("bytes", pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "RoBERTa with a first space": Kind("bytes", pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "ModernBERT": Kind(
        "bytes", BYTES, normalizers.NFC(), pair="<s> $A </s> $B </s>", added=(*RUNS, AddedToken("|||IP|||"))
    ),
    "Qwen": Kind("bytes", pattern(PATTERN % r"\p{N}"), normalizers.NFC(), around="$A", pair="$A </s> $B"),
    "Llama 3": Kind("bytes", pattern(PATTERN % r"\p{N}{1,3}"), around="<s> $A", pair="<s> $A <s>:1 $B:1"),
    "SmolLM": Kind(
        "bytes", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), BYTES]), around="$A"
    ),
    "Llama": Kind(
        "pairs",
        marks("first", split=False),
        learnt_by=marks(),
        around="<s> $A",
        pair="<s> $A <s>:1 $B:1",
        in_bytes=True,
    ),
    "Llama, legacy": Kind(
        "pairs",
        None,
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        learnt_by=marks(),
        around="<s> $A",
        in_bytes=True,
    ),
    "DeBERTa v3": Kind(
        "pieces",
        marks(),
        normalizers.Sequence(
            [
                normalizers.Replace(Regex(r"\s{2,}|[\n\r\t]"), " "),
                normalizers.NFC(),
                normalizers.Precompiled(charsmap()),
                normalizers.Strip(left=False, right=True),
            ]
        ),
        pair="<s> $A </s> $B:1 </s>:1",
    ),
    "XLM-R": Kind("pieces", after_words(), normalizers.Precompiled(charsmap())),
    "T5": Kind("pieces", marks("first"), normalizers.Precompiled(charsmap()), around="$A </s>", pair="$A </s> $B </s>"),
    "ALBERT": Kind(
        "pieces",
        after_words(),
        normalizers.Sequence(
            [
                *QUOTES,
                normalizers.NFKD(),
                normalizers.StripAccents(),
                normalizers.Lowercase(),
                normalizers.Precompiled(charsmap()),
            ]
        ),
    ),
    "BigBird": Kind(
        "pieces",
        marks(),
        normalizers.Sequence([normalizers.Strip(False, False), normalizers.Replace(Regex(" {2,}"), "▁")]),
    ),
    "words": Kind("words", pre_tokenizers.Whitespace(), normalizers.Lowercase()),
}


def learnt(kind: Kind, texts: Iterable[str]) -> Tokenizer:
    """The backend of a kind, learnt from texts."""
    special = list(SPECIAL.values())
    options = {"special_tokens": special, "show_progress": False}
    if kind.model == "pieces":
        backend = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", **options)
    elif kind.model == "words":
        backend, trainer = Tokenizer(models.WordLevel(unk_token="<unk>")), trainers.WordLevelTrainer(**options)
    else:
        backend = Tokenizer(models.BPE(unk_token="<unk>" if kind.in_bytes else None, byte_fallback=kind.in_bytes))
        alphabet = pre_tokenizers.ByteLevel.alphabet() if kind.model == "bytes" else ["▁"]
        limit = {"limit_alphabet": 60} if kind.in_bytes else {}
        options["special_tokens"] = special + OF_BYTES * kind.in_bytes
        trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, **limit, **options)
    backend.normalizer = kind.normaliser
    backend.pre_tokenizer = kind.learnt_by or kind.splitter
    backend.train_from_iterator(texts, trainer)
    if kind.learnt_by is not None or kind.model == "pairs":
        state = json.loads(backend.to_str())
        state["added_tokens"] = state["added_tokens"][: len(special)]
        backend = Tokenizer.from_str(json.dumps(state))
        backend.pre_tokenizer = kind.splitter
    if kind.normaliser is not None:
        backend.normalizer = kind.normaliser
    return backend


def tokenizer_of(kind: Kind, texts: Iterable[str]) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer of a kind, with its special tokens around the texts."""
    backend = learnt(kind, texts)
    names = {f"{name}_token": token for name, token in SPECIAL.items()}
    names["mask_token"] = AddedToken("<mask>", lstrip=kind.strips, special=True, normalized=False)
    found = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **names)
    known = [(token, found.convert_tokens_to_ids(token)) for token in SPECIAL.values()]
    found.backend_tokenizer.post_processor = processors.TemplateProcessing(kind.around, kind.pair, special_tokens=known)
    if kind.added:
        found.add_tokens(list(kind.added))
    return found
