"""Whole items, whole users, or the rows of users in one item type, in the validation and the test set."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.split.borders import drawn_sets
from stages.split.params import SplitParams
from stages.split.sizes import Shares, Sizes, set_at
from towerline.pipeline.errors import StageError
from towerline.tables import expressions
from towerline.tables.session import Session

# The most types that an error lists.
LISTED_TYPES = 20
# The setting to change where a set gets none of the items or users.
MORE = {name: f"set split.{name} higher" for name in Sizes._fields}


def check_type(rows: ir.Table, cold_type: str) -> None:
    """Raises StageError where no item has the type, and names the types that there are."""
    types = sorted(row["item_type"] for row in rows.select("item_type").distinct().to_pyarrow().to_pylist())
    if cold_type not in types:
        others = f" and {len(types) - LISTED_TYPES:,} others" if len(types) > LISTED_TYPES else ""
        raise StageError(
            f"split.cold_type: expected an item type of the data, found {cold_type!r}; set it to one of "
            f"{', '.join(map(repr, types[:LISTED_TYPES]))}{others}"
        )


def cold_sets(
    session: Session, rows: ir.Table, shares: Shares, params: SplitParams, advice: Mapping[str, str] = MORE
) -> ir.Table:
    """The rows with set_name, null for rows in none of the sets.

    Args:
      session: keeps what is read several times.
      rows: with `draw` and `group_draw` of assignment.indexed().
      shares: the shares of the sets.
      params: of a method that is_cold.
      advice: set -> the setting to change where its share of the items or users is none.

    Raises:
      StageError: there are too few items or users for a set.
    """
    match params.method:
        case "cold_items":
            return whole_groups(session, rows, "item_index", "item", shares, advice)
        case "cold_users":
            return whole_groups(session, rows, "user_index", "user", shares, advice)
    return rows_in_type(rows, str(params.cold_type), shares, advice)


def whole_groups(
    session: Session, rows: ir.Table, key: str, title: str, shares: Shares, advice: Mapping[str, str]
) -> ir.Table:
    """All rows of an item, or of a user, in one set; the rows of training items, or users, are drawn into the sets.

    So the test set holds rows of unknown items, or users, and of known ones, and a single run measures both.
    """
    groups = rows.select("group_draw", key).distinct()
    sizes = group_sizes(expressions.count_of(groups), title, shares, advice)
    drawn = session.stored(rows.inner_join(with_group_sets(groups, key, sizes), key))
    known = drawn.filter(_.group_set == "train")
    of_known = drawn_sets(known, shares.of(expressions.count_of(known)))
    return drawn.mutate(set_name=ibis.ifelse(_.group_set == "train", of_known, _.group_set)).drop("group_set")


def rows_in_type(rows: ir.Table, cold_type: str, shares: Shares, advice: Mapping[str, str]) -> ir.Table:
    """The rows in the type of users who have others, too, by the set of the user; all other rows are training rows.

    So the users of the test set are known by their rows in other types alone.
    """
    of_type = _.item_type == cold_type
    users = rows.group_by("group_draw", "user_index").agg(has_type=of_type.any(), has_others=(~of_type).any())
    users = users.filter(_.has_type & _.has_others).select("group_draw", "user_index")
    number = expressions.count_of(users)
    title = f"user with rows of the type {cold_type!r} and of others"
    if not number:
        raise StageError(
            f"split.cold_type: expected at least one {title}, found none; set it to another type, or split.method to "
            "random and it to null"
        )
    drawn = with_group_sets(users, "user_index", group_sizes(number, title, shares, advice)).mutate(is_drawn=True)
    joined = rows.left_join(drawn, "user_index").drop("user_index_right")
    name = ibis.ifelse(_.is_drawn.fill_null(False) & of_type, _.group_set, "train")
    return joined.mutate(set_name=name).drop("group_set", "is_drawn")


def with_group_sets(groups: ir.Table, key: str, sizes: Sizes) -> ir.Table:
    """The key and `group_set` of items or users by their draw, null for those beyond the sizes."""
    rank = ibis.row_number().over(ibis.window(order_by=["group_draw", key]))
    return groups.select(key, group_set=set_at(rank, sizes))


def group_sizes(number: int, title: str, shares: Shares, advice: Mapping[str, str]) -> Sizes:
    """The numbers of items or users of the sets.

    Raises:
      StageError: a set with a share gets none.
    """
    sizes = shares.of(number)
    for name, share in shares._asdict().items():
        if share and not getattr(sizes, name):
            of_set = {"train": "training"}.get(name, name)
            raise StageError(
                f"expected at least one {title} in the {of_set} set, found none of {number:,} at the share {share:g}; "
                f"{advice[name]}, or split.method to random"
            )
    return sizes
