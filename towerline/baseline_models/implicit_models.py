"""Item-kNN and iALS, by the library implicit, as scorers that the code which ranks the model ranks too."""

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse

from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems

# The ranking of iALS is best after a few iterations, and then declines.
IALS_ITERATIONS = 8
# Measured peaks of implicit's item-kNN, for each item and neighbour, and of its iALS, for each number of an embedding.
ITEM_KNN_BYTES = 44
IALS_BYTES = 8


def item_knn(history: UserItems, num_items: int, neighbours: int) -> "sparse.csr_array":
    """Cosines between the user sets of items, for each item's nearest ones (Deshpande and Karypis 2004), by implicit.

    weight[j, i] = |users of j and i| / sqrt(|users of j| |users of i|) for the i nearest to j, else 0

    Args:
      history: the items of every user in the training set.
      num_items: size of the vocabulary, without the unknown item.
      neighbours: number of items that each item has weights towards, without itself.

    Returns:
      [num_items + 1, num_items + 1] float32.
    """
    recommender = CosineRecommender(K=neighbours + 1, num_threads=1)
    recommender.fit(sparse.csr_matrix(history.matrix(num_items + 1)), show_progress=False)
    weights = sparse.csr_array(recommender.similarity, dtype=np.float32)
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights.sort_indices()
    return weights


def ials(
    history: UserItems, num_items: int, dimension: int, alpha: float, regularization: float, seed: int
) -> Embeddings:
    """Alternating least squares with all unseen items as weak negatives (Hu, Koren and Volinsky 2008), by implicit.

    Args:
      history, num_items: as in item_knn().
      dimension: of the embeddings.
      alpha: weight of a seen item relative to an unseen one.
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
    model.fit(sparse.csr_matrix(history.matrix(num_items + 1)), show_progress=False)
    return Embeddings(np.asarray(model.user_factors, np.float32), np.asarray(model.item_factors, np.float32))
