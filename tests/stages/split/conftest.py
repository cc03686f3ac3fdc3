"""The stages vocabulary and split over ingested rows, and the three sets that they write."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from stages.split import __main__ as split
from stages.vocabulary import __main__ as vocabulary
from tests.conftest import set_params

Row = tuple[int, int, int | None]
PARTS = ("train", "validation", "test")
# Parameters of data with a split of its own and nothing else beside the ids.
COLUMN = {"ingest.columns.split": "part", "ingest.columns.rating": None, "ingest.columns.timestamp": None}


def run_split(**params: Any) -> dict[str, list[Row]]:
    set_params(Path(), {f"split.{name}": value for name, value in params.items()})
    vocabulary.main()
    split.main()
    return {part: read_rows(part) for part in PARTS}


def read_rows(part: str) -> list[Row]:
    rows = pq.read_table(f"data/split/{part}.parquet").to_pylist()
    return [(row["user_index"], row["item_index"], row.get("timestamp")) for row in rows]
