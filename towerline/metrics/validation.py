"""NDCG of a scorer on the validation set, by which settings and epochs are chosen."""

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.artifacts.split import Interactions
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

# More users would cost time and hardly make the mean more precise; of fewer users all are ranked.
MAX_USERS = 10_000
# Scores that the NDCG of one setting takes, which are seconds. For up to 200,000 items they are enough for MAX_USERS.
MAX_SCORES = 2_000_000_000
# With fewer users, the mean would be too noisy to choose by.
MIN_USERS = 1_000


def affordable_users(num_items: int) -> int:
    """The number of users whose scores for all items are MAX_SCORES, from MIN_USERS to MAX_USERS."""
    return int(np.clip(MAX_SCORES // num_items, MIN_USERS, MAX_USERS))


def ranked_candidates(held_out: Interactions, item_type: NDArray[np.str_]) -> NDArray[np.int32] | None:
    """The items that are ranked on a set: those of its type if it has one of several types.

    So it is where split.method is cold_type: the items of the other types are known, and are no answer to the question.

    Args:
      held_out: the validation or test set; may be empty.
      item_type: [num_items + 1] text.

    Returns:
      Ascending int32 indices; None for all items.
    """
    types = np.unique(item_type[held_out.items()])
    if len(types) != 1 or len(np.unique(item_type[1:])) == 1:
        return None
    return np.flatnonzero(item_type == types[0]).astype(np.int32)


class HeldOut:
    """Evenly spaced users among those that have seen and held-out items.

    Attributes:
      users: [queries] int32.
      relevant, seen: row r holds the held-out and the seen items of users[r].
      candidates: the items that are ranked, from ranked_candidates(); None for all.
    """

    def __init__(
        self,
        seen: UserItems,
        relevant: UserItems,
        max_users: int = MAX_USERS,
        candidates: NDArray[np.int32] | None = None,
    ) -> None:
        """
        Args:
          seen: the items of every user in the training set.
          relevant: the held-out items of every user; may be empty.
          max_users: maximum number of users.
          candidates: as the attribute.
        """
        self.candidates = candidates
        users = np.flatnonzero((relevant.counts() > 0) & (seen.counts() > 0)).astype(np.int32)
        self.users: NDArray[np.int32] = users[:: max(1, -(-len(users) // max_users))]
        self.relevant, self.seen = relevant.of_users(self.users), seen.of_users(self.users)

    def ndcg(self, scorer: Scorer) -> float:
        """Mean NDCG@MAIN_CUTOFF over the users, all candidates ranked, seen items left out."""
        ranked = rank_items(scorer, self.users, self.seen, MAIN_CUTOFF, self.candidates)
        return float(self.ndcg_by_user(ranked).mean())

    def ndcg_by_user(self, ranked: NDArray[np.int32]) -> NDArray[np.float64]:
        """[queries] NDCG@MAIN_CUTOFF of each user, of [queries, MAIN_CUTOFF] items, best first, 0 for none."""
        return rank_metrics(ranked, self.relevant, [MAIN_CUTOFF])["ndcg", MAIN_CUTOFF]
