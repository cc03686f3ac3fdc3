"""Releases in a folder: whole for every reader, whatever happens to the export, the release and its process."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import towerline
from tests.conftest import ENVIRONMENT, ROOT, run
from towerline.exports import layout, manifest
from towerline.exports.manifest import Sizes
from towerline.pipeline.errors import StageError
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems
from towerline.serving import pointer, releases
from towerline.serving.bulk import write_recommendations
from towerline.serving.exported import _column
from towerline.serving.ranking import Candidates, best_of_index

USERS, ITEMS = 40, 300
ASKED = [f"u{row:03d}" for row in range(0, USERS, 7)]


def make_export(folder: Path, seed: int, size: int = 0) -> Path:
    """An export all of whose files depend on the seed, whatever their sizes; `size` bytes more in its SavedModel."""
    from stages.export.__main__ import write_exported

    draw = np.random.default_rng(seed)

    def vectors(rows: int, last: NDArray[np.float64]) -> NDArray[np.float32]:
        drawn = draw.normal(size=(rows, 16))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        return np.column_stack([drawn, last]).astype(np.float32)

    embeddings = Embeddings(vectors(USERS, np.ones(USERS)), vectors(ITEMS, draw.random(ITEMS)))
    pairs = draw.permutation(USERS * ITEMS)[: 10 * USERS]
    seen = UserItems.of_pairs((pairs // ITEMS).astype(np.int32), (pairs % ITEMS).astype(np.int32), num_rows=USERS)
    users = pa.table({"user_id": [f"u{row:03d}" for row in range(USERS)]})
    items = pa.table(
        {
            "item_type": ["film"] * ITEMS,
            "item_id": [f"{row:04d}" for row in range(ITEMS)],
            "title": [f"{seed:06d} {row}" for row in range(ITEMS)],
        }
    )
    folder.mkdir(parents=True)
    write_exported(folder, users, items, embeddings, seen, {}, csv=False)
    model = folder / layout.MODEL / "saved_model.pb"
    model.parent.mkdir(parents=True)
    model.write_bytes(f"{seed:06d}".encode() + bytes(size))
    manifest.write(folder, Sizes(USERS, ITEMS, 17, 10 * USERS), 0.1)
    return folder


def answers(recommender: towerline.Recommender) -> list[Any]:
    """What the readers ask: every mapped array and every column has a part in it."""
    return [
        recommender.recommend_batch(ASKED, 5),
        recommender.similar_users_batch(ASKED, 5),
        recommender.recommend("nobody", 5, unknown="popular"),
    ]


def version_of(folder: Path) -> str:
    return manifest.read(folder).version


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("exports")
    return [make_export(folder / str(seed), seed) for seed in range(4)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    assert {path.name for path in place.iterdir()} == {second, pointer.NAME, releases.LOCK}


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


def test_a_release_without_its_manifest_is_damaged_and_not_forgotten(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    for path in exports[:2]:
        releases.release(path, place)
    for path in exports[:2]:
        (place / version_of(path) / layout.MANIFEST).unlink()
    assert [one.state for one in releases.listed(place)] == ["live (damaged)", "previous (damaged)"]
    with pytest.raises(towerline.ServingError, match=r"found no manifest\.json"):
        releases.verify(place)


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


def npy(array: NDArray[Any], *changes: tuple[bytes, bytes]) -> bytes:
    """The bytes of a .npy file, some of them others of the same length."""
    file = io.BytesIO()
    np.save(file, array)
    content = file.getvalue()
    for old, new in changes:
        assert old in content
        assert len(old) == len(new)
        content = content.replace(old, new, 1)
    return content


DAMAGES: dict[str, tuple[str, Callable[[NDArray[Any]], bytes]]] = {
    "an open bracket": ("user_embeddings.npy", lambda array: npy(array, (b"'shape': (", b"'shape': ["))),
    "no header": ("user_embeddings.npy", lambda array: npy(array, (b"{'descr'", b"{((((((("))),
    "whole numbers": ("item_embeddings.npy", lambda array: npy(array, (b"<f4", b"<i4"))),
    "big endian": ("item_embeddings.npy", lambda array: npy(array, (b"<f4", b">f4"))),
    "starts descend": ("seen_starts.npy", lambda array: npy(np.r_[0, array[-1], array[2:]])),
    "starts are negative": ("seen_starts.npy", lambda array: npy(np.r_[-5, array[1:]])),
    "items beyond": ("seen_items.npy", lambda array: npy(array + np.int32(ITEMS))),
    "items below": ("seen_items.npy", lambda array: npy(array - np.int32(ITEMS))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_bytes_of_the_same_size_are_one_line_that_names_verify(
    exports: list[Path], tmp_path: Path, damage: str
) -> None:
    name, damaged = DAMAGES[damage]
    releases.release(exports[0], tmp_path / "releases")
    file = tmp_path / "releases" / version_of(exports[0]) / name
    size = file.stat().st_size
    file.chmod(0o644)
    file.write_bytes(damaged(np.load(file)))
    assert file.stat().st_size == size
    asks: list[Callable[[towerline.Recommender], object]] = [
        lambda recommender: recommender.recommend("u003"),
        lambda recommender: recommender.recommend("nobody", unknown="popular"),
        lambda recommender: write_recommendations(recommender, tmp_path / "all", 3, None, True, lambda users: None),
    ]
    for act in asks:
        with pytest.raises(towerline.ServingError, match="python -m towerline verify") as caught:
            act(towerline.open(tmp_path / "releases"))
        assert "\n" not in str(caught.value)


def test_an_index_that_finds_no_rows_is_one_line() -> None:
    from towerline.index.approximate import build

    vectors = np.random.default_rng(0).normal(size=(ITEMS, 17)).astype(np.float32)
    few = Candidates(vectors[:20], np.arange(20, dtype=np.int32))
    with pytest.raises(towerline.ServingError, match="python -m towerline verify"):
        best_of_index(vectors[:2], build(vectors), few, UserItems.none(2), 10)


@pytest.mark.parametrize(
    "column", [pa.array([b"\xff"]).view(pa.string()), pa.array([None], pa.string()), pa.array([1])]
)
def test_ids_that_are_no_text_are_found_when_they_are_read(column: pa.Array) -> None:
    with pytest.raises((StageError, pa.ArrowInvalid)):
        _column(pa.table({"user_id": column}), "user_id")


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
    assert {path.name for path in (tmp_path / "releases").iterdir()} == {versions[3], pointer.NAME, releases.LOCK}


def test_what_is_open_stays_whole_and_reload_moves_on(exports: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "releases"
    releases.release(exports[0], place)
    old = towerline.open(place)
    expected = [answers(towerline.open(path)) for path in exports[:2]]
    assert old.reload() is old
    releases.release(exports[1], place, keep=1)
    new = old.reload()
    assert (answers(old), answers(new)) == (expected[0], expected[1])
    assert new.reload() is new
    # What cannot be opened leaves what is open as it is.
    (place / pointer.NAME).write_text("[]")
    with pytest.raises(towerline.ServingError, match="expected the pointer that release writes"):
        new.reload()
    assert answers(new) == expected[1]
    with pytest.raises(towerline.ServingError, match=r"reload: expected what towerline\.open"):
        towerline.Recommender(new.exported).reload()


@pytest.mark.parametrize("index", [False, True])
def test_an_open_export_stays_whole_while_another_is_copied_over_it(
    exports: list[Path], tmp_path: Path, index: bool
) -> None:
    """In a process of its own, which a mapped file that is cut off would kill."""
    shutil.copytree(exports[0], tmp_path / "exports")
    if index:
        from towerline.index.approximate import build

        embeddings = np.load(tmp_path / "exports/item_embeddings.npy")
        (tmp_path / "exports" / layout.MANIFEST).unlink()
        build(embeddings).save(tmp_path / "exports" / layout.INDEX)
        manifest.write(tmp_path / "exports", Sizes(USERS, ITEMS, 17, 10 * USERS), 0.1)
    code = f"""
import shutil, towerline
from tests.towerline.serving.test_releases import Path, answers
folder = Path({str(tmp_path)!r}) / "exports"
recommender = towerline.open(folder)
before = answers(recommender)
for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.write(b"\\xff" * size)
        file.flush()
        assert answers(towerline.Recommender(recommender.exported)) == before
        file.truncate(0)
assert answers(towerline.Recommender(recommender.exported)) == before
"""
    run(ROOT, sys.executable, "-c", code)


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
    assert {path.name for path in place.iterdir()} == {version_of(exports[1]), pointer.NAME, releases.LOCK}


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

    with releases._alone(place):
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


# A reader in a loop: opens, asks and compares with what the export of the version that answered is known to answer; one
# object is open all the time and moves on now and then.
READER = """
import json, sys
from pathlib import Path
import towerline
from tests.towerline.serving.test_releases import answers, digest
folder, known = Path(sys.argv[1]), json.loads(sys.argv[2])
kept = towerline.open(folder)
rounds, versions = 0, set()
print("reading", flush=True)
while not (folder.parent / "stop").exists():
    for recommender in (towerline.open(folder), kept):
        if digest(recommender) != known[recommender.version]:
            sys.exit(f"a mixture under the version {recommender.version}")
        versions.add(recommender.version)
    rounds += 1
    if rounds % 3 == 0:
        kept = kept.reload()
print(json.dumps([rounds, sorted(versions)]), flush=True)
"""


def digest(recommender: towerline.Recommender) -> str:
    import hashlib

    return hashlib.sha256(repr(answers(recommender)).encode()).hexdigest()


@contextmanager
def readers(place: Path, exports: Sequence[Path], number: int = 2) -> Iterator[list[tuple[int, list[str]]]]:
    """Readers in loops, while the block runs; what they have read is in the list behind it.

    A reader that is refused, finds a mixture or dies fails the test.
    """
    known = {recommender.version: digest(recommender) for recommender in map(towerline.open, exports)}
    command = [sys.executable, "-c", READER, str(place), json.dumps(known)]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(number)
    ]
    found: list[tuple[int, list[str]]] = []
    try:
        for reader in running:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n", reader.communicate()[1]
        yield found
    finally:
        (place.parent / "stop").touch()
        ended = [reader.communicate(timeout=60) for reader in running]
        (place.parent / "stop").unlink()
    for reader, (output, errors) in zip(running, ended, strict=True):
        assert (reader.returncode, errors) == (0, "")
        rounds, versions = json.loads(output)
        found.append((rounds, versions))


# A process that releases in children, so that modules are imported once. A child kills itself at its n-th call of a C
# function, such as a read, a write or a rename of a file, so that a kill does not depend on the speed of the machine.
RELEASER = """
import json, os, signal, sys
from pathlib import Path
from towerline.serving import releases
for line in sys.stdin:
    exports, place, keep, last_call = json.loads(line)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        calls = 0
        def count(frame, event, argument):
            global calls
            calls += event == "c_call"
            if calls == last_call > 0:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(count)
        releases.release(Path(exports), Path(place), keep)
        sys.setprofile(None)
        os.write(write_end, str(calls).encode())
        os._exit(0)
    os.close(write_end)
    _, status = os.waitpid(pid, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), int(os.read(read_end, 20) or 0)]), flush=True)
    os.close(read_end)
"""


class Releaser:
    """Releases in separate processes, and kills them."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def release(self, exports: Path, place: Path, keep: int, last_call: int = 0) -> tuple[int, int]:
        """Returns the exit code, negative after a kill, and the number of calls of a release that was not killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([str(exports), str(place), keep, last_call]), file=self._process.stdin, flush=True)
        code, calls = json.loads(self._process.stdout.readline())
        return code, calls


@contextmanager
def releaser() -> Iterator[Releaser]:
    command = [sys.executable, "-c", RELEASER]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Releaser(process)
        assert process.stdin is not None
        process.stdin.close()


def campaign(folder: Path, attempts: int, size: int, number_of_readers: int = 2) -> list[tuple[int, list[str]]]:
    """Releases that end, fail and are killed at random calls, and rollbacks, under readers in loops.

    Args:
      folder: an empty one.
      attempts: how many releases are killed.
      size: bytes of each SavedModel, so that a copy takes its time.
    """
    exports = [make_export(folder / f"exports/{seed}", seed, size) for seed in range(3)]
    versions = [version_of(path) for path in exports]
    place = folder / "releases"
    shutil.copytree(exports[2], folder / "exports/broken")
    (folder / "exports/broken/item_embeddings.npy").write_bytes(b"")
    for path in exports[:2]:
        releases.release(path, place)
    draw = random.Random(11)
    killed = 0
    with releaser() as process, readers(place, exports, number_of_readers) as found:
        code, calls = process.release(exports[2], place, 2)
        assert code == 0
        for attempt in range(attempts):
            old, new = versions[(attempt + 2) % 3], versions[attempt % 3]
            code, _ = process.release(exports[attempt % 3], place, 2 - attempt % 2, draw.randint(1, calls))
            killed += code == -signal.SIGKILL
            assert towerline.open(place).version in (old, new)
            assert len(releases.verify(place)) <= 3
            with pytest.raises(towerline.ServingError, match="expected "):
                releases.release(folder / "exports/broken", place)
            releases.release(exports[attempt % 3], place, keep=2)
            assert {path.name for path in place.iterdir()} <= {*versions, pointer.NAME, releases.LOCK}
            assert towerline.open(place).version == new
            live = pointer.read(place)
            assert live is not None
            # A version whose removal was killed is there, and is no longer one that was live before.
            if any((place / version).is_dir() for version in live.before if version != new):
                releases.rollback(place)
                releases.rollback(place, new)
    assert killed >= attempts / 2, "most have to be killed before they end for this test to mean anything"
    assert len({version for _, seen in found for version in seen}) == 3, "readers have to meet all versions"
    return found


def test_readers_are_never_refused_and_find_no_mixture_during_releases_rollbacks_and_killed_releases(
    tmp_path: Path,
) -> None:
    found = campaign(tmp_path, attempts=12, size=3_000_000)
    assert min(rounds for rounds, _ in found) > 20


@pytest.mark.slow
def test_a_long_campaign_of_releases_and_killed_releases_is_never_noticed(tmp_path: Path) -> None:
    found = campaign(tmp_path, attempts=400, size=20_000_000, number_of_readers=4)
    assert min(rounds for rounds, _ in found) > 1000


def test_nobody_notices_an_export_that_runs_while_a_release_is_live(small_project: Path, tmp_path: Path) -> None:
    place = tmp_path / "releases"
    releases.release(small_project / "exports", place)
    whole = files_of(place)
    missing = threading.Event()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if not (small_project / "exports/manifest.json").exists():
                missing.set()
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    recommender = towerline.open(place)
    version, expected = recommender.version, recommender.recommend_batch(["u3", "0042"], 5)
    running = subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", "export"],
        cwd=small_project,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    opened = 0
    while running.poll() is None:
        for one in (recommender, towerline.open(place)):
            assert one.version == version
            assert one.recommend_batch(["u3", "0042"], 5) == expected
        opened += 1
        time.sleep(0.02)
    ended.set()
    watcher.join()
    assert running.returncode == 0, running.communicate()[0]
    assert missing.is_set(), "DVC has to remove the export for this test to mean anything"
    assert opened > 20
    assert files_of(place) == whole
    assert releases.release(small_project / "exports", place) == f"{version} is live already", "the same bytes again"


def command(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(ROOT, sys.executable, "-m", "towerline", *words, check=check)


def test_the_command_line_releases_lists_verifies_and_rolls_back(exports: list[Path], tmp_path: Path) -> None:
    place = str(tmp_path / "releases")
    first, second = (version_of(path) for path in exports[:2])
    for path in exports[:2]:
        done = command("release", str(path), "--to", place, "--keep", "2")
    assert done.stdout == f"{second} is live with 40 users and 300 items; {first} is kept\n"
    rows = [line.split() for line in command("releases", place).stdout.splitlines()[2:]]
    assert [[*row[:2], *row[4:6]] for row in rows] == [
        [second, "live", "40", "300"],
        [first, "previous", "40", "300"],
    ]
    assert [one["version"] for one in json.loads(command("releases", place, "--json").stdout)["answer"]] == [
        second,
        first,
    ]
    assert len(command("verify", place).stdout.splitlines()) == 2
    assert command("rollback", "--in", place).stdout == f"{first} is live again; {second} is kept\n"
    found = json.loads(command("recommend", "u003", "--json", "--k", "1", "--exports", place).stdout)
    assert found["answer"] == [one._asdict() for one in towerline.open(exports[0]).recommend("u003", 1)]
    done = command("rollback", "--in", place, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("towerline rollback: ")
