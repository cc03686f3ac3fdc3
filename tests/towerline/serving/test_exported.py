"""Opening an export: its files are checked, and heavy packages are not needed (laws 3 and 10)."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import towerline
from tests.conftest import ROOT, run
from towerline.exports import manifest
from towerline.exports.manifest import Sizes
from towerline.pipeline.errors import StageError
from towerline.serving.exported import _column


def test_the_export_is_checked_when_it_is_opened(exports: Path, tmp_path: Path) -> None:
    with pytest.raises(towerline.ServingError, match=r"nowhere: expected what the stage export writes.*dvc repro"):
        towerline.open(tmp_path / "nowhere")
    run(tmp_path, "cp", "-rL", str(exports), "copy")
    for path in sorted(path for path in exports.rglob("*") if path.is_file()):
        name = path.relative_to(exports).as_posix()
        for content in (b"", path.read_bytes()[: path.stat().st_size // 2], b"[]"):
            (tmp_path / "copy" / name).write_bytes(content)
            with pytest.raises(towerline.ServingError, match="expected ") as caught:
                towerline.open(tmp_path / "copy")
            assert name in str(caught.value)
            assert "\n" not in str(caught.value)
        run(tmp_path, "cp", "-L", str(path), f"copy/{name}")
    towerline.open(tmp_path / "copy")
    # Files that are of one manifest, and yet of no export.
    np.save(tmp_path / "copy/item_embeddings.npy", np.zeros((3, 10), np.float32))
    (tmp_path / "copy/manifest.json").unlink()
    manifest.write(tmp_path / "copy", Sizes(60, 60, 10, 500), 0.1)
    with pytest.raises(towerline.ServingError, match=r"60 items in the manifest, \(60, 3, 60, 60\) in the files"):
        towerline.open(tmp_path / "copy")


def test_answers_need_neither_tensorflow_nor_dvc_nor_pandas(exports: Path) -> None:
    code = f"""
import sys
heavy = "tensorflow tf_keras tensorflow_recommenders dvc pandas ibis duckdb sklearn implicit rapidfuzz psycopg"
sys.modules |= dict.fromkeys(heavy.split())
import towerline
print(towerline.open({str(exports)!r}).recommend("u3", 1)[0].item_id)
"""
    assert run(ROOT, sys.executable, "-c", code).stdout


@pytest.mark.parametrize(
    "column", [pa.array([b"\xff"]).view(pa.string()), pa.array([None], pa.string()), pa.array([1])]
)
def test_ids_that_are_no_text_are_found_when_they_are_read(column: pa.Array) -> None:
    with pytest.raises((StageError, pa.ArrowInvalid)):
        _column(pa.table({"user_id": column}), "user_id")
