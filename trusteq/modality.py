"""What a classifier may read beside text: each kind of input is one record, of one module, with all that others ask."""

import hashlib
import importlib
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trusteq.errors import ArtefactError, DataError, ExperimentError, nearest, reading

# The column that holds the inputs in a table of examples -> the module whose MODALITY describes them.
MODULES: dict[str, str] = {"image": "trusteq.modalities.image", "sound": "trusteq.modalities.sound"}
TEXTS = ("text_a", "text_b")
Place = tuple[int, int]  # of a feature: segment, which is 0 of an array, and position


@dataclass(frozen=True)
class Modality:
    """A kind of input that a model reads as an array: images, sound.

    name: column of a table of examples that holds the arrays. units: what its features are called. cut: how an input is
    cut into features unless told otherwise. cuts: patterns of the names of all cuts. suffixes: of files of this kind.
    masks: what may stand where a feature is left out; the first is what "delete" means.
    read: a file, open or by path, and what it is called in an error (by default its path) -> array and facts about it
    (such as {"rate": 8000}), which are columns of the table too.
    check: array, where it is from -> raises DataError in one line for what is no input of this kind.
    check_fits: classifier (an `ArrayClassifier`, or any other, which tells nothing), table -> raises DataError, by row,
    for inputs that it does not take.
    example_of: row of a table, number of classes, and by name classifier, mask and cut -> what is explained; raises
    ExperimentError for a cut that is none.
    auto_model, auto_processor: classes of transformers that load a checkpoint. argument: of the model, its input.
    encode: processor, list of arrays -> float32 (n, ...), what the model is given.
    pages: module that shows an input: `marked(row, weights, top, cut)`, of a row of a table, the weight of each feature
    by its position, the positions of the top ones and the cut, is HTML; and `side_by_side`, of several models.
    scratch: `registry.Scratch`, names of classes for the configuration, one array, and by name its facts ->
    (configuration, processor) of a model that is trained from random weights. facts: columns beside the arrays, which
    `read` returns with them. smallest: one array -> what is left of it, and settings of `registry.Scratch`, for a model
    from scratch that is as small as it gets.
    """

    name: str
    units: str
    cut: str
    cuts: tuple[str, ...]
    suffixes: tuple[str, ...]
    masks: tuple[str, ...]
    read: Callable[..., tuple[np.ndarray, dict[str, Any]]]
    check: Callable[[object, str], None]
    check_fits: Callable[[object, pd.DataFrame], None]
    example_of: Callable
    auto_model: str
    auto_processor: str
    argument: str
    encode: Callable[[object, list[np.ndarray]], np.ndarray]
    scratch: Callable[..., tuple[object, object]]
    pages: str
    facts: tuple[str, ...] = ()
    smallest: Callable[[np.ndarray], tuple[np.ndarray, dict[str, Any]]] = lambda array: (array, {})

    def marked(self, row, weights: Mapping[Place, float], top: Collection[Place], cut: str | None) -> str:
        """Return an input as HTML, each of its features coloured by its weight, the top ones framed."""
        of_position = {position: weight for (_, position), weight in weights.items()}
        positions = {position for _, position in top}
        return importlib.import_module(self.pages).marked(row, of_position, positions, self.cut_by(cut))

    def side_by_side(self, row, attributions: Mapping[str, pd.DataFrame], label: str, *, cut: str, k: int):
        """Return an input as several models see it for a class, their top sets and the overlap, to be displayed."""
        return importlib.import_module(self.pages).side_by_side(row, attributions, label, cut=cut, k=k)

    def check_cut(self, name: str) -> None:
        """Raise ExperimentError for what is no name of a cut."""
        if not any(re.fullmatch(pattern, name) for pattern in self.cuts):
            raise ExperimentError(f"unknown features {name!r}; of {self.units}, such as {self.cut!r}")

    def cut_by(self, name: str | None) -> str:
        """Return the cut that is meant: None is the modality's own."""
        return self.cut if name is None else name

    @property
    def mask_names(self) -> tuple[str, ...]:
        """What a mask may be called."""
        return "delete", *self.masks

    def mask(self, name: str) -> str:
        """Return the mask that is meant: "delete" is the first."""
        return self.masks[0] if name == "delete" else name


def load(name: str) -> Modality:
    """Return the modality of a name."""
    return importlib.import_module(MODULES[name]).MODALITY


def of(columns: "pd.DataFrame | Mapping") -> Modality | None:
    """Return the modality of a table of examples, or of a task's columns; None for texts, beside which others are not.

    Raises DataError for a table of two other kinds of input.
    """
    found = [name for name in MODULES if name in columns]
    if TEXTS[0] in columns or not found:
        return None
    if len(found) > 1:
        raise DataError(f"the examples have the columns {' and '.join(found)}; give one kind of input")
    return load(found[0])


def of_config(config) -> Modality | None:
    """Return the modality that a configuration of transformers is for; None for texts.

    Where a kind of model classifies several, the class that it was saved as tells.
    """
    import transformers

    kind, written_by = type(config), (getattr(config, "architectures", None) or [""])[0]
    for modality in map(load, MODULES):
        known = getattr(transformers, modality.auto_model)._model_mapping
        texts = kind in transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
        if kind in known and (not texts or known[kind].__name__ == written_by):
            return modality
    return None


def with_facts(table: pd.DataFrame, kind: Modality) -> pd.DataFrame:
    """Return a table whose column holds what `Modality.read` returned with arrays there, and the facts in columns."""
    found = [(None, {}) if of is None else of for of in table[kind.name]]
    facts = pd.DataFrame([facts for _, facts in found], index=table.index)
    arrays = pd.Series([array for array, _ in found], index=table.index, dtype=object)
    return table.assign(**{kind.name: arrays}, **{name: facts[name] for name in facts})


def column_of(examples: pd.DataFrame) -> str:
    """Return the column that holds the inputs, of a pair the first: of what is in it alike belongs together."""
    kind = of(examples)
    return TEXTS[0] if kind is None else kind.name


def read_file(path: Path, kind: Modality | None) -> pd.DataFrame:
    """Return a file as a table of one example, read as this kind of input; None: as its name says.

    Raises DataError for a file that is none of any kind, or cannot be read.
    """
    if kind is None:
        known = {suffix: name for name in MODULES for suffix in load(name).suffixes}
        if path.suffix.lower() not in known:
            raise DataError(f"{path}: unknown extension {path.suffix!r}; {nearest(path.suffix, known)}")
        kind = load(known[path.suffix.lower()])
    array, facts = kind.read(path)
    arrays = pd.Series([array], dtype=object)
    return pd.DataFrame({"id": ["example"], kind.name: arrays} | {name: [of] for name, of in facts.items()})


def hashed(array: np.ndarray) -> str:
    """Return what an array is known by: arrays of one hash are one."""
    found = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    found.update(np.ascontiguousarray(array))
    return found.hexdigest()


def known_by(examples: pd.DataFrame) -> np.ndarray:
    """Return what each example's first text, or array, is known by, (n,): the text itself, or a hash with its facts."""
    if (kind := of(examples)) is None:
        return examples[TEXTS[0]].to_numpy(dtype=object)
    facts = [examples[name] for name in kind.facts if name in examples]
    rows = zip(map(hashed, examples[kind.name]), *facts, strict=True)
    return np.array([" ".join(map(str, row)) for row in rows], dtype=object)


def size_of(inputs: Iterable) -> int:
    """Return how long the texts, or how large the arrays, of one example are; what is missing counts nothing."""
    return sum(len(of) if isinstance(of, str) else np.size(of) for of in inputs if isinstance(of, str | np.ndarray))


def packed(examples: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose arrays are bytes, as numpy saves them, and whose facts are numbers, as a file can hold them.

    What generators say besides, such as the words of a clip, is left out.
    """
    kind = of(examples)
    name, plain = kind.name, ["id", kind.name, *kind.facts, "label"]

    def saved(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array, allow_pickle=False)
        return file.getvalue()

    return examples[plain].assign(**{name: list(map(saved, examples[name]))})


def unpacked(examples: pd.DataFrame) -> pd.DataFrame:
    """Return the table that `packed` was given; raise ArtefactError for bytes that are no array."""
    name = column_of(examples)
    with reading(ArtefactError, f"column {name}", "publish it again"):
        arrays = [np.load(io.BytesIO(of), allow_pickle=False) for of in examples[name]]
    return examples.assign(**{name: pd.Series(arrays, index=examples.index, dtype=object)})


def given(examples: pd.DataFrame) -> tuple[list | None, ...]:
    """Return the arguments of `predict_proba` for a table of examples: arrays; texts, and second ones of pairs."""
    modality = of(examples)
    if modality is not None:
        return (examples[modality.name].tolist(),)
    firsts, seconds = (examples[name].tolist() for name in TEXTS)
    return firsts, seconds if any(isinstance(text, str) for text in seconds) else None
