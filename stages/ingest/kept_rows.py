"""Accepted rows as the tables that ingest writes: one row a (user, item), one row an item."""

import ibis
import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages.ingest.parsing import blank
from towerline.tables import expressions

ITEM_KEY = ["item_type", "item_id"]
KEY = ["user_id", *ITEM_KEY]
TITLE = "title"


def last_of_each(rows: ir.Table, key: list[str]) -> ir.Table:
    """One row a key: the last by time where there are times, else (and among equal times) the last by file and line."""
    by_time = ["timestamp"] if "timestamp" in rows.columns else []
    order = [ibis.desc(name) for name in [*by_time, "source_number", "line"]]
    newest = ibis.row_number().over(ibis.window(group_by=key, order_by=order))
    return rows.mutate(newest=newest).filter(_.newest == 0).drop("newest")


def last_items(rows: ir.Table) -> ir.Table:
    """One row an item: its last by file and line, except that a blank title or feature never replaces a known one."""
    last = last_of_each(rows, ITEM_KEY)
    repeated = rows.semi_join(rows.group_by(ITEM_KEY).agg(number=_.count()).filter(_.number > 1), ITEM_KEY)
    place = ["source_number", "line"]
    titles = repeated.group_by(ITEM_KEY).agg(known_title=_.title.last(order_by=place))
    values = repeated.mutate(name=_.features.keys()).unnest("name")
    values = values.mutate(value=_.features[_.name])
    each = values.group_by(*ITEM_KEY, "name").agg(
        value=ibis.coalesce(_.value.last(order_by=place, where=~blank(_.value)), _.value.last(order_by=place))
    )
    names, of_names = _.name.collect(order_by="name"), _["value"].collect(order_by="name", include_null=True)
    known = each.group_by(ITEM_KEY).agg(known_features=ibis.map(names, of_names))
    joined = last.left_join(titles, ITEM_KEY).drop(*(f"{name}_right" for name in ITEM_KEY))
    joined = joined.left_join(known, ITEM_KEY)
    return joined.mutate(
        title=ibis.coalesce(_.known_title, _.title), features=ibis.coalesce(_.known_features, _.features)
    )


def active(rows: ir.Table, minimum_user: int, minimum_item: int) -> ir.Table:
    """The rows whose user and whose item have at least so many rows: one round of the filter."""
    of_user = _.count().over(group_by="user_id")
    of_item = _.count().over(group_by=ITEM_KEY)
    counted = rows.mutate(of_user=of_user, of_item=of_item)
    return counted.filter(_.of_user >= minimum_user, _.of_item >= minimum_item).drop("of_user", "of_item")


def all_active(connection: Backend, rows: ir.Table, minimum_user: int, minimum_item: int) -> ir.Table:
    """active(), repeated until it takes nothing away (the k-core of the user-item graph)."""
    if minimum_user == minimum_item == 1:
        return rows
    num_rows = -1
    while expressions.count_of(rows) != num_rows:
        num_rows = expressions.count_of(rows)
        rows = connection.create_table(
            ibis.util.gen_name("active"), active(rows, minimum_user, minimum_item), temp=True
        )
    return rows


def interaction_columns(rows: ir.Table) -> ir.Table:
    """The rows as data/interactions.parquet holds them: float32 ratings, sorted by key."""
    if "rating" in rows.columns:
        rows = rows.mutate(rating=_.rating.cast("float32"))
    optional = [name for name in ("rating", "timestamp", "split") if name in rows.columns]
    return rows.select(*KEY, *optional).order_by(KEY)
