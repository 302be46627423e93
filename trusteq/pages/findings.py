"""What published results say of all claims together, and what stands beside them. Rows of claims: of `claims`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.pages.claims import CONTRADICTS, OPEN, SUPPORTS, Runs, data_name, runs_and_tasks
from trusteq.pages.figures import GREY
from trusteq.pages.first import first_alignment
from trusteq.pages.show import interval_text, titles


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper has of it, as text; the rows that say something of it; and why they say so."""

    paper: str
    rows: pd.DataFrame
    why: str = ""


def fidelity_cost(runs: Runs) -> pd.DataFrame:
    """What every model saves, and how much of the large model's words it keeps: no claim, and so no verdict.

    bytes, time: on disk, and for one text, as a share of the large model's; by the experiment's first method and seed.
    """
    rows = []
    for run, task in runs_and_tasks(runs):
        if not run.path("compression", task, "models").is_file():
            continue
        table, latency = run.compression(task, "models"), run.compression(task, "footprints")
        latency = latency.set_index("model")["latency_1_ms"] / latency["latency_1_ms"].iloc[0]
        large, *small = table.drop_duplicates("model").to_dict("records")
        for row in small:
            size = row["weights_bytes"] / large["weights_bytes"]
            found = {"data": data_name(run, task), "model": titles(run)[row["model"]], "bytes": size}
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


def summary(claims: Mapping[str, Claim]) -> pd.DataFrame:
    """Return one row a claim: the verdict, by how many rows; our estimates in short; what the paper has; the data.

    claims: by their statements.
    """
    rows = []
    for statement, claim in claims.items():
        found, said = claim.rows, verdict_on(claim.rows)
        counted = f" ({(found['verdict'] == said).sum()} of {len(found)})" if said in (SUPPORTS, CONTRADICTS) else ""
        row = {"claim": statement, "verdict": said + counted, "ours": _span(found), "widest 95%": _widest(found)}
        rows.append(row | {"paper": claim.paper, "data": _runs(found["data"].unique())})
    return pd.DataFrame(rows)


def _runs(names: Sequence[str]) -> str:
    """Name the runs, or count them where their names would fill a column; the rows of the claim name them all."""
    return (", ".join(names) or "none") if len(names) < 3 else f"{len(names)} runs"


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


VERDICT_COLOURS = {SUPPORTS: "#1f4e9e", CONTRADICTS: "#c2590a", OPEN: "0.45"}


_MARKERS = {SUPPORTS: "o", CONTRADICTS: "s", OPEN: "D"}


_LINE_STYLES = ("--", ":")


def claim_intervals(rows: pd.DataFrame, ax=None, *, lines: Mapping[str, Sequence[float]], xlabel: str):
    """Draw the estimate of each row of a claim with its 95% interval, coloured and shaped by what it says of the claim.

    rows: of a function of `tables.claims`. lines: values to compare with, by their names.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.26 * len(rows))).gca()
    for verdict, of in rows.reset_index(drop=True).groupby("verdict", sort=False):
        color = VERDICT_COLOURS[verdict]
        ax.hlines(of.index, of["low"], of["high"], color=color, linewidth=1.6)
        ax.plot(of["estimate"], of.index, _MARKERS[verdict], color=color, markersize=5, label=verdict)
    for (name, values), style in zip(lines.items(), cycle(_LINE_STYLES), strict=False):
        for place, value in enumerate(values):
            ax.axvline(value, color=GREY, linestyle=style, linewidth=1, label=None if place else name)
    ends = rows["data"].ne(rows["data"].shift()).to_numpy().nonzero()[0]
    for start in ends[1:]:
        ax.axhline(start - 0.5, color="0.8", linewidth=0.8)
    several = rows["data"].nunique() > 1
    ax.set_yticks(range(len(rows)), [f"{row.what}{f' ({row.data})' * several}" for row in rows.itertuples()])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return ax
