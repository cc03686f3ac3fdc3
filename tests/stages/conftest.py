"""An empty workspace for a stage, and the stage ingest over rows or text."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import rules
from tests.conftest import ROOT, set_params, write_rows
from towerline.pipeline.settings import Section

# The section's name -> its model, and the sections of the committed params.yaml.
SECTIONS: dict[str, type[Section]] = {model.section: model for model in rules.SECTIONS}
PARAMS: dict[str, Any] = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))

# Runs the ingest stage over rows or text, with changed parameters, and returns the interactions that it writes.
Ingest = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the project's params.yaml and item table, as the current folder.

    The rating task is off: it would need a column of ratings, which not all tests' data has.
    """
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, {"train.rating_weight": 0.0})
    write_rows(tmp_path / "data/raw/items.csv", [], ["item_id", "item_type", "title"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ingest(workspace: Path) -> Ingest:
    """Runs the ingest stage over rows or text and returns data/interactions.parquet."""
    import pyarrow.parquet as pq

    from stages.ingest import __main__ as stage

    def run_ingest(content: bytes | list[list[str]], name: str = "preferences.csv", **params: Any) -> Any:
        path = workspace / "data/raw" / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_rows(path, content)
        set_params(workspace, {"ingest.source": f"data/raw/{name}", **params})
        stage.main()
        return pq.read_table("data/interactions.parquet").to_pylist()

    return run_ingest
