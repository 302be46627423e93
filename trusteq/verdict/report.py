"""Reports: an audit as JSON, as one self-contained page and as a section of a model card; a calibration as a page."""

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from trusteq import statistics
from trusteq.alignment.overlap import place_among
from trusteq.calibration.intervals import null_bands, scores_beside
from trusteq.calibration.proper_scores import SCORES
from trusteq.escapes import markdown
from trusteq.estimates import proportion
from trusteq.pages.figures import (
    OUTCOME_COLOURS,
    alignment_curve,
    confidence_histogram,
    entitled,
    handover_curve,
    inline,
    margin_intervals,
    reliability_diagram,
)
from trusteq.store import to_json, write_text
from trusteq.verdict.agreement import agreement_table, slice_table
from trusteq.verdict.beside import Group, groups
from trusteq.verdict.comparison import SIDES, Comparison, Side, is_no_evidence
from trusteq.verdict.handover import RISKS, handover
from trusteq.verdict.handover import handover_curve as handover_points
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED
from trusteq.verdict.predictions import Predictions, reliability_with_bars, stacked, suspicious_order
from trusteq.verdict.retraining import ANSWERS, NO_WORSE, WORSE, Retraining, retraining
from trusteq.verdict.seeds import FEWEST_SEEDS
from trusteq.verdict.sequential import Stopped
from trusteq.verdict.shown import (
    VERDICTS,
    agreement_shown,
    anchors_shown,
    bracketed,
    dimension_table,
    handover_table,
    number,
    paper_sentence,
    range_text,
    retraining_table,
    score_table,
    short_names,
    shown_scores,
    sizes_shown,
    slices_shown,
    speed_sentence,
    watch_shown,
)
from trusteq.verdict.watch import Watched, watched

TEMPLATE = Path(__file__).with_name("report.html")
TWINS = {NO_WORSE: "No worse", WORSE: "Worse", UNDECIDED: "Undecided"}
QUESTIONS = {
    "interchangeable": "Interchangeable: is every measure within its margin?",
    "retraining": "No worse than training the large model again?",
    "handover": "With hand-over: on which share of inputs may it answer alone?",
}
ASKED = ("flips", 0.01)  # the risk of a hand-over that answers in one line
MEANINGS = {
    EQUIVALENT: "In every measure the 95% interval of the difference lies within its margin.",
    DIFFERENT: "In at least one measure the interval lies outside its margin, corrected for asking several.",
    UNDECIDED: "No measure is shown to lie outside its margin, and at least one is not shown to lie within.",
}
_NEUTRAL = "#4a5568"  # of an answer that is neither yes nor no
_INDEPENDENT = "Examples are taken as independent; where they come in groups, intervals are too narrow."


@dataclass(frozen=True, eq=False)
class Audit:
    """The answers about a pair of models and all they rest on.

    comparison: its verdict, its dimensions, the scores, the paper's own rule. twins: beside the large model trained
    again, or None. handover: on which share of inputs the compressed model may answer alone (see `handover`), or None
    without a dev split; curve: what each threshold brings there. agreement: how their predictions agree. slices: their
    accuracy by part of the data, or None. anchors: what the alignment stands between (see `anchor_table`), or None.
    bands: what a perfectly calibrated model would score. reliability: of `reliability_with_bars`. Both say in `model`:
    "large" or "compressed". notes: what the reader should know before trusting it; made_of: those among them that say
    what was dropped, cut or guessed. beside: examples on which the two look at different words, by kind. watch: how
    much they go by words that must not decide, or None. speed: of `costs.speed_of`, which differs from run to run and
    is in no report unless asked for.
    """

    comparison: Comparison
    twins: Retraining | None
    handover: pd.DataFrame | None
    curve: pd.DataFrame | None
    agreement: pd.DataFrame
    slices: pd.DataFrame | None
    anchors: pd.DataFrame | None
    bands: pd.DataFrame
    reliability: pd.DataFrame
    notes: tuple[str, ...]
    facts: dict
    made_of: tuple[str, ...] = ()
    beside: tuple[Group, ...] = ()
    watch: Watched | None = None
    speed: Mapping[str, Mapping] | None = None

    @property
    def verdict(self) -> str:
        """Whether the two are interchangeable: "equivalent", "not-equivalent" or "undecided"."""
        return self.comparison.verdict

    @property
    def retraining(self) -> str | None:
        """Whether it is no worse than training again: "no-worse", "worse" or "undecided"; None without a twin."""
        return None if self.twins is None else self.twins.answer

    @property
    def asked(self) -> pd.Series | None:
        """The row of `handover` at the risk that answers in one line, ASKED; None without a dev split."""
        return None if self.handover is None else self.handover.set_index(["risk", "level"]).loc[ASKED]

    @property
    def dimensions(self) -> pd.DataFrame:
        """One row per measure: see `Comparison.dimensions`."""
        return self.comparison.dimensions

    def to_json(self) -> str:
        """Return the answers, the tables behind them, the margins with reasons and notes; null for no number."""
        found = self.comparison
        values = {
            "verdict": self.verdict,
            "retraining": self.retraining,
            "models": dict(zip(SIDES, found.names, strict=True)),
            "labels": list(found.a.predictions.labels),
            "dimensions": _records(self.dimensions),
            "beside_retraining": None if self.twins is None else _records(self.twins.table),
            "handover": None if self.handover is None else _records(self.handover),
            "agreement": _records(self.agreement),
            "slices": None if self.slices is None else _records(self.slices),
            "anchors": None if self.anchors is None else _records(self.anchors),
            "paper_rule": {name: _plain(value) for name, value in found.paper.items()},
            "scores": _records(found.scores),
            "null_bands": _records(self.bands),
            "reliability": _records(self.reliability),
            "margins": {name: margin.model_dump() for name, margin in found.margins.items()},
            "notes": list(self.notes),
            "beside": _beside_values(self.beside),
            "watch": None if self.watch is None else _watch_values(self.watch),
            "facts": self.facts | {"trusteq": importlib.metadata.version("trusteq")},
            "alignment": None if found.alignment is None else _alignment_values(found),
        }
        return to_json(values)

    def to_html(self, *, speed: bool = False) -> str:
        """Return the audit as one page that asks for no other file and prints well.

        speed: whether it says how fast the models were, so that no two runs make the same page.
        """
        found, (large, compressed) = self.comparison, short_names(*self.comparison.names)
        titles = {name: margin.title for name, margin in found.margins.items()}

        def curve():
            ax = alignment_curve(found.curve, plt.subplots(figsize=(6, 3.4))[1], label="the two models")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))

        def margins():
            entitled(margin_intervals(found.dimensions, titles), outcome_line(found.dimensions))

        def risks():
            entitled(handover_curve(self.curve, chosen=self.handover), alone_line(self.asked))

        return _page(
            f"May {compressed} replace {large}?",
            audit=self,
            answers=answer_table(self),
            colours=OUTCOME_COLOURS,
            undecided=_records(self.dimensions[self.dimensions["outcome"] == UNDECIDED]),
            scope=_scope(self),
            dimensions=dimension_table(found),
            beside_retraining=None if self.twins is None else retraining_table(self.twins, found.margins),
            handover=None if self.handover is None else handover_table(self.handover),
            risks=None if self.curve is None else inline(risks),
            agreement=agreement_shown(self.agreement),
            slices=None if self.slices is None else slices_shown(self.slices),
            anchors=None if self.anchors is None else anchors_shown(self.anchors),
            watch=None if self.watch is None or not self.watch.n else watch_shown(self.watch.table),
            sizes=sizes_shown(self.facts["sizes"]) if any(self.facts.get("sizes", {}).values()) else None,
            speed=speed_sentence(self.speed) if speed and self.speed else None,
            sides=(large, compressed),
            units=self.facts.get("units", "words"),
            margins=inline(margins),
            paper=paper_sentence(found.paper),
            curve=None if found.alignment is None else inline(curve),
            reliability=inline(lambda: _diagrams(self)),
            scores=score_table(found.scores, self.bands),
            without=[score.title for score in SCORES.values() if not score.has_interval],
            reasons=_reasons(self),
            notes=[note for note in self.notes if note not in self.made_of],
        )

    def to_model_card(self) -> str:
        """Return the section that the audit adds to the compressed model's card, in Markdown."""
        lines = [
            f"## Trust equivalence with {markdown(short_names(*self.comparison.names)[0])}",
            "",
            _markdown(answer_table(self).drop(columns="colour")),
            "",
            _scope(self),
            "",
            _markdown(dimension_table(self.comparison)),
            "",
            *([] if self.twins is None else [_markdown(retraining_table(self.twins, self.comparison.margins)), ""]),
            *([] if self.handover is None else [_markdown(handover_table(self.handover)), ""]),
            *([] if self.watch is None else [_watch_card(self.watch), ""]),
            *([_markdown(sizes_shown(sizes)), ""] if any((sizes := self.facts.get("sizes", {})).values()) else []),
            f"The paper's rule (arXiv 2508.13533): {paper_sentence(self.comparison.paper)}",
            "",
            *(f"- {markdown(note)}" for note in self.notes),
            "",
            f"Audited by trusteq {importlib.metadata.version('trusteq')}, seed {self.facts['seed']}.",
        ]
        return "\n".join(lines) + "\n"


def audited(
    found: Comparison,
    *,
    twins: Sequence[Comparison] = (),
    untrained: Comparison | None = None,
    dev: tuple[Predictions, Predictions] | None = None,
    slices: np.ndarray | None = None,
    looks: Stopped | None = None,
    notes: Sequence[str] = (),
    examples: pd.DataFrame | None = None,
    watch: Sequence[str] = (),
) -> Audit:
    """Return the audit of a pair whose predictions match and which may be explained.

    twins, untrained: the large model beside itself trained again, and beside its encoder under a random head. dev: both
    models' predictions of other examples. slices: the part of the data that each example is in, shape (n,). looks: at
    which the alignment was decided, where it was asked block by block. notes: what to say about the examples.
    examples: those explained, of which some are shown. watch: words that must not decide (`watch.checked_words`).
    """
    pair = found.a.predictions, found.b.predictions
    sides = dict(zip(SIDES, pair, strict=True))
    tables = {name: reliability_with_bars(model) for name, model in sides.items()}
    bands = {name: null_bands(model.probabilities, seed=found.seed) for name, model in sides.items()}
    accuracy = found.differences["accuracy"]
    facts = {"examples": accuracy.n, "independent": accuracy.units, "seed": found.seed, "draws": statistics.DRAWS}
    said = [*notes, *_file_notes(found, twins, dev)]
    by_words = watched(found, watch) if watch and found.alignment is not None else None
    notes = said + _notes(found, twins, untrained, dev) + ([looks.note] if looks else [])
    notes += by_words.notes if by_words else []
    return Audit(
        found,
        retraining(found, twins, untrained) if twins else None,
        handover(dev, pair) if dev else None,
        handover_points(*dev) if dev else None,
        agreement_table(*pair, dev=dev, seed=found.seed),
        None if slices is None else slice_table(*pair, slices, seed=found.seed),
        None if found.alignment is None else anchor_table(found, twins, untrained),
        stacked(bands),
        stacked(tables),
        tuple(notes),
        facts,
        tuple(said),
        () if examples is None or found.alignment is None else groups(found, examples, more=_alone(by_words)),
        by_words,
    )


def _alone(found: Watched | None) -> dict[str, list[str]]:
    """Return the examples on which the compressed model alone goes by listed words, by title."""
    return {} if found is None else {"listed words, compressed alone": found.alone["id"].tolist()}


def anchor_table(found: Comparison, twins: Sequence[Comparison], untrained: Comparison | None) -> pd.DataFrame:
    """Return what an alignment stands between: anchor, jaccard, place (0 chance, 1 ceiling), low, high, note.

    Blind chance; the large model's encoder under a random head, which knows no task; the compressed model, and the same
    among examples of which both predict the same class; the large model trained again, the mean of the twins; and the
    ceiling.
    """
    of, pairs = found.alignment, {"knows no task": [untrained] if untrained else []}
    pairs |= {"the compressed model": [found], "the large model trained again": list(twins)}
    rows = [("blind chance", of.chance, 0.0, math.nan, math.nan, "")]
    for name, several in pairs.items():
        if not several:
            rows.append((name, *[math.nan] * 4, "not measured"))
            continue
        mean = float(np.mean([pair.alignment.mean for pair in several]))
        low, high = several[0].alignment.place.interval if len(several) == 1 else (math.nan, math.nan)
        place = float(np.mean([pair.alignment.normalised for pair in several]))
        rows.append((name, mean, place, low, high, f"mean of {len(several)}" if len(several) > 1 else ""))
        if several == [found]:
            rows.append(_where_both_say_the_same(found))
    rows.append(("ceiling: the explainer with itself", of.ceiling, 1.0, math.nan, math.nan, ""))
    return pd.DataFrame(rows, columns=["anchor", "jaccard", "place", "low", "high", "note"])


def _where_both_say_the_same(found: Comparison) -> tuple:
    large, other = (side.predictions for side in (found.a, found.b))
    ids = large.ids[large.predicted == other.predicted]
    among = found.alignment.scale.index.isin(ids)
    place = place_among(found.alignment, ids, clusters=found.a.explained.clusters)
    ends = (end if math.isfinite(end) else math.nan for end in place.interval)
    mean = float(found.alignment.scale.loc[among, "jaccard"].mean())
    return ("  where both predict the same", mean, place.value, *ends, f"{among.sum()} of {len(among)} examples")


def _file_notes(found: Comparison, twins: Sequence[Comparison], dev: tuple | None) -> list[str]:
    """Return what was found out where predictions come from, with the name of each side."""
    sides = [(side.name, side.predictions) for side in (found.a, found.b, *(twin.b for twin in twins))]
    sides += [(f"dev of {side.name}", of) for side, of in zip((found.a, found.b), dev or (), strict=False)]
    return list(dict.fromkeys(f"{name}: {note}" for name, of in sides for note in of.notes))


def _notes(found: Comparison, twins: Sequence, untrained: Comparison | None, dev: tuple | None) -> list[str]:
    orders = [(side.name, suspicious_order(side.predictions)) for side in (found.a, found.b)]
    notes = [f"{name}: {note}" for name, note in orders if note]
    notes += [note for side in (found.a, found.b, *(twin.b for twin in twins)) if (note := _weightless(side))]
    if found.alignment is None:
        notes.append("Alignment was not measured, no word being explained: the answers rest on the other measures.")
    elif not np.isfinite(found.alignment.normalised):
        notes.append(
            "The explainer agrees with itself no more than chance would: on these texts it cannot tell models apart. "
            "Give longer texts, or more samples."
        )
    elif untrained is not None and is_no_evidence(found, untrained):
        notes.append(
            "The agreement with the large model is no evidence of the same reasons: its own encoder under a random "
            "head, which knows no task, agrees as much, to within a quarter of the margin."
        )
    notes += _same_notes(found, twins, dev)
    if not twins:
        notes.append(_cost_of_a_twin(found))
    if dev is None:
        notes.append("Hand-over was not asked: give examples of a dev split (--dev) to choose a threshold on.")
    elif _is_other_source(dev[0], found.a.predictions):
        notes.append(
            "The large model is right more often, or less often, on dev than here: dev is no sample of the same "
            "source, and what the hand-over promises is about dev's."
        )
    return notes + [_INDEPENDENT] * (found.a.predictions.clusters is None)


def _same_notes(found: Comparison, twins: Sequence[Comparison], dev: tuple | None) -> list[str]:
    """Return what is to be said where one model, or one set of examples, seems to be given as two."""
    first = found.a.predictions.probabilities
    others = (found.b, *(twin.b for twin in twins))
    same = [side.name for side in others if np.array_equal(side.predictions.probabilities, first)]
    notes = [
        f"{name} says what {found.a.name} says of every example; if it is that model, give another." for name in same
    ]
    if dev and np.array_equal(dev[0].probabilities, first):
        notes.append("dev are the examples of the audit: what the hand-over promises is too good; choose on others.")
    return notes


def _weightless(side: Side) -> str:
    of = side.explained and side.explained.first
    if not of or not of.n_weightless:
        return ""
    return (
        f"{side.name}: {of.n_weightless} of {len(of.label)} explained examples have no word that weighs anything, and "
        "so no top words."
    )


def _cost_of_a_twin(found: Comparison) -> str:
    passes = f" and {len(found.a.predictions.gold):,} predictions"
    if found.alignment is not None:
        passes += f" and {len(found.alignment.table) * found.a.explained.n_samples:,} passes of explaining"
    return (
        "Whether it is no worse than training again was not asked: give the large model trained with another seed "
        f"(--retrained). It costs one more training of it{passes}."
    )


def _is_other_source(dev: Predictions, test: Predictions) -> bool:
    (low, high), (other_low, other_high) = (proportion(of.right, clusters=of.clusters).interval for of in (dev, test))
    return high < other_low or other_high < low


def write_audit(audit: Audit, folder: Path) -> None:
    """Write audit.json, audit.html and model-card.md into a folder, made if need be, each in one step.

    The page says how fast the models were, where that was measured, and timing.json has it: all else is reproducible.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pages = {"audit.json": audit.to_json(), "model-card.md": audit.to_model_card()}
    pages |= {"audit.html": audit.to_html(speed=True)} | ({"timing.json": to_json(audit.speed)} if audit.speed else {})
    for name, text in pages.items():
        write_text(text, folder / name)


def write_calibration(predictions: Predictions, folder: Path, *, name: str, seed: int = 0) -> pd.DataFrame:
    """Write calibration.json and calibration.html about saved predictions; return their scores (`scores_beside`).

    `.attrs["notes"]` of the scores says what should be known before they are relied on.
    """
    scores = scores_beside(predictions.probabilities, predictions.gold, seed=seed)
    reliability, swapped = reliability_with_bars(predictions), suspicious_order(predictions)
    found = [*predictions.notes, *([swapped] if swapped else [])]
    notes = [*found, _INDEPENDENT]
    values = {"examples": len(predictions.gold), "labels": list(predictions.labels), "seed": seed, "notes": notes}
    values |= {"scores": _records(scores), "reliability": _records(reliability)}
    figure, table = inline(lambda: _diagram_and_histogram(reliability)), shown_scores(scores)
    page = _page(f"Calibration of {name}", audit=None, reliability=figure, scores=table, notes=notes)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(to_json(values), folder / "calibration.json")
    write_text(page, folder / "calibration.html")
    scores.attrs["notes"] = found
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


def _beside_values(found: Sequence[Group]) -> list[dict]:
    """Return which examples are shown side by side, without their texts."""
    names = ("id", "gold", "jaccard", "chance")
    shown = [[{name: getattr(example, name) for name in names} for example in of.examples] for of in found]
    return [{"kind": of.title, "n": of.n, "shown": rows} for of, rows in zip(found, shown, strict=True)]


def _watch_values(found: Watched) -> dict:
    counts = {"listed": len(found.listed), "absent": list(found.absent), "examples": found.n}
    alone = {"compressed_alone": _records(found.alone), "n_large_alone": found.large_alone}
    return counts | {"table": _records(found.table)} | alone


def _watch_card(found: Watched) -> str:
    if not found.n:
        return "None of the words to watch is in an explained example."
    alone = f"{len(found.alone)} of {found.n} examples; the large model alone on {found.large_alone}."
    return f"{_markdown(watch_shown(found.table))}\n\nThe compressed model alone uses listed words on {alone}"


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
        reliability_diagram(table, ax, color=colour, title=f"{name}\n{bins_line(table)}")
        ax.label_outer()


def _diagram_and_histogram(reliability: pd.DataFrame) -> None:
    axes = plt.subplots(1, 2, figsize=(8, 3.9))[1]
    reliability_diagram(reliability, axes[0], title=bins_line(reliability))
    confidence_histogram(reliability, axes[1], title=sure_line(reliability))
    axes[1].legend()


def outcome_line(dimensions: pd.DataFrame) -> str:
    """Return how many measures have each outcome, as the title of their figure."""
    counts = (f"{(dimensions['outcome'] == outcome).sum()} {text.lower()}" for outcome, text in VERDICTS.items())
    return f"Of {len(dimensions)} measures, {', '.join(counts)}"


def alone_line(asked: pd.Series) -> str:
    """Return on which share the compressed model may answer alone (a row of `handover`), as a title."""
    at = f"at a risk of {asked.name[1]:.0%} of {RISKS[asked.name[0]].title}"
    return f"Alone on {asked['share']:.0%} of inputs {at}" if asked["share"] else f"Alone on no inputs {at}"


def bins_line(reliability: pd.DataFrame) -> str:
    """Return in how many bins of confidence the accuracy is not what luck would give a calibrated model, as a title."""
    filled = reliability[reliability["count"] > 0]
    beyond = (filled["accuracy"] < filled["low"]) | (filled["accuracy"] > filled["high"])
    return f"{beyond.sum()} of {len(filled)} bins beyond luck"


def sure_line(reliability: pd.DataFrame) -> str:
    """Return by how much the model is more, or less, sure than right, as a title."""
    gap = -(reliability["share"] * reliability["gap"]).sum()
    return f"{abs(gap):.3f} {'more' if gap > 0 else 'less'} sure than right"


def _scope(audit: Audit) -> str:
    measured = ", ".join(dict.fromkeys(audit.dimensions["dimension"]))
    examples, independent = audit.facts["examples"], audit.facts["independent"]
    grouped = f" in {independent:,} groups that belong together" if independent < examples else ""
    classes = len(audit.comparison.a.predictions.labels)
    return f"Measured: {measured}; on {examples:,} examples{grouped}, with {classes} classes."


def _reasons(audit: Audit) -> pd.DataFrame:
    taken = set(audit.dimensions["measure"]) | (set() if audit.twins is None else set(audit.twins.table["measure"]))
    margins = audit.comparison.margins
    rows = [(of.title, f"{of.margin:g}", of.reason) for name, of in margins.items() if name in taken]
    return pd.DataFrame(rows, columns=["measure", "margin", "reason"])


def answer_table(audit: Audit) -> pd.DataFrame:
    """Return the three questions with their answers as text for people, and the colour of each answer."""
    rows = [(QUESTIONS["interchangeable"], VERDICTS[audit.verdict], MEANINGS[audit.verdict], audit.verdict)]
    if audit.twins is not None:
        than = "these twins" if audit.twins.n_twins < FEWEST_SEEDS else f"training again ({audit.twins.n_twins} seeds)"
        said = {answer: outcome for outcome, answer in ANSWERS.items()}[audit.retraining]
        rows.append((QUESTIONS["retraining"], TWINS[audit.retraining], f"Beside {than}.", said))
    if audit.handover is not None:
        row = audit.asked
        text = f"{row['share']:.0%} of inputs" if row["share"] else "On none"
        where = f"At a risk of {ASKED[1]:.0%} of {RISKS[ASKED[0]].title}, for inputs like dev's; other risks are below."
        rows.append((QUESTIONS["handover"], text, where, None))
    table = pd.DataFrame(rows, columns=["question", "answer", "meaning", "colour"])
    return table.assign(colour=table["colour"].map(OUTCOME_COLOURS).fillna(_NEUTRAL))


def _markdown(table: pd.DataFrame) -> str:
    head, *rows = [list(table.columns), *table.to_numpy().tolist()]
    lines = [f"| {' | '.join(markdown(str(value)) for value in row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]])


def _page(title: str, **values) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    words = {"number": number, "range_text": range_text, "bracketed": bracketed}
    return template.render(title=title, version=importlib.metadata.version("trusteq"), **words, **values)
