"""Tests of the declared columns: misnamed ones, values of another kind, and ids without values."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.features.declarations import Features
from towerline.features.reading import read_features
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError

MAP = pa.map_(pa.string(), pa.string())


def declared(**features: dict[str, Any]) -> Features:
    return TypeAdapter(Features).validate_python(features)


@pytest.fixture(autouse=True)
def vocabularies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty items, of which two have a year that is no number and half have no genre; two users without features."""
    monkeypatch.chdir(tmp_path)
    features = [
        [("genre", "Crime" if number % 2 else ""), ("year", str(1980 + number) if number > 1 else "unknown")]
        for number in range(40)
    ]
    items = pa.table({"title": [f"Title {number}" for number in range(40)], "features": pa.array(features, MAP)})
    users = pa.table({"user_id": ["a", "b"], "features": pa.array([None, None], MAP)})
    for path, table in ((ITEM_VOCABULARY, items), (USER_VOCABULARY, users)):
        formats.write_parquet(path, table.schema, table.to_batches())


def test_columns_are_read_with_the_unknown_id_first() -> None:
    tables = read_features({}, declared(title={"kind": "text"}, genre={"kind": "categorical"}))
    assert tables.items["title"][:3] == [None, "Title 0", "Title 1"]
    assert tables.items["genre"][:3] == [None, "", "Crime"]
    assert tables.users == {}
    assert tables.warnings == ["train.item_features.genre is missing for 50% of the items"]


def test_a_few_values_that_cannot_be_read_are_counted() -> None:
    tables = read_features({}, declared(year={"kind": "number", "buckets": None}))
    assert tables.warnings == [
        "train.item_features.year has 2 of 40 values that are not numbers; they count as missing"
    ]


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ({}, {"yaer": {"kind": "categorical"}}, r"found 'yaer', did you mean year\?; there are: genre, title, year"),
        (
            {"age": {"kind": "number", "buckets": 3}},
            {},
            "train.user_features: .* found 'age'; set ingest.users to a file",
        ),
        ({}, {"title": {"kind": "vector"}}, "title: expected vectors .* found 40 of 40 values .* such as 'Title 0'"),
        ({}, {"genre": {"kind": "time", "buckets": 2}}, "genre: expected times .* found 20 of 20 values"),
    ],
)
def test_a_wrong_declaration_is_one_line(users: dict[str, Any], items: dict[str, Any], message: str) -> None:
    with pytest.raises(StageError, match=message) as raised:
        read_features(declared(**users), declared(**items))
    assert "\n" not in str(raised.value)
