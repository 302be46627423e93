"""A run in parts: tables of attributions kept where they are there, joined from parts that fit each other, or made."""

import functools
import hashlib
import json
import operator
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from trusteq.attribution.cost import estimate
from trusteq.attribution.engine import WINDOW
from trusteq.attribution.explain import explain
from trusteq.errors import ArtefactError, ExperimentError
from trusteq.models.classifier import Classifier
from trusteq.store import manifest_path, read_table
from trusteq.study.jobs import Job
from trusteq.study.results import Results

if TYPE_CHECKING:
    from trusteq.models.classifier import Classifier

# The sources that decide a weight, from the texts and the model to the table.
CODE = ("words.py", "statistics.py", "attribution/*.py", "models/bert.py", "models/[chl]*.py", "models/forward.py")


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of the explained examples of a run, cut into `of` parts; by default the whole."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> "Shard":
        """Read "i/n", or None for the whole; raise ExperimentError for anything but 1 <= i <= n."""
        if text is None:
            return cls()
        match = re.fullmatch(r"(\d+)/(\d+)", str(text), flags=re.ASCII)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ExperimentError(f"shard {str(text)!r}: expected i/n with i from 1 to n, such as 1/4")
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


class Found(NamedTuple):
    """A table that need not be made and the seconds that it took, or None; and what there is to say about it."""

    table: pd.DataFrame | None
    seconds: float
    note: str


NOTHING = Found(None, 0.0, "")


def window(classifier: "Classifier") -> int:
    """Return how many examples are explained side by side on the classifier's device."""
    return WINDOW.get(classifier.model.device.type, 1)


def origin(run: Results, examples: pd.DataFrame, job: Job) -> dict:
    """Return what decides a table of attributions: tables of the same origin are parts of the same whole.

    examples: all that the run explains, whatever part is explained here.
    """
    files = run.facts(job.task, job.model, job.seed, "manifest")["files"]
    texts = [[row.id, row.text_a, row.text_b if isinstance(row.text_b, str) else None] for row in examples.itertuples()]
    return {
        "artefact": job.table,
        **asdict(job),
        "common_masks": run.experiment.common_masks,
        "threads": run.experiment.threads,
        "weights": {name: facts["sha256"] for name, facts in files.items() if name.endswith(".safetensors")},
        "examples": hashlib.sha256(json.dumps(texts).encode()).hexdigest(),
        "code": _code(),
    }


@functools.cache
def _code() -> str:
    files = sorted(file for pattern in CODE for file in Path(__file__).resolve().parents[1].glob(pattern))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def kept(run: Results, origin: dict, part: Shard, rows: range) -> Found:
    """Return the table of this origin and these rows where it is there already, marked as up to date."""
    path = run.path("attribution", *(origin[name] for name in ("task", "model", "seed")), part.name(origin["artefact"]))
    if not path.exists():
        return NOTHING
    try:
        facts = _facts(path, origin)
        if facts["rows"] != [rows.start, rows.stop]:
            raise ArtefactError(f"{path.name} is of other examples")
        table = read_table(path, made_by="trusteq run")
    except ArtefactError as error:
        return NOTHING._replace(note=f"{path.stem}: made anew: {error}")
    path.touch()  # the workflow goes by times
    return Found(table, facts["seconds"], f"{path.stem}: kept as it is")


def joined(run: Results, origin: dict, examples: pd.DataFrame) -> Found:
    """Return the table of this origin put together from a complete set of its parts, if there is one.

    examples: all that the run explains. Parts that are missing or damaged, have another origin, or were cut on
    different devices, so that they overlap, make no whole; the note then says so.
    """
    path = run.path("attribution", *(origin[name] for name in ("task", "model", "seed", "artefact")))
    notes = []
    for n in sorted(_numbers(path)):
        parts = [path.with_name(f"{Shard(number, n).name(path.stem)}.parquet") for number in range(1, n + 1)]
        try:
            facts = [_facts(part, origin) for part in parts]
            _check_rows(parts, facts, len(examples))
            tables = [read_table(part, made_by="trusteq run --shard") for part in parts]
        except ArtefactError as error:
            notes.append(f"{path.stem}: {n} shards are not joined: {error}")
            continue
        seconds = sum(fact["seconds"] for fact in facts)
        return Found(together(tables), seconds, f"{path.stem}: joined from {n} shards")
    return NOTHING._replace(note="\n".join(notes))


def _numbers(path: Path) -> set[int]:
    """Return into how many parts the table at `path` has been cut: those beside it may come from several runs."""
    stems = (part.stem for part in path.parent.glob(f"{path.stem}.shard-*.parquet"))
    matches = (re.fullmatch(r".*\.shard-\d+-of-(\d+)", stem, flags=re.ASCII) for stem in stems)
    return {int(match[1]) for match in matches if match}


def _facts(part: Path, origin: dict) -> dict:
    """Return the parameters in a part's manifest; raise ArtefactError where they are not those of `origin`."""
    try:
        facts = json.loads(manifest_path(part).read_text(encoding="utf-8"))["parameters"]
        other = [name for name in (*origin, "rows", "seconds") if facts[name] != origin.get(name, facts[name])]
    except FileNotFoundError:
        raise ArtefactError(f"{part.name} or its manifest is not there") from None
    except (ValueError, KeyError, TypeError):
        raise ArtefactError(f"the manifest of {part.name} does not say what it was made of") from None
    if other:
        raise ArtefactError(f"{part.name} was made with another value of {', '.join(other)}")
    return facts


def _check_rows(parts: list[Path], facts: list[dict], n: int) -> None:
    """Raise ArtefactError unless the parts follow on one another from the first to the last of `n` examples."""
    stop = 0
    for part, fact in zip(parts, facts, strict=True):
        if fact["rows"][0] != stop:
            raise ArtefactError(f"{part.name} does not start where the one before it stops: cut on different devices")
        stop = fact["rows"][1]
    if stop != n:
        raise ArtefactError(f"they hold {stop} examples and not {n}")


def together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return the tables of all parts, in order, as the table that one run would have made, `.attrs` included."""
    # Built anew from plain arrays: a concatenation is kept in chunks, which the bytes of its Parquet file would show.
    columns = {name: np.concatenate([table[name].to_numpy() for table in tables]) for name in tables[0]}
    whole = pd.DataFrame(columns).astype(tables[0].dtypes)
    whole.attrs = {name: _merged([table.attrs[name] for table in tables]) for name in tables[0].attrs}
    return whole


def _merged(values: list):
    """Return one attribute of the whole from those of the parts: counts are summed, entries by example id united."""
    if isinstance(values[0], int):
        return sum(values)
    if isinstance(values[0], dict):
        return functools.reduce(operator.or_, values)
    return next((value for value in values if value != "safe"), "safe")  # the boundary; a part may hold no pair


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
    rows = part.rows(len(examples), window=window(classifier))
    made_of = origin(run, examples, job)
    found = kept(run, made_of, part, rows)
    if found.table is not None:
        say(found.note)
        return found.table, found.seconds
    whole = joined(run, made_of, examples) if part.is_whole else NOTHING
    for note in filter(None, (found.note, whole.note)):
        say(note)
    table, seconds = whole.table, whole.seconds
    if table is None:
        chosen = examples.iloc[rows]
        if progress:
            print(f"{job.table}: {estimate(classifier, chosen, **job.options)}")
        started = time.perf_counter()
        table = explain(classifier, chosen, **job.options, progress=progress)
        seconds = time.perf_counter() - started
    facts = {"shard": str(part), "rows": [rows.start, rows.stop], "seconds": seconds, "skipped": table.attrs["skipped"]}
    run.write(table, "attribution", job.task, job.model, job.seed, part.name(job.table), **made_of, **facts)
    return table, seconds
