"""What an audit asked its models, written part by part below a folder as it comes: the same audit goes on there.

A table is used again only under the same key: the same model, texts, labels, method, budget, seed and versions. A
checkpoint is its weights, configuration and tokenizer. A callable, or an ONNX graph, is its name, the file that it
comes from, where known, and what it says: of its predictions that are kept a few are asked again, and all of them are
made anew where one has moved too far; its explanations stand under its predictions of the same examples.
"""

import contextlib
import hashlib
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from trusteq import store
from trusteq.errors import DataError, ModelError
from trusteq.escapes import plain
from trusteq.examples.table import made_of_texts
from trusteq.models.as_classifier import is_checkpoint
from trusteq.models.probabilities import check_output
from trusteq.statistics import stream_seed
from trusteq.store import Found
from trusteq.verdict.predictions import Predictions

ROWS, EXAMPLES = 1024, 10  # of a part: predicted, explained
TWICE = 4  # texts of a callable, which may draw
ASKED_AGAIN, SAME = 32, 0.01  # texts of a callable, and how far it may move: a server's own batches move it a little
GOES_ON = "what is done is kept in {}: the same command goes on there"


@dataclass(frozen=True, eq=False)
class Wanted:
    """A table that is made in parts.

    name, model: whose it is. stem: of the file, below the folder. n: examples that it is about, `step` of them a part.
    make: takes which of them, and what to tell how many more are done; returns their rows. settings, made_of: what
    decides the table. title: of the bar; empty for none.
    """

    name: str
    model: Callable
    stem: str
    n: int
    step: int
    make: Callable[[slice, Callable[[int], object]], pd.DataFrame]
    settings: dict
    made_of: dict
    title: str = ""

    @property
    def key(self) -> str:
        """The key of the table and of its parts."""
        versions = {name: of for name, of in store.versions().items() if name in ("torch", "transformers", "numpy")}
        return _hash(store.to_json(self.settings | {"step": self.step, "versions": versions}).encode())


@dataclass(eq=False)
class Kept:
    """The tables of one audit: below a folder, or in memory alone where there is none.

    progress: whether bars, and what is made anew, are shown on the error stream. asked: by model, see `TextClassifier`.
    seconds: that an example of a table took, by stem. moved: by how much the answers of a callable differed when it was
    asked twice, by model.
    """

    folder: Path | None = None
    progress: bool = False
    asked: dict[str, Counter] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
    _identities: dict[str, str] = field(default_factory=dict)

    def predictions(
        self, name: str, model: Callable, texts: tuple, examples: pd.DataFrame, labels: Sequence[str], split: str = ""
    ) -> np.ndarray:
        """Return what a model says, (n, C), asked block by block; texts: first and second ones."""

        def ask(rows: slice) -> np.ndarray:
            given = [None if side is None else side[rows] for side in texts]
            return check_output(getattr(model, "predict_proba", model)(*given), len(given[0]), tuple(labels))

        def make(rows: slice, told: Callable) -> pd.DataFrame:
            found = ask(rows)
            told(len(found))
            table = pd.DataFrame(found, columns=list(labels))
            if rows.start == 0 and not is_checkpoint(model):
                table.attrs["moved"] = float(np.abs(ask(slice(0, TWICE)) - found[:TWICE]).max(initial=0))
            return table

        n, stem, settings = len(examples), f"predictions/{_slug(name)}{split}", {"labels": list(labels)}
        title = f"{name}: predictions" if n > ROWS else ""
        wanted = Wanted(name, model, stem, n, ROWS, make, settings, self._made_of(name, model, examples), title)
        if self.folder and not is_checkpoint(model):
            self._ask_again(wanted, ask)
        table = self.table(wanted)
        self.moved[name] = max(self.moved.get(name, 0.0), table.attrs.get("moved", 0.0))
        return table.to_numpy()

    def explanations(
        self,
        side: str,
        name: str,
        model: Callable,
        examples: pd.DataFrame,
        said: Predictions,
        *,
        method: str,
        n_samples: int,
        seed: int,
        mask: str = "delete",
        features: str | None = None,
        times: int = 2,
        look: str = "",
    ) -> list[Wanted]:
        """Return the tables of one side, `times` under seeds of its own where the method draws, else one.

        said: what the model, called `name`, predicts of these examples, and others. look: ends the names of the files.
        """
        from trusteq.attribution.engine import window
        from trusteq.attribution.explain import VERSION, explain
        from trusteq.attribution.methods import METHODS

        size, made_of = window(model), self._made_of(name, model, examples)
        step = -(-EXAMPLES // size) * size  # whole windows, so that no example changes company
        if made_of and not is_checkpoint(model):
            rows = said.probabilities[pd.Index(said.ids).get_indexer(examples["id"])]
            made_of["model"] = _hash(made_of["model"].encode() + np.ascontiguousarray(rows).tobytes())
        options = {"method": method, "n_samples": n_samples, "labels": list(getattr(model, "labels", said.labels))}
        # As if they were not there where they say nothing: the keys of tables that are older than them stay.
        options |= {} if mask == "delete" else {"mask": mask}
        options |= {} if features is None else {"features": features}
        found = []
        for time_of in range(times if METHODS[method].draws else 1):
            given = options | {"seed": stream_seed(seed, "audit", side, str(time_of))}

            def make(rows: slice, told: Callable, given: dict = given) -> pd.DataFrame:
                return explain(model, examples.iloc[rows], progress=told, **given)

            stem = _slug(f"{'' if side == name else side}-{name}")
            settings, title = given | {"version": VERSION}, f"{name}: {method}"
            stem = f"attributions/{stem}-{time_of + 1}{look}"
            found.append(Wanted(name, model, stem, len(examples), step, make, settings, made_of, title))
        return found

    def estimate(self, wanted: Sequence[Wanted], n_samples: int) -> None:
        """Say what explaining costs, by model and in all, at the speed of its predictions."""
        from trusteq.attribution.cost import Cost, peak_memory

        left = Counter()
        for of in wanted:
            left[of.name] += sum(len(rows) for rows, part in self._found(of)[0].items() if part.table is None)
        passes = {name: n * n_samples for name, n in left.items() if n}
        seconds = {name: n * self.seconds_of(name) for name, n in passes.items()}
        for name in passes:
            self._say(f"{name}: {Cost(left[name], passes[name], seconds[name], peak_memory())}")
        if len(passes) > 1:
            of_all = Cost(left.total(), sum(passes.values()), sum(seconds.values()), peak_memory())
            self._say(f"in all: {of_all}")
        if kept := sum(of.n for of in wanted) - left.total():
            self._say(f"{kept:,} explanations are kept already")

    def table(self, wanted: Wanted) -> pd.DataFrame:
        """Return a table, its parts made where they are not there under its key, and written as they come."""
        from trusteq.attribution.explain import bar_of, together

        found, problems = self._found(wanted)
        if problems:
            more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
            self._say(f"{wanted.stem}: made anew: {problems[0]}{more}")
        done = sum(len(rows) for rows, of in found.items() if of.table is not None)
        with bar_of(wanted.n, wanted.title, self.progress and wanted.title and done < wanted.n, done=done) as bar:
            for rows in [rows for rows, of in found.items() if of.table is None]:
                found[rows] = self._made(wanted, rows, bar.update)
        table, seconds = together([of.table for of in found.values()]), sum(of.seconds for of in found.values())
        if len(found) > 1:
            self._write(table, wanted, range(wanted.n), seconds)
        if self.folder:
            shutil.rmtree(self._parts(wanted), ignore_errors=True)
        self.seconds[wanted.stem] = seconds / max(wanted.n, 1)
        asked = Counter({name: table.attrs[name] for name in ("calls", "failed")})
        self.asked[wanted.name] = self.asked.get(wanted.name, Counter()) + asked
        return table

    def seconds_of(self, name: str) -> float:
        """Return the seconds that a prediction of a model took when it was made."""
        return self.seconds[f"predictions/{_slug(name)}"]

    @contextlib.contextmanager
    def named(self, name: str) -> Iterator[None]:
        """Say of which model an error is, and, where it was asked in vain, that what is done is kept."""
        try:
            yield
        except (DataError, ModelError) as error:
            if error.__cause__ is None:
                raise DataError(f"{name}: {error}") from None
            hint = f"; {GOES_ON.format(self.folder)}" if self.folder else ""
            raise ModelError(f"{name}: {error}{hint}") from error.__cause__

    def notes(self) -> list[str]:
        """Return which models failed and were asked again; how often is no two times the same, and in `asked`."""
        failed = [name for name, of in self.asked.items() if of["failed"]]
        return [f"{name}: calls failed and were asked again; timing.json has how often." for name in failed]

    def _found(self, wanted: Wanted) -> tuple[dict[range, Found], list[str]]:
        """Return what is there of a table, the whole or each of its parts, and why some of it cannot be used."""
        starts = range(0, max(wanted.n, 1), wanted.step)
        parts = [range(start, min(start + wanted.step, wanted.n)) for start in starts]
        if self.folder is None:
            return dict.fromkeys(parts, store.NOTHING), []
        whole, found = range(wanted.n), {}
        for rows in (whole, *parts):
            path = self._path(wanted, rows)
            found[rows] = store.kept(path, wanted.key, wanted.made_of, rows, made_by="trusteq audit")
            if found[whole].table is not None:
                return found, []
        problems = [of.note.partition(": made anew: ")[2] for of in found.values() if of.table is None and of.note]
        return {rows: found[rows] for rows in parts}, problems

    def _made(self, wanted: Wanted, rows: range, told: Callable[[int], object]) -> Found:
        calls, started = getattr(wanted.model, "calls", Counter()), time.perf_counter()
        before = Counter(calls)
        table = wanted.make(slice(rows.start, rows.stop), told)
        seconds = time.perf_counter() - started
        table.attrs |= {name: calls[name] - before[name] for name in ("calls", "failed")}
        self._write(table, wanted, rows, seconds)
        return Found(table, seconds, "")

    def _write(self, table: pd.DataFrame, wanted: Wanted, rows: range, seconds: float) -> None:
        if self.folder:
            facts = wanted.settings | wanted.made_of | {"rows": [rows.start, rows.stop], "seconds": seconds}
            store.write_table(table, self._path(wanted, rows), key=wanted.key, **facts)

    def _path(self, wanted: Wanted, rows: range) -> Path:
        if rows == range(wanted.n):
            return self.folder / f"{wanted.stem}.parquet"
        return self._parts(wanted) / f"{rows.start}-{rows.stop}.parquet"

    def _parts(self, wanted: Wanted) -> Path:
        return self.folder / f"{wanted.stem}.parts"

    def _made_of(self, name: str, model: Callable, examples: pd.DataFrame) -> dict:
        """Return the hashes of the model and of all texts; none where nothing is kept."""
        if self.folder is None:
            return {}
        if name not in self._identities and not is_checkpoint(model):
            file = Path(getattr(getattr(model, "session", None), "_model_path", None) or "")  # an ONNX graph's
            source = store.sha256(file) if file.is_file() else getattr(model, "source", None)
            self._identities[name] = _hash(store.to_json({"name": name, "source": source}).encode())
        elif name not in self._identities:
            from trusteq.models.checkpoint import fingerprint

            self._identities[name] = fingerprint(model)
        return {"model": self._identities[name], **made_of_texts(examples)}

    def _ask_again(self, wanted: Wanted, ask: Callable[[slice], np.ndarray]) -> None:
        """Ask a callable for a few of its predictions that are kept, and forget them all where it is another one."""
        there = {rows: of.table for rows, of in self._found(wanted)[0].items() if of.table is not None}
        if not there:
            return
        rows, before = next(iter(there.items()))
        few = slice(rows.start, min(rows.start + ASKED_AGAIN, rows.stop))
        now = ask(few)
        moved = float(np.abs(now - before.to_numpy()[: len(now)]).max())
        if moved > SAME:
            self._say(f"{wanted.stem}: made anew: {wanted.name} now answers otherwise, by up to {moved:.2g}")
            shutil.rmtree(self._parts(wanted), ignore_errors=True)
            self._path(wanted, range(wanted.n)).unlink(missing_ok=True)
        elif moved:
            self._say(f"{wanted.name}: its answers moved by up to {moved:.2g} since they were kept")

    def _say(self, text: str) -> None:
        if self.progress:
            tqdm.write(plain(text), file=sys.stderr)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _slug(name: str) -> str:
    """Return a name as that of a file: the end of one that is too long."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")[-100:]
