"""Exact top-k over a whole catalogue, in blocks of users, and of items where the catalogue is large.

Candidates are ordered by score, equal scores by index.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.ranking import blocks
from towerline.ranking.scorers import Columns, Scorer
from towerline.ranking.user_items import UserItems

# Number of items in a group whose largest score is used to find a lower bound of the k-th largest score.
GROUP_ITEMS = 64
# Where k and this many scores of a row reach the bound, most of them are equal to it, and only the first k of these are
# sorted. Where a user has fewer than k similar items, all other items have the score 0.
MANY = 1_000
# Number of additional candidates whose scores are computed again in float64: usually enough to prove, by score_error(),
# that no item of the first k is missing.
MARGIN = 16
# Users of a block where there are as many: a catalogue that is too large for that is scored in parts. The embeddings of
# items are read from memory once for each block, which takes longer than the inner products with a few users.
FEWEST_USERS = 128
_LOWEST = np.finfo(np.float32).min


def score_error(dimension: int) -> float:
    """Bound of the difference between a float32 inner product and the float64 one rounded to float32.

    The figure is a share of the product of both vectors' lengths. With the unit roundoff u = 2^-24, a sum of d products
    in any order is off by at most d u / (1 - d u) of it (Higham 2002, section 3.1); rounding adds u, and the sum in
    float64 less than another u.
    """
    rounded = (dimension + 2) * 2.0**-24
    return rounded / (1 - rounded)


def top_k(
    scores: NDArray[np.float32], k: int, at_least: NDArray[np.float32] | np.float32 = _LOWEST
) -> NDArray[np.int32]:
    """Indices of each row's k largest scores, best first, equal scores by index.

    The k-th largest of the maxima of groups of columns is a lower bound of the k-th largest score, so that only the few
    scores that reach the bound have to be sorted.

    Args:
      scores: [rows, columns] float32 without NaN; -inf is never among the result.
      k: at least 1.
      at_least: [rows, 1] float32 finite, or one number: lower scores are not among the result either.

    Returns:
      [rows, k] int32; -1 where a row has fewer than k such scores.
    """
    rows, columns = scores.shape
    group = max(1, min(GROUP_ITEMS, columns // (4 * k)))
    num_groups = columns // group
    bound = np.broadcast_to(at_least, (rows, 1))
    if num_groups >= k:
        # Interleaved groups: the maximum runs over contiguous memory.
        maxima = scores[:, : group * num_groups].reshape(rows, group, num_groups).max(axis=1)
        kth = np.partition(maxima, num_groups - k, axis=1)[:, num_groups - k, None]
        bound = np.maximum(bound, kth)
    reached = scores >= bound
    if np.count_nonzero(reached) > rows * (k + MANY):
        for crowded in np.flatnonzero(np.count_nonzero(reached, axis=1) > k + MANY):
            tied = np.flatnonzero(scores[crowded] == bound[crowded])
            reached[crowded, tied[k:]] = False
    row, column = np.divmod(np.flatnonzero(reached), columns)
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

    def scores(start: int, stop: int, columns: Columns) -> list[NDArray[np.float32]]:
        return [scorer.scores(users[start:stop], columns)]

    return rank_by_each(scores, 1, scorer.num_columns, excluded, k, candidates, progressed)[0]


def rank_by_each(
    scores_of: Callable[[int, int, Columns], Iterable[NDArray[np.float32]]],
    number: int,
    num_columns: int,
    excluded: UserItems,
    k: int,
    candidates: NDArray[np.int32] | None = None,
    progressed: Callable[[int], object] = lambda users: None,
    arrays_held: int = 1,
) -> list[NDArray[np.int32]]:
    """The k best items for each user by each of several scorers that share a part of their work.

    Args:
      scores_of: called with the first query of a block, the query after its last, and items; gives one array of scores
        after the other, as Scorer.scores() does.
      number: how many.
      num_columns: of the scorers.
      excluded, k, candidates, progressed: as of rank_items().
      arrays_held: arrays of scores that are in memory at the same time.

    Returns:
      For each scorer, what rank_items() returns.
    """
    everything = np.arange(num_columns, dtype=np.int32)
    item_of = everything if candidates is None else np.concatenate([everything[:1], candidates])
    # Items that are no candidates share column 0 with the unknown item.
    column_of = np.zeros(len(everything), np.int32)
    column_of[item_of] = np.arange(len(item_of), dtype=np.int32)
    width = min(len(item_of), max(1, blocks.BLOCK_SCORES // FEWEST_USERS))

    def rank_block(start: int, stop: int) -> list[NDArray[np.int32]]:
        of_block = excluded.of_users(np.arange(start, stop, dtype=np.int32))
        rows, left_out = of_block.rows(), column_of[of_block.items]
        best = [_Best.none(stop - start)] * number
        for first in range(0, len(item_of), width):
            items = item_of[first : first + width]
            columns: Columns = slice(first, first + width) if candidates is None else items
            inside = (left_out >= first) & (left_out < first + width)
            for place, scores in enumerate(scores_of(start, stop, columns)):
                scores[rows[inside], left_out[inside] - first] = -np.inf
                if first == 0:
                    scores[:, 0] = -np.inf
                best[place] = best[place].updated(scores, items, k)
        return [of_one.items for of_one in best]

    ranked = blocks.in_blocks(rank_block, len(excluded.starts) - 1, arrays_held * width, progressed)
    nothing = np.zeros((0, k), np.int32)
    return [np.concatenate([nothing, *(block[place] for block in ranked)]) for place in range(number)]


class _Best(NamedTuple):
    """The best items of some users among the columns so far, best first.

    Attributes:
      items: [users, count] int32; 0 for none.
      scores: [users, count] float32; -inf for none.
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def none(cls, users: int) -> "_Best":
        return cls(np.zeros((users, 0), np.int32), np.zeros((users, 0), np.float32))

    def updated(self, scores: NDArray[np.float32], items: NDArray[np.int32], k: int) -> "_Best":
        """The k best of these and of [columns] int32 items, all of them larger, with their [users, columns] scores."""
        if not self.items.shape[1]:
            return _Best(np.broadcast_to(items, scores.shape), scores).first(k)
        # Of equal scores, those so far have the smaller indices, and stay first.
        above = np.nextafter(self.scores[:, -1:], np.float32(np.inf))
        found = _Best(np.broadcast_to(items, scores.shape), scores).first(k, above)
        return _Best(*(np.concatenate(pair, axis=1) for pair in zip(self, found, strict=True))).first(k)

    def first(self, k: int, at_least: NDArray[np.float32] | np.float32 = _LOWEST) -> "_Best":
        """The k best, as top_k() finds them."""
        ranked = top_k(self.scores, k, at_least)
        place, is_none = np.maximum(ranked, 0), ranked < 0
        items, scores = (np.take_along_axis(values, place, axis=1) for values in self)
        return _Best(np.where(is_none, 0, items), np.where(is_none, np.float32(-np.inf), scores))
