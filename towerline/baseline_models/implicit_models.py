"""Item-kNN and iALS, by the library implicit, as scorers that the code which ranks the model ranks too."""

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse

from towerline.ranking.scorers import Embeddings

# The ranking of iALS is best after a few iterations, and then declines.
IALS_ITERATIONS = 8
# Measured peaks of implicit's item-kNN, for each item and neighbour, and of its iALS, for each number of an embedding.
ITEM_KNN_BYTES = 44
IALS_BYTES = 8
# The same for each row, where the rows and their copies take more than that.
ITEM_KNN_ROW_BYTES = 52
IALS_ROW_BYTES = 28


def item_knn_bytes(neighbours: int, num_items: int, num_rows: int) -> int:
    """Bytes that item_knn() and its matrix take."""
    return max(ITEM_KNN_BYTES * num_items * (neighbours + 1), ITEM_KNN_ROW_BYTES * num_rows)


def ials_bytes(dimension: int, num_ids: int, num_rows: int) -> int:
    """Bytes that ials() and its matrix take; num_ids is the number of users and items."""
    return max(IALS_BYTES * dimension * num_ids, IALS_ROW_BYTES * num_rows)


def item_knn(matrix: "sparse.csr_array", neighbours: int) -> "sparse.csr_array":
    """Cosines between the columns of items, for each item's nearest ones (Deshpande and Karypis 2004), by implicit.

    Without strengths, weight[j, i] = |users of j and i| / sqrt(|users of j| |users of i|) for the i nearest to j, and 0
    for the others.

    Args:
      matrix: [num_users + 1, num_items + 1] float32 strengths of the rows of the training set.
      neighbours: number of items that each item has weights towards, without itself.

    Returns:
      [num_items + 1, num_items + 1] float32.
    """
    recommender = CosineRecommender(K=neighbours + 1, num_threads=1)
    recommender.fit(sparse.csr_matrix(matrix), show_progress=False)
    weights = sparse.csr_array(recommender.similarity, dtype=np.float32)
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights.sort_indices()
    return weights


def ials(matrix: "sparse.csr_array", dimension: int, alpha: float, regularization: float, seed: int) -> Embeddings:
    """Alternating least squares with all unseen items as weak negatives (Hu, Koren and Volinsky 2008), by implicit.

    Args:
      matrix: as in item_knn().
      dimension: of the embeddings.
      alpha: weight of a seen item of the strength 1 relative to an unseen one.
      regularization: of the embeddings' squared lengths.
      seed: of the initial embeddings.

    Returns:
      [num_users + 1, dimension] and [num_items + 1, dimension].
    """
    model = AlternatingLeastSquares(
        factors=dimension,
        alpha=alpha,
        regularization=regularization,
        iterations=IALS_ITERATIONS,
        num_threads=1,
        random_state=seed,
    )
    model.fit(sparse.csr_matrix(matrix), show_progress=False)
    return Embeddings(np.asarray(model.user_factors, np.float32), np.asarray(model.item_factors, np.float32))
