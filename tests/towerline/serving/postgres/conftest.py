"""Exports to publish, published models to ask, and the content of a schema."""

from typing import Any, get_args

import numpy as np
import psycopg
import pyarrow as pa
from numpy.typing import NDArray

from tests.postgres import Server
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions
from towerline.ranking.user_items import UserItems
from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.postgres.queries import QueryName, query

SIMILAR_USERS, RECOMMENDED_ITEMS, RECOMMENDED_UNSEEN_ITEMS_OF_TYPE = map(query, get_args(QueryName))

K = 10

AMPLE = "SET LOCAL hnsw.ef_search = 100"


def unit_vectors(draw: np.random.Generator, rows: int, dimension: int) -> NDArray[np.float64]:
    """Directions around 50 centres that are the same for every draw of a dimension."""
    centres = np.random.default_rng(1).standard_normal((50, dimension))
    vectors = centres[draw.integers(0, 50, rows)] + draw.standard_normal((rows, dimension))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def made(users: int = 300, items: int = 200, dimension: int = 10, seed: int = 1, seen: int = 5) -> Exported:
    """An export of clustered vectors; every third item is a film, no film has a title, as trained vectors are.

    The first user has no training row, and no seen items.
    """
    draw = np.random.default_rng(seed)
    taste = dimension - PRIOR_DIMENSIONS
    terms = np.zeros(items), draw.uniform(0.1, 0.9, items)
    user_vectors = np.column_stack([unit_vectors(draw, users, taste), np.full(users, 0.5), np.ones(users)])
    directions(user_vectors)[0] = 0
    item_vectors = np.column_stack([unit_vectors(draw, items, taste), *terms])
    # Items without training rows: the same direction, none, and the lowest prior.
    item_vectors[: items // 10] = np.zeros(dimension)
    kinds = ["film" if row % 3 == 0 else "book" for row in range(items)]
    counts = draw.integers(1, 2 * seen, users - 1)
    pairs = draw.integers(0, items, counts.sum()).astype(np.int32)
    rows = UserItems.of_pairs(np.repeat(np.arange(1, users, dtype=np.int32), counts), pairs, num_rows=users)
    # Fields that publishing does not read are None.
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
    """Returns True if both views show all of this export, and nothing else."""
    sizes = len(exported.user_ids), len(exported.item_ids)
    return shown(server, schema) == ([exported.version], [exported.version], *sizes)


def assert_one_line(error: ServingError) -> None:
    assert "\n" not in str(error)
    assert "; " in str(error)


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
