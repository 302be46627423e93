"""Malformed inputs made by kinds from valid ones, with a fixed seed; and how the command line fares with one of them.

Every case is wrong for certain: noise that may leave a file valid is no case.
"""

import contextlib
import functools
import gzip
import importlib.util
import io
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from checkouts import EXPERIMENT

from trusteq import load_published
from trusteq.cli import main
from trusteq.errors import TrusteqError, error_line

LOAD = "load-published"  # no command, but read as one here
LABELS = ("entailment", "neutral", "contradiction")
SECONDS, MEGABYTES = 20, 2048
# Protects the machine, far above what is allowed: a bound of ours has to hold before this one does.
_MOST_MEMORY = 6 * 2**30
MODEL = "import numpy as np\n\nlabels = {labels!r}\n\n\ndef guess(a, b):\n    return np.full((len(a), 3), 1 / 3)\n\n\n"
MODEL += "guess.labels = labels\n"
DIGITS = "9" * 400


Data = bytes | Callable[[], bytes]  # what takes long to make is made where it is written


def made(data: Data) -> bytes:
    """Return the bytes of a file."""
    return data() if callable(data) else data


@dataclass(frozen=True)
class Case:
    """One malformed input. write: puts it into a folder, and returns the arguments of the command that reads it."""

    kind: str
    name: str
    write: Callable[[Path], list]


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code (negative: killed by that signal), streams, seconds, and peak memory in MB."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float

    @property
    def problem(self) -> str:
        """What is wrong with how a malformed input was met; "" where it was refused as it should be."""
        lines = self.err.splitlines()
        if self.code != 2:
            return f"exit {self.code}: {lines[-1][:300] if lines else ''}"
        if self.out or len(lines) != 1 or not lines[0].startswith("trusteq error: "):
            return f"{len(lines)} lines, {len(self.out)} letters on stdout: {self.err[:300]!r}"
        if not lines[0].isprintable() or len(lines[0]) > 3000:
            return f"not one plain line: {lines[0][:200]!r}"
        if self.seconds > SECONDS or self.megabytes > MEGABYTES:
            return f"{self.seconds:.0f} s, {self.megabytes:.0f} MB"
        return ""


def forked(arguments: list, folder: Path) -> Outcome:
    """Call the command line in a fork of this process, which has imported what takes long, and measure it."""
    streams = [folder / ".out", folder / ".err"]
    started, child = time.monotonic(), os.fork()
    if not child:
        _be_the_command(arguments, folder, streams)
    _, status, usage = os.wait4(child, 0)
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in streams]
    code = os.waitstatus_to_exitcode(status)
    return Outcome(code, *texts, time.monotonic() - started, usage.ru_maxrss / 1024)


def _be_the_command(arguments: list, folder: Path, streams: list[Path]) -> None:
    code = 99
    try:
        for number, file in enumerate(streams, 1):
            os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * os.sysconf("SC_PAGE_SIZE") + _MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        signal.alarm(2 * SECONDS)
        os.chdir(folder)
        os.environ.update(COLUMNS="100", NO_COLOR="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
        sys.argv = ["trusteq", *map(str, arguments)]
        (_load_published if arguments[0] == LOAD else main)()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _load_published() -> None:
    """The reader that has no command of its own."""
    try:
        load_published(sys.argv[2])
    except TrusteqError as error:
        print(error_line(error), file=sys.stderr)
        sys.exit(2)


# --- predictions ---


def predictions(n: int = 12) -> pd.DataFrame:
    """Return a valid table of predictions."""
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(3), n)
    table = pd.DataFrame(values.round(6), columns=LABELS)
    table.insert(0, "label", [LABELS[i % 3] for i in range(n)])
    table.insert(0, "id", [f"e{i}" for i in range(n)])
    return table


# A cell of probabilities that is none, whatever stands around it.
NUMBERS = ["x", "", "nan", "inf", "-inf", "1e999", "-0.5", "1.5", DIGITS, f"-{DIGITS}", "0x1", "1_0", "0,5,5", "NaN%"]
NUMBERS += ["9" * 5000, "--1", "1e", "\x1b[31m", "\u202e0.1", "1" * 20, "1e308", "0.1\u0000", "null", "[0.1]", "=1"]
NAMES = ["", " ", "other", DIGITS, "-7", "3", "99999999999999999999", "x" * 100_000, "\x1b]8;;http://x\x07"]
NAMES += ["\u202eneutral", "True", "1.5", "2,1", "nan", "\ud7ff", "entailment contradiction", "=cmd|' /C calc'!A0"]


def _table_bytes(table: pd.DataFrame, kind: str) -> bytes:
    if kind == "parquet":
        file = io.BytesIO()
        table.to_parquet(file, index=False)
        return file.getvalue()
    if kind == "jsonl":
        return table.to_json(orient="records", lines=True, force_ascii=False).encode()
    text = table.to_csv(index=False, sep="\t" if kind in ("tsv", "txt") else ",").encode()
    return gzip.compress(text, mtime=0) if kind.endswith("gz") else text


def _cell(rng, table: pd.DataFrame, column: str, value: object, kind: str) -> bytes:
    changed = table.astype(object)
    changed.loc[int(rng.integers(len(table))), column] = value
    if kind == "parquet":
        changed[column] = changed[column].astype(str)
    return _table_bytes(changed, kind)


def broken_bytes(rng, data: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield files that are no text, no archive or no Parquet any more."""
    cut = int(rng.integers(1, len(data)))
    yield "empty", b""
    yield "zeros", bytes(len(data))
    yield "noise", bytes([0xFF, 0xFE, 0xFD]) + rng.bytes(len(data))
    yield "zip", b"PK\x03\x04" + data
    if kind == "parquet" or kind.endswith("gz"):
        yield "cut", data[:cut]
        middle = bytearray(data)
        at = (
            rng.integers(len(data) // 4, len(data) - 4, 40)
            if kind.endswith("gz")
            else range(len(data) - 200, len(data) - 8)
        )
        for place in at:
            middle[place] ^= int(rng.integers(1, 256))
        yield "flipped", bytes(middle)
        yield "head alone", data[:8]
        yield "tail alone", data[-8:]
        return
    yield "not UTF-8", data[:cut] + b"\xc3\x28\xff" + data[cut:]
    yield "NUL", data[:cut] + b"\x00" + data[cut:]
    yield "half UTF-16", b"\xff\xfe" + data.decode().encode("utf-16-le")[:-1]
    yield "surrogates", data + "\ud800".encode("utf-8", "surrogatepass")
    yield "open quote", data + b'"open, never closed\n' * 3
    yield "gzip of noise", b"\x1f\x8b\x08" + rng.bytes(60)


def odd_tables(rng) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield tables of predictions whose columns are wrong."""
    good = predictions()
    yield "no rows", good.iloc[:0]
    yield "no label", good.drop(columns="label")
    yield "one class", good[["id", "label", "neutral"]]
    yield "no class", good[["id", "label"]]
    yield "ids alone", good[["id"]]
    yield "id twice", good.assign(id=["e0", *good["id"][:-1]])
    yield "percent", good.assign(**{name: good[name] * 100 for name in LABELS})
    yield "logits", good.assign(**{name: np.log(good[name] + 1e-9) for name in LABELS})
    yield "do not sum to 1", good.assign(neutral=good["neutral"] / 3)
    yield "a class short", good.drop(columns="neutral")
    yield "labels of none", good.assign(label="-1")
    yield "labels -1 and 1", good[["id", "label"]].assign(label=[-1, 1] * 6, no=0.5, yes=0.5)
    yield "empty labels", good.assign(label="")
    wide = pd.DataFrame(np.full((1, 5000), 1 / 5000), columns=[f"c{i}" for i in range(5000)])
    yield "5,000 classes in one row", wide.assign(label="c0")
    yield "10,000 columns", pd.DataFrame([["x"] * 10_000], columns=[f"c{i}" for i in range(10_000)])
    yield "a column name of 100,000 letters", good.rename(columns={"neutral": "n" * 100_000}).assign(label="zzz")
    yield "columns that act", good.rename(columns={"neutral": "\x1b[2J\x1b]0;x\x07", "label": "la\u202ebel"})
    yield "numbers as ids with a gap", good.assign(id=[None, *range(11)]).astype({"id": "float"})


def odd_parquets() -> Iterator[tuple[str, Data]]:
    """Yield Parquet files of types, or of sizes, that no table of predictions or examples has."""
    good = predictions()
    n = len(good)
    for name, values in {
        "lists": [[0.1, 0.9]] * n,
        "structs": [{"a": 1}] * n,
        "bytes": [b"\xff\xfe"] * n,
        "nulls": [None] * n,
        "booleans": [True, False] * (n // 2),
        "times": pd.date_range("2020", periods=n).tolist(),
        "nested lists": [[[["x"]]]] * n,
        "infinite": [float("inf")] * n,
    }.items():
        yield f"{name} as a class", _arrow(pa.table({"label": ["a", "b"] * 6, "a": pa.array(values), "b": [0.5] * n}))
        if name in ("lists", "structs", "nulls", "nested lists", "bytes", "times"):
            yield f"{name} as labels", _arrow(pa.table({"label": pa.array(values), "a": [0.5] * n, "b": [0.5] * n}))
    yield "360 GB of one text", _much_text
    yield "90 million zeros", _many_zeros
    for name, index in {
        "of no column": ["nowhere"],
        "a number": 5,
        "of objects": [{"kind": "range", "name": None, "start": 0, "stop": 10**12, "step": 0}],
        "null": None,
    }.items():
        table = pa.table({"a": [0.5], "b": [0.5]})
        about = {"index_columns": index, "columns": 3, "column_indexes": "x", "pandas_version": None}
        yield f"index metadata {name}", _arrow(table.replace_schema_metadata({"pandas": json.dumps(about)}))
    yield "metadata that is no JSON", _arrow(pa.table({"a": [0.5]}).replace_schema_metadata({"pandas": b"[" * 5000}))


def _much_text() -> bytes:
    """A dictionary holds the text once: the file has some kilobytes."""
    zeros, text = np.zeros(3_000_000, dtype=np.int8), pa.array(["x" * 40_000])
    many = pa.DictionaryArray.from_arrays(pa.array(zeros), text)
    return _arrow(pa.table({"label": many, "a": many, "b": many}))


def _many_zeros() -> bytes:
    zeros = pa.array(np.zeros(30_000_000, dtype=np.int8))
    return _arrow(pa.table({f"c{i}": zeros for i in range(3)}))


def _arrow(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def bombs(kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield small files that unpack to much."""
    yield "gzip of 4 GB", _gzip_of(b"label,a,b\n", b"a,0.5,0.5\n" * 100_000, 4000)
    yield "gzip of one line of 2 GB", _gzip_of(b"", b"x" * 1_000_000, 2000)
    yield "gzip of 300 million cells", _gzip_of(b"label,a,b\n", b"," * 1_000_000, 300)


def _gzip_of(head: bytes, block: bytes, times: int) -> bytes:
    """A gzip file of members: each is compressed once, so that to make it takes no time."""
    return gzip.compress(head, mtime=0) + gzip.compress(block, mtime=0) * times


def prediction_cases(rng) -> Iterator[Case]:
    good = predictions()
    for kind in ("csv", "csv.gz", "tsv", "parquet"):
        found = list(broken_bytes(rng, _table_bytes(good, kind), kind))
        found += [(f"number {i}", _cell(rng, good, LABELS[i % 3], of, kind)) for i, of in enumerate(NUMBERS)]
        found += [(f"label {i}", _cell(rng, good, "label", of, kind)) for i, of in enumerate(NAMES)]
        found += [(name, functools.partial(_table_bytes, of, kind)) for name, of in odd_tables(rng)]
        if kind == "parquet":
            found += odd_parquets()
        if kind == "csv.gz":
            found += bombs(kind)
        for name, data in found:
            yield Case(f"predictions, {kind}", name, _predictions_written(data, kind, int(rng.integers(3))))
    for name, text in _broken_csv():
        yield Case("predictions, csv", name, _predictions_written(text.encode(), "csv", int(rng.integers(3))))


def _broken_csv() -> Iterator[tuple[str, str]]:
    yield "ragged", "label,a,b\na,0.5,0.5\na,0.5\n"
    yield "too many fields", "label,a,b\na,0.5,0.5,9\n"
    yield "a column twice", "label,a,a\na,0.5,0.5\n"
    yield "two separators", "label;a|b\na;0.5|0.5\n"
    yield "a header alone", "label,a,b\n"
    yield "breaks alone", "\n\r\n\r\n"
    yield "names of separators", "sep=,\n"
    yield "a field of 1 MB", "label,a,b\n" + "a" * 1_000_000 + ",0.5,0.5\n"
    yield "a quoted field of 1 MB", 'label,a,b\n"' + "a\n" * 500_000 + '",0.5,0.5\n'
    yield "quotes alone", '"' * 100_001
    yield "commas alone", "," * 100_000 + "\n"
    yield "HTML", "<!doctype html><html><body>Not found</body></html>"
    yield "JSON", '{"error": "not found"}'
    yield "a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def _predictions_written(data: Data, kind: str, how: int) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        bad, fine = folder / f"bad.{kind}", folder / "fine.csv"
        bad.write_bytes(made(data))
        predictions().to_csv(fine, index=False)
        return [
            ["audit", bad, fine, "--out", folder / "o"],
            ["audit", fine, bad, "--out", folder / "o"],
            ["calibrate", bad, "--out", folder / "o"],
        ][how]

    return write


# --- examples ---


def examples(n: int = 12) -> pd.DataFrame:
    texts = {"premise": [f"a man reads {i}" for i in range(n)], "hypothesis": [f"he sleeps {i}" for i in range(n)]}
    return pd.DataFrame(texts | {"label": [LABELS[i % 3] for i in range(n)]})


JSON_LINES = ["[" * 100_000, '{"a":' * 50_000, "null", "3", '"text"', "[]", "{", "{}", '{"label": 1e999}', "NaN"]
JSON_LINES += ['{"premise": 5, "hypothesis": "b", "label": 0}', '{"premise": "\\ud800", "hypothesis": "b", "label": 0}']
JSON_LINES += [
    '{"premise": "a\\u0000", "hypothesis": "b", "label": 0}',
    '{"premise": ["a"], "hypothesis": "b", "label": 0}',
]
JSON_LINES += ['{"premise": "a", "hypothesis": "b", "label": [0]}', '{"premise": "a", "hypothesis": "b", "label": {}}']
JSON_LINES += ['{"premise": "a", "hypothesis": "b", "label": ' + DIGITS + "}", '{"label": ' + "9" * 5000 + "}"]
JSON_LINES += ['{"premise": "a", "hypothesis": "b"}', '{"premise": null, "hypothesis": "b", "label": 0}']


def example_cases(rng) -> Iterator[Case]:
    good = examples()
    for kind in ("csv", "csv.gz", "tsv", "txt", "jsonl", "parquet"):
        found = list(broken_bytes(rng, _table_bytes(good, kind), kind))
        if kind == "jsonl":
            found = [(name, data) for name, data in found if name != "open quote"]
            found += [(f"line {i}", _table_bytes(good, kind) + b"\n" + of.encode()) for i, of in enumerate(JSON_LINES)]
        elif kind != "parquet":
            found += [
                (f"label {i}", _cell(rng, good, "label", of, kind)) for i, of in enumerate(NAMES) if of not in "-1"
            ]
        else:
            found += [(name, data) for name, data in odd_parquets() if "class" not in name]
        if kind == "csv.gz":
            found += bombs(kind)
        texts = {"empty": "", "blank": "  ", "missing": None}
        found += [
            (f"a {name} text", _cell(rng, good, "premise", of, kind)) for name, of in texts.items() if kind != "parquet"
        ]
        found += [(f"without {column}", _table_bytes(good.drop(columns=column), kind)) for column in good]
        found += [("no rows", _table_bytes(good.iloc[:0], kind))]
        found += [("ids twice", _table_bytes(good.assign(id="same"), kind))]
        wide = pd.DataFrame([[0] * 10_000]).add_prefix("c")
        found += [("10,000 columns", functools.partial(_table_bytes, wide, kind))]
        for name, data in found:
            yield Case(f"examples, {kind}", name, _examples_written(data, kind, int(rng.integers(2))))


def _model(folder: Path) -> str:
    (folder / "mine.py").write_text(MODEL.format(labels=LABELS), encoding="utf-8")
    return f"{folder / 'mine.py'}:guess"


def _examples_written(data: Data, kind: str, how: int) -> Callable[[Path], list]:
    columns = ["--labels", ",".join(LABELS), "--text-a", "premise", "--text-b", "hypothesis", "--label", "label"]

    def write(folder: Path) -> list:
        (folder / f"bad.{kind}").write_bytes(made(data))
        model, asked = _model(folder), [["--task", "demo-nli", *columns[2:]], columns][how]
        return ["audit", model, model, "--data", folder / f"bad.{kind}", *asked, "--out", folder / "o"]

    return write


WORDS = [b"", b"\n\n", b"two words\n", b"a\n\xff\n", b"a\0b\n", b"...\n", b"\xff\xfea\0", b"\x1f\x8bnoise", None]


def word_cases() -> Iterator[Case]:
    """Yield lists of words that must not decide, and devices without an end in their place."""
    for number, data in enumerate(WORDS):
        yield Case("words", f"{number}", lambda folder, data=data: _words_written(data, folder))


def _words_written(data: bytes | None, folder: Path) -> list:
    model, fine, words = _model(folder), folder / "fine.csv", folder / "words.txt"
    examples().to_csv(fine, index=False)
    words.symlink_to("/dev/zero") if data is None else words.write_bytes(data)
    return [
        "audit",
        model,
        model,
        "--data",
        fine,
        "--task",
        "demo-nli",
        "--text-a",
        "premise",
        "--text-b",
        "hypothesis",
        "--watch",
        words,
        "--out",
        folder / "o",
    ]


# --- experiments ---

VALUES = [None, 5, -1, 1.5, "x", "", [], {}, [[]], {"a": {"b": 1}}, 10**400, "\x1b[31m", "a\0b", "../x", "$(x)", True]
ANCHORS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
)
YAML = {
    "nesting of 1,500": "[" * 1500 + "]" * 1500,
    "nesting of 100,000": "a: " + "{a: " * 100_000,
    "blocks of 1,500": "".join(f"{' ' * i}a:\n" for i in range(1500)),
    "a date that is none": "title: 2020-13-45",
    "a time that is none": "title: 2020-01-01 99:99:99",
    "no float": "title: !!float abc",
    "no int": "title: !!int abc",
    "no binary": "title: !!binary \u00e4",
    "Python": "title: !!python/object/apply:os.system ['touch CANARY']",
    "Python's name": "title: !!python/name:os.system",
    "another tag": "!other {a: 1}",
    "aliases of a billion": ANCHORS,
    "an alias of itself": "title: &a [*a]",
    "a key of itself": "&a {title: *a}",
    "an unknown alias": "title: *nowhere",
    "a key that is a list": "[a, b]: c",
    "a key that is a map": "{a: b}: c",
    "keys of all types": "1: a\n2.5: b\nnull: c\ntrue: d\n2020-01-01: e",
    "several documents": "a: 1\n---\nb: 2",
    "a tab": "a:\n\t- b",
    "empty": "",
    "a text": "just text",
    "a list": "- a\n- b",
    "a number of 5,000 digits": "seeds: [" + "9" * 5000 + "]",
    "a base of sixty": "seeds: [" + "1:" * 5000 + "1]",
    "10 MB of names": "title: " + "x" * 10_000_000,
    "200,000 keys": "".join(f"k{i}: 1\n" for i in range(200_000)),
    "control characters": 'title: "\\u0007"\nname: "\\e[31m"',
    "half a pair": 'title: "\\ud800"',
}


def _replaced(values: dict, path: tuple, value: object) -> dict:
    head, *rest = path
    return values | {head: _replaced(values[head], tuple(rest), value) if rest else value}


def _wrong_values() -> Iterator[tuple[str, dict]]:
    for key, wrong in {
        ("name",): [of for of in VALUES if of != "x"],
        ("title",): [of for of in VALUES if not isinstance(of, str)],
        ("tasks",): [of for of in VALUES if of != []] + [["no such task"], {"x": {}}],
        ("models",): [*VALUES, ["no such"], {"x": {}}],
        ("methods",): [of for of in VALUES] + [{"x": {}}, {"lime": {"n_samples": 0}}],
        ("tasks", "demo-nli"): [of for of in VALUES if of != {}],
        ("models", "demo-tiny"): [of for of in VALUES if of != {}] + [{"checkpoint": 5}, {"hub": []}, {"scratch": {}}],
        ("methods", "lime"): [of for of in VALUES if of != {}],
        ("seeds",): [*VALUES, [0, 0], [-1], [2**64], ["x"]],
        ("k",): [of for of in VALUES if of != 5 and of is not True],
        ("explain",): [of for of in VALUES if of not in (None, 5, True)],
        ("recipe",): [of for of in VALUES if of != {}] + [{"epochs": 10**400}, {"learning_rate": "x"}, {"lr": 1}],
        ("threads",): [of for of in VALUES if of not in (5, True)],
        ("extra",): VALUES[:3],
    }.items():
        for number, value in enumerate(wrong):
            yield f"{'.'.join(key)} {number}", _replaced(EXPERIMENT, key, value)


def experiment_cases(rng) -> Iterator[Case]:
    whole = yaml.safe_dump(EXPERIMENT)
    found = dict(YAML) | {
        f"{name}, among what is right": f"{whole}{text}" for name, text in YAML.items() if ": " in text
    }
    found = {name: text.encode("utf-8", "surrogatepass") for name, text in found.items()}
    found |= {name: yaml.safe_dump(values).encode() for name, values in _wrong_values()}
    data = whole.encode()
    found |= {
        "not UTF-8": b"\xff" + data,
        "UTF-16": whole.encode("utf-16"),
        "NUL": data + b"\0",
        "noise": rng.bytes(900),
    }
    found |= {"cut": data[: data.index(b"demo-large") + 3], "a control": data + b"\x07"}
    for name, of in found.items():
        yield Case("experiment", name, _experiment_written(of))
    for name in ("x" * 300, "x" * 5000, "no such", "a/" * 3000, "\x1b[31m", "\u202e", "\n", ""):
        yield Case("experiment", f"a name of {len(name)} letters", lambda folder, name=name: ["run", name, "--dry-run"])


def _experiment_written(data: bytes) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        (folder / "bad.yaml").write_bytes(data)
        return ["run", folder / "bad.yaml", "--dry-run", "--results", folder / "r"]

    return write


# --- checkpoints ---

CONFIG = {
    "hidden_size": ["16", 0, -16, None, 1.5, [], 10**6, 10**12, 17],
    "num_attention_heads": [0, -2, "2", None, 3, 10**9],
    "num_hidden_layers": ["2", -1, None, 10**5, 10**7, 10**400, 3],
    "intermediate_size": [0, -1, "x", 10**7, 33],
    "vocab_size": [0, -5, "x", 10**7, 10**10, 5],
    "max_position_embeddings": [0, -1, "x", 10**8, 3],
    "type_vocab_size": [0, -1, "x", 10**9],
    "id2label": ["text", 5, [], {"x": "a"}, {"0": None}, {"0": ["a"]}, {str(i): f"c{i}" for i in range(100_000)}],
    "num_labels": [0, -1, "x", 10**9, 10**6],
    "dtype": ["float7", 5, [], {"a": 1}],
    "quantization_config": [5, "x", {"load_in_4bit": True}],
    "model_type": ["no-such", 5, None, [], "gpt2"],
    "architectures": [5, [5], "x", [None], {}],
    "hidden_act": ["no-such", 5, None],
    "pad_token_id": ["x", 10**9],
    "problem_type": ["regression", "no-such", 5],
    "trusteq_template": [5, "", "no fields", "{text_b}{text_a}", ["x"], "{text_a}"],
    "compression": [5, "x", [5], [{}], [{"way": 5}], [{"way": "int8"}], [{"way": "no-such", "options": {}}]],
    "auto_map": [{"AutoConfig": "remote.Config"}],
    "layer_norm_eps": ["x", None],
    "initializer_range": ["x"],
    "is_decoder": [True],
}
_FINE = {("is_decoder", 0), ("initializer_range", 0), ("architectures", 0), ("auto_map", 0), ("dtype", 0)}
TOKENIZER = ["null", "5", "[]", "{}", "[" * 100_000, '{"model": null}', '{"model": {"type": "x"}}', "\0", "{"]
TOKENIZER += ['{"version": "1.0", "model": {"type": "WordPiece", "vocab": {"a": -1}, "unk_token": "x"}}']


def checkpoint_cases(checkpoint: Path) -> Iterator[Case]:
    """Yield folders made from that of a tiny BERT."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    for key, values in CONFIG.items():
        for number, value in enumerate(values):
            if (key, number) not in _FINE:
                text = json.dumps(config | {key: value})
                yield Case("checkpoint", f"{key} {number}", _changed(checkpoint, {"config.json": text.encode()}))
    for text in ("null", "5", "[]", "{}", "[" * 100_000, "{", "", '{"model_type": "bert"}', "NaN", '{"a": ' * 2000):
        yield Case("checkpoint", f"config {text[:9]}", _changed(checkpoint, {"config.json": text.encode()}))
    for number, text in enumerate(TOKENIZER):
        yield Case("checkpoint", f"tokenizer {number}", _changed(checkpoint, {"tokenizer.json": text.encode()}))
    yield from _more_tokenizers(checkpoint)
    yield from _weights(checkpoint)


def _more_tokenizers(checkpoint: Path) -> Iterator[Case]:
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    for name, moved in {
        "out of range": {word: index + 1000 for word, index in vocabulary.items()},
        "at 4 billion": {word: 2**32 - 1 - index for word, index in vocabulary.items()},
        "negative": {word: -1 - index for word, index in vocabulary.items()},
        "texts": {word: str(index) for word, index in vocabulary.items()},
    }.items():
        text = json.dumps(tokenizer | {"model": tokenizer["model"] | {"vocab": moved}})
        yield Case("checkpoint", f"ids {name}", _changed(checkpoint, {"tokenizer.json": text.encode()}))
    settings = json.loads((checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key, values in {
        "model_max_length": [-5, 0, 1, 2, "x", []],
        "tokenizer_class": [5, []],
        "added_tokens_decoder": [5, {"x": 5}],
    }.items():
        for number, value in enumerate(values):
            text = json.dumps(settings | {key: value})
            yield Case("checkpoint", f"{key} {number}", _changed(checkpoint, {"tokenizer_config.json": text.encode()}))
    for text in ("null", "[]", "5", "[" * 100_000):
        yield Case(
            "checkpoint", f"tokenizer_config {text[:9]}", _changed(checkpoint, {"tokenizer_config.json": text.encode()})
        )
    yield Case(
        "checkpoint", "no tokenizer", _changed(checkpoint, {"tokenizer.json": None, "tokenizer_config.json": None})
    )


def _weights(checkpoint: Path) -> Iterator[Case]:
    import torch
    from safetensors.torch import load_file, save

    state = load_file(checkpoint / "model.safetensors")
    first = next(name for name, of in state.items() if of.ndim == 2)
    data = (checkpoint / "model.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])

    def headed(changed: object) -> bytes:
        text = json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :]

    large = header | {"huge": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 64]}}
    away = {
        name: of if name == "__metadata__" else of | {"data_offsets": [2**40, 2**41]} for name, of in header.items()
    }
    found = {
        f"{name} in the weights": save(state | {first: state[first] * of}, {"format": "pt"})
        for name, of in {"NaN": float("nan"), "infinity": float("inf")}.items()
    }
    found |= {"one fewer": save({name: of for name, of in state.items() if name != first}, {"format": "pt"})}
    found |= {"one more": save(state | {"extra": torch.zeros(3)}, {"format": "pt"})}
    found |= {"another shape": save(state | {first: torch.zeros(7, 3)}, {"format": "pt"})}
    found |= {"whole numbers": save(state | {first: torch.zeros(3, 3, dtype=torch.int64)}, {"format": "pt"})}
    found |= {"a header of 2**60": (2**60).to_bytes(8, "little") + data[8:], "a header alone": data[: 8 + size]}
    found |= {"cut": data[: len(data) // 2], "empty": b"", "noise": os.urandom(500), "null header": headed(None)}
    found |= {"a huge tensor": headed(large), "offsets away": headed(away), "nesting": headed([[[[[]]]]] * 100)}
    found |= {"deep header": (100_000).to_bytes(8, "little") + b"[" * 100_000}
    found |= {"a dtype that is none": headed(header | {first: header[first] | {"dtype": "F7"}})}
    for name, of in found.items():
        yield Case("checkpoint", name, _changed(checkpoint, {"model.safetensors": of}))
    yield Case("checkpoint", "no weights", _changed(checkpoint, {"model.safetensors": None}))
    pickled = b"cos\nsystem\n(S'touch CANARY'\ntR."
    gone = {"model.safetensors": None}
    yield Case("checkpoint", "a pickle", _changed(checkpoint, gone | {"pytorch_model.bin": pickled}))
    file = io.BytesIO()
    torch.save({"a": Canary()}, file)
    yield Case("checkpoint", "a pickle in a zip", _changed(checkpoint, gone | {"pytorch_model.bin": file.getvalue()}))
    for name, text in {
        "out of the folder": '{"metadata": {}, "weight_map": {"a": "../../x.safetensors"}}',
        "null": "null",
        "text": '{"weight_map": "x"}',
    }.items():
        yield Case(
            "checkpoint", f"index {name}", _changed(checkpoint, gone | {"model.safetensors.index.json": text.encode()})
        )
    for name, of in {"noise": b"\x00\x01noise" * 50, "empty": b""}.items():
        yield Case("checkpoint", f"graph of {name}", _changed(checkpoint, gone | {"model.onnx": of}))


class Canary:
    """What would make a file, were it unpickled."""

    def __reduce__(self):
        return os.system, ("touch CANARY",)


def _changed(checkpoint: Path, files: dict[str, bytes | None]) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        bad = folder / "bad"
        shutil.copytree(checkpoint, bad)
        for name, data in files.items():
            bad.joinpath(name).unlink(missing_ok=True)
            if data is not None:
                bad.joinpath(name).write_bytes(data)
        return ["explain", bad, "--text-a", "the man reads", "--method", "occlusion"]

    return write


# --- files of GGUF ---


def gguf_cases() -> Iterator[Case]:
    """Yield files made from that of a tiny Llama; none where the package that reads and writes them is missing."""
    if importlib.util.find_spec("gguf") is None:
        return
    data = _gguf()
    at = {name: data.index(name.encode()) + len(name) for name in ("llama.block_count", "tokenizer.ggml.model")}
    found = {f"cut at {share:.0%}": data[: int(share * len(data))] for share in (0.001, 0.02, 0.1, 0.5, 0.9)}
    found |= {"empty": b"", "noise": os.urandom(900), "magic": b"GGUF", "text": b"a man reads", "zeros": bytes(900)}
    found |= {"version 99": data[:4] + b"\x63" + data[5:]}
    for name, place in {"tensors": 8, "keys": 16, "length of a key": 24}.items():
        for number in (2**31, 2**60):
            found[f"{number:,} {name}"] = data[:place] + number.to_bytes(8, "little") + data[place + 8 :]
    for name, place in at.items():
        found[f"a kind that is none, {name}"] = data[:place] + b"\x4d\x00\x00\x00" + data[place + 4 :]
        found[f"{name} of noise"] = data[: place + 4] + b"\xff" * 8 + data[place + 12 :]
    tensor = data.index(b"blk.0.attn_q.weight") + len("blk.0.attn_q.weight")
    for name, offset, number in (("wide", 4, 2**40), ("away", 24, 2**50), ("kind", 20, 2**12)):
        size = 4 if name == "kind" else 8
        place = tensor + offset
        found[f"a tensor {name}"] = data[:place] + number.to_bytes(size, "little") + data[place + size :]
    for name, data in found.items():
        yield Case("gguf", name, _gguf_written(lambda data=data: data))
    changes = {"architecture": "no-such"}, {"layers": 2**30}, {"width": 2**31 - 1}, {"layers": 0}, {"width": 0}
    changes += {"tokens": []}, {"merges": ["x"]}, {"layers": 1}, {"layers": 3}, {}
    for change in changes:
        yield Case("gguf", f"{change or 'no head'}", _gguf_written(functools.partial(_gguf, **change)))


def _gguf(**changes) -> bytes:
    from gguf_files import llama, write

    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "tiny.gguf", llama(), **changes).read_bytes()


def _gguf_written(data: Callable[[], bytes]) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        (folder / "bad.gguf").write_bytes(data())
        return ["explain", folder / "bad.gguf", "--text-a", "the man reads", "--labels", "no,yes"]

    return write


# --- manifests and published folders ---

JSONS = [b"", b"null", b"5", b"[]", b"{}", b'"x"', b"[" * 100_000, b'{"files":' * 50_000, b"\xff\xfe", b"{", b"\0"]
JSONS += [b'{"files": {}', b'{"files": 5}', b'{"files": {"a": 5}}', b'{"files": {"a": {"sha256": 5, "bytes": 1}}}']
JSONS += [b'{"files": {"' + b"x" * 5000 + b'": {"sha256": "0"}}}', b'{"files": {"a\\u0000": {"sha256": "0"}}}']
JSONS += [b'{"files": {"../../../../etc/passwd": {"sha256": "0"}}}', b'{"files": {"\\u001b[31m": {"sha256": "0"}}}']
JSONS += [
    b'{"files": {"/dev/zero": {"sha256": "0"}}}',
    b'{"files": {"": {"sha256": "0"}}}',
    b'{"files": {"\\ud800": {}}}',
]


def manifest_cases() -> Iterator[Case]:
    for number, data in enumerate(JSONS):
        yield Case("manifest", f"{number}", _manifest_written(data))


def _manifest_written(data: bytes) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        (folder / "r").mkdir()
        (folder / "r" / "manifest.json").write_bytes(data)
        return ["verify", folder / "r"]

    return write


def published_cases(published: Path) -> Iterator[Case]:
    """Yield published folders in which one file is not what it was."""
    tables = sorted(published.rglob("*.parquet"))
    metrics = next(published.rglob("metrics.json"))
    root, page = published / "manifest.json", published / "experiment.yaml"
    for name, file in {"metrics": metrics, "root": root, "timing": metrics.with_name("timing.json")}.items():
        for number, data in enumerate(JSONS[:13]):
            yield Case("published", f"{name} {number}", _published_written(published, file, data))
    for number, text in enumerate(YAML.values()):
        data = text.encode("utf-8", "surrogatepass")
        yield Case("published", f"experiment {number}", _published_written(published, page, data))
    for table in (tables[0], tables[-1]):
        for name, data in {
            "empty": b"",
            "cut": table.read_bytes()[:-9],
            "noise": b"PAR1" + bytes(90) + b"PAR1",
            "gone": None,
        }.items():
            yield Case("published", f"table {table.stem} {name}", _published_written(published, table, data))
    yield Case(
        "published", "a stray table", _published_written(published, published / "stray.parquet", tables[0].read_bytes())
    )
    yield Case(
        "published", "a table of no stage", _published_written(published, published / "x" / "y.parquet", b"PAR1")
    )


def _published_written(published: Path, file: Path, data: bytes | None) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        copy = folder / "published"
        shutil.copytree(published, copy)
        changed = copy / file.relative_to(published)
        changed.unlink(missing_ok=True)
        changed.parent.mkdir(exist_ok=True)
        if data is not None:
            changed.write_bytes(data)
        return [LOAD, copy]

    return write


# --- options ---


def option_cases() -> Iterator[Case]:
    long, odd = "x" * 5000, "\x1b[31m\u202e\n"
    commands = {
        "explain": [
            ["a/b/c"],
            [long],
            [odd],
            [""],
            ["."],
            ["/"],
            ["/dev/null"],
            ["no.py:f"],
            ["mine.py:nope"],
            ["os:path"],
            ["no.onnx"],
            [f"{long}.onnx"],
            [f"{long}.py:f"],
        ],
        "calibrate": [
            ["no.csv"],
            [f"{long}.csv"],
            [f"{odd}.csv"],
            ["."],
            ["/dev/null"],
            ["fine.csv", "--labels", ""],
            ["fine.csv", "--labels", long],
            ["fine.csv", "--out", "fine.csv"],
            ["fine.csv", "--out", "fine.csv/x"],
            ["fine.csv", "--labels", odd],
            ["fine.csv", "--seed", "x"],
        ],
        "verify": [["no"], [long], ["."], ["fine.csv"], [odd]],
        "run": [
            ["demo", "--cores", "0"],
            ["demo", "--limit", "-1"],
            ["demo", "--shard", "x"],
            ["demo", "--shard", "3/2", "--dry-run"],
            ["demo", "--hub", "no such"],
            ["demo", "--results", "fine.csv"],
            ["demo", "--dry-run", "--results", f"{long}"],
        ],
        "execute": [
            ["no.py", "o"],
            [long, "o"],
            ["mine.py", "."],
            ["mine.py", "o", "-p", "x"],
            ["mine.py", "o", "-p", "x=1"],
        ],
        "audit": [
            ["fine.csv", "fine.csv", "--out", "fine.csv"],
            ["fine.csv", "no.csv", "--out", "o"],
            ["fine.csv", "fine.csv", "--out", "o", "--slice", odd],
            ["fine.csv", "fine.csv", "--out", "o", "--margin", "x"],
            ["fine.csv", "fine.csv", "--out", "o", "--margin", f"accuracy={DIGITS}"],
            ["fine.csv", "fine.csv", "--out", "o", "--group", long],
            ["fine.csv", "fine.csv", "--out", long],
            ["fine.csv", "fine.csv", "--out", "o", "--share", "nan", "--ask", "handover"],
        ],
        "publish": [["no"], [long], ["."], ["fine.csv"]],
        "reproduce": [["no such"], [long], [odd]],
        "pages": [["no such"], [long], [odd]],
        "book": [["--results", "no"], ["--results", long], ["--results", "fine.csv"]],
    }
    for command, several in commands.items():
        for number, arguments in enumerate(several):
            more = ["--text-a", "a"] if command == "explain" else []
            yield Case("option", f"{command} {number}", _options_written([command, *arguments, *more]))
    yield Case("option", "unreadable", lambda folder: _unreadable(folder))


def _options_written(arguments: list) -> Callable[[Path], list]:
    def write(folder: Path) -> list:
        predictions().to_csv(folder / "fine.csv", index=False)
        _model(folder)
        return arguments

    return write


def _unreadable(folder: Path) -> list:
    """A link to itself, which nobody may read, root included."""
    (folder / "bad.csv").symlink_to(folder / "bad.csv")
    return ["calibrate", folder / "bad.csv"]


def all_cases(checkpoint: Path, published: Path, *, seed: int = 0) -> Iterator[Case]:
    """Yield every case, by kind, the same for the same seed."""
    rng = np.random.default_rng(seed)
    kinds = (
        prediction_cases(rng),
        example_cases(rng),
        word_cases(),
        experiment_cases(rng),
        checkpoint_cases(checkpoint),
        gguf_cases(),
        published_cases(published),
        manifest_cases(),
        option_cases(),
    )
    return itertools.chain(*kinds)
