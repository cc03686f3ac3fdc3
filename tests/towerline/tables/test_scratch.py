"""Law 8: files on the way disappear, after a kill as well, and those of a running stage stay."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT, ROOT
from towerline.pipeline.errors import StageError
from towerline.tables.scratch import scratch_folder

# Makes a folder with a file, says so, and waits.
HOLDING = """
import sys, time
from pathlib import Path
from towerline.tables.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "ingest") as folder:
    (folder / "rows.parquet").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


def holding(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that has a folder, and the folder."""
    command = [sys.executable, "-c", HOLDING, str(parent)]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_removed_at_the_end_and_after_a_kill_but_not_while_it_is_in_use(tmp_path: Path) -> None:
    (killed, left), (running, used) = holding(tmp_path), holding(tmp_path)
    with killed, running:
        killed.kill()
        killed.wait()
        assert (left / "rows.parquet").exists()
        with scratch_folder(tmp_path, "split") as folder:
            assert sorted(tmp_path.iterdir()) == sorted([used, folder])
            assert (used / "rows.parquet").exists()
        assert list(tmp_path.iterdir()) == [used]
        running.kill()


def test_folders_of_processes_with_one_number_are_two(tmp_path: Path) -> None:
    with scratch_folder(tmp_path, "ingest") as one, scratch_folder(tmp_path, "ingest") as other:
        assert one != other
        assert sorted(tmp_path.iterdir()) == sorted([one, other])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_error_of_its_parameter(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/folder"):
        message = f"engine.spill_folder: expected a folder, or a path where one can be made, found {path} "
        with pytest.raises(StageError, match=re.escape(message)), scratch_folder(path, "split"):
            pass
