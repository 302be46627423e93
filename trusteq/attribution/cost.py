"""What explaining will cost, told before it starts: passes, time from a short probe, memory."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trusteq import modality
from trusteq.attribution.engine import WINDOW
from trusteq.attribution.explain import explain

if TYPE_CHECKING:
    import torch

    from trusteq.models.classifier import Classifier

PROBED = 3  # examples, where they are explained one at a time; of a window, an eighth
SHARE_PROBED = 20  # at most one example in so many, so that the probe stays short beside the run


@dataclass(frozen=True)
class Cost:
    """examples: their number. passes: at most, of the model. seconds: expected.

    memory_bytes: peak of this process so far, the probe included; gpu_bytes: the same on the GPU, 0 without one.
    """

    examples: int
    passes: int
    seconds: float
    memory_bytes: int
    gpu_bytes: int = 0

    def __str__(self) -> str:
        budget = self.passes // max(self.examples, 1)
        gpu = f" and {self.gpu_bytes / 1e6:,.0f} MB of the GPU" if self.gpu_bytes else ""
        return (
            f"{self.examples:,} examples x {budget:,} passes = {self.passes:,} at most; "
            f"about {_duration(self.seconds)}; memory so far {self.memory_bytes / 1e6:,.0f} MB{gpu}"
        )


def estimate(
    classifier: "Classifier | Callable",
    examples: pd.DataFrame,
    *,
    method: str = "lime",
    n_samples: int = 1000,
    seed: int = 0,
    **options,
) -> Cost:
    """Return what `explain` with these options will cost; a few examples are explained as a probe and thrown away.

    The probe's examples are spread by the length of their texts, so that their mean time is that of all. A first
    one, not timed, takes what a device does once.
    """
    import torch

    from trusteq.models.classifier import Classifier

    device = classifier.model.device if isinstance(classifier, Classifier) else torch.device("cpu")
    probe = spread(examples, probe_size(len(examples), window=WINDOW.get(device.type, 1)))
    options |= {"method": method, "seed": seed}
    explain(classifier, probe.head(1), n_samples=2, **options)
    started = time.perf_counter()
    explain(classifier, probe, n_samples=n_samples, **options)
    seconds = (time.perf_counter() - started) / max(len(probe), 1) * len(examples)
    return Cost(len(examples), len(examples) * n_samples, seconds, peak_memory(), gpu_memory(device))


def probe_size(n: int, *, window: int = 1) -> int:
    """Return how many of `n` examples to probe: more where `window` of them share a batch, few beside the run."""
    return min(n, max(1, min(max(PROBED, window // 8), n // SHARE_PROBED)))


def spread(examples: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return `n` of the examples, from the middles of `n` equal parts of them in the order of their length."""
    inputs = zip(*(of for of in modality.given(examples) if of is not None), strict=True)
    order = np.argsort(list(map(modality.size_of, inputs)), kind="stable")
    return examples.iloc[[order[(2 * part + 1) * len(order) // (2 * n)] for part in range(n)]]


def peak_memory() -> int:
    """Return the most memory that this process has had resident, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def gpu_memory(device: "torch.device") -> int:
    """Return the most bytes that this process has had on a GPU, of several the one that is asked about; else 0."""
    import torch

    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.2g} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
