"""Attribution: how much each word of an example weighs in a classifier's probability of each class."""

import functools
import itertools
import operator
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from trusteq import modality, words
from trusteq.attribution.as_released import Joined, joint_of
from trusteq.attribution.engine import TextPredictor, answering, in_turns
from trusteq.attribution.features import MASKS, Features, Texts, replacement
from trusteq.attribution.methods import BOUNDARIES, CANCELLED, METHODS, TOLERANCE, listed
from trusteq.errors import DataError, ExperimentError, ModelError, nearest
from trusteq.escapes import plain
from trusteq.examples.table import check_arrays, check_texts
from trusteq.models.as_classifier import TextClassifier, as_classifier, is_checkpoint
from trusteq.statistics import stream

if TYPE_CHECKING:
    from trusteq.attribution.tokens import TokenPredictor
    from trusteq.models.classifier import Classifier

VERSION = 1  # raised by whoever changes a weight: all explanations are then made again
TYPES = {"id": "str", "segment": "int64", "position": "int64", "word": "str", "label": "str", "weight": "float64"}


def explain(
    classifier: "Classifier | Callable",
    examples: pd.DataFrame,
    *,
    method: str = "lime",
    n_samples: int = 1000,
    stable: float | None = None,
    seed: int = 0,
    boundary: str = "safe",
    joint: str | None = None,
    mask: str = "delete",
    features: str | None = None,
    labels: Sequence[str] | None = None,
    progress: bool | Callable[[int], object] = False,
) -> pd.DataFrame:
    """Weigh every word of every example for every class of the classifier.

    Words are features by (segment, position); the boundary between the two texts of a pair is never perturbed. Each
    example has its own random stream, from (seed, method, id): order and company change nothing, and two classifiers
    explained under one seed see the same perturbations, under two seeds independent ones.

    classifier: a Classifier; or anything that `as_classifier` makes one of, such as a callable from (text_a, text_b)
    to probabilities, (n, C), that has `.labels` or is given `labels`. examples: columns id, text_a, text_b; or id and
    what else is classified, `image` or `sound` (`modality.MODULES`), of which parts are the features, and the table's
    words their names.
    n_samples: budget of forward passes for one example (shap: max_evals). stable: the mean Jaccard index with the exact
    top ten that is enough (lime and shapley): an example that promises it is done before its budget is spent; see
    `stopping.agreement`. With ten words or fewer all are among them.
    boundary: "as-released" repeats the authors' scripts over the joined text instead (lime and shap; their own masking
    and features; single texts have no boundary and are explained as ever); joint: what they join by, " [SEP] " or two
    spaces, by default the former for three classes. mask: "delete", or the token that stands for a masked word; of
    arrays what stands where a part is left out, "delete" for the first of `Modality.masks`. features: how an array is
    cut, such as "grid-7x7"; None for the modality's own way.
    progress: whether to show a bar with the time left, on the error stream; or what is told how many more are done.

    Returns id, segment (0 or 1; -1 for the joint itself), position (from 0, within the segment), word (in Unicode's
    composed form, NFC, whatever form the text is in; as-released as it is written), label (class name), weight
    (float64); shapley adds standard_error. In `.attrs`: "boundary"; "skipped", id -> reason; "cut", id -> number of
    words beyond what the model takes, which get no weight; of arrays "mask" and "features"; "retokenised", the number
    of examples whose masked texts could not be put together from the token ids of their words; "passes", the number of
    forward passes; with `stable` "stopped", the number of examples done before their budget was spent; "segmentation",
    where any text is written without spaces: what cut it into words, see `words.segmentation`; "template" and
    "label_words", of a model that has them, its prompt and what tells its classes; of integrated-gradients
    "convergence", id -> the largest `methods.convergence_delta` over the classes; of gradient-x-input "left", id -> the
    largest share over the classes that its sums leave of their terms.

    Raises ExperimentError for unknown options, a budget below 2, a `stable` that is none or of a method that does not
    stop, or gradients of what has none, DataError for repeated ids, ModelError for probabilities that are none.
    """
    how = {"method": method, "n_samples": n_samples, "stable": stable, "boundary": boundary, "mask": mask}
    how |= {"features": features}
    check(examples, **how)
    classifier, kind = as_classifier(classifier, labels=labels), modality.of(examples)
    check(examples, **how, classifier=classifier)
    predictor = _predictor(classifier)
    joined = METHODS[method].joined if boundary == "as-released" else None
    reader = predictor.classifier if kind is None else classifier
    options = {"classifier": reader, "mask": mask, "joined": joined, "joint": joint, "features": features}
    found = [example_of(row, len(predictor.labels), **options) for row in examples.itertuples()]
    how = {"method": method, "n_samples": n_samples, "stable": stable, "seed": seed}
    table = weigh(found, predictor, **how, progress=progress)
    if kind is not None:
        table.attrs |= {"mask": kind.mask(mask), "features": kind.cut_by(features)}
    released = any(example.joint is not None for example in found)
    table.attrs = {"boundary": "as-released" if released else "safe", **table.attrs}
    if name := words.segmentation(text for example in found if isinstance(example, Texts) for text in example.sides):
        table.attrs["segmentation"] = name
    if getattr(classifier, "template", None) is not None:
        table.attrs["template"] = classifier.template.text
    if getattr(classifier, "words", ()):
        table.attrs["label_words"] = classifier.model.label_words.model_dump(mode="json")
    return table


def example_of(
    row,
    n_classes: int,
    *,
    classifier: "Classifier | None" = None,
    mask: str = "delete",
    joined: type[Joined] | None = None,
    joint: str | None = None,
    features: str | None = None,
) -> Features:
    """Return a row of a table of examples as what is explained; the one place where the kind of features is chosen.

    row: id, text_a and text_b, a text or none; or id and an array, cut into `features`. classifier: that will be asked;
    words that it does not see are left out. joined: the features of a pair that is joined as in the authors' scripts,
    by `joint`; None for words.
    """
    if (kind := modality.of(row._fields)) is not None:
        how = {"mask": kind.mask(mask), "cut": kind.cut_by(features)}
        return kind.example_of(row, n_classes, classifier=classifier, **how)
    if joined is not None and isinstance(row.text_b, str):
        return joined(row.id, n_classes, row.text_a, row.text_b, joint_of(joint, n_classes=n_classes))
    sides = (row.text_a, row.text_b) if isinstance(row.text_b, str) else (row.text_a,)
    return Texts(
        row.id, n_classes, sides, replacement(mask, getattr(classifier, "tokenizer", None)), classifier
    ).fitted()


def weigh(
    examples: Sequence[Features],
    predictor: "TokenPredictor | TextPredictor",
    *,
    method: str,
    n_samples: int = 1000,
    stable: float | None = None,
    seed: int = 0,
    progress: bool | Callable[[int], object] = False,
) -> pd.DataFrame:
    """Weigh every feature of examples of any kind; the table, and `.attrs` but the boundary, are those of `explain`.

    predictor: what answers for masks, with the classes as `.labels`.
    """
    chosen, size = METHODS[method], predictor.window
    until = {} if stable is None else {"stable": stable}

    def window(start: int) -> Generator[None, None, tuple[int, list]]:
        known = [example for example in examples[start : start + size] if example.n_features]
        at_work = [
            (example, chosen.of(example)(example, n_samples, stream(seed, method, example.id), **until))
            for example in known
        ]
        found = yield from answering(predictor, at_work)
        return start, list(zip(known, found, strict=True))

    works = map(window, range(0, len(examples), size))
    windows = _counted(in_turns(works, 2 if size > 1 else 1), examples, size, title=method, progress=progress)
    finished = [pair for _, pairs in sorted(windows, key=operator.itemgetter(0)) for pair in pairs]
    beside = {}
    if stable is not None:
        beside |= {"stopped": sum(early for _, (_, early) in finished)}
        finished = [(example, values) for example, (values, _) in finished]
    if chosen.beside is not None:
        name, kept = chosen.beside
        beside |= {name: {example.id: float(kept(values[1])) for example, values in finished}}
        finished = [(example, weights) for example, (weights, _) in finished]
    table = _table(finished, predictor.labels, with_errors=chosen.has_errors)
    table.attrs = {
        "skipped": {example.id: "no words" for example in examples if not example.n_features},
        "cut": {example.id: example.n_cut for example, _ in finished if example.n_cut},
        "retokenised": len(predictor.retokenised),
        "passes": predictor.passes,
        **beside,
    }
    return table


def gradient_notes(attributions: pd.DataFrame) -> list[str]:
    """Return what is to be said of weights by gradients that miss their sum, or are next to nothing; else nothing."""
    deltas, left = (list(attributions.attrs.get(name, {}).values()) for name in ("convergence", "left"))
    notes, beyond = [], [delta for delta in deltas if not delta <= TOLERANCE]
    if beyond:
        notes.append(
            f"the weights of {len(beyond)} of {len(deltas)} examples miss what the probability gains by more than "
            f"{TOLERANCE:.0%} of it, by {max(beyond):.0%} at most; a larger n_samples allows more steps"
        )
    if left and np.median(left) < CANCELLED:
        notes.append(
            "the model brings each embedding to one length before anything reads it, so that gradient times embedding "
            "is 0 and the weights are rounding; use another method, such as 'shapley'"
        )
    return notes


def check(
    examples: pd.DataFrame,
    *,
    method: str,
    n_samples: int,
    stable: float | None = None,
    boundary: str = "safe",
    mask: str = "delete",
    features: str | None = None,
    classifier: "Classifier | TextClassifier | None" = None,
) -> None:
    """Raise what `explain` would raise for these options and examples, before any model is run."""
    kind = modality.of(examples)
    masks = MASKS if kind is None else kind.mask_names
    for what, value, known in (("method", method, METHODS), ("boundary", boundary, BOUNDARIES), ("mask", mask, masks)):
        if value not in known:
            raise ExperimentError(f"unknown {what} {value!r}; {nearest(value, known)}")
    if boundary == "as-released" and not METHODS[method].as_released:
        known = listed(lambda of: of.as_released)
        raise ExperimentError(f"boundary='as-released' repeats the authors' {known}, not {method!r}; use 'safe'")
    if n_samples < 2:
        raise ExperimentError(f"n_samples={n_samples}: a method needs at least 2 forward passes")
    if stable is not None:
        check_stable(method, stable)
    for column in ("id", *(modality.TEXTS if kind is None else [kind.name])):
        if column not in examples:
            raise DataError(f"explain: no column {column!r} in the examples; {nearest(column, map(str, examples))}")
    if kind is None and features is not None:
        raise ExperimentError(f"features={features!r} cuts images or sound; those of texts are words: leave it out")
    if kind is not None and boundary != "safe":
        raise ExperimentError(f"boundary={boundary!r} repeats what the authors did with pairs of texts; leave it out")
    if kind is None:
        check_texts(examples["text_a"], "text_a", "explain")
        check_texts(examples["text_b"], "text_b", "explain", optional=True)
    else:
        check_arrays(examples, kind, "explain")
    if examples["id"].duplicated().any():
        raise DataError(f"id {examples['id'][examples['id'].duplicated()].iloc[0]!r} occurs twice; ids must be unique")
    if classifier is not None:
        _check_classifier(classifier, examples, kind, method=method, boundary=boundary, mask=mask)
    elif kind is not None:
        kind.check_fits(None, examples)
        _check_cut(examples, kind, features)


def _check_classifier(
    classifier: "Classifier | TextClassifier",
    examples: pd.DataFrame,
    kind: modality.Modality | None,
    *,
    method: str,
    boundary: str,
    mask: str,
) -> None:
    """Raise what asking this classifier would raise. kind: of the examples, None of texts."""
    if kind is not None:
        check_reads(classifier, kind)
        kind.check_fits(classifier, examples)
    if METHODS[method].needs_gradients:
        _check_gradients(classifier, method)
    if kind is not None:
        return
    replacement(mask, getattr(classifier, "tokenizer", None))
    if getattr(classifier, "words", ()):
        classifier.check_slots((examples["text_a"], examples["text_b"]), "explain")
    pairs = [isinstance(text, str) for text in examples["text_b"]]
    for keeps_boundary in {is_pair and boundary == "safe" for is_pair in pairs}:
        classifier.check_texts(pairs=keeps_boundary)


def _check_cut(examples: pd.DataFrame, kind: modality.Modality, features: str | None) -> None:
    """Raise what cutting an example of each shape into features raises."""
    shapes = examples[kind.name].map(np.shape)
    for row in examples[~shapes.duplicated()].itertuples():
        example_of(row, 1, features=features)


def check_stable(method: str, stable: float) -> None:
    """Raise ExperimentError for a method that does not stop, or a tolerance that is no mean Jaccard index below 1."""
    if not METHODS[method].stops:
        known = listed(lambda of: of.stops)
        raise ExperimentError(f"stable={stable}: {method!r} does not stop before its end; leave it out, or use {known}")
    if not 0 < stable < 1:
        raise ExperimentError(f"stable={stable}: give a mean Jaccard index between 0 and 1, such as 0.9")


def _check_gradients(classifier: "Classifier | TextClassifier", method: str) -> None:
    import transformers

    from trusteq.models.array_classifier import ArrayClassifier
    from trusteq.models.classifier import Classifier, ReadsTokens

    if isinstance(classifier, ArrayClassifier):
        return
    if not isinstance(classifier, Classifier):
        kind = "an ONNX graph" if isinstance(classifier, ReadsTokens) else "a callable"
        raise ExperimentError(
            f"{method} needs a model's gradients, and {kind} has none; "
            "give a Classifier (trusteq.load_classifier), or use another method, such as 'shapley'"
        )
    if not classifier.tokenizer.is_fast:
        raise ExperimentError(
            f"{method} needs to know where each token stands in the text, and {type(classifier.tokenizer).__name__} "
            "does not tell; save the model with a fast tokenizer, or use another method, such as 'shapley'"
        )
    if getattr(classifier.model.config, "is_encoder_decoder", False):
        raise ExperimentError(
            f"{method} follows the one embedding that a model reads, and {type(classifier.model).__name__} reads its "
            "text twice, in encoder and decoder; use another method, such as 'shapley'"
        )
    if isinstance(classifier.model, transformers.XLNetPreTrainedModel):
        raise ExperimentError(
            f"{method} needs embeddings of (texts, tokens, hidden size), and {type(classifier.model).__name__} turns "
            "its texts on their side; use another method, such as 'shapley'"
        )
    if METHODS[method].needs_padding and classifier.tokenizer.pad_token_id is None:
        raise ExperimentError(f"{method} starts from padding, and the tokenizer has no pad_token; set one")


def check_reads(classifier, kind: "modality.Modality | None") -> None:
    """Raise ModelError where a checkpoint reads another kind of input than the examples are of."""
    own = getattr(classifier, "modality", None)
    if (is_checkpoint(classifier) or hasattr(classifier, "tokenizer")) and own is not kind:
        read, found = (of.name if of else "text" for of in (own, kind))
        raise ModelError(f"the model reads {read}, and the examples hold {found}; give a model of {found}")


def _predictor(classifier: "Classifier | TextClassifier") -> "TokenPredictor | TextPredictor":
    if not isinstance(classifier, TextClassifier):  # a function of texts is explained without torch
        from trusteq.attribution.tokens import TokenPredictor
        from trusteq.models.classifier import ReadsTokens

        if isinstance(classifier, ReadsTokens):
            return TokenPredictor(classifier)
    return TextPredictor(classifier.predict_proba, classifier.labels)


def _counted(
    windows: Iterator[tuple[int, list]],
    examples: Sequence[Features],
    size: int,
    *,
    title: str,
    progress: bool | Callable[[int], object],
) -> Iterator[tuple[int, list]]:
    """Yield windows of `size` examples as they are done, under a bar that counts the examples, if one is asked for."""
    n = len(examples)
    with bar_of(n, title, progress is True) as bar:
        for start, pairs in windows:
            yield start, pairs
            (progress if callable(progress) else bar.update)(min(size, n - start))


def bar_of(n: int, title: str, is_shown: bool, *, done: int = 0, unit: str = " examples") -> tqdm:
    """Return a bar of `n` units with the time left, on the error stream."""
    return tqdm(total=n, initial=done, desc=plain(title), unit=unit, mininterval=1, ascii=True, disable=not is_shown)


def _table(finished: list[tuple[Features, object]], labels: Sequence[str], *, with_errors: bool) -> pd.DataFrame:
    """Return the rows of all examples: example by example, class by class, in the order of the features.

    finished: each example and what the method returned for it.
    """
    types = TYPES | ({"standard_error": "float64"} if with_errors else {})
    if not finished:
        return pd.DataFrame(columns=list(types)).astype(types)
    counts = np.array([example.n_features for example, _ in finished])
    segment, position, word = zip(*(feature for example, _ in finished for feature in example.features), strict=True)
    of_row, label_of_row = [], []  # number of the feature, counted over all examples, and of the class
    for start, count in zip(np.cumsum(counts) - counts, counts, strict=True):
        of_row.append(np.tile(np.arange(start, start + count), len(labels)))
        label_of_row.append(np.repeat(np.arange(len(labels)), count))
    of_row, label_of_row = np.concatenate(of_row), np.concatenate(label_of_row)
    # Arrays of references: an array of strings would be as wide as the longest word in every row.
    columns = {
        "id": np.repeat(np.array([example.id for example, _ in finished], dtype=object), counts * len(labels)),
        "segment": np.array(segment)[of_row],
        "position": np.array(position)[of_row],
        "word": np.array(word, dtype=object)[of_row],
        "label": np.array(labels, dtype=object)[label_of_row],
    }
    values = [values if isinstance(values, tuple) else (values,) for _, values in finished]
    for name, parts in zip(list(types)[len(columns) :], zip(*values, strict=True), strict=True):
        columns[name] = np.concatenate([part.T.ravel() for part in parts])
    return pd.DataFrame(columns).astype(types)


def together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of all parts, in order, as the table that one run would have made, `.attrs` included."""
    # Built anew from plain arrays: a concatenation is kept in chunks, which the bytes of its Parquet file would show.
    columns = {name: np.concatenate([table[name].to_numpy() for table in tables]) for name in tables[0]}
    whole = pd.DataFrame(columns).astype(tables[0].dtypes)
    whole.attrs = merged_attrs([table.attrs for table in tables])
    return whole


def merged_attrs(parts: list[dict]) -> dict:
    """Return the `.attrs` of the whole from those of all parts, in order."""
    names = dict.fromkeys(itertools.chain.from_iterable(parts))
    return {name: _merged([attrs[name] for attrs in parts if name in attrs]) for name in names}


def _merged(values: list):
    """Return one attribute of the whole from those of the parts: counts are summed, entries by example id united."""
    if isinstance(values[0], int):
        return sum(values)
    if isinstance(values[0], dict):
        return functools.reduce(operator.or_, values)
    return next((value for value in values if value != "safe"), "safe")  # the boundary; a part may hold no pair
