"""The pointer of a folder of releases: a small file that names the live version, replaced by one rename.

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
# In front of the names of what a killed process leaves, which the next release removes.
UNFINISHED = ".unfinished."
VERSION = re.compile(r"[0-9a-f]{12}")


class Pointer(NamedTuple):
    """Which release is live.

    Attributes:
      live: its version.
      before: the versions that were live before it, the last one first.
    """

    live: str
    before: tuple[str, ...] = ()


def read(releases: Path) -> Pointer | None:
    """Reads the pointer of a folder; None where the folder has none, and so is no folder of releases.

    Raises:
      ServingError: the file is damaged, or cannot be read.
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
            "rights, or to what stands in its place"
        ) from None
    except (ValueError, LookupError, TypeError):
        broken = True
    if broken:
        raise ServingError(
            f"{path}: expected the pointer that release writes, found something else; release an export again"
        )
    return found


def write(releases: Path, pointer: Pointer) -> None:
    """Replaces the pointer in one step; a reader sees the one before or this one."""
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
    """A path that begins with a name and at which nothing stands: a leftover that cannot be removed is in no way."""
    return folder / f"{name}.{secrets.token_hex(8)}"


def sync(folder: Path) -> None:
    """Makes the names in a folder last through a power failure, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
