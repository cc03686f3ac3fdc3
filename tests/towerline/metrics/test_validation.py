"""Tests of what is ranked on a held-out set."""

import numpy as np

from towerline.artifacts.split import Interactions
from towerline.metrics.validation import HeldOut, ranked_candidates
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems

TYPES = np.array(["", "book", "film", "book", "film"])


def rows(*items: int) -> Interactions:
    return Interactions(np.ones(len(items), np.int32), np.array(items, np.int32), None, 1, 4)


def test_one_type_of_several_is_ranked_alone() -> None:
    found = ranked_candidates(rows(2, 4), TYPES)
    assert found is not None
    assert found.tolist() == [2, 4]
    assert ranked_candidates(rows(1, 2), TYPES) is None
    assert ranked_candidates(rows(), TYPES) is None
    assert ranked_candidates(rows(1, 2), np.array(["", "film", "film"])) is None


def test_items_that_are_no_candidates_take_no_place() -> None:
    scorer = Embeddings(np.ones((2, 1), np.float32), np.array([[0], [9], [2], [8], [1]], np.float32))
    seen, relevant = UserItems.of_interactions(rows(1)), UserItems.of_interactions(rows(2))
    assert HeldOut(seen, relevant).ndcg(scorer) < 1
    assert HeldOut(seen, relevant, candidates=np.array([2, 4], np.int32)).ndcg(scorer) == 1
