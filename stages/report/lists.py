"""The lists of the examples and of the search: recommendations, similar users and similar items."""

import numpy as np
from numpy.typing import NDArray

from stages.report import neighbours
from stages.report.inputs import Inputs
from stages.report.neighbours import Neighbours
from towerline.feedback.strengths import liked
from towerline.ranking.scorers import Embeddings, Scorer
from towerline.ranking.similarity import evidence
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems


class Lists:
    """Recommendations and neighbours of users and items.

    Attributes:
      data: all inputs.
      popularity: [num_items + 1] known rows of each item, those of the training and validation set.
      seen: items of the training and validation set by user.
      liked: those of them that are no dislikes.
      test: items of the test set by user, those that are no dislikes.
      interactions: items of all sets by user.
      user_taste, item_taste: embeddings without their popularity prior.
    """

    def __init__(self, data: Inputs) -> None:
        self.data = data
        known = data.rows("train", "validation")
        self.popularity = np.bincount(known.item_index, minlength=known.num_items + 1)
        self.seen = data.items_by_user("train", "validation")
        below = data.settings["dislikes"]["below"]
        self.liked = UserItems.of_interactions(liked(known, known, below))
        self.test = UserItems.of_interactions(liked(data.sets["test"], known, below))
        self.interactions = data.items_by_user("train", "validation", "test")
        self.user_taste = neighbours.taste(data.user_embeddings)
        self.item_taste = neighbours.taste(data.item_embeddings)
        self._weighted_users = self.user_taste * evidence(self.interactions.counts())[:, None]

    def activity(self) -> NDArray[np.int64]:
        """[num_users + 1] number of seen items; 0 for a user without a trained vector."""
        return np.where(neighbours.trained(self.user_taste), self.seen.counts(), 0)

    def recommended(self, users: NDArray[np.int32], k: int, scorer: Scorer | None = None) -> NDArray[np.int32]:
        """[users, k] int32 items by score without the seen ones, 0 where there are no more.

        Args:
          users: [users] int32.
          k: number of items.
          scorer: a baseline; None for the model.
        """
        model = Embeddings(self.data.user_embeddings, self.data.item_embeddings)
        return rank_items(scorer or model, users, self.seen.of_users(users), k)

    def similar_users(self, users: NDArray[np.int32], count: int) -> Neighbours:
        """The most similar users, as `towerline.serving.Recommender.similar_users` defines similarity."""
        return neighbours.nearest(self._weighted_users, users, count)

    def similar_items(self, items: NDArray[np.int32], count: int) -> Neighbours:
        """The items with the largest cosine, popularity left out."""
        return neighbours.nearest(self.item_taste, items, count)


def items_of(items: UserItems, user: np.int32) -> NDArray[np.int32]:
    """The items of one user."""
    return items.items[items.starts[user] : items.starts[user + 1]]
