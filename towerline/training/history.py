"""Users' histories: weights of their items, which may decay from the latest item back."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays
from towerline.ranking.user_items import UserItems, in_order, pair_order

# Half-lives to choose from, in items, the longest first; None for no decay.
HALF_LIVES = (None, 100.0, 50.0, 20.0, 10.0, 5.0, 3.0, 2.0, 1.0)


class History:
    """The items of every user in the rows of a fit.

    Attributes:
      rows: the rows.
      seen: the items by user.
    """

    def __init__(self, rows: Interactions) -> None:
        """
        Args:
          rows: the rows, no pair twice.
        """
        self.rows = rows
        self.seen = UserItems.of_interactions(rows)

    @cached_property
    def strengths(self) -> NDArray[np.float32] | None:
        """[pairs] float32 strengths of the rows, aligned with seen.items; None where each row counts as one."""
        return None if self.rows.strength is None else self.aligned(self.rows.strength)

    @cached_property
    def order(self) -> NDArray[np.int64] | None:
        """[pairs] the positions of the rows in the order of seen.items; None where they are in this order."""
        return pair_order(self.rows)

    def aligned(self, values: NDArray[Any]) -> NDArray[Any]:
        """[pairs] values of the [rows] rows, aligned with seen.items."""
        return in_order(values, self.order)

    @cached_property
    def later(self) -> NDArray[np.int32]:
        """[pairs] int32, aligned with seen.items: the number of rows of the same user at later times.

        Raises:
          ValueError: the rows have no times.
        """
        times, starts = self.rows.timestamp, self.seen.starts
        if times is None:
            raise ValueError("expected rows with times for a half-life, found none")
        later = row_arrays.empty_like(self.seen.items, np.int32)
        for first, last in row_arrays.user_blocks(starts):
            block = slice(starts[first], starts[last])
            time = times[block if self.order is None else self.order[block]]
            later[block] = _later(time, starts[first : last + 1] - starts[first])
        return later

    def half_lives(self) -> list[float | None]:
        """The half-lives to choose from, in items; None alone where the data has no times."""
        return list(HALF_LIVES) if self.rows.timestamp is not None else [None]

    def weights(self, half_life: float | None, users: NDArray[np.int32]) -> "sparse.csr_array":
        """The weights of the items in the histories of users; the squares of the weights of a user sum to 1.

        The weight of an item is in proportion to the strength of its row, halved for every half_life items that the
        user has chosen at later times. Without decay and strengths that of each of n items is 1 / sqrt(n), as in SVD++
        (Koren 2008). The weights of a user whose strengths are all 0 are 0.

        Args:
          half_life: in items; None for no decay.
          users: [queries] int32.

        Returns:
          [queries, num_items + 1] float32.
        """
        of_users = self.seen.of_users(users)
        positions = self.seen.positions(users)
        weights = np.ones(len(of_users.items))
        if self.strengths is not None:
            weights = self.strengths[positions].astype(np.float64)
        if half_life is not None:
            weights = weights * 0.5 ** (self.later[positions] / half_life)
        lengths = np.sqrt(np.bincount(of_users.rows(), weights**2, len(users)))
        lengths[lengths == 0] = 1
        return of_users.matrix(self.rows.num_items + 1, (weights / lengths[of_users.rows()]).astype(np.float32))

    def sums(
        self, half_life: float | None, vectors: NDArray[np.float32], users: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """[queries, d] float32 sums of the vectors of users' items by weights().

        Args:
          half_life: in items; None for no decay.
          vectors: [num_items + 1, d] float32 of the items.
          users: [queries] int32.
        """
        sums = np.empty((len(users), vectors.shape[1]), np.float32)
        for first, last in row_arrays.user_blocks(np.concatenate([[0], np.cumsum(self.seen.counts()[users])])):
            sums[first:last] = self.weights(half_life, users[first:last]) @ vectors
        return sums


def _later(time: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """[pairs] the number of rows of the same user at later times.

    Args:
      time: [pairs] int64, user by user.
      starts: [users + 1] the first pair of each user, and the number of pairs.
    """
    user = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((time, user))
    time = time[order]
    is_last = np.append((user[1:] != user[:-1]) | (time[1:] != time[:-1]), True)
    # The end of each row's group of equal times, and the end of its user's rows.
    last = np.flatnonzero(is_last)[np.cumsum(is_last) - is_last]
    later = np.empty_like(order)
    later[order] = starts[user + 1] - 1 - last
    return later
