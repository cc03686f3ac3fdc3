"""Texts of `towerline propose`: numbers, estimates, and columns that are not used."""

import re
from pathlib import Path

import pytest

from towerline import proposal
from towerline.proposal import reading

HEADER = "user,item,timestamp,year,genres\n"
ROWS = [f"u{row % 7},i{row % 5},{1_365_040_147_123 + row},{2000 + row % 3},Drama\n" for row in range(35)]


def proposed(folder: Path, content: str) -> str:
    (folder / "rows.csv").write_text(content)
    return "\n".join(proposal.command([folder / "rows.csv"], write=False))


def test_milliseconds_are_printed_as_whole_numbers(tmp_path: Path) -> None:
    assert "35 different numbers from 1365040147123 to 1365040147157" in proposed(tmp_path, HEADER + "".join(ROWS))


def test_columns_that_are_not_used_are_named_unless_they_are_empty(tmp_path: Path) -> None:
    """Named columns can be features."""
    lines = proposed(tmp_path, HEADER + "".join(ROWS))
    assert "35 rows, 5 columns; not used: year, genres\n" in lines
    assert f"# - ingest.items: {tmp_path}/rows.csv lets train.item_features declare columns" in lines
    assert "train.item_features declare" not in proposed(tmp_path, "".join(ROWS))
    doubled = "".join("::".join(row.split(",")[:2]) + "\n" for row in ROWS)
    assert "35 rows, 3 columns\n" in proposed(tmp_path, doubled)


def test_an_estimated_number_is_rounded_and_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"u{row},i{row % 500},1\n" for row in range(2000)]
    content = "user,item,rating\n" + "".join(rows * 2)
    assert "by its name; 2,000 different values" in proposed(tmp_path, content)
    monkeypatch.setattr(reading, "EXACT_ROWS", 3999)
    assert re.search(r"by its name; about [12],[0-9]00 different values", proposed(tmp_path, content))
