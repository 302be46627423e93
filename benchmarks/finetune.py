"""How fast and lean fine-tuning is, and whether it learns the same, against a loop as the authors' scripts write it.

    .venv/bin/python benchmarks/finetune.py [--hub DIR] [--only WORD ...] [--out FILE]

Prints a table and adds its rows to a JSON file, `benchmarks/finetune.json`. Rows made before stay until the same row is
made again. Every figure is a ratio or a difference within one run on one machine, both sides in turns; a row that
cannot be made here says why and stays open. On a CPU, seconds are those that the process was computing, as the machine
may be shared; "load average" tells how many jobs its cores had when a row was done.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import torch
import transformers
from attribution import LABELS, SHAPES, TOKENIZER, Open, _add, _made, _pairs
from torch.utils.data import DataLoader, TensorDataset

import trusteq
from trusteq.estimates import paired_difference
from trusteq.models import finetune as module
from trusteq.models.build import build
from trusteq.models.classifier import as_classifier
from trusteq.models.finetune import FineTuned, finetune
from trusteq.models.recipe import Recipe
from trusteq.registry import ModelSpec, Scratch

FILE = Path(__file__).with_suffix(".json")
# The paper's; the learning rate is for random weights, which at its 1e-5 would need hours to learn anything.
RECIPE = Recipe(batch_size=32, learning_rate=1e-3, epochs=6, max_length=512)
SEED = 0
TRAIN, DEV = 384, 64  # of the generated pairs with a cue; the rest are test rows
# What other jobs take is not counted on a CPU; on a GPU the process waits while it computes.
CLOCK = {"cpu": time.process_time, "cuda": time.perf_counter}
# Steps of the authors' loop and of ours, in so many turns.
STEPS = {"cpu": (6, 60, 2), "cuda": (30, 300, 3)}
MANY, FEW = 550_000, 55_000
PROBED_STEPS = 20


def main() -> None:
    """Make the chosen rows and show all that are known."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hub", default=os.environ.get("TRUSTEQ_HUB"), help="a mirror of the Hub with SNLI and MiniLM")
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name holds all of these words")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--memory-probe", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_probe:
        print(json.dumps(_peaks(options.memory_probe)))
        return
    for name, make in rows(options).items():
        if all(word in name.split() for word in options.only):
            print(f"{name} ...", file=sys.stderr, flush=True)
            made = _made(make)
            if made["value"] is not None:
                made |= {"load average": os.getloadavg()[1], "cores": os.cpu_count()}
            _add(options.out, {"row": name, **made})
    known = pd.DataFrame(json.loads(options.out.read_text())["rows"])
    print(known.drop(columns=["machine", "versions"]).to_string(index=False, na_rep=""))


def rows(options: argparse.Namespace) -> dict[str, Callable[[], dict]]:
    """Return each row's name and the function that makes its figures."""
    base = ModelSpec(name="base", title="BERT-base shape", scratch=_shape("BERT-base shape"), tokenizer=TOKENIZER)
    minilm = ModelSpec(name="minilm", title="MiniLM", hub=TOKENIZER)
    return {
        "cpu BERT-Tiny shape": whole_runs,
        "cpu MiniLM": lambda: steps(options.hub, minilm, "cpu", "fp32", 5),
        "gpu BERT-base shape bf16": lambda: steps(options.hub, base, "cuda", "bf16", 3),
        "gpu MiniLM bf16": lambda: steps(options.hub, minilm, "cuda", "bf16", 3),
        "memory 550,000 pairs": memory,
    }


def _shape(name: str) -> Scratch:
    layers, hidden, heads = SHAPES[name]
    return Scratch(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=512,
    )


# --- whole runs: speed, and what was learnt ---


def whole_runs() -> dict:
    """Return seconds per epoch and test accuracy of both sides: same weights at the start, same rows, same recipe.

    A whole run of ours between any two epochs of the authors' loop. Dev accuracy after each epoch is in both times; in
    ours, tokenising and the state saved after each epoch as well.
    """
    spec = ModelSpec(name="tiny", title="BERT-Tiny shape", scratch=_shape("BERT-Tiny shape"))
    train, dev, test = _pairs_with_a_cue()
    authors = _AuthorsLoop(spec, RECIPE, torch.device("cpu"))
    epochs, seconds = authors.epochs(train, dev), {"authors": 0.0, "ours": 0.0}
    for _ in range(RECIPE.epochs):
        started = CLOCK["cpu"]()
        next(epochs)
        between = CLOCK["cpu"]()
        ours = _ours(spec, RECIPE, train, dev)
        seconds["authors"] += (between - started) / RECIPE.epochs
        seconds["ours"] += (CLOCK["cpu"]() - between) / RECIPE.epochs**2
    classifiers = {"authors": as_classifier(authors.best(), authors.tokenizer, LABELS), "ours": ours.classifier}
    right = {side: _right(classifier, test) for side, classifier in classifiers.items()}
    low, high = paired_difference(right["authors"], right["ours"]).interval
    return {
        "value": seconds["authors"] / seconds["ours"],
        "what": "times the authors' speed",
        "at least": 5,
        "authors s/epoch": seconds["authors"],
        "ours s/epoch": seconds["ours"],
        "authors accuracy": right["authors"].mean(),
        "ours accuracy": right["ours"].mean(),
        "accuracy by chance": test["label"].value_counts(normalize=True).max(),
        "difference low": low,
        "difference high": high,
        "same accuracy": bool(low <= 0 <= high),
        "test rows": len(test),
    }


def _pairs_with_a_cue() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return train, dev and test rows of the generated pairs whose hypothesis begins with a cue.

    The cue names the label in nine of ten, which random weights learn within the few epochs that there is time for.
    """
    pairs = pd.concat([trusteq.load_examples("demo-nli", split) for split in ("train", "dev", "test")])
    pairs = pairs[pairs["shortcut"].str.len() > 0].sample(frac=1, random_state=SEED, ignore_index=True)
    return pairs[:TRAIN], pairs[TRAIN : TRAIN + DEV], pairs[TRAIN + DEV :]


def _right(classifier, examples: pd.DataFrame) -> np.ndarray:
    predicted = classifier.predict_proba(examples["text_a"], examples["text_b"]).argmax(axis=1)
    return (predicted == examples["label"]).to_numpy(dtype=float)


def _ours(spec: ModelSpec, recipe: Recipe, train: pd.DataFrame, dev: pd.DataFrame) -> FineTuned:
    with tempfile.TemporaryDirectory() as folder:
        options = {"spec": spec, "labels": LABELS, "recipe": recipe, "seed": SEED}
        return finetune(train, dev, checkpoints=Path(folder, "checkpoints"), **options)


class _AuthorsLoop:
    """Fine-tuning as the authors' scripts write it, from the weights that `finetune` starts from.

    Every row is padded to 512 tokens; shuffled; fp32; AdamW at a constant rate; gradients clipped at 1; the epoch with
    the best dev accuracy is kept.
    """

    def __init__(self, spec: ModelSpec, recipe: Recipe, device: torch.device):
        transformers.set_seed(SEED)
        model, self.tokenizer = build(spec, labels=LABELS, recipe=recipe)
        self.model, self.recipe = model.to(device), recipe
        decay = recipe.weight_decay
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=decay)

    def epochs(self, train: pd.DataFrame, dev: pd.DataFrame) -> Iterator[float]:
        """Train for an epoch and yield the dev accuracy, without end."""
        train_batches, dev_batches = self.batches(train, shuffle=True), self.batches(dev, shuffle=False)
        reached = -1.0
        while True:
            for batch in train_batches:
                self.step(batch)
            accuracy = self._accuracy(dev_batches)
            if accuracy > reached:
                reached = accuracy
                self._best = {name: values.clone() for name, values in self.model.state_dict().items()}
            yield accuracy

    def batches(self, examples: pd.DataFrame, *, shuffle: bool) -> DataLoader:
        """Return batches of input_ids, token_type_ids, attention_mask and labels."""
        texts = [examples[name].tolist() for name in ("text_a", "text_b")]
        options = {"padding": "max_length", "truncation": True, "max_length": 512, "return_tensors": "pt"}
        found = self.tokenizer(*texts, **options)
        columns = [found[name] for name in ("input_ids", "token_type_ids", "attention_mask")]
        labels = torch.tensor(examples["label"].to_numpy())
        return DataLoader(TensorDataset(*columns, labels), batch_size=self.recipe.batch_size, shuffle=shuffle)

    def step(self, batch: list[torch.Tensor]) -> None:
        """Train on one batch."""
        self.model.train()
        self.optimizer.zero_grad()
        self._call(batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_grad_norm)
        self.optimizer.step()

    @torch.no_grad()
    def _accuracy(self, batches: DataLoader) -> float:
        self.model.eval()
        right = [(self._call(batch).logits.argmax(-1).cpu() == batch[-1]).float() for batch in batches]
        return float(torch.cat(right).mean())

    def _call(self, batch: list[torch.Tensor]):
        ids, types, mask, labels = (part.to(self.model.device) for part in batch)
        return self.model(input_ids=ids, token_type_ids=types, attention_mask=mask, labels=labels)

    def best(self):
        """Return the model of the best epoch."""
        self.model.load_state_dict(self._best)
        return self.model


# --- steps alone, for models too large to train here for the sake of a benchmark ---


def steps(hub: str | None, spec: ModelSpec, device: str, precision: str, least: float) -> dict:
    """Return seconds per step of 32 SNLI pairs of both sides; tokenising and saving are in neither."""
    if device == "cuda" and not torch.cuda.is_available():
        raise Open("no GPU on this machine")
    theirs, ours, turns = STEPS[device]
    pairs = _pairs(hub, (ours // turns) * RECIPE.batch_size)
    os.environ["TRUSTEQ_HUB"] = hub
    recipe = RECIPE.model_copy(update={"learning_rate": 1e-5, "epochs": 1})
    authors = _AuthorsLoop(spec, recipe, torch.device(device))
    batches, seconds = iter(authors.batches(pairs, shuffle=True)), {"authors": 0.0, "ours": 0.0}
    in_precision = recipe.model_copy(update={"precision": precision})
    clock = mock.patch.object(module, "time", SimpleNamespace(perf_counter=CLOCK[device]))
    with clock, _arguments(save_strategy="no", load_best_model_at_end=False):
        if device == "cuda":  # kernels are chosen and memory is allocated on the first step
            authors.step(next(batches))
            _ours(spec, in_precision, pairs[:64], pairs[:32])
        for _ in range(turns):
            seconds["authors"] += _timed(lambda: [authors.step(next(batches)) for _ in range(theirs // turns)], device)
            # One small evaluation is in: the history is read from it.
            seconds["ours"] += _ours(spec, in_precision, pairs, pairs[:32]).seconds
    each = {"authors": seconds["authors"] / theirs, "ours": seconds["ours"] / ours}
    return {
        "value": each["authors"] / each["ours"],
        "what": "times the authors' speed",
        "at least": least,
        "authors s/step": each["authors"],
        "ours s/step": each["ours"],
    }


def _timed(call: Callable[[], object], device: str) -> float:
    started = CLOCK[device]()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return CLOCK[device]() - started


@contextlib.contextmanager
def _arguments(**changes) -> Iterator[None]:
    """Change arguments that `finetune` gives to the library's trainer."""
    real = module._arguments

    def changed(*given):
        arguments = real(*given)
        for name, value in changes.items():
            setattr(arguments, name, value)
        return arguments

    with mock.patch.object(module, "_arguments", changed):
        yield


# --- memory ---


def memory() -> dict:
    """Return how many MB more are resident for 100,000 more pairs, beyond the table of examples itself.

    Of a training with a teacher whose probabilities and words are kept beside the tokens: the most that rows hold. It
    starts after the file was read; what reading takes at its peak stands beside it.
    """
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_probe(_file_of_pairs(Path(folder, f"{n}.csv"), n)) for n in (FEW, MANY))
    per = (MANY - FEW) / 100_000
    growth = {name: (many[name] - few[name]) / per for name in many}
    return {
        "value": growth["training"] - growth["table"],
        "what": "MB more for 100,000 pairs more, beyond the table of examples",
        **{f"{name} MB, {n:,} pairs": found[name] for n, found in ((FEW, few), (MANY, many)) for name in found},
    }


def _file_of_pairs(file: Path, n: int) -> Path:
    """Write pairs of sentences of the generated corpora, drawn at random; return the file."""
    sentences = trusteq.load_examples("demo-nli", "train")
    rng = np.random.default_rng(SEED)
    firsts, seconds = (
        sentences[name].to_numpy()[rng.integers(len(sentences), size=n)] for name in ("text_a", "text_b")
    )
    # Each text is one of its own, as most premises and hypotheses of SNLI are.
    firsts = [f"{text} {number}" for number, text in enumerate(firsts)]
    seconds = [f"{text} {number}" for number, text in enumerate(seconds)]
    labels = rng.integers(len(LABELS), size=n)
    pd.DataFrame({"text_a": firsts, "text_b": seconds, "label": labels}).to_csv(file, index=False)
    return file


def _probe(file: Path) -> dict[str, float]:
    answer = subprocess.check_output([sys.executable, __file__, "--memory-probe", str(file)], text=True)
    return json.loads(answer.splitlines()[-1])


def _peaks(file: Path) -> dict[str, float]:
    """Return what a process takes, in MB: reading, training (peaks), table (with ids), texts, tokenised (on disk)."""
    examples = trusteq.read_examples(file, task="demo-nli")
    found = {"reading": _peak()}
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    small = Scratch(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16)
    spec, recipe = ModelSpec(name="small", title="Small", scratch=small), Recipe(epochs=1, attribution_weight=1)
    teacher = as_classifier(*build(spec, labels=LABELS, recipe=recipe), LABELS, device="cpu")
    with tempfile.TemporaryDirectory() as folder, _arguments(max_steps=PROBED_STEPS):
        kept = {"checkpoints": Path(folder, "checkpoints"), "tokens": Path(folder, "tokens")}
        options = {"spec": spec, "labels": LABELS, "recipe": recipe, "seed": SEED, "teacher": teacher}
        finetune(examples, examples.head(100), **options, **kept)
        on_disk = sum(rows.stat().st_size for rows in kept["tokens"].iterdir())
    sizes = examples.memory_usage(deep=True) / 2**20
    found |= {"table": float(sizes.sum()), "texts": float(sizes["text_a"] + sizes["text_b"])}
    return found | {"training": _peak(), "tokenised": on_disk / 2**20}


def _peak() -> float:
    """Return the peak of resident memory, in MB, of this process alone (getrusage would count its parent's)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    main()
