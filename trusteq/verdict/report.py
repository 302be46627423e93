"""Reports: an audit as JSON, as one self-contained page and as a section of a model card; a calibration as a page."""

import importlib.metadata
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trusteq import statistics
from trusteq.calibration.intervals import null_bands, scores_beside
from trusteq.calibration.proper_scores import SCORES
from trusteq.pages.figures import (
    OUTCOME_COLOURS,
    STYLE,
    alignment_curve,
    confidence_histogram,
    margin_intervals,
    reliability_diagram,
)
from trusteq.store import to_json, write_text
from trusteq.verdict.comparison import SIDES, Comparison
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED
from trusteq.verdict.predictions import Predictions, reliability_with_bars, stacked, suspicious_order

TEMPLATE = Path(__file__).with_name("report.html")
# Of an SVG: it would name the time, the program and two addresses.
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
VERDICTS = {EQUIVALENT: "Equivalent", DIFFERENT: "Not equivalent", UNDECIDED: "Undecided"}
MEANINGS = {
    EQUIVALENT: "In every measure the 95% interval of the difference lies within its margin.",
    DIFFERENT: "In at least one measure the 95% interval of the difference lies outside its margin.",
    UNDECIDED: "No measure is shown to lie outside its margin, and at least one is not shown to lie within.",
}
_INDEPENDENT = "Examples are taken as independent; where they come in groups, intervals are too narrow."


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
        """Return verdict, dimensions, paper's rule, scores, margins with reasons and notes; null for no number."""
        found = self.comparison
        values = {
            "verdict": self.verdict,
            "models": dict(zip(SIDES, found.names, strict=True)),
            "labels": list(found.a.predictions.labels),
            "dimensions": _records(self.dimensions),
            "paper_rule": {name: _plain(value) for name, value in found.paper.items()},
            "scores": _records(found.scores),
            "null_bands": _records(self.bands),
            "reliability": _records(self.reliability),
            "margins": {name: margin.model_dump() for name, margin in found.margins.items()},
            "notes": list(self.notes),
            "facts": self.facts | {"trusteq": importlib.metadata.version("trusteq")},
            "alignment": None if found.alignment is None else _alignment_values(found),
        }
        return to_json(values)

    def to_html(self) -> str:
        """Return the audit as one page that asks for no other file and prints well."""
        found, (large, compressed) = self.comparison, short_names(*self.comparison.names)
        titles = {name: margin.title for name, margin in found.margins.items()}

        def curve():
            alignment_curve(found.curve, plt.subplots(figsize=(6, 3.4))[1], label="the two models")

        return _page(
            f"May {compressed} replace {large}?",
            audit=self,
            outcome=VERDICTS[self.verdict],
            colour=OUTCOME_COLOURS[self.verdict],
            meaning=MEANINGS[self.verdict],
            undecided=_records(self.dimensions[self.dimensions["outcome"] == UNDECIDED]),
            scope=_scope(self),
            dimensions=dimension_table(found),
            margins=_svg(lambda: margin_intervals(found.dimensions, titles)),
            paper=paper_sentence(found.paper),
            curve="" if found.alignment is None else _svg(curve),
            reliability=_svg(lambda: _diagrams(self)),
            scores=score_table(found.scores, self.bands),
            without=[score.title for score in SCORES.values() if not score.has_interval],
            reasons=_reasons(found),
            notes=self.notes,
        )

    def to_model_card(self) -> str:
        """Return the section that the audit adds to the compressed model's card, in Markdown."""
        lines = [
            f"## Trust equivalence with {short_names(*self.comparison.names)[0]}",
            "",
            f"**{VERDICTS[self.verdict]}.** {MEANINGS[self.verdict]} {_scope(self)}",
            "",
            _markdown(dimension_table(self.comparison)),
            "",
            f"The paper's rule (arXiv 2508.13533): {paper_sentence(self.comparison.paper)}",
            "",
            *(f"- {note}" for note in self.notes),
            "",
            f"Audited by trusteq {importlib.metadata.version('trusteq')}, seed {self.facts['seed']}.",
        ]
        return "\n".join(lines) + "\n"


def audited(found: Comparison) -> Audit:
    """Return the audit of a pair whose predictions match and which may be explained."""
    sides = {name: side.predictions for name, side in zip(SIDES, (found.a, found.b), strict=True)}
    tables = {name: reliability_with_bars(model) for name, model in sides.items()}
    bands = {name: null_bands(model.probabilities, seed=found.seed) for name, model in sides.items()}
    accuracy = found.differences["accuracy"]
    facts = {"examples": accuracy.n, "resampled": accuracy.units, "seed": found.seed, "draws": statistics.DRAWS}
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
    return notes + [_INDEPENDENT] * (found.a.predictions.clusters is None)


def write_audit(audit: Audit, folder: Path) -> None:
    """Write audit.json, audit.html and model-card.md into a folder, made if need be, each in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"audit.json": audit.to_json(), "audit.html": audit.to_html(), "model-card.md": audit.to_model_card()}
    for name, text in pages.items():
        write_text(text, folder / name)


def write_calibration(predictions: Predictions, folder: Path, *, name: str, seed: int = 0) -> pd.DataFrame:
    """Write calibration.json and calibration.html about saved predictions; return their scores (`scores_beside`)."""
    scores = scores_beside(predictions.probabilities, predictions.gold, seed=seed)
    reliability, swapped = reliability_with_bars(predictions), suspicious_order(predictions)
    notes = [*([swapped] if swapped else []), _INDEPENDENT]
    values = {"examples": len(predictions.gold), "labels": list(predictions.labels), "seed": seed, "notes": notes}
    values |= {"scores": _records(scores), "reliability": _records(reliability)}
    figure, table = _svg(lambda: _diagram_and_histogram(reliability)), shown_scores(scores)
    page = _page(f"Calibration of {name}", audit=None, reliability=figure, scores=table, notes=notes)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(to_json(values), folder / "calibration.json")
    write_text(page, folder / "calibration.html")
    return scores


def _alignment_values(found: Comparison) -> dict:
    numbers = ("mean", "low", "high", "chance", "ceiling", "normalised", "normalised_low", "normalised_high")
    return {name: _plain(getattr(found.alignment, name)) for name in numbers} | {
        "method": found.a.explained.method,
        "n_samples": found.a.explained.n_samples,
        "examples": len(found.alignment.table),
        "undefined": found.alignment.undefined,
        "curve": _records(found.curve),
    }


def _plain(value):
    """Return a value as JSON has it: numbers that are missing or infinite become None."""
    if hasattr(value, "item"):
        value = value.item()
    return None if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)) else value


def _records(table: pd.DataFrame) -> list[dict]:
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def _diagrams(audit: Audit) -> None:
    axes = plt.subplots(1, 2, figsize=(8, 4), sharey=True)[1]
    for ax, side, name, colour in zip(axes, SIDES, short_names(*audit.comparison.names), ("C0", "C1"), strict=True):
        table = audit.reliability[audit.reliability["model"] == side]
        reliability_diagram(table, ax, color=colour, title=name)
        ax.label_outer()


def _diagram_and_histogram(reliability: pd.DataFrame) -> None:
    axes = plt.subplots(1, 2, figsize=(8, 3.9))[1]
    reliability_diagram(reliability, axes[0])
    confidence_histogram(reliability, axes[1])
    axes[1].legend()


def _scope(audit: Audit) -> str:
    measured = ", ".join(dict.fromkeys(audit.dimensions["dimension"]))
    examples, resampled = audit.facts["examples"], audit.facts["resampled"]
    grouped = f" in {resampled:,} groups that share their first text" if resampled < examples else ""
    classes = len(audit.comparison.a.predictions.labels)
    return f"Measured: {measured}; on {examples:,} examples{grouped}, with {classes} classes."


def _reasons(found: Comparison) -> pd.DataFrame:
    taken = set(found.dimensions["measure"])
    rows = [(of.title, f"{of.margin:g}", of.reason) for name, of in found.margins.items() if name in taken]
    return pd.DataFrame(rows, columns=["measure", "margin", "reason"])


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


def _page(title: str, **values) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    words = {"number": number, "range_text": range_text, "bracketed": bracketed}
    return template.render(title=title, version=importlib.metadata.version("trusteq"), **words, **values)


def dimension_table(found: Comparison) -> pd.DataFrame:
    """Return the measures of a comparison as text for people."""
    rows = [
        {
            "measure": found.margins[row.measure].title,
            "large": number(row.large),
            "compressed": number(row.compressed),
            "difference": number(row.difference, sign=True),
            "95% interval": range_text(row.low, row.high),
            "margin": f"{'−' if found.margins[row.measure].one_sided else '±'}{row.margin:g}",
            "outcome": VERDICTS[row.outcome].lower(),
        }
        for row in found.dimensions.itertuples()
    ]
    return pd.DataFrame(rows)


def score_table(scores: pd.DataFrame, bands: pd.DataFrame) -> pd.DataFrame:
    """Return every score of both models as text for people, each beside its null band."""
    bands = bands.set_index(["model", "score"])
    rows = []
    for row in scores.itertuples():
        values = {"score": SCORES[row.score].title}
        for side in SIDES:
            band = bands.loc[(side, row.score)]
            values[side] = number(getattr(row, side))
            values[f"{side}, if calibrated"] = range_text(band["low"], band["high"])
        values |= {"difference": number(row.difference, sign=True), "95% interval": range_text(row.low, row.high)}
        rows.append(values)
    return pd.DataFrame(rows)


def shown_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of one model as text for people: score, value, interval, if calibrated."""
    rows = []
    for row in scores.itertuples():
        chance = number(row.expected, digits=4) + bracketed(row.null_low, row.null_high, digits=4)
        own = number(row.value, digits=4), range_text(row.low, row.high, digits=4)
        rows.append((SCORES[row.score].title, *own, chance))
    return pd.DataFrame(rows, columns=["score", "value", "95% interval", "if calibrated"])


def paper_sentence(rule: Mapping) -> str:
    """Return what the paper's rule (`margins.paper_rule`) says about a pair."""
    differs = "differs" if rule["calibration_differs"] else "does not differ"
    ece = f"the ECE {differs} at 95% ({rule['ece_difference']:+.4f})"
    if rule["jaccard"] is None:
        return f"{ece[0].upper()}{ece[1:]}; its other half, the overlap of words, was not measured."
    aligned = "reaches" if rule["aligned"] else "is below"
    answer = "It lets the model pass." if rule["drop_in"] else "By that rule it is no drop-in replacement."
    return f"The mean Jaccard of the top words is {rule['jaccard']:.3f}, which {aligned} 0.7, and {ece}. {answer}"


def short_names(large: str, compressed: str) -> tuple[str, str]:
    """Return what of two paths tells them apart: the parts from the first to the last that differ."""
    parts = [PurePath(name).parts for name in (large, compressed)]
    for end in (0, -1):
        while min(map(len, parts)) > 1 and parts[0][end] == parts[1][end]:
            parts = [of[1:] if end == 0 else of[:-1] for of in parts]
    return str(PurePath(*parts[0])), str(PurePath(*parts[1]))


def number(value: float, *, digits: int = 3, sign: bool = False) -> str:
    """Return a number as text, a dash if there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def range_text(low: float, high: float, *, digits: int = 3) -> str:
    """Return an interval as text, a dash if there is none."""
    return f"{number(low, digits=digits)} to {number(high, digits=digits)}" if math.isfinite(low) else "–"


def bracketed(low: float, high: float, *, digits: int = 3) -> str:
    """Return an interval in brackets, to stand after a number; nothing if there is none."""
    return f" ({range_text(low, high, digits=digits)})" if math.isfinite(low) else ""
