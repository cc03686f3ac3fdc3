"""Scores and ratings of pairs of a user and an item, NaN where one of the two is unknown."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from towerline.metrics.ratings import RatingModel
from towerline.ranking.blocks import in_blocks
from towerline.serving.exported import Exported
from towerline.serving.ranking import ARRAYS_HELD, pair_scores


def scores(exported: Exported, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
    """[users, items] float32 inner products of the rows' embeddings, NaN for rows of -1."""

    def of_rows(users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
        queries = exported.user_embeddings[users]
        return pair_scores(queries, exported.item_embeddings, np.broadcast_to(items, (len(users), len(items))))

    return _of_known(of_rows, users, items)


def ratings(model: RatingModel, users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
    """[users, items] float32 predicted ratings of the rows, NaN for rows of -1."""

    def of_rows(users: NDArray[np.int32], items: NDArray[np.int32]) -> NDArray[np.float32]:
        def of_block(start: int, stop: int) -> NDArray[np.float32]:
            user, item = (index.ravel() for index in np.meshgrid(users[start:stop], items, indexing="ij"))
            return model.predict(user, item).reshape(stop - start, len(items))

        query_scores = ARRAYS_HELD * max(1, len(items)) * max(1, model.user_factors.shape[1])
        blocks = in_blocks(of_block, len(users), query_scores)
        return np.concatenate([np.zeros((0, len(items)), np.float32), *blocks])

    return _of_known(of_rows, users, items)


def _of_known(
    values: Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.float32]],
    users: NDArray[np.int32],
    items: NDArray[np.int32],
) -> NDArray[np.float32]:
    """[users, items] float32 values of the rows, NaN for rows of -1."""
    if (users >= 0).all() and (items >= 0).all():
        return values(users, items)
    known = np.full((len(users), len(items)), np.nan, np.float32)
    known[np.ix_(users >= 0, items >= 0)] = values(users[users >= 0], items[items >= 0])
    return known
