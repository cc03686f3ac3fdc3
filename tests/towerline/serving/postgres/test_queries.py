"""The documented queries: answered by an index, nearly as exact search answers them."""

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.documents import blocks
from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import (
    AMPLE,
    RECOMMENDED_ITEMS,
    RECOMMENDED_UNSEEN_ITEMS_OF_TYPE,
    SIMILAR_USERS,
    Asked,
    K,
    made,
)
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.user_items import UserItems
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish
from towerline.serving.postgres.queries import QueryName, query


def test_the_documents_show_the_statements_of_the_package() -> None:
    assert blocks("sql", "<!-- queries -->")[:3] == [query(name) for name in get_args(QueryName)]


@pytest.fixture(scope="module")
def asked(server: Server) -> Iterator[Asked]:
    exported = made(users=10_000, items=8_000, dimension=17, seen=50)
    publish(server.dsn(), exported, Names())
    with server.connect() as connection:
        yield Asked(exported, connection)


def assert_found(scores: Sequence[float], best: NDArray[np.float32]) -> int:
    """The scores are in order; how many of them are among the best, near ties counted as such."""
    assert len(scores) == len(best)
    assert (np.diff(scores) <= 0).all()
    return int((np.asarray(scores) >= best.min() - 1e-5).sum())


def test_similar_users_are_those_of_exact_search_without_the_user(asked: Asked) -> None:
    assert f"users_{asked.exported.version}_taste_idx" in asked.plan(SIMILAR_USERS, "u5", K)
    counts = np.diff(asked.exported.seen.starts)
    taste = asked.exported.user_embeddings[:, :-PRIOR_DIMENSIONS] * (counts / (counts + 5))[:, None]
    hits = 0
    for row in asked.rows.tolist():
        answer = asked.ask(SIMILAR_USERS, f"u{row}", K, settings=AMPLE)
        similarities = taste @ taste[row]
        np.testing.assert_allclose(
            [similarity for _, similarity in answer],
            similarities[[int(user_id[1:]) for user_id, _ in answer]],
            atol=1e-5,
        )
        similarities[row] = -np.inf
        assert f"u{row}" not in dict(answer)
        hits += assert_found([similarity for _, similarity in answer], np.sort(similarities)[-K:])
    assert hits / (K * len(asked.rows)) >= 0.98


def test_recommended_items_are_those_of_exact_search(asked: Asked) -> None:
    assert f"items_{asked.exported.version}_embedding_idx" in asked.plan(RECOMMENDED_ITEMS, "u5", K)
    hits = 0
    for row, scores in zip(asked.rows.tolist(), asked.scores, strict=True):
        answer = asked.ask(RECOMMENDED_ITEMS, f"u{row}", K, settings=AMPLE)
        rows = [int(item_id) for _, item_id, _, _ in answer]
        np.testing.assert_allclose([score for *_, score in answer], scores[rows], atol=1e-5)
        assert all(title == (None if kind == "film" else f"Title {int(item_id)}") for kind, item_id, title, _ in answer)
        hits += assert_found([score for *_, score in answer], np.sort(scores)[-K:])
    assert hits / (K * len(asked.rows)) >= 0.98


def test_recommended_items_of_a_type_leave_out_what_is_seen_and_are_still_k(asked: Asked) -> None:
    statement = RECOMMENDED_UNSEEN_ITEMS_OF_TYPE
    assert f"items_{asked.exported.version}_embedding_idx" in asked.plan(statement, "u5", "film", K, settings=AMPLE)
    starts, items = asked.exported.seen
    hits = 0
    for row, scores in zip(asked.rows.tolist(), asked.scores.copy(), strict=True):
        answer = asked.ask(statement, f"u{row}", "film", K, settings=AMPLE)
        scores[items[starts[row] : starts[row + 1]]] = -np.inf
        scores[np.arange(len(scores)) % 3 != 0] = -np.inf
        np.testing.assert_allclose(
            [score for *_, score in answer], scores[[int(item_id) for item_id, *_ in answer]], atol=1e-5
        )
        hits += assert_found([score for *_, score in answer], np.sort(scores)[-K:])
    assert hits / (K * len(asked.rows)) >= 0.98
    # More than ef_search rows come only where the scan goes on.
    assert len(asked.ask(statement, "u5", "film", 150, settings=AMPLE)) == 150


def test_somebody_who_has_seen_much_is_recommended_as_many_by_default(asked: Asked, server: Server) -> None:
    """The index's best 40, where a search ends by default, are all seen: the user has the best 320 items."""
    exported = made(users=50, items=8_000, dimension=17, seed=7)
    best = np.argsort(-(exported.item_embeddings @ exported.user_embeddings[5]), kind="stable")[:320]
    others = np.repeat(np.arange(50, dtype=np.int32), 3)
    own = np.full(320, 5, np.int32)
    items = np.concatenate([np.tile(np.arange(3), 50), best]).astype(np.int32)
    publish(
        server.dsn(),
        exported._replace(seen=UserItems.of_pairs(np.concatenate([others, own]), items, num_rows=50)),
        Names("much"),
    )
    statement = query("recommend_unseen_of_type", Names("much"))
    assert f"items_{exported.version}_embedding_idx" in asked.plan(statement, "u5", "film", 20)
    for kind in ("film", "book"):
        answer = asked.ask(statement, "u5", kind, 20)
        assert len(answer) == 20
        assert not {int(item_id) for item_id, *_ in answer} & set(best.tolist())
    assert asked.ask("SHOW hnsw.iterative_scan") == [("off",)], "for this one statement"


def test_nobody_is_like_a_user_without_training_rows(asked: Asked) -> None:
    assert not asked.exported.user_embeddings[0, :-PRIOR_DIMENSIONS].any()
    assert asked.ask(SIMILAR_USERS, "u0", K) == []
    assert len(asked.ask(RECOMMENDED_ITEMS, "u0", K)) == K


def test_nobody_is_like_an_unknown_user_and_nothing_is_recommended_to_one(asked: Asked) -> None:
    assert asked.ask(SIMILAR_USERS, "nobody", K) == []
    assert asked.ask(RECOMMENDED_ITEMS, "nobody", K) == []
    assert asked.ask(RECOMMENDED_UNSEEN_ITEMS_OF_TYPE, "nobody", "film", K) == []
