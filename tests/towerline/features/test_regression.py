"""Tests of the regressions on features: the normal equations, planted signals, and features that say nothing."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.features.encoder import Encoder
from towerline.features.regression import (
    VECTOR_PENALTIES,
    best_penalty,
    count_penalty,
    held_out_ids,
    poisson,
    predicted,
    ridge,
    vector_penalty,
)

NOBODY = np.zeros(400, np.bool_)


def planted(seed: int = 0) -> tuple["sparse.csr_array", NDArray[np.float64]]:
    """400 ids with one of 4 values, and vectors that are those of the value with noise."""
    draw = np.random.default_rng(seed)
    value = draw.integers(0, 4, 400)
    vectors = draw.standard_normal((4, 6))[value] + 0.3 * draw.standard_normal((400, 6))
    return sparse.csr_array(np.eye(4)[value]), vectors


def test_the_strongest_penalty_without_held_out_ids_and_the_normal_equations() -> None:
    matrix, vectors = planted()
    found = ridge(matrix, vectors, vector_penalty(matrix, vectors, NOBODY))
    dense = matrix.toarray()
    centred = dense - dense.mean(axis=0)
    weights = np.linalg.solve(
        centred.T @ centred + VECTOR_PENALTIES[0] * np.eye(4), centred.T @ (vectors - vectors.mean(axis=0))
    )
    np.testing.assert_allclose(found[1:], weights, atol=1e-3)
    np.testing.assert_allclose(found[0], vectors.mean(axis=0) - dense.mean(axis=0) @ weights, atol=1e-3)


def test_a_planted_signal_is_found_and_noise_is_not() -> None:
    matrix, vectors = planted()
    held_out = held_out_ids(400, 1)
    assert 40 < held_out.sum() < 120
    fit = predicted(ridge(matrix, vectors, vector_penalty(matrix, vectors, held_out)), matrix)
    assert ((fit - vectors) ** 2).sum() < 0.2 * ((vectors - vectors.mean(axis=0)) ** 2).sum()
    noise = sparse.csr_array(np.eye(40)[np.random.default_rng(2).integers(0, 40, 400)])
    useless = predicted(ridge(noise, vectors, vector_penalty(noise, vectors, held_out)), noise)
    # The strongest penalty leaves next to nothing of a feature that says nothing.
    assert ((useless - vectors.mean(axis=0)) ** 2).mean() < 0.001 * vectors.var()


def test_expected_numbers_of_rows_are_the_means_of_the_values() -> None:
    matrix, _ = planted()
    value = matrix.toarray().argmax(axis=1)
    counts = np.random.default_rng(3).poisson(np.array([2.0, 5.0, 20.0, 100.0])[value]) + 0.0
    penalty = count_penalty(matrix, counts, held_out_ids(400, 1))
    fit = np.exp(predicted(poisson(matrix, counts, penalty), matrix)[:, 0])
    for number in range(4):
        np.testing.assert_allclose(fit[value == number].mean(), counts[value == number].mean(), rtol=0.15)


def test_ids_without_encoded_columns_get_the_mean() -> None:
    _, vectors = planted()
    nothing = sparse.csr_array((400, 0))
    np.testing.assert_allclose(ridge(nothing, vectors, 1.0), vectors.mean(axis=0, keepdims=True))
    np.testing.assert_allclose(np.exp(poisson(nothing, np.full(400, 7.0), 1.0)), [[7.0]])


def test_no_more_rows_are_expected_than_a_known_item_has() -> None:
    most = np.array([9.0, 3.0])
    encoder = Encoder([], np.array(False), np.zeros((1, 3)), np.full((1, 2), 1e4), most, np.ones(2), np.zeros(2))
    terms = encoder.embeddings({}, 1)[0, 3:]
    np.testing.assert_allclose(terms, np.log1p(most / 0.5), rtol=1e-6)
    read = Encoder.of_arrays(encoder.arrays())
    assert read is not None
    assert read.embeddings({}, 1).tobytes() == encoder.embeddings({}, 1).tobytes()
    assert Encoder.of_arrays({}) is None


def test_penalties_are_tried_from_the_strongest_until_one_is_worse() -> None:
    tried = []

    def error(penalty: float) -> float:
        tried.append(penalty)
        return abs(penalty - 2.2)

    assert best_penalty(error, (8.0, 4.0, 2.0, 1.0, 0.5), held_out_ids(400, 1)) == 2.0
    assert tried == [8.0, 4.0, 2.0, 1.0]
    assert best_penalty(error, (8.0, 4.0), NOBODY) == 8.0
