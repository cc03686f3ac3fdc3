"""The memory of a table stage: what the process takes beside DuckDB, what DuckDB may take, and what it needs."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from towerline.pipeline.errors import StageError
from towerline.pipeline.free_memory import GIGABYTE

# Python, the libraries and the batches of rows that pass through them.
PROCESS = 0.35 * GIGABYTE
# DuckDB counts the buffers of its operators, and not all of the memory that it takes from the system.
COUNTED = 0.8
# Rows that the process has at the same time: a batch, and those that are written together. There is room for rows of
# NARROW bytes in PROCESS, and in the memory of DuckDB.
ROWS_TOGETHER, NARROW = 200_000, 200
# What DuckDB takes for each byte of features, and what it takes from the system beside that. Of three tables of 40,000
# to 600,000 rows of 700 to 3,000 bytes, it ran out of memory in one with 1.6 times the bytes, and in none with twice.
FEATURES_COUNTED, FEATURES_BESIDE = 2, 0.5
# The buffers of one thread.
THREAD = 0.1 * GIGABYTE
# DuckDB keeps the distinct ids in memory while it finds them, whatever it spills. With 15 rows an item, as in
# benchmarks/generated.py, 100 million rows do with 1.0 GB and not with 0.67, and 10 million with 0.12.
BYTES_PER_ROW = 8


class Texts(NamedTuple):
    """The bytes of long texts, those of a row beyond NARROW.

    Attributes:
      together: of the rows that the process has at the same time.
      features: of all rows of the tables of features.
    """

    together: int = 0
    features: int = 0

    @classmethod
    def of(cls, num_rows: int, width: int, features: bool) -> "Texts":
        """Those of a table.

        Args:
          num_rows: its number of rows.
          width: mean number of bytes of a row.
          features: true if its texts are features.
        """
        beyond = max(0, width - NARROW)
        return cls(min(num_rows, ROWS_TOGETHER) * beyond, num_rows * beyond if features else 0)

    @classmethod
    def joined(cls, tables: Iterable["Texts"]) -> "Texts":
        """Those of several tables, which are read one after the other."""
        known = list(tables)
        return cls(max(texts.together for texts in known), sum(texts.features for texts in known))

    @property
    def beside(self) -> float:
        """What the texts take beside what DuckDB counts."""
        return self.together + FEATURES_BESIDE * self.features

    @property
    def counted(self) -> int:
        """What DuckDB takes for the texts."""
        return FEATURES_COUNTED * self.features


NO_TEXTS = Texts()


class MemoryPlan(NamedTuple):
    """What DuckDB may take of a memory limit.

    Attributes:
      engine_bytes: the limit of its buffers.
      threads: the number of its threads.
    """

    engine_bytes: int
    threads: int

    @classmethod
    def of(cls, memory_limit: float, num_rows: int, texts: Texts = NO_TEXTS) -> "MemoryPlan":
        """The plan for a limit in GB: as many threads as there are cores and as memory allows.

        Args:
          memory_limit: in GB.
          num_rows: number of rows that the stage reads.
          texts: the long ones among them.

        Raises:
          StageError: the rows do not fit.
        """
        engine_bytes = int((memory_limit * GIGABYTE - PROCESS - texts.beside) * COUNTED)
        held = num_rows * BYTES_PER_ROW + texts.counted
        if engine_bytes < THREAD + held:
            raise StageError(
                f"engine.memory_limit: expected at least {least_limit(num_rows, texts):.1f} GB for about {num_rows:,} "
                f"rows{' with long texts' if texts.together else ''}, found {memory_limit:g}; set it higher"
            )
        threads = int((engine_bytes - held) / THREAD)
        return cls(engine_bytes, max(1, min(len(os.sched_getaffinity(0)), threads)))


def least_limit(num_rows: int, texts: Texts = NO_TEXTS) -> float:
    """The least memory limit, in GB, with which so many rows fit, rounded up to a tenth.

    >>> least_limit(0), least_limit(10_000_000), least_limit(100_000_000)
    (0.5, 0.6, 1.5)
    """
    needed = PROCESS + texts.beside + (THREAD + num_rows * BYTES_PER_ROW + texts.counted) / COUNTED
    return -(-needed // (GIGABYTE // 10)) / 10
