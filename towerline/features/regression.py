"""Regressions of learned vectors, and of numbers of rows, on encoded features."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import xlogy
from sklearn.linear_model import PoissonRegressor, Ridge
from threadpoolctl import threadpool_limits

from towerline.features.declarations import Features
from towerline.features.encoder import Columns, encoded
from towerline.features.encodings import Encoding
from towerline.features.learning import learned_encodings

# Penalties to choose from, the strongest first.
VECTOR_PENALTIES = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
COUNT_PENALTIES = (1.0, 0.1, 0.01, 0.001)
# A relative change of the ridge regression below which it ends.
VECTOR_TOLERANCE = 1e-3
COUNT_STEPS = 200
# Share of the known ids on which the penalties are chosen, and the least number of them; of fewer ids the strongest
# penalties are taken.
HELD_OUT_SHARE, LEAST_HELD_OUT = 0.2, 5

# An intercept and the coefficients of the columns, [1 + width, outputs] float64.
Coefficients = NDArray[np.float64]


class Penalties(NamedTuple):
    """The penalties of regressions on the same features.

    Attributes:
      vectors: of the ridge regression of the vectors.
      counts: of the Poisson regression of each of the counts.
    """

    vectors: float
    counts: list[float]


class Regressions(NamedTuple):
    """What an encoder is made of, besides the weights of the prior.

    Attributes:
      encodings: of the columns.
      vectors: [1 + width, d] float64 coefficients.
      log_counts: [1 + width] float64 coefficients for each of the counts.
      penalties: those chosen.
    """

    encodings: Sequence[Encoding]
    vectors: Coefficients
    log_counts: list[NDArray[np.float64]]
    penalties: Penalties


def regressions(
    features: Features,
    columns: Columns,
    vectors: NDArray[np.float32],
    counts: Sequence[NDArray[np.float64]],
    seed: int,
) -> Regressions:
    """The regressions on the declared features of the known ids.

    Args:
      features: the declarations.
      columns: texts of the known ids, at least one; holds all declared columns.
      vectors: [known, d] float32 learned unit vectors.
      counts: [known] float64 numbers of rows, above 0; any number of such arrays.
      seed: of the choice of the ids on which the penalties are chosen.
    """
    encodings = learned_encodings(features, columns)
    matrix = encoded(encodings, columns, len(vectors))
    held_out = held_out_ids(len(vectors), seed)
    with threadpool_limits(limits=1, user_api="blas"):
        doubles = vectors.astype(np.float64)
        penalties = chosen_penalties(matrix, doubles, counts, held_out)
        of_vectors = ridge(matrix, doubles, penalties.vectors)
        of_counts = [
            poisson(matrix, numbers, penalty)[:, 0] for numbers, penalty in zip(counts, penalties.counts, strict=True)
        ]
    return Regressions(encodings, of_vectors, of_counts, penalties)


def held_out_ids(num_known: int, seed: int) -> NDArray[np.bool_]:
    """[num_known] bool: the ids on which the penalties are chosen; none if they are too few."""
    chosen: NDArray[np.bool_] = np.random.default_rng(seed).random(num_known) < HELD_OUT_SHARE
    return chosen if chosen.sum() >= LEAST_HELD_OUT else np.zeros(num_known, np.bool_)


def chosen_penalties(
    matrix: "sparse.csr_array",
    vectors: NDArray[np.float64],
    counts: Sequence[NDArray[np.float64]],
    held_out: NDArray[np.bool_],
) -> Penalties:
    """The vector_penalty(), and the count_penalty() of each of the counts; their arguments."""
    of_counts = [count_penalty(matrix, numbers, held_out) for numbers in counts]
    return Penalties(vector_penalty(matrix, vectors, held_out), of_counts)


def vector_penalty(matrix: "sparse.csr_array", vectors: NDArray[np.float64], held_out: NDArray[np.bool_]) -> float:
    """The penalty of the ridge regression with the least squared error on held-out ids.

    Args:
      matrix: [ids, width] encoded features.
      vectors: [ids, d].
      held_out: [ids] bool; the others are fitted.
    """

    def error(penalty: float) -> float:
        coefficients = ridge(matrix[~held_out], vectors[~held_out], penalty)
        return float(((vectors[held_out] - predicted(coefficients, matrix[held_out])) ** 2).sum())

    return best_penalty(error, VECTOR_PENALTIES, held_out)


def count_penalty(matrix: "sparse.csr_array", counts: NDArray[np.float64], held_out: NDArray[np.bool_]) -> float:
    """The penalty of the Poisson regression with the least deviance on held-out ids; as vector_penalty().

    Args:
      matrix, held_out: as of vector_penalty().
      counts: [ids] above 0.
    """

    def error(penalty: float) -> float:
        coefficients = poisson(matrix[~held_out], counts[~held_out], penalty)
        return deviance(counts[held_out], predicted(coefficients, matrix[held_out])[:, 0])

    return best_penalty(error, COUNT_PENALTIES, held_out)


def predicted(coefficients: Coefficients, matrix: "sparse.csr_array") -> NDArray[np.float64]:
    """[ids, outputs] float64 of encoded features."""
    outputs: NDArray[np.float64] = coefficients[0] + matrix @ coefficients[1:]
    return outputs


def deviance(counts: NDArray[np.float64], logarithms: NDArray[np.float64]) -> float:
    """Half the Poisson deviance of [ids] counts from the exponentials of [ids] logarithms."""
    return float((xlogy(counts, counts) - counts * logarithms - counts + np.exp(logarithms)).sum())


def best_penalty(error: Callable[[float], float], penalties: Sequence[float], held_out: NDArray[np.bool_]) -> float:
    """The penalty of the least error; a weaker one is not tried after one that is worse than the one before it."""
    best, least = penalties[0], np.inf
    for penalty in penalties if held_out.any() else ():
        value = error(penalty)
        if value > least:
            break
        best, least = penalty, value
    return best


def ridge(matrix: "sparse.csr_array", vectors: NDArray[np.float64], penalty: float) -> Coefficients:
    """The ridge regression of [ids, d] vectors on [ids, width] encoded features; the intercept has no penalty."""
    if not matrix.shape[1]:
        mean: Coefficients = vectors.mean(axis=0, keepdims=True)
        return mean
    model = Ridge(alpha=penalty, solver="sparse_cg", tol=VECTOR_TOLERANCE).fit(sparse.csr_matrix(matrix), vectors)
    return np.concatenate([model.intercept_[None], model.coef_.T])


def poisson(matrix: "sparse.csr_array", counts: NDArray[np.float64], penalty: float) -> Coefficients:
    """[1 + width, 1]: the Poisson regression of [ids] counts above 0; the intercept has no penalty."""
    mean = counts.mean()
    if not matrix.shape[1]:
        return np.array([[np.log(mean)]])
    # The penalty of scikit-learn is relative to the mean of the rows; so are the counts here, whatever their unit.
    model = PoissonRegressor(alpha=penalty, max_iter=COUNT_STEPS).fit(sparse.csr_matrix(matrix), counts / mean)
    return np.concatenate([[model.intercept_ + np.log(mean)], model.coef_])[:, None]
