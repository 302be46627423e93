"""The page "Beyond sentence pairs": the same questions, asked of other inputs and other families of models."""

import functools
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from trusteq.estimates import Estimate
from trusteq.modality import Modality
from trusteq.modality import of as of_columns
from trusteq.pages.claims import CONTRADICTS, OPEN, SUPPORTS, VERDICT_COLOURS, said
from trusteq.pages.comparison import agreed_examples
from trusteq.pages.figures import (
    GREY,
    WIDTH,
    entitled,
    headed,
    legend_above,
    method_colours,
    named_rows,
    point,
    rows_figure,
)
from trusteq.pages.replace import NOT_ASKED
from trusteq.pages.replace import answers as answers_of
from trusteq.pages.replace import held as audited
from trusteq.pages.show import interval_text, open_with, page_style, put, show, titles
from trusteq.pages.trainings import (
    Evidence,
    Measured,
    Pair,
    evidence,
    magnitude,
    mean_of,
    measured,
    once,
    over_trainings,
    twins_measured,
)
from trusteq.study.publish import names, open_published
from trusteq.study.results import Results
from trusteq.study.sides import known_truths
from trusteq.verdict.margins import DIFFERENT, EQUIVALENT, UNDECIDED, load_margins, measures_of
from trusteq.verdict.report import Audit
from trusteq.verdict.retraining import NO_WORSE, WORSE
from trusteq.verdict.seeds import is_about_way

VERSION = 3
# Kind of input and family of models: a folder of data/published.
AS_THE_PAPER = {"text pairs, encoder": "snli-minilm", "single texts, encoder": "sst2-minilm"}
OTHERS = {
    "single texts, decoder": "smollm2-sst2",
    "single texts, label words": "smollm2-words",
    "images, transformer": "digits",
    "sound, transformer": "spoken",
}
UNTRAINED = "random-head"
_ON_SCALE = "0: two random sets, 1: the explainer with itself"


@dataclass(frozen=True)
class Kind:
    """What is read, and by which family of models: one published run, on its first task.

    name: of the kind, such as "images". found: its pairs of models.
    """

    name: str
    run: Results
    task: str
    found: Evidence

    @functools.cached_property
    def audits(self) -> Mapping[str, Audit]:
        """Those of the smaller models, by title; the findings, which have the trends alone, do without."""
        return audited(self.run.folder)

    @functools.cached_property
    def trends(self) -> list[dict]:
        """What is asked of it, one row a trend; see `trends`."""
        return list(_trends(self))

    @property
    def methods(self) -> list[str]:
        """The methods that explain all models."""
        return list(dict.fromkeys(pair.method for pair in self.found.pairs))

    def pairs(self, method: str) -> list[Pair]:
        """Return the large model with each smaller one, explained by a method."""
        return [pair for pair in self.found.pairs if pair.method == method]

    def twins(self, method: str) -> list[Pair]:
        """Return the large model with itself trained again."""
        return [pair for pair in self.found.twins if pair.method == method]

    def control(self, method: str, name: str) -> pd.DataFrame:
        """Return the large model's alignment with one of its controls, one row a training seed."""
        rows = self.run.comparison(self.task, "controls")
        return rows[(rows["model_b"] == name) & (rows["method"] == method)]


def held(published: Mapping[str, str] | None = None) -> list[Kind]:
    """Return what is published of each kind of input, by name, or of all; set the style of the page's figures."""
    page_style()
    known, asked = names(), published or AS_THE_PAPER | OTHERS
    return [_kind(name, open_published(of)) for name, of in asked.items() if of in known]


def _kind(name: str, run: Results) -> Kind:
    return Kind(name, run, next(iter(run.experiment.tasks)), evidence([run]))


def opening(kinds: list[Kind], published: Mapping[str, str] | None = None) -> None:
    """Say in two sentences what carries over, draw it kind by kind, and say which of those asked are not published."""
    if not kinds:
        return put("**Nothing of this is published here.**")
    found = trends(kinds)
    open_with(answer(found), trend_figure(found), *not_published(kinds, published))


def not_published(kinds: list[Kind], published: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence that names the kinds asked for that nothing is published of, or none."""
    missing = [name for name in published or AS_THE_PAPER | OTHERS if name not in {kind.name for kind in kinds}]
    return [f"Not published yet: {'; '.join(missing)}."] * bool(missing)


def anchors(kinds: list[Kind]) -> pd.DataFrame:
    """Return where alignments lie from chance, 0, to ceiling, 1: one row a kind, method and what is compared.

    Columns: kind, method, what, value, low, high, trainings, model. what: "knows no task", the large model's encoder
    under a random head; "compressed", one row a model that was trained; "trained again". Intervals are over examples,
    and over trainings too where there are three or more (see `trainings.over_trainings`).
    """
    rows = [row for kind in kinds for method in kind.methods for row in _anchors(kind, method)]
    return pd.DataFrame(rows, columns=["kind", "method", "what", "model", "value", "low", "high", "trainings"])


def _anchors(kind: Kind, method: str) -> Iterator[tuple]:
    untrained = kind.control(method, UNTRAINED)
    ends = untrained[["normalised", "normalised_low", "normalised_high"]].mean()
    yield kind.name, method, "knows no task", "its random head", *ends, len(untrained)
    for model, found in _by_model(measured(kind.pairs(method), lambda pair: pair.place)).items():
        yield kind.name, method, "compressed", model, *_numbers(found)
    if again := measured(kind.twins(method), lambda pair: pair.place):
        value = mean_of([place for _, place in again])
        trainings = len({of for pair, _ in again for of in (pair.training, pair.other_training)})
        yield kind.name, method, "trained again", "trained again", value.value, *value.interval, trainings


def _by_model(found: list[Measured]) -> dict[str, list[Measured]]:
    return _grouped(found, lambda pair: pair.model)


def _grouped(found: list[Measured], by: Callable[[Pair], Hashable]) -> dict:
    groups: dict = {}
    for one in found:
        groups.setdefault(by(one[0]), []).append(one)
    return groups


def _numbers(found: list[Measured]) -> tuple[float, float, float, int]:
    estimate, trainings = over_trainings(found)
    return estimate.value, *estimate.interval, trainings


def as_well_without_the_task(found: pd.DataFrame) -> list[str]:
    """Return the kinds on which a random head agrees as well as compressed models do on average, by any explainer."""
    means = found.groupby(["kind", "method", "what"], sort=False)["value"].mean().unstack()
    as_well = means["knows no task"] >= means["compressed"]
    return list(dict.fromkeys(means.index[as_well].get_level_values("kind")))


def answer(found: pd.DataFrame) -> str:
    """Return in two sentences on how many kinds each trend is shown, or shown not to hold; see `trends`."""
    by_trend = found.groupby("trend", sort=False)["holds"]
    shown = ", ".join(f"{trend} on {(holds == 'yes').sum()} of {len(holds)}" for trend, holds in by_trend)
    return (
        f"What is shown of compressed models, by kind of input and family of models: {shown}. The opposite of one of "
        f"these is shown on {(found['holds'] == 'no').sum()}; for the rest, these examples cannot say."
    )


_MARKS = {"knows no task": "x", "compressed": "o", "trained again": "D"}


def anchor_figure(found: pd.DataFrame):
    """Draw the anchors, a row for each kind and method: what knows no task, each compressed model, trained again."""
    keys = list(dict.fromkeys(zip(found["kind"], found["method"], strict=True)))
    ax, colours = rows_figure(1.3 * len(keys)), method_colours(list(dict.fromkeys(found["method"])))
    for y, (kind, method) in enumerate(keys):
        rows = found[(found["kind"] == kind) & (found["method"] == method)]
        for what, mark in _MARKS.items():
            of = rows[rows["what"] == what]
            heights = y + 0.5 * (np.arange(len(of)) - (len(of) - 1) / 2) / max(len(of), 4)
            colour = colours[method] if what == "compressed" else "0.25"
            ax.hlines(heights, of["low"], of["high"], color=colour, linewidth=1)
            ax.plot(
                of["value"],
                heights,
                mark,
                color=colour,
                markersize=5,
                markerfacecolor="white" if mark == "D" else colour,
            )
    for what, mark in _MARKS.items():
        ax.plot(
            [], [], mark, color="0.25", markerfacecolor="white" if mark == "D" else "0.25", markersize=5, label=what
        )
    for x in (0, 1):
        ax.axvline(x, color=GREY, linewidth=1)
    legend_above([ax])
    ends = min(-0.05, found["low"].min()), max(1.05, found["high"].max())
    named_rows(ax, [f"{kind}, {method}" for kind, method in keys], xlabel=_ON_SCALE, xlim=ends)
    means = found[found["what"] == "compressed"].groupby("kind")["value"].mean()
    least, most = means.idxmin(), means.idxmax()
    return entitled(
        ax, f"Compressed models come, on average, to {means[least]:.2f} ({least}) up to {means[most]:.2f} ({most})"
    )


def anchor_table(kinds: list[Kind]) -> None:
    """Draw where compressed models lie between the anchors, by kind and method, and show all as Jaccard indices."""
    if not kinds:
        return
    found, rows = anchors(kinds), [_anchor_row(kind, method) for kind in kinds for method in kind.methods]
    as_well = "; ".join(as_well_without_the_task(found)) or "no kind"
    said = f"A random head agrees as well as compressed models do on average, by one explainer at least: {as_well}."
    put(anchor_figure(found), said, show(pd.DataFrame(rows), digits=2))


def _anchor_row(kind: Kind, method: str) -> dict:
    pairs, again = kind.pairs(method), kind.twins(method)
    alignments = [pair.found.alignment for pair in pairs]
    untrained, features = kind.control(method, UNTRAINED), [of.table["n_features"].mean() for of in alignments]
    means = [of.mean for of in alignments]
    return {
        "of": kind.name,
        "method": method,
        "top of all": f"{kind.run.experiment.k}/{np.mean(features):.0f}",
        "blind": float(np.mean([of.chance for of in alignments])),
        "knows no task": untrained["jaccard"].mean(),
        "compressed": f"{min(means):.2f} to {max(means):.2f}",
        "trained again": float(np.mean([pair.found.alignment.mean for pair in again])) if again else np.nan,
        "ceiling": float(np.mean([pair.itself.mean() for pair in pairs])),
    }


def model_table(kinds: list[Kind]) -> None:
    """Show each compressed model: its change of calibration, its flips, its place by method, the three answers."""
    if not kinds:
        return
    found = models(kinds)
    answers = ["interchangeable", "beside training again", "alone"]
    numbers = found.drop(columns=answers).groupby("of", sort=False)
    tables = [show(rows.drop(columns="of").dropna(axis=1, how="all"), caption=of.capitalize()) for of, rows in numbers]
    put(*tables, show(found[["of", "model", *answers]], caption="The three answers"))


def models(kinds: list[Kind]) -> pd.DataFrame:
    """Return one row a kind and compressed model, over its trainings."""
    return pd.DataFrame([row for kind in kinds for row in _models(kind)])


def _models(kind: Kind) -> Iterator[dict]:
    error = load_margins()[measures_of("calibration")[0]].score
    changes = _by_model(measured(once(kind.found.pairs), lambda pair: pair.found.differences[error]))
    places = {of: _by_model(measured(kind.pairs(of), lambda pair: pair.place)) for of in kind.methods}
    verdicts, again = (kind.run.comparison(kind.task, name) for name in ("verdicts", "retraining"))
    names = {title: name for name, title in titles(kind.run).items()}
    alone = answers_of(kind.audits).set_index("model")["alone"]
    for model, found in changes.items():
        value, low, high, trainings = _numbers(found)
        row = {"of": kind.name, "model": model}
        row |= {"accuracy": kind.audits[model].comparison.b.predictions.right.mean()}
        row |= {"change of error": value, "95%": f"{low:+.3f} to {high:+.3f}"}
        row |= {"flips": _flips(kind.audits[model])}
        for method, of in places.items():
            row[f"place, {method}"] = _numbers(of[model])[0] if model in of else np.nan
        row["trainings"] = trainings
        row["interchangeable"] = _worst(verdicts[verdicts["model"] == names[model]]["verdict"])
        answers = again[again["model"] == names[model]]["answer"]
        row["beside training again"] = _worst(answers) if len(answers) else NOT_ASKED
        row["alone"] = f"{alone[model]:.0%}"
        yield row


_ORDER = (DIFFERENT, WORSE, UNDECIDED, EQUIVALENT, NO_WORSE)


def _worst(answers: pd.Series) -> str:
    """Return the answer that stands for several, by explainer and training: no, as soon as one says so."""
    return min(answers, key=_ORDER.index)


def _flips(found: Audit) -> str:
    row = found.agreement.set_index("measure").loc["negative_flips"]
    return f"{row['value']:.1%}"


def label_words(kinds: list[Kind]) -> None:
    """Show of models that are asked in words how they are calibrated, and how much of their probability is on these."""
    rows = [row for kind in kinds for row in _label_words(kind)]
    put(show(pd.DataFrame(rows), formats={"least": "{:.4f}"}) if rows else "None of these models is asked in words.")


def _label_words(kind: Kind) -> Iterator[dict]:
    run, shown = kind.run, titles(kind.run)
    for name in run.experiment.models:
        found = run.facts(kind.task, name, run.experiment.model_seeds(name)[0], "metrics").get("label_words")
        if found:
            words = ", ".join(f"{label} by {word!r}" for label, word in found["words"].items())
            row = {"model": shown[name], "words": words, "calibration": found["calibration"]}
            row |= {"estimated on": found["estimated_on"], "on the words": found["label_share"]}
            yield row | {"least": found["least_label_share"]}


def truth(kinds: list[Kind]) -> None:
    """Show how much of the top set lies on what is known to decide, by model, where it is known."""
    tables = [show(table, digits=2, caption=kind.name.capitalize()) for kind in kinds if len(table := _truth(kind))]
    put(*tables or ["Of none of these is it known what decides."])


def _truth(kind: Kind) -> pd.DataFrame:
    found = kind.run.comparison(kind.task, "truth")
    found = found[(found["truth"] == "evidence") & (found["measure"] == "precision")]
    means = found.groupby(["method", "model"], sort=False)[["value", "chance"]].mean().reset_index()
    shown = titles(kind.run) | {UNTRAINED: "its random head", "retrained": "trained again"}
    means = means[means["model"].isin(shown)]
    table = means.pivot(index="model", columns="method", values="value")
    table = table.reindex(index=means["model"].unique(), columns=means["method"].unique()).reset_index()
    by_chance = table["model"].map(means.groupby("model")["chance"].mean())
    return table.assign(model=table["model"].map(shown), **{"by chance": by_chance})


def pictures(kinds: list[Kind], n: int = 2) -> None:
    """Show the first images and clips that the large and the first compressed model both have right, as both see it."""
    for kind in kinds:
        settings = kind.run.experiment.task(kind.task)
        modality, shown = of_columns(settings.columns), kind.run.shown(kind.task)
        if modality is not None and shown is not None:
            put(f"**{kind.name.capitalize()}**", *_pictures(kind, modality, shown, n))


def _pictures(kind: Kind, modality: Modality, shown: pd.DataFrame, n: int) -> Iterator:
    run, task, (seed, *_), method = kind.run, kind.task, kind.run.experiment.seeds, kind.methods[0]
    labels, names = run.experiment.task(task).labels, list(run.experiment.models)[:2]
    right = agreed_examples(run, task, names[1], seed=seed)
    tables = {titles(run)[name]: run.attribution(task, name, seed, method) for name in names}
    how = {"cut": modality.cut_by(run.experiment.task(task).features), "k": run.experiment.k}
    if "evidence" in (known := known_truths(run, task)):
        shown = shown.assign(evidence=shown["id"].map(known["evidence"]))
    for row in shown[shown["id"].isin(right)].head(n).itertuples():
        yield modality.side_by_side(row, tables, labels[row.label], **how)


def carries_over(kinds: list[Kind]) -> None:
    """Show, kind by kind, whether what is asked holds, with the number and its interval."""
    if kinds:
        put(show(trend_table(trends(kinds))))


def trend_table(found: pd.DataFrame) -> pd.DataFrame:
    """Return one row a kind, `of`, and a column for each trend: whether it holds, the number and its 95% interval."""
    asked = found.groupby("trend", sort=False)
    texts = pd.concat([_said(rows, 2 if trend == OTHER_FEATURES else 3) for trend, rows in asked])
    table = found.assign(text=texts).pivot(index="of", columns="trend", values="text").fillna(NOT_ASKED)
    in_order = table.loc[found["of"].unique(), found["trend"].unique()]
    return in_order.rename_axis(columns=None).reset_index()


def _said(rows: pd.DataFrame, digits: int) -> pd.Series:
    numbers = rows["estimate"].map(lambda value: f"{value:z.{digits}f}")
    return rows["holds"] + ", " + numbers + " (" + interval_text(rows["low"], rows["high"], digits=digits) + ")"


def trend_figure(found: pd.DataFrame):
    """Draw a panel for each trend, with its line, and a row for each kind: its number and 95% interval.

    Filled: enough trainings to speak of further ones. Returns the figure.
    """
    of, asked = list(found["of"].unique()), list(found["trend"].unique())
    shape = {"figsize": (WIDTH, 1.9 + 0.36 * len(of)), "sharey": True, "squeeze": False}
    figure, (axes,) = plt.subplots(1, len(asked), **shape)
    for ax, trend in zip(axes, asked, strict=True):
        rows = found[found["trend"] == trend]
        ax.axvline(rows["line"].iloc[0], color=GREY, linewidth=1)
        for row in rows.itertuples():
            how = {"color": VERDICT_COLOURS[row.verdict], "filled": is_about_way(row.trainings)}
            point(ax, of.index(row.of), row.estimate, row.low, row.high, **how)
        named_rows(ax, of, xlabel=_MEASURED[trend]).xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
        ax.set_title(_ASKED[trend], loc="left", fontsize="small")
    for verdict, holds in _HOLDS.items():
        axes[0].plot([], [], "-", color=VERDICT_COLOURS[verdict], linewidth=1.6, label=holds)
    legend_above(list(axes[:1]))
    kinds = [name for name, rows in found.groupby("of", sort=False) if (rows["holds"] == "yes").all()]
    return headed(figure, f"All that is asked of them holds on {len(kinds)} of {len(of)} kinds")


def trends(kinds: list[Kind]) -> pd.DataFrame:
    """Return one row a kind and trend: of, trend, estimate, low, high, line, verdict, holds, trainings.

    verdict: of the claim that the trend is (see `claims.said`). holds: "yes", "no" or "cannot say".
    """
    columns = ["of", "trend", "estimate", "low", "high", "line", "verdict", "holds", "trainings"]
    return pd.DataFrame([row for kind in kinds for row in kind.trends], columns=columns)


OTHER_FEATURES, MORE_THAN_AGAIN = "other features", "more than training again"
OTHER_CALIBRATION = "another calibration"
_ASKED = {
    OTHER_FEATURES: "other features?",
    MORE_THAN_AGAIN: "more than\ntraining again?",
    OTHER_CALIBRATION: "another\ncalibration?",
}
_MEASURED = {
    OTHER_FEATURES: "place: 0 chance,\n1 ceiling",
    MORE_THAN_AGAIN: "further below\nthe ceiling",
    OTHER_CALIBRATION: "change of\nthe error",
}
_HOLDS = {SUPPORTS: "yes", CONTRADICTS: "no", OPEN: "cannot say"}


def _trends(kind: Kind) -> Iterator[dict]:
    margin, step = 1 - load_margins()[measures_of("alignment")[0]].margin, {}
    for twin, value in twins_measured(kind.found.twins, lambda pair: pair.below_ceiling):
        step[twin.method, twin.training] = value
    trained = [pair for pair in kind.found.pairs if pair.is_trained] or kind.found.pairs
    error = load_margins()[measures_of("calibration")[0]]
    known = [pair for pair in trained if (pair.method, pair.training) in step]
    asked = {
        OTHER_FEATURES: (
            measured(trained, lambda pair: pair.place),
            {"line": margin, "above": False},
        ),
        MORE_THAN_AGAIN: (
            measured(known, lambda pair: pair.below_ceiling - step[pair.method, pair.training]),
            {"line": 0, "above": True},
        ),
        OTHER_CALIBRATION: (
            measured(once(trained), lambda pair: pair.found.differences[error.score]),
            {"line": error.margin, "above": True, "of_model": magnitude},  # up or down
        ),
    }
    for trend, (found, held_against) in asked.items():
        if found:
            yield {"of": kind.name, "trend": trend} | _trend(found, **held_against)


def _trend(
    found: list[Measured], *, line: float, above: bool, of_model: Callable[[Estimate], Estimate] = lambda found: found
) -> dict:
    by_model = _grouped(found, lambda pair: (pair.method, pair.model))
    models = [over_trainings(of) for of in by_model.values()]
    one, trainings = mean_of([of_model(estimate) for estimate, _ in models]), min(n for _, n in models)
    low, high = one.interval
    verdict = said(low, high, line=line, above=above)
    row = {"estimate": one.value, "low": low, "high": high, "line": line}
    return row | {"verdict": verdict, "holds": _HOLDS[verdict], "trainings": trainings}
