"""Vocabulary and split: complete, disjoint, independent of the order of the rows, and never from the future."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import split, vocabulary
from stages.params import SplitParams
from stages.terminal import StageError
from tests.conftest import planted_rows, set_params

Ingest = Callable[..., list[dict[str, Any]]]
Row = tuple[int, int, int | None]
PARTS = ("train", "validation", "test")


def run_split(**params: Any) -> dict[str, list[Row]]:
    set_params(Path(), {f"split.{name}": value for name, value in params.items()})
    vocabulary.main()
    split.main()
    return {part: read_rows(part) for part in PARTS}


def read_rows(part: str) -> list[Row]:
    rows = pq.read_table(f"data/split/{part}.parquet").to_pylist()
    return [(row["user_index"], row["item_index"], row.get("timestamp")) for row in rows]


def test_vocabularies_are_numbered_from_one_in_byte_order(ingest: Ingest) -> None:
    ids = ["b", "a", "B", "é", "\U0001f600", "\uffee", "10", "9"]
    ingest([[one, "i", "t", "1", "1"] for one in ids])
    vocabulary.main()
    users = pq.read_table("data/vocabulary/users.parquet").to_pylist()
    assert [row["index"] for row in users] == list(range(1, len(ids) + 1))
    assert [row["user_id"] for row in users] == sorted(ids, key=str.encode)
    items = pq.read_table("data/vocabulary/items.parquet").to_pylist()
    assert items == [{"index": 1, "item_type": "t", "item_id": "i", "title": None, "features": None}]


@pytest.mark.parametrize("method", ["random", "temporal", "leave_last_out"])
def test_parts_are_disjoint_and_the_same_for_rows_in_any_order(ingest: Ingest, method: str) -> None:
    rows = planted_rows()
    ingest(rows)
    first = run_split(method=method)
    written = {part: Path(f"data/split/{part}.parquet").read_bytes() for part in PARTS}
    everything = sorted(row for part in PARTS for row in first[part])
    assert len(everything) == len(set(everything)) == len(rows)
    assert all(first[part] for part in PARTS)
    assert all(first[part] == sorted(first[part]) for part in PARTS)
    ingest(rows[::-1])
    run_split(method=method)
    assert written == {part: Path(f"data/split/{part}.parquet").read_bytes() for part in PARTS}


def test_the_seed_moves_the_shuffle_and_new_rows_do_not(ingest: Ingest) -> None:
    rows = planted_rows()
    ingest(rows)
    first = run_split(seed=1, train=300, validation=50, test=100)
    second = run_split(seed=2)
    assert {part: len(first[part]) for part in PARTS} == {"train": 300, "validation": 50, "test": 100}
    common = set(first["test"]) & set(second["test"])
    assert len(common) < 50
    # Two users more, last in the vocabulary: a row of the test part before is hardly ever in another part now.
    ingest([*rows, *(["z1", "x", "film", "1", str(time)] for time in range(1)), ["z2", "x", "film", "1", "5"]])
    grown = run_split(seed=1)
    assert len({row[:2] for row in grown["train"]} & {row[:2] for row in first["test"]}) <= 2


def test_a_shuffle_part_is_a_fair_sample(ingest: Ingest) -> None:
    ingest(planted_rows(num_users=200))
    parts = run_split(train=0.5, validation=0.25, test=0.25)
    users = [np.bincount([row[0] for row in parts[part]], minlength=201)[1:].sum() for part in PARTS]
    assert np.allclose(np.array(users) / sum(users), [0.5, 0.25, 0.25], atol=0.001)


def test_temporal_parts_never_see_the_future_even_among_equal_times(ingest: Ingest) -> None:
    # 40 rows over 8 times: no cut at 0.8 or 0.9 falls between two times by itself.
    ingest([[f"u{n}", f"i{n % 7}", "t", "1", str(n // 5)] for n in range(40)])
    parts = run_split(method="temporal", train=0.77, validation=0.13, test=0.1)
    times = {part: [row[2] or 0 for row in parts[part]] for part in PARTS}
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    assert len(times["test"]) >= 4


def test_leave_last_out_takes_the_last_two_rows_of_users_with_three(ingest: Ingest) -> None:
    times = {"a": {"1": 30, "2": 10, "3": 20}, "b": {"1": 30, "2": 10}}
    ingest([[user, item, "t", "1", str(time)] for user, items in times.items() for item, time in items.items()])
    parts = run_split(method="leave_last_out")
    assert parts == {"train": [(1, 2, 10), (2, 1, 30), (2, 2, 10)], "validation": [(1, 3, 20)], "test": [(1, 1, 30)]}


def test_a_split_that_comes_with_the_data(ingest: Ingest) -> None:
    text = b"user_id,item_id,item_type,part\n1,a,t,train\n1,b,t,test\n2,a,t,validation\n"
    columns = {"ingest.columns.split": "part", "ingest.columns.rating": None, "ingest.columns.timestamp": None}
    ingest(text, **columns)
    assert run_split(method="column") == {"train": [(1, 1, None)], "validation": [(2, 1, None)], "test": [(1, 2, None)]}
    with pytest.raises(StageError, match="split is none of train, validation, test"):
        ingest(text.replace(b"validation", b"dev"), **columns)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "column"}, "column expected a column split, found none; set ingest.columns.split"),
        ({"train": 5000, "validation": 0, "test": 2000}, "expected at most the 3 rows there are, found 7000"),
        ({"train": 0.0, "validation": 0.0, "test": 1.0}, "at least one row in the train part, found none"),
    ],
)
def test_what_cannot_be_split_is_said_in_one_line(ingest: Ingest, params: dict[str, Any], message: str) -> None:
    ingest([["a", "1", "t", "1", "1"], ["a", "2", "t", "1", "2"], ["b", "1", "t", "1", "3"]])
    with pytest.raises(StageError, match=message):
        run_split(**params)


@given(st.integers(0, 10**7), st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda shares: sum(shares) <= 1))
def test_fractions_give_sizes_within_one_row_that_fit(num_rows: int, shares: list[float]) -> None:
    train, validation, test = shares
    params = SplitParams(method="random", seed=1, train=train, validation=validation, test=test)
    sizes = split.part_sizes(num_rows, params)
    assert sum(sizes) <= num_rows
    assert all(abs(size - num_rows * share) <= 1 for size, share in zip(sizes, shares, strict=True))
