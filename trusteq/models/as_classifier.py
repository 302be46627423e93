"""Anything that classifies texts as one thing: `predict_proba(text_a, text_b)` and `labels`.

The libraries are imported only where the object is of theirs: whoever has one has imported it already.
"""

import importlib.util
import inspect
import json
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tenacity

from trusteq.errors import ModelError, TrusteqError, nearest
from trusteq.models.probabilities import check_output, checked_labels

PAIR = ("text_a", "text_b")
TRIES = 5  # of a callable, which may stand for a server
FEW = 64  # texts: more than these are asked again in halves, since one call for them may be many requests
# Seconds: 0.5, 2, 8 and 32, and up to half a second more, so that not all who wait come back at once.
FIRST_WAIT = 0.5
WAIT = tenacity.wait_exponential(multiplier=FIRST_WAIT, exp_base=4) + tenacity.wait_random(0, 0.5)
# What asking again does not mend: mistakes in the callable itself. Of ValueError see `_may_pass`.
_MISTAKES = (TrusteqError, TypeError, AttributeError, NameError, ImportError, LookupError, ArithmeticError)
_MISTAKES += (AssertionError, NotImplementedError, RecursionError, MemoryError, SyntaxError)


@dataclass(frozen=True)
class TextClassifier:
    """A function of texts with the names of its classes.

    ask: takes first texts, and second ones if it `reads_pairs`; returns one distribution over `labels` a text, (n, C).
    reads_singles: whether it takes texts without a second one. name: what it is called in an error. tries: how often
    it is asked before it counts as failed; 1 of what runs in this process. source: hash of the file it comes from.
    calls: how often it was called, and how often it failed and was asked again.
    """

    ask: Callable
    labels: tuple[str, ...]
    name: str
    reads_pairs: bool = True
    reads_singles: bool = True
    tries: int = TRIES
    source: str | None = None
    calls: Counter = field(default_factory=Counter, compare=False, repr=False)

    def predict_proba(self, text_a: Sequence[str], text_b: Sequence[str | None] | None = None) -> np.ndarray:
        """Return class probabilities, float64 of shape (n, C), rows summing to 1.

        text_b: the second texts of pairs; None, or all missing, for single texts. Raises ModelError for what are no
        probabilities, for pairs where it reads single texts or the other way round, and, caused by its last exception,
        where it has failed so often that it is not asked again.
        """
        firsts = list(text_a)
        seconds = None if text_b is None or not any(isinstance(text, str) for text in text_b) else list(text_b)
        if not firsts:
            return np.empty((0, len(self.labels)))
        self.check_texts(pairs=seconds is not None)
        return check_output(self._answer(firsts, seconds), len(firsts), self.labels)

    __call__ = predict_proba

    def _answer(self, firsts: list[str], seconds: list[str | None] | None):
        """Return what it says of texts, asked again after a wait where it fails in a way that may pass.

        More than `FEW` texts are asked again in halves, each with tries of its own: of a call that is many requests, of
        which one in ten fails, hardly any would ever succeed.
        """
        if self.tries == 1:
            return self._ask(firsts, seconds)
        if len(firsts) <= FEW:
            return self._persistent(firsts, seconds)
        try:
            self.calls["calls"] += 1
            return self._ask(firsts, seconds)
        except Exception as error:
            if not _may_pass(error):
                raise
        self.calls["failed"] += 1
        tenacity.nap.sleep(FIRST_WAIT)
        half = len(firsts) // 2
        parts = [(firsts[of], seconds and seconds[of]) for of in (slice(half), slice(half, None))]
        return np.concatenate([check_output(self._answer(*part), len(part[0]), self.labels) for part in parts])

    def _persistent(self, firsts: list[str], seconds: list[str | None] | None):
        """Return what it says of a few texts; raise ModelError where it has failed `tries` times."""
        stop, may_pass = tenacity.stop_after_attempt(self.tries), tenacity.retry_if_exception(_may_pass)
        try:
            for attempt in tenacity.Retrying(stop=stop, wait=WAIT, retry=may_pass):
                self.calls["calls"] += 1
                self.calls["failed"] += attempt.retry_state.attempt_number > 1
                with attempt:
                    return self._ask(firsts, seconds)
        except tenacity.RetryError as failed:
            last = failed.last_attempt.exception()
            said = " ".join(f"{type(last).__name__}: {last}".split())
            raise ModelError(
                f"{self.name} failed {self.tries} times for {len(firsts)} texts, the last time with {said}"
            ) from last

    def _ask(self, firsts: list[str], seconds: list[str | None] | None):
        """Ask once, with lists and arrays of its own, to be changed; SystemExit would pass for an answer of ours."""
        try:
            firsts = [of.copy() if isinstance(of, np.ndarray) else of for of in firsts]
            return self.ask(firsts, None if seconds is None else list(seconds))
        except SystemExit as error:
            raise ModelError(f"{self.name} called sys.exit({error.code!r}); let it raise an error instead") from None

    def check_texts(self, *, pairs: bool) -> None:
        """Raise ModelError if it cannot read pairs, or single texts, before it is asked."""
        if pairs and not self.reads_pairs:
            raise ModelError(
                f"{self.name} reads one text, and the examples are pairs; give a function (text_a, text_b) -> "
                "probabilities, or an sklearn Pipeline fitted on a DataFrame with the columns text_a and text_b"
            )
        if not pairs and not self.reads_singles:
            raise ModelError(f"{self.name} reads pairs, and the examples are single texts; give text_b")


def _may_pass(error: BaseException) -> bool:
    """Return whether asking again may help: networks and servers fail in ways of their own, a mistake stays one."""
    if isinstance(error, json.JSONDecodeError):  # half an answer
        return True
    return isinstance(error, Exception) and not isinstance(error, (*_MISTAKES, ValueError))


def as_classifier(object, *, labels: Sequence[str] | None = None):
    """Return a classifier made of anything that turns texts into class probabilities.

    object: a Classifier, which is returned as it is; (model, tokenizer) of transformers, its text-classification
    pipeline, or a CrossEncoder of sentence-transformers, which become Classifiers (set to predict, and given a padding
    token where there is none); (session, tokenizer) of ONNX Runtime, asked one text at a time; an estimator or Pipeline
    of sklearn with `predict_proba`, on a list of texts, or on a DataFrame with the columns text_a and text_b if it was
    fitted on one; (SentenceTransformer, estimator), fitted on what `encode(texts)` gives; a callable, or an object with
    `predict_proba`, of one list of texts or of two.
    labels: class names in the order of the probabilities, for what has none of its own (`.labels`, an sklearn
    estimator's `classes_` where they are no indices, id2label of a model).

    Raises ModelError in one line for what cannot be used, and later for outputs that are no probabilities.
    """
    for of_this_kind, make in (
        (_is_ours, lambda found, labels: found),
        (_holds("transformers", "PreTrainedModel"), lambda found, labels: _of_checkpoint(*found, labels)),
        (_is_a("transformers", "PreTrainedModel"), lambda found, labels: _of_checkpoint(found, None, labels)),
        (_holds("onnxruntime", "InferenceSession"), _of_session),
        (_holds("sentence_transformers", "SentenceTransformer"), _of_embedder),
        (_is_a("transformers", "Pipeline"), _of_pipeline),
        (_is_a("sentence_transformers", "CrossEncoder"), _of_cross_encoder),
        (_is_estimator, _of_estimator),
    ):
        if of_this_kind(object):
            return make(object, labels)
    return _of_callable(object, labels)


def _class_of(module: str, name: str) -> type | tuple:
    """Return a class of a module that somebody has imported; an empty tuple, which nothing is one of, if nobody has."""
    return getattr(sys.modules[module], name) if module in sys.modules else ()


def _is_a(module: str, name: str) -> Callable:
    return lambda object: isinstance(object, _class_of(module, name))


def _holds(module: str, name: str) -> Callable:
    return lambda object: isinstance(object, tuple) and any(map(_is_a(module, name), object))


def _is_ours(object) -> bool:
    tokens = _class_of("trusteq.models.classifier", "ReadsTokens")
    return isinstance(object, (TextClassifier, tokens)) or is_checkpoint(object)


def is_checkpoint(model) -> bool:
    """Return whether a classifier is a checkpoint with weights at hand, of which torch is then imported."""
    return isinstance(model, _class_of("trusteq.models.checkpoint", "Checkpoint"))


def _is_estimator(object) -> bool:
    return hasattr(object, "fit") and hasattr(object, "get_params") and not isinstance(object, type)


def _of_checkpoint(model, tokenizer=None, *labels):
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trusteq.models import classifier

    if len(labels) != 1 or not isinstance(model, PreTrainedModel) or not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise ModelError("of transformers, give (model, tokenizer), in this order")
    name = type(model).__name__
    names = classifier.class_names(name, model.config, labels[0])
    ready = classifier.as_classifier(model, tokenizer, names, device=model.device)
    return classifier.in_any_company(name, ready)


def _of_pipeline(pipeline, labels):
    if pipeline.task != "text-classification" or pipeline.tokenizer is None:
        raise ModelError(f"a pipeline for {pipeline.task}; give one for text-classification")
    function = getattr(pipeline._postprocess_params.get("function_to_apply"), "value", "softmax")
    if function != "softmax":
        raise ModelError(f"the pipeline applies {function}, and its outputs are no distribution; make it with softmax")
    return _of_checkpoint(pipeline.model, pipeline.tokenizer, labels)


def _of_cross_encoder(encoder, labels):
    function = type(encoder.activation_fn).__name__
    if function not in ("Identity", "Softmax"):
        raise ModelError(f"the CrossEncoder applies {function}; one that chooses a class has logits, or their softmax")
    return _of_checkpoint(encoder.model, encoder.tokenizer, labels)


def _of_session(found: tuple, labels):
    from transformers import PreTrainedTokenizerBase

    from trusteq.models.onnx_session import of_session

    if len(found) != 2 or not isinstance(found[1], PreTrainedTokenizerBase):
        raise ModelError("of ONNX Runtime, give (session, tokenizer), in this order")
    if labels is None:
        raise ModelError("an ONNX graph has no class names; give labels=(...), in the order of its outputs")
    return of_session(*found, labels)


def _of_embedder(found: tuple, labels):
    if len(found) != 2 or not _is_estimator(found[1]):
        raise ModelError(
            "of sentence-transformers, give (SentenceTransformer, fitted sklearn estimator), in this order"
        )
    encoder, head = found
    of_head = _of_estimator(head, labels)

    def ask(firsts, _):
        return of_head.ask(encoder.encode(firsts, show_progress_bar=False), None)

    return replace(of_head, ask=ask, name=f"SentenceTransformer with {of_head.name}", reads_pairs=False)


def _of_estimator(estimator, labels):
    name = type(estimator).__name__
    if not hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba"):
        raise ModelError(f"{name} gives no probabilities or is not fitted; fit it, or take another")
    if not hasattr(estimator, "predict_proba"):
        raise ModelError(f"{name} gives no probabilities; wrap it in sklearn's CalibratedClassifierCV")
    if not hasattr(estimator, "classes_"):
        raise ModelError(f"{name} is not fitted; call fit first")
    names = _names_of_classes(name, list(estimator.classes_), labels)
    columns = set(map(str, getattr(estimator, "feature_names_in_", ()))) & set(PAIR)
    if not columns:
        return TextClassifier(
            lambda firsts, _: estimator.predict_proba(firsts), names, name, reads_pairs=False, tries=1
        )

    def ask(firsts, seconds):
        import pandas as pd

        texts = {"text_a": firsts} | ({} if seconds is None else {"text_b": seconds})
        return estimator.predict_proba(pd.DataFrame(texts))

    reads_pairs = "text_b" in columns
    return TextClassifier(ask, names, name, reads_pairs=reads_pairs, reads_singles=not reads_pairs, tries=1)


def _names_of_classes(name: str, classes: list, labels: Sequence[str] | None) -> tuple[str, ...]:
    """Return names in the order of an estimator's classes: its own, or of indices those given."""
    if len(classes) < 2:
        raise ModelError(f"{name} knows {len(classes)} class; a classifier chooses one of two classes or more")
    own = tuple(map(str, classes))
    if labels is None or {name.casefold() for name in own} == {str(label).casefold() for label in labels}:
        return own
    if not all(isinstance(value, (int, np.integer)) and 0 <= value < len(labels) for value in classes):
        raise ModelError(f"{name}: its classes_ are {', '.join(own)}, and labels {', '.join(map(str, labels))}")
    if len(set(labels)) != len(classes) or len(labels) != len(classes):
        raise ModelError(f"{name}: its classes_ are {', '.join(own)}; give one label each, not {len(labels)}")
    return tuple(str(labels[value]) for value in classes)


def _of_callable(object, labels):
    function = getattr(object, "predict_proba", object)
    if isinstance(object, type) or not callable(function):
        raise ModelError(
            f"{type(object).__name__} is no classifier; give a checkpoint's Classifier, (model, tokenizer), "
            "(session, tokenizer), a pipeline, an sklearn estimator or a callable (text_a, text_b) -> probabilities"
        )
    own = getattr(object, "labels", None) if labels is None else labels
    if own is None:
        raise ModelError(
            "a classifier is callable, (text_a, text_b) -> probabilities, and has `.labels`; or give labels=(...)"
        )
    name = getattr(object, "__name__", type(object).__name__)
    labels = checked_labels(own, where=name)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise ModelError(f"{name} is async; give a function that returns the probabilities, by asyncio.run")
    needed, possible = _lists_taken(function)
    if needed > 2 or not possible:
        raise ModelError(f"{name} takes {needed} arguments; a classifier takes one list of texts, or two")

    def ask(firsts, seconds):
        return function(firsts) if seconds is None and needed < 2 else function(*(firsts, seconds)[:possible])

    return TextClassifier(ask, labels, name, reads_pairs=possible == 2)


def _lists_taken(function: Callable) -> tuple[int, int]:
    """Return how many arguments a callable needs by position, and how many lists of texts it can take, 2 at most.

    A second argument that need not be given is one for texts if its default is None: another default says what it is.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # written in C, and does not tell
        return 2, 2
    positional = [of for of in parameters if of.kind in (of.POSITIONAL_ONLY, of.POSITIONAL_OR_KEYWORD)]
    needed = sum(of.default is of.empty for of in positional)
    if any(of.kind is of.VAR_POSITIONAL for of in parameters):
        return needed, 2
    possible = needed if len(positional) == needed else needed + (positional[needed].default is None)
    return needed, min(possible, 2)


def named_classifier(
    name: str,
    *,
    hub=None,
    labels: Sequence[str] | None = None,
    template: str | None = None,
    words: Mapping[str, str] | None = None,
):
    """Return the classifier that a word of the command line names.

    name: a checkpoint's folder or a Hub id (see `load_classifier`, for template and words as well); an .onnx file, or
    the folder of one that holds no other weights; a function of texts, or whatever else `as_classifier` takes, as
    "file.py:name" or "package.module:name". Raises ModelError where there is no such thing.
    """
    place, colon, member = name.rpartition(":")
    if name.removesuffix(":").endswith(".py") and not Path(name).is_dir():
        raise ModelError(f"{name}: a file of Python; name what is in it, as {name.removesuffix(':')}:FUNCTION")
    if not colon or not member.isidentifier() or Path(name).exists():
        from trusteq.models.classifier import load_classifier
        from trusteq.models.onnx_session import graph_file, load_graph

        if (file := graph_file(name, hub)) is not None:
            return load_graph(file, labels=labels, template=template)
        return load_classifier(name, hub=hub, labels=labels, template=template, words=words)
    if template is not None or words is not None:
        raise _no_template(name)
    module = _module(place, name)
    if not hasattr(module, member):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise ModelError(f"{name}: {place} has no {member!r}; {nearest(member, public)}")
    from trusteq.store import sha256

    found = as_classifier(getattr(module, member), labels=labels)
    file = getattr(module, "__file__", None)
    return replace(found, source=sha256(Path(file))) if file and isinstance(found, TextClassifier) else found


def named_classifiers(
    names: Sequence[str], *, template: str | None = None, words: Mapping[str, str] | None = None, **given
) -> list:
    """Return the classifiers that words of the command line name: see `named_classifier`.

    template: of those that need one, whose tokenizer puts nothing between two texts; the others read pairs as they were
    trained to. Where none needs one, all checkpoints are given it. With words it is the prompt of language models.
    """
    if words is not None:
        takes = [_takes_words(name, given.get("hub")) for name in names]
        asked = takes if any(takes) else [True] * len(names)
        prompt = {"template": template, "words": words}
        return [named_classifier(name, **given, **prompt if of else {}) for name, of in zip(names, asked, strict=True)]
    found = [named_classifier(name, **given) for name in names]
    if template is None:
        return found
    needs = [getattr(one, "needs_template", False) for one in found]
    asked = needs if any(needs) else [True] * len(found)
    return [_joined(name, one, template) if of else one for name, one, of in zip(names, found, asked, strict=True)]


def _takes_words(name: str, hub) -> bool:
    """Return whether a word of the command line names a language model; what cannot be read is said where it is."""
    if not Path(name).exists() and name.rpartition(":")[2].isidentifier():
        return False
    from trusteq.models.classifier import load_config
    from trusteq.models.label_words import is_causal

    try:
        return is_causal(load_config(name, hub=hub))
    except TrusteqError:
        return False


def _no_template(name: str) -> ModelError:
    return ModelError(f"{name}: a template, or words, are for checkpoints; a function joins its texts itself")


def _joined(name: str, one, template: str):
    if not hasattr(one, "joined_by"):
        raise _no_template(name)
    return one.joined_by(template)


def _module(place: str, name: str):
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        # By its whole path: two files of one name are two modules. Dataclasses and pickle look it up among all others.
        path = zlib.crc32(str(Path(place).resolve()).encode())
        spec = importlib.util.spec_from_file_location(f"{Path(place).stem}_{path:08x}", place)
        module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:  # the user's own code may fail in any way, or end the process
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(f"{name}: {place} cannot be imported ({said})") from None
