"""The best items for queries, with their scores: arrays in, arrays out.

What is found with float32 is scored again in float64, rounded to float32, and ordered by score, equal scores by row. So
an answer does not depend on how many queries are asked at once, on the library that multiplies, or on the processor.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.ranking.blocks import in_blocks
from stages.ranking.scorers import Columns
from stages.ranking.top_k import MARGIN, rank_items
from stages.ranking.user_items import UserItems

if TYPE_CHECKING:
    from stages.ranking.approximate import Index

# Who excludes more items than this is not answered by an index, which would have to find them all first.
MOST_EXCLUDED = 1000
# Arrays of one float32 a query, candidate and dimension that scoring holds at once: in float64 both, and their product.
ARRAYS_HELD = 6


class Candidates(NamedTuple):
    """What may be shown.

    Attributes:
      vectors: [candidates, d] float32.
      rows: [candidates] int32 ascending, the rows of these in the export.
    """

    vectors: NDArray[np.float32]
    rows: NDArray[np.int32]


class Best(NamedTuple):
    """What is shown, best first.

    Attributes:
      rows: [queries, k] int32 rows in the export, -1 where fewer than k candidates are left.
      scores: [queries, k] float32, -inf there.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]


class _InnerProducts(NamedTuple):
    """Scorer of vectors without the row of an unknown item: column c is candidate c - 1."""

    queries: NDArray[np.float32]
    vectors: NDArray[np.float32]

    @property
    def num_columns(self) -> int:
        return len(self.vectors) + 1

    def scores(self, users: NDArray[np.int32], columns: Columns) -> NDArray[np.float32]:
        found = np.empty((len(users), self.num_columns), np.float32)
        found[:, 0] = -np.inf
        np.matmul(self.queries[users], self.vectors.T, out=found[:, 1:])
        return found[:, columns]


def best_items(queries: NDArray[np.float32], candidates: Candidates, excluded: UserItems, k: int) -> Best:
    """The k candidates with the largest inner product, exactly.

    Args:
      queries: [queries, d] float32.
      candidates: what may be shown.
      excluded: row r holds the rows in the export that query r must not be shown.
      k: at least 1.
    """
    num_queries = len(queries)
    if not len(candidates.rows):
        return _nothing(num_queries, k)
    scorer = _InnerProducts(queries, candidates.vectors)
    asked = min(k + MARGIN, len(candidates.rows))
    ranked = rank_items(scorer, np.arange(num_queries, dtype=np.int32), _columns(excluded, candidates.rows), asked)
    return rescored(queries, candidates, ranked - 1, k)


def best_of_index(
    queries: NDArray[np.float32], index: "Index", candidates: Candidates, excluded: UserItems, k: int
) -> Best:
    """As best_items(), among what an approximate index finds.

    Args:
      queries: [queries, d] float32.
      index: of all the candidates.
      candidates, excluded, k: as in best_items().
    """
    few = np.flatnonzero(excluded.counts() <= MOST_EXCLUDED).astype(np.int32)
    found = _found(queries[few], index, len(candidates.rows), excluded.of_users(few), k + MARGIN)
    # Where the lists that were looked into hold too little, and for those who exclude much: search of everything.
    enough = (found >= 0).sum(axis=1) >= k
    best = _nothing(len(queries), k)
    others = np.setdiff1d(np.arange(len(queries), dtype=np.int32), few[enough])
    for rows, answer in (
        (few[enough], rescored(queries[few[enough]], candidates, found[enough], k)),
        (others, best_items(queries[others], candidates, excluded.of_users(others), k)),
    ):
        best.rows[rows], best.scores[rows] = answer
    return best


def _found(
    queries: NDArray[np.float32], index: "Index", num_items: int, excluded: UserItems, wanted: int
) -> NDArray[np.int32]:
    """[queries, wanted] int32 rows that the index finds beside the excluded ones, -1 for none.

    How far it looks depends on `wanted` alone, not on what others of the batch exclude.
    """
    width = min(num_items, wanted + int(excluded.counts().max(initial=0)))
    found = index.search(queries, width, index.probes_of(wanted))
    own = np.arange(len(queries))[:, None] * num_items
    found[np.isin(own + found, excluded.rows() * num_items + excluded.items)] = -1
    kept = np.argsort(found < 0, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(found, kept, axis=1)


def rescored(queries: NDArray[np.float32], candidates: Candidates, found: NDArray[np.int32], k: int) -> Best:
    """The k best of what was found for each query.

    Args:
      queries: [queries, d] float32.
      candidates: what may be shown.
      found: [queries, any] int32 positions among the candidates, -1 for none.
      k: at least 1.
    """

    def of_block(start: int, stop: int) -> Best:
        position = found[start:stop]
        scores = _inner_products(queries[start:stop], candidates.vectors[np.maximum(position, 0)])
        best = _ordered(np.maximum(position, 0), np.where(position < 0, np.float32(-np.inf), scores), k)
        return Best(np.where(best.scores > -np.inf, candidates.rows[best.rows], np.int32(-1)), best.scores)

    blocks = in_blocks(of_block, len(queries), ARRAYS_HELD * found.shape[1] * queries.shape[1])
    shown = _nothing(len(queries), k)
    if blocks:
        shown.rows[:, : found.shape[1]] = np.concatenate([block.rows for block in blocks])
        shown.scores[:, : found.shape[1]] = np.concatenate([block.scores for block in blocks])
    return shown


def _nothing(num_queries: int, k: int) -> Best:
    return Best(np.full((num_queries, k), -1, np.int32), np.full((num_queries, k), -np.inf, np.float32))


def pair_scores(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], rows: NDArray[np.int32]
) -> NDArray[np.float32]:
    """[queries, any] float32 inner products, summed in float64, of each query with the vectors in its row of `rows`."""

    def of_block(start: int, stop: int) -> NDArray[np.float32]:
        return _inner_products(queries[start:stop], vectors[rows[start:stop]])

    blocks = in_blocks(of_block, len(queries), ARRAYS_HELD * max(1, rows.shape[1]) * queries.shape[1])
    return np.concatenate([np.zeros((0, rows.shape[1]), np.float32), *blocks])


def _inner_products(queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[queries, any] float32, summed in float64, of [queries, d] and [queries, any, d]."""
    found: NDArray[np.float64] = np.einsum("qd,qcd->qc", queries.astype(np.float64), vectors.astype(np.float64))
    return found.astype(np.float32)


def _ordered(position: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> Best:
    """The first k of each row: the largest scores first, equal ones by position.

    A sort of whole numbers, several times faster than one of pairs: the score's bits, turned so that they ascend as it
    descends, in front of the position's.
    """
    key = (~_ascending((scores + np.float32(0)).view(np.int32))).astype(np.int64) << 32 | position
    key = np.sort(key, axis=1)[:, :k]
    bits = _ascending((~(key >> 32)).astype(np.int32))
    return Best((key & 0xFFFFFFFF).astype(np.int32), bits.view(np.float32))


def _ascending(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    """The bits of floats as integers of the same order, and back: below 0 a float's bits ascend as it descends."""
    return np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)


def excluding(excluded: UserItems, rows: NDArray[np.int32]) -> UserItems:
    """The excluded rows of each query, and the same [any] int32 rows for each of them."""
    if not len(rows):
        return excluded
    num_queries = len(excluded.starts) - 1
    query = np.concatenate([excluded.rows(), np.repeat(np.arange(num_queries), len(rows))]).astype(np.int32)
    return UserItems.of_pairs(query, np.concatenate([excluded.items, np.tile(rows, num_queries)]), num_queries - 1)


def _columns(excluded: UserItems, rows: NDArray[np.int32]) -> UserItems:
    """Excluded rows as columns of the scorer; those of rows that are no candidates as column 0, which is none's."""
    position = np.searchsorted(rows, excluded.items)
    there = position < len(rows)
    there[there] = rows[position[there]] == excluded.items[there]
    return UserItems(excluded.starts, np.where(there, position + 1, 0).astype(np.int32))
