"""What made the results of a run, and how long it took."""

import itertools
import json

import pandas as pd

from trusteq import store
from trusteq.store import Results
from trusteq.tables.base import facts_table


def time_table(run: Results) -> pd.DataFrame:
    """Return the seconds of each stage from the executed notebooks: stage, notebooks, seconds in all, longest."""
    rows = []
    for file in store.find(run.folder / "notebooks", "*.ipynb"):
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
    return [json.loads(file.read_text(encoding="utf-8")) for file in store.find(run.folder, "*manifest.json")]


def _each(manifests: list[dict], key: str) -> str:
    """Return the distinct values of one key over all manifests, so that a mixed run shows as one."""
    values = [manifest.get(key) for manifest in manifests]
    texts = [_git_text(value) if isinstance(value, dict) else str(value) for value in values]
    return ", ".join(sorted(set(texts)))


def _git_text(state: dict) -> str:
    if state["commit"] is None:
        return "no git"
    return state["commit"][:12] + (" with changes" if state["changed"] else "")
