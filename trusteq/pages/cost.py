"""What published runs took, and what the paper's own experiment would take."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import pandas as pd

from trusteq.pages.is_half_low import word_counts
from trusteq.pages.show import put, show
from trusteq.pages.status import BUDGETS, benchmark_rows, job_table, origin_table
from trusteq.study import publish
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


def published(experiments: Collection[str] | None = None) -> list[Results]:
    """Return the published runs on real data, or the named ones of them."""
    return [run for run in publish.reference_runs() if experiments is None or run.experiment.name in experiments]


def spent(runs: Sequence[Results]) -> None:
    """Show the hours of each stage of each run, and what each run was made with."""
    found = run_costs(runs)
    put(show(found, digits=2, caption=f"{found['hours'].sum():.1f} hours in all"))
    made = {run.experiment.name: origin_table(run).set_index("what")["value"] for run in runs}
    put(pd.DataFrame(made).fillna("").reset_index(names="what"))


def papers_scale(device: str) -> None:
    """Show the hours that explaining the paper's examples would take on a device, "cpu" or "gpu bf16"."""
    scale = paper_scale(benchmark_rows(), Experiment.load("paper"), device=device)
    known = scale.dropna(subset=["ours", "authors"])
    if known.empty:
        put("Not measured: no such device was at hand. The rows of the benchmark are open.")
        return
    caption = f"Of {len(known)} rows with both: ours {known['ours'].sum():,.0f}, authors {known['authors'].sum():,.0f}"
    put(show(scale, digits=1, formats={"passes": "{:,}"}, caption=f"{caption} hours"))


def run_costs(runs: Sequence[Results]) -> pd.DataFrame:
    """Return the hours of each stage of each published run: data, stage, jobs, hours, longest (of a job, in hours)."""
    found = job_table(runs).rename(columns={"seconds": "hours"})
    return found.assign(hours=found["hours"] / HOUR, longest=found["longest"] / HOUR)


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
