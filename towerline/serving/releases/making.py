"""Makes a release live: a new one, or one that was live before."""

from collections.abc import Callable
from pathlib import Path

from towerline.exports import manifest
from towerline.exports.manifest import Manifest
from towerline.serving.errors import ServingError, check_positive, folder_path, stage_errors_as_serving_errors
from towerline.serving.releases import pointer
from towerline.serving.releases.copying import copy
from towerline.serving.releases.folder import (
    alone,
    check_kept,
    check_place,
    existing_pointer,
    ordered,
    remove_leftovers,
    set_aside,
    versions,
)
from towerline.serving.releases.pointer import Pointer

# Of the versions that were live before; a rollback further back names the version.
_HISTORY = 100


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
    with stage_errors_as_serving_errors():
        content = manifest.read(source)
    check_place(source, releases)
    with alone(releases):
        warnings = remove_leftovers(releases)
        before = _before(releases)
        if (releases / content.version).exists():
            with stage_errors_as_serving_errors():
                manifest.check(source, content)
            check_kept(releases, content.version)
        else:
            copy(source, content, releases, progressed)
        now = _moved(before, content.version)
        superfluous = [] if keep is None else _superfluous(releases, now, keep)
        now = Pointer(now.live, tuple(one for one in now.before if one not in superfluous))
        if now != before:
            pointer.write(releases, now)
        removed = [version for version in superfluous if set_aside(releases, version, warnings)]
        warnings += remove_leftovers(releases) if removed else []
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
    existing_pointer(releases)
    with alone(releases):
        live = existing_pointer(releases)
        # The live release is not read: it may be damaged, and a rollback helps then.
        there = {path.name for path in versions(releases, live)}
        before = [one for one in live.before if one in there and one != live.live]
        if not version and not before:
            raise ServingError(
                f"{releases}: expected a release that was live before {live.live}, found none; release one, or name a "
                f"version of {', '.join(sorted(there))}"
            )
        wanted = version or before[0]
        if wanted not in there:
            raise ServingError(f"{releases}: expected a version of {', '.join(sorted(there))}, found {wanted!r}")
        check_kept(releases, wanted)
        older = before[before.index(wanted) + 1 :] if wanted in before else [live.live, *before]
        if wanted != live.live:
            pointer.write(releases, Pointer(wanted, tuple(older)))
    return f"{wanted} is live again; {live.live} is kept" if wanted != live.live else f"{wanted} is live already"


def _source(exports: Path) -> Path:
    live = pointer.read(exports)
    return exports if live is None else exports / live.live


def _before(releases: Path) -> Pointer | None:
    """The pointer before a release; None where there is none, or a broken one, which the release replaces."""
    try:
        return pointer.read(releases)
    except pointer.BrokenPointerError:
        return None


def _moved(before: Pointer | None, version: str) -> Pointer:
    """The pointer with a version live."""
    if before is None:
        return Pointer(version)
    return before if before.live == version else Pointer(version, (before.live, *before.before)[:_HISTORY])


def _superfluous(releases: Path, live: Pointer, keep: int) -> list[str]:
    """The versions after the first `keep`."""
    return sorted(path.name for path in ordered(releases, live)[keep:])


def _summary(content: Manifest, before: Pointer | None, now: Pointer, removed: list[str]) -> str:
    what = f"{content.version} is live with {content.users:,} users and {content.items:,} items"
    if before is not None and before.live == now.live:
        what = f"{content.version} is live already"
    elif before is not None and before.live not in removed:
        what += f"; {before.live} is kept"
    return f"{what}; removed {', '.join(removed)}" if removed else what
