"""Assignment of each row to the training, validation or test set."""

from itertools import pairwise
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages.split.params import SplitParams
from towerline.artifacts.ingest import INTERACTIONS
from towerline.pipeline.errors import StageError
from towerline.tables import expressions

SEPARATOR = "\x1f"
# A user with fewer rows has all of them in the training set: one to learn from, one to validate and one to test on.
LEAST_ROWS_TO_LEAVE_OUT = 3


class Sizes(NamedTuple):
    """The numbers of rows that the sets are to have."""

    train: int
    validation: int
    test: int


def indexed(interactions: ir.Table, users: ir.Table, items: ir.Table, seed: int) -> ir.Table:
    """The interactions with user_index, item_index and `draw`, a seeded digest of the ids to order them by.

    The digest depends on nothing but the row and the seed, so neither the order of the rows nor new rows move it.
    """
    key = [interactions[name] for name in ("user_id", "item_type", "item_id")]
    draw = ibis.literal(SEPARATOR).join([ibis.literal(str(seed)), *key]).hexdigest("md5")
    rows = expressions.with_indices(interactions.mutate(draw=draw), users, items)
    optional = [name for name in ("rating", "timestamp", "weight", "split") if name in interactions.columns]
    return rows.select("user_index", "item_index", *optional, "draw")


def assigned(connection: Backend, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The rows with set_name, one of train, validation and test; rows in none of the sets are left out.

    Raises:
      StageError: the method needs a column that the data does not have.
    """
    needed = params.needed_column
    if needed is not None and needed not in rows.columns:
        raise StageError(params.without_column(f"none in {INTERACTIONS}"))
    match params.method:
        case "random":
            name = random_sets(rows, set_sizes(expressions.count_of(rows), params))
        case "temporal":
            name = temporal_sets(rows, set_sizes(expressions.count_of(rows), params))
        case "leave_last_out":
            name = leave_last_out_sets()
        case "column":
            name = _.split
    return connection.create_table("assigned", rows.mutate(set_name=name).filter(_.set_name.notnull()), temp=True)


def set_sizes(num_rows: int, params: SplitParams) -> Sizes:
    """The numbers of rows of the sets.

    Raises:
      StageError: counts ask for more rows than there are.
    """
    wanted = (params.train, params.validation, params.test)
    if params.sizes_are_counts:
        if sum(wanted) > num_rows:
            raise StageError(
                f"split.train, validation, test: expected counts that sum to at most {num_rows}, the number of rows, "
                f"found {sum(wanted)}; set them lower"
            )
        return Sizes(*(int(size) for size in wanted))
    # Rounding the borders rather than the sizes never gives out a row twice.
    borders = [round(num_rows * min(1.0, sum(wanted[:number]))) for number in range(4)]
    return Sizes(*(after - before for before, after in pairwise(borders)))


def random_sets(rows: ir.Table, sizes: Sizes) -> ir.Value:
    """A seeded shuffle: its first rows are the training set, the next ones the test set, then the validation set."""
    rank = ibis.row_number().over(ibis.window(order_by=["draw", "user_index", "item_index"]))
    test_end = sizes.train + sizes.test
    return ibis.cases(
        (rank < sizes.train, "train"), (rank < test_end, "test"), (rank < test_end + sizes.validation, "validation")
    )


def start_of_latest(rows: ir.Table, number: int) -> int | None:
    """The time from which on there are at least so many rows; None where there are none or not so many."""
    ranked = rows.select("timestamp", rank=ibis.row_number().over(ibis.window(order_by="timestamp")))
    times = ranked.filter(_.rank == expressions.count_of(rows) - number).timestamp.to_pyarrow().to_pylist()
    return times[0] if times else None


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
