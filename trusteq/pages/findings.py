"""What published results say of all claims together, and what stands beside them. Rows of claims: of `claims`."""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD
from trusteq.pages import claims, reasons
from trusteq.pages.claims import CONTRADICTS, OPEN, SUPPORTS, Runs, data_name, runs_and_tasks
from trusteq.pages.cost import published
from trusteq.pages.figures import GREY
from trusteq.pages.first import first_alignment
from trusteq.pages.show import interval_text, page_style, paper_table, put, show, titles
from trusteq.study.results import Results
from trusteq.verdict.margins import load_margins, measures_of

PAPER_K = 10  # words that the paper compares


@dataclass(frozen=True)
class Claim:
    """One claim: what the paper has of it, as text; the rows that say something of it; and numbers to read beside them.

    lines: values to compare the estimates with in a figure, by their names; xlabel: of the figure; without it, none.
    """

    paper: str
    rows: pd.DataFrame
    beside: pd.DataFrame = field(default_factory=pd.DataFrame)
    lines: Mapping[str, Sequence[float]] = field(default_factory=dict)
    xlabel: str = ""


@dataclass(frozen=True)
class Findings:
    """Published runs, and what those of them that compare as many words as the paper say of each claim."""

    runs: Runs
    claims: Mapping[str, Claim]


def summary(found: Findings) -> None:
    """Show all claims in one table."""
    put(summary_table(found.claims))


def section(found: Findings, statement: str) -> None:
    """Show the rows of one claim, how many say what of it, the numbers to read beside them, and the figure it has."""
    claim = found.claims[statement]
    put(show(finding_view(claim.rows), caption=count_line(claim.rows)))
    if len(claim.beside):
        put(show(claim.beside, caption="To read beside it"))
    if claim.xlabel and len(claim.rows):
        put(claim_intervals(claim.rows, lines=claim.lines, xlabel=claim.xlabel))


def costs(found: Findings) -> None:
    """Show what each model saves, and what it keeps of the large one's words."""
    put(show(cost_view(fidelity_cost(_as_the_paper(found.runs))), digits=2))


def first_experiments(found: Findings) -> None:
    """Show the paper's first experiments beside what it expects."""
    put(show(first_table(found.runs), digits=2))


def held(experiments: Collection[str] | None = None) -> Findings:
    """Return what the published runs on real data, or the named ones, say; set the style of the page's figures."""
    page_style()
    runs = published(experiments)
    return Findings(runs, claims_of(_as_the_paper(runs)))


def claims_of(runs: Runs) -> dict[str, Claim]:
    """Return what runs say of each claim, by its statement."""
    margins = load_margins()
    words, error = (margins[measures_of(dimension)[0]].margin for dimension in ("alignment", "calibration"))
    paper, accuracy = paper_table("jaccard_range").iloc[0], paper_table("models").set_index("model")["nli_accuracy"]
    of = functools.partial(_claim, runs)
    return {
        "alignment is low": of(
            "low_alignment",
            f"{paper['low']} to {paper['high']}",
            lines={f"the paper's cut, {PAPER_THRESHOLD}": (PAPER_THRESHOLD,)},
            xlabel="mean Jaccard with the large model",
        ),
        "a model below 0.7 is no drop-in replacement": of("rule_on_itself", f"{PAPER_THRESHOLD}, without a reason"),
        "compressed models look at other words": of(
            "different_words",
            "no anchors",
            lines={"the same words, by our margin": (1 - words,), "chance and ceiling": (0, 1)},
            xlabel="0: chance, 1: the explainer with itself",
        ),
        "compression changes calibration": of(
            "calibration_changes",
            "not held",
            lines={"the margin": (-error, error)},  # overconfidence has the same
            xlabel="difference from the large model",
        ),
        "the small model is better calibrated": of("better_calibrated", "BERT-Tiny; not held"),
        "distillation keeps calibration better": of("distillation", "Distil-BERT; not held"),
        "accuracy and trust are uncoupled": of(
            "uncoupled", f"{accuracy['Distil-BERT']} against {accuracy['BERT-base']} %"
        ),
        "the boundary changes the number": of("boundary", "not asked"),
        "most disagreement is compression's": of(
            "mostly_compression",
            "one training seed",
            lines={"nothing": (0,)},
            xlabel="disagreement left for compression",
        ),
        "training can keep more of the words": of(
            "keeping_trust", "left open", lines={"no gain": (0,)}, xlabel="gain in mean Jaccard with the teacher"
        ),
    }


def _claim(runs: Runs, name: str, paper: str, **figure) -> Claim:
    """Return a claim from the two functions of this name: its rows, and the numbers beside them."""
    return Claim(paper, getattr(claims, name)(runs), getattr(reasons, name)(runs), **figure)


def _as_the_paper(runs: Runs) -> list[Results]:
    return [run for run in runs if run.experiment.k == PAPER_K]


def fidelity_cost(runs: Runs) -> pd.DataFrame:
    """What every model saves, and how much of the large model's words it keeps: no claim, and so no verdict.

    bytes, time: on disk, and for one text, as a share of the large model's; by the experiment's first method and seed.
    """
    rows, (words,) = [], measures_of("alignment")
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
            found |= {end: row[f"{words}_{end}"] for end in ("low", "high")}
            rows.append(found | {"estimate": row[words], "verdict": row["verdict"]})
    columns = ["data", "model", "bytes", "time", "accuracy", "estimate", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def first_table(runs: Runs) -> pd.DataFrame:
    """Return the paper's first experiments beside the range that it expects, as a table for a page."""
    asked = pd.concat([first_alignment(run).assign(data=run.experiment.name) for run in runs])
    asked = asked[asked["as_asked"]]
    columns = {"data": asked["data"], "Jaccard": asked["jaccard"], "95%": interval_text(asked["low"], asked["high"])}
    columns["expected"] = asked["place"].where(asked["settled"], "open")
    return pd.DataFrame(columns | {name: asked[name] for name in ("chance", "ceiling", "examples")})


def cost_view(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `fidelity_cost` as a table for a page, the smallest models first."""
    found = found.sort_values(["data", "bytes"], kind="stable")
    columns = {name: found[name] for name in ("data", "model", "bytes", "time")}
    columns |= {"accuracy change": found["accuracy"], "words": found["estimate"]}
    return pd.DataFrame(columns | {"95%": interval_text(found["low"], found["high"]), "verdict": found["verdict"]})


def summary_table(found: Mapping[str, Claim]) -> pd.DataFrame:
    """Return one row a claim: the verdict, by how many rows; our estimates in short; what the paper has; the data.

    found: claims by their statements.
    """
    rows = []
    for statement, claim in found.items():
        said, of = verdict_on(claim.rows), claim.rows
        counted = f" ({(of['verdict'] == said).sum()} of {len(of)})" if said in (SUPPORTS, CONTRADICTS) else ""
        row = {"claim": statement, "verdict": said + counted, "ours": _span(of), "widest 95%": _widest(of)}
        rows.append(row | {"paper": claim.paper, "data": _runs(of["data"].unique())})
    return pd.DataFrame(rows)


def count_line(found: pd.DataFrame) -> str:
    """Return how many rows of a claim say what of it."""
    counts = "; ".join(f"{verdict}: {(found['verdict'] == verdict).sum()}" for verdict in (SUPPORTS, CONTRADICTS, OPEN))
    return f"{counts}; of {len(found)} rows" if len(found) else "Nothing is published that could say."


def _runs(names: Sequence[str]) -> str:
    """Name the runs, or count them where their names would fill a column; the rows of the claim name them all."""
    return (", ".join(names) or "none") if len(names) < 3 else f"{len(names)} runs"


def _span(found: pd.DataFrame) -> str:
    ends = found["estimate"].agg(["min", "max"]).to_frame().T
    return interval_text(ends["min"], ends["max"]).fillna("none").iloc[0]


def _widest(found: pd.DataFrame) -> str:
    half = ((found["high"] - found["low"]) / 2).max()
    return "" if pd.isna(half) else f"±{half:.3f}"


def verdict_on(found: pd.DataFrame) -> str:
    """Return what all rows together say of a claim: "mixed" where some support and some contradict it."""
    said = set(found["verdict"]) - {OPEN}
    return said.pop() if len(said) == 1 else ("mixed" if said else OPEN)


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

    rows: of a function of `claims`. lines: values to compare with, by their names.
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
