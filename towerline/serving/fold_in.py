"""Vectors for users who were not in the training data: from their items, or without any."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towerline.exports.precision import Table, as_float32, inner_products, weighted_sums
from towerline.ranking.blocks import in_blocks
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions, with_prior
from towerline.ranking.similarity import user_terms
from towerline.ranking.user_items import UserItems

# Length of the step: chosen on the validation sets of MovieTweetings and Gowalla, for users held out of training.
STEP = 0.5
# Number of [users, items] float32 arrays that are held at once.
ARRAYS_HELD = 3


def folded_in(history: UserItems, items: Table, temperature: float) -> NDArray[np.float32]:
    """One step up the likelihood of the history, from its mean, with the items' vectors held fixed.

    P(j) ~ exp(score(u, j) / temperature) over the items j that are not in the history is what training maximised
    (multinomial likelihood, Liang et al. 2018); its gradient by u is mean(history) - E_P[item], over temperature. From
    the mean, which is a user's vector in FISM (Kabbur et al. 2013), one step of length STEP makes
      u = mean(history) - STEP * E_P[item], of length 1.
    Folding in is what Sarwar et al. (2002) call adding a user without training anew.

    Args:
      history: row r holds the rows of the items that user r interacted with.
      items: [items, d + PRIOR_DIMENSIONS] as exported: unit vectors or zeros, and the terms of the prior.
      temperature: temperature of the training loss, above 0.

    Returns:
      [users, d + PRIOR_DIMENSIONS] float32: a unit vector, or zeros for a user without a trained item, and the terms
      of the prior.
    """
    num_users = len(history.starts) - 1
    vectors, of_user = directions(items), user_terms(history.counts())

    def of_block(start: int, stop: int) -> NDArray[np.float32]:
        own = history.of_users(np.arange(start, stop, dtype=np.int32))
        # The vectors of these users' items alone are converted.
        present, column = np.unique(own.items, return_inverse=True)
        of_present = UserItems(own.starts, column.astype(np.int32)).matrix(len(present))
        total = of_present @ as_float32(vectors[present])
        mean = total / np.maximum(own.counts(), 1)[:, None].astype(np.float32)
        logits = inner_products(with_prior(_unit(mean), of_user[start:stop]), items) / np.float32(temperature)
        logits[own.rows(), own.items] = -np.inf
        likely = np.exp(logits - np.maximum(logits.max(axis=1, keepdims=True), np.finfo(np.float32).min))
        expected = weighted_sums(likely, vectors) / np.maximum(
            likely.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny
        )
        known = (mean != 0).any(axis=1, keepdims=True)
        return _unit(np.where(known, mean - np.float32(STEP) * expected, np.float32(0)))

    blocks = in_blocks(of_block, num_users, ARRAYS_HELD * len(items))
    return with_prior(np.concatenate([np.zeros((0, vectors.shape[1]), np.float32), *blocks]), of_user)


def unknown_user(dimension: int) -> NDArray[np.float32]:
    """[1, dimension] float32 embedding of a user of whom nothing is known, whose scores are the popularity prior alone.

    It is that of index 0 of the vocabulary, which an export does not hold; the SavedModel and evaluate rank by it.
    """
    return with_prior(np.zeros((1, dimension - PRIOR_DIMENSIONS), np.float32), user_terms(np.zeros(1)))


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """The vectors with length 1, zeros left as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit
