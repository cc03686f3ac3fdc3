"""Dislikes among the rows, and how much each row counts in a fit."""

import itertools
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.feedback.params import USER_MEAN, Below, none_liked, without_ratings
from towerline.pipeline import row_arrays
from towerline.pipeline.errors import StageError
from towerline.pipeline.settings import Settings, between

# Powers of the rows' weights to choose from; with 0 all rows count alike.
EXPONENTS = (0.0, 0.5, 1.0)

Treatment = Literal["counted", "left_out", "negatives"]
# What the dislikes of a fit do, as the end of a sentence.
TREATMENTS: dict[Treatment, str] = {
    "counted": "count as likes",
    "left_out": "are left out",
    "negatives": "are negatives in the loss",
}


class Feedback(Settings):
    """How the rows of a fit count.

    Attributes:
      below: rows with lower ratings are dislikes, as params.yaml describes it; None for no dislikes.
      dislikes: "counted" as all other rows; "left_out" of the fit; "negatives" in the loss. A dislike is a seen item in
        any case, and its rating is a rating.
      weight_exponent: rows count in proportion to their weight to this power.
    """

    below: Below
    dislikes: Treatment
    weight_exponent: Annotated[float, between(0, 1)]


# All rows count alike.
PLAIN = Feedback(below=None, dislikes="counted", weight_exponent=0.0)


def disliked(rows: Interactions, known: Interactions, below: Below) -> NDArray[np.bool_]:
    """[rows] bool, true for the dislikes among the rows; false for all rows where there are none.

    Args:
      rows: with ratings if there is a threshold.
      known: the rows of a fit, over which the means of the users' ratings are taken: those of `rows` would be known
        only afterwards. A user without known rows has the mean of all of them.
      below: rows with lower ratings are dislikes.

    Raises:
      StageError: the rows have no ratings.
    """
    if below is None:
        return row_arrays.filled(rows.user_index, np.bool_, lambda block: np.array(False))
    rating, known_rating, users = rows.rating, known.rating, rows.user_index
    if rating is None or known_rating is None:
        raise StageError(without_ratings(below, "the data has no ratings"))
    if below != USER_MEAN:
        return row_arrays.filled(users, np.bool_, lambda block: rating[block] < np.float64(below))
    # Sums of float32 are exact in float64 up to 2^29 of them, so that equal ratings are not below their mean.
    counts = row_arrays.sums(known.user_index, known.num_users + 1)
    sums = row_arrays.sums(known.user_index, known.num_users + 1, known_rating.__getitem__)
    means = np.full(len(counts), known_rating.mean(dtype=np.float64) if len(known_rating) else -np.inf)
    np.divide(sums, counts, out=means, where=counts > 0)
    return row_arrays.filled(users, np.bool_, lambda block: rating[block] < means[users[block]])


def _inverted(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return row_arrays.filled(mask, np.bool_, lambda block: ~mask[block])


def liked(held_out: Interactions, known: Interactions, below: Below) -> Interactions:
    """The held-out rows that are no dislikes; arguments as of disliked()."""
    return held_out if below is None else held_out.where(_inverted(disliked(held_out, known, below)))


def liked_by_known_users(held_out: Interactions, known: Interactions, below: Below) -> Interactions:
    """The held-out rows that are no dislikes, of users with known rows that are none; arguments as of disliked()."""
    likes, users = liked(held_out, known, below), liked(known, known, below)
    is_known = row_arrays.used(users.user_index, users.num_users)
    index = likes.user_index
    return likes.where(row_arrays.filled(index, np.bool_, lambda block: is_known[index[block]]))


def with_strengths(rows: Interactions, feedback: Feedback) -> Interactions:
    """The rows with their strengths: how much each of them counts in the fit.

    The strength of a row is its weight to the power of weight_exponent, scaled so that the mean over the rows that are
    no dislikes is 1. That of a dislike that is not counted is 0. Where all rows have the strength 1, it is None.

    Raises:
      StageError: no row would count.
    """
    weighted = rows.weight is not None and feedback.weight_exponent > 0
    dislikes = feedback.below is not None and feedback.dislikes != "counted"
    if not weighted and not dislikes:
        return rows._replace(strength=None)
    weight = rows.weight if weighted else None

    def plain(block: slice) -> NDArray[np.float64]:
        if weight is None:
            return np.ones(block.stop - block.start)
        powers: NDArray[np.float64] = weight[block].astype(np.float64) ** feedback.weight_exponent
        return powers

    is_counted = _inverted(disliked(rows, rows, feedback.below if dislikes else None))
    if not is_counted.any():
        raise StageError(none_liked(feedback.below, f"none of {len(is_counted):,} known rows"))
    mean = row_arrays.chosen(row_arrays.filled(rows.user_index, np.float64, plain), is_counted).mean()

    def scaled(block: slice) -> NDArray[np.float64]:
        # The smallest numbers would be 0 in float32, as dislikes are.
        return np.where(is_counted[block], np.maximum(plain(block) / mean, np.finfo(np.float32).tiny), 0)

    return rows._replace(strength=row_arrays.filled(rows.user_index, np.float32, scaled))


def has_dislikes(rows: Interactions, below: Below) -> bool:
    """True if some of the rows are dislikes."""
    return bool(disliked(rows, rows, below).any())


def choices(rows: Interactions, below: Below, negatives: bool) -> list[Feedback]:
    """The ways of counting the rows of a training set, in the order in which they are preferred if they rank equally.

    Dislikes come first as negatives, which shows the fewest of them, then left out, then counted. Equal weights come
    before unequal ones.

    Args:
      rows: the rows.
      below: the threshold of dislikes.
      negatives: true if dislikes may be negatives.
    """
    treatments: list[Treatment] = ["counted"]
    if has_dislikes(rows, below):
        treatments = ["negatives", "left_out", "counted"] if negatives else ["left_out", "counted"]
    weights_differ = rows.weight is not None and len(rows.weight) > 0 and rows.weight.min() < rows.weight.max()
    exponents = EXPONENTS if weights_differ else EXPONENTS[:1]
    return [
        Feedback(below=below, dislikes=treatment, weight_exponent=exponent)
        for treatment, exponent in itertools.product(treatments, exponents)
    ]
