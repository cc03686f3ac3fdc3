"""Values and names that PostgreSQL cannot hold are refused in one line (law 10)."""

import numpy as np
import pyarrow as pa
import pytest

from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import assert_one_line, made, tables
from towerline.serving.errors import ServingError
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish


def test_what_postgresql_or_pgvector_cannot_hold_is_refused_before_connecting() -> None:
    exported = made()
    for changed, message in (
        ({"titles": pa.array(["a", None, "b\0c"])}, r"titles, row 2: .*NUL.*'b\\x00c'"),
        ({"user_ids": pa.array(["\0"])}, "user_ids, row 0"),
        ({"user_embeddings": np.zeros((1, 2001), np.float32)}, "at most 2,000 dimensions, .*found 2,001"),
    ):
        with pytest.raises(ServingError, match=message) as caught:
            publish("host=127.0.0.1 port=1", exported._replace(**changed), Names())
        assert_one_line(caught.value)


def test_a_repeated_id_is_named(server: Server) -> None:
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
