"""Answers of the export in Python: those of a slow search in float64, for every id."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import towerline
from tests.conftest import STRANGE
from tests.towerline.serving.conftest import K, Slow, pairs
from towerline.artifacts.train import FINAL
from towerline.metrics.ratings import RatingModel
from towerline.pipeline import formats
from towerline.ranking.embedding import PRIOR_DIMENSIONS


def test_recommendations_are_those_of_a_slow_search_for_every_user(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    allowed = [item for item in slow.items if item[1] > "0000010"]
    denied = [("film", "0000011"), ("book", "0000002"), ("film", STRANGE["0000027"])]
    users = list(slow.users)
    assert set(STRANGE.values()) & set(users)
    assert len(users) == 60
    cases: list[tuple[dict[str, Any], Any]] = [
        ({}, lambda item, seen: item not in seen),
        ({"exclude_seen": False}, lambda item, seen: True),
        ({"item_type": "film"}, lambda item, seen: item not in seen and item[0] == "film"),
        ({"deny": denied}, lambda item, seen: item not in seen and item not in denied),
        ({"allow": allowed, "exclude_seen": False}, lambda item, seen: item in allowed),
        (
            {"allow": [("film", "0000011")], "item_type": "book"},
            lambda item, seen: False,
        ),
        (
            {"allow": allowed, "deny": denied, "item_type": "book"},
            lambda item, seen: item in allowed and item not in denied and item[0] == "book" and item not in seen,
        ),
    ]
    for filters, shown in cases:
        batch = recommender.recommend_batch(users, K, **filters)
        for user, answer in zip(users, batch, strict=True):
            expected = slow.recommended(
                slow.users[user], K, [item for item in slow.items if shown(item, slow.seen[user])]
            )
            assert pairs(answer) == expected
            assert pairs(recommender.recommend(user, K, **filters)) == expected
    assert {len(answer) for answer in recommender.recommend_batch(users, 1000)} == {
        60 - len(slow.seen[user]) for user in users
    }


def test_similar_items_are_the_nearest_by_cosine_and_those_of_users_are_weighted_by_evidence(
    recommender: towerline.Recommender, slow: Slow
) -> None:
    counts = {user: len(items) for user, items in slow.seen.items()}
    assert len(set(counts.values())) > 5, "the evidence must differ for this test to mean anything"

    def of_users(user: str, another: str) -> float:
        weights = [counts[asked] / (counts[asked] + 5) for asked in (user, another)]
        return (
            float(slow.users[user][:-PRIOR_DIMENSIONS] @ slow.users[another][:-PRIOR_DIMENSIONS])
            * weights[0]
            * weights[1]
        )

    def of_items(item: tuple[str, str], another: tuple[str, str]) -> float:
        return float(slow.items[item][:-PRIOR_DIMENSIONS] @ slow.items[another][:-PRIOR_DIMENSIONS])

    cases: list[tuple[list[Any], Callable[[Any, Any], float], list[list[Any]]]] = [
        (list(slow.users), of_users, [*recommender.similar_users_batch(slow.users, K)]),
        (list(slow.items), of_items, [*recommender.similar_items_batch(slow.items, K)]),
    ]
    for ids, similarity, answers in cases:
        for key, answer in zip(ids, answers, strict=True):
            values = {other: similarity(key, other) for other in ids if other != key}
            expected = slow.ordered({other: value for other, value in values.items() if value > 0}, K)
            assert [row[0] if len(row) == 2 else row[:2] for row in answer] == [other for other, _ in expected]
            np.testing.assert_allclose([row[-1] for row in answer], [value for _, value in expected], rtol=1e-6)
    assert recommender.similar_users("0042", K) == recommender.similar_users_batch(["u3", "0042"], K)[1]
    assert (
        recommender.similar_items("film", "0000003", 2) == recommender.similar_items_batch([("film", "0000003")], 2)[0]
    )


def test_scores_and_ratings_are_those_of_the_trained_arrays(
    recommender: towerline.Recommender, slow: Slow, small_project: Path
) -> None:
    users, items = list(slow.users), list(slow.items)
    expected = np.array([[np.sum(slow.users[user] * slow.items[item]) for item in items] for user in users])
    assert (recommender.score_batch(users, items) == expected.astype(np.float32)).all()
    assert (recommender.score(users[3], items[5:9]) == expected[3, 5:9].astype(np.float32)).all()
    model = RatingModel(**formats.read_arrays(small_project / FINAL.rating_head))
    user, item = (index.ravel() for index in np.meshgrid(np.arange(1, 61), np.arange(1, 61), indexing="ij"))
    ratings = model.predict(user.astype(np.int32), item.astype(np.int32)).reshape(60, 60)
    assert np.ptp(ratings) > 1
    np.testing.assert_allclose(recommender.predict_rating_batch(users, items), ratings, rtol=1e-6)
    np.testing.assert_allclose(recommender.predict_rating(users[3], items[5:9]), ratings[3, 5:9], rtol=1e-6)
    without = towerline.Recommender(recommender.exported._replace(ratings=None))
    with pytest.raises(towerline.ServingError, match=r"expected a model with the rating task.*rating_weight"):
        without.predict_rating(users[0], items[:1])
