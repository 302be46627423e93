"""How much of what others wrote is read. All bounds stand here, far above what real files have.

Each is checked before memory is taken for what it bounds: on sizes that a file's own head tells, or while it is
unpacked. What is refused takes less than 2 GB and 20 s.
"""

import gzip
import io
import json
import zlib
from pathlib import Path

import yaml

from trusteq.errors import TrusteqError, reading

MOST_BYTES = 2**29  # of one table, unpacked; SNLI's own training file has 466 MB
MOST_CELLS = 20_000_000  # of one table
MOST_COLUMNS = 2_000
MOST_CLASSES = 1_000
MOST_PIXELS = 2**24  # of one image
MOST_SAMPLES = 2**21  # of one clip, 48 s at 44.1 kHz: 1,000 masks of it are long
MOST_SOUND = 8 * MOST_SAMPLES + 2**20  # bytes of a file of sound: the widest samples, and what else stands in it
MOST_SEGMENTS = 1_000  # that a clip is cut into
MOST_PATCHES = 4_096  # that an image is cut into
MOST_LINE = 2**20  # letters of one line of a table
MOST_JSON = 2**26  # bytes of a manifest, of the facts of a model
MOST_YAML, MOST_NODES, MOST_NESTED = 2**18, 20_000, 50  # bytes, values with all aliases followed, and depth
MOST_LAYERS, MOST_WIDTH = 1_000, 2**20  # of a config.json; the width, of a model from scratch
_BLOCK = 2**20
_TEXTS = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
_GZIP = b"\x1f\x8b"


def unpacked(path: Path, kind: type[TrusteqError]) -> bytes:
    """Return the bytes of a file, unpacked where it is gzip; raise an error of `kind` for more than MOST_BYTES."""
    if not path.is_file():
        raise kind(f"{path}: {'not a file' if path.exists() else 'no such file'}; name one")
    check(path.stat().st_size, MOST_BYTES, "bytes", path, kind)
    data = path.read_bytes()
    if not data.startswith(_GZIP):
        return data
    found = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            while len(found) <= MOST_BYTES and (block := stream.read(_BLOCK)):
                found += block
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise kind(f"{path}: not a whole gzip file ({error}); compress it again") from None
    check(len(found), MOST_BYTES, "bytes or more", path, kind)
    return bytes(found)


def check(n: int, most: int, what: str, where: object, kind: type[TrusteqError]) -> None:
    """Raise an error of `kind` where there are more of something than are read."""
    if n > most:
        raise kind(f"{where}: {n:,} {what}, and at most {most:,} are read (trusteq/bounds.py); give less, or parts")


def check_parquet(path: Path, kind: type[TrusteqError], *, where: object) -> None:
    """Raise an error of `kind` for a Parquet file that would unpack to too much, as its own metadata and pages tell.

    Texts are stored once and repeated by number: what they come to is counted before any is copied.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(kind, where, "not a whole parquet file; write it again"), pq.ParquetFile(path) as file:
        about, schema = file.metadata, file.schema_arrow
        check(about.num_columns, MOST_COLUMNS, "columns", where, kind)
        groups = [about.row_group(at) for at in range(about.num_row_groups)]
        chunks = [group.column(at) for group in groups for at in range(about.num_columns)]
        cells = max(sum(of.num_values for of in chunks), about.num_rows * about.num_columns)
        check(cells, MOST_CELLS, "cells", where, kind)
        check(sum(of.total_uncompressed_size for of in chunks), MOST_BYTES, "bytes", where, kind)
        types = {of.name: of.type for of in schema}
        kinds = {name: str(of.value_type if pa.types.is_dictionary(of) else of) for name, of in types.items()}
        texts = [name for name, of in kinds.items() if of in _TEXTS]
        check(sum(_text_bytes(path, name) for name in texts), MOST_BYTES, "bytes of text", where, kind)


def _text_bytes(path: Path, column: str) -> int:
    """Return how many bytes the texts of a column come to, each as often as it occurs."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    total = 0
    for chunk in pq.ParquetFile(path, read_dictionary=[column]).read([column]).column(0).chunks:
        if hasattr(chunk, "dictionary"):
            lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
        else:
            lengths = pc.binary_length(chunk)
        total += pc.sum(lengths.cast("int64")).as_py() or 0
    return total


def json_object(path: Path, kind: type[TrusteqError], hint: str) -> dict:
    """Return the object in a JSON file; raise an error of `kind` for a file that is none, or too large."""
    with reading(kind, path, hint):
        check(path.stat().st_size, MOST_JSON, "bytes", path, kind)
        found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise kind(f"{path}: {type(found).__name__}, not an object of JSON; {hint}")
    return found


def yaml_mapping(path: Path, kind: type[TrusteqError]) -> dict:
    """Return keys and values of a YAML file; raise an error of `kind` for others, and for what is too large or deep."""
    with reading(kind, path, "not a YAML file of keys and values; mend it there"):
        check(path.stat().st_size, MOST_YAML, "bytes", path, kind)
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise kind(f"{path}: expected keys and values, found {type(found).__name__}")
    with reading(kind, path, "write text that can be encoded"):
        check(_nodes(found), MOST_NODES, f"values, or a depth of more than {MOST_NESTED}", path, kind)
    return found


def _nodes(value: object, depth: int = 0, left: list[int] | None = None) -> int:
    """Return how many values there are in one, MOST_NODES + 1 of more or of what is too deep; aliases are followed."""
    left = [MOST_NODES + 1] if left is None else left
    left[0] -= 1
    if isinstance(value, str):
        value.encode()  # fails for half a surrogate pair, which an escape can bring in
    if depth > MOST_NESTED:
        left[0] = 0
    parts = (*value.keys(), *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        if left[0] <= 0:
            break
        _nodes(part, depth + 1, left)
    return MOST_NODES + 1 - left[0]
