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

from stages.split.params import SplitParams
from towerline.artifacts.ingest import INTERACTIONS
from towerline.artifacts.split import TEST, TRAIN, VALIDATION
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import run
from towerline.tables import engine, expressions

SEPARATOR = "\x1f"
PATHS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
DIGITS = "0123456789abcdef"
DIGEST_DIGITS = 32
# Of a digest, as many make a number: 24 bits.
NUMBER_DIGITS = 6
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
    rows = expressions.with_indices(interactions.mutate(draw=draw), users, items)
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
                f"split.train, validation, test: expected counts that sum to at most {num_rows}, the number of rows, "
                f"found {sum(wanted)}; set them lower"
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


def start_of_latest(rows: ir.Table, number: int) -> int | None:
    """The time from which on there are at least so many rows; None where there are none or not so many."""
    ranked = rows.select("timestamp", rank=ibis.row_number().over(ibis.window(order_by="timestamp")))
    found = ranked.filter(_.rank == expressions.count_of(rows) - number).timestamp.to_pyarrow().to_pylist()
    return found[0] if found else None


def temporal_parts(rows: ir.Table, sizes: Sizes) -> ir.Value:
    """A global temporal cut: the latest rows are the test part, those before them validation, those before train.

    Rows of the same second stay together, in the later part, so that no part sees the future of another; the later
    parts may so be larger than asked for.
    """
    borders = {
        "test": start_of_latest(rows, sizes.test),
        "validation": start_of_latest(rows, sizes.test + sizes.validation),
        "train": start_of_latest(rows, sizes.test + sizes.validation + sizes.train),
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
    needed = params.needed_column
    if needed is not None and needed not in rows.columns:
        raise StageError(params.without_column(f"none in {INTERACTIONS}"))
    match params.method:
        case "random":
            part = random_parts(rows, part_sizes(expressions.count_of(rows), params))
        case "temporal":
            part = temporal_parts(rows, part_sizes(expressions.count_of(rows), params))
        case "leave_last_out":
            part = leave_last_out_parts()
        case "column":
            part = _.split
    return connection.create_table("assigned", rows.mutate(part=part).filter(_.part.notnull()), temp=True)


def unit_interval(digest: ir.Value) -> ir.Value:
    """A number from 0 to below 1, made of the last digits of a hexadecimal MD5 digest."""
    number = ibis.literal(0.0)
    for place in range(1, NUMBER_DIGITS + 1):
        number = number + ibis.literal(DIGITS).find(digest.substr(DIGEST_DIGITS - place, 1)) * 16.0**-place
    return number


def share_of_each_user(rows: ir.Table, share: float) -> ir.BooleanValue:
    """Whether a row is of a share of its user's rows: those that come first by draw, one at least being left.

    Where the share is no whole number of rows, chance rounds it up or down, so that it is kept over all users: a share
    of 0.1 takes one row of about every second user with five rows. The chance is the last digits of the draw, and the
    order its first ones, of which they are independent.
    """
    number = _.count().over(group_by="user_index")
    rank = ibis.row_number().over(ibis.window(group_by="user_index", order_by=["draw", "item_index"]))
    taken = (number * share + unit_interval(rows.draw)).floor()
    return (rank < taken) & (rank < number - 1)


def latest_share(rows: ir.Table, share: float) -> ir.BooleanValue:
    """Whether a row is of the latest share of all rows; equal times stay together, and those of the first are left."""
    since = start_of_latest(rows, round(expressions.count_of(rows) * share))
    return (_.timestamp >= since) & (_.timestamp > rows.timestamp.min()) if since is not None else ibis.literal(False)


def with_validation(connection: Backend, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The assigned rows, of which a share of the training set has become the validation set."""
    train = rows.filter(_.part == "train")
    share = params.validation_share
    moved = latest_share(train, share) if params.method == "temporal" else share_of_each_user(train, share)
    train = train.mutate(part=ibis.ifelse(moved, "validation", "train"))
    return connection.create_table("validated", train.union(rows.filter(_.part != "train")), temp=True)


def row_counts(rows: ir.Table) -> dict[str, int]:
    """Number of rows of each set."""
    found = rows.group_by("part").agg(number=_.count()).to_pyarrow().to_pylist()
    return dict.fromkeys(PATHS, 0) | {row["part"]: row["number"] for row in found}


def check_rows(rows: ir.Table, counts: dict[str, int], params: SplitParams) -> None:
    """Raises StageError where a part that is needed has no rows, and names the setting to change."""
    for part in ("train", "test"):
        if not counts[part]:
            raise StageError(
                f"expected at least one row in the {part} part, found none; {advice_without(part, rows, params)}"
            )
    if counts["validation"]:
        return
    if params.validation_share or (params.has_sizes and params.validation):
        raise StageError(
            f"split.validation_share: expected at least one validation row of {counts['train']} training rows, found "
            f"none at {params.validation_share:g}; {validation_advice(rows, params)}; to do without validation, set it "
            "and split.validation to 0, train.early_stopping_patience to 0, and train.temperature and "
            "train.popularity_prior to numbers"
        )


def advice_without(part: str, rows: ir.Table, params: SplitParams) -> str:
    """What to change where the train or the test part has no rows."""
    match params.method:
        case "leave_last_out":
            return f"no user has {LEAST_ROWS_TO_LEAVE_OUT} rows; set split.method to random"
        case "column":
            return f"name rows '{part}' in the column of ingest.columns.split"
        case "temporal" if has_one(rows.timestamp):
            return "all rows have the same time, so no cut parts them; set split.method to random"
        case "temporal" if part == "train":
            return "rows of the same time stay together, in the later part; set split.test and split.validation lower"
    return f"set split.{part} higher"


def validation_advice(rows: ir.Table, params: SplitParams) -> str:
    """What to change where the validation part has no rows."""
    train = rows.filter(_.part == "train")
    if params.method == "temporal":
        if has_one(train.timestamp):
            return "all training rows have the same time, so no cut parts them; set split.method to random"
        return "set it or split.validation higher"
    other = "set split.validation higher"
    if params.method == "column":
        other = "name rows 'validation' in the column of ingest.columns.split"
    if expressions.count_of(train) == int(train.user_index.nunique().to_pyarrow().as_py()):
        return f"no user has two training rows, and each keeps one, so no share is enough; {other}"
    return f"set it higher, or {other}"


def has_one(values: ir.Column) -> bool:
    """Whether all values are the same."""
    return int(values.nunique().to_pyarrow().as_py()) == 1


def check_users(rows: ir.Table, params: SplitParams) -> None:
    """Raises StageError where no user of the test part has training rows: evaluate would have nobody to rank for."""
    trained = rows.filter(_.part == "train").select("user_index")
    if not expressions.count_of(rows.filter(_.part == "test").semi_join(trained, "user_index")):
        advice = {
            "column": "name 'train' and 'test' rows of the same users in the column of ingest.columns.split",
            "temporal": "set split.method to leave_last_out or random, or split.test higher",
        }.get(params.method, "set split.train and split.test higher")
        raise StageError(
            f"split.method: expected users with rows in both the train and the test part, found none with "
            f"{params.method}; {advice}"
        )


def main() -> str:
    params = SplitParams.load()
    with engine.session("split") as (connection, _folder):
        users, items = (connection.read_parquet(path) for path in (USER_VOCABULARY, ITEM_VOCABULARY))
        sizes = {"num_users": expressions.count_of(users), "num_items": expressions.count_of(items)}
        interactions = connection.read_parquet(INTERACTIONS)
        rows = assigned(connection, indexed(interactions, users, items, params.seed), params)
        counts = row_counts(rows)
        if params.validation_share and counts["train"] and not counts["validation"]:
            rows = with_validation(connection, rows, params)
            counts = row_counts(rows)
        check_rows(rows, counts, params)
        check_users(rows, params)
        columns = [name for name in ("user_index", "item_index", "rating", "timestamp") if name in rows.columns]
        for part, path in PATHS.items():
            of_part = rows.filter(_.part == part).select(columns).order_by("user_index", "item_index")
            engine.write(path, of_part, sizes)
    return ", ".join(f"{number:,} {part}" for part, number in counts.items())


if __name__ == "__main__":
    run("split", main)
