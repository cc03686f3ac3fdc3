"""Ranking metrics against trec_eval (ir_measures), and rating metrics by hand."""

import math

import ir_measures
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from tests.towerline.ranking.test_ranking import of_row, random_case
from towerline.metrics import ranking as metrics
from towerline.metrics.ratings import RatingModel, mean_absolute_error, root_mean_squared_error
from towerline.ranking import top_k
from towerline.ranking.scorers import Embeddings
from towerline.ranking.user_items import UserItems


@given(st.integers(0, 10**6), st.sampled_from([1, 30]), st.sampled_from([5, 60]))
def test_metrics_equal_trec_eval(seed: int, users: int, items: int) -> None:
    """With tied scores, users without held-out items left out, one user alone, and a catalogue smaller than k."""
    queries, candidates, relevant = random_case(seed, users, items)
    kept = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
    assume(len(kept))
    relevant = relevant.of_users(kept)
    ranked = top_k.rank_items(Embeddings(queries, candidates), kept, UserItems.none(len(kept)), 20)
    judged = [ir_measures.Qrel(str(row), str(item), 1) for row in range(len(kept)) for item in of_row(relevant, row)]
    scored = [
        ir_measures.ScoredDoc(str(row), str(item), float(-rank))
        for row, shown in enumerate(ranked.tolist())
        for rank, item in enumerate(shown)
        if item
    ]
    values = metrics.rank_metrics(ranked, relevant, [1, 5, 20])
    names = {"recall": R, "precision": P, "ndcg": nDCG, "hit_rate": Success, "mrr": RR, "map": AP}
    for k in (1, 5, 20):
        for name, measure in names.items():
            of_query = {entry.query_id: entry.value for entry in ir_measures.iter_calc([measure @ k], judged, scored)}
            expected = [of_query[str(row)] for row in range(len(kept))]
            np.testing.assert_allclose(values[name, k], expected, rtol=1e-12, err_msg=f"{name}@{k}")


def test_metrics_by_hand() -> None:
    # Two held-out items: one at rank 2, one not ranked. A query of one held-out item at rank 1.
    ranked = np.array([[7, 3, 9, 0], [5, 1, 2, 3]], np.int32)
    relevant = UserItems(np.array([0, 2, 3]), np.array([3, 8, 5], np.int32))
    values = metrics.rank_metrics(ranked, relevant, [1, 3])
    assert values["recall", 3].tolist() == [0.5, 1.0]
    assert values["mrr", 3].tolist() == [0.5, 1.0]
    assert values["hit_rate", 1].tolist() == [0.0, 1.0]
    # dcg 1 / log2(3) over ideal 1 + 1 / log2(3); at k = 1 the ideal is cut to one hit.
    gain = 1 / math.log2(3)
    assert values["ndcg", 3].tolist() == pytest.approx([gain / (1 + gain), 1.0])
    assert values["ndcg", 1].tolist() == [0.0, 1.0]


@given(st.integers(0, 10**6))
def test_metrics_stay_in_range_never_fall_with_k_and_know_no_order_of_users(seed: int) -> None:
    queries, candidates, relevant = random_case(seed)
    kept = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
    ranked = top_k.rank_items(Embeddings(queries, candidates), kept, UserItems.none(len(kept)), 30)
    values = metrics.rank_metrics(ranked, relevant.of_users(kept), [3, 10, 30])
    assert all(((value >= 0) & (value <= 1)).all() for value in values.values())
    for name in ("recall", "mrr", "hit_rate"):
        assert (np.diff([values[name, k] for k in (3, 10, 30)], axis=0) >= 0).all()
    shuffled = np.random.default_rng(seed).permutation(len(kept))
    again = metrics.rank_metrics(ranked[shuffled], relevant.of_users(kept[shuffled]), [3, 10, 30])
    assert all((again[name] == value[shuffled]).all() for name, value in values.items())


def test_metrics_refuse_what_has_no_answer() -> None:
    ranked = np.array([[1, 2]], np.int32)
    with pytest.raises(ValueError, match="none for 1 queries"):
        metrics.hits(ranked, UserItems(np.array([0, 0]), np.zeros(0, np.int32)))
    with pytest.raises(ValueError, match="from 1 to the 2 ranked candidates, found 3"):
        metrics.rank_metrics(ranked, UserItems(np.array([0, 1]), np.ones(1, np.int32)), [3])


def test_rating_model_and_errors_by_hand() -> None:
    arrays = 3, [0, 0.5], [0, -0.25], [[0, 0], [0.6, 0.8]], [[0, 0], [2, 0]]
    model = RatingModel(*(np.array(array, np.float32) for array in arrays))
    predicted = model.predict(np.array([1, 0]), np.array([1, 1]))
    # 3 + 0.5 - 0.25 + 0.6 * 2 and, for an unknown user, 3 - 0.25.
    assert predicted.tolist() == pytest.approx([4.45, 2.75])
    rating = np.array([4.45, 4.75], np.float32)
    assert root_mean_squared_error(predicted, rating) == pytest.approx(math.sqrt(2))
    assert mean_absolute_error(predicted, rating) == pytest.approx(1.0)
