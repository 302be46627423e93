"""Token ids of masked texts put together from the ids of their pieces, so that each piece is tokenised once.

A piece is what stands between white space. It holds one word mostly, sometimes several ("isn't", "well-known") or none;
it is tokenised once for each way of masking its words that occurs. The ids of a text are those of its pieces in a row:
with BERT's pre-tokenizer those of each piece by itself; elsewhere a space belongs to the piece after it, and a piece
has other ids where a text starts. `pieces.are_kept_apart` tells by a tokenizer's parts whether that holds; what is not
proven is left to the tokenizer, and counted.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from trusteq import words
from trusteq.attribution.engine import Question, window
from trusteq.attribution.features import Features
from trusteq.attribution.pieces import ANY, Ids, Spaced, are_kept_apart, ids_of, is_berts
from trusteq.models.classifier import ReadsTokens
from trusteq.models.forward import Rows

_PIECE = re.compile(r"\S+")
_MOST_WORDS = 12  # of one piece: beyond, nearly every mask leaves another text of it, and nothing is saved
# A piece, which of its words are kept (the first is the lowest bit), the replacement, whether it starts the text.
Variant = tuple[str, int, str, bool]


class TokenPredictor:
    """Asks a classifier of tokens about masks, by the token ids that its tokenizer gives the masked texts.

    known: the token ids of what was tokenised already; None where they depend on more than the piece.
    """

    def __init__(self, classifier: ReadsTokens):
        self.classifier, self.labels = classifier, classifier.labels
        self.retokenised: set[str] = set()
        self.passes = 0
        self.known: dict[Variant, Ids | None] = {}
        self._pieces_of = functools.lru_cache(maxsize=2 * self.window)(self._pieces)

    @property
    def window(self) -> int:
        """The number of examples explained side by side."""
        return window(self.classifier)

    def predict(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """Return the probabilities, (n, C), that answer each question."""
        self.passes += sum(len(masks) for _, masks in questions)
        return self.classifier.predict_rows([self._rows(*question) for question in questions])

    def start(self, questions: Sequence[Question]) -> Callable[[], list[np.ndarray]]:
        """Return a function that waits for what `predict` returns, on which a GPU works until then."""
        if self.window == 1:
            found = self.predict(questions)
            return lambda: found
        self.passes += sum(len(masks) for _, masks in questions)
        return self.classifier.start_rows([self._rows(*question) for question in questions])

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
        pieces = self._pieces_of(tuple(texts), replacement)
        return None if pieces is None else self._put_together(pieces, masks)

    def _pieces(self, texts: tuple[str, ...], replacement: str) -> "_Pieces | None":
        """Return the pieces of texts; None where all words, or none, are not given the ids that the tokenizer gives."""
        template = self.classifier.template
        by_template = template is not None and template.n_texts == len(texts)
        if by_template or len(texts) not in self._special_tokens or re.search(r"\s", replacement):
            return None
        if any(len(words.words(piece)) > _MOST_WORDS for text in texts for piece in _PIECE.findall(text)):
            return None
        pieces = _Pieces(texts, replacement, self._special_tokens[len(texts)], by_place=self._spaced is not None)
        # All ways of pieces of up to three words are tokenised in one call, from all words kept to none.
        put = self._put_together(pieces, (np.arange(7, -1, -1)[:, None] >> pieces.word % 3) & 1 > 0)
        if self._spaced is None or put is None:  # BERT's tokenizers need no trial
            return pieces
        ends = Rows(put.ids[[0, -1]], put.lengths[[0, -1]])
        return pieces if _are_equal(ends, self.classifier.encode(*pieces.extremes())) else None

    def _put_together(self, pieces: "_Pieces", masks: np.ndarray) -> Rows | None:
        chosen = pieces.chosen(masks)
        new = pieces.unknown(chosen)
        ids = self._ids([pieces.variant(entry) for entry in new])
        if None in ids:
            return None
        pieces.learn(new, ids)
        rows = pieces.rows(chosen)
        if not rows.lengths.all():  # a text without any token, which is read as its classifier has it
            nothing, none = self.classifier.encode([""], None).ids[0], rows.lengths == 0
            rows = pieces.rows(chosen, least=len(nothing))
            rows.ids[none, : len(nothing)], rows.lengths[none] = nothing, len(nothing)
        if rows.lengths.max() > self.classifier.max_length:
            return None
        return rows if "token_type_ids" in self.classifier.tokenizer.model_input_names else replace(rows, types=None)

    @functools.cached_property
    def _special_tokens(self) -> dict[int, list[Ids]]:
        """For one text and for a pair, the special tokens before, between and after; none for other tokenizers."""
        tokenizer = self.classifier.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None or not (is_berts(backend) or are_kept_apart(backend)):
            return {}
        found = {}
        for n_texts in (1, 2):
            probe = tokenizer(*[ANY] * n_texts)
            ids, part = probe["input_ids"], probe.sequence_ids()
            inside = [[place for place, of in enumerate(part) if of == text] for text in range(n_texts)]
            second = inside[1][0] if n_texts == 2 and inside[1] else len(ids)
            types = probe.get("token_type_ids", ())
            # Funnel's first token has a type of its own.
            if not all(inside) or any(type_ != (place >= second) for place, type_ in enumerate(types)):
                return {}
            starts, stops = [0, *(places[-1] + 1 for places in inside)], [*(places[0] for places in inside), len(ids)]
            found[n_texts] = [tuple(ids[start:stop]) for start, stop in zip(starts, stops, strict=True)]
        return found

    @functools.cached_property
    def _spaced(self) -> "Spaced | None":
        """What tokenises a piece with the space before it; None for BERT's tokenizers, which drop spaces."""
        return None if is_berts(self.classifier.tokenizer.backend_tokenizer) else Spaced(self.classifier.tokenizer)

    def _ids(self, variants: Sequence[Variant]) -> list[Ids | None]:
        unknown = [variant for variant in variants if variant not in self.known]
        if unknown:
            texts = [_text(*variant[:3]) for variant in unknown]
            if self._spaced is None:
                ids = ids_of(self.classifier.tokenizer, texts)
            else:
                ids = self._spaced.ids(texts, [starts for *_, starts in unknown], unknown[0][2])
            self.known.update(zip(unknown, ids, strict=True))
        return [self.known[variant] for variant in variants]


def _text(piece: str, kept: int, replacement: str) -> str:
    keep = [bool(kept >> word & 1) for word in range(len(words.words(piece)))]
    return words.mask(piece, keep, replacement)


def _are_equal(put: Rows, expected: Rows) -> bool:
    if put.lengths.tolist() != expected.lengths.tolist():
        return False
    return all(np.array_equal(a[:n], b[:n]) for a, b, n in zip(put.ids, expected.ids, put.lengths, strict=True))


class _Pieces:
    """The pieces of a text or pair, and a table of the token ids that each has under every way of masking its words.

    A piece has a column, and so have the special tokens around the texts. Each way of masking its words has a place,
    and each place two entries in the table, 2 x place and, for a piece that starts a text, 2 x place + 1.
    n_words: of each column. by_place: whether a piece has other ids where it starts a text.
    """

    def __init__(self, texts: tuple[str, ...], replacement: str, special: list[Ids], *, by_place: bool):
        self.texts, self.replacement, self.by_place = texts, replacement, by_place
        self.columns, self.sides = [""], []
        for text in texts:
            pieces = _PIECE.findall(text)
            self.sides.append(slice(len(self.columns), len(self.columns) + len(pieces)))
            self.columns += [*pieces, ""]
        self.n_words = np.array([len(words.words(piece)) for piece in self.columns])
        self.with_words = np.flatnonzero(self.n_words)
        self.first_word = (np.cumsum(self.n_words) - self.n_words)[self.with_words]
        self.word = np.array([word for n in self.n_words for word in range(n)], dtype=np.int64)  # within its piece
        # A piece that is all words is gone without them.
        gone = [n > 0 and not _text(piece, 0, replacement) for piece, n in zip(self.columns, self.n_words, strict=True)]
        self.vanishes = np.array(gone)
        n_places = 1 << self.n_words
        self.first_place = np.cumsum(n_places) - n_places
        self.starts, self.lengths = np.zeros(2 * n_places.sum(), dtype=np.int64), np.full(2 * n_places.sum(), -1)
        self.ids = np.empty(0, dtype=np.int64)
        around = [0, *(side.stop for side in self.sides)]
        self.learn(2 * self.first_place[around], special)

    def extremes(self) -> tuple[list[str], list[str] | None]:
        """Return the first and the second texts with all their words, and with none."""
        kept = [
            [words.mask(text, [keep] * len(words.words(text)), self.replacement) for keep in (True, False)]
            for text in self.texts
        ]
        return kept[0], kept[1] if len(kept) == 2 else None

    def chosen(self, masks: np.ndarray) -> np.ndarray:
        """Return the entry of the table that each column has under each mask, (n, columns); masks: (n, words)."""
        kept = np.zeros((len(masks), len(self.columns)), dtype=np.int64)
        if len(self.word):
            kept[:, self.with_words] = np.add.reduceat(masks * (1 << self.word), self.first_word, axis=1)
        entries = 2 * (self.first_place + kept)
        left = (kept > 0) | ~self.vanishes
        for side in self.sides if self.by_place else ():
            if side.start < side.stop:
                entries[np.arange(len(masks)), side.start + left[:, side].argmax(axis=1)] += 1
        return entries

    def unknown(self, entries: np.ndarray) -> list[int]:
        """Return the entries whose ids are not in the table, each once."""
        return np.unique(entries[self.lengths[entries] < 0]).tolist()

    def variant(self, entry: int) -> Variant:
        """Return what an entry of the table stands for."""
        column = int(np.searchsorted(self.first_place, entry >> 1, side="right")) - 1
        return self.columns[column], (entry >> 1) - int(self.first_place[column]), self.replacement, bool(entry & 1)

    def learn(self, entries: Sequence[int], ids: Sequence[Ids]) -> None:
        """Take the token ids of entries into the table."""
        if len(entries):
            lengths = np.array(list(map(len, ids)))
            self.starts[entries], self.lengths[entries] = len(self.ids) + np.cumsum(lengths) - lengths, lengths
            self.ids = np.concatenate([self.ids, np.array([token for of in ids for token in of], dtype=np.int64)])

    def rows(self, entries: np.ndarray, least: int = 0) -> Rows:
        """Return the ids of all columns in a row, for each row of entries, (n, columns); at least so wide."""
        lengths = self.lengths[entries]
        total, flat = lengths.sum(axis=1), lengths.ravel()
        shift = self.starts[entries].ravel() - np.cumsum(flat) + flat  # from the place in the row of all rows
        places = np.arange(max(total.max(), least))
        inside = places < total[:, None]
        ids = np.zeros(inside.shape, dtype=np.int64)
        ids[inside] = self.ids[np.repeat(shift, flat) + np.arange(flat.sum())]
        second = lengths[:, : self.sides[1].start].sum(axis=1) if len(self.sides) == 2 else total
        return Rows(ids, total, ((places >= second[:, None]) & inside).astype(np.int64))
