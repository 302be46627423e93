"""Sentences about ways to compress, and about objectives that are to keep a student's words."""

import pandas as pd

from trusteq.pages.show import titles
from trusteq.sentences.base import joined, listed
from trusteq.study.results import Results
from trusteq.verdict.decide import OUTCOMES


def compression_sentence(table: pd.DataFrame, run: Results) -> str:
    """Return the verdicts by method, and which model keeps most of the words and which least.

    table: of `compression_table`.
    """
    names, parts = titles(run), []
    for method, rows in _small(table, run).groupby("method", sort=False):
        counts = [f"{(rows['verdict'] == outcome).sum()} {outcome}" for outcome in OUTCOMES]
        order = rows.sort_values("normalised_alignment").dropna(subset="normalised_alignment")
        text = f"under {method}, of {len(rows)} compressed models {listed(counts)}"
        if len(order):
            ends = [f"{names[row.model]} ({row.normalised_alignment:.2f})" for row in (order.iloc[-1], order.iloc[0])]
            text += f"; most of the words are kept by {ends[0]}, least by {ends[1]}"
        parts.append(text)
    return joined(parts)


def recovery_sentence(table: pd.DataFrame, run: Results) -> str:
    """Return what training on after the compression brings, for every model that is there with and without it."""
    names, parts = titles(run), []
    small = _small(table, run)
    for method, rows in small.groupby("method", sort=False):
        by = rows.drop_duplicates("model").set_index("model")
        for name in by.index:
            spec = run.experiment.model(name).compress
            pair = [other for other in by.index if _recovers(run.experiment.model(other).compress, spec)]
            if pair and spec and not spec.recover:
                kept = by[["accuracy", "normalised_alignment"]]
                gain = kept.loc[pair[0]] - kept.loc[name]
                more = f"accuracy {gain['accuracy']:+.3f}, alignment {gain['normalised_alignment']:+.2f}"
                parts.append(f"{names[name]}, trained on, under {method}: {more}")
    return joined(parts) if parts else "No model is here both with and without training after the compression."


def _recovers(other, spec) -> bool:
    """Return whether one compression is another with training after it."""
    return bool(spec and other and other.recover and other == spec.model_copy(update={"recover": True}))


def gain_sentence(gains: pd.DataFrame, run: Results, *, baseline: str) -> str:
    """Return under which methods which objectives bring a student's words closer to the teacher's than a baseline.

    gains: of `gain_table`.
    """
    names, parts = titles(run), []
    for method, rows in gains.groupby("method", sort=False):
        better = [f"{names[row.model]} ({row.gain:+.3f})" for row in rows.itertuples() if row.low > 0]
        worse = [f"{names[row.model]} ({row.gain:+.3f})" for row in rows.itertuples() if row.high < 0]
        text = f"under {method} no objective brings the words clearly closer than {names[baseline]}"
        if better:
            text = f"under {method} the words come closer than with {names[baseline]} by {listed(better)}"
        parts.append(text + (f"; clearly further away with {listed(worse)}" if worse else ""))
    return joined(parts)


def price_sentence(table: pd.DataFrame, run: Results, *, baseline: str) -> str:
    """Return what each objective costs beside a baseline: accuracy, change of ECE, seconds, means over seeds."""
    names = titles(run)
    means = _small(table, run).drop_duplicates(["model", "seed"]).groupby("model", sort=False)
    means = means[["accuracy", "ece_difference", "training_seconds"]].mean()
    own, parts = means.loc[baseline], []
    for name, row in means.drop(index=baseline).iterrows():
        away = abs(row["ece_difference"]) - abs(own["ece_difference"])
        times = row["training_seconds"] / own["training_seconds"]
        parts.append(
            f"{names[name]}: accuracy {row['accuracy'] - own['accuracy']:+.3f}, distance from the teacher's ECE "
            f"{away:+.3f}, {times:.1f} times the training time"
        )
    return f"Beside {names[baseline]}. {joined(parts)}"


def seed_sentence(gains: pd.DataFrame, run: Results) -> str:
    """Return for which objectives the gain is larger than what the training seeds of one student differ by."""
    names, parts = titles(run), []
    if (gains["seeds"] < 2).all():
        return "Every student has one training seed: how far seeds differ is not known."
    for method, rows in gains.groupby("method", sort=False):
        beyond = [names[row.model] for row in rows.itertuples() if row.gain > row.seed_spread]
        text = f"under {method} the means of one student's training seeds differ by {rows['seed_spread'].min():.3f} to "
        text += f"{rows['seed_spread'].max():.3f}; "
        parts.append(text + (f"the gain is larger for {listed(beyond)}" if beyond else "no gain is larger than that"))
    return joined(parts)


def _small(table: pd.DataFrame, run: Results) -> pd.DataFrame:
    return table[table["model"] != run.experiment.large]
