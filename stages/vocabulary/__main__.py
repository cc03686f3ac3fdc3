"""Interactions -> the user and item vocabularies: all ids in byte order, with their index from 1.

Index 0 is the unknown id, as in Keras' StringLookup with one out-of-vocabulary bucket.

Reads: data/interactions.parquet, data/items.parquet.
Writes: data/vocabulary/users.parquet, data/vocabulary/items.parquet.
Parameters: none.
"""

import ibis
import ibis.expr.types as ir

from towerline.artifacts.ingest import INTERACTIONS, ITEMS
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline.terminal import run
from towerline.tables import engine


def numbered(ids: ir.Table) -> ir.Table:
    """The distinct rows of `ids` in byte order, with their int32 index as the first column."""
    key = list(ids.columns)
    position = ibis.row_number().over(ibis.window(order_by=key)).cast("int32")
    return ids.distinct().select((position + 1).cast("int32").name("index"), *key)


def described(vocabulary: ir.Table, items: ir.Table) -> ir.Table:
    """The item vocabulary with titles and features, null for items without them."""
    key = ["item_type", "item_id"]
    features = [name for name in items.columns if name not in key]
    return vocabulary.left_join(items, key).select(*vocabulary.columns, *(items[name] for name in features))


def main() -> str:
    with engine.session("vocabulary") as (connection, _):
        interactions = connection.read_parquet(INTERACTIONS)
        items = connection.read_parquet(ITEMS)
        users = numbered(interactions.select("user_id"))
        titled = described(numbered(interactions.select("item_type", "item_id")), items)
        num_users = engine.write(USER_VOCABULARY, users.order_by("index"))
        num_items = engine.write(ITEM_VOCABULARY, titled.order_by("index"))
        num_titled = int(titled.title.count().to_pyarrow().as_py())
    return f"{num_users:,} users, {num_items:,} items, {num_titled:,} of them with a title"


if __name__ == "__main__":
    run("vocabulary", main)
