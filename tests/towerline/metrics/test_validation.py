"""Tests of what is ranked on a held-out set."""

import numpy as np

from towerline.artifacts.split import Interactions
from towerline.metrics.validation import MAX_SCORES, MAX_USERS, HeldOut, affordable_users, ranked_candidates
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


def test_a_choice_ranks_as_many_users_as_its_scores_allow() -> None:
    # Up to the size of a catalogue of which all scores are affordable, nothing is left out.
    assert affordable_users(1) == affordable_users(MAX_SCORES // MAX_USERS) == MAX_USERS
    assert affordable_users(624_489) * 624_489 <= MAX_SCORES
    assert affordable_users(10**8) == 1_000
    everybody = np.arange(1, 20_001, dtype=np.int32)
    of_all = UserItems.of_pairs(everybody, np.ones(20_000, np.int32), num_rows=20_001)
    users = HeldOut(of_all, of_all, 3_000).users
    assert len(users) <= 3_000
    assert set(np.diff(users).tolist()) == {7}, "evenly spaced, so the same for all settings and in every process"
