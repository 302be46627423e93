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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, processors, trainers
from tokenizers.normalizers import NFC

import trusteq
from trusteq.alignment import align
from trusteq.attribution import as_released
from trusteq.attribution.cost import peak_memory
from trusteq.attribution.explain import example_of, explain, together
from trusteq.attribution.lime import perturbations
from trusteq.attribution.tokens import TokenPredictor
from trusteq.models import forward
from trusteq.models.classifier import Classifier, as_classifier, load_classifier, load_tokenizer, locate
from trusteq.models.onnx_session import load_graph
from trusteq.pages.status import BUDGETS
from trusteq.statistics import stream
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
            wanted = {"BERT-Tiny shape": 5, "BERT-base shape": 2}.get(shape)
            made[f"cpu {shape} {method}"] = lambda method=method, shape=shape, wanted=wanted: speed(
                options, shape, "cpu", method, wanted
            )
        least = {"lime": 3.5, "shap": 3}[method]
        made[f"cpu MiniLM {method}"] = lambda method=method, least=least: speed(options, "MiniLM", "cpu", method, least)
        least = {"lime": 6, "shap": 20}[method]
        for shape in SHAPES:
            wanted = least if shape == "BERT-base shape" else None
            made[f"gpu {shape} bf16 {method}"] = lambda method=method, shape=shape, wanted=wanted: speed(
                options, shape, "cuda", method, wanted
            )
    for kind in TOKENIZERS:
        made[f"cpu token ids {kind}-like"] = lambda kind=kind: token_ids(options, kind)
    made["cpu MiniLM lime ONNX Runtime"] = lambda: onnx(options)
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
        "own forward share": recorder.seconds / seconds["engine"],
        "passes/s": passes / seconds["engine"],
    }


class _Recorder:
    """A classifier that keeps the rows it was asked about, to run them again with nothing around the model."""

    def __init__(self, classifier: Classifier):
        self.blocks: list[forward.Rows] = []
        self.seconds = 0.0  # in the engine's own forward passes
        recorder = self

        class Recording(Classifier):
            def predict_rows(self, rows):
                recorder.blocks.extend(rows)
                started = time.perf_counter()
                found = super().predict_rows(rows)
                recorder.seconds += time.perf_counter() - started
                return found

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


# How the tokenizers of a family split a text, and whether they learn byte pairs or pieces with a probability.
TOKENIZERS = {
    "RoBERTa": (models.BPE, trainers.BpeTrainer, pre_tokenizers.ByteLevel(add_prefix_space=False), None),
    "ModernBERT": (models.BPE, trainers.BpeTrainer, pre_tokenizers.ByteLevel(add_prefix_space=False), NFC()),
    "DeBERTa-v3": (models.Unigram, trainers.UnigramTrainer, pre_tokenizers.Metaspace(), NFC()),
    "Llama": (models.BPE, trainers.BpeTrainer, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), None),
}


def token_ids(options: argparse.Namespace, kind: str) -> dict:
    """Return the time of the token ids of 1,000 masks of a pair, beside that of tokenising each masked text."""
    learnt_from = _pairs(options.hub, 2000)
    examples, budget = learnt_from.head(options.examples), BUDGETS["lime"]
    classifier = Classifier(None, _tokenizer(kind, [*learnt_from["text_a"], *learnt_from["text_b"]]), LABELS, 512)
    assembler, seconds, masks = TokenPredictor(classifier), {"pieces": 0.0, "texts": 0.0}, 0
    for row in examples.itertuples():
        example = example_of(row, len(LABELS), classifier=classifier)
        asked = np.unique(perturbations(example.n_features, budget, stream(0, "lime", row.id)), axis=0)
        started = time.perf_counter()
        if example.rows(asked, assembler) is None:
            raise Open(f"the pieces of a {kind}-like tokenizer do not stand alone")
        between = time.perf_counter()
        classifier.encode(*example.texts(asked))
        seconds["pieces"] += between - started
        seconds["texts"] += time.perf_counter() - between
        masks += len(asked)
    return {
        "value": seconds["texts"] / seconds["pieces"],
        "what": "times the speed of tokenising each masked text",
        "engine s/example": seconds["pieces"] / len(examples),
        "library s/example": seconds["texts"] / len(examples),
        "passes/s": masks / seconds["pieces"],
    }


def _tokenizer(kind: str, texts: list[str]) -> transformers.PreTrainedTokenizerBase:
    """Return a tokenizer like a family's, learnt from texts: 8,000 tokens, and special ones around the texts."""
    model, trainer, splitter, normaliser = TOKENIZERS[kind]
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    backend = tokenizers.Tokenizer(model())
    # Without spaces to split at, learning makes tokens of several words, as no family has them.
    backend.pre_tokenizer = pre_tokenizers.Metaspace() if kind == "Llama" else splitter
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    own = {"unk_token": "<unk>"} if model is models.Unigram else {"initial_alphabet": alphabet}
    learner = trainer(vocab_size=8000, special_tokens=[*special.values()], show_progress=False, **own)
    backend.train_from_iterator(texts, learner)
    backend.pre_tokenizer = splitter
    if normaliser is not None:
        backend.normalizer = normaliser
    known = [(token, backend.token_to_id(token)) for token in special.values()]
    backend.post_processor = processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", known)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=512, **special)


def onnx(options: argparse.Namespace) -> dict:
    """Return how fast ONNX Runtime explains the fine-tuned MiniLM, in full precision and in 8 bits, beside torch."""
    examples = _pairs(options.hub, options.examples)
    classifier = load_classifier(FINE_TUNED, hub=options.hub, device="cpu")
    known = {"torch": classifier, **_graphs(classifier)}
    seconds, passes, found = dict.fromkeys(known, 0.0), 0, {name: [] for name in known}
    for row in range(len(examples)):  # in turns, as in `speed`
        for name, model in known.items():
            started = time.perf_counter()
            found[name].append(explain(model, examples.iloc[[row]], method="lime", n_samples=BUDGETS["lime"]))
            seconds[name] += time.perf_counter() - started
        passes += found["torch"][-1].attrs["passes"]
    label = pd.Series([classifier.labels[label] for label in examples["label"]], index=examples["id"])
    whole = {name: together(tables) for name, tables in found.items()}
    shared = {name: align(whole["torch"], whole[name], label=label).mean for name in known}
    return {
        "value": seconds["torch"] / seconds["8 bits"],
        "what": f"times torch's speed in 8 bits (top-10 Jaccard {shared['8 bits']:.2f})",
        "full precision": seconds["torch"] / seconds["full precision"],
        "top-10 Jaccard in full precision": shared["full precision"],
        "engine s/example": seconds["8 bits"] / len(examples),
        "torch s/example": seconds["torch"] / len(examples),
        "passes/s": passes / seconds["8 bits"],
        "torch passes/s": passes / seconds["torch"],
        "full precision passes/s": passes / seconds["full precision"],
    }


def _graphs(classifier: Classifier) -> dict[str, object]:
    """Return the classifier as graphs of ONNX Runtime, made as the book's page on reruns makes them."""
    from onnxruntime.quantization import quantize_dynamic

    texts = dict(classifier.tokenizer(["a man reads", "a dog"], ["he reads", "it"], padding=True, return_tensors="pt"))
    any_size = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in texts}
    graph = {"output_names": ["logits"], "dynamic_shapes": any_size, "external_data": False}
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder, "model.onnx"), Path(folder, "model.int8.onnx")
        classifier.tokenizer.save_pretrained(folder)
        classifier.model.config.save_pretrained(folder)
        torch.onnx.export(classifier.model, (), str(whole), kwargs=texts, **graph)
        quantize_dynamic(str(whole), str(small), per_channel=True)
        return {"full precision": load_graph(whole), "8 bits": load_graph(small)}


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
    agreement = align(*runs, label=label)
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
