"""The training, validation and test sets: interactions as arrays of indices."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.pipeline import row_arrays
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
            row_arrays.joined([rows.user_index for rows in sets]),
            row_arrays.joined([rows.item_index for rows in sets]),
            _joined([rows.rating for rows in sets]),
            sets[0].num_users,
            sets[0].num_items,
            _joined([rows.timestamp for rows in sets]),
            _joined([rows.weight for rows in sets]),
            _joined([rows.strength for rows in sets]),
        )

    def where(self, chosen: NDArray[np.bool_]) -> "Interactions":
        """The rows for which `chosen`, [rows] bool, is true."""
        return self._of_columns(lambda column: row_arrays.chosen(column, chosen))

    def part(self, first: int, last: int) -> "Interactions":
        """The rows from the first to the one before the last, which are not copied."""
        return self._of_columns(lambda column: column[first:last])

    def counted(self) -> "Interactions":
        """The rows whose strength is above 0."""
        strength = self.strength
        if strength is None:
            return self
        return self.where(row_arrays.filled(strength, np.bool_, lambda block: strength[block] > 0))

    def users(self) -> NDArray[np.int32]:
        """The users of the rows, ascending."""
        return np.flatnonzero(row_arrays.used(self.user_index, self.num_users)).astype(np.int32)

    def items(self) -> NDArray[np.int32]:
        """The items of the rows, ascending."""
        return np.flatnonzero(row_arrays.used(self.item_index, self.num_items)).astype(np.int32)

    def _of_columns(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> "Interactions":
        """The rows that a function makes of each column."""
        present: dict[str, Any] = {name: getattr(self, name) for name in (*NUMERIC, "strength")}
        changed: dict[str, Any] = {name: function(column) for name, column in present.items() if column is not None}
        return self._replace(**changed)


def _joined(columns: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """The columns of several sets as one; None if one of the sets has none."""
    present = [column for column in columns if column is not None]
    return row_arrays.joined(present) if len(present) == len(columns) else None


class Sizes(NamedTuple):
    """The sizes of some sets of one split.

    Attributes:
      num_users, num_items: sizes of the vocabularies, the unknown id not counted.
      num_rows: of all the sets.
    """

    num_users: int
    num_items: int
    num_rows: int


def read_sizes(paths: Sequence[Path]) -> Sizes:
    """Reads the sizes of sets of one split, at least one, without their rows.

    Raises:
      StageError: a file lacks what `split` writes.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(pq.ParquetFile(path)) for path in paths]
        return Sizes(*_sizes(paths[-1], files[-1]), sum(file.metadata.num_rows for file in files))


Chosen = Callable[[NDArray[np.int32], int], NDArray[np.bool_]]


def read_interactions(path: Path) -> Interactions:
    """Reads a set of the split.

    Raises:
      StageError: the file lacks what `split` writes.
    """
    return read_joined([path])


def read_joined(paths: Sequence[Path], folder: Path | None = None, chosen: Chosen | None = None) -> Interactions:
    """Reads the rows of several sets of one split, in the order of the sets.

    Args:
      paths: the files, at least one.
      folder: where files have the rows, as in row_arrays.empty(); None for memory.
      chosen: called with the [rows] int32 users of consecutive rows and the number of the first of them; returns [rows]
        bool, true for the rows to keep, so that the others are never in memory together; None for all rows.

    Raises:
      StageError: a file lacks what `split` writes.
    """
    # pyarrow.parquet.read_table() and to_numpy() import pandas, which takes longer than all the reading.
    with ExitStack() as stack:
        files = [stack.enter_context(pq.ParquetFile(path)) for path in paths]
        num_users, num_items = [_sizes(path, file) for path, file in zip(paths, files, strict=True)][-1]
        names = [name for name in NUMERIC if all(name in file.schema_arrow.names for file in files)]
        number = sum(file.metadata.num_rows for file in files)
        types = {name: files[0].schema_arrow.field(name).type.to_pandas_dtype() for name in names}
        columns: dict[str, NDArray[Any]] = {name: row_arrays.empty(number, types[name], folder) for name in names}
        first = end = 0
        for batch in (batch for file in files for batch in file.iter_batches(columns=names)):
            arrays: dict[str, NDArray[Any]] = {name: np.from_dlpack(batch.column(name)) for name in names}
            kept = slice(None) if chosen is None else chosen(arrays["user_index"], first)
            first, start = first + len(batch), end
            end += len(arrays["user_index"][kept])
            for name, array in arrays.items():
                columns[name][start:end] = array[kept]
    # What is beyond the end has never been written to, and takes no memory.
    rows = {name: column[:end] for name, column in columns.items()}
    return Interactions(
        rows["user_index"],
        rows["item_index"],
        rows.get("rating"),
        num_users,
        num_items,
        rows.get("timestamp"),
        rows.get("weight"),
    )


def _sizes(path: Path, file: pq.ParquetFile) -> tuple[int, int]:
    """The numbers of users and items in the metadata of a file."""
    sizes = file.schema_arrow.metadata or {}
    if not {b"num_users", b"num_items"} <= set(sizes):
        raise StageError(f"{path}: expected num_users and num_items in the file's metadata, found none; repro split")
    return int(sizes[b"num_users"]), int(sizes[b"num_items"])
