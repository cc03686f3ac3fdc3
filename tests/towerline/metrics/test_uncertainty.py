"""Intervals and p values against SciPy and slow programs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from towerline.metrics import uncertainty
from towerline.metrics.uncertainty import bootstrap_interval, holm, paired_p_values


def test_the_interval_is_that_of_scipys_bootstrap_and_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    values = draw.exponential(size=(400, 2))
    interval = bootstrap_interval(values, 4000, seed=1)
    expected = stats.bootstrap((values[:, 0],), np.mean, n_resamples=4000, method="percentile", rng=draw)
    assert (interval.low[0], interval.high[0]) == pytest.approx(tuple(expected.confidence_interval), abs=0.01)
    covered = [
        bool(sample.low[0] <= 1 <= sample.high[0])
        for sample in (bootstrap_interval(draw.exponential(size=(200, 1)), 300, seed) for seed in range(300))
    ]
    assert 0.9 < np.mean(covered) < 0.98


def test_columns_keep_their_resamples_whatever_the_other_columns_are(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((50, 7))
    whole = bootstrap_interval(values, 200, seed=3)
    # Blocks of 4 resamples, and of 2 columns.
    monkeypatch.setattr(uncertainty, "BLOCK_WEIGHTS", 4 * 50)
    monkeypatch.setattr(uncertainty, "BLOCK_MEANS", 2 * 200)
    np.testing.assert_allclose(bootstrap_interval(values, 200, seed=3), whole, rtol=1e-12)
    np.testing.assert_allclose(bootstrap_interval(values[:, 4:5], 200, seed=3).low, whole.low[4], rtol=1e-12)


def test_p_values_are_scipys_paired_t_test() -> None:
    draw = np.random.default_rng(0)
    first, second = draw.random((50, 3)), draw.random((50, 3)) + np.array([0, 0.1, 0.3])
    expected = stats.ttest_rel(first, second).pvalue
    np.testing.assert_allclose(paired_p_values(first - second), expected, rtol=1e-12)
    assert paired_p_values(np.zeros((5, 1))).tolist() == [1.0]
    assert paired_p_values(np.ones((5, 1))).tolist() == [0.0]
    assert paired_p_values(np.ones((1, 1))).tolist() == [1.0]


def test_holm_by_hand() -> None:
    # 3 * .01, 2 * .02, and .022 no smaller than the one before it.
    assert holm(np.array([0.022, 0.01, 0.02])).tolist() == pytest.approx([0.04, 0.03, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values: list[float]) -> None:
    adjusted = holm(np.array(p_values))
    for level in (0.01, 0.05, 0.3):
        rejected = [False] * len(p_values)
        for number, row in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
            # A product, as in the code under test, so that rounding decides no case.
            if p_values[row] * (len(p_values) - number) > level:
                break
            rejected[row] = True
        assert (adjusted <= level).tolist() == rejected
