"""Interactions -> the user and item vocabularies: all ids in byte order, with their index from 1.

Index 0 is the unknown id, as in Keras' StringLookup with one out-of-vocabulary bucket.

Reads: data/interactions.parquet, data/users.parquet, data/items.parquet.
Writes: data/vocabulary/users.parquet, data/vocabulary/items.parquet.
Parameters: engine.
"""

import ibis.expr.types as ir

from towerline.artifacts.ingest import INTERACTIONS, ITEMS, USERS
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline import formats
from towerline.pipeline.terminal import run
from towerline.tables import engine
from towerline.tables.memory import Texts


def described(ids: ir.Table, table: ir.Table) -> ir.Table:
    """The distinct ids in byte order, with the other columns of their table, null for ids without a row there.

    Args:
      ids: rows of ids.
      table: has one row for an id at most.
    """
    key = list(ids.columns)
    others = [name for name in table.columns if name not in key]
    distinct = ids.distinct()
    return distinct.left_join(table, key).select(*(distinct[name] for name in key), *others).order_by(key)


def main() -> str:
    features = [Texts.of(formats.num_rows(path), formats.row_width(path), features=True) for path in (USERS, ITEMS)]
    with engine.session("vocabulary", formats.num_rows(INTERACTIONS), texts=Texts.joined(features)) as session:
        interactions, user_table, item_table = map(session.read, (INTERACTIONS, USERS, ITEMS))
        users = described(interactions.select("user_id"), user_table)
        items = described(interactions.select("item_type", "item_id"), item_table)
        num_users = session.write(USER_VOCABULARY, users, index="index")
        num_items = session.write(ITEM_VOCABULARY, items, index="index")
        num_titled = int(session.read(ITEM_VOCABULARY).title.count().to_pyarrow().as_py())
    return f"{num_users:,} users, {num_items:,} items, {num_titled:,} of them with a title"


if __name__ == "__main__":
    run("vocabulary", main)
