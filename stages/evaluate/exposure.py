"""The exposure of a ranking: share of the catalogue that is shown, inequality, and popularity of the items."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HEAD, MIDDLE, TAIL = 0, 1, 2
GROUPS = ("head", "middle", "tail")


class Exposure(NamedTuple):
    """The exposure of the catalogue in the first k items shown to each user.

    Attributes:
      coverage: share of the catalogue that is shown to at least one user, 0 to 1.
      gini: Gini index of the numbers of times that items are shown, 0 (all equal) to 1.
      mean_popularity: mean number of known rows of the items shown.
      novelty: mean self-information of the items shown, in bits.
      head, middle, tail: shares of these groups among the items shown.
    """

    coverage: float
    gini: float
    mean_popularity: float
    novelty: float
    head: float
    middle: float
    tail: float


def popularity_groups(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group of each item: HEAD, the most popular ones with a third of all rows, MIDDLE the next third, or TAIL.

    Args:
      counts: [num_items + 1] known rows of each item.

    Returns:
      [num_items + 1] int64; items without rows are TAIL, equal counts are ordered by index.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    groups = np.full(len(counts), TAIL)
    groups[order] = np.minimum(before * 3 // max(counts.sum(), 1), TAIL)
    groups[counts == 0] = TAIL
    return groups


def exposure(shown: NDArray[np.int32], counts: NDArray[np.int64], num_users: int) -> Exposure:
    """The exposure of the catalogue, which is all items except the unknown one.

    novelty = mean of -log2 p(i), with p(i) the share of training users who interacted with item i (Zhou et al. 2010;
    Vargas and Castells 2011); an item without rows counts as half a row. The Gini index of exposure is that of Fleder
    and Hosanagar (2009) for sales.

    Args:
      shown: [...] int32 items, 0 for none.
      counts: [num_items + 1] known rows of each item, at most one for each user.
      num_users: number of users with known rows.
    """
    times = np.bincount(shown.ravel(), minlength=len(counts))[1:]
    total = max(int(times.sum()), 1)
    rows = counts[1:]
    information = -np.log2(np.maximum(rows, 0.5) / num_users)
    shares = np.bincount(popularity_groups(counts)[1:], times, len(GROUPS)) / total
    return Exposure(
        coverage=float((times > 0).mean()),
        gini=gini(times),
        mean_popularity=float(times @ rows / total),
        novelty=float(times @ information / total),
        head=float(shares[HEAD]),
        middle=float(shares[MIDDLE]),
        tail=float(shares[TAIL]),
    )


def gini(times: NDArray[np.int64]) -> float:
    """Gini index of [items] numbers from 0: half the mean absolute difference, divided by the mean; 0 if all are 0.

    gini = sum over i of (2 i - n - 1) x_i / (n sum x), with x ascending and i from 1.
    """
    n, total = len(times), int(times.sum())
    if total == 0:
        return 0.0
    rank = np.arange(1, n + 1)
    return float((2 * rank - n - 1) @ np.sort(times) / (n * total))
