"""The commands of releases."""

import json
import subprocess
import sys
from pathlib import Path

import towerline
from tests.conftest import ROOT, run
from tests.towerline.serving.releases.conftest import version_of


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
