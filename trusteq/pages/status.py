"""The status page: what made the results of a run, how long it took, and what the benchmarks measured."""

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from trusteq.pages.show import facts_table, put, show
from trusteq.project import root
from trusteq.store import find
from trusteq.study.results import Results

BUDGETS = {"lime": 1000, "shap": 500}  # n_samples under which the speed rows are measured


TRAINING_COLUMNS = ["row", "value", "at least", "what", "ours s/epoch", "authors s/epoch"]


TRAINING_COLUMNS += ["ours accuracy", "authors accuracy", "difference low", "difference high"]


def times(run: Results) -> None:
    """Show what was run, how long its stages took, then its executed notebooks."""
    put(run_line(run), show(job_table([run]).drop(columns="data"), digits=1), show(notebook_table(run), digits=1))


def benchmark(name: str) -> None:
    """Show what a benchmark last measured, "attribution" or "finetune"."""
    rows = benchmark_rows(name)
    make, formats = _VIEWS[name]
    put(show(make(rows), digits=2, formats=formats, caption=measured_on(rows)))


def origin(run: Results) -> None:
    """Show what the results were made with, and the experiment file."""
    put(origin_table(run), f"```yaml\n{run.experiment.dump()}```")


def run_line(run: Results) -> str:
    """Return what was run, in one line."""
    experiment, seed = run.experiment, run.experiment.seeds[0]
    tested = [run.facts(task, experiment.large, seed, "metrics")["test_examples"] for task in experiment.tasks]
    explained = [run.comparison(task, "examples")["id"].nunique() for task in experiment.tasks]
    facts = {"tasks": [experiment.task(task).title for task in experiment.tasks], "models": [len(experiment.models)]}
    facts |= {"training seeds": experiment.seeds, "test examples": tested, "of these explained": explained}
    facts |= {"training examples at most": [experiment.train_limit]} if experiment.train_limit else {}
    parts = [f"{name}: {', '.join(map(str, values))}" for name, values in facts.items()]
    return f"This run is **{experiment.name}** ({experiment.title}): {'; '.join(parts)}."


def job_table(runs: Sequence[Results]) -> pd.DataFrame:
    """Return the seconds of each stage of each run: data, stage, jobs, seconds (in all), longest.

    Of training and predicting the models' own times, of other stages those in the manifests of their tables, of
    explaining by method: wall time of single jobs, on one thread each where the experiment says nothing else. What
    several runs share counts for the first of them.
    """
    jobs = [(run.experiment.name, *job) for run in runs for job in _jobs(run)]
    table = pd.DataFrame(jobs, columns=["data", "stage", "seconds", "made"]).drop_duplicates("made")
    by = table.groupby(["data", "stage"], sort=False)["seconds"].agg(["count", "sum", "max"])
    return by.set_axis(["jobs", "seconds", "longest"], axis=1).reset_index()


def _jobs(run: Results) -> Iterator[tuple[str, float, str]]:
    """Yield the stage of each job, its seconds, and what tells it from all others."""
    for task, (model, seed) in itertools.product(run.experiment.tasks, run.experiment.runs):
        timing = run.facts(task, model, seed, "timing")
        for stage in ("training", "inference"):
            yield stage, timing[f"{stage}_seconds"], json.dumps([stage, task, model, seed, timing])
    for file in find(run.folder, "*.manifest.json"):
        made = file.read_text(encoding="utf-8")
        facts = json.loads(made)["parameters"]
        if "seconds" in facts:
            stage = file.relative_to(run.folder).parts[0]
            yield f"explaining, {facts['method']}" if "method" in facts else stage, facts["seconds"], made


def notebook_table(run: Results) -> pd.DataFrame:
    """Return the seconds of the executed notebooks of each page: page, notebooks, seconds (in all), longest."""
    rows = []
    for file in find(run.folder / "notebooks", "*.ipynb"):
        page = file.relative_to(run.folder / "notebooks").parts[0].removesuffix(".ipynb")
        metadata = json.loads(file.read_text(encoding="utf-8"))["metadata"]
        rows.append((page, metadata.get("papermill", {}).get("duration")))
    pages = pd.DataFrame(rows, columns=["page", "seconds"]).astype({"seconds": float}).dropna()
    by = pages.groupby("page")["seconds"].agg(["count", "sum", "max"])
    return by.set_axis(["notebooks", "seconds", "longest"], axis=1).reset_index()


def origin_table(run: Results) -> pd.DataFrame:
    """Return what the results were made with: versions, git state, machine and devices, from the manifests."""
    manifests = _manifests(run)
    who = itertools.product(run.experiment.tasks, run.experiment.models, run.experiment.seeds)
    devices = {run.facts(*of, "timing")["device"] for of in who}
    facts = {"device": ", ".join(sorted(devices))} | {key: _each(manifests, key) for key in ("machine", "git")}
    versions = [manifest["versions"] for manifest in manifests]
    return facts_table(facts | {name: _each(versions, name) for name in versions[0]})


def machines(run: Results) -> str:
    """Return the machines that the artefacts of a run were made on."""
    return _each(_manifests(run), "machine")


def _manifests(run: Results) -> list[dict]:
    return [json.loads(file.read_text(encoding="utf-8")) for file in find(run.folder, "*manifest.json")]


def _each(manifests: list[dict], key: str) -> str:
    """Return the distinct values of one key over all manifests, so that a mixed run shows as one."""
    values = [manifest.get(key) for manifest in manifests]
    texts = [_git_text(value) if isinstance(value, dict) else str(value) for value in values]
    return ", ".join(sorted(set(texts)))


def _git_text(state: dict) -> str:
    if state["commit"] is None:
        return "no git"
    return state["commit"][:12] + (" with changes" if state["changed"] else "")


def benchmark_rows(name: str = "attribution") -> list[dict]:
    """Return the rows of a benchmark as benchmarks/<name>.py wrote them, open ones included."""
    return json.loads((root() / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def training_benchmark_table(rows: Iterable[Mapping]) -> pd.DataFrame:
    """Return the rows of the benchmark of fine-tuning that were measured: ours beside the authors' loop."""
    table = pd.DataFrame([row for row in rows if row["value"] is not None], columns=TRAINING_COLUMNS)
    return table.rename(columns={"value": "measured", "what": "unit"}).astype({"at least": float})


def benchmark_table(rows: Iterable[Mapping]) -> pd.DataFrame:
    """Return the rows of the benchmark that were measured: what, how much, what was wanted, and the times behind it."""
    return pd.DataFrame([_benchmark_row(row) for row in rows if row["value"] is not None])


def _benchmark_row(row: Mapping) -> dict:
    wanted = [f"{sign} {row[key]:g}" for key, sign in (("at least", "≥"), ("at most", "≤")) if row.get(key)]
    return {
        "row": row["row"],
        "measured": row["value"],
        "wanted": "".join(wanted),
        "unit": row["what"],
        "seconds": row.get("engine s/example", float("nan")),
        "library's": row.get("library s/example", float("nan")),
        "bare_share": row.get("bare share", float("nan")),
        "passes/s": row.get("passes/s", float("nan")),
    }


_VIEWS = {
    "attribution": (benchmark_table, {"passes/s": "{:,.0f}"}),
    "finetune": (training_benchmark_table, {"measured": "{:.1f}", "at least": "{:g}"}),
}


def measured_on(rows: Iterable[Mapping]) -> str:
    """Return where a benchmark was measured, and which of its rows are open and why, as a caption."""
    where = sorted({row["machine"] for row in rows if row["value"] is not None})
    open_rows = {row["row"]: row["open"] for row in rows if row["value"] is None}
    text = f"Measured on: {'; '.join(where) or 'no machine yet'}."
    return text + (f" Open: {', '.join(open_rows)} ({'; '.join({*open_rows.values()})})." if open_rows else "")
