"""The most popular items of each type, in proportion to the types of a user's items."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.ranking.popularity import decayed_counts
from towerline.ranking.scorers import Embeddings

# Rows of the types' overall shares that are added to a user's, so that no type is without a share.
TYPE_PSEUDO_ROWS = 1.0


def most_popular_of_type(rows: Interactions, item_type: NDArray[np.int64], num_types: int) -> Embeddings:
    """Popularity within an item's type, times the share of that type in the user's rows.

    The shares are smoothed: a user without rows has those of all rows together, and a type that a user has not
    interacted with is ranked by popularity.

    Args:
      rows: the rows to count, by their strengths.
      item_type: [num_items + 1] type of each item, from 0.
      num_types: number of types.

    Returns:
      [num_users + 1, num_types] shares of the user's rows, and [num_items + 1, num_types] with, in the column of the
      item's type, its share of that type's rows.
    """
    kind = item_type[rows.item_index]
    strength = np.ones(len(kind), np.float32) if rows.strength is None else rows.strength
    shape = (rows.num_users + 1, num_types)
    of_user = sparse.coo_array((strength, (rows.user_index, kind)), shape).toarray()
    of_type = np.bincount(kind, strength, num_types)
    of_user += (TYPE_PSEUDO_ROWS * of_type / max(of_type.sum(), 1)).astype(np.float32)
    of_user /= of_user.sum(axis=1, keepdims=True)
    counts = decayed_counts(rows, None)
    of_item = np.zeros((rows.num_items + 1, num_types))
    of_item[np.arange(len(counts)), item_type] = counts / np.where(of_type > 0, of_type, 1)[item_type]
    return Embeddings(of_user, of_item.astype(np.float32))
