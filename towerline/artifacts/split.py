"""The training, validation and test sets: interactions as arrays of indices."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.pipeline.errors import StageError

TRAIN = Path("data/split/train.parquet")
VALIDATION = Path("data/split/validation.parquet")
TEST = Path("data/split/test.parquet")

# Columns of Interactions.
NUMERIC = ("user_index", "item_index", "rating", "timestamp", "weight")


class Interactions(NamedTuple):
    """A set of the split: row r says that user user_index[r] interacted with item item_index[r].

    Attributes:
      user_index, item_index: [rows] int32, from 1.
      rating: [rows] float32 in the unit of the raw file; None where the data has none.
      num_users, num_items: sizes of the vocabularies, the unknown id at index 0 not counted.
      timestamp: [rows] int64 seconds since 1970 UTC; None where the data has none.
      weight: [rows] float32 above 0, such as a number of plays; None where the data has none.
      strength: [rows] float32, at least 0: how much a row counts in a fit, from towerline.feedback.strengths; None
        where each counts as one. No file has it.
    """

    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    rating: NDArray[np.float32] | None
    num_users: int
    num_items: int
    timestamp: NDArray[np.int64] | None = None
    weight: NDArray[np.float32] | None = None
    strength: NDArray[np.float32] | None = None

    @classmethod
    def joined(cls, *sets: "Interactions") -> "Interactions":
        """The rows of several sets of one split, in the order of the sets; at least one set."""
        return cls(
            np.concatenate([rows.user_index for rows in sets]),
            np.concatenate([rows.item_index for rows in sets]),
            _joined([rows.rating for rows in sets]),
            sets[0].num_users,
            sets[0].num_items,
            _joined([rows.timestamp for rows in sets]),
            _joined([rows.weight for rows in sets]),
            _joined([rows.strength for rows in sets]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> "Interactions":
        """The rows for which `chosen`, [rows] bool, is true."""
        return Interactions(
            self.user_index[chosen],
            self.item_index[chosen],
            None if self.rating is None else self.rating[chosen],
            self.num_users,
            self.num_items,
            None if self.timestamp is None else self.timestamp[chosen],
            None if self.weight is None else self.weight[chosen],
            None if self.strength is None else self.strength[chosen],
        )

    def counted(self) -> "Interactions":
        """The rows whose strength is above 0."""
        return self if self.strength is None else self.where(self.strength > 0)


def _joined(columns: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """The columns of several sets as one; None if one of the sets has none."""
    present = [column for column in columns if column is not None]
    return np.concatenate(present) if len(present) == len(columns) else None


Chosen = Callable[[NDArray[np.int32], int], NDArray[np.bool_]]


def read_interactions(path: Path, chosen: Chosen | None = None) -> Interactions:
    """Reads a set of the split.

    Args:
      path: the file.
      chosen: called with the [rows] int32 users of consecutive rows and the number of the first of them; returns [rows]
        bool, true for the rows to keep, so that the others are never in memory together; None for all rows.

    Raises:
      StageError: the file lacks what `split` writes.
    """
    # pyarrow.parquet.read_table() and to_numpy() import pandas, which takes longer than all the reading.
    with pq.ParquetFile(path) as file:
        sizes = file.schema_arrow.metadata or {}
        present = [name for name in NUMERIC if name in file.schema_arrow.names]
        table = file.read(columns=present) if chosen is None else _chosen_rows(file, present, chosen)
    if not {b"num_users", b"num_items"} <= set(sizes):
        raise StageError(f"{path}: expected num_users and num_items in the file's metadata, found none; repro split")
    columns: dict[str, Any] = {name: np.from_dlpack(table[name].combine_chunks()) for name in present}
    return Interactions(
        columns["user_index"],
        columns["item_index"],
        columns.get("rating"),
        int(sizes[b"num_users"]),
        int(sizes[b"num_items"]),
        columns.get("timestamp"),
        columns.get("weight"),
    )


def _chosen_rows(file: pq.ParquetFile, columns: list[str], chosen: Chosen) -> pa.Table:
    """The chosen rows of a file, read batch by batch; arguments as of read_interactions()."""
    batches, first = [], 0
    for batch in file.iter_batches(columns=columns):
        user_index: NDArray[Any] = np.from_dlpack(batch.column("user_index"))
        keep = chosen(user_index, first)
        batches.append(batch.filter(pa.array(keep)))
        first += len(batch)
    return pa.Table.from_batches(batches, schema=pa.schema([file.schema_arrow.field(name) for name in columns]))
