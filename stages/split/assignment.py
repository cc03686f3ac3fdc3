"""Assignment of each row to the training, validation or test set."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.split.borders import drawn_sets, time_at
from stages.split.cold import check_type, cold_sets
from stages.split.params import SplitParams
from stages.split.sizes import Shares, Sizes, set_sizes
from towerline.artifacts.ingest import INTERACTIONS
from towerline.pipeline.errors import StageError
from towerline.tables import expressions
from towerline.tables.session import Session

SEPARATOR = "\x1f"
# A user with fewer rows has all of them in the training set: one to learn from, one to validate and one to test on.
LEAST_ROWS_TO_LEAVE_OUT = 3


def indexed(interactions: ir.Table, users: ir.Table, items: ir.Table, params: SplitParams) -> ir.Table:
    """The interactions with user_index, item_index and `draw`, a seeded digest of the ids to order them by.

    The digest depends on nothing but the row and the seed, so neither the order of the rows nor new rows move it.
    A method that is_cold has `group_draw`, the same of the item or the user alone.
    """
    draws = {"draw": seeded_digest(interactions, ("user_id", "item_type", "item_id"), params.seed)}
    if params.is_cold:
        key = ("item_type", "item_id") if params.method == "cold_items" else ("user_id",)
        draws["group_draw"] = seeded_digest(interactions, key, params.seed)
    rows = expressions.with_indices(interactions.mutate(**draws), users, items)
    optional = {"rating", "timestamp", "weight", params.needed_column}
    kept = [name for name in interactions.columns if name in optional]
    return rows.select("user_index", "item_index", *kept, *draws)


def seeded_digest(rows: ir.Table, key: Sequence[str], seed: int) -> ir.StringValue:
    """The digest of the seed and the key's columns."""
    return ibis.literal(SEPARATOR).join([ibis.literal(str(seed)), *(rows[name] for name in key)]).hexdigest("md5")


def assigned(session: Session, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The rows with set_name, one of train, validation and test; rows in none of the sets are left out.

    Raises:
      StageError: the data does not have what the method needs, or too little of it for the sizes.
    """
    needed = params.needed_column
    if needed is not None and needed not in rows.columns:
        raise StageError(params.without_column(f"none in {INTERACTIONS}"))
    if params.cold_type is not None:
        check_type(rows, params.cold_type)
    return with_set_names(session, session.stored(rows), params).filter(_.set_name.notnull())


def with_set_names(session: Session, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The rows with set_name, null for rows in none of the sets."""
    match params.method:
        case "random":
            name = drawn_sets(rows, set_sizes(expressions.count_of(rows), params))
        case "temporal":
            name = temporal_sets(rows, set_sizes(expressions.count_of(rows), params))
        case "leave_last_out":
            name = leave_last_out_sets()
        case "column":
            name = _.split
        case _:
            return cold_sets(session, rows, Shares(params.train, params.validation, params.test), params)
    return rows.mutate(set_name=name)


def start_of_latest(rows: ir.Table, number: int) -> int | None:
    """The time from which on there are at least so many rows; None where there are none or not so many."""
    return time_at(rows, expressions.count_of(rows) - number)


def temporal_sets(rows: ir.Table, sizes: Sizes) -> ir.Value:
    """A global temporal split: the latest rows are the test set, those before them validation, the earliest training.

    Rows of the same second stay together, in the later set, so that no model is fitted on the future of the rows it is
    tested on. The later sets may be larger than asked for.
    """
    borders = {
        "test": start_of_latest(rows, sizes.test),
        "validation": start_of_latest(rows, sizes.test + sizes.validation),
        "train": start_of_latest(rows, sizes.test + sizes.validation + sizes.train),
    }
    return ibis.cases(*((_.timestamp >= since, name) for name, since in borders.items() if since is not None))


def leave_last_out_sets() -> ir.Value:
    """Each user's last row by time is in the test set, the one before it in validation; the digest orders ties."""
    age = ibis.row_number().over(
        ibis.window(group_by="user_index", order_by=[ibis.desc("timestamp"), "draw", "item_index"])
    )
    enough = _.count().over(group_by="user_index") >= LEAST_ROWS_TO_LEAVE_OUT
    return ibis.cases(((age == 0) & enough, "test"), ((age == 1) & enough, "validation"), else_="train")
