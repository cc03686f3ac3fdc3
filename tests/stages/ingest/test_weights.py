"""Weights of rows: numbers or named values, which add up over the rows of a user and an item."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import write_rows
from tests.stages.conftest import Ingest
from tests.stages.ingest.conftest import PARQUET_ROW, parquet, refused, rejected
from towerline.pipeline.errors import StageError

HEADER = ["user_id", "item_id", "plays", "timestamp"]
PLAYS = {"ingest.columns.weight": "plays", "ingest.columns.rating": None, "ingest.columns.item_type": None}


def played(ingest: Ingest, rows: list[list[str]], **params: Any) -> list[dict[str, Any]]:
    """data/interactions.parquet for rows of HEADER."""
    content = write_rows(Path("data/raw/plays.csv"), rows, HEADER).read_bytes()
    return ingest(content, name="plays.csv", **{**PLAYS, "ingest.max_rejected_share": 1.0, **params})


def test_the_last_row_by_time_has_the_sum_of_all_weights(ingest: Ingest) -> None:
    kept = played(
        ingest, [["1", "a", "2", "30"], ["1", "a", "0.5", "10"], ["1", "a", "x", "40"], ["2", "a", "7", "20"]]
    )
    assert kept == [
        {"user_id": "1", "item_type": "item", "item_id": "a", "timestamp": 30, "weight": 2.5},
        {"user_id": "2", "item_type": "item", "item_id": "a", "timestamp": 20, "weight": 7.0},
    ]
    assert str(pq.read_schema("data/interactions.parquet").field("weight").type) == "float"


def test_named_values_have_the_weights_of_the_settings(ingest: Ingest) -> None:
    rows = [["1", "a", "view", "1"], ["1", "a", "purchase", "2"], ["1", "b", "View", "3"], ["1", "b", " ", "4"]]
    kept = played(ingest, [*rows, ["1", "b", "view", "5"]], **{"ingest.weights": {"purchase": 3, "view": 0.25}})
    assert [(entry["item_id"], entry["weight"]) for entry in kept] == [("a", 3.25), ("b", 0.25)]
    reasons = [(line, reason) for _, line, reason, _ in rejected()]
    assert reasons == [(4, "weight is none of the values in ingest.weights"), (5, "blank weight")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "unreadable weight") for text in ("view", "nan", "inf", "1,5")),
        *((text, "weight is not above 0") for text in ("0", "-0.0", "0e5", "-3", "-1e999", "+.0")),
        *((text, "weight above 1,000,000,000") for text in ("1000000000.1", "1e999")),
        *((text, "weight too close to 0 for float32") for text in ("1e-50", "1e-999")),
        ("", "blank weight"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(ingest: Ingest, text: str, reason: str) -> None:
    played(ingest, [["1", "a", text, "1"], ["1", "b", "1e9", "1"], ["1", "c", "+1.4e-45", "1"]])
    assert [(line, found) for _, line, found, _ in rejected()] == [(2, reason)]


@pytest.mark.parametrize(
    ("text", "params", "advice"),
    [
        ("1,5", {}, "decimal commas are not read: write 7.5 for 7,5$"),
        ("view", {}, "give each value a number in ingest.weights, or set ingest.columns.weight to null$"),
        ("cart", {"ingest.weights": {"view": 1}}, "add 'cart' to ingest.weights, or leave such rows out of the file$"),
    ],
)
def test_a_refused_weight_proposes_the_setting_to_change(
    ingest: Ingest, text: str, params: dict[str, Any], advice: str
) -> None:
    with pytest.raises(StageError, match=f"line 2: .*; {advice}"):
        played(ingest, [["1", "a", text, "1"]], **{"ingest.max_rejected_share": 0.0, **params})


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_kept_whole_and_do_not_depend_on_the_order_of_the_rows(ingest: Ingest, seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        [f"u{draw.randrange(4)}", f"i{draw.randrange(3)}", draw.choice(["0.1", "0.7", "3e-7", "12345.6", "0"]), f"{n}"]
        for n in range(300)
    ]
    kept = played(ingest, rows)
    accepted = np.array([float(row[2]) for row in rows if row[2] != "0"])
    assert np.isclose(sum(entry["weight"] for entry in kept), accepted.sum(), rtol=1e-6)
    before = Path("data/interactions.parquet").read_bytes()
    played(ingest, draw.sample(rows, len(rows)))
    assert Path("data/interactions.parquet").read_bytes() == before


def test_weights_of_parquet_are_numbers_or_text(ingest: Ingest) -> None:
    params = {"name": "a.parquet", "ingest.columns.weight": "plays"}
    assert ingest(parquet(plays=[3]), **params)[0]["weight"] == 3.0
    two = parquet(**{name: values * 2 for name, values in PARQUET_ROW.items()}, plays=[None, "2.5"])
    assert refused(ingest, two, **params) == [(1, "blank weight")]
    with pytest.raises(StageError, match="column 'plays': expected numbers or text for weight, found bool"):
        ingest(parquet(plays=[True]), **params)
