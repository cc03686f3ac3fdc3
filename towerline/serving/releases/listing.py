"""What a folder of releases holds, and whether it is as it was written."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from towerline.exports import manifest
from towerline.pipeline.errors import StageError
from towerline.serving.errors import ServingError, folder_path, stage_errors_as_serving_errors
from towerline.serving.releases import pointer
from towerline.serving.releases.folder import existing_pointer, ordered, time_of_copy, versions


class Release(NamedTuple):
    """A release in a folder of releases.

    Attributes:
      version: of the export.
      state: "live", "previous" for the one that a rollback goes to, or "kept"; then " (damaged)" where its manifest
        cannot be read or a file has another size. verify() tells more.
      released: when it was copied, UTC.
      users, items: how many of them; None where it is damaged.
      bytes: of all files; None where it is damaged.
    """

    version: str
    state: str
    released: str
    users: int | None
    items: int | None
    bytes: int | None


def listed(releases: Path | str) -> list[Release]:
    """The releases of a folder: the live one, those that were live before, the last one first, and the others by time.

    Raises:
      ServingError: the folder is no folder of releases.
    """
    releases = folder_path(releases)
    live = existing_pointer(releases)
    rows = []
    for path in ordered(releases, live):
        before = [one for one in live.before if (releases / one).is_dir() and one != live.live]
        state = "live" if path.name == live.live else "previous" if before[:1] == [path.name] else "kept"
        released = f"{datetime.fromtimestamp(time_of_copy(path), UTC):%Y-%m-%d %H:%M:%S}"
        try:
            content = manifest.read(path)
            manifest.check_sizes(path, content)
        except (StageError, OSError):
            rows.append(Release(path.name, f"{state} (damaged)", released, None, None, None))
        else:
            rows.append(Release(path.name, state, released, content.users, content.items, content.size))
    return rows


def verify(folder: Path | str) -> list[str]:
    """Compares the digests of all files of an export, of a release, or of all releases of a folder.

    Returns:
      One line for each.

    Raises:
      ServingError: a file is missing, or is not as it was written.
    """
    folder = folder_path(folder)
    live = pointer.read(folder)
    if live is None:
        return [_verified(folder)]
    if not (folder / live.live).is_dir():
        raise ServingError(f"{folder}: expected the live release {live.live}, found none; release an export again")
    return [_verified(path) for path in versions(folder, live)]


def _verified(folder: Path) -> str:
    with stage_errors_as_serving_errors():
        content = manifest.read(folder)
        manifest.check(folder, content)
    return f"{folder}: {content.version} is whole, {len(content.files)} files of {content.size:,} bytes"
