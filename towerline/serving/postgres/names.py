"""Names in the database: two views that applications read, their tables, and a list of models."""

from dataclasses import dataclass

from psycopg import sql

from towerline.serving.errors import ServingError

MODELS = "models"
# PostgreSQL truncates longer names silently.
NAME_BYTES = 63
_SUFFIX_BYTES = len("_0123456789ab")


@dataclass(frozen=True)
class Names:
    """Names of the schema and of the views in it.

    Raises:
      ServingError: a name is empty, too long, or taken by another of them.
    """

    schema: str = "towerline"
    users: str = "users"
    items: str = "items"

    def __post_init__(self) -> None:
        _check("schema", self.schema, NAME_BYTES)
        if self.schema == "information_schema" or self.schema.startswith("pg_"):
            raise ServingError(
                f"expected a schema for Towerline's views and tables, found {self.schema!r}, which is PostgreSQL's "
                "own; choose another"
            )
        _check("users", self.users, NAME_BYTES - _SUFFIX_BYTES)
        _check("items", self.items, NAME_BYTES - _SUFFIX_BYTES)
        if len({self.users, self.items, MODELS}) < 3:
            raise ServingError(
                f"expected names for users and items that differ from each other and from {MODELS!r}, "
                f"found {self.users!r} and {self.items!r}; choose others"
            )

    def within(self, name: str) -> sql.Identifier:
        """A name in the schema, quoted."""
        return sql.Identifier(self.schema, name)

    def table(self, view: str, version: str) -> sql.Identifier:
        """The table of a version of a view, quoted."""
        return self.within(f"{view}_{version}")


def _check(what: str, name: str, limit: int) -> None:
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= limit or not name.isprintable():
        raise ServingError(
            f"expected a name for {what} of 1 to {limit} bytes without control characters, found {name!r} of {size}; "
            "choose another"
        )
