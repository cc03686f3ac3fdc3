"""Readers in loops while releases end, fail and are killed, and while an export runs: nobody notices."""

import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import towerline
from tests.conftest import ENVIRONMENT, ROOT
from tests.towerline.serving.conftest import make_export
from tests.towerline.serving.releases.conftest import digest, files_of, version_of
from towerline.serving import releases
from towerline.serving.releases import pointer
from towerline.serving.releases.folder import LOCK

# A reader in a loop: opens, asks and compares with what the export of the version that answered is known to answer; one
# object is open all the time and moves on now and then.
READER = """
import json, sys
from pathlib import Path
import towerline
from tests.towerline.serving.releases.conftest import answers, digest
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
            assert {path.name for path in place.iterdir()} <= {*versions, pointer.NAME, LOCK}
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
