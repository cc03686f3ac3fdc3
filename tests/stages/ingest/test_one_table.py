"""Features of users and items that are columns of the interactions."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.ingest import __main__ as stage
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import parquet, rejected, report
from towerline.pipeline.errors import StageError

ITEMS = {"ingest.items": "./data/raw/preferences.csv", "ingest.columns.item_type": None}
BOTH = {**ITEMS, "ingest.users": "data/raw/preferences.csv"}


def features(path: str) -> list[dict[str, str]]:
    return [dict(entry["features"]) for entry in pq.read_table(path).to_pylist()]


def test_columns_without_a_role_are_features_by_their_latest_known_value(ingest: Ingest) -> None:
    """Those of rows that repeat an interaction or are left out, too."""
    rows = "1,a,Old,x,20,9,5\n1,b,,y,21,1,7\n1,a,New,,,2,3\n2,a,,z,30,9,4\n"
    ingest(
        f"buyer,item_id,title,genre,age,rating,timestamp\n{rows}".encode(),
        **BOTH,
        **{"ingest.columns.user_id": "buyer", "ingest.constant_item_type": "film", "ingest.minimum_rating": 5},
    )
    items = pq.read_table("data/items.parquet").drop_columns("features").to_pylist()
    assert items == [
        {"item_type": "film", "item_id": "a", "title": "Old"},
        {"item_type": "film", "item_id": "b", "title": None},
    ]
    assert features("data/items.parquet") == [{"age": "20", "genre": "x"}, {"age": "21", "genre": "y"}]
    assert features("data/users.parquet") == [
        {"age": "21", "genre": "y", "title": "Old"},
        {"age": "30", "genre": "z", "title": ""},
    ]


def test_a_refused_row_is_refused_once_and_describes_nothing(ingest: Ingest) -> None:
    header = b"user_id,item_id,rating,timestamp,genre\n"
    rows = [b"1,a,5,1,x", b"1,a,much,2,y", b"2,b,5,1,\xff", b"3,c,5,1,z,z"]
    ingest(header + b"\n".join(rows), **BOTH, **{"ingest.max_rejected_share": 1.0})
    assert [entry[1:3] for entry in rejected()] == [
        (3, "unreadable rating"),
        (4, "a feature is not valid utf-8"),
        (5, "wrong number of fields"),
    ]
    assert features("data/items.parquet") == [{"genre": "x"}]
    numbers = report()
    assert (numbers["rows_rejected"], numbers["item_rows_rejected"], numbers["user_rows_rejected"]) == (3, 0, 0)


def test_parquet_is_such_a_table_too(ingest: Ingest) -> None:
    ingest(
        parquet(title=pa.array(["One"]), year=pa.array([1999])),
        "rows.parquet",
        **{"ingest.items": "data/raw/rows.parquet"},
    )
    assert pq.read_table("data/items.parquet")["title"].to_pylist() == ["One"]
    assert features("data/items.parquet") == [{"year": "1999"}]


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (ITEMS, "most items, and describe none: age, device"),
        (BOTH, "most items and of most users, and describe none: device"),
    ],
)
def test_what_describes_neither_a_user_nor_an_item_is_named(
    ingest: Ingest, settings: dict[str, Any], warning: str
) -> None:
    header = "user_id,item_id,rating,timestamp,genre,age,device"
    rows = [f"{user},{item},5,1,g{item},{user}0,{(user + item) % 2}" for user in range(4) for item in range(4)]
    ingest("\n".join([header, *rows]).encode(), **settings)
    assert stage.main().endswith(
        f"; warning: features in data/raw/preferences.csv that differ between the rows of {warning}"
    )


def test_a_table_without_further_columns_is_pointed_out(ingest: Ingest) -> None:
    ingest(b"user_id,item_id,rating,timestamp\n1,a,5,1\n", **BOTH)
    assert "has no value in any column of no role, so that ingest.items and ingest.users can be null" in stage.main()


def test_positions_are_no_names_of_features(ingest: Ingest) -> None:
    roles: dict[str, Any] = {"user_id": 1, "item_id": 2, "item_type": None, "rating": None, "timestamp": None}
    params = {f"ingest.columns.{role}": position for role, position in roles.items()}
    with pytest.raises(StageError, match="items: expected null or another path than source where header is false"):
        ingest(b"1,a,x\n", **{**ITEMS, **params, "ingest.header": False})
