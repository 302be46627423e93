"""Words that must not decide, such as names, places and groups: how much either model goes by them.

A compressed model can be as accurate and still go by words that the large one never uses: the failure that no score
shows. It informs a verdict and decides none.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq.alignment.overlap import exact_mean, mean_estimate
from trusteq.alignment.ranking import Ranking
from trusteq.bounds import unpacked
from trusteq.errors import DataError
from trusteq.verdict.comparison import Comparison, Explained
from trusteq.words import folded, words

MEASURES = {
    "top": "share of the top words that are listed",
    "weight": "share of the absolute weight on listed words",
    "used": "examples with a listed word among the top words",
}


@dataclass(frozen=True, eq=False)
class Watched:
    """How much two models go by listed words, on the `n` of their explained examples that hold one.

    listed: the words; absent: those in no explained example. table: one row of MEASURES: measure, title, large,
    compressed, difference (compressed - large), low, high (95% interval), chance (what random weights would give), n.
    alone: of the examples on which the compressed model alone has a listed word among its top words, the one with most
    weight on them first: id, words, large, compressed (share of the absolute weight). large_alone: of how many it is
    the large model. Where the method draws, "has" is under both seeds and "has not" under either.
    """

    listed: tuple[str, ...]
    absent: tuple[str, ...]
    n: int
    table: pd.DataFrame
    alone: pd.DataFrame
    large_alone: int

    @property
    def notes(self) -> list[str]:
        """What to say of words that were not met."""
        if not self.absent:
            return []
        lost = f"{len(self.absent)} of {len(self.listed)} words to watch are in no explained example"
        return [f"{lost}, such as {self.absent[0]!r}: nothing is known about them."]


def read_words(file: Path) -> tuple[str, ...]:
    """Return the words of a UTF-8 file that holds one a line; blank lines are skipped. Raises DataError by line."""
    try:
        lines = unpacked(file, DataError).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{file}: cannot be read as UTF-8 text ({type(error).__name__})"
        raise DataError(f"{problem}; give a file with one word a line") from None
    return checked_words(lines, where=str(file))


def checked_words(listed: Iterable[str], *, where: str) -> tuple[str, ...]:
    """Return words as they are compared, each once; raise DataError, by line, for what is no single word, or for none.

    Case and the form of accents (Unicode's NFC) make no difference.
    """
    if isinstance(listed, str):
        raise DataError(f"{where}: {listed[:60]!r} is one text; give a list of words")
    found = {}
    for line, text in enumerate(listed, 1):
        if isinstance(text, str) and not text.strip():
            continue
        if not isinstance(text, str) or words(folded(text)) != [folded(text)]:
            problem = f"{where}:{line}: {str(text)[:60]!r} is not one word"
            raise DataError(f"{problem}; give one word a line, of letters and digits alone")
        found[folded(text)] = None
    if not found:
        raise DataError(f"{where}: no words; give at least one, one a line")
    return tuple(found)


def watched(found: Comparison, listed: Collection[str]) -> Watched:
    """Return how much both sides of a comparison, which are explained, go by words from `checked_words`.

    Where the method draws, each side is the mean of its two explanations.
    """
    listed, k = tuple(listed), found.a.explained.k
    several = [[_shares(of, listed, k) for of in _tables(side.explained)] for side in (found.a, found.b)]
    present = np.logical_or(*(of[0]["holds"] for of in several))
    several = [[of[present] for of in tables] for tables in several]
    sides = [sum(tables) / len(tables) for tables in several]
    rows = [_row(measure, *sides, found.a.explained.clusters) for measure in MEASURES]
    seen = {folded(word) for of in (found.a, found.b) for word in of.explained.first.attributions["word"].unique()}
    alone = (sides[1]["used"] == 1) & (sides[0]["used"] == 0)
    large_alone = int(((sides[0]["used"] == 1) & (sides[1]["used"] == 0)).sum())
    shown = pd.DataFrame({"large": sides[0]["weight"], "compressed": sides[1]["weight"]})[alone]
    shown.insert(0, "words", _top_listed(found.b.explained.first, listed, k).reindex(shown.index))
    shown = shown.sort_values("compressed", ascending=False, kind="stable").rename_axis("id").reset_index()
    absent = tuple(word for word in listed if word not in seen)
    return Watched(listed, absent, int(present.sum()), pd.DataFrame(rows), shown, large_alone)


def _tables(explained: Explained) -> list[Ranking]:
    return [of for of in (explained.first, explained.again) if of is not None]


def _marked(ranking: Ranking, listed: Collection[str], k: int) -> pd.DataFrame:
    """Return the rows of a ranking with their absolute `size`, and whether each is `listed` and among the `top`."""
    rows = ranking.rows
    listed = rows["word"].map({word: folded(word) in set(listed) for word in rows["word"].unique()}).astype(bool)
    return rows.assign(size=rows["weight"].abs(), listed=listed, top=(rows["rank"] < k) & rows["weighs"])


def _top_listed(ranking: Ranking, listed: Collection[str], k: int) -> pd.Series:
    rows = _marked(ranking, listed, k)
    return rows[rows["listed"] & rows["top"]].groupby("id")["word"].agg(lambda of: ", ".join(dict.fromkeys(of)))


def _shares(ranking: Ranking, listed: Collection[str], k: int) -> pd.DataFrame:
    """Return by example whether it `holds` a listed word, MEASURES, and of each what random weights would give.

    `top` and `weight` are nan where no word weighs anything. Among the k top words of n, m of which are listed, is one
    with a probability of 1 - C(n - m, k) / C(n, k).
    """
    rows = _marked(ranking, listed, k)
    rows = rows.assign(on_top=rows["top"] & rows["listed"], on_listed=rows["size"] * rows["listed"])
    of = rows.groupby("id", sort=False)[["listed", "top", "on_top", "size", "on_listed"]].sum()
    n = rows.groupby("id", sort=False).size()
    counts = zip(n, of["listed"], of["top"], strict=True)
    missed = [math.comb(m - on, top) / math.comb(m, top) for m, on, top in counts]
    shares = {"top": of["on_top"] / of["top"], "weight": of["on_listed"] / of["size"], "used": of["on_top"] > 0}
    by_chance = {"top_chance": of["listed"] / n, "weight_chance": of["listed"] / n, "used_chance": 1 - np.array(missed)}
    table = pd.DataFrame({"holds": of["listed"] > 0} | shares | by_chance, dtype=float)
    return table.reindex(ranking.label.index).fillna({name: 0.0 for name in table if name not in ("top", "weight")})


def _row(measure: str, large: pd.DataFrame, other: pd.DataFrame, clusters: pd.Series | None) -> dict:
    apart = (other[measure] - large[measure]).dropna()
    means = [exact_mean(side.loc[apart.index, measure]) for side in (large, other)]
    ends = mean_estimate(apart, clusters=clusters).interval if len(apart) else (math.nan, math.nan)
    row = {"measure": measure, "title": MEASURES[measure], "large": means[0], "compressed": means[1]}
    row |= {"difference": exact_mean(apart), "low": ends[0], "high": ends[1]}
    return row | {"chance": exact_mean(large.loc[apart.index, f"{measure}_chance"]), "n": len(apart)}
