"""Numbers that are computed over rows in blocks: to the bit those of NumPy on the arrays of all rows."""

import numpy as np
import pytest

from towerline.artifacts.split import Interactions
from towerline.feedback.strengths import Feedback, with_strengths
from towerline.metrics.ratings import BIAS_SWEEPS, RatingModel, rating_biases, root_mean_squared_error
from towerline.pipeline import row_arrays
from towerline.ranking.popularity import decayed_counts
from towerline.training.ratings import Standard

USERS, ITEMS, ROWS = 50, 40, 20_000


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Interactions:
    """Rows whose sums depend on their order."""
    monkeypatch.setattr(row_arrays, "BLOCK_ROWS", 999)
    draw = np.random.default_rng(0)
    user, item = draw.integers(1, USERS + 1, ROWS), draw.integers(1, ITEMS + 1, ROWS)
    rating, weight = (draw.lognormal(size=ROWS).astype(np.float32) for _ in range(2))
    times = draw.integers(0, 10**7, ROWS)
    return Interactions(user.astype(np.int32), item.astype(np.int32), rating, USERS, ITEMS, times, weight)


def test_ratings_are_standardized(rows: Interactions) -> None:
    assert rows.rating is not None
    standard = Standard.of(rows.rating)
    assert standard.mean == rows.rating.mean(dtype=np.float64)
    assert standard.deviation == rows.rating.std(dtype=np.float64)
    expected = (rows.rating - standard.mean) / standard.deviation
    np.testing.assert_array_equal(standard.standardized(rows), expected)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_strengths_and_decayed_counts(rows: Interactions, exponent: float) -> None:
    assert rows.rating is not None
    assert rows.weight is not None
    assert rows.timestamp is not None
    powers, counted = rows.weight.astype(np.float64) ** exponent, rows.rating >= 1
    expected = np.where(counted, powers / powers[counted].mean(), 0).astype(np.float32)
    known = with_strengths(rows, Feedback(below=1.0, dislikes="left_out", weight_exponent=exponent))
    assert known.strength is not None
    np.testing.assert_array_equal(known.strength, expected)
    decay = 0.5 ** ((rows.timestamp.max() - rows.timestamp) / (7.0 * 86_400))
    counts = np.bincount(rows.item_index, decay * known.strength, ITEMS + 1)
    np.testing.assert_array_equal(decayed_counts(known, 7.0), counts)


def test_biases_predictions_and_their_error(rows: Interactions) -> None:
    assert rows.rating is not None
    mean, index = rows.rating.mean(dtype=np.float64), [rows.user_index, rows.item_index]
    biases = [np.zeros(USERS + 1), np.zeros(ITEMS + 1)]
    for _ in range(BIAS_SWEEPS):
        for side, other in ((1, 0), (0, 1)):
            left = np.bincount(index[side], rows.rating - mean - biases[other][index[other]], len(biases[side]))
            biases[side] = left / (np.bincount(index[side], minlength=len(biases[side])) + 2.0)
    model = rating_biases(rows, 2.0)
    np.testing.assert_array_equal(model.user_bias, biases[0].astype(np.float32))
    np.testing.assert_array_equal(model.item_bias, biases[1].astype(np.float32))
    draw = np.random.default_rng(1)
    factors = (draw.normal(size=(number + 1, 32)).astype(np.float32) for number in (USERS, ITEMS))
    model = RatingModel(*model[:3], *factors)
    expected = model.offset + model.user_bias[index[0]] + model.item_bias[index[1]]
    expected = expected + np.einsum("rf,rf->r", model.user_factors[index[0]], model.item_factors[index[1]])
    predicted = model.predict(*index)
    np.testing.assert_array_equal(predicted, expected)
    error = np.sqrt(np.mean((expected.astype(np.float64) - rows.rating) ** 2))
    assert root_mean_squared_error(predicted, rows.rating) == error
