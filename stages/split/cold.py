"""Whole items, whole users, or the rows of users in one item type, in the validation and the test set."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.split.params import SplitParams
from stages.split.sizes import Shares, Sizes, set_at
from towerline.pipeline.errors import StageError
from towerline.tables import expressions

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


def cold_sets(rows: ir.Table, shares: Shares, params: SplitParams, advice: Mapping[str, str] = MORE) -> ir.Table:
    """The rows with set_name, null for rows in none of the sets.

    Args:
      rows: with `draw` and `group_draw` of assignment.indexed().
      shares: the shares of the sets.
      params: of a method that is_cold.
      advice: set -> the setting to change where its share of the items or users is none.

    Raises:
      StageError: there are too few items or users for a set.
    """
    match params.method:
        case "cold_items":
            return whole_groups(rows, "item_index", "item", shares, advice)
        case "cold_users":
            return whole_groups(rows, "user_index", "user", shares, advice)
    return rows_in_type(rows, str(params.cold_type), shares, advice)


def whole_groups(rows: ir.Table, key: str, title: str, shares: Shares, advice: Mapping[str, str]) -> ir.Table:
    """All rows of an item, or of a user, in one set; the rows of training items, or users, are drawn into the sets.

    So the test set holds rows of unknown items, or users, and of known ones, and a single run measures both.
    """
    number = int(rows[key].nunique().to_pyarrow().as_py())
    rank = ibis.dense_rank().over(ibis.window(order_by=["group_draw", key]))
    drawn = rows.mutate(group_set=set_at(rank, group_sizes(number, title, shares, advice)))
    known = expressions.count_of(drawn.filter(_.group_set == "train"))
    rank_in_set = ibis.row_number().over(
        ibis.window(group_by="group_set", order_by=["draw", "user_index", "item_index"])
    )
    name = ibis.ifelse(_.group_set == "train", set_at(rank_in_set, shares.of(known)), _.group_set)
    return drawn.mutate(set_name=name).drop("group_set")


def rows_in_type(rows: ir.Table, cold_type: str, shares: Shares, advice: Mapping[str, str]) -> ir.Table:
    """The rows in the type of users who have others, too, by the set of the user; all other rows are training rows.

    So the users of the test set are known by their rows in other types alone.
    """
    marked = rows.mutate(of_type=_.item_type == cold_type)
    has_both = marked.of_type.any().over(group_by="user_index") & (~marked.of_type).any().over(group_by="user_index")
    marked = marked.mutate(is_drawn=has_both)
    number = int(marked.filter(_.is_drawn).user_index.nunique().to_pyarrow().as_py())
    title = f"user with rows of the type {cold_type!r} and of others"
    if not number:
        raise StageError(
            f"split.cold_type: expected at least one {title}, found none; set it to another type, or split.method to "
            "random and it to null"
        )
    rank = ibis.dense_rank().over(ibis.window(group_by="is_drawn", order_by=["group_draw", "user_index"]))
    drawn = set_at(rank, group_sizes(number, title, shares, advice))
    name = ibis.ifelse(_.is_drawn & _.of_type, drawn, "train")
    return marked.mutate(set_name=name).drop("of_type", "is_drawn")


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
