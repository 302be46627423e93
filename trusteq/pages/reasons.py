"""Why published results say what they say of a claim: numbers to read beside its rows, from the tables behind them.

Each function takes what its claim does in `claims`. Lowest and highest are over runs, tasks and models.
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from trusteq.pages.claims import (
    ITSELF,
    Runs,
    beside_itself,
    changes,
    data_name,
    disagreement_sources,
    distilled_and_cut,
    each,
    runs_and_tasks,
    training_is_known,
)
from trusteq.pages.show import of_seed, titles
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, load_margins, measures_of

LARGE, SMALL = "the large model", "the smaller models"


def low_alignment(runs: Runs) -> pd.DataFrame:
    """What chance gives, and what the large model shares with itself."""
    chance = [("chance", row["method"], row["chance"]) for row in _with_large(runs)]
    return _spans(chance + [(_with_itself(row), row["method"], row["jaccard"]) for _, _, row in beside_itself(runs)])


def rule_on_itself(runs: Runs) -> pd.DataFrame:
    """What part of the disagreement with smaller models the explainer's seed makes, among others."""
    return _spans(
        (f"share of disagreement: {row['source']}", row["method"], row["share"])
        for _, _, row in disagreement_sources(runs)
        if row["source"] == "explainer seed" and row["share"]
    )


def different_words(runs: Runs) -> pd.DataFrame:
    """How far from chance, 0, to ceiling, 1, the smaller models come, and the large one trained again."""
    small = [(SMALL, row["method"], row["normalised"]) for row in _with_large(runs)]
    own = [row for _, _, row in beside_itself(runs) if not ITSELF[row["model_b"]].is_large]
    return _spans(small + [(_with_itself(row), row["method"], row["normalised"]) for row in own])


def calibration_changes(runs: Runs) -> pd.DataFrame:
    """How far confidence moves: of the smaller models, and of the large one trained again."""
    measure = measures_of("calibration")[-1]
    again = [row for _, _, row in each(runs, "verdicts") if row["model"] in _AGAIN and row["measure"] == measure]
    rows = [(SMALL, None, row["difference"]) for _, _, row in changes(runs, measure)]
    rows += [(f"{LARGE} {ITSELF[row['model']].title}", None, row["difference"]) for row in again]
    return _spans((f"{who}: {load_margins()[measure].title}", *of) for who, *of in rows)


def better_calibrated(runs: Runs) -> pd.DataFrame:
    """How far the large model's error could fall."""
    measure = measures_of("calibration")[0]
    return _spans((f"error of {LARGE}", None, row["large"]) for _, _, row in changes(runs, measure))


def distillation(runs: Runs) -> pd.DataFrame:
    """By how much either model's calibration error differs from the large one's."""
    rows = [
        {"data": data_name(run, task), "model": titles(run)[row["model"]], "error less its": row["difference"]}
        for run, task, row in changes(runs, measures_of("calibration")[0])
        if any(row["model"] in pair for pair in distilled_and_cut(run, task))
    ]
    return pd.DataFrame(rows).drop_duplicates()


def uncoupled(runs: Runs) -> pd.DataFrame:
    """How many models are shown to be as accurate as the large one, and how many of them are not equivalent."""
    known = []
    for run, task, row in each(runs, "verdicts"):
        if row["dimension"] == "accuracy" and row["model"] in {*run.experiment.models, *_AGAIN}:
            who = SMALL if row["model"] in run.experiment.models else f"{LARGE} {ITSELF[row['model']].title}"
            model = run.experiment.name, task, row["model"]
            known.append((who, model, row["outcome"] == EQUIVALENT, row["verdict"] == DIFFERENT))
    found = pd.DataFrame(known, columns=["who", "model", "accurate", "differs"])
    models = found.groupby(["who", "model"], sort=False).agg(accurate=("accurate", "first"), differs=("differs", "any"))
    models["differs"] &= models["accurate"]
    counts = models.groupby("who", sort=False).agg(["size", "sum"])
    columns = {"models": counts["accurate", "size"], "as accurate": counts["accurate", "sum"]}
    return pd.DataFrame(columns | {"of these not equivalent": counts["differs", "sum"]}).reset_index()


def boundary(runs: Runs) -> pd.DataFrame:
    """What chance is with and without the boundary, and how far the models come from there to the ceiling."""
    rows = []
    for run, task in runs_and_tasks(runs):
        methods = run.experiment.task_methods(task)
        released = {name: of for name, of in methods.items() if of.boundary == "as-released"}
        table = of_seed(run.comparison(task, "alignment"), run.experiment.seeds[0])
        table = table[table["model_a"] == run.experiment.large].set_index("method")
        for name, method in released.items():
            for how, of in (("as released", name), ("boundary kept", method.like)):
                found = table.loc[[of]]
                found = found[found["model_b"].isin(run.experiment.models_of(task, name))]
                rows += [(f"chance, {how}", method.like, value) for value in found["chance"]]
                rows += [(f"0 to 1, {how}", method.like, value) for value in found["normalised"]]
    return _spans(rows)


def mostly_compression(runs: Runs) -> pd.DataFrame:
    """What part of the disagreement each source makes."""
    rows = []
    for run, _, row in disagreement_sources(runs):
        left = "compression" if training_is_known(run, row["model_b"]) else "compression with training"
        if row["share"] and row["source"] != "total":
            rows.append((left if row["source"] == "model" else row["source"], row["method"], row["share"]))
    return _spans(rows)


def keeping_trust(runs: Runs) -> pd.DataFrame:
    """What keeping trust costs in accuracy, in the mean over training seeds."""
    rows = []
    for run, task in runs_and_tasks(runs):
        if run.path("compression", task, "students").is_file():
            students = run.compression(task, "students").drop_duplicates(["model", "seed"])
            means = students.groupby("model")["accuracy"].mean()
            plain, *others = run.experiment.students
            keeping = [name for name in others if run.experiment.recipe_for(task, name).attribution_weight]
            rows += [("accuracy less the plain student's", None, means[name] - means[plain]) for name in keeping]
    return _spans(rows)


_AGAIN = [name for name, control in ITSELF.items() if not control.is_large]


def _with_itself(row: dict) -> str:
    return f"{LARGE} with {ITSELF[row['model_b']].title}"


def _with_large(runs: Runs) -> Iterator[dict]:
    """Yield the alignment of the smaller models with the large one."""
    return (row for run, _, row in each(runs, "alignment") if row["model_a"] == run.experiment.large)


def _spans(rows: Iterable[tuple[str, str | None, float]]) -> pd.DataFrame:
    """Return the lowest and the highest value of what is measured, by method: what, method, lowest, highest."""
    table = pd.DataFrame(list(rows), columns=["what", "method", "value"])
    by = table.groupby(["what", "method"], sort=False, dropna=False)["value"].agg(["min", "max"])
    return by.set_axis(["lowest", "highest"], axis=1).reset_index().dropna(axis="columns", how="all")
