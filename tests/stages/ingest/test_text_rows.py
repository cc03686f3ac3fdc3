"""Rows of delimited text: a stray quote costs as few rows as possible, and no row is made of parts of others."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import write_rows
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import HEADER_LINE, refused, rejected, report, row, write_items
from towerline.pipeline.errors import StageError

ITEM_COLUMNS = ["item_id", "item_type", "title", "genres"]


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
    write_rows(
        Path("data/raw/items.csv"), [[f"{n}", "movie", title, "x, y"] for n, title in enumerate(titles)], ITEM_COLUMNS
    )
    assert refused(ingest, [row("1", "1")]) == []
    assert pq.read_table("data/items.parquet")["title"].to_pylist() == titles
    write_items(f'{",".join(ITEM_COLUMNS)}\na,movie,"A, A","x\nb,movie,B,y\nc,movie,C,z"\n')
    assert refused(ingest, [row("1", "1")]) == [(2, "a field holds whole rows")]
    write_items(f'{",".join(ITEM_COLUMNS)}\n"a,movie,A,x\n",movie,B,y\n')
    assert refused(ingest, [row("1", "1")]) == [(2, "a field holds whole rows")]
