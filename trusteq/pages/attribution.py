"""The page on attribution: what explaining took, how faithful the weights are, and where they lie."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trusteq.alignment.ranking import Ranking
from trusteq.blocks import Stored, blocks_of
from trusteq.pages.figures import GREY, from_zero, highlights, method_colours, small_multiples
from trusteq.pages.show import NOT_SHOWN, chosen_methods, chosen_runs, put, show, titles
from trusteq.study.jobs import Job, jobs
from trusteq.study.results import Results

_NOT_WHOLE = "Measured when all examples are explained by all methods, which is not so here."


@dataclass(frozen=True)
class Chosen:
    """The tables of attributions that a page shows.

    runs: (model, seed), by what they are called. shard: "1/4", that part of the examples.
    """

    run: Results
    task: str
    runs: Mapping[str, tuple[str, int]]
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

    def table(self, job: Job) -> pd.DataFrame | Stored:
        """Return the table that a job wrote."""
        return self.run.explanations(job.task, job.model, job.seed, self.file(job))

    def by_place(self, model: str, seed: int) -> dict[str, pd.DataFrame | Stored]:
        """Return the attributions of one fine-tuned model, by method, of those that explain words by their place."""
        tables = {job.method: self.table(job) for job in self.jobs(model, seed) if not job.kind}
        return {method: table for method, table in tables.items() if table.attrs["boundary"] == "safe"}

    def put_texts(self, attributions: pd.DataFrame | Stored, examples: pd.DataFrame, title: str) -> None:
        """Show the texts of examples, their words coloured by their weights."""
        if isinstance(attributions, Stored):
            attributions = attributions.among(examples["id"])
        labels, k = self.run.experiment.task(self.task).labels, self.run.experiment.k
        put(highlights(attributions, examples, labels, title=title, k=k))


def chosen(run: Results, task: str, *, model=None, seed=None, methods=None, shard=None) -> Chosen:
    """Return the tables of attributions of a task: all, or those of one model, one seed, some methods, one part."""
    return Chosen(run, task, chosen_runs(run, model, seed), chosen_methods(run, task, methods), shard)


def costs(of: Chosen) -> None:
    """Show what explaining took, one row a model and method."""
    rows = [{"model": name} | row for name, which in of.runs.items() for row in _costs(of, *which)]
    formats = {"words_per_example": "{:.1f}", "passes_per_example": "{:,.0f}", "seconds_per_example": "{:.2f}"}
    put(show(pd.DataFrame(rows), formats=formats | {"seconds_in_all": "{:,.0f}"}))


def _costs(of: Chosen, model: str, seed: int) -> Iterator[dict]:
    found = of.jobs(model, seed)
    seconds = {job: of.run.parameters("attribution", of.task, model, seed, of.file(job))["seconds"] for job in found}
    for job in found:
        if not job.kind:
            in_all = sum(spent for other, spent in seconds.items() if other.method == job.method)
            cost = attribution_cost(of.table(job), seconds[job])
            yield {"method": job.method} | cost | {"seconds_in_all": in_all}


def faithfulness(of: Chosen) -> None:
    """Show what each model loses without its top words, and with these alone, on average, by method."""
    if not all(of.run.path("attribution", of.task, *which, "faithfulness").is_file() for which in of.runs.values()):
        return put(_NOT_WHOLE)
    tables = {name: of.run.attribution(of.task, *which, "faithfulness") for name, which in of.runs.items()}
    whole = pd.concat(tables, names=["model"])
    put(whole.groupby(["model", "method"], sort=False)[["comprehensiveness", "sufficiency"]].mean().reset_index())


def examples(of: Chosen, n: int = 3) -> None:
    """Show the first texts with their words coloured by weight, of the first and the last model, by method."""
    if (texts := of.run.shown(of.task)) is None:
        return put(NOT_SHOWN)
    runs = list(of.runs.values())
    for which in dict.fromkeys((runs[0], runs[-1])):
        for method, table in of.by_place(*which).items():
            explained = texts[texts["id"].isin(next(blocks_of(table))["id"])].head(n)
            of.put_texts(table, explained, f"{titles(of.run)[which[0]]}, {method}")


def spread(of: Chosen) -> None:
    """Show how the weight is spread over the words, one panel a model and seed."""
    draw = partial(weight_by_rank, k=of.run.experiment.k)
    panels = [(name, partial(draw, of.by_place(*which), _gold(of, *which))) for name, which in of.runs.items()]
    put(from_zero(small_multiples(panels)))


def _gold(of: Chosen, model: str, seed: int) -> pd.Series:
    predictions = of.run.predictions(of.task, model, seed).set_index("id")
    return predictions["label"].map(dict(enumerate(of.run.experiment.task(of.task).labels)))


def attribution_cost(attributions: pd.DataFrame | Stored, seconds: float) -> dict[str, float]:
    """Return how many examples were explained, skipped, cut and retokenised; words, passes and seconds per example."""
    counts, n_examples, n_words = attributions.attrs, 0, 0
    for block in blocks_of(attributions):
        n_examples += block["id"].nunique()
        n_words += len(block[["id", "segment", "position"]].drop_duplicates())
    per_example = {"words": n_words, "passes": counts["passes"], "seconds": seconds}
    return {
        "explained": n_examples,
        "skipped": len(counts["skipped"]),
        "cut": len(counts["cut"]),
        "retokenised": counts["retokenised"],
        **{f"{name}_per_example": spent / max(n_examples, 1) for name, spent in per_example.items()},
    }


def weight_by_rank(explained: Mapping[str, pd.DataFrame | Stored], gold: pd.Series, ax=None, *, k: int = 10):
    """Draw the mean share of the absolute weight that the word of each rank carries, by method, for the gold label.

    gold: class name by id. k: where the edge of the top words is marked.
    """
    ax = ax or plt.gca()
    for (method, table), color in zip(explained.items(), method_colours(list(explained)).values(), strict=True):
        sums = sum(_shares_by_rank(block, gold) for block in blocks_of(table))
        sums = sums[sums["words"] > 0]
        mean = (sums["share"] / sums["words"]).set_axis(sums.index + 1)
        ax.plot(mean.index, mean, marker="o", markersize=4, color=color, label=method)
    ax.axvline(k + 0.5, color=GREY, linestyle="--", linewidth=1, label=f"edge of the top {k}")
    ax.set(xlabel="rank of the word", ylabel="share of the absolute weight", xticks=(1, 5, 10, 15, 20))
    return ax


def _shares_by_rank(attributions: pd.DataFrame, gold: pd.Series, most: int = 20) -> pd.DataFrame:
    """Return by rank, from 0, the sum of the shares of the absolute weight, and of how many words; of the first ranks.

    An example without any weight has no shares.
    """
    rows = Ranking(attributions, gold[attributions["id"].unique()]).rows
    code, weight, rank = rows["code"], rows["weight"].abs(), rows["rank"]
    total = np.bincount(code, weight)[code]
    counted = (total > 0) & (rank < most)
    share = (weight / total)[counted]
    sums = {"share": np.bincount(rank[counted], share, most), "words": np.bincount(rank[counted], minlength=most)}
    return pd.DataFrame(sums)
