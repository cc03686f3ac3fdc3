"""Work over blocks of users, side by side, with a result that does not depend on the number of cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")

# Scores held at once by one thread: 32 MB, whatever the catalogue's size.
BLOCK_SCORES = 1 << 23
# Each holds some 25 MB beside what it ranks: together they stay below 300 MB on any machine.
MAX_THREADS = 8


def in_blocks(
    result_of: Callable[[int, int], Result],
    num_queries: int,
    query_scores: int,
    progressed: Callable[[int], object] = lambda queries: None,
) -> list[Result]:
    """The results of consecutive blocks of queries, in their order; each block's sums are made by one BLAS thread.

    Args:
      result_of: called with the first query of a block and the one behind its last.
      num_queries: how many there are.
      query_scores: how many scores are held for a query, which decides how many queries make a block.
      progressed: called with the number of queries done since its last call.
    """
    rows = max(1, BLOCK_SCORES // query_scores)
    starts = range(0, num_queries, rows)
    stops = [min(start + rows, num_queries) for start in starts]
    results = []
    threads = min(os.cpu_count() or 1, MAX_THREADS)
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for start, stop, result in zip(starts, stops, pool.map(result_of, starts, stops), strict=True):
            results.append(result)
            progressed(stop - start)
    return results
