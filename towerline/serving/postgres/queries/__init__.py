"""The SQL statements that an application sends to PostgreSQL, one file each."""

from importlib.resources import files
from typing import Literal

from towerline.serving.postgres.names import Names

QueryName = Literal["similar_users", "recommend", "recommend_unseen_of_type"]


def query(name: QueryName, names: Names | None = None) -> str:
    """Returns a statement with PostgreSQL's numbered parameters ($1, $2, ...), which its first line describes.

    Args:
      name: of the statement's file, without the suffix.
      names: schema and views; None for the default ones.

    Examples:
      >>> print(query("recommend").splitlines()[0])
      -- The $2 best items for user $1, best first.

      With psycopg, whose raw cursors take numbered parameters:

      >>> cursor = psycopg.RawCursor(connection)  # doctest: +SKIP
      >>> cursor.execute(query("recommend"), ["42", 10]).fetchall()  # doctest: +SKIP
    """
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    if names is not None:
        for view, shown in (("users", names.users), ("items", names.items)):
            text = text.replace(f"towerline.{view}", names.within(shown).as_string())
    return text
