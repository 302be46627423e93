"""What the pages on compression need of a run: made or measured where it is missing, read where it is published."""

import pandas as pd

from trusteq.examples.load import load_examples
from trusteq.study.results import Results

TEXTS = 256  # on which a model's costs are measured


def complete(run: Results, task: str, *, anew: bool = False) -> list[str]:
    """Make what a run lacks of one task and return the names of its models (`stages.complete`); published: none."""
    if run.is_published:
        return []
    from trusteq.study import stages  # torch: not needed to read

    return stages.complete(run, task, anew=anew)


def footprints(run: Results, task: str) -> pd.DataFrame:
    """Return what each model costs where it is used, of its first training seed: see `models.footprint.footprint`.

    Measured on this machine and written to the run; of published results, as they were measured.
    """
    path = ("compression", task, "footprints")
    if run.is_published:
        return run.compression(task, "footprints")
    from trusteq.models.footprint import footprint

    test = load_examples(run.experiment.task(task), "test", limit=TEXTS)
    first = [(name, run.experiment.model_seeds(name)[0]) for name in run.experiment.models]
    found = pd.DataFrame([{"model": name, **footprint(run.trained(task, name, seed), test)} for name, seed in first])
    run.write(found, *path, task=task)
    return found
