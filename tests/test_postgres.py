"""A real PostgreSQL with pgvector: what is published comes back, is found by its index, and changes as a whole."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql

from tests.conftest import ROOT, Server, blocks
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.postgres import copying, publishing
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish, rollback
from towerline.serving.postgres.queries import QueryName, query

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

SIMILAR_USERS, RECOMMENDED_ITEMS, RECOMMENDED_UNSEEN_ITEMS_OF_TYPE = map(query, get_args(QueryName))

# A process that publishes in children, so that modules are imported once. It waits for a child only when it is told
# to: until then the child's process id is nobody else's.
PUBLISHER = """
import json, os, sys
from tests.test_postgres import Names, made, publish
for line in sys.stdin:
    dsn, schema, seed = json.loads(line)
    pid = os.fork()
    if pid == 0:
        publish(dsn, made(seed=seed), Names(schema))
        os._exit(0)
    print(pid, flush=True)
    sys.stdin.readline()
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def unit_vectors(draw: np.random.Generator, rows: int, dimension: int) -> NDArray[np.float64]:
    """Directions around 50 centres that are the same for every draw of a dimension."""
    centres = np.random.default_rng(1).standard_normal((50, dimension))
    vectors = centres[draw.integers(0, 50, rows)] + draw.standard_normal((rows, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def made(users: int = 300, items: int = 200, dimension: int = 9, seed: int = 1, seen: int = 5) -> Exported:
    """An export of clustered vectors; every third item is a film, no film has a title, as trained vectors are.

    The first user has no training row, and has seen nothing.
    """
    draw = np.random.default_rng(seed)
    user_vectors = np.column_stack([unit_vectors(draw, users, dimension - 1), np.ones(users)])
    user_vectors[0, :-1] = 0
    item_vectors = np.column_stack([unit_vectors(draw, items, dimension - 1), draw.uniform(0.1, 0.9, items)])
    # Items without training rows: the same direction, none, and the lowest prior.
    item_vectors[: items // 10] = np.zeros(dimension)
    kinds = ["film" if row % 3 == 0 else "book" for row in range(items)]
    counts = draw.integers(1, 2 * seen, users - 1)
    pairs = draw.integers(0, items, counts.sum()).astype(np.int32)
    rows = UserItems.of_pairs(np.repeat(np.arange(1, users, dtype=np.int32), counts), pairs, num_rows=users)
    # What publishing does not read is None.
    return Exported._make([None] * len(Exported._fields))._replace(
        version=f"{seed:012x}",
        user_ids=pa.array([f"u{row}" for row in range(users)]),
        item_types=pa.array(kinds),
        item_ids=pa.array([f"{row:07d}" for row in range(items)]),
        titles=pa.array([None if kind == "film" else f"Title {row}" for row, kind in enumerate(kinds)], pa.string()),
        user_embeddings=user_vectors.astype(np.float32),
        item_embeddings=item_vectors.astype(np.float32),
        seen=rows,
    )


def tables(server: Server, schema: str) -> set[str]:
    return {name for (name,) in server.run(f"SELECT tablename FROM pg_tables WHERE schemaname = '{schema}'")}


def shown(server: Server, schema: str) -> tuple[Any, ...]:
    """Versions in the views of users and of items, and how many rows each has, in one statement."""
    return server.run(
        f"""SELECT u.versions, i.versions, u.rows, i.rows FROM
            (SELECT array_agg(DISTINCT model_version) AS versions, count(*) AS rows FROM {schema}.users) u,
            (SELECT array_agg(DISTINCT model_version) AS versions, count(*) AS rows FROM {schema}.items) i"""
    )[0]


def states(server: Server, schema: str) -> dict[str, str]:
    return dict(server.run(f"SELECT state, version FROM {schema}.models"))


def live(server: Server, schema: str, exported: Exported) -> bool:
    """Whether both views show this export whole, and nothing else."""
    sizes = len(exported.user_ids), len(exported.item_ids)
    return shown(server, schema) == ([exported.version], [exported.version], *sizes)


def test_the_documents_show_the_statements_of_the_package() -> None:
    assert blocks("sql", "<!-- queries -->")[:3] == [query(name) for name in get_args(QueryName)]


# What is published comes back.


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
        np.testing.assert_allclose(taste.to_numpy(), vector.to_numpy()[:-1] * len(seen) / (len(seen) + 5), rtol=1e-6)
        assert seen == exported.seen.items[starts[row] : starts[row + 1]].tolist()
        assert version == exported.version
    for row, kind, item_id, title, vector, version in items:
        assert (kind, item_id, title) == tuple(
            column[row].as_py() for column in (exported.item_types, exported.item_ids, exported.titles)
        )
        assert vector.to_numpy().tobytes() == exported.item_embeddings[row].tobytes()
        assert version == exported.version
    assert sorted(row[0] for row in items) == list(range(count))


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
    found = dict(server.run("SELECT item_row, item_id FROM blocks.items"))
    assert found == {row: f"{row:07d}" for row in range(21)}


def test_an_export_without_items_or_users_is_published_as_two_empty_views(server: Server) -> None:
    exported = made(users=2, items=10)
    read = ("user_ids", "item_types", "item_ids", "titles", "user_embeddings", "item_embeddings")
    rows = {name: getattr(exported, name)[:0] for name in read}
    nothing = exported._replace(**rows, seen=UserItems.none(0))
    publish(server.dsn(), nothing, Names("nothing"))
    assert shown(server, "nothing") == (None, None, 0, 0)


# What is asked is answered by the index, nearly as exact search answers it.

K = 10


class Asked:
    """A published model large enough for the planner to choose its indexes, and a connection that asks it."""

    def __init__(self, exported: Exported, connection: psycopg.Connection[Any]) -> None:
        self.exported = exported
        self.connection = connection
        self.rows = np.random.default_rng(3).choice(np.arange(1, len(exported.user_ids)), 100, replace=False)
        self.scores = exported.user_embeddings[self.rows] @ exported.item_embeddings.T

    def ask(self, query: str, *parameters: str | int, settings: str = "") -> list[tuple[Any, ...]]:
        with self.connection.transaction():
            self.connection.execute(settings.encode())
            return psycopg.RawCursor(self.connection).execute(query.encode(), parameters).fetchall()

    def plan(self, query: str, *parameters: str | int, settings: str = "") -> str:
        return "\n".join(line for (line,) in self.ask(f"EXPLAIN {query}", *parameters, settings=settings))


@pytest.fixture(scope="module")
def asked(server: Server) -> Iterator[Asked]:
    exported = made(users=10_000, items=8_000, dimension=17, seen=50)
    publish(server.dsn(), exported, Names())
    with server.connect() as connection:
        yield Asked(exported, connection)


def assert_found(found: Sequence[float], best: NDArray[np.float32]) -> int:
    """The scores are in order; how many of them are among the best, near ties counted as such."""
    assert len(found) == len(best)
    assert (np.diff(found) <= 0).all()
    return int((np.asarray(found) >= best.min() - 1e-5).sum())


AMPLE = "SET LOCAL hnsw.ef_search = 100"


def test_similar_users_are_those_of_exact_search_without_the_user(asked: Asked) -> None:
    assert f"users_{asked.exported.version}_taste_idx" in asked.plan(SIMILAR_USERS, "u5", K)
    counts = np.diff(asked.exported.seen.starts)
    taste = asked.exported.user_embeddings[:, :-1] * (counts / (counts + 5))[:, None]
    hits = 0
    for row in asked.rows.tolist():
        found = asked.ask(SIMILAR_USERS, f"u{row}", K, settings=AMPLE)
        similarities = taste @ taste[row]
        np.testing.assert_allclose(
            [similarity for _, similarity in found], similarities[[int(one[1:]) for one, _ in found]], atol=1e-5
        )
        similarities[row] = -np.inf
        assert f"u{row}" not in dict(found)
        hits += assert_found([similarity for _, similarity in found], np.sort(similarities)[-K:])
    assert hits / (K * len(asked.rows)) >= 0.98


def test_recommended_items_are_those_of_exact_search(asked: Asked) -> None:
    assert f"items_{asked.exported.version}_embedding_idx" in asked.plan(RECOMMENDED_ITEMS, "u5", K)
    hits = 0
    for row, scores in zip(asked.rows.tolist(), asked.scores, strict=True):
        found = asked.ask(RECOMMENDED_ITEMS, f"u{row}", K, settings=AMPLE)
        rows = [int(item_id) for _, item_id, _, _ in found]
        np.testing.assert_allclose([score for *_, score in found], scores[rows], atol=1e-5)
        assert all(title == (None if kind == "film" else f"Title {int(one)}") for kind, one, title, _ in found)
        hits += assert_found([score for *_, score in found], np.sort(scores)[-K:])
    assert hits / (K * len(asked.rows)) >= 0.98


def test_recommended_items_of_a_type_leave_out_what_is_seen_and_are_still_k(asked: Asked) -> None:
    statement = RECOMMENDED_UNSEEN_ITEMS_OF_TYPE
    assert f"items_{asked.exported.version}_embedding_idx" in asked.plan(statement, "u5", "film", K, settings=AMPLE)
    starts, items = asked.exported.seen
    hits = 0
    for row, scores in zip(asked.rows.tolist(), asked.scores.copy(), strict=True):
        found = asked.ask(statement, f"u{row}", "film", K, settings=AMPLE)
        scores[items[starts[row] : starts[row + 1]]] = -np.inf
        scores[np.arange(len(scores)) % 3 != 0] = -np.inf
        np.testing.assert_allclose([score for *_, score in found], scores[[int(one) for one, *_ in found]], atol=1e-5)
        hits += assert_found([score for *_, score in found], np.sort(scores)[-K:])
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
        found = asked.ask(statement, "u5", kind, 20)
        assert len(found) == 20
        assert not {int(item_id) for item_id, *_ in found} & set(best.tolist())
    assert asked.ask("SHOW hnsw.iterative_scan") == [("off",)], "for this one statement"


def test_nobody_is_like_a_user_without_training_rows(asked: Asked) -> None:
    assert not asked.exported.user_embeddings[0, :-1].any()
    assert asked.ask(SIMILAR_USERS, "u0", K) == []
    assert len(asked.ask(RECOMMENDED_ITEMS, "u0", K)) == K


def test_nobody_is_like_an_unknown_user_and_nothing_is_recommended_to_one(asked: Asked) -> None:
    assert asked.ask(SIMILAR_USERS, "nobody", K) == []
    assert asked.ask(RECOMMENDED_ITEMS, "nobody", K) == []
    assert asked.ask(RECOMMENDED_UNSEEN_ITEMS_OF_TYPE, "nobody", "film", K) == []


# What changes, changes as a whole.


def test_versions_of_other_dimensions_follow_each_other_and_one_is_kept(server: Server) -> None:
    first, second, third = (made(seed=seed, dimension=8 + seed) for seed in (1, 2, 3))
    names = Names("versions")
    publish(server.dsn(), first, names)
    server.run("CREATE VIEW versions.films AS SELECT * FROM versions.items WHERE item_type = 'film'")
    for exported in (second, third):
        publish(server.dsn(), exported, names)
        assert live(server, "versions", exported)
        assert server.run("SELECT DISTINCT model_version FROM versions.films") == [(exported.version,)]
    assert states(server, "versions") == {"live": third.version, "previous": second.version}
    kept = {f"{view}_{one.version}" for view in ("users", "items") for one in (second, third)}
    assert tables(server, "versions") == {"models", *kept}
    noted = "SELECT version, dimension, users, items FROM versions.models ORDER BY version"
    assert server.run(noted) == [(second.version, 10, 300, 200), (third.version, 11, 300, 200)]


def test_what_is_live_or_kept_is_not_copied_again(server: Server) -> None:
    first, second = made(seed=1), made(seed=2)
    names = Names("again")
    progress: list[int] = []
    for exported in (first, second):
        publish(server.dsn(), exported, names)
    assert "live already" in publish(server.dsn(), second, names, progress.append)
    assert live(server, "again", second)
    assert "live again" in publish(server.dsn(), first, names, progress.append)
    assert live(server, "again", first)
    assert states(server, "again") == {"live": first.version, "previous": second.version}
    server.run("DROP VIEW again.users")
    assert rollback(server.dsn(), names) == f"{second.version} is live again; {first.version} is kept"
    server.run("DROP VIEW again.users")
    publish(server.dsn(), first, names, progress.append)
    assert live(server, "again", first)
    assert states(server, "again") == {"live": first.version, "previous": second.version}
    assert progress == []


def test_rollback_goes_to_the_previous_version_and_back(server: Server) -> None:
    first, second = made(seed=1), made(seed=2)
    names = Names("back")
    with pytest.raises(ServingError, match="found none; publish one"):
        rollback(server.dsn(), names)
    publish(server.dsn(), first, names)
    with pytest.raises(ServingError, match=f"found only {first.version}"):
        rollback(server.dsn(), names)
    publish(server.dsn(), second, names)
    for exported in (first, second):
        assert exported.version in rollback(server.dsn(), names)
        assert live(server, "back", exported)
        assert states(server, "back")["live"] == exported.version


def test_a_lost_list_of_models_is_made_again_from_the_views(server: Server) -> None:
    first, second, third = (made(seed=seed, dimension=9 + seed) for seed in (1, 2, 3))
    names = Names("lost")
    noted = "SELECT version, state, dimension, users, items FROM lost.models ORDER BY version"
    # None rolls back.
    for published, live_then in ((third, third), (second, second), (first, first), (None, first)):
        server.run("DROP SCHEMA IF EXISTS lost CASCADE")
        for exported in (first, second):
            publish(server.dsn(), exported, names)
        server.run("DROP TABLE lost.models")
        if published is None:
            rollback(server.dsn(), names)
        else:
            publish(server.dsn(), published, names)
        assert live(server, "lost", live_then)
        previous = first if live_then is second else second
        assert states(server, "lost") == {"live": live_then.version, "previous": previous.version}
        kept = {f"{view}_{one.version}" for view in ("users", "items") for one in (live_then, previous)}
        assert tables(server, "lost") == {"models", *kept}
        assert {row[0]: row[2:] for row in server.run(noted)} == {
            one.version: (one.user_embeddings.shape[1], 300, 200) for one in (live_then, previous)
        }


def test_a_second_publisher_is_refused_at_once_and_the_first_is_not_disturbed(server: Server) -> None:
    names = Names("twice")
    refused: list[str] = []

    def act(_: int) -> None:
        with pytest.raises(ServingError, match="found another publish or rollback under way") as caught:
            publish(server.dsn(), made(seed=2), names)
        refused.append(str(caught.value))
        with pytest.raises(ServingError, match="found another publish or rollback under way") as caught:
            rollback(server.dsn(), names)
        refused.append(str(caught.value))

    publish(server.dsn(), made(seed=1), names, act)
    assert len(refused) == 4
    assert live(server, "twice", made(seed=1))


@contextmanager
def reading(server: Server, schema: str) -> Iterator[list[set[str]]]:
    """Readers that note the versions that one statement, and one transaction of two statements, have seen."""
    seen: list[set[str]] = []
    failed: list[BaseException] = []
    ended = threading.Event()
    joined = (
        f"SELECT DISTINCT u.model_version, i.model_version FROM {schema}.users u, {schema}.items i WHERE item_row < 3"
    )
    each = [f"SELECT DISTINCT model_version FROM {schema}.{view}" for view in ("items", "users")]

    def read(statements: Sequence[str]) -> None:
        try:
            with server.connect() as connection:
                while not ended.is_set():
                    with connection.transaction():
                        rows = [row for one in statements for row in connection.execute(one.encode()).fetchall()]
                    seen.append({version for row in rows for version in row})
        except BaseException as error:
            failed.append(error)

    readers = [threading.Thread(target=read, args=[statements]) for statements in ([joined], each, each[::-1])]
    for reader in readers:
        reader.start()
    try:
        yield seen
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert not failed


def test_readers_during_swaps_see_one_version_and_never_fail(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "SWAP_PAUSE", 0.01)
    # One of the readers takes the views in the other order than a swap, which often has to give way to it.
    monkeypatch.setattr(publishing, "SWAP_WAIT", 0.05)
    names = Names("swaps")
    for seed in (1, 2):
        publish(server.dsn(), made(seed=seed), names)
    with reading(server, "swaps") as seen:
        for _ in range(8):
            rollback(server.dsn(), names)
        for seed in (3, 4):
            publish(server.dsn(), made(seed=seed), names)
    assert {len(versions) for versions in seen} == {1}
    assert len(set.union(*seen)) > 1, "readers have to meet more than one version for this test to mean anything"


def test_a_transaction_with_a_snapshot_from_before_sees_the_new_version_whole(server: Server) -> None:
    first, second = made(seed=1), made(seed=2, users=310)
    names = Names("snapshot")
    publish(server.dsn(), first, names)
    with server.connect() as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT 1")
        publish(server.dsn(), second, names)
        assert connection.execute("SELECT count(*) FROM snapshot.users").fetchone() == (310,)
        nearest = (
            "SELECT user_id FROM snapshot.users ORDER BY embedding <#> (SELECT embedding FROM snapshot.users LIMIT 1)"
        )
        assert len(connection.execute(f"{nearest} LIMIT 5".encode()).fetchall()) == 5


def test_a_reader_that_stays_is_waited_for_and_ends_the_publish_after_a_while(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = made(seed=1), made(seed=2)
    names = Names("patience")
    publish(server.dsn(), first, names)
    monkeypatch.setattr(publishing, "SWAP_PAUSE", 0.05)
    outcome: list[str] = []
    with server.connect() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM patience.items LIMIT 1")
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "SWAP_PATIENCE", 0.1)
            with pytest.raises(ServingError, match="found them in use for"):
                publish(server.dsn(), second, names)
        assert tables(server, "patience") == {"models", f"users_{first.version}", f"items_{first.version}"}
        publisher = threading.Thread(target=lambda: outcome.append(publish(server.dsn(), second, names)))
        publisher.start()
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'patience.items'::regclass"
        deadline = time.monotonic() + 20
        while not server.run(waiting) and time.monotonic() < deadline:
            time.sleep(0.01)
        # The publisher holds the users' view and waits for the items': the reader wants them the other way round.
        assert reader.execute("SELECT DISTINCT model_version FROM patience.users").fetchall() == [(first.version,)]
        reader.execute("COMMIT")
        publisher.join()
    assert outcome
    assert live(server, "patience", second)


@contextmanager
def publisher_process() -> Iterator[tuple[Callable[..., int], Callable[[], int]]]:
    """What starts a publisher and returns its process id, and what waits for its end and returns its status."""
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        asked, answers = process.stdin, process.stdout

        def start(*arguments: str | int) -> int:
            print(json.dumps(arguments), file=asked, flush=True)
            return int(answers.readline())

        def status() -> int:
            print(file=asked, flush=True)
            return int(answers.readline())

        yield start, status
        asked.close()


def test_a_publisher_killed_at_any_moment_leaves_one_whole_version_and_no_litter(server: Server) -> None:
    schema = "killed"
    names = Names(schema)
    stopped = 0
    with publisher_process() as process:
        start, status = process
        durations = []
        for seed in (1, 2):
            publish(server.dsn(), made(seed=seed + 100), names)
            start(server.dsn(), schema, seed)
            begun = time.monotonic()
            assert status() == 0
            durations.append(time.monotonic() - begun)
        draw = random.Random(5)
        for attempt in range(10):
            old, new = made(seed=2 + attempt), made(seed=3 + attempt)
            pid = start(server.dsn(), schema, 3 + attempt)
            time.sleep((attempt + draw.random()) / 10 * min(durations))
            os.kill(pid, signal.SIGKILL)
            stopped += status() != 0
            assert live(server, schema, old) or live(server, schema, new)
            publish_when_free(server, new, names)
            assert live(server, schema, new)
            kept = {f"{view}_{one.version}" for view in ("users", "items") for one in (old, new)}
            assert tables(server, schema) == {"models", *kept}
    assert stopped >= 3, "most have to be killed before they end for this test to mean anything"


def publish_when_free(server: Server, exported: Exported, names: Names) -> None:
    """Publishes once the server has noticed that the publisher before is gone, which takes it a second or two."""
    deadline = time.monotonic() + 10
    while server.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") and time.monotonic() < deadline:
        time.sleep(0.02)
    publish(server.dsn(), exported, names)


# Who may do what.


def test_a_role_that_may_create_in_the_schema_publishes_and_one_that_reads_views_asks(server: Server) -> None:
    server.run("CREATE ROLE publisher LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE other LOGIN")
    server.run("CREATE DATABASE shop")
    server.run(
        "CREATE EXTENSION vector; CREATE SCHEMA towerline; GRANT USAGE, CREATE ON SCHEMA towerline TO publisher",
        dbname="shop",
    )
    publish(server.dsn("publisher", "shop"), made(seed=1), Names())
    server.run(
        "GRANT USAGE ON SCHEMA towerline TO reader; GRANT SELECT ON towerline.users, towerline.items TO reader",
        "postgres",
        "shop",
    )
    publish(server.dsn("publisher", "shop"), made(seed=2), Names())
    with server.connect("reader", "shop") as connection:
        asked = Asked(made(seed=2), connection)
        for query, parameters in (
            (SIMILAR_USERS, ("u5", K)),
            (RECOMMENDED_ITEMS, ("u5", K)),
            (RECOMMENDED_UNSEEN_ITEMS_OF_TYPE, ("u5", "film", K)),
        ):
            assert len(asked.ask(query, *parameters, settings=AMPLE)) == K
        for table in ("models", f"users_{2:012x}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f'SELECT * FROM towerline."{table}"'.encode())
    server.run(
        "GRANT USAGE, CREATE ON SCHEMA towerline TO other; GRANT SELECT ON towerline.models TO other", dbname="shop"
    )
    for role, names, said in (
        ("reader", Names(), "permission denied for table models"),
        ("reader", Names("own"), "permission denied for database shop"),
        ("other", Names(), "permission denied for table models"),
        ("other", Names(items="things"), "expected 'users' to be free"),
    ):
        with pytest.raises(ServingError, match=said) as caught:
            publish(server.dsn(role, "shop"), made(seed=3), names)
        assert_one_line(caught.value)
        assert "has to own the views" in str(caught.value) or role == "other"
    server.run("GRANT CREATE ON DATABASE shop TO reader", dbname="shop")
    publish(server.dsn("reader", "shop"), made(seed=3), Names("own"))
    assert server.run("SELECT DISTINCT model_version FROM own.users", dbname="shop") == [(f"{3:012x}",)]


def assert_one_line(error: ServingError) -> None:
    assert "\n" not in str(error)
    assert "; " in str(error)


def test_pgvector_is_found_in_any_schema_made_where_allowed_and_asked_for_where_not(server: Server) -> None:
    server.run("CREATE DATABASE vectors")
    server.run("CREATE ROLE guest LOGIN; GRANT CREATE ON DATABASE vectors TO guest")
    with pytest.raises(
        ServingError, match="may not create it; an administrator has to run CREATE EXTENSION vector"
    ) as caught:
        publish(server.dsn("guest", "vectors"), made(), Names())
    assert_one_line(caught.value)
    publish(server.dsn(dbname="vectors"), made(), Names("made"))
    server.run(
        'DROP EXTENSION vector CASCADE; CREATE SCHEMA "Ext"; CREATE EXTENSION vector SCHEMA "Ext"', dbname="vectors"
    )
    with pytest.raises(ServingError, match=r'GRANT USAGE ON SCHEMA "Ext"') as caught:
        publish(server.dsn("guest", "vectors"), made(), Names())
    assert_one_line(caught.value)
    server.run('GRANT USAGE ON SCHEMA "Ext" TO guest', dbname="vectors")
    publish(server.dsn("guest", "vectors"), made(), Names())
    assert server.run("SELECT count(*) FROM towerline.users", "guest", "vectors") == [(300,)]
    server.run("UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'", dbname="vectors")
    with pytest.raises(
        ServingError, match=r"expected pgvector 0.8 or newer, found 0.7.4; .* ALTER EXTENSION vector UPDATE"
    ):
        publish(server.dsn("guest", "vectors"), made(seed=2), Names())


# What goes wrong is one line.

SECRET = "Tr0ub4dor"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://me:{SECRET}@localhost/db",
        f"postgres://me:{SECRET}@localhost/db",
        f"postgresql://me:{SECRET}/x@localhost/db",
        f"postgresql://me:x%zz{SECRET}@localhost/db",
        f"postgresql://localhost/db?user=me&password={SECRET}",
        f"host=localhost password = '{SECRET}'",
        f"host=localhost sslpassword={SECRET}",
    ],
)
def test_a_connection_string_with_a_password_is_refused_without_repeating_it(dsn: str) -> None:
    with pytest.raises(ServingError, match=r"without a password.*PGPASSWORD.*~/\.pgpass.*service file") as caught:
        publish(dsn, made(), Names())
    assert SECRET not in str(caught.value)
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    "dsn", [f"host=localhost {SECRET}", f"host=localhost pasword={SECRET}", "postgresql://[::1/db"]
)
def test_a_connection_string_that_cannot_be_read_is_not_repeated(dsn: str) -> None:
    with pytest.raises(ServingError, match="found one that libpq cannot read") as caught:
        publish(dsn, made(), Names())
    assert SECRET not in str(caught.value)
    assert_one_line(caught.value)


def test_a_connection_that_fails_says_why_without_the_password(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.run(f"CREATE ROLE sealed LOGIN PASSWORD 'not {SECRET}'")
    monkeypatch.setenv("PGPASSWORD", SECRET)
    for dsn, said in (
        (server.dsn("sealed"), 'password authentication failed for user "sealed"'),
        (server.dsn(dbname="nowhere"), 'database "nowhere" does not exist'),
        (server.dsn("nobody"), 'role "nobody" does not exist'),
        ("host=127.0.0.1 port=1", "refused"),
        ("host=no.such.host.invalid", "no.such.host.invalid"),
        ("service=none_such", "none_such"),
    ):
        with pytest.raises(ServingError, match=said) as caught:
            publish(dsn, made(), Names())
        assert SECRET not in str(caught.value)
        assert_one_line(caught.value)


def test_the_environment_names_the_server_where_no_connection_string_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", server.host)
    monkeypatch.setenv("PGUSER", "postgres")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    for seed, dsn in enumerate((None, "")):
        exported = made(users=2, seed=seed)._replace(user_ids=pa.array(["🙂", "я"]))
        publish(dsn, exported, Names("environment"))
        assert live(server, "environment", exported)


def test_a_publish_that_the_server_ends_changes_nothing(server: Server) -> None:
    names = Names("ended")
    publish(server.dsn(), made(seed=1), names)
    of_publisher = "FROM pg_stat_activity WHERE query LIKE 'COPY \"ended\"%'"

    def end(function: str) -> Callable[[int], object]:
        return lambda _: server.run(f"SELECT {function}(pid) {of_publisher}")

    for function, said in (("pg_terminate_backend", "stay connected"), ("pg_cancel_backend", "statement_timeout")):
        with pytest.raises(ServingError, match=said) as caught:
            publish(server.dsn(), made(seed=2), names, end(function))
        assert_one_line(caught.value)
        assert live(server, "ended", made(seed=1))
        assert tables(server, "ended") == {"models", f"users_{1:012x}", f"items_{1:012x}"}


def test_what_postgresql_or_pgvector_cannot_hold_is_refused_before_connecting() -> None:
    exported = made()
    for changed, said in (
        ({"titles": pa.array(["a", None, "b\0c"])}, r"titles, row 2: .*NUL.*'b\\x00c'"),
        ({"user_ids": pa.array(["\0"])}, "user_ids, row 0"),
        ({"user_embeddings": np.zeros((1, 2001), np.float32)}, "at most 2,000 dimensions, .*found 2,001"),
    ):
        with pytest.raises(ServingError, match=said) as caught:
            publish("host=127.0.0.1 port=1", exported._replace(**changed), Names())
        assert_one_line(caught.value)


def test_an_id_that_stands_twice_is_named(server: Server) -> None:
    exported = made(users=2)._replace(user_ids=pa.array(["twin", "twin"]))
    with pytest.raises(ServingError, match=r"Key \(user_id\)=\(twin\) is duplicated") as caught:
        publish(server.dsn(), exported, Names("twins"))
    assert_one_line(caught.value)
    assert tables(server, "twins") == set()


def test_a_name_that_is_taken_is_left_alone(server: Server) -> None:
    server.run("CREATE SCHEMA taken; CREATE TABLE taken.users (id text); CREATE VIEW taken.members AS SELECT 1")
    for users in ("users", "members"):
        with pytest.raises(ServingError, match=f"expected '{users}' to be free") as caught:
            publish(server.dsn(), made(), Names("taken", users=users))
        assert_one_line(caught.value)
    assert tables(server, "taken") == {"users"}
    server.run("CREATE SCHEMA cars; CREATE TABLE cars.models (brand text)")
    with pytest.raises(ServingError, match="not Towerline's: choose another schema") as caught:
        publish(server.dsn(), made(), Names("cars"))
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        {"users": "u" * 51},
        {"items": "é" * 26},
        {"schema": "s" * 64},
        {"schema": ""},
        {"users": "line\nbreak"},
        {"users": "nul\0"},
        {"users": "items"},
        {"items": "models"},
        {"schema": "information_schema"},
        {"schema": "pg_catalog"},
        {"schema": "pg_toast"},
    ],
)
def test_names_that_postgresql_would_cut_or_confuse_are_refused(names: dict[str, str]) -> None:
    with pytest.raises(ServingError, match="expected") as caught:
        Names(**names)
    assert_one_line(caught.value)


def test_the_longest_names_are_taken_whole(server: Server) -> None:
    names = Names("s" * 63, "u" * 50, "i" * 50)
    publish(server.dsn(), made(users=2, items=20), names)
    assert f"{'u' * 50}_{1:012x}" in tables(server, names.schema)
