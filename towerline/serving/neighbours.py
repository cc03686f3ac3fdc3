"""The nearest other users or items by cosine."""

import numpy as np
from numpy.typing import NDArray

from towerline.exports.precision import Table, as_float32
from towerline.ranking.embedding import directions
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import check_positive
from towerline.serving.ranking import Best, Candidates, best_items


def nearest(
    embeddings: Table,
    length: float,
    rows: NDArray[np.int32],
    k: int,
    weights: NDArray[np.float32] | None = None,
) -> Best:
    """The k nearest other rows by cosine; only those with a cosine above 0.

    Args:
      embeddings: [any, d] float32 or float16.
      length: length of the longest embedding or more.
      rows: [queries] int32, -1 for an unknown id, whose answer is empty.
      k: at least 1.
      weights: [any] float32 from 0 to 1, by which the cosine is multiplied, for both rows; None for 1.
    """
    check_positive("k", k)
    taste = Candidates(directions(embeddings), np.arange(len(embeddings), dtype=np.int32), length, weights)
    known = np.flatnonzero(rows >= 0)
    # All rows are equally near to an untrained row, which is zeros.
    trained = known[taste.vectors[rows[known]].any(axis=1)]
    own = UserItems(np.arange(len(trained) + 1), rows[trained])
    queries = as_float32(taste.vectors[rows[trained]])
    if weights is not None:
        queries = queries * weights[rows[trained], None]
    found = best_items(queries, taste, own, min(int(k), len(embeddings)))
    best = Best.nothing(len(rows), found.rows.shape[1])
    best.rows[trained] = np.where(found.scores > 0, found.rows, -1)
    best.scores[trained] = found.scores
    return best
