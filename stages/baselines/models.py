"""What a model has to beat, as scorers: the code that ranks the model ranks them too."""

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from numpy.typing import NDArray
from scipy import linalg, sparse

from towerline.artifacts.split import Interactions
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems

# Its ranking is best after a few iterations, and then declines.
IALS_ITERATIONS = 8


def most_popular_of_type(train: Interactions, item_type: NDArray[np.int64], num_types: int) -> Embeddings:
    """Popularity within an item's type, times how much of that type the user's training rows hold.

    Args:
      train: the train part.
      item_type: [num_items + 1] type of each item, from 0.
      num_types: how many there are.

    Returns:
      [num_users + 1, num_types] shares of the user's rows, and [num_items + 1, num_types] with, in the column of the
      item's type, its share of that type's rows.
    """
    kind = item_type[train.item_index]
    rows = np.bincount(train.user_index * num_types + kind, minlength=(train.num_users + 1) * num_types)
    of_user = rows.reshape(-1, num_types) / np.maximum(rows.reshape(-1, num_types).sum(axis=1, keepdims=True), 1)
    counts = np.bincount(train.item_index, minlength=train.num_items + 1)
    of_item = np.zeros((train.num_items + 1, num_types))
    of_item[np.arange(len(counts)), item_type] = (
        counts / np.maximum(np.bincount(kind, minlength=num_types), 1)[item_type]
    )
    return Embeddings(of_user.astype(np.float32), of_item.astype(np.float32))


def item_knn(history: UserItems, num_items: int, neighbours: int) -> "sparse.csr_array":
    """Cosines between items as sets of users, towards each item's nearest ones (Deshpande and Karypis 2004).

    weight[j, i] = |users of j and i| / sqrt(|users of j| |users of i|) for the i nearest to j, else 0

    Args:
      history: the items of every user in the train part.
      num_items: size of the vocabulary, the unknown id not counted.
      neighbours: how many items each item has weights towards, itself not counted.

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


def ease(history: UserItems, num_items: int, regularization: float) -> NDArray[np.float32]:
    """EASE, the linear autoencoder that may not use an item to predict itself (Steck 2019).

    weights = I - P diag(1 / diag P) with P = (X^T X + regularization I)^-1 and X users x items; their diagonal is 0.

    Args:
      history, num_items: as in item_knn().
      regularization: above 0.

    Returns:
      [num_items + 1, num_items + 1] float32; three times that is needed on the way.
    """
    matrix = history.matrix(num_items + 1)
    gram = np.asfortranarray((matrix.T @ matrix).toarray())
    gram[np.diag_indices_from(gram)] += np.float32(regularization)
    factor, failed = linalg.lapack.spotrf(gram, lower=True, overwrite_a=True)
    inverse, broken = linalg.lapack.spotri(factor, lower=True, overwrite_c=True)
    if failed or broken:
        raise ValueError(f"expected a positive regularization, found {regularization}")
    # LAPACK leaves the upper triangle as it was.
    weights: NDArray[np.float32] = np.tril(inverse, -1)
    weights += weights.T
    weights /= -np.diag(inverse)
    return weights


def ials(
    history: UserItems, num_items: int, dimension: int, alpha: float, regularization: float, seed: int
) -> Embeddings:
    """Alternating least squares with all unseen items as weak negatives (Hu, Koren and Volinsky 2008), by implicit.

    Args:
      history, num_items: as in item_knn().
      dimension: of the embeddings.
      alpha: how much more an item of the user weighs than one that is not.
      regularization: of the embeddings' squared lengths.
      seed: of the start.

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
