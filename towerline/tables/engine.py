"""DuckDB sessions for Ibis expressions, and writing of expressions to Parquet."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table

from towerline.pipeline import formats
from towerline.pipeline.errors import StageError

BATCH_ROWS = 100_000
# The folder of the tables, in which DuckDB spills.
DATA = Path("data")


@contextmanager
def session(stage: str) -> Iterator[tuple[Backend, Path]]:
    """Yields an in-memory database and the folder to which it spills; both are removed at the end of the block.

    The database uses UTC and fetches no extension. The folder is in data/ and belongs to the stage: the next run
    removes what a killed one has left.

    Raises:
      StageError: the disk or the memory is full, or a file cannot be read.
    """
    folder = DATA / f".unfinished.{stage}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        connection = ibis.duckdb.connect(
            temp_directory=str(folder),
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )
        try:
            yield connection, folder
        finally:
            connection.disconnect()
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise StageError(f"{folder}: DuckDB: {' '.join(str(error).split())}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write(path: Path, rows: Table, metadata: Mapping[str, int] | None = None) -> int:
    """Writes an ordered expression to a Parquet file in batches, and returns its number of rows."""
    with rows.to_pyarrow_batches(chunk_size=BATCH_ROWS) as batches:
        return formats.write_parquet(path, batches.schema, batches, metadata)
