"""How a tokenizer treats the pieces of a text, which are what stands between white space: told by its parts.

BERT's treats each by itself. Elsewhere a space belongs to the piece after it; with that, most tokenizers still treat
each by itself, but for where a text starts.
"""

import itertools
import json
import re
from collections.abc import Callable, Sequence

from tokenizers.models import BPE
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

Ids = tuple[int, ...]
ANY = "a"  # stands for any piece before a space
_MARK = "▁"  # SentencePiece's sign for a space
_GAP = re.compile(rf"[\s{_MARK}]")
_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
# Patterns before byte pairs that end a part before each space: Llama 3's and Qwen's; GPT-2's is ByteLevel's own.
_PATTERNS = [
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
]
# Whether a pre-tokenizer starts a new part at each space, or drops it, whatever stands around.
_SPLITS: dict[str, Callable[[dict], bool]] = {
    "BertPreTokenizer": lambda of: True,
    "Whitespace": lambda of: True,
    "WhitespaceSplit": lambda of: True,
    "ByteLevel": lambda of: of["use_regex"],
    "Metaspace": lambda of: of["split"] and of["replacement"] == _MARK,
    "Split": lambda of: of["pattern"].get("Regex") in _PATTERNS and of["behavior"] in ("Isolated", "Removed"),
}
_BY_CHARACTER = ("Digits", "Punctuation")  # pre-tokenizers that see one character, and so leave spaces to the next one
_RUNS = (" {2,}", r"\s{2,}", r"[\n\r\t]", r"\s{2,}|[\n\r\t]")  # white space that no masked text has between pieces
# Normalisers that see no further than a space, but for the ends of a text and white space beside white space.
_NORMALISERS: dict[str, Callable[[dict], bool]] = {
    **dict.fromkeys(("NFC", "NFD", "NFKC", "NFKD", "Nmt", "Lowercase", "StripAccents"), lambda of: True),
    **dict.fromkeys(("Strip", "Prepend", "Precompiled"), lambda of: True),
    "Replace": lambda of: (
        of["pattern"].get("Regex") in _RUNS
        or (of["pattern"].get("String"), of["content"]) == (" ", _MARK)
        or not _GAP.search(of["pattern"].get("String", " "))
    ),
    "Sequence": lambda of: all(map(_is_local, of["normalizers"])),
}


def is_berts(backend) -> bool:
    """Return whether a tokenizer treats each piece by itself, as BERT's does."""
    if not isinstance(backend.pre_tokenizer, BertPreTokenizer) or not isinstance(backend.normalizer, BertNormalizer):
        return False
    return not any(re.search(r"\s", token.content) for token in backend.get_added_tokens_decoder().values())


def are_kept_apart(backend) -> bool:
    """Return whether each piece with the space before it becomes tokens by itself, as far as a piece stands alone.

    It does where a part ends at each space, since a model sees one part at a time; or where nothing splits a text, but
    no token of byte pairs goes beyond a space, so that none is ever merged across.
    """
    normaliser, splitter = _state(backend.normalizer), _state(backend.pre_tokenizer)
    if not _is_local(normaliser) or getattr(backend.model, "dropout", None):
        return False
    normal = _normal(backend)
    if not all(
        _is_within(form) for token in backend.get_added_tokens_decoder().values() for form in _forms(token, normal)
    ):
        return False
    gap = normal(f"{ANY} {ANY}").removeprefix(normal(ANY))[:1]
    parts = splitter.get("pretokenizers", [splitter])
    first = next((part for part in parts if part.get("type") not in _BY_CHARACTER), {})
    if _SPLITS.get(first.get("type"), lambda of: False)(first):
        return gap == " " or first["type"] == "Metaspace"
    marks = gap == _MARK if not splitter else first.get("type") == "Metaspace" and first["replacement"] == _MARK
    return marks and len(parts) == 1 and _never_merges_beyond_a_mark(backend)


def _never_merges_beyond_a_mark(backend) -> bool:
    model = backend.model
    if not isinstance(model, BPE) or model.ignore_merges or model.continuing_subword_prefix or model.end_of_word_suffix:
        return False
    vocabulary = backend.get_vocab(with_added_tokens=False)
    return _MARK in vocabulary and not any(map(re.compile(f"[^{_MARK}]{_MARK}").search, vocabulary))


def _state(part) -> dict:
    """Return what a part of a tokenizer is made of, as its file has it; nothing for None."""
    return {} if part is None else json.loads(part.__getstate__())


def _normal(backend) -> Callable[[str], str]:
    return str if backend.normalizer is None else backend.normalizer.normalize_str


def _is_local(normaliser: dict) -> bool:
    return not normaliser or _NORMALISERS.get(normaliser["type"], lambda of: False)(normaliser)


def _forms(token, normal: Callable[[str], str]) -> set[str]:
    """Return how an added token looks in a text, and in a normalised one."""
    return {token.content, normal(token.content)} if token.normalized else {token.content}


def _is_within(form: str) -> bool:
    """Return whether an added token lies inside a piece, or is white space such as no masked text has."""
    return bool(re.fullmatch(rf"[\s{_MARK}]{{2,}}", form)) or not re.search(rf"\s|(?<=.){_MARK}", form, re.DOTALL)


def ids_of(tokenizer, texts: list[str]) -> list[Ids]:
    """Return the token ids of texts by themselves, without special tokens."""
    # Not the backend's own `encode_batch`: it pads and cuts as whoever asked last had it.
    return list(map(tuple, tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]))


class Spaced:
    """Tokenises pieces where a space belongs to the piece after it."""

    def __init__(self, tokenizer):
        self.tokenizer, backend = tokenizer, tokenizer.backend_tokenizer
        self.normal = _normal(backend)
        forms = {form for token in backend.get_added_tokens_decoder().values() for form in _forms(token, self.normal)}
        self.added = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))) or "(?!)")

    def ids(self, texts: Sequence[str], starts: Sequence[bool], replacement: str) -> list[Ids | None]:
        """Return the ids of pieces; None where more than the piece decides them.

        starts: of each, whether a text starts with it. replacement: what stands for a masked word.
        """
        # What a piece may follow: any other, or a token that stands for a word, where some tokenizers start anew.
        before = [ANY, replacement] if replacement else [ANY]
        forms = [
            [text] if first else [f"{one} {text}" for one in before] for text, first in zip(texts, starts, strict=True)
        ]
        answers = iter(ids_of(self.tokenizer, [*before, *itertools.chain(*forms)]))
        skipped, found = [next(answers) for _ in before], []
        for text, first, asked in zip(texts, starts, forms, strict=True):
            ids = [next(answers) for _ in asked]
            ways = set(ids) if first else set(map(_after, skipped, ids)) if text else {()}
            found.append(ways.pop() if len(ways) == 1 and self._stands_alone(text, replacement) else None)
        return found

    def _stands_alone(self, text: str, replacement: str) -> bool:
        """Return whether a piece is normalised as between any others, and holds no added token but the replacement."""
        if not text:
            return True
        start, around, between = map(self.normal, (ANY, f"{ANY} {ANY}", f"{ANY} {text} {ANY}"))
        end = around.removeprefix(start)
        inside = between.removeprefix(start + end[:1]).removesuffix(end)
        if between != start + end[:1] + inside + end or _GAP.fullmatch(inside[-1:] or " "):
            return False
        return set(self.added.findall(f"{text} {between}")) <= {replacement, self.normal(replacement)}


def _after(before: Ids, ids: Ids) -> Ids | None:
    return ids[len(before) :] if ids[: len(before)] == before else None
