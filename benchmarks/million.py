"""How much time and memory does a million explained examples take, from shards to pages?

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/million.py [--examples N ...] [--folder DIR] [--out FILE]

A made-up run in a folder of its own: N pairs of 20 words in 3 classes, three pairs a premise, explained by lime for a
large and a small model, again under another seed, and under the large one's random head, in shards of 10,000 examples.
They are joined as the stage of explanations does, compared as the stage of comparisons does, and shown as the pages on
attribution and alignment and the explorer do, each step in a process of its own. Writes `benchmarks/million.json`,
which the book's status page shows.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from trusteq.registry import validated
from trusteq.statistics import stream
from trusteq.store import processor, to_json, versions, write_table, write_text
from trusteq.study import compare, graph, shards
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import Job, jobs
from trusteq.study.results import Results, part_name
from trusteq.study.shards import Shard

FILE = Path(__file__).with_suffix(".json")
TASK, LABELS, WORDS = "million", ("entailment", "neutral", "contradiction"), 20
SHARD = 10_000  # examples
MODELS = {"large": {"like": "demo-large", "title": "Large"}, "small": {"like": "demo-tiny", "title": "Small"}}
VOCABULARY = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in ("an", "el", "or", "ui") for c in "cdklmnrstx"])
AT_MOST = 30  # minutes, of a million; and 2 GB


def main() -> None:
    """Measure every step for each number of examples and add the rows to the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--examples", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where the run is made, and left; by default a temporary one")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measured(STEPS[options.step], run_in(options.folder, *options.examples))))
        return
    for n in options.examples:
        with tempfile.TemporaryDirectory(prefix="million-") as scratch:
            add(options.out, row(n, options.folder or Path(scratch)))


def row(n: int, folder: Path) -> dict:
    """Return the seconds and the peak memory of each step for n examples."""
    found: dict = {"row": f"{n:,} examples", "value": None, "what": "minutes, all but making them"}
    for step in STEPS:
        done = ran(n, folder, step)
        print(f"{found['row']}: {step}: {done}", file=sys.stderr, flush=True)
        found |= {f"{step} {name}": value for name, value in done.items()}
    for unit in ("s", "CPU s"):
        found[f"all {unit}"] = sum(found[f"{step} {unit}"] for step in STEPS)
    found["GB"] = max(found[f"{step} GB"] for step in STEPS)
    is_largest = n >= 1_000_000
    minutes = (found["all s"] - found["make s"]) / 60  # they are made in place of being explained
    return found | {"value": minutes, "at most": AT_MOST if is_largest else None}


def ran(n: int, folder: Path, step: str) -> dict:
    """Return what a step took, in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--examples", str(n), "--step", step]
    return json.loads(subprocess.check_output(command).splitlines()[-1])


def measured(step: Callable[[Results], dict], run: Results) -> dict:
    """Return what a step says of itself, its seconds on the wall and of the processor, and the peak memory."""
    started = time.perf_counter(), time.process_time()
    said = step(run)
    spent = time.perf_counter() - started[0], time.process_time() - started[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"s": spent[0], "CPU s": spent[1], "GB": peak} | said


def add(file: Path, row: dict) -> None:
    """Put a row into the file in place of the one of its name."""
    rows = {known["row"]: known for known in json.loads(file.read_text())["rows"]} if file.is_file() else {}
    row |= {"machine": f"{processor()}, one thread", "versions": versions()}
    write_text(to_json({"rows": list((rows | {row["row"]: row}).values())}), file)


def run_in(folder: Path, n: int) -> Results:
    """Return the run of n examples in a folder."""
    sources = [{"file": str(folder / "test.parquet")}]
    task = {"title": "Made up", "labels": LABELS, "splits": {"train": sources, "test": sources}}
    task["columns"] = {name: name for name in ("text_a", "text_b", "label")}
    values = {"name": "million", "title": f"{n:,} examples", "tasks": {TASK: task}, "models": MODELS}
    values |= {"methods": {"lime": {"n_samples": 1000}}}
    return Results(folder / "million", validated(Experiment, values, where=__file__))


def make(run: Results) -> dict:
    """Write examples, predictions and the shards of every table of attributions."""
    n = int(run.experiment.title.split()[0].replace(",", ""))
    test = texts(n)
    file = run.experiment.task(TASK).splits.test[0].file
    file.parent.mkdir(parents=True, exist_ok=True)
    test.to_parquet(file, index=False)
    test.insert(0, "id", [f"test-{row}" for row in range(n)])
    for model, seed in run.experiment.runs:
        facts = {"manifest": {"files": {"model.safetensors": {"sha256": model}}}, "metrics": {"test_examples": n}}
        for name, of in facts.items():
            write_text(to_json(of), run.model(TASK, model, seed) / f"{name}.json")
        for part in ("test", *["random-head"] * run.experiment.has_twin(model, seed)):
            write_table(predicted(test, model, part), run.path("predictions", TASK, model, part_name(seed, part)))
        run.write(faithfulness(test["id"], model), "attribution", TASK, model, seed, "faithfulness")
    made_of = {model: shards.inputs(run, job, test) for model, job, _ in tables(run)}
    n_shards = max(2, n // SHARD)
    for number in range(1, n_shards + 1):
        part = Shard(number, n_shards)
        rows = part.rows(n)
        places, common = words_of(test.iloc[rows]), stream(0, TASK, str(part)).standard_normal(len(rows) * 3 * WORDS)
        for model, job, key in tables(run):
            own = stream(1, TASK, str(part), model).standard_normal(len(common)) * (job.kind != "random-head")
            noise = stream(1, TASK, str(part), model, job.table).standard_normal(len(common))
            table = places.assign(weight=common + own + 0.5 * noise)
            table.attrs = {"boundary": "safe", "skipped": {}, "cut": {}, "retokenised": 0, "passes": 1000 * len(rows)}
            path = run.path("attribution", TASK, model, 0, part.name(job.table))
            facts = {"shard": str(part), "rows": [rows.start, rows.stop], "seconds": 1.0}
            write_table(table, path, key=key, **made_of[model], **facts)
    return {"shards": n_shards}


def texts(n: int) -> pd.DataFrame:
    """Return n pairs of made-up words; three pairs share their first text."""
    rng = stream(0, TASK, "words")
    premises, hypotheses = (VOCABULARY[rng.integers(len(VOCABULARY), size=(of, WORDS // 2))] for of in (-(-n // 3), n))
    firsts = [" ".join(words) for words in premises]
    seconds = [" ".join(words) for words in hypotheses]
    first = pd.Series(firsts).iloc[np.arange(n) // 3].reset_index(drop=True)
    return pd.DataFrame({"text_a": first, "text_b": seconds, "label": rng.integers(3, size=n)})


def words_of(examples: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a table of attributions without the weights: by example, by class, by word."""
    pairs = zip(examples["text_a"], examples["text_b"], strict=True)
    words = np.array([[*first.split(), *second.split()] for first, second in pairs], dtype=object)
    n, each = len(examples), 3 * WORDS
    columns = {
        "id": np.repeat(examples["id"].to_numpy(dtype=object), each),
        "segment": np.tile(np.arange(WORDS) // (WORDS // 2), 3 * n),
        "position": np.tile(np.arange(WORDS) % (WORDS // 2), 3 * n),
        "word": np.tile(words, 3).ravel(),
        "label": np.tile(np.repeat(np.array(LABELS, dtype=object), WORDS), n),
    }
    return pd.DataFrame(columns).astype({"id": "str", "word": "str", "label": "str"})


def predicted(test: pd.DataFrame, model: str, part: str) -> pd.DataFrame:
    """Return made-up predictions: nobody is always right."""
    common, own = (stream(0, TASK, *names).standard_normal((len(test), 3)) for names in (("p",), (model, part)))
    logits = 2 * np.eye(3)[test["label"]] * (part == "test") + common + own
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.concat([test[["id", "label"]], pd.DataFrame(probabilities, columns=list(LABELS))], axis=1)


def faithfulness(ids: pd.Series, model: str) -> pd.DataFrame:
    """Return made-up measures of faithfulness of both methods."""
    tables = []
    for method in ("lime", "random features"):
        values = stream(0, TASK, model, method).random((2, len(ids)))
        found = {"id": ids, "method": method, "comprehensiveness": values[0], "sufficiency": values[1]}
        tables.append(pd.DataFrame(found))
    return pd.concat(tables, ignore_index=True)


def tables(run: Results) -> Iterator[tuple[str, Job, str]]:
    """Yield every table of attributions: its model, its job, its key."""
    keys = {path: key for job in graph.all_jobs(run.experiment) for path, key in job.tables.items()}
    for model, seed in run.experiment.runs:
        for job in jobs(run.experiment, task=TASK, model=model, seed=seed):
            path = run.path("attribution", TASK, model, seed, job.table)
            yield model, job, keys[path.relative_to(run.folder)]


def join(run: Results) -> dict:
    """Join the shards of every table, as the stage of explanations does."""
    from trusteq.examples.load import load_examples

    test, classifier = load_examples(run.experiment.task(TASK), "test"), SimpleNamespace()
    for _, job, key in tables(run):
        shards.attributions(run, job, classifier, test, key=key, progress=True)
    return {"rows": 3 * WORDS * len(test)}


def compared(run: Results) -> dict:
    """Compute all that the comparison of a task computes."""
    made = compare.tables(run, TASK)
    for name, table in made.items():
        run.write(table, "comparison", TASK, name)
    return {"Jaccard": float(made["alignment"]["jaccard"].iloc[0])}


def show(run: Results) -> dict:
    """Show what the pages on alignment and attribution and the explorer show; return what is kept of it, in MB."""
    from matplotlib.figure import Figure
    from pandas.io.formats.style import Styler

    from trusteq.pages import attribution, comparison, explorer
    from trusteq.pages import show as showing

    kept = []

    def display(shown: object) -> None:
        bundles = {Figure: lambda: showing.figure_bundle(shown)[0], Styler: lambda: showing.table_bundle(shown)}
        found = bundles.get(type(shown), lambda: {"text": getattr(shown, "data", "")})()
        kept.append(sum(map(len, found.values())))

    showing.display = display
    showing.page_style()
    comparison.pairs(run, TASK)
    comparison.scale(run, TASK)
    for name in ("ceilings", "segments", "companions", "sources", "truth", "faithfulness_means"):
        comparison.numbers(run, TASK, name)
    for name in comparison.FIGURES:
        comparison.figure(run, TASK, name)
    comparison.evidence(run, TASK)
    comparison.same_reasons(run, TASK)
    weighed = attribution.chosen(run, TASK)
    for part in (attribution.costs, attribution.faithfulness, attribution.examples, attribution.spread):
        part(weighed)
    explorer.write(run, run.folder)
    data = (run.folder / "explained.js").stat().st_size
    return {"page MB": sum(kept) / 2**20, "explorer MB": data / 2**20}


STEPS: dict[str, Callable[[Results], dict]] = {"make": make, "join": join, "compare": compared, "show": show}


if __name__ == "__main__":
    main()
