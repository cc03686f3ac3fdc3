"""Exact top-k over a whole catalogue, in blocks of users.

Candidates are ordered by score, equal scores by index.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.blocks import in_blocks
from towerline.ranking.scorers import Columns, Scorer
from towerline.ranking.user_items import UserItems

# Number of items in a group whose largest score is used to find a lower bound of the k-th largest score.
GROUP_ITEMS = 64
# Number of additional candidates whose scores are computed again in float64: usually enough to prove, by score_error(),
# that no item of the first k is missing.
MARGIN = 16
_LOWEST = np.finfo(np.float32).min


def score_error(dimension: int) -> float:
    """Bound of the difference between a float32 inner product and the float64 one rounded to float32.

    The figure is a share of the product of both vectors' lengths. With the unit roundoff u = 2^-24, a sum of d products
    in any order is off by at most d u / (1 - d u) of it (Higham 2002, section 3.1); rounding adds u, and the sum in
    float64 less than another u.
    """
    rounded = (dimension + 2) * 2.0**-24
    return rounded / (1 - rounded)


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int32]:
    """Indices of each row's k largest scores, best first, equal scores by index.

    The k-th largest of the maxima of groups of columns is a lower bound of the k-th largest score, so that only the few
    scores that reach the bound have to be sorted.

    Args:
      scores: [rows, columns] float32 without NaN; -inf is never among the result.
      k: at least 1.

    Returns:
      [rows, k] int32; -1 where a row has fewer than k scores above -inf.
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
    ranked = np.full((rows, k), -1, np.int32)
    first = rank < k
    ranked[row[first], rank[first]] = column[first]
    return ranked


def rank_items(
    scorer: Scorer,
    users: NDArray[np.int32],
    excluded: UserItems,
    k: int,
    candidates: NDArray[np.int32] | None = None,
    progressed: Callable[[int], object] = lambda users: None,
) -> NDArray[np.int32]:
    """The k best items for each user, best first, equal scores by index.

    Args:
      scorer: what gives items their scores.
      users: [queries] int32.
      excluded: row r holds the items that users[r] must not be shown.
      k: at least 1.
      candidates: [items] int32 ascending, the only items to be shown, 0 not among them; None for the whole catalogue.
      progressed: called with the number of users ranked since its last call.

    Returns:
      [queries, k] int32 item indices; 0 where fewer than k candidates are left.
    """
    columns: Columns = slice(None) if candidates is None else np.concatenate([np.zeros(1, np.int32), candidates])
    item_of = np.arange(scorer.num_columns, dtype=np.int32)[columns]
    column_of = np.zeros(scorer.num_columns, np.int32)
    column_of[item_of] = np.arange(len(item_of), dtype=np.int32)

    def rank_block(start: int, stop: int) -> NDArray[np.int32]:
        scores = scorer.scores(users[start:stop], columns)
        of_block = excluded.of_users(np.arange(start, stop, dtype=np.int32))
        # Items that are no candidates share column 0 with the unknown item.
        scores[of_block.rows(), column_of[of_block.items]] = -np.inf
        scores[:, 0] = -np.inf
        return item_of[np.maximum(top_k(scores, k), 0)]

    blocks = in_blocks(rank_block, len(users), len(item_of), progressed)
    return np.concatenate([np.zeros((0, k), np.int32), *blocks])
