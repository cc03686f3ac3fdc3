"""The training, validation and test sets: interactions as arrays of indices."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.pipeline.errors import StageError

TRAIN = Path("data/split/train.parquet")
VALIDATION = Path("data/split/validation.parquet")
TEST = Path("data/split/test.parquet")

# Columns of Interactions.
NUMERIC = ("user_index", "item_index", "rating")


class Interactions(NamedTuple):
    """One part of the split: row r says that user user_index[r] had to do with item item_index[r].

    Attributes:
      user_index, item_index: [rows] int32, from 1.
      rating: [rows] float32 in the unit of the raw file; None where the data has none.
      num_users, num_items: sizes of the vocabularies, the unknown id at index 0 not counted.
    """

    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    rating: NDArray[np.float32] | None
    num_users: int
    num_items: int


def read_interactions(path: Path) -> Interactions:
    """Reads a part of the split.

    Raises:
      StageError: the file lacks what `split` writes.
    """
    # pyarrow.parquet.read_table() and to_numpy() import pandas, which takes longer than all the reading.
    with pq.ParquetFile(path) as file:
        table = file.read(columns=list(NUMERIC))
    sizes = table.schema.metadata or {}
    if not {b"num_users", b"num_items"} <= set(sizes):
        raise StageError(f"{path}: expected num_users and num_items in the file's metadata, found none; repro split")
    columns: dict[str, Any] = {
        name: np.from_dlpack(table[name].combine_chunks()) for name in NUMERIC if name in table.column_names
    }
    return Interactions(
        columns["user_index"],
        columns["item_index"],
        columns.get("rating"),
        int(sizes[b"num_users"]),
        int(sizes[b"num_items"]),
    )
