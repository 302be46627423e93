"""The paper's claims, one by one, held against published results: estimates with intervals, and what they say.

Each function takes the published runs and returns rows of COLUMNS. A row supports a claim or contradicts it where its
whole 95% interval does; otherwise it cannot say.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from trusteq.agreement import exact_mean, mean_intervals
from trusteq.alignment import PAPER_THRESHOLD
from trusteq.decision import DIFFERENT, EQUIVALENT
from trusteq.predictions import matched
from trusteq.store import Results
from trusteq.tables.base import interval_text, titles
from trusteq.tables.calibration import clusters
from trusteq.tables.comparisons import of_seed, side_titles
from trusteq.tables.first import first_alignment
from trusteq.tables.scores import differences_from, predicted_sides

SUPPORTS, CONTRADICTS, OPEN = "supports", "contradicts", "cannot say"
COLUMNS = ["data", "what", "estimate", "low", "high", "n", "verdict"]
_OUTCOMES = {DIFFERENT: SUPPORTS, EQUIVALENT: CONTRADICTS}

Runs = Sequence[Results]


def low_alignment(runs: Runs) -> pd.DataFrame:
    """The mean Jaccard index of the top words with the large model is below 0.7; alignments with the safe boundary."""
    return _table(
        _row(run, task, row, "jaccard", verdict=_beyond(row["low"], row["high"], PAPER_THRESHOLD))
        for run, task, row in _each(runs, "alignment")
        if row["model_a"] == run.experiment.large and not _is_released(run, task, row["method"])
    )


def rule_on_itself(runs: Runs) -> pd.DataFrame:
    """The large model reaches a mean Jaccard of 0.7 beside itself, under another seed of the explainer.

    A rule that asks for it is contradicted where the model itself does not pass. Methods that draw nothing repeat
    themselves and are left out.
    """
    return _table(
        _row(run, task, row, "jaccard", verdict=_beyond(-row["high"], -row["low"], -PAPER_THRESHOLD))
        for run, task, row in _each(runs, "controls")
        if row["model_b"] == "reseeded"
        and run.experiment.draws(task, row["method"])
        and not _is_released(run, task, row["method"])
    )


def different_words(runs: Runs) -> pd.DataFrame:
    """From chance, 0, to ceiling, 1, the alignment with the large model is not equivalent (`margins.yaml`)."""
    return _verdicts(runs, "normalised_alignment", shift=1)


def calibration_changes(runs: Runs) -> pd.DataFrame:
    """Debiased ECE, or mean confidence less accuracy, differs from the large model's by more than the margin."""
    both = [_verdicts(runs, measure).assign(measure=measure) for measure in ("ece", "overconfidence")]
    found = pd.concat(both, ignore_index=True)
    found["what"] += found.pop("measure").map({"ece": ", ECE", "overconfidence": ", overconfidence"})
    return found[COLUMNS]


def better_calibrated(runs: Runs) -> pd.DataFrame:
    """The smaller model's debiased ECE is below the large model's."""
    found = _verdicts(runs, "ece")
    return found.assign(verdict=[_beyond(*ends, 0) for ends in zip(found["low"], found["high"], strict=True)])


def distillation(runs: Runs, *, cut: str = "minilm-3-layers", distilled: str = "minilm-distilled") -> pd.DataFrame:
    """The distilled model's debiased ECE is closer to the large model's than that of the same layers without a teacher.

    estimate: |distilled - large| - |cut - large|, with the paired interval of distilled - cut, which is that of the
    estimate where both err on one side of the large model; elsewhere the row cannot say.
    """
    rows = []
    for run, task in _tasks(runs):
        if not {cut, distilled} <= set(run.experiment.models):
            continue
        sides = predicted_sides(run, task, run.experiment.seeds[0])
        gap = {name: _ece_difference(sides[run.experiment.large], sides[name])[0] for name in (cut, distilled)}
        difference, low, high, n = *_ece_difference(sides[cut], sides[distilled]), len(sides[cut].gold)
        if min(gap.values()) < 0 < max(gap.values()):
            difference, low, high = abs(gap[distilled]) - abs(gap[cut]), np.nan, np.nan
        elif gap[cut] < 0:  # both below the large model: further down is further off
            difference, low, high = -difference, -high, -low
        found = {"estimate": difference, "low": low, "high": high, "examples": n, "undefined": 0}
        what = f"{titles(run)[distilled]} against {titles(run)[cut]}"
        rows.append(_row(run, task, found, "estimate", what=what, verdict=_beyond(low, high, 0)))
    return _table(rows)


def uncoupled(runs: Runs) -> pd.DataFrame:
    """A model as accurate as the large one, by the margin, is not equivalent to it in words or calibration.

    estimate: the difference in accuracy; models whose accuracy is not shown to be equivalent are left out. A model that
    is equivalent in all contradicts nothing: the claim is that accuracy is no proof.
    """
    rows = []
    for run, task in _tasks(runs):
        found = of_seed(run, task, "verdicts", seed=run.experiment.seeds[0])
        small = found[found["model"].isin(run.experiment.models)]
        for (model, method), measures in small.groupby(["model", "method"], sort=False):
            accuracy = measures.set_index("measure").loc["accuracy"]
            if accuracy["outcome"] == EQUIVALENT:
                verdict = SUPPORTS if measures["verdict"].iloc[0] == DIFFERENT else OPEN
                what = f"{titles(run)[model]}, {method}"
                rows.append(_row(run, task, accuracy, "difference", what=what, verdict=verdict))
    return _table(rows)


def boundary(runs: Runs) -> pd.DataFrame:
    """Perturbing the boundary of the pair, as the released scripts do, changes the mean Jaccard with the large model.

    estimate: as released less safe, over the same examples.
    """
    rows = []
    for run, task in _tasks(runs):
        examples, groups = of_seed(run, task, "examples", seed=run.experiment.seeds[0]), clusters(run, task)
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


def seeds(runs: Runs) -> pd.DataFrame:
    """Of the disagreement with the large model something is left when explainer and training seed have had their part.

    estimate: what the model adds to 1 - Jaccard.
    """
    return _table(
        _row(run, task, row, "disagreement", verdict=_beyond(-row["high"], -row["low"], 0))
        for run, task, row in _each(runs, "sources")
        if row["source"] == "model" and row["model_b"] in run.experiment.models
    )


def keeping_trust(runs: Runs) -> pd.DataFrame:
    """A student trained to keep its teacher's words shares more of them than the same student plainly distilled.

    estimate: gain in mean Jaccard with the teacher (`tables.gain_table`); no objective ever runs LIME or SHAP.
    """
    rows = []
    for run, task in _tasks(runs):
        gains = run.compression(task, "gains") if run.path("compression", task, "gains").is_file() else pd.DataFrame()
        for row in gains.to_dict("records"):
            if run.experiment.recipe_for(task, row["model"]).attribution_weight:
                what = f"{titles(run)[row['model']]}, {row['method']}"
                verdict = _beyond(-row["high"], -row["low"], 0)
                rows.append(_row(run, task, row, "gain", what=what, verdict=verdict))
    return _table(rows)


def fidelity_cost(runs: Runs) -> pd.DataFrame:
    """What every model saves, and how much of the large model's words it keeps: no claim, and so no verdict.

    bytes, time: on disk, and for one text, as a share of the large model's; by the experiment's first method and seed.
    """
    rows = []
    for run, task in _tasks(runs):
        if not run.path("compression", task, "models").is_file():
            continue
        table, latency = run.compression(task, "models"), run.compression(task, "footprints")
        latency = latency.set_index("model")["latency_1_ms"] / latency["latency_1_ms"].iloc[0]
        large, *small = table.drop_duplicates("model").to_dict("records")
        for row in small:
            size = row["weights_bytes"] / large["weights_bytes"]
            found = {"data": _data(run, task), "model": titles(run)[row["model"]], "bytes": size}
            found |= {"time": latency[row["model"]], "accuracy": row["accuracy_difference"]}
            found |= {end: row[f"normalised_alignment_{end}"] for end in ("low", "high")}
            rows.append(found | {"estimate": row["normalised_alignment"], "verdict": row["verdict"]})
    columns = ["data", "model", "bytes", "time", "accuracy", "estimate", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def first_experiments(runs: Runs) -> pd.DataFrame:
    """Return the paper's first experiments beside the range that it expects, as a table for a page."""
    rows = []
    for run in runs:
        for row in first_alignment(run).to_dict("records"):
            if row["as_asked"]:
                place = row["place"] if row["settled"] else "open"
                interval = f"{row['low']:.2f} to {row['high']:.2f}"
                found = {"data": run.experiment.name, "Jaccard": row["jaccard"], "95%": interval, "expected": place}
                rows.append(found | {name: row[name] for name in ("chance", "ceiling", "examples")})
    return pd.DataFrame(rows)


def cost_view(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `fidelity_cost` as a table for a page, the smallest models first."""
    found = found.sort_values(["data", "bytes"], kind="stable")
    columns = {name: found[name] for name in ("data", "model", "bytes", "time")}
    columns |= {"accuracy change": found["accuracy"], "words": found["estimate"]}
    return pd.DataFrame(columns | {"95%": interval_text(found["low"], found["high"]), "verdict": found["verdict"]})


def summary(found: Mapping[str, pd.DataFrame], held: Mapping[str, str]) -> pd.DataFrame:
    """Return one row a claim: what the paper has, our estimates in short, on which data, the verdict, and why.

    found: rows of each claim. held: the paper's number, as text. The verdict says by how many rows it is.
    """
    rows = []
    for claim, table in found.items():
        said = verdict_on(table)
        count = f" ({(table['verdict'] == said).sum()} of {len(table)})" if said in (SUPPORTS, CONTRADICTS) else ""
        row = {"claim": claim, "paper": held[claim], "ours": _span(table), "widest": _widest(table)}
        row |= {"data": ", ".join(table["data"].unique()) or "none", "verdict": said + count}
        rows.append(row | {"why": _why(table, said)})
    return pd.DataFrame(rows)


def _why(found: pd.DataFrame, said: str) -> str:
    """Return which rows stand against the others, or what keeps a claim from a verdict."""
    if found.empty:
        return "nothing published"
    if said != "mixed":
        left = int((found["verdict"] == OPEN).sum())
        return f"{left} of {len(found)} rows cannot say" if left else "every row says so"
    few = minority(found)
    names = few["what"].str.rpartition(", ")[0].replace("", pd.NA)
    who, verdict = names.fillna(few["what"]).unique(), few["verdict"].iloc[0]
    return f"{', '.join(who)} {verdict if len(who) == 1 else verdict.removesuffix('s')}"


def _span(found: pd.DataFrame) -> str:
    ends = [f"{end:z.2f}" for end in (found["estimate"].min(), found["estimate"].max())] if len(found) else []
    return " to ".join(dict.fromkeys(ends)) or "none"


def _widest(found: pd.DataFrame) -> str:
    half = ((found["high"] - found["low"]) / 2).max()
    return "" if pd.isna(half) else f"±{half:.3f}"


def verdict_on(found: pd.DataFrame) -> str:
    """Return what all rows together say of a claim: "mixed" where some support and some contradict it."""
    said = set(found["verdict"]) - {OPEN}
    return said.pop() if len(said) == 1 else ("mixed" if said else OPEN)


def minority(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that stand against most of the others; none where all that decide say the same."""
    counts = found.loc[found["verdict"] != OPEN, "verdict"].value_counts()
    return found[found["verdict"].isin(counts.index[1:])]


def finding_view(found: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Return rows of a claim as a table for a page."""
    columns = {"data": found["data"], "what": found["what"], "estimate": found["estimate"]}
    columns |= {"95%": interval_text(found["low"], found["high"], digits=digits), "n": found["n"].astype("Int64")}
    return pd.DataFrame(columns | {"verdict": found["verdict"]})


def _table(rows: Iterable[dict]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COLUMNS)


def _row(run: Results, task: str, row: Mapping, estimate: str, *, verdict: str, what: str | None = None) -> dict:
    """Return a row of COLUMNS from one of a table of results, whose column `estimate` has the interval low, high."""
    if what is None:
        what = f"{side_titles(run)[row['model_b']]}, {row['method']}"
    n = row.get("n", row.get("examples", run.experiment.explained(task)))
    found = {"data": _data(run, task), "what": what, "estimate": row[estimate], "low": row["low"], "high": row["high"]}
    return found | {"n": n, "verdict": verdict}


def _tasks(runs: Runs) -> Iterator[tuple[Results, str]]:
    return ((run, task) for run in runs for task in run.experiment.tasks)


def _each(runs: Runs, table: str) -> Iterator[tuple[Results, str, dict]]:
    for run, task in _tasks(runs):
        for row in of_seed(run, task, table, seed=run.experiment.seeds[0]).to_dict("records"):
            yield run, task, row


def _data(run: Results, task: str) -> str:
    return run.experiment.name if len(run.experiment.tasks) == 1 else f"{run.experiment.name}, {task}"


def _is_released(run: Results, task: str, method: str) -> bool:
    return run.experiment.task_methods(task)[method].boundary == "as-released"


def _verdicts(runs: Runs, measure: str, *, shift: float = 0) -> pd.DataFrame:
    """Return one measure of the smaller models' verdicts; what does not depend on the method, once a model."""
    rows = []
    for run, task, row in _each(runs, "verdicts"):
        if row["measure"] != measure or row["model"] not in run.experiment.models:
            continue
        method = f", {row['method']}" if measure == "normalised_alignment" else ""
        row |= {name: row[name] + shift for name in ("difference", "low", "high")}
        what, verdict = f"{titles(run)[row['model']]}{method}", _OUTCOMES.get(row["outcome"], OPEN)
        rows.append(_row(run, task, row, "difference", what=what, verdict=verdict))
    return _table(rows).drop_duplicates(["data", "what"]).reset_index(drop=True)


def _beyond(low: float, high: float, value: float) -> str:
    """Return what an interval says of "it is below value"."""
    return SUPPORTS if high < value else CONTRADICTS if low > value else OPEN


def _ece_difference(one, other) -> tuple[float, float, float]:
    row = differences_from(*matched(one, other))[0].set_index("score").loc["debiased_ece"]
    return row["difference"], row["low"], row["high"]
