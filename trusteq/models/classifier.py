"""A fine-tuned classifier as a callable: texts in, class probabilities out."""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.initialization import no_init_weights

from trusteq.errors import ModelError, nearest
from trusteq.examples.load import quiet_hub
from trusteq.models.compress import WAYS, check_claim, put_together, steps
from trusteq.models.forward import Rows, logits, softmax
from trusteq.models.layers import saved_kind

# Weights that do not fit go into the report that `check_weights` reads, instead of into an error that names none.
# Checkpoints may be stored in half precision; we compute in single precision.
LOADING = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}


@dataclass(frozen=True)
class Classifier:
    """A sequence classifier with its tokenizer and class names.

    labels: class names, in the order of the columns of the probabilities.
    max_length: tokens of a text or pair; longer ones are cut, the longer side first.
    """

    model: transformers.PreTrainedModel
    tokenizer: transformers.PreTrainedTokenizerBase
    labels: tuple[str, ...]
    max_length: int

    def predict_proba(self, text_a: Sequence[str], text_b: Sequence[str | None] | None = None) -> np.ndarray:
        """Return class probabilities, float64 of shape (n, C), rows summing to 1.

        text_b: the second texts of pairs; None, or all missing, for single texts. An empty second text is still a pair.
        """
        firsts = list(text_a)
        if not firsts:
            return np.empty((0, len(self.labels)))
        seconds = None if text_b is None or not any(isinstance(text, str) for text in text_b) else list(text_b)
        (probabilities,) = self.predict_rows([self.encode(firsts, seconds)])
        return probabilities

    def encode(self, firsts: list[str], seconds: list[str] | None) -> Rows:
        """Return the token ids of texts or pairs."""
        tokens = self.tokenizer(firsts, seconds, truncation=True, max_length=self.max_length)
        lengths = np.array([len(ids) for ids in tokens["input_ids"]])
        kept = np.arange(lengths.max()) < lengths[:, None]
        filled = {name: np.zeros(kept.shape, dtype=np.int64) for name in ("input_ids", "token_type_ids")}
        for name in filled.keys() & tokens.keys():
            filled[name][kept] = np.concatenate(tokens[name])
        return Rows(filled["input_ids"], lengths, filled["token_type_ids"] if "token_type_ids" in tokens else None)

    def predict_rows(self, rows: Sequence[Rows]) -> list[np.ndarray]:
        """Return the class probabilities of each block of token ids, float64 of shape (n, C)."""
        return [softmax(block) for block in logits(self.model, rows, padding=self.tokenizer.pad_token_id or 0)]


def load_classifier(path_or_hub_id: str | Path, *, hub: str | Path | None = None, device: str = "auto") -> Classifier:
    """Load a fine-tuned classifier from a folder, a mirror of the Hub or the Hub.

    hub: a mirror (`DIR/models/<hub id>/`) read before the Hub; default: the environment's TRUSTEQ_HUB.
    device: "auto" takes CUDA when there is one.

    Raises ModelError: nothing there, weights missing or left over, class names missing, a Hub that cannot be reached.
    """
    source = locate(path_or_hub_id, hub)
    with loading(path_or_hub_id):
        config = transformers.AutoConfig.from_pretrained(source)
        labels = _class_names(path_or_hub_id, config)
        tokenizer = load_tokenizer(path_or_hub_id, source)
        model, report = _model(path_or_hub_id, source, config)
    check_weights(path_or_hub_id, report)
    check_claim(path_or_hub_id, model)
    return as_classifier(model, tokenizer, labels, device=device)


def _model(name: str | Path, source: str, config: transformers.PretrainedConfig) -> tuple:
    """Return the model of a checkpoint, and the report for `check_weights`."""
    kind, ways = saved_kind(config), [step["way"] for step in steps(config)]
    for way in ways:
        if way not in WAYS:
            raise ModelError(f"model {name}: config.json names a way to compress {way!r}; {nearest(way, WAYS)}")
    if all(WAYS[way].ordinary for way in ways):
        return kind.from_pretrained(source, config=config, **LOADING)
    # Random weights would only be replaced, and until then they fill the memory that compressing saves.
    with no_init_weights():
        model = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
    file = transformers.utils.cached_file(source, transformers.utils.SAFE_WEIGHTS_NAME)
    return model, put_together(model.eval(), load_file(file))


def load_config(hub_id: str, *, hub: str | Path | None = None) -> transformers.PretrainedConfig:
    """Return the configuration of a model of the Hub or its mirror; raise ModelError if it cannot be had."""
    with loading(hub_id):
        return transformers.AutoConfig.from_pretrained(locate(hub_id, hub))


def as_classifier(model, tokenizer, labels: Sequence[str], *, device: str = "auto") -> Classifier:
    """Return a model ready to predict, on its device."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    return Classifier(model.to(device).eval(), tokenizer, tuple(labels), int(limit))


def locate(path_or_hub_id: str | Path, hub: str | Path | None = None) -> str:
    """Return what `from_pretrained` should read: a folder, the mirror's folder of a Hub id, or the Hub id."""
    if Path(path_or_hub_id).is_dir():
        return str(path_or_hub_id)
    mirror = hub or os.environ.get("TRUSTEQ_HUB")
    if mirror and Path(mirror, "models", path_or_hub_id).is_dir():
        return str(Path(mirror, "models", path_or_hub_id))
    if str(path_or_hub_id).count("/") > 1 or str(path_or_hub_id).startswith((".", "/")):
        raise ModelError(f"{path_or_hub_id}: no such folder; give a checkpoint's folder or a Hub id")
    return str(path_or_hub_id)


@contextlib.contextmanager
def loading(name: str | Path) -> Iterator[None]:
    """Turn the library's errors on loading `name` into one ModelError; its reports and progress bars are not shown."""
    verbosity, bar = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with quiet_hub():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if isinstance(error.__cause__, LocalEntryNotFoundError):
            hint = f"the Hub cannot be reached; name a mirror that holds models/{name} with --hub DIR"
        else:
            hint = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise ModelError(f"model {name}: {hint}") from None
    finally:
        transformers.logging.set_verbosity(verbosity)
        if bar:
            transformers.logging.enable_progress_bar()


def load_tokenizer(name: str | Path, source: str) -> transformers.PreTrainedTokenizerBase:
    """Return the tokenizer at `source`; raise ModelError if there is none."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    # Without its files the library makes one that knows special tokens alone, and every word is unknown.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise ModelError(f"model {name}: no tokenizer; save it beside the weights with save_pretrained")
    return tokenizer


def check_weights(name: str | Path, report: dict, *, new_ok=(), unused_ok=()) -> None:
    """Raise ModelError if a checkpoint lacked weights or had weights that were not used.

    report: what `from_pretrained(..., output_loading_info=True)` returned beside the model.
    new_ok, unused_ok: parts of keys that may be missing or left over.
    """
    for what, keys, fine in (
        ("missing", report["missing_keys"], new_ok),
        ("left over", report["unexpected_keys"], unused_ok),
        ("of another shape", [key[0] for key in report.get("mismatched_keys", ())], ()),
    ):
        wrong = sorted(key for key in keys if not any(part in key for part in fine))
        if wrong:
            raise ModelError(
                f"model {name}: {len(wrong)} weights {what}, first {wrong[0]!r}; "
                "the checkpoint does not fit its config.json: save it again with save_pretrained"
            )


def _class_names(name: str | Path, config: transformers.PretrainedConfig) -> tuple[str, ...]:
    labels = tuple(config.id2label.get(index) for index in range(config.num_labels))
    if None in labels or any(label == f"LABEL_{index}" for index, label in enumerate(labels)):
        raise ModelError(
            f"model {name}: no class names; put them into id2label of its config.json, as {json.dumps({0: '...'})}"
        )
    return labels
