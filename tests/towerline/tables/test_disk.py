"""The refusal of rows for which the disk has too little space, before the start."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import ROOT, mounted_disk, set_params
from towerline.pipeline.errors import StageError
from towerline.tables import engine
from towerline.tables.disk import check_free


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_disk(tmp_path / "disk", "1m") as disk:
        yield disk


def test_the_free_space_has_to_be_that_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    free: Mapping[Path, int] = {Path("data"): 10**9, Path("full"): 10**9 - 1}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    check_free(Path("data"), 10_000_000, 100)
    with pytest.raises(StageError) as caught:
        check_free(Path("full"), 10_000_000, 100)
    assert str(caught.value) == (
        "engine.spill_folder: expected at least 1.0 GB of free space in full/ for about 10,000,000 rows, found 0.9; "
        "free some, or set it to a folder on another disk"
    )


def test_a_session_on_a_small_disk(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, {"engine.spill_folder": str(small_disk)})
    monkeypatch.chdir(tmp_path)
    with engine.session("split", 10_000, 75):
        pass
    with pytest.raises(StageError, match="free space"), engine.session("split", 20_000, 75):
        pass
    assert not list(small_disk.iterdir())
