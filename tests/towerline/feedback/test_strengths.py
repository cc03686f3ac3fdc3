"""Dislikes and strengths against known answers, and the choice among ways of counting on planted data."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.towerline.training.conftest import params
from towerline.artifacts.split import Interactions
from towerline.feedback.params import Below
from towerline.feedback.strengths import (
    Feedback,
    Treatment,
    choices,
    disliked,
    liked,
    liked_by_known_users,
    with_strengths,
)
from towerline.pipeline.errors import StageError
from towerline.towers import tf
from towerline.training.fitting import fit
from towerline.training.search import recipe_of, search, ways_to_count

USERS, ITEMS = 80, 40


def rows_of(
    *pairs: tuple[int, int], rating: list[float] | None = None, weight: list[float] | None = None
) -> Interactions:
    user, item = np.array(pairs, np.int32).T
    ratings = None if rating is None else np.array(rating, np.float32)
    return Interactions(user, item, ratings, 9, 9, weight=None if weight is None else np.array(weight, np.float32))


def feedback(below: Below = None, dislikes: Treatment = "counted", weight_exponent: float = 0.0) -> Feedback:
    return Feedback(below=below, dislikes=dislikes, weight_exponent=weight_exponent)


def test_dislikes_are_below_the_threshold_or_the_mean_of_the_known_ratings() -> None:
    known = rows_of((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), rating=[9, 5, 0.1, 0.1, 0.1])
    later = rows_of((1, 3), (1, 4), (2, 4), (3, 1), (3, 2), rating=[6.9, 7, 0.05, 3, 2.8])
    assert disliked(known, known, 5.0).tolist() == [False, False, True, True, True]
    # Equal ratings are not below their mean; user 3 has no known ratings, and those of all have a mean of 2.86.
    assert disliked(known, known, "user_mean").tolist() == [False, True, False, False, False]
    assert disliked(later, known, "user_mean").tolist() == [True, False, True, False, True]
    assert liked(later, known, "user_mean").item_index.tolist() == [4, 1]
    assert not disliked(rows_of((1, 1)), known, None).any()
    with pytest.raises(StageError, match=r"^dislikes.below: expected null since the data has no ratings, found 5;"):
        disliked(rows_of((1, 1)), known, 5.0)


def test_strengths_have_a_mean_of_one_over_the_rows_that_count() -> None:
    rows = rows_of((1, 1), (1, 2), (2, 1), rating=[1, 9, 8], weight=[100, 1, 9])
    assert with_strengths(rows, feedback()).strength is None
    assert with_strengths(rows, feedback(5.0)).strength is None
    assert with_strengths(rows, feedback(5.0, "left_out")).strength.tolist() == [0, 1, 1]  # type: ignore[union-attr]
    halves = with_strengths(rows, feedback(5.0, "negatives", 0.5))
    assert halves.strength.tolist() == [0, 0.5, 1.5]  # type: ignore[union-attr]
    assert halves.counted().item_index.tolist() == [2, 1]
    # In float32 the smallest is not 0, as dislikes are.
    tiny = with_strengths(rows._replace(weight=np.array([1, 1e9, 1e-38], np.float32)), feedback(weight_exponent=1.0))
    assert tiny.strength.min() > 0  # type: ignore[union-attr]
    with pytest.raises(StageError, match=r"no dislikes at 10, found none of 3 known rows; set it to a lower number"):
        with_strengths(rows, feedback(10.0, "left_out"))
    whole = with_strengths(rows, feedback(weight_exponent=1.0)).strength
    np.testing.assert_allclose(whole, np.array([100, 1, 9]) * 3 / 110, rtol=1e-6)  # type: ignore[arg-type]


def test_the_ways_of_counting_are_those_that_make_a_difference() -> None:
    rows = rows_of((1, 1), (1, 2), rating=[1, 9])
    assert choices(rows, None, negatives=True) == [feedback()]
    assert choices(rows, 0.5, negatives=True) == [feedback(0.5)]
    assert [way.dislikes for way in choices(rows, 5.0, negatives=True)] == ["negatives", "left_out", "counted"]
    assert [way.dislikes for way in choices(rows, 5.0, negatives=False)] == ["left_out", "counted"]
    weighted = rows._replace(weight=np.array([1, 2], np.float32))
    assert [way.weight_exponent for way in choices(weighted, None, negatives=True)] == [0.0, 0.5, 1.0]
    assert choices(weighted._replace(weight=np.ones(2, np.float32)), None, negatives=True) == [feedback()]


def planted(draw: np.random.Generator, likes: int, others: int) -> tuple[NDArray[np.bool_], Interactions, Interactions]:
    """Users of two tastes with rows of both, of which those of their own taste alone are likes.

    Returns:
      [rows] bool, true for likes, of the training set; the training set; and likes that are held out.
    """
    user, item, is_like = [], [], []
    half = ITEMS // 2
    for number in range(USERS):
        own, other = (1, 1 + half) if number % 2 else (1 + half, 1)
        chosen = [*(own + draw.permutation(half)[:likes]), *(other + draw.permutation(half)[:others])]
        user += [number + 1] * len(chosen)
        item += chosen
        is_like += [True] * likes + [False] * others
    user_index, item_index, like = np.array(user, np.int32), np.array(item, np.int32), np.array(is_like)
    held_out = like & (draw.random(len(like)) < 0.3)
    train = Interactions(user_index, item_index, None, USERS, ITEMS)
    return like[~held_out], train.where(~held_out), train.where(held_out)


def found(train: Interactions, validation: Interactions, below: Below = None, **changes: Any) -> Feedback:
    tf.keras.utils.set_random_seed(0)
    settings = params(temperature=None, popularity_prior=None, epochs=2, embedding_dimension=8, **changes)
    ways = ways_to_count(settings, train, below)
    return search(settings.given(), settings, train, validation, ways=ways).recipe.feedback


def test_a_search_leaves_dislikes_out_where_they_mislead() -> None:
    draw = np.random.default_rng(1)
    like, train, validation = planted(draw, likes=8, others=8)
    rated = train._replace(rating=np.where(like, 9, 2).astype(np.float32))
    later = validation._replace(rating=np.full(len(validation.user_index), 9, np.float32))
    chosen = found(rated, later, 5.0)
    assert chosen.dislikes in ("left_out", "negatives")
    assert chosen.below == 5.0
    assert found(rated, later, 5.0, loss="in_batch_softmax").dislikes == "left_out"
    assert found(rated, later).dislikes == "counted"


def test_a_search_finds_weights_that_tell_taste_and_ignores_those_that_do_not() -> None:
    draw = np.random.default_rng(2)
    like, train, validation = planted(draw, likes=8, others=8)
    telling = train._replace(weight=np.where(like, 20, 1).astype(np.float32))
    noise = train._replace(weight=draw.choice([1, 20], len(like)).astype(np.float32))
    assert found(telling, validation).weight_exponent > 0
    assert found(noise, validation).weight_exponent == 0


@pytest.mark.parametrize("loss", ["grouped_softmax", "in_batch_softmax"])
def test_users_are_close_to_what_they_like_and_not_to_what_they_dislike(loss: str) -> None:
    like, train, _ = planted(np.random.default_rng(3), likes=8, others=8)
    rated = train._replace(rating=np.where(like, 9, 2).astype(np.float32))
    settings = params(epochs=3, loss=loss)
    tf.keras.utils.set_random_seed(0)
    recipe = recipe_of(settings.given(), settings, feedback(5.0, "left_out"))
    users, items = fit(recipe, rated).vectors()
    cosines = (users @ items.T)[1:, 1:]
    own = np.zeros(cosines.shape, np.bool_)
    own[rated.user_index[like] - 1, rated.item_index[like] - 1] = True
    other = np.zeros(cosines.shape, np.bool_)
    other[rated.user_index[~like] - 1, rated.item_index[~like] - 1] = True
    assert cosines[own].mean() > cosines[other].mean() + 0.5


def test_ids_with_dislikes_alone_have_no_vector_though_their_ratings_are_learned() -> None:
    like, train, _ = planted(np.random.default_rng(4), likes=8, others=8)
    rating = np.where(like, 9, 2).astype(np.float32)
    rating[(train.user_index == 1) | (train.item_index == 2)] = 1
    settings = params(epochs=2, rating_weight=1.0)
    recipe = recipe_of(settings.given(), settings, feedback(5.0, "negatives"))
    fitted = fit(recipe, train._replace(rating=rating))
    users, items = fitted.vectors()
    assert not users[1].any()
    assert not items[2].any()
    assert users[2].any()
    assert fitted.rating_model is not None
    assert fitted.rating_model.item_bias[2] < -1


def test_validation_counts_likes_of_users_with_known_likes() -> None:
    known = rows_of((1, 1), (2, 1), rating=[9, 1])
    later = rows_of((1, 2), (1, 3), (2, 2), (3, 2), rating=[9, 1, 9, 9])
    assert liked_by_known_users(later, known, 5.0).user_index.tolist() == [1]
    assert liked_by_known_users(later, known, None).user_index.tolist() == [1, 1, 2]
