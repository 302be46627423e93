"""What published runs took, and what the paper's own experiment would take."""

import json
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from trusteq.pages.is_half_low import word_counts
from trusteq.pages.status import BUDGETS
from trusteq.store import find
from trusteq.study.experiment import Experiment
from trusteq.study.results import Results

HOUR = 3600


# The rows of benchmarks/attribution.json that stand for the paper's models: random weights of the same shapes.
SHAPES = {
    "bert-base": "BERT-base shape",
    "distilbert": "DistilBERT shape",
    "bert-medium": "BERT-Medium shape",
    "bert-mini": "BERT-Mini shape",
    "bert-tiny": "BERT-Tiny shape",
}


def run_costs(runs: Sequence[Results]) -> pd.DataFrame:
    """Return the hours of each stage of each published run: data, stage, jobs, hours, longest (of a job, in hours).

    Training and predicting from the models' own times, explaining from the manifests of the tables, by method; wall
    time of single jobs, on one thread each where the experiment says nothing else. What several runs share counts for
    the first of them.
    """
    rows, seen = [], set()
    for run in runs:
        stages: dict[str, list[float]] = {}
        for task in run.experiment.tasks:
            for model, seed in run.experiment.runs:
                timing = run.facts(task, model, seed, "timing")
                made = json.dumps([task, model, seed, timing])
                if made in seen:
                    continue
                seen.add(made)
                for stage in ("training", "inference"):
                    stages.setdefault(stage, []).append(timing[f"{stage}_seconds"])
        for file in find(run.folder / "attribution", "*.manifest.json"):
            made = file.read_text(encoding="utf-8")
            facts = json.loads(made)["parameters"]
            if "seconds" in facts and made not in seen:
                seen.add(made)
                stages.setdefault(f"explaining, {facts['method']}", []).append(facts["seconds"])
        for stage, seconds in stages.items():
            row = {"data": run.experiment.name, "stage": stage, "jobs": len(seconds)}
            rows.append(row | {"hours": sum(seconds) / HOUR, "longest": max(seconds) / HOUR})
    return pd.DataFrame(rows, columns=["data", "stage", "jobs", "hours", "longest"])


def paper_scale(benchmark: Iterable[Mapping], experiment: Experiment, *, device: str) -> pd.DataFrame:
    """Return the hours that explaining the paper's test examples once would take, by task, method and model.

    benchmark: rows of benchmarks/attribution.json, seconds for one SNLI pair under that benchmark's budgets. device:
    "cpu" or "gpu bf16". The time of a budget is taken as proportional to it. Columns: task, method, model, examples,
    passes, ours, authors: hours, missing where the row is open.
    """
    known = {row["row"]: row for row in benchmark}
    counts = word_counts()
    labelled = counts.loc[counts["counted"] == "positions", "pairs"].sum()  # of SNLI test
    prefix, _, suffix = device.partition(" ")
    rows = []
    for task in experiment.tasks:
        examples = experiment.explained(task) or labelled
        for method, settings in experiment.task_methods(task).items():
            for model in experiment.models:
                measured = known.get(" ".join(filter(None, (prefix, SHAPES[model], suffix, method))), {})
                scale = examples * settings.n_samples / BUDGETS[method] / HOUR
                row = {"task": task, "method": method, "model": experiment.model(model).title, "examples": examples}
                row |= {"passes": examples * settings.n_samples}
                hours = {"ours": "engine s/example", "authors": "library s/example"}
                rows.append(row | {side: measured.get(key, float("nan")) * scale for side, key in hours.items()})
    return pd.DataFrame(rows)
