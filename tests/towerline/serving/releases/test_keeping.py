"""The versions that stay, and what a release removes: nothing that others keep beside them."""

import shutil
from pathlib import Path

import pytest

import towerline
from tests.towerline.serving.releases.conftest import version_of
from towerline.serving import releases
from towerline.serving.releases import pointer
from towerline.serving.releases.folder import LOCK


@pytest.mark.parametrize("lost", [False, True])
def test_keep_removes_nothing_while_no_more_are_there(exports: list[Path], tmp_path: Path, lost: bool) -> None:
    """The version that was rolled back from, and all of them where the pointer is lost, count as any other."""
    place = tmp_path / "releases"
    versions = [version_of(path) for path in exports]
    for path in exports[:3]:
        releases.release(path, place)
    releases.rollback(place)
    if lost:
        (place / pointer.NAME).unlink()
    releases.release(exports[3], place, keep=4)
    assert {one.version for one in releases.listed(place)} == set(versions)
    # Those that were live before come first, then the newest.
    releases.release(exports[3], place, keep=3)
    expected = [versions[3], versions[2], versions[1]] if lost else [versions[3], versions[1], versions[0]]
    assert [one.version for one in releases.listed(place)] == expected


def test_a_leftover_that_cannot_be_removed_is_a_warning(
    exports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "releases"
    first, second = (version_of(path) for path in exports[:2])
    releases.release(exports[0], place)
    (tmp_path / "elsewhere").mkdir()
    for link in (pointer.NAME, second):
        (place / f".unfinished.{link}.{'0' * 16}").symlink_to(tmp_path / "elsewhere")
    (place / f".removed.{first}.{'0' * 16}").mkdir()
    (place / f".unfinished.{second}.{'1' * 16}").mkdir()

    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(1, "Operation not permitted", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        told = releases.release(exports[1], place, keep=1)
    assert told.startswith(f"{second} is live with 40 users and 300 items; removed {first}; warning: ")
    assert told.count("cannot be removed (Operation not permitted); remove it by hand") == 3
    assert "\n" not in told
    assert towerline.open(place).version == second
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert releases.release(exports[1], place) == f"{second} is live already"
    assert {path.name for path in place.iterdir()} == {second, pointer.NAME, LOCK}


def test_what_others_keep_beside_the_releases_stays(exports: list[Path], tmp_path: Path) -> None:
    """Folders that are no releases, and the temporary file of a recommend-all that is under way."""
    place = tmp_path / "releases"
    releases.release(exports[0], place)
    others = {"0123456789ab", ".unfinished.mine", ".removed.me", f".unfinished.all.parquet.{'0' * 16}"}
    for name in others:
        (place / name).mkdir()
        (place / name / "photo").touch()
    told = releases.release(exports[1], place, keep=1)
    assert told.endswith(f"300 items; removed {version_of(exports[0])}")
    assert all((place / name / "photo").exists() for name in others)
    assert [one.version for one in releases.listed(place)] == [version_of(exports[1])]
    assert len(releases.verify(place)) == 1


def test_keep_leaves_the_live_release_and_those_that_were_live_last(exports: list[Path], tmp_path: Path) -> None:
    versions = [version_of(path) for path in exports]
    for path in exports[:3]:
        releases.release(path, tmp_path / "releases")
    releases.rollback(tmp_path / "releases")
    told = releases.release(exports[3], tmp_path / "releases", keep=2)
    assert told.endswith(f"; {versions[1]} is kept; removed {', '.join(sorted([versions[0], versions[2]]))}")
    assert {one.version for one in releases.listed(tmp_path / "releases")} == {versions[3], versions[1]}
    assert releases.rollback(tmp_path / "releases").startswith(versions[1])
    releases.release(exports[3], tmp_path / "releases", keep=1)
    assert [one.version for one in releases.listed(tmp_path / "releases")] == [versions[3]]
    assert {path.name for path in (tmp_path / "releases").iterdir()} == {versions[3], pointer.NAME, LOCK}
