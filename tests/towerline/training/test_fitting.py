"""Fits by a recipe: learning on planted data, ids without rows, and the same bytes twice."""

import numpy as np
import pytest

from tests.towerline.training.conftest import ITEMS, LOSSES, USERS, embeddings, fit, history_of, params, planted_parts
from towerline.artifacts.split import Interactions
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.ratings import rating_biases, root_mean_squared_error
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions, prior_terms
from towerline.ranking.scorers import Embeddings
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems
from towerline.training import fitting
from towerline.training.spectral import Vectors


def recall(fitted: fitting.Fitted, train: Interactions, test: Interactions, k: int) -> float:
    users, items = embeddings(fitted)
    relevant = UserItems.of_pairs(test.user_index, test.item_index, num_rows=USERS + 1)
    wanted = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
    seen = UserItems.of_pairs(train.user_index, train.item_index, num_rows=USERS + 1).of_users(wanted)
    ranked = rank_items(Embeddings(users, items), wanted, seen, k)
    return float(rank_metrics(ranked, relevant.of_users(wanted), [k])["recall", k].mean())


@pytest.mark.parametrize("loss", LOSSES)
def test_retrieval_finds_the_planted_groups_almost_perfectly(loss: str) -> None:
    train, test = planted_parts()
    # A user's group has 15 items, at least 5 of them in the training set: the other 10 hold all held-out items.
    assert recall(fit(params(loss=loss, temperature=0.5), train), train, test, 10) > 0.99


@pytest.mark.parametrize("loss", LOSSES)
def test_ratings_are_learned_alone_and_together_with_retrieval(loss: str) -> None:
    train, test = planted_parts()
    assert test.rating is not None
    both = params(loss=loss, temperature=0.5, rating_weight=1.0, epochs=30)
    for settings in (both.model_copy(update={"retrieval_weight": 0.0}), both):
        fitted = fit(settings, train)
        assert fitted.rating_model is not None
        predicted = fitted.rating_model.predict(test.user_index, test.item_index)
        # The standard deviation of the ratings is 3.
        assert root_mean_squared_error(predicted, test.rating) < 0.3
        assert (fitted.epochs[0].retrieval_loss is None) == (settings.retrieval_weight == 0)
    assert recall(fitted, train, test, 10) > 0.99


@pytest.mark.parametrize("loss", LOSSES)
def test_one_user_and_one_item_are_no_trouble(loss: str) -> None:
    pair = Interactions(np.array([1], np.int32), np.array([1], np.int32), None, 1, 1)
    fitted = fit(params(loss=loss, epochs=2), pair)
    assert all(np.isfinite(values).all() for values in embeddings(fitted))


def test_ids_without_rows_score_by_popularity_alone() -> None:
    train, _ = planted_parts()
    few = train._replace(num_users=USERS + 5, num_items=ITEMS + 5)
    users, items = embeddings(fit(params(epochs=2, popularity_prior=0.7), few))
    assert users.shape == (USERS + 6, 16 + PRIOR_DIMENSIONS)
    assert (directions(users)[[0, USERS + 1, USERS + 5]] == 0).all()
    assert (directions(items)[[0, ITEMS + 1]] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(directions(users)[1 : USERS + 1], axis=1), 1, rtol=1e-5)
    counts = history_of(few._replace(num_users=USERS)).counts()
    np.testing.assert_allclose(
        prior_terms(users)[: USERS + 1], np.stack([counts / (counts + 5), np.ones(USERS + 1)], 1)
    )
    expected = 0.7 * 0.2 * np.log1p(np.bincount(few.item_index, minlength=ITEMS + 6) / 0.5)
    assert expected[0] == 0
    np.testing.assert_allclose(prior_terms(items), np.stack([0 * expected, expected], 1), rtol=1e-5)
    np.testing.assert_allclose(users[0] @ items.T, expected, rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    train, _ = planted_parts()
    first, again, other = (fit(params(epochs=3, seed=seed, rating_weight=0.5), train) for seed in (1, 1, 2))
    for array, repeated in zip(embeddings(first), embeddings(again), strict=True):
        assert array.tobytes() == repeated.tobytes()
    assert first.epochs == again.epochs
    assert embeddings(first)[0].tobytes() != embeddings(other)[0].tobytes()


def test_the_reported_loss_is_that_of_the_same_batches_at_one_temperature() -> None:
    train, _ = planted_parts()
    training = fitting.Training(params(epochs=3), train, None)
    epochs = [training.epoch(number, temperature) for number, temperature in ((1, 0.15), (2, 0.3), (3, 0.2))]
    assert [round(epoch.temperature, 6) for epoch in epochs] == [0.15, 0.3, 0.2]
    # Measuring trains nothing, and does not depend on the temperature of training.
    assert training.retrieval_loss() == epochs[-1].retrieval_loss
    training.temperature.assign(7.0)
    assert training.retrieval_loss() == epochs[-1].retrieval_loss
    batch = training.reported_batches[0]
    training.temperature.assign(fitting.REPORTED_TEMPERATURE)
    assert float(training.reported_loss(batch)) == pytest.approx(float(training.model.task_losses(batch)["retrieval"]))


@pytest.mark.parametrize("task", ["retrieval", "rating"])
def test_vectors_that_are_not_finite_stop_with_epoch_and_learning_rate(task: str) -> None:
    train, _ = planted_parts()
    settings = params(learning_rate=1000.0, **{"retrieval_weight": 0.0, f"{task}_weight": 1.0})
    broken = Vectors(*(np.full((size + 1, 16), np.nan, np.float32) for size in (USERS, ITEMS)))
    training = fitting.Training(settings, train, rating_biases(train, 5.0) if task == "rating" else None, broken)
    with pytest.raises(StageError, match=rf"epoch 1: expected a finite {task}_loss.*; lower train.learning_rate"):
        training.epoch(1, 0.2)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_every_optimizer_learns(optimizer: str) -> None:
    train, _ = planted_parts()
    rates = {"adagrad": 0.3, "adam": 0.01, "sgd": 1.0}
    fitted = fit(params(optimizer=optimizer, learning_rate=rates[optimizer], epochs=10), train)
    losses = [epoch.retrieval_loss or 0.0 for epoch in fitted.epochs]
    assert losses[-1] < losses[0] - 0.1
