"""Tables on disk that are too large to hold: read, and written, some examples at a time."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trusteq.errors import ArtefactError

MOST_HELD = 500_000  # rows of a table that is held in memory, 50 MB without its rankings; larger ones come in blocks
BLOCK = 5_000  # examples that are read at once of a larger one
_BATCH = 1 << 17  # rows
_ROW_GROUP = 1 << 20  # rows, as in the files that pandas writes


@dataclass(frozen=True)
class Stored:
    """A table on disk, in files that follow on one another, which is read some examples at a time.

    attrs: of the whole. changed: what is made of each block before anyone sees it.
    """

    files: tuple[Path, ...]
    attrs: dict = field(default_factory=dict)
    changed: Callable[[pd.DataFrame], pd.DataFrame] = lambda block: block

    def __str__(self) -> str:
        return str(self.files[0])

    @property
    def is_large(self) -> bool:
        """Whether it is too large to be held."""
        return sum(pq.read_metadata(file).num_rows for file in self.files) > MOST_HELD

    def blocks(self) -> Iterator[pd.DataFrame]:
        """Yield the rows of the next `BLOCK` examples, in the order of the files, until there are no more.

        An example's rows are those beside each other that have its id. Names are categories.
        """
        n, left = BLOCK, None
        for batch in self._batches():
            left = batch if left is None else pa.concat_tables([left, batch]).unify_dictionaries().combine_chunks()
            starts = _starts(left)
            for start, stop in zip(starts[:-n:n], starts[n::n], strict=True):
                yield self._block(left.slice(start, stop - start))
            if len(starts) > n:
                left = _with_own_names(left.slice(starts[(len(starts) - 1) // n * n]))
        if left is not None:
            yield self._block(left)

    def among(self, ids: Iterable[str]) -> pd.DataFrame:
        """Return the rows of some examples; it is read until all are found."""
        left, found = set(ids), []
        for block in self.blocks():
            found.append(block[block["id"].isin(left)])
            left -= set(found[-1]["id"].unique())
            if not left:
                break
        return pd.concat(found, ignore_index=True)

    def whole(self) -> pd.DataFrame:
        """Return all of it."""
        table = pd.concat(map(pd.read_parquet, self.files), ignore_index=True)
        table.attrs = self.attrs
        return self.changed(table)

    def ids(self) -> pd.Index:
        """Return the ids of the examples, in the order of the rows; raise ArtefactError where one's lie apart."""
        found = [
            batch["id"].take(_starts(batch)).cast(pa.large_string()).to_pandas() for batch in self._batches(["id"])
        ]
        ids = pd.concat(found, ignore_index=True)
        ids = pd.Index(ids[ids != ids.shift()], name="id")  # a batch may begin within an example
        if not ids.is_unique:
            example = ids[ids.duplicated()][0]
            raise ArtefactError(f"{self}: the rows of example {example!r} do not lie together; make the table again")
        return ids

    def _batches(self, columns: Sequence[str] | None = None, *, named: bool = True) -> Iterator[pa.Table]:
        """Yield some rows at a time; named: names as categories."""
        for file in self.files:
            names = [of.name for of in pq.read_schema(file) if named and pa.types.is_large_string(of.type)]
            with pq.ParquetFile(file, read_dictionary=names) as stored:
                # One by one: what is read of a row group stays in memory until the reader is done.
                for group in range(stored.num_row_groups):
                    for batch in stored.iter_batches(_BATCH, row_groups=[group], columns=columns):
                        yield pa.Table.from_batches([batch]).replace_schema_metadata(None)

    def _block(self, rows: pa.Table) -> pd.DataFrame:
        block = rows.to_pandas()
        # Those by example are as large as the table; what tells how it was made is not.
        block.attrs = {name: value for name, value in self.attrs.items() if not isinstance(value, dict)}
        return self.changed(block)

    def write(self, path: Path) -> None:
        """Write all of it to one file, which has the bytes that the table would have if it were held."""
        schema = _with_attrs(pq.read_schema(self.files[0]), self.attrs)
        with pq.ParquetWriter(path, schema) as writer:
            left = schema.empty_table()
            for batch in self._batches(named=False):
                left = pa.concat_tables([left, batch.replace_schema_metadata(schema.metadata)])
                while len(left) >= _ROW_GROUP:
                    writer.write_table(left.slice(0, _ROW_GROUP).combine_chunks())
                    left = left.slice(_ROW_GROUP)
            if len(left):
                writer.write_table(left.combine_chunks())


def blocks_of(table: pd.DataFrame | Stored) -> Iterator[pd.DataFrame]:
    """Yield a table in blocks of examples; the whole, where it is held."""
    return table.blocks() if isinstance(table, Stored) else iter([table])


def write_blocks(blocks: Iterable[pd.DataFrame], path: Path, *, attrs: dict, **packed) -> None:
    """Write a table block by block, a row group each; packed: options of Parquet."""
    writer = None
    for block in blocks:
        names = dict.fromkeys(block.select_dtypes("category"), "str")
        rows = pa.Table.from_pandas(block.astype(names), preserve_index=False)
        writer = writer or pq.ParquetWriter(path, _with_attrs(rows.schema, attrs), **packed)
        writer.write_table(rows.replace_schema_metadata(writer.schema.metadata))
    writer.close()


_ATTRS = b"PANDAS_ATTRS"  # of a schema's metadata


def attrs_of(file: Path) -> dict:
    """Return the `.attrs` of a table on disk."""
    return json.loads(pq.read_schema(file).metadata.get(_ATTRS, b"{}"))


def _with_attrs(schema: pa.Schema, attrs: dict) -> pa.Schema:
    """Return the schema under which pandas writes such a table with these attributes."""
    pandas = json.loads(schema.metadata[b"pandas"]) | {"attributes": attrs}
    return schema.with_metadata({b"pandas": json.dumps(pandas).encode(), _ATTRS: json.dumps(attrs).encode()})


def _starts(rows: pa.Table) -> np.ndarray:
    """Return where an example begins, the first row included."""
    return np.flatnonzero(np.diff(rows["id"].combine_chunks().indices.to_numpy(), prepend=-1))


def _with_own_names(rows: pa.Table) -> pa.Table:
    """Return rows whose categories are those that occur: else they would be all that were ever read."""
    for at, of in enumerate(rows.schema):
        if pa.types.is_dictionary(of.type):
            own = rows.column(at).cast(of.type.value_type).dictionary_encode()
            rows = rows.set_column(at, of.name, own.combine_chunks())
    return rows
