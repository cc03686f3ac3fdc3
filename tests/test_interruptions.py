"""Law 8: a stage that is killed or interrupted leaves the old files whole."""

import os
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, run, set_params

pytestmark = pytest.mark.pipeline


def test_a_killed_stage_leaves_nothing_that_passes_for_whole(project: Path) -> None:
    """Exported files are swapped in whole: a stage that fails half-way leaves the old ones."""
    code = (
        "from stages.export import __main__ as stage\n"
        "from stages.export.servable import Retrieval\n"
        "def broken(*_): raise KeyboardInterrupt\n"
        "Retrieval.save = broken\n"
        "from towerline.pipeline.terminal import run\n"
        "run('export', stage.main)\n"
    )
    before = {path: path.read_bytes() for path in (project / "exports").rglob("*") if path.is_file()}
    done = run(project, sys.executable, "-c", code, check=False)
    assert (done.returncode, done.stderr) == (130, "export: interrupted\n")
    assert {path: path.read_bytes() for path in (project / "exports").rglob("*") if path.is_file()} == before
    assert not list(project.glob(".unfinished.*"))


def test_an_interrupted_training_leaves_the_old_model_whole(project: Path) -> None:
    set_params(project, {"train.epochs": 100_000, "train.early_stopping_patience": 0})
    before = {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()}
    # Progress is shown on a terminal alone: its first epochs, of a search and a fit, say that training is under way.
    screen, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    command = [sys.executable, "-m", "stages.train"]
    with subprocess.Popen(command, cwd=project, env=ENVIRONMENT, stderr=terminal, stdout=subprocess.DEVNULL) as process:
        shown = ""
        while not re.search(r" [1-9]\d*/200000 ", shown):
            shown += os.read(screen, 4096).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    shown += os.read(screen, 65536).decode()
    os.close(terminal)
    os.close(screen)
    assert shown.splitlines()[-1] == "train: interrupted"
    # The checkpoint, from which the same command would continue, is no model.
    files = [path for path in (project / "models").rglob("*") if path.is_file()]
    assert {path: path.read_bytes() for path in files if not path.parent.name.startswith(".unfinished.")} == before
