"""The command `towerline propose`."""

import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT, run
from tests.towerline.proposal.conftest import FILES
from towerline import proposal
from towerline.pipeline.errors import CommandError


def test_without_duckdb_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("towerline.proposal.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(proposal, "proposing", raising=False)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(CommandError, match=r"found no duckdb; pip install 'towerline\[pipeline\]'"):
        proposal.command([Path("rows.csv")], write=False)


def test_the_command_prints_the_proposal_and_its_errors(folder: Path) -> None:
    Path("rows.csv").write_bytes(FILES["plain"][0])
    command = [sys.executable, "-m", "towerline", "propose"]
    done = run(folder, *command, "rows.csv", PYTHONPATH=str(ROOT))
    assert YAML(typ="safe").load(done.stdout)["ingest"]["source"] == "rows.csv"
    failed = run(folder, *command, "nothing.csv", check=False, PYTHONPATH=str(ROOT))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("towerline propose: nothing.csv: expected a file or a folder, found none")
