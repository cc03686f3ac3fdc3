"""Releases and rollbacks: copies that nobody writes, and refusals that change nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import towerline
from tests.towerline.serving.releases.conftest import files_of, version_of
from towerline.exports import layout, manifest
from towerline.serving import releases
from towerline.serving.releases import pointer
from towerline.serving.releases.folder import LOCK, alone


def test_a_release_is_a_copy_that_nobody_writes_and_rollback_goes_back(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    first, second, third = (version_of(path) for path in exports[:3])
    (place / "lost+found").mkdir(parents=True)
    assert releases.release(exports[0], place) == f"{first} is live with 40 users and 300 items"
    assert releases.release(exports[1], place) == f"{second} is live with 40 users and 300 items; {first} is kept"
    for path, version in ((exports[0], first), (exports[1], second)):
        assert files_of(place / version) == files_of(path)
        for file in files_of(path):
            assert (place / version / file).stat().st_mode & 0o222 == 0
            assert (place / version / file).stat().st_ino != (path / file).stat().st_ino
    assert releases.release(exports[1], place) == f"{second} is live already"
    assert towerline.open(place).version == second
    assert releases.rollback(place) == f"{first} is live again; {second} is kept"
    assert towerline.open(place).version == first
    with pytest.raises(towerline.ServingError, match=f"expected a release that was live before {first}, found none"):
        releases.rollback(place)
    assert releases.rollback(place, second) == f"{second} is live again; {first} is kept"
    releases.release(exports[2], place)
    assert [(one.version, one.state) for one in releases.listed(place)] == [
        (third, "live"),
        (second, "previous"),
        (first, "kept"),
    ]
    assert [releases.rollback(place)[:12], releases.rollback(place)[:12]] == [second, first]
    with pytest.raises(towerline.ServingError, match=r"expected a version of .*, found 'none'"):
        releases.rollback(place, "none")
    # From one folder of releases to another, as from a test system to a live one.
    releases.release(place, tmp_path / "other")
    assert towerline.open(tmp_path / "other").version == first
    assert [line.split(":")[1][1:13] for line in releases.verify(place)] == sorted([first, second, third])


def test_rollback_helps_where_the_live_release_is_damaged(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    first, second = (version_of(path) for path in exports[:2])
    for export in exports[:2]:
        releases.release(export, place)
    damaged = place / second / "manifest.json"
    damaged.chmod(0o644)
    damaged.write_text("{")
    assert releases.rollback(place) == f"{first} is live again; {second} is kept"
    assert towerline.open(place).version == first


def test_a_release_mends_a_broken_pointer(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    for path in exports[:2]:
        releases.release(path, place)
    for broken in ("[]", "{", '{"live": "..", "before": []}'):
        (place / pointer.NAME).write_text(broken)
        for act in (towerline.open, releases.rollback, releases.listed, releases.verify):
            with pytest.raises(towerline.ServingError, match=r"live.json: expected .*; release an export again"):
                act(place)
        assert releases.release(exports[0], place) == f"{version_of(exports[0])} is live with 40 users and 300 items"
        assert towerline.open(place).version == version_of(exports[0])


def test_a_full_disk_names_the_pointer_that_stays(
    exports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "releases"
    for path in exports[:2]:
        releases.release(path, place)
    before = files_of(place)

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    acts: list[Callable[[], str]] = [lambda: releases.rollback(place), lambda: releases.release(exports[0], place)]
    for act in acts:
        with pytest.raises(
            towerline.ServingError, match=rf"releases/{pointer.NAME}: .*No space.*make room there, and run"
        ):
            act()
        assert files_of(place) == before


def test_a_mixture_of_two_exports_cannot_be_opened_or_released(exports: list[Path], tmp_path: Path) -> None:
    """A cp that has come to each file, or half through it: of the same sizes, so that only digests tell them apart."""
    place = tmp_path / "releases"
    releases.release(exports[1], place)
    for name, content in files_of(exports[1]).items():
        for half in (False, True):
            shutil.rmtree(tmp_path / "mixed", ignore_errors=True)
            shutil.copytree(exports[0], tmp_path / "mixed")
            before = (tmp_path / "mixed" / name).read_bytes()
            cut = len(before) // 2 if half else len(content)
            (tmp_path / "mixed" / name).write_bytes(content[:cut] + before[cut:])
            if files_of(tmp_path / "mixed") == files_of(exports[0]):
                continue
            if not name.startswith(layout.MODEL):
                with pytest.raises(towerline.ServingError, match="expected "):
                    towerline.open(tmp_path / "mixed")
            for act in (
                lambda: releases.release(tmp_path / "mixed", place),
                lambda: releases.verify(tmp_path / "mixed"),
            ):
                with pytest.raises(towerline.ServingError, match="expected "):
                    act()
    assert {path.name for path in place.iterdir()} == {version_of(exports[1]), pointer.NAME, LOCK}


def test_what_cannot_be_released_is_one_line_and_changes_nothing(
    exports: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "releases"
    first, second = (version_of(path) for path in exports[:2])
    releases.release(exports[0], place)
    before = files_of(place)

    def refused(said: str, *arguments: Any, act: Any = releases.release) -> None:
        with pytest.raises(towerline.ServingError, match=said) as caught:
            act(*arguments)
        assert "\n" not in str(caught.value)
        assert files_of(place) == before

    refused("no manifest.json; run dvc repro", tmp_path / "none", place)
    refused("expected an existing folder to make it in", exports[1], tmp_path / "none/releases")
    refused("belongs to an export; choose another", exports[1], exports[1])
    refused("belongs to an export; choose another", exports[1], exports[1] / "releases")
    (tmp_path / "photos/0123456789ab").mkdir(parents=True)
    refused("an empty or a new one, found one that holds '0123456789ab'; choose", exports[1], tmp_path / "photos")
    refused("keep: expected a whole number of at least 1, found 0", exports[1], place, 0)
    refused("expected a folder of releases, found no live.json", exports[1], act=releases.rollback)
    content = json.loads((exports[1] / layout.MANIFEST).read_text())
    outside = tmp_path / "outside"
    shutil.copytree(exports[1], outside)
    content["files"]["../escaped"] = content["files"].pop("seen_items.npy")
    content["version"] = manifest._version({name: value for name, value in content.items() if name != "version"})
    (outside / layout.MANIFEST).write_text(json.dumps(content))
    refused("expected names of files in the folder, found '../escaped'", outside, place)

    with alone(place):
        refused("found another release or rollback under way", exports[1], place)
        refused("found another release or rollback under way", place, first, act=releases.rollback)
    with monkeypatch.context() as patch:

        def no_space(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", no_space)
        full = (
            "expected to read or write it, found No space left on device; make room there, and run it again; the live"
        )
        refused(rf"{second}.*/item_embeddings\.npy: {full}", exports[1], place)
    damaged = place / first / "seen_items.npy"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\7")
    before = files_of(place)
    refused(f"{first}: expected the release as it was written, found it damaged", exports[0], place)
    refused("expected content of the digest", place, act=releases.verify)
    releases.release(exports[1], place)
    before = files_of(place)
    refused(f"{first}: expected the release as it was written, found it damaged", place, act=releases.rollback)
    assert towerline.open(place).version == second
