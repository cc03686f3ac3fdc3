"""The memory of a table stage: what the process takes beside DuckDB, what DuckDB may take, and what it needs."""

import os
from typing import NamedTuple

from towerline.pipeline.errors import StageError

GIGABYTE = 10**9
# Python, the libraries and the batches of rows that pass through them.
PROCESS = 0.35 * GIGABYTE
# DuckDB counts the buffers of its operators, and not all of the memory that it takes from the system.
COUNTED = 0.8
# The buffers of one thread.
THREAD = 0.1 * GIGABYTE
# DuckDB keeps the distinct ids in memory while it finds them, whatever it spills. With 15 rows an item, as in
# benchmarks/generated.py, 100 million rows do with 1.0 GB and not with 0.67, and 10 million with 0.12.
BYTES_PER_ROW = 8


class MemoryPlan(NamedTuple):
    """What DuckDB may take of a memory limit.

    Attributes:
      engine_bytes: the limit of its buffers.
      threads: the number of its threads.
    """

    engine_bytes: int
    threads: int

    @classmethod
    def of(cls, memory_limit: float, num_rows: int) -> "MemoryPlan":
        """The plan for a limit in GB and a number of rows: as many threads as there are cores and as memory allows.

        Raises:
          StageError: the rows do not fit.
        """
        engine_bytes = int((memory_limit * GIGABYTE - PROCESS) * COUNTED)
        if engine_bytes < THREAD + num_rows * BYTES_PER_ROW:
            raise StageError(
                f"engine.memory_limit: expected at least {least_limit(num_rows):.1f} GB for about {num_rows:,} rows, "
                f"found {memory_limit:g}; set it higher"
            )
        spare = engine_bytes - num_rows * BYTES_PER_ROW
        return cls(engine_bytes, max(1, min(len(os.sched_getaffinity(0)), int(spare / THREAD))))


def least_limit(num_rows: int) -> float:
    """The least memory limit, in GB, with which so many rows fit, rounded up to a tenth.

    >>> least_limit(0), least_limit(10_000_000), least_limit(100_000_000)
    (0.5, 0.6, 1.5)
    """
    needed = PROCESS + (THREAD + num_rows * BYTES_PER_ROW) / COUNTED
    return -(-needed // (GIGABYTE // 10)) / 10
