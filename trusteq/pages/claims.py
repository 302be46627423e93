"""The paper's claims, one by one, held against published results: estimates with intervals, and what they say.

Each function takes the published runs and returns rows of COLUMNS. A row supports a claim or contradicts it where its
whole 95% interval does; otherwise it cannot say. Alignments are those with the safe boundary, but for `boundary`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD, exact_mean, mean_intervals
from trusteq.calibration.proper_scores import SCORES
from trusteq.pages.show import of_seed, side_titles, titles
from trusteq.study.results import Results
from trusteq.study.sides import clusters, predicted_sides
from trusteq.verdict.comparison import CONTROLS, Comparison, Side
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, load_margins, measures_of
from trusteq.verdict.predictions import matched

SUPPORTS, CONTRADICTS, OPEN = "supports", "contradicts", "cannot say"


COLUMNS = ["data", "what", "estimate", "low", "high", "n", "verdict"]


_OUTCOMES = {DIFFERENT: SUPPORTS, EQUIVALENT: CONTRADICTS}


Runs = Sequence[Results]


# The large model beside itself: explained under another seed, and trained again.
ITSELF = {name: control for name, control in CONTROLS.items() if control.judged and not control.is_other}


def low_alignment(runs: Runs) -> pd.DataFrame:
    """The mean Jaccard index of the top words with the large model is below 0.7."""
    return _table(
        _row(run, task, row, "jaccard", verdict=_beyond(row["low"], row["high"], PAPER_THRESHOLD))
        for run, task, row in each(runs, "alignment")
        if row["model_a"] == run.experiment.large
    )


def rule_on_itself(runs: Runs) -> pd.DataFrame:
    """The large model reaches a mean Jaccard of 0.7 beside itself: under another explainer seed, and trained again.

    A rule that asks for it is contradicted where the model itself does not pass.
    """
    return _table(
        _row(run, task, row, "jaccard", verdict=_beyond(-row["high"], -row["low"], -PAPER_THRESHOLD))
        for run, task, row in beside_itself(runs)
    )


def beside_itself(runs: Runs) -> Iterator[tuple[Results, str, dict]]:
    """Yield the large model beside itself, with run and task; under another explainer seed, if the method draws."""
    for run, task, row in each(runs, "controls"):
        control = ITSELF.get(row["model_b"])
        if control and (not control.is_large or run.experiment.draws(task, row["method"])):
            yield run, task, row


def different_words(runs: Runs) -> pd.DataFrame:
    """From chance, 0, to ceiling, 1, the alignment with the large model is not equivalent (`margins.yaml`)."""
    (measure,) = measures_of("alignment")
    return _verdicts(runs, measure, shift=1)


def calibration_changes(runs: Runs) -> pd.DataFrame:
    """Debiased ECE, or mean confidence less accuracy, differs from the large model's by more than the margin."""
    margins, found = load_margins(), []
    for measure in measures_of("calibration"):
        rows, score = _verdicts(runs, measure), SCORES.get(measure, SCORES[margins[measure].score])
        found.append(rows.assign(what=rows["what"] + f", {score.head}"))
    return pd.concat(found, ignore_index=True)


def better_calibrated(runs: Runs) -> pd.DataFrame:
    """The smaller model's debiased ECE is below the large model's."""
    found = _verdicts(runs, measures_of("calibration")[0])
    return found.assign(verdict=[_beyond(*ends, 0) for ends in zip(found["low"], found["high"], strict=True)])


def distillation(runs: Runs) -> pd.DataFrame:
    """The distilled model's debiased ECE is closer to the large model's than that of the same layers without a teacher.

    estimate: |distilled - large| - |cut - large|, with the paired interval of distilled - cut, which is that of the
    estimate where both err on one side of the large model; elsewhere the row cannot say.
    """
    rows = []
    for run, task in runs_and_tasks(runs):
        for distilled, cut in distilled_and_cut(run, task):
            error = measures_of("calibration")[0]
            gap = {row["model"]: row["difference"] for _, at, row in changes([run], error) if at == task}
            difference, low, high, n = _paired_difference(run, task, cut, distilled)
            if min(gap[cut], gap[distilled]) < 0 < max(gap[cut], gap[distilled]):
                difference, low, high = abs(gap[distilled]) - abs(gap[cut]), np.nan, np.nan
            elif gap[cut] < 0:  # both below the large model: further down is further off
                difference, low, high = -difference, -high, -low
            found = {"estimate": difference, "low": low, "high": high, "n": n}
            what = f"{titles(run)[distilled]} against {titles(run)[cut]}"
            rows.append(_row(run, task, found, "estimate", what=what, verdict=_beyond(low, high, 0)))
    return _table(rows)


def distilled_and_cut(run: Results, task: str) -> list[tuple[str, str]]:
    """Return pairs of models with as many layers, fewer than the large one's, begun from the same weights as it.

    The first learns from its answers and is asked for nothing else, the second from labels alone.
    """
    experiment, large = run.experiment, run.experiment.large
    layers = {name: run.facts(task, name, experiment.seeds[0], "metrics")["layers"] for name in experiment.models}
    specs = {name: experiment.model(name) for name in layers if layers[name] < layers[large]}
    taught = [name for name, of in specs.items() if of.teacher == large and of.compress]
    distilled = [name for name in taught if _is_plain(run, task, name)]
    cut = [name for name, of in specs.items() if of.teacher is None and not of.scratch]
    return [(one, other) for one in distilled for other in cut if layers[one] == layers[other]]


def _is_plain(run: Results, task: str, model: str) -> bool:
    recipe = run.experiment.recipe_for(task, model)
    return not (recipe.attribution_weight or recipe.confidence_weight)


def uncoupled(runs: Runs) -> pd.DataFrame:
    """A model as accurate as the large one, by the margin, is not equivalent to it in words or calibration.

    estimate: the difference in accuracy; models whose accuracy is not shown to be equivalent are left out. A model that
    is equivalent in all contradicts nothing: the claim is that accuracy is no proof.
    """
    rows = []
    for run, task, row in each(runs, "verdicts"):
        if row["dimension"] == "accuracy" and row["outcome"] == EQUIVALENT and row["model"] in run.experiment.models:
            what = f"{titles(run)[row['model']]}, {row['method']}"
            verdict = SUPPORTS if row["verdict"] == DIFFERENT else OPEN
            rows.append(_row(run, task, row, "difference", what=what, verdict=verdict))
    return _table(rows)


def boundary(runs: Runs) -> pd.DataFrame:
    """Perturbing the boundary of the pair, as the released scripts do, changes the mean Jaccard with the large model.

    estimate: as released less safe, over the same examples.
    """
    rows = []
    for run, task in runs_and_tasks(runs):
        examples, groups = of_seed(run.comparison(task, "examples"), run.experiment.seeds[0]), clusters(run, task)
        examples = examples[examples["model_a"] == run.experiment.large]
        for method, settings in run.experiment.task_methods(task).items():
            for model in run.experiment.models_of(task, method) if settings.boundary == "as-released" else ():
                pair = examples[examples["model_b"] == model].pivot(index="id", columns="method", values="jaccard")
                if pair.empty or settings.like not in pair:
                    continue
                change = (pair[method] - pair[settings.like]).dropna().to_frame("change")
                (low,), (high,) = mean_intervals(change, clusters=groups, seed=0)
                row = {"estimate": exact_mean(change["change"]), "low": low, "high": high, "n": len(change)}
                verdict = SUPPORTS if low > 0 or high < 0 else OPEN
                what = f"{titles(run)[model]}, {settings.like}"
                rows.append(_row(run, task, row, "estimate", what=what, verdict=verdict))
    return _table(rows)


def mostly_compression(runs: Runs) -> pd.DataFrame:
    """Most of the disagreement with the large model is left when explainer and training seed have had their part.

    estimate: what the model adds to 1 - Jaccard. A row supports or contradicts where its whole interval lies beyond
    half of the interval of all disagreement. Where the large model was trained once, a trained model's part holds that
    of training as well: its row may contradict the claim and cannot support it.
    """
    found = disagreement_sources(runs)
    half = {
        (data_name(run, task), row["method"], row["model_b"]): (row["low"] / 2, row["high"] / 2)
        for run, task, row in found
        if row["source"] == "total"
    }
    rows = []
    for run, task, row in found:
        if row["source"] == "model":
            low, high = half[data_name(run, task), row["method"], row["model_b"]]
            verdict = CONTRADICTS if row["high"] < low else OPEN
            if row["low"] > high and training_is_known(run, row["model_b"]):
                verdict = SUPPORTS
            rows.append(_row(run, task, row, "disagreement", verdict=verdict))
    return _table(rows)


def disagreement_sources(runs: Runs) -> list[tuple[Results, str, dict]]:
    """Return what the disagreement of each smaller model is made of, row by row, with run and task.

    Without those of a model that is made without training, under a method that draws nothing: there nothing but
    compression could make it disagree.
    """
    return [
        (run, task, row)
        for run, task, row in each(runs, "sources")
        if row["model_b"] in run.experiment.models
        and (run.experiment.model(row["model_b"]).is_trained or run.experiment.draws(task, row["method"]))
    ]


def training_is_known(run: Results, model: str) -> bool:
    """Return whether training's part of a disagreement is known: the large model's seeds show it, or it is 0."""
    trained_again = len(run.experiment.model_seeds(run.experiment.large)) > 1
    return trained_again or not run.experiment.model(model).is_trained


def keeping_trust(runs: Runs) -> pd.DataFrame:
    """A student trained to keep its teacher's words shares more of them than the same student plainly distilled.

    estimate: gain in mean Jaccard with the teacher (`compressions.gain_table`); no objective ever runs LIME or SHAP.
    """
    rows = []
    for run, task in runs_and_tasks(runs):
        gains = run.compression(task, "gains") if run.path("compression", task, "gains").is_file() else pd.DataFrame()
        for row in gains.to_dict("records"):
            if run.experiment.recipe_for(task, row["model"]).attribution_weight:
                what = f"{titles(run)[row['model']]}, {row['method']}"
                verdict = _beyond(-row["high"], -row["low"], 0)
                rows.append(_row(run, task, row, "gain", what=what, verdict=verdict))
    return _table(rows)


def _table(rows: Iterable[dict]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


def _row(run: Results, task: str, row: Mapping, estimate: str, *, verdict: str, what: str | None = None) -> dict:
    """Return a row of COLUMNS from one of a table of results, whose column `estimate` has the interval low, high."""
    if what is None:
        what = f"{side_titles(run)[row['model_b']]}, {row['method']}"
    n = row.get("n", row.get("examples", run.experiment.explained(task)))
    found = {"data": data_name(run, task), "what": what, "estimate": row[estimate]}
    return found | {"low": row["low"], "high": row["high"], "n": n, "verdict": verdict}


def runs_and_tasks(runs: Runs) -> Iterator[tuple[Results, str]]:
    """Return each run with each of its tasks."""
    return ((run, task) for run in runs for task in run.experiment.tasks)


def each(runs: Runs, table: str) -> Iterator[tuple[Results, str, dict]]:
    """Yield the rows of a comparison table under the first training seed, as dicts; none as released."""
    for run, task in runs_and_tasks(runs):
        methods = run.experiment.task_methods(task)
        for row in of_seed(run.comparison(task, table), run.experiment.seeds[0]).to_dict("records"):
            if methods[row["method"]].boundary != "as-released":
                yield run, task, row


def data_name(run: Results, task: str) -> str:
    """Return what a row is on: the experiment, and the task where it has several."""
    return run.experiment.name if len(run.experiment.tasks) == 1 else f"{run.experiment.name}, {task}"


def changes(runs: Runs, measure: str) -> Iterator[tuple[Results, str, dict]]:
    """Yield what the verdicts on the smaller models say of one measure, with run and task."""
    for run, task, row in each(runs, "verdicts"):
        if row["measure"] == measure and row["model"] in run.experiment.models:
            yield run, task, row


def _verdicts(runs: Runs, measure: str, *, shift: float = 0) -> pd.DataFrame:
    """Return one measure of the smaller models' verdicts; what does not depend on the method, once a model."""
    rows, depends = [], load_margins()[measure].score is None
    for run, task, row in changes(runs, measure):
        row |= {name: row[name] + shift for name in ("difference", "low", "high")}
        what = titles(run)[row["model"]] + (f", {row['method']}" if depends else "")
        verdict = _OUTCOMES.get(row["outcome"], OPEN)
        rows.append(_row(run, task, row, "difference", what=what, verdict=verdict))
    return _table(rows).drop_duplicates(["data", "what"]).reset_index(drop=True)


def _beyond(low: float, high: float, value: float) -> str:
    """Return what an interval says of "it is below value"."""
    return SUPPORTS if high < value else CONTRADICTS if low > value else OPEN


def _paired_difference(run: Results, task: str, model: str, other: str) -> tuple[float, float, float, int]:
    """Return other's calibration error less the model's, its interval, and of how many examples or clusters."""
    sides = predicted_sides(run, task, run.experiment.seeds[0])
    pair = Comparison(*(Side("", predictions) for predictions in matched(sides[model], sides[other])))
    row = pair.dimensions.set_index("measure").loc[measures_of("calibration")[0]]
    return row["difference"], row["low"], row["high"], row["n"]
