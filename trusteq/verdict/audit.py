"""May this small model replace that large one? An audit measures both models and compares them.

Accuracy, alignment and calibration, each against a margin with a reason (`margins.yaml`).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trusteq import modality
from trusteq.alignment.ranking import Ranking
from trusteq.calibration.bins import check_predictions
from trusteq.errors import DataError, ExperimentError, ModelError, nearest
from trusteq.estimates import TAIL
from trusteq.modality import MODULES, TEXTS, column_of, given, known_by
from trusteq.models.as_classifier import as_classifier, is_checkpoint
from trusteq.models.probabilities import output_notes
from trusteq.verdict import sequential
from trusteq.verdict.comparison import SIDES, Comparison, Explained, Side
from trusteq.verdict.costs import sizes_of, speed_of
from trusteq.verdict.kept import Kept, Wanted
from trusteq.verdict.margins import UNDECIDED, load_margins
from trusteq.verdict.predictions import Predictions, case_note, matched, respelled, spelled_as
from trusteq.verdict.watch import checked_words

if TYPE_CHECKING:
    from trusteq.verdict.report import Audit


RANDOM_HEAD = "its random head"
SHARES = 1000  # examples at most on which the share of label words is measured


def audit(
    large: Callable,
    compressed: Callable,
    examples: pd.DataFrame,
    *,
    retrained: Sequence[Callable] = (),
    dev: pd.DataFrame | None = None,
    margins: Mapping[str, float] | None = None,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    method: str = "lime",
    n_samples: int = 1000,
    explain: int = 200,
    k: int = 10,
    mask: str = "delete",
    features: str | None = None,
    clusters: str | None = "text_a",
    slices: str | None = None,
    watch: Sequence[str] | None = None,
    until_decided: bool = False,
    names: tuple[str, str] = ("large", "compressed"),
    calibration: str | None = None,
    keep: str | Path | None = None,
    progress: bool = False,
) -> "Audit":
    """Audit a pair of models: may the compressed one replace the large one?

    large, compressed: Classifiers, callables (text_a, text_b) -> probabilities, or what else `as_classifier` takes; the
    same class names, in any order.
    examples: id, text_a, text_b, label (index or name in `labels`, by default the large model's; where a callable has
    no `.labels` of its own, they are its as well); see `checked_examples` for what may be absent.
    retrained: the large model trained again with other seeds, which the compressed one may be no worse than. dev: more
    examples of the same columns, which choose from what confidence on the compressed model may answer alone.
    margins: by measure, replacing the defaults of margins.yaml. Accuracy and calibration use all examples, the
    alignment `explain` of them, drawn with `seed`, explained for their gold label by `method` with `n_samples` passes:
    each model twice, under seeds of its own, so that the explainer's agreement with itself is the ceiling; twins, and
    the large model's encoder under a random head where it is a checkpoint, once. until_decided: fewer of them, block by
    block, as soon as the alignment is decided (`sequential`).
    mask, features: what stands where a feature is left out, and how an image or sound is cut; see `explain`.
    clusters: the column that says which examples belong together, such as SNLI's hypotheses about one premise, or None
    where all are independent. slices: a column whose parts are compared one by one. watch: single words that must not
    decide, such as names and places; how much either model goes by them is said, and decides nothing.
    calibration: of classifiers by label words, "contextual", or "batch": by all examples, without their labels.
    keep: a folder below which predictions and attributions are written as they come, and read again where they are of
    the same models, texts and options (`kept`), so that the same audit goes on where it stopped; audits may share it.
    progress: whether to say on the error stream what explaining will cost, and to show bars with the time left.

    Raises DataError for examples, words or probabilities that cannot be used or models with different labels,
    ModelError for what is no classifier of such texts, ExperimentError for unknown options.
    """
    from trusteq.examples.load import sample
    from trusteq.examples.table import checked_examples, word_notes
    from trusteq.verdict.report import audited

    wanted, listed = load_margins(margins), () if watch is None else checked_words(watch, where="audit, watch")
    if min(k, explain) < 1:
        raise ExperimentError(f"audit: k={k}, explain={explain}; give at least 1")
    # Checked before any model is run: explaining takes minutes.
    large, compressed, *retrained = checked_models((large, compressed, *retrained), labels)
    labels = large.labels if labels is None else tuple(labels)
    examples = checked_examples(examples, labels)
    if listed and (column := column_of(examples)) not in TEXTS:
        raise ExperimentError(f"audit: watch is for words, and the examples hold {column}; leave it out")
    if slices in MODULES:
        raise DataError(f"audit: slices: the column {slices!r} holds arrays; give one that holds names")
    clusters = column_of(examples) if clusters == TEXTS[0] else clusters
    _check_columns(examples, clusters, slices)
    if dev is not None:
        _check_columns(dev := checked_examples(dev, labels, where="audit, dev"), clusters)
    how = {"method": method, "n_samples": n_samples, "mask": mask, "features": features}
    check_method((large, compressed, *retrained), examples, **how)
    if dev is not None:
        check_method((large, compressed), dev, **how)
    if calibration is not None:
        large, compressed, *retrained = _calibrated((large, compressed, *retrained), calibration, examples)
    twins, untrained = {f"retrained {n}": of for n, of in enumerate(retrained, 1)}, _untrained(large, seed)
    names = _told_apart(names, [*twins, RANDOM_HEAD])
    asked = {names[0]: large, names[1]: compressed} | twins
    models = asked | ({RANDOM_HEAD: untrained} if untrained else {})
    kept, on_dev = Kept(None if keep is None else Path(keep), progress), None
    predictions = {name: predicted(name, of, examples, labels, clusters, kept=kept) for name, of in models.items()}
    if dev is not None:
        on_dev = [predicted(name, models[name], dev, labels, clusters, kept=kept, split="-dev") for name in names]
    options = how | {"seed": seed}
    explaining = _Explaining(models, names, predictions, kept, options, k, labels, clusters)
    chosen, level, looks = sample(examples, explain, seed=seed), 1.0, None
    said = _said(examples, dev) + word_notes(chosen) + _mask_notes(examples, mask, features)
    if progress:
        kept.estimate([of for name in models for of in explaining.wanted(name, chosen)], n_samples)

    def compared(sides: Sequence[Explained], level: float = 1.0) -> Comparison:
        return Comparison(*map(explaining.side, names, sides), margins=wanted, seed=seed, level=level)

    if until_decided:
        both, outcome = explaining.look_by_look(), lambda *of: _place_outcome(compared(of[:2], of[2] / TAIL))
        looks = sequential.until_decided(chosen, both, outcome)
        sides, level = looks.sides, looks.alpha / TAIL
        chosen = chosen[chosen["id"].isin(sides[0].first.label.index)]
    else:
        sides = [explaining.explained(name, chosen) for name in names]
    pair, cut = compared(sides, level), _cut(asked, examples)
    by_words = _label_words(asked, sample(examples, SHARES, seed=seed))
    others = {name: explaining.side(name, explaining.explained(name, chosen)) for name in models if name not in names}
    beside = {name: replace(pair, b=side) for name, side in others.items()}
    found = audited(
        pair,
        twins=[beside[name] for name in twins],
        untrained=beside.get(RANDOM_HEAD),
        dev=on_dev,
        slices=None if slices is None else examples[slices].astype(str).to_numpy(),
        looks=looks,
        notes=[*said, *_template_notes(asked, examples), *_word_notes(by_words), *_cut_notes(cut, asked, examples)],
        examples=chosen,
        watch=listed,
    )
    missed = [f"{name}: {note}." for name, of in zip(names, sides, strict=True) for note in _unconverged(of)]
    facts = found.facts | {"cut": cut, "sizes": sizes_of((large, compressed))} | _units(examples)
    facts |= {"label_words": by_words} if by_words else {}
    seconds, calls = [kept.seconds_of(name) for name in names], [kept.asked[name] for name in names]
    speed = speed_of((large, compressed), seconds, calls, texts=len(examples))
    return replace(found, notes=(*found.notes, *kept.notes(), *missed), facts=facts, speed=speed)


@dataclass(frozen=True)
class _Explaining:
    """What it takes to explain the models of an audit.

    models: by name; names: of the large and the compressed one, which are explained twice, the others once.
    predictions: by name. options: of `Kept.explanations`.
    """

    models: dict[str, Callable]
    names: tuple[str, str]
    predictions: dict[str, Predictions]
    kept: Kept
    options: dict
    k: int
    labels: tuple[str, ...]
    clusters: str | None

    def wanted(self, name: str, block: pd.DataFrame, look: str = "") -> list[Wanted]:
        """Return the tables that explain a model on some examples, made or not."""
        side, times = dict(zip(self.names, SIDES, strict=True)).get(name, name), 1 + (name in self.names)
        about = (self.models[name], block, self.predictions[name])
        return self.kept.explanations(side, name, *about, times=times, look=look, **self.options)

    def explained(self, name: str, block: pd.DataFrame, look: str = "") -> Explained:
        """Return what explains a model on some examples; look: of several, which."""
        how = {"k": self.k, "labels": self.labels, "clusters": self.clusters, "kept": self.kept}
        return explained(self.wanted(name, block, look), block, **how)

    def look_by_look(self) -> Callable:
        """Return a function that explains both models on one block of examples after the other."""
        numbers = itertools.count(1)

        def both(block: pd.DataFrame) -> list[Explained]:
            look = f"-look-{next(numbers)}"
            return [self.explained(name, block, look) for name in self.names]

        return both

    def side(self, name: str, of: Explained) -> Side:
        """Return a model with what is known of it; where no example has a word, as one that was not explained."""
        return Side(name, self.predictions[name], of if len(of.first.label) else None)


def checked_models(models: Sequence[Callable], labels: Sequence[str] | None) -> list:
    """Return the large model and others as classifiers of the same classes; raise ModelError or DataError otherwise."""
    large = _classifier(models[0], labels)
    labels = large.labels if labels is None else tuple(labels)
    found = [large, *(_classifier(model, labels) for model in models[1:])]
    for model in found:
        spelled_as(model.labels, labels)
    return found


def check_method(models: Sequence, examples: pd.DataFrame, **how) -> None:
    """Raise what explaining these examples by a method would raise, before any model is run."""
    from trusteq.attribution.explain import check

    check(examples, **how)
    for model in models:
        check(examples, **how, classifier=model)


def _classifier(model, labels: Sequence[str] | None):
    """Return a model as a classifier, under class names of its own where it has any."""
    if labels is None and callable(model) and not hasattr(model, "labels") and not hasattr(model, "get_params"):
        raise ModelError("audit: the large model has no `.labels`; give labels=(...), the class names in order")
    return as_classifier(model, labels=None if getattr(model, "labels", None) is not None else labels)


def _cut(models: Mapping[str, Callable], examples: pd.DataFrame) -> dict[str, int]:
    """Return how many examples each model cuts, where it tells and cuts any."""
    found = {name: of.n_cut(*given(examples)) for name, of in models.items() if hasattr(of, "n_cut")}
    return {name: n for name, n in found.items() if n}


def _cut_notes(cut: Mapping[str, int], models: Mapping[str, Callable], examples: pd.DataFrame) -> list[str]:
    return [
        f"{name} takes {models[name].max_length} tokens: {n} of {len(examples)} examples are longer, and cut."
        for name, n in cut.items()
    ]


def _units(examples: pd.DataFrame) -> dict[str, str]:
    """Return what the features of images or sound are called; nothing of texts, whose features are words."""
    kind = modality.of(examples)
    return {} if kind is None else {"units": kind.units}


def _mask_notes(examples: pd.DataFrame, mask: str, features: str | None) -> list[str]:
    if (kind := modality.of(examples)) is None:
        return []
    cut, masked = kind.cut_by(features), kind.mask(mask)
    return [f"Features are {kind.units} ({cut}), masked by {masked}: another cut or mask may give another alignment."]


def _told_apart(names: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Return the names of two models; where they are one, or that of another model, with what each is for."""
    same = names[0] == names[1] or not set(names).isdisjoint(others)
    return tuple(f"{name} ({side})" if same else name for name, side in zip(names, SIDES, strict=True))


def _template_notes(models: Mapping[str, Callable], examples: pd.DataFrame) -> list[str]:
    n_texts = sum(side is not None for side in given(examples))
    kind = "a text within" if n_texts == 1 else "a pair as one text, joined by"
    found = {name: getattr(of, "template", None) for name, of in models.items()}
    joined = {name: of.text for name, of in found.items() if of and of.n_texts == n_texts}
    return [f"{name} reads {kind} the template {text!r}." for name, text in joined.items()]


def _calibrated(models: Sequence[Callable], name: str, examples: pd.DataFrame) -> list:
    """Return the models, those that tell classes by label words calibrated; raise ModelError where there is none."""
    from trusteq.models.label_calibration import calibrated

    asked = [bool(getattr(of, "words", ())) for of in models]
    asked = asked if any(asked) else [True] * len(models)
    texts = given(examples)
    return [calibrated(of, name, texts) if words else of for of, words in zip(models, asked, strict=True)]


def _label_words(models: Mapping[str, Callable], examples: pd.DataFrame) -> dict[str, dict]:
    """Return the facts of each model that tells classes by label words."""
    asked = {name: of for name, of in models.items() if getattr(of, "words", ())}
    if not asked:
        return {}
    from trusteq.models.label_calibration import facts

    return {name: facts(of, *given(examples), examples["label"].to_numpy()) for name, of in asked.items()}


def _word_notes(found: Mapping[str, dict]) -> list[str]:
    if not found:
        return []
    from trusteq.models.label_calibration import notes

    return [f"{name} {note}" for name, made in found.items() for note in notes(made)]


def _check_columns(examples: pd.DataFrame, *columns: str | None) -> None:
    for column in columns:
        if column is not None and column not in examples:
            raise DataError(f"audit: no column {column!r} in the examples; {nearest(column, examples)}")
        if column is not None and column not in (*TEXTS, *MODULES):
            lost = examples[column].isna() | ~examples[column].map(str).str.contains(r"\S")
            if lost.any():
                row = int(lost.to_numpy().argmax())
                raise DataError(f"audit: row {row}: {column} is empty; give every row one, or name no column")


def _said(examples: pd.DataFrame, dev: pd.DataFrame | None) -> list[str]:
    """Return what is to be said about the examples themselves."""
    from trusteq.examples.table import notes_of

    return notes_of(examples) + ([] if dev is None else [f"dev: {note}" for note in notes_of(dev)])


def _place_outcome(pair: Comparison) -> str:
    row = pair.dimensions[pair.dimensions["dimension"] == "alignment"]
    return row["outcome"].iloc[0] if len(row) else UNDECIDED


def _untrained(large: Callable, seed: int) -> Callable | None:
    """Return a checkpoint's encoder under a random head, which knows no task; None of any other model."""
    if not is_checkpoint(large):
        return None
    from trusteq.models.build import random_head

    return random_head(large, seed=seed)


def audit_predictions(
    large: Predictions,
    compressed: Predictions,
    *,
    retrained: Sequence[Predictions] = (),
    dev: tuple[Predictions, Predictions] | None = None,
    margins: Mapping[str, float] | None = None,
    seed: int = 0,
    names: tuple[str, str] = ("large", "compressed"),
) -> "Audit":
    """Audit accuracy and calibration alone, from saved predictions; raise DataError where they do not match.

    retrained: those of the large model trained again. dev: the large and the compressed model's about other examples,
    which choose from what confidence on the compressed one may answer alone.
    """
    from trusteq.verdict.report import audited

    first, second = matched(large, compressed)
    pair = Comparison(*map(Side, names, (first, second)), margins=load_margins(margins), seed=seed)
    dev = None if dev is None else tuple(respelled(of, first.labels) for of in matched(*dev))
    twins = [replace(pair, b=Side("retrained", matched(first, twin)[1])) for twin in retrained]
    return audited(pair, twins=twins, dev=dev, slices=first.slices)


def _labels_of(model: Callable, labels: tuple[str, ...] | None) -> tuple[str, ...]:
    if (found := getattr(model, "labels", labels)) is None:
        raise ModelError("audit: the large model has no `.labels`; give labels=(...), the class names in order")
    return tuple(found)


def predicted(
    name: str,
    model: Callable,
    examples: pd.DataFrame,
    labels: tuple[str, ...],
    clusters: str | None = "text_a",
    *,
    kept: Kept,
    split: str = "",
) -> Predictions:
    """Return what a model says about examples, its classes in the order of `labels`; `name` is for errors."""
    names = _labels_of(model, labels)
    with kept.named(name):
        found = kept.predictions(name, model, given(examples), examples, names, split)
        probabilities, gold = check_predictions(found, examples["label"].to_numpy())
    own = spelled_as(names, labels)
    in_order = probabilities[:, [own.index(label) for label in labels]]
    ids, groups = examples["id"].to_numpy(dtype=object), grouped(examples, clusters)
    return Predictions(
        labels, in_order, gold, ids, groups, notes=(*case_note(names, own), *output_notes(found, kept.moved[name]))
    )


def grouped(examples: pd.DataFrame, by: str | None = "text_a") -> np.ndarray | None:
    """Return what each example belongs to, by default its first text; None where no two examples share it."""
    if by is None:
        return None
    column = column_of(examples) if by == TEXTS[0] else by
    groups = pd.Series(known_by(examples) if column in MODULES else examples[column].astype(object).map(str))
    return groups.to_numpy(dtype=object) if groups.duplicated().any() else None


def _unconverged(of: Explained) -> list[str]:
    """Return what is to be said of weights by gradients that miss the sum they should have."""
    from trusteq.attribution.explain import gradient_notes

    return gradient_notes(of.first.attributions)


def explained(
    wanted: Sequence[Wanted],
    examples: pd.DataFrame,
    *,
    kept: Kept,
    k: int,
    labels: tuple[str, ...],
    clusters: str | None = "text_a",
) -> Explained:
    """Return the explanations of one side, made or read as `Kept.explanations` wants them."""
    settings = wanted[0].settings
    own = tuple(settings["labels"])
    with kept.named(wanted[0].name):
        tables = [kept.table(of) for of in wanted]
    spelled = dict(zip(own, spelled_as(own, labels), strict=True))
    if own != tuple(spelled.values()):
        tables = [table.assign(label=table["label"].map(spelled)) for table in tables]
    seen = examples[~examples["id"].isin(tables[0].attrs["skipped"])]  # the others have no words
    label, groups = seen.set_index("id")["label"].map(dict(enumerate(labels))), grouped(seen, clusters)
    first, *again = (Ranking(table, label) for table in tables)
    of = None if groups is None else pd.Series(groups, index=label.index)
    return Explained(first, *again or [None], k, of, settings["method"], settings["n_samples"])
