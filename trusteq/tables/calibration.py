"""Calibration of every model: scores, reliability, and the paper's shares beside them."""

import numpy as np
import pandas as pd

from trusteq import calibration
from trusteq.decision import reliability_with_bars, stacked
from trusteq.examples import load_examples
from trusteq.predictions import Predictions
from trusteq.store import Results, read_table
from trusteq.tables.base import PAPER_MARK, counterparts, marked, paper_table, titles
from trusteq.verdict import first_texts


def probabilities(run: Results, task: str, model: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a model's test probabilities, (n, C), and the labels, (n,)."""
    predictions = run.predictions(task, model, seed)
    return predictions[list(run.experiment.task(task).labels)].to_numpy(), predictions["label"].to_numpy()


def clusters(run: Results, task: str) -> pd.Series | None:
    """Return the first text of every test example by id, or its number where texts are not at hand.

    None where no two examples share one. Examples with one first text, such as SNLI's hypotheses about one premise, are
    resampled together. The texts are for that alone: no artefact holds them.
    """
    if run.is_published:
        file = run.path("groups", task)
        known = file.is_file()
        return read_table(file, made_by="trusteq publish").set_index("id")["group"].astype(object) if known else None
    examples = load_examples(run.experiment.task(task), "test")
    texts = first_texts(examples)
    return None if texts is None else pd.Series(texts, index=pd.Index(examples["id"], name="id"), dtype=object)


def score_table(run: Results, task: str, seed: int) -> pd.DataFrame:
    """Return every calibration score of every model: model, then one column per score."""
    return pd.DataFrame(
        {"model": name} | calibration.scores(*probabilities(run, task, name, seed)) for name in run.experiment.models
    )


def reliability_tables(run: Results, task: str, seed: int) -> pd.DataFrame:
    """Return the reliability table of every model: model, then its columns, 10 equal-width bins each.

    low, high: where 95% of the bin's accuracies would be, were the model calibrated (`nullband.consistency_bars`).
    """
    labels = run.experiment.task(task).labels
    tables = {
        name: reliability_with_bars(Predictions.of(run.predictions(task, name, seed), labels))
        for name in run.experiment.models
    }
    return stacked(tables)


def beside_paper(scores: pd.DataFrame, run: Results, task: str) -> pd.DataFrame:
    """Return the scores by model title with the paper's ECE, MCE and Brier score of the counterpart beside them."""
    paper = paper_table("calibration").query("task == @kind", local_dict={"kind": run.experiment.task(task).paper})
    paper = paper.set_index("model")[["ece", "mce", "brier"]].add_prefix(f"{PAPER_MARK}_")
    roles = scores["model"].map(counterparts(run))
    beside = paper.reindex(roles).set_axis(scores.index)
    return marked(pd.concat([scores.assign(model=scores["model"].map(titles(run))), beside], axis=1), roles.isna())


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
