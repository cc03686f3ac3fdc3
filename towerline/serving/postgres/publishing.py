"""Publishes an export to tables in PostgreSQL in one transaction; the previous version is kept.

Readers use two views. A transaction that has read one of them holds a lock that a swap waits for, so that it reads the
same version from the other.
"""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from typing import LiteralString, NamedTuple

from psycopg import Connection, errors, sql
from psycopg.rows import TupleRow

from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.postgres import copying
from towerline.serving.postgres.connection import connected, notice_lost_clients, use_pgvector
from towerline.serving.postgres.names import MODELS, Names

# Seconds. New readers wait for a swap that waits; it gives up well before the server's deadlock_timeout of a second, so
# that the server never ends a reader.
SWAP_WAIT = 0.3
SWAP_PAUSE = 2.0
SWAP_PATIENCE = 300.0


class Versions(NamedTuple):
    """The live version and the previous one; None for none.

    Attributes:
      live, previous: the versions.
      shown: True if both views exist; one may have been dropped.
    """

    live: str | None
    previous: str | None
    shown: bool = True


def publish(
    dsn: str | None, exported: Exported, names: Names, progressed: Callable[[int], object] = lambda rows: None
) -> str:
    """Makes an export the live model, in one transaction.

    Args:
      dsn: a connection string without a password, or None or "" for the settings of libpq's environment.
      progressed: called with the number of rows sent since its last call; len(user_ids) + len(item_ids) in all.

    Returns:
      One line that says what was done.

    Raises:
      ServingError: nothing was changed; the message says why.
    """
    copying.check(exported)
    with connected(dsn) as connection, connection.transaction():
        _lock(connection, names)
        versions = _versions(connection, names)
        if exported.version == versions.live and versions.shown:
            return f"{exported.version} is live already: nothing to do"
        use_pgvector(connection)
        notice_lost_clients(connection)
        if exported.version in (versions.live, versions.previous):
            other = versions.previous if exported.version == versions.live else versions.live
            _swap(connection, names, Versions(exported.version, other))
            return f"{exported.version} was kept and is live again"
        _create_schema(connection, names)
        copying.create_tables(connection, names, exported, progressed)
        sizes = exported.user_embeddings.shape[1], len(exported.user_ids), len(exported.item_ids)
        # The swap makes it live.
        _note(connection, names, exported.version, *sizes, "previous")
        _swap(connection, names, Versions(exported.version, versions.live), versions.previous)
    kept = f"; {versions.live} is kept" if versions.live else ""
    users, items = len(exported.user_ids), len(exported.item_ids)
    return f"{exported.version} is live with {users:,} users and {items:,} items{kept}"


def rollback(dsn: str | None, names: Names) -> str:
    """Makes the previous model the live one and the live one the previous, in one transaction.

    Returns:
      One line that says what was done.

    Raises:
      ServingError: there is no previous model, or nothing was changed for another reason that the message says.
    """
    with connected(dsn) as connection, connection.transaction():
        _lock(connection, names)
        live, previous, _ = _versions(connection, names)
        if live is None or previous is None:
            raise ServingError(
                f"{_place(connection, names)}: expected a previous version to go back "
                f"to, found {f'only {live}' if live else 'none'}; publish one"
            )
        use_pgvector(connection)
        _swap(connection, names, Versions(previous, live))
    return f"{previous} is live again; {live} is kept"


def _place(connection: Connection[TupleRow], names: Names) -> str:
    return f"database {connection.info.dbname!r}, schema {names.schema!r}"


def _lock(connection: Connection[TupleRow], names: Names) -> None:
    """Keeps others from publishing into the schema until the transaction ends."""
    digest = hashlib.sha256(f"towerline publish {names.schema}".encode()).digest()
    key = int.from_bytes(digest[:8], signed=True)
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s::bigint)", [key]).fetchone()
    if not row or not row[0]:
        raise ServingError(
            f"{_place(connection, names)}: expected to publish alone, found another "
            "publish or rollback under way; run it again when that has ended"
        )


def _versions(connection: Connection[TupleRow], names: Names) -> Versions:
    """The versions that were published under these names.

    Raises:
      ServingError: a name is in use by another relation.
    """
    existing = {
        name
        for (name,) in connection.execute(
            "SELECT relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace "
            "WHERE nspname = %s AND relname = ANY(%s)",
            [names.schema, [names.users, names.items, MODELS]],
        ).fetchall()
    }
    rows: list[TupleRow] = []
    if MODELS in existing:
        query = sql.SQL(
            "SELECT users_view, items_view, state, version FROM {} WHERE users_view = %s OR items_view = %s"
        )
        rows = connection.execute(query.format(names.within(MODELS)), [names.users, names.items]).fetchall()
    states = {state: version for *views, state, version in rows if views == [names.users, names.items]}
    shown = {names.users, names.items} & existing
    if shown and not states:
        states = _lost_states(connection, names, shown, of_others=bool(rows))
    return Versions(states.get("live"), states.get("previous"), {names.users, names.items} <= existing)


def _lost_states(connection: Connection[TupleRow], names: Names, shown: set[str], of_others: bool) -> dict[str, str]:
    """Restores the list of models, which was lost, from the views and tables.

    Args:
      shown: the views that exist.
      of_others: True if one of the views is listed together with another one.

    Raises:
      ServingError: a name is in use by another relation.
    """
    tables = _tables_of_views(connection, names)
    versions = _versions_with_tables(connection, names)
    live = [
        version for version in versions if tables == {view: f"{view}_{version}" for view in (names.users, names.items)}
    ]
    if of_others or not live:
        view = min(shown, key=[names.users, names.items].index)
        raise ServingError(
            f"{_place(connection, names)}: expected {view!r} to be free, or the view published as one of "
            f"{names.users!r} and {names.items!r}, found something else; choose another name or schema"
        )
    kept = [version for version in versions if version not in live][-1:]
    _create_schema(connection, names)
    states = dict(zip(("live", "previous"), [*live, *kept], strict=False))
    for state, version in states.items():
        _note(connection, names, version, *_sizes(connection, names, version), state)
    return states


def _tables_of_views(connection: Connection[TupleRow], names: Names) -> dict[str, str]:
    """The table in the schema that each of the views reads."""
    return dict(
        connection.execute(
            "SELECT v.relname, t.relname FROM pg_catalog.pg_class v "
            "JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid "
            "JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid "
            "AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> v.oid "
            "JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.relnamespace = v.relnamespace "
            "JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace "
            "WHERE n.nspname = %s AND v.relname = ANY(%s) AND v.relkind = 'v' AND t.relkind = 'r'",
            [names.schema, [names.users, names.items]],
        ).fetchall()
    )


def _versions_with_tables(connection: Connection[TupleRow], names: Names) -> list[str]:
    """The versions of which both tables exist, in the order of their creation."""
    rows = connection.execute(
        "SELECT right(u.relname, 12) "
        "FROM pg_catalog.pg_class u JOIN pg_catalog.pg_namespace n ON n.oid = u.relnamespace "
        "JOIN pg_catalog.pg_class i ON i.relnamespace = n.oid AND i.relname = %(items)s || '_' || right(u.relname, 12) "
        "WHERE n.nspname = %(schema)s AND u.relkind = 'r' AND i.relkind = 'r' "
        "AND u.relname = %(users)s || '_' || right(u.relname, 12) AND right(u.relname, 12) ~ '^[0-9a-f]{12}$' "
        "ORDER BY u.oid",
        {"schema": names.schema, "users": names.users, "items": names.items},
    ).fetchall()
    return [version for (version,) in rows]


def _sizes(connection: Connection[TupleRow], names: Names, version: str) -> tuple[int, int, int]:
    """Dimension, number of users and of items in the tables of a version."""
    query = sql.SQL(
        "SELECT (SELECT atttypmod FROM pg_catalog.pg_attribute "
        "WHERE attrelid = %s::regclass AND attname = 'embedding'), "
        "(SELECT count(*) FROM {}), (SELECT count(*) FROM {})"
    )
    users, items = (names.table(view, version) for view in (names.users, names.items))
    row = connection.execute(query.format(users, items), [users.as_string(connection)]).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def _create_schema(connection: Connection[TupleRow], names: Names) -> None:
    # IF NOT EXISTS would ask for the right to create a schema even where it exists.
    query = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s"
    if not connection.execute(query, [names.schema]).fetchone():
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(names.schema)))
    connection.execute(
        sql.SQL(
            """
            CREATE TABLE IF NOT EXISTS {} (
                users_view text,
                items_view text,
                version text,
                state text NOT NULL CHECK (state IN ('live', 'previous')),
                published_at timestamptz NOT NULL,
                dimension integer NOT NULL,
                users bigint NOT NULL,
                items bigint NOT NULL,
                PRIMARY KEY (users_view, items_view, version)
            )
            """
        ).format(names.within(MODELS))
    )


def _note(
    connection: Connection[TupleRow], names: Names, version: str, dimension: int, users: int, items: int, state: str
) -> None:
    """Lists a version whose tables exist."""
    connection.execute(
        sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, clock_timestamp(), %s, %s, %s)").format(names.within(MODELS)),
        [names.users, names.items, version, state, dimension, users, items],
    )


def _swap(connection: Connection[TupleRow], names: Names, versions: Versions, superfluous: str | None = None) -> None:
    """Points the views at the new live version and drops the superfluous one, once no reader holds the views.

    Raises:
      ServingError: readers hold the views for too long.
    """
    patient_until = time.monotonic() + SWAP_PATIENCE
    while True:
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout TO {}").format(f"{SWAP_WAIT * 1000:.0f}ms"))
                _replace_views(connection, names, versions)
                if superfluous:
                    _drop(connection, names, superfluous)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            if time.monotonic() > patient_until:
                raise ServingError(
                    f"{_place(connection, names)}: expected the views to be free for a moment, found them in use for "
                    f"{SWAP_PATIENCE:.0f} s; end the old transactions that pg_stat_activity shows, and run it again"
                ) from None
            time.sleep(SWAP_PAUSE)
        else:
            return


def _replace_views(connection: Connection[TupleRow], names: Names, versions: Versions) -> None:
    # Both at once: the swap would have to wait for a reader that locked one in between and wants the other.
    views = sql.SQL(", ").join(names.within(view) for view in (names.users, names.items))
    with suppress(errors.UndefinedTable), connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(views))
    # A view's column cannot change its type, which therefore has no dimension.
    shown: tuple[tuple[str, LiteralString], ...] = (
        (names.users, "user_id, embedding::{type} AS embedding, seen, model_version, taste::{type} AS taste"),
        (names.items, "item_row, item_type, item_id, title, embedding::{type} AS embedding, model_version"),
    )
    for view, columns in shown:
        table = names.table(view, str(versions.live))
        selected = sql.SQL(columns).format(type=_type_of_vectors(connection, table))
        statement = sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}")
        connection.execute(statement.format(names.within(view), selected, table))
    connection.execute(
        sql.SQL(
            "UPDATE {} SET state = CASE version WHEN %(live)s THEN 'live' ELSE 'previous' END, "
            "published_at = CASE version WHEN %(live)s THEN clock_timestamp() ELSE published_at END "
            "WHERE users_view = %(users)s AND items_view = %(items)s"
        ).format(names.within(MODELS)),
        {"live": versions.live, "users": names.users, "items": names.items},
    )


def _type_of_vectors(connection: Connection[TupleRow], table: sql.Identifier) -> sql.Identifier:
    """The type of the embeddings in the table of a version."""
    row = connection.execute(
        "SELECT typname FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_type t ON t.oid = atttypid "
        "WHERE attrelid = %s::regclass AND attname = 'embedding'",
        [table.as_string(connection)],
    ).fetchone()
    assert row is not None
    return sql.Identifier(row[0])


def _drop(connection: Connection[TupleRow], names: Names, version: str) -> None:
    tables = [names.table(view, version) for view in (names.users, names.items)]
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(tables)))
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE users_view = %s AND items_view = %s AND version = %s").format(
            names.within(MODELS)
        ),
        [names.users, names.items, version],
    )
