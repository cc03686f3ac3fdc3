"""The items of each user, as compressed rows."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays


class UserItems(NamedTuple):
    """Items by user: those of user u are items[starts[u] : starts[u + 1]], ascending and each once.

    Attributes:
      starts: [num_rows + 1] int64; rows of user indices run from 0, the unknown user.
      items: [pairs] int32 item indices.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]

    @classmethod
    def of_pairs(cls, row: NDArray[np.int32], item_index: NDArray[np.int32], *, num_rows: int) -> "UserItems":
        """Builds the rows from pairs in any order; a duplicate pair counts once.

        Args:
          row, item_index: [pairs] int32.
          num_rows: number of rows, above all of `row`; for rows of user indices one more than there are users.
        """
        if not len(row):
            return cls.none(num_rows)
        if _are_ordered(row, item_index):
            starts = np.searchsorted(row, np.arange(num_rows + 1, dtype=row.dtype))
            return cls(starts, item_index.astype(np.int32, copy=False))
        width = int(item_index.max()) + 1
        pairs = row_arrays.filled(
            item_index, np.int64, lambda block: row[block].astype(np.int64) * width + item_index[block]
        )
        pairs.sort()
        pairs = _distinct(pairs)
        starts = np.searchsorted(pairs, width * np.arange(num_rows + 1))
        return cls(starts, row_arrays.filled(pairs, np.int32, lambda block: pairs[block] % width))

    @classmethod
    def of_interactions(cls, rows: Interactions) -> "UserItems":
        """The items of every user: row u is that of user index u."""
        return cls.of_pairs(rows.user_index, rows.item_index, num_rows=rows.num_users + 1)

    @classmethod
    def none(cls, num_rows: int) -> "UserItems":
        """Rows without items."""
        return cls(np.zeros(num_rows + 1, np.int64), np.zeros(0, np.int32))

    def counts(self) -> NDArray[np.int64]:
        """[num_rows] number of items of each row."""
        return np.diff(self.starts)

    def of_users(self, users: NDArray[np.int32]) -> "UserItems":
        """The rows of the given users alone, in their order: row r is that of users[r]."""
        starts = np.concatenate([[0], np.cumsum(self.counts()[users])])
        return UserItems(starts, self.items[self.positions(users)])

    def positions(self, users: NDArray[np.int32]) -> NDArray[np.int64]:
        """Positions in `items` of the pairs of the given users, user by user in their order."""
        counts = self.counts()[users]
        first = self.starts[users] - (np.cumsum(counts) - counts)
        positions: NDArray[np.int64] = np.arange(counts.sum()) + np.repeat(first, counts)
        return positions

    def rows(self) -> NDArray[np.int64]:
        """[pairs] the row that each of `items` belongs to."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts())

    def matrix(self, num_columns: int, values: NDArray[np.float32] | None = None) -> "sparse.csr_array":
        """[rows, num_columns] float32 with the [pairs] values where a row has an item; None for ones."""
        if values is None:
            values = row_arrays.filled(self.items, np.float32, lambda block: np.array(1))
        # SciPy would copy the items as int64.
        starts = self.starts.astype(np.int32) if len(self.items) < 1 << 31 else self.starts
        return sparse.csr_array((values, self.items, starts), shape=(len(starts) - 1, num_columns))


def _are_ordered(row: NDArray[np.int32], item_index: NDArray[np.int32]) -> bool:
    """True if the pairs ascend, each once, as those of a file of the split do."""
    for block in row_arrays.blocks(len(row)):
        with_last = slice(max(block.start - 1, 0), block.stop)
        of_block, items = row[with_last], item_index[with_last]
        same = of_block[1:] == of_block[:-1]
        if not ((of_block[1:] > of_block[:-1]) | (same & (items[1:] > items[:-1]))).all():
            return False
    return True


def _distinct(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sorted numbers, each once, in place of them."""
    end, last = 0, -1
    for block in row_arrays.blocks(len(pairs)):
        of_block = pairs[block]
        different = of_block[np.diff(of_block, prepend=last) != 0]
        last = of_block[-1]
        pairs[end : end + len(different)] = different
        end += len(different)
    return pairs[:end]


def pair_order(rows: Interactions) -> NDArray[np.int64] | None:
    """[rows] the positions of the rows in the order of the pairs of UserItems.of_interactions(); no pair twice.

    None where the rows are in this order.
    """
    user, item = rows.user_index, rows.item_index
    if _are_ordered(user, item):
        return None
    starts = np.zeros(rows.num_users + 2, np.int64)
    starts[1:] = np.cumsum(row_arrays.sums(user, rows.num_users + 1))
    order, free = row_arrays.empty_like(user, np.int64), starts[:-1].copy()
    # First the rows of each user as they come, then within the blocks of users by item.
    for block in row_arrays.blocks(len(user)):
        by_user = np.argsort(user[block], kind="stable")
        users = user[block][by_user]
        order[free[users] + np.arange(len(users)) - np.searchsorted(users, users)] = block.start + by_user
        free += np.bincount(users, minlength=len(free))
    for first, last in row_arrays.user_blocks(starts):
        of_block = order[starts[first] : starts[last]]
        of_block[:] = of_block[np.lexsort((item[of_block], user[of_block]))]
    return order


def in_order(values: NDArray[Any], order: NDArray[np.int64] | None) -> NDArray[Any]:
    """[rows] values in the order of the pairs: order is from pair_order()."""
    return values if order is None else row_arrays.filled(order, values.dtype, lambda block: values[order[block]])


def interaction_matrix(rows: Interactions) -> "sparse.csr_array":
    """[num_users + 1, num_items + 1] float32 strengths of the rows, a 1 where rows have none; no pair twice."""
    values = None if rows.strength is None else in_order(rows.strength, pair_order(rows))
    return UserItems.of_interactions(rows).matrix(rows.num_items + 1, values)
