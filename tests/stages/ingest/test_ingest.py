"""The ingest stage: which rows are kept, which are refused and why, and that nothing is dropped in silence."""

import gzip
import json
import random
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.vocabulary import __main__ as vocabulary
from tests.conftest import dataset, set_params, write_rows
from tests.stages.ingest.test_delimited import read_with_csv
from towerline.pipeline.errors import StageError

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
        # Rounded down, not to the nearest second.
        ("iso8601", "2013-02-28T23:59:59.999Z", 1362095999),
        ("iso8601", "1969-12-31T23:59:59.5", -1),
        ("iso8601", "2013-04-04T00:45+02:00", 1365029100),
        ("iso8601", "2013-04-03", 1364947200),
        ("milliseconds", "-1", -1),
        ("milliseconds", "253402300799999", 253402300799),
        ("seconds", "1.365029107e9", 1365029107),
        ("seconds", "1365029107.99999999999", 1365029107),
        ("seconds", "-0.5", -1),
        ("microseconds", "1365029107999999", 1365029107),
        ("microseconds", "-1", -1),
        # As float64 both were the next second.
        ("nanoseconds", "1365029107999999999", 1365029107),
        ("nanoseconds", "-1365029107000000001", -1365029108),
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
    kept = ingest(b"a\t1\t5\n", **{"ingest.header": False, "ingest.delimiter": "\t", "ingest.items": None, **params})
    assert kept == [{"user_id": "1", "item_type": "item", "item_id": "a", "rating": 5.0}]


def test_a_missing_column_is_named_with_those_the_file_has(ingest: Ingest) -> None:
    with pytest.raises(
        StageError, match=r"line 1: expected one column 'rating'.*found 3 columns: user_id, item_id, item_type"
    ):
        ingest(b"user_id,item_id,item_type\n1,2,3\n")


def test_float_ids_in_parquet_are_refused(workspace: Path, ingest: Ingest) -> None:
    table = pa.table({"user_id": [1.0], "item_id": ["a"], "item_type": ["b"], "rating": [1.0], "timestamp": [1]})
    pq.write_table(table, workspace / "data/raw/rows.parquet")
    with pytest.raises(StageError, match="column 'user_id': expected text or integers for user_id, found double"):
        ingest((workspace / "data/raw/rows.parquet").read_bytes(), name="rows.parquet")


def test_titles_and_features_reach_the_item_table_and_bad_rows_are_listed(workspace: Path, ingest: Ingest) -> None:
    Path("data/raw/items.csv").write_text(
        "title,item_id,item_type,genres\nOld,1,movie,a\nNew,1,movie,b\n,2,movie,c\nNo id,,movie,d\n", encoding="utf-8"
    )
    ingest([row("1", "1")], **{"ingest.max_rejected_share": 0.5})
    assert pq.read_table("data/items.parquet").to_pylist() == [
        {"item_type": "movie", "item_id": "1", "title": "New", "features": [("genres", "b")]},
        {"item_type": "movie", "item_id": "2", "title": None, "features": [("genres", "c")]},
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


def refused(ingest: Ingest, content: bytes | list[list[str]], **params: Any) -> list[tuple[int, str]]:
    """Line and reason of the refused rows, where all may be refused but the last."""
    ingest(content, **{"ingest.max_rejected_share": 1.0, **params})
    return [(line, reason) for _, line, reason, _ in rejected()]


# Without the time of day: the names of tests are made of it, and have to be the same in every worker.
zipped = partial(gzip.compress, mtime=0)
ITEMS = ["item_id", "item_type", "title", "genres"]
HEADER_LINE = b"user_id,item_id,item_type,rating,timestamp\n"


def test_two_stray_quotes_cost_no_row(ingest: Ingest) -> None:
    text = (
        b'1,Disk 5" x,movie,7,100\n2,plain,movie,8,200\n3,other,movie,8,300\n4,LP 12" y,movie,9,400\n5,z,movie,9,400\n'
    )
    kept = ingest(HEADER_LINE + text)
    assert [entry["item_id"] for entry in kept] == ['Disk 5" x', "plain", "other", 'LP 12" y', "z"]
    assert rejected() == []


def test_no_row_is_made_of_the_second_line_of_a_refused_record(ingest: Ingest) -> None:
    assert refused(ingest, HEADER_LINE + b'1,"k\nm",c,movie,8,5\n2,i,movie,8,5\n') == [(2, "wrong number of fields")]
    assert rejected()[0][3] == '1,"k\nm",c,movie,8,5'
    assert [report()[name] for name in ("rows_read", "rows_rejected", "rows_kept")] == [2, 1, 1]


@pytest.mark.parametrize(
    ("end", "reason"),
    [(b'9,x",movie\n', "wrong number of fields"), (b'9,x",movie,8,5\n', "a field holds whole rows")],
)
def test_a_record_that_swallows_many_lines_counts_as_these_lines(ingest: Ingest, end: bytes, reason: str) -> None:
    rows = b"2,i,movie,8,5\n" * 98
    with pytest.raises(StageError, match=f"found 100 of 200, .*line 2: {reason}"):
        ingest(HEADER_LINE + b'1,"i,movie,8,5\n' + rows + end + rows + b"3,j,movie,8,5\n4,k,movie,8,5\n")


@pytest.mark.parametrize(
    ("rating", "reason"),
    [
        *((text, "unreadable rating") for text in ("1_0", "nan", "inf", "0x1", "7,5", "1e", "٣")),
        *((text, "blank rating") for text in ("", " ", "\u00a0")),
        *((text, "rating too large for float32") for text in ("1e39", "-1e39", "1e999", "3.4028236e38")),
        *((text, "rating too close to 0 for float32") for text in ("1e-50", "-0.1e-99", "1e-999")),
    ],
)
def test_ratings_that_cannot_be_represented_are_refused(ingest: Ingest, rating: str, reason: str) -> None:
    limits = {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}
    assert refused(ingest, [row("1", "a", rating), row("1", "b")], **limits) == [(2, reason)]


def test_ratings_at_the_border_of_float32_are_kept(ingest: Ingest) -> None:
    texts = ["3.4028235e38", "-3.4028235e38", "1e-45", "0e5", "-0.0"]
    limits = {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}
    kept = ingest([row("1", f"{number}", text) for number, text in enumerate(texts)], **limits)
    assert [entry["rating"] for entry in kept] == [float(np.float32(text)) for text in texts]


@pytest.mark.parametrize("text", ["\u00a0", "\u200b", "\ufeff\u3000", "\t"])
def test_ids_of_letters_that_leave_no_mark_are_blank(ingest: Ingest, text: str) -> None:
    rows = [row(text, "a"), row("1", text), row("1", "a", kind=text), row(f"{text}1", "b")]
    assert refused(ingest, rows) == [(2, "blank user_id"), (3, "blank item_id"), (4, "blank item_type")]


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [
        *(("seconds", text, "unreadable timestamp") for text in ("1_000", "epoch", "nan", "2013-04-03")),
        *(
            ("seconds", text, "no such time from the year 1 to 9999")
            for text in ("99999999999999999999", "1e30", "-1e30", "1365029107999", "9007199254740993", "1e999")
        ),
        *(
            ("iso8601", text, "unreadable timestamp")
            for text in ("epoch", "infinity", "1365029107", "2013-04-03T22:45:07+99:00", "03.04.2013", "now")
        ),
        ("iso8601", "2013-02-30", "no such time from the year 1 to 9999"),
    ],
)
def test_times_that_cannot_be_represented_are_refused(ingest: Ingest, form: str, text: str, reason: str) -> None:
    time = "2013-04-03" if form == "iso8601" else "1"
    rows = [row("1", "a", time=text), row("1", "b", time=time)]
    assert refused(ingest, rows, **{"ingest.timestamp_format": form}) == [(2, reason)]


def write_items(text: str | bytes) -> None:
    Path("data/raw/items.csv").write_bytes(text if isinstance(text, bytes) else text.encode())


def test_features_have_names_of_their_own(ingest: Ingest) -> None:
    names = ["Title", "Year", "year", "reason", "source", "raw", "line", "problem", "source_number"]
    names += ["newest", "index", "features", "num_lines", " blank ", "of_user"]
    write_items(f"item_id,item_type,title,{','.join(names)}\n1,movie,One,{','.join(map(str, range(len(names))))}\n")
    ingest([row("1", "1")])
    vocabulary.main()
    expected = [(name, str(number)) for number, name in enumerate(names)]
    for path in ("data/items.parquet", "data/vocabulary/items.parquet"):
        (entry,) = pq.read_table(path).to_pylist()
        assert (entry["title"], entry["features"]) == ("One", expected)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            ",item_id,item_type,title\n0,1,movie,One\n",
            "line 1: expected a name for each column, found none for column 1",
        ),
        ("item_id,item_type,title,a,a\n", "expected one column 'a', found several"),
        ("item_id,item_type,Title\n", "expected one column 'title' for title, found 3 .*; rename 'Title'"),
        ("item_id,item_type\n", "expected one column 'title' for title, found 2 columns: item_id, item_type; add it"),
        ('item_id,"item_type,title\n', "line 1: expected the names of the columns, found a quote that is not closed"),
        (b"", "found an empty file"),
        (zipped(b"item_id,item_type,title\n" * 999)[:-20], "expected gzip, found .*; copy the file again"),
    ],
)
def test_item_tables_that_cannot_be_read_are_named(ingest: Ingest, items: str | bytes, message: str) -> None:
    write_items(items)
    with pytest.raises(StageError, match=f"^data/raw/items.csv: .*{message}") as raised:
        ingest([row("1", "1")])
    assert "\n" not in str(raised.value)


def test_titles_and_features_that_are_not_utf_8_are_refused(ingest: Ingest) -> None:
    write_items("item_id,item_type,title,year\n1,movie,Amélie,2001\n2,movie,b,é\n3,movie,c,1\n".encode("latin-1"))
    reasons = refused(ingest, [row("1", "1")])
    assert reasons == [(2, "title is not valid utf-8"), (3, "a feature is not valid utf-8")]


def test_a_blank_never_replaces_a_known_title_or_feature_and_repeats_are_counted(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    Path("data/raw/items").mkdir()
    Path("data/raw/items/1.csv").write_text(
        "item_id,item_type,title,b,a\n1,m,Old,x,1\n1,m,New,,2\n2,m, ,,\n1,m,,,\n,m,,,\n"
    )
    Path("data/raw/items/2.csv").write_text("item_id,item_type,title,a,c\n1,m,,\u00a0,y\n3,m,Three,3,\n")
    ingest([row("1", "1", kind="m")], **{"ingest.items": "data/raw/items", "ingest.max_rejected_share": 0.5})
    assert [tuple(entry.values()) for entry in pq.read_table("data/items.parquet").to_pylist()] == [
        ("m", "1", "New", [("b", "x"), ("a", "2"), ("c", "y")]),
        ("m", "2", None, [("b", ""), ("a", "")]),
        ("m", "3", "Three", [("a", "3"), ("c", "")]),
    ]
    assert {name: value for name, value in report().items() if name.startswith("item_")} == {
        "item_rows_read": 7,
        "item_rows_rejected": 1,
        "item_rows_rejected_by_reason": {"blank item_id": 1},
        "item_rows_repeated": 3,
    }
    assert "warning: 3 rows of data/raw/items repeat an item; the last of each counts" in stage.main()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "",
            "no item has a title: data/raw/items.csv has no accepted row; write its rows, or set ingest.items to null",
        ),
        ("1,movie, \n", "no item has a title: all titles in data/raw/items.csv are blank; fill its column 'title'"),
    ],
)
def test_an_item_table_without_titles_is_a_warning(ingest: Ingest, rows: str, message: str) -> None:
    from stages.ingest import __main__ as stage

    write_items(f"item_id,item_type,title\n{rows}")
    ingest([row("1", "1")])
    assert f"; warning: {message}" in (said := stage.main())
    assert "\n" not in said


def test_without_an_item_table_there_are_no_titles(ingest: Ingest) -> None:
    write_items("not read")
    assert len(ingest([row("1", "1")], **{"ingest.items": None})) == 1
    assert pq.read_table("data/items.parquet").schema.names == ["item_type", "item_id", "title", "features"]
    assert not len(pq.read_table("data/items.parquet"))


def test_an_item_table_that_fits_no_item_is_a_warning(ingest: Ingest, workspace: Path) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,One\n")
    ingest([row("1", "1", kind="item")])
    assert "warning: no item has a title" in (said := stage.main())
    assert "(types there: movie; types in data/raw/preferences.csv: item)" in said
    set_params(workspace, {"ingest.columns.item_type": None})
    assert stage.main().endswith("preferences.csv: item); set ingest.constant_item_type to movie")
    set_params(workspace, {"ingest.columns.item_type": "item_type"})
    ingest([row("1", "1")])
    assert "warning" not in stage.main()


def test_a_type_without_a_row_in_the_item_table_is_a_warning(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,One\n")
    ingest([row("1", "1"), row("1", "2"), row("1", "1", kind="book")])
    assert "; warning: data/raw/items.csv has no row of the type book, whose items have no title" in stage.main()


def test_the_item_table_is_written_like_the_interactions(ingest: Ingest) -> None:
    columns = {"ingest.columns.rating": None, "ingest.columns.timestamp": None, "ingest.columns.item_type": None}
    params = {**columns, "ingest.delimiter": ";", "ingest.quote": "'", "ingest.encoding": "cp1252"}
    write_items("item_id;item_type;title\n1;item;'Amélie; a \"life\"'\n".encode("cp1252"))
    ingest(b"user_id;item_id\n1;1\n", **params)
    assert pq.read_table("data/items.parquet")["title"].to_pylist() == ['Amélie; a "life"']
    write_items("item_id,item_type,title\n")
    with pytest.raises(StageError, match=r"set ingest.delimiter to ',', for both files, or write the table with ';'$"):
        ingest(b"user_id;item_id\n1;1\n", **params)


@pytest.mark.parametrize(
    ("ratings", "params", "warned"),
    [
        ("123455555", {}, True),
        ("125555555", {}, True),
        ("155555555", {"ingest.minimum_rating": 1.0}, False),
        ("1555555555", {}, False),
        ("144444444", {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}, True),
        ("999999999", {"ingest.minimum_allowed_rating": None, "ingest.maximum_allowed_rating": None}, False),
    ],
)
def test_low_ratings_that_count_as_likes_are_a_warning(
    ingest: Ingest, ratings: str, params: dict[str, Any], warned: bool
) -> None:
    from stages.ingest import __main__ as stage

    ingest(
        [row("1", f"{n}", rating) for n, rating in enumerate(ratings)],
        **{"ingest.maximum_allowed_rating": 5, "ingest.items": None, **params},
    )
    assert ("of the ratings are below" in stage.main()) == warned


PARQUET_ROW: dict[str, list[Any]] = {
    "user_id": ["1"],
    "item_id": ["a"],
    "item_type": ["b"],
    "rating": [1.0],
    "timestamp": [1],
}


def parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({**PARQUET_ROW, **columns}), sink)
    return bytes(sink.getvalue())


def damaged_pages() -> bytes:
    content = parquet(user_id=pa.array(["1" * 99]))
    return content[:4] + b"\xff" * 60 + content[64:]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", zipped(HEADER_LINE * 9999)[:-99], "expected gzip, found .*copy the file again"),
        ("a.csv.gz", zipped(HEADER_LINE)[:12] + b"\xff" * 40, "expected gzip, found .*copy the file again"),
        ("a.csv.gz", zipped(HEADER_LINE)[:10] + b"\xff" * 40, "expected gzip, found .*copy the file again"),
        ("a.csv", zipped(zipped(HEADER_LINE)), "found a file that is gzipped twice"),
        ("a.parquet", parquet()[:500], "expected whole Parquet, found Parquet magic bytes not found"),
        ("a.PARQUET", b"garbage", r"expected Parquet, as its name says, found a file that starts with b'garbage'"),
        ("a.pq", HEADER_LINE, "expected Parquet, as its name says"),
        ("a.parquet", b"", "found an empty file"),
        ("a.csv", b"\n\n", "expected rows, found nothing but blank lines"),
        (
            "a.csv",
            HEADER_LINE.decode().encode("utf-16"),
            "found binary data; .* set ingest.encoding, perhaps to utf-16",
        ),
        ("a.csv.zip", b"PK\x03\x04xxxx", "found a zip archive or an Excel file; unpack it, or convert it to CSV"),
        ("a.csv.bz2", b"BZh91AY", "found a bzip2 file; unpack it"),
        ("a.csv", b'\xef\xbb\xbf\n{ "user_id": "1"}\n', "found JSON; unpack it, or convert it to CSV or Parquet"),
        ("a.json.gz", zipped(b'[{"user_id": "1"}]'), "found JSON; .*convert it to CSV or Parquet"),
        ("a.csv", b"<!DOCTYPE html><p>moved", "found HTML or XML; .*convert it"),
        ("a.csv", b"%PDF-1.7 ", "found a PDF file; .*convert it"),
        ("a.parquet", damaged_pages(), "expected whole Parquet, found .*; write the file again"),
        (
            "a.parquet",
            parquet().replace(b"rating", b"Rating"),
            "expected one column 'rating' for rating, found 5 columns: .*; set ingest.columns.rating to 'Rating'",
        ),
        (
            "a.parquet",
            parquet(item_xx=pa.array(["a"])).replace(b"item_xx", b"item_id"),
            "expected one column 'item_id' for item_id, found 6 columns: .*; rename all of that name but one$",
        ),
        (
            "a.parquet",
            parquet(user_id=pa.array([1.0])),
            r"expected text or integers for user_id, found double; write it with .astype\('Int64'\) or",
        ),
        (
            "a.parquet",
            parquet(rating=pa.array([[1.0]])),
            "column 'rating': expected numbers or text for rating, found list",
        ),
        (
            "a.parquet",
            parquet(timestamp=pa.array([1], pa.duration("s"))),
            "expected numbers, times or text for timestamp",
        ),
        (
            "a.parquet",
            parquet(timestamp=pa.array([1], pa.timestamp("us", "Mars/Olympus"))),
            "expected numbers, found timestamp.*; set ingest.timestamp_format to iso8601",
        ),
        ("a.parquet", parquet(part=pa.array([["a"]])), "column 'part': expected text for split, found list"),
        (
            "no such.csv",
            None,
            "expected the file or folder that ingest.source names, found none; correct ingest.source",
        ),
        ("folder", None, "expected at least one file in the folder that ingest.source names, found none"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(
    workspace: Path, ingest: Ingest, name: str, content: bytes | None, message: str
) -> None:
    from stages.ingest import __main__ as stage

    path = workspace / "data/raw" / name
    if content is not None:
        path.write_bytes(content)
    elif name == "folder":
        path.mkdir()
    part = "part" if b"part" in (content or b"") else None
    set_params(workspace, {"ingest.source": f"data/raw/{name}", "ingest.columns.split": part})
    with pytest.raises(StageError, match=f"^data/raw/{name}: .*{message}") as raised:
        stage.main()
    assert "\n" not in str(raised.value)
    assert name.endswith(".csv") or " line " not in str(raised.value)


def test_a_refused_value_of_parquet_has_a_row_and_no_line(ingest: Ingest) -> None:
    with pytest.raises(StageError, match=r"the first: data/raw/a.parquet row 1: rating out of range"):
        ingest(parquet(rating=pa.array([11.0])), name="a.parquet")


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


def test_what_spark_writes_beside_its_parts_is_not_read(workspace: Path, ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_rows(workspace / "data/raw/many/part-0.csv", [row("1", "a")])
    for name in ("_SUCCESS", "_committed_1", ".part-0.csv.crc"):
        (workspace / "data/raw/many" / name).write_bytes(b"")
    (workspace / "data/raw/many/_delta_log").mkdir()
    set_params(workspace, {"ingest.source": "data/raw/many"})
    assert "1 rows read" in stage.main()
    (workspace / "data/raw/many/README").write_text("About the rows")
    with pytest.raises(StageError, match=r"^data/raw/many/README: line 1: expected one column 'user_id'"):
        stage.main()


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


@pytest.mark.parametrize("between", [0, 1, 20])
def test_rows_between_two_stray_quotes_are_refused_however_few(ingest: Ingest, between: int) -> None:
    text = b'1,"x,movie,5,1\n' + b"1,100,movie,5,100\n" * between + b'1,y",movie,5,1\n2,z,movie,5,1\n'
    assert refused(ingest, HEADER_LINE + text) == [(2, "a field holds whole rows")]
    assert rejected()[0][3].count("\n") == between + 1


def test_rows_that_a_column_without_a_role_swallows_are_refused(ingest: Ingest) -> None:
    between = [f"{number},b,movie,5,{number}" for number in range(2, 50)]
    between[7:9] = ["", "9,b,movie"]
    text = "\n".join(['1,a,movie,5,"1', *between, '50,c,movie,5,50"', "51,d,movie,5,9\n"])
    without = {"ingest.columns.rating": None, "ingest.columns.timestamp": None}
    assert refused(ingest, HEADER_LINE + text.encode(), **without) == [(2, "a field holds whole rows")]


def test_titles_and_features_may_span_lines_and_hold_no_whole_rows(ingest: Ingest) -> None:
    titles = ["One, Two, Three\n(live)", "(live)\u2028One, Two\n", "\n\nOne, Two\n\n"]
    write_rows(Path("data/raw/items.csv"), [[f"{n}", "movie", title, "x, y"] for n, title in enumerate(titles)], ITEMS)
    assert refused(ingest, [row("1", "1")]) == []
    assert pq.read_table("data/items.parquet")["title"].to_pylist() == titles
    write_items(f'{",".join(ITEMS)}\na,movie,"A, A","x\nb,movie,B,y\nc,movie,C,z"\n')
    assert refused(ingest, [row("1", "1")]) == [(2, "a field holds whole rows")]
    write_items(f'{",".join(ITEMS)}\n"a,movie,A,x\n",movie,B,y\n')
    assert refused(ingest, [row("1", "1")]) == [(2, "a field holds whole rows")]


def test_refused_rows_of_the_item_table_are_told(ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_items("item_id,item_type,title\n1,movie,a\n2,movie,b,c\n")
    ingest([row("1", "1")], **{"ingest.max_rejected_share": 0.5})
    assert "warning: 1 rows of data/raw/items.csv refused, listed in data/rejected.parquet" in stage.main()
    with pytest.raises(
        StageError,
        match=r"'2,movie,b,c'; look at ingest.delimiter .*, or run .* data/raw/preferences.csv data/raw/items.csv",
    ):
        ingest([row("1", "1")], **{"ingest.max_rejected_share": 0.01})


def test_a_folder_within_the_source_folder_is_not_skipped_in_silence(workspace: Path, ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_rows(workspace / "data/raw/many/1.csv", [row("1", "a")])
    write_rows(workspace / "data/raw/many/old/2.csv", [row("2", "a")])
    set_params(workspace, {"ingest.source": "data/raw/many"})
    with pytest.raises(StageError, match=r"^data/raw/many/old: expected only files in data/raw/many, found a folder"):
        stage.main()


def test_a_file_name_that_is_not_utf_8_is_refused(workspace: Path, ingest: Ingest) -> None:
    from stages.ingest import __main__ as stage

    write_rows(workspace / "data/raw/many/caf\udce9.csv", [row("1", "a")])
    set_params(workspace, {"ingest.source": "data/raw/many"})
    with pytest.raises(StageError, match=r"^data/raw/many/caf\udce9\.csv: expected a name in UTF-8, .*; rename it$"):
        stage.main()


def test_ids_of_lone_surrogates_are_refused_and_not_merged(ingest: Ingest) -> None:
    text = HEADER_LINE + b"+2AA-,a,movie,5,1\n+2AE-,a,movie,5,2\n1,a,movie,5,1\n"
    reasons = refused(ingest, text, **{"ingest.encoding": "utf-7"})
    assert reasons == [(2, "user_id is not valid utf-7"), (3, "user_id is not valid utf-7")]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-16", "UTF-16 stream does not start with BOM; set ingest.encoding to utf-16-le or utf-16-be, or"),
        ("utf-32", "UTF-32 stream does not start with BOM; set ingest.encoding to utf-32-le or utf-32-be, or"),
    ],
)
def test_an_encoding_that_cannot_read_the_file_is_named(ingest: Ingest, encoding: str, message: str) -> None:
    with pytest.raises(StageError, match=f"^data/raw/preferences.csv: .*{message}"):
        ingest([row("1", "a")], **{"ingest.encoding": encoding})


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        (
            "Kunde;Artikel\n1;2\n",
            {},
            "one column 'Kunde;Artikel': set ingest.delimiter to ';', or run python -m towerline propose data/raw/p",
        ),
        ("user_id\titem_id\n1\t2\n", {}, r"set ingest.delimiter to \"\\t\""),
        (
            "1,2,3\n4,5,6\n",
            {},
            "set ingest.header to false and ingest.columns to positions, or run python -m towerline propose",
        ),
        ("user_id:token\titem_id:token\n", {}, r"set ingest.delimiter to \"\\t\""),
        ("user_id:token,item_id:token\n", {}, "set ingest.columns.user_id to 'user_id:token'"),
        ("User_ID,item_id,item_type\n", {}, "set ingest.columns.user_id to 'User_ID'"),
        ("user_id,item_id,item_id\n", {}, "found 3 columns: .*; rename all of that name but one$"),
        (" user_id,item_id,item_type\n", {}, "set ingest.columns.user_id to ' user_id'"),
        (
            "user_id,item_id,kind,rating,timestamp\n",
            {},
            "set ingest.columns.item_type to the one that holds it, or to null",
        ),
        (f'{HEADER_LINE.decode()}1,2,m,"7,5",1\n', {}, "decimal commas are not read: write 7.5 for 7,5"),
        (f"{HEADER_LINE.decode()}1,2,m,7,2013-02-28\n", {}, "set ingest.timestamp_format to iso8601"),
        *(
            (f"{HEADER_LINE.decode()}1,2,m,7,{time}\n", {}, f"set ingest.timestamp_format to {unit}$")
            for time, unit in (
                ("1365029107999", "milliseconds"),
                ("1365029107999999", "microseconds"),
                ("1365029107999999999", "nanoseconds"),
            )
        ),
        (
            f"{HEADER_LINE.decode()}1,2,m,7,28.02.2013\n",
            {"ingest.timestamp_format": "iso8601"},
            r"iso8601 text such as 2013-02-28 or .*; convert other forms, for instance with pandas\.to_datetime",
        ),
        (f"{HEADER_LINE.decode()}1,2,m,,1\n", {}, "blank rating: .*; leave rows without a rating out of the file"),
        (f"{HEADER_LINE.decode()}1,2,m,70,1\n", {}, "look at ingest.minimum_allowed_rating and ingest.maximum_allowed"),
        (
            f"{HEADER_LINE.decode()}1,2,m,7,1\n",
            {"ingest.minimum_rating": 8.0},
            r"left out by ingest.minimum_rating \(8.0\): 1",
        ),
        (
            f"{HEADER_LINE.decode()}1,2,m,7,1\n",
            {"ingest.minimum_user_interactions": 2},
            r"left out by ingest.minimum_user_interactions \(2\)",
        ),
        (
            f"{HEADER_LINE.decode()}1,2,m,x,1\n",
            {"ingest.max_rejected_share": 1.0},
            "found all 1 refused, as .* lists them; the first: .* line 2: unreadable rating: '1,2,m,x,1'",
        ),
        (HEADER_LINE.decode(), {}, "expected at least one row to keep, found none of 0: the file has no rows"),
    ],
)
def test_a_message_proposes_the_setting_to_change(
    ingest: Ingest, text: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(StageError, match=message) as raised:
        ingest(text.encode(), **params)
    assert "\n" not in str(raised.value)


def test_what_a_killed_run_left_is_removed(workspace: Path, ingest: Ingest) -> None:
    left = workspace / "data/.unfinished.ingest"
    left.mkdir(parents=True)
    (left / "rows.parquet").write_bytes(b"x")
    ingest([row("1", "a")])
    assert not left.exists()


def are_rows(raw: str) -> bool:
    first, *others = re.split("\r\n|\r|\n", raw)
    between = [line.count(",") == 4 for line in others[:-1] if line]
    return bool(others) and first.count(",") == others[-1].count(",") == 4 and 2 * sum(between) >= len(between)


@pytest.mark.parametrize("seed", range(6))
def test_every_line_is_kept_repeated_filtered_or_refused(ingest: Ingest, seed: int) -> None:
    """The lines of the file against the report and the refused rows, with quotes and line ends in odd places."""
    draw = random.Random(seed)
    cells = ["u1", "u2", '"a, b"', '"x\ny"', 'LP 12"', '"open', "", "é"]
    ends = ["\n", "\r\n", "\r", "\n\n"]
    lines = [
        ",".join(draw.choices(cells, [9, 9, 3, 1, 3, 1, 1, 1], k=draw.choice([5, 5, 5, 4]))) + draw.choice(ends)
        for _ in range(300)
    ]
    text = HEADER_LINE.decode() + "".join(lines) + "u1,i,movie,5,1\n"
    numbers = {"ingest.columns.rating": None, "ingest.columns.timestamp": None, "ingest.max_rejected_share": 1.0}
    ingest(text.encode(), **numbers, **{"ingest.minimum_item_interactions": 2})
    expected = read_with_csv(text, 1 << 18)[1:]
    found = report()
    assert found["rows_read"] == len(expected)
    left_out = ("rows_rejected", "rows_repeated", "rows_below_minimum_interactions", "rows_kept")
    assert found["rows_read"] == sum(found[name] for name in left_out)
    unusable = {
        (record.line, record.raw)
        for record in expected
        if record.misquoted
        or len(record.fields) != 5
        or not all(field.strip() for field in record.fields[:3])
        or are_rows(record.raw.replace('"a, b"', ""))
    }
    assert {(line, raw) for _, line, _, raw in rejected()} == unusable
