"""A model at one cut, which ranks users that it knew and users that it did not know."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems


class Ranker(NamedTuple):
    """A model at one cut.

    Attributes:
      scorer: for users with rows before the cut.
      cold_scorer: for the others.
      known: [num_users + 1] bool, true for users with rows before the cut.
    """

    scorer: Scorer
    cold_scorer: Scorer
    known: NDArray[np.bool_]

    def ranked(self, users: NDArray[np.int32], excluded: UserItems, k: int) -> NDArray[np.int32]:
        """[users, k] int32 items, best first; row r of `excluded` holds the items that users[r] is not shown."""
        items = np.zeros((len(users), k), np.int32)
        known = self.known[users]
        for scorer, chosen in ((self.scorer, known), (self.cold_scorer, ~known)):
            rows = np.flatnonzero(chosen).astype(np.int32)
            items[rows] = rank_items(scorer, users[rows], excluded.of_users(rows), k)
        return items
