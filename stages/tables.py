"""Tables as Ibis expressions on DuckDB, in process and out of core, and their way into Parquet."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table

from stages import artifacts
from stages.terminal import StageError

BATCH_ROWS = 100_000


@contextmanager
def session(stage: str) -> Iterator[tuple[Backend, Path]]:
    """A database in memory, and a folder that is removed with it, where it puts what does not fit into memory.

    The database uses UTC and fetches no extension. The folder is in data/ and belongs to the stage: the next run
    removes what a killed one has left.

    Raises:
      StageError: the disk or the memory is full, or a file cannot be read.
    """
    folder = artifacts.INTERACTIONS.parent / f".unfinished.{stage}"
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
    """Streams an ordered expression into a Parquet file and returns its number of rows."""
    with rows.to_pyarrow_batches(chunk_size=BATCH_ROWS) as batches:
        return artifacts.write_parquet(path, batches.schema, batches, metadata)


def count_of(rows: Table) -> int:
    """The number of rows of an expression."""
    return int(rows.count().to_pyarrow().as_py())


def with_indices(interactions: Table, users: Table, items: Table) -> Table:
    """The interactions with user_index and item_index, as the vocabularies number their ids."""
    rows = interactions.inner_join(users.select("user_id", user_index="index"), "user_id")
    return rows.inner_join(items.select("item_type", "item_id", item_index="index"), ["item_type", "item_id"])
