"""Histories that decay: weights against a slow twin, and a planted change of taste that a search finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.towerline.training.conftest import params
from towerline.artifacts.split import Interactions
from towerline.metrics.validation import HeldOut
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.training.fitting import fit
from towerline.training.history import History
from towerline.training.search import search, simplest

USERS, ITEMS, GROUPS = 60, 60, 4


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 3.0, 0.5]), st.booleans())
def test_weights_equal_a_slow_program(seed: int, half_life: float | None, strengths: bool) -> None:
    draw = np.random.default_rng(seed)
    # Few different times, so that there are ties; user 4 has no rows.
    pairs = np.unique(draw.integers(1, [4, 7], (draw.integers(1, 15), 2)), axis=0)[:, ::1].astype(np.int32)
    pairs = pairs[draw.permutation(len(pairs))]
    times = draw.integers(0, 4, len(pairs))
    strength = draw.choice([0.0, 0.5, 2.0], len(pairs)) if strengths else np.ones(len(pairs))
    rows = Interactions(pairs[:, 0].copy(), pairs[:, 1].copy(), None, 4, 6, times)
    if strengths:
        rows = rows._replace(strength=strength.astype(np.float32))
    expected = np.zeros((5, 7))
    for (user, item), time, counted in zip(pairs.tolist(), times.tolist(), strength.tolist(), strict=True):
        later = sum(u == user and t > time for (u, _), t in zip(pairs.tolist(), times.tolist(), strict=True))
        expected[user, item] = counted if half_life is None else counted * 0.5 ** (later / half_life)
    expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
    history = History(rows)
    np.testing.assert_allclose(history.weights(half_life, np.arange(5, dtype=np.int32)).toarray(), expected, rtol=1e-6)
    chosen = np.array([3, 1, 4], np.int32)
    np.testing.assert_allclose(history.weights(half_life, chosen).toarray(), expected[chosen], rtol=1e-6)


def test_histories_without_times_do_not_decay() -> None:
    rows = Interactions(np.array([1, 1], np.int32), np.array([1, 2], np.int32), None, 1, 2)
    assert History(rows).half_lives() == [None]
    with pytest.raises(ValueError, match="expected rows with times for a half-life, found none"):
        History(rows).weights(2.0, np.array([1], np.int32))


def test_the_simplest_choice_within_one_standard_error_is_taken() -> None:
    draw = np.random.default_rng(0)
    values = draw.random((1, 100)) + np.zeros((3, 1))
    # The last choice is better, for most users by more than its standard error, then by less.
    values[2] += draw.normal(0.1, 0.1, 100)
    assert simplest(values) == 2
    values[2] = values[0] + draw.normal(0.001, 1.0, 100)
    assert simplest(values) == 0
    # Better for all users, by less than a hundredth.
    values[2] = values[0] * 1.005
    assert simplest(values) == 0
    # The difference of a single user has no standard error.
    assert simplest(np.array([[0.5], [0.6]])) == 1


def changing_taste(changes: bool) -> tuple[Interactions, Interactions]:
    """Each user has 10 items of one group and then 3 of another, or mixed if nothing changes; one more is held out."""
    draw = np.random.default_rng(1)
    rows: list[tuple[int, int, int]] = []
    held_out: list[tuple[int, int, int]] = []
    for user in range(1, USERS + 1):
        first, second = draw.choice(GROUPS, 2, replace=False)
        items = [draw.permutation(ITEMS // GROUPS) * GROUPS + group + 1 for group in (first, second)]
        chosen = [*items[0][:10], *items[1][:3]]
        order = np.arange(13) if changes else draw.permutation(13)
        rows += [(user, int(item), int(place)) for item, place in zip(chosen, order, strict=True)]
        last = items[1][3] if changes or draw.random() < 3 / 13 else items[0][10]
        held_out.append((user, int(last), 13))

    def of(table: list[tuple[int, int, int]]) -> Interactions:
        user, item, time = np.array(table).T
        return Interactions(user.astype(np.int32), item.astype(np.int32), None, USERS, ITEMS, time.astype(np.int64))

    return of(rows), of(held_out)


@pytest.mark.parametrize("changes", [True, False])
def test_a_change_of_taste_is_found_and_followed(changes: bool) -> None:
    train, validation = changing_taste(changes)
    settings = params(temperature=None, popularity_prior=None, epochs=4)
    tf.keras.utils.set_random_seed(settings.seed)
    recipe = search(settings.given(), settings, train, validation).recipe
    if not changes:
        # Hardly any decay: the first of 13 items has at least two thirds of the weight of the last.
        assert recipe.history_half_life is None or recipe.history_half_life >= 20
        return
    assert recipe.history_half_life is not None
    assert recipe.history_half_life <= 5
    held_out = HeldOut(UserItems.of_interactions(train), UserItems.of_interactions(validation))
    ndcg = {}
    for half_life in (None, recipe.history_half_life):
        fitted = fit(recipe.model_copy(update={"history_half_life": half_life}), train)
        ndcg[half_life] = held_out.ndcg(fitted.embeddings())
    assert ndcg[recipe.history_half_life] > 1.3 * ndcg[None]
    timeless = train._replace(timestamp=None), validation._replace(timestamp=None)
    assert search(settings.given(), settings, *timeless).recipe.history_half_life is None
