"""The page on whether intervals and decisions can be trusted, from the committed benchmarks."""

import json
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from trusteq.pages.figures import GREY
from trusteq.pages.show import page_style, put, show
from trusteq.project import root

PROMISED, MOST_FALSE = 0.025, 0.035  # of samples one end of an interval misses; what 1,000 samples may show of that
_TITLES = {
    "overconfidence": "confidence − accuracy",
    r"\bece\b": "ECE",
    r"\bnll\b": "NLL",
    "^brier": "Brier score",
    "^jaccard": "mean Jaccard",
}
_MEASURES = {"accuracy": "accuracy", "ece": "ECE", "overconfidence": "confidence − accuracy", "all": "verdict"}
_ESTIMATES = {"crossed": "seeds and examples", "between_seeds": "seeds alone", "one seed": "examples of one seed"}
_ASKED = {"coverage": "is_asked", "times": "has_textbook"}  # what is asked of a row, and whether
_ASIDE = {"equivalent": -0.15, "not_equivalent": 0.15}
_PERCENT = "{:.1%}"


def promised(level: float = 0.95) -> None:
    """Show the coverage of the intervals that promise `level`."""
    found = coverages()
    _covered(found[found["holds"].notna()], level)


def reported(level: float = 0.95) -> None:
    """Show the coverage of the intervals that promise nothing."""
    found = coverages()
    _covered(found[found["holds"].isna()], level)


def _covered(found: pd.DataFrame, level: float) -> None:
    page_style()
    wide = found.pivot(index="what", columns="n", values=["coverage", "half_width"])
    wide = wide.reindex(found["what"].unique()).reset_index()
    names = {"coverage": "coverage, n = {}", "half_width": "half width, n = {}"}
    wide.columns = [names.get(kind, kind).format(f"{n:,}" if n else "") for kind, n in wide.columns]
    percent = {column: _PERCENT for column in wide if column.startswith("coverage")}
    put(coverage_intervals(found, level=level), show(wide, formats=percent, caption=_wanted(found)))


def _wanted(rows: pd.DataFrame) -> str:
    asked = rows["holds"].dropna()
    return f"As wanted: {asked.sum()} of {len(asked)} rows" if len(asked) else ""


def at_margins() -> None:
    """Draw how often decisions at the margins are false, and show the worst of each world."""
    page_style()
    found = decisions("at the margin")
    columns = {
        "called equivalent": ("false_equivalent", "max"),
        "called not equivalent": ("false_not_equivalent", "max"),
        "lowest coverage": ("asked_coverage", "min"),
        "most times the textbook's width": ("asked_times", "max"),
        "one end of the textbook's misses": ("textbook_missed", "max"),
    }
    put(false_rates(found), _worst(found, "what", columns, {"most times the textbook's width": "{:.2f}"}))


def power() -> None:
    """Show which share of pairs is decided, by the number of examples."""
    found = decisions("power").replace({"measure": _MEASURES})
    shares = found.pivot(index=["world", "n"], columns="measure", values="decided")[list(_MEASURES.values())]
    shares = shares.reindex(found[["world", "n"]].drop_duplicates()).reset_index().rename_axis(columns=None)
    put(show(shares, formats=dict.fromkeys(_MEASURES.values(), "{:.0%}") | {"n": "{:,}"}, caption="Share decided"))


def seeds() -> None:
    """Show how often claims about a way of compressing are false where a drop is exactly the margin."""
    columns = {
        "called equivalent": ("false_equivalent", "max"),
        "called not equivalent": ("false_not_equivalent", "max"),
        "lowest coverage": ("coverage", "min"),
        "worlds as wanted": ("holds", "mean"),
    }
    rows = pd.DataFrame(benchmark("seeds")["worlds"]).replace({"estimate": _ESTIMATES})
    put(_worst(rows.rename(columns={"estimate": "uncertainty of"}), "uncertainty of", columns))


def sequential() -> None:
    """Show how often audits that stop as soon as they can decide are right, and after how many examples."""
    rows = pd.DataFrame(benchmark("sequential")["rows"])
    columns = ["world", "budget", "equivalent", "not-equivalent", "decided_at_once", "coverage", "median_examples"]
    formats = dict.fromkeys(columns[2:6], _PERCENT) | {"median_examples": "{:,.0f}", "budget": "{:,}"}
    put(show(rows.loc[~rows["clusters"], columns], formats=formats, caption=_wanted(rows)))


def retraining() -> None:
    """Show how often another training of the large model is called worse than its twins, simulated and as published."""
    made = benchmark("retraining")
    rows = pd.DataFrame(made["rows"])
    formats = dict.fromkeys(["worse", "undecided", "no-worse", "worst measure"], _PERCENT) | {"n": "{:,}"}
    columns = ["twins", "spread", "clusters", "n", "no-worse", "undecided", "worse", "worst measure"]
    put(show(rows[columns], formats=formats | {"spread": "{:g}"}, caption=_wanted(rows)))
    said = pd.DataFrame(made["published"]).groupby(["data", "method"], sort=False)["answer"].value_counts()
    put(show(said.unstack(fill_value=0).reset_index(), caption="Published trainings, each order of three"))


def handover() -> None:
    """Show how often thresholds of the hand-over keep their level, and what they leave to the small model."""
    rows = pd.DataFrame(benchmark("handover")["rows"])
    columns = {"lowest share kept": ("within", "min"), "no threshold": ("never", "mean")}
    columns |= {"share answered": ("share", "mean"), "were all known": ("best", "mean")}
    put(_worst(rows, ["risk", "n"], columns, {"n": "{:,}"}))


def _worst(rows: pd.DataFrame, by, columns: dict, formats: dict | None = None):
    found = rows.groupby(by, sort=False).agg(**columns).reset_index().rename(columns={"what": "world"})
    caption = _wanted(rows) if "holds" in rows else ""
    return show(found, formats=dict.fromkeys(columns, _PERCENT) | (formats or {}), caption=caption)


def origin() -> None:
    """Show on which machine and in which time the benchmarks were made."""
    made = {
        name: benchmark(name) for name in ("intervals", "decisions", "seeds", "retraining", "sequential", "handover")
    }
    minutes = ", ".join(f"{name} in {of['seconds'] / 60:.1f} minutes" for name, of in made.items())
    put(f"Made on {' and '.join(sorted({of['machine'] for of in made.values()}))}: {minutes}.")


def benchmark(name: str) -> dict:
    """Return what benchmarks/<name>.py last wrote: rows, machine, versions, seconds."""
    return json.loads((root() / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))


def coverages() -> pd.DataFrame:
    """Return the rows of benchmarks/intervals.json, with measures called by their titles, such as "Brier score"."""
    rows = pd.DataFrame(benchmark("intervals")["rows"]).astype({"holds": "boolean"})
    return rows.assign(what=rows["what"].replace(_TITLES, regex=True))


def decisions(kind: str) -> pd.DataFrame:
    """Return the rows of benchmarks/decisions.json "at the margin" or of "power".

    what: the world, with its clusters and classes. asked_coverage, asked_times: missing where nothing is asked of them.
    """
    rows = pd.DataFrame(benchmark("decisions")["rows"])
    rows = rows[rows["kind"] == kind].reset_index(drop=True)
    numbers = ["false_equivalent", "false_not_equivalent", "coverage", "times", "textbook_missed"]
    rows = rows.astype(dict.fromkeys(numbers, float))
    what = rows["world"] + np.where(rows["clusters"] > 0, ", in clusters", "")
    what += np.where(rows["classes"] == 20, ", 20 classes", "")
    coverage, times = (rows[of].where(rows[asked].eq(True)) for of, asked in _ASKED.items())
    return rows.assign(what=what, asked_coverage=coverage, asked_times=times)


def coverage_intervals(coverage: pd.DataFrame, ax=None, *, level: float = 0.95):
    """Draw the coverage of each kind of interval with its own 95% interval, one colour for each n.

    coverage: of `coverages`, for one n or several. Where the rows say which coverage is wanted, a band shows it. level:
    the line of what the intervals promise.
    """
    kinds, sizes = list(coverage["what"].unique()), list(coverage["n"].unique())
    ax = ax or plt.figure(figsize=(7, 1.4 + 0.38 * len(kinds))).gca()
    if coverage["wanted"].notna().any():
        ax.axvspan(float(coverage["wanted"].min()), 1, color="#1b7f4d", alpha=0.12, linewidth=0)
    ax.axvline(level, color=GREY, linestyle="--", linewidth=1)
    for place, (n, color) in enumerate(zip(sizes, sns.color_palette("crest", len(sizes)), strict=True)):
        rows = coverage[coverage["n"] == n]
        y = rows["what"].map(kinds.index) + 0.22 * (place - (len(sizes) - 1) / 2)
        ax.hlines(y, rows["low"], rows["high"], color=color, linewidth=1.6)
        ax.plot(rows["coverage"], y, "o", color=color, markersize=4.5, label=f"n = {n:,}")
    _rows_of(ax, kinds)
    ax.set_title(coverage_line(coverage, level=level), loc="left")
    ax.set(xlabel="share of intervals that hold the truth", xlim=(min(0.9, coverage["low"].min() - 0.02), 1))
    ax.figure.legend(loc="outside upper center", ncols=len(sizes))
    return ax


def coverage_line(coverage: pd.DataFrame, *, level: float = 0.95) -> str:
    """Return how many intervals hold the truth as often as wanted; where nothing is wanted, from where to where."""
    asked, shares = coverage["holds"].dropna(), coverage["coverage"]
    if len(asked):
        return f"{asked.sum()} of {len(asked)} intervals hold the truth as often as asked"
    beyond = (shares < level).sum()
    return f"Coverage from {shares.min():.0%} to {shares.max():.0%}; {beyond} of {len(shares)} below {level:.0%}"


def false_rates(found: pd.DataFrame, ax=None):
    """Draw how often decisions are false, one row a world, one dot a measure and number of examples."""
    kinds = list(found["what"].unique())
    ax = ax or plt.figure(figsize=(7, 1.4 + 0.38 * len(kinds))).gca()
    for (column, aside), color in zip(_ASIDE.items(), sns.color_palette("dark", 2), strict=True):
        y = found["what"].map(kinds.index) + aside
        label = f"false “{column.replace('_', ' ')}”"
        ax.plot(found[f"false_{column}"], y, "o", color=color, markersize=4.5, alpha=0.5, label=label)
    for share, style in ((PROMISED, "--"), (MOST_FALSE, ":")):
        ax.axvline(share, color=GREY, linestyle=style, linewidth=1, label=f"{share:.1%}")
    _rows_of(ax, kinds)
    ax.set_title(false_line(found), loc="left")
    ax.set(xlabel="share of samples", xlim=(-0.001, None))
    ax.figure.legend(loc="outside upper center", ncols=4)
    return ax


def false_line(found: pd.DataFrame) -> str:
    """Return how many rates of false decisions lie above what is promised, and the highest of them."""
    rates = found[[f"false_{column}" for column in _ASIDE]]
    beyond = int((rates > PROMISED).sum().sum())
    return f"{beyond} of {rates.size} rates above {PROMISED:.1%}, the highest {rates.max(axis=None):.1%}"


def _rows_of(ax, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
