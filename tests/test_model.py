"""The towers and their tasks: the losses by slow twins, what is learned on planted data, and the same bytes twice."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.artifacts import Part
from stages.model import fitting, tf
from stages.model.towers import Towers
from stages.model.two_tower import RatingHead, TwoTower
from stages.params import TrainParams
from stages.ranking.metrics import rank_metrics
from stages.ranking.ratings import root_mean_squared_error
from stages.ranking.top_k import rank_items
from stages.ranking.user_items import UserItems
from stages.terminal import StageError
from tests.conftest import planted_rows

USERS, ITEMS = 60, 60


@pytest.fixture(scope="module", autouse=True)
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


def params(**changes: Any) -> TrainParams:
    defaults: dict[str, Any] = {
        "embedding_dimension": 16,
        "retrieval_weight": 1.0,
        "rating_weight": 0.0,
        "temperature": 0.2,
        "popularity_prior": 0.5,
        "optimizer": "adagrad",
        "learning_rate": 1.0,
        "batch_size": 64,
        "epochs": 30,
        "early_stopping_patience": 0,
        "seed": 3,
        "threads": 2,
    }
    return TrainParams(**(defaults | changes))


def planted_parts() -> tuple[Part, Part]:
    """Train and held-out part of the checkerboard; item index = 1 + its number, ratings 9 and 3 by its parity."""
    rows = planted_rows(USERS, ITEMS)
    user = np.array([int(row[0][1:]) + 1 for row in rows], np.int32)
    item = np.array([int(row[1]) + 1 + (ITEMS // 2 if row[2] == "film" else 0) for row in rows], np.int32)
    rating = np.array([float(row[3]) for row in rows], np.float32)
    held_out = np.arange(len(rows)) % 5 == 0
    return (
        Part(user[~held_out], item[~held_out], rating[~held_out], USERS, ITEMS),
        Part(user[held_out], item[held_out], rating[held_out], USERS, ITEMS),
    )


def fit(settings: TrainParams, train: Part, validation: Part) -> fitting.Fitted:
    tf.keras.utils.set_random_seed(settings.seed)
    return fitting.fit(settings, train, validation)


def embeddings(fitted: fitting.Fitted) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return fitted.towers.query.all_embeddings(), fitted.towers.candidate.all_embeddings()


def recall(fitted: fitting.Fitted, train: Part, test: Part, k: int) -> float:
    users, items = embeddings(fitted)
    relevant = UserItems.of_pairs(test.user_index, test.item_index, USERS)
    wanted = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
    seen = UserItems.of_pairs(train.user_index, train.item_index, USERS).of_users(wanted)
    ranked = rank_items(users[wanted], items, seen, k)
    return float(rank_metrics(ranked, relevant.of_users(wanted), [k])[f"recall@{k}"].mean())


def test_retrieval_finds_the_planted_groups_almost_perfectly() -> None:
    train, test = planted_parts()
    # A user's group has 15 items, at least 5 of them in the train part: the other 10 hold all that is held out.
    assert recall(fit(params(), train, test), train, test, 10) > 0.99


def test_ratings_are_learned_alone_and_beside_retrieval() -> None:
    train, test = planted_parts()
    assert test.rating is not None
    for settings in (params(retrieval_weight=0.0, rating_weight=1.0), params(rating_weight=1.0)):
        fitted = fit(settings, train, test)
        assert fitted.rating_model is not None
        predicted = fitted.rating_model.predict(test.user_index, test.item_index, *embeddings(fitted))
        # The standard deviation of the ratings is 3.
        assert root_mean_squared_error(predicted, test.rating) < 0.3
        assert (fitted.epochs[0].retrieval_loss is None) == (settings.retrieval_weight == 0)
    assert recall(fitted, train, test, 10) > 0.99


def test_losses_are_means_and_equal_their_slow_twins() -> None:
    tf.keras.utils.set_random_seed(1)
    towers = Towers(USERS, ITEMS, 8)
    model = TwoTower(towers, RatingHead(USERS, ITEMS), {"retrieval": 2.0, "rating": 0.5}, temperature=0.3)
    user, item = np.array([1, 2, 3, 4], np.int32), np.array([5, 6, 5, 7], np.int32)
    rating = np.array([1.0, -1.0, 0.5, 2.0], np.float32)
    batch = {
        name: tf.constant(value) for name, value in (("user_index", user), ("item_index", item), ("rating", rating))
    }
    query = towers.query.all_embeddings()[user, :-1].astype(np.float64)
    candidate = towers.candidate.all_embeddings()[item, :-1].astype(np.float64)
    cosine = query @ candidate.T
    losses = []
    for row in range(4):
        # Row 2 has the item of row 0: an accidental hit is no negative.
        negatives = [column for column in range(4) if column == row or item[column] != item[row]]
        logits = cosine[row, negatives] / 0.3
        losses.append(np.log(np.exp(logits).sum()) - cosine[row, row] / 0.3)
    expected = {"retrieval": np.mean(losses), "rating": np.mean((np.diag(cosine) - rating) ** 2)}
    found = {task: float(loss) for task, loss in model.task_losses(batch).items()}
    assert found == pytest.approx(expected, rel=1e-5)
    assert float(model.compute_loss(batch)) == pytest.approx(
        2 * expected["retrieval"] + 0.5 * expected["rating"], rel=1e-5
    )


def test_an_accidental_hit_gets_no_gradient() -> None:
    tf.keras.utils.set_random_seed(1)
    towers = Towers(3, 3, 4)
    model = TwoTower(towers, None, {"retrieval": 1.0}, temperature=0.1)
    with tf.GradientTape() as tape:
        # Both rows have item 1: each is the only candidate of the other, and nothing is left to tell apart.
        loss = model.compute_loss({"user_index": tf.constant([1, 2]), "item_index": tf.constant([1, 1])})
    gradients = tape.gradient(loss, model.trainable_variables)
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert all(np.abs(tf.convert_to_tensor(gradient).numpy()).max() < 1e-6 for gradient in gradients)


def test_ids_without_training_rows_score_by_popularity_alone() -> None:
    train, validation = planted_parts()
    few = train._replace(num_users=USERS + 5, num_items=ITEMS + 5)
    fitted = fit(
        params(epochs=2, popularity_prior=0.7), few, validation._replace(num_users=USERS + 5, num_items=ITEMS + 5)
    )
    users, items = embeddings(fitted)
    assert users.shape == (USERS + 6, 17)
    assert (users[[0, USERS + 1, USERS + 5], :-1] == 0).all()
    assert (items[[0, ITEMS + 1], :-1] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(users[1 : USERS + 1, :-1], axis=1), 1, rtol=1e-5)
    assert (users[:, -1] == 1).all()
    counts = np.bincount(train.item_index, minlength=ITEMS + 6)
    expected = 0.7 * 0.2 * np.log(np.maximum(counts, 0.5) / len(train.item_index))
    np.testing.assert_allclose(items[:, -1], expected, rtol=1e-5)
    np.testing.assert_allclose(users[0] @ items.T, expected, rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    train, validation = planted_parts()
    first, again, other = (fit(params(epochs=3, seed=seed, rating_weight=0.5), train, validation) for seed in (1, 1, 2))
    for one, two in zip(embeddings(first), embeddings(again), strict=True):
        assert one.tobytes() == two.tobytes()
    assert first.epochs == again.epochs
    assert embeddings(first)[0].tobytes() != embeddings(other)[0].tobytes()


def test_early_stopping_goes_back_to_the_best_epoch() -> None:
    train, validation = planted_parts()
    settings = params(epochs=40, early_stopping_patience=2, learning_rate=2.0)
    stopped = fit(settings, train, validation)
    scores = [epoch.validation_ndcg or 0.0 for epoch in stopped.epochs]
    assert len(scores) == stopped.best_epoch + 2 < 40
    assert int(np.argmax(scores)) + 1 == stopped.best_epoch
    best_again = fit(settings.model_copy(update={"epochs": stopped.best_epoch}), train, validation)
    assert embeddings(stopped)[0].tobytes() == embeddings(best_again)[0].tobytes()


def test_a_loss_that_is_not_finite_stops_with_epoch_and_learning_rate() -> None:
    train, validation = planted_parts()
    settings = params(optimizer="sgd", learning_rate=1e30, retrieval_weight=0.0, rating_weight=1.0)
    with pytest.raises(StageError, match=r"epoch 1: expected a finite rating_loss, found .*learning_rate \(1e\+30\)"):
        fit(settings, train, validation)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_every_optimizer_learns(optimizer: str) -> None:
    train, validation = planted_parts()
    rates = {"adagrad": 1.0, "adam": 0.05, "sgd": 5.0}
    fitted = fit(params(optimizer=optimizer, learning_rate=rates[optimizer], epochs=10), train, validation)
    losses = [epoch.retrieval_loss or 0.0 for epoch in fitted.epochs]
    assert losses[-1] < losses[0] - 0.5
