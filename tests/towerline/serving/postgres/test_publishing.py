"""Ids, titles, vectors and seen items come back from PostgreSQL as they were published."""

import numpy as np
import pyarrow as pa
import pytest
from pgvector.psycopg import register_vector
from psycopg import sql

from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import live, made, shown
from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.postgres import copying
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish, rollback

ODD_IDS = [
    "it's",
    "a,b",
    "two\nlines",
    "🙂",
    "back\\slash",
    "tab\there",
    "x" * 500,
    r"\N",
    "007",
    "",
    '"quoted"',
    "{1,2}",
]


def test_ids_titles_vectors_and_what_is_seen_come_back_as_they_were(server: Server) -> None:
    count = len(ODD_IDS)
    exported = made(users=count, items=count, dimension=33)._replace(
        user_ids=pa.array(ODD_IDS), item_ids=pa.array(ODD_IDS), titles=pa.array([*ODD_IDS[1:], None])
    )
    exported.item_embeddings[0, :3] = np.array([1e-45, -0.0, 3.4028235e38], np.float32)
    names = Names(schema='Tower "line"', users="us'ers; --", items="предметы")
    progress: list[int] = []
    publish(server.dsn(), exported, names, progress.append)
    assert sum(progress) == 2 * count
    with server.connect() as connection:
        register_vector(connection)
        users, items = (
            connection.execute(sql.SQL("SELECT * FROM {}").format(names.within(view)), binary=True).fetchall()
            for view in (names.users, names.items)
        )
    by_id = {user_id: rest for user_id, *rest in users}
    assert sorted(by_id) == sorted(ODD_IDS)
    starts = exported.seen.starts
    for row, user_id in enumerate(ODD_IDS):
        vector, seen, version, taste = by_id[user_id]
        assert vector.to_numpy().tobytes() == exported.user_embeddings[row].tobytes()
        direction = vector.to_numpy()[:-PRIOR_DIMENSIONS]
        np.testing.assert_allclose(taste.to_numpy(), direction * len(seen) / (len(seen) + 5), rtol=1e-6)
        assert seen == exported.seen.items[starts[row] : starts[row + 1]].tolist()
        assert version == exported.version
    for row, kind, item_id, title, vector, version in items:
        assert (kind, item_id, title) == tuple(
            column[row].as_py() for column in (exported.item_types, exported.item_ids, exported.titles)
        )
        assert vector.to_numpy().tobytes() == exported.item_embeddings[row].tobytes()
        assert version == exported.version
    assert sorted(row[0] for row in items) == list(range(count))


def halves(**sizes: int) -> Exported:
    """An export of float16."""
    exported = made(**sizes)
    return exported._replace(
        user_embeddings=exported.user_embeddings.astype(np.float16),
        item_embeddings=exported.item_embeddings.astype(np.float16),
    )


def test_float16_vectors_are_halfvec_to_the_last_bit_in_tables_of_half_the_size(server: Server) -> None:
    exported, names = halves(users=40, items=900, dimension=130), Names("halves")
    publish(server.dsn(), exported, names)
    with server.connect() as connection:
        register_vector(connection)
        items = connection.execute("SELECT item_row, embedding FROM halves.items", binary=True).fetchall()
        users = connection.execute("SELECT embedding, seen, taste FROM halves.users", binary=True).fetchall()
        # So few rows are read one after the other where that is allowed.
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT item_id FROM halves.items "
            "ORDER BY embedding <#> (SELECT embedding FROM halves.users LIMIT 1) LIMIT 3"
        ).fetchall()
    assert "_embedding_idx" in "".join(line for (line,) in plan)
    for row, vector in items:
        assert vector.to_numpy().tobytes() == exported.item_embeddings[row].tobytes()
    for vector, seen, taste in users:
        direction = vector.to_numpy()[:-PRIOR_DIMENSIONS].astype(np.float32)
        np.testing.assert_allclose(taste.to_numpy(), direction * len(seen) / (len(seen) + 5), rtol=1e-3, atol=1e-7)
    publish(server.dsn(), made(users=40, items=900, dimension=130), Names("wholes"))
    size = "SELECT sum(pg_relation_size(oid)) FROM pg_class WHERE relnamespace = '{}'::regnamespace"
    of_halves, of_wholes = (server.run(size.format(schema))[0][0] for schema in ("halves", "wholes"))
    assert 10 * of_halves < 7 * of_wholes
    assert "is live with 40 users" in publish(server.dsn(), halves(users=40, seed=2, dimension=130), names)
    assert rollback(server.dsn(), names) == f"{exported.version} is live again; 000000000002 is kept"


def test_a_version_of_another_type_is_refused_and_changes_nothing(server: Server) -> None:
    exported, names = made(), Names("types")
    publish(server.dsn(), exported, names)
    with pytest.raises(ServingError, match=r"cannot change data type of view column .*; the views show .*export.dtype"):
        publish(server.dsn(), halves(seed=2), names)
    assert live(server, "types", exported)


def test_more_rows_than_a_block_arrive_once_each_in_their_places(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BLOCK_ROWS", 7)
    exported = made(users=20, items=21)
    progress: list[int] = []
    publish(server.dsn(), exported, Names("blocks"), progress.append)
    assert progress == [7, 7, 6, 7, 7, 7]
    seen = dict(server.run("SELECT user_id, seen FROM blocks.users"))
    starts, items = exported.seen
    assert seen == {f"u{row}": items[starts[row] : starts[row + 1]].tolist() for row in range(20)}
    assert seen["u0"] == []
    item_ids = dict(server.run("SELECT item_row, item_id FROM blocks.items"))
    assert item_ids == {row: f"{row:07d}" for row in range(21)}


def test_an_export_without_items_or_users_is_published_as_two_empty_views(server: Server) -> None:
    exported = made(users=2, items=10)
    read = ("user_ids", "item_types", "item_ids", "titles", "user_embeddings", "item_embeddings")
    rows = {name: getattr(exported, name)[:0] for name in read}
    nothing = exported._replace(**rows, seen=UserItems.none(0))
    publish(server.dsn(), nothing, Names("nothing"))
    assert shown(server, "nothing") == (None, None, 0, 0)
