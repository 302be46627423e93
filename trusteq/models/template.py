"""Texts inside words that are never features: what joins a pair, or what asks a decoder for its answer."""

import itertools
import string
from collections.abc import Sequence
from dataclasses import dataclass

from trusteq.errors import DataError, ModelError

SIDES = ("text_a", "text_b")


@dataclass(frozen=True)
class Template:
    """One text or a pair within words of the template: `Premise: {text_a}\\nHypothesis: {text_b}`.

    around: what stands before, between and after the texts: one more than there are slots. text: as it is written, with
    `{{` for a brace. is_prompt: whether it asks for the class in words, so that nothing of it may be cut.
    """

    around: tuple[str, ...]
    text: str
    is_prompt: bool = False

    @classmethod
    def of(cls, text: str, *, is_prompt: bool = False) -> "Template":
        """Return the template that a text says; raise ModelError unless it holds {text_a}, or that and {text_b}."""
        around, fields = [""], []
        try:
            for literal, *field in string.Formatter().parse(text):
                around[-1] += literal
                if field[0] is not None:
                    fields.append(tuple(field))
                    around.append("")
        except ValueError:
            fields = []
        slots = [(side, "", None) for side in SIDES]
        if fields not in (slots[:1], slots) or (len(fields) == 2 and not around[1].strip(" ")):
            raise ModelError(
                f"template {text!r}: give {{text_a}} and, for pairs, what stands between and {{text_b}}, each once and "
                "in this order, such as 'Premise: {text_a}\\nHypothesis: {text_b}' or 'Review: {text_a}\\nSentiment:'"
            )
        return cls(tuple(around), text, is_prompt)

    @property
    def n_texts(self) -> int:
        """The number of its slots: 1, or 2 for pairs."""
        return len(self.around) - 1

    def join(self, *texts: str) -> str:
        """Return the text, or the pair, as one text."""
        return self.around[0] + "".join(map(str.__add__, texts, self.around[1:]))

    def fitted(self, texts: tuple[str, ...], tokenizer, limit: int) -> tuple[str, ...]:
        """Return the texts, of a prompt cut where with all that stands around them they have more than `limit` tokens.

        What has more tokens is cut first. If it is no prompt, the tokenizer cuts the whole at its end.
        Raises ModelError where the template alone has as many tokens.
        """
        while self.is_prompt and len(self.join(*texts).encode()) + tokenizer.num_special_tokens_to_add() > limit:
            found = tokenizer(self.join(*texts), return_offsets_mapping=True, verbose=False)
            if (over := len(found["input_ids"]) - limit) <= 0:
                break
            segments, places = self.sides(texts, found["offset_mapping"])
            texts = _shorter(texts, list(zip(segments, places, strict=True)), over)
            if not any(texts):
                raise ModelError(f"template {self.text!r}: it leaves no room in the {limit} tokens taken; shorten it")
        return texts

    def sides(
        self, texts: tuple[str, ...], offsets: list[tuple[int, int]]
    ) -> tuple[list[int | None], list[tuple[int, int]]]:
        """Return of each token which text it stands in, None for the template's own words, and its (start, end) there.

        offsets: (start, end) of each token in the joined text.
        """
        before = itertools.accumulate(map(len, ("", *texts[:-1])))
        starts = list(map(int.__add__, itertools.accumulate(map(len, self.around[:-1])), before))
        segments, places = [], []
        for start, end in offsets:
            inside = [at for at, of in enumerate(starts) if start < of + len(texts[at]) and end > of]
            segments.append(inside[0] if inside else None)
            begin = starts[inside[0]] if inside else 0
            places.append((max(start - begin, 0), end - begin))
        return segments, places


def _shorter(texts: tuple[str, ...], tokens: list[tuple[int | None, tuple[int, int]]], over: int) -> tuple[str, ...]:
    """Return the texts without `over` of their tokens, the last ones of whichever has most left."""
    starts = [[place[0] for segment, place in tokens if segment == side] for side in range(len(texts))]
    kept = list(texts)
    for _ in range(over):
        side = max(range(len(texts)), key=lambda at: len(starts[at]))
        kept[side] = kept[side][: starts[side].pop()] if starts[side] else ""
    return tuple(kept)


def check_slots(texts: Sequence[Sequence[str | None]], where: str) -> None:
    """Raise DataError, by row and column, for a text without anything but white space. texts: of each slot."""
    for column, side in zip(SIDES, texts, strict=False):
        for row, text in enumerate(side):
            if isinstance(text, str) and not text.strip():
                raise DataError(f"{where}: row {row}: {column} is empty, and a template's slot needs a text; give one")
