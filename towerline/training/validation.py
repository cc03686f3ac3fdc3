"""Metrics and calibration on the validation set, at a cost of about a tenth of the epoch's.

They score all items for each user, so that their cost grows with the catalogue, while that of training does not. The
number of users is therefore limited by the number of logits in an epoch, each of which, with its gradients, takes some
ten times as long as a score (measured on 10,506 and on 105,000 items).
"""

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.metrics.ratings import RatingModel, root_mean_squared_error
from towerline.metrics.validation import HeldOut
from towerline.ranking.user_items import UserItems
from towerline.training.calibration import Calibration, calibrated

# Scores per logit of an epoch, for the ranking and for each Newton step of the calibration.
RANKING_SHARE, CALIBRATION_SHARE = 0.3, 0.2
# Scores that take less than a second, whatever the epoch takes. On small data, NDCG over fewer users is too noisy to
# choose an epoch by.
FREE_SCORES = 20_000_000
# More users would make neither the mean nor the two calibrated numbers noticeably more precise.
MAX_RANKED_USERS, MAX_CALIBRATION_USERS = 1_200, 1_000
# Scores beyond which fewer users have to do, for catalogues of several hundred thousand items: ranking takes three
# seconds of two cores then, and the calibration less than one for each Newton step.
MAX_RANKED_SCORES, MAX_CALIBRATION_SCORES = 800_000_000, 100_000_000
# Fewer users would make them too imprecise to be of use.
MIN_USERS = 100
# The prior is chosen once, with up to a hundred scores of an item for each user, which cost as much time as a few
# epochs. More users make the choice more precise.
MIN_PRIOR_USERS, MAX_PRIOR_USERS, PRIOR_SCORES = 500, 3_000, 30_000_000


class Validation:
    """NDCG@20 over users, RMSE over rows, and calibration.

    Attributes:
      ranked: the users that NDCG@20 is measured on.
      calibration_users: the users whose choices the calibration is fitted to.
      prior_users: the users that the popularity prior is chosen for.
    """

    def __init__(
        self,
        seen: UserItems,
        rows: Interactions,
        relevant_rows: Interactions,
        num_logits: int,
        candidates: NDArray[np.int32] | None = None,
    ) -> None:
        """
        Args:
          seen: the items of every user in the training set.
          rows: the validation set, whose ratings are predicted; may be empty.
          relevant_rows: its rows that are no dislikes, whose items are relevant.
          num_logits: logits of the training loss in an epoch.
          candidates: the items that are ranked; None for all. The calibration is among all items in any case.
        """
        relevant = UserItems.of_interactions(relevant_rows)
        num_ranked, num_calibration = (
            num_users(min(share * num_logits, scores), rows.num_items, maximum)
            for share, scores, maximum in (
                (RANKING_SHARE, MAX_RANKED_SCORES, MAX_RANKED_USERS),
                (CALIBRATION_SHARE, MAX_CALIBRATION_SCORES, MAX_CALIBRATION_USERS),
            )
        )
        self.ranked = HeldOut(seen, relevant, num_ranked, candidates)
        self.calibration_users = HeldOut(seen, relevant, num_calibration)
        num_prior = num_users(PRIOR_SCORES, rows.num_items, MAX_PRIOR_USERS, MIN_PRIOR_USERS)
        self.prior_users = HeldOut(seen, relevant, num_prior, candidates)
        self.rows = rows

    def rmse(self, rating_model: RatingModel) -> float:
        """Root mean squared error in the unit of the ratings."""
        rows = self.rows
        if rows.rating is None:
            raise ValueError("expected ratings in the validation set, found none")
        predicted = rating_model.predict(rows.user_index, rows.item_index)
        return root_mean_squared_error(predicted, rows.rating)

    def calibration(
        self,
        user_vectors: NDArray[np.float32],
        item_vectors: NDArray[np.float32],
        log_popularity: NDArray[np.float32],
        start: Calibration,
    ) -> Calibration:
        """Temperature and popularity prior by maximum likelihood.

        Args:
          user_vectors: [users, d] float32 of calibration_users.
          item_vectors: [num_items + 1, d] float32.
          log_popularity: [num_items + 1] float32.
          start: of the iterations.
        """
        users = self.calibration_users
        return calibrated(user_vectors, item_vectors, log_popularity, users.relevant, users.seen, start)


def num_users(num_scores: float, num_items: int, maximum: int, minimum: int = MIN_USERS) -> int:
    """The number of users whose scores for all items are num_scores, or FREE_SCORES; from minimum to maximum."""
    return int(np.clip(max(num_scores, FREE_SCORES) / num_items, minimum, maximum))
