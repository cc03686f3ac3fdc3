"""NDCG of a scorer on the validation set, by which settings and epochs are chosen."""

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.artifacts.split import Interactions
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

# Ranking more users would cost more than it tells; with fewer users all of them are ranked.
MAX_USERS = 10_000


class HeldOut:
    """Users with held-out items and items seen, at most so many and evenly spaced, with both.

    Attributes:
      users: [queries] int32.
      relevant, seen: row r holds the held-out and the seen items of users[r].
    """

    def __init__(self, seen: UserItems, part: Interactions, most: int = MAX_USERS) -> None:
        """
        Args:
          seen: the items of every user in the training set.
          part: the held-out rows; may be empty.
          most: how many users at most.
        """
        relevant = UserItems.of_pairs(part.user_index, part.item_index, num_rows=part.num_users + 1)
        users = np.flatnonzero((relevant.counts() > 0) & (seen.counts() > 0)).astype(np.int32)
        self.users: NDArray[np.int32] = users[:: max(1, -(-len(users) // most))]
        self.relevant, self.seen = relevant.of_users(self.users), seen.of_users(self.users)

    def ndcg(self, scorer: Scorer) -> float:
        """Mean NDCG@MAIN_CUTOFF over the users, the whole catalogue ranked, seen items left out."""
        ranked = rank_items(scorer, self.users, self.seen, MAIN_CUTOFF)
        return float(rank_metrics(ranked, self.relevant, [MAIN_CUTOFF])["ndcg", MAIN_CUTOFF].mean())
