"""The towers and their tasks: losses against slow programs, learning on planted data, and the same bytes twice."""

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.export.servable import Retrieval, Vocabularies
from tests.conftest import ROOT, planted_rows
from towerline.artifacts.split import Interactions
from towerline.metrics.ranking import rank_metrics
from towerline.metrics.ratings import root_mean_squared_error
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions, prior_terms
from towerline.ranking.scorers import Embeddings
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems
from towerline.towers import tf
from towerline.towers.towers import Towers
from towerline.training import fitting
from towerline.training.batches import Batch, PairBatches, UserBatches, inclusion_probabilities
from towerline.training.params import TrainParams
from towerline.training.search import recipe_of
from towerline.training.spectral import spectral_start
from towerline.training.tasks import log_partition
from towerline.training.two_tower import HISTORY_WEIGHT, RatingHead, TwoTower

USERS, ITEMS = 60, 60


@pytest.fixture(scope="module", autouse=True)
def _deterministic() -> None:
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module", autouse=True)
def _nothing_in_the_system_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """AutoGraph keeps its files until the process ends, so that they stay after `kill -9`."""
    folder = tmp_path_factory.mktemp("system")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(folder))
        yield
    assert not list(folder.iterdir())


def params(**changes: Any) -> TrainParams:
    """The parameters of the repository with the given changes, and some that suit the small data of these tests."""
    defaults = TrainParams.load(ROOT / "params.yaml").model_dump()
    small = {"embedding_dimension": 16, "batch_size": 16, "early_stopping_patience": 0, "seed": 3}
    fixed = {"rating_weight": 0.0, "temperature": 0.2, "popularity_prior": 0.5}
    return TrainParams(**(defaults | small | fixed | changes))


def planted_parts() -> tuple[Interactions, Interactions]:
    """Training and held-out set of the checkerboard; item index = 1 + its number, ratings 9 and 3 by its parity."""
    rows = planted_rows(USERS, ITEMS)
    user = np.array([int(row[0][1:]) + 1 for row in rows], np.int32)
    item = np.array([int(row[1]) + 1 + (ITEMS // 2 if row[2] == "film" else 0) for row in rows], np.int32)
    rating = np.array([float(row[3]) for row in rows], np.float32)
    held_out = np.arange(len(rows)) % 5 == 0
    return (
        Interactions(user[~held_out], item[~held_out], rating[~held_out], USERS, ITEMS),
        Interactions(user[held_out], item[held_out], rating[held_out], USERS, ITEMS),
    )


def history_of(train: Interactions) -> UserItems:
    return UserItems.of_pairs(train.user_index, train.item_index, num_rows=USERS + 1)


def fit(settings: TrainParams, train: Interactions) -> fitting.Fitted:
    tf.keras.utils.set_random_seed(settings.seed)
    recipe = recipe_of(settings.given(), settings)
    # The planted ratings have no noise, so that little regularization is best.
    update = {} if recipe.bias_regularization is None else {"bias_regularization": 0.5}
    return fitting.fit(recipe.model_copy(update=update), train)


def embeddings(fitted: fitting.Fitted) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return fitted.towers.query.all_embeddings(), fitted.towers.candidate.all_embeddings()


def recall(fitted: fitting.Fitted, train: Interactions, test: Interactions, k: int) -> float:
    users, items = embeddings(fitted)
    relevant = UserItems.of_pairs(test.user_index, test.item_index, num_rows=USERS + 1)
    wanted = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
    seen = UserItems.of_pairs(train.user_index, train.item_index, num_rows=USERS + 1).of_users(wanted)
    ranked = rank_items(Embeddings(users, items), wanted, seen, k)
    return float(rank_metrics(ranked, relevant.of_users(wanted), [k])["recall", k].mean())


LOSSES = ["grouped_softmax", "in_batch_softmax"]


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
        predicted = fitted.rating_model.predict(test.user_index, test.item_index, *map(directions, embeddings(fitted)))
        # The standard deviation of the ratings is 3.
        assert root_mean_squared_error(predicted, test.rating) < 0.3
        assert (fitted.epochs[0].retrieval_loss is None) == (settings.retrieval_weight == 0)
    assert recall(fitted, train, test, 10) > 0.99


def random_towers(dimension: int) -> Towers:
    towers = Towers(USERS, ITEMS, dimension)
    draw = np.random.default_rng(1)
    for tower, size in ((towers.query, USERS), (towers.candidate, ITEMS)):
        tower.start_from(draw.normal(size=(size + 1, dimension)).astype(np.float32), np.arange(1, size + 1))
    return towers


SCALE = 0.7


def random_biases() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draw = np.random.default_rng(2)
    return draw.normal(size=USERS + 1).astype(np.float32), draw.normal(size=ITEMS + 1).astype(np.float32)


def random_rating_head() -> RatingHead:
    head = RatingHead(*random_biases())
    head.scale.assign(SCALE)
    return head


def pair_batch(users: list[int], items: list[int], rating: list[float]) -> Batch:
    """The in-batch softmax' batch of the given rows."""
    part = Interactions(np.array(users, np.int32), np.array(items, np.int32), None, USERS, ITEMS)
    (batch,) = PairBatches(part, np.array(rating, np.float32), len(users)).epoch(np.random.default_rng(0))
    return batch


def test_in_batch_losses_are_means_and_equal_slow_programs() -> None:
    towers, biases = random_towers(8), random_biases()
    weights = {"retrieval": 2.0, "rating": 0.5}
    model = TwoTower(towers, random_rating_head(), weights, "in_batch_softmax", 0.3)
    batch = pair_batch([1, 2, 3, 4], [5, 6, 5, 7], [1.0, -1.0, 0.5, 2.0])
    user, item = batch.users[batch.pair_user], batch.items[batch.pair_item]
    assert {(3, 5, 0.5), (4, 7, 2.0)} < set(zip(user.tolist(), item.tolist(), batch.rating.tolist(), strict=True))
    query = towers.query.all_embeddings()[user, :-PRIOR_DIMENSIONS].astype(np.float64)
    candidate = towers.candidate.all_embeddings()[item, :-PRIOR_DIMENSIONS].astype(np.float64)
    cosine = query @ candidate.T
    losses = []
    for row in range(4):
        # Another row with the same item: an accidental hit is no negative.
        negatives = [column for column in range(4) if column == row or item[column] != item[row]]
        logits = cosine[row, negatives] / 0.3
        losses.append(np.log(np.exp(logits).sum()) - cosine[row, row] / 0.3)
    predicted = biases[0][user] + biases[1][item] + SCALE * np.diag(cosine)
    expected = {"retrieval": np.mean(losses), "rating": np.mean((predicted - batch.rating) ** 2)}
    by_task = {task: float(loss) for task, loss in model.task_losses(batch).items()}
    assert by_task == pytest.approx(expected, rel=1e-5)
    assert float(model.compute_loss(batch)) == pytest.approx(
        2 * expected["retrieval"] + 0.5 * expected["rating"], rel=1e-5
    )


def test_an_accidental_hit_gets_no_gradient() -> None:
    model = TwoTower(random_towers(4), None, {"retrieval": 1.0}, "in_batch_softmax", 0.1)
    with tf.GradientTape() as tape:
        # Both rows have item 1: each is the only candidate of the other, and nothing is left to tell apart.
        loss = model.compute_loss(pair_batch([1, 2], [1, 1], [0.0, 0.0]))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert float(loss) == pytest.approx(0.0, abs=1e-6)
    assert all(np.abs(tf.convert_to_tensor(gradient).numpy()).max() < 1e-6 for gradient in gradients)


def grouped_batch(candidates: int = 20) -> Batch:
    train, _ = planted_parts()
    assert train.rating is not None
    batches = UserBatches(train, history_of(train), ((train.rating - 6) / 3).astype(np.float32), 8, candidates)
    return next(batches.epoch(np.random.default_rng(4)))


def test_grouped_losses_equal_slow_programs() -> None:
    towers, biases = random_towers(8), random_biases()
    weights = {"retrieval": 2.0, "rating": 0.5}
    model = TwoTower(towers, random_rating_head(), weights, "grouped_softmax", 0.3)
    batch = grouped_batch()
    assert 5 < len(batch.log_weight) < len(batch.items)
    assert len(batch.masked)
    items = towers.candidate.all_embeddings()[batch.items, :-PRIOR_DIMENSIONS].astype(np.float64)
    own = towers.query.embedding.numpy()[batch.users].astype(np.float64)
    retrieval, rating = [], []
    for position in range(len(batch.users)):
        of_user = batch.pair_item[batch.pair_user == position]
        vector = own[position] + HISTORY_WEIGHT * items[of_user].sum(axis=0) / np.sqrt(len(of_user))
        negatives = [j for j in range(len(batch.log_weight)) if j not in of_user]
        logits = items[negatives] @ vector / np.linalg.norm(vector) / 0.3 + batch.log_weight[negatives]
        for item, label in zip(of_user, batch.rating[batch.pair_user == position], strict=True):
            retrieval.append(np.log(np.exp(logits).sum()) - vector @ items[item] / np.linalg.norm(vector) / 0.3)
            rest = vector - HISTORY_WEIGHT * items[item] / np.sqrt(len(of_user))
            bias = biases[0][batch.users[position]] + biases[1][batch.items[item]]
            rating.append((bias + SCALE * rest @ items[item] / np.linalg.norm(rest) - label) ** 2)
    expected = {"retrieval": np.mean(retrieval), "rating": np.mean(rating)}
    losses = {task: float(loss) for task, loss in model.task_losses(batch).items()}
    assert losses == pytest.approx(expected, rel=1e-5)


def test_the_log_partition_has_the_gradient_of_its_formula_and_none_for_what_is_masked() -> None:
    draw = np.random.default_rng(0)
    query, candidates = (tf.constant(draw.normal(size=(rows, 3)), tf.float32) for rows in (4, 6))
    log_weight = tf.constant(draw.normal(size=6), tf.float32)
    # Candidate 2 is masked for all, and all candidates for query 3.
    pairs = {(row, 2) for row in range(4)} | {(3, column) for column in range(6)} | {(0, 1)}
    masked = tf.constant(sorted(pairs), tf.int32)
    allowed = np.array([[(row, column) not in pairs for column in range(6)] for row in range(3)])

    def formula(query: Any, candidates: Any) -> Any:
        terms = tf.exp(tf.matmul(query, candidates, transpose_b=True) + log_weight)
        return tf.math.log(tf.reduce_sum(terms[:3] * allowed, axis=1))

    upstream = tf.constant([0.5, 2.0, -1.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([query, candidates])
        computed, expected = log_partition(query, candidates, log_weight, masked), formula(query, candidates)
        sums = [tf.reduce_sum(upstream * values[:3]) for values in (computed, expected)]
    np.testing.assert_allclose(computed[:3], expected, rtol=1e-5)
    assert computed[3] == 0
    for variable in (query, candidates):
        mine, theirs = (tape.gradient(total, variable) for total in sums)
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    assert not tape.gradient(sums[0], query)[3].numpy().any()
    assert not tape.gradient(sums[0], candidates)[2].numpy().any()


def test_candidates_come_up_as_often_as_their_weight_says() -> None:
    counts = np.array([0, 1, 1, 0, 1000, 50, 50, 3, 8, 20])
    probability = inclusion_probabilities(counts, 5)
    assert probability[counts == 0].sum() == 0
    assert probability.sum() == pytest.approx(5)
    assert probability.max() == 1
    below = (probability < 1) & (counts > 0)
    ratio = probability[below] / counts[below] ** 0.4
    np.testing.assert_allclose(ratio, ratio[0])
    assert (inclusion_probabilities(counts, 100)[counts > 0] == 1).all()


def test_user_batches_hold_every_row_once_and_name_every_index_once() -> None:
    train, _ = planted_parts()
    assert train.rating is not None
    batches = UserBatches(train, history_of(train), train.rating, 7, 10)
    seen = set()
    drawn = []
    for batch in batches.epoch(np.random.default_rng(0)):
        assert len(np.unique(batch.items)) == len(batch.items)
        drawn.append(len(batch.log_weight))
        pairs = zip(batch.users[batch.pair_user], batch.items[batch.pair_item], batch.rating, strict=True)
        seen |= set(pairs)
        hidden = {(int(user), int(item)) for user, item in batch.masked}
        own = zip(batch.pair_user.tolist(), batch.pair_item.tolist(), strict=True)
        assert hidden == {pair for pair in own if pair[1] < len(batch.log_weight)}
    assert seen == set(zip(train.user_index, train.item_index, train.rating, strict=True))
    assert len(drawn) == len(batches) == 9
    assert 5 < np.mean(drawn) < 15


def test_the_spectral_start_is_the_truncated_svd() -> None:
    train, _ = planted_parts()
    rows = UserItems.of_pairs(train.user_index, train.item_index, num_rows=USERS + 1)
    users, items = spectral_start(rows, ITEMS, 4, seed=0)
    matrix = np.zeros((USERS + 1, ITEMS + 1))
    matrix[train.user_index, train.item_index] = 1
    scale = [np.maximum(matrix.sum(axis=axis), 1) ** -0.5 for axis in (1, 0)]
    left, strength, right = np.linalg.svd(scale[0][:, None] * matrix * scale[1])
    for start, side in ((users, left[:, :4]), (items, right[:4].T)):
        expected = side * strength[:4]
        expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)
        np.testing.assert_allclose((start @ start.T)[1:, 1:], (expected @ expected.T)[1:, 1:], atol=0.02)
    wide, _ = spectral_start(rows, ITEMS, 100, seed=0)
    assert wide.shape == (USERS + 1, 100)
    assert np.isfinite(wide).all()


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


def test_a_full_disk_ends_the_saved_model_in_one_line(tmp_path: Path) -> None:
    ids = np.array([f"{number}" for number in range(9_999)], object)
    vectors = np.zeros((len(ids) + 1, 64), np.float32)
    retrieval = Retrieval(Embeddings(vectors, vectors), Vocabularies(ids, ids, ids))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file may grow beyond this, which is as good as a disk without room.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(StageError) as raised:
            retrieval.save(tmp_path / "retrieval")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(raised.value) == f"{tmp_path / 'retrieval'}: expected to write the SavedModel, found: File too large"
    assert [path.name for path in tmp_path.iterdir()] == ["retrieval"]


def test_a_step_too_far_stops_with_epoch_and_learning_rate() -> None:
    train, _ = planted_parts()
    settings = params(optimizer="sgd", learning_rate=1000.0, retrieval_weight=0.0, rating_weight=1000.0)
    with pytest.raises(StageError, match=r"epoch \d: expected .*finite .*; lower train.learning_rate \(1000\)"):
        fit(settings, train)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam", "sgd"])
def test_every_optimizer_learns(optimizer: str) -> None:
    train, _ = planted_parts()
    rates = {"adagrad": 0.3, "adam": 0.01, "sgd": 1.0}
    fitted = fit(params(optimizer=optimizer, learning_rate=rates[optimizer], epochs=10), train)
    losses = [epoch.retrieval_loss or 0.0 for epoch in fitted.epochs]
    assert losses[-1] < losses[0] - 0.1
