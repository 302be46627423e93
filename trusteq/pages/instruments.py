"""The instruments of the pages under "Try it": shown by a notebook, with the data that their scripts load from disk.

The scripts are in book/assets/instruments, and `write` makes of a run what they compute with; of the explorer, the
module of this name does. Arrays are base64 of single precision, little-endian, row after row.
"""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.colors import to_hex

from trusteq.examples.load import load_examples
from trusteq.pages.figures import colours
from trusteq.pages.show import put
from trusteq.store import write_text
from trusteq.study.results import Results
from trusteq.study.sides import predicted_sides

FOLDER = "instruments"  # of the scripts in the book's static files, and of their data beside the page
MOST_WEIGHTS = 650_000  # of both models: 2.6 MB, a third more in base64
MOST_EXAMPLES = 4000  # of a task's test split
N_PAIRS = 36
CONFIG = ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size", "layer_norm_eps")
# Of each instrument: the data that it loads, and the scripts; each is harmless to load twice.
_LOADS = {
    "explain": (("models", "pairs"), ("bert", "lime")),
    "bench": (("predictions",), ("lime", "calibration")),
    "exchange": (("predictions",), ("lime", "calibration", "replace")),
    "explorer": (("explained",), ("calibration",)),
}


def instrument(name: str, **knobs: float) -> None:
    """Show an instrument, "explain", "bench", "exchange" or "explorer", its knobs set at first as given."""
    data, scripts = _LOADS[name]
    given = " ".join(f'data-{knob}="{value}"' for knob, value in knobs.items())
    missing = "This instrument runs in the book's page; here its scripts were not found."
    sources = [f"{FOLDER}/{of}.js" for of in data]
    sources += [f"../_static/{FOLDER}/{of}.js" for of in ("controls", *scripts, name)]
    parts = [f'<link rel="stylesheet" href="../_static/{FOLDER}/instruments.css">']
    parts += [f'<div class="tq-instrument" data-instrument="{name}" {given}><p>{missing}</p></div>']
    put(HTML("\n".join([*parts, *(f'<script src="{source}"></script>' for source in sources)])))


def write(run: Results, folder: Path) -> None:
    """Write models.js, pairs.js and predictions.js of a run into a folder; null for what the page cannot have."""
    task = next(iter(run.experiment.tasks))
    shown = models(run, task)
    data = {"models": shown, "pairs": shown and pairs(run, task), "predictions": predictions(run)}
    for name, value in data.items():
        write_data(name, value, folder)


def write_data(name: str, value: object, folder: Path) -> None:
    """Write a value as the script `name`.js, which makes it trusteqData's `name`; nan is JavaScript's NaN."""
    text = json.dumps(value, separators=(",", ":"))
    write_text(f"(window.trusteqData = window.trusteqData || {{}}).{name} = {text};\n", folder / f"{name}.js")


def models(run: Results, task: str) -> list[dict] | None:
    """Return the large model and the smallest as a page runs them; None where it cannot.

    Weights are needed, so a run, not published results; a generated task, whose texts may be shown; plain BERTs with
    the tokenizer that bert.js has; and no more than `MOST_WEIGHTS`. Of the first training seed.
    """
    if run.is_published or not run.experiment.task(task).generated:
        return None
    seed, names = run.experiment.seeds[0], list(run.experiment.models)
    size = {name: run.facts(task, name, seed, "metrics")["parameters"] for name in names}
    chosen = [names[0], min(names, key=size.get)]
    if chosen[0] == chosen[1] or sum(size[name] for name in chosen) > MOST_WEIGHTS:
        return None
    found = [model(run.trained(task, name, seed)) for name in chosen]
    colour = paint(run)
    told = [{"title": run.experiment.model(name).title, "colour": colour[name]} for name in chosen]
    return None if None in found else [one | of for one, of in zip(told, found, strict=True)]


def model(folder: Path) -> dict | None:
    """Return a BERT classifier's configuration, vocabulary and weights for bert.js; None for another architecture."""
    from safetensors.numpy import load_file

    config, tokenizer, limits = (_json(folder / f"{name}.json") for name in ("config", "tokenizer", "tokenizer_config"))
    is_bert = config["architectures"] == ["BertForSequenceClassification"] and config["hidden_act"] == "gelu"
    kinds = tokenizer["model"]["type"], tokenizer["normalizer"]["type"]
    if not is_bert or "compression" in config or kinds != ("WordPiece", "BertNormalizer"):
        return None
    tensors = {name.removeprefix("bert."): of for name, of in sorted(load_file(folder / "model.safetensors").items())}
    normalizer = tokenizer["normalizer"]
    accents = normalizer["lowercase"] if normalizer["strip_accents"] is None else normalizer["strip_accents"]
    settings = {name: config[name] for name in CONFIG} | {
        "lowercase": normalizer["lowercase"],
        "strip_accents": accents,
    }
    longest = min(limits["model_max_length"], config["max_position_embeddings"])
    vocabulary = tokenizer["model"]["vocab"]
    return {
        "labels": [config["id2label"][str(index)] for index in range(len(config["id2label"]))],
        "config": settings | {"max_length": longest},
        "vocabulary": sorted(vocabulary, key=vocabulary.get),
        "tensors": [(name, of.size) for name, of in tensors.items()],
        "weights": encoded(np.concatenate([of.ravel() for of in tensors.values()])),
    }


def pairs(run: Results, task: str) -> list[tuple[str, str]]:
    """Return a few generated pairs of the test split, to choose from: (first text, second text)."""
    found = load_examples(run.experiment.task(task), "test").head(N_PAIRS)
    return list(zip(found["text_a"], found["text_b"], strict=True))


def predictions(run: Results) -> list[dict]:
    """Return of each task what all models predict on its test split, at most the first `MOST_EXAMPLES`.

    Of each: title, labels, n (examples in all), ids, gold (class indices), groups (what belongs together, or null), and
    models: title, colour, probabilities (n, classes), seconds (of predicting the whole split). The first training seed.
    """
    return [_predictions(run, task, run.experiment.seeds[0]) for task in run.experiment.tasks]


def _predictions(run: Results, task: str, seed: int) -> dict:
    sides, colour, few = predicted_sides(run, task, seed), paint(run), slice(MOST_EXAMPLES)
    large = sides[run.experiment.large]
    groups = None if large.clusters is None else pd.factorize(large.clusters[few])[0].tolist()
    facts = {"title": run.experiment.task(task).title, "labels": large.labels, "n": len(large.gold), "groups": groups}
    told = [
        {"title": run.experiment.model(name).title, "colour": colour[name]}
        | {"probabilities": encoded(sides[name].probabilities[few])}
        | {"seconds": run.facts(task, name, seed, "timing")["inference_seconds"]}
        for name in run.experiment.models
    ]
    return facts | {"ids": large.ids[few].tolist(), "gold": large.gold[few].tolist(), "models": told}


def paint(run: Results) -> dict[str, str]:
    """Return each model's colour on all pages, as CSS has it."""
    return {name: to_hex(of) for name, of in colours([*run.experiment.models]).items()}


def encoded(values: np.ndarray) -> str:
    """Return numbers as base64 of single precision, little-endian, row after row."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def _json(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))
