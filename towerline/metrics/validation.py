"""NDCG of a scorer on the validation set, by which settings and epochs are chosen."""

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

# More users would cost time and hardly make the mean more precise; of fewer users all are ranked.
MAX_USERS = 10_000


class HeldOut:
    """Evenly spaced users among those that have seen and held-out items.

    Attributes:
      users: [queries] int32.
      relevant, seen: row r holds the held-out and the seen items of users[r].
    """

    def __init__(self, seen: UserItems, relevant: UserItems, max_users: int = MAX_USERS) -> None:
        """
        Args:
          seen: the items of every user in the training set.
          relevant: the held-out items of every user; may be empty.
          max_users: maximum number of users.
        """
        users = np.flatnonzero((relevant.counts() > 0) & (seen.counts() > 0)).astype(np.int32)
        self.users: NDArray[np.int32] = users[:: max(1, -(-len(users) // max_users))]
        self.relevant, self.seen = relevant.of_users(self.users), seen.of_users(self.users)

    def ndcg(self, scorer: Scorer) -> float:
        """Mean NDCG@MAIN_CUTOFF over the users, the whole catalogue ranked, seen items left out."""
        return float(self.ndcg_by_user(rank_items(scorer, self.users, self.seen, MAIN_CUTOFF)).mean())

    def ndcg_by_user(self, ranked: NDArray[np.int32]) -> NDArray[np.float64]:
        """[queries] NDCG@MAIN_CUTOFF of each user, of [queries, MAIN_CUTOFF] items, best first, 0 for none."""
        return rank_metrics(ranked, self.relevant, [MAIN_CUTOFF])["ndcg", MAIN_CUTOFF]
