"""A pair as one text: what stands before, between and after the two where a tokenizer keeps no boundary itself."""

import string
from dataclasses import dataclass

from trusteq.errors import ModelError

SIDES = ("text_a", "text_b")


@dataclass(frozen=True)
class Template:
    """A pair joined by words of the template, which are never features: `Premise: {text_a}\\nHypothesis: {text_b}`."""

    before: str
    between: str
    after: str
    text: str

    @classmethod
    def of(cls, text: str) -> "Template":
        """Return the template that a text says; raise ModelError unless it holds {text_a}, words, then {text_b}."""
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError:
            parts = []
        fields = [(name, form, conversion) for _, name, form, conversion in parts if name is not None]
        if fields != [(side, "", None) for side in SIDES] or not parts[1][0].strip(" "):
            raise ModelError(
                f"template {text!r}: give {{text_a}}, what stands between, then {{text_b}}, each once, "
                "such as 'Premise: {text_a}\\nHypothesis: {text_b}'"
            )
        return cls(parts[0][0], parts[1][0], "".join(literal for literal, *_ in parts[2:]), text)

    def join(self, text_a: str, text_b: str) -> str:
        """Return the pair as one text."""
        return f"{self.before}{text_a}{self.between}{text_b}{self.after}"

    def sides(
        self, texts: tuple[str, str], offsets: list[tuple[int, int]]
    ) -> tuple[list[int | None], list[tuple[int, int]]]:
        """Return of each token which text it stands in, None for the template's own words, and its (start, end) there.

        offsets: (start, end) of each token in the joined text.
        """
        first = len(self.before)
        starts = (first, first + len(texts[0]) + len(self.between))
        segments, places = [], []
        for start, end in offsets:
            inside = [at for at in (0, 1) if start < starts[at] + len(texts[at]) and end > starts[at]]
            segments.append(inside[0] if inside else None)
            begin = starts[inside[0]] if inside else 0
            places.append((max(start - begin, 0), end - begin))
        return segments, places
