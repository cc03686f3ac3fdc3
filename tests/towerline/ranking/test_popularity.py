"""Popularity with and without a half-life."""

import numpy as np
import pytest

from towerline.artifacts.split import Interactions
from towerline.ranking.popularity import HALF_LIVES, decayed_counts, half_lives, log_popularity

DAY = 86_400


def rows(items: list[int], days: list[float] | None) -> Interactions:
    times = None if days is None else (np.array(days) * DAY).astype(np.int64)
    return Interactions(np.ones(len(items), np.int32), np.array(items, np.int32), None, 1, 4, times)


def test_a_row_counts_half_for_each_half_life_before_the_last_row() -> None:
    known = rows([1, 1, 2, 3], [10, 8, 10, 4])
    assert decayed_counts(known, None).tolist() == [0, 2, 1, 1, 0]
    assert decayed_counts(known, 2.0).tolist() == [0, 1.5, 1, 0.125, 0]
    np.testing.assert_allclose(log_popularity(known, 2.0), np.log([1, 4, 3, 1.25, 1]), rtol=1e-6)
    assert log_popularity(known, 1 / 1440)[3] == 0, "the weight of an old row may be too small for a float"


def test_a_half_life_needs_times() -> None:
    with pytest.raises(ValueError, match="expected rows with times for a half-life, found none"):
        decayed_counts(rows([1], None), 5.0)


def test_half_lives_are_no_longer_than_the_time_that_the_rows_span() -> None:
    assert half_lives(rows([1, 2], None)) == [None]
    assert half_lives(rows([], [])) == [None]
    assert half_lives(rows([1, 2], [3, 3])) == [None]
    assert half_lives(rows([1, 2], [0, 2.5]))[:3] == [None, 2, 1]
    assert half_lives(rows([1, 2], [0, 4000])) == [None, *reversed(HALF_LIVES)]


def test_sets_are_joined_row_by_row_and_columns_that_one_lacks_are_left_out() -> None:
    first, second = rows([1, 2], [1, 2]), rows([3], [3])
    joined = Interactions.joined(first, second)
    assert joined.timestamp is not None
    assert (joined.item_index.tolist(), (joined.timestamp // DAY).tolist()) == ([1, 2, 3], [1, 2, 3])
    assert Interactions.joined(first, rows([3], None)).timestamp is None
