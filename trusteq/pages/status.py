"""What made results, how long it took, and what the benchmarks measured: the page on a run's status; what runs cost."""

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import pandas as pd

from trusteq import modality
from trusteq.listing import file_problem, find, to_json
from trusteq.pages.finetune import is_trained_here
from trusteq.pages.show import facts_table, put, show, verbatim
from trusteq.project import root
from trusteq.study.experiment import Experiment
from trusteq.study.publish import reference_runs
from trusteq.study.results import Results, manifests

VERSION = 2
HOUR = 3600
BUDGETS = {"lime": 1000, "shap": 500}  # n_samples under which the speed rows are measured
_ESTIMATORS = ("shapley", "ProxySHAP", "OddSHAP", "LeverageSHAP", "KernelSHAP", "permutation")
# Of each benchmark: what its table shows of a row, by title, and how.
_BENCHMARKS = {
    "attribution": (
        {"row": "row", "measured": "value", "wanted": "wanted", "unit": "what", "seconds": "engine s/example"}
        | {"library's": "library s/example", "bare_share": "bare share", "passes/s": "passes/s"},
        {"passes/s": "{:,.0f}"},
    ),
    "finetune": (
        {"row": "row", "measured": "value", "at least": "at least", "unit": "what", "ours s/epoch": "ours s/epoch"}
        | {
            "authors s/epoch": "authors s/epoch",
            "ours accuracy": "ours accuracy",
            "authors accuracy": "authors accuracy",
        }
        | {"difference, from": "difference low", "to": "difference high"},
        {"measured": "{:.1f}", "at least": "{:g}"},
    ),
    "million": (
        {"row": "row", "minutes": "value", "wanted": "wanted", "CPU seconds": "all CPU s", "most GB": "GB"}
        | {f"{step}, {unit}": f"{step} {unit}" for step in ("join", "compare", "show") for unit in ("CPU s", "GB")}
        | {"pages, MB": "show page MB", "explorer, MB": "show explorer MB"},
        {"CPU seconds": "{:,.0f}"} | {f"{step}, CPU s": "{:,.0f}" for step in ("join", "compare", "show")},
    ),
    "estimators": (
        {"of": "row", "passes": "passes", "measured": "value", "unit": "what", "from": "low", "to": "high"}
        | {"of the best on average": "of the best on average", "its from": "of it, low", "its to": "of it, high"}
        | {"games": "games", "coverage": "coverage"}
        | {name: name for name in _ESTIMATORS}
        | {"with its own limit": "own limit", "of two seeds": "two seeds", "seconds": "seconds"},
        {"passes": "{:,.0f}", "games": "{:.0f}", "coverage": "{:.1%}"} | dict.fromkeys(_ESTIMATORS, "{:.5f}"),
    ),
    "robustness": (
        {"what was tried": "row", "times": "tried", "failed": "value", "most s": "most s", "most MB": "most MB"}
        | {"command": "command"},
        {"most s": "{:.0f}", "most MB": "{:,.0f}"},
    ),
    "stopping": (
        {"method, tolerance, pairs": "row", "passes": "value", "stopped": "stopped"}
        | {"mean Jaccard": "realised", "at least": "realised low", "of all": "realised, all"}
        | {"equal budget": "equal budget", "saved": "saved at equal", "at most": "saved at most"}
        | {"saved of 1,000": "saved of 1,000"},
        {"passes": "{:,.0f}", "equal budget": "{:,.0f}", "mean Jaccard": "{:.3f}", "at least": "{:.3f}"}
        | {"of all": "{:.3f}"}
        | dict.fromkeys(("stopped", "saved", "at most", "saved of 1,000"), "{:.0%}"),
    ),
}


def times(run: Results) -> None:
    """Show what was run, how long its stages took, then its executed notebooks."""
    put(run_line(run), show(job_table([run]).drop(columns="data"), digits=1), show(notebook_table(run), digits=1))


def benchmark(name: str) -> None:
    """Show what a benchmark last measured: one of the names of `_BENCHMARKS`."""
    rows, formats = benchmark_rows(name), _BENCHMARKS[name][1]
    found = benchmark_table(rows, name)
    put(measured_on(rows))
    units = found.get("unit", pd.Series("", found.index))
    for is_speed, of in found.groupby(units.str.startswith("times"), sort=False):  # else most cells are empty
        caption = f"Measured in {', '.join(of['unit'].unique())}" if is_speed else ""
        rest = of.drop(columns=["unit"] * is_speed).dropna(axis="columns", how="all")
        put(show(rest, digits=2, formats={name: how for name, how in formats.items() if name in rest}, caption=caption))


def origin(run: Results) -> None:
    """Show what the results were made with, and the experiment file."""
    put(origin_table(run), verbatim(run.experiment.dump(), "yaml"))


def costs(experiments: Collection[str] | None = None) -> None:
    """Show the hours of each stage of the published runs on real data, or the named ones, and what each was made with.

    Hours are all of a stage's; longest is that of a job.
    """
    runs = [run for run in reference_runs() if experiments is None or run.experiment.name in experiments]
    found = job_table(runs, unit=HOUR).rename(columns={"seconds": "hours"})
    put(show(found, digits=2, caption=f"{found['hours'].sum():.1f} hours in all"))
    made = {run.experiment.name: origin_table(run).set_index("what")["value"] for run in runs}
    put(pd.DataFrame(made).fillna("").reset_index(names="what"))


def papers_scale(device: str) -> None:
    """Show the hours that explaining the paper's examples would take on a device, "cpu" or "gpu bf16"."""
    scale = paper_scale(benchmark_rows(), Experiment.load("paper"), device=device)
    known = scale.dropna(subset=["ours", "authors"])
    caption = f"Of {len(known)} rows with both: ours {known['ours'].sum():,.0f}, authors {known['authors'].sum():,.0f}"
    shown = show(scale, digits=1, formats={"passes": "{:,}"}, caption=f"{caption} hours")
    put("Not measured: no such device was at hand. The rows of the benchmark are open." if known.empty else shown)


def run_line(run: Results) -> str:
    """Return what was run, in one line."""
    facts = "; ".join(f"{name}: {value}" for name, value in run_facts(run).items())
    return f"This run is **{run.experiment.name}** ({run.experiment.title}): {facts}.{''.join(_units(run))}"


def _units(run: Results) -> Iterator[str]:
    """Say what stands for a word on the pages of a run on images or sound."""
    for task in map(run.experiment.task, run.experiment.tasks):
        if (kind := modality.of(task.columns)) is not None:
            masks = {kind.mask(of.mask or "delete") for of in run.experiment.task_methods(task.name).values()}
            cut, masked = kind.cut_by(task.features), " or ".join(sorted(masks))
            yield f" Where this page says words it means {kind.units} ({cut}), masked by {masked}."


def run_facts(run: Results) -> dict[str, str]:
    """Return what was run, by title; passes are those that a method may make for one example."""
    experiment, seed = run.experiment, run.experiment.seeds[0]
    tested = [run.facts(task, experiment.large, seed, "metrics")["test_examples"] for task in experiment.tasks]
    compared = [task for task in experiment.tasks if run.path("comparison", task, "examples").is_file()]
    explained = [run.comparison(task, "examples")["id"].nunique() for task in compared]
    facts = {"tasks": [experiment.task(task).title for task in experiment.tasks], "models": [len(experiment.models)]}
    every = itertools.product(experiment.tasks, experiment.models)
    trains = any(is_trained_here(experiment.model(name), experiment.recipe_for(task, name)) for task, name in every)
    seeds = {name: experiment.model_seeds(name) for name in experiment.models}
    others = [f"{experiment.model(name).title} {of}" for name, of in seeds.items() if of != tuple(experiment.seeds)]
    trained = {"trained under the seeds": experiment.seeds} | ({"other seeds of": others} if others else {})
    facts |= trained if trains else {"trained": ["nothing"]}
    facts |= {"test examples": _a_task(tested), "of these explained": _a_task(explained) or ["not compared yet"]}
    facts |= {"top words": [experiment.k]}
    facts |= {"passes at most": [f"{name} {of.n_samples:,}" for name, of in experiment.methods.items()]}
    facts |= {"training examples at most": [experiment.train_limit]} if trains and experiment.train_limit else {}
    return {name: ", ".join(map(str, values)) for name, values in facts.items()}


def _a_task(counts: Sequence[int]) -> list[str]:
    """Return the number of each task, once where it is the same for several."""
    texts = [f"{count:,}" for count in counts]
    return [f"{texts[0]} a task"] if len(texts) > 1 and len({*texts}) == 1 else texts


def job_table(runs: Sequence[Results], *, unit: float = 1) -> pd.DataFrame:
    """Return the seconds, or others of the `unit`, of each stage of each run: data, stage, jobs, seconds, longest.

    Of training and predicting the models' own times, of other stages those in the manifests of their tables, of
    explaining by method: wall time of single jobs, on one thread each where the experiment says nothing else. What
    several runs share counts for the first of them.
    """
    jobs = [(run.experiment.name, *job) for run in runs for job in _jobs(run)]
    table = pd.DataFrame(jobs, columns=["data", "stage", "seconds", "made"]).drop_duplicates("made")
    by = table.groupby(["data", "stage"], sort=False)["seconds"].agg(["count", "sum", "max"])
    by[["sum", "max"]] /= unit
    return by.set_axis(["jobs", "seconds", "longest"], axis=1).reset_index()


def _jobs(run: Results) -> Iterator[tuple[str, float, str]]:
    """Yield the stage of each job, its seconds, and what tells it from all others."""
    for task, (model, seed) in itertools.product(run.experiment.tasks, run.experiment.runs):
        timing = run.facts(task, model, seed, "timing")
        for stage in ("training", "inference"):
            yield stage, timing[f"{stage}_seconds"], json.dumps([stage, task, model, seed, timing])
    for file, manifest in manifests(run).items():
        facts = manifest["parameters"]
        if "seconds" in facts:
            stage, made = file.relative_to(run.folder).parts[0], to_json(manifest)
            yield f"explaining, {facts['method']}" if "method" in facts else stage, facts["seconds"], made


def notebook_table(run: Results) -> pd.DataFrame:
    """Return the seconds of the executed notebooks of each page: page, notebooks, seconds (in all), longest."""
    rows = []
    for file in find(run.folder / "notebooks", "*.ipynb"):
        page = file.relative_to(run.folder / "notebooks").parts[0].removesuffix(".ipynb")
        if file_problem(file):
            continue  # or another job is just writing it
        metadata = json.loads(file.read_text(encoding="utf-8"))["metadata"]
        rows.append((page, metadata.get("papermill", {}).get("duration")))
    pages = pd.DataFrame(rows, columns=["page", "seconds"]).astype({"seconds": float}).dropna()
    by = pages.groupby("page")["seconds"].agg(["count", "sum", "max"])
    return by.set_axis(["notebooks", "seconds", "longest"], axis=1).reset_index()


def origin_table(run: Results) -> pd.DataFrame:
    """Return what the results were made with: versions, git state, machine and devices, from the manifests."""
    made = list(manifests(run).values())
    who = itertools.product(run.experiment.tasks, run.experiment.models, run.experiment.seeds)
    devices = {run.facts(*of, "timing")["device"] for of in who}
    facts = {"device": ", ".join(sorted(devices))} | {key: _distinct(made, key) for key in ("machine", "git")}
    versions = [manifest["versions"] for manifest in made]
    return facts_table(facts | {name: _distinct(versions, name) for name in versions[0]})


def _distinct(manifests: list[dict], key: str) -> str:
    """Return the distinct values of one key over all manifests, so that a mixed run shows as one."""
    values = [manifest.get(key) for manifest in manifests]
    texts = [_git_text(value) if isinstance(value, dict) else str(value) for value in values]
    return ", ".join(sorted(set(texts)))


def _git_text(state: dict) -> str:
    if state["commit"] is None:
        return "no git"
    return state["commit"][:12] + (" with changes" if state["changed"] else "")


def benchmark_rows(name: str = "attribution") -> list[dict]:
    """Return the rows of a benchmark as benchmarks/<name>.py wrote them, open ones included."""
    return json.loads((root() / "benchmarks" / f"{name}.json").read_text(encoding="utf-8"))["rows"]


def benchmark_table(rows: Iterable[Mapping], name: str = "attribution") -> pd.DataFrame:
    """Return the rows of a benchmark that were measured: what, how much, what was wanted, and the times behind it."""
    limits, columns = {"at least": "≥", "at most": "≤"}, _BENCHMARKS[name][0]
    measured = [row for row in rows if row["value"] is not None]
    wanted = ["".join(f"{sign} {row[key]:g}" for key, sign in limits.items() if row.get(key)) for row in measured]
    table = pd.DataFrame(measured).assign(wanted=wanted)
    return table.reindex(columns=list(columns.values())).set_axis(list(columns), axis=1)


def measured_on(rows: Iterable[Mapping]) -> str:
    """Return where a benchmark was measured, and which of its rows are open and why, as a caption."""
    where = sorted({row["machine"] for row in rows if row["value"] is not None})
    open_rows = {row["row"]: row["open"] for row in rows if row["value"] is None}
    text = f"Measured on: {'; '.join(where) or 'no machine yet'}."
    return text + (f" Open: {', '.join(open_rows)} ({'; '.join({*open_rows.values()})})." if open_rows else "")


def word_counts() -> pd.DataFrame:
    """Return how many pairs of SNLI's test split have so many words: counted, words, pairs.

    counted: "positions", as this project does, or "distinct words", as the authors' scripts do, SEP included.
    """
    return pd.read_csv(root() / "data" / "snli_word_counts.csv")


def paper_scale(benchmark: Iterable[Mapping], experiment: Experiment, *, device: str) -> pd.DataFrame:
    """Return the hours that explaining the paper's test examples once would take, by task, method and model.

    benchmark: rows of benchmarks/attribution.json, seconds for one SNLI pair under that benchmark's budgets, with
    random weights of each model's shape. device: "cpu" or "gpu bf16". The time of a budget is taken as proportional to
    it. Columns: task, method, model, examples, passes, ours, authors: hours, missing where the row is open.
    """
    known = {row["row"].replace("-", ""): row for row in benchmark}
    labelled = word_counts().query("counted == 'positions'")["pairs"].sum()  # of SNLI test
    (kind, *precision), rows = device.split(), []
    for task in experiment.tasks:
        examples = experiment.explained(task) or labelled
        for method, settings in experiment.task_methods(task).items():
            passes = examples * settings.n_samples
            scale = passes / BUDGETS[method] / HOUR
            for model in experiment.models:
                title = experiment.model(model).title
                measured = known.get(" ".join([kind, title, "shape", *precision, method]).replace("-", ""), {})
                row = {"task": task, "method": method, "model": title, "examples": examples, "passes": passes}
                for side, key in {"ours": "engine s/example", "authors": "library s/example"}.items():
                    row[side] = measured.get(key, float("nan")) * scale
                rows.append(row)
    return pd.DataFrame(rows)
