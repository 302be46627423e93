"""A classifier as a graph of ONNX Runtime, asked one text at a time.

A graph that `quantize_dynamic` brought to 8 bits takes one scale for a whole batch: what it says of a text would depend
on the texts beside it, and on padding. On a CPU one text at a time costs little: for a MiniLM on SNLI 4% more than
batches of 32 in 8 bits, 38% in full precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers
from scipy.special import softmax

from trusteq.errors import ModelError
from trusteq.models import classifier as checkpoints
from trusteq.models.forward import Rows
from trusteq.models.layers import saved_kind
from trusteq.models.probabilities import TOLERANCE, check_output
from trusteq.models.template import Template

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

IDS, *_ = INPUTS = ("input_ids", "attention_mask", "token_type_ids")
TYPES = {"tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(bool)": "bool", "tensor(float)": "float32"}
HOW = "export it by torch.onnx.export with dynamic_shapes"


@dataclass(frozen=True)
class OnnxClassifier(checkpoints.ReadsTokens):
    """A session of ONNX Runtime with its tokenizer and class names.

    labels, max_length, template: as of a Classifier. inputs: name -> type of what the graph takes. output: the name of
    what it gives. gives_probabilities: whether that is a softmax already, as its answers to three texts tell.
    """

    session: "InferenceSession"
    tokenizer: transformers.PreTrainedTokenizerBase
    labels: tuple[str, ...]
    max_length: int
    inputs: dict[str, str]
    output: str
    template: Template | None = None
    gives_probabilities: bool = False

    def predict_rows(self, rows: Sequence[Rows]) -> list[np.ndarray]:
        """Return the class probabilities of each block of token ids, float64 of shape (n, C); raise ModelError."""
        answers = [self.answers(block) for block in rows]
        found = answers if self.gives_probabilities else [softmax(block, axis=1) for block in answers]
        return [check_output(block, len(block), self.labels) for block in found]

    def answers(self, rows: Rows) -> np.ndarray:
        """Return the graph's own output for each row of token ids, float64 of shape (n, C)."""
        types = np.zeros_like(rows.ids) if rows.types is None else rows.types
        values = dict(zip(INPUTS, (rows.ids, np.ones_like(rows.ids), types), strict=True))
        fed = {name: values[name].astype(TYPES[of]) for name, of in self.inputs.items()}
        return np.concatenate([self._answer(fed, at, n) for at, n in enumerate(rows.lengths)])

    def _answer(self, fed: dict[str, np.ndarray], at: int, n: int) -> np.ndarray:
        try:
            (found,) = self.session.run([self.output], {name: block[at : at + 1, :n] for name, block in fed.items()})
        except Exception as error:  # the library has an exception of its own for each status
            hint = f"{HOW}, and set tokenizer.model_max_length"
            raise ModelError(f"the ONNX graph fails on {n} tokens ({_said(error)}); {hint}") from None
        if found.shape != (1, len(self.labels)):
            raise ModelError(f"the ONNX graph's {self.output} has shape {found.shape}, not (1, {len(self.labels)})")
        return found.astype(np.float64)


def of_session(session: "InferenceSession", tokenizer, labels: Sequence[str], *, limit: int = checkpoints.LONGEST):
    """Return a classifier of a session that takes token ids and gives one number a class: logits, or probabilities.

    limit: tokens that the model has places for; what the tokenizer says may be less.
    Raises ModelError for other inputs or outputs, for one fixed size of them, and a graph that fails on three texts.
    """
    labels, longest = tuple(map(str, labels)), min(tokenizer.model_max_length, limit)
    made = OnnxClassifier(session, tokenizer, labels, longest, _inputs(session), _output(session, labels))
    answers = made.answers(made.encode(list(checkpoints.COMPANY), None))
    sums_to_1 = (answers >= 0).all() and np.abs(answers.sum(axis=1) - 1).max() <= TOLERANCE
    made = replace(made, gives_probabilities=bool(sums_to_1))
    made.predict_proba(checkpoints.COMPANY)
    return made


def _inputs(session: "InferenceSession") -> dict[str, str]:
    """Return name -> type of what a graph takes; raise ModelError unless it takes one text of any length."""
    inputs = {of.name: of.type for of in session.get_inputs()}
    if IDS not in inputs or not inputs.keys() <= set(INPUTS) or not TYPES.keys() >= set(inputs.values()):
        given = ", ".join(f"{name} {of}" for name, of in inputs.items())
        raise ModelError(f"the ONNX graph takes {given}; export one that takes {', '.join(INPUTS)}, or some of them")
    for of in session.get_inputs():
        if any(isinstance(size, int) and size > 1 for size in of.shape):
            raise ModelError(f"the ONNX graph takes {of.name} {tuple(of.shape)}, not one text of any length; {HOW}")
    return inputs


def _output(session: "InferenceSession", labels: tuple[str, ...]) -> str:
    """Return the name of a graph's output of shape (n, C): that called logits, or else the first."""
    outputs = sorted(session.get_outputs(), key=lambda of: of.name != "logits")
    for of in outputs:
        if len(of.shape) == 2 and (of.shape[1] == len(labels) or not isinstance(of.shape[1], int)):
            return of.name
    given = ", ".join(f"{of.name} {tuple(of.shape)}" for of in outputs)
    raise ModelError(f"the ONNX graph gives {given}, and no (n, {len(labels)}) for the classes {', '.join(labels)}")


def graph_file(name: str | Path, hub: str | Path | None = None) -> Path | None:
    """Return the ONNX graph that a name means: a file, or the one of a folder that holds no other weights; or None.

    Raises ModelError for a folder of several graphs of which none is model.onnx.
    """
    if Path(name).suffix == ".onnx":
        return Path(name)
    folder = Path(checkpoints.locate(name, hub))
    if any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin")):
        return None
    found = sorted(folder.glob("model.onnx")) or sorted(folder.glob("*.onnx"))
    if len(found) > 1:
        raise ModelError(f"model {name}: {len(found)} graphs, and no model.onnx; name one, such as {found[0]}")
    return found[0] if found else None


def load_graph(file: Path, *, labels: Sequence[str] | None = None, template: str | None = None) -> OnnxClassifier:
    """Load an ONNX graph to run on the CPU; tokenizer and config.json stand beside it, or one folder above.

    labels, template: as in `load_classifier`. Raises ModelError in one line for what cannot be used.
    """
    import onnxruntime

    if not file.is_file():
        raise ModelError(f"model {file}: no such file; give an .onnx file or the folder that holds it")
    joined, parents = None if template is None else Template.of(template), (file.parent, file.parent.parent)
    folder = next((of for of in parents if (of / "config.json").is_file()), file.parent)
    with checkpoints.loading(file):
        config = checkpoints.read_config(file, str(folder))
        names = checkpoints.class_names(file, config, labels)
        tokenizer = checkpoints.load_tokenizer(file, str(folder))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 4  # what fails is raised
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return replace(of_session(session, tokenizer, names, limit=_positions(config)), template=joined)
    except Exception as error:  # the library has an exception of its own for each status
        raise ModelError(f"model {file}: {_said(error)}") from None


def _positions(config: transformers.PretrainedConfig) -> int:
    """Return how many tokens the model of a configuration has places for, as its layers tell without any weights."""
    kind = saved_kind(config)
    with torch.device("meta"):
        return checkpoints.positions(kind.from_config(config) if hasattr(kind, "from_config") else kind(config))


def _said(error: Exception) -> str:
    return " ".join(str(error).split())
