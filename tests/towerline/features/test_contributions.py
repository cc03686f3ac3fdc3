"""Tests of the explained shares: one feature says everything, another nothing."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from towerline.features.contributions import contributions
from towerline.features.declarations import Features
from towerline.features.encodings import Texts
from towerline.features.regression import regressions

FEATURES = TypeAdapter(Features).validate_python({"genre": {"kind": "categorical"}, "noise": {"kind": "categorical"}})


def test_what_is_lost_without_a_feature_is_what_it_says() -> None:
    draw = np.random.default_rng(0)
    genre = draw.integers(0, 4, 400)
    vectors = (draw.standard_normal((4, 6))[genre] + 0.1 * draw.standard_normal((400, 6))).astype(np.float32)
    counts = draw.poisson(np.array([5, 10, 50, 200])[genre]).astype(np.float64)
    columns: dict[str, Texts] = {
        "genre": [f"genre {number}" for number in genre],
        "noise": [str(number) if number else None for number in draw.integers(0, 5, 400)],
    }
    penalties = regressions(FEATURES, columns, vectors, [counts], 1).penalties
    both, without_genre, without_noise = contributions("items", FEATURES, columns, vectors, counts, penalties, 1)
    assert [row.column for row in (both, without_genre, without_noise)] == ["", "genre", "noise"]
    assert both.vectors > 0.95
    assert both.counts == pytest.approx(1, abs=0.1)
    assert abs(without_genre.vectors) < 0.05
    assert without_genre.counts == pytest.approx(0, abs=0.05)
    assert without_noise.vectors == pytest.approx(both.vectors, abs=0.01)
    assert (both.known, without_genre.known) == (1.0, 1.0)
    assert 0.7 < without_noise.known < 0.9
    of_users = contributions("users", FEATURES, columns, vectors, None, penalties, 1)
    assert [row.counts for row in of_users] == [None] * 3


def test_few_ids_are_not_divided() -> None:
    columns: dict[str, Texts] = {"genre": ["a", "b"], "noise": ["c", "d"]}
    vectors, counts = np.eye(2, dtype=np.float32), np.ones(2)
    penalties = regressions(FEATURES, columns, vectors, [counts], 1).penalties
    assert contributions("items", FEATURES, columns, vectors, counts, penalties, 1) == []
