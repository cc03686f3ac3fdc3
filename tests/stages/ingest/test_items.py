"""The item table: titles and features, and item tables that cannot be read."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.vocabulary import __main__ as vocabulary
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import rejected, row, write_items, zipped
from towerline.pipeline.errors import StageError


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


def test_features_have_names_of_their_own(ingest: Ingest) -> None:
    names = ["Title", "Year", "year", "reason", "source", "raw", "line", "problem", "source_number"]
    names += ["newest", "index", "features", "num_lines", " blank ", "of_user"]
    write_items(f"item_id,item_type,title,{','.join(names)}\n1,movie,One,{','.join(map(str, range(len(names))))}\n")
    ingest([row("1", "1")])
    vocabulary.main()
    expected = sorted((name, str(number)) for number, name in enumerate(names))
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


def test_without_an_item_table_there_are_no_titles(ingest: Ingest) -> None:
    write_items("not read")
    assert len(ingest([row("1", "1")], **{"ingest.items": None, "train.item_features": {}})) == 1
    assert pq.read_table("data/items.parquet").schema.names == ["item_type", "item_id", "title", "features"]
    assert not len(pq.read_table("data/items.parquet"))


def test_the_item_table_is_written_like_the_interactions(ingest: Ingest) -> None:
    columns = {"ingest.columns.rating": None, "ingest.columns.timestamp": None, "ingest.columns.item_type": None}
    params = {**columns, "ingest.delimiter": ";", "ingest.quote": "'", "ingest.encoding": "cp1252"}
    write_items("item_id;item_type;title\n1;item;'Amélie; a \"life\"'\n".encode("cp1252"))
    ingest(b"user_id;item_id\n1;1\n", **params)
    assert pq.read_table("data/items.parquet")["title"].to_pylist() == ['Amélie; a "life"']
    write_items("item_id,item_type,title\n")
    with pytest.raises(StageError, match=r"set ingest.delimiter to ',', for all files, or write the table with ';'$"):
        ingest(b"user_id;item_id\n1;1\n", **params)
