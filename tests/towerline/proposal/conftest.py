"""Files of many kinds with the same interactions, and what is to be proposed for them."""

import csv
import io
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT

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
