"""The settings that the baselines try, in the order in which they are tried.

Those of item-kNN, EASE and iALS are the best ones on the validation sets of MovieLens, MovieTweetings, Douban and
Gowalla, the most general first.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.baseline_models.ease import ItemClasses, ease, ease_bytes
from towerline.baseline_models.implicit_models import IALS_BYTES, ITEM_KNN_BYTES, ials, item_knn
from towerline.baseline_models.selection import Candidate
from towerline.baseline_models.type_popularity import most_popular_of_type
from towerline.ranking.scorers import ItemWeights, by_popularity
from towerline.ranking.user_items import UserItems, interaction_matrix

NEIGHBOURS = (100, 1000, 20, 300, 50, 500)
EASE_REGULARIZATIONS = (200, 1000, 50, 500, 100, 2000)
# Bytes of a scorer by popularity, for each user and item.
POPULARITY_BYTES = 16
# Dimension, alpha, regularization.
IALS_SETTINGS = ((64, 5, 40), (128, 20, 160), (128, 20, 40), (64, 1, 10), (128, 5, 40), (128, 80, 40))


def popular_candidates(rows: Interactions, lives: list[float | None]) -> list[Candidate]:
    """Candidates of popularity with a half-life.

    Args:
      rows: the rows to count.
      lives: half-lives in days; None for the popularity of all times.
    """
    return [
        Candidate(
            {"half_life_days": life},
            POPULARITY_BYTES * (rows.num_users + rows.num_items),
            partial(by_popularity, rows, life),
        )
        for life in lives
    ]


def popular_of_type_candidates(rows: Interactions, item_type: NDArray[np.str_]) -> list[Candidate]:
    """The one candidate of popularity within types, or none where there is one type.

    Args:
      rows: the rows to count.
      item_type: [num_items + 1] text.
    """
    types, type_index = np.unique(item_type[1:], return_inverse=True)
    if len(types) < 2:
        return []
    # The unknown item has the type of item 1.
    type_index = np.concatenate([type_index[:1], type_index])
    num_bytes = POPULARITY_BYTES * len(types) * (rows.num_users + rows.num_items)
    return [Candidate({}, num_bytes, partial(most_popular_of_type, rows, type_index, len(types)))]


def item_knn_candidates(rows: Interactions, history: UserItems) -> list[Candidate]:
    """Candidates of item-kNN.

    Args:
      rows: the rows to fit.
      history: the items of every user by which items are ranked.
    """
    matrix = interaction_matrix(rows)

    def fit(neighbours: int) -> ItemWeights:
        return ItemWeights(item_knn(matrix, neighbours), history)

    return [
        Candidate({"neighbours": number}, ITEM_KNN_BYTES * rows.num_items * (number + 1), partial(fit, number))
        for number in NEIGHBOURS
    ]


def ease_candidates(rows: Interactions, history: UserItems) -> list[Candidate]:
    """Candidates of EASE, for which all rows count alike; arguments as in item_knn_candidates()."""
    classes = ItemClasses.of(UserItems.of_interactions(rows), rows.num_items)

    def fit(regularization: float) -> ItemWeights:
        return ItemWeights(ease(classes, regularization), history)

    return [
        Candidate({"regularization": number}, ease_bytes(classes), partial(fit, number))
        for number in EASE_REGULARIZATIONS
    ]


def ials_candidates(rows: Interactions, seed: int) -> list[Candidate]:
    """Candidates of iALS; arguments as in item_knn_candidates() and ials()."""
    matrix = interaction_matrix(rows)
    return [
        Candidate(
            {"dimension": dimension, "alpha": alpha, "regularization": regularization},
            IALS_BYTES * dimension * (rows.num_users + rows.num_items),
            partial(ials, matrix, dimension, alpha, regularization, seed),
        )
        for dimension, alpha, regularization in IALS_SETTINGS
    ]
