"""All that waits for a GPU, step by step, each with its time, whatever became of the one before; see gpu.sh.

    benchmarks/gpu.sh [--rehearse] [--out DIR] [--seconds N] [--step NAME ...]

Writes summary.json (step, status, seconds; each target, reached or not), log.txt, found.json, gpu.json (rows like those
of attribution.json, to a copy of which the rows on lime and shap are added), and tables of weights without words.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from gpu_pack import unpack
from gpu_rows import EXPLAINED, GPU, LABELS, REHEARSAL, SEED, TASK, TRAINED, budget_of, rows, targets, timed, trained

ROOT = Path(__file__).resolve().parents[1]


# --- the steps, each in a process of its own ---


@dataclass(frozen=True)
class Step:
    """function: takes the options. seconds: at most, of what is left. tries: a step that broke off goes on so often."""

    function: Callable[[argparse.Namespace], int | None]
    seconds: float
    tries: int = 1


def main() -> None:
    """Run all steps, or the one that a process was started for."""
    options = _options()
    if options.child:
        _alone(STEPS[options.child].function, options)
    options.out.mkdir(parents=True, exist_ok=True)
    deadline, done = time.monotonic() + options.seconds, []
    unpack(options.carried / "hub", options.work / "hub")
    if options.rehearse:
        for file in (options.work / "hub").rglob("*.parquet"):
            pd.read_parquet(file).head(60).to_parquet(file, index=False)
    for name in options.step or STEPS:
        for attempt in range(STEPS[name].tries):
            left = min(STEPS[name].seconds * options.scale.patience, deadline - time.monotonic())
            status, seconds = _run(name, left, options) if left > 5 else ("no time left", 0.0)
            done.append({"step": name, "status": status, "seconds": round(seconds, 1)})
            print(f"{name:10} {status:14} {seconds:6.1f} s" + f" (attempt {attempt + 1})" * (attempt > 0), flush=True)
            summary = {"steps": done, "targets": targets(options.out)}
            (options.out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
            if status in ("done", "no time left"):
                break
    for target in targets(options.out):
        print("{said:8} {row}: {value:,.3g}, wanted {wanted:,.3g}".format(**target))
    spent = options.seconds - deadline + time.monotonic()
    print(f"in all {spent:.0f} s; {options.out}: {' '.join(sorted(os.listdir(options.out)))}")
    shutil.rmtree(options.work, ignore_errors=True)
    sys.exit(any(of["status"] != "done" for of in done))


def _alone(function: Callable[[argparse.Namespace], int | None], options: argparse.Namespace) -> None:
    """Run a step and end this process at once: torch 2.11 was seen to hang where it takes itself apart."""
    try:
        code = function(options) or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="small, with the CPU in the GPU's place")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ROOT / "results" / "gpu")))
    parser.add_argument("--carried", type=Path, default=ROOT / ".gpu", help="the folder that gpu_pack made")
    parser.add_argument("--seconds", type=float, help="for all steps")
    parser.add_argument("--step", nargs="*", help=f"of {', '.join(STEPS)}; all")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.scale = REHEARSAL if options.rehearse else GPU
    options.seconds = options.seconds or options.scale.seconds
    options.work = options.work or Path(tempfile.mkdtemp(prefix="trusteq-gpu-"))
    options.out, options.until = options.out.resolve(), time.monotonic() + options.seconds
    return options


def _run(name: str, seconds: float, options: argparse.Namespace) -> tuple[str, float]:
    """Run a step in a process group of its own, its output in the log; end the group when its time is over."""
    command = [sys.executable, __file__, "--child", name, "--out", options.out, "--carried", options.carried]
    command += ["--work", options.work, "--seconds", str(seconds - 4), *["--rehearse"] * options.rehearse]
    # A cache of its own: one that is full already would stand in for what was not carried.
    environment = os.environ | {"TRUSTEQ_HUB": str(options.work / "hub"), "HF_HOME": str(options.work / "cache")}
    started = time.monotonic()
    with (options.out / "log.txt").open("a") as log:
        log.write(f"\n===== {name} =====\n")
        log.flush()
        process = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, cwd=ROOT, env=environment, start_new_session=True
        )
        try:
            code = process.wait(seconds)
            status = "done" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            status = "stopped"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return status, time.monotonic() - started


def _write(options: argparse.Namespace, step: str, found: dict) -> None:
    """Put what a step has found into the one file of all steps: a lent machine gives back eight files."""
    file = options.out / "found.json"
    known = json.loads(file.read_text()) if file.is_file() else {}
    file.write_text(json.dumps(known | {step: found}, indent=1, default=float) + "\n")


def machine(options: argparse.Namespace) -> None:
    """Say what the machine is, and its two ceilings: products of matrices and copies."""
    import torch
    import transformers

    device, size = options.scale.device, 8192 if options.scale.device == "cuda" else 128
    found = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    found |= {"cpus": os.cpu_count(), "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None}
    found["float32 products"] = torch.get_float32_matmul_precision()
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    found["bf16 TFLOP/s"] = 2 * size**3 / _median_seconds(lambda: a @ b) / 1e12
    found["copied TB/s"] = 2 * a.nbytes / _median_seconds(a.clone) / 1e12
    _write(options, "machine", found)
    print(json.dumps(found, indent=1))
    if device == "cuda":
        print(subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=False).stdout)


def _median_seconds(work: Callable, repeats: int = 20) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        with timed() as took:
            work()
        seconds.append(took[0])
    return float(np.median(seconds))


def train(options: argparse.Namespace) -> None:
    """Fine-tune the models of snli-minilm, and say how they do beside the published ones, trained on a CPU."""
    from trusteq.study import stages

    found = {}
    for model in TRAINED:
        run = _experiment(options)
        stages.make(run, "train", TASK, model=model, seed=SEED)
        facts = {name: run.facts(TASK, model, SEED, name) for name in ("metrics", "timing")}
        known = ROOT / "data" / "published" / "snli-minilm" / "models" / TASK / model / str(SEED) / "metrics.json"
        published = json.loads(known.read_text()) if known.is_file() else {}
        found[model] = facts["metrics"] | facts["timing"] | {"published accuracy": published.get("accuracy")}
        _write(options, "train", found)
    print(json.dumps(found, indent=1))


def _experiment(options: argparse.Namespace):
    """Return the run of snli-minilm with the trained models and the methods of this benchmark alone."""
    import yaml

    from trusteq.study.results import Results

    known = yaml.safe_load((ROOT / "experiments" / "snli-minilm.yaml").read_text())
    methods = {name: {"n_samples": budget_of(options, n)} for name, n in EXPLAINED.items()}
    known |= {"name": "gpu", "models": {name: {"seeds": [SEED]} for name in TRAINED}, "methods": methods}
    known |= {"explain": options.scale.explain} | ({"train_limit": options.scale.train} if options.scale.train else {})
    file = options.work / "gpu.yaml"
    file.write_text(yaml.safe_dump(known))
    return Results.of(file, options.work / "results")


def tests(options: argparse.Namespace) -> int:
    """Run the tests marked cuda, on the model trained before or, where there is none, on made-up ones."""
    model = trained(options)
    if model is not None and not options.rehearse:
        os.environ["TRUSTEQ_GPU_MODEL"] = str(model)
    import pytest

    marked = "not cuda" if options.rehearse else "cuda"
    few = ["-k", "precision and (lime or probabilities)"] if options.rehearse else []
    # A warning of other versions than the pinned ones is no failure here.
    how = ["-W", "default", "-p", "no:cacheprovider", "-rA", "-q", "--no-header", "--tb=short", "--durations=10"]
    return int(pytest.main(["-m", marked, *how, *few, str(ROOT / "tests" / "test_cuda.py")]))


# --- explaining ---


def explaining(options: argparse.Namespace) -> None:
    """Explain the pairs of the experiment by every method, the models in turns, and say how far two models agree."""
    import trusteq
    from trusteq.study import stages

    run, found, tables = _experiment(options), {}, {}
    pairs = trusteq.load_examples(TASK, "test", limit=options.scale.explain)
    gold = pd.Series([LABELS[label] for label in pairs["label"]], index=pairs["id"])
    for method, model in itertools.product(EXPLAINED, TRAINED):
        started = time.perf_counter()
        stages.make(run, "explain", TASK, model=model, seed=SEED, methods=[method])
        tables[method, model] = run.attribution(TASK, model, SEED, method)
        found[f"{method} {model}"] = {"seconds, all tables": time.perf_counter() - started}
        if model == TRAINED[1]:
            agreement = trusteq.alignment.align(*(tables[method, of] for of in TRAINED), label=gold)
            found[method] = {name: getattr(agreement, name) for name in ("mean", "low", "high", "chance")}
        _write(options, "explain", found)
        _save(options, "explained.parquet", tables)


def _save(options: argparse.Namespace, name: str, tables: dict[tuple[str, str], pd.DataFrame]) -> None:
    """Write weights without words: method, model, id, segment, position, label, weight."""
    kept = ["id", "segment", "position", "label", "weight"]
    parts = [table[kept].assign(method=method, model=model) for (method, model), table in tables.items()]
    small = {"segment": "int8", "position": "int16", "weight": "float32"}
    small |= dict.fromkeys(("id", "label", "method", "model"), "category")
    pd.concat(parts, ignore_index=True).astype(small).to_parquet(options.out / name, index=False)


def whole(options: argparse.Namespace) -> None:
    """Explain all of SNLI test by LIME with the models, as far as the time reaches."""
    import trusteq
    from trusteq.attribution.explain import explain, together
    from trusteq.models.classifier import load_classifier

    examples, found, tables = trusteq.load_examples(TASK, "test"), {}, {}
    examples = examples.head(2 * options.scale.whole) if options.rehearse else examples
    for model in TRAINED:
        classifier, parts = load_classifier(trained(options, model), device=options.scale.device), []
        started = time.monotonic()
        for at in range(0, len(examples), options.scale.whole):
            spent = (time.monotonic() - started) / max(1, len(parts))
            if time.monotonic() + spent > options.until - 5:
                break
            chosen = examples.iloc[at : at + options.scale.whole]
            parts.append(explain(classifier, chosen, n_samples=budget_of(options, 1000)))
            done = sum(part["id"].nunique() for part in parts)
            found[model] = {"pairs": done, "of": len(examples), "seconds": time.monotonic() - started}
            _write(options, "whole", found)
        if parts:
            tables["lime", model] = together(parts)
            _save(options, "whole.parquet", tables)
    print(json.dumps(found, indent=1))


STEPS = {
    "machine": Step(machine, 30),
    "train": Step(train, 80),
    "tests": Step(tests, 100),
    "rows": Step(rows, 250, tries=3),
    "explain": Step(explaining, 80),
    "whole": Step(whole, 200),
}

if __name__ == "__main__":
    main()
