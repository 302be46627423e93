"""The page on what the paper did and found: its tables as it has them, and a published run of ours beside them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD
from trusteq.pages import results
from trusteq.pages.calibration import score_view, share_table
from trusteq.pages.figures import GREY, WIDTH, entitled, legend_above, named_rows
from trusteq.pages.show import PAPER_MARK, of_seed, open_with, page_style, paper_table, put, show, view
from trusteq.pages.status import run_line
from trusteq.study.publish import open_published
from trusteq.study.results import Results

TASKS = {"nli_accuracy": "language inference", "pi_accuracy": "paraphrases"}
_WORDS = {"pair": "pair", "method": "method", "mean Jaccard": "jaccard", "95%": ("low", "high"), "chance": "chance"}


def held(published: str) -> Results:
    """Return the published run that stands beside the paper's numbers; set the style of the page's figures."""
    page_style()
    return open_published(published)


def opening() -> None:
    """Say in one sentence what the paper found, and draw it."""
    models, found = paper_table("models"), paper_table("jaccard_range").iloc[0]
    open_with(answer(models, found), found_panels(models, found))


def models(run: Results) -> None:
    """Show the paper's Table 1, and the same of our models."""
    ours = results.model_table(run, run.experiment.seeds[0])
    given = dict.fromkeys((f"{PAPER_MARK} parameters_millions", f"{PAPER_MARK} size_mb"), "{:g}")
    put(show(as_the_paper("models", "model"), digits=2, formats=given, caption="The paper's models"))
    put(run_line(run), show(ours, digits=1, formats={"parameters_M": "{:.2f}"}, caption="Ours"))


def words(run: Results) -> None:
    """Show the paper's mean Jaccard indices of each pair, their range, and ours of the pairs with the large model."""
    task = next(iter(run.experiment.tasks))
    pairs = of_seed(run.comparison(task, "alignment"), run.experiment.seeds[0])
    ours = view(pairs[pairs["model_a"] == run.experiment.large], run, _WORDS)
    pair = as_the_paper("jaccard", "model_a", "model_b", by=("task", "method"))
    put(as_the_paper("jaccard_range", "scope"), show(pair, caption="The paper's, pair by pair"))
    put(show(ours, digits=2, caption="Ours, with the large model"))


def calibration(run: Results) -> None:
    """Show the paper's calibration scores beside ours, and the share of predictions by confidence of both."""
    task, seed = next(iter(run.experiment.tasks)), run.experiment.seeds[0]
    found, names = run.calibration(task, seed, "intervals"), list(run.experiment.models)
    ours = score_view(found[found["model"].isin(names)], run, "ece", "mce", "brier", columns={"{}": "value"})
    put(show(as_the_paper("calibration", "model", by=("task",)), caption="The paper's"), show(ours, caption="Ours"))
    shares = share_table(run.calibration(task, seed, "reliability"), run, task)
    put(show(shares, digits=1, caption="Percent of the test split by confidence, ours and the paper's"))


def answer(models: pd.DataFrame, jaccard: pd.Series) -> str:
    """Return what the paper found in one sentence. models: its Table 1, the large one first. jaccard: low, high."""
    large, small = models.iloc[0], models.iloc[1:]
    best = small.loc[small["nli_accuracy"].idxmax()]
    below = _below_cut(jaccard)
    return (
        f"Of {len(small)} smaller models, the best is right in {best['nli_accuracy']:.1f}% of the NLI pairs where "
        f"{large['model']} is in {large['nli_accuracy']:.1f}%; but the words that they go by agree with "
        f"{large['model']}'s at a mean Jaccard of {jaccard['low']} to {jaccard['high']}, {below} below the paper's cut "
        f"of {PAPER_THRESHOLD}."
    )


def _below_cut(jaccard: pd.Series) -> str:
    return "all" if jaccard["high"] < PAPER_THRESHOLD else "not all"


def right_title(models: pd.DataFrame) -> str:
    """Return how much less often the smaller models of the paper's Table 1 are right, in percentage points."""
    losses = pd.concat([models[column].iloc[0] - models[column].iloc[1:] for column in TASKS])
    return f"Right less often by {losses.min():.1f} to {losses.max():.1f} points"


def as_the_paper(name: str, *keys: str, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return one of the paper's tables in its order; what is not held will be shown so.

    keys: columns that tell its rows apart. by: columns whose values stand beside each other.
    """
    table = paper_table(name)
    if by:
        rows = table.set_index(list(keys)).index.unique()
        table = table.set_index([*keys, *by]).unstack(list(by)).reindex(rows)
        table = table.set_axis([" ".join([*of, score]) for score, *of in table.columns], axis=1).reset_index()
    return table.rename(columns={column: f"{PAPER_MARK} {column}" for column in table if column not in keys})


def found_panels(models: pd.DataFrame, jaccard: pd.Series):
    """Draw the accuracy of the paper's models beside how far they agree with the large one; return the figure.

    models: the paper's Table 1, the large one first. jaccard: low, high.
    """
    large, *small = models["model"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.3), sharey=True)
    for (column, title), marker in zip(TASKS.items(), "os", strict=True):
        left.plot(models[column], models.index, marker, color="0.2", markersize=6, linestyle="none", label=title)
    entitled(named_rows(left, [large, *small], xlabel="accuracy, %"), right_title(models))
    ends, rows = (jaccard["low"], jaccard["high"]), [0.5, len(small) + 0.5]
    right.fill_betweenx(rows, *ends, color="#e9c46a", alpha=0.5, linewidth=0, label="all means with it")
    right.axvline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label=f"the cut, {PAPER_THRESHOLD}")
    right.set(xlim=(0, 1.02), xlabel=f"mean Jaccard with {large}")
    entitled(right, f"Means of shared words: {_below_cut(jaccard)} below the cut")
    legend_above([left, right], ncols=2)
    return figure
