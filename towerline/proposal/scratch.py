"""Temporary folders that outlive no process for long, even a killed one."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

PREFIX = "towerline-propose-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yields an empty folder that is removed at the end of the block; removes those of killed processes first.

    Each process locks its folder. The lock ends with the process, so that an unlocked folder is a leftover.
    """
    place = Path(tempfile.gettempdir()).resolve()
    with ExitStack() as held:
        # Under the lock of the place, every folder in use is locked.
        with _locked(place):
            _remove_leftovers(place)
            folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, dir=place)))
            held.enter_context(_locked(folder))
        yield folder


def _remove_leftovers(place: Path) -> None:
    """Removes the folders of killed processes; those of other users stay."""
    for leftover in place.glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(leftover, fcntl.LOCK_NB):
            shutil.rmtree(leftover)


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)
