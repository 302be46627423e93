"""The page of findings: what published results say of the paper's claims, and what stands beside them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.pages import beyond, figures
from trusteq.pages.claims import CLAIMS, CONTRADICTS, DIFFERS, ON_SCALE, OPEN, SUPPORTS, VERDICT_COLOURS, Claim
from trusteq.pages.figures import GREY, WIDTH, entitled, headed, legend_above, named_rows, point
from trusteq.pages.first import first_alignment
from trusteq.pages.show import interval_text, page_style, put, show, titles
from trusteq.pages.status import run_facts
from trusteq.pages.trainings import Runs, about, evidence
from trusteq.study.publish import reference_runs
from trusteq.verdict.margins import measures_of
from trusteq.verdict.seeds import is_about_way

VERSION = 2
PAPER_K = 10  # words that the paper compares
NOTHING = "nothing is published that could say"
_COUNTED = {SUPPORTS: "supported", CONTRADICTS: "contradicted", DIFFERS: "by data", OPEN: "open"}


@dataclass(frozen=True)
class Findings:
    """Published runs, and what those of them that compare as many words as the paper say of each claim."""

    runs: Runs
    claims: Mapping[str, Claim]


def held(experiments: Collection[str] | None = None) -> Findings:
    """Return what the published runs on real data, or the named ones, say; set the style of the page's figures."""
    page_style()
    runs = [run for run in reference_runs() if experiments is None or run.experiment.name in experiments]
    found = evidence(_as_the_paper(runs))
    return Findings(runs, {statement: claim(found) for statement, claim in CLAIMS.items()})


def _as_the_paper(runs: Runs) -> Runs:
    """Return the runs of encoders that compare as many words as the paper: of others, see the page beyond."""
    return [run for run in runs if run.experiment.k == PAPER_K and run.experiment.name not in beyond.OTHERS.values()]


def at_a_glance(found: Findings) -> None:
    """Show all claims in one picture, and five sentences to remember."""
    said, figure = sentences(found.claims), forest(found.claims)
    figure.set_label(said[0].replace("**", ""))
    put(figure, "\n".join(f"1. {sentence}" for sentence in said))


def sentences(claims: Mapping[str, Claim]) -> list[str]:
    """Return the page in five sentences, of which every number and every verdict is looked up."""
    words, parts = claims["compressed models look at other words"], claims["most disagreement is compression's"]
    again, keeping = words.beside.select_dtypes("number").stack(), claims["training can keep more of the words"].beside
    gains = [f"{of.gain:+.3f} under {of.method} between {of.between} (p = {of.p:.3f})" for of in keeping.itertuples()]
    nearer = claims["distillation keeps calibration better"]
    return [
        f"**Of the paper's {_counted(claims, papers=True)} Of {_counted(claims, papers=False)}",
        f"**Words.** From chance, 0, to the explainer with itself, 1, smaller models come to {_numbers(words)}; the "
        f"large one, trained again and compressed by nobody, to {_span(again)}.",
        f"**Compression or training.** What a smaller model adds to the disagreement, less what training again adds: "
        f"{_numbers(parts)}; of the claim that most is compression's: {parts.verdict}.",
        f"**Calibration.** A distilled model's error is further from the large one's than that of a model cut as short "
        f"by {_numbers(nearer, digits=3)}.",
        f"**Keeping the words.** A student that is trained to keep them gains, in Jaccard over all trainings of all "
        f"data, {', '.join(gains) or NOTHING}; no p is corrected for their number.",
    ]


def _counted(claims: Mapping[str, Claim], *, papers: bool) -> str:
    """Return in half a sentence how the claims of the paper, or those asked here, stand."""
    verdicts = [claim.verdict for claim in claims.values() if claim.is_papers == papers]
    supported, contradicted, differ, unsaid = (verdicts.count(of) for of in (SUPPORTS, CONTRADICTS, DIFFERS, OPEN))
    whose = f"{len(verdicts)} claims**, the published runs" if papers else f"{len(verdicts)} that are asked here, they"
    return (
        f"{whose} support {supported} on every data set that has numbers, and contradict {contradicted}; {differ} "
        f"differ by data, and of {unsaid} the evidence cannot say."
    )


def _numbers(claim: Claim, *, digits: int = 2) -> str:
    return ", ".join(f"{_text(row, digits)} on {row.data}" for row in claim.by_data.itertuples()) or NOTHING


def _span(values: pd.Series) -> str:
    return f"{values.min():.2f} to {values.max():.2f}" if len(values) else NOTHING


def summary(found: Findings) -> None:
    """Show the runs that the claims are held against, and all claims in one table."""
    rows = [{"data": run.experiment.name} | run_facts(run) for run in _as_the_paper(found.runs)]
    runs = pd.DataFrame(rows).fillna({"other seeds of": "–", "training examples at most": "all"})
    put(runs, summary_table(found.claims))


def summary_table(claims: Mapping[str, Claim]) -> pd.DataFrame:
    """Return one row a claim: whose it is, its verdict, the number of each data set, and what the paper has.

    Numbers have their 95% intervals. A star: of these checkpoints.
    """
    rows = []
    for statement, claim in claims.items():
        numbers = {row.data: _text(row) + "*" * (not is_about_way(row.trainings)) for row in claim.by_data.itertuples()}
        whose = "the paper" if claim.is_papers else "asked here"
        row = {"claim": statement, "of": whose, "verdict": claim.verdict}
        rows.append(row | numbers | {"the paper's": claim.paper})
    table = pd.DataFrame(rows).fillna("–")
    return table[[*(name for name in table if name != "the paper's"), "the paper's"]]


def _text(row, digits: int = 3) -> str:
    return f"{row.estimate:z.{digits}f} ({row.low:z.{digits}f} to {row.high:z.{digits}f})"


def section(found: Findings, statement: str) -> None:
    """Show one claim: its rows in a picture, what they say of each data set, and what is read beside it."""
    claim = found.claims[statement]
    if claim.by_data.empty:
        put(f"{NOTHING.capitalize()}.")
        return
    of = claim.by_data
    columns = {
        "data": of["data"],
        "number of": of["what"],
        "trainings": of["trainings"],
        "about": of["trainings"].map(about),
    }
    columns |= {"estimate": of["estimate"], "95%": interval_text(of["low"], of["high"], digits=3)}
    put(claim_rows(claim), show(pd.DataFrame(columns | {"n": of["n"], "verdict": of["verdict"]})))
    if len(claim.beside):
        put(show(claim.beside, caption="To read beside it"))


def costs(found: Findings) -> None:
    """Draw how much of the large model's words every model keeps, beside what it saves, by data the smallest first.

    bytes, time: on disk, and for one text, as a share of the large model's; by the experiment's first method and seed.
    """
    parts, (words,) = [], measures_of("alignment")
    tasks = [(run, task) for run in _as_the_paper(found.runs) for task in run.experiment.tasks]
    for run, task in tasks:
        if run.path("compression", task, "models").is_file():
            table = run.compression(task, "models").drop_duplicates("model").set_index("model")
            latency = run.compression(task, "footprints").set_index("model")["latency_1_ms"]
            saved = {
                "bytes": table["weights_bytes"] / table["weights_bytes"].iloc[0],
                "time": latency / latency.iloc[0],
            }
            columns = {"data": run.experiment.name, "title": table.index.map(titles(run)), "method": table["method"]}
            columns |= {"estimate": table[words], "low": table[f"{words}_low"], "high": table[f"{words}_high"]}
            parts.append(pd.DataFrame(saved | columns, index=table.index)[1:])
    table = pd.concat(parts).sort_values(["data", "bytes"], kind="stable")
    ax = _intervals(table.assign(model=table["data"] + ": " + table["title"]), xlabel=ON_SCALE)
    saved = [f"{row.bytes:.0%}, {row.time:.0%}" for row in table.itertuples()]
    for y, text in enumerate(["bytes, time", *saved], start=-1):
        ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    shares = table[["data", "title", "bytes", "time", "estimate"]].rename(
        columns={"title": "model", "estimate": "words"}
    )
    put(entitled(ax, costs_title(table)), show(shares, digits=2, formats=dict.fromkeys(("bytes", "time"), "{:.0%}")))


def other_kinds() -> None:
    """Show of each kind of input and family of models that is published whether what holds for pairs holds there."""
    kinds = beyond.held()
    drawn = [beyond.trend_figure(beyond.trends(kinds))] if kinds else []
    put(*drawn, *beyond.not_published(kinds))


def first_experiments(found: Findings) -> None:
    """Show the paper's first experiments beside the range that it expects."""
    asked = pd.concat([first_alignment(run).assign(data=run.experiment.name) for run in found.runs])
    asked = asked[asked["as_asked"]]
    columns = {"data": asked["data"], "Jaccard": asked["jaccard"], "95%": interval_text(asked["low"], asked["high"])}
    columns["expected"] = asked["place"].where(asked["settled"], "open")
    put(show(pd.DataFrame(columns | {name: asked[name] for name in ("chance", "ceiling", "examples")}), digits=2))


def claim_rows(claim: Claim, ax=None):
    """Draw every row of a claim with its 95% interval, each data set's after the number that decides.

    Behind a name stands over how many trainings, where these are several.
    """
    rows = claim.rows.assign(method=claim.rows["method"].where(claim.rows["method"] != "", "single"))
    table = pd.concat([claim.by_data.assign(what="all that counts", method="decides"), rows])
    table = table.sort_values("data", kind="stable", ignore_index=True)
    several = (" (×" + table["trainings"].astype(str) + ")").where(table["trainings"] > 1, "")
    table["model"] = table["data"] + ": " + table["what"] + several
    ax = _intervals(table, ax, cut={f"the line, {claim.line:g}": claim.line}, xlabel=claim.xlabel)
    return entitled(ax, claim_title(claim))


def _intervals(table: pd.DataFrame, ax=None, *, cut: Mapping[str, float] | None = None, xlabel: str):
    ends = pd.Series([*table["low"], *table["high"], *(cut or {}).values()])
    room, names = 0.04 * (ends.max() - ends.min()), dict(zip(table["model"], table["model"], strict=True))
    how = {"columns": ("estimate", "low", "high"), "marks": (), "cut": cut, "xlabel": xlabel}
    return figures.intervals(table, names, ax, **how, xlim=(ends.min() - room, ends.max() + room))


def placed(claim: Claim) -> pd.DataFrame:
    """Return a claim's numbers by data on a scale of its own: data, verdict, trainings, place, low, high, text.

    The scale has 0 on the claim's line, above it what supports the claim, and 1 as far off as its widest interval ends.
    """
    of = claim.by_data
    ends = (of[["low", "high"]] - claim.line).abs().to_numpy()
    scale = (ends.max() if ends.size else 1.0) * (1 if claim.above else -1)
    found = of[["data", "verdict", "trainings"]].assign(place=(of["estimate"] - claim.line) / scale)
    both = (of[["low", "high"]] - claim.line) / scale
    found = found.assign(low=both.min(axis=1), high=both.max(axis=1))
    return found.assign(text=[_text(row) for row in of.itertuples()])


def forest(claims: Mapping[str, Claim]):
    """Draw each claim in a panel: its number by data with its 95% interval, right of the line where it supports it.

    Each claim has its own scale (see `placed`). Filled: enough trainings to speak of further trainings. Returns the
    figure.
    """
    rows = [max(1, len(claim.by_data)) for claim in claims.values()]
    shape = {"figsize": (WIDTH, 1.2 + 0.3 * len(rows) + 0.17 * sum(rows)), "sharex": True, "squeeze": False}
    figure, axes = plt.subplots(len(rows), 1, height_ratios=rows, **shape)
    for ax, (statement, claim) in zip(axes.flat, claims.items(), strict=True):
        _claim_panel(ax, placed(claim))
        whose = "" if claim.is_papers else "asked here: "
        ax.set_title(f"{whose}{statement}: {claim.verdict}", loc="left", fontsize="small", pad=2)
    axes[-1, 0].set(xlabel="contradicts it  ←  the claim's line  →  supports it", xlim=(-1.05, 1.05))
    for name, fill in (("about further trainings", "0.25"), ("about these checkpoints", "white")):
        axes[0, 0].plot([], [], "o", color="0.25", markerfacecolor=fill, markersize=5, label=name)
    legend_above([axes[0, 0]])
    return headed(figure, verdicts_title(claims))


def _claim_panel(ax, found: pd.DataFrame) -> None:
    ax.axvline(0, color=GREY, linewidth=1)
    if found.empty:
        ax.set_yticks([])
        return
    for y, row in enumerate(found.itertuples()):
        how = {"color": VERDICT_COLOURS[row.verdict], "filled": is_about_way(row.trainings)}
        point(ax, y, row.place, row.low, row.high, **how)
        ax.text(1.08, y, row.text, va="center", fontsize=8)
    named_rows(ax, list(found["data"]), xlabel="").set_xticks([])


def verdicts_title(claims: Mapping[str, Claim]) -> str:
    """Return how many of the paper's claims have which verdict."""
    of = [claim.verdict for claim in claims.values() if claim.is_papers]
    parts = (f"{of.count(verdict)} {name}" for verdict, name in _COUNTED.items() if verdict in of)
    return f"The paper's {len(of)} claims: {', '.join(parts)}"


def claim_title(claim: Claim) -> str:
    """Return what a claim's number says of it, by data."""
    said = claim.by_data.groupby("verdict", sort=False)["data"].agg(", ".join)
    return "; ".join(
        f"{verdict} it: {data}" if verdict != OPEN else f"{verdict}: {data}" for verdict, data in said.items()
    )


def costs_title(table: pd.DataFrame) -> str:
    """Return which model keeps the fewest of the large one's words, and which the most; of title, data, estimate."""
    ends = (table.iloc[at] for at in (table["estimate"].argmin(), table["estimate"].argmax()))
    return "Words kept: from " + " to ".join(f"{row['estimate']:.2f} ({row['title']}, {row['data']})" for row in ends)
