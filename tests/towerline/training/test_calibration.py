"""Calibration: a general optimizer finds the same maximum, planted values come back, its cost is limited (law 9)."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from towerline.artifacts.split import Interactions
from towerline.ranking import blocks
from towerline.ranking.user_items import UserItems
from towerline.training.calibration import ARRAYS_HELD, FEWEST_USERS, Calibration, calibrated
from towerline.training.validation import Validation, num_users

Case = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], UserItems, UserItems]


def drawn_choices(temperature: float, prior: float, users: int = 1500, items: int = 40) -> Case:
    """Users choose three items each, after two that they may not choose, with the model's own probabilities."""
    draw = np.random.default_rng(0)
    vectors = [draw.normal(size=(rows, 6)).astype(np.float32) for rows in (users, items + 1)]
    vectors = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in vectors]
    log_popularity = np.log(draw.dirichlet(np.ones(items + 1))).astype(np.float32)
    logits = vectors[0] @ vectors[1].T / temperature + prior * log_popularity
    logits[:, 0] = -np.inf
    # Gumbel noise: the order of drawing without replacement.
    order = np.argsort(-(logits + draw.gumbel(size=logits.shape)), axis=1).astype(np.int32)
    user = np.arange(users, dtype=np.int32)
    taken = draw.permuted(order[:, 1:], axis=1)[:, :2].ravel()
    excluded = UserItems.of_pairs(np.repeat(user, 2), taken, num_rows=users)
    free = np.array([row[~np.isin(row, excluded.of_users(user[r : r + 1]).items)][:1] for r, row in enumerate(order)])
    return (*vectors, log_popularity, UserItems.of_pairs(user, free.ravel(), num_rows=users), excluded)  # type: ignore[return-value]


def negative_log_likelihood(weights: NDArray[np.float64], case: Case) -> float:
    users, items, log_popularity, chosen, excluded = case
    logits = weights[0] * (users @ items.T).astype(np.float64) + weights[1] * log_popularity
    logits[:, 0] = -np.inf
    logits[excluded.rows(), excluded.items] = -np.inf
    likely = logits - logsumexp(logits, axis=1, keepdims=True)
    means = np.bincount(chosen.rows(), likely[chosen.rows(), chosen.items]) / chosen.counts()
    return float(-means.sum())


@pytest.mark.parametrize("block_scores", [100, 1 << 23])
def test_a_general_optimizer_finds_the_same_maximum(block_scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_SCORES", block_scores)
    case = drawn_choices(0.2, 0.7, users=200)
    fitted = calibrated(*case, start=Calibration(0.15, 0.6))
    expected = minimize(negative_log_likelihood, x0=[6.0, 0.6], args=(case,), method="Nelder-Mead").x
    assert 1 / fitted.temperature == pytest.approx(expected[0], rel=1e-3)
    assert fitted.prior == pytest.approx(expected[1], abs=2e-3)


def test_planted_values_come_back() -> None:
    fitted = calibrated(*drawn_choices(0.25, 0.4), start=Calibration(0.15, 0.6))
    assert fitted.temperature == pytest.approx(0.25, rel=0.1)
    assert fitted.prior == pytest.approx(0.4, abs=0.05)


def test_blocks_of_a_large_catalogue_change_nothing_but_last_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    users, items, log_popularity, chosen, excluded = drawn_choices(0.25, 0.4)
    choices = (log_popularity, chosen, excluded, Calibration(0.15, 0.6))
    whole = calibrated(users, items, *choices)
    sizes = []

    def noting(result_of: Any, num_queries: int, query_scores: int) -> Any:
        sizes.append(blocks.BLOCK_SCORES // query_scores)
        return in_blocks(result_of, num_queries, query_scores)

    in_blocks = blocks.in_blocks
    monkeypatch.setattr(blocks, "in_blocks", noting)
    # Two users with all arrays, and 24 with their cosines alone.
    monkeypatch.setattr(blocks, "BLOCK_SCORES", 2 * ARRAYS_HELD * len(items) + 1)
    assert calibrated(users, items, *choices) == pytest.approx(whole, rel=1e-4)
    assert set(sizes) == {FEWEST_USERS + 1}


def test_items_of_equal_popularity_leave_the_prior_where_it_was() -> None:
    users, items, log_popularity, chosen, excluded = drawn_choices(0.25, 0.0)
    fitted = calibrated(users, items, np.full_like(log_popularity, -3.0), chosen, excluded, Calibration(0.15, 0.6))
    assert fitted.prior == pytest.approx(0.6)
    assert fitted.temperature == pytest.approx(0.25, rel=0.1)


def test_vectors_that_say_nothing_end_at_the_largest_temperature_and_not_beyond() -> None:
    users, items, log_popularity, chosen, excluded = drawn_choices(0.25, 0.4)
    fitted = Calibration(0.15, 0.6)
    for _ in range(5):
        fitted = calibrated(-users, items, log_popularity, chosen, excluded, fitted)
    assert fitted.temperature == pytest.approx(10)
    assert np.isfinite(fitted.prior)


@pytest.mark.parametrize(
    ("num_scores", "num_items", "expected"),
    [(10**9, 10**5, 1000), (3e7, 10**5, 300), (0, 10**6, 100), (0, 40_000, 500)],
)
def test_the_number_of_users_follows_the_affordable_scores(num_scores: float, num_items: int, expected: int) -> None:
    assert num_users(num_scores, num_items, 1000) == expected


def test_validation_takes_fewer_users_of_a_larger_catalogue_and_only_those_with_training_rows() -> None:
    users = np.arange(1, 2001, dtype=np.int32)
    items = np.ones(2000, np.int32)
    seen = UserItems.of_pairs(users[:1800], items[:1800], num_rows=2001)
    for num_items, ranked, calibration in ((1_000, 900, 900), (100_000, 300, 200)):
        rows = Interactions(users, items, None, 2000, num_items)
        validation = Validation(seen, rows, rows, 100_000_000)
        assert len(validation.ranked.users) == ranked
        assert len(validation.calibration_users.users) == calibration
        assert validation.ranked.users.max() <= 1800
