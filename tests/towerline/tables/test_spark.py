"""Spark writes what DuckDB writes, to the byte, on a cluster with two worker processes."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.backtest.stretches import read_all
from stages.export.seen import write_seen_items
from stages.ingest import __main__ as ingest
from stages.split import __main__ as split
from stages.vocabulary import __main__ as vocabulary
from tests.conftest import ROOT, dataset, planted_rows, set_params, write_rows
from towerline.artifacts.vocabulary import USER_VOCABULARY
from towerline.pipeline import formats

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
    # PySpark and Ibis use what pandas 3 has deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# Two worker processes of one core and 1 GB.
MASTER = "local-cluster[2,1,1024]"
# Rows of each kind that ingest refuses, and repetitions of rows.
ODD_ROWS = b"""1,1074638,movie,11,1365029107
1,1074638,movie,x,1365029107
,1074638,movie,5,1365029107
1,\xff,movie,5,1365029107
1,1074638,movie,5,9e99
1,1074638,movie,1e-60,1365029107
1,"1074638,movie,5,1365029107
1,1074638,movie
1,1074638,movie,3,1365029107
1,1074638,movie,4,1365029107
"\xc2\xa0",1074638,movie,5,1365029107
"""
# Repeated items, whose blank titles and features replace no known ones.
ODD_ITEMS = "1074638,movie, ,,Action\n1074638,movie,Skyfall again,2012,\n,movie,Nameless,,\n"
TABLES = [
    *("interactions", "rejected", "users", "items", "vocabulary/users", "vocabulary/items"),
    *("split/train", "split/validation", "split/test"),
]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's settings as the current one, and a cluster that makes few parts of few rows."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data/raw").mkdir(parents=True)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/spark-defaults.conf").write_text("spark.sql.shuffle.partitions 2\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(master: str | None, stages: list[Any]) -> tuple[list[str], dict[str, bytes]]:
    """The lines of counts of the stages and the bytes of all tables, by Spark or, without a master, by DuckDB."""
    set_params(Path(), {"engine.master": master})
    lines = [stage.main() for stage in stages]
    return lines, {name: Path(f"data/{name}.parquet").read_bytes() for name in TABLES}


def check_equal(*stages: Any) -> None:
    assert written(MASTER, list(stages)) == written(None, list(stages))
    assert not list(Path("data").glob(".unfinished*"))


def read_by_other_stages(master: str | None) -> list[bytes]:
    """The seen items that export writes, and the rows that backtest reads, by the engine of a master."""
    set_params(Path(), {"engine.master": master})
    folder = Path("seen of DuckDB" if master is None else "seen of Spark")
    folder.mkdir()
    write_seen_items(folder, formats.num_rows(USER_VOCABULARY))
    columns = [column for column in read_all() if isinstance(column, np.ndarray)]
    return [*(path.read_bytes() for path in sorted(folder.iterdir())), *(column.tobytes() for column in columns)]


def test_movietweetings_with_refused_and_repeated_rows(workspace: Path) -> None:
    rows = gzip.decompress((ROOT / "data/raw/preferences.csv.gz").read_bytes())
    (workspace / "data/raw/preferences.csv").write_bytes(rows + ODD_ROWS)
    items = (ROOT / "data/raw/items.csv").read_text(encoding="utf-8")
    (workspace / "data/raw/items.csv").write_text(items + ODD_ITEMS, encoding="utf-8")
    set_params(workspace, {"ingest.source": "data/raw/preferences.csv"})
    check_equal(ingest, vocabulary, split)
    assert read_by_other_stages(MASTER) == read_by_other_stages(None)


@pytest.mark.slow
def test_douban_whose_types_share_ids(workspace: Path) -> None:
    source = str(dataset("douban/preferences.csv.gz"))
    set_params(workspace, {"ingest.source": source, "ingest.items": None, "ingest.columns.timestamp": None})
    set_params(workspace, {"train.item_features": {}, "split.method": "cold_items"})
    check_equal(ingest, vocabulary, split)


@pytest.fixture
def weighted(workspace: Path) -> None:
    """Settings and rows with weights and sets, some of them repeated; a user needs five."""
    # Times in the order of the shuffled rows, so that a temporal split leaves users in all sets.
    sets = ("train", "train", "train", "validation", "test")
    rows = [
        [*row[:4], str(number * 60), str(number % 7 + 0.1), sets[number % 5]]
        for number, row in enumerate(planted_rows())
    ]
    header = ["user_id", "item_id", "item_type", "rating", "timestamp", "weight", "split"]
    write_rows(workspace / "data/raw/rows.csv", [*rows, *rows[::3]], header)
    set_params(
        workspace,
        {
            "ingest.source": "data/raw/rows.csv",
            "ingest.items": None,
            "ingest.columns.weight": "weight",
            "ingest.columns.split": "split",
            "ingest.minimum_user_interactions": 5,
            "train.item_features": {},
            "split.method": "leave_last_out",
        },
    )


@pytest.mark.slow
@pytest.mark.usefixtures("weighted")
def test_weights_and_activity() -> None:
    check_equal(ingest, vocabulary, split)


@pytest.mark.slow
@pytest.mark.usefixtures("weighted")
def test_the_other_splits(workspace: Path) -> None:
    for stage in (ingest, vocabulary, split):
        stage.main()
    for changes in (
        {"split.method": "temporal", "split.validation": 0.0},
        {"split.method": "cold_type", "split.cold_type": "book", "split.validation": 0.1},
        {"split.method": "cold_users", "split.cold_type": None, "split.validation": 0.0},
        {"split.method": "random"},
        {"split.method": "column"},
    ):
        set_params(workspace, changes)
        check_equal(split)
