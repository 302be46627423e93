"""The paper's claims, one by one, held against published results: estimates with intervals, and what they say.

Each function takes the published runs and returns a `Claim`; CLAIMS has them all. A row supports a claim or contradicts
it where its whole 95% interval does; otherwise it cannot say. Alignments are those with the safe boundary, but for
`boundary`. What stands beside the rows are the lowest and highest over runs, tasks and models, if nothing else is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD, exact_mean, mean_estimate
from trusteq.calibration.proper_scores import SCORES
from trusteq.pages.show import of_seed, paper_table, side_titles, titles
from trusteq.study.results import Results
from trusteq.study.sides import clusters, predicted_sides
from trusteq.verdict.comparison import CONTROLS, Comparison, Side
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, load_margins, measures_of
from trusteq.verdict.predictions import matched

SUPPORTS, CONTRADICTS, OPEN = "supports", "contradicts", "cannot say"
COLUMNS = ["data", "what", "estimate", "low", "high", "n", "verdict"]
LARGE, SMALL = "the large model", "the smaller models"
Runs = Sequence[Results]
# The large model beside itself: explained under another seed, and trained again.
ITSELF = [name for name, control in CONTROLS.items() if control.judged and not control.is_other]
AGAIN = [name for name in ITSELF if not CONTROLS[name].is_large]


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper has of it, as text; the rows that say something of it; and numbers to read beside them.

    rows: of COLUMNS. lines: values to compare the estimates with in a figure, by their names; xlabel: of the figure;
    without it, none.
    """

    paper: str
    rows: pd.DataFrame
    beside: pd.DataFrame = field(default_factory=pd.DataFrame)
    lines: Mapping[str, Sequence[float]] = field(default_factory=dict)
    xlabel: str = ""


def low_alignment(runs: Runs) -> Claim:
    """The mean Jaccard index of the top words with the large model is below 0.7.

    Beside: what chance gives, and what the large model shares with itself.
    """
    paper, pairs, own = paper_table("jaccard_range").iloc[0], _with_large(runs), _beside_itself(runs)
    beside = _spans(("chance", pairs, "chance"), (_with_itself(own), own, "jaccard"))
    lines = {f"the paper's cut, {PAPER_THRESHOLD}": (PAPER_THRESHOLD,)}
    rows = _said(pairs, "jaccard", _below(pairs, PAPER_THRESHOLD))
    return Claim(f"{paper['low']} to {paper['high']}", rows, beside, lines, "mean Jaccard with the large model")


def rule_on_itself(runs: Runs) -> Claim:
    """The large model reaches a mean Jaccard of 0.7 beside itself: under another explainer seed, and trained again.

    A rule that asks for it is contradicted where the model itself does not pass. Beside: what part of the disagreement
    with smaller models the explainer's seed makes.
    """
    own, parts = _beside_itself(runs), _sources(runs)
    drawn = parts[(parts["source"] == "explainer seed") & (parts["share"] != 0)]
    beside = _spans(("share of disagreement: " + drawn["source"], drawn, "share"))
    return Claim(f"{PAPER_THRESHOLD}, without a reason", _said(own, "jaccard", _above(own, PAPER_THRESHOLD)), beside)


def different_words(runs: Runs) -> Claim:
    """From chance, 0, to ceiling, 1, the alignment with the large model is not equivalent (`margins.yaml`).

    Beside: how far the smaller models come, and the large one trained again.
    """
    (measure,), pairs, own = measures_of("alignment"), _with_large(runs), _beside_itself(runs)
    own = own[own["side"].isin(AGAIN)]
    beside = _spans((SMALL, pairs, "normalised"), (_with_itself(own), own, "normalised"))
    lines = {"the same words, by our margin": (1 - load_margins()[measure].margin,), "chance and ceiling": (0, 1)}
    rows = _judged(runs, measure, shift=1)
    return Claim("no anchors", rows, beside, lines, "0: chance, 1: the explainer with itself")


def calibration_changes(runs: Runs) -> Claim:
    """Debiased ECE, or mean confidence less accuracy, differs from the large model's by more than the margin.

    Beside: how far confidence moves, of the smaller models and of the large one trained again.
    """
    margins, measures = load_margins(), measures_of("calibration")
    heads = {name: SCORES.get(name, SCORES[margins[name].score]).head for name in measures}
    rows = [_judged(runs, name) for name in measures]
    rows = pd.concat(
        [of.assign(what=of["what"] + f", {heads[name]}") for name, of in zip(measures, rows, strict=True)],
        ignore_index=True,
    )
    found = _verdicts(runs, measures[-1])
    found = found[found["is_small"] | found["side"].isin(AGAIN)].sort_values("is_small", ascending=False, kind="stable")
    what = _who(found) + f": {margins[measures[-1]].title}"
    error = margins[measures[0]].margin  # overconfidence has the same
    beside = _spans((what, found, "difference"), by=("what",))
    return Claim("not held", rows, beside, {"the margin": (-error, error)}, "difference from the large model")


def better_calibrated(runs: Runs) -> Claim:
    """The smaller model's debiased ECE is below the large model's. Beside: how far the large model's could fall."""
    rows, found = _judged(runs, measures_of("calibration")[0]), _smaller(_verdicts(runs, measures_of("calibration")[0]))
    beside = _spans((f"error of {LARGE}", found, "large"), by=("what",))
    return Claim("BERT-Tiny; not held", rows.assign(verdict=_below(rows, 0)), beside)


def distillation(runs: Runs) -> Claim:
    """The distilled model's debiased ECE is closer to the large model's than that of the same layers without a teacher.

    estimate: |distilled - large| - |cut - large|, with the paired interval of distilled - cut, which is that of the
    estimate where both err on one side of the large model; elsewhere the row cannot say. Beside: both models' errors.
    """
    rows, beside, found = [], [], _smaller(_verdicts(runs, measures_of("calibration")[0]))
    for run, task in runs_and_tasks(runs):
        of, pairs = found[found["data"] == data_name(run, task)].drop_duplicates("side"), distilled_and_cut(run, task)
        gap = of.set_index("side")["difference"]
        for distilled, cut in pairs:
            what = f"{titles(run)[distilled]} against {titles(run)[cut]}"
            rows.append({"data": data_name(run, task), "what": what} | _closer(run, task, distilled, cut, gap))
        beside.append(of[of["side"].isin([name for pair in pairs for name in pair])])
    beside = pd.concat(beside)[["data", "title", "difference"]].set_axis(["data", "model", "error less its"], axis=1)
    return Claim("Distil-BERT; not held", pd.DataFrame(rows, columns=COLUMNS), beside)


def _closer(run: Results, task: str, distilled: str, cut: str, gap: Mapping[str, float]) -> dict:
    difference, low, high, n = _paired_difference(run, task, cut, distilled)
    if min(gap[cut], gap[distilled]) < 0 < max(gap[cut], gap[distilled]):
        difference, low, high = abs(gap[distilled]) - abs(gap[cut]), np.nan, np.nan
    elif gap[cut] < 0:  # both below the large model: further down is further off
        difference, low, high = -difference, -high, -low
    found = {"estimate": difference, "low": low, "high": high, "n": n}
    return found | {"verdict": _below(pd.DataFrame([found]), 0).item()}


def _paired_difference(run: Results, task: str, model: str, other: str) -> tuple[float, float, float, int]:
    """Return other's calibration error less the model's, its interval, and of how many examples or clusters."""
    sides = predicted_sides(run, task, run.experiment.seeds[0])
    pair = Comparison(*(Side("", predictions) for predictions in matched(sides[model], sides[other])))
    row = pair.dimensions.set_index("measure").loc[measures_of("calibration")[0]]
    return row["difference"], row["low"], row["high"], row["n"]


def distilled_and_cut(run: Results, task: str) -> list[tuple[str, str]]:
    """Return pairs of models with as many layers, fewer than the large one's, begun from the same weights as it.

    The first learns from its answers and is asked for nothing else, the second from labels alone.
    """
    experiment, large = run.experiment, run.experiment.large
    layers = {name: run.facts(task, name, experiment.seeds[0], "metrics")["layers"] for name in experiment.models}
    specs = {name: experiment.model(name) for name in layers if layers[name] < layers[large]}
    taught = [name for name, of in specs.items() if of.teacher == large and of.compress]
    recipes = {name: experiment.recipe_for(task, name) for name in taught}
    distilled = [name for name, of in recipes.items() if not (of.attribution_weight or of.confidence_weight)]
    cut = [name for name, of in specs.items() if of.teacher is None and not of.scratch]
    return [(one, other) for one in distilled for other in cut if layers[one] == layers[other]]


def uncoupled(runs: Runs) -> Claim:
    """A model as accurate as the large one, by the margin, is not equivalent to it in words or calibration.

    estimate: the difference in accuracy; models whose accuracy is not shown to be equivalent are left out. A model that
    is equivalent in all contradicts nothing: the claim is that accuracy is no proof. Beside: how many are as accurate.
    """
    paper = paper_table("models").set_index("model")["nli_accuracy"]
    found = _verdicts(runs, *measures_of("accuracy"))
    found["accurate"], found["differs"] = found["outcome"] == EQUIVALENT, found["verdict"] == DIFFERENT
    small = _smaller(found[found["accurate"]])
    rows = _said(small, "difference", np.where(small["differs"], SUPPORTS, OPEN))
    found = found[found["is_small"] | found["side"].isin(AGAIN)]
    models = found.assign(who=_who(found)).groupby(["who", "data", "side"], sort=False)
    models = models.agg(accurate=("accurate", "first"), differs=("differs", "any"))
    counts = (
        models.assign(differs=models["differs"] & models["accurate"]).groupby("who", sort=False).agg(["size", "sum"])
    )
    columns = {"models": counts["accurate", "size"], "as accurate": counts["accurate", "sum"]}
    beside = pd.DataFrame(columns | {"of these not equivalent": counts["differs", "sum"]}).reset_index()
    return Claim(f"{paper['Distil-BERT']} against {paper['BERT-base']} %", rows, beside)


def boundary(runs: Runs) -> Claim:
    """Perturbing the boundary of the pair, as the released scripts do, changes the mean Jaccard with the large model.

    estimate: as released less safe, over the same examples. Beside: what chance is both ways, and how far the models
    come from there to the ceiling.
    """
    rows, parts = [], []
    for run, task in runs_and_tasks(runs):
        groups, methods = clusters(run, task), run.experiment.task_methods(task)
        for method in [name for name, of in methods.items() if of.boundary == "as-released"]:
            like, models = methods[method].like, run.experiment.models_of(task, method)
            pairs, examples = (_of_large(run, task, table) for table in ("alignment", "examples"))
            for how, of in (("as released", method), ("boundary kept", like)):
                found = pairs[(pairs["method"] == of) & pairs["model_b"].isin(models)].assign(method=like)
                parts += [(f"chance, {how}", found, "chance"), (f"0 to 1, {how}", found, "normalised")]
            for model in models:
                pair = examples[examples["model_b"] == model].pivot(index="id", columns="method", values="jaccard")
                if not pair.empty and like in pair:
                    change = (pair[method] - pair[like]).dropna()
                    low, high = mean_estimate(change, clusters=groups).interval
                    row = {"data": data_name(run, task), "what": f"{titles(run)[model]}, {like}"}
                    row |= {"estimate": exact_mean(change), "low": low, "high": high, "n": len(change)}
                    rows.append(row | {"verdict": SUPPORTS if low > 0 or high < 0 else OPEN})
    return Claim("not asked", pd.DataFrame(rows, columns=COLUMNS), _spans(*parts))


def mostly_compression(runs: Runs) -> Claim:
    """Most of the disagreement with the large model is left when explainer and training seed have had their part.

    estimate: what the model adds to 1 - Jaccard. A row supports or contradicts where its whole interval lies beyond
    half of the interval of all disagreement. Where the large model was trained once, a trained model's part holds that
    of training as well: its row may contradict the claim and cannot support it. Beside: the share of each source.
    """
    found, keys = _sources(runs), ["data", "method", "side"]
    half = found.loc[found["source"] == "total", [*keys, "low", "high"]]
    rows = found[found["source"] == "model"].merge(half, on=keys, suffixes=("", "_of_all"))
    supports = (rows["low"] > rows["high_of_all"] / 2) & rows["is_training_known"]
    verdict = np.select([supports, rows["high"] < rows["low_of_all"] / 2], [SUPPORTS, CONTRADICTS], OPEN)
    shares = found[(found["source"] != "total") & (found["share"] != 0)]
    left = np.where(shares["is_training_known"], "compression", "compression with training")
    beside = _spans((shares["source"].where(shares["source"] != "model", left), shares, "share"))
    lines, xlabel = {"nothing": (0,)}, "disagreement left for compression"
    return Claim("one training seed", _said(rows, "disagreement", verdict), beside, lines, xlabel)


def keeping_trust(runs: Runs) -> Claim:
    """A student trained to keep its teacher's words shares more of them than the same student plainly distilled.

    estimate: gain in mean Jaccard with the teacher (`compressions.gain_table`); no objective ever runs LIME or SHAP.
    Beside: what it costs in accuracy, in the mean over training seeds.
    """
    rows, costs = [], []
    for run, task in runs_and_tasks(runs):
        if run.path("compression", task, "gains").is_file():
            plain, *others = run.experiment.students
            keeping = [name for name in others if run.experiment.recipe_for(task, name).attribution_weight]
            gains = _with_facts(run.compression(task, "gains"), run, task)
            gains = gains[gains["side"].isin(keeping)]
            rows.append(_said(gains, "gain", _above(gains, 0)))
            students = run.compression(task, "students").drop_duplicates(["model", "seed"])
            means = students.groupby("model")["accuracy"].mean()
            costs.append((means[keeping] - means[plain]).to_frame())
    beside = _spans(*[("accuracy less the plain student's", of, "accuracy") for of in costs], by=("what",))
    lines, xlabel = {"no gain": (0,)}, "gain in mean Jaccard with the teacher"
    rows = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=COLUMNS)
    return Claim("left open", rows, beside, lines, xlabel)


CLAIMS: dict[str, Callable[[Runs], Claim]] = {
    "alignment is low": low_alignment,
    "a model below 0.7 is no drop-in replacement": rule_on_itself,
    "compressed models look at other words": different_words,
    "compression changes calibration": calibration_changes,
    "the small model is better calibrated": better_calibrated,
    "distillation keeps calibration better": distillation,
    "accuracy and trust are uncoupled": uncoupled,
    "the boundary changes the number": boundary,
    "most disagreement is compression's": mostly_compression,
    "training can keep more of the words": keeping_trust,
}


def runs_and_tasks(runs: Runs) -> Iterator[tuple[Results, str]]:
    """Return each run with each of its tasks."""
    return ((run, task) for run in runs for task in run.experiment.tasks)


def data_name(run: Results, task: str) -> str:
    """Return what a row is on: the experiment, and the task where it has several."""
    return run.experiment.name if len(run.experiment.tasks) == 1 else f"{run.experiment.name}, {task}"


def _each(runs: Runs, table: str) -> pd.DataFrame:
    """Return a comparison table of all runs under the first training seed, with facts; without rows as released."""
    parts = []
    for run, task in runs_and_tasks(runs):
        safe = [name for name, of in run.experiment.task_methods(task).items() if of.boundary != "as-released"]
        found = of_seed(run.comparison(task, table), run.experiment.seeds[0])
        parts.append(_with_facts(found[found["method"].isin(safe)], run, task))
    return pd.concat(parts, ignore_index=True)


def _with_facts(found: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Add what claims ask of a row: data, side (the model or control) and its title, n, and what is true of both.

    is_small: one of the smaller models. draws: whether the method does. is_trained: the side, alone. is_training_known:
    whether training's part of a disagreement is: the large model's seeds show it, or it is 0.
    """
    experiment, side = run.experiment, found["model" if "model" in found else "model_b"]
    drawing = [name for name in experiment.task_methods(task) if experiment.draws(task, name)]
    is_trained = ~side.isin([name for name in experiment.models if not experiment.model(name).is_trained])
    n = next((found[name] for name in ("n", "examples") if name in found), experiment.explained(task))
    return found.assign(
        **{"data": data_name(run, task), "side": side, "title": side.map(side_titles(run)), "n": n},
        **{"is_small": side.isin(experiment.models), "draws": found["method"].isin(drawing), "is_trained": is_trained},
        is_training_known=~is_trained | (len(experiment.model_seeds(experiment.large)) > 1),
        is_of_large=found["model_a"] == experiment.large if "model_a" in found else True,
    )


def _with_large(runs: Runs) -> pd.DataFrame:
    """Return the alignment of the smaller models with the large one."""
    found = _each(runs, "alignment")
    return found[found["is_of_large"]]


def _beside_itself(runs: Runs) -> pd.DataFrame:
    """Return the alignment of the large model with itself; under another explainer seed, if the method draws."""
    found = _each(runs, "controls")
    return found[found["side"].isin(AGAIN) | (found["side"].isin(ITSELF) & found["draws"])]


def _sources(runs: Runs) -> pd.DataFrame:
    """Return what the disagreement of each smaller model is made of.

    Without those of a model that is made without training, under a method that draws nothing: there nothing but
    compression could make it disagree.
    """
    found = _each(runs, "sources")
    return found[found["is_small"] & (found["is_trained"] | found["draws"])]


def _verdicts(runs: Runs, measure: str) -> pd.DataFrame:
    """Return what the verdicts on all sides say of one measure."""
    found = _each(runs, "verdicts")
    return found[found["measure"] == measure].copy()


def _smaller(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["is_small"]]


def _judged(runs: Runs, measure: str, *, shift: float = 0) -> pd.DataFrame:
    """Return one measure of the smaller models' verdicts; what does not depend on the method, once a model."""
    found = _smaller(_verdicts(runs, measure))
    found[["difference", "low", "high"]] += shift
    verdict = found["outcome"].map({DIFFERENT: SUPPORTS, EQUIVALENT: CONTRADICTS}).fillna(OPEN)
    rows = _said(found, "difference", verdict, by_method=load_margins()[measure].score is None)
    return rows.drop_duplicates(["data", "what"]).reset_index(drop=True)


def _of_large(run: Results, task: str, table: str) -> pd.DataFrame:
    found = of_seed(run.comparison(task, table), run.experiment.seeds[0])
    return found[found["model_a"] == run.experiment.large]


def _said(found: pd.DataFrame, estimate: str, verdict: Sequence[str], *, by_method: bool = True) -> pd.DataFrame:
    """Return rows of COLUMNS from rows with facts, whose column `estimate` has the interval low, high."""
    what = found["title"] + ", " + found["method"] if by_method else found["title"]
    return found.assign(what=what, estimate=found[estimate], verdict=verdict)[COLUMNS].reset_index(drop=True)


def _below(found: pd.DataFrame, value: float) -> np.ndarray:
    """Return what intervals say of "it is below value"."""
    return np.select([found["high"] < value, found["low"] > value], [SUPPORTS, CONTRADICTS], OPEN)


def _above(found: pd.DataFrame, value: float) -> np.ndarray:
    return np.select([found["low"] > value, found["high"] < value], [SUPPORTS, CONTRADICTS], OPEN)


def _with_itself(own: pd.DataFrame) -> pd.Series:
    return f"{LARGE} with " + own["title"]


def _who(found: pd.DataFrame) -> pd.Series:
    return (f"{LARGE} " + found["title"]).where(~found["is_small"], SMALL)


def _spans(*parts: tuple[str | pd.Series, pd.DataFrame, str], by: Sequence[str] = ("what", "method")) -> pd.DataFrame:
    """Return the lowest and the highest of what is measured, by method: what, method, lowest, highest.

    parts: what it is, the rows, and their column that has it.
    """
    if not parts:
        return pd.DataFrame(columns=[*by, "lowest", "highest"])
    table = pd.concat([found.assign(what=what, value=found[column]) for what, found, column in parts])
    ends = table.groupby(list(by), sort=False)["value"].agg(["min", "max"])
    return ends.set_axis(["lowest", "highest"], axis=1).reset_index()
