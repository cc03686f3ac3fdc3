"""Files of many kinds: ingest reads what is proposed for them, and what holds no interactions is refused."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.ingest import __main__ as ingest
from tests.conftest import dataset
from tests.towerline.proposal.conftest import FILES, ROLES, parquet, rows, settings
from towerline import proposal
from towerline.pipeline.errors import StageError


@pytest.mark.parametrize("name", FILES)
def test_ingest_reads_what_is_proposed(folder: Path, name: str) -> None:
    content, columns, expected = FILES[name]
    Path("rows.data").write_bytes(content)
    lines = proposal.command([Path("rows.data")], write=True)
    written = settings()["ingest"]
    assert written["columns"] == {**dict(zip(ROLES, columns, strict=True)), "weight": None}
    assert expected.items() <= written.items()
    said = ingest.main()
    assert " 0 refused" in said
    assert f"{len(rows()) + 2 * (name == 'stray quotes')} rows read" in said
    printed = YAML(typ="safe").load("\n".join(lines))
    assert printed["ingest"].items() <= written.items()
    assert all(settings()["train"][key] == value for key, value in printed.get("train", {}).items())


def test_a_folder_is_proposed_by_its_first_file(folder: Path) -> None:
    for name in ("2.csv", "1.csv", "_SUCCESS"):
        Path("rows").mkdir(exist_ok=True)
        Path("rows", name).write_bytes(FILES["plain"][0] if name[0] != "_" else b"")
    lines = proposal.command([Path("rows")], write=True)
    assert settings()["ingest"]["source"] == "rows"
    assert "# - source: looked at rows/1.csv alone, the first file of the folder" in lines
    assert "96 rows read" in ingest.main()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user\n1\n2\n", "expected a column of users and one of items, found 1 column: user"),
        (b"Export of May\n\nuser,item,rating\n1,2,3\n1,3,4\n", "found 'Export of May' before it; remove the first 2 "),
        (b'"user;""item"""\n"1;""2"""\n', "found lines that are quoted as a whole"),
        (b"PK\x03\x04xxxx", "found a zip archive or an Excel file"),
        (b"", "found an empty file"),
        (parquet(user_id=[1.0, 2.0], item_id=["a", "b"]), "expected a column of users and one of items"),
    ],
)
def test_a_file_without_interactions_is_refused_in_one_line(folder: Path, content: bytes, message: str) -> None:
    before = Path("params.yaml").read_bytes()
    Path("rows.data").write_bytes(content)
    with pytest.raises(StageError, match=f"^rows.data: .*{message}") as raised:
        proposal.command([Path("rows.data")], write=True)
    assert "\n" not in str(raised.value)
    assert Path("params.yaml").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("amazon-book-movie/preferences.csv.gz", ["user_id", "item_id", "item_type", None, None]),
        ("book-crossing-dirty/allmoraes_b_BX-Book-Ratings.csv.gz", ["UserID", "ISBN", None, "BookRating", None]),
        ("book-crossing-dirty/laxmivanam_BX-Book-Ratings.csv.gz", [1, 2, None, 3, None]),
        ("douban/preferences.csv.gz", ["user_id", "item_id", "item_type", "rating", None]),
        ("ml-100k/ml-100k.inter", ["user_id:token", "item_id:token", None, "rating:float", "timestamp:float"]),
        ("movietweetings/ratings.dat", [1, 3, None, 5, 7]),
        ("scale/union.parquet", ["user_id", "item_id", "item_type", None, None]),
    ],
)
def test_public_data_sets_are_read_as_proposed(folder: Path, path: str, columns: list[str | int | None]) -> None:
    proposal.command([dataset(path)], write=True)
    assert [settings()["ingest"]["columns"][role] for role in ROLES[:5]] == columns
    assert "rows read" in ingest.main()
