"""What cannot be split is refused in one line, before anything is written."""

from pathlib import Path
from typing import Any

import pytest

from tests.stages.conftest import Ingest
from tests.stages.split.conftest import COLUMN, run_split
from towerline.pipeline.errors import StageError


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"method": "column"},
            "ingest.columns.split: expected the column that split.method column needs, found null; set it to this",
        ),
        (
            {"train": 5000, "validation": 0, "test": 2000},
            "expected counts that sum to at most 3, the number of rows, found 7000; set them lower",
        ),
        ({"train": 0.01}, "at least one row in the training set, found none; set split.train higher"),
        ({"method": "leave_last_out"}, "test set, found none; no user has 3 rows; set split.method to random"),
        ({"train": 0.5, "validation": 0, "test": 0.5}, "expected at least one validation row of 2 training rows"),
    ],
)
def test_what_cannot_be_split_is_said_in_one_line(ingest: Ingest, params: dict[str, Any], message: str) -> None:
    ingest([["a", "1", "t", "1", "1"], ["a", "2", "t", "1", "2"], ["b", "1", "t", "1", "3"]])
    with pytest.raises(StageError, match=message) as raised:
        run_split(**params)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("times", "params", "message"),
    [
        ("1111", {}, "in the training set, found none; all rows have the same time, .*; set split.method to random"),
        (
            "1122",
            {"test": 0.5, "validation": 0.25, "train": 0.25},
            "stay together, in the later set; set split.test and",
        ),
        ("1112", {"validation": 0}, "row of 3 training rows, .*; all training rows have the same time"),
        ("1123", {"validation": 0}, "row of 3 training rows, .* at 0.1; set it or split.validation higher"),
    ],
)
def test_times_that_cannot_be_parted_have_advice_that_helps(
    ingest: Ingest, times: str, params: dict[str, Any], message: str
) -> None:
    ingest([["a", str(number), "t", "1", time] for number, time in enumerate(times)])
    with pytest.raises(StageError, match=message):
        run_split(**{"method": "temporal", "train": 0.7, "validation": 0.1, "test": 0.2, **params})


@pytest.mark.parametrize(
    ("users", "share", "message"),
    [
        ("ab", 0.1, "no user has two training rows, .*; name rows 'validation' in the column of ingest.columns.split"),
        ("aa", 0.1, "at 0.1; set it higher, or name rows 'validation' in the column of ingest.columns.split"),
    ],
)
def test_a_column_whose_share_leaves_no_validation_rows_is_refused(
    ingest: Ingest, users: str, share: float, message: str
) -> None:
    rows = [f"{user},{number},t,train" for number, user in enumerate(users)]
    ingest("\n".join(["user_id,item_id,item_type,part", *rows, "a,9,t,test"]).encode(), **COLUMN)
    with pytest.raises(StageError, match=message):
        run_split(method="column", validation_share=share)
    assert not Path("data/split").exists()


def test_rows_of_one_second_cannot_be_parted_by_time(ingest: Ingest) -> None:
    ingest([[user, item, "t", "1", "1" if item < "7" else "2"] for user in "ab" for item in "123456789"])
    with pytest.raises(
        StageError, match=r"split.validation_share: expected at least one validation row of 12 training"
    ):
        run_split(method="temporal", train=0.6, validation=0, test=0.3, validation_share=0.5)


def test_parts_without_users_in_common_are_refused_before_they_are_written(ingest: Ingest) -> None:
    """Users who come one after the other: nobody has rows on both sides of the cut."""
    ingest([[f"u{n // 5}", f"i{n % 5}", "t", "1", str(n)] for n in range(20)])
    with pytest.raises(
        StageError, match=r"rows in both the training and the test set, found none with temporal; set split.method"
    ):
        run_split(method="temporal", train=0.5, validation=0.25, test=0.25)
    assert not Path("data/split").exists()


@pytest.mark.parametrize(
    ("rows", "params", "advice"),
    [
        (
            [("1", "a", "1", "train"), ("1", "b", "2", "test"), ("2", "a", "1", "validation")],
            {"method": "column"},
            "column; name 'train' and 'validation' rows of the same users in the column of ingest.columns.split",
        ),
        (
            [("1", "a", "1", ""), ("2", "a", "2", ""), ("1", "b", "3", "")],
            {"method": "temporal", "train": 0.34, "validation": 0.33, "test": 0.33},
            "temporal; set split.method to leave_last_out or random, or split.validation higher",
        ),
        (
            [("1", "a", "1", ""), ("2", "a", "2", ""), ("1", "b", "3", "")],
            {"method": "temporal", "train": 0.67, "validation": 0, "test": 0.33, "validation_share": 0.5},
            "temporal; set split.method to leave_last_out or random, or split.validation_share higher",
        ),
    ],
)
def test_a_validation_set_without_users_in_common_is_refused(
    ingest: Ingest, rows: list[tuple[str, ...]], params: dict[str, Any], advice: str
) -> None:
    lines = [f"{user},{item},t,{time},{part}" for user, item, time, part in rows]
    part = "part" if params["method"] == "column" else None
    columns = {"ingest.columns.split": part, "ingest.columns.rating": None}
    ingest("\n".join(["user_id,item_id,item_type,timestamp,part", *lines]).encode(), **columns)
    with pytest.raises(StageError, match=f"in both the training and the validation set, found none with {advice}$"):
        run_split(**params)
    assert not Path("data/split").exists()
