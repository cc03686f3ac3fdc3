"""Predicted ratings from embeddings and biases, and their errors."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RatingModel(NamedTuple):
    """rating(u, i) = offset + user_bias[u] + item_bias[i] + scale * cosine(u, i).

    The biased matrix factorisation of Koren, Bell and Volinsky (2009). An id without training rows has a bias of 0 and
    a zero vector, so a pair of two of them is predicted the offset, the mean of the training ratings.

    Attributes:
      offset: [] float32, in the unit of the ratings, as all others.
      scale: [] float32.
      user_bias: [num_users + 1] float32.
      item_bias: [num_items + 1] float32.
    """

    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    user_bias: NDArray[np.float32]
    item_bias: NDArray[np.float32]

    def predict(
        self,
        user_index: NDArray[np.int32],
        item_index: NDArray[np.int32],
        user_embeddings: NDArray[np.float32],
        item_embeddings: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """[rows] float32 ratings of the pairs; not clipped to the range of the data.

        Args:
          user_index, item_index: [rows] int32.
          user_embeddings, item_embeddings: [num_users + 1, d + 1] and [num_items + 1, d + 1] float32 as train writes
            them: unit vectors, and a last dimension that has no part in the cosine.
        """
        users, items = user_embeddings[user_index, :-1], item_embeddings[item_index, :-1]
        cosine = np.einsum("rd,rd->r", users, items)
        biases = self.offset + self.user_bias[user_index] + self.item_bias[item_index]
        predicted: NDArray[np.float32] = biases + self.scale * cosine
        return predicted


def root_mean_squared_error(predicted: NDArray[np.float32], rating: NDArray[np.float32]) -> float:
    """sqrt(mean((predicted - rating)^2)) over all rows, in the unit of the ratings."""
    return float(np.sqrt(np.mean((predicted.astype(np.float64) - rating) ** 2)))


def mean_absolute_error(predicted: NDArray[np.float32], rating: NDArray[np.float32]) -> float:
    """mean(|predicted - rating|) over all rows, in the unit of the ratings."""
    return float(np.mean(np.abs(predicted.astype(np.float64) - rating)))
