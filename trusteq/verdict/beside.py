"""Examples on which two models look at different things, their words weighted by both, side by side."""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from trusteq import modality
from trusteq.alignment.ranking import Ranking
from trusteq.modality import Modality, Place
from trusteq.verdict.comparison import SIDES, Comparison
from trusteq.verdict.predictions import Predictions
from trusteq.words import spans

# By whether the large and the compressed model are right; in the order of what is to be looked at first.
KINDS = {
    (True, False): "turned wrong",
    (False, True): "turned right",
    (True, True): "both right",
    (False, False): "both wrong",
}
_WHOLE, _AROUND = 120, 5  # words of a text that is shown whole, and on either side of a top word in a longer one


@dataclass(frozen=True)
class Piece:
    """Some text: a word with its weight for the gold label, or what has none.

    strength: of the largest absolute weight that the model gives in this example, in [0, 1].
    """

    text: str
    weight: float | None = None
    strength: float = 0.0
    is_top: bool = False


@dataclass(frozen=True)
class Seen:
    """An example as one model sees it: what it predicts, how probable it calls that and the gold label, the texts.

    picture: in place of texts, HTML of an image or sound.
    """

    predicted: str
    probability: float
    of_gold: float
    texts: tuple[tuple[Piece, ...], ...]
    picture: str = ""


@dataclass(frozen=True)
class Beside:
    """An example as both models see it.

    jaccard, chance: the overlap of their top words, and that of random ones. shared, large, compressed: the top words
    of both, and of one alone, in the order of the text.
    """

    id: str
    gold: str
    jaccard: float
    chance: float
    sides: tuple[Seen, Seen]
    shared: tuple[str, ...]
    large: tuple[str, ...]
    compressed: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Examples of one kind; n: how many there are among those explained, of which the first are shown."""

    title: str
    n: int
    examples: tuple[Beside, ...]


def by_kind(found: Comparison) -> dict[str, list[str]]:
    """Return the ids of the explained examples by kind (KINDS), those first whose overlap is farthest below chance.

    Where every word is a top word there is nothing to tell, and the example is left out.
    """
    table = found.alignment.table.set_index("id")
    table = table[table["chance"] < 1]
    order = (table["jaccard"] - table["chance"]).sort_values(kind="stable").index
    right = pd.DataFrame({side: of.right for side, of in zip(SIDES, _predictions(found), strict=True)})
    right = right.set_index(pd.Index(found.a.predictions.ids))
    kinds = {name: KINDS[tuple(map(bool, both))] for name, both in zip(right.index, right.to_numpy(), strict=True)}
    return {kind: [name for name in order if kinds[name] == kind] for kind in KINDS.values()}


def groups(
    found: Comparison, examples: pd.DataFrame, *, more: Mapping[str, Sequence[str]], most: int = 4
) -> tuple[Group, ...]:
    """Return what is shown of each kind, at most so many examples each; `more`: further ids by title, shown first."""
    inputs, kind = {row.id: row for row in examples.itertuples()}, modality.of(examples)
    seen = _read if kind is None else functools.partial(_pictured, kind)
    kinds = {title: list(ids) for title, ids in more.items()} | by_kind(found)
    return tuple(
        Group(title, len(ids), tuple(seen(found, name, inputs[name]) for name in ids[:most]))
        for title, ids in kinds.items()
    )


def _read(found: Comparison, name: str, example) -> Beside:
    return beside(found, name, [text for text in (example.text_a, example.text_b) if isinstance(text, str)])


def beside(found: Comparison, name: str, texts: Sequence[str]) -> Beside:
    """Return an explained example as both models see it; texts: one, or a pair."""
    k = found.a.explained.k
    tops = [frozenset(ranking.ranked[name][:k]) for ranking in found.rankings]
    weights = [_weights(ranking, name) for ranking in found.rankings]
    kept = [_kept(len(spans(text)), [at for of, at in tops[0] | tops[1] if of == n]) for n, text in enumerate(texts)]
    row = int((found.a.predictions.ids == name).argmax())
    sides = tuple(
        _seen(of, row, [_pieces(text, n, weighed, top, kept[n]) for n, text in enumerate(texts)])
        for of, weighed, top in zip(_predictions(found), weights, tops, strict=True)
    )
    return _beside(found, name, row, sides, [_words(texts, places) for places in _sets(*tops)])


def _pictured(kind: Modality, found: Comparison, name: str, example) -> Beside:
    """Return an explained image or sound as both models see it; example: a row with the array."""
    k, row = found.a.explained.k, int((found.a.predictions.ids == name).argmax())
    tops = [frozenset(ranking.ranked[name][:k]) for ranking in found.rankings]
    cut, sides = found.rankings[0].attributions.attrs.get("features"), []
    for of, ranking, top in zip(_predictions(found), found.rankings, tops, strict=True):
        picture = kind.marked(example, _weights(ranking, name), top, cut)
        sides.append(replace(_seen(of, row, ()), picture=picture))
    rows = found.rankings[0].attributions
    rows = rows[rows["id"] == name]
    known = dict(zip(rows["position"], rows["word"], strict=True))
    names = [tuple(known[position] for _, position in sorted(places)) for places in _sets(*tops)]
    return _beside(found, name, row, tuple(sides), names)


def _sets(large: frozenset, compressed: frozenset) -> tuple[frozenset, frozenset, frozenset]:
    """Return the top features of both, and of one alone."""
    return large & compressed, large - compressed, compressed - large


def _beside(found: Comparison, name: str, row: int, sides: tuple[Seen, Seen], words: Sequence[tuple[str, ...]]):
    scores = found.alignment.table.set_index("id").loc[name]
    gold = found.a.predictions.labels[found.a.predictions.gold[row]]
    return Beside(name, gold, float(scores["jaccard"]), float(scores["chance"]), sides, *words)


def _predictions(found: Comparison) -> tuple[Predictions, Predictions]:
    return found.a.predictions, found.b.predictions


def _weights(ranking: Ranking, name: str) -> dict[Place, float]:
    rows = ranking.rows[ranking.rows["id"] == name]
    return dict(zip(zip(rows["segment"], rows["position"], strict=True), rows["weight"], strict=True))


def _words(texts: Sequence[str], places: Collection[Place]) -> tuple[str, ...]:
    found = [[text[slice(*span)] for span in spans(text)] for text in texts]
    return tuple(found[segment][position] for segment, position in sorted(places))


def _seen(of: Predictions, row: int, texts: Sequence[tuple[Piece, ...]]) -> Seen:
    probabilities, best = of.probabilities[row], of.predicted[row]
    return Seen(of.labels[best], float(probabilities[best]), float(probabilities[of.gold[row]]), tuple(texts))


def _kept(n: int, top: Collection[int]) -> list[bool]:
    """Return which of n words are shown: all of a text that is not long, of others those near a top word."""
    if n <= _WHOLE:
        return [True] * n
    near = {at + step for at in top or [0] for step in range(-_AROUND, _AROUND + 1)}
    return [at in near for at in range(n)]


def _pieces(
    text: str, segment: int, weights: Mapping[Place, float], top: Collection[Place], kept: Sequence[bool]
) -> tuple[Piece, ...]:
    """Return a text in pieces, word by word; runs of words that are not kept become one that counts them."""
    largest = max(map(abs, weights.values()), default=0.0) or 1.0
    pieces, end, left_out = [], 0, 0
    for position, (start, stop) in enumerate(spans(text)):
        if kept[position]:
            weight = weights.get((segment, position))
            between = Piece(_gap(left_out) if left_out else text[end:start])
            strength = abs(weight or 0.0) / largest
            pieces += between, Piece(text[start:stop], weight, strength, (segment, position) in top)
        left_out, end = (0 if kept[position] else left_out + 1), stop
    return (*pieces, Piece(_gap(left_out) if left_out else text[end:]))


def _gap(n: int) -> str:
    return f" [… {n} …] "
