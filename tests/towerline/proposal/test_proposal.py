"""`towerline propose`: what it proposes for a file, ingest reads."""

import csv
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from stages.ingest import __main__ as ingest
from tests.conftest import ROOT, dataset, run, set_params
from towerline import proposal
from towerline.pipeline.errors import CommandError, StageError
from towerline.proposal.scratch import scratch_folder
from towerline.raw.names import rank

USERS, ITEMS = 12, 8
Rows = list[list[str]]


def rows() -> Rows:
    """User, item, rating and time of 48 interactions."""
    pairs = [(user, item) for user in range(USERS) for item in range(ITEMS) if (user + item) % 2]
    return [
        [f"{user + 1}", f"{item:03d}", f"{1 + (user * item) % 5}", f"{1_400_000_000 + number * 9999}"]
        for number, (user, item) in enumerate(pairs)
    ]


def text(header: Sequence[str], table: Rows, delimiter: str = ",", encoding: str = "utf-8", quoting: int = 0) -> bytes:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL if quoting else 0)
    writer.writerows([header, *table] if header else table)
    return written.getvalue().encode(encoding)


def iso(row: list[str]) -> list[str]:
    return [*row[:3], datetime.fromtimestamp(int(row[3]), UTC).isoformat()]


def parquet(**columns: Any) -> bytes:
    written = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), written)
    return bytes(written.getvalue())


COLUMNS = list(zip(*rows(), strict=True))
FULL = ["user_id", "item_id", "rating", "timestamp"]
ROLES = ("user_id", "item_id", "item_type", "rating", "timestamp", "split")
# What is written, and the columns of ROLES that are to be proposed for it.
FILES: dict[str, tuple[bytes, list[str | int | None], dict[str, Any]]] = {
    "plain": (text(FULL, rows()), ["user_id", "item_id", None, "rating", "timestamp", None], {}),
    "semicolons": (
        text(["User_ID", "ISBN", "Book-Rating"], [row[:3] for row in rows()], ";", quoting=1),
        ["User_ID", "ISBN", None, "Book-Rating", None, None],
        {"delimiter": ";", "minimum_allowed_rating": 1, "maximum_allowed_rating": 5},
    ),
    "tabs of RecBole": (
        text(["user_id:token", "item_id:token", "rating:float", "timestamp:float"], rows(), "\t"),
        ["user_id:token", "item_id:token", None, "rating:float", "timestamp:float", None],
        {"delimiter": "\t"},
    ),
    "bars in German": (
        text(["Kunden-Nr", "Artikelnummer", "Größe", "Datum"], [[*row[:2], "é", iso(row)[3]] for row in rows()], "|"),
        ["Kunden-Nr", "Artikelnummer", None, None, "Datum", None],
        {"delimiter": "|", "timestamp_format": "iso8601"},
    ),
    "Latin letters": (
        text(["user", "item", "note"], [[f"ü{row[0]}", *row[1:3]] for row in rows()], encoding="cp1252"),
        ["user", "item", None, "note", None, None],
        {"encoding": "cp1252"},
    ),
    "UTF-16": (
        text(["user", "item"], [row[:2] for row in rows()], "\t", "utf-16"),
        ["user", "item", None, None, None, None],
        {"encoding": "utf-16", "delimiter": "\t"},
    ),
    "ISO dates, other names": (
        text(["who", "what", "bought"], [[*row[:2], iso(row)[3]] for row in rows()]),
        ["who", "what", None, None, "bought", None],
        {"timestamp_format": "iso8601"},
    ),
    "no header": (text([], rows(), "\t"), [1, 2, None, 3, 4, None], {"header": False}),
    "no header, text": (
        text([], [[f"u{row[0]}", f"i{row[1]}"] for row in rows()]),
        [1, 2, None, None, None, None],
        {"header": False},
    ),
    "MovieLens 1M": (
        "\n".join("::".join(row) for row in rows()).encode(),
        [1, 3, None, 5, 7, None],
        {"header": False, "delimiter": ":"},
    ),
    "numbers of rows in front": (
        text(["", "customer", "product"], [[str(n), *row[:2]] for n, row in enumerate(rows())]),
        ["customer", "product", None, None, None, None],
        {},
    ),
    "decimal commas": (
        text(["user", "item", "rating"], [[*row[:2], f"{row[2]},5"] for row in rows()], ";"),
        ["user", "item", None, None, None, None],
        {"minimum_allowed_rating": None},
    ),
    "German dates": (
        text(["user", "item", "date"], [[*row[:2], "28.02.2013"] for row in rows()]),
        ["user", "item", None, None, None, None],
        {},
    ),
    "events": (
        text(["timestamp", "visitorid", "type", "itemid"], [[f"{r[3]}123", r[0], "view", r[1]] for r in rows()]),
        ["visitorid", "itemid", None, None, "timestamp", None],
        {"timestamp_format": "milliseconds"},
    ),
    "types and a split": (
        text(
            ["part", "item_type", "item", "user"],
            [[("train", "test")[n % 2], ("book", "film")[n % 3 % 2], row[1], row[0]] for n, row in enumerate(rows())],
        ),
        ["user", "item", "item_type", None, None, "part"],
        {},
    ),
    "stray quotes": (
        text(["user", "item"], [row[:2] for row in rows()], "\t") + b'3\t"a\n4\t"b\n',
        ["user", "item", None, None, None, None],
        {"quote": ""},
    ),
    "blank lines, a byte order mark": (
        b"\xef\xbb\xbf\n\n" + text(["user", "item"], [row[:2] for row in rows()]),
        ["user", "item", None, None, None, None],
        {},
    ),
    "Parquet": (
        parquet(
            user_id=pa.array([int(value) for value in COLUMNS[0]]),
            item_id=COLUMNS[1],
            rating=pa.array([float(value) for value in COLUMNS[2]]),
            timestamp=pa.array([int(value) * 1000 for value in COLUMNS[3]], pa.timestamp("ms")),
        ),
        ["user_id", "item_id", None, "rating", "timestamp", None],
        {"timestamp_format": "iso8601"},
    ),
}


def settings() -> Any:
    return YAML(typ="safe").load(Path("params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the project's params.yaml as the current one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_ingest_reads_what_is_proposed(folder: Path, name: str) -> None:
    content, columns, expected = FILES[name]
    Path("rows.data").write_bytes(content)
    lines = proposal.command([Path("rows.data")], write=True)
    written = settings()["ingest"]
    assert written["columns"] == dict(zip(ROLES, columns, strict=True))
    assert expected.items() <= written.items()
    said = ingest.main()
    assert " 0 refused" in said
    assert f"{len(rows()) + 2 * (name == 'stray quotes')} rows read" in said
    printed = YAML(typ="safe").load("\n".join(lines))
    assert printed["ingest"].items() <= written.items()
    assert all(settings()["train"][key] == value for key, value in printed.get("train", {}).items())


def test_comments_and_other_values_of_the_settings_stay(folder: Path) -> None:
    before = Path("params.yaml").read_text(encoding="utf-8").splitlines()
    Path("rows.csv").write_bytes(FILES["plain"][0])
    proposal.command([Path("rows.csv")], write=True)
    after = Path("params.yaml").read_text(encoding="utf-8").splitlines()
    changed = [line.split(":")[0].strip() for line, other in zip(after, before, strict=True) if line != other]
    assert changed == ["source", "items", "item_type", "minimum_allowed_rating", "maximum_allowed_rating"]


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


def test_without_duckdb_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("towerline.proposal.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(proposal, "proposing", raising=False)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(CommandError, match=r"found no duckdb; pip install 'towerline\[pipeline\]'"):
        proposal.command([Path("rows.csv")], write=False)


def test_the_command_prints_the_proposal_and_its_errors(folder: Path) -> None:
    Path("rows.csv").write_bytes(FILES["plain"][0])
    command = [sys.executable, "-m", "towerline", "propose"]
    done = run(folder, *command, "rows.csv", PYTHONPATH=str(ROOT))
    assert YAML(typ="safe").load(done.stdout)["ingest"]["source"] == "rows.csv"
    failed = run(folder, *command, "nothing.csv", check=False, PYTHONPATH=str(ROOT))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("towerline propose: nothing.csv: expected a file or a folder, found none")


def test_what_a_killed_proposal_left_is_removed_and_what_is_in_use_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    code = "import os, signal\nfrom towerline.proposal.scratch import scratch_folder as use\n"
    code += "with use() as folder:\n (folder / 'decoded.csv').touch()\n os.kill(os.getpid(), signal.SIGKILL)"
    run(ROOT, sys.executable, "-c", code, check=False, TMPDIR=str(folder))
    assert list(folder.glob("towerline-*/decoded.csv"))
    Path("rows.csv").write_bytes(FILES["plain"][0])
    with scratch_folder() as used:
        proposal.command([Path("rows.csv")], write=False)
        assert list(folder.glob("towerline-*")) == [used]
    assert not list(folder.glob("towerline-*"))


def test_a_name_that_params_yaml_cannot_hold_is_refused(folder: Path) -> None:
    Path("\udcff.csv").write_bytes(FILES["plain"][0])
    with pytest.raises(StageError, match="expected a name in UTF-8, found other bytes; rename it"):
        proposal.command([Path("\udcff.csv")], write=True)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("user_id", "User_ID"),
        ("user_id", "reviewerID"),
        ("user_id", "user_id:token"),
        ("user_id", "Kunden-Nr."),
        ("item_id", "movieId"),
        ("item_id", "parent_asin"),
        ("item_id", '"ISBN"'),
        ("rating", "Book-Rating"),
        ("timestamp", "unixReviewTime"),
    ],
)
def test_usual_names_in_any_spelling(role: str, name: str) -> None:
    assert [other for other in ROLES if rank(other, name) is not None] == [role]


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
