"""Initial vectors of the towers from an earlier model, and the recipe that continues it."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.ranking.user_items import UserItems
from towerline.training.recipe import Recipe
from towerline.training.spectral import Vectors

# The epochs and the learning rate of a recipe are divided by this number; benchmarks/warm_start.py tries others.
REDUCTION = 3


def continued(recipe: Recipe, epochs: int | None = None, divisor: float = REDUCTION) -> Recipe:
    """The recipe of a fit that starts from the vectors of an earlier one: fewer epochs, and smaller steps.

    Args:
      recipe: that of a fit from nothing.
      epochs: number of epochs; None for a part of those of the recipe, at least one.
      divisor: of the learning rate.
    """
    epochs = epochs or max(1, len(recipe.temperatures) // REDUCTION)
    return recipe.model_copy(
        update={
            "epochs": epochs,
            "temperatures": [recipe.temperatures[-1]] * epochs,
            "learning_rate": recipe.learning_rate / divisor,
        }
    )


def warm_start(earlier: Vectors, rows: Interactions, seed: int) -> Vectors:
    """The vectors of an earlier model, with vectors for the ids that it does not have.

    A new item starts as the sum of the vectors of its earlier users, a new user as the sum of the vectors of their
    items, new ones included, scaled to length 1. An id with neither starts at random.

    Args:
      earlier: unit vectors of the ids that are in the earlier model, zero vectors of the others.
      rows: the rows to fit.
      seed: of the random vectors.
    """
    seen = UserItems.of_interactions(rows).matrix(rows.num_items + 1)
    random = np.random.default_rng(seed)
    items = _completed(earlier.items, seen.T, earlier.users, random)
    return Vectors(_completed(earlier.users, seen, items, random), items)


def _completed(
    vectors: NDArray[np.float32], pairs: "sparse.sparray", others: NDArray[np.float32], random: np.random.Generator
) -> NDArray[np.float32]:
    """The vectors; in place of zero vectors the sums of others, or random vectors where these are zero too."""
    absent = np.flatnonzero(~vectors.any(axis=1))
    sums = np.asarray(pairs @ others, np.float32)[absent]
    without = np.flatnonzero(~sums.any(axis=1))
    sums[without] = random.standard_normal((len(without), vectors.shape[1]))
    completed = vectors.copy()
    completed[absent] = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return completed
