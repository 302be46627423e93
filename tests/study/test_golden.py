"""The numbers of every stage of a tiny run, held: what changes one must raise the version of its stage.

After that, `python tests/study/test_golden.py` writes golden.json anew.
"""

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trusteq.examples.load import load_examples
from trusteq.registry import validated
from trusteq.statistics import stream
from trusteq.store import to_json, write_table, write_text
from trusteq.study import calibrate, compare, compressions, graph
from trusteq.study.experiment import Experiment
from trusteq.study.jobs import jobs
from trusteq.study.results import Results, part_name
from trusteq.study.stages import make

GOLDEN = Path(__file__).with_name("golden.json")
TASK = "demo-nli"
HOMES = {
    "train": "trusteq/models/recipe.py",
    "predict": "trusteq/models/recipe.py",
    "explain": "trusteq/attribution/explain.py",
    "calibrate": "trusteq/study/calibrate.py",
    "compare": "trusteq/study/compare.py",
    "compress": "trusteq/study/compressions.py",
}
# What a training comes to differs in its last digits between processors; what is computed from tables does not.
TOLERANCE = dict.fromkeys(("train", "predict", "explain"), 2e-3)
VALUES = {
    "name": "golden",
    "title": "Golden",
    "tasks": [TASK],
    "methods": {"lime": {"n_samples": 40}, "occlusion": {}},
    "explain": 9,
    "train_limit": 64,
    "recipe": {"learning_rate": 1.0e-3, "epochs": 1, "max_length": 64},
}
DRAWN = {"demo-large": {"seeds": [0, 1]}, "demo-int8": {}, "plain": {"like": "demo-cut-distilled", "title": "Plain"}}
DRAWN |= {"kept": {"like": "demo-cut-distilled", "title": "Kept", "recipe": {"attribution_weight": 1.0}}}


def tiny(folder: Path) -> Results:
    """Train and explain the smallest model."""
    import torch

    torch.set_num_threads(1)
    run = Results(folder / "golden", validated(Experiment, VALUES | {"models": ["demo-tiny"]}, where="golden"))
    make(run, "explain", TASK)
    return run


def drawn(folder: Path) -> Results:
    """Write what several models might have predicted and explained, drawn from streams: the same on every machine."""
    run = Results(folder / "golden", validated(Experiment, VALUES | {"models": DRAWN}, where="golden"))
    texts = {split: load_examples(run.experiment.task(TASK), split) for split in ("test", "dev")}
    for number, (model, seed) in enumerate(run.experiment.runs):
        for part in ("test", "dev", *["random-head"] * run.experiment.has_twin(model, seed)):
            write_table(
                _predicted(texts.get(part, texts["test"]), model, seed, part),
                run.path("predictions", TASK, model, part_name(seed, part)),
            )
        for job in jobs(run.experiment, task=TASK, model=model, seed=seed):
            table = _weighed(texts["test"].head(9), model, seed, job.table)
            write_table(table, run.path("attribution", TASK, model, seed, job.table))
        rows = [
            (f"test-{row}", method, row / 10 + number / 100, row / 20)
            for row in range(9)
            for method in ("lime", "occlusion", "random features")
        ]
        table = pd.DataFrame(rows, columns=["id", "method", "comprehensiveness", "sufficiency"])
        write_table(table, run.path("attribution", TASK, model, seed, "faithfulness"))
        facts = {"parameters": 9 * number, "nonzero_parameters": 8 * number, "weights_bytes": number, "accuracy": 0.5}
        for name, values in {"metrics": facts, "timing": {"training_seconds": 1.0 + number}}.items():
            write_text(to_json(values), run.model(TASK, model, seed) / f"{name}.json")
    return run


def _predicted(examples: pd.DataFrame, model: str, seed: int, part: str) -> pd.DataFrame:
    gold = np.eye(3)[examples["label"]]
    common = stream(0, "golden", part).standard_normal(gold.shape)
    logits = 2 * gold + common + stream(seed, "golden", model, part).standard_normal(gold.shape)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    table = pd.DataFrame(probabilities, columns=["entailment", "neutral", "contradiction"])
    return pd.concat([examples[["id", "label"]], table], axis=1)


def _weighed(examples: pd.DataFrame, model: str, seed: int, table: str) -> pd.DataFrame:
    from trusteq.words import by_place

    places = pd.DataFrame([(*place, word) for place, word in by_place(examples).items()])
    places.columns = ["id", "segment", "position", "word"]
    parts = [places.assign(label=label) for label in ("entailment", "neutral", "contradiction")]
    rows = pd.concat(parts, ignore_index=True)
    common, own = (stream(of, "golden", *names) for of, names in ((0, ("words",)), (seed, (model, table))))
    weights = common.standard_normal(len(rows)) + own.standard_normal(len(rows))
    rows = rows.assign(weight=weights)
    rows.attrs = {"skipped": {}, "boundary": "safe"}
    return rows


def numbers(folder: Path) -> dict[str, dict[str, float]]:
    """Return by stage the mean of every numeric column of every table, and how many cells have none."""
    run, made = tiny(folder / "tiny"), drawn(folder / "drawn")
    trained, test = run.facts(TASK, "demo-tiny", 0, "metrics"), run.predictions(TASK, "demo-tiny", 0)
    stages = {
        "train": {"history": run.history(TASK, "demo-tiny", 0), "facts": pd.DataFrame([trained])},
        "predict": {"test": test.head(50), "dev": run.predictions(TASK, "demo-tiny", 0, "dev").head(50)},
        "explain": {
            job.table: run.attribution(TASK, "demo-tiny", 0, job.table)
            for job in jobs(run.experiment, task=TASK, model="demo-tiny", seed=0)
        },
        "calibrate": calibrate.tables(made, TASK, 0),
        "compare": compare.tables(made, TASK),
        "compress": compressions.tables(made, TASK),
    }
    stages["explain"]["faithfulness"] = run.attribution(TASK, "demo-tiny", 0, "faithfulness")
    return {
        stage: {
            f"{name}.{column}": [float(table[column].abs().mean()), int(table[column].isna().sum())]
            for name, table in tables.items()
            for column in table.select_dtypes("number")
        }
        for stage, tables in stages.items()
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return numbers(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("stage", list(HOMES))
def test_the_numbers_of_a_stage_are_those_of_its_version(found, stage):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    tolerance = TOLERANCE.get(stage, 1e-9)
    held = golden["numbers"][stage]
    different = [
        name
        for name in sorted({*held, *found[stage]})
        if name not in held
        or name not in found[stage]
        or held[name][1] != found[stage][name][1]
        or not _same(held[name][0], found[stage][name][0], tolerance)
    ]
    again = "then make it anew: python tests/study/test_golden.py"
    if graph.VERSIONS[stage] == golden["versions"][stage]:
        assert not different, f"raise the version of {stage!r} in {HOMES[stage]}, {again}"
    assert graph.VERSIONS[stage] == golden["versions"][stage], (
        f"golden.json is of another version of {stage!r}; {again}"
    )


def _same(a: float, b: float, tolerance: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) <= tolerance * max(1.0, abs(a))


def test_every_stage_has_its_numbers():
    assert set(graph.VERSIONS) == set(HOMES)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        values = {"versions": graph.VERSIONS, "numbers": numbers(Path(scratch))}
    GOLDEN.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
