"""The two pieces of an embedding: the direction, whose inner products are cosines, and the terms of the prior."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Dimensions at the end of an embedding whose inner product is the popularity prior of a user and an item: a term whose
# weight grows with the user's history, and, as the last dimension, a term for all users.
PRIOR_DIMENSIONS = 2


def directions(embeddings: NDArray[Any]) -> NDArray[Any]:
    """[rows, d] unit vectors, or zero vectors, of [rows, d + PRIOR_DIMENSIONS] embeddings; a view."""
    return embeddings[:, :-PRIOR_DIMENSIONS]


def prior_terms(embeddings: NDArray[Any]) -> NDArray[Any]:
    """[rows, PRIOR_DIMENSIONS] terms of the prior of [rows, d + PRIOR_DIMENSIONS] embeddings; a view."""
    return embeddings[:, -PRIOR_DIMENSIONS:]


def with_prior(vectors: NDArray[np.float32], terms: NDArray[np.float32]) -> NDArray[np.float32]:
    """[rows, d + PRIOR_DIMENSIONS] float32 embeddings of the [rows, d] vectors and their terms of the prior."""
    return np.concatenate([vectors, terms], axis=1).astype(np.float32, copy=False)
