"""Which users and items are examples, and which others are similar to them."""

from pathlib import Path

import numpy as np
import pytest

import towerline
from stages.report import selection
from stages.report.inputs import read_inputs
from stages.report.lists import Lists
from towerline.artifacts.train import FINAL


def test_example_users_span_the_levels_of_activity() -> None:
    activity = np.array([0, 1, 1, 2, 900, 4, 0, 30, 31], np.int64)
    preferred = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1], bool)
    assert selection.users_across_activity(activity, preferred, 4).tolist() == [2, 5, 8, 4]
    assert selection.users_across_activity(activity, preferred, 20).tolist() == [1, 2, 3, 5, 7, 8, 4]
    assert selection.users_across_activity(np.zeros(3, np.int64), preferred[:3], 4).tolist() == []


def test_well_known_items_take_turns_by_type() -> None:
    rows = np.array([0, 9, 8, 7, 6, 5], np.int64)
    kind = np.array([0, 0, 0, 0, 1, 1], np.int64)
    candidates = np.array([0, 1, 1, 1, 1, 1], bool)
    assert selection.well_known_items(rows, candidates, kind, 4).tolist() == [1, 4, 2, 5]


def test_neighbours_are_others_that_were_trained_and_are_not_opposed() -> None:
    vectors = np.array([[0, 0], [1, 0], [0.8, 0.6], [0, 0], [-1, 0]], np.float32)
    near = selection.nearest(vectors, np.array([1, 4], np.int32), 3)
    assert near.ids.tolist() == [[2, 0, 0], [0, 0, 0]]
    assert near.similarity.tolist() == [pytest.approx([0.8, 0, 0]), [0, 0, 0]]


def test_similar_users_are_those_of_serving(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small_project)
    # The page shows the model that was evaluated, serving the one that was fitted to all rows.
    shipped = {f"{kind}_embeddings": np.load(getattr(FINAL, f"{kind}_embeddings")) for kind in ("user", "item")}
    lists = Lists(read_inputs()._replace(**shipped))
    recommender = towerline.open("exports")
    users = np.flatnonzero(lists.activity() > 0).astype(np.int32)
    ids = [str(lists.data.users[user - 1]) for user in users]
    near = lists.similar_users(users, 10)
    served = recommender.similar_users_batch(ids, 10)
    assert sum(map(len, served)) > 100
    for row, answer in enumerate(served):
        shown = near.ids[row][near.ids[row] > 0]
        assert [str(lists.data.users[user - 1]) for user in shown] == [user.user_id for user in answer]
        assert near.similarity[row][: len(shown)].tolist() == pytest.approx([user.similarity for user in answer])
