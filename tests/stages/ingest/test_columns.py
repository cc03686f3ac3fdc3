"""Columns are found by name or position, and a missing one is named with those that the file has."""

from pathlib import Path

import pytest

from tests.stages.conftest import Ingest
from towerline.pipeline.errors import StageError


def test_columns_by_position_where_there_is_no_header(workspace: Path, ingest: Ingest) -> None:
    columns = {"user_id": 2, "item_id": 1, "item_type": None, "rating": 3, "timestamp": None}
    params = {f"ingest.columns.{role}": position for role, position in columns.items()}
    kept = ingest(
        b"a\t1\t5\n",
        **{"ingest.header": False, "ingest.delimiter": "\t", "ingest.items": None, "train.item_features": {}, **params},
    )
    assert kept == [{"user_id": "1", "item_type": "item", "item_id": "a", "rating": 5.0}]


def test_a_missing_column_is_named_with_those_the_file_has(ingest: Ingest) -> None:
    with pytest.raises(
        StageError, match=r"line 1: expected one column 'rating'.*found 3 columns: user_id, item_id, item_type"
    ):
        ingest(b"user_id,item_id,item_type\n1,2,3\n")


@pytest.mark.parametrize(
    "first", [b"user_id,item_id", b"userId,movieId", b"User-ID,ISBN", b"user_id:token,item_id:token"]
)
def test_a_header_that_is_read_as_a_row_is_refused(ingest: Ingest, first: bytes) -> None:
    columns = {"user_id": 1, "item_id": 2, "item_type": None, "rating": None, "timestamp": None}
    params = {"ingest.header": False, **{f"ingest.columns.{role}": column for role, column in columns.items()}}
    with pytest.raises(StageError, match=r"line 1: expected a row, .*; set ingest.header to true, .* propose"):
        ingest(first + b"\n1,2\n", **params)
    # Braces, and one name alone, may be ids.
    assert len(ingest(b"{u},item\n[1],item_id\nuser_id,1\n", **params)) == 3
