"""Rows of Parquet files: their types, and values that no text can hold."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import PARQUET_ROW, parquet, refused, rejected, row, zipped
from towerline.pipeline.errors import StageError


def test_float_ids_in_parquet_are_refused(workspace: Path, ingest: Ingest) -> None:
    table = pa.table({"user_id": [1.0], "item_id": ["a"], "item_type": ["b"], "rating": [1.0], "timestamp": [1]})
    pq.write_table(table, workspace / "data/raw/rows.parquet")
    with pytest.raises(StageError, match="column 'user_id': expected text or integers for user_id, found double"):
        ingest((workspace / "data/raw/rows.parquet").read_bytes(), name="rows.parquet")


def test_a_refused_value_of_parquet_has_a_row_and_no_line(ingest: Ingest) -> None:
    with pytest.raises(StageError, match=r"the first: data/raw/a.parquet row 1: rating out of range"):
        ingest(parquet(rating=pa.array([11.0])), name="a.parquet")


def test_parquet_is_known_by_its_first_bytes_gzipped_or_not(ingest: Ingest) -> None:
    expected = ingest(parquet(), name="a.parquet")
    assert len(expected) == 1
    for name, content in (("a.csv", parquet()), ("a.parquet.gz", zipped(parquet())), ("a.pq", parquet())):
        assert ingest(content, name=name) == expected


def test_parquet_values_that_are_no_text_are_refused_and_times_are_utc(ingest: Ingest) -> None:
    broken = pa.array([b"ok", b"\xff"], pa.binary()).view(pa.string())
    times = pa.array([1999, 2000], pa.timestamp("ms", "Mars/Olympus"))
    two = {name: pa.array(values * 2) for name, values in PARQUET_ROW.items()}
    content = parquet(**{**two, "user_id": broken, "timestamp": times})
    assert refused(ingest, content, name="a.parquet", **{"ingest.timestamp_format": "iso8601"}) == [
        (2, "user_id is not valid utf-8")
    ]
    assert pq.read_table("data/interactions.parquet")["timestamp"].to_pylist() == [1]


def test_parquet_columns_without_any_value_are_blank_as_in_text(ingest: Ingest) -> None:
    names = ["item_id", "item_type", "title", "year"]
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"]), pa.nulls(1), pa.nulls(1)], names), "data/raw/items.pq")
    ingest(parquet(), name="a.parquet", **{"ingest.items": "data/raw/items.pq"})
    assert pq.read_table("data/items.parquet").to_pylist() == [
        {"item_type": "b", "item_id": "a", "title": None, "features": [("year", None)]}
    ]
    with pytest.raises(StageError, match="row 1: blank rating"):
        ingest(parquet(rating=pa.nulls(1)), name="a.parquet")


def test_parquet_features_that_have_no_text_are_refused(ingest: Ingest) -> None:
    table = {
        "item_id": ["a", "b", "c", "d"],
        "item_type": ["movie"] * 4,
        "title": ["A"] * 4,
        "released": pa.array([2**31 - 1, 1, None, 1], pa.date32()),
        "genre": pa.array([b"x", b"\xff", None, b"<value out of range: 1>"], pa.binary()).view(pa.string()),
    }
    pq.write_table(pa.table(table), "data/raw/items.pq")
    reasons = refused(ingest, [row("1", "c")], **{"ingest.items": "data/raw/items.pq"})
    assert reasons == [(1, "a feature is a time out of range"), (2, "a feature is not valid utf-8")]
    assert [entry[3] for entry in rejected()] == [
        "movie,a,A,<value out of range: 2147483647>,x",
        "movie,b,A,1970-01-02,\ufffd",
    ]
