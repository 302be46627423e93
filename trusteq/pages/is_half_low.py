"""Is 0.5 low? Chance over the number of words, steadiness of explainers, and numbers on the scale between the two."""

from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trusteq.alignment.overlap import PAPER_THRESHOLD, is_aligned
from trusteq.alignment.ranking import chance_jaccard
from trusteq.pages.figures import GREY, WIDTH, about, alignment_intervals, counted, entitled, scale_intervals, spans
from trusteq.pages.show import of_seed, open_with, paper_table, put, show, side_titles
from trusteq.pages.status import benchmark_rows, run_line, word_counts
from trusteq.study.results import Results
from trusteq.verdict.comparison import CONTROLS

# The large model beside itself: explained under another seed, and trained again.
ITSELF = [name for name, control in CONTROLS.items() if control.judged and not control.is_other]
AGAIN = [name for name in ITSELF if not CONTROLS[name].is_large]
HALF = 0.5
LAST = 60  # words of a pair, where the pictures end


def opening(run: Results) -> None:
    """Say in one sentence where 0.5 lies between chance and the explainer with itself, and draw it."""
    found = on_the_scale(run, seed=run.experiment.seeds[0])
    marks = {"chance": found["chance"], "the explainer with itself": found["ceiling"]}
    cuts = {f"{HALF}": HALF, f"the paper's cut, {PAPER_THRESHOLD}": PAPER_THRESHOLD}
    ax = spans(list(found["task"] + ", " + found["method"]), marks, cuts, xlabel="mean Jaccard")
    picture = counted(ax, found["ceiling"] < HALF, f"explainers share less than {HALF} with themselves")
    open_with(answer(found), picture, run_line(run))


def answer(found: pd.DataFrame) -> str:
    """Return in one sentence where 0.5 lies on the scales of `on_the_scale`."""
    known = found.dropna()
    if known.empty:
        return "Nobody can say: the explainer does not agree with itself beyond chance."
    chance, ceiling, place = (
        " to ".join(dict.fromkeys(f"{end:.2f}" for end in (known[name].min(), known[name].max())))
        for name in ("chance", "ceiling", f"{HALF:g} is")
    )
    return (
        f"It depends: in this run chance gives {chance}, and an explainer agrees with itself at {ceiling}; on the "
        f"scale from the one (0) to the other (1), a mean of {HALF} stands at {place}."
    )


def chance_in_snli() -> None:
    """Draw chance over the number of words above how many words SNLI's pairs have; show the means, and the paper's."""
    counts, paper = word_counts(), paper_table("jaccard_range")
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True, height_ratios=[3, 2])
    words = range(1, LAST + 1)
    chance = pd.DataFrame({"words": words, "chance": [chance_jaccard(n, 10) for n in words]})
    chance_curve(chance, top, band=(paper["low"].iloc[0], paper["high"].iloc[0]))
    word_histogram(counts, bottom, last=LAST)
    means = mean_chance(counts)
    put(figure, means.assign(**{f"{HALF} less chance": HALF - means["chance"]}))
    put(show(paper, caption="The paper's means"))


def ceilings(run: Results) -> None:
    """Draw each pair with the large model under the same of it and itself, and show how far models agree so."""
    for task in run.experiment.tasks:
        found = _with_large(run, task)
        found = found[found["model_b"].isin([*ITSELF, *run.experiment.models])]
        ax = about(alignment_intervals(found, side_titles(run)), task)
        put(ax, show(ceiling_table(run.comparison(task, "ceilings")), digits=2, caption=f"Each with itself, {task}"))


def steadiness() -> None:
    """Show how far explainers agree with themselves, by what they may spend."""
    put(show(steadiness_table(benchmark_rows()), digits=2))


def scale(run: Results) -> None:
    """Draw all pairs with the large model on the scale, and count those that come as far as it does, trained again."""
    for task in run.experiment.tasks:
        found = _with_large(run, task)
        beside = yardstick_table(found, run)
        ax = about(entitled(scale_intervals(found, side_titles(run)), yardstick_title(beside)), task)
        put(ax, show(beside, digits=2, caption=f"Beside the large model trained again, {task}"))


def half(run: Results) -> None:
    """Show where a mean Jaccard of 0.5, and the paper's cut, would be on this run's scale."""
    put(show(on_the_scale(run, seed=run.experiment.seeds[0]), digits=2))


def mean_chance(counts: pd.DataFrame, *, k: int = 10) -> pd.DataFrame:
    """Return the mean over the pairs of SNLI, by way of counting: counted, mean_words, chance, always_1.

    always_1: the share of pairs with k words or fewer, whose top sets are always the same.
    """
    rows = []
    for way, found in counts.groupby("counted", sort=False):
        share = found["pairs"] / found["pairs"].sum()
        chance = found["words"].map(lambda words: chance_jaccard(words, k))
        row = {"counted": way, "mean_words": share @ found["words"], "chance": share @ chance}
        rows.append(row | {"always_1": share[found["words"] <= k].sum()})
    return pd.DataFrame(rows)


def steadiness_table(rows: Iterable[Mapping]) -> pd.DataFrame:
    """Return the benchmark's rows about an explainer's agreement with itself: method, passes allowed, Jaccard, used."""
    found = []
    for row in rows:
        kind, _, rest = row["row"].partition(" ")
        if kind == "steadiness" and row["value"] is not None:
            method, passes = rest.rsplit(" ", 1)
            found.append({"method": method, "passes": int(passes), "Jaccard": row["value"], "measured": row["what"]})
    return pd.DataFrame(found, columns=["method", "passes", "Jaccard", "measured"]).sort_values(["method", "passes"])


def ceiling_table(ceilings: pd.DataFrame) -> pd.DataFrame:
    """Return how far the models agree with themselves: method, under another (seed), models, lowest, highest Jaccard.

    at 0.7 or more: how many of them reach the paper's cut.
    """
    by = ceilings.groupby(["method", "other"], sort=False)["jaccard"]
    found = by.agg(["count", "min", "max"]).set_axis(["models", "lowest", "highest"], axis=1)
    found["at 0.7 or more"] = by.agg(lambda values: sum(map(is_aligned, values)))
    return found.reset_index(names=["method", "under another"])


def yardstick_table(found: pd.DataFrame, run: Results) -> pd.DataFrame:
    """Return by method the mean Jaccard of the large model with itself trained again, beside the smaller models.

    found: pairs and controls of the large model. as far: how many of the smaller models have as large a mean; clearly
    less: how many have an interval that lies below. No rows where the large model has one training seed.
    """
    rows = []
    for again in found[found["model_b"].isin(AGAIN)].itertuples():
        small = found[(found["method"] == again.method) & found["model_b"].isin(run.experiment.models)]
        row = {"method": again.method, "trained again": again.jaccard, "smaller models": len(small)}
        row |= {"as far": (small["jaccard"] >= again.jaccard).sum(), "clearly less": (small["high"] < again.low).sum()}
        rows.append(row)
    return pd.DataFrame(rows, columns=["method", "trained again", "smaller models", "as far", "clearly less"])


def yardstick_title(beside: pd.DataFrame) -> str:
    """Return how many smaller models, by method, come as far as the large one trained again (`yardstick_table`)."""
    if beside.empty:
        return "the large model was trained once, so there is nothing to hold the others against"
    far, of = beside["as far"].sum(), beside["smaller models"].sum()
    return f"{far} of {of} come as far as the large model trained again"


def _with_large(run: Results, task: str) -> pd.DataFrame:
    """Return the alignment of the large model with its controls, and with each other model."""
    own, pairs = (of_seed(run.comparison(task, name), run.experiment.seeds[0]) for name in ("controls", "alignment"))
    return pd.concat([own, pairs[pairs["model_a"] == run.experiment.large]])


def on_the_scale(run: Results, *, seed: int, values: tuple[float, ...] = (HALF, PAPER_THRESHOLD)) -> pd.DataFrame:
    """Return where mean Jaccards would be on this run's scale: task, method, chance, ceiling, one column a value.

    Chance and ceiling are means over the pairs with the large model; nan where the ceiling is not above chance.
    """
    rows = []
    for task in run.experiment.tasks:
        pairs = of_seed(run.comparison(task, "alignment"), seed)
        for method, found in pairs[pairs["model_a"] == run.experiment.large].groupby("method", sort=False):
            chance, ceiling = found["chance"].mean(), found["ceiling"].mean()
            room = ceiling - chance if ceiling > chance else np.nan
            places = {f"{value:g} is": (value - chance) / room for value in values}
            rows.append({"task": task, "method": method, "chance": chance, "ceiling": ceiling} | places)
    return pd.DataFrame(rows)


def chance_curve(chance: pd.DataFrame, ax=None, *, band: tuple[float, float], half: float = HALF):
    """Draw the mean Jaccard of two random top-10 sets over the number of words, with the paper's range as a band.

    chance: words, chance. band: lowest and highest mean that the paper reports.
    """
    ax = ax or plt.gca()
    ax.axhspan(*band, color="#e9c46a", alpha=0.35, linewidth=0, label="the paper's range")
    ax.plot(chance["words"], chance["chance"], color="0.15", marker="o", markersize=2.5, label="chance")
    ax.axhline(PAPER_THRESHOLD, color=GREY, linestyle="--", linewidth=1, label="the paper's cut, 0.7")
    ax.axhline(half, color=GREY, linestyle=":", linewidth=1, label=f"{half}")
    ax.set(ylabel="mean Jaccard", ylim=(0, 1.03))
    ax.legend(ncols=2, loc="upper right", columnspacing=1)
    above = chance.loc[chance["chance"] > half, "words"]
    return entitled(ax, f"Chance alone gives more than {half} up to {above.max()} words")


def word_histogram(counts: pd.DataFrame, ax=None, *, last: int):
    """Draw how many words the pairs of SNLI have, in both ways of counting; pairs with more than `last` are left out.

    counts: of `word_counts`: counted, words, pairs.
    """
    ax = ax or plt.gca()
    for (way, rows), color in zip(counts.groupby("counted", sort=False), ("#3a6edc", "#eb8214"), strict=True):
        share = rows["pairs"] / rows["pairs"].sum()
        ax.step(rows["words"], share, where="mid", color=color, label=f"SNLI test, {way}")
        ax.fill_between(rows["words"], share, step="mid", color=color, alpha=0.18, linewidth=0)
    ax.set(xlabel="words of the pair", ylabel="share of pairs", xlim=(1, last), ylim=(0, None))
    ax.legend(loc="upper right")
    return entitled(ax, f"Half of the pairs have at most {' or '.join(map(str, median_words(counts)))} words")


def median_words(counts: pd.DataFrame) -> list[int]:
    """Return the median number of words of a pair, by way of counting; counts: counted, words, pairs."""
    parts = (of.sort_values("words") for _, of in counts.groupby("counted", sort=False))
    return [int(of.loc[of["pairs"].cumsum() >= of["pairs"].sum() / 2, "words"].iloc[0]) for of in parts]
