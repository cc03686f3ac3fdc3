"""Choice of the popularity prior by NDCG on the validation set."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.names import MAIN_CUTOFF
from towerline.artifacts.split import Interactions
from towerline.metrics.validation import HeldOut
from towerline.ranking.popularity import half_lives, log_popularity
from towerline.ranking.scorers import Columns
from towerline.ranking.similarity import evidence
from towerline.ranking.top_k import rank_by_each
from towerline.training.recipe import Prior

# Weights of recent popularity that are tried first; cosines run from -1 to 1.
WEIGHTS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5)
# Factors of the best of them that are tried then.
FACTORS = (0.8, 1.0, 1.25)
# Half-lives on either side of the one that ranks best without the cosines, which are tried with them.
NEIGHBOURS = 2
# Long-term weights that are tried, relative to the weight of recent popularity.
LONG_TERM_FACTORS = (0.0, -0.1, -0.2, -0.3, -0.4)


def item_terms(prior: Prior, rows: Interactions) -> NDArray[np.float32]:
    """[num_items + 1, PRIOR_DIMENSIONS] float32 terms of the prior of items; 0 for an item without rows."""
    recent, long_term = log_popularity(rows, prior.half_life), log_popularity(rows, None)
    return np.stack([prior.long_term_weight * long_term, prior.weight * recent], axis=1).astype(np.float32)


def best_half_life(rows: Interactions, held_out: HeldOut) -> float | None:
    """The half-life with the best NDCG on held-out items if all users get the same order; the first of the best.

    Args:
      rows: the training set.
      held_out: users with their held-out items; may be empty, which gives None, the popularity of all times.
    """
    choices = half_lives(rows)
    if len(choices) == 1 or not len(held_out.users):
        return None
    nothing = np.zeros((len(held_out.users), 0), np.float32), np.zeros((rows.num_items + 1, 0), np.float32)
    priors = [Prior(weight=1.0, half_life=half_life, long_term_weight=0.0) for half_life in choices]
    return choices[int(np.argmax(ndcg_of_priors(priors, rows, held_out, *nothing).mean(axis=1)))]


def best_prior(
    rows: Interactions,
    held_out: HeldOut,
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
    lives: Sequence[float | None],
    weights: Sequence[float],
) -> Prior:
    """The prior of the best NDCG on held-out items; several weights are refined by FACTORS.

    Args:
      rows: the training set.
      held_out: users with their held-out items, at least one.
      user_vectors: [queries, d] float32 unit vectors of the users of held_out.
      item_vectors: [num_items + 1, d] float32 unit vectors.
      lives: half-lives to choose from, in their order.
      weights: weights of recent popularity to choose from, in their order.
    """

    def ndcg(priors: Sequence[Prior]) -> NDArray[np.float64]:
        means: NDArray[np.float64] = ndcg_of_priors(priors, rows, held_out, user_vectors, item_vectors).mean(axis=1)
        return means

    coarse = [Prior(weight=weight, half_life=life, long_term_weight=0.0) for life in lives for weight in weights]
    first = coarse[int(smoothed(ndcg(coarse).reshape(len(lives), -1)).argmax())]
    finer = [first.weight * factor for factor in FACTORS] if len(weights) > 1 else list(weights)
    priors = [
        first.model_copy(update={"weight": weight, "long_term_weight": share * weight})
        for weight in finer
        for share in LONG_TERM_FACTORS
    ]
    return priors[int(smoothed(ndcg(priors).reshape(len(finer), -1)).argmax())]


def smoothed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """[rows, columns] means of each value, counted twice, and its neighbours in the row.

    The maximum of a noisy curve is most likely where the noise is; that of the smoothed curve is in the middle of a
    plateau.
    """
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    means: NDArray[np.float64] = (padded[:, :-2] + 2 * values + padded[:, 2:]) / 4
    return means


def close_half_lives(rows: Interactions, half_life: float | None) -> list[float | None]:
    """A half-life that best_half_life() has chosen, and up to NEIGHBOURS choices on either side of it."""
    choices = half_lives(rows)
    place = choices.index(half_life)
    return choices[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]


def ndcg_of_priors(
    priors: Sequence[Prior],
    rows: Interactions,
    held_out: HeldOut,
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """[priors, queries] NDCG@MAIN_CUTOFF of each user, all candidates ranked, seen items left out.

    The cosines of a block of users are computed once for all priors. Arguments as in best_prior().
    """
    popularities: dict[float | None, NDArray[np.float32]] = {}
    for half_life in [None, *(prior.half_life for prior in priors)]:
        if half_life not in popularities:
            popularities[half_life] = log_popularity(rows, half_life)
    of_user = evidence(held_out.seen.counts())

    def scores_of(first: int, last: int, columns: Columns) -> Iterator[NDArray[np.float32]]:
        cosine = user_vectors[first:last] @ item_vectors[columns].T
        for prior in priors:
            scores = cosine + np.float32(prior.weight) * popularities[prior.half_life][columns]
            if prior.long_term_weight:
                long_term = np.float32(prior.long_term_weight) * popularities[None][columns]
                scores += of_user[first:last, None] * long_term
            yield scores

    ranked = rank_by_each(
        scores_of,
        len(priors),
        len(item_vectors),
        held_out.seen,
        MAIN_CUTOFF,
        held_out.candidates,
        # The cosines and the scores of one prior.
        arrays_held=2,
    )
    return np.stack([held_out.ndcg_by_user(lists) for lists in ranked])
