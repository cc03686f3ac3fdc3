"""The ingest stage: which rows are kept, which are refused and why, and that nothing is dropped in silence."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.terminal import StageError
from tests.conftest import dataset, set_params, write_rows

Ingest = Callable[..., list[dict[str, Any]]]


def row(user: str, item: str, rating: str = "5", time: str = "1", kind: str = "movie") -> list[str]:
    return [user, item, kind, rating, time]


def rejected() -> list[tuple[str, int, str, str]]:
    table = pq.read_table("data/rejected.parquet").to_pylist()
    return [(row["source"], row["line"], row["reason"], row["raw"]) for row in table]


def report() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("reports/ingest.json").read_text())
    return found


def test_refused_rows_are_listed_with_file_line_and_reason(ingest: Ingest) -> None:
    text = (
        "user_id,item_id,item_type,rating,timestamp\n"
        "1,0002844,movie,7,1365029107\n"
        ",0002844,movie,7,1\n"
        "1,  ,movie,7,1\n"
        '1,"0\n1",,7,1\n'
        "1,2,movie,seven,1\n"
        "1,2,movie,nan,1\n"
        "1,2,movie,11,1\n"
        "1,2,movie,-1,1\n"
        "1,2,movie,7,yesterday\n"
        "1,2,movie,7\n"
        "1,2,movie,7,1,1\n"
        '1,"2,movie,7,1\n'
        "1,\udcff,movie,7,1\n"
    ).encode("utf-8", errors="surrogateescape")
    kept = ingest(text, **{"ingest.max_rejected_share": 1.0})
    assert kept == [
        {"user_id": "1", "item_type": "movie", "item_id": "0002844", "rating": 7.0, "timestamp": 1365029107}
    ]
    source = "data/raw/preferences.csv"
    assert [(name, line, reason) for name, line, reason, _ in rejected()] == [
        (source, 3, "blank user_id"),
        (source, 4, "blank item_id"),
        (source, 5, "blank item_type"),
        (source, 7, "unreadable rating"),
        (source, 8, "unreadable rating"),
        (source, 9, "rating out of range"),
        (source, 10, "rating out of range"),
        (source, 11, "unreadable timestamp"),
        (source, 12, "wrong number of fields"),
        (source, 13, "wrong number of fields"),
        (source, 14, "quote not closed"),
        (source, 15, "item_id is not valid utf-8"),
    ]
    assert rejected()[8][3] == "1,2,movie,7"
    found = report()
    assert (found["rows_read"], found["rows_rejected"], found["rows_kept"]) == (13, 12, 1)
    assert sum(found["rows_rejected_by_reason"].values()) == 12


def test_too_many_refused_rows_stop_the_run_and_are_still_listed(ingest: Ingest) -> None:
    with pytest.raises(StageError, match=r"at most 1\.00%.*found 1 of 2.*line 3: unreadable rating: '1,2,movie,x,1'"):
        ingest([row("1", "1"), row("1", "2", "x")])
    assert len(rejected()) == 1


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
    import stages.ingest as stage

    set_params(workspace, {"ingest.source": "data/raw/many"})
    stage.main()
    kept = pq.read_table("data/interactions.parquet").to_pylist()
    assert [(entry["user_id"], entry["item_id"], entry["rating"]) for entry in kept] == [
        ("1", "a", 2.0),
        ("1", "c", 4.0),
        ("2", "b", 3.0),
    ]
    assert {entry["item_type"] for entry in kept} == {"item"}


def test_the_same_id_under_two_types_is_two_items_and_ids_stay_text(ingest: Ingest) -> None:
    ids = [
        "0140042393",
        "006008197X",
        "4uLU6hMCjMI75M1A2tKUQC",
        " a",
        'quo"te',
        "com,ma",
        "new\nline",
        "\U0001f600",
        "x" * 500,
    ]
    kept = ingest([row("007", one, kind=kind) for one in ids for kind in ("1", "3")])
    assert sorted((entry["item_type"], entry["item_id"]) for entry in kept) == sorted(
        (kind, one) for one in ids for kind in ("1", "3")
    )
    assert {entry["user_id"] for entry in kept} == {"007"}


def test_the_original_form_without_rating_and_time(ingest: Ingest) -> None:
    text = b"user_id,item_id,item_type\n1,0140042393,1\n1,4uLU6hMCjMI75M1A2tKUQC,3\n"
    kept = ingest(text, **{"ingest.columns.rating": None, "ingest.columns.timestamp": None})
    assert kept == [
        {"user_id": "1", "item_type": "1", "item_id": "0140042393"},
        {"user_id": "1", "item_type": "3", "item_id": "4uLU6hMCjMI75M1A2tKUQC"},
    ]


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


@pytest.mark.parametrize(
    ("form", "text", "seconds"),
    [
        ("seconds", "1365029107", 1365029107),
        ("seconds", "-1.5", -2),
        ("milliseconds", "1365029107999", 1365029107),
        ("iso8601", "2013-04-03T22:45:07Z", 1365029107),
        ("iso8601", "2013-04-03 22:45:07", 1365029107),
        ("iso8601", "2013-04-04T00:45:07+02:00", 1365029107),
    ],
)
def test_times_become_seconds(ingest: Ingest, form: str, text: str, seconds: int) -> None:
    assert ingest([row("1", "a", time=text)], **{"ingest.timestamp_format": form})[0]["timestamp"] == seconds


def test_parquet_and_gzip_and_text_give_the_same_bytes(workspace: Path, ingest: Ingest) -> None:
    rows = [row("1", "001", "5", "3"), row("2", "002", "6", "4")]
    ingest(rows)
    expected = Path("data/interactions.parquet").read_bytes()
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "user_id": pa.array([int(value) for value in columns[0]]),
            "item_id": pa.array(columns[1]),
            "item_type": pa.array(columns[2]).dictionary_encode(),
            "rating": pa.array([float(value) for value in columns[3]]),
            "timestamp": pa.array([int(value) for value in columns[4]]),
        }
    )
    pq.write_table(table, workspace / "data/raw/rows.parquet")
    zipped = gzip.compress((workspace / "data/raw/preferences.csv").read_bytes())
    ingest(zipped, name="rows.csv.gz")
    assert Path("data/interactions.parquet").read_bytes() == expected
    ingest((workspace / "data/raw/rows.parquet").read_bytes(), name="rows.parquet")
    assert Path("data/interactions.parquet").read_bytes() == expected


def test_columns_by_position_where_there_is_no_header(workspace: Path, ingest: Ingest) -> None:
    columns = {"user_id": 2, "item_id": 1, "item_type": None, "rating": 3, "timestamp": None}
    params = {f"ingest.columns.{role}": position for role, position in columns.items()}
    kept = ingest(b"a\t1\t5\n", **{"ingest.header": False, "ingest.delimiter": "\t", **params})
    assert kept == [{"user_id": "1", "item_type": "item", "item_id": "a", "rating": 5.0}]


def test_a_missing_column_is_named_with_those_the_file_has(ingest: Ingest) -> None:
    with pytest.raises(StageError, match=r"line 1: expected one column 'rating'.*found: user_id, item_id, item_type"):
        ingest(b"user_id,item_id,item_type\n1,2,3\n")


def test_float_ids_in_parquet_are_refused(workspace: Path, ingest: Ingest) -> None:
    table = pa.table({"user_id": [1.0], "item_id": ["a"], "item_type": ["b"], "rating": [1.0], "timestamp": [1]})
    pq.write_table(table, workspace / "data/raw/rows.parquet")
    with pytest.raises(StageError, match="column user_id: expected text or integers for user_id, found double"):
        ingest((workspace / "data/raw/rows.parquet").read_bytes(), name="rows.parquet")


def test_titles_and_features_reach_the_item_table_and_bad_rows_are_listed(workspace: Path, ingest: Ingest) -> None:
    Path("data/raw/items.csv").write_text(
        "title,item_id,item_type,genres\nOld,1,movie,a\nNew,1,movie,b\n,2,movie,c\nNo id,,movie,d\n", encoding="utf-8"
    )
    ingest([row("1", "1")], **{"ingest.max_rejected_share": 0.5})
    assert pq.read_table("data/items.parquet").to_pylist() == [
        {"item_type": "movie", "item_id": "1", "title": "New", "genres": "b"},
        {"item_type": "movie", "item_id": "2", "title": None, "genres": "c"},
    ]
    assert rejected() == [("data/raw/items.csv", 5, "blank item_id", "No id,,movie,d")]


def test_every_line_of_a_dirty_file_is_kept_or_listed(workspace: Path, ingest: Ingest) -> None:
    """The published Book-Crossing copy with CR-only line ends and 899,726 rows of nothing but commas."""
    source = dataset("book-crossing-dirty/cyadusha_BX-Book-Ratings.csv.gz")
    columns = {"user_id": "User-ID", "item_id": '"ISBN"', "item_type": None, "rating": "Book-Rating", "timestamp": None}
    params = {f"ingest.columns.{role}": column for role, column in columns.items()}
    kept = ingest(source.read_bytes(), name="bx.csv.gz", **{"ingest.max_rejected_share": 1.0, **params})
    found = report()
    assert found["rows_read"] == found["rows_rejected"] + found["rows_repeated"] + found["rows_kept"]
    assert sum(raw == ",," for _, _, _, raw in rejected()) == 899_726
    assert {"user_id": "276725", "item_type": "item", "item_id": '"034545104X"', "rating": 0.0} in kept
