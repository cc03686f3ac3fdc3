"""Privileges of PostgreSQL's roles, and the extension pgvector."""

import psycopg
import pytest

from tests.postgres import Server
from tests.towerline.serving.postgres.conftest import (
    AMPLE,
    RECOMMENDED_ITEMS,
    RECOMMENDED_UNSEEN_ITEMS_OF_TYPE,
    SIMILAR_USERS,
    Asked,
    K,
    assert_one_line,
    made,
)
from towerline.serving.errors import ServingError
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish


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
    for role, names, message in (
        ("reader", Names(), "permission denied for table models"),
        ("reader", Names("own"), "permission denied for database shop"),
        ("other", Names(), "permission denied for table models"),
        ("other", Names(items="things"), "expected 'users' to be free"),
    ):
        with pytest.raises(ServingError, match=message) as caught:
            publish(server.dsn(role, "shop"), made(seed=3), names)
        assert_one_line(caught.value)
        assert "has to own the views" in str(caught.value) or role == "other"
    server.run("GRANT CREATE ON DATABASE shop TO reader", dbname="shop")
    publish(server.dsn("reader", "shop"), made(seed=3), Names("own"))
    assert server.run("SELECT DISTINCT model_version FROM own.users", dbname="shop") == [(f"{3:012x}",)]


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
