"""The search of a recipe, and the choice of the popularity prior: slow twins, and planted trends that come back."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.towerline.training.conftest import fit, history_of, params, planted_parts
from towerline.artifacts.split import Interactions
from towerline.metrics.validation import HeldOut
from towerline.ranking import blocks
from towerline.ranking.embedding import with_prior
from towerline.ranking.popularity import log_popularity
from towerline.ranking.scorers import Embeddings
from towerline.ranking.similarity import user_terms
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.training.fitting import fit as fit_by
from towerline.training.prior import (
    WEIGHTS,
    best_half_life,
    best_prior,
    close_half_lives,
    item_terms,
    ndcg_of_priors,
    smoothed,
)
from towerline.training.recipe import Prior, Recipe
from towerline.training.search import Found, search

DAY = 86_400
USERS, ITEMS = 200, 60


def searched(train: Interactions, validation: Interactions, **changes: Any) -> Found:
    settings = params(temperature=None, popularity_prior=None, **changes)
    tf.keras.utils.set_random_seed(settings.seed)
    return search(settings.given(), settings, train, validation)


def trend(seed: int = 0) -> tuple[Interactions, Interactions]:
    """Every ten days another 6 of 60 items are in fashion; the validation set is the two days after 100."""
    draw = np.random.default_rng(seed)

    def drawn(start: float, stop: float, number: int) -> Interactions:
        day = draw.uniform(start, stop, number)
        fashion = (day // 10).astype(int) % 10 * 6 + draw.integers(6, size=number)
        item = np.where(draw.random(number) < 0.7, fashion, draw.integers(ITEMS, size=number)) + 1
        user = draw.integers(1, USERS + 1, number)
        pairs, first = np.unique(np.stack([user, item]), axis=1, return_index=True)
        times = (day[first] * DAY).astype(np.int64)
        return Interactions(pairs[0].astype(np.int32), pairs[1].astype(np.int32), None, USERS, ITEMS, times)

    return drawn(3, 103, 4000), drawn(103, 105, 400)


def held_out(train: Interactions, validation: Interactions) -> HeldOut:
    seen, relevant = (
        UserItems.of_pairs(rows.user_index, rows.item_index, num_rows=USERS + 1) for rows in (train, validation)
    )
    return HeldOut(seen, relevant)


def random_vectors() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draw = np.random.default_rng(1)
    users, items = (draw.normal(size=(rows, 8)).astype(np.float32) for rows in (USERS + 1, ITEMS + 1))
    return users / np.linalg.norm(users, axis=1, keepdims=True), items / np.linalg.norm(items, axis=1, keepdims=True)


@pytest.mark.parametrize("block_scores", [500, 1 << 23])
def test_the_ndcg_of_a_prior_is_that_of_the_embeddings_with_its_terms(
    block_scores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SCORES", block_scores)
    train, validation = trend()
    asked = held_out(train, validation)
    users, items = random_vectors()
    lives = (None, 5.0)
    priors = [Prior(weight=w, half_life=h, long_term_weight=v) for w in (0.1, 1.0) for h in lives for v in (0.0, -0.3)]
    seen = UserItems.of_pairs(train.user_index, train.item_index, num_rows=USERS + 1)
    expected = [
        asked.ndcg(
            Embeddings(with_prior(users, user_terms(seen.counts())), with_prior(items, item_terms(prior, train)))
        )
        for prior in priors
    ]
    measured = ndcg_of_priors(priors, train, asked, users[asked.users], items).mean(axis=1)
    np.testing.assert_allclose(measured, expected, atol=2e-3)
    assert len(set(expected)) == len(priors)


def test_a_planted_trend_gives_its_half_life_and_weight() -> None:
    train, validation = trend()
    asked = held_out(train, validation)
    half_life = best_half_life(train, asked)
    assert half_life is not None
    assert 1 <= half_life <= 10
    users, items = random_vectors()
    prior = best_prior(train, asked, users[asked.users], items, close_half_lives(train, half_life), WEIGHTS)
    assert prior.half_life is not None
    assert prior.half_life <= 10
    # Random cosines are of no use, so that popularity has to weigh more than they do.
    assert prior.weight * log_popularity(train, prior.half_life).max() > 1
    given = best_prior(train, asked, users[asked.users], items, [30.0], [0.25])
    assert (given.half_life, given.weight) == (30, 0.25)
    timeless = train._replace(timestamp=None)
    assert best_half_life(timeless, asked) is None
    assert close_half_lives(timeless, None) == [None]


def test_the_maximum_of_a_smoothed_curve_is_in_the_middle_of_a_plateau() -> None:
    values = np.array([[0.0, 5.2, 0.0, 4.9, 5.0, 5.1, 3.0]])
    assert smoothed(values).argmax() == 4
    assert smoothed(np.ones((2, 1))).tolist() == [[1.0], [1.0]]


def test_a_search_finds_temperatures_epochs_and_a_recent_prior() -> None:
    train, validation = trend()
    found = searched(train, validation, epochs=6, early_stopping_patience=2)
    recipe = found.recipe
    scores = [epoch.validation_ndcg or 0.0 for epoch in found.epochs]
    assert int(np.argmax(scores)) + 1 == len(recipe.temperatures)
    assert len(found.epochs) == min(6, len(recipe.temperatures) + 2)
    assert [epoch.temperature for epoch in found.epochs][: len(recipe.temperatures)] == pytest.approx(
        recipe.temperatures
    )
    assert recipe.prior.half_life is not None
    assert recipe.bias_regularization is None
    assert Recipe(**recipe.model_dump()) == recipe
    # The recipe, and nothing else of the search, makes the fit.
    first, again = (fit_by(recipe, Interactions.joined(train, validation)) for _ in range(2))
    assert first.towers.query.all_embeddings().tobytes() == again.towers.query.all_embeddings().tobytes()
    assert len(first.epochs) == len(recipe.temperatures)
    terms = item_terms(recipe.prior, Interactions.joined(train, validation))
    assert (first.towers.candidate.extra.numpy() == terms).all()


def test_the_search_keeps_what_is_given() -> None:
    train, validation = planted_parts()
    free = searched(train, validation, epochs=4)
    assert len(set(free.recipe.temperatures)) > 1
    assert len(free.recipe.temperatures) == 4, "without patience all epochs count"
    settings = params(temperature=0.3, popularity_prior=0.5, epochs=4, rating_weight=0.5)
    fixed = search(settings.given(), settings, train, validation).recipe
    assert fixed.temperatures == pytest.approx([0.3] * 4)
    assert fixed.prior.weight == pytest.approx(0.15)
    assert fixed.bias_regularization is not None


def test_the_search_measures_the_model_that_a_fit_to_the_training_set_gives() -> None:
    train, validation = planted_parts()
    settings = params(epochs=3)
    found = search(settings.given(), settings, train, validation)
    fitted = fit(settings, train)
    relevant = UserItems.of_pairs(validation.user_index, validation.item_index, num_rows=train.num_users + 1)
    scorer = fitted.embeddings()
    expected = HeldOut(history_of(train), relevant).ndcg(scorer)
    assert found.epochs[-1].validation_ndcg == pytest.approx(expected, abs=1e-3)
