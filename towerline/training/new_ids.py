"""Embeddings of ids without rows, from their features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from towerline.artifacts.split import Interactions
from towerline.artifacts.train import FeatureRow
from towerline.features.contributions import contributions
from towerline.features.declarations import Features
from towerline.features.encoder import Columns, Encoder, encoded, expected_counts, of_ids
from towerline.features.learning import learned_encodings
from towerline.features.reading import FeatureTables
from towerline.features.regression import Penalties, count_penalty, held_out_ids, poisson, predicted, regressions
from towerline.pipeline import row_arrays
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.popularity import PSEUDO_ROWS, decayed_counts
from towerline.ranking.similarity import user_terms
from towerline.training.recipe import Recipe
from towerline.training.spectral import Vectors

# The largest factor between the numbers of rows of new items and of known ones with the same features, up or down.
MOST_FACTOR = 100.0


class NewIds(NamedTuple):
    """The ids of one kind without rows, and how their embeddings come from features.

    Attributes:
      ids: [new] int32 indices, from 1.
      embeddings: [new, d + PRIOR_DIMENSIONS] float32.
      encoder: also encodes ids that are in no vocabulary.
      penalties: of the regressions that the encoder is made of.
    """

    ids: NDArray[np.int32]
    embeddings: NDArray[np.float32]
    encoder: Encoder
    penalties: Penalties

    @classmethod
    def encoded(
        cls, encoder: Encoder, penalties: Penalties, columns: Columns, known: NDArray[np.int32], num_ids: int
    ) -> "NewIds":
        """The embeddings of the ids that are not known.

        Args:
          encoder: the encoder.
          penalties: of its regressions.
          columns: texts of all ids.
          known: [known] indices of the ids with rows.
          num_ids: number of ids, without the unknown id.
        """
        ids = np.setdiff1d(np.arange(1, num_ids + 1, dtype=np.int32), known)
        return cls(ids, encoder.embeddings(of_ids(columns, ids), len(ids)), encoder, penalties)


def new_users(recipe: Recipe, tables: FeatureTables, vectors: Vectors, rows: Interactions) -> NewIds | None:
    """The users without rows; None without declared features of users.

    Args:
      recipe: of the fit.
      tables: the declared columns.
      vectors: learned unit vectors.
      rows: the rows of the fit.
    """
    if not recipe.user_features:
        return None
    known = rows.users()
    found = regressions(recipe.user_features, of_ids(tables.users, known), vectors.users[known], [], recipe.seed)
    nothing = np.zeros((len(found.vectors), PRIOR_DIMENSIONS))
    terms = user_terms(np.zeros(1))[0].astype(np.float64)
    zeros = np.zeros(PRIOR_DIMENSIONS)
    encoder = Encoder(found.encodings, np.array(False), found.vectors, nothing, zeros, zeros, terms)
    return NewIds.encoded(encoder, found.penalties, tables.users, known, rows.num_users)


def new_items(recipe: Recipe, tables: FeatureTables, vectors: Vectors, rows: Interactions) -> NewIds | None:
    """The items without rows; None without declared features of items. Arguments as of new_users()."""
    if not recipe.item_features:
        return None
    known, prior = rows.items(), recipe.prior
    counts = [decayed_counts(rows, half_life) for half_life in (None, prior.half_life)]
    of_known = [numbers[known] for numbers in counts[: 1 if prior.half_life is None else 2]]
    found = regressions(recipe.item_features, of_ids(tables.items, known), vectors.items[known], of_known, recipe.seed)
    # The terms of the prior: popularity of all times, and recent popularity, which are the same without a half-life.
    log_counts = np.stack([found.log_counts[0], found.log_counts[-1]], axis=1)
    log_counts[0] += np.log(recipe.new_item_factor)
    most = np.array([of_known[0].max(), of_known[-1].max()])
    weights = np.array([prior.long_term_weight, prior.weight])
    encoder = Encoder(
        found.encodings, np.array(True), found.vectors, log_counts, most, weights, np.zeros(PRIOR_DIMENSIONS)
    )
    return NewIds.encoded(encoder, found.penalties, tables.items, known, rows.num_items)


def new_item_factor(
    features: Features, tables: FeatureTables, train: Interactions, validation: Interactions, seed: int
) -> float:
    """How many rows items without training rows have in the validation set, relative to what their features say.

    The numbers of rows of known items with the same features do not say it: in a random split, an item without training
    rows has few rows, while after a cut in time it may be new and have many. The factor is the number of validation
    rows of such items over the number expected: that of the Poisson regression, times the validation rows of a known
    item for each of its training rows.

    Args:
      features: declarations of the features of items.
      tables: the declared columns.
      train, validation: the sets.
      seed: of the choice of the ids on which the penalty is chosen.

    Returns:
      A number from 1 / MOST_FACTOR to MOST_FACTOR; 1 without declared features.
    """
    if not features:
        return 1.0
    known = train.items()
    new = np.setdiff1d(np.arange(1, train.num_items + 1, dtype=np.int32), known)
    counts = decayed_counts(train, None)[known]
    of_known, of_new = of_ids(tables.items, known), of_ids(tables.items, new)
    encodings = learned_encodings(features, of_known)
    matrix, held_out = encoded(encodings, of_known, len(known)), held_out_ids(len(known), seed)
    with threadpool_limits(limits=1, user_api="blas"):
        coefficients = poisson(matrix, counts, count_penalty(matrix, counts, held_out))
    logarithms = predicted(coefficients, encoded(encodings, of_new, len(new)))
    of_items = row_arrays.sums(validation.item_index, validation.num_items + 1)
    rows_of_known = of_items[known].sum() / counts.sum()
    expected = expected_counts(logarithms, counts.max()).sum() * rows_of_known
    factor = (of_items[new].sum() + PSEUDO_ROWS) / (expected + PSEUDO_ROWS)
    return float(np.clip(factor, 1 / MOST_FACTOR, MOST_FACTOR))


def feature_rows(
    recipe: Recipe,
    tables: FeatureTables,
    vectors: Vectors,
    rows: Interactions,
    users: NewIds | None,
    items: NewIds | None,
) -> list[FeatureRow]:
    """How much each declared feature explains of users and items.

    Args:
      recipe, tables, vectors, rows: as of new_users().
      users, items: what new_users() and new_items() return for them.
    """
    counts = decayed_counts(rows, None)
    found = []
    for ids, new, features, columns, known, of_kind, of_counts in (
        ("users", users, recipe.user_features, tables.users, rows.users(), vectors.users, None),
        ("items", items, recipe.item_features, tables.items, rows.items(), vectors.items, counts),
    ):
        if new is not None:
            numbers = None if of_counts is None else of_counts[known]
            texts = of_ids(columns, known)
            found += contributions(ids, features, texts, of_kind[known], numbers, new.penalties, recipe.seed)
    return found
