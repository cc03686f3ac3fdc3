"""Popularity of items, of all times or with a half-life."""

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays

# Rows that are added to those of an item, so that the logarithm is finite.
PSEUDO_ROWS = 0.5
SECONDS_PER_DAY = 86_400
# Half-lives to choose from, in days, the shortest first: from a minute to ten years.
HALF_LIVES = (
    *(minutes / 1_440 for minutes in (1, 2, 5, 10, 20, 30)),
    *(hours / 24 for hours in (1, 2, 3, 6, 12)),
    *map(float, (1, 2, 3, 5, 7, 10, 14, 21, 30, 60, 90, 180, 365, 730, 1_825, 3_650)),
)


def decayed_counts(rows: Interactions, half_life: float | None) -> NDArray[np.float64]:
    """The strengths of each item's rows summed, halved for every half-life between a row and the last of all rows.

    Where rows have no strengths, each counts as one, and the sum without a half-life is the number of the item's rows.

    The time of the last row is the present: a model is fitted to the rows before it and predicts those after it.

    Args:
      rows: the rows; with times if there is a half-life.
      half_life: in days; None for no decay.

    Returns:
      [num_items + 1] float64.
    """
    strength, time, size = rows.strength, rows.timestamp, rows.num_items + 1
    if half_life is None or not len(rows.item_index):
        return row_arrays.sums(rows.item_index, size, None if strength is None else strength.__getitem__)
    if time is None:
        raise ValueError("expected rows with times for a half-life, found none")
    last = time.max()

    def weights(block: slice) -> NDArray[np.float64]:
        decay: NDArray[np.float64] = 0.5 ** ((last - time[block]) / (half_life * SECONDS_PER_DAY))
        return decay if strength is None else decay * strength[block]

    return row_arrays.sums(rows.item_index, size, weights)


def log_popularity(rows: Interactions, half_life: float | None) -> NDArray[np.float32]:
    """[num_items + 1] float32 log((n + PSEUDO_ROWS) / PSEUDO_ROWS) of the decayed_counts() n; 0 without rows."""
    return np.log1p(decayed_counts(rows, half_life) / PSEUDO_ROWS).astype(np.float32)


def half_lives(rows: Interactions) -> list[float | None]:
    """The half-lives to choose from, the longest first.

    Args:
      rows: the rows; without times, or where all times are equal, None is the only choice.

    Returns:
      None, the popularity of all times, and those of HALF_LIVES up to the time that the rows span, in days.
    """
    if rows.timestamp is None or not len(rows.timestamp):
        return [None]
    span = (rows.timestamp.max() - rows.timestamp.min()) / SECONDS_PER_DAY
    return [None, *(half_life for half_life in reversed(HALF_LIVES) if half_life <= span)]
