"""Accepted rows as the tables that ingest writes: one row a (user, item), one row a user and one an item."""

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.ingest.parsing import blank
from towerline.tables import expressions
from towerline.tables.session import Session

USER_KEY = ["user_id"]
ITEM_KEY = ["item_type", "item_id"]
KEY = [*USER_KEY, *ITEM_KEY]
TITLE = "title"


def order_of(rows: ir.Table) -> list[str]:
    """The columns by which rows are later or earlier: time where there are times, then file and line."""
    by_time = ["timestamp"] if "timestamp" in rows.columns else []
    return [*by_time, "source_number", "line"]


def last_of_each(rows: ir.Table, key: list[str]) -> ir.Table:
    """One row a key: the last by order_of()."""
    order = [ibis.desc(name) for name in order_of(rows)]
    newest = ibis.row_number().over(ibis.window(group_by=key, order_by=order))
    return rows.mutate(newest=newest).filter(_.newest == 0).drop("newest")


def repeated(rows: ir.Table, key: list[str]) -> ir.Table:
    """The rows whose key has several rows."""
    return rows.semi_join(rows.group_by(key).agg(number=_.count()).filter(_.number > 1), key)


def last_interactions(rows: ir.Table) -> ir.Table:
    """One row a (user, item): its last, with the sum of the weights of all its rows where rows have weights."""
    last = last_of_each(rows.select(*KEY, "source_number", "line", *optional_columns(rows)), KEY)
    if "weight" not in rows.columns:
        return last
    # The sum of floating-point numbers depends on their order, and that of the rows depends on the number of cores.
    sums = repeated(rows, KEY).group_by(KEY).agg(known=_.weight.collect().sort().sums())
    return replaced(last, "weight", sums, KEY)


def last_features(rows: ir.Table, key: list[str]) -> ir.Table:
    """One row a key: its last by order_of(), except that a blank title or feature never replaces a known one.

    Args:
      rows: with features, and with a title where the things of the key have one.
      key: of the users or of the items.
    """
    several = repeated(rows, key)
    place = ibis.row_number().over(ibis.window(group_by=key, order_by=order_of(rows)))
    several = several.mutate(place=place)
    known = {"features": known_features(several, key)}
    if TITLE in rows.columns:
        known[TITLE] = several.group_by(key).agg(known=_.title.argmax(_.place, where=_.title.notnull()))
    last = last_of_each(rows, key)
    for name, values in known.items():
        last = replaced(last, name, values, key)
    return last


def replaced(rows: ir.Table, name: str, values: ir.Table, key: list[str]) -> ir.Table:
    """The rows with the values of `known` in place of those of a column, where the table of values has the key."""
    joined = rows.left_join(values, key).drop(*(f"{column}_right" for column in key))
    return joined.mutate(ibis.coalesce(_.known, _[name]).name(name)).drop("known")


def known_features(rows: ir.Table, key: list[str]) -> ir.Table:
    """The last value that is not blank of each feature, one map a key, in the order of the features' names.

    Args:
      rows: with features, and `place`, their order.
      key: as of last_features().
    """
    values = rows.mutate(name=_.features.keys()).unnest("name")
    values = values.mutate(value=_.features[_.name])
    each = values.group_by(*key, "name").agg(
        value=ibis.coalesce(
            _["value"].argmax(_.place, where=~blank(_["value"])), _["value"].argmax(_.place, where=_["value"].notnull())
        )
    )
    # Pairs rather than two lists: a list leaves null out.
    pairs = each.group_by(key).agg(pairs=ibis.struct({"name": _.name, "value": _["value"]}).collect())
    pairs = pairs.mutate(pairs=_.pairs.sort())
    names, values_of_names = (_.pairs.map(lambda pair, name=name: pair[name]) for name in ("name", "value"))
    return pairs.select(*key, known=ibis.map(names, values_of_names))


def active(rows: ir.Table, minimum_user: int, minimum_item: int) -> ir.Table:
    """The rows whose user and whose item have at least so many rows: one round of the filter."""
    of_user = _.count().over(group_by="user_id")
    of_item = _.count().over(group_by=ITEM_KEY)
    counted = rows.mutate(of_user=of_user, of_item=of_item)
    return counted.filter(_.of_user >= minimum_user, _.of_item >= minimum_item).drop("of_user", "of_item")


def all_active(session: Session, rows: ir.Table, minimum_user: int, minimum_item: int) -> ir.Table:
    """active(), repeated until it takes nothing away (the k-core of the user-item graph)."""
    if minimum_user == minimum_item == 1:
        return rows
    num_rows = -1
    while expressions.count_of(rows) != num_rows:
        num_rows = expressions.count_of(rows)
        rows = session.stored(active(rows, minimum_user, minimum_item))
    return rows


def optional_columns(rows: ir.Table) -> list[str]:
    """The columns of an interaction that the data need not have, as far as it has them."""
    return [name for name in ("rating", "timestamp", "weight", "split") if name in rows.columns]


def interaction_columns(rows: ir.Table) -> ir.Table:
    """The rows as data/interactions.parquet holds them: float32 ratings and weights, sorted by key."""
    rows = rows.mutate(
        *(rows[name].cast("float32").name(name) for name in ("rating", "weight") if name in rows.columns)
    )
    return rows.select(*KEY, *optional_columns(rows)).order_by(KEY)
