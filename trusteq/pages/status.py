"""The status page: what made the results of a run, how long it took, and what the benchmarks measured."""

import itertools
import json
from collections.abc import Iterable, Mapping

import pandas as pd

from trusteq.pages.show import facts_table
from trusteq.project import root
from trusteq.store import find
from trusteq.study.results import Results


def time_table(run: Results) -> pd.DataFrame:
    """Return the seconds of each stage from the executed notebooks: stage, notebooks, seconds in all, longest."""
    rows = []
    for file in find(run.folder / "notebooks", "*.ipynb"):
        relative = file.relative_to(run.folder / "notebooks")
        seconds = json.loads(file.read_text(encoding="utf-8"))["metadata"]["papermill"]["duration"]
        rows.append({"stage": relative.parts[0].removesuffix(".ipynb"), "seconds": seconds})
    stages = pd.DataFrame(rows).groupby("stage", as_index=False)["seconds"].agg(["count", "sum", "max"])
    return stages.rename(columns={"count": "notebooks", "sum": "seconds", "max": "longest"})


def origin_table(run: Results) -> pd.DataFrame:
    """Return what the results were made with: versions, git state, machine and devices, from the manifests."""
    manifests = _manifests(run)
    devices = {
        run.facts(task, model, seed, "timing")["device"]
        for task, model, seed in itertools.product(run.experiment.tasks, run.experiment.models, run.experiment.seeds)
    }
    facts = {
        "device": ", ".join(sorted(devices)),
        "machine": _each(manifests, "machine"),
        "git": _each(manifests, "git"),
    }
    return facts_table(
        facts | {name: _each([m["versions"] for m in manifests], name) for name in manifests[0]["versions"]}
    )


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


BUDGETS = {"lime": 1000, "shap": 500}  # n_samples under which the speed rows are measured


TRAINING_COLUMNS = ["row", "value", "at least", "what", "ours s/epoch", "authors s/epoch"]


TRAINING_COLUMNS += ["ours accuracy", "authors accuracy", "difference low", "difference high"]


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
