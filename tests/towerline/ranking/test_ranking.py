"""Exact top-k against a slow search, interactions by user, and the threads of BLAS."""

import threading

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController, threadpool_limits

from stages.evaluate import models
from towerline.artifacts.split import Interactions
from towerline.ranking import blocks, top_k
from towerline.ranking.scorers import Columns, Embeddings, by_popularity
from towerline.ranking.user_items import UserItems


def random_case(
    seed: int, users: int = 30, items: int = 60
) -> tuple[NDArray[np.float32], NDArray[np.float32], UserItems]:
    draw = np.random.default_rng(seed)
    # Small integers, so that scores are exact and have many ties.
    queries = draw.integers(-2, 3, (users, 3)).astype(np.float32)
    candidates = draw.integers(-2, 3, (items + 1, 3)).astype(np.float32)
    pairs = np.argwhere(draw.random((users, items)) < 0.2).astype(np.int32)
    return queries, candidates, UserItems.of_pairs(pairs[:, 0], pairs[:, 1] + 1, num_rows=users)


def of_row(user_items: UserItems, row: int) -> set[int]:
    return set(user_items.items[user_items.starts[row] : user_items.starts[row + 1]].tolist())


def slow_ranking(scores: NDArray[np.float32], excluded: set[int], k: int) -> list[int]:
    candidates = [item for item in range(1, len(scores)) if item not in excluded]
    best = sorted(candidates, key=lambda item: (-scores[item], item))[:k]
    return best + [0] * (k - len(best))


@given(st.integers(0, 10**6), st.integers(1, 80), st.sampled_from([1, 50, 1000]))
def test_ranking_equals_a_full_sort_with_ties_by_index(seed: int, k: int, block_scores: int) -> None:
    queries, candidates, excluded = random_case(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SCORES", block_scores)
        ranked = top_k.rank_items(Embeddings(queries, candidates), np.arange(len(queries), dtype=np.int32), excluded, k)
    scores = queries @ candidates.T
    expected = [slow_ranking(scores[row], of_row(excluded, row), k) for row in range(len(queries))]
    assert ranked.tolist() == expected


@given(st.integers(0, 10**6), st.integers(1, 80))
def test_a_part_of_the_catalogue_is_ranked_as_if_there_were_no_other_items(seed: int, k: int) -> None:
    queries, candidates, excluded = random_case(seed)
    of_part = np.flatnonzero(np.random.default_rng(seed).random(len(candidates)) < 0.4).astype(np.int32)
    of_part = of_part[of_part > 0]
    users = np.arange(len(queries), dtype=np.int32)
    ranked = top_k.rank_items(Embeddings(queries, candidates), users, excluded, k, of_part)
    others = set(range(len(candidates))) - set(of_part.tolist())
    scores = queries @ candidates.T
    assert ranked.tolist() == [
        slow_ranking(scores[row], of_row(excluded, row) | others, k) for row in range(len(users))
    ]


@given(st.integers(0, 10**6))
def test_the_tutorials_accuracy_is_the_share_of_test_rows_among_the_first(seed: int) -> None:
    users, items, relevant = random_case(seed)
    rows = np.arange(len(users), dtype=np.int32)
    hits = [item in slow_ranking(users[row] @ items.T, set(), 5) for row in rows for item in of_row(relevant, int(row))]
    assume(hits and (relevant.counts() > 0).all())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "TUTORIAL_CUTOFF", 5)
        assert models.tutorial_accuracy(Embeddings(users, items), rows, relevant) == pytest.approx(np.mean(hits))


def test_the_bound_from_group_maxima_is_exact_on_a_catalogue_it_is_made_for() -> None:
    draw = np.random.default_rng(0)
    scores = np.round(draw.normal(size=(20, 5000)), 2).astype(np.float32)
    scores[draw.random(scores.shape) < 0.3] = -np.inf
    scores[3] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    expected = np.where(np.take_along_axis(scores, order, axis=1) > -np.inf, order, -1)
    assert (top_k.top_k(scores, 100) == expected).all()


def test_of_many_equal_scores_the_first_are_ranked_and_no_others_are_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    scores = np.where(draw.random((20, 5000)) < 0.01, draw.integers(-2, 4, (20, 5000)), 0).astype(np.float32)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    sorted_numbers: list[int] = []

    def noting(keys: tuple[NDArray[np.int64], ...]) -> NDArray[np.int64]:
        sorted_numbers.append(len(keys[0]))
        return np.asarray(lexsort(keys))

    lexsort = np.lexsort
    monkeypatch.setattr(np, "lexsort", noting)
    assert (top_k.top_k(scores, 100) == expected).all()
    assert sorted_numbers[0] <= 20 * 200


def test_a_large_catalogue_is_scored_in_parts_for_many_users_at_once() -> None:
    queries, candidates, excluded = random_case(0, users=200, items=900)
    embeddings, users = Embeddings(queries, candidates), np.arange(200, dtype=np.int32)
    whole = top_k.rank_items(embeddings, users, excluded, 20)
    asked: list[tuple[int, int]] = []

    class Noting(Embeddings):
        def scores(self, users: NDArray[np.int32], columns: Columns) -> NDArray[np.float32]:
            scores = super().scores(users, columns)
            asked.append(scores.shape)
            return scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_SCORES", 100 * top_k.FEWEST_USERS)
        assert (top_k.rank_items(Noting(*embeddings), users, excluded, 20) == whole).all()
    # With whole rows, a block of as many scores would have 14 users.
    assert sorted(set(asked)) == [(72, 1), (72, 100), (128, 1), (128, 100)]


def test_popularity_ranks_by_rows_and_equal_counts_by_index() -> None:
    rows = Interactions(np.ones(4, np.int32), np.array([3, 3, 2, 4], np.int32), None, 1, 5)
    popular = by_popularity(rows)
    ranked = top_k.rank_items(popular, np.array([1], np.int32), UserItems(np.array([0, 1]), np.array([2], np.int32)), 5)
    assert ranked.tolist() == [[3, 4, 1, 5, 0]]


def test_user_items_of_users_are_the_rows_asked_for() -> None:
    pairs = UserItems.of_pairs(np.array([2, 0, 2, 2], np.int32), np.array([5, 1, 3, 5], np.int32), num_rows=4)
    assert pairs.counts().tolist() == [1, 0, 2, 0]
    chosen = pairs.of_users(np.array([2, 1, 0], np.int32))
    assert (chosen.starts.tolist(), chosen.items.tolist()) == ([0, 2, 2, 3], [3, 5, 1])
    assert chosen.rows().tolist() == [0, 0, 2]


def test_a_single_block_starts_no_thread_and_looks_up_no_library_again(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks.in_blocks(lambda start, stop: stop, 1, 1)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a thread pool or a look-up of libraries costs several times what a query does")

    for name in ("ThreadPoolExecutor", "ThreadpoolController"):
        monkeypatch.setattr(blocks, name, refuse)
    done: list[int] = []
    assert blocks.in_blocks(lambda start, stop: stop, 5, 1, done.append) == done == [5]
    assert blocks.in_blocks(lambda start, stop: stop, 0, 1) == []


def blas_threads() -> set[int]:
    """Threads of the BLAS libraries, without those that OpenMP counts for each thread, such as that of faiss."""
    libraries = ThreadpoolController().select(user_api="blas").info()
    return {library["num_threads"] for library in libraries if library["threading_layer"] != "openmp"}


def test_blas_has_one_thread_until_the_last_of_several_that_rank_has_ended() -> None:
    first_has_ended, second_has_begun = threading.Event(), threading.Event()
    seen: list[set[int]] = []

    def overlap() -> None:
        with blocks.one_blas_thread():
            second_has_begun.set()
            first_has_ended.wait()
            seen.append(blas_threads())

    with threadpool_limits(limits=2, user_api="blas"):
        other = threading.Thread(target=overlap)
        with blocks.one_blas_thread():
            other.start()
            second_has_begun.wait()
            seen.append(blas_threads())
        first_has_ended.set()
        other.join()
        assert blas_threads() == {2}
    assert seen == [{1}, {1}]
