"""Classifiers of arrays, such as images and sound: loaded by the library's own classes, asked in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from scipy.special import softmax

from trusteq.errors import ModelError
from trusteq.modality import Modality
from trusteq.models.checkpoint import Checkpoint, chosen_device
from trusteq.models.probabilities import check_finite

# Numbers that the model sees at once. On a CPU a batch must stay in the cache.
BUDGET = {"cuda": 1 << 25, "cpu": 1 << 18}
ENCODED = 256  # arrays that become inputs at once


@dataclass(frozen=True)
class ArrayClassifier(Checkpoint):
    """A model that puts arrays of one modality into classes, with its processor and class names.

    labels: class names, in the order of the columns of the probabilities.
    """

    model: transformers.PreTrainedModel
    processor: object
    labels: tuple[str, ...]
    modality: Modality

    @classmethod
    def of(
        cls, name: str | Path, model, processor, labels: Sequence[str], modality: Modality, *, device="auto"
    ) -> "ArrayClassifier":
        """Return a model ready to predict, on its device; raise ModelError where it has no class for each label."""
        if model.config.num_labels != len(labels):
            raise ModelError(f"model {name}: {model.config.num_labels} classes, and {len(labels)} labels; give as many")
        return cls(model.to(chosen_device(device)).eval(), processor, tuple(labels), modality)

    @property
    def reader(self) -> object:
        """The processor."""
        return self.processor

    def described(self) -> list:
        """Return all that decides what it says beside its weights, as JSON can hold it."""
        return [*super().described(), self.modality.name, self.processor.to_dict()]

    def predict_proba(self, arrays: Sequence[np.ndarray], _: None = None) -> np.ndarray:
        """Return class probabilities, float64 of shape (n, C), rows summing to 1.

        arrays: as `Modality.read` returns them. Raises DataError for what is no such array, ModelError for
        probabilities that are none.
        """
        for row, array in enumerate(arrays):
            self.modality.check(array, f"{self.modality.name} {row}")
        if not len(arrays):
            return np.empty((0, len(self.labels)))
        return check_finite(softmax(self.logits(list(arrays)), axis=1))

    def logits(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return the model's logits, float64 of shape (n, C)."""
        starts = range(0, len(arrays), ENCODED)
        parts = [part for at in starts for part in self._run(arrays[at : at + ENCODED])]
        return torch.cat(parts).double().cpu().numpy()

    def check_texts(self, *, pairs: bool) -> None:
        """Raise ModelError: it reads no texts."""
        raise ModelError(
            f"the model reads {self.modality.name}, and the examples are texts; give their {self.modality.name}"
        )

    def _run(self, arrays: list[np.ndarray]) -> Iterator[torch.Tensor]:
        """Yield the logits of one batch after the other."""
        values = torch.from_numpy(self.modality.encode(self.processor, arrays))
        size = max(1, BUDGET.get(self.model.device.type, BUDGET["cpu"]) // values[0].numel())
        for batch in values.split(size):
            with torch.inference_mode():
                yield self.model(**{self.modality.argument: batch.to(self.model.device)}).logits


def load_processor(name: str | Path, source: str, *, kind: Modality):
    """Return what turns arrays into a model's inputs; raise ModelError where there is none."""
    try:
        return getattr(transformers, kind.auto_processor).from_pretrained(source, trust_remote_code=False)
    except OSError:
        raise ModelError(f"model {name}: no processor; save it beside the weights with save_pretrained") from None
