"""DuckDB as the engine: one process on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
from ibis.expr.types import Table

from towerline.pipeline.errors import StageError
from towerline.tables.memory import MemoryPlan
from towerline.tables.session import BATCH_ROWS, Session


class DuckDBSession(Session):
    """Expressions computed by DuckDB."""

    def read(self, path: Path) -> Table:
        return self.connection.read_parquet(path)

    def save(self, rows: Table, path: Path) -> None:
        # Without dictionaries: looking for repeated values takes longer than writing them once more.
        self.connection.to_parquet(rows, path, compression="lz4", dictionary_size_limit=1)

    def batches(self, rows: Table) -> Iterator[pa.RecordBatch]:
        with rows.to_pyarrow_batches(chunk_size=BATCH_ROWS) as batches:
            yield from batches


@contextmanager
def duckdb_session(folder: Path, plan: MemoryPlan) -> Iterator[DuckDBSession]:
    """Yields a session that ends with the block; DuckDB uses UTC and fetches no extension.

    Raises:
      StageError: the disk or the memory is full, or a file cannot be read.
    """
    try:
        connection = ibis.duckdb.connect(
            temp_directory=str(folder / "spill"),
            memory_limit=f"{plan.engine_bytes}B",
            threads=plan.threads,
            # Every result that is written is sorted; without this, DuckDB keeps no rows back to put them in order.
            preserve_insertion_order=False,
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )
        try:
            yield DuckDBSession(connection, folder)
        finally:
            connection.disconnect()
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StageError(f"{folder}: DuckDB: {' '.join(str(error).split())}") from None
