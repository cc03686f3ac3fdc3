"""The interface of the engines: a session reads, stores and writes rows."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from towerline.pipeline import formats

BATCH_ROWS = 100_000


class Session(ABC):
    """An open engine, and a folder for files on the way.

    Attributes:
      connection: computes the expressions.
      folder: is empty at the start and removed at the end.
    """

    def __init__(self, connection: BaseBackend, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    @abstractmethod
    def read(self, path: Path) -> Table:
        """The rows of a Parquet file, or of all files of a folder."""

    @abstractmethod
    def save(self, rows: Table, path: Path) -> None:
        """Writes rows for read(), in the fastest way that the engine has."""

    @abstractmethod
    def batches(self, rows: Table) -> Iterator[pa.RecordBatch]:
        """The rows of an ordered expression, in its order, in batches."""

    def stored(self, rows: Table) -> Table:
        """The same rows, computed once and kept in the folder, so that they take no memory; their order is not kept."""
        path = self.new_path()
        self.save(rows, path)
        return self.read(path)

    def new_path(self) -> Path:
        """A path in the folder at which there is nothing yet."""
        return self.folder / f"{ibis.util.gen_name('rows')}.parquet"

    def write(
        self, path: Path, rows: Table, metadata: Mapping[str, int] | None = None, index: str | None = None
    ) -> int:
        """Writes an ordered expression to a Parquet file in batches, and returns its number of rows.

        The bytes are those of the rows, whatever the engine.

        Args:
          path: of the file.
          rows: the ordered expression.
          metadata: of the file.
          index: the name of a first column with the int32 numbers of the rows from 1. An engine would number them in a
            window over all rows, which has them in memory at the same time.
        """
        schema, batches = rows.schema().to_pyarrow(), self.batches(rows)
        if index is not None:
            schema, batches = schema.insert(0, pa.field(index, pa.int32())), _numbered(batches, index)
        return formats.write_parquet(path, schema, batches, metadata)


def _numbered(batches: Iterator[pa.RecordBatch], index: str) -> Iterator[pa.RecordBatch]:
    """The batches with a first column of the numbers of their rows, from 1 on through all batches."""
    first = 1
    for batch in batches:
        numbers = np.arange(first, first + batch.num_rows, dtype=np.int32)
        yield pa.record_batch([numbers, *batch.columns], names=[index, *batch.schema.names])
        first += batch.num_rows
