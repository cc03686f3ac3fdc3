"""Bootstrap intervals of means over users, and paired tests of their differences."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from towerline.ranking.blocks import one_blas_thread

CONFIDENCE = 0.95
# Weights of resamples held at once, 16 MB as float64.
BLOCK_WEIGHTS = 1 << 21
# Means of resamples held at once, 256 MB as float64.
BLOCK_MEANS = 1 << 25


class Interval(NamedTuple):
    """Ends of confidence intervals, [columns] float64 each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def bootstrap_interval(values: NDArray[np.float64], samples: int, seed: int) -> Interval:
    """The 95 % percentile interval of each column's mean over users (Efron 1979).

    Whole rows are drawn with replacement, so that the values of two models for a user stay together. All columns share
    the resamples, which take longer to draw than to apply: pass the columns of all models at once.

    Args:
      values: [users, columns].
      samples: number of resamples.
      seed: seed of the resamples.
    """
    columns = max(1, BLOCK_MEANS // samples)
    blocks = [
        _interval(_resampled_means(values[:, start : start + columns], samples, seed))
        for start in range(0, values.shape[1], columns)
    ]
    return Interval(*(np.concatenate(ends) for ends in zip(*blocks, strict=True)))


def _interval(means: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return Interval(low, high)


def _resampled_means(values: NDArray[np.float64], samples: int, seed: int) -> NDArray[np.float64]:
    """[samples, columns] means of resamples of the users, as products with the number of times each user is drawn."""
    users = len(values)
    block = max(1, BLOCK_WEIGHTS // users)
    random = np.random.default_rng(seed)
    means = np.empty((samples, values.shape[1]))
    with one_blas_thread():
        for start in range(0, samples, block):
            drawn = min(block, samples - start)
            users_of = random.integers(users, size=(drawn, users)) + np.arange(drawn)[:, None] * users
            times = np.bincount(users_of.ravel(), minlength=drawn * users).reshape(drawn, users)
            means[start : start + drawn] = times.astype(np.float64) @ values / users
    return means


def paired_p_values(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p values of Student's paired t-test for each column of [users, columns] differences.

    For means over users it agrees with randomisation and bootstrap tests (Smucker, Allan and Carterette 2007). The p
    value is 1 if all differences of a column are 0, or if there is a single user.
    """
    # Equal to scipy.stats.ttest_1samp; the import of scipy.stats takes longer than all tests and intervals.
    if len(differences) < 2:
        return np.ones(differences.shape[1])
    mean = differences.mean(axis=0)
    error = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.inf), where=error > 0)
    p_values: NDArray[np.float64] = 2 * stdtr(len(differences) - 1, -np.abs(t))
    return p_values


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[tests] p values after the correction of Holm (1979), which bounds the family-wise error rate."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
