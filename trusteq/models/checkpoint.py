"""A classifier whose weights are at hand, whatever it reads."""

import hashlib
import json
from pathlib import Path

import torch

from trusteq.models.compress import WAYS, steps


class Checkpoint:
    """A classifier whose weights are at hand, whatever it reads: it can be compressed, saved, given another head.

    Each has `model`, `labels`, and `reader`, the tokenizer or processor that is saved beside the model.
    """

    def described(self) -> list:
        """Return all that decides what it says beside its weights, as JSON can hold it."""
        config = {name: value for name, value in self.model.config.to_dict().items() if name != "_name_or_path"}
        return [config, type(self.model).__name__, type(self.reader).__name__, self.labels, self.model.device.type]

    def save(self, folder: Path) -> None:
        """Write the model, as safetensors, and its reader into a folder."""
        # What we put together again ourselves is read by the model's own names, which some families have not in files.
        ordinary = all(WAYS[step["way"]].ordinary for step in steps(self.model.config))
        self.model.save_pretrained(folder, save_original_format=ordinary)
        self.reader.save_pretrained(folder)


def fingerprint(classifier: Checkpoint) -> str:
    """Return a hash of all that decides what a classifier says on its device: weights, configuration, its reader."""
    found = hashlib.sha256()
    for name, values in classifier.model.state_dict().items():
        found.update(f"{name} {getattr(values, 'dtype', type(values))} {getattr(values, 'shape', '')}".encode())
        found.update(bytes_of(values))
    found.update(json.dumps(classifier.described(), sort_keys=True, default=str).encode())
    return found.hexdigest()


def bytes_of(values: object) -> bytes:
    """Return what a state holds as bytes: of torch's quantised layers, pairs of tensors."""
    if isinstance(values, tuple | list):
        return b"".join(map(bytes_of, values))
    if not isinstance(values, torch.Tensor):
        return repr(values).encode()
    values = values.detach().cpu()
    values = values.dequantize() if values.is_quantized else values
    return values.contiguous().flatten().view(torch.uint8).numpy().tobytes()


def chosen_device(device: "str | torch.device") -> "str | torch.device":
    """Return the device that is meant: "auto" is CUDA where there is one."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
