"""The items of each user, as compressed rows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions


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
        width = int(item_index.max()) + 1
        pairs = np.sort(row.astype(np.int64) * width + item_index)
        pairs = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
        counts = np.bincount(pairs // width, minlength=num_rows)
        return cls(np.concatenate([[0], np.cumsum(counts)]), (pairs % width).astype(np.int32))

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

    def matrix(self, num_columns: int) -> "sparse.csr_array":
        """[rows, num_columns] float32 with a 1 where a row has an item."""
        ones = np.ones(len(self.items), np.float32)
        return sparse.csr_array((ones, self.items, self.starts), shape=(len(self.starts) - 1, num_columns))


def pair_order(rows: Interactions) -> NDArray[np.int64]:
    """[rows] the positions of the rows in the order of the pairs of UserItems.of_interactions(); no pair twice."""
    return np.lexsort((rows.item_index, rows.user_index))


def interaction_matrix(rows: Interactions) -> "sparse.csr_array":
    """[num_users + 1, num_items + 1] float32 strengths of the rows, a 1 where rows have none; no pair twice."""
    matrix = UserItems.of_interactions(rows).matrix(rows.num_items + 1)
    if rows.strength is not None:
        matrix.data = rows.strength[pair_order(rows)]
    return matrix
