"""Folders for files on the way, which disappear at the end of a stage, and after a killed one with the next stage."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towerline.pipeline.errors import StageError

PREFIX = ".unfinished.tables."
# The file in a folder whose lock says that the folder is in use.
LOCK = "lock"


@contextmanager
def scratch_folder(parent: Path, stage: str) -> Iterator[Path]:
    """Yields an empty folder in `parent`, which is removed at the end of the block.

    Each process holds a lock on its folder, which the system releases when the process ends, however it ends. Folders
    without a lock are therefore left by killed stages, and are removed first; those of stages that run at the same time
    stay, as where several experiments spill to one folder. The lock is on a file, which other machines see, too, where
    the folder is on NFS; they do not see a lock on a folder.

    Raises:
      StageError: there is no folder `parent`, and none can be made.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StageError(
            f"engine.spill_folder: expected a folder, or a path where one can be made, found {parent} "
            f"({error.strerror}); set it to another path"
        ) from None
    # Processes of several machines or containers may have the same number.
    folder = parent / f"{PREFIX}{stage}.{uuid.uuid4().hex}"
    # One process at a time removes and makes folders, so that none is removed before it is locked.
    with _locked(parent):
        for left in parent.glob(f"{PREFIX}*"):
            _remove_unlocked(left)
        folder.mkdir()
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        # NFS does not remove a folder with an open file.
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Waits for the lock on a folder, and holds it during the block."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _remove_unlocked(folder: Path) -> None:
    """Removes a folder unless a process holds its lock."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
