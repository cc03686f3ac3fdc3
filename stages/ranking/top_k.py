"""Exact top-k by inner product over a whole catalogue, in blocks of users.

Candidates are ordered by score, equal scores by index.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stages.ranking.blocks import in_blocks
from stages.ranking.user_items import UserItems

# Items a group of which only the largest score is looked at when the bound is sought.
GROUP_ITEMS = 64
_LOWEST = np.finfo(np.float32).min


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Indices of each row's k largest scores, best first, equal scores by index.

    The k-th largest of the maxima of groups of columns is a lower bound of the k-th largest score, so that only the few
    scores that reach the bound have to be sorted.

    Args:
      scores: [rows, columns] float32 without NaN; -inf is never among the result.
      k: at least 1.

    Returns:
      [rows, k] int32; 0 where a row has fewer than k scores above -inf.
    """
    rows, columns = scores.shape
    group = max(1, min(GROUP_ITEMS, columns // (4 * k)))
    num_groups = columns // group
    bound = np.full((rows, 1), _LOWEST, np.float32)
    if num_groups >= k:
        # Interleaved groups: the maximum runs over contiguous memory.
        maxima = scores[:, : group * num_groups].reshape(rows, group, num_groups).max(axis=1)
        kth = np.partition(maxima, num_groups - k, axis=1)[:, num_groups - k, None]
        bound = np.maximum(bound, kth)
    row, column = np.divmod(np.flatnonzero(scores >= bound), columns)
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    ranked = np.zeros((rows, k), np.int32)
    first = rank < k
    ranked[row[first], rank[first]] = column[first]
    return ranked


def rank_items(
    query_embeddings: NDArray[np.float32],
    candidate_embeddings: NDArray[np.float32],
    excluded: UserItems,
    k: int,
    progressed: Callable[[int], object] = lambda queries: None,
) -> NDArray[np.int32]:
    """The k best candidates of each query by inner product, best first, equal scores by index.

    Args:
      query_embeddings: [num_queries, d] float32, finite.
      candidate_embeddings: [num_items + 1, d] float32, finite; row 0, the unknown item, is no candidate.
      excluded: row r holds the items that query r must not be shown.
      k: at least 1.
      progressed: called with the number of queries ranked since its last call.

    Returns:
      [num_queries, k] int32 item indices; 0 where fewer than k candidates are left.
    """

    def rank_block(start: int, stop: int) -> NDArray[np.int32]:
        scores = query_embeddings[start:stop] @ candidate_embeddings.T
        scores[:, 0] = -np.inf
        of_block = excluded.of_users(np.arange(start, stop, dtype=np.int32))
        scores[of_block.rows(), of_block.items] = -np.inf
        return top_k(scores, k)

    blocks = in_blocks(rank_block, len(query_embeddings), len(candidate_embeddings), progressed)
    return np.concatenate([np.zeros((0, k), np.int32), *blocks])
