"""The free space that a table stage needs for its files on the way and its outputs."""

import shutil
from pathlib import Path

from towerline.pipeline.errors import StageError
from towerline.pipeline.free_memory import GIGABYTE


def check_free(folder: Path, num_rows: int, bytes_per_row: int) -> None:
    """Raises StageError where the disk of a folder has too little free space.

    Args:
      folder: the spill folder.
      num_rows: the number of rows that the stage reads, or a guess.
      bytes_per_row: what the stage writes for a row.
    """
    needed, free = num_rows * bytes_per_row, shutil.disk_usage(folder).free
    if free < needed:
        tenth = GIGABYTE // 10
        raise StageError(
            f"engine.spill_folder: expected at least {-(-needed // tenth) / 10} GB of free space in {folder}/ for "
            f"about {num_rows:,} rows, found {free // tenth / 10}; free some, or set it to a folder on another disk"
        )
