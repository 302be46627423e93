"""Tables of the book: each function reads results and returns a DataFrame; `show` dresses it for a page."""

import itertools
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from trusteq import calibration
from trusteq.alignment import align, is_aligned
from trusteq.errors import ExperimentError, nearest
from trusteq.experiment import ROOT, MethodSettings, Recipe
from trusteq.registry import ModelSpec
from trusteq.store import Results

PAPER = ROOT / "data" / "paper"
NOT_HELD = "not held"
# Columns whose missing values mean that the paper's number is not held, rather than that there is none.
PAPER_MARK = "paper"


def show(table: pd.DataFrame, *, digits: int = 3, formats: Mapping[str, str] | None = None, caption: str = ""):
    """Return a styled table: columns titled in plain words, numbers rounded, missing numbers of the paper "not held".

    formats: templates of columns that are not shown with `digits` decimals. `.attrs["no_counterpart"]` of the table
    says for each row whether the paper has nothing that could be held; it then shows a dash.
    """
    titled = {column: str(column).replace("_", " ") for column in table}
    styled = table.rename(columns=titled).style.hide(axis="index")
    for column, title in titled.items():
        is_number = pd.api.types.is_float_dtype(table[column])
        template = (formats or {}).get(column, f"{{:.{digits}f}}" if is_number else None)
        missing = NOT_HELD if str(column).startswith(PAPER_MARK) else "–"
        styled = styled.format(template, subset=[title], na_rep=missing, escape="html")
    papers = [title for column, title in titled.items() if str(column).startswith(PAPER_MARK)]
    without = table.index[table.attrs.get("no_counterpart", [False] * len(table))]
    styled = styled.format(lambda value: "–", subset=pd.IndexSlice[without, papers])
    return styled.set_caption(caption) if caption else styled


def paper_table(name: str) -> pd.DataFrame:
    """Return one of the paper's tables from data/paper; cells that are not held are missing."""
    return pd.read_csv(PAPER / f"{name}.csv")


def chosen_methods(run: Results, task: str, methods: Collection[str] | None) -> dict[str, MethodSettings]:
    """Return the experiment's methods of a task, or the named ones of them; raise ExperimentError for others."""
    known = run.experiment.task_methods(task)
    for method in methods or ():
        if method not in known:
            raise ExperimentError(
                f"method {method!r} is not in experiment {run.experiment.name!r}; {nearest(method, known)}"
            )
    return {method: options for method, options in known.items() if methods is None or method in methods}


def split_table(splits: Mapping[str, pd.DataFrame], labels: Collection[str]) -> pd.DataFrame:
    """Return the number of examples per split and class, and of rows skipped for want of a gold label."""
    rows = []
    for name, examples in splits.items():
        counts = examples["label"].value_counts()
        per_class = {label: int(counts.get(index, 0)) for index, label in enumerate(labels)}
        rows.append(
            {"split": name, "examples": len(examples), **per_class, "skipped": examples.attrs.get("unlabelled", 0)}
        )
    return pd.DataFrame(rows)


def recipe_table(spec: ModelSpec, recipe: Recipe, seed: int) -> pd.DataFrame:
    """Return what decides a fine-tuned model, one row per setting."""
    origin = spec.hub or f"random weights, {spec.scratch.num_hidden_layers} layers of {spec.scratch.hidden_size}"
    settings = {"start": origin if spec.layers is None else f"{origin}, first {spec.layers} layers"}
    if spec.teacher:
        settings |= {"teacher": spec.teacher}
    values = recipe.model_dump(exclude=None if spec.teacher else {"distillation_weight", "temperature"})
    return facts_table(settings | values | {"seed": seed})


def facts_table(facts: Mapping[str, object]) -> pd.DataFrame:
    """Return facts by name as two columns of text."""
    texts = [f"{value:.3f}" if isinstance(value, float) and value >= 0.01 else str(value) for value in facts.values()]
    return pd.DataFrame({"what": [name.replace("_", " ") for name in facts], "value": texts})


def titles(run: Results) -> dict[str, str]:
    """Return the title of each model of an experiment, by name."""
    return {name: run.experiment.model(name).title for name in run.experiment.models}


def counterparts(run: Results) -> pd.Series:
    """Return the paper's model whose part each model plays, by name; missing where it plays none."""
    return pd.Series({name: run.experiment.model(name).paper for name in run.experiment.models}, dtype=object)


def model_table(run: Results, seed: int) -> pd.DataFrame:
    """Return the paper's Table 1: size of each model, and its accuracy and inference time on each task.

    inference_s: seconds for the whole test split, which has another size than the paper's.
    """
    rows = []
    for name, title in titles(run).items():
        metrics = {task: run.facts(task, name, seed, "metrics") for task in run.experiment.tasks}
        shape = next(iter(metrics.values()))
        row = {"model": title, "layers": shape["layers"], "hidden_size": shape["hidden_size"]}
        row |= {"parameters_M": shape["parameters"] / 1e6, "size_MB": shape["weights_bytes"] / 1e6}
        for task, facts in metrics.items():
            row[f"{task}_accuracy"] = 100 * facts["accuracy"]
            row[f"{task}_inference_s"] = run.facts(task, name, seed, "timing")["inference_seconds"]
        rows.append(row)
    return pd.DataFrame(rows)


def _marked(table: pd.DataFrame, no_counterpart: pd.Series) -> pd.DataFrame:
    """Return the table with the rows marked to which the paper has no counterpart (see `show`)."""
    table.attrs["no_counterpart"] = no_counterpart.tolist()
    return table


def paper_model_table(run: Results) -> pd.DataFrame:
    """Return the paper's own Table 1, with the model of this run that plays each part, or "none"."""
    table = paper_table("models")
    parts = {role: run.experiment.model(name).title for name, role in counterparts(run).dropna().items()}
    numbers = table.drop(columns="model").add_prefix(f"{PAPER_MARK}_")
    return pd.concat([table[["model"]].assign(played_by=table["model"].map(parts).fillna("none")), numbers], axis=1)


def probabilities(run: Results, task: str, model: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a model's test probabilities, (n, C), and the labels, (n,)."""
    predictions = run.predictions(task, model, seed)
    return predictions[list(run.experiment.task(task).labels)].to_numpy(), predictions["label"].to_numpy()


def score_table(run: Results, task: str, seed: int) -> pd.DataFrame:
    """Return every calibration score of every model: model, then one column per score."""
    return pd.DataFrame(
        {"model": name} | calibration.scores(*probabilities(run, task, name, seed)) for name in run.experiment.models
    )


def reliability_tables(run: Results, task: str, seed: int) -> pd.DataFrame:
    """Return the reliability table of every model: model, then its columns, 10 equal-width bins each."""
    tables = {
        name: calibration.reliability_table(*probabilities(run, task, name, seed)) for name in run.experiment.models
    }
    return pd.concat(tables, names=["model"]).reset_index(level=0).reset_index(drop=True)


def beside_paper(scores: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return the scores by model title with the paper's ECE, MCE and Brier score of the counterpart beside them."""
    paper = paper_table("calibration").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    paper = paper.set_index("model")[["ece", "mce", "brier"]].add_prefix(f"{PAPER_MARK}_")
    roles = scores["model"].map(counterparts(run))
    beside = paper.reindex(roles).set_axis(scores.index)
    return _marked(pd.concat([scores.assign(model=scores["model"].map(titles(run))), beside], axis=1), roles.isna())


def share_table(reliability: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return the share of predictions per confidence bin, in percent: one row per bin, one column per model.

    The paper's shares on the same kind of task stand beside them, for the models of which any is held.
    """
    ours = reliability.assign(confidence=_bin_names(reliability), percent=100 * reliability["share"])
    table = ours.pivot(index="confidence", columns="model", values="percent")[list(run.experiment.models)]
    paper = paper_table("confidence_share").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    table = table.rename(columns=titles(run)).reset_index().rename_axis(columns=None)
    for name in paper["model"].unique():
        shares = (100 * paper["share"]).set_axis(_bin_names(paper))[(paper["model"] == name).to_numpy()]
        if shares.notna().any():
            table[f"{PAPER_MARK}_{name}"] = table["confidence"].map(shares)
    return table


def _bin_names(bins: pd.DataFrame) -> pd.Series:
    return bins["lower"].map("{:.1f}".format) + "–" + bins["upper"].map("{:.1f}".format)


def gold_labels(run: Results, task: str) -> pd.Series:
    """Return the gold class name of every test example, by id."""
    predictions = run.predictions(task, run.experiment.large, run.experiment.seeds[0])
    names = np.array(run.experiment.task(task).labels, dtype=object)
    return pd.Series(names[predictions["label"]], index=predictions["id"])


def alignment_tables(run: Results, task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return alignment of every pair of models under every method and seed, and the same example by example.

    First: method, seed, model_a, model_b, jaccard, low, high (95% interval over examples), chance, examples, undefined.
    Second: method, seed, model_a, model_b, id, jaccard, chance, n_features.
    """
    rows, examples = [], []
    gold = gold_labels(run, task)
    for method, seed in itertools.product(run.experiment.task_methods(task), run.experiment.seeds):
        weights = {name: run.attribution(task, name, seed, method) for name in run.experiment.models}
        label = gold[next(iter(weights.values()))["id"].unique()]
        for a, b in run.experiment.pairs:
            found = align(weights[a], weights[b], k=run.experiment.k, label=label)
            key = {"method": method, "seed": seed, "model_a": a, "model_b": b}
            values = {"jaccard": found.mean, "low": found.low, "high": found.high, "chance": found.chance}
            rows.append(key | values | {"examples": len(found.table), "undefined": found.undefined})
            examples.append(found.table.assign(**key))
    columns = ["method", "seed", "model_a", "model_b", "id", "jaccard", "chance", "n_features"]
    return pd.DataFrame(rows), pd.concat(examples, ignore_index=True)[columns]


def pair_table(alignment: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return alignment by pair, each Jaccard beside its chance level, the paper's rule and the paper's number."""
    paper = paper_table("jaccard").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    known = {(row.method, frozenset((row.model_a, row.model_b))): row.jaccard for row in paper.itertuples()}
    roles, names = counterparts(run), titles(run)
    table = alignment.drop(columns=["undefined"] if not alignment["undefined"].any() else [])
    table = table.drop(columns=["seed"] if table["seed"].nunique() == 1 else [])
    pairs = zip(alignment["method"], alignment["model_a"].map(roles), alignment["model_b"].map(roles), strict=True)
    table["at_least_0.7"] = ["yes" if is_aligned(mean) else "no" for mean in alignment["jaccard"]]
    table["paper_jaccard"] = [known.get((method, frozenset((a, b))), np.nan) for method, a, b in pairs]
    no_counterpart = alignment["model_a"].map(roles).isna() | alignment["model_b"].map(roles).isna()
    table = table.assign(model_a=table["model_a"].map(names), model_b=table["model_b"].map(names))
    return _marked(table, no_counterpart)


def agreed_examples(run: Results, task: str, model: str, *, seed: int) -> pd.Index:
    """Return the ids of the test examples that the large model and `model` both classify correctly (paper, Table 2)."""
    right = []
    for name in (run.experiment.large, model):
        predicted, labels = probabilities(run, task, name, seed)
        right.append(predicted.argmax(axis=1) == labels)
    return pd.Index(run.predictions(task, model, seed)["id"][right[0] & right[1]])


def verdict_table(run: Results, seed: int) -> pd.DataFrame:
    """Return the paper's rule applied to each smaller model: its alignment with the large one, and its ECE beside.

    The rule's second half, a calibration profile that "differs significantly", has no test in the paper: the
    difference in ECE is shown, not judged.
    """
    rows = []
    for task, small in itertools.product(run.experiment.tasks, list(run.experiment.models)[1:]):
        scores = run.calibration(task, seed, "scores").set_index("model")
        pairs = run.comparison(task, "alignment").query(
            "model_a == @large and model_b == @small and seed == @seed",
            local_dict={"large": run.experiment.large, "small": small, "seed": seed},
        )
        row = {"task": task, "model": titles(run)[small]}
        row["accuracy_change"] = 100 * (scores["accuracy"][small] - scores["accuracy"][run.experiment.large])
        for pair in pairs.itertuples():
            row |= {f"{pair.method}_jaccard": pair.jaccard, f"{pair.method}_chance": pair.chance}
        row["ece_change"] = scores["ece"][small] - scores["ece"][run.experiment.large]
        row["aligned"] = "yes" if all(map(is_aligned, pairs["jaccard"])) else "no"
        rows.append(row)
    return pd.DataFrame(rows)


def time_table(run: Results) -> pd.DataFrame:
    """Return the seconds of each stage from the executed notebooks: stage, notebooks, seconds in all, longest."""
    rows = []
    for file in sorted((run.folder / "notebooks").rglob("*.ipynb")):
        relative = file.relative_to(run.folder / "notebooks")
        if relative.parts[0].startswith("."):  # the status page itself, still being written
            continue
        seconds = json.loads(file.read_text(encoding="utf-8"))["metadata"]["papermill"]["duration"]
        rows.append({"stage": relative.parts[0].removesuffix(".ipynb"), "seconds": seconds})
    stages = pd.DataFrame(rows).groupby("stage", as_index=False)["seconds"].agg(["count", "sum", "max"])
    return stages.rename(columns={"count": "notebooks", "sum": "seconds", "max": "longest"})


def origin_table(run: Results) -> pd.DataFrame:
    """Return what the results were made with: versions, git state, machine and devices, from the manifests."""
    manifests = [json.loads(file.read_text(encoding="utf-8")) for file in _manifests(run.folder)]
    devices = {
        run.facts(task, model, seed, "timing")["device"]
        for task, model, seed in itertools.product(run.experiment.tasks, run.experiment.models, run.experiment.seeds)
    }
    facts = {
        "device": ", ".join(sorted(devices)),
        "machine": _each(manifests, "machine"),
        "git": _each(manifests, "git"),
    }
    return facts_table(
        facts | {name: _each([m["versions"] for m in manifests], name) for name in manifests[0]["versions"]}
    )


def _manifests(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*manifest.json"))


def _each(manifests: list[dict], key: str) -> str:
    """Return the distinct values of one key over all manifests, so that a mixed run shows as one."""
    values = [manifest.get(key) for manifest in manifests]
    texts = [_git_text(value) if isinstance(value, dict) else str(value) for value in values]
    return ", ".join(sorted(set(texts)))


def _git_text(state: dict) -> str:
    if state["commit"] is None:
        return "no git"
    return state["commit"][:12] + (" with changes" if state["changed"] else "")
