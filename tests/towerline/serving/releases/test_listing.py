"""The list of a folder of releases, damaged ones among them."""

from pathlib import Path

import pytest

import towerline
from tests.towerline.serving.releases.conftest import version_of
from towerline.exports import layout
from towerline.serving import releases


def test_the_list_holds_a_damaged_release_too(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    first, second, third = (version_of(path) for path in exports[:3])
    for export in exports[:3]:
        releases.release(export, place)
    for damaged in (place / third / "manifest.json", place / first / "seen_items.npy"):
        damaged.chmod(0o644)
        damaged.write_text("{")
    assert [(one.version, one.state, one.users) for one in releases.listed(place)] == [
        (third, "live (damaged)", None),
        (second, "previous", 40),
        (first, "kept (damaged)", None),
    ]


def test_a_release_without_its_manifest_is_damaged_and_not_forgotten(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    for path in exports[:2]:
        releases.release(path, place)
    for path in exports[:2]:
        (place / version_of(path) / layout.MANIFEST).unlink()
    assert [one.state for one in releases.listed(place)] == ["live (damaged)", "previous (damaged)"]
    with pytest.raises(towerline.ServingError, match=r"found no manifest\.json"):
        releases.verify(place)
