"""A swap of versions is whole for every reader, whatever happens to the publisher (law 8)."""

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

import pytest

from tests.conftest import ROOT
from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import (
    assert_one_line,
    live,
    made,
    tables,
)
from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.postgres import publishing
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish, rollback

# A process that publishes in children, so that modules are imported once. It waits for a child only when it reads
# a line: until then no other process can get the process id of the child.
PUBLISHER = """
import json, os, sys
from tests.towerline.serving.postgres.conftest import made
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish
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
                        rows = [
                            row for statement in statements for row in connection.execute(statement.encode()).fetchall()
                        ]
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
    """Yields a function that starts a publisher and returns its process id, and one that returns its exit status."""
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
            kept = {f"{view}_{exported.version}" for view in ("users", "items") for exported in (old, new)}
            assert tables(server, schema) == {"models", *kept}
    assert stopped >= 3, "most have to be killed before they end for this test to mean anything"


def publish_when_free(server: Server, exported: Exported, names: Names) -> None:
    """Publishes once the server has noticed that the publisher before is gone, after a second or two."""
    deadline = time.monotonic() + 10
    while server.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'") and time.monotonic() < deadline:
        time.sleep(0.02)
    publish(server.dsn(), exported, names)


def test_a_publish_that_the_server_ends_changes_nothing(server: Server) -> None:
    names = Names("ended")
    publish(server.dsn(), made(seed=1), names)
    of_publisher = "FROM pg_stat_activity WHERE query LIKE 'COPY \"ended\"%'"

    def end(function: str) -> Callable[[int], object]:
        return lambda _: server.run(f"SELECT {function}(pid) {of_publisher}")

    for function, message in (("pg_terminate_backend", "stay connected"), ("pg_cancel_backend", "statement_timeout")):
        with pytest.raises(ServingError, match=message) as caught:
            publish(server.dsn(), made(seed=2), names, end(function))
        assert_one_line(caught.value)
        assert live(server, "ended", made(seed=1))
        assert tables(server, "ended") == {"models", f"users_{1:012x}", f"items_{1:012x}"}
