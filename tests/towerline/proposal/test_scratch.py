"""Scratch folders of proposals."""

import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, run
from tests.towerline.proposal.conftest import FILES
from towerline import proposal
from towerline.proposal.scratch import scratch_folder


def test_what_a_killed_proposal_left_is_removed_and_what_is_in_use_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    code = "import os, signal\nfrom towerline.proposal.scratch import scratch_folder as use\n"
    code += "with use() as folder:\n (folder / 'decoded.csv').touch()\n os.kill(os.getpid(), signal.SIGKILL)"
    run(ROOT, sys.executable, "-c", code, check=False, TMPDIR=str(folder))
    assert list(folder.glob("towerline-*/decoded.csv"))
    Path("rows.csv").write_bytes(FILES["plain"][0])
    with scratch_folder() as used:
        proposal.command([Path("rows.csv")], write=False)
        assert list(folder.glob("towerline-*")) == [used]
    assert not list(folder.glob("towerline-*"))
