"""Sessions of the engine that computes Ibis expressions, and writing of expressions to Parquet."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table

from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.tables.memory import MemoryPlan
from towerline.tables.params import EngineParams
from towerline.tables.scratch import scratch_folder

BATCH_ROWS = 100_000


class Session:
    """An open engine, and a folder for files on the way.

    Attributes:
      connection: computes the expressions.
      folder: is empty at the start and removed at the end.
    """

    def __init__(self, connection: Backend, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    def read(self, path: Path) -> Table:
        """The rows of a Parquet file."""
        return self.connection.read_parquet(path)

    def stored(self, rows: Table) -> Table:
        """The same rows, computed once and kept in the folder, so that they take no memory; their order is not kept."""
        path = self.folder / f"{ibis.util.gen_name('rows')}.parquet"
        # Without dictionaries: looking for repeated values takes longer than writing them once more.
        self.connection.to_parquet(rows, path, compression="lz4", dictionary_size_limit=1)
        return self.read(path)

    def write(self, path: Path, rows: Table, metadata: Mapping[str, int] | None = None) -> int:
        """Writes an ordered expression to a Parquet file in batches, and returns its number of rows."""
        with rows.to_pyarrow_batches(chunk_size=BATCH_ROWS) as batches:
            return formats.write_parquet(path, batches.schema, batches, metadata)


@contextmanager
def session(stage: str) -> Iterator[Session]:
    """Yields a session with the settings of the section `engine`, which ends with the block.

    DuckDB uses UTC and fetches no extension.

    Raises:
      StageError: the disk or the memory is full, or a file cannot be read.
    """
    params = EngineParams.load()
    plan = MemoryPlan.of(params.memory_limit)
    with scratch_folder(Path(params.spill_folder), stage) as folder:
        try:
            connection = ibis.duckdb.connect(
                temp_directory=str(folder / "spill"),
                memory_limit=f"{plan.engine_bytes}B",
                threads=plan.threads,
                # Every result that is written is sorted; without it, DuckDB keeps no rows back to put them in order.
                preserve_insertion_order=False,
                autoinstall_known_extensions=False,
                autoload_known_extensions=False,
            )
            try:
                yield Session(connection, folder)
            finally:
                connection.disconnect()
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise StageError(f"{folder}: DuckDB: {' '.join(str(error).split())}") from None
