"""Token ids of masked texts put together from the ids of their pieces, so that each piece is tokenised once.

A piece is what stands between white space. A tokenizer with BERT's pre-tokenizer treats every piece by itself, so the
ids of a text are those of its pieces in a row. A piece holds one word mostly, sometimes several ("isn't",
"well-known") or none; it is tokenised once for each way of masking its words that occurs.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from trusteq import words
from trusteq.attribution.engine import Question, window
from trusteq.attribution.features import Features
from trusteq.models.classifier import ReadsTokens
from trusteq.models.forward import Rows

_PIECE = re.compile(r"\S+")
_MOST_WORDS = 62  # of one piece: how its words are masked is the bits of an int64
Ids = tuple[int, ...]
Variant = tuple[str, int, str]  # a piece, which of its words are kept (the first is the lowest bit), the replacement
# The token ids that one piece can have, and which of them each mask gives, (n,); None where there is but one.
Block = tuple[list[Ids], np.ndarray | None]


class TokenPredictor:
    """Asks a classifier of tokens about masks, by the token ids that its tokenizer gives the masked texts.

    known: the token ids of what was tokenised already.
    """

    def __init__(self, classifier: ReadsTokens):
        self.classifier, self.labels = classifier, classifier.labels
        self.retokenised: set[str] = set()
        self.passes = 0
        self.known: dict[Variant, Ids] = {}

    @property
    def window(self) -> int:
        """The number of examples explained side by side."""
        return window(self.classifier)

    def predict(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """Return the probabilities, (n, C), that answer each question."""
        self.passes += sum(len(masks) for _, masks in questions)
        return self.classifier.predict_rows([self._rows(*question) for question in questions])

    def _rows(self, example: Features, masks: np.ndarray) -> Rows:
        rows = example.rows(masks, self)
        if rows is None:
            self.retokenised.add(example.id)
            return self.classifier.encode(*example.texts(masks))
        return rows

    def rows(self, texts: Sequence[str], replacement: str, masks: np.ndarray) -> Rows | None:
        """Return the token ids under `masks`, (n, words); None where they cannot be put together from pieces.

        texts: one, or a pair. replacement: what stands for a masked word.
        """
        by_template = len(texts) == 2 and self.classifier.template is not None
        if by_template or len(texts) not in self._special_tokens:
            return None
        before, *after = self._special_tokens[len(texts)]
        blocks: list[Block] = [([before], None)]
        first, second_starts = 0, 0
        for text, following in zip(texts, after, strict=True):
            second_starts = len(blocks)
            for piece in _PIECE.findall(text):
                numbers = slice(first, first + len(words.words(piece)))
                if numbers.stop - numbers.start > _MOST_WORDS:
                    return None
                kept, of_row = _ways(masks[:, numbers])
                blocks.append((self._ids([(piece, code, replacement) for code in kept]), of_row))
                first = numbers.stop
            blocks.append(([following], None))
        rows = _put_together(blocks, second_starts if len(texts) == 2 else len(blocks), len(masks))
        if rows.lengths.max() > self.classifier.max_length:
            return None
        return rows if "token_type_ids" in self.classifier.tokenizer.model_input_names else replace(rows, types=None)

    @functools.cached_property
    def _special_tokens(self) -> dict[int, list[Ids]]:
        """For one text and for a pair, the special tokens before, between and after; none for other tokenizers."""
        tokenizer = self.classifier.tokenizer
        if not _treats_pieces_alone(getattr(tokenizer, "backend_tokenizer", None)):
            return {}
        found = {}
        for n_texts in (1, 2):
            probe = tokenizer(*["a"] * n_texts, return_special_tokens_mask=True)
            ends = [place for place, special in enumerate(probe["special_tokens_mask"]) if not special]
            ids = probe["input_ids"]
            second = ends[1] if n_texts == 2 else len(ids)
            if any(type_ != (place >= second) for place, type_ in enumerate(probe.get("token_type_ids", ()))):
                return {}  # Funnel's first token has a type of its own
            cuts = zip([0, *(end + 1 for end in ends)], [*ends, len(ids)], strict=True)
            found[n_texts] = [tuple(ids[start:stop]) for start, stop in cuts]
        return found

    def _ids(self, variants: Sequence[Variant]) -> list[Ids]:
        unknown = [variant for variant in variants if variant not in self.known]
        if unknown:
            # Not the backend's own `encode_batch`: it pads and cuts as whoever asked last had it.
            texts = [_text(*variant) for variant in unknown]
            ids = self.classifier.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            self.known.update(zip(unknown, map(tuple, ids), strict=True))
        return [self.known[variant] for variant in variants]


def _text(piece: str, kept: int, replacement: str) -> str:
    keep = [bool(kept >> word & 1) for word in range(len(words.words(piece)))]
    return words.mask(piece, keep, replacement)


def _treats_pieces_alone(backend) -> bool:
    """Return whether a tokenizer of the tokenizers library makes of a text what it makes of its pieces in a row."""
    if not isinstance(getattr(backend, "pre_tokenizer", None), BertPreTokenizer):
        return False
    added = (token.content for token in backend.get_added_tokens_decoder().values())
    return isinstance(backend.normalizer, BertNormalizer) and not any(map(re.compile(r"\s").search, added))


def _ways(masks: np.ndarray) -> tuple[list[int], np.ndarray | None]:
    """Return in which ways a piece's words are kept, as bits, and which of them each mask has; masks: (n, words)."""
    n_words = masks.shape[1]
    if n_words <= 1:
        return [0, 1][: n_words + 1], masks[:, 0].astype(np.int64) if n_words else None
    kept, of_row = np.unique(masks @ (1 << np.arange(n_words, dtype=np.int64)), return_inverse=True)
    return kept.tolist(), of_row


def _put_together(blocks: list[Block], second_starts: int, n: int) -> Rows:
    """Return n rows, each the tokens of its variant of every block; the second segment starts at a block's number."""
    lengths_of = [np.array([len(ids) for ids in variants]) for variants, _ in blocks]
    chosen = [np.zeros(n, dtype=np.int64) if of_row is None else of_row for _, of_row in blocks]
    ends = np.cumsum([lengths[row] for lengths, row in zip(lengths_of, chosen, strict=True)], axis=0)
    ids = np.zeros((n, ends[-1].max()), dtype=np.int64)
    for (variants, _), lengths, row, end in zip(blocks, lengths_of, chosen, ends, strict=True):
        table = np.zeros((len(variants), lengths.max()), dtype=np.int64)
        table[np.arange(table.shape[1]) < lengths[:, None]] = [token for ids_of in variants for token in ids_of]
        length = lengths[row]
        for place in range(table.shape[1]):
            here = np.flatnonzero(length > place)
            ids[here, (end - length + place)[here]] = table[row[here], place]
    start = ends[second_starts - 1] if second_starts < len(blocks) else ends[-1]
    places = np.arange(ids.shape[1])
    types = (places >= start[:, None]) & (places < ends[-1][:, None])
    return Rows(ids, ends[-1], types.astype(np.int64))
