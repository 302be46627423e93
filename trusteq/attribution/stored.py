"""The tables of attributions of a run: kept where they are there, joined from shards, or made."""

import time

import pandas as pd

from trusteq.attribution import explain, shards
from trusteq.attribution.cost import estimate
from trusteq.attribution.jobs import Job
from trusteq.attribution.shards import NOTHING, WHOLE, Shard
from trusteq.models.classifier import Classifier
from trusteq.store import Results


def attributions(
    run: Results,
    job: Job,
    classifier: Classifier,
    examples: pd.DataFrame,
    *,
    part: Shard = WHOLE,
    progress: bool = False,
) -> tuple[pd.DataFrame, float]:
    """Return the table of a job for a part of the examples, and the seconds that it took to make.

    examples: all that the run explains. A table that is there and was made of the same is kept, so that a run that was
    stopped, or has got another method, goes on where it was; a whole whose shards are all there is joined from them;
    any other table is made. progress: print which of these, before that an estimate of the cost, and show a bar.
    """
    say = print if progress else lambda text: None
    rows = part.rows(len(examples), window=shards.window(classifier))
    origin = shards.origin(run, examples, job)
    found = shards.kept(run, origin, part, rows)
    if found.table is not None:
        say(found.note)
        return found.table, found.seconds
    joined = shards.joined(run, origin, examples) if part.is_whole else NOTHING
    for note in filter(None, (found.note, joined.note)):
        say(note)
    table, seconds = joined.table, joined.seconds
    if table is None:
        chosen = examples.iloc[rows]
        if progress:
            print(f"{job.table}: {estimate(classifier, chosen, **job.options)}")
        started = time.perf_counter()
        table = explain(classifier, chosen, **job.options, progress=progress)
        seconds = time.perf_counter() - started
    facts = {"shard": str(part), "rows": [rows.start, rows.stop], "seconds": seconds, "skipped": table.attrs["skipped"]}
    run.write(table, "attribution", job.task, job.model, job.seed, part.name(job.table), **origin, **facts)
    return table, seconds
