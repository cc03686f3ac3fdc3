"""The rating head: the solution of a dense solver, planted tastes that biases cannot explain, ids without ratings."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from tests.conftest import dataset
from tests.towerline.training.conftest import fit, params
from towerline.artifacts.split import Interactions
from towerline.metrics.ratings import rating_biases, root_mean_squared_error
from towerline.training import rating_head
from towerline.training.history import History
from towerline.training.rating_head import Regressions
from towerline.training.spectral import Vectors

USERS, ITEMS = 40, 30


def unit_vectors(number: int, dimension: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Random directions; a zero vector for the unknown id and the last one."""
    vectors = draw.normal(size=(number + 1, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[[0, number]] = 0
    return vectors.astype(np.float32)


def rated(draw: np.random.Generator) -> Interactions:
    """Half of all pairs, without the last user and the last item."""
    user, item = np.nonzero(draw.random((USERS - 1, ITEMS - 1)) < 0.5)
    rating = draw.normal(5, 2, len(user)).astype(np.float32)
    return Interactions((user + 1).astype(np.int32), (item + 1).astype(np.int32), rating, USERS, ITEMS)


def test_the_weights_are_those_of_a_dense_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rating_head, "STEPS", 60)
    monkeypatch.setattr(rating_head, "BLOCK_ROWS", 100)
    draw, dimension = np.random.default_rng(0), 4
    rows = rated(draw)
    vectors = Vectors(unit_vectors(USERS, dimension, draw), unit_vectors(ITEMS, dimension, draw))
    biases = rating_biases(rows, 2.0)
    fitted = Regressions(History(rows), biases).fit(vectors)
    design = np.zeros((len(rows.user_index), USERS + 1 + ITEMS + 1, dimension))
    number = np.arange(len(design))
    design[number, rows.user_index] = vectors.items[rows.item_index]
    design[number, USERS + 1 + rows.item_index] = vectors.users[rows.user_index]
    matrix = design.reshape(len(design), -1)
    penalty = np.repeat([5.0, 10.0], [(USERS + 1) * dimension, (ITEMS + 1) * dimension])
    assert rows.rating is not None
    rest = rows.rating - biases.predict(rows.user_index, rows.item_index)
    expected = np.linalg.solve(matrix.T @ matrix + np.diag(penalty), matrix.T @ rest).reshape(-1, dimension)
    np.testing.assert_allclose(np.concatenate(fitted.weights), expected, atol=1e-5)
    # All eight factors are kept here, so that their inner products are those of vectors and weights.
    model = fitted.rating_model(biases)
    products = fitted.weights.users @ vectors.items.T + vectors.users @ fitted.weights.items.T
    np.testing.assert_allclose(model.user_factors @ model.item_factors.T, products, atol=1e-5)


def test_ids_without_ratings_have_the_biases_alone_and_equal_ratings_no_factors() -> None:
    draw = np.random.default_rng(1)
    rows = rated(draw)
    vectors = Vectors(unit_vectors(USERS, 8, draw), unit_vectors(ITEMS, 8, draw))
    biases = rating_biases(rows, 2.0)
    model = Regressions(History(rows), biases).fit(vectors).rating_model(biases)
    assert model.user_factors[1:USERS].any(axis=1).all()
    for factors in (model.user_factors, model.item_factors):
        assert not factors[[0, -1]].any()
    user, item = np.array([0, 3, USERS, USERS], np.int32), np.array([3, ITEMS, 3, 0], np.int32)
    np.testing.assert_array_equal(model.predict(user, item), biases.predict(user, item))
    equal = rows._replace(rating=np.full(len(rows.user_index), 4, np.float32))
    biases = rating_biases(equal, 2.0)
    model = Regressions(History(equal), biases).fit(vectors).rating_model(biases)
    assert (model.predict(equal.user_index, equal.item_index) == 4).all()


def tastes(draw: np.random.Generator) -> Interactions:
    """Users choose and rate items by tastes of two dimensions; the mean rating of every user and item is about 5."""
    users, items = (draw.choice([-1.0, 1.0], size=(number, 2)) for number in (300, 200))
    agreement = users @ items.T
    user, item = np.nonzero(draw.random((300, 200)) < 0.2 + agreement / 20)
    rating = 5 + agreement[user, item] + draw.normal(size=len(user)) / 2
    return Interactions((user + 1).astype(np.int32), (item + 1).astype(np.int32), rating.astype(np.float32), 300, 200)


@pytest.mark.parametrize("loss", ["grouped_softmax", "in_batch_softmax"])
def test_planted_tastes_are_predicted_where_biases_explain_nothing(loss: str) -> None:
    draw = np.random.default_rng(2)
    rows = tastes(draw)
    held_out = draw.random(len(rows.user_index)) < 0.1
    train, test = rows.where(~held_out), rows.where(held_out)
    assert test.rating is not None
    fitted = fit(params(loss=loss, rating_weight=1.0, epochs=5, batch_size=128), train)
    assert fitted.rating_model is not None
    errors = [
        root_mean_squared_error(model.predict(test.user_index, test.item_index), test.rating)
        for model in (rating_biases(train, 2.0), fitted.rating_model)
    ]
    # The standard deviation of the tastes is 1.4, and that of the noise 0.5.
    assert errors[0] > 1.3
    assert errors[1] < 1.1


def test_ratings_of_movielens_are_predicted_better_than_by_biases() -> None:
    table = pd.read_csv(dataset("ml-100k/ml-100k.inter"), sep="\t").sample(frac=1, random_state=1)
    user, item = ((pd.factorize(table[name])[0] + 1).astype(np.int32) for name in table.columns[:2])
    rows = Interactions(user, item, table.iloc[:, 2].to_numpy(np.float32), int(user.max()), int(item.max()))
    held_out = np.arange(len(user)) < len(user) // 10
    train, test = rows.where(~held_out), rows.where(held_out)
    assert test.rating is not None
    settings = params(rating_weight=0.03, epochs=3, embedding_dimension=64, batch_size=128)
    model = fit(settings, train).rating_model
    assert model is not None
    errors = [
        root_mean_squared_error(predictor.predict(test.user_index, test.item_index), test.rating)
        for predictor in (rating_biases(train, 2.0), model)
    ]
    assert errors[1] < 0.96 * errors[0]
