"""A connection to PostgreSQL: no password in its description, and errors of one line."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from pgvector.psycopg import register_vector
from psycopg import Connection, errors, sql
from psycopg.rows import TupleRow

from towerline.serving.errors import ServingError

# Iterative scans, without which a filter can leave a search with fewer rows than asked for.
OLDEST_PGVECTOR = (0, 8)

_RIGHTS = (
    "the role that publishes needs USAGE and CREATE on the schema, or CREATE on the database where there is no schema "
    "yet, and has to own the views"
)
_ADVICE: dict[type[psycopg.Error], str] = {
    errors.InsufficientPrivilege: _RIGHTS,
    errors.DiskFull: "free or add space (for shared memory in a container: --shm-size) and run it again",
    errors.OutOfMemory: "lower maintenance_work_mem and run it again",
    errors.QueryCanceled: "find out who cancelled it, or raise the role's statement_timeout, and run it again",
    errors.DuplicateTable: "drop the table of that name, or choose another name",
    errors.DependentObjectsStillExist: "let them read the view instead of a version's table, and run it again",
    errors.InvalidTableDefinition: (
        "the views show an export of another export.dtype, and a view cannot change its types: choose another schema, "
        "or other names"
    ),
    errors.ReadOnlySqlTransaction: "publish to the primary server, as a role that may write",
    errors.UndefinedColumn: "a table of that name is not Towerline's: choose another schema",
    errors.ProgramLimitExceeded: "an id of more than some 2,600 bytes cannot be a key: shorten it in the raw data",
    errors.UntranslatableCharacter: "use a database with the encoding UTF8",
}


@contextmanager
def connected(dsn: str | None) -> Iterator[Connection[TupleRow]]:
    """A connection that is closed after the block; errors of the database in the block become a ServingError.

    Args:
      dsn: a connection string of libpq without a password; None or "" for the settings of the environment (PGHOST,
        PGSERVICE and so on, ~/.pgpass).

    Raises:
      ServingError: the string holds a password or cannot be read; there is no connection; the database refuses.
    """
    _check(dsn or "")
    try:
        # Ids are sent as UTF-8 whatever PGCLIENTENCODING says.
        connection = psycopg.connect(dsn or "", autocommit=True, client_encoding="utf8")
    except (psycopg.Error, UnicodeError) as error:
        reason = _one_line(str(error)).removeprefix("connection failed: ")
        raise ServingError(
            f"expected a connection to PostgreSQL, found {reason}; check the connection string, PGHOST, PGUSER, "
            "PGDATABASE and that the server runs"
        ) from None
    # Reads under the lock have to see what its previous holder committed.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    with connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise ServingError(_line(connection, error)) from None


def _check(dsn: str) -> None:
    # libpq reads unexpected parts of a URI as a host or a database, and its messages repeat them: none is shown.
    # libpq judges the parameters after the ?.
    in_uri = dsn.partition("://")[2].partition("?")[0].rpartition("@")[0].partition(":")[2]
    try:
        options = psycopg.pq.Conninfo.parse(dsn.encode())
    except (psycopg.Error, UnicodeError):
        options = None
    # "*" marks options that libpq itself does not show on a screen.
    if in_uri or any(option.dispchar == b"*" and option.val for option in options or ()):
        raise ServingError(
            "expected a connection string without a password, found one; "
            "set PGPASSWORD, or use ~/.pgpass or a service file"
        )
    if options is None:
        raise ServingError(
            "expected a connection string such as postgresql://user@host:5432/database or host=... dbname=..., "
            "found one that libpq cannot read; correct it"
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _line(connection: Connection[TupleRow], error: psycopg.Error) -> str:
    """One line with the database's message, its place, and advice."""
    message = error.diag.message_primary or str(error)
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    advice = next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), "nothing was changed")
    if connection.broken:
        return (
            f"expected PostgreSQL to stay connected, found {_one_line(message)}; "
            "run it again: it continues with the work that is left"
        )
    where = f"database {connection.info.dbname!r}, role {connection.info.user!r}"
    return _one_line(f"{where}: expected PostgreSQL to accept the statement, found {message}{detail}; {advice}")


def use_pgvector(connection: Connection[TupleRow]) -> None:
    """Registers the type vector in this transaction and its connection; creates the extension if it is missing.

    Raises:
      ServingError: the extension is missing and cannot be created, is too old, or may not be used.
    """
    database, role = connection.info.dbname, connection.info.user
    schema, version, usable = (_find_pgvector(connection) or _create_pgvector(connection))[0]
    if tuple(int(number) for number in version.split(".")[:2]) < OLDEST_PGVECTOR:
        wanted = ".".join(map(str, OLDEST_PGVECTOR))
        raise ServingError(
            f"database {database!r}: expected pgvector {wanted} or newer, found {version}; an administrator has to run "
            "ALTER EXTENSION vector UPDATE"
        )
    if not usable:
        raise ServingError(
            f"database {database!r}: expected that role {role!r} may use pgvector, which is in schema {schema!r}; an "
            f"administrator has to GRANT USAGE ON SCHEMA {sql.Identifier(schema).as_string()} TO it"
        )
    connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(sql.Identifier(schema)))
    register_vector(connection)


def _find_pgvector(connection: Connection[TupleRow]) -> list[tuple[str, str, bool]]:
    """Schema, version and, as a boolean, the role's right to use the schema; empty if the extension is missing."""
    return connection.execute(
        """
        SELECT nspname, extversion, has_schema_privilege(extnamespace, 'USAGE')
        FROM pg_catalog.pg_extension JOIN pg_catalog.pg_namespace ON pg_namespace.oid = extnamespace
        WHERE extname = 'vector'
        """
    ).fetchall()


def _create_pgvector(connection: Connection[TupleRow]) -> list[tuple[str, str, bool]]:
    database, role = connection.info.dbname, connection.info.user
    expected = f"database {database!r}: expected the extension vector (pgvector)"
    try:
        connection.execute("CREATE EXTENSION vector")
    except errors.InsufficientPrivilege:
        raise ServingError(
            f"{expected}, found none, and role {role!r} may not create it; an administrator has to run "
            f"CREATE EXTENSION vector in this database"
        ) from None
    except (errors.FeatureNotSupported, errors.UndefinedFile):
        raise ServingError(
            f"{expected}, found none to create; install pgvector on the server, then run CREATE EXTENSION vector"
        ) from None
    return _find_pgvector(connection)


def notice_lost_clients(connection: Connection[TupleRow]) -> None:
    """Has the server end this transaction soon after the client is gone, even while it builds an index."""
    # Not all systems support it.
    with suppress(psycopg.Error), connection.transaction():
        connection.execute("SET LOCAL client_connection_check_interval TO '1s'")
