"""A run in parts: tables of attributions kept where they are there, joined from parts that fit each other, or made."""

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from trusteq.attribution.engine import window
from trusteq.attribution.explain import explain, merged_attrs, together
from trusteq.blocks import Stored, attrs_of
from trusteq.errors import ArtefactError, ExperimentError, shortened
from trusteq.examples.table import made_of_texts
from trusteq.store import NOTHING, Found, facts_of, kept, record, verified, write_table
from trusteq.study.jobs import Job
from trusteq.study.results import Results

if TYPE_CHECKING:
    from trusteq.models.classifier import Classifier

PART = "{part}"  # a wildcard of the workflow


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of the explained examples of a run, cut into `of` parts; by default the whole.

    number: PART where it stands for all of them, in the names of a rule that makes each.
    """

    number: int | str = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> "Shard":
        """Read "i/n", or None for the whole; raise ExperimentError for anything but 1 <= i <= n."""
        if text is None:
            return cls()
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(text), flags=re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ExperimentError(f"shard {shortened(str(text), 40)!r}: expected i/n with i from 1 to n, such as 1/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def is_whole(self) -> bool:
        """Whether this is the only part."""
        return self.of == 1

    def name(self, table: str) -> str:
        """Return the name of the file that holds this part of a table: the table's own for the whole."""
        return table if self.is_whole else f"{table}.shard-{self.number}-of-{self.of}"

    def rows(self, n: int, *, window: int = 1) -> range:
        """Return which of `n` examples are in this part: whole windows, so that no example changes company."""
        windows = -(-n // window)
        start, stop = (windows * part // self.of * window for part in (self.number - 1, self.number))
        return range(min(start, n), min(stop, n))


WHOLE = Shard()


def inputs(run: Results, job: Job, examples: pd.DataFrame) -> dict:
    """Return the hashes of what is explained: of the weights, and of all texts that the run explains.

    Also of where their words stand, where that is not as a plain `\\w+` has it: marks in words, scripts without spaces.
    """
    files = run.facts(job.task, job.model, job.seed, "manifest")["files"]
    weights = {name: facts["sha256"] for name, facts in files.items() if name.endswith(".safetensors")}
    return {"weights": weights, **made_of_texts(examples)}


def joined(path: Path, key: str, made_of: dict, n: int) -> Found:
    """Return the table at `path` put together from a complete set of its parts, if there is one.

    key, made_of: of the table, which its parts have as well (see `inputs`). n: number of examples of the whole. Parts
    that are missing or damaged, were made of something else, or were cut on different devices, so that they overlap,
    make no whole; the note then says so.
    """
    notes = []
    for number in sorted(_numbers(path)):
        parts = [path.with_name(f"{Shard(part, number).name(path.stem)}.parquet") for part in range(1, number + 1)]
        try:
            facts = [facts_of(part, key, made_of) for part in parts]
            _check_rows(parts, facts, n)
            table = _whole(parts)
        except ArtefactError as error:
            notes.append(f"{path.stem}: {number} shards are not joined: {error}")
            continue
        seconds = sum(fact["seconds"] for fact in facts)
        return Found(table, seconds, f"{path.stem}: joined from {number} shards")
    return NOTHING._replace(note="\n".join(notes))


def _whole(parts: list[Path]) -> pd.DataFrame | Stored:
    """Return the table that the parts make, as it is on disk where it is too large to be held."""
    found = Stored(tuple(verified(part, "trusteq run --shard") for part in parts))
    if found.is_large:
        return replace(found, attrs=merged_attrs(list(map(attrs_of, parts))))
    return together(list(map(pd.read_parquet, parts)))


def _numbers(path: Path) -> set[int]:
    """Return into how many parts the table at `path` has been cut: those beside it may come from several runs."""
    stems = (part.stem for part in path.parent.glob(f"{path.stem}.shard-*.parquet"))
    matches = (re.fullmatch(r".*\.shard-\d+-of-(\d+)", stem, flags=re.ASCII) for stem in stems)
    return {int(match[1]) for match in matches if match}


def _check_rows(parts: list[Path], facts: list[dict], n: int) -> None:
    """Raise ArtefactError unless the parts follow on one another from the first to the last of `n` examples."""
    stop = 0
    for part, fact in zip(parts, facts, strict=True):
        if fact["rows"][0] != stop:
            raise ArtefactError(f"{part.name} does not start where the one before it stops: cut on different devices")
        stop = fact["rows"][1]
    if stop != n:
        raise ArtefactError(f"they hold {stop} examples and not {n}")


def attributions(
    run: Results,
    job: Job,
    classifier: "Classifier",
    examples: pd.DataFrame,
    *,
    key: str,
    part: Shard = WHOLE,
    progress: bool = False,
) -> pd.DataFrame | Stored:
    """Return the table of a job for a part of the examples, and write it where it is not there already.

    examples: all that the run explains. key: of the table, see `graph`. A table that is there under its key
    is kept, so that a run that was stopped, or has got another method, goes on where it was; a whole whose
    shards are all there is joined from them; any other table is made. progress: print which of these, before that an
    estimate of the cost, and show a bar. A whole of more than `blocks.MOST_HELD` rows is returned as it is on disk.
    """
    say = print if progress else lambda text: None
    rows = part.rows(len(examples), window=window(classifier))
    path = run.path("attribution", job.task, job.model, job.seed, part.name(job.table))
    made_of = inputs(run, job, examples)
    found = kept(path, key, made_of, rows)
    whole = joined(path, key, made_of, len(examples)) if found.table is None and part.is_whole else NOTHING
    for note in filter(None, (found.note, whole.note)):
        say(note)
    if found.table is not None:
        return found.table
    table, seconds = whole.table, whole.seconds
    if table is None:
        chosen = examples.iloc[rows]
        if progress:
            from trusteq.attribution.cost import estimate  # torch, which no reader of tables needs

            print(f"{job.table}: {estimate(classifier, chosen, **job.options)}")
        started = time.perf_counter()
        table = explain(classifier, chosen, **job.options, progress=progress)
        seconds = time.perf_counter() - started
    facts = {"shard": str(part), "rows": [rows.start, rows.stop], "seconds": seconds, "skipped": table.attrs["skipped"]}
    write_table(table, path, key=key, experiment=run.experiment.name, **job.settings, **made_of, **facts)
    record(path)
    return replace(table, files=(path,)) if isinstance(table, Stored) else table
