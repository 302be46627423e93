"""Sentences about calibration."""

import pandas as pd

from trusteq.pages.show import titles
from trusteq.sentences.base import listed
from trusteq.study.calibrate import (
    judged_scores,
)
from trusteq.study.results import Results
from trusteq.study.sides import CONTROLS
from trusteq.verdict.decide import OUTCOMES, overall


def calibration_sentence(scores: pd.DataFrame, run: Results) -> str:
    """Return which models have a lower and which a higher ECE than the large one, in a sentence."""
    ece = scores.set_index("model")["ece"].rename(titles(run))
    large, others = ece.iloc[0], ece.iloc[1:]
    lower, higher = others[others < large], others[others >= large]
    parts = [
        f"{listed(names.index)} {'has' if len(names) == 1 else 'have'} a {word} ECE than {ece.index[0]} ({large:.4f})"
        for names, word in ((lower, "lower"), (higher, "higher"))
        if len(names)
    ]
    return (
        f"In this run {'; '.join(parts)}. The paper reports a lower ECE for BERT-Tiny than for BERT-base. Whether a "
        "difference is more than noise is for the differences below to say."
    )


def null_band_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return which models have a larger ECE than calibrated ones would. found: of `interval_scores`."""
    rows = found[(found["score"] == "ece") & found["model"].isin(run.experiment.models)]
    names, above = rows["model"].map(titles(run)), rows["value"] > rows["null_high"]
    says = f"{listed(names[above]) or 'No model'} {'has' if above.sum() < 2 else 'have'} a larger ECE than"
    rest = (
        f", {listed(names[~above])} {'has' if (~above).sum() == 1 else 'have'} not"
        if 0 < above.sum() < len(above)
        else ""
    )
    return f"{says} a calibrated model would have by luck{rest}."


def bar_sentence(reliability: pd.DataFrame, run: Results) -> str:
    """Return for how many bins of each model the accuracy lies outside the bar. reliability: with low and high."""
    parts = []
    for model, title in titles(run).items():
        rows = reliability[(reliability["model"] == model) & (reliability["count"] > 0)]
        outside = rows[(rows["accuracy"] < rows["low"]) | (rows["accuracy"] > rows["high"])]
        held = f", with {outside['share'].sum():.0%} of the predictions" if len(outside) else ""
        parts.append(f"{title} {len(outside)} of {len(rows)}{held}")
    return f"Filled bins outside their bar: {'; '.join(parts)}."


def decomposition_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return which part each smaller model's Brier score differs by. found: of `decomposition_table`."""
    names, table = titles(run), found.set_index("model")
    texts = {"reliability": "calibration (reliability)", "resolution": "telling examples apart (resolution)"}
    texts["within_bins"] = "what happens within bins"
    apart = (table - table.loc[run.experiment.large])[list(texts)].abs()
    by: dict[str, list[str]] = {}
    for model in list(names)[1:]:
        by.setdefault(texts[apart.loc[model].idxmax()], []).append(names[model])
    parts = [f"in {part} for {listed(models)}" for part, models in by.items()]
    return f"From {names[run.experiment.large]} the smaller models' Brier scores differ most {'; '.join(parts)}."


def calibration_outcome_sentence(differences: pd.DataFrame, run: Results) -> str:
    """Return the outcomes for the smaller models by measure, and for each control over all measures.

    differences: of `calibration_differences`.
    """
    decided, parts, judged = differences.dropna(subset="outcome"), [], judged_scores()
    small = decided[decided["model"].isin(run.experiment.models)]
    for score, rows in small.groupby("score", sort=False):
        counts = [f"{(rows['outcome'] == outcome).sum()} {outcome}" for outcome in OUTCOMES]
        parts.append(f"in {judged[score].title} {listed(counts)}")
    controls = decided.drop(small.index).groupby("model", sort=False)["outcome"]
    last = [f'"{CONTROLS[name]}" {overall(outcomes)}' for name, outcomes in controls]
    return (
        f"Of {small['model'].nunique()} smaller models, {'; '.join(parts)}. Over all of these, the controls are: "
        f"{'; '.join(last)}."
    )


def temperature_sentence(differences: pd.DataFrame, found: pd.DataFrame, run: Results) -> str:
    """Return which models are too sure, and how far rescaling brings the smaller ones to the large one.

    differences: of `calibration_differences`. found: of `temperature_table`.
    """
    names = titles(run)
    rows = found[(found["score"] == "debiased_ece") & found["model"].isin(names)].set_index("model")
    cooled = listed(names[model] for model in rows.index[rows["temperature"] > 1])
    small = rows.index.drop(run.experiment.large)
    before = differences[differences["score"] == "debiased_ece"].set_index("model")["difference"].abs()[small]
    after = rows["difference"].abs()[small]
    closer = listed(names[model] for model in small[after < before])
    return (
        f"The temperature is above 1, so that confidence is taken away, for {cooled or 'no model'}. Rescaling brings "
        f"{closer or 'no smaller model'} closer to the large one in calibration error; over all smaller models, the "
        f"mean distance from it goes from {before.mean():.3f} to {after.mean():.3f}."
    )


def loyalty_sentence(found: pd.DataFrame, run: Results) -> str:
    """Return which smaller models are as loyal to the large one as it is to itself, retrained."""
    names = titles(run)
    labels = found[found["measure"] == "label_loyalty"].set_index("model")
    small = labels[labels.index.isin(names)]
    most, least = small["value"].idxmax(), small["value"].idxmin()
    text = (
        f"Of the smaller models, {names[most]} predicts the large one's class most often "
        f"({small['value'][most]:.0%}) and {names[least]} least often ({small['value'][least]:.0%})."
    )
    if "retrained" not in labels.index:
        return f"{text} How often the large model would do so itself, trained again, this run does not say."
    itself = labels.loc["retrained"]
    below = listed(names[model] for model in small.index[small["high"] < itself["low"]])
    return (
        f"{text} Trained again, the large model predicts its own former class in {itself['value']:.0%}; clearly below "
        f"that: {below or 'none'}."
    )
