"""Folders for files on the way, which disappear at the end of a stage, and after a killed one with the next stage."""

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towerline.pipeline.errors import StageError

PREFIX = ".unfinished.tables."


@contextmanager
def scratch_folder(parent: Path, stage: str) -> Iterator[Path]:
    """Yields an empty folder in `parent`, which is removed at the end of the block.

    Each process holds a lock on its folder, which the system releases when the process ends, however it ends. Folders
    without a lock are therefore left by killed stages, and are removed first; those of stages that run at the same time
    stay, as where several experiments spill to one folder. Other machines that use the same folder do not see the lock,
    so that each removes those with its own name only.

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
    prefix = f"{PREFIX}{re.sub('[^A-Za-z0-9]', '-', socket.gethostname())}."
    folder = parent / f"{prefix}{stage}.{os.getpid()}"
    # One process at a time removes and makes folders, so that none is removed before it is locked.
    with _locked(parent):
        for left in parent.glob(f"{prefix}*"):
            _remove_unlocked(left)
        folder.mkdir()
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


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
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
