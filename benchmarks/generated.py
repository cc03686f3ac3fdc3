"""A made-up table of interactions of any length, skewed as real ones are: for throughput and memory alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

# As in real tables: rows a user and rows an item, most of them of few users and items, and types of all sizes.
ROWS_A_USER, ROWS_AN_ITEM = 15, 15
SKEW = 2.5
TYPES = np.array([f"type {number}" for number in range(12)])
CHUNK_ROWS = 500_000


def write_rows(path: Path, rows: int, seed: int = 1) -> Path:
    """Writes a Parquet file of user_id, item_id and item_type in no order, some of them repeated."""
    draw = np.random.default_rng(seed)
    num_users, num_items = rows // ROWS_A_USER, rows // ROWS_AN_ITEM
    # Ids in an order that has nothing to do with the numbers of rows.
    users = pa.array(draw.permutation(num_users)).cast(pa.string())
    items = pc.binary_join_element_wise("B", pa.array(draw.permutation(num_items)).cast(pa.string()), "")
    types = pa.array(TYPES[skewed(draw, num_items, len(TYPES))])
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("item_type", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, CHUNK_ROWS):
            number = min(CHUNK_ROWS, rows - start)
            user, item = pa.array(skewed(draw, number, num_users)), pa.array(skewed(draw, number, num_items))
            columns = [users.take(user), items.take(item), types.take(item)]
            writer.write_table(pa.table(columns, schema=schema))
    return path


def skewed(draw: np.random.Generator, number: int, below: int) -> NDArray[np.int64]:
    """[number] int64 from 0, small ones more often: the first hundredth takes about a sixth of all."""
    return (below * draw.random(number) ** SKEW).astype(np.int64)
