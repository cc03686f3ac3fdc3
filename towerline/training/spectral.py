"""Initial vectors of the towers: truncated SVD of the user-item matrix."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from towerline.pipeline import row_arrays

POWER_ITERATIONS = 2
# Length of the random part of the rows that replaces singular vectors beyond the rank of the matrix.
NOISE = 0.1


class Vectors(NamedTuple):
    """Unit vectors, or zero vectors, of all ids.

    Attributes:
      users: [num_users + 1, d] float32.
      items: [num_items + 1, d] float32.
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]


def spectral_start(matrix: "sparse.csr_array", dimension: int, seed: int) -> Vectors:
    """User and item vectors from the truncated SVD of the degree-normalised interaction matrix.

    D_u^-1/2 R D_i^-1/2 ~ U S V^T (the spectral view of collaborative filtering, as in GF-CF, Shen et al. 2021), by a
    randomised SVD (Halko, Martinsson and Tropp 2011); user vectors are the rows of U S, item vectors those of V S, each
    of length 1, so that cosines are those of the low-rank approximation.

    Args:
      matrix: [num_users + 1, num_items + 1] float32 strengths of the rows of the training set; not changed.
      dimension: of the vectors; may be above the rank of the matrix.
      seed: of the random projection.

    Returns:
      The vectors; those of ids without interactions are not meaningful.
    """
    matrix = _normalized(matrix)
    rank = min(dimension, min(matrix.shape) - 1)
    # The last bits depend on the number of BLAS threads, and two threads on one core take 13 times as long as one.
    with threadpool_limits(limits=1, user_api="blas"):
        left, strength, right = randomized_svd(
            matrix, rank, n_iter=POWER_ITERATIONS, power_iteration_normalizer="QR", random_state=seed
        )
    random = np.random.default_rng(seed)
    return Vectors(_unit_rows(left * strength, dimension, random), _unit_rows(right.T * strength, dimension, random))


def _normalized(matrix: "sparse.csr_array") -> "sparse.csr_array":
    """The matrix, each number divided by the roots of the sums of its row and of its column."""
    starts, columns, data = matrix.indptr, matrix.indices, matrix.data
    of_columns = _scales(row_arrays.sums(columns, matrix.shape[1], data.__getitem__))
    values = row_arrays.empty_like(data, np.float32)
    for first, last in row_arrays.user_blocks(starts):
        block = slice(starts[first], starts[last])
        rows = np.repeat(np.arange(last - first), np.diff(starts[first : last + 1]))
        of_rows = _scales(row_arrays.sums(rows, last - first, data[block].__getitem__))
        values[block] = data[block] * (of_rows[rows] * of_columns[columns[block]])
    return sparse.csr_array((values, columns, starts), shape=matrix.shape)


def _scales(degrees: NDArray[np.float64]) -> NDArray[np.float32]:
    return (np.where(degrees > 0, degrees, 1.0) ** -0.5).astype(np.float32)


def _unit_rows(vectors: NDArray[np.float32], dimension: int, random: np.random.Generator) -> NDArray[np.float32]:
    rows, rank = vectors.shape
    unit = np.zeros((rows, dimension), np.float32)
    unit[:, :rank] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if rank < dimension:
        unit[:, rank:] = NOISE * (dimension - rank) ** -0.5 * random.standard_normal((rows, dimension - rank))
    return unit
