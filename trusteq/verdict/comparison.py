"""One comparison of two models: what they predict and which words matter to them, and what follows from both.

An audit, the verdicts of a run and the pages on compression all build it, from sides that are values.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from trusteq.alignment import decompose, overlap
from trusteq.alignment.decompose import Parts
from trusteq.alignment.overlap import Alignment
from trusteq.alignment.ranking import Ranking
from trusteq.calibration.intervals import difference_estimates, difference_table
from trusteq.estimates import Estimate
from trusteq.verdict.margins import Margin, Measured, dimension_rows, load_margins, overall, paper_rule
from trusteq.verdict.predictions import Predictions

SIDES = ("large", "compressed")


@dataclass(frozen=True)
class Control:
    """What stands in the place of the second model, so that it is known what the numbers of a pair mean.

    judged: whether it has predictions to be judged by. is_large: whether it is the large model itself, which predicts
    and knows the same. is_other: whether it stands for another model, and is treated as one: under common masks, and in
    what the disagreement is made of. has_ceiling: False of one draw of the explainer, compared with itself.
    """

    title: str
    judged: bool = False
    is_large: bool = False
    is_other: bool = False
    has_ceiling: bool = True


# In the order of their rows.
CONTROLS: dict[str, Control] = {
    "itself": Control("itself", is_large=True, has_ceiling=False),
    "reseeded": Control("itself, reseeded", judged=True, is_large=True),
    "retrained": Control("itself, retrained", judged=True),
    "random-head": Control("its random head", judged=True, is_other=True),
    "random-features": Control("random words"),
}


@dataclass(frozen=True, eq=False)
class Explained:
    """What one method says of a model.

    first, again: its attributions, and those under another seed of the explainer; None where there are none. k: how
    many words are the top ones. clusters: id -> cluster, what belongs together. method, n_samples: how they were made.
    """

    first: Ranking
    again: Ranking | None
    k: int = 10
    clusters: pd.Series | None = None
    method: str = ""
    n_samples: int = 0

    @functools.cached_property
    def itself(self) -> Alignment | None:
        """The model's agreement with itself under another seed of the explainer."""
        return None if self.again is None else self.align(self.first, self.again)

    def align(self, a: Ranking, b: Ranking, ceiling: Alignment | float | None = None) -> Alignment:
        """Return how far two tables agree."""
        return overlap.aligned(a, b, k=self.k, ceiling=ceiling, clusters=self.clusters)


@dataclass(frozen=True, eq=False)
class Side:
    """A model, or a control of the large one, with what is known of it: its predictions, and its explanations.

    training_seed: where a model has several.
    """

    name: str
    predictions: Predictions | None = None
    explained: Explained | None = None
    training_seed: int = 0
    control: Control | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two sides, of which the first may be the large model. Whatever is asked is computed once.

    seed: of the bootstrap of the scores. crossed: whether the first side enters by its second explanations, since the
    first ones of both saw the same perturbations. level: of the error that the alignment's bounds may make, the share
    that one look of several may (see `sequential`). parts: of the rankings, where their tables were read for all parts
    at once; otherwise each is taken as it is asked for.
    """

    a: Side
    b: Side
    margins: Mapping[str, Margin] = field(default_factory=load_margins)
    seed: int = 0
    crossed: bool = False
    level: float = 1.0
    parts: Parts | None = None

    @property
    def names(self) -> tuple[str, str]:
        """The names of both sides."""
        return self.a.name, self.b.name

    @property
    def is_retrained(self) -> bool:
        """Whether the second side is the first one under another training seed."""
        return self.b.control is not None and self.b.training_seed != self.a.training_seed

    @functools.cached_property
    def rankings(self) -> tuple[Ranking, Ranking]:
        """The ranked words that are compared."""
        explained = self.a.explained
        return explained.again if self.crossed else explained.first, self.b.explained.first

    @functools.cached_property
    def ceiling(self) -> Alignment | float | None:
        """The mean of both sides' agreement with themselves; 1 where nothing is drawn, so that there is one table.

        A control that was not explained again takes the agreement of the large model.
        """
        if self.b.control is not None and not self.b.control.has_ceiling:
            return None
        own, of_b = self.a.explained.itself, self.b.explained.itself
        if own is None:
            return 1.0
        return own if of_b is None else overlap.ceiling(own, of_b, clusters=self.a.explained.clusters)

    @functools.cached_property
    def alignment(self) -> Alignment | None:
        """How far the top words agree, beside the ceiling; None where the models were not explained."""
        if self.a.explained is None or self.b.explained is None:
            return None
        explained = self.a.explained
        table = overlap.score(*self.rankings, k=explained.k) if self.parts is None else self.parts.table
        found = overlap.summarise(table, ceiling=self.ceiling, clusters=explained.clusters)
        return replace(found, place=found.place.levelled(self.level)) if found.place else found

    @functools.cached_property
    def curve(self) -> pd.DataFrame:
        """The alignment for each number of top words: see `decompose.curve`."""
        if self.parts is not None:
            return self.parts.curve
        return decompose.curve(*self.rankings, clusters=self.a.explained.clusters)

    def in_parts(self) -> "Comparison":
        """Return the same with all parts of the rankings taken."""
        explained = self.a.explained
        return replace(self, parts=decompose.parts(*self.rankings, k=explained.k, clusters=explained.clusters))

    @property
    def differences(self) -> dict[str, Estimate]:
        """What each calibration score of the second side is less the first's: see `difference_estimates`."""
        return _differences(self.a.predictions, self.b.predictions, self.seed)

    @property
    def scores(self) -> pd.DataFrame:
        """Every calibration score of both, and its difference: see `difference_table`."""
        return _scores(self.a.predictions, self.b.predictions, self.seed)

    @functools.cached_property
    def measured(self) -> list[Measured]:
        """Every measure that was taken, with its margin."""
        found, scores = [], self.scores.set_index("score")[["large", "compressed"]]
        for name, margin in self.margins.items():
            if margin.score:
                seen = tuple(scores.loc[margin.score])
                found.append(Measured(name, margin, seen, self.differences[margin.score]))
            elif margin.alignment and self.alignment is not None:
                place = self.alignment.place  # against 1, which the large model reaches with itself
                found.append(Measured(name, margin, (1.0, place.value), place.shifted(-1.0)))
        return found

    @functools.cached_property
    def dimensions(self) -> pd.DataFrame:
        """One row per measure that was taken, each against its margin.

        Columns: dimension, measure, large, compressed, difference (compressed - large), low, high (95% interval),
        margin, outcome, n (examples, or clusters), n_needed (that would decide; missing where decided), reason.
        """
        return dimension_rows(self.measured)

    @property
    def verdict(self) -> str:
        """The verdict over the measures that were taken: "equivalent", "not-equivalent" or "undecided"."""
        return overall(self.dimensions["outcome"])

    @functools.cached_property
    def paper(self) -> dict:
        """The paper's own rule on the same data: see `margins.paper_rule`."""
        return paper_rule(self.scores, self.alignment)


def lead_over(found: Comparison, other: Comparison) -> Estimate:
    """Return by how much more one pair agrees than another of the same first side, from chance, 0, to ceiling, 1."""
    return overlap.further(other.alignment, found.alignment, clusters=found.a.explained.clusters).negated()


def is_no_evidence(found: Comparison, untrained: Comparison) -> bool:
    """Return whether a pair is shown to agree hardly more than the large model does with one that knows no task.

    The upper end of the paired 95% interval of its lead is then below a quarter of the margin.
    """
    (margin,) = (of.margin for of in found.margins.values() if of.alignment)
    return lead_over(found, untrained).interval[1] < margin / 4


@functools.lru_cache(maxsize=64)
def _differences(large: Predictions, other: Predictions, seed: int) -> dict[str, Estimate]:
    # Two models are compared once for all methods that explain them: the predictions are the same values.
    pair = large.probabilities, other.probabilities
    return difference_estimates(*pair, large.gold, clusters=large.clusters, seed=seed)


@functools.lru_cache(maxsize=64)
def _scores(large: Predictions, other: Predictions, seed: int) -> pd.DataFrame:
    return difference_table(_differences(large, other, seed), large.probabilities, other.probabilities, large.gold)
