"""Baselines against slow programs; their settings are chosen on the validation set within a memory limit (law 6)."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.baseline_models import ease as ease_module
from towerline.baseline_models.candidates import Counted, ials_candidates, item_knn_candidates, shared_matrix
from towerline.baseline_models.ease import ItemClasses, ease
from towerline.baseline_models.implicit_models import item_knn
from towerline.baseline_models.params import BaselinesParams
from towerline.baseline_models.selection import Candidate, Selection, left_out_rows, memory_note, select, within_memory
from towerline.baseline_models.tuning import tuned
from towerline.baseline_models.type_popularity import most_popular_of_type
from towerline.feedback.strengths import PLAIN
from towerline.metrics import validation as validation_metrics
from towerline.ranking.scorers import Embeddings, Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

USERS, ITEMS = 40, 60


def long_tailed(seed: int) -> UserItems:
    """Interactions in which items have many users, two, one or none, and users several single-user items."""
    draw = np.random.default_rng(seed)
    pairs = np.stack([draw.integers(1, USERS + 1, 150), draw.zipf(1.3, 150) % ITEMS + 1], axis=1).astype(np.int32)
    history = UserItems.of_pairs(pairs[:, 0], pairs[:, 1], num_rows=USERS + 1)
    counts = np.bincount(history.items, minlength=ITEMS + 1)
    assert {0, 1, 2} < set(counts.tolist())
    assert ItemClasses.of(history, ITEMS).num_owned.max() > 1
    return history


def dense(history: UserItems) -> NDArray[np.float64]:
    return np.asarray(history.matrix(ITEMS + 1).toarray(), np.float64)


def test_item_knn_is_the_cosine_of_columns_cut_to_the_nearest() -> None:
    history = long_tailed(1)
    matrix = dense(history)
    norm = np.maximum(np.linalg.norm(matrix, axis=0), 1e-12)
    cosine = (matrix / norm).T @ (matrix / norm)
    np.fill_diagonal(cosine, 0)
    weights = item_knn(history.matrix(ITEMS + 1), 4).toarray()
    for row in range(ITEMS + 1):
        kept = np.flatnonzero(weights[row])
        assert len(kept) <= 4
        np.testing.assert_allclose(weights[row, kept], cosine[row, kept], rtol=1e-6)
        assert np.sort(weights[row])[::-1][:4] == pytest.approx(np.sort(cosine[row])[::-1][:4], rel=1e-6)


@pytest.mark.parametrize("block_rows", [7, 1000])
def test_ease_is_the_constrained_ridge_regression(block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each column is solved by least squares over the other columns."""
    monkeypatch.setattr(ease_module, "BLOCK_ROWS", block_rows)
    history = long_tailed(2)
    matrix = dense(history)
    weights = ease(ItemClasses.of(history, ITEMS), 3.0).toarray()
    assert (np.diag(weights) == 0).all()
    for item in range(1, ITEMS + 1):
        others = np.arange(ITEMS + 1) != item
        x = matrix[:, others]
        expected = np.linalg.solve(x.T @ x + 3.0 * np.eye(ITEMS), x.T @ matrix[:, item])
        np.testing.assert_allclose(weights[others, item], expected, atol=1e-5)


def test_ease_keeps_the_largest_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    history = long_tailed(3)
    classes = ItemClasses.of(history, ITEMS)
    full = ease(classes, 3.0).toarray()
    monkeypatch.setattr(ease_module, "WEIGHTS_PER_ITEM", 5)
    kept = ease(classes, 3.0).toarray()
    smallest = np.abs(kept[kept != 0]).min()
    np.testing.assert_array_equal(kept, np.where(np.abs(full) >= smallest, full, 0))
    # The weights of equal items have equal values.
    assert (kept != 0).sum() == pytest.approx(5 * len(np.unique(history.items)), rel=0.1)


def test_ease_of_no_interactions_has_no_weights() -> None:
    assert ease(ItemClasses.of(UserItems.none(USERS + 1), ITEMS), 3.0).nnz == 0


def test_popularity_of_types_follows_the_users_types() -> None:
    # User 1 has two films and a book, user 2 books alone; film 1 is the most popular of all.
    rows = np.array([[1, 1], [1, 2], [1, 3], [2, 3], [2, 4], [3, 1], [4, 1]], np.int32)
    train = Interactions(rows[:, 0].copy(), rows[:, 1].copy(), None, 4, 4)
    users, items = most_popular_of_type(train, np.array([0, 0, 0, 1, 1]), 2)
    scores = users @ items.T
    # Each user has one more row, divided as all rows are: 4 of 7 are films.
    film, book = (2 + 4 / 7) / 4, (1 + 3 / 7) / 4
    assert scores[1, 1:].tolist() == pytest.approx([film * 3 / 4, film / 4, book * 2 / 3, book / 3])
    film, book = 4 / 7 / 3, (2 + 3 / 7) / 3
    assert scores[2, 1:].tolist() == pytest.approx([film * 3 / 4, film / 4, book * 2 / 3, book / 3])
    # A user without rows is shown the most popular items of all types.
    assert scores[0, 1:].tolist() == pytest.approx([3 / 7, 1 / 7, 2 / 7, 1 / 7])


def candidate(alpha: float, num_bytes: int) -> Candidate:
    model = Embeddings(np.full((1, 1), min(alpha, 2), np.float32), np.zeros((1, 1), np.float32))
    return Candidate({"alpha": alpha}, num_bytes, lambda: model)


def score(model: Scorer) -> float:
    assert isinstance(model, Embeddings)
    return float(model.users[0, 0])


def test_the_first_of_the_best_candidates_within_memory_is_chosen() -> None:
    candidates = [candidate(alpha, size) for alpha, size in ((1, 1), (7, 9), (2, 8), (3, 3))]
    tried = within_memory(candidates, 8)
    selection = select("some", tried, score, 8)
    assert selection.settings == {"alpha": 2}
    assert [(row.trial, row.alpha, row.metric, row.k, row.validation, row.chosen) for row in selection.trials] == [
        (1, 1, "ndcg", 20, 1.0, False),
        (2, 2, "ndcg", 20, 2.0, True),
        (3, 3, "ndcg", 20, 2.0, False),
    ]


def test_what_is_left_out_because_of_its_memory_is_named_and_recorded() -> None:
    left_out = [candidate(7, 9_000_000_000), candidate(2, 1_500_000_000_000)]
    assert memory_note("some", left_out[:1], 3) == "some with alpha 7 (9 GB)"
    assert memory_note("some", left_out, 0) == "some (1,500 GB)"
    assert memory_note("some", [], 3) is None
    rows = left_out_rows("some", left_out, 3)
    assert [(row.trial, row.alpha, row.validation, row.chosen, row.left_out_gb) for row in rows] == [
        (4, 7, None, False, 9.0),
        (5, 2, None, False, 1500.0),
    ]


def params_of(*enabled: str, trials: int, memory_limit: float = 1.0) -> BaselinesParams:
    kinds = ("random", "most_popular", "recent_popular", "most_popular_of_type", "item_knn", "ease", "ials")
    settings = {kind: kind in enabled for kind in kinds}
    return BaselinesParams.model_validate({**settings, "trials": trials, "memory_limit": memory_limit, "seed": 1})


@pytest.mark.parametrize(("memory_limit", "fitted"), [(1.0, ["ease"]), (1e-9, [])])
def test_a_baseline_over_the_memory_limit_has_rows_and_no_fit(memory_limit: float, fitted: list[str]) -> None:
    pairs = np.array([[1, 1], [1, 2], [2, 1], [2, 3], [1, 3], [2, 2]], np.int32)
    train = Interactions(pairs[:4, 0].copy(), pairs[:4, 1].copy(), None, 2, 3)
    validation = Interactions(pairs[4:, 0].copy(), pairs[4:, 1].copy(), None, 2, 3)
    params = params_of("ease", trials=2, memory_limit=memory_limit)
    baselines = tuned(params, train, validation, np.array(["", *["film"] * 3]))
    assert list(baselines.scorers) == fitted
    assert [(row.trial, row.left_out_gb is None) for row in baselines.trials] == [(1, bool(fitted)), (2, bool(fitted))]
    assert len(baselines.notes) == (not fitted)


@pytest.mark.parametrize(("users", "items"), [(400, 8_000), (8_000, 400)])
def test_a_fit_takes_the_memory_that_it_says(users: int, items: int) -> None:
    """Embeddings or neighbours take the most for a large catalogue, and the rows for a small one with many rows."""
    draw = np.random.default_rng(0)
    history = UserItems.of_pairs(
        draw.integers(1, users + 1, 60_000).astype(np.int32),
        draw.integers(1, items + 1, 60_000).astype(np.int32),
        num_rows=users + 1,
    )
    rows = Interactions(history.rows().astype(np.int32), history.items, None, users, items)
    counted = Counted(rows, PLAIN)
    for candidate in (
        item_knn_candidates(counted, shared_matrix(), history)[0],
        ials_candidates(counted, shared_matrix(), 1)[0],
    ):
        tracemalloc.start()
        candidate.fit()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 0.5 < peak / candidate.num_bytes < 1.5, candidate.settings


def test_popularity_of_types_is_left_out_where_the_types_take_too_much_memory() -> None:
    users = np.arange(1, USERS + 1, dtype=np.int32)
    train, validation = (Interactions(users, (users + k) % ITEMS + 1, None, USERS, ITEMS) for k in (0, 1))
    kinds = np.array(["", *(str(item % 9) for item in range(ITEMS))])
    found = tuned(
        params_of("most_popular", "most_popular_of_type", trials=1, memory_limit=5e-6), train, validation, kinds
    )
    assert list(found.scorers) == ["most_popular"]
    assert [(row.baseline, row.left_out_gb) for row in found.trials] == [
        ("most_popular_of_type", 16 * 9 * (USERS + ITEMS) / 1e9)
    ]
    assert found.notes == ["most_popular_of_type (1.44e-05 GB)"]


def test_settings_are_chosen_on_no_more_users_than_their_scores_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_metrics, "MAX_SCORES", 10 * ITEMS)
    monkeypatch.setattr(validation_metrics, "MIN_USERS", 1)
    numbers: list[int] = []

    def noting(scorer: Scorer, users: NDArray[np.int32], *others: Any) -> NDArray[np.int32]:
        numbers.append(len(users))
        return rank_items(scorer, users, *others)

    monkeypatch.setattr(validation_metrics, "rank_items", noting)
    users = np.arange(1, USERS + 1, dtype=np.int32)
    train, validation = (Interactions(users, (users + k) % ITEMS + 1, None, USERS, ITEMS) for k in (0, 1))
    params = params_of("item_knn", trials=3)
    tuned(params, train, validation, np.array(["", *["film"] * ITEMS]))
    assert numbers == [10, 10, 10]


def test_without_a_validation_set_the_first_candidate_is_chosen_without_a_score() -> None:
    candidates = [candidate(1, 1), candidate(2, 1)]
    selection = select("some", candidates, None, 8)
    assert selection.settings == {"alpha": 1}
    assert [(trial.validation, trial.chosen) for trial in selection.trials] == [(None, True)]
    assert select("some", [], score, 8) == Selection(None, [])


def test_baselines_count_rows_by_their_weights_and_leave_out_dislikes_where_that_ranks_better() -> None:
    """Twenty users like item 1, thirty dislike item 2, ten like item 3 a lot, which is what ten others then choose."""
    users = np.arange(1, 41, dtype=np.int32)
    user = np.concatenate([users[:30], users[:20], users[20:30], users[30:]])
    item = np.repeat([2, 1, 3, 4], [30, 20, 10, 10]).astype(np.int32)
    rating = np.repeat([1, 9], [30, 40]).astype(np.float32)
    weight = np.repeat([1, 50, 1], [50, 10, 10]).astype(np.float32)
    train = Interactions(user, item, rating, 40, 4, weight=weight)
    held = np.arange(31, 41, dtype=np.int32)
    validation = Interactions(held, np.full(10, 3, np.int32), np.full(10, 9, np.float32), 40, 4)
    validation = validation._replace(weight=np.ones(10, np.float32))
    params = params_of("most_popular", "ease", trials=1)
    found = tuned(params, train, validation, np.array(["", *["film"] * 4]), below=5.0)
    popular = [row for row in found.trials if row.baseline == "most_popular"]
    ways = [(row.dislikes, row.weight_exponent) for row in popular]
    assert ways == [(name, power) for name in ("left_out", "counted") for power in (0, 0.5, 1)]
    chosen = next(row for row in popular if row.chosen)
    assert (chosen.dislikes, chosen.weight_exponent) == ("left_out", 0.5), "the first by which item 3 leads"
    scorer = found.scorers["most_popular"]
    assert isinstance(scorer, Embeddings)
    assert scorer.items[2, 0] == 0, "a dislike is no row"
    assert {(row.dislikes, row.weight_exponent) for row in found.trials if row.baseline == "ease"} == {
        ("left_out", 0.0),
        ("counted", 0.0),
    }
