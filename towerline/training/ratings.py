"""Standardization of ratings, so that neither learning rate nor loss weight depends on their scale."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions


class Standard(NamedTuple):
    """Mean and standard deviation of the training ratings."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, rating: NDArray[np.float32] | None) -> "Standard":
        """Measures [rows] float32 ratings; 0 and 1 if there are none, a deviation of 1 if they are all equal."""
        if rating is None:
            return cls(0.0, 1.0)
        deviation = float(rating.std(dtype=np.float64))
        return cls(float(rating.mean(dtype=np.float64)), deviation if deviation > 0 else 1.0)

    def standardized(self, rows: Interactions) -> NDArray[np.float32]:
        """[rows] float32 ratings in standard deviations from the mean; zeros if the rows have none."""
        if rows.rating is None:
            return np.zeros(len(rows.user_index), np.float32)
        return ((rows.rating - self.mean) / self.deviation).astype(np.float32)
