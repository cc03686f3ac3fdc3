"""The section of item types: a line for each type that was left out, and sentences that follow from the intervals."""

from pathlib import Path

import pytest

from stages.report.inputs import read_inputs
from stages.report.page_blocks import Note, Table
from stages.report.sections import item_types
from stages.report.wording import MINUS, MISSING
from tests.stages.report.fabricated import BARE, fabricate
from towerline.artifacts.transfer import TransferRow


def test_each_type_has_a_line_and_each_ranked_type_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path, types=("book", "film")))
    section = item_types.section(read_inputs())
    assert section is not None
    _, matrix, note, _ = section.blocks
    assert matrix == Table(
        ["rows of", "book (9 users)", "film (9 users)"],
        [
            ["book", MISSING, "+0.0100 (+0.0010 to +0.0200)"],
            ["film", f"{MINUS}0.0010 ({MINUS}0.0100 to +0.0200)", MISSING],
        ],
    )
    assert isinstance(note, Note)
    assert note.text.startswith(
        "NDCG@20 is higher with the rows of book for film (+0.0100). "
        f"No clear effect: the rows of film for book ({MINUS}0.0010). "
    )


def test_rows_that_harm_are_named() -> None:
    row = TransferRow("book", "film", "ndcg", 20, 9, 0.3, 0.31, -0.01, -0.02, -0.001)
    assert item_types.finding([row], "NDCG@20") == f"NDCG@20 is lower with the rows of book for film ({MINUS}0.0100)."


def test_without_rows_there_is_no_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fabricate(tmp_path, **BARE))
    assert item_types.section(read_inputs()) is None
