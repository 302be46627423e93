"""Tables about the explaining itself: what it cost, how close to the libraries it is, what the benchmark measured."""

import json
import time
from collections.abc import Iterable, Mapping

import pandas as pd

from trusteq.experiment import ROOT

BENCHMARKS = ROOT / "benchmarks"
BUDGETS = {"lime": 1000, "shap": 500}  # n_samples under which the speed rows are measured
TRAINING_COLUMNS = ["row", "value", "at least", "what", "ours s/epoch", "authors s/epoch"]
TRAINING_COLUMNS += ["ours accuracy", "authors accuracy", "difference low", "difference high"]


def attribution_cost(explained: Mapping[str, pd.DataFrame], seconds: Mapping[str, float]) -> pd.DataFrame:
    """Return by method: examples explained, skipped, cut and retokenised; words, passes and seconds per example."""
    rows = []
    for method, attributions in explained.items():
        n_examples = attributions["id"].nunique()
        words = attributions[["id", "segment", "position"]].drop_duplicates()
        rows.append(
            {
                "method": method,
                "explained": n_examples,
                "skipped": len(attributions.attrs["skipped"]),
                "cut": len(attributions.attrs["cut"]),
                "retokenised": attributions.attrs["retokenised"],
                "words_per_example": len(words) / max(n_examples, 1),
                "passes_per_example": attributions.attrs["passes"] / max(n_examples, 1),
                "seconds_per_example": seconds[method] / max(n_examples, 1),
            }
        )
    return pd.DataFrame(rows)


def beside_libraries(classifier, examples: pd.DataFrame, budgets: Mapping[str, int], *, seed: int) -> pd.DataFrame:
    """Return how far our weights are from those of the libraries on the same masks, and the seconds of both.

    budgets: n_samples of each method, "lime" or "shap". The libraries' compilation, once a process, is not counted.
    """
    from trusteq.attribution import explain
    from trusteq.attribution.reference import explain_with_library

    rows = []
    for method, n_samples in budgets.items():
        options = {"method": method, "n_samples": n_samples, "seed": seed}
        weights, seconds = [], []
        for way in (explain, explain_with_library):
            way(classifier, examples.head(1), **options)
            started = time.perf_counter()
            found = way(classifier, examples, **options)
            seconds.append(time.perf_counter() - started)
            weights.append(found.set_index(["id", "segment", "position", "label"])["weight"])
        row = {"method": method, "examples": len(examples), "largest_weight": weights[1].abs().max()}
        row["largest_difference"] = (weights[0] - weights[1]).abs().max()
        rows.append(row | {"seconds": seconds[0], "seconds_of_the_library": seconds[1]})
    return pd.DataFrame(rows)


def benchmark_rows(name: str = "attribution") -> list[dict]:
    """Return the rows of a benchmark as benchmarks/<name>.py wrote them, open ones included."""
    return json.loads((BENCHMARKS / f"{name}.json").read_text(encoding="utf-8"))["rows"]


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
