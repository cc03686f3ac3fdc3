"""The engine that the section `engine` names, for the stages that compute tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towerline.tables.disk import check_free
from towerline.tables.duckdb_session import duckdb_session
from towerline.tables.memory import NO_TEXTS, MemoryPlan, Texts
from towerline.tables.params import EngineParams
from towerline.tables.scratch import scratch_folder
from towerline.tables.session import Session


@contextmanager
def session(stage: str, num_rows: int, bytes_per_row: int = 0, texts: Texts = NO_TEXTS) -> Iterator[Session]:
    """Yields a session of the engine, with a folder for files on the way; both end with the block.

    Args:
      stage: its name, which that of the folder contains.
      num_rows: the number of rows that the stage reads, or a guess.
      bytes_per_row: what it writes for a row, in files on the way and outputs.
      texts: the long ones of the rows.

    Raises:
      StageError: the rows do not fit into memory or on the disk, the disk or the memory is full, or a file cannot be
        read.
    """
    params = EngineParams.load()
    plan = MemoryPlan.of(params.memory_limit, num_rows, texts)
    with scratch_folder(Path(params.spill_folder), stage) as folder:
        # What killed stages have left is removed by now.
        check_free(Path(params.spill_folder), num_rows, bytes_per_row)
        if params.master is None:
            with duckdb_session(folder, plan) as opened:
                yield opened
        else:
            # Spark is an extra of the package, and takes seconds to import.
            from towerline.tables.spark_session import spark_session

            with spark_session(folder, plan, params.master) as opened_on_spark:
                yield opened_on_spark
