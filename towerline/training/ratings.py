"""Standardization of ratings, so that neither learning rate nor loss weight depends on their scale."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays


class Standard(NamedTuple):
    """Mean and standard deviation of the training ratings."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, rating: NDArray[np.float32] | None) -> "Standard":
        """Measures [rows] float32 ratings; 0 and 1 if there are none, a deviation of 1 if they are all equal."""
        if rating is None:
            return cls(0.0, 1.0)
        mean = rating.mean(dtype=np.float64)
        squares = row_arrays.filled(rating, np.float64, lambda block: np.square(rating[block] - mean))
        deviation = float(np.sqrt(squares.mean()))
        return cls(float(mean), deviation if deviation > 0 else 1.0)

    def standardized(self, rows: Interactions) -> NDArray[np.float32] | None:
        """[rows] float32 ratings in standard deviations from the mean; None if the rows have none."""
        rating = rows.rating
        if rating is None:
            return None
        return row_arrays.filled(rating, np.float32, lambda block: (rating[block] - self.mean) / self.deviation)
