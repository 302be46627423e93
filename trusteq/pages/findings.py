"""The page of findings: what published results say of the paper's claims, and what stands beside them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.pages.claims import CLAIMS, COLUMNS, CONTRADICTS, OPEN, SUPPORTS, Claim, Runs, data_name, runs_and_tasks
from trusteq.pages.figures import GREY, named_rows
from trusteq.pages.first import first_alignment
from trusteq.pages.show import interval_text, page_style, put, show, titles
from trusteq.study.publish import reference_runs
from trusteq.verdict.margins import measures_of

PAPER_K = 10  # words that the paper compares
# By what a row says of a claim: its colour and its mark.
VERDICT_COLOURS = {SUPPORTS: "#1f4e9e", CONTRADICTS: "#c2590a", OPEN: "0.45"}
_MARKERS = {SUPPORTS: "o", CONTRADICTS: "s", OPEN: "D"}


@dataclass(frozen=True)
class Findings:
    """Published runs, and what those of them that compare as many words as the paper say of each claim."""

    runs: Runs
    claims: Mapping[str, Claim]


def held(experiments: Collection[str] | None = None) -> Findings:
    """Return what the published runs on real data, or the named ones, say; set the style of the page's figures."""
    page_style()
    runs = [run for run in reference_runs() if experiments is None or run.experiment.name in experiments]
    return Findings(runs, claims_of(_as_the_paper(runs)))


def claims_of(runs: Runs) -> dict[str, Claim]:
    """Return what runs say of each claim, by its statement; where there are no runs, nothing."""
    nothing = pd.DataFrame(columns=COLUMNS)
    return {statement: claim(runs) if runs else Claim("", nothing) for statement, claim in CLAIMS.items()}


def summary(found: Findings) -> None:
    """Show all claims in one table."""
    put(summary_table(found.claims))


def section(found: Findings, statement: str) -> None:
    """Show the rows of one claim, how many say what of it, the numbers to read beside them, and the figure it has."""
    claim = found.claims[statement]
    shown = claim.rows.assign(**{"95%": interval_text(claim.rows["low"], claim.rows["high"], digits=3)})
    shown = shown[["data", "what", "estimate", "95%", "n", "verdict"]].astype({"n": "Int64"})
    put(show(shown, caption=count_line(claim.rows)))
    if len(claim.beside):
        put(show(claim.beside, caption="To read beside it"))
    if claim.xlabel and len(claim.rows):
        put(claim_intervals(claim.rows, lines=claim.lines, xlabel=claim.xlabel))


def costs(found: Findings) -> None:
    """Show what every model saves, and how much of the large model's words it keeps, the smallest models first.

    bytes, time: on disk, and for one text, as a share of the large model's; by the experiment's first method and seed.
    """
    parts, (words,) = [], measures_of("alignment")
    for run, task in runs_and_tasks(_as_the_paper(found.runs)):
        if run.path("compression", task, "models").is_file():
            table = run.compression(task, "models").drop_duplicates("model").set_index("model")
            latency = run.compression(task, "footprints").set_index("model")["latency_1_ms"]
            columns = {"data": data_name(run, task), "model": table.index.map(titles(run))}
            columns |= {"bytes": table["weights_bytes"] / table["weights_bytes"].iloc[0]}
            columns |= {"time": latency / latency.iloc[0], "accuracy change": table["accuracy_difference"]}
            columns |= {"words": table[words], "95%": interval_text(table[f"{words}_low"], table[f"{words}_high"])}
            parts.append(pd.DataFrame(columns | {"verdict": table["verdict"]}, index=table.index)[1:])
    put(show(pd.concat(parts).sort_values(["data", "bytes"], kind="stable"), digits=2))


def first_experiments(found: Findings) -> None:
    """Show the paper's first experiments beside the range that it expects."""
    asked = pd.concat([first_alignment(run).assign(data=run.experiment.name) for run in found.runs])
    asked = asked[asked["as_asked"]]
    columns = {"data": asked["data"], "Jaccard": asked["jaccard"], "95%": interval_text(asked["low"], asked["high"])}
    columns["expected"] = asked["place"].where(asked["settled"], "open")
    put(show(pd.DataFrame(columns | {name: asked[name] for name in ("chance", "ceiling", "examples")}), digits=2))


def _as_the_paper(runs: Runs) -> Runs:
    return [run for run in runs if run.experiment.k == PAPER_K]


def summary_table(found: Mapping[str, Claim]) -> pd.DataFrame:
    """Return one row a claim: the verdict, by how many rows; our estimates in short; what the paper has; the data.

    found: claims by their statements. Where rows support and others contradict it, a claim is mixed.
    """
    rows = []
    for statement, claim in found.items():
        of, said = claim.rows, verdict_on(claim.rows)
        counted = f" ({(of['verdict'] == said).sum()} of {len(of)})" if said in (SUPPORTS, CONTRADICTS) else ""
        half, data = ((of["high"] - of["low"]) / 2).max(), of["data"].unique()
        ends = of["estimate"].agg(["min", "max"]).to_frame().T
        row = {"claim": statement, "verdict": said + counted}
        row |= {"ours": interval_text(ends["min"], ends["max"]).fillna("none").iloc[0]}
        row |= {"widest 95%": "" if pd.isna(half) else f"±{half:.3f}", "paper": claim.paper}
        rows.append(row | {"data": ", ".join(data) or "none" if len(data) < 3 else f"{len(data)} runs"})
    return pd.DataFrame(rows)


def verdict_on(found: pd.DataFrame) -> str:
    """Return what all rows together say of a claim: "mixed" where some support and some contradict it."""
    said = set(found["verdict"]) - {OPEN}
    return said.pop() if len(said) == 1 else ("mixed" if said else OPEN)


def count_line(found: pd.DataFrame) -> str:
    """Return how many rows of a claim say what of it."""
    counts = "; ".join(f"{verdict}: {(found['verdict'] == verdict).sum()}" for verdict in (SUPPORTS, CONTRADICTS, OPEN))
    return f"{counts}; of {len(found)} rows" if len(found) else "Nothing is published that could say."


def claim_intervals(rows: pd.DataFrame, ax=None, *, lines: Mapping[str, Sequence[float]], xlabel: str):
    """Draw the estimate of each row of a claim with its 95% interval, coloured and shaped by what it says of the claim.

    rows: of a claim. lines: values to compare with, by their names.
    """
    ax = ax or plt.figure(figsize=(7, 1.2 + 0.26 * len(rows))).gca()
    for verdict, of in rows.reset_index(drop=True).groupby("verdict", sort=False):
        color = VERDICT_COLOURS[verdict]
        ax.hlines(of.index, of["low"], of["high"], color=color, linewidth=1.6)
        ax.plot(of["estimate"], of.index, _MARKERS[verdict], color=color, markersize=5, label=verdict)
    for (name, values), style in zip(lines.items(), cycle(("--", ":")), strict=False):
        for place, value in enumerate(values):
            ax.axvline(value, color=GREY, linestyle=style, linewidth=1, label=None if place else name)
    for start in rows["data"].ne(rows["data"].shift()).to_numpy().nonzero()[0][1:]:
        ax.axhline(start - 0.5, color="0.8", linewidth=0.8)
    several = rows["data"].nunique() > 1
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return named_rows(ax, [f"{row.what}{f' ({row.data})' * several}" for row in rows.itertuples()], xlabel=xlabel)
