"""DuckDB as the engine: one process on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
from ibis.expr.types import Table

from towerline.pipeline.errors import StageError
from towerline.pipeline.free_memory import GIGABYTE
from towerline.tables.memory import MemoryPlan
from towerline.tables.session import BATCH_ROWS, Session

# A part of DuckDB's error of a full memory where it is the disk that is full.
DISK = "max_temp_directory_size"


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
    except duckdb.OutOfMemoryException as error:
        if DISK in str(error):
            raise _told(folder, error) from None
        raise StageError(
            f"engine.memory_limit: expected a limit with which the rows fit, found that DuckDB needs more than its "
            f"{plan.engine_bytes / GIGABYTE:.2f} GB of it; set it higher"
        ) from None
    except duckdb.IOException as error:
        raise _told(folder, error) from None


def _told(folder: Path, error: Exception) -> StageError:
    """DuckDB's error, in one line that names the folder."""
    return StageError(f"{folder}: DuckDB: {' '.join(str(error).split())}")
