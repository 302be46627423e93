"""The paper's claims, one by one, held against published results: each a number for every data set, with its interval.

Each function takes the evidence and returns a `Claim`; CLAIMS has them all. A number is first taken of each model and
explainer over the trainings that are published of it, then its mean over these.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD
from trusteq.estimates import TAIL, Bounds, Estimate, quantile
from trusteq.pages.show import paper_table
from trusteq.pages.trainings import (
    UNIT,
    Evidence,
    Measured,
    Pair,
    lowest_of,
    magnitude,
    mean_of,
    measured,
    once,
    over_trainings,
    twins_measured,
)
from trusteq.verdict.comparison import Comparison, Side
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, load_margins, measures_of
from trusteq.verdict.predictions import matched
from trusteq.verdict.seeds import is_about_way

SUPPORTS, CONTRADICTS, DIFFERS, OPEN = "supports", "contradicts", "differs by data", "cannot say"
# By what a number says of a claim: its colour.
VERDICT_COLOURS = {SUPPORTS: "#1f4e9e", CONTRADICTS: "#c2590a", OPEN: "0.45"}
COLUMNS = ["data", "what", "method", "estimate", "low", "high", "n", "trainings", "verdict"]
ON_SCALE = "0: chance, 1: the explainer with itself"


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper has of it, as text, and the numbers that decide it.

    is_papers: whether the paper makes it; the others are asked here.

    by_data: one row of COLUMNS a data set; rows: of single models and explainers, or trainings. line: what the numbers
    are held against; above: whether the claim is that they lie above it. beside: what is read with them.
    """

    paper: str
    xlabel: str
    by_data: pd.DataFrame
    rows: pd.DataFrame
    line: float = 0.0
    above: bool = True
    beside: pd.DataFrame = field(default_factory=pd.DataFrame)
    is_papers: bool = True

    @property
    def verdict(self) -> str:
        """What all data sets say; open as soon as one cannot say, unless two others differ."""
        verdicts = set(self.by_data["verdict"])
        if {SUPPORTS, CONTRADICTS} <= verdicts:
            return DIFFERS
        return verdicts.pop() if len(verdicts) == 1 else OPEN


def judged(
    found: Iterable[Measured],
    paper: str,
    xlabel: str,
    *,
    line: float = 0.0,
    above: bool = True,
    within: Bounds = UNIT,
    of_model: Callable[[Estimate], Estimate] = lambda found: found,
    of_data: Callable[[Sequence[Estimate]], Estimate] = mean_of,
    by_training: bool = False,
    beside: pd.DataFrame | None = None,
    is_papers: bool = True,
) -> Claim:
    """Return a claim from numbers of pairs.

    within: see `over_trainings`. of_model: what is made of a model's number; of_data: of those of a data set. Its
    number leaves out models that are made without training, as the paper has none, and where one has enough trainings,
    those with fewer; where nothing is left so, it is that of all. by_training: one row a training, not a model.
    """
    groups: dict[tuple, list[Measured]] = {}
    for one in found:
        groups.setdefault((one[0].data, one[0].model, one[0].method), []).append(one)
    side, numbers, rows = {"line": line, "above": above}, {}, []
    for (data, what, _), of in groups.items():
        estimate, trainings = over_trainings(of, within=within)
        numbers.setdefault(data, []).append((of[0][0], of_model(estimate), trainings))
        singles = [(one[0].where, *over_trainings([one], within=within)) for one in of]
        shown = singles if by_training else [(what, of_model(estimate), trainings)]
        rows += [_row(of[0][0], *one, **side) for one in shown]
    decides = [_of_data(numbers[data], of_data, **side) for data in sorted(numbers)]
    tables = (pd.DataFrame(table, columns=COLUMNS) for table in (decides, rows))
    return Claim(paper, xlabel, *tables, line, above, pd.DataFrame() if beside is None else beside, is_papers)


def _of_data(
    found: list[tuple[Pair, Estimate, int]], of_data: Callable[[Sequence[Estimate]], Estimate], **side
) -> dict:
    counted = [of for of in found if of[0].is_trained] or found
    counted = [of for of in counted if is_about_way(of[2])] or counted
    names, trainings = dict.fromkeys(pair.model for pair, *_ in counted), min(of[2] for of in counted)
    return _row(counted[0][0], ", ".join(names), of_data([of[1] for of in counted]), trainings, **side)


def _row(pair: Pair, what: str, found: Estimate, trainings: int, *, line: float, above: bool) -> dict:
    low, high = found.interval
    row = {"data": pair.data, "what": what, "method": pair.method, "estimate": found.value, "low": low, "high": high}
    return row | {"n": found.units, "trainings": trainings, "verdict": said(low, high, line=line, above=above)}


def said(low: float, high: float, *, line: float, above: bool) -> str:
    """Return what an interval says of the claim that a number is above a line, or below it."""
    if not above:
        low, high, line = -high, -low, -line
    return SUPPORTS if low > line else CONTRADICTS if high < line else OPEN


def _table(columns: Mapping[str, tuple[Iterable[Pair], Callable[[Pair], float]]], how: str = "mean") -> pd.DataFrame:
    """Return plain means over pairs, or sums, by data and method: data, method, then one column each."""
    parts = []
    for name, (pairs, value) in columns.items():
        rows = [(pair.data, pair.method, value(pair)) for pair in pairs]
        table = pd.DataFrame(rows, columns=["data", "method", name])
        parts.append(table.groupby(["data", "method"])[name].agg(how))
    return pd.concat(parts, axis=1).reset_index()


def low_alignment(found: Evidence) -> Claim:
    """The mean Jaccard index of the top words with the large model is below 0.7."""
    paper = paper_table("jaccard_range").iloc[0]
    columns = {"chance": (found.pairs, lambda pair: pair.found.alignment.chance)}
    columns["large model, explained again"] = (found.pairs, lambda pair: pair.itself.mean())
    columns["large model, trained again"] = (found.twins, lambda pair: pair.jaccard.mean())
    how = {"line": PAPER_THRESHOLD, "above": False, "within": (0, 1), "beside": _table(columns)}
    jaccards, paper = measured(found.pairs, lambda pair: pair.jaccard), f"{paper['low']} to {paper['high']}"
    return judged(jaccards, paper, "mean Jaccard with the large model", **how)


def rule_on_itself(found: Evidence) -> Claim:
    """The large model reaches a mean Jaccard of 0.7 with itself: trained again, or where it was not, explained again.

    A rule that asks for it is contradicted where the model itself does not pass.
    """
    again = twins_measured(found.twins, lambda pair: pair.jaccard)
    known = {pair.data for pair, _ in again}
    large = {(pair.data, pair.method, pair.training): pair for pair in found.pairs if pair.draws}
    for pair in large.values():
        own = replace(pair, model="explained again", is_trained=pair.data not in known)
        again.append((own, pair.itself))
    how = {"line": PAPER_THRESHOLD, "within": (0, 1)}
    return judged(again, f"{PAPER_THRESHOLD}, without a reason", "mean Jaccard of the large model with itself", **how)


def different_words(found: Evidence) -> Claim:
    """From chance, 0, to ceiling, 1, the alignment with the large model is not equivalent (`margins.yaml`)."""
    beside = _table({"large model, trained again": (found.twins, lambda pair: pair.found.alignment.normalised)})
    how = {"line": 1 - _margin("alignment"), "above": False, "beside": beside}
    return judged(measured(found.pairs, lambda pair: pair.place), "no anchors", ON_SCALE, **how)


def _margin(dimension: str) -> float:
    return load_margins()[measures_of(dimension)[0]].margin


def _error(found: Comparison) -> Estimate:
    """Return by how much the second model's debiased calibration error is above the first one's."""
    return found.differences[load_margins()[measures_of("calibration")[0]].score]


def _overconfidence(pair: Pair) -> float:
    return abs(pair.found.differences[load_margins()[measures_of("calibration")[1]].score].value)


def calibration_changes(found: Evidence) -> Claim:
    """The debiased ECE differs from the large model's, up or down, by more than the margin."""
    pairs, twins = once(found.pairs), once(found.twins)
    columns = {"large model trained again, change of ECE": (twins, lambda pair: abs(_error(pair.found).value))}
    columns["smaller models, change of confidence less accuracy"] = (pairs, _overconfidence)
    how = {"line": _margin("calibration"), "of_model": magnitude, "beside": _table(columns).drop(columns="method")}
    changes = measured(pairs, lambda pair: _error(pair.found))
    return judged(changes, "not held", "size of the change in debiased ECE", **how)


def better_calibrated(found: Evidence) -> Claim:
    """The smaller model's debiased ECE is below the large model's."""
    changes = measured(once(found.pairs), lambda pair: _error(pair.found))
    return judged(changes, "BERT-Tiny; not held", "debiased ECE less the large model's", above=False)


def distillation(found: Evidence) -> Claim:
    """The distilled model's debiased ECE is closer to the large model's than that of the same layers without a teacher.

    By training: |distilled - large| - |cut - large|.
    """
    first = {(pair.run, pair.where): (pair, closer(pair.found, cut.found)) for pair, cut in found.taught}
    found = [(replace(pair, method=""), value) for pair, value in first.values()]
    xlabel = "distance from the large model's error, distilled less not"
    return judged(found, "Distil-BERT; not held", xlabel, above=False, by_training=True)


def closer(first: Comparison, second: Comparison) -> Estimate:
    """Return how much further from the large model's error that of the first model is than that of the second.

    Where both err on one side of it, that is their paired difference; elsewhere each distance has its own bounds.
    """
    one, other = _error(first), _error(second)
    if one.value * other.value > 0:
        sides = (Side("", of) for of in matched(second.b.predictions, first.b.predictions))
        paired = _error(Comparison(*sides))
        return paired if one.value > 0 else paired.negated()
    one, other = magnitude(one), magnitude(other)

    def bounds(alpha: float) -> Bounds:
        (low, high), (other_low, other_high) = one.bounds(alpha), other.bounds(alpha)
        return low - other_high, high - other_low

    return replace(one, value=one.value - other.value, bounds=bounds)


def uncoupled(found: Evidence) -> Claim:
    """Of the models whose accuracy is shown to be the large one's, the one with most other words is not equivalent.

    One is enough for accuracy to be no proof, and the large model trained again is as good as any. Beside: how many
    comparisons show the same accuracy, and how many of these are not equivalent in words or calibration.
    """
    pairs = [*found.pairs, *(replace(pair, model="the large model, trained again") for pair in found.twins)]
    accurate = [replace(pair, is_trained=True) for pair in pairs if _as_accurate(pair)]
    columns = {"compared": (pairs, lambda pair: 1), "as accurate": (pairs, _as_accurate)}
    columns["of these not equivalent"] = (accurate, lambda pair: pair.found.verdict == DIFFERENT)
    how = {"line": 1 - _margin("alignment"), "above": False, "of_data": lowest_of, "beside": _table(columns, "sum")}
    paper = paper_table("models").set_index("model")["nli_accuracy"]
    paper = f"{paper['Distil-BERT']} against {paper['BERT-base']} %"
    return judged(measured(accurate, lambda pair: pair.place), paper, ON_SCALE, **how)


def _as_accurate(pair: Pair) -> bool:
    return pair.found.dimensions.set_index("dimension").at["accuracy", "outcome"] == EQUIVALENT


def boundary(found: Evidence) -> Claim:
    """As the released scripts perturb a pair, models share more words above chance than with its boundary kept."""
    change = [(replace(one, method=safe.method), one.above_chance - safe.above_chance) for one, safe in found.released]
    columns = {}
    for how, place in (("as released", 0), ("boundary kept", 1)):
        of = [replace(two[place], method=two[1].method) for two in found.released]
        columns[f"Jaccard, {how}"] = (of, lambda pair: pair.jaccard.mean())
        columns[f"chance, {how}"] = (of, lambda pair: pair.found.alignment.chance)
    xlabel = "Jaccard above chance, as released less boundary kept"
    return judged(change, "not asked", xlabel, beside=_table(columns), is_papers=False)


def mostly_compression(found: Evidence) -> Claim:
    """A smaller model is more than twice as far below its ceiling as the large one trained again is below its own.

    So what the model adds exceeds what training again does, and is more than half of all but the explainer's part (see
    `decompose`). Beside: the parts of 1 - Jaccard.
    """
    step = twins_measured(found.twins, lambda pair: pair.below_ceiling)
    step = {(twin.data, twin.method, twin.training): value for twin, value in step}
    known = [pair for pair in found.pairs if pair.is_trained and (pair.data, pair.method, pair.training) in step]
    columns = {"explainer": (known, lambda pair: 1 - (pair.jaccard + pair.below_ceiling).mean())}
    columns["training again"] = (found.twins, lambda pair: pair.below_ceiling.mean())
    columns["training and model"] = (known, lambda pair: pair.below_ceiling.mean())
    excess = measured(known, lambda pair: pair.below_ceiling - 2 * step[pair.data, pair.method, pair.training])
    xlabel = "what the model adds, less what training again adds"
    # Of an example: a distance of the model from -1 to 1, less two of training, in the mean over trainings.
    return judged(excess, "one training seed", xlabel, within=(-3, 3), beside=_table(columns), is_papers=False)


def keeping_trust(found: Evidence) -> Claim:
    """A student trained to keep its teacher's words shares more of them than the same student plainly distilled.

    No objective ever runs LIME or SHAP. Beside: Student's t over all data, between students and between teachers.
    """
    gains = [(kept, kept.jaccard - plain.jaccard) for kept, plain in found.kept]
    students = pd.DataFrame([(*_teacher(kept), gain.mean()) for kept, gain in gains], columns=[*_TEACHER, "gain"])
    units = {"students": students, "teachers": students.groupby(_TEACHER, as_index=False).mean()}
    tests = [
        {"method": method, "between": unit} | _t_test(of["gain"])
        for unit, table in units.items()
        for method, of in table.groupby("method")
    ]
    xlabel = "gain in mean Jaccard with the teacher"
    return judged(gains, "left open", xlabel, by_training=True, beside=pd.DataFrame(tests), is_papers=False)


_TEACHER = ["data", "method", "training"]


def _teacher(pair: Pair) -> list:
    return [getattr(pair, name) for name in _TEACHER]


def _t_test(values: pd.Series) -> dict[str, float]:
    """Return the mean of one number a training, its 95% interval and p-value, by Student's t between trainings."""
    from scipy.special import stdtr

    n, gain = len(values), values.mean()
    error = values.std() / n**0.5 or math.nan  # nan of one training as well, or of equal ones
    reach, p = (quantile(TAIL, n - 1) * error, 2 * stdtr(n - 1, -abs(gain) / error)) if n > 1 else (math.nan, math.nan)
    return {"gain": gain, "low": gain - reach, "high": gain + reach, "p": p, "trainings": n}


CLAIMS: dict[str, Callable[[Evidence], Claim]] = {
    "alignment is low": low_alignment,
    "a model below 0.7 is no drop-in replacement": rule_on_itself,
    "compressed models look at other words": different_words,
    "compression changes calibration": calibration_changes,
    "the small model is better calibrated": better_calibrated,
    "distillation keeps calibration better": distillation,
    "accuracy and trust are uncoupled": uncoupled,
    "the released boundary makes models look alike": boundary,
    "most disagreement is compression's": mostly_compression,
    "training can keep more of the words": keeping_trust,
}
