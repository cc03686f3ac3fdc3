"""The settings that the baselines try, in the order in which they are tried.

Those of item-kNN, EASE and iALS are the best ones on the validation sets of MovieLens, MovieTweetings, Douban and
Gowalla, the most general first.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.baseline_models.ease import ItemClasses, ease, ease_bytes
from towerline.baseline_models.implicit_models import ials, ials_bytes, item_knn, item_knn_bytes
from towerline.baseline_models.selection import Candidate
from towerline.baseline_models.type_popularity import most_popular_of_type
from towerline.feedback.strengths import Feedback, with_strengths
from towerline.ranking.scorers import Embeddings, ItemWeights, by_popularity
from towerline.ranking.user_items import UserItems, interaction_matrix

NEIGHBOURS = (100, 1000, 20, 300, 50, 500)
EASE_REGULARIZATIONS = (200, 1000, 50, 500, 100, 2000)
# Bytes of a scorer by popularity, for each user and item.
POPULARITY_BYTES = 16
# Dimension, alpha, regularization.
IALS_SETTINGS = ((64, 5, 40), (128, 20, 160), (128, 20, 40), (64, 1, 10), (128, 5, 40), (128, 80, 40))


class Counted:
    """The rows of a fit in the way in which they count, computed when a fit asks for them.

    Attributes:
      num_users, num_items: sizes of the vocabularies, the unknown id at index 0 not counted.
      num_rows: number of rows, those that do not count among them.
    """

    def __init__(self, rows: Interactions, way: Feedback) -> None:
        self._rows, self._way = rows, way
        self.num_users, self.num_items, self.num_rows = rows.num_users, rows.num_items, len(rows.user_index)

    def rows(self) -> Interactions:
        """The rows that count, with their strengths."""
        return with_strengths(self._rows, self._way).counted()


# The matrix of counted rows. Item-kNN and iALS share it; with several ways of counting, only the last one is kept.
Matrix = Callable[[Counted], "sparse.csr_array"]


def shared_matrix() -> Matrix:
    """A function that makes the interaction_matrix() of counted rows, and keeps the last one."""
    return lru_cache(maxsize=1)(lambda counted: interaction_matrix(counted.rows()))


def popular_candidates(counted: Counted, lives: list[float | None]) -> list[Candidate]:
    """Candidates of popularity with a half-life.

    Args:
      counted: the rows to count.
      lives: half-lives in days; None for the popularity of all times.
    """

    def fit(life: float | None) -> Embeddings:
        return by_popularity(counted.rows(), life)

    num_bytes = POPULARITY_BYTES * (counted.num_users + counted.num_items)
    return [Candidate({"half_life_days": life}, num_bytes, partial(fit, life)) for life in lives]


def popular_of_type_candidates(counted: Counted, item_type: NDArray[np.str_]) -> list[Candidate]:
    """The one candidate of popularity within types, or none where there is one type.

    Args:
      counted: the rows to count.
      item_type: [num_items + 1] text.
    """
    types, type_index = np.unique(item_type[1:], return_inverse=True)
    if len(types) < 2:
        return []
    # The unknown item has the type of item 1.
    type_index = np.concatenate([type_index[:1], type_index])
    num_bytes = POPULARITY_BYTES * len(types) * (counted.num_users + counted.num_items)
    return [Candidate({}, num_bytes, lambda: most_popular_of_type(counted.rows(), type_index, len(types)))]


def item_knn_candidates(counted: Counted, matrix: Matrix, history: UserItems) -> list[Candidate]:
    """Candidates of item-kNN.

    Args:
      counted: the rows to fit.
      matrix: what makes their matrix.
      history: the items of every user by which items are ranked.
    """

    def fit(neighbours: int) -> ItemWeights:
        return ItemWeights(item_knn(matrix(counted), neighbours), history)

    return [
        Candidate({"neighbours": k}, item_knn_bytes(k, counted.num_items, counted.num_rows), partial(fit, k))
        for k in NEIGHBOURS
    ]


def ease_candidates(counted: Counted, history: UserItems) -> list[Candidate]:
    """Candidates of EASE, for which all rows count alike; arguments as in item_knn_candidates()."""

    def classes() -> ItemClasses:
        return ItemClasses.of(UserItems.of_interactions(counted.rows()), counted.num_items)

    def fit(regularization: float) -> ItemWeights:
        return ItemWeights(ease(classes(), regularization), history)

    num_bytes = ease_bytes(classes())
    return [Candidate({"regularization": number}, num_bytes, partial(fit, number)) for number in EASE_REGULARIZATIONS]


def ials_candidates(counted: Counted, matrix: Matrix, seed: int) -> list[Candidate]:
    """Candidates of iALS; arguments as in item_knn_candidates() and ials()."""

    def fit(dimension: int, alpha: float, regularization: float) -> Embeddings:
        return ials(matrix(counted), dimension, alpha, regularization, seed)

    return [
        Candidate(
            {"dimension": dimension, "alpha": alpha, "regularization": regularization},
            ials_bytes(dimension, counted.num_users + counted.num_items, counted.num_rows),
            partial(fit, dimension, alpha, regularization),
        )
        for dimension, alpha, regularization in IALS_SETTINGS
    ]
