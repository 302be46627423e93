"""Tasks and models as data: reads `registry.yaml`, validated, unknown keys refused."""

import functools
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from trusteq import bounds
from trusteq.errors import ExperimentError, ModelError, nearest, reading
from trusteq.escapes import plain
from trusteq.models.compress import WAYS, check_options
from trusteq.models.template import Template

REGISTRY = Path(__file__).with_name("registry.yaml")
# What a task can be generated as -> the module whose generate(name, split) makes the examples.
GENERATORS = {
    "nli": "trusteq.examples.synthetic",
    "paraphrase": "trusteq.examples.synthetic",
    "digits": "trusteq.examples.digits",
    "digits-beside": "trusteq.examples.digits",
    "spoken": "trusteq.examples.spoken",
}


class Entry(BaseModel):
    """An immutable piece of configuration that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


E = TypeVar("E", bound=Entry)


def _one_line(text: str) -> str:
    if plain(text) != text:
        raise ValueError(f"{text!r:.60}: give one line of text, without control characters")
    return text


# Of what pages call things by. Whatever else is in it is shown as it stands.
Title = Annotated[str, Field(max_length=300), AfterValidator(_one_line)]


class Source(Entry):
    """One split of one data set on the Hub, or in a mirror of it; or one file of examples.

    file: csv, tsv, txt, jsonl or parquet (see `examples.read_examples`). A relative path starts from the working
    directory of the command that loads the experiment, and is made absolute at once: jobs run in folders of their own.
    """

    dataset: str | None = None
    config: str | None = None
    split: str | None = None
    file: Path | None = None

    @field_validator("file")
    @classmethod
    def _from_here(cls, file: Path | None) -> Path | None:
        return None if file is None else file.absolute()

    @model_validator(mode="after")
    def _one_origin(self):
        if (self.dataset is None) == (self.file is None):
            raise ValueError("a source takes exactly one of 'dataset' and 'file'")
        if self.dataset is not None and self.split is None:
            raise ValueError(f"'dataset' {self.dataset!r} needs the 'split' that is read")
        if self.file is not None and (self.config or self.split):
            raise ValueError("'config' and 'split' belong to a 'dataset'; a 'file' is read whole")
        return self


Sources = Annotated[tuple[Source, ...], Field(min_length=1)]


class Splits(Entry):
    """Where the splits of a task come from; without `dev`, a seeded 10% of `train` is held out by first text."""

    train: Sources
    dev: Sources | None = None
    test: Sources


class Task(Entry):
    """A classification task over single texts, pairs of texts, images or sounds.

    labels: class names, in the order of the label indices.
    columns: the source's column for each of `text_a`, `text_b` (absent for single texts) and `label`; for `image` or
    `sound` in place of texts.
    generated: a name in GENERATORS.
    paper: the task of the paper whose numbers stand beside ours, "nli" or "pi".
    features: how images, or sound, are cut into what is explained, such as "grid-4x8" (`modality.Modality.cut`).
    """

    name: str
    title: Title
    labels: Annotated[tuple[Title, ...], Field(min_length=2, max_length=bounds.MOST_CLASSES)]
    columns: dict[Literal["text_a", "text_b", "image", "sound", "label"], str]
    paper: Literal["nli", "pi"] | None = None
    generated: Literal[tuple(GENERATORS)] | None = None
    splits: Splits | None = None
    features: str | None = None

    @model_validator(mode="after")
    def _one_source(self):
        if (self.generated is None) == (self.splits is None):
            raise ValueError("a task takes exactly one of 'generated' and 'splits'")
        return self

    @model_validator(mode="after")
    def _one_kind(self):
        texts, arrays = self.columns.keys() & {"text_a", "text_b"}, self.columns.keys() & {"image", "sound"}
        if texts == {"text_b"} or bool(texts) + len(arrays) != 1 or "label" not in self.columns:
            raise ValueError("'columns' are those of 'label' and one input: text_a (text_b of pairs), image or sound")
        if self.features is not None:
            from trusteq import modality

            if (kind := modality.of(self.columns)) is None:
                raise ValueError(f"features {self.features!r} cuts images or sound; those of texts are words")
            kind.check_cut(self.features)
        return self


Width = Annotated[int, Field(ge=1, le=bounds.MOST_WIDTH)]
# A field that is not said where there is none, as before models could have it: keys are what they were.
LATER = Field(None, exclude_if=lambda value: value is None)


class Scratch(Entry):
    """The shape of a transformer trained from random weights: of a BERT, or of one that reads arrays in patches.

    patch_size: pixels of the side of what such a one takes for a token.
    """

    num_hidden_layers: Annotated[int, Field(ge=1, le=bounds.MOST_LAYERS)]
    hidden_size: Width
    num_attention_heads: Width
    intermediate_size: Width
    max_position_embeddings: Width = 128
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    initializer_range: float = 0.02
    patch_size: Width | None = LATER


class Compression(Entry):
    """How a model is made from a fine-tuned one.

    of: the fine-tuned model. way: a name in `models.compress.WAYS`. options: of that way.
    recover: whether it is trained on after that, by the recipe and from its teacher where it has one.
    """

    of: str
    way: str
    options: dict = {}
    recover: bool = False

    @model_validator(mode="after")
    def _options_fit(self):
        check_options(self.way, self.options)
        if self.recover and not WAYS[self.way].trainable:
            raise ValueError(
                f"what {self.way} leaves cannot be trained on: train first, and compress by {self.way} last"
            )
        return self


def _from_here(checkpoint: str) -> str:
    """Return a folder's absolute path, since jobs run in folders of their own, and a Hub id as it is."""
    is_folder = Path(checkpoint).is_dir() or checkpoint.startswith(("/", "."))
    return str(Path(checkpoint).absolute()) if is_folder else _file_from_here(checkpoint)


def _file_from_here(hub: str) -> str:
    """Return the absolute path of a file of GGUF, and any other name as it is."""
    return str(Path(hub).absolute()) if hub.endswith(".gguf") and Path(hub).is_file() else hub


Checkpoint = Annotated[str, Field(min_length=1), AfterValidator(_from_here)]
Pretrained = Annotated[str, AfterValidator(_file_from_here)]


Calibration = Literal["none", "contextual", "batch"]


class ModelSpec(Entry):
    """A model before fine-tuning: pretrained weights from the Hub, a shape to train from scratch, or a compression.

    hub: its Hub id; or a file of GGUF, a path or `package/file.gguf`, inside a package that is installed.
    checkpoint: one that is fine-tuned already, a folder or a Hub id, which is used as it is. A relative folder starts
    from the working directory, as a `Source` does.
    template: what makes one text of a pair, for pretrained weights whose tokenizer puts nothing between the two; or the
    prompt of a language model.
    words: of each class, what a language model says of it after the template, with the space before it; the likelihood
    of these tells the class, and there is no head. calibration: what it is divided by, "contextual" or "batch" (of the
    dev split), see `models.label_calibration`.
    layers: keep only the first so many layers of the pretrained encoder.
    tokenizer: Hub id of the tokenizer of a model trained from scratch; without it, the generated corpora's own words.
    teacher: the fine-tuned model that this one also learns from.
    paper: the model of the paper whose part it plays, and whose numbers stand beside its own.
    """

    name: str
    title: Title
    hub: Pretrained | None = None
    scratch: Scratch | None = None
    compress: Compression | None = None
    checkpoint: Checkpoint | None = None
    layers: Annotated[int, Field(ge=1)] | None = None
    tokenizer: str | None = None
    template: str | None = None
    words: dict[str, str] | None = LATER
    calibration: Calibration | None = LATER
    teacher: str | None = None
    paper: str | None = None

    @model_validator(mode="after")
    def _one_origin(self):
        if sum(origin is not None for origin in (self.hub, self.scratch, self.compress, self.checkpoint)) != 1:
            raise ValueError("a model takes exactly one of 'hub', 'scratch', 'compress' and 'checkpoint'")
        if self.template is not None and not (self.hub or self.checkpoint):
            raise ValueError("'template' is for pretrained weights ('hub') or a 'checkpoint'")
        if self.words is not None and self.template is None:
            raise ValueError("'words' are what a language model says after a 'template'; give one")
        if self.template is not None:
            Template.of(self.template)
        if empty := [label for label, word in (self.words or {}).items() if not word.strip()]:
            raise ValueError(f"words: class {empty[0]!r} has an empty word; give each class one")
        if self.calibration and not (self.words or self.checkpoint):
            raise ValueError("'calibration' is for label words; give 'words', or leave it out")
        if self.checkpoint and (self.teacher or self.tokenizer):
            raise ValueError("a 'checkpoint' is used as it is: it takes no teacher and no other tokenizer")
        if self.layers is not None and self.hub is None:
            raise ValueError("'layers' cuts pretrained weights ('hub'); of a fine-tuned model, compress by keep-layers")
        if self.teacher and self.compress and not self.compress.recover:
            raise ValueError("a teacher teaches only what is trained: give 'compress' recover: true, or no teacher")
        return self

    @property
    def is_trained(self) -> bool:
        """Whether it is trained itself, here or before: a part of what it does differently is then any training's."""
        return self.compress is None or self.compress.recover

    @property
    def needs(self) -> tuple[str, ...]:
        """The fine-tuned models that this one is made from."""
        origin = self.compress.of if self.compress else None
        return tuple(dict.fromkeys(filter(None, (origin, self.teacher))))


def validated(kind: type[E], values: dict, *, where: str) -> E:
    """Return `values` as `kind`; raise ExperimentError with one line that names the file and the key."""
    try:
        with reading(ExperimentError, where, "mend it there", besides=(ValidationError, ExperimentError, ModelError)):
            return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = plain(".".join(map(str, first["loc"])))
        if first["type"] == "extra_forbidden":
            known = _fields_at(kind, first["loc"][:-1])
            message = f"unknown key {key!r}; {nearest(first['loc'][-1], known)}"
        else:
            message = f"{key or 'the entry'}: {first['msg'].removeprefix('Value error, ')}"
        raise ExperimentError(f"{where}: {message}") from None
    # Of a validator that looks a name up: it does not know where the name stands.
    except (ExperimentError, ModelError) as error:
        raise ExperimentError(f"{where}: {error}") from None


def _fields_at(kind: type[BaseModel], path: tuple) -> list[str]:
    """Return the field names of the model nested at `path` inside `kind`."""
    for part in path:
        field = kind.model_fields.get(str(part))
        nested = [] if field is None else _models_in(field.annotation)
        kind = nested[0] if nested else kind
    return list(kind.model_fields)


def _models_in(annotation) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]


@functools.cache
def registered() -> dict[str, dict[str, dict]]:
    """Return the entries of the registry by name, its "tasks" and its "models", as they are written."""
    return yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))


@functools.cache
def load_task(name: str) -> Task:
    """Return the task called `name`; raise ExperimentError with the nearest name if there is none."""
    return _entry(Task, "tasks", name)


@functools.cache
def load_model(name: str) -> ModelSpec:
    """Return the model called `name`; raise ExperimentError with the nearest name if there is none."""
    return _entry(ModelSpec, "models", name)


def _entry(kind: type[E], section: str, name: str) -> E:
    entries = registered()[section]
    if name not in entries:
        raise ExperimentError(f"unknown {section[:-1]} {name!r}; {nearest(name, entries)}")
    return validated(kind, {"name": name, **entries[name]}, where=f"{REGISTRY.name}: {section}.{name}")
