"""Why the published results say what they say of the paper's claims: one sentence a claim, from the tables behind it.

Each function takes what its claim does in `tables.claims` and returns "" where nothing is published that could say.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from trusteq.pages import claims
from trusteq.pages.claims import Runs, each, runs_and_tasks
from trusteq.pages.show import titles
from trusteq.sentences.base import listed
from trusteq.study.sides import of_seed


def low_alignment(runs: Runs) -> str:
    """Say what chance gives, and what the large model shares with itself."""
    chance = [row["chance"] for run, _, row in each(runs, "alignment") if row["model_a"] == run.experiment.large]
    if not chance:
        return ""
    own = {"under another explainer seed": [], "trained again": []}
    for run, task, row in each(runs, "controls"):
        if row["model_b"] == "retrained":
            own["trained again"].append(row["jaccard"])
        elif row["model_b"] == "reseeded" and run.experiment.draws(task, row["method"]):
            own["under another explainer seed"].append(row["jaccard"])
    parts = [f"{_span(values)} {how}" for how, values in own.items() if values]
    text = f"Chance alone gives {_span(chance)}"
    return f"{text}; with itself the large model shares {listed(parts)}." if parts else f"{text}."


def rule_on_itself(runs: Runs) -> str:
    """Say how much of the disagreement with other models the explainer's seed makes."""
    shares = _shares((row for _, _, row in claims.disagreement_sources(runs)), "explainer seed")
    if shares.empty:
        return ""
    parts = [f"{_span(values, 'z.0%')} with {method}" for method, values in shares.groupby("method")["share"]]
    return f"Of the disagreement with the smaller models the explainer's seed alone makes {listed(parts)}."


def different_words(runs: Runs) -> str:
    """Name the models that keep most and least of the words."""
    rows = [
        (row["normalised"], titles(run)[row["model_b"]], row["method"])
        for run, _, row in each(runs, "alignment")
        if row["model_a"] == run.experiment.large
    ]
    if not rows:
        return ""
    (most, best, by), (least, worst, by_worst) = max(rows), min(rows)
    text = f"From chance, 0, to ceiling, 1, they come {least:z.2f} ({worst}, {by_worst}) to {most:z.2f} ({best}, {by})."
    again = [row for _, _, row in each(runs, "controls") if row["model_b"] == "retrained"]
    again = pd.DataFrame(again, columns=["method", "normalised"]).groupby("method", sort=False)["normalised"]
    parts = [f"{_span(values)} with {method}" for method, values in again]
    return f"{text} The large model itself, trained again, comes {listed(parts)}." if parts else text


def calibration_changes(runs: Runs) -> str:
    """Say in which direction confidence moves, and how far at most."""
    rows = _changes(runs, "overconfidence")
    if not rows:
        return ""
    (down, less), (up, more) = min(rows), max(rows)
    if down < 0 < up:
        text = f"Some are less sure than the large model ({less} by {-down:.2f}), some surer ({more} by {up:.2f})."
    else:
        end, name = (down, less) if up <= 0 else (up, more)
        text = f"All move one way, {name} farthest: {end:+.2f}."
    again = [
        row["difference"]
        for _, _, row in each(runs, "verdicts")
        if (row["model"], row["measure"]) == ("retrained", "overconfidence")
    ]
    return f"{text} The large model itself, trained again, moves by {_span(again, '+z.2f')}." if again else text


def better_calibrated(runs: Runs) -> str:
    """Say how far the large model's error could fall, and what the smaller ones' is."""
    large = [row["large"] for _, _, row in each(runs, "verdicts") if row["measure"] == "ece"]
    if not large:
        return ""
    return f"The large model's own error is {_span(large, '.3f')}: a smaller model's can be lower by no more than that."


def distillation(runs: Runs, *, cut: str = "minilm-3-layers", distilled: str = "minilm-distilled") -> str:
    """Say by how much either model's calibration error differs from the large one's."""
    found = []
    for run in runs:
        changes = {name: change for change, name in _changes([run], "ece")}
        names = [titles(run).get(model) for model in (cut, distilled)]
        if set(names) <= changes.keys():
            parts = [f"{name} {changes[name]:+z.3f}" for name in names]
            found.append(f"{run.experiment.name}: {listed(parts)}")
    return f"Their errors less the large model's: {'; '.join(found)}." if found else ""


def uncoupled(runs: Runs) -> str:
    """Count the models as accurate as the large one, and those of them that are not equivalent."""
    known = [
        (row["model"] == "retrained", (run.experiment.name, task, row["model"]), row["outcome"], row["verdict"])
        for run, task, row in each(runs, "verdicts")
        if row["measure"] == "accuracy" and row["model"] in {*run.experiment.models, "retrained"}
    ]
    found = pd.DataFrame(known, columns=["again", "model", "accuracy", "verdict"])
    models = found.groupby(["again", "model"]).agg(accuracy=("accuracy", "first"), verdicts=("verdict", set))
    parts = []
    for again, all_of in models.groupby("again"):
        same = all_of[all_of["accuracy"] == "equivalent"]
        differ = sum("not-equivalent" in verdicts for verdicts in same["verdicts"])
        who = f"{len(same)} of {len(all_of)} {'large models trained again' if again else 'smaller models'}"
        parts.append(f"{who}; not equivalent, of these: {differ}")
    return f"Shown to be as accurate: {'. And '.join(parts)}." if parts else ""


def boundary(runs: Runs) -> str:
    """Say what chance is with and without the boundary, and how far the models come from there to the ceiling."""
    found: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for run, task in runs_and_tasks(runs):
        methods = run.experiment.task_methods(task)
        released = {name: method for name, method in methods.items() if method.boundary == "as-released"}
        table = of_seed(run, task, "alignment", seed=run.experiment.seeds[0])
        table = table[table["model_a"] == run.experiment.large]
        for name, method in released.items():
            models = run.experiment.models_of(task, name)
            found[True].append(table[table["method"] == name])
            found[False].append(table[(table["method"] == method.like) & table["model_b"].isin(models)])
    if not found[True]:
        return ""
    lost, kept = (pd.concat(tables) for tables in (found[True], found[False]))
    chance = f"{_span(lost['chance'])} as released and {_span(kept['chance'])} with the boundary kept"
    place = f"{_span(lost['normalised'])} and {_span(kept['normalised'])}"
    return f"The level of chance is {chance}; from there, 0, to the ceiling, 1, the smaller models come {place}."


def mostly_compression(runs: Runs) -> str:
    """Say what part of the disagreement each source makes, by method, and where more than nothing is compression's."""
    found = claims.disagreement_sources(runs)
    left = [(claims.training_is_known(run, row["model_b"]), row) for run, _, row in found if row["source"] == "model"]
    known, unknown = ([row for is_known, row in left if is_known == wanted] for wanted in (True, False))
    all_rows = [row for _, _, row in found]
    sources = {"the explainer's seed": _shares(all_rows, "explainer seed")}
    sources |= {"training": _shares(all_rows, "training seed")}
    sources |= {"compression": _shares(known, "model"), "compression with training": _shares(unknown, "model")}
    parts = []
    for source, shares in sources.items():
        by = [f"{_span(values, 'z.0%')} with {method}" for method, values in shares.groupby("method")["share"]]
        parts += [f"{source} makes {listed(by)}"] if by else []
    if not parts:
        return ""
    some = sum(row["low"] > 0 for row in known)
    of = f" More than nothing is compression's in {some} of {len(known)} rows that leave training out." if known else ""
    return f"Of the disagreement, {'; '.join(parts)}.{of}"


def keeping_trust(runs: Runs) -> str:
    """Say what keeping trust costs in accuracy."""
    changes = []
    for run, task in runs_and_tasks(runs):
        if not run.path("compression", task, "students").is_file():
            continue
        students = run.compression(task, "students").drop_duplicates(["model", "seed"])
        means = students.groupby("model")["accuracy"].mean()
        plain, *others = run.experiment.students
        keeping = [name for name in others if run.experiment.recipe_for(task, name).attribution_weight]
        changes += list(means[keeping] - means[plain])
    return f"Accuracy changes by {_span(changes, '+z.3f')}, in the mean over training seeds." if changes else ""


def _changes(runs: Runs, measure: str) -> list[tuple[float, str]]:
    """Return by how much each smaller model differs from the large one, with the model's title."""
    return [
        (row["difference"], titles(run)[row["model"]])
        for run, _, row in each(runs, "verdicts")
        if row["measure"] == measure and row["model"] in run.experiment.models
    ]


def _shares(rows: Iterable[dict], source: str) -> pd.DataFrame:
    """Return the share that a source has in each disagreement, with the method; none that is 0."""
    shares = [row for row in rows if row["source"] == source and row["share"]]
    return pd.DataFrame(shares, columns=["method", "share"])


def _span(values: Iterable[float], template: str = "z.2f") -> str:
    """Return the lowest and the highest value as text; one where they read the same."""
    values = np.asarray(list(values), dtype=float)
    return " to ".join(dict.fromkeys(format(end, template) for end in (np.nanmin(values), np.nanmax(values))))
