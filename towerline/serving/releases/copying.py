"""Copies an export into a folder of releases, every digest compared; the copy appears under its version when whole."""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from towerline.exports import layout, manifest
from towerline.exports.manifest import File, Manifest
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.serving.errors import stage_errors_as_serving_errors
from towerline.serving.releases import pointer

_CHUNK = 1 << 20


def copy(source: Path, content: Manifest, releases: Path, progressed: Callable[[int], object]) -> None:
    """Copies an export to a hidden folder, and renames that to the version.

    Args:
      source: the export.
      content: its manifest.
      releases: the folder of releases, which has no release of this version.
      progressed: called with the number of bytes copied since its last call.

    Raises:
      ServingError: the export is not as its manifest says.
      OSError: a file cannot be read or written.
    """
    unfinished = pointer.new_name(releases, f"{pointer.UNFINISHED}{content.version}")
    try:
        for name, file in content.files.items():
            _copy_file(source / name, unfinished / name, file, progressed)
        text = layout.MANIFEST
        size = (source / text).stat().st_size
        digest = hashlib.sha256((source / text).read_bytes()).hexdigest()
        _copy_file(source / text, unfinished / text, File(size, digest), lambda size: None)
        with stage_errors_as_serving_errors():
            if manifest.read(unfinished) != content:
                raise StageError(
                    f"{source}: expected one export, found that it was replaced while it was copied; run it again"
                )
        for path in sorted(path for path in unfinished.rglob("*") if path.is_dir()):
            pointer.sync(path)
        pointer.sync(unfinished)
        unfinished.rename(releases / content.version)
        pointer.sync(releases)
    finally:
        # The next release removes the leftovers of a killed process.
        shutil.rmtree(unfinished, ignore_errors=True)


def _copy_file(source: Path, target: Path, expected: File, progressed: Callable[[int], object]) -> None:
    """Copies a file, not a link to one that may be written again, and compares the digest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with formats.naming(target), target.open("wb") as written, source.open("rb") as read:
        while chunk := _chunk(read, source):
            digest.update(chunk)
            written.write(chunk)
            progressed(len(chunk))
        written.flush()
        with suppress(PermissionError):  # Some network disks have no modes.
            os.fchmod(written.fileno(), os.fstat(written.fileno()).st_mode & 0o444)
        os.fsync(written.fileno())
    with stage_errors_as_serving_errors():
        manifest.check_digest(source, expected, digest.hexdigest())


def _chunk(file: BinaryIO, source: Path) -> bytes:
    with formats.naming(source):
        return file.read(_CHUNK)
