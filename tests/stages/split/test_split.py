"""The split (laws 2, 4, 6): disjoint sets, independent of the order of the rows, never from the future."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.split import sizes
from stages.split.params import SplitParams
from tests.conftest import planted_rows
from tests.stages.conftest import Ingest
from tests.stages.split.conftest import PARTS, run_split
from towerline.pipeline.errors import StageError


@pytest.mark.parametrize("method", ["random", "temporal", "leave_last_out", "cold_items", "cold_users", "cold_type"])
def test_parts_are_disjoint_and_the_same_for_rows_in_any_order(ingest: Ingest, method: str) -> None:
    cold_type = "book" if method == "cold_type" else None
    # Times in the order of the shuffled rows: users come back.
    rows = [[*row[:4], str(number * 60)] for number, row in enumerate(planted_rows())]
    ingest(rows)
    first = run_split(method=method, cold_type=cold_type)
    written = {part: Path(f"data/split/{part}.parquet").read_bytes() for part in PARTS}
    everything = sorted(row for part in PARTS for row in first[part])
    assert len(everything) == len(set(everything)) == len(rows)
    assert all(first[part] for part in PARTS)
    assert all(first[part] == sorted(first[part]) for part in PARTS)
    ingest(rows[::-1])
    run_split(method=method, cold_type=cold_type)
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


@given(
    st.integers(0, 10**7),
    st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(
        lambda shares: sum(shares) <= 1 and shares[0] and shares[2]
    ),
)
def test_fractions_give_sizes_within_one_row_that_fit(num_rows: int, shares: list[float]) -> None:
    train, validation, test = shares
    params = SplitParams(
        method="random", cold_type=None, seed=1, train=train, validation=validation, test=test, validation_share=0.1
    )
    made = sizes.set_sizes(num_rows, params)
    assert sum(made) <= num_rows
    assert all(abs(size - num_rows * share) <= 1 for size, share in zip(made, shares, strict=True))
