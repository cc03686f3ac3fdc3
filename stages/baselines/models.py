"""Baselines by popularity, by item-kNN and by iALS, as scorers that the code which ranks the model ranks too."""

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems

# The ranking of iALS is best after a few iterations, and then declines.
IALS_ITERATIONS = 8
# Measured peaks of implicit's item-kNN, for each item and neighbour, and of its iALS, for each number of an embedding.
ITEM_KNN_BYTES = 44
IALS_BYTES = 8


# Rows of the types' overall shares that are added to a user's, so that no type is without a share.
TYPE_PSEUDO_ROWS = 1.0


def most_popular_of_type(rows: Interactions, item_type: NDArray[np.int64], num_types: int) -> Embeddings:
    """Popularity within an item's type, times the share of that type in the user's rows.

    The shares are smoothed: a user without rows has those of all rows together, and a type that a user has not
    interacted with is ranked by popularity.

    Args:
      rows: the rows to count.
      item_type: [num_items + 1] type of each item, from 0.
      num_types: number of types.

    Returns:
      [num_users + 1, num_types] shares of the user's rows, and [num_items + 1, num_types] with, in the column of the
      item's type, its share of that type's rows.
    """
    kind = item_type[rows.item_index]
    ones = np.ones(len(kind), np.float32)
    shape = (rows.num_users + 1, num_types)
    of_user = sparse.coo_array((ones, (rows.user_index, kind)), shape).toarray()
    of_type = np.bincount(kind, minlength=num_types)
    of_user += (TYPE_PSEUDO_ROWS * of_type / max(len(kind), 1)).astype(np.float32)
    of_user /= of_user.sum(axis=1, keepdims=True)
    counts = np.bincount(rows.item_index, minlength=rows.num_items + 1)
    of_item = np.zeros((rows.num_items + 1, num_types))
    of_item[np.arange(len(counts)), item_type] = counts / np.maximum(of_type, 1)[item_type]
    return Embeddings(of_user, of_item.astype(np.float32))


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
