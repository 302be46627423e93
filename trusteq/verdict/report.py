"""Reports: an audit as JSON, as one self-contained page and as a section of a model card; a calibration as a page."""

import importlib.metadata
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trusteq import statistics
from trusteq.calibration.null_bands import null_bands, scores_beside
from trusteq.pages.figures import (
    OUTCOME_COLOURS,
    STYLE,
    alignment_curve,
    confidence_histogram,
    margin_intervals,
    reliability_diagram,
)
from trusteq.store import to_json, write_text
from trusteq.verdict.comparison import Comparison
from trusteq.verdict.predictions import Predictions, reliability_with_bars, stacked, suspicious_order
from trusteq.verdict.text import (
    MEANINGS,
    SIDES,
    VERDICTS,
    bracketed,
    dimension_table,
    measure_titles,
    paper_sentence,
    range_text,
    score_table,
    short_names,
    shown_scores,
)

TEMPLATE = Path(__file__).with_name("report.html")
# Of an SVG: it would name the time, the program and two addresses.
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Section:
    """One part of a page. alt: what the figure shows, in words. prose: whether the table's cells are text."""

    heading: str
    texts: tuple[str, ...] = ()
    table: pd.DataFrame | None = None
    figure: str = ""
    alt: str = ""
    prose: bool = False


@dataclass(frozen=True, eq=False)
class Audit:
    """The verdict on a pair of models and all it rests on.

    comparison: its verdict, its dimensions, the scores, the paper's own rule. bands: what a perfectly calibrated model
    would score. reliability: of `reliability_with_bars`. Both say in `model`: "large" or "compressed". notes: what the
    reader should know before trusting it.
    """

    comparison: Comparison
    bands: pd.DataFrame
    reliability: pd.DataFrame
    notes: tuple[str, ...]
    facts: dict

    @property
    def verdict(self) -> str:
        """Over the measures that were taken: "equivalent", "not-equivalent" or "undecided"."""
        return self.comparison.verdict

    @property
    def dimensions(self) -> pd.DataFrame:
        """One row per measure: see `Comparison.dimensions`."""
        return self.comparison.dimensions

    def to_json(self) -> str:
        """Return the audit as JSON: verdict, dimensions, the paper's rule, scores, margins with reasons, notes."""
        return audit_json(self)

    def to_html(self) -> str:
        """Return the audit as one self-contained page that prints well."""
        return audit_html(self)

    def to_model_card(self) -> str:
        """Return the section that the audit adds to the compressed model's card, in Markdown."""
        return model_card(self)


def audited(found: Comparison) -> Audit:
    """Return the audit of a pair whose predictions match and which may be explained."""
    sides = {name: side.predictions for name, side in zip(SIDES, (found.a, found.b), strict=True)}
    tables = {name: reliability_with_bars(model) for name, model in sides.items()}
    bands = {name: null_bands(model.probabilities, seed=found.seed) for name, model in sides.items()}
    facts = {"examples": len(found.a.predictions.gold), "resampled": found.n, "seed": found.seed}
    facts["draws"] = statistics.DRAWS
    return Audit(found, stacked(bands), stacked(tables), tuple(_notes(found)), facts)


def _notes(found: Comparison) -> list[str]:
    orders = [(side.name, suspicious_order(side.predictions)) for side in (found.a, found.b)]
    notes = [f"{name}: {note}" for name, note in orders if note]
    if found.alignment is None:
        notes.append("Alignment was not measured: predictions say nothing about the words behind them.")
    elif not np.isfinite(found.alignment.normalised):
        notes.append(
            "The explainer agrees with itself no more than chance would: on these texts it cannot tell models apart. "
            "Give longer texts, or more samples."
        )
    if found.a.predictions.clusters is None:
        notes.append("Examples are taken as independent; where they come in groups, intervals are too narrow.")
    return notes


def write_audit(audit: Audit, folder: Path) -> None:
    """Write audit.json, audit.html and model-card.md into a folder, made if need be, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"audit.json": audit.to_json(), "audit.html": audit.to_html(), "model-card.md": audit.to_model_card()}
    for name, text in pages.items():
        write_text(text, folder / name)


def write_calibration(predictions: Predictions, folder: Path, *, name: str, seed: int = 0) -> pd.DataFrame:
    """Write calibration.json and calibration.html about saved predictions; return their scores (`scores_beside`)."""
    scores = scores_beside(predictions.probabilities, predictions.gold, seed=seed)
    reliability = reliability_with_bars(predictions)
    notes = [note for note in (suspicious_order(predictions),) if note]
    notes.append("Examples are taken as independent; where they come in groups, intervals are too narrow.")
    values = {"examples": len(predictions.gold), "labels": list(predictions.labels), "seed": seed, "notes": notes}
    values |= {"scores": _records(scores), "reliability": _records(reliability)}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(to_json(values), folder / "calibration.json")
    write_text(calibration_html(name, scores, reliability, tuple(notes)), folder / "calibration.html")
    return scores


def audit_json(audit: Audit) -> str:
    """Return the audit as JSON; numbers that do not exist are null."""
    found = audit.comparison
    values = {
        "verdict": audit.verdict,
        "models": dict(zip(SIDES, found.names, strict=True)),
        "labels": list(found.a.predictions.labels),
        "dimensions": _records(audit.dimensions),
        "paper_rule": {name: _plain(value) for name, value in found.paper.items()},
        "scores": _records(found.scores),
        "null_bands": _records(audit.bands),
        "reliability": _records(audit.reliability),
        "margins": {name: margin.model_dump() for name, margin in found.margins.items()},
        "notes": list(audit.notes),
        "facts": audit.facts | {"trusteq": importlib.metadata.version("trusteq")},
        "alignment": None,
    }
    if found.alignment is not None:
        numbers = ("mean", "low", "high", "chance", "ceiling", "normalised", "normalised_low", "normalised_high")
        values["alignment"] = {name: _plain(getattr(found.alignment, name)) for name in numbers} | {
            "method": found.a.explained.method,
            "n_samples": found.a.explained.n_samples,
            "examples": len(found.alignment.table),
            "undefined": found.alignment.undefined,
            "curve": _records(found.curve),
        }
    return to_json(values)


def _plain(value):
    """Return a value as JSON has it: numbers that are missing or infinite become None."""
    if hasattr(value, "item"):
        value = value.item()
    return None if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)) else value


def _records(table: pd.DataFrame) -> list[dict]:
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def audit_html(audit: Audit) -> str:
    """Return the audit as one page that asks for no other file."""
    found = audit.comparison
    large, compressed = short_names(*found.names)
    sections = [
        Section("", (MEANINGS[audit.verdict], *_wanted(audit), _scope(audit))),
        Section(
            "Each measure against its margin",
            ("The band is equivalence. A line within it is equivalent, one outside is not, one across is undecided.",),
            dimension_table(found),
            _svg(lambda: margin_intervals(found.dimensions, measure_titles(found))),
            "Intervals of the differences in units of their margins; the numbers are in the table.",
        ),
        Section("The paper's own rule on the same data", (paper_sentence(found.paper),)),
        *([] if found.alignment is None else [_alignment_section(found)]),
        Section(
            "Calibration",
            (
                "A dot is the accuracy of a bin of confidence, the grey bar where 95% of the dots of a perfectly "
                "calibrated model would be.",
            ),
            figure=_svg(lambda: _reliability(audit)),
            alt="Reliability diagrams of both models.",
        ),
        Section(
            "All scores",
            (
                "Differences with their 95% intervals, from the same examples for both. “If calibrated” is what the "
                "score would come to, in 95% of cases, were the model's own probabilities true. MCE and smooth ECE "
                "have no interval: the bootstrap is not valid for a maximum, and too slow for the other.",
            ),
            score_table(found.scores, audit.bands),
        ),
        Section("The margins and their reasons", table=_reasons(found), prose=True),
        *([Section("Before you rely on this", audit.notes)] if audit.notes else []),
    ]
    title = f"May {compressed} replace {large}?"
    return _page(title, sections, verdict=VERDICTS[audit.verdict], colour=OUTCOME_COLOURS[audit.verdict])


def model_card(audit: Audit) -> str:
    """Return the section for the compressed model's card, in Markdown."""
    lines = [
        f"## Trust equivalence with {short_names(*audit.comparison.names)[0]}",
        "",
        f"**{VERDICTS[audit.verdict]}.** {MEANINGS[audit.verdict]} {_scope(audit)}",
        "",
        _markdown(dimension_table(audit.comparison)),
        "",
        f"The paper's rule (arXiv 2508.13533): {paper_sentence(audit.comparison.paper)}",
        "",
        *(f"- {note}" for note in audit.notes),
        "",
        f"Audited by trusteq {importlib.metadata.version('trusteq')}, seed {audit.facts['seed']}.",
    ]
    return "\n".join(lines) + "\n"


def calibration_html(name: str, scores: pd.DataFrame, reliability: pd.DataFrame, notes: tuple[str, ...]) -> str:
    """Return a page about one file of predictions.

    scores: of `scores_beside`. reliability: of `reliability_table`, with low and high of `consistency_bars`.
    """

    def draw():
        axes = plt.subplots(1, 2, figsize=(8, 3.9))[1]
        reliability_diagram(reliability, axes[0])
        confidence_histogram(reliability, axes[1])
        axes[1].legend()

    sections = [
        Section(
            "Reliability",
            (
                "Left: a dot is the accuracy of a bin of confidence, the grey bar where 95% of the dots of a perfectly "
                "calibrated model would be. Right: how sure the model is.",
            ),
            figure=_svg(draw),
            alt="Reliability diagram and histogram of the confidence.",
        ),
        Section(
            "Scores",
            (
                "Value with its 95% interval; beside it what the score would come to, on average and in 95% of cases, "
                "were the probabilities true. A value within that range is no sign of miscalibration.",
            ),
            shown_scores(scores),
        ),
        Section("Before you rely on this", notes),
    ]
    return _page(f"Calibration of {name}", sections)


def _alignment_section(found: Comparison) -> Section:
    values, explained = found.alignment, found.a.explained
    share = "cannot be measured" if not math.isfinite(values.normalised) else f"{values.normalised:.2f}"
    texts = (
        f"On {len(values.table)} examples ({explained.method}, {explained.n_samples:,} passes each) the top words of "
        f"the two models overlap with a mean Jaccard of {values.mean:.3f} ({range_text(values.low, values.high)}). Two "
        f"random sets would reach {values.chance:.3f}; each model, explained a second time, reaches "
        f"{values.ceiling:.3f} with itself. On that scale, 0 being chance and 1 the ceiling, the alignment is {share}"
        f"{bracketed(values.normalised_low, values.normalised_high)}.",
        "The figure shows the same for top sets of other sizes.",
    )

    def draw():
        alignment_curve(found.curve, plt.subplots(figsize=(6, 3.4))[1], label="the two models")

    return Section("Alignment", texts, figure=_svg(draw), alt="Mean Jaccard over the size of the top sets.")


def _reliability(audit: Audit) -> None:
    axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True)[1]
    for ax, side, name, colour in zip(axes, SIDES, short_names(*audit.comparison.names), ("C0", "C1"), strict=True):
        table = audit.reliability[audit.reliability["model"] == side]
        reliability_diagram(table, ax, color=colour, title=name)
        ax.label_outer()


def _wanted(audit: Audit) -> list[str]:
    titles = measure_titles(audit.comparison)
    return [
        f"To decide on {titles[row.measure]}: {_times(row.n, row.n_needed)} as many examples, if the difference is "
        "what it seems."
        for row in audit.dimensions[audit.dimensions["outcome"] == "undecided"].itertuples()
    ]


def _times(n: int, needed: int | None) -> str:
    if pd.isna(needed) or needed > 1000 * n:
        return "more than a thousand times"
    return f"about {needed / n:.1f} times"


def _scope(audit: Audit) -> str:
    measured = ", ".join(dict.fromkeys(audit.dimensions["dimension"]))
    examples, resampled = audit.facts["examples"], audit.facts["resampled"]
    grouped = f" in {resampled:,} groups that share their first text" if resampled < examples else ""
    classes = len(audit.comparison.a.predictions.labels)
    return f"Measured: {measured}; on {examples:,} examples{grouped}, with {classes} classes."


def _reasons(found: Comparison) -> pd.DataFrame:
    taken = set(found.dimensions["measure"])
    rows = [
        {"measure": margin.title, "margin": f"{margin.margin:g}", "reason": margin.reason}
        for name, margin in found.margins.items()
        if name in taken
    ]
    return pd.DataFrame(rows)


def _markdown(table: pd.DataFrame) -> str:
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _svg(draw: Callable) -> str:
    """Return what `draw` puts on a new figure as SVG, in the book's style; the caller's figures stay as they are."""
    open_before = set(plt.get_fignums())
    with plt.style.context(STYLE):
        draw()
        file = io.StringIO()
        plt.gcf().savefig(file, format="svg", metadata=NO_METADATA, bbox_inches="tight")
    for number in set(plt.get_fignums()) - open_before:
        plt.close(number)
    text = file.getvalue()
    return text[text.index("<svg") :]


def _page(title: str, sections: list[Section], *, verdict: str = "", colour: str = "") -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    footer = (
        f"trusteq {importlib.metadata.version('trusteq')}. Intervals are bootstrap intervals over the examples; a "
        "verdict holds for data like these and for the margins named."
    )
    return template.render(title=title, verdict=verdict, colour=colour, sections=sections, footer=footer)
