"""The lists of the page: similar users and items."""

from pathlib import Path

import numpy as np
import pytest

import towerline
from stages.report import neighbours
from stages.report.inputs import read_inputs
from stages.report.lists import Lists
from towerline.artifacts.train import FINAL


def test_neighbours_are_others_that_were_trained_and_are_not_opposed() -> None:
    vectors = np.array([[0, 0], [1, 0], [0.8, 0.6], [0, 0], [-1, 0]], np.float32)
    near = neighbours.nearest(vectors, np.array([1, 4], np.int32), 3)
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
