"""The ingest stage as a whole: rows go in, and every one is kept, repeated, left out or listed with its reason."""

import gzip
import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import dataset
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import HEADER_LINE, rejected, report, row
from tests.stages.ingest.test_delimited import read_with_csv
from towerline.pipeline.errors import StageError
from towerline.tables import memory


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


def test_rows_that_do_not_fit_into_the_memory_limit_are_refused_before_the_start(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "BYTES_PER_ROW", 10**9)
    message = r"engine.memory_limit: expected at least \d\.\d GB for about 2 rows, found 0.5; set it higher"
    with pytest.raises(StageError, match=message):
        ingest(b"user_id,item_id,item_type\n1,a,b\n", **{"engine.memory_limit": 0.5})
    assert not Path("data/interactions.parquet").exists()


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
