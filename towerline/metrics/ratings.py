"""Predicted ratings from biases and factors, and their errors."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays
from towerline.ranking.scorers import KIND, Kind

# Alternating least squares of the biases is at its minimum long before.
BIAS_SWEEPS = 30
# Regularizations that are compared on the validation set; the first one is used if there is no validation set.
BIAS_REGULARIZATIONS = (5.0, 0.5, 2.0, 20.0)


class RatingModel(NamedTuple):
    """rating(u, i) = offset + user_bias[u] + item_bias[i] + user_factors[u] . item_factors[i].

    The biased matrix factorisation of Koren, Bell and Volinsky (2009). An id without training rows has a bias of 0 and
    factors of 0, so a pair of two of them is predicted the offset, the mean of the training ratings.

    Attributes:
      offset: [] float32, in the unit of the ratings, as the biases.
      user_bias: [num_users + 1] float32.
      item_bias: [num_items + 1] float32.
      user_factors: [num_users + 1, factors] float32; no factors for biases alone.
      item_factors: [num_items + 1, factors] float32.
    """

    offset: NDArray[np.float32]
    user_bias: NDArray[np.float32]
    item_bias: NDArray[np.float32]
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]

    def predict(self, user_index: NDArray[np.int32], item_index: NDArray[np.int32]) -> NDArray[np.float32]:
        """[rows] float32 ratings of the [rows] int32 pairs; not clipped to the range of the data."""

        def of_block(block: slice) -> NDArray[np.float32]:
            user, item = user_index[block], item_index[block]
            biases: NDArray[np.float32] = self.offset + self.user_bias[user] + self.item_bias[item]
            biases += np.einsum("rf,rf->r", self.user_factors[user], self.item_factors[item])
            return biases

        return row_arrays.filled(user_index, np.float32, of_block)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that the file of a baseline keeps: its kind and its fields."""
        return {KIND: np.array(Kind.RATING_MODEL.value), **self._asdict()}

    @classmethod
    def of_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "RatingModel":
        """The model that arrays() made the arrays of."""
        return cls(**{name: array for name, array in arrays.items() if name != KIND})


def mean_rating(train: Interactions) -> RatingModel:
    """The mean training rating for every pair."""
    nothing = (np.zeros(train.num_users + 1), np.zeros(train.num_items + 1))
    return _rating_model(_ratings(train).mean(dtype=np.float64), *nothing)


def rating_biases(train: Interactions, regularization: float) -> RatingModel:
    """The mean training rating, and a bias for each user and item.

    The biases minimise sum of (rating - mean - user bias - item bias)^2 + regularization * (sum of squared biases), the
    baseline predictor of Koren, Bell and Volinsky (2009), by alternating least squares.

    Args:
      train: the training set, with ratings.
      regularization: above 0; as many ratings of the mean as each user and item is given.
    """
    rating = _ratings(train)
    mean = rating.mean(dtype=np.float64)
    biases = [np.zeros(train.num_users + 1), np.zeros(train.num_items + 1)]
    index = [train.user_index, train.item_index]
    counts = [row_arrays.sums(index[side], len(biases[side])) for side in (0, 1)]

    def left(block: slice, other: int) -> NDArray[np.float64]:
        rest: NDArray[np.float64] = rating[block] - mean - biases[other][index[other][block]]
        return rest

    for _ in range(BIAS_SWEEPS):
        for side, other in ((1, 0), (0, 1)):
            sums = row_arrays.sums(index[side], len(biases[side]), partial(left, other=other))
            biases[side] = sums / (counts[side] + regularization)
    return _rating_model(mean, *biases)


class BiasTrial(NamedTuple):
    """Biases and how well they predict the validation set.

    Attributes:
      regularization: that they were fitted with.
      model: the biases.
      rmse: on the validation set; None where there is none.
    """

    regularization: float
    model: RatingModel
    rmse: float | None


def bias_trials(train: Interactions, validation: Interactions) -> tuple[list[BiasTrial], BiasTrial]:
    """rating_biases() with every one of BIAS_REGULARIZATIONS, and the best; with the first alone without validation.

    Args:
      train, validation: the sets of the split, with ratings; the latter may be empty.
    """
    trials = []
    for regularization in BIAS_REGULARIZATIONS if len(validation.user_index) else BIAS_REGULARIZATIONS[:1]:
        model = rating_biases(train, regularization)
        predicted = model.predict(validation.user_index, validation.item_index)
        rmse = root_mean_squared_error(predicted, _ratings(validation)) if len(predicted) else None
        trials.append(BiasTrial(regularization, model, rmse))
    return trials, min(trials, key=lambda trial: trial.rmse or 0.0)


def _ratings(train: Interactions) -> NDArray[np.float32]:
    if train.rating is None:
        raise ValueError("expected ratings in the training set, found none")
    return train.rating


def _rating_model(mean: np.float64, user_bias: NDArray[np.float64], item_bias: NDArray[np.float64]) -> RatingModel:
    numbers = mean, user_bias, item_bias, np.zeros((len(user_bias), 0)), np.zeros((len(item_bias), 0))
    return RatingModel(*(np.asarray(number, np.float32) for number in numbers))


def root_mean_squared_error(predicted: NDArray[np.float32], rating: NDArray[np.float32]) -> float:
    """sqrt(mean((predicted - rating)^2)) over all rows, in the unit of the ratings."""
    squares = row_arrays.filled(
        predicted, np.float64, lambda block: (predicted[block].astype(np.float64) - rating[block]) ** 2
    )
    return float(np.sqrt(np.mean(squares)))


def mean_absolute_error(predicted: NDArray[np.float32], rating: NDArray[np.float32]) -> float:
    """mean(|predicted - rating|) over all rows, in the unit of the ratings."""
    return float(np.mean(np.abs(predicted.astype(np.float64) - rating)))
