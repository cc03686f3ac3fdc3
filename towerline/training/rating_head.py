"""The rating head: regressions of what user and item biases leave of the ratings on the vectors of the towers.

The predicted rating of a user u and an item i is

    biases(u, i) + a_u . v_i + u_u . b_i

where u_u and v_i are the unit vectors of the towers. a_u is the ridge regression of a user's ratings on the vectors of
the user's items, and b_i that of an item's ratings on the vectors of its users. The towers know from all choices which
items are alike, so that a user with few ratings has a useful regression, too.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from towerline.metrics.ratings import RatingModel
from towerline.pipeline import row_arrays
from towerline.training.history import History
from towerline.training.spectral import Vectors

# Chosen on the validation sets of MovieLens 100k and MovieTweetings.
USER_REGULARIZATION, ITEM_REGULARIZATION = 5.0, 10.0
# More steps change the predictions by less than 0.1 % of their error.
STEPS = 10
# Number of factors of a user and an item that are kept; all 2 d of them predict hardly better.
MAX_FACTORS = 32
# Factors whose singular value is smaller, relative to the largest, are rounding errors.
SMALLEST = 1e-5
# Number of rows whose vectors are gathered at once: few enough for the cache of a core.
BLOCK_ROWS = 1 << 12


class RatingHead(NamedTuple):
    """The regressions, and the vectors that they were fitted on.

    Attributes:
      vectors: u and v, the unit vectors of the towers.
      weights: a of the users and b of the items, in the unit of the ratings; zeros for an id without rows.
    """

    vectors: Vectors
    weights: Vectors

    def rating_model(self, biases: RatingModel) -> RatingModel:
        """The biases with the factors of the head: the inner product of these is a_u . v_i + u_u . b_i.

        The matrix of all these inner products is (a u)(v b)^T. Its truncated singular value decomposition comes from
        the triangles of two QR decompositions, so that the matrix itself is never there.
        """
        users = np.concatenate([self.weights.users, self.vectors.users], axis=1)
        items = np.concatenate([self.vectors.items, self.weights.items], axis=1)
        with threadpool_limits(limits=1, user_api="blas"):
            of_users, of_items = _triangle(users), _triangle(items)
            left, values, right = np.linalg.svd(of_users @ of_items.T)
            kept = np.flatnonzero(values[:MAX_FACTORS] > SMALLEST * values[0])
            roots = np.sqrt(values[kept])
            # Products with zero rows are zeros, so that an id without rows has the biases alone.
            user_factors = users @ (of_items.T @ right[kept].T / roots)
            item_factors = items @ (of_users.T @ left[:, kept] / roots)
        return biases._replace(user_factors=user_factors, item_factors=item_factors)


class Regressions:
    """The ratings of a fit, ordered by user, less the biases."""

    def __init__(self, history: History, biases: RatingModel) -> None:
        """
        Args:
          history: the rows, with ratings.
          biases: user and item biases.
        """
        self.seen, self.item = history.seen, history.seen.items
        self.user = history.aligned(history.rows.user_index)
        rating: NDArray[np.float32] = history.aligned(np.asarray(history.rows.rating, np.float32))
        self.rest: NDArray[np.float32] = row_arrays.filled(
            rating, np.float32, lambda block: rating[block] - biases.predict(self.user[block], self.item[block])
        )

    def fit(self, vectors: Vectors) -> RatingHead:
        """The head of the least sum of squares, both regressions at once.

        It minimises sum of (rest - a_u . v_i - u_u . b_i)^2 + USER_REGULARIZATION * sum of |a_u|^2 +
        ITEM_REGULARIZATION * sum of |b_i|^2 by conjugate gradients (Hestenes and Stiefel 1952), each step of which
        costs one pass over the rows.

        Args:
          vectors: unit vectors of users and items, zeros for ids without rows.
        """
        regularization = np.full((len(vectors.users) + len(vectors.items), 1), USER_REGULARIZATION, np.float32)
        regularization[len(vectors.users) :] = ITEM_REGULARIZATION
        left = self._sums(self.rest, vectors)
        weights, direction, square = np.zeros_like(left), left, _inner(left, left)
        for _ in range(STEPS):
            if square == 0:
                break
            image: NDArray[np.float32] = (
                self._sums(self._products(direction, vectors), vectors) + regularization * direction
            )
            length = np.float32(square / _inner(direction, image))
            weights = weights + length * direction
            left = left - length * image
            before, square = square, _inner(left, left)
            direction = left + np.float32(square / before) * direction
        return RatingHead(vectors, Vectors(*np.split(weights, [len(vectors.users)])))

    def _products(self, weights: NDArray[np.float32], vectors: Vectors) -> NDArray[np.float32]:
        """[rows] float32 a_u . v_i + u_u . b_i."""
        of_users, of_items = np.split(weights, [len(vectors.users)])
        products: NDArray[np.float32] = row_arrays.empty_like(self.user, np.float32)
        for start in range(0, len(products), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            user, item = self.user[block], self.item[block]
            products[block] = np.einsum("rd,rd->r", of_users[user], vectors.items[item])
            products[block] += np.einsum("rd,rd->r", vectors.users[user], of_items[item])
        return products

    def _sums(self, values: NDArray[np.float32], vectors: Vectors) -> NDArray[np.float32]:
        """[users + items, d] float32 sums of values times v over a user's rows, and times u over an item's rows."""
        matrix = self.seen.matrix(len(vectors.items), values)
        sums: NDArray[np.float32] = np.concatenate([matrix @ vectors.items, matrix.T @ vectors.users])
        return sums


def _triangle(factors: NDArray[np.float32]) -> NDArray[np.float32]:
    """R of the QR decomposition of factors."""
    triangle: NDArray[np.float32] = np.linalg.qr(factors, mode="r")  # type: ignore[assignment]
    return triangle


def _inner(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float((first * second).sum(dtype=np.float64))
