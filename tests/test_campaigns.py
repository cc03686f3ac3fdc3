"""Law 8 by campaigns, minutes long, run by hand with `pytest -m slow tests/test_campaigns.py`.

Stages are killed, and disks are full. Both campaigns run each stage by itself over the small project, and again over
whatever it left: the outputs have to be those of a run that nothing has disturbed. Those that train have checkpoints,
and their rows in memory or in files.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, mounted_disk, run
from tests.test_laws import NAMES, listed

pytestmark = pytest.mark.slow

# Each stage is killed at some moment, and the stages that train at one soon after their first checkpoint as well.
KILLS = [*((stage, False) for stage in NAMES * 5), *((stage, True) for stage in ["train", "refit"] * 10)]
# Runs a stage with its rows in files, however much memory is free.
IN_FILES = """
import runpy, sys
import stages
from towerline.training import memory
memory.ROWS_SHARE = 0.0
runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)
"""
# Free space as a share of what a stage writes.
SHARES_FREE = (0.0, 0.3, 0.7)


def outputs(folder: Path, stage: str) -> dict[str, bytes]:
    names = [*listed(stage, "outs"), *listed(stage, "metrics"), *listed(stage, "plots")]
    files = [path for name in names for path in [folder / name, *(folder / name).rglob("*")] if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def leftovers(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob(".unfinished*") if ".dvc" not in path.parts]


def command(stage: str, in_files: bool) -> list[str]:
    # The arithmetic is fixed where a command line has `-m` and a stage.
    return [sys.executable, *(["-c", IN_FILES] if in_files else []), "-m", f"stages.{stage}"]


def start(folder: Path, stage: str, in_files: bool = False) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(stage, in_files),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_checkpoint(folder: Path, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None and not any(folder.glob("models/.unfinished.*/*.npz")):
        time.sleep(0.001)


def copied(project: Path, into: Path) -> Path:
    """The project with real files in place of links to DVC's cache, and without the cache."""
    return Path(shutil.copytree(project, into, ignore=shutil.ignore_patterns("cache", ".git"), symlinks=False))


def test_stages_killed_at_any_moment_run_again_over_what_is_left(small_project: Path, tmp_path: Path) -> None:
    folder = copied(small_project, tmp_path / "project")
    draw = random.Random(10)
    expected, seconds = {}, {}
    for stage in NAMES:
        begun = time.monotonic()
        assert start(folder, stage).wait() == 0
        expected[stage], seconds[stage] = outputs(folder, stage), time.monotonic() - begun
    killed = 0
    continued: dict[str, int] = {}
    for number, (stage, with_checkpoint) in enumerate(KILLS):
        if draw.random() < 0.5:
            # As DVC does before a stage runs.
            for name in expected[stage]:
                (folder / name).unlink(missing_ok=True)
        process = start(folder, stage, in_files=draw.random() < 0.5)
        if with_checkpoint:
            wait_for_checkpoint(folder, process)
            time.sleep(draw.uniform(0.0, 0.1))
        else:
            # Imports are the first half of a stage, and leave nothing.
            time.sleep(draw.uniform(0.4, 1.0) * seconds[stage])
        os.killpg(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        again = start(folder, stage, in_files=draw.random() < 0.5)
        stdout, stderr = again.communicate()
        continued[stage] = continued.get(stage, 0) + ("continues the" in stdout)
        assert (again.returncode, stderr) == (0, ""), f"{stage}, kill {number}"
        assert outputs(folder, stage) == expected[stage], f"{stage}, kill {number}"
        assert leftovers(folder) == []
    assert killed > len(KILLS) / 2
    assert continued["train"] > 0
    assert continued["refit"] > 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", "1g") as disk:
        yield disk


def fill(disk: Path, free: int) -> Path:
    """Leaves so many bytes free."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(disk).free - free))
    return ballast


@pytest.mark.parametrize("in_files", [False, True])
def test_a_full_disk_is_one_line_and_the_stage_runs_again(
    in_files: bool, small_project: Path, small_disk: Path
) -> None:
    folder = copied(small_project, small_disk / "project")
    failed = 0
    # Rows in files make a difference to the stages that train.
    for stage in ("train", "refit") if in_files else NAMES:
        run(folder, sys.executable, "-m", f"stages.{stage}")
        expected = outputs(folder, stage)
        for share in SHARES_FREE:
            for name in expected:
                (folder / name).unlink()
            ballast = fill(small_disk, int(share * sum(map(len, expected.values()))))
            done = run(folder, *command(stage, in_files), check=False, PYTHONDONTWRITEBYTECODE="1")
            ballast.unlink()
            failed += done.returncode
            # A stage may fit into a disk that is all but full, since tmpfs counts in pages.
            assert done.returncode in (0, 1), f"{stage} with {share} free: {done.stderr}"
            if done.returncode:
                assert done.stderr.startswith(f"{stage}: "), done.stderr
                assert done.stderr.count("\n") == 1, done.stderr
                assert "space" in done.stderr, done.stderr
                assert any(folder_name in done.stderr for folder_name in ("data", "models", "reports", "exports"))
            run(folder, sys.executable, "-m", f"stages.{stage}")
            assert outputs(folder, stage) == expected, f"{stage} after a full disk"
            assert leftovers(folder) == []
    assert failed >= (4 if in_files else 20)
