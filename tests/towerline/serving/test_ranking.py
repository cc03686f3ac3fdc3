"""The best items of serving: exact among equal scores and near ties, however many are asked at once."""

import numpy as np
import pytest

import towerline
from tests.towerline.serving.conftest import ITEMS
from towerline.ranking.user_items import UserItems
from towerline.serving.ranking import Candidates, best_items, best_of_index


def test_equal_scores_go_by_row_however_many_are_asked_at_once() -> None:
    """Groups of permutations of the same numbers: equal sums, which float32 tells apart by the order of additions."""
    draw = np.random.default_rng(0)
    numbers = np.abs(draw.normal(size=48))
    groups = [[draw.permutation(numbers) * (1 + place / 100) for _ in range(12)] for place in range(100)]
    vectors = np.concatenate(groups).astype(np.float32)[draw.permutation(1200)]
    queries = np.ones((40, 48), np.float32)
    assert len(np.unique(vectors @ queries[0])) > 150, (
        "float32 must tell equal sums apart for this test to mean anything"
    )
    candidates = Candidates(vectors, np.arange(1200, dtype=np.int32))
    exact = vectors.astype(np.float64).sum(axis=1).astype(np.float32)
    expected = np.lexsort((np.arange(1200), -exact))[:20]
    for number in (1, 3, 40):
        best = best_items(queries[:number], candidates, UserItems.none(number), 20)
        assert (best.rows == expected).all()
        assert (best.scores == exact[expected]).all()


@pytest.mark.parametrize("apart", [1e-8, 0.0])
def test_the_best_of_many_near_ties_are_found_exactly(apart: float) -> None:
    """More near ties with the best than are asked for: their order cannot be computed in float32."""
    draw = np.random.default_rng(2)
    base = draw.normal(size=64)
    near = base / np.linalg.norm(base) + apart * draw.normal(size=(150, 64))
    others = draw.normal(size=(3000, 64)) / 20
    vectors = np.concatenate([near, others]).astype(np.float32)[draw.permutation(3150)]
    queries = draw.normal(size=(60, 64)).astype(np.float32)
    queries[queries @ base < 0] *= -1
    exact = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    candidates = Candidates(vectors, np.arange(3150, dtype=np.int32))
    for number in (1, 60):
        best = best_items(queries[:number], candidates, UserItems.none(number), 10)
        for row in range(number):
            expected = np.lexsort((np.arange(3150), -exact[row]))[:10]
            assert best.rows[row].tolist() == expected.tolist()
            assert best.scores[row].tolist() == exact[row, expected].tolist()


def test_an_index_that_finds_no_rows_is_one_line() -> None:
    from towerline.index.approximate import build

    vectors = np.random.default_rng(0).normal(size=(ITEMS, 17)).astype(np.float32)
    few = Candidates(vectors[:20], np.arange(20, dtype=np.int32))
    with pytest.raises(towerline.ServingError, match="python -m towerline verify"):
        best_of_index(vectors[:2], build(vectors), few, UserItems.none(2), 10)
