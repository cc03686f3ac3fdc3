"""Which of the accepted rows are kept: the last of repeated ones, liked ones, and those of active users and items."""

from pathlib import Path

import pyarrow.parquet as pq

from tests.conftest import set_params, write_rows
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import report, row


def test_the_last_of_repeated_rows_is_kept_by_time_then_by_line(ingest: Ingest) -> None:
    kept = ingest(
        [row("1", "a", "1", "30"), row("1", "a", "2", "20"), row("1", "b", "3", "5"), row("1", "b", "4", "5")]
    )
    assert [(entry["item_id"], entry["rating"]) for entry in kept] == [("a", 1.0), ("b", 4.0)]
    assert report()["rows_repeated"] == 2


def test_without_times_the_last_line_wins_and_later_files_come_later(workspace: Path, ingest: Ingest) -> None:
    write_rows(workspace / "data/raw/many/2.csv", [row("1", "a", "2")])
    write_rows(workspace / "data/raw/many/10.csv", [row("1", "a", "10"), row("2", "b", "1"), row("2", "b", "3")])
    # The columns of another file may stand in another order.
    write_rows(workspace / "data/raw/many/3.csv", [["4", "c", "1"]], ["rating", "item_id", "user_id"])
    set_params(workspace, {"ingest.columns.timestamp": None, "ingest.columns.item_type": None})
    (workspace / "data/raw/many/.hidden").write_text("not read")
    from stages.ingest import __main__ as stage

    set_params(workspace, {"ingest.source": "data/raw/many"})
    stage.main()
    kept = pq.read_table("data/interactions.parquet").to_pylist()
    assert [(entry["user_id"], entry["item_id"], entry["rating"]) for entry in kept] == [
        ("1", "a", 2.0),
        ("1", "c", 4.0),
        ("2", "b", 3.0),
    ]
    assert {entry["item_type"] for entry in kept} == {"item"}


def test_minimum_interactions_are_repeated_until_stable(ingest: Ingest) -> None:
    # Item c falls for want of users, then user 3 for want of items; the square of users 1, 2 and items a, b stays.
    rows = [row("1", "a"), row("1", "b"), row("2", "a"), row("2", "b"), row("3", "a"), row("3", "c")]
    kept = ingest(rows, **{"ingest.minimum_user_interactions": 2, "ingest.minimum_item_interactions": 2})
    assert [(entry["user_id"], entry["item_id"]) for entry in kept] == [("1", "a"), ("1", "b"), ("2", "a"), ("2", "b")]
    assert report()["rows_below_minimum_interactions"] == 2


def test_minimum_rating_judges_the_last_opinion(ingest: Ingest) -> None:
    rows = [row("1", "a", "9", "1"), row("1", "a", "2", "2"), row("1", "b", "6")]
    kept = ingest(rows, **{"ingest.minimum_rating": 6.0})
    assert [entry["item_id"] for entry in kept] == ["b"]
    assert report()["rows_below_minimum_rating"] == 1


def test_a_blank_never_replaces_a_known_title_or_feature_and_repeats_are_counted(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    Path("data/raw/items").mkdir()
    Path("data/raw/items/1.csv").write_text(
        "item_id,item_type,title,b,a\n1,m,Old,x,1\n1,m,New,,2\n2,m, ,,\n1,m,,,\n,m,,,\n"
    )
    Path("data/raw/items/2.csv").write_text("item_id,item_type,title,a,c\n1,m,,\u00a0,y\n3,m,Three,3,\n")
    ingest([row("1", "1", kind="m")], **{"ingest.items": "data/raw/items", "ingest.max_rejected_share": 0.5})
    assert [tuple(entry.values()) for entry in pq.read_table("data/items.parquet").to_pylist()] == [
        ("m", "1", "New", [("a", "2"), ("b", "x"), ("c", "y")]),
        ("m", "2", None, [("a", ""), ("b", "")]),
        ("m", "3", "Three", [("a", "3"), ("c", "")]),
    ]
    assert {name: value for name, value in report().items() if name.startswith("item_")} == {
        "item_rows_read": 7,
        "item_rows_rejected": 1,
        "item_rows_rejected_by_reason": {"blank item_id": 1},
        "item_rows_repeated": 3,
    }
    assert "warning: 3 rows of data/raw/items repeat an item; the last of each counts" in stage.main()
