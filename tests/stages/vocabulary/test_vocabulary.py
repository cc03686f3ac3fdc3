"""Numbers of users and items (law 5)."""

import pyarrow.parquet as pq

from stages.vocabulary import __main__ as vocabulary
from tests.stages.conftest import Ingest


def test_vocabularies_are_numbered_from_one_in_byte_order(ingest: Ingest) -> None:
    ids = ["b", "a", "B", "é", "\U0001f600", "\uffee", "10", "9"]
    ingest([[user, "i", "t", "1", "1"] for user in ids])
    vocabulary.main()
    users = pq.read_table("data/vocabulary/users.parquet").to_pylist()
    assert [row["index"] for row in users] == list(range(1, len(ids) + 1))
    assert [row["user_id"] for row in users] == sorted(ids, key=str.encode)
    items = pq.read_table("data/vocabulary/items.parquet").to_pylist()
    assert items == [{"index": 1, "item_type": "t", "item_id": "i", "title": None, "features": None}]
