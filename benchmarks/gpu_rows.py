"""The rows of a GPU: engine, library and bare forward passes, a model and a method each; see gpu.py."""

import argparse
import contextlib
import gc
import importlib.util
import itertools
import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

LABELS = ("entailment", "neutral", "contradiction")
TASK, TRAINED, SEED = "snli", ("minilm", "minilm-3-layers"), 0
EXPLAINED = {"lime": 1000, "shap": 500, "shapley": 1000, "integrated-gradients": 50}


@dataclass(frozen=True)
class Scale:
    """How large everything is: on a GPU, or in a rehearsal on the CPU.

    pairs: of a row, for the engine; of_library: for the library; large: for models that take long.
    twenties: pairs of 20 tokens. layers: at most. share: of each budget of passes. patience: times the seconds of a
    step, on a machine that does other work as well. models: those of the rows; none for all.
    """

    device: str
    dtype: str
    seconds: float
    pairs: int
    of_library: int
    large: int
    twenties: int
    layers: int
    share: float
    explain: int
    train: int | None
    whole: int
    patience: int = 1
    models: tuple[str, ...] = ()


GPU = Scale("cuda", "bfloat16", 535, 256, 2, 48, 1 << 18, 99, 1.0, 220, None, 1024)
REHEARSAL = Scale(
    "cpu", "bfloat16", 5000, 2, 1, 2, 24, 1, 0.02, 2, 16, 2, 12, ("BERT-base shape", "MiniLM", "Llama-135M shape")
)


@contextlib.contextmanager
def timed() -> Iterator[list[float]]:
    """Time what is done, on the GPU as well."""
    took = []
    _wait()
    started = time.perf_counter()
    yield took
    _wait()
    took.append(time.perf_counter() - started)


def _wait() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def budget_of(options: argparse.Namespace, n: int) -> int:
    return max(12, int(n * options.scale.share))


def trained(options: argparse.Namespace, model: str = TRAINED[0]) -> Path | None:
    folder = options.work / "results" / "gpu" / "models" / TASK / model / str(SEED)
    return folder if (folder / "config.json").is_file() else None


LLAMAS = {"Llama-135M shape": (30, 576, 9, 3, 1536), "Llama-1B shape": (16, 2048, 32, 8, 8192)}
AT_LEAST = {"times the library's speed": 20, "pairs/s of 20 tokens": 50_000}
SHARE = 0.85  # of the time of bare forward passes in all


def of_cpu() -> ModuleType:
    """Return the module of the CPU's rows; it imports the book's pages, and they IPython, where nothing is shown."""
    if "IPython" not in sys.modules and importlib.util.find_spec("IPython") is None:
        shell, display = ModuleType("IPython"), ModuleType("IPython.display")
        shell.get_ipython, display.display, display.Markdown, display.HTML = (lambda: None), print, str, str
        sys.modules |= {"IPython": shell, "IPython.display": display}
    import attribution

    return attribution


def models() -> list[str]:
    """Return the names of all models, the most telling first."""
    shapes = list(of_cpu().SHAPES)[::-1]
    return [shapes[0], "MiniLM", *shapes[1:], *LLAMAS]


def rows(options: argparse.Namespace) -> None:
    """Make the rows that are not made yet, until the time is over."""
    for name, make in _rows(options, _kept_classifiers(options)).items():
        if name in _known(options):
            continue
        if time.monotonic() > options.until - 10:
            _add(options, {"row": name, "value": None, "open": "no time left"})
            continue
        _add(options, {"row": name, "value": None, "open": "broke off"})  # and is not tried again
        print(name, flush=True)
        _add(options, {"row": name, **_made(make)})


def _made(make: Callable[[], dict]) -> dict:
    import torch

    try:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        found = make()
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return found | {"GPU memory MB": peak / 2**20}
    except (ImportError, ValueError, RuntimeError, TypeError, KeyError, OSError) as error:
        traceback.print_exc()
        if "CUDA error" in str(error):
            raise  # this process has lost its GPU; the next one goes on with the next row
        return {"value": None, "open": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
    finally:
        gc.collect()


def _known(options: argparse.Namespace) -> dict[str, dict]:
    file = options.out / "gpu.json"
    known = json.loads(file.read_text())["rows"] if file.is_file() else []
    return {row["row"]: row for row in known if row.get("open") != "no time left"}


def _add(options: argparse.Namespace, row: dict) -> None:
    """Add a row to gpu.json; one that attribution.json has as well, to a copy of that file."""
    attribution = of_cpu()
    print({name: value for name, value in row.items() if name != "what"}, flush=True)
    attribution._add(options.out / "gpu.json", dict(row))
    own = {f"gpu {shape} bf16 {method}" for shape in attribution.SHAPES for method in ("lime", "shap")}
    if row["row"] in own and row["value"] is not None and not options.rehearse:
        file = options.out / "attribution.json"
        if not file.is_file():
            shutil.copyfile(attribution.FILE, file)
        attribution._add(file, dict(row))


def _rows(options: argparse.Namespace, classifier: Callable) -> dict[str, Callable[[], dict]]:
    """Return each row's name and the function that makes its figures; rows of one model follow each other."""
    found: dict[str, Callable[[], dict]] = {}
    for model in filter(options.scale.models.__contains__, models()) if options.scale.models else models():
        of = f"gpu {model}"
        if model == "BERT-base shape":
            found[f"{of} bf16 20 tokens"] = lambda model=model: twenty_tokens(options, classifier(model))
            found[f"{of} bf16 sorted"] = lambda model=model: against_padded(options, classifier(model))
            found[f"{of} bf16 in turns"] = lambda model=model: against_one_window(options, classifier(model))
        for method in ("lime", "shap", "shapley"):
            found[f"{of} bf16 {method}"] = lambda model=model, method=method: speed(
                options, classifier(model), model, method
            )
        if model in ("BERT-base shape", "MiniLM"):
            found[f"{of} fp32 lime"] = lambda model=model: speed(
                options, classifier(model, "float32"), model, "lime", of_library=0
            )
            found[f"{of} autocast lime"] = lambda model=model: in_autocast(options, classifier(model, "float32"), model)
    return found


def _kept_classifiers(options: argparse.Namespace) -> Callable:
    """Return the function that returns a model's classifier, the last of which is kept."""
    last: dict[tuple, object] = {}

    def classifier(model: str, dtype: str = options.scale.dtype):
        import torch

        if (model, dtype) not in last:
            last.clear()
            gc.collect()
            made = _classifier(options, model)
            last[model, dtype] = replace(made, model=made.model.to(getattr(torch, dtype)))
        return last[model, dtype]

    return classifier


def _classifier(options: argparse.Namespace, model: str):
    """Return a model, all but MiniLM with random weights and every one with MiniLM's tokenizer."""
    import torch
    import transformers

    from trusteq.models.classifier import as_classifier, load_classifier, load_tokenizer, locate

    device = options.scale.device
    if model == "MiniLM" and (folder := trained(options)):
        return load_classifier(folder, device=device)
    tokenizer = load_tokenizer(of_cpu().TOKENIZER, locate(of_cpu().TOKENIZER))
    shape = of_cpu().SHAPES.get(model, (6, 384, 12))
    layers, hidden, heads, *rest = LLAMAS.get(model, shape)
    sizes = {"vocab_size": len(tokenizer), "num_hidden_layers": min(layers, options.scale.layers)}
    sizes |= {"hidden_size": hidden, "num_attention_heads": heads, "num_labels": len(LABELS), "pad_token_id": 0}
    torch.manual_seed(0)
    if model in LLAMAS:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
        config = transformers.LlamaConfig(**sizes, num_key_value_heads=rest[0], intermediate_size=rest[1])
    else:
        config = transformers.BertConfig(**sizes, intermediate_size=4 * hidden)
    with torch.device(device):  # a billion weights are drawn there in no time
        network = transformers.AutoModelForSequenceClassification.from_config(config)
    return as_classifier(network, tokenizer, LABELS, device=device)


def speed(options: argparse.Namespace, classifier, model: str, method: str, *, of_library: int | None = None) -> dict:
    """Return seconds per example of engine and library, and what share the bare forward passes have in the former."""
    from trusteq.attribution.explain import explain

    n = options.scale.pairs if model not in LLAMAS and of_library is None else options.scale.large
    pairs, budget = _pairs(n), budget_of(options, EXPLAINED[method])
    how = {"method": method, "n_samples": budget}
    explain(classifier, pairs.head(max(2, n // 8)), seed=1, **how)  # the first calls choose kernels, and take memory
    with _recorded() as batches, timed() as took:
        found = explain(classifier, pairs, **how)
    seconds, passes = took[0] / len(pairs), found.attrs["passes"]
    row = {"what": "passes/s", "value": passes / took[0], "engine s/example": seconds, "passes/s": passes / took[0]}
    row |= _bare(classifier, batches, took[0]) | {"pairs": len(pairs)}
    of_library = options.scale.of_library if of_library is None else of_library
    if method in ("lime", "shap") and of_library:
        try:
            library = _library_seconds(classifier, method, budget, pairs.head(of_library))
        except ImportError as error:
            return row | {"value": None, "open": f"the library is not here ({error})"}
        what = "times the library's speed"
        row |= {"what": what, "value": library / seconds, "library s/example": library, "at least": AT_LEAST[what]}
    return row


def in_autocast(options: argparse.Namespace, classifier, model: str) -> dict:
    """Return what `speed` does of LIME where products alone are in half precision."""
    import torch

    with torch.autocast(options.scale.device, dtype=torch.bfloat16):
        return speed(options, classifier, model, "lime", of_library=0)


def _pairs(n: int) -> pd.DataFrame:
    """Return so many pairs of SNLI test, of all lengths, each `n` of which begin with typical ones."""
    import trusteq
    from trusteq.attribution.cost import spread

    every = trusteq.load_examples(TASK, "test")
    first = spread(every, 3)
    return pd.concat([first, spread(every, max(n - 3, 1))]).drop_duplicates("id").head(n).reset_index(drop=True)


@contextlib.contextmanager
def _recorded() -> Iterator[list]:
    """Collect the inputs of every batch that a model is given."""
    from trusteq.models import forward

    run, batches = forward.run_batch, []
    forward.run_batch = lambda model, inputs: batches.append(inputs) or run(model, inputs)
    try:
        yield batches
    finally:
        forward.run_batch = run


def _bare(classifier, batches: list[dict], seconds: float) -> dict:
    """Return the share of `seconds` that the same batches take with nothing around: by us, and by the library."""
    import torch

    from trusteq.models.forward import run_batch

    with timed() as ours:
        for inputs in batches:
            run_batch(classifier.model, inputs)
    some = batches[::4]
    with torch.inference_mode(), timed() as theirs:
        for inputs in some:
            classifier.model(**inputs)
    tokens, of_some = (sum(inputs["input_ids"].numel() for inputs in of) for of in (batches, some))
    return {
        "own forward share": ours[0] / seconds,
        "bare share": theirs[0] / seconds * tokens / of_some,
        "batches": len(batches),
        "tokens/s": tokens / seconds,
    }


def _library_seconds(classifier, method: str, budget: int, pairs: pd.DataFrame) -> float:
    library = of_cpu()._library(classifier, method, budget)
    library(pairs.iloc[0])  # shap compiles for about ten seconds
    with timed() as took:
        for _, pair in pairs.iterrows():
            library(pair)
    return took[0] / len(pairs)


def twenty_tokens(options: argparse.Namespace, classifier) -> dict:
    """Return how many pairs of 20 tokens a second: token ids in, probabilities out."""
    from trusteq.models.forward import Rows

    n, rng = options.scale.twenties, np.random.default_rng(0)
    ids = rng.integers(1000, 30_000, size=(n, 20))
    rows = Rows(ids, np.full(n, 20), np.repeat([[0] * 12 + [1] * 8], n, axis=0))
    few = slice(n // 4)
    classifier.predict_rows([Rows(ids[few], rows.lengths[few], rows.types[few])])
    with _recorded() as batches, timed() as took:
        classifier.predict_rows([rows])
    what = "pairs/s of 20 tokens"
    return {"what": what, "value": n / took[0], "at least": AT_LEAST[what]} | _bare(classifier, batches, took[0])


def against_padded(options: argparse.Namespace, classifier) -> dict:
    """Return how many times as fast sorted rows are as rows in the order of their masks, padded to the longest."""
    from trusteq.models import forward

    found, padding = _rows_of_lime(options, classifier), 0
    whole = forward._stack(found)
    longest, n = int(whole.lengths.max()), len(whole.lengths)
    step = max(1, forward.BUDGET[options.scale.device] // longest)
    batches = forward.Batches(whole, np.arange(n), padding, classifier.model.device)
    for _ in range(2):
        with timed() as padded:
            parts = [forward.run_batch(classifier.model, batches[at : at + step]) for at in range(0, n, step)]
            parts[-1].cpu()
        with timed() as ordered:
            forward.logits(classifier.model, found, padding=padding)
    return {
        "what": "times as fast sorted as padded",
        "value": padded[0] / ordered[0],
        "rows": n,
        "tokens, padded": longest * n,
        "tokens": int(whole.lengths.sum()),
    }


def _rows_of_lime(options: argparse.Namespace, classifier) -> list:
    """Return the rows of the pairs' masks by LIME, a block for each pair."""
    from trusteq.attribution.explain import example_of
    from trusteq.attribution.lime import perturbations
    from trusteq.attribution.tokens import TokenPredictor

    predictor, rng = TokenPredictor(classifier), np.random.default_rng(0)
    pairs = _pairs(min(options.scale.pairs, 128)).itertuples()
    examples = [example_of(row, len(classifier.labels), classifier=classifier) for row in pairs]
    n = budget_of(options, 1000)
    return [predictor._rows(of, perturbations(of.n_features, n, rng)) for of in examples]


def against_one_window(options: argparse.Namespace, classifier) -> dict:
    """Return how many times as fast two windows are in turns, by the number of examples of a window."""
    from trusteq.attribution import engine, explain

    pairs, how = _pairs(options.scale.pairs), {"method": "lime", "n_samples": budget_of(options, 1000)}
    device, in_turns, seconds = options.scale.device, explain.in_turns, {}
    window, sizes = engine.WINDOW.get(device), [max(2, len(pairs) // part) for part in (8, 4, 2)]
    try:
        for size, most in itertools.product(sizes, (1, 2)):
            engine.WINDOW[device] = size
            explain.in_turns = lambda works, _, most=most: in_turns(works, most)
            with timed() as took:
                explain.explain(classifier, pairs, **how)
            seconds[f"{size}, {most} at once"] = took[0] / len(pairs)
    finally:
        explain.in_turns = in_turns
        engine.WINDOW |= {device: window or 1}
    alone, both = (seconds[f"{sizes[-1]}, {most} at once"] for most in (1, 2))
    return {"what": "times as fast in turns", "value": alone / both, "engine s/example": both, "by window": seconds}


def targets(out: Path) -> list[dict]:
    """Return the targets of the rows that were made: row, value, wanted, and "reached" or "missed"."""
    file = out / "gpu.json"
    known = json.loads(file.read_text())["rows"] if file.is_file() else []
    shares = {f"{row['row']}: share of bare forward": row.get("own forward share") for row in known}
    wanted = [(row["row"], row["value"], row["at least"]) for row in known if row["value"] and row.get("at least")]
    wanted += [(name, share, SHARE) for name, share in shares.items() if share is not None]
    said = [{"row": name, "value": value, "wanted": least} for name, value, least in wanted]
    return [of | {"said": "reached" if of["value"] >= of["wanted"] else "missed"} for of in said]
