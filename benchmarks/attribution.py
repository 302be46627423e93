"""How fast, lean and steady the attribution engine is, against the libraries called as the authors' scripts call them.

    .venv/bin/python benchmarks/attribution.py [--hub DIR] [--only WORD ...] [--examples N] [--out FILE]

Prints a table and adds its rows to a JSON file, `benchmarks/attribution.json`, which the book's status page shows. Rows
made before stay until the same row is made again. Every figure is a ratio or a difference within one run on one
machine; a row that cannot be made here says why and stays open.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers

import trusteq
from trusteq.attribution import as_released
from trusteq.attribution.cost import peak_memory
from trusteq.attribution.explain import explain
from trusteq.models import forward
from trusteq.models.classifier import Classifier, as_classifier, load_classifier, load_tokenizer, locate
from trusteq.pages.status import BUDGETS
from trusteq.store import processor, to_json, versions, write_text

FILE = Path(__file__).with_suffix(".json")
TOKENIZER = "sentence-transformers/all-MiniLM-L6-v2"
FINE_TUNED = "trusteq/minilm-snli-18k"
LABELS = ("entailment", "neutral", "contradiction")
# layers, hidden size, heads of BERT models with random weights
SHAPES = {
    "BERT-Tiny shape": (2, 128, 2),
    "BERT-Mini shape": (4, 256, 4),
    "BERT-Medium shape": (8, 512, 8),
    "DistilBERT shape": (6, 768, 12),
    "BERT-base shape": (12, 768, 12),
}


def main() -> None:
    """Make the chosen rows and show all that are known."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hub", default=os.environ.get("TRUSTEQ_HUB"), help="a mirror of the Hub with SNLI and MiniLM")
    parser.add_argument("--only", nargs="*", default=[], help="rows whose name holds all of these words")
    parser.add_argument("--examples", type=int, default=12, help="SNLI pairs of a speed row")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--memory-probe", nargs=1, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_probe:
        print(_peak_memory(options.hub, options.memory_probe[0]))
        return
    for name, make in rows(options).items():
        if all(word in name.split() for word in options.only):
            print(f"{name} ...", file=sys.stderr, flush=True)
            _add(options.out, {"row": name, **_made(make)})
    known = pd.DataFrame(json.loads(options.out.read_text())["rows"])
    print(known.drop(columns=["machine", "versions"]).to_string(index=False, na_rep=""))


def rows(options: argparse.Namespace) -> dict[str, Callable[[], dict]]:
    """Return each row's name and the function that makes its figures."""
    made = {}
    for method in BUDGETS:
        for shape in SHAPES:
            wanted = 5 if shape == "BERT-Tiny shape" else None
            made[f"cpu {shape} {method}"] = lambda method=method, shape=shape, wanted=wanted: speed(
                options, shape, "cpu", method, wanted
            )
        least = {"lime": 2, "shap": 2.5}[method]
        made[f"cpu MiniLM {method}"] = lambda method=method, least=least: speed(options, "MiniLM", "cpu", method, least)
        least = {"lime": 6, "shap": 20}[method]
        for shape in SHAPES:
            wanted = least if shape == "BERT-base shape" else None
            made[f"gpu {shape} bf16 {method}"] = lambda method=method, shape=shape, wanted=wanted: speed(
                options, shape, "cuda", method, wanted
            )
    made["memory"] = lambda: memory(options)
    for method, budget, least in (
        ("shapley", 1000, 0.75),
        ("shapley", 5000, 0.85),
        ("lime", 1000, None),
        ("lime", 5000, None),
    ):
        made[f"steadiness {method} {budget}"] = lambda method=method, budget=budget, least=least: steadiness(
            options, method, budget, least
        )
    return made


def speed(options: argparse.Namespace, model: str, device: str, method: str, least: float | None) -> dict:
    """Return seconds per example of library and engine, and the share of bare forward passes in the latter."""
    if device == "cuda" and not torch.cuda.is_available():
        raise Open("no GPU on this machine")
    examples = _pairs(options.hub, options.examples)
    classifier = _classifier(options.hub, model, device)
    budget = BUDGETS[method]
    explain(classifier, examples.head(2), method=method, n_samples=budget)  # warm up: compilation, allocation
    recorder, library = _Recorder(classifier), _library(classifier, method, budget)
    library(examples.iloc[0])  # shap compiles for about ten seconds
    seconds, passes = {"engine": 0.0, "library": 0.0}, 0
    # In turns, so that a machine that is busy for a while is so for both; on a GPU examples are explained side by side.
    batch = 5 if device == "cpu" else len(examples)
    for start in range(0, len(examples), batch):
        chosen = examples.iloc[start : start + batch]
        started = time.perf_counter()
        passes += explain(recorder.classifier, chosen, method=method, n_samples=budget).attrs["passes"]
        between = time.perf_counter()
        for _, example in chosen.iterrows():
            library(example)
        seconds["engine"] += between - started
        seconds["library"] += time.perf_counter() - between
    bare = recorder.bare_seconds()
    return {
        "value": seconds["library"] / seconds["engine"],
        "what": "times the library's speed",
        "at least": least,
        "library s/example": seconds["library"] / len(examples),
        "engine s/example": seconds["engine"] / len(examples),
        "bare share": bare / seconds["engine"],
        "passes/s": passes / seconds["engine"],
    }


class _Recorder:
    """A classifier that keeps the rows it was asked about, to run them again with nothing around the model."""

    def __init__(self, classifier: Classifier):
        self.blocks: list[forward.Rows] = []
        keep = self.blocks.extend

        class Recording(Classifier):
            def predict_rows(self, rows):
                keep(rows)
                return super().predict_rows(rows)

        self.classifier = Recording(classifier.model, classifier.tokenizer, classifier.labels, classifier.max_length)

    def bare_seconds(self) -> float:
        """Return the time of the forward passes of all rows, unpadded: tensors made before, one batch for a length."""
        model = self.classifier.model
        budget = forward.BUDGET[model.device.type]
        window = 1 if model.device.type == "cpu" else len(self.blocks)
        batches = []
        for start in range(0, len(self.blocks), window):
            batches += _unpadded(self.blocks[start : start + window], budget, model.device)
        with torch.inference_mode():
            _synchronise(model)
            started = time.perf_counter()
            for batch in batches:
                model(**batch)
            _synchronise(model)
        return time.perf_counter() - started


def _unpadded(blocks: list[forward.Rows], budget: int, device: torch.device) -> list[dict[str, torch.Tensor]]:
    by_length: dict[int, list] = {}
    for block in blocks:
        for row, length in enumerate(block.lengths):
            by_length.setdefault(int(length), []).append((block, row))
    batches = []
    for length, members in by_length.items():
        for start in range(0, len(members), max(1, budget // length)):
            part = members[start : start + max(1, budget // length)]
            ids = np.stack([block.ids[row, :length] for block, row in part])
            types = np.stack([block.types[row, :length] for block, row in part])
            batches.append(
                {"input_ids": torch.tensor(ids, device=device), "token_type_ids": torch.tensor(types, device=device)}
            )
    return batches


def _synchronise(model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def _library(classifier: Classifier, method: str, budget: int) -> Callable[[pd.Series], object]:
    """Return a function that explains `premise [SEP] hypothesis` as the authors' NLI scripts call the library.

    The model gets the texts that the library asks about at once, padded to the longest: 1,000 from LIME, 6 from SHAP.
    """

    @torch.inference_mode()
    def predict_proba(texts) -> np.ndarray:
        firsts, seconds = (
            list(side) for side in zip(*(as_released.split(text, as_released.NLI) for text in texts), strict=True)
        )
        options = {"padding": True, "truncation": True, "max_length": 256, "return_tensors": "pt"}
        batch = classifier.tokenizer(firsts, seconds, **options).to(classifier.model.device)
        return torch.softmax(classifier.model(**batch).logits.float(), dim=-1).cpu().numpy()

    explain_text = (_with_lime if method == "lime" else _with_shap)(predict_proba, budget)
    return lambda example: explain_text(example.text_a + as_released.NLI + example.text_b)


def _with_lime(predict_proba: Callable, budget: int) -> Callable:
    from lime.lime_text import LimeTextExplainer

    explainer = LimeTextExplainer(class_names=LABELS, random_state=0)
    return lambda text: explainer.explain_instance(
        text, predict_proba, labels=range(len(LABELS)), num_features=20, num_samples=budget
    )


def _with_shap(predict_proba: Callable, budget: int) -> Callable:
    import shap

    explainer = shap.Explainer(predict_proba, shap.maskers.Text(r"\s+"), output_names=list(LABELS))
    return lambda text: explainer([text], max_evals=budget, silent=True)


def memory(options: argparse.Namespace) -> dict:
    """Return by how many MB the peak memory of explaining 10,000 pairs is above that of explaining 100."""
    _pairs(options.hub, 1)  # says here what is lacking
    command = [sys.executable, __file__, "--hub", options.hub, "--memory-probe"]
    peaks = [float(subprocess.check_output([*command, str(count)])) for count in (100, 10_000)]
    return {"value": peaks[1] - peaks[0], "what": "MB more for 10,000 pairs than for 100", "at most": 300}


def _peak_memory(hub: str | None, count: int) -> float:
    """Return the peak memory, in MB, of this process after explaining `count` pairs."""
    pairs = _pairs(hub, None)
    classifier = _classifier(hub, "BERT-Tiny shape", "cpu")
    pairs = pairs.iloc[np.arange(count) % len(pairs)].assign(id=[f"pair-{number}" for number in range(count)])
    explain(classifier, pairs, method="lime", n_samples=100)
    return peak_memory() / 2**20


def steadiness(options: argparse.Namespace, method: str, budget: int, least: float | None) -> dict:
    """Return the mean Jaccard index of the top 10 of a method under two seeds, fine-tuned MiniLM, 20 SNLI pairs."""
    pairs = _pairs(options.hub, 20)
    classifier = load_classifier(FINE_TUNED, hub=options.hub)
    label = pd.Series([classifier.labels[label] for label in pairs["label"]], index=pairs["id"])
    runs = [explain(classifier, pairs, method=method, n_samples=budget, seed=seed) for seed in (0, 1)]
    agreement = trusteq.align(*runs, label=label)
    passes = sum(run.attrs["passes"] for run in runs) / len(runs) / len(pairs)
    return {
        "value": agreement.mean,
        "what": f"top-10 Jaccard with itself (chance {agreement.chance:.2f}, {passes:,.0f} passes used)",
        "at least": least,
    }


class Open(Exception):
    """A row that cannot be made on this machine; the message says why."""


def _made(make: Callable[[], dict]) -> dict:
    try:
        return make()
    except Open as reason:
        return {"value": None, "open": str(reason)}


def _add(file: Path, row: dict) -> None:
    """Put a row into the file in place of the one of its name; an open row does not replace one that was made."""
    rows = {known["row"]: known for known in json.loads(file.read_text())["rows"]} if file.is_file() else {}
    if row["value"] is None and rows.get(row["row"], row)["value"] is not None:
        return
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    row |= {"machine": f"{processor()}, one thread, {gpu}", "versions": versions()}
    write_text(to_json({"rows": list((rows | {row["row"]: row}).values())}), file)


def _classifier(hub: str, model: str, device: str) -> Classifier:
    if model == "MiniLM":
        return load_classifier(FINE_TUNED, hub=hub, device=device)
    layers, hidden, heads = SHAPES[model]
    torch.manual_seed(0)
    tokenizer = load_tokenizer(TOKENIZER, locate(TOKENIZER, hub))
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        num_labels=len(LABELS),
    )
    network = transformers.BertForSequenceClassification(config)
    return as_classifier(network.bfloat16() if device == "cuda" else network, tokenizer, LABELS, device=device)


def _pairs(hub: str | None, limit: int | None) -> pd.DataFrame:
    if not hub:
        raise Open("needs --hub, a mirror with SNLI and MiniLM")
    return trusteq.load_examples("snli", "test", hub=hub, limit=limit)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
