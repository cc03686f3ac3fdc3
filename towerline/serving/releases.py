"""Releases: exports copied to where applications read them, complete before they can be seen and never changed after.

A folder of releases holds a folder for each version and the pointer to the live one. Nothing but a folder is needed, on
a network disk or a container volume as well. A release is copied into a hidden folder, which is renamed to its version
when it is whole; then the pointer is replaced. A process that is killed at any moment leaves the pointer as it was or
moved, and at most a hidden folder, which the next release removes.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from towerline.exports import layout, manifest
from towerline.exports.manifest import File, Manifest
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.serving import pointer
from towerline.serving.errors import ServingError, check_positive, folder_path
from towerline.serving.pointer import Pointer

LOCK = ".lock"
_REMOVED = ".removed."
_LEFTOVER = re.compile(
    rf"({re.escape(pointer.UNFINISHED)}|{re.escape(_REMOVED)})({pointer.VERSION.pattern}|{re.escape(pointer.NAME)})"
    r"\.[0-9a-f]{16}"
)
# Entries of a disk or volume that holds no other files.
_OF_THE_DISK = "lost+found"
_CHUNK = 1 << 20
# Of the versions that were live before; a rollback further back names the version.
_HISTORY = 100


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


def release(
    exports: Path | str,
    releases: Path | str,
    keep: int | None = None,
    progressed: Callable[[int], object] = lambda size: None,
) -> str:
    """Copies an export, with every digest compared, and makes it the live release.

    Args:
      exports: an export, a release, or another folder of releases, whose live release is meant.
      releases: the folder of releases, made where it is missing.
      keep: how many versions to keep: the live one, then those that were live before it, the last one first, then the
        others, the newest first. 1 leaves nothing to roll back to. None keeps all.
      progressed: called with the number of bytes copied since its last call.

    Returns:
      One line that says what was done, and which leftover could not be removed.

    Raises:
      ServingError: the export is not whole, or cannot be copied, or the folder holds something else than releases; the
        live release stays.
    """
    exports, releases = folder_path(exports), folder_path(releases)
    if keep is not None:
        check_positive("keep", keep)
    source = _source(exports)
    with _one_line():
        content = manifest.read(source)
    _check_place(source, releases)
    with _alone(releases):
        warnings = _remove_leftovers(releases)
        before = _before(releases)
        if (releases / content.version).exists():
            with _one_line():
                manifest.check(source, content)
            _check_kept(releases, content.version)
        else:
            _copy(source, content, releases, progressed)
        now = _moved(before, content.version)
        superfluous = [] if keep is None else _superfluous(releases, now, keep)
        now = Pointer(now.live, tuple(one for one in now.before if one not in superfluous))
        if now != before:
            pointer.write(releases, now)
        removed = [version for version in superfluous if _set_aside(releases, version, warnings)]
        warnings += _remove_leftovers(releases) if removed else []
    return "; ".join([_summary(content, before, now, removed), *dict.fromkeys(warnings)])


def rollback(releases: Path | str, version: str | None = None) -> str:
    """Makes the release live that was live before, or the one of a version.

    Returns:
      One line that says what was done.

    Raises:
      ServingError: there is none, or it is damaged; the live release stays.
    """
    releases = folder_path(releases)
    # A folder of another kind gets no lock file.
    _pointer(releases)
    with _alone(releases):
        live = _pointer(releases)
        # The live release is not read: it may be damaged, and a rollback helps then.
        there = {path.name for path in _versions(releases, live)}
        before = [one for one in live.before if one in there and one != live.live]
        if not version and not before:
            raise ServingError(
                f"{releases}: expected a release that was live before {live.live}, found none; release one, or name a "
                f"version of {', '.join(sorted(there))}"
            )
        wanted = version or before[0]
        if wanted not in there:
            raise ServingError(f"{releases}: expected a version of {', '.join(sorted(there))}, found {wanted!r}")
        _check_kept(releases, wanted)
        older = before[before.index(wanted) + 1 :] if wanted in before else [live.live, *before]
        if wanted != live.live:
            pointer.write(releases, Pointer(wanted, tuple(older)))
    return f"{wanted} is live again; {live.live} is kept" if wanted != live.live else f"{wanted} is live already"


def listed(releases: Path | str) -> list[Release]:
    """The releases of a folder: the live one, those that were live before, the last one first, and the others by time.

    Raises:
      ServingError: the folder is no folder of releases.
    """
    releases = folder_path(releases)
    live = _pointer(releases)
    rows = []
    for path in _ordered(releases, live):
        before = [one for one in live.before if (releases / one).is_dir() and one != live.live]
        state = "live" if path.name == live.live else "previous" if before[:1] == [path.name] else "kept"
        released = f"{datetime.fromtimestamp(_copied(path), UTC):%Y-%m-%d %H:%M:%S}"
        try:
            content = manifest.read(path)
            manifest.check_sizes(path, content)
        except (StageError, OSError):
            rows.append(Release(path.name, f"{state} (damaged)", released, None, None, None))
        else:
            rows.append(Release(path.name, state, released, content.users, content.items, content.size))
    return rows


def _ordered(releases: Path, live: Pointer) -> list[Path]:
    """The releases: the live one, those that were live before, the last one first, and the others, the newest first."""
    rank = {version: rank for rank, version in enumerate(dict.fromkeys((live.live, *live.before)))}
    return sorted(
        _versions(releases, live), key=lambda path: (rank.get(path.name, len(rank)), -_copied(path), path.name)
    )


def _copied(path: Path) -> float:
    """Time at which a release was copied, seconds since 1970."""
    written = path / layout.MANIFEST
    return (written if written.is_file() else path).stat().st_mtime


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
    return [_verified(path) for path in _versions(folder, live)]


def _verified(folder: Path) -> str:
    with _one_line():
        content = manifest.read(folder)
        manifest.check(folder, content)
    return f"{folder}: {content.version} is whole, {len(content.files)} files of {content.size:,} bytes"


@contextmanager
def _one_line() -> Iterator[None]:
    """Turns the errors of the manifest into a ServingError."""
    try:
        yield
    except StageError as error:
        raise ServingError(str(error)) from None


def _source(exports: Path) -> Path:
    live = pointer.read(exports)
    return exports if live is None else exports / live.live


def _pointer(releases: Path) -> Pointer:
    live = pointer.read(releases)
    if live is None:
        raise ServingError(
            f"{releases}: expected a folder of releases, found no {pointer.NAME}; release an export to it"
        )
    return live


def _before(releases: Path) -> Pointer | None:
    """The pointer before a release; None where there is none, or a broken one, which the release replaces."""
    try:
        return pointer.read(releases)
    except pointer.BrokenPointerError:
        return None


def _check_place(source: Path, releases: Path) -> None:
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
    if others and not _versions(releases):
        raise ServingError(
            f"{releases}: expected a folder of releases, an empty or a new one, found one that holds {others[0]!r}; "
            "choose another"
        )


def _versions(releases: Path, live: Pointer | None = None) -> list[Path]:
    """The releases: folders that are named by a version, and have a manifest or, damaged, a place in the pointer."""
    named = set() if live is None else {live.live, *live.before}
    return sorted(
        path
        for path in releases.iterdir()
        if pointer.VERSION.fullmatch(path.name)
        and path.is_dir()
        and (path.name in named or (path / layout.MANIFEST).exists())
    )


@contextmanager
def _alone(releases: Path) -> Iterator[None]:
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


def _remove_leftovers(releases: Path) -> list[str]:
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


def _check_kept(releases: Path, version: str) -> None:
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


def _copy(source: Path, content: Manifest, releases: Path, progressed: Callable[[int], object]) -> None:
    """Copies an export to a hidden folder, and renames that to the version."""
    unfinished = pointer.new_name(releases, f"{pointer.UNFINISHED}{content.version}")
    try:
        for name, file in content.files.items():
            _copy_file(source / name, unfinished / name, file, progressed)
        text = layout.MANIFEST
        size = (source / text).stat().st_size
        digest = hashlib.sha256((source / text).read_bytes()).hexdigest()
        _copy_file(source / text, unfinished / text, File(size, digest), lambda size: None)
        with _one_line():
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
    with _one_line():
        manifest.check_digest(source, expected, digest.hexdigest())


def _chunk(file: BinaryIO, source: Path) -> bytes:
    with formats.naming(source):
        return file.read(_CHUNK)


def _moved(before: Pointer | None, version: str) -> Pointer:
    """The pointer with a version live."""
    if before is None:
        return Pointer(version)
    return before if before.live == version else Pointer(version, (before.live, *before.before)[:_HISTORY])


def _superfluous(releases: Path, live: Pointer, keep: int) -> list[str]:
    """The versions after the first `keep`."""
    return sorted(path.name for path in _ordered(releases, live)[keep:])


def _set_aside(releases: Path, version: str, warnings: list[str]) -> bool:
    """Renames a release to a leftover, so that it is opened whole or not at all."""
    try:
        (releases / version).rename(pointer.new_name(releases, f"{_REMOVED}{version}"))
    except OSError as error:
        warnings.append(_warning(releases / version, error))
        return False
    return True


def _summary(content: Manifest, before: Pointer | None, now: Pointer, removed: list[str]) -> str:
    what = f"{content.version} is live with {content.users:,} users and {content.items:,} items"
    if before is not None and before.live == now.live:
        what = f"{content.version} is live already"
    elif before is not None and before.live not in removed:
        what += f"; {before.live} is kept"
    return f"{what}; removed {', '.join(removed)}" if removed else what
