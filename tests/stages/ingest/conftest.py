"""Rows and files for the tests of the ingest stage, and what the stage wrote."""

import gzip
import json
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.stages.conftest import Ingest

HEADER_LINE = b"user_id,item_id,item_type,rating,timestamp\n"
PARQUET_ROW: dict[str, list[Any]] = {
    "user_id": ["1"],
    "item_id": ["a"],
    "item_type": ["b"],
    "rating": [1.0],
    "timestamp": [1],
}

# Without the time of day: the names of tests are made of it, and have to be the same in every worker.
zipped = partial(gzip.compress, mtime=0)


def row(user: str, item: str, rating: str = "5", time: str = "1", kind: str = "movie") -> list[str]:
    return [user, item, kind, rating, time]


def rejected() -> list[tuple[str, int, str, str]]:
    table = pq.read_table("data/rejected.parquet").to_pylist()
    return [(row["source"], row["line"], row["reason"], row["raw"]) for row in table]


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("reports/ingest.json").read_text())
    return found


def refused(ingest: Ingest, content: bytes | list[list[str]], **params: Any) -> list[tuple[int, str]]:
    """Line and reason of the refused rows, where all may be refused but the last."""
    ingest(content, **{"ingest.max_rejected_share": 1.0, **params})
    return [(line, reason) for _, line, reason, _ in rejected()]


def write_items(text: str | bytes) -> None:
    Path("data/raw/items.csv").write_bytes(text if isinstance(text, bytes) else text.encode())


def write_users(text: str) -> None:
    Path("data/raw/users.csv").write_text(text, encoding="utf-8")


def parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({**PARQUET_ROW, **columns}), sink)
    return bytes(sink.getvalue())
