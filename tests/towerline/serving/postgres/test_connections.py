"""Connection strings and the environment; no message repeats a password."""

import pyarrow as pa
import pytest

from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import assert_one_line, live, made
from towerline.serving.errors import ServingError
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish

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
    for dsn, message in (
        (server.dsn("sealed"), 'password authentication failed for user "sealed"'),
        (server.dsn(dbname="nowhere"), 'database "nowhere" does not exist'),
        (server.dsn("nobody"), 'role "nobody" does not exist'),
        ("host=127.0.0.1 port=1", "refused"),
        ("host=no.such.host.invalid", "no.such.host.invalid"),
        ("service=none_such", "none_such"),
    ):
        with pytest.raises(ServingError, match=message) as caught:
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
