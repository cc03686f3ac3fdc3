"""The best items for queries, with their scores: arrays in, arrays out.

The best candidates by float32 scores are scored again in float64, rounded to float32, and ordered by score, equal
scores by row. An error bound of float32 sums tells if another candidate could belong to the best; if so, more are
scored again. An answer therefore depends neither on the number of queries at a time, nor on the library that
multiplies, nor on the processor.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.exports import layout
from towerline.exports.precision import Table, blocks, inner_products
from towerline.ranking.blocks import BLOCK_SCORES, in_blocks
from towerline.ranking.top_k import MARGIN, score_error, top_k
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import ServingError

if TYPE_CHECKING:
    from towerline.index.approximate import Index

# Above this many exclusions exact search is used: an index would have to find all excluded items first.
MOST_EXCLUDED = 1000
# Number of [queries, candidates, d] float32 arrays that scoring holds at once: both factors and the product in float64.
ARRAYS_HELD = 6
# Factor by which the margin beyond k grows until it is certain that nothing was missed.
GROWTH = 8


class Candidates(NamedTuple):
    """Vectors to search.

    Attributes:
      vectors: [candidates, d] float32 or float16.
      rows: [candidates] int32 ascending, the rows of these in the export.
      longest: the length of the longest vector or more, as from longest(); None where it has to be computed.
      weights: [candidates] float32 from 0 to 1 by which the scores are multiplied; None for 1.
    """

    vectors: Table
    rows: NDArray[np.int32]
    longest: float | None = None
    weights: NDArray[np.float32] | None = None


class Best(NamedTuple):
    """The best candidates, best first.

    Attributes:
      rows: [queries, k] int32 rows in the export, -1 if fewer than k candidates are left.
      scores: [queries, k] float32, -inf for these.
    """

    rows: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def nothing(cls, num_queries: int, k: int) -> "Best":
        """Answers without any candidate."""
        return cls(np.full((num_queries, k), -1, np.int32), np.full((num_queries, k), -np.inf, np.float32))


def best_items(queries: NDArray[np.float32], candidates: Candidates, excluded: UserItems, k: int) -> Best:
    """The k candidates with the largest scores, exactly.

    Args:
      queries: [queries, d] float32.
      candidates: the vectors to search.
      excluded: row r holds the rows in the export that are excluded for query r.
      k: at least 1.
    """
    best = Best.nothing(len(queries), k)
    if not len(candidates.rows):
        return best
    excluded_positions = _positions(excluded, candidates.rows)
    error = 2 * _score_errors(queries, candidates)
    left = np.arange(len(queries), dtype=np.int32)
    margin = MARGIN
    while len(left):
        asked = min(k + margin, len(candidates.rows))
        positions = _float32_best(queries[left], candidates, excluded_positions.of_users(left), asked)
        answer, least = rescored(queries[left], candidates, positions, k)
        best.rows[left], best.scores[left] = answer
        # All other float32 scores are at most the least of these, and both may be off by one error.
        certain = (least == -np.inf) | (least + error[left] < answer.scores[:, -1])
        left = left[~certain & (asked < len(candidates.rows))]
        margin *= GROWTH
    return best


def _float32_best(
    queries: NDArray[np.float32], candidates: Candidates, excluded: UserItems, k: int
) -> NDArray[np.int32]:
    """[queries, k] int32 positions of the candidates with the largest float32 scores, -1 where fewer are left.

    Args:
      queries, candidates, k: as in best_items().
      excluded: row r holds the positions that are excluded for query r.
    """

    def of_block(start: int, stop: int) -> NDArray[np.int32]:
        scores = inner_products(queries[start:stop], candidates.vectors)
        if candidates.weights is not None:
            scores *= candidates.weights
        of_block = excluded.of_users(np.arange(start, stop, dtype=np.int32))
        scores[of_block.rows(), of_block.items] = -np.inf
        return top_k(scores, k)

    return np.concatenate(in_blocks(of_block, len(queries), len(candidates.rows)))


def longest(vectors: Table) -> float:
    """Length of the longest of [any, d] vectors, or slightly more; 0 for none."""
    # A thousandth exceeds the error of this sum of squares.
    squares = (np.einsum("ij,ij->i", block, block).max() for _, block in blocks(vectors))
    return float(np.sqrt(max(squares, default=0))) * 1.001


def _score_errors(queries: NDArray[np.float32], candidates: Candidates) -> NDArray[np.float64]:
    """[queries] float64 bound on the difference between the float32 score of a candidate and the exact one."""
    length = longest(candidates.vectors) if candidates.longest is None else candidates.longest
    dimension = queries.shape[1]
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    # A weight is one more factor to round. Products below the smallest normal number may be lost.
    errors: NDArray[np.float64] = (
        score_error(dimension + 1) * length * lengths + 4 * dimension * np.finfo(np.float32).tiny
    )
    return errors


def best_of_index(
    queries: NDArray[np.float32], index: "Index", candidates: Candidates, excluded: UserItems, k: int
) -> Best:
    """As best_items(), among the candidates that an approximate index finds.

    Args:
      queries: [queries, d] float32.
      index: of all the candidates.
      candidates, excluded, k: as in best_items().
    """
    few = np.flatnonzero(excluded.counts() <= MOST_EXCLUDED).astype(np.int32)
    nearest = _rows_of_index(queries[few], index, len(candidates.rows), excluded.of_users(few), k + MARGIN)
    # Exact search if the searched lists hold too few items, or for many exclusions.
    enough = (nearest >= 0).sum(axis=1) >= k
    best = Best.nothing(len(queries), k)
    others = np.setdiff1d(np.arange(len(queries), dtype=np.int32), few[enough])
    for rows, answer in (
        (few[enough], rescored(queries[few[enough]], candidates, nearest[enough], k)[0]),
        (others, best_items(queries[others], candidates, excluded.of_users(others), k)),
    ):
        best.rows[rows], best.scores[rows] = answer
    return best


def _rows_of_index(
    queries: NDArray[np.float32], index: "Index", num_items: int, excluded: UserItems, wanted: int
) -> NDArray[np.int32]:
    """[queries, wanted] int32 rows that the index finds, without the excluded ones, -1 for none.

    The number of searched lists depends on `wanted` alone, not on the exclusions of other queries.

    Raises:
      ServingError: the index returns rows that do not exist, since its file is damaged.
    """
    width = min(num_items, wanted + int(excluded.counts().max(initial=0)))
    rows = index.search(queries, width, index.probes_of(wanted))
    if rows.min(initial=-1) < -1 or rows.max(initial=-1) >= num_items:
        raise ServingError(
            f"{layout.INDEX}: expected an index of {num_items} items, found other items in it; run "
            "python -m towerline verify on the folder that is open"
        )
    own = np.arange(len(queries))[:, None] * num_items
    rows[np.isin(own + rows, excluded.rows() * num_items + excluded.items)] = -1
    kept = np.argsort(rows < 0, axis=1, kind="stable")[:, :wanted]
    return np.take_along_axis(rows, kept, axis=1)


def rescored(
    queries: NDArray[np.float32], candidates: Candidates, positions: NDArray[np.int32], k: int
) -> tuple[Best, NDArray[np.float32]]:
    """Returns the k best of some candidates for each query, and the least score of these candidates.

    Args:
      queries: [queries, d] float32.
      candidates: the vectors to search.
      positions: [queries, any] int32 positions among the candidates, -1 for none.
      k: at least 1.

    Returns:
      The best, and [queries] float32 least scores, -inf if a position is -1.
    """

    def of_block(start: int, stop: int) -> tuple[Best, NDArray[np.float32]]:
        position = np.maximum(positions[start:stop], 0)
        scores = _scores_at(queries[start:stop], candidates, position)
        scores[positions[start:stop] < 0] = -np.inf
        best = _ordered(position, scores, k)
        rows = np.where(best.scores > -np.inf, candidates.rows[best.rows], np.int32(-1))
        return Best(rows, best.scores), scores.min(axis=1)

    answers = in_blocks(of_block, len(queries), ARRAYS_HELD * positions.shape[1] * queries.shape[1])
    shown = Best.nothing(len(queries), k)
    if not answers:
        return shown, np.zeros(0, np.float32)
    shown.rows[:, : positions.shape[1]] = np.concatenate([best.rows for best, _ in answers])
    shown.scores[:, : positions.shape[1]] = np.concatenate([best.scores for best, _ in answers])
    return shown, np.concatenate([least for _, least in answers])


def pair_scores(queries: Table, vectors: Table, rows: NDArray[np.int32]) -> NDArray[np.float32]:
    """[queries, any] float32 inner products, summed in float64, of each query with the vectors in its row of `rows`."""

    def of_block(start: int, stop: int) -> NDArray[np.float32]:
        return _exact_products(queries[start:stop], vectors[rows[start:stop]]).astype(np.float32)

    scores = in_blocks(of_block, len(queries), ARRAYS_HELD * max(1, rows.shape[1]) * queries.shape[1])
    return np.concatenate([np.zeros((0, rows.shape[1]), np.float32), *scores])


def _exact_products(queries: Table, vectors: Table) -> NDArray[np.float64]:
    """[queries, any] float64 of [queries, d] and [queries, any, d]."""
    products: NDArray[np.float64] = np.einsum("qd,qcd->qc", queries.astype(np.float64), vectors.astype(np.float64))
    return products


def _scores_at(
    queries: NDArray[np.float32], candidates: Candidates, position: NDArray[np.int32]
) -> NDArray[np.float32]:
    """[queries, any] float32, summed in float64, of each query with the candidates at its row of positions.

    Long rows of positions are cut into pieces, so that memory does not grow with them.
    """
    step = max(1, BLOCK_SCORES // (ARRAYS_HELD * len(queries) * queries.shape[1]))
    pieces = [position[:, start : start + step] for start in range(0, position.shape[1], step)]
    scores = np.concatenate([_exact_products(queries, candidates.vectors[piece]) for piece in pieces], axis=1)
    if candidates.weights is not None:
        scores *= candidates.weights[position]
    return scores.astype(np.float32)


def _ordered(position: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> Best:
    """The first k of each row: the largest scores first, equal ones by position."""
    order = np.lexsort((position, -scores))[:, :k]
    return Best(np.take_along_axis(position, order, axis=1), np.take_along_axis(scores, order, axis=1))


def excluding(excluded: UserItems, rows: NDArray[np.int32]) -> UserItems:
    """Adds the same [any] int32 rows to the excluded rows of each query."""
    if not len(rows):
        return excluded
    num_queries = len(excluded.starts) - 1
    query = np.concatenate([excluded.rows(), np.repeat(np.arange(num_queries), len(rows))]).astype(np.int32)
    return UserItems.of_pairs(query, np.concatenate([excluded.items, np.tile(rows, num_queries)]), num_rows=num_queries)


def _positions(excluded: UserItems, rows: NDArray[np.int32]) -> UserItems:
    """Excluded rows in the export as positions among the candidates' [candidates] int32 rows, others left out."""
    position = np.searchsorted(rows, excluded.items).astype(np.int32)
    kept = position < len(rows)
    kept[kept] = rows[position[kept]] == excluded.items[kept]
    return UserItems(np.concatenate([[0], np.cumsum(kept)])[excluded.starts], position[kept])
