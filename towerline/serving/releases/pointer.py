"""The pointer of a folder of releases: a small file that names the live version and is replaced by one rename.

A file can be renamed over another on every file system, while some network disks and container volumes have no symbolic
links.
"""

import json
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from towerline.pipeline import formats
from towerline.serving.errors import ServingError

NAME = "live.json"
# Prefix of the leftovers of killed processes, which the next release removes.
UNFINISHED = ".unfinished."
VERSION = re.compile(r"[0-9a-f]{12}")


class BrokenPointerError(ServingError):
    """The pointer is there, but is not as release writes it."""


class Pointer(NamedTuple):
    """The live release and its predecessors.

    Attributes:
      live: the live version.
      before: the versions that were live before, the latest first.
    """

    live: str
    before: tuple[str, ...] = ()


def read(releases: Path) -> Pointer | None:
    """Reads the pointer of a folder; None if it has none and therefore is no folder of releases.

    Raises:
      BrokenPointerError: the file is damaged.
      ServingError: it cannot be read.
    """
    path = releases / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = Pointer(content["live"], tuple(content["before"]))
        broken = not all(VERSION.fullmatch(version) for version in (found.live, *found.before))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ServingError(
            f"{path}: expected to read the pointer that release writes, found {error.strerror or error}; see to its "
            "rights, or to what is in its place"
        ) from None
    except (ValueError, LookupError, TypeError):
        broken = True
    if broken:
        raise BrokenPointerError(
            f"{path}: expected the pointer that release writes, found something else; release an export again"
        )
    return found


def write(releases: Path, pointer: Pointer) -> None:
    """Replaces the pointer in one step; a reader sees the old one or the new one."""
    unfinished = new_name(releases, f"{UNFINISHED}{NAME}")
    try:
        with formats.naming(releases / NAME), unfinished.open("w", encoding="utf-8") as file:
            json.dump(pointer._asdict(), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(releases / NAME)
    finally:
        unfinished.unlink(missing_ok=True)
    sync(releases)


def new_name(folder: Path, name: str) -> Path:
    """An unused path that begins with a name, so that a leftover that cannot be removed does no harm."""
    return folder / f"{name}.{secrets.token_hex(8)}"


def sync(folder: Path) -> None:
    """Flushes the names in a folder to the disk, if the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
