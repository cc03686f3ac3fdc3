"""The memory of a table stage: what the process takes beside DuckDB, and the part that DuckDB may take."""

import os
from typing import NamedTuple

GIGABYTE = 10**9
# Python, the libraries and the batches of rows that pass through them.
PROCESS = 0.35 * GIGABYTE
# DuckDB counts the buffers of its operators, and not all of the memory that it takes from the system.
COUNTED = 0.8
# The buffers of one thread: with less, sorts and joins of many rows end for want of memory though they spill.
THREAD = 0.12 * GIGABYTE


class MemoryPlan(NamedTuple):
    """What DuckDB may take of a memory limit.

    Attributes:
      engine_bytes: the limit of its buffers.
      threads: the number of its threads.
    """

    engine_bytes: int
    threads: int

    @classmethod
    def of(cls, memory_limit: float) -> "MemoryPlan":
        """The plan for a limit in GB: as many threads as there are cores and as the memory allows."""
        engine_bytes = int((memory_limit * GIGABYTE - PROCESS) * COUNTED)
        return cls(engine_bytes, max(1, min(len(os.sched_getaffinity(0)), int(engine_bytes / THREAD))))
