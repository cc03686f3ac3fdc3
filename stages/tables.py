"""Tables as Ibis expressions on DuckDB, in process and out of core, and their way into Parquet."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ibis
from ibis.backends.duckdb import Backend
from ibis.expr.types import Table

from stages import artifacts

BATCH_ROWS = 100_000


@contextmanager
def session() -> Iterator[Backend]:
    """A database in memory that spills to a temporary folder, knows no time zone but UTC and fetches no extension."""
    with tempfile.TemporaryDirectory(prefix="towerline-") as spill:
        connection = ibis.duckdb.connect(
            temp_directory=spill,
            autoinstall_known_extensions=False,
            autoload_known_extensions=False,
        )
        try:
            yield connection
        finally:
            connection.disconnect()


def write(path: Path, rows: Table, metadata: Mapping[str, int] | None = None) -> int:
    """Streams an ordered expression into a Parquet file and returns its number of rows."""
    with rows.to_pyarrow_batches(chunk_size=BATCH_ROWS) as batches:
        return artifacts.write_parquet(path, batches.schema, batches, metadata)


def with_indices(interactions: Table, users: Table, items: Table) -> Table:
    """The interactions with user_index and item_index, as the vocabularies number their ids."""
    rows = interactions.inner_join(users.select("user_id", user_index="index"), "user_id")
    return rows.inner_join(items.select("item_type", "item_id", item_index="index"), ["item_type", "item_id"])
