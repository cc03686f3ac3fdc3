"""Exposure by hand and by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluate.exposure import exposure, gini, popularity_groups


def test_exposure_by_hand() -> None:
    # Items 1 to 4 with 4, 2, 1 and no training rows; two users are shown 1 and 2, and 1 and none.
    counts = np.array([0, 4, 2, 1, 0])
    measured = exposure(np.array([[1, 2], [1, 0]], np.int32), counts, 4)
    assert measured.coverage == 2 / 4
    assert measured.mean_popularity == pytest.approx((4 + 4 + 2) / 3)
    assert measured.novelty == pytest.approx((0 + 0 + 1) / 3)
    # A third of 7 rows ends within item 1, the second third within item 2.
    assert popularity_groups(counts)[1:].tolist() == [0, 1, 2, 2]
    assert (measured.head, measured.middle, measured.tail) == pytest.approx((2 / 3, 1 / 3, 0))


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_over_the_mean(times: list[int]) -> None:
    values = np.array(times)
    differences = np.abs(values[:, None] - values).mean()
    expected = differences / (2 * values.mean()) if values.any() else 0.0
    assert gini(values) == pytest.approx(expected, abs=1e-12)
