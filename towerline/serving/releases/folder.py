"""The folder of releases: its lock, the versions that it holds, and the leftovers of processes that were killed."""

import errno
import fcntl
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from towerline.exports import layout, manifest
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.serving.errors import ServingError
from towerline.serving.releases import pointer
from towerline.serving.releases.pointer import Pointer

LOCK = ".lock"
_REMOVED = ".removed."
_LEFTOVER = re.compile(
    rf"({re.escape(pointer.UNFINISHED)}|{re.escape(_REMOVED)})({pointer.VERSION.pattern}|{re.escape(pointer.NAME)})"
    r"\.[0-9a-f]{16}"
)
# Entries of a disk or volume that holds no other files.
_OF_THE_DISK = "lost+found"


@contextmanager
def alone(releases: Path) -> Iterator[None]:
    """Locks the folder against other releases and rollbacks; the lock ends with the process.

    Raises:
      ServingError: another process does so now, or a file cannot be read or written.
    """
    try:
        if not releases.is_dir():
            releases.mkdir()
            pointer.sync(releases.parent)
        with (releases / LOCK).open("a") as file, formats.naming(releases / LOCK):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise ServingError(
            f"{releases}: expected to release alone, found another release or rollback under way; run it again "
            "when that has ended"
        ) from None
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room there" if full else "see to its rights, or to what is in its place"
        raise ServingError(
            f"{error.filename}: expected to read or write it, found {error.strerror or error}; {advice}, and run it "
            "again; the live release is as it was"
        ) from None


def existing_pointer(releases: Path) -> Pointer:
    """The pointer of a folder.

    Raises:
      ServingError: there is none, or it is damaged.
    """
    live = pointer.read(releases)
    if live is None:
        raise ServingError(
            f"{releases}: expected a folder of releases, found no {pointer.NAME}; release an export to it"
        )
    return live


def versions(releases: Path, live: Pointer | None = None) -> list[Path]:
    """The releases: folders that are named by a version, and have a manifest or, damaged, a place in the pointer."""
    named = set() if live is None else {live.live, *live.before}
    return sorted(
        path
        for path in releases.iterdir()
        if pointer.VERSION.fullmatch(path.name)
        and path.is_dir()
        and (path.name in named or (path / layout.MANIFEST).exists())
    )


def ordered(releases: Path, live: Pointer) -> list[Path]:
    """The releases: the live one, those that were live before, the last one first, and the others, the newest first."""
    rank = {version: rank for rank, version in enumerate(dict.fromkeys((live.live, *live.before)))}
    return sorted(
        versions(releases, live), key=lambda path: (rank.get(path.name, len(rank)), -time_of_copy(path), path.name)
    )


def time_of_copy(path: Path) -> float:
    """Time at which a release was copied, seconds since 1970."""
    written = path / layout.MANIFEST
    return (written if written.is_file() else path).stat().st_mtime


def check_place(source: Path, releases: Path) -> None:
    """Checks that an export may be released to a folder, which need not exist yet.

    Raises:
      ServingError: the folder belongs to an export, cannot be made, or holds something else than releases.
    """
    if (releases / layout.MANIFEST).exists() or releases.resolve().is_relative_to(source.resolve()):
        raise ServingError(
            f"{releases}: expected a folder for releases, outside of every export, found one that belongs to an "
            "export; choose another"
        )
    if not releases.parent.is_dir():
        raise ServingError(f"{releases}: expected an existing folder to make it in, found none; make {releases.parent}")
    if any((releases / name).exists() for name in (pointer.NAME, LOCK)) or not releases.is_dir():
        return
    others = sorted(path.name for path in releases.iterdir() if path.name != _OF_THE_DISK)
    if others and not versions(releases):
        raise ServingError(
            f"{releases}: expected a folder of releases, an empty or a new one, found one that holds {others[0]!r}; "
            "choose another"
        )


def check_kept(releases: Path, version: str) -> None:
    """Compares the digests of an existing release.

    Raises:
      ServingError: it is damaged.
    """
    folder = releases / version
    try:
        content = manifest.read(folder)
        manifest.check(folder, content)
    except (StageError, OSError) as error:
        raise ServingError(
            f"{folder}: expected the release as it was written, found it damaged ({error}); make another release live, "
            "remove this folder and release the export again"
        ) from None
    if content.version != version:
        raise ServingError(f"{folder}: expected the release {version}, found {content.version}; remove this folder")


def set_aside(releases: Path, version: str, warnings: list[str]) -> bool:
    """Renames a release to a leftover, so that it is opened whole or not at all."""
    try:
        (releases / version).rename(pointer.new_name(releases, f"{_REMOVED}{version}"))
    except OSError as error:
        warnings.append(_warning(releases / version, error))
        return False
    return True


def remove_leftovers(releases: Path) -> list[str]:
    """Removes the leftovers of other processes, and returns a warning for each that cannot be removed."""
    warnings = []
    for path in sorted(releases.iterdir()):
        if _LEFTOVER.fullmatch(path.name):
            try:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            except OSError as error:
                warnings.append(_warning(path, error))
    return warnings


def _warning(path: Path, error: OSError) -> str:
    return f"warning: {path} cannot be removed ({error.strerror or error}); remove it by hand"
