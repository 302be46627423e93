"""The page on whether intervals can be trusted, from the committed benchmark."""

import json

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from trusteq.pages.figures import GREY
from trusteq.pages.show import page_style, put, show
from trusteq.project import root


def promised(level: float = 0.95) -> None:
    """Draw the coverage of the intervals that promise `level`, and show it in numbers with their width."""
    page_style()
    coverage = table("coverage")
    found = coverage[coverage["holds"].notna()]
    wide = found.pivot(index="what", columns="n", values=["coverage", "half_width"])
    wide = wide.reindex(found["what"].unique()).reset_index()
    names = {"coverage": "coverage, n = {}", "half_width": "half width, {}"}
    wide.columns = [names.get(kind, kind).format(n) for kind, n in wide.columns]
    percent = {column: "{:.1%}" for column in wide if column.startswith("coverage")}
    caption = f"In the band: {found['holds'].sum()} of {len(found)} coverages"
    put(coverage_intervals(found, level=level), show(wide, formats=percent, caption=caption))


def reported(level: float = 0.95) -> None:
    """Draw the coverage of the intervals that promise nothing, and show it in numbers."""
    page_style()
    coverage = table("coverage")
    found = coverage[coverage["holds"].isna()]
    compact = found[["what", "n", "simulations", "truth", "coverage", "below", "above"]]
    shares = dict.fromkeys(["coverage", "below", "above"], "{:.1%}")
    spans = found.groupby("what", sort=False)["coverage"].agg(["min", "max"]).reset_index(names="what")
    put(coverage_intervals(found, level=level), show(compact, formats=shares | {"n": "{:,}", "simulations": "{:,}"}))
    spans = spans.set_axis(["what", "lowest coverage", "highest"], axis=1)
    put(show(spans, formats=dict.fromkeys(["lowest coverage", "highest"], "{:.1%}"), caption="Over all n"))


def decisions() -> None:
    """Show how often what counts as the same is called so, and what does not."""
    found = table("decisions")
    low, high = (found[end].map("{:.1%}".format) for end in ("low", "high"))
    asked = found["holds"].dropna()
    shown = found.assign(**{"95%": low + " to " + high})[["what", "n", "share", "95%", "wanted"]]
    caption = f"As wanted: {asked.sum()} of {len(asked)} rows"
    put(show(shown, formats={"share": "{:.1%}", "n": "{:,}"}, caption=caption))


def origin() -> None:
    """Show on which machine and in which time the benchmark was made."""
    made = benchmark()
    put(f"Made on {made['machine']} in {made['seconds'] / 60:.0f} minutes, seed {made['seed']}.")


def benchmark() -> dict:
    """Return what benchmarks/intervals.py last wrote: coverage, decisions (rows), machine, versions, seconds."""
    return json.loads((root() / "benchmarks" / "intervals.json").read_text(encoding="utf-8"))


def table(part: str) -> pd.DataFrame:
    """Return "coverage" or "decisions" of the committed benchmark, in the columns of the function of that name.

    Measures are called by their titles, such as "Brier score".
    """
    rows = pd.DataFrame(benchmark()[part]).astype({"holds": "boolean"})
    return rows.assign(what=rows["what"].replace(_TITLES, regex=True))


_TITLES = {r"\bece\b": "ECE", r"\bmce\b": "MCE", r"\bnll\b": "NLL", "^brier": "Brier score", "^jaccard": "mean Jaccard"}


def coverage_intervals(coverage: pd.DataFrame, ax=None, *, level: float = 0.95):
    """Draw the coverage of each kind of interval with its own 95% interval, one colour for each n.

    coverage: of `table`, for one n or several. Where the rows say which coverage is wanted, a band shows
    it. level: the line of what the intervals promise.
    """
    kinds, sizes = list(coverage["what"].unique()), list(coverage["n"].unique())
    ax = ax or plt.figure(figsize=(7, 1.4 + 0.38 * len(kinds))).gca()
    if coverage["wanted_low"].notna().any():
        ax.axvspan(
            coverage["wanted_low"].min(), coverage["wanted_high"].max(), color="#1b7f4d", alpha=0.12, linewidth=0
        )
    ax.axvline(level, color=GREY, linestyle="--", linewidth=1)
    for place, (n, color) in enumerate(zip(sizes, sns.color_palette("crest", len(sizes)), strict=True)):
        rows = coverage[coverage["n"] == n]
        y = rows["what"].map(kinds.index) + 0.22 * (place - (len(sizes) - 1) / 2)
        ax.hlines(y, rows["low"], rows["high"], color=color, linewidth=1.6)
        ax.plot(rows["coverage"], y, "o", color=color, markersize=4.5, label=f"n = {n:,}")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set(xlabel="share of intervals that hold the truth", ylim=(len(kinds) - 0.5, -0.5))
    ax.set_xlim(min(0.9, coverage["low"].min() - 0.02), 1)
    ax.grid(axis="y", visible=False)
    ax.figure.legend(loc="outside upper center", ncols=len(sizes))
    return ax
