"""Ibis expressions that several stages use."""

from ibis.expr.types import Table


def count_of(rows: Table) -> int:
    """Number of rows of an expression."""
    return int(rows.count().to_pyarrow().as_py())


def with_indices(interactions: Table, users: Table, items: Table) -> Table:
    """Interactions with the columns user_index and item_index of the vocabularies."""
    rows = interactions.inner_join(users.select("user_id", user_index="index"), "user_id")
    return rows.inner_join(items.select("item_type", "item_id", item_index="index"), ["item_type", "item_id"])
