"""Interactions -> train, validation and test part, as vocabulary indices; the same rows in any order split alike.

Reads: data/interactions.parquet, data/vocabulary/users.parquet, data/vocabulary/items.parquet.
Writes: data/split/train.parquet, data/split/validation.parquet, data/split/test.parquet.
Parameters: split.
"""

from itertools import pairwise
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages import artifacts, tables
from stages.params import SplitParams
from stages.terminal import StageError, run

SEPARATOR = "\x1f"
PATHS = {"train": artifacts.TRAIN, "validation": artifacts.VALIDATION, "test": artifacts.TEST}
NEEDED_COLUMN = {"temporal": "timestamp", "leave_last_out": "timestamp", "column": "split"}
# A user with fewer rows keeps them all in the train part: one to learn from, one to validate and one to test on.
LEAST_ROWS_TO_LEAVE_OUT = 3


class Sizes(NamedTuple):
    train: int
    validation: int
    test: int


def indexed(interactions: ir.Table, users: ir.Table, items: ir.Table, seed: int) -> ir.Table:
    """The interactions with user_index, item_index and `draw`, a seeded digest of the ids to order them by.

    The digest depends on nothing but the row and the seed, so neither the order of the rows nor new rows move it.
    """
    key = [interactions[name] for name in ("user_id", "item_type", "item_id")]
    draw = ibis.literal(SEPARATOR).join([ibis.literal(str(seed)), *key]).hexdigest("md5")
    rows = tables.with_indices(interactions.mutate(draw=draw), users, items)
    optional = [name for name in ("rating", "timestamp", "split") if name in interactions.columns]
    return rows.select("user_index", "item_index", *optional, "draw")


def part_sizes(num_rows: int, params: SplitParams) -> Sizes:
    """The parts' numbers of rows.

    Raises:
      StageError: counts ask for more rows than there are.
    """
    wanted = (params.train, params.validation, params.test)
    if params.sizes_are_counts:
        if sum(wanted) > num_rows:
            raise StageError(
                f"split.train + validation + test: expected at most the {num_rows} rows there are, found {sum(wanted)}"
            )
        return Sizes(*(int(size) for size in wanted))
    # Rounding the borders rather than the sizes never gives out a row twice.
    borders = [round(num_rows * min(1.0, sum(wanted[:parts]))) for parts in range(4)]
    return Sizes(*(after - before for before, after in pairwise(borders)))


def random_parts(rows: ir.Table, sizes: Sizes) -> ir.Value:
    """A seeded shuffle, of which the first rows are the train part, the next the test part (take and skip)."""
    rank = ibis.row_number().over(ibis.window(order_by=["draw", "user_index", "item_index"]))
    test_end = sizes.train + sizes.test
    return ibis.cases(
        (rank < sizes.train, "train"), (rank < test_end, "test"), (rank < test_end + sizes.validation, "validation")
    )


def temporal_parts(rows: ir.Table, sizes: Sizes) -> ir.Value:
    """A global temporal cut: the latest rows are the test part, those before them validation, those before train.

    Rows of the same second stay together, in the later part, so that no part sees the future of another; the later
    parts may so be larger than asked for.
    """
    num_rows = int(rows.count().to_pyarrow().as_py())
    ranked = rows.select("timestamp", rank=ibis.row_number().over(ibis.window(order_by="timestamp")))

    def start(later_rows: int) -> int | None:
        """The time from which on there are at least so many rows."""
        found = ranked.filter(_.rank == num_rows - later_rows).timestamp.to_pyarrow().to_pylist()
        return found[0] if found else None

    borders = {
        "test": start(sizes.test),
        "validation": start(sizes.test + sizes.validation),
        "train": start(sizes.test + sizes.validation + sizes.train),
    }
    return ibis.cases(*((_.timestamp >= since, part) for part, since in borders.items() if since is not None))


def leave_last_out_parts() -> ir.Value:
    """Each user's last row by time is the test part, the one before it validation; the digest orders equal times."""
    age = ibis.row_number().over(
        ibis.window(group_by="user_index", order_by=[ibis.desc("timestamp"), "draw", "item_index"])
    )
    enough = _.count().over(group_by="user_index") >= LEAST_ROWS_TO_LEAVE_OUT
    return ibis.cases(((age == 0) & enough, "test"), ((age == 1) & enough, "validation"), else_="train")


def assigned(connection: Backend, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The rows with the part that each belongs to; rows of no part are left out.

    Raises:
      StageError: the method needs a column that the data does not have.
    """
    needed = NEEDED_COLUMN.get(params.method)
    if needed is not None and needed not in rows.columns:
        raise StageError(
            f"split.method: {params.method} expected a column {needed}, found none; set ingest.columns.{needed}"
        )
    match params.method:
        case "random":
            part = random_parts(rows, part_sizes(rows.count().to_pyarrow().as_py(), params))
        case "temporal":
            part = temporal_parts(rows, part_sizes(rows.count().to_pyarrow().as_py(), params))
        case "leave_last_out":
            part = leave_last_out_parts()
        case "column":
            part = _.split
    return connection.create_table("assigned", rows.mutate(part=part).filter(_.part.notnull()), temp=True)


def main() -> str:
    params = SplitParams.load()
    with tables.session("split") as (connection, _folder):
        users, items = (
            connection.read_parquet(path) for path in (artifacts.USER_VOCABULARY, artifacts.ITEM_VOCABULARY)
        )
        sizes = {
            "num_users": int(users.count().to_pyarrow().as_py()),
            "num_items": int(items.count().to_pyarrow().as_py()),
        }
        interactions = connection.read_parquet(artifacts.INTERACTIONS)
        rows = assigned(connection, indexed(interactions, users, items, params.seed), params)
        columns = [name for name in ("user_index", "item_index", "rating", "timestamp") if name in rows.columns]
        written = {}
        for part, path in PATHS.items():
            of_part = rows.filter(_.part == part).select(columns).order_by("user_index", "item_index")
            written[part] = tables.write(path, of_part, sizes)
    for part in ("train", "test"):
        if not written[part]:
            raise StageError(
                f"split: expected at least one row in the {part} part, found none; see split in params.yaml"
            )
    return ", ".join(f"{number:,} {part}" for part, number in written.items())


if __name__ == "__main__":
    run("split", main)
