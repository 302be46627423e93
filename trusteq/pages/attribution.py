"""The page on attribution: what explaining took, how faithful the weights are, and where they lie."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.examples.load import load_examples
from trusteq.pages.figures import GREY, from_zero, highlights, small_multiples
from trusteq.pages.show import NOT_SHOWN, chosen_methods, chosen_runs, put, run_names, show, titles
from trusteq.study.jobs import Job, jobs
from trusteq.study.results import Results

_NOT_WHOLE = "Measured when all examples are explained by all methods, which is not so here."


@dataclass(frozen=True)
class Chosen:
    """The tables of attributions that a page shows. runs: (model, seed). shard: "1/4", that part of the examples."""

    run: Results
    task: str
    runs: list[tuple[str, int]]
    methods: Collection[str]
    shard: str | None

    def jobs(self, model: str, seed: int) -> list[Job]:
        """Return the jobs whose tables those of one fine-tuned model are."""
        return jobs(self.run.experiment, task=self.task, model=model, seed=seed, methods=self.methods)

    def file(self, job: Job) -> str:
        """Return the name of the table that a job wrote."""
        if self.shard is None:
            return job.table
        from trusteq.study.shards import Shard

        return Shard.parse(self.shard).name(job.table)

    def by_place(self, model: str, seed: int) -> dict[str, pd.DataFrame]:
        """Return the attributions of one fine-tuned model, by method, of those that explain words by their place."""
        tables = {job.method: self._table(job) for job in self.jobs(model, seed) if not job.kind}
        return {method: table for method, table in tables.items() if table.attrs["boundary"] == "safe"}

    def _table(self, job: Job) -> pd.DataFrame:
        return self.run.attribution(job.task, job.model, job.seed, self.file(job))


def chosen(
    run: Results,
    task: str,
    *,
    model: str | None = None,
    seed: int | None = None,
    methods: Collection[str] | None = None,
    shard: str | None = None,
) -> Chosen:
    """Return the tables of attributions of a task: all, or those of one model, one seed, some methods, one part."""
    return Chosen(run, task, chosen_runs(run, model, seed), list(chosen_methods(run, task, methods)), shard)


def costs(of: Chosen) -> None:
    """Show what explaining took, one row a model and method."""
    names = run_names(of.run, of.runs)
    rows = [_cost(of, name, *which) for name, which in zip(names, of.runs, strict=True)]
    formats = {"words_per_example": "{:.1f}", "passes_per_example": "{:,.0f}", "seconds_per_example": "{:.2f}"}
    put(show(pd.concat(rows), formats=formats | {"seconds_in_all": "{:,.0f}"}))


def _cost(of: Chosen, name: str, model: str, seed: int) -> pd.DataFrame:
    found = of.jobs(model, seed)
    seconds = {job: of.run.parameters("attribution", of.task, model, seed, of.file(job))["seconds"] for job in found}
    own = {job.method: job for job in found if not job.kind}
    tables = {method: of._table(job) for method, job in own.items()}
    table = attribution_cost(tables, {method: seconds[job] for method, job in own.items()})
    in_all = pd.Series(seconds).groupby([job.method for job in found]).sum()
    table.insert(0, "model", name)
    return table.assign(seconds_in_all=table["method"].map(in_all))


def libraries(of: Chosen, reference: int) -> None:
    """Show ours beside the libraries on `reference` examples of the first model; or, with 0, say where that is."""
    if not reference:
        return put("The page on the status has the benchmark. With the parameter `reference` above 0 it is done here.")
    from trusteq.attribution.libraries import LIBRARIES
    from trusteq.models.classifier import load_classifier

    (model, seed), known = of.runs[0], of.run.experiment.task_methods(of.task)
    classifier = load_classifier(of.run.trained(of.task, model, seed))
    test = load_examples(of.run.experiment.task(of.task), "test", limit=of.run.experiment.explained(of.task))
    budgets = {method: known[method].n_samples for method in of.methods if method in LIBRARIES}
    beside = beside_libraries(classifier, test.head(reference), budgets, seed=seed)
    put(show(beside, formats={"largest_difference": "{:.0e}"}, caption=titles(of.run)[model]))


def faithfulness(of: Chosen) -> None:
    """Show what each model loses without its top words, and with these alone, on average, by method."""
    files = [of.run.path("attribution", of.task, *which, "faithfulness") for which in of.runs]
    if not all(file.is_file() for file in files):
        return put(_NOT_WHOLE)
    tables = {
        name: of.run.attribution(of.task, *which, "faithfulness")
        for name, which in zip(run_names(of.run, of.runs), of.runs, strict=True)
    }
    whole = pd.concat(tables, names=["model"])
    put(whole.groupby(["model", "method"], sort=False)[["comprehensiveness", "sufficiency"]].mean().reset_index())


def examples(of: Chosen, n: int = 3) -> None:
    """Show the first texts with their words coloured by weight, of the first and the last model, by method."""
    if not of.run.may_show(of.task):
        return put(NOT_SHOWN)
    settings = of.run.experiment.task(of.task)
    texts = load_examples(settings, "test")
    for model, seed in dict.fromkeys((of.runs[0], of.runs[-1])):
        for method, table in of.by_place(model, seed).items():
            first = texts[texts["id"].isin(table["id"])].head(n)
            title = f"{titles(of.run)[model]}, {method}"
            put(highlights(table, first, settings.labels, title=title, k=of.run.experiment.k))


def spread(of: Chosen) -> None:
    """Show how the weight is spread over the words, one panel a model and seed."""
    draw = partial(weight_by_rank, k=of.run.experiment.k)
    panels = [
        (name, partial(draw, of.by_place(*which), _gold(of, *which)))
        for name, which in zip(run_names(of.run, of.runs), of.runs, strict=True)
    ]
    put(from_zero(small_multiples(panels)))


def _gold(of: Chosen, model: str, seed: int) -> pd.Series:
    predictions = of.run.predictions(of.task, model, seed).set_index("id")
    return predictions["label"].map(dict(enumerate(of.run.experiment.task(of.task).labels)))


def attribution_cost(explained: Mapping[str, pd.DataFrame], seconds: Mapping[str, float]) -> pd.DataFrame:
    """Return by method: examples explained, skipped, cut and retokenised; words, passes and seconds per example."""
    rows = []
    for method, attributions in explained.items():
        n_examples = attributions["id"].nunique()
        words = attributions[["id", "segment", "position"]].drop_duplicates()
        rows.append(
            {
                "method": method,
                "explained": n_examples,
                "skipped": len(attributions.attrs["skipped"]),
                "cut": len(attributions.attrs["cut"]),
                "retokenised": attributions.attrs["retokenised"],
                "words_per_example": len(words) / max(n_examples, 1),
                "passes_per_example": attributions.attrs["passes"] / max(n_examples, 1),
                "seconds_per_example": seconds[method] / max(n_examples, 1),
            }
        )
    return pd.DataFrame(rows)


def beside_libraries(classifier, examples: pd.DataFrame, budgets: Mapping[str, int], *, seed: int) -> pd.DataFrame:
    """Return how far our weights are from those of the libraries on the same masks, and the seconds of both.

    budgets: n_samples of each method, "lime" or "shap". The libraries' compilation, once a process, is not counted.
    """
    from trusteq.attribution.explain import explain
    from trusteq.attribution.libraries import explain_with_library

    rows = []
    for method, n_samples in budgets.items():
        options = {"method": method, "n_samples": n_samples, "seed": seed}
        weights, seconds = [], []
        for way in (explain, explain_with_library):
            way(classifier, examples.head(1), **options)
            started = time.perf_counter()
            found = way(classifier, examples, **options)
            seconds.append(time.perf_counter() - started)
            weights.append(found.set_index(["id", "segment", "position", "label"])["weight"])
        row = {"method": method, "examples": len(examples), "largest_weight": weights[1].abs().max()}
        row["largest_difference"] = (weights[0] - weights[1]).abs().max()
        rows.append(row | {"seconds": seconds[0], "seconds_of_the_library": seconds[1]})
    return pd.DataFrame(rows)


def weight_by_rank(explained: Mapping[str, pd.DataFrame], gold: pd.Series, ax=None, *, k: int = 10):
    """Draw the mean share of the absolute weight that the word of each rank carries, by method, for the gold label.

    gold: class name by id. k: where the edge of the top words is marked.
    """
    ax = ax or plt.gca()
    for method, table in explained.items():
        rows = table[table["label"] == table["id"].map(gold)].assign(size=lambda rows: rows["weight"].abs())
        rows = rows.assign(rank=rows.groupby("id")["size"].rank(ascending=False, method="first"))
        rows["share"] = rows["size"] / rows.groupby("id")["size"].transform("sum")
        mean = rows.groupby("rank")["share"].mean().head(20)
        ax.plot(mean.index, mean, marker="o", markersize=4, label=method)
    ax.axvline(k + 0.5, color=GREY, linestyle="--", linewidth=1, label=f"edge of the top {k}")
    ax.set(xlabel="rank of the word", ylabel="share of the absolute weight", xticks=(1, 5, 10, 15, 20))
    return ax
