"""How much each declared feature explains of ids that the regressions have not seen."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from towerline.artifacts.train import ALL_FEATURES, FeatureRow
from towerline.features import tokens
from towerline.features.declarations import Features
from towerline.features.encoder import Columns, side_by_side
from towerline.features.learning import learned_encodings
from towerline.features.regression import (
    Penalties,
    chosen_penalties,
    deviance,
    held_out_ids,
    poisson,
    predicted,
    ridge,
)


def contributions(
    ids: str,
    features: Features,
    columns: Columns,
    vectors: NDArray[np.float32],
    counts: NDArray[np.float64] | None,
    penalties: Penalties,
    seed: int,
) -> list[FeatureRow]:
    """The explained shares with all features, then without each one; none if too few ids can be held out.

    The penalties of the regressions are chosen on the held-out ids, so that the shares are slightly too high.

    Args:
      ids: users or items.
      features: the declarations.
      columns: texts of the known ids.
      vectors: [known, d] float32 learned unit vectors.
      counts: [known] float64 numbers of rows; None to leave them out.
      penalties: those that regressions() chose for all features, of the same ids, vectors, counts and seed.
      seed: of the choice of the held-out ids.
    """
    held_out = held_out_ids(len(vectors), seed)
    if not held_out.any():
        return []
    matrices = {
        encoding.column: encoding.matrix(columns[encoding.column]) for encoding in learned_encodings(features, columns)
    }
    doubles = vectors.astype(np.float64)
    found = []
    with threadpool_limits(limits=1, user_api="blas"):
        for left_out in [ALL_FEATURES, *matrices]:
            used = [matrix for name, matrix in matrices.items() if name != left_out]
            matrix = side_by_side(used, len(vectors))
            named = list(matrices) if left_out == ALL_FEATURES else [left_out]
            if left_out == ALL_FEATURES:
                chosen = penalties
            else:
                chosen = chosen_penalties(matrix, doubles, [] if counts is None else [counts], held_out)
            of_counts = None if counts is None else explained_counts(matrix, counts, held_out, chosen.counts[0])
            of_vectors = explained_vectors(matrix, doubles, held_out, chosen.vectors)
            found.append(FeatureRow(ids, left_out, _known_share(named, columns), of_vectors, of_counts))
    return found


def explained_vectors(
    matrix: "sparse.csr_array", vectors: NDArray[np.float64], held_out: NDArray[np.bool_], penalty: float
) -> float:
    """The explained share of the variance of the vectors of held-out ids; arguments as of vector_penalty()."""
    coefficients = ridge(matrix[~held_out], vectors[~held_out], penalty)
    errors = ((vectors[held_out] - predicted(coefficients, matrix[held_out])) ** 2).sum()
    return float(1 - errors / ((vectors[held_out] - vectors[~held_out].mean(axis=0)) ** 2).sum())


def explained_counts(
    matrix: "sparse.csr_array", counts: NDArray[np.float64], held_out: NDArray[np.bool_], penalty: float
) -> float:
    """The explained share of the Poisson deviance of the numbers of rows of held-out ids; as explained_vectors()."""
    coefficients = poisson(matrix[~held_out], counts[~held_out], penalty)
    logarithms = predicted(coefficients, matrix[held_out])[:, 0]
    mean = np.full(len(logarithms), np.log(counts[~held_out].mean()))
    return 1 - deviance(counts[held_out], logarithms) / deviance(counts[held_out], mean)


def _known_share(names: Sequence[str], columns: Columns) -> float:
    """The share of ids that have a value of one of the columns."""
    missing = [all(map(tokens.is_missing, texts)) for texts in zip(*(columns[name] for name in names), strict=True)]
    return 1 - sum(missing) / len(missing)
