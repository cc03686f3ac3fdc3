"""The table of users: features, and tables that cannot be read."""

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.ingest import __main__ as stage
from stages.vocabulary import __main__ as vocabulary
from tests.conftest import write_rows
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import rejected, report, row, write_users
from towerline.pipeline.errors import StageError

USERS = {"ingest.users": "data/raw/users.csv"}


def test_features_of_users_reach_the_vocabulary_and_bad_rows_are_listed(workspace: Path, ingest: Ingest) -> None:
    write_users("sex,user_id,age\nF,1,20\n,1,21\nM,3,\nM,,9\n")
    ingest([row("1", "1"), row("2", "1")], **USERS, **{"ingest.max_rejected_share": 0.5})
    features = [("age", "21"), ("sex", "F")]
    assert pq.read_table("data/users.parquet").to_pylist() == [
        {"user_id": "1", "features": features},
        {"user_id": "3", "features": [("age", ""), ("sex", "M")]},
    ]
    vocabulary.main()
    assert pq.read_table("data/vocabulary/users.parquet").to_pylist() == [
        {"index": 1, "user_id": "1", "features": features},
        {"index": 2, "user_id": "2", "features": None},
    ]
    assert rejected() == [("data/raw/users.csv", 5, "blank user_id", "M,,9")]
    assert {name: value for name, value in report().items() if name.startswith("user_")} == {
        "user_rows_read": 4,
        "user_rows_rejected": 1,
        "user_rows_rejected_by_reason": {"blank user_id": 1},
        "user_rows_repeated": 1,
    }
    assert "; 2 users, 1 of them with a row of features, 1 items; warning" in stage.main()


def test_without_a_table_of_users_there_are_no_features(ingest: Ingest) -> None:
    write_users("not read")
    ingest([row("1", "1")])
    assert "; 1 users, 1 items" in stage.main()
    assert pq.read_table("data/users.parquet").schema.names == ["user_id", "features"]
    assert not len(pq.read_table("data/users.parquet"))
    vocabulary.main()
    (entry,) = pq.read_table("data/vocabulary/users.parquet").to_pylist()
    assert entry == {"index": 1, "user_id": "1", "features": None}


@pytest.mark.parametrize(
    ("users", "message"),
    [
        ("User_ID,age\n", ": line 1: expected one column 'user_id' for user_id, found 2 .*; rename 'User_ID'$"),
        ("id,age\n", ": line 1: expected one column 'user_id' for user_id, found 2 columns: id, age; add it$"),
        ("user_id,age,age\n", ": line 1: expected one column 'age', found several; rename them$"),
        ("user_id,age\n1,2\n2,3,4\n", ": expected at most .* found 1 of 2.* line 3: wrong number of fields: '2,3,4'"),
        (None, ": expected the file or folder that ingest.users names, found none; correct ingest.users$"),
    ],
)
def test_tables_of_users_that_cannot_be_read_are_named(ingest: Ingest, users: str | None, message: str) -> None:
    if users is not None:
        write_users(users)
    with pytest.raises(StageError, match=f"^data/raw/users.csv{message}") as raised:
        ingest([row("1", "1")], **USERS)
    assert "\n" not in str(raised.value)


def shuffled(table: list[dict[str, Any]], seed: int) -> tuple[list[list[str]], list[str]]:
    """The rows of a table in another order, and its columns in another order."""
    draw = random.Random(seed)
    header = draw.sample(list(table[0]), len(table[0]))
    return [[entry[name] for name in header] for entry in draw.sample(table, len(table))], header


def test_the_order_of_columns_and_rows_of_both_tables_changes_no_byte(workspace: Path, ingest: Ingest) -> None:
    numbers = [f"{number}" for number in range(40)]
    users = [{"user_id": n, "age": f"{int(n) % 7}", "Sex": "", "é": n, "\U0001f600": "x"} for n in numbers]
    items = [{"item_id": n, "item_type": "movie", "title": f"T{n}", "year": n, "b": "", "a": "y"} for n in numbers]
    written = []
    for seed in range(3):
        write_rows(Path("data/raw/users.csv"), *shuffled(users, seed))
        write_rows(Path("data/raw/items.csv"), *shuffled(items, seed))
        ingest([row(n, n) for n in numbers], **USERS)
        vocabulary.main()
        paths = [f"data/{folder}{name}.parquet" for folder in ("", "vocabulary/") for name in ("users", "items")]
        written.append([Path(path).read_bytes() for path in paths])
    assert written[0] == written[1] == written[2]
    assert report()["user_rows_read"] == len(users)
