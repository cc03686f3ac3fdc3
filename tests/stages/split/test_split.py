"""Vocabulary and split (laws 2, 4, 6): disjoint sets, independent of the order of the rows, never from the future."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.split import __main__ as split
from stages.split import assignment
from stages.split.params import SplitParams
from stages.vocabulary import __main__ as vocabulary
from tests.conftest import planted_rows, set_params
from towerline.pipeline.errors import StageError

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
    ingest([[user, "i", "t", "1", "1"] for user in ids])
    vocabulary.main()
    users = pq.read_table("data/vocabulary/users.parquet").to_pylist()
    assert [row["index"] for row in users] == list(range(1, len(ids) + 1))
    assert [row["user_id"] for row in users] == sorted(ids, key=str.encode)
    items = pq.read_table("data/vocabulary/items.parquet").to_pylist()
    assert items == [{"index": 1, "item_type": "t", "item_id": "i", "title": None, "features": None}]


@pytest.mark.parametrize("method", ["random", "temporal", "leave_last_out"])
def test_parts_are_disjoint_and_the_same_for_rows_in_any_order(ingest: Ingest, method: str) -> None:
    # Times in the order of the shuffled rows: users come back.
    rows = [[*row[:4], str(number * 60)] for number, row in enumerate(planted_rows())]
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
    # Two users more, last in the vocabulary: a row that was in the test set is hardly ever in another set now.
    ingest([*rows, ["z1", "x", "film", "1", "0"], ["z2", "x", "film", "1", "5"]])
    grown = run_split(seed=1)
    assert len({row[:2] for row in grown["train"]} & {row[:2] for row in first["test"]}) <= 2


def test_a_random_split_is_a_fair_sample(ingest: Ingest) -> None:
    """By user, by item and by time the sets hold what independent draws would: chi-square near its degrees of freedom.

    A set that prefers early rows, some users or some items has a larger one; shares that are exact for each user, as a
    stratified sample has them, a smaller one.
    """
    # Times in the order of the shuffled rows: they have nothing to do with users and items.
    rows = [[*row[:4], str(number)] for number, row in enumerate(planted_rows(num_users=200))]
    ingest(rows)
    sets = run_split(train=0.5, validation=0.25, test=0.25)
    shares = np.array([0.5, 0.25, 0.25])
    by_set = [np.array(sets[name], np.int64) for name in PARTS]
    for table in by_set:
        table[:, 2] = 1 + table[:, 2] * 50 // len(rows)
    for column, groups in enumerate((200, 60, 50)):
        counts = np.array([np.bincount(table[:, column], minlength=groups + 1)[1:] for table in by_set])
        expected = shares[:, None] * counts.sum(axis=0)
        chi_square, freedom = ((counts - expected) ** 2 / expected).sum(), 2 * groups
        # Of a fair draw it is outside of 4 standard deviations once in 16,000 times.
        assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom), (column, chi_square)


def test_temporal_parts_never_see_the_future_even_among_equal_times(ingest: Ingest) -> None:
    # 40 rows over 8 times: no cut at 0.8 or 0.9 falls between two times by itself.
    ingest([[f"u{n % 5}", f"i{n}", "t", "1", str(n // 5)] for n in range(40)])
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
    text = b"user_id,item_id,item_type,part\n1,a,t,train\n1,b,t,test\n1,c,t,validation\n"
    columns = {"ingest.columns.split": "part", "ingest.columns.rating": None, "ingest.columns.timestamp": None}
    ingest(text, **columns)
    assert run_split(method="column") == {"train": [(1, 1, None)], "validation": [(1, 3, None)], "test": [(1, 2, None)]}
    with pytest.raises(StageError, match="split is none of train, validation, test"):
        ingest(text.replace(b"validation", b"dev"), **columns)


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


COLUMN = {"ingest.columns.split": "part", "ingest.columns.rating": None, "ingest.columns.timestamp": None}


def column_split(rows: list[list[str]]) -> bytes:
    """Planted rows as text with a split column: every fourth row is a test row, none a validation row."""
    lines = [",".join([*row[:3], "test" if number % 4 == 0 else "train"]) for number, row in enumerate(rows)]
    return "\n".join(["user_id,item_id,item_type,part", *lines]).encode()


@pytest.mark.parametrize("given_parts", ["column", "random"])
def test_a_split_without_validation_rows_takes_a_share_of_each_user_out_of_train(
    ingest: Ingest, given_parts: str
) -> None:
    rows = planted_rows(num_users=400)
    set_params(Path(), {"train.early_stopping_patience": 0, "train.temperature": 0.2, "train.popularity_prior": 0.0})
    if given_parts == "column":
        ingest(column_split(rows), **COLUMN)
        method: dict[str, Any] = {"method": "column"}
    else:
        ingest(rows)
        method = {"train": 0.7, "validation": 0, "test": 0.3}
    without, taken = run_split(**method, validation_share=0.0), run_split(**method, validation_share=0.15)
    assert taken["test"] == without["test"]
    assert sorted(taken["train"] + taken["validation"]) == without["train"]
    before, after = (np.bincount([row[0] for row in parts["train"]], minlength=401)[1:] for parts in (without, taken))
    assert (after >= 1).all()
    assert (np.abs(before - after - 0.15 * before) < 1).all()
    # Rounded by chance: the share over all users is the one that was asked for. Which rows it is has no pattern.
    assert len(taken["validation"]) == pytest.approx(0.15 * len(without["train"]), rel=0.03)
    items = {part: np.array([row[1] for row in taken[part]]) for part in PARTS}
    assert items["validation"].mean() == pytest.approx(items["train"].mean(), rel=0.05)
    assert run_split(seed=43, validation_share=0.15)["validation"] != taken["validation"]


def test_the_validation_share_is_the_same_for_rows_in_any_order_and_with_new_users(ingest: Ingest) -> None:
    rows = [[*row[:3], "test" if number % 4 == 0 else "train"] for number, row in enumerate(planted_rows())]

    def split_of(rows: list[list[str]]) -> dict[str, list[Row]]:
        lines = [",".join(row) for row in rows]
        ingest("\n".join(["user_id,item_id,item_type,part", *lines]).encode(), **COLUMN)
        return run_split(method="column", validation_share=0.2)

    first = split_of(rows)
    assert split_of(rows[::-1]) == first
    # After all others in the vocabularies.
    more = split_of([*rows, *([f"z{number}", "0000000", "zine", "train"] for number in range(30))])
    assert first["validation"] == [row for row in more["validation"] if row[0] <= 60]


def test_every_user_keeps_a_training_row(ingest: Ingest) -> None:
    rows = [f"{user},{item},t,{part}" for user in "abcdefgh" for item, part in (("1", "train"), ("2", "train"))]
    ingest(
        "\n".join(["user_id,item_id,item_type,part", *rows, *(f"{user},3,t,test" for user in "ab")]).encode(), **COLUMN
    )
    parts = run_split(method="column", validation_share=0.99)
    assert [row[0] for row in parts["train"]] == [row[0] for row in parts["validation"]] == list(range(1, 9))


def test_a_temporal_split_takes_its_latest_training_rows_as_validation(ingest: Ingest) -> None:
    ingest([[f"u{n % 5}", f"i{n}", "t", "1", str(n // 5)] for n in range(40)])
    parts = run_split(method="temporal", train=0.7, validation=0, test=0.3, validation_share=0.2)
    times = {part: [row[2] or 0 for row in parts[part]] for part in PARTS}
    assert max(times["train"]) < min(times["validation"])
    assert max(times["validation"]) < min(times["test"])
    assert len(times["validation"]) >= 0.2 * (len(times["validation"]) + len(times["train"]))


def test_rows_of_one_second_cannot_be_parted_by_time(ingest: Ingest) -> None:
    ingest([[user, item, "t", "1", "1" if item < "7" else "2"] for user in "ab" for item in "123456789"])
    with pytest.raises(
        StageError, match=r"split.validation_share: expected at least one validation row of 12 training"
    ):
        run_split(method="temporal", train=0.6, validation=0, test=0.3, validation_share=0.5)


def test_a_split_with_validation_rows_of_its_own_keeps_them(ingest: Ingest) -> None:
    ingest(planted_rows())
    assert run_split(validation_share=0.5) == run_split(validation_share=0.0)


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


@given(
    st.integers(0, 10**7),
    st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(
        lambda shares: sum(shares) <= 1 and shares[0] and shares[2]
    ),
)
def test_fractions_give_sizes_within_one_row_that_fit(num_rows: int, shares: list[float]) -> None:
    train, validation, test = shares
    params = SplitParams(method="random", seed=1, train=train, validation=validation, test=test, validation_share=0.1)
    sizes = assignment.set_sizes(num_rows, params)
    assert sum(sizes) <= num_rows
    assert all(abs(size - num_rows * share) <= 1 for size, share in zip(sizes, shares, strict=True))
