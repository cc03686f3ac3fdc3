"""The tasks of the towers: losses and gradients against slow programs."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.towerline.training.conftest import ITEMS, USERS, planted_parts
from towerline.artifacts.split import Interactions
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.towers import tf
from towerline.towers.towers import Towers
from towerline.training.batches import Batch, PairBatches, UserBatches
from towerline.training.history import History
from towerline.training.tasks import Negatives, log_partition, with_negatives
from towerline.training.two_tower import HISTORY_WEIGHT, RatingTerms, TwoTower


def random_towers(dimension: int) -> Towers:
    towers = Towers(USERS, ITEMS, dimension)
    draw = np.random.default_rng(1)
    for tower, size in ((towers.query, USERS), (towers.candidate, ITEMS)):
        tower.start_from(draw.normal(size=(size + 1, dimension)).astype(np.float32), np.arange(1, size + 1))
    return towers


def random_biases() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draw = np.random.default_rng(2)
    return draw.normal(size=USERS + 1).astype(np.float32), draw.normal(size=ITEMS + 1).astype(np.float32)


def random_weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    draw = np.random.default_rng(3)
    return draw.normal(size=(USERS + 1, 8)).astype(np.float32), draw.normal(size=(ITEMS + 1, 8)).astype(np.float32)


def random_rating_terms() -> RatingTerms:
    terms = RatingTerms(*random_biases(), dimension=8)
    terms.user_weights.assign(random_weights()[0])
    terms.item_weights.assign(random_weights()[1])
    return terms


def pair_batch(users: list[int], items: list[int], rating: list[float]) -> Batch:
    """The in-batch softmax' batch of the given rows."""
    part = Interactions(np.array(users, np.int32), np.array(items, np.int32), None, USERS, ITEMS)
    (batch,) = PairBatches(part, np.array(rating, np.float32), len(users)).epoch(np.random.default_rng(0))
    return batch


def test_in_batch_losses_are_means_and_equal_slow_programs() -> None:
    towers, biases = random_towers(8), random_biases()
    weights = {"retrieval": 2.0, "rating": 0.5}
    model = TwoTower(towers, random_rating_terms(), weights, "in_batch_softmax", 0.3)
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
    of_users, of_items = random_weights()
    products = (of_users[user] * candidate + query * of_items[item]).sum(axis=1)
    predicted = biases[0][user] + biases[1][item] + products
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


def grouped_batch(candidates: int = 20, strengths: bool = False, negatives: bool = False) -> Batch:
    train, _ = planted_parts()
    assert train.rating is not None
    rating = ((train.rating - 6) / 3).astype(np.float32)
    if strengths:
        strength = np.random.default_rng(6).choice(np.array([0, 0.5, 3], np.float32), len(train.user_index))
        train = train._replace(strength=strength)
    batches = UserBatches(History(train), rating, 8, candidates, negatives)
    return next(batches.epoch(np.random.default_rng(4)))


@pytest.mark.parametrize(("strengths", "negatives"), [(False, False), (True, False), (True, True)])
def test_grouped_losses_equal_slow_programs(strengths: bool, negatives: bool) -> None:
    towers, biases = random_towers(8), random_biases()
    weights = {"retrieval": 2.0, "rating": 0.5}
    model = TwoTower(towers, random_rating_terms(), weights, "grouped_softmax", 0.3, strengths)
    batch = grouped_batch(strengths=strengths, negatives=negatives)
    strength = batch.strength if strengths else np.ones(len(batch.pair_user))
    assert bool(len(batch.negative)) == negatives
    assert 5 < len(batch.log_weight) < len(batch.items)
    assert len(batch.masked)
    items = towers.candidate.all_embeddings()[batch.items, :-PRIOR_DIMENSIONS].astype(np.float64)
    own = towers.query.embedding.numpy()[batch.users].astype(np.float64)
    retrieval, rating = [], []
    of_users, of_items = random_weights()
    for position in range(len(batch.users)):
        of_user = batch.pair_item[batch.pair_user == position]
        counted = strength[batch.pair_user == position]
        length = np.linalg.norm(counted)
        vector = own[position] + HISTORY_WEIGHT * counted @ items[of_user] / length
        unseen = [j for j in range(len(batch.log_weight)) if j not in of_user]
        logits = items[unseen] @ vector / np.linalg.norm(vector) / 0.3 + batch.log_weight[unseen]
        for pair, log_weight in zip(batch.negative, batch.negative_log_weight, strict=True):
            if batch.pair_user[pair] == position:
                assert strength[pair] == 0
                logit = items[batch.pair_item[pair]] @ vector / np.linalg.norm(vector) / 0.3 + log_weight
                logits = np.append(logits, logit)
        for item, label, share in zip(of_user, batch.rating[batch.pair_user == position], counted, strict=True):
            loss = np.log(np.exp(logits).sum()) - vector @ items[item] / np.linalg.norm(vector) / 0.3
            retrieval.append(share * loss)
            rest = vector - HISTORY_WEIGHT * share * items[item] / length
            bias = biases[0][batch.users[position]] + biases[1][batch.items[item]]
            products = of_users[batch.users[position]] @ items[item]
            products += of_items[batch.items[item]] @ rest / np.linalg.norm(rest)
            rating.append((bias + products - label) ** 2)
    expected = {"retrieval": np.sum(retrieval) / strength.sum(), "rating": np.mean(rating)}
    losses = {task: float(loss) for task, loss in model.task_losses(batch).items()}
    assert losses == pytest.approx(expected, rel=1e-5)


def test_negatives_are_pushed_away_by_finite_gradients_however_large_their_logits() -> None:
    query = tf.constant([[60.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    vectors = tf.constant([[1.0, 0.0], [0.0, 1.0]])
    negatives = Negatives(tf.constant([0, 0]), vectors, tf.constant([200.0, 0.0]))
    log_sum = tf.constant([1.0, 2.0, -300.0])
    with tf.GradientTape() as tape:
        tape.watch(query)
        sums = with_negatives(log_sum, query, negatives)
    gradient = tf.convert_to_tensor(tape.gradient(sums, query))
    np.testing.assert_allclose(sums, [260.0, 2.0, -300.0], rtol=1e-6)
    # The first negative has all the probability of its user, and users without negatives have no gradient.
    np.testing.assert_allclose(gradient, [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], atol=1e-6)


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
