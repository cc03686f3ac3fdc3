"""How sure a mean over users, and a difference of two, can be."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from towerline.ranking.blocks import one_blas_thread

CONFIDENCE = 0.95
# Resamples whose weights are held at once.
BLOCK_SAMPLES = 50


class Interval(NamedTuple):
    """Ends of confidence intervals, [columns] each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def bootstrap_interval(values: NDArray[np.float64], samples: int, seed: int) -> Interval:
    """The 95 % percentile interval of each column's mean over users (Efron 1979).

    Users are drawn with replacement, whole rows of them: columns that belong to two models keep their pairs.

    Args:
      values: [users, columns].
      samples: how many resamples.
      seed: of the draw.
    """
    users = len(values)
    random = np.random.default_rng(seed)
    means = np.empty((samples, values.shape[1]))
    with one_blas_thread():
        for start in range(0, samples, BLOCK_SAMPLES):
            drawn = min(BLOCK_SAMPLES, samples - start)
            times = np.stack([np.bincount(random.integers(users, size=users), minlength=users) for _ in range(drawn)])
            means[start : start + drawn] = times.astype(np.float64) @ values / users
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return Interval(low, high)


def paired_p_values(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of Student's paired t-test for each column of [users, columns] differences.

    For means over users it agrees with randomisation and bootstrap tests (Smucker, Allan and Carterette 2007). 1 where
    all differences of a column are the same 0, or where there is one user alone.
    """
    if len(differences) < 2:
        return np.ones(differences.shape[1])
    spread = differences.std(axis=0, ddof=1)
    mean = differences.mean(axis=0)
    error = spread / np.sqrt(len(differences))
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.inf), where=error > 0)
    p_values: NDArray[np.float64] = 2 * stats.t.sf(np.abs(t), len(differences) - 1)
    return p_values


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[tests] p values corrected for their number: below a, the chance of any false finding is below a (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
