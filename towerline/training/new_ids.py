"""Embeddings of ids without rows, from their features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.artifacts.train import FeatureRow
from towerline.features.contributions import contributions
from towerline.features.declarations import Features
from towerline.features.encoder import Columns, Encoder
from towerline.features.reading import FeatureTables
from towerline.features.regression import Regressions, regressions
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.popularity import decayed_counts
from towerline.ranking.similarity import user_terms
from towerline.training.recipe import Recipe
from towerline.training.spectral import Vectors


class NewIds(NamedTuple):
    """The ids of one kind without rows, and how their embeddings come from features.

    Attributes:
      ids: [new] int32 indices, from 1.
      embeddings: [new, d + PRIOR_DIMENSIONS] float32.
      encoder: also encodes ids that are in no vocabulary.
    """

    ids: NDArray[np.int32]
    embeddings: NDArray[np.float32]
    encoder: Encoder

    @classmethod
    def encoded(cls, encoder: Encoder, columns: Columns, known: NDArray[np.int32], num_ids: int) -> "NewIds":
        """The embeddings of the ids that are not known.

        Args:
          encoder: the encoder.
          columns: texts of all ids.
          known: [known] indices of the ids with rows.
          num_ids: number of ids, without the unknown id.
        """
        ids = np.setdiff1d(np.arange(1, num_ids + 1, dtype=np.int32), known)
        return cls(ids, encoder.embeddings(_rows(columns, ids), len(ids)), encoder)


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
    known = np.unique(rows.user_index)
    found = _regressions(recipe.user_features, tables.users, known, vectors.users, [], recipe.seed)
    nothing = np.zeros((len(found.vectors), PRIOR_DIMENSIONS))
    terms = user_terms(np.zeros(1))[0].astype(np.float64)
    zeros = np.zeros(PRIOR_DIMENSIONS)
    encoder = Encoder(found.encodings, np.array(False), found.vectors, nothing, zeros, zeros, terms)
    return NewIds.encoded(encoder, tables.users, known, rows.num_users)


def new_items(recipe: Recipe, tables: FeatureTables, vectors: Vectors, rows: Interactions) -> NewIds | None:
    """The items without rows; None without declared features of items. Arguments as of new_users()."""
    if not recipe.item_features:
        return None
    known, prior = np.unique(rows.item_index), recipe.prior
    counts = [decayed_counts(rows, half_life) for half_life in (None, prior.half_life)]
    of_known = [numbers[known] for numbers in counts[: 1 if prior.half_life is None else 2]]
    found = _regressions(recipe.item_features, tables.items, known, vectors.items, of_known, recipe.seed)
    # The terms of the prior: popularity of all times, and recent popularity, which are the same without a half-life.
    log_counts = np.stack([found.log_counts[0], found.log_counts[-1]], axis=1)
    most = np.array([of_known[0].max(), of_known[-1].max()])
    weights = np.array([prior.long_term_weight, prior.weight])
    encoder = Encoder(
        found.encodings, np.array(True), found.vectors, log_counts, most, weights, np.zeros(PRIOR_DIMENSIONS)
    )
    return NewIds.encoded(encoder, tables.items, known, rows.num_items)


def feature_rows(recipe: Recipe, tables: FeatureTables, vectors: Vectors, rows: Interactions) -> list[FeatureRow]:
    """What each declared feature says about users and items; arguments as of new_users()."""
    counts = decayed_counts(rows, None)
    found = []
    for ids, features, columns, index, of_ids, of_counts in (
        ("users", recipe.user_features, tables.users, rows.user_index, vectors.users, None),
        ("items", recipe.item_features, tables.items, rows.item_index, vectors.items, counts),
    ):
        if features:
            known = np.unique(index)
            numbers = None if of_counts is None else of_counts[known]
            found += contributions(ids, features, _rows(columns, known), of_ids[known], numbers, recipe.seed)
    return found


def _regressions(
    features: Features,
    columns: Columns,
    known: NDArray[np.int32],
    vectors: NDArray[np.float32],
    counts: list[NDArray[np.float64]],
    seed: int,
) -> Regressions:
    return regressions(features, _rows(columns, known), vectors[known], counts, seed)


def _rows(columns: Columns, ids: NDArray[np.int32]) -> Columns:
    return {name: [texts[index] for index in ids] for name, texts in columns.items()}
