"""What is proposed for a file, an item table and a split, and what is said to be uncertain."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.ingest import __main__ as ingest
from tests.conftest import set_params
from tests.towerline.proposal.conftest import FILES, ITEMS, settings, text
from towerline import proposal


@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("decimal commas", "# - columns.rating: not 'rating': decimal commas are not read: write 7.5 for 7,5"),
        ("German dates", r"# - columns.timestamp: not 'date': a time is a number .* pandas.to_datetime"),
        ("events", r"# - columns.item_type: not 'type': its values are kinds of actions \(view\)"),
        ("Latin letters", "# - encoding: not valid utf-8, so cp1252"),
        ("no header", "# - columns.user_id: 1 by its place among the columns alone"),
        ("semicolons", "minimum_rating: null .* of the ratings are in the lower half, and count as likes"),
        ("types and a split", "# - split.method: column takes the split that comes with the data"),
        ("plain", r"# - split.method: temporal \(or leave_last_out\)"),
    ],
)
def test_what_is_uncertain_is_said(folder: Path, name: str, doubt: str) -> None:
    Path("rows.csv").write_bytes(FILES[name][0])
    assert re.search(doubt, "\n".join(proposal.command([Path("rows.csv")], write=False)))


def test_an_item_table_is_proposed_with_the_type_of_its_items(folder: Path) -> None:
    """In either order, with the delimiter of both."""
    Path("rows.csv").write_bytes(FILES["semicolons"][0])
    items = [[f"{item:03d}", "book", f"Title; the {item}th"] for item in range(ITEMS)]
    Path("items.csv").write_bytes(text(["item_id", "item_type", "title"], items, ";"))
    proposal.command([Path("items.csv"), Path("rows.csv")], write=True)
    written = settings()["ingest"]
    assert (written["source"], written["items"], written["constant_item_type"]) == ("rows.csv", "items.csv", "book")
    assert "warning: no item" not in ingest.main()
    titles = pq.read_table("data/items.parquet")["title"].to_pylist()
    assert titles == [row[2] for row in items]


def test_a_table_of_items_that_ingest_cannot_read_is_named(folder: Path) -> None:
    Path("rows.csv").write_bytes(FILES["plain"][0])
    Path("items.csv").write_text("item_id:token,movie_title\n001,One\n003,Two\n")
    Path("users.csv").write_text("user_id,age\n1,30\n2,40\n")
    lines = "\n".join(proposal.command([Path("rows.csv"), Path("items.csv"), Path("users.csv")], write=True))
    assert settings()["ingest"]["items"] is None
    assert all(f"\n{line}: null\n" in lines for line in ("  users", "    weight", "  weights"))
    assert "# - items: not items.csv, which has no column item_id, item_type, title but item_id:token, movie_" in lines
    assert "# - items: not users.csv, which is no table of items" in lines


def test_a_split_by_a_column_that_is_not_there_becomes_random(folder: Path) -> None:
    set_params(folder, {"split.method": "temporal"})
    Path("rows.csv").write_bytes(FILES["plain"][0])
    proposal.command([Path("rows.csv")], write=True)
    assert settings()["split"]["method"] == "temporal"
    Path("rows.csv").write_bytes(FILES["no header, text"][0])
    proposal.command([Path("rows.csv")], write=True)
    assert settings()["split"]["method"] == "random"
    set_params(folder, {"split.method": "cold_type", "split.cold_type": "book"})
    proposal.command([Path("rows.csv")], write=True)
    assert (settings()["split"]["method"], settings()["split"]["cold_type"]) == ("random", None)
