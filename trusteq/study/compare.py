"""The comparisons of a task: every pair of models and every control, beside chance level and ceiling; and verdicts."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trusteq.alignment.decompose import decompose
from trusteq.alignment.evidence import evidence_scores
from trusteq.alignment.overlap import Alignment, mean_table, random_features
from trusteq.alignment.ranking import Ranking
from trusteq.statistics import stream_seed
from trusteq.study.jobs import RANDOM_HEAD
from trusteq.study.results import Results
from trusteq.study.sides import (
    Run,
    Sides,
    clusters,
    explained_runs,
    gold_labels,
    known_truths,
    numbered,
    other_seed,
    predicted_runs,
    predicted_sides,
)
from trusteq.verdict.comparison import CONTROLS, Comparison, Explained, Side, is_no_evidence, lead_over
from trusteq.verdict.margins import decide, overall
from trusteq.verdict.retraining import retraining

VERSION = 3  # raise it when a number of these tables changes
_TRUTH = {"precision": "chance_precision", "recall": "chance_recall", "share": "chance_share"}
_EVIDENCE = ["truth", "method", "seed", "model", "measure", "value", "low", "high", "chance"]
_EVIDENCE += ["difference", "difference_low", "difference_high", "examples"]
_RETRAINING = ["method", "seed", "model", "answer", "twins"]
_PAPER = ["jaccard", "aligned", "calibration_differs", "drop_in"]


@dataclass(frozen=True, eq=False)
class Compared:
    """All comparisons of one task, by method and seed: the pairs of models, then the large one with its controls.

    trainings: the large model beside each of its other trainings, by method, its own seed and the other's.
    """

    run: Results
    task: str
    clusters: pd.Series | None
    comparisons: tuple[Comparison, ...]
    trainings: Mapping[tuple[str, int, int], Comparison]

    @property
    def pairs(self) -> list[Comparison]:
        """The comparisons of two models."""
        return [found for found in self.comparisons if found.b.control is None]

    @property
    def controls(self) -> list[Comparison]:
        """The comparisons of the large model with its controls."""
        return [found for found in self.comparisons if found.b.control is not None]

    @property
    def against_large(self) -> list[Comparison]:
        """The comparisons of the large model with each other one, then the controls, by method and seed."""
        return [found for found in self.comparisons if found.a.name == self.run.experiment.large]

    def twins(self, method: str, seed: int) -> list[Comparison]:
        """Return the comparisons of the large model with itself trained again."""
        return [found for (of, own, _), found in self.trainings.items() if (of, own) == (method, seed)]

    @property
    def by_place(self) -> list[Comparison]:
        """Those of `against_large` whose features are words by their place, not words as the authors' scripts do."""
        return [found for found in self.against_large if not found.rankings[0].is_as_released]


def compare(run: Results, task: str) -> Compared:
    """Read all predictions and attributions of a task and return what is compared with what."""
    experiment, groups, gold = run.experiment, numbered(clusters(run, task)), gold_labels(run, task)
    predicted = {seed: predicted_sides(run, task, seed, groups=groups) for seed in experiment.seeds}
    large = [(experiment.large, seed) for seed in experiment.model_seeds(experiment.large)]
    trained = {seed: of for (_, seed), of in predicted_runs(run, task, large, groups=groups).items()}
    comparisons, trainings = [], {}
    for method in experiment.task_methods(task):
        runs = [(model, seed) for seed in experiment.seeds for model in experiment.models_of(task, method)]
        runs += [(experiment.large, seed) for seed in trained]
        explained = explained_runs(run, task, method, dict.fromkeys(runs), gold=gold, groups=groups)
        own = {seed: Side(experiment.large, trained[seed], explained[experiment.large, seed], seed) for seed in trained}
        for seed in experiment.seeds:
            found = [*_pairs(run, seed, explained, predicted[seed])]
            found += _controls(run, task, seed, explained, predicted[seed])
            comparisons += [of.in_parts() for of in found]
        pairs = itertools.permutations(own.values(), 2)
        trainings |= {(method, a.training_seed, b.training_seed): Comparison(a, b) for a, b in pairs}
    return Compared(run, task, groups, tuple(comparisons), trainings)


def _pairs(run: Results, seed: int, explained: Mapping[Run, Explained], predicted: Sides) -> Iterable[Comparison]:
    sides = [Side(name, predicted[name], found, of) for (name, of), found in explained.items() if of == seed]
    # Where the experiment's first tables share their masks, the second run of one side makes the two independent.
    return (Comparison(a, b, crossed=run.experiment.common_masks) for a, b in itertools.combinations(sides, 2))


def _controls(
    run: Results, task: str, seed: int, explained: Mapping[Run, Explained], predicted: Sides
) -> Iterable[Comparison]:
    name, other = run.experiment.large, other_seed(run, seed)
    own = explained[name, seed]
    large = Side(name, predicted[name], own, seed)
    twin = run.explanations(task, name, seed, f"{own.method}.{RANDOM_HEAD}")
    random = random_features(own.first.attributions, seed=stream_seed(seed, "random features"))

    def once(ranking: Ranking) -> Explained:
        return replace(own, first=ranking, again=None)

    sides = {
        "itself": large,
        "reseeded": replace(large, explained=once(own.again)),
        "random-head": Side(name, predicted.get("random-head"), once(Ranking(twin, own.first.label)), seed),
        "random-features": Side(name, None, once(Ranking(random, own.first.label)), seed),
    }
    if other is not None:
        sides["retrained"] = Side(name, predicted["retrained"], explained[name, other], other)
    for name, control in CONTROLS.items():
        if name in sides:
            side = replace(sides[name], name=name, control=control)
            yield Comparison(large, side, crossed=run.experiment.common_masks and control.is_other)


def _of(found: Comparison) -> tuple[str, int]:
    return found.a.explained.method, found.a.training_seed


def _key(found: Comparison) -> dict:
    """Return what names a comparison in a table."""
    method, seed = _of(found)
    return {"method": method, "seed": seed, "model_a": found.a.name, "model_b": found.b.name}


def alignment_table(compared: Compared) -> pd.DataFrame:
    """Return the alignment of every pair of models under every method and seed.

    Columns: method, seed, model_a, model_b; jaccard, low, high (95% interval over examples); chance; ceiling;
    normalised, normalised_low, normalised_high; common_masks, the mean Jaccard where both models see the same
    perturbations (missing for methods without any); examples, undefined.
    """
    return pd.DataFrame(_row(found, common_masks=_common(compared, found)) for found in compared.pairs)


def example_table(compared: Compared) -> pd.DataFrame:
    """Return the same example by example: method, seed, model_a, model_b, id, jaccard, chance, n_features."""
    return _each(compared.pairs, lambda found: found.alignment.table)


def control_table(compared: Compared) -> pd.DataFrame:
    """Return the same of the large model and each of its controls; the first has no ceiling, being one draw twice."""
    return pd.DataFrame(map(_row, compared.controls))


def ceiling_table(compared: Compared) -> pd.DataFrame:
    """Return each model's agreement with itself: method, seed, model, other ("explainer seed", "training seed"), ..."""
    agreements = {}
    for found in compared.comparisons:
        own = [side for side in (found.a, found.b) if side.control is None]
        agreements |= {(*_of(found), side.name, "explainer seed"): side.explained.itself for side in own}
        if found.is_retrained:
            agreements[*_of(found), found.a.name, "training seed"] = found.alignment
    rows = [(*key, found.mean, found.low, found.high, found.chance) for key, found in agreements.items()]
    return pd.DataFrame(rows, columns=["method", "seed", "model", "other", "jaccard", "low", "high", "chance"])


def curve_table(compared: Compared) -> pd.DataFrame:
    """Return alignment with the large model over k, controls included: keys, k, jaccard, low, high, chance."""
    return _each(compared.against_large, lambda found: found.curve)


def segment_table(compared: Compared) -> pd.DataFrame:
    """Return alignment with the large model within each text of a pair, controls included (see `by_segment`)."""
    return _each(compared.by_place, lambda found: found.parts.segments)


def companion_table(compared: Compared) -> pd.DataFrame:
    """Return the other measures of agreement with the large model, controls included (see `companions`)."""
    return _each(compared.by_place, lambda found: found.parts.companions)


def source_table(compared: Compared) -> pd.DataFrame:
    """Return what the disagreement with the large model is made of: keys, source, disagreement, low, high, share.

    One block for each smaller model, and for a control that stands for another; see `decompose`. The step of the
    training seed is that of the large model, one number for all blocks of a method and seed; it is missing where that
    has one seed only, and of a smaller model that is made without training. Over the examples that all blocks have.
    """
    experiment = compared.run.experiment
    retrained = {_of(found): found for found in compared.controls if found.is_retrained}
    others = [found for found in compared.against_large if found.b.control is None or found.b.control.is_other]
    shared = _shared([*others, *retrained.values()])

    def sources(found: Comparison) -> pd.DataFrame:
        ids, is_trained = shared[_of(found)], found.b.control is not None or experiment.model(found.b.name).is_trained
        twin = retrained.get(_of(found)) if is_trained else None
        training = None if twin is None else _among(ids, twin)
        ceiling, alignment = _among(ids, found)
        return decompose(ceiling, training, alignment, clusters=compared.clusters)

    return _each(others, sources)


def _shared(comparisons: Iterable[Comparison]) -> dict[tuple[str, int], pd.Index]:
    """Return the examples that all comparisons of a method and seed define, by both."""
    shared: dict[tuple[str, int], pd.Index] = {}
    for found in comparisons:
        for of in (found.ceiling, found.alignment):
            ids = pd.Index(of.table.dropna(subset="jaccard")["id"])
            shared[_of(found)] = shared.get(_of(found), ids).intersection(ids)
    return shared


def _among(ids: pd.Index, found: Comparison) -> tuple[Alignment, Alignment]:
    """Return the ceiling and the alignment of a comparison, with the examples named alone in their tables."""
    both = (found.ceiling, found.alignment)
    ceiling, alignment = (
        of if len(of.table) == len(ids) else replace(of, table=of.table[of.table["id"].isin(ids)]) for of in both
    )
    return ceiling, alignment


def evidence_table(compared: Compared, truths: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Return how much of what is known to matter each side's top words hold, controls included.

    truths: of `known_truths`. Columns: truth, method, seed, model; measure ("precision", "recall", or "share" of the
    weight that lies on the truth); value, low, high (95% interval), chance; difference from the large model,
    difference_low, difference_high; examples, those with a truth. Empty without a truth.
    """
    sides: dict = {}
    for found in compared.by_place:
        of_method = sides.setdefault(_of(found), {found.a.name: found.a.explained})
        if found.b.control is None or not found.b.control.is_large:
            of_method[found.b.name] = found.b.explained
    rows = []
    for (truth, places), ((method, seed), explained) in itertools.product(truths.items(), sides.items()):
        scored = {name: evidence_scores(of.first, places, k=of.k).set_index("id") for name, of in explained.items()}
        for name, measure in itertools.product(scored, _TRUTH):
            if values := _against(scored[name], next(iter(scored.values())), measure, compared.clusters):
                key = {"truth": truth, "method": method, "seed": seed, "model": name, "measure": measure}
                rows.append(key | values)
    return pd.DataFrame(rows, columns=_EVIDENCE)


def _against(scores: pd.DataFrame, large: pd.DataFrame, measure: str, clusters: pd.Series | None) -> dict:
    """Return the mean of a measure and of its difference from the large model's, both with intervals."""
    columns = pd.DataFrame({"value": scores[measure], "chance": scores[_TRUTH[measure]], "large": large[measure]})
    columns = columns.dropna()
    if columns.empty:
        return {}
    columns["difference"] = columns["value"] - columns.pop("large")
    found = mean_table(columns, clusters=clusters)
    own, difference = found.loc["value"].to_dict(), found.loc["difference"]
    own |= {"chance": found.at["chance", "value"], "difference": difference["value"]}
    own |= {"difference_low": difference["low"], "difference_high": difference["high"]}
    return own | {"examples": len(columns)}


def verdict_table(compared: Compared) -> pd.DataFrame:
    """Return the verdict on every smaller model and control, by method and seed: one row a measure.

    Columns: method, seed, model, verdict; dimension, measure, large, compressed, difference, low, high, margin,
    outcome, n, n_needed, reason (see `Comparison.dimensions`); and the paper's own rule, the same in all rows of one:
    jaccard, aligned, calibration_differs, drop_in. Only the alignment differs between methods.
    """
    parts = []
    for found in compared.against_large:
        if found.b.control is None or found.b.control.judged:
            method, seed = _of(found)
            keys = {"method": method, "seed": seed, "model": found.b.name, "verdict": found.verdict}
            parts.append(found.dimensions.assign(**keys, **{name: found.paper[name] for name in _PAPER}))
    table = pd.concat(parts, ignore_index=True)
    return table[[*keys, *(name for name in table if name not in keys)]]


def retraining_table(compared: Compared) -> pd.DataFrame:
    """Return whether each smaller model is no worse than the large one trained again, by method and seed.

    Columns: method, seed, model, answer, twins (other seeds of the large model); then those of `Retraining.table`, one
    row a measure. Empty where the large model was trained once.
    """
    parts, untrained = [], {_of(found): found for found in compared.controls if found.b.name == RANDOM_HEAD}
    for found in compared.against_large:
        if found.b.control is None and (twins := compared.twins(*_of(found))):
            answered = retraining(found, twins, untrained[_of(found)])
            keys = dict(zip(("method", "seed"), _of(found), strict=True)) | {"model": found.b.name}
            parts.append(answered.table.assign(**keys, answer=answered.answer, twins=answered.n_twins))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_RETRAINING)
    return table[[*_RETRAINING, *(name for name in table if name not in _RETRAINING)]]


def margin_table(compared: Compared) -> pd.DataFrame:
    """Return the verdicts at half, at all and at twice each margin: method, seed, model, times, verdict."""
    rows = []
    for found, times in itertools.product(compared.against_large, (0.5, 1.0, 2.0)):
        if found.b.control is None or found.b.control.judged:
            outcomes = [outcome for outcome, _ in decide([one.at(times) for one in found.measured])]
            rows.append((*_of(found), found.b.name, times, overall(outcomes)))
    return pd.DataFrame(rows, columns=["method", "seed", "model", "times", "verdict"])


def lead_table(compared: Compared) -> pd.DataFrame:
    """Return by how much more each smaller model agrees with the large one than that does with what knows no task.

    On the scale from chance, 0, to ceiling, 1, beside the large model's encoder under a random head: method, seed,
    model, lead, low, high (paired, 95%), is_evidence: False where the upper end is below a quarter of the margin.
    """
    untrained, rows = {_of(found): found for found in compared.controls if found.b.name == RANDOM_HEAD}, []
    for found in compared.against_large:
        if found.b.control is None:
            lead = lead_over(found, untrained[_of(found)])
            ends = [end if np.isfinite(end) else np.nan for end in lead.interval]
            rows.append(
                (*_of(found), found.b.name, lead.value, *ends, not is_no_evidence(found, untrained[_of(found)]))
            )
    return pd.DataFrame(rows, columns=["method", "seed", "model", "lead", "low", "high", "is_evidence"])


def _each(comparisons: Iterable[Comparison], measure: Callable[[Comparison], pd.DataFrame]) -> pd.DataFrame:
    """Return what `measure` makes of each of the comparisons, under their keys."""
    parts = []
    for found in comparisons:
        table = measure(found)
        parts.append(pd.DataFrame(_key(found), index=table.index).join(table))
    return pd.concat(parts, ignore_index=True)


def _row(found: Comparison, **more: float) -> dict:
    """Return a comparison as a row; more: what is said of it beside its scale."""
    alignment = found.alignment
    names = ("low", "high", "chance", "ceiling", "normalised", "normalised_low", "normalised_high")
    scale = {"jaccard": alignment.mean} | {name: getattr(alignment, name) for name in names}
    scale = {name: np.nan if value is None else value for name, value in scale.items()}
    return _key(found) | scale | more | {"examples": len(alignment.table), "undefined": alignment.undefined}


def _common(compared: Compared, found: Comparison) -> float:
    a, b = found.a.explained, found.b.explained
    return a.align(a.again, b.again).mean if compared.run.experiment.draws(compared.task, a.method) else np.nan


def faithfulness_table(run: Results, task: str, clusters: pd.Series | None) -> pd.DataFrame:
    """Return what each model makes of its own top words: model, seed, method, measure, value, low, high, examples.

    method: those of the task, and "random features", as many words drawn at random.
    """
    rows = []
    for model, seed in itertools.product(run.experiment.models, run.experiment.seeds):
        table = run.attribution(task, model, seed, "faithfulness").set_index("id")
        for method, scores in table.groupby("method", sort=False):
            scores = scores[["comprehensiveness", "sufficiency"]].dropna()
            found = mean_table(scores, clusters=clusters).to_dict("index")
            key = {"model": model, "seed": seed, "method": method}
            rows += [key | {"measure": measure} | values for measure, values in found.items()]
    return pd.DataFrame(rows)


_TABLES: dict[str, Callable[[Compared], pd.DataFrame]] = {
    "alignment": alignment_table,
    "examples": example_table,
    "controls": control_table,
    "ceilings": ceiling_table,
    "curves": curve_table,
    "segments": segment_table,
    "companions": companion_table,
    "sources": source_table,
    "truth": lambda compared: evidence_table(compared, known_truths(compared.run, compared.task)),
    "verdicts": verdict_table,
    "retraining": retraining_table,
    "margins": margin_table,
    "leads": lead_table,
    "faithfulness_means": lambda compared: faithfulness_table(compared.run, compared.task, compared.clusters),
}
NAMES = tuple(_TABLES)


def tables(run: Results, task: str) -> dict[str, pd.DataFrame]:
    """Return every table on the comparisons of a task, by the name under which it is stored."""
    compared = compare(run, task)
    return {name: make(compared) for name, make in _TABLES.items()}
