"""What a saved model costs where it is used: its size, its latency, the memory it takes."""

import contextlib
import itertools
import math
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers

from trusteq.errors import DataError
from trusteq.modality import given
from trusteq.modality import of as of_columns
from trusteq.models.build import untuned
from trusteq.models.checkpoint import Checkpoint
from trusteq.models.classifier import load_classifier
from trusteq.models.finetune import sizes
from trusteq.models.recipe import Recipe
from trusteq.registry import ModelSpec, Scratch

TEXTS = 256  # on which the costs of a run's models are measured
WARM_UP = 3  # batches that are not counted: the first ones find the kernels
SMALLEST = Scratch(num_hidden_layers=1, hidden_size=8, num_attention_heads=1, intermediate_size=8)


def footprint(folder: str | Path, examples: pd.DataFrame) -> dict[str, float]:
    """Return what a saved model costs on this machine's CPU, with as many threads as torch has here.

    parameters, nonzero_parameters: numbers. weights_bytes: on disk. latency_1_ms, latency_32_ms: milliseconds for a
    batch of 1 and of 32 of the examples. peak_memory_bytes: see `peak_memory`.

    Raises ModelError for a folder that holds no model, DataError where there are no examples.
    """
    classifier = load_classifier(folder, device="cpu")
    size, weights = sizes(classifier.model), Path(folder).glob("*.safetensors")
    return {
        "parameters": size["parameters"],
        "nonzero_parameters": size["nonzero_parameters"],
        "weights_bytes": sum(file.stat().st_size for file in weights),
        "latency_1_ms": latency(classifier, examples, batch=1),
        "latency_32_ms": latency(classifier, examples, batch=32),
        "peak_memory_bytes": peak_memory(folder, examples),
    }


def latency(classifier: Checkpoint, examples: pd.DataFrame, *, batch: int, repeats: int = 30) -> float:
    """Return the median milliseconds of `classifier.predict_proba` on so many texts, tokenising included.

    Each run takes the next `batch` of the examples, from the first again after the last; `repeats` runs are counted.
    Raises DataError where there are no examples.
    """
    seconds = []
    for texts in itertools.islice(_batches(examples, batch), WARM_UP + repeats):
        started = time.perf_counter()
        classifier.predict_proba(*texts)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[WARM_UP:])


def peak_memory(folder: str | Path, examples: pd.DataFrame, *, batch: int = 32) -> int:
    """Return the bytes by which a saved model raises the resident memory of a process, at its peak.

    In a process of its own, which has imported the libraries and used a smallest model, the model is loaded and
    predicts the examples, `batch` at a time. Weights are mapped from the file: of an embedding table only the rows that
    the texts ask for are resident. From a script, call it under `if __name__ == "__main__"`: the process imports that.

    Raises ModelError for a folder that holds no model, DataError where there are no examples.
    """
    runs = list(itertools.islice(_batches(examples, batch), max(1, math.ceil(len(examples) / batch))))
    context = multiprocessing.get_context("forkserver")  # torch's threads do not survive a fork of this process
    # Imported once, by the server that the processes come from, so that each starts within a second.
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_rise, str(folder), examples.head(1), runs, torch.get_num_threads()).result()


def _batches(examples: pd.DataFrame, batch: int) -> Iterator[tuple]:
    """Yield the inputs of so many examples, for ever."""
    if examples.empty:
        raise DataError("a footprint is measured on texts, and there are no examples; give at least one")
    for start in itertools.count(0, batch):
        yield given(examples.iloc[np.arange(start, start + batch) % len(examples)])


def _rise(folder: str, example: pd.DataFrame, runs: list[tuple], threads: int) -> int:
    """Return the bytes by which this process grows, at its peak, from a model and its predictions."""
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    _use_smallest(example)
    before = _resident_from_here()
    classifier = load_classifier(folder, device="cpu")
    for inputs in runs:
        classifier.predict_proba(*inputs)
    return _peak() - before


def _use_smallest(example: pd.DataFrame) -> None:
    """Load and use the smallest of models: what that brings into memory, of the libraries' code, any model brings."""
    shape = SMALLEST
    if (kind := of_columns(example)) is not None:
        array, settings = kind.smallest(example[kind.name].iloc[0])
        example, shape = example.assign(**{kind.name: [array]}), shape.model_copy(update=settings)
    spec = ModelSpec(name="smallest", title="Smallest", scratch=shape)
    with tempfile.TemporaryDirectory() as folder:
        untuned(spec, example, labels=("no", "yes"), recipe=Recipe()).save(Path(folder))
        load_classifier(folder, device="cpu").predict_proba(*given(example))


def _resident_from_here() -> int:
    """Return the resident memory in bytes, and let the peak be counted from here where the system can do that."""
    # Where this is not Linux or not allowed, the peak of a process so young is close to the present.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # see man 5 proc
    return _peak()


def _peak() -> int:
    """Return the largest resident memory of this process, in bytes, since it was last reset."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
