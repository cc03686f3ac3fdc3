"""engine.memory_limit bounds the whole process, whatever the rows look like."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tests.conftest import ROOT, run, set_params
from towerline.tables.memory import Texts, least_limit

# Prints the most memory that the process ever had.
PEAK = """
import runpy, sys
import stages
runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)
(line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("peak", int(line.split()[1]) * 1024)
"""


@pytest.mark.parametrize(("num_rows", "width"), [(1_000_000, 0), (150_000, 700), (40_000, 3_000)])
def test_the_peak_of_narrow_and_wide_rows_is_below_the_limit(tmp_path: Path, num_rows: int, width: int) -> None:
    draw = np.random.default_rng(1)
    texts = [chr(97 + number % 26) * max(1, width // 2) for number in range(1_000)]
    rows = {
        "user_id": draw.integers(0, num_rows // 15, num_rows),
        "item_id": np.arange(num_rows) // 5,
        "item_type": pa.array(["book"] * num_rows),
        "first": pa.array(texts).take(pa.array(draw.integers(0, 1_000, num_rows))),
        "second": pa.array(texts).take(pa.array(draw.integers(0, 1_000, num_rows))),
    }
    pyarrow.csv.write_csv(pa.table(rows), tmp_path / "rows.csv")
    limit = least_limit(num_rows, Texts.of(num_rows, width, features=True))
    columns = {f"ingest.columns.{role}": None for role in ("rating", "timestamp")}
    bounds = {f"ingest.{name}_allowed_rating": None for name in ("minimum", "maximum")}
    shutil.copy2(ROOT / "params.yaml", tmp_path)
    files = {"ingest.source": "rows.csv", "ingest.items": "rows.csv" if width else None}
    train = {"train.rating_weight": 0.0, "train.item_features": {}}
    set_params(tmp_path, {**files, **columns, **bounds, **train, "engine.memory_limit": limit})
    done = run(tmp_path, sys.executable, "-c", PEAK, "-m", "stages.ingest", PYTHONPATH=str(ROOT))
    assert f"{num_rows:,} rows read" in done.stdout
    peak = int(done.stdout.split()[-1])
    assert peak <= limit * 1e9
