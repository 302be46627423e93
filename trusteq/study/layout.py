"""Which tables a run holds of one fine-tuned model, and where they are in its folder."""

from pathlib import Path

from trusteq.study.experiment import Experiment
from trusteq.study.jobs import RANDOM_HEAD, jobs
from trusteq.study.results import part_name
from trusteq.study.shards import WHOLE, Shard


def prediction_tables(experiment: Experiment, task: str, model: str, seed: int) -> list[Path]:
    """Return the tables of predictions: of the test split, the dev split and the twin with a random head, if any."""
    parts = ["test", "dev", *[RANDOM_HEAD] * experiment.has_twin(model, seed)]
    return [Path("predictions", task, model, f"{part_name(seed, part)}.parquet") for part in parts]


def attribution_tables(experiment: Experiment, task: str, model: str, seed: int, *, shard: Shard = WHOLE) -> list[Path]:
    """Return the tables of attributions, or of a shard its part of them."""
    names = [shard.name(job.table) for job in jobs(experiment, task=task, model=model, seed=seed)]
    return [Path("attribution", task, model, str(seed), f"{name}.parquet") for name in names]


def all_tables(experiment: Experiment, task: str, model: str, seed: int) -> list[Path]:
    """Return every table of one fine-tuned model."""
    which = (task, model, seed)
    return [
        *prediction_tables(experiment, *which),
        *attribution_tables(experiment, *which),
        faithfulness_table(*which),
    ]


def faithfulness_table(task: str, model: str, seed: int) -> Path:
    """Return the table of what a model loses by its top words; a shard has none."""
    return Path("attribution", task, model, str(seed), "faithfulness.parquet")
