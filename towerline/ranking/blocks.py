"""Parallel work over blocks of users, with results that do not depend on the number of cores."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import numpy as np  # noqa: F401, its BLAS has to be there when libraries are looked up
from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")

# Number of scores that one thread holds at a time: 32 MB, for any size of the catalogue.
BLOCK_SCORES = 1 << 23
# Each thread needs about 25 MB in addition: all together stay below 300 MB on any machine.
MAX_THREADS = 8


class _OneBlasThread:
    """Limits NumPy's BLAS to one thread while at least one thread of the process asks for it.

    The libraries are looked up once: that takes milliseconds, setting their number of threads takes microseconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._blocks == 0:
                self._limiter = _libraries().limit(limits=1)
            self._blocks += 1

    def leave(self) -> None:
        with self._lock:
            self._blocks -= 1
            if self._blocks == 0:
                # threadpoolctl 3.7 lets nobody but the thread that set the limit change it, and this may be another.
                _clear_controlling_thread()
                self._limiter.restore_original_limits()
                _clear_controlling_thread()


@cache
def _libraries() -> Any:
    return ThreadpoolController().select(user_api="blas")


def _clear_controlling_thread() -> None:
    for library in _libraries().lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


_one_blas_thread = _OneBlasThread()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limits NumPy's BLAS to one thread inside the block, since the last bits of a sum depend on the number of threads.

    Blocks of several threads may overlap; the number of threads from before returns with the end of the last one.
    """
    _one_blas_thread.enter()
    try:
        yield
    finally:
        _one_blas_thread.leave()


def in_blocks(
    result_of: Callable[[int, int], Result],
    num_queries: int,
    query_scores: int,
    progressed: Callable[[int], object] = lambda queries: None,
) -> list[Result]:
    """Returns the results of consecutive blocks of queries, in their order; one BLAS thread makes each block's sums.

    A single block is computed in the calling thread.

    Args:
      result_of: called with the first query of a block and the query after its last.
      num_queries: how many there are.
      query_scores: how many scores are held for a query, which decides how many queries make a block.
      progressed: called with the number of queries done since its last call.
    """
    rows = max(1, BLOCK_SCORES // query_scores)
    starts = range(0, num_queries, rows)
    stops = [min(start + rows, num_queries) for start in starts]
    with one_blas_thread():
        if len(starts) < 2:
            return [
                _done(result_of(start, stop), stop - start, progressed)
                for start, stop in zip(starts, stops, strict=True)
            ]
        with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
            results = pool.map(result_of, starts, stops)
            return [
                _done(result, stop - start, progressed)
                for start, stop, result in zip(starts, stops, results, strict=True)
            ]


def _done(result: Result, queries: int, progressed: Callable[[int], object]) -> Result:
    progressed(queries)
    return result
