"""Calibration: the temperature, and a weight of popularity, under which held-out items are most likely.

The search takes the temperature from it. The popularity prior of the model is chosen by NDCG.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.ranking import blocks
from towerline.ranking.user_items import UserItems

NEWTON_STEPS = 6
# No step changes the inverse temperature by more than this factor.
MAX_FACTOR = 2.0
# Vectors that do not predict the choices have no best temperature; at this one their cosines hardly count.
MAX_TEMPERATURE = 10.0
# Decides the size of a block; at most so many arrays of one number per user and item are in memory.
ARRAYS_HELD = 4
# Users whose cosines are computed together, whatever the size of the catalogue: with fewer, reading the item vectors
# takes up to ten times as long as the inner products.
FEWEST_USERS = 24


class Calibration(NamedTuple):
    """P(user u interacts with item j) ~ exp(cosine(u, j) / temperature + prior * log popularity(j)).

    Attributes:
      temperature: above 0.
      prior: weight of log popularity, at least 0; the start of the next calibration.
    """

    temperature: float
    prior: float


def calibrated(
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    log_popularity: NDArray[np.float32],
    chosen: UserItems,
    excluded: UserItems,
    start: Calibration,
) -> Calibration:
    """Fits the calibration to users' held-out choices among all items that they have not seen; each user counts once.

    It is the maximum likelihood of a conditional logit model (McFadden 1974) with two features. The likelihood is
    concave, and a few Newton steps from a start close by find its maximum. The temperature is that of temperature
    scaling (Guo et al. 2017): if it is above the training temperature, the trained vectors are overconfident.

    Args:
      user_vectors: [num_users, d] float32.
      item_vectors: [num_items + 1, d] float32; row 0, the unknown item, cannot be chosen.
      log_popularity: [num_items + 1] float32.
      chosen: row r holds the held-out items of user r, at least one.
      excluded: row r holds the seen items of user r, which are not among the chosen ones.
      start: of the Newton steps.
    """
    sharpness, prior = 1 / start.temperature, start.prior
    # A shift changes no probability, and centred values keep the digits of the second moments.
    log_popularity = log_popularity - log_popularity.mean()

    query_scores = ARRAYS_HELD * len(item_vectors)
    # Users for which all arrays are held at the same time.
    size = max(1, blocks.BLOCK_SCORES // query_scores)

    def block_sums(first: int, last: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        cosine = user_vectors[first:last] @ item_vectors.T
        weights = np.array([sharpness, prior], np.float32)
        sums = []
        for start in range(first, last, size):
            users = np.arange(start, min(start + size, last), dtype=np.int32)
            of_users = chosen.of_users(users), excluded.of_users(users)
            part = cosine[start - first : start - first + size]
            sums.append(_derivatives(part, log_popularity, *of_users, weights))
        return sums

    for _ in range(NEWTON_STEPS):
        most = blocks.BLOCK_SCORES // FEWEST_USERS
        sums = list(itertools.chain(*blocks.in_blocks(block_sums, len(user_vectors), min(query_scores, most))))
        gradient = np.sum([part[0] for part in sums], axis=0)
        curvature = np.sum([part[1] for part in sums], axis=0)
        # Least squares, since items of equal popularity do not determine the prior, which then stays the same.
        step = np.linalg.lstsq(curvature, gradient, rcond=1e-9)[0]
        least = max(sharpness / MAX_FACTOR, 1 / MAX_TEMPERATURE)
        sharpness = float(np.clip(sharpness + step[0], least, sharpness * MAX_FACTOR))
        prior = max(0.0, prior + float(step[1]))
        if np.abs(step).max() < 1e-3:
            break
    return Calibration(1 / sharpness, prior)


def _derivatives(
    cosine: NDArray[np.float32],
    log_popularity: NDArray[np.float32],
    chosen: UserItems,
    excluded: UserItems,
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gradient [2] and negative Hessian [2, 2] of the users' summed mean log likelihoods."""
    # One array in place: each further one of this size costs as much time as the arithmetic.
    likely = weights[0] * cosine
    likely += weights[1] * log_popularity
    likely[:, 0] = -np.inf
    likely[excluded.rows(), excluded.items] = -np.inf
    likely -= likely.max(axis=1, keepdims=True)
    np.exp(likely, out=likely)
    likely /= likely.sum(axis=1, keepdims=True)
    expected = np.stack([np.einsum("uj,uj->u", likely, cosine), likely @ log_popularity], axis=1).astype(np.float64)
    rows, share = chosen.rows(), 1 / chosen.counts()[chosen.rows()]
    features = (cosine[rows, chosen.items], log_popularity[chosen.items])
    observed = np.stack([np.bincount(rows, share * feature, len(cosine)) for feature in features], axis=1)
    second = np.empty((2, 2), np.float64)
    second[1, 1] = (likely @ log_popularity**2).sum()
    likely *= cosine
    second[0, 0] = np.einsum("uj,uj->", likely, cosine)
    mixed = (likely @ log_popularity).sum()
    second[0, 1] = mixed
    second[1, 0] = mixed
    return (observed - expected).sum(axis=0), second - expected.T @ expected
