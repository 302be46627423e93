"""The page on the boundary of a pair: what the released scripts do to it, by example and in published runs."""

import numpy as np
import pandas as pd

from trusteq.alignment.ranking import chance_jaccard
from trusteq.attribution.as_released import NLI, JoinedWords
from trusteq.attribution.features import Features, Texts
from trusteq.attribution.lime import perturbations
from trusteq.pages.claims import Claim
from trusteq.pages.claims import boundary as claim
from trusteq.pages.figures import entitled, spans
from trusteq.pages.findings import NOTHING, PAPER_K, Findings
from trusteq.pages.show import open_with, page_style, put, show
from trusteq.pages.status import run_line
from trusteq.pages.trainings import evidence
from trusteq.study.publish import reference_runs
from trusteq.study.results import Results

STATEMENT = "the released boundary makes models look alike"
HOW = "as released", "boundary kept"
DRAWS = 10_000  # of perturbed texts, to count how often the boundary is lost


def held() -> Findings:
    """Return what the published runs that explain as released say of the claim; set the style of the page's figures."""
    page_style()
    runs = [run for run in reference_runs() if run.experiment.k == PAPER_K and _is_released(run)]
    return Findings(runs, {STATEMENT: claim(evidence(runs))})


def _is_released(run: Results) -> bool:
    return any(of.boundary == "as-released" for of in run.experiment.methods.values())


def opening(found: Findings) -> None:
    """Say in one sentence what the boundary does to the Jaccard index and to chance, and draw both."""
    of = found.claims[STATEMENT]
    if of.by_data.empty:
        put(f"**{NOTHING.capitalize()}.**")
        return
    chance, jaccard = (moved(of)[[f"{what}, {how}" for how in HOW]].stack() for what in ("chance", "Jaccard"))
    names = [f"{data}, {how}" for data in of.by_data["data"] for how in HOW]
    ax = spans(names, {"chance": chance, "two models": jaccard}, xlabel="mean Jaccard")
    open_with(answer(of), entitled(ax, title(of)), *map(run_line, found.runs))


def moved(found: Claim) -> pd.DataFrame:
    """Return the mean Jaccard and chance in both ways, by data set: the mean over methods."""
    return found.beside.groupby("data").mean(numeric_only=True).reindex(found.by_data["data"])


def title(found: Claim) -> str:
    """Return on how many data sets losing the boundary raises the mean Jaccard, and what is above chance."""
    of = moved(found)
    raw, chance = (of[f"{what}, {HOW[0]}"] - of[f"{what}, {HOW[1]}"] for what in ("Jaccard", "chance"))
    return (
        f"As released the mean is higher on {(raw > 0).sum()} of {len(of)} data sets, and what is above chance on "
        f"{(raw > chance).sum()}"
    )


def answer(found: Claim) -> str:
    """Return in one sentence what losing the boundary does, by data set."""
    parts = []
    for (_, row), by in zip(moved(found).iterrows(), found.by_data.itertuples(), strict=True):
        before, after, chance, other = (row[f"{what}, {how}"] for what in ("Jaccard", "chance") for how in HOW[::-1])
        parts.append(
            f"on {by.data} it moves the mean Jaccard of two models from {before:.2f} to {after:.2f}, and chance from "
            f"{chance:.2f} to {other:.2f}, so that what is above chance changes by {by.estimate:+z.3f} "
            f"({by.low:+z.3f} to {by.high:+z.3f})"
        )
    return f"Losing the boundary changes the number and the ruler: {'; '.join(parts)}."


def pair(premise: str, hypothesis: str, *, samples: int, seed: int = 0) -> None:
    """Show LIME's features of a pair in both ways, and what models are asked about; how many are no pair any more."""
    both = ways(premise, hypothesis)
    rows = [(how, of.n_features, " · ".join(word for *_, word in of.features)) for how, of in both.items()]
    table = pd.DataFrame(rows, columns=["boundary", "features", "words"])
    put(table.assign(chance=[chance_jaccard(n, PAPER_K) for n in table["features"]]))
    for how, of in both.items():
        texts = pd.DataFrame(zip(*perturbed(of, samples, seed), strict=True), columns=["first text", "second text"])
        put(show(texts, caption=f"{how}: no second text in {lost(of, seed):.0%} of {DRAWS:,} such texts"))


def ways(premise: str, hypothesis: str) -> dict[str, Features]:
    """Return a pair as the released scripts perturb it, and with its boundary kept."""
    return dict(
        zip(HOW, (JoinedWords("", 1, premise, hypothesis, NLI), Texts("", 1, (premise, hypothesis))), strict=True)
    )


def perturbed(pair: Features, n: int, seed: int) -> tuple[list[str], list[str]]:
    """Return the first and the second texts of n perturbed pairs."""
    return pair.texts(perturbations(pair.n_features, n + 1, np.random.default_rng(seed))[1:])


def lost(pair: Features, seed: int) -> float:
    """Return in which share of LIME's perturbed pairs there is no second text."""
    return perturbed(pair, DRAWS, seed)[1].count("") / DRAWS
