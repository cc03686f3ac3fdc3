"""Raw files -> one checked row a (user, item), the refused rows, and a report of what came in.

Reads: the files that `ingest.source` and `ingest.items` name.
Writes: data/interactions.parquet, data/items.parquet, data/rejected.parquet, reports/ingest.json.
Parameters: ingest.
"""

import tempfile
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages import artifacts, sources, tables
from stages.params import IngestParams
from stages.records import Dialect
from stages.terminal import StageError, run

ITEM_KEY = ["item_type", "item_id"]
KEY = ["user_id", *ITEM_KEY]
PARTS = ["train", "validation", "test"]
REPLACEMENT_CHARACTER = "\ufffd"
ITEM_DIALECT = Dialect()
ITEM_COLUMNS = ["item_id", "item_type", "title"]


def blank(text: ir.Value) -> ir.BooleanValue:
    return text.isnull() | (text.strip() == "")


def undecodable(text: ir.Value) -> ir.BooleanValue:
    return text.contains(REPLACEMENT_CHARACTER)


def parsed_rating(text: ir.Value) -> ir.Value:
    """The rating as a finite float64, null where the text is none."""
    number = text.try_cast("float64")
    return ibis.ifelse(number.isnan() | number.isinf(), ibis.null("float64"), number)


def parsed_timestamp(text: ir.Value, timestamp_format: str) -> ir.Value:
    """Whole seconds since 1970 UTC as int64, rounded down, null where the text is no time."""
    if timestamp_format == "iso8601":
        return text.try_cast("timestamp('UTC')").epoch_seconds().cast("int64")
    number = parsed_rating(text)
    seconds = number / 1000 if timestamp_format == "milliseconds" else number
    return seconds.floor().try_cast("int64")


def unreadable() -> list[tuple[ir.Value, str]]:
    """Why a line gives no fields to look at, whatever the table."""
    return [(~_.has_all_fields, "wrong number of fields"), (_.misquoted, "quote not closed")]


def parsed(rows: ir.Table, params: IngestParams) -> ir.Table:
    """The staged rows with typed columns and, where a row is refused, the first reason that applies."""
    roles = params.columns.roles()
    if "item_type" not in roles:
        rows = rows.mutate(item_type=ibis.literal(params.constant_item_type))
    reasons = unreadable()
    for name in KEY:
        reasons.append((blank(_[name]), f"blank {name}"))
        reasons.append((undecodable(_[name]), f"{name} is not valid {params.encoding}"))
    if "rating" in roles:
        rows = rows.mutate(rating=parsed_rating(_.rating))
        reasons.append((_.rating.isnull(), "unreadable rating"))
        if params.minimum_allowed_rating is not None:
            reasons.append((_.rating < params.minimum_allowed_rating, "rating out of range"))
        if params.maximum_allowed_rating is not None:
            reasons.append((_.rating > params.maximum_allowed_rating, "rating out of range"))
    if "timestamp" in roles:
        rows = rows.mutate(timestamp=parsed_timestamp(_.timestamp, params.timestamp_format))
        reasons.append((_.timestamp.isnull(), "unreadable timestamp"))
    if "split" in roles:
        reasons.append((_.split.isnull() | _.split.notin(PARTS), f"split is none of {', '.join(PARTS)}"))
    return rows.mutate(reason=ibis.cases(*reasons))


def parsed_items(rows: ir.Table) -> ir.Table:
    """The staged rows of the item table; a blank title is none."""
    reasons = [*unreadable(), *((blank(_[name]), f"blank {name}") for name in ITEM_KEY)]
    return rows.mutate(title=ibis.ifelse(blank(_.title), ibis.null("string"), _.title), reason=ibis.cases(*reasons))


def last_of_each(rows: ir.Table, key: list[str]) -> ir.Table:
    """One row a key: the last by time where there are times, else (and among equal times) the last by file and line."""
    by_time = ["timestamp"] if "timestamp" in rows.columns else []
    order = [ibis.desc(name) for name in [*by_time, "source_number", "line"]]
    newest = ibis.row_number().over(ibis.window(group_by=key, order_by=order))
    return rows.mutate(newest=newest).filter(_.newest == 0).drop("newest")


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
    while count_of(rows) != num_rows:
        num_rows = count_of(rows)
        rows = connection.create_table(
            ibis.util.gen_name("active"), active(rows, minimum_user, minimum_item), temp=True
        )
    return rows


def count_of(rows: ir.Table) -> int:
    return int(rows.count().to_pyarrow().as_py())


def counts(rows: ir.Table, by: str) -> dict[str, int]:
    found = rows.group_by(by).agg(number=_.count()).to_pyarrow().to_pylist()
    return {row[by]: row["number"] for row in found}


def report(
    accepted: ir.Table, rejected: ir.Table, deduplicated: ir.Table, positive: ir.Table, kept: ir.Table
) -> dict[str, Any]:
    """What came in, what was refused and why, what was left out and why, and what remained."""
    num_accepted, num_rejected, num_deduplicated = count_of(accepted), count_of(rejected), count_of(deduplicated)
    num_positive, num_kept = count_of(positive), count_of(kept)
    users = int(kept.user_id.nunique().to_pyarrow().as_py())
    items = counts(kept.select(ITEM_KEY).distinct(), "item_type")
    cells = users * sum(items.values())
    return {
        "rows_read": num_accepted + num_rejected,
        "rows_rejected": num_rejected,
        "rows_rejected_by_reason": counts(rejected, "reason"),
        "rows_repeated": num_accepted - num_deduplicated,
        "rows_below_minimum_rating": num_deduplicated - num_positive,
        "rows_below_minimum_interactions": num_positive - num_kept,
        "rows_kept": num_kept,
        "users": users,
        "items": sum(items.values()),
        "items_by_type": items,
        "density": num_kept / cells if cells else 0.0,
    }


def check_rejected_share(what: str, rows: ir.Table, allowed: float) -> None:
    """Raises StageError where more than the allowed share of the parsed rows is refused; names the first of them."""
    rejected = rows.filter(_.reason.notnull())
    number, total = count_of(rejected), count_of(rows)
    if number > allowed * total:
        first = rejected.order_by("source_number", "line").limit(1).to_pyarrow().to_pylist()[0]
        raise StageError(
            f"{what}: expected at most {allowed:.2%} of the rows refused (ingest.max_rejected_share), found {number} "
            f"of {total}, all listed in {artifacts.REJECTED}; the first: {first['source']} line {first['line']}: "
            f"{first['reason']}: {first['raw'][:200]!r}"
        )


def no_items(path: Path) -> Path:
    """Writes an item table without rows, which stands for `items: null`."""
    path.write_text(",".join(ITEM_COLUMNS) + "\n", encoding="utf-8")
    return path


def write_items(rows: ir.Table, features: list[str]) -> int:
    accepted = last_of_each(rows.filter(_.reason.isnull()), ITEM_KEY)
    return tables.write(artifacts.ITEMS, accepted.select(*ITEM_KEY, "title", *features).order_by(ITEM_KEY))


def interaction_columns(rows: ir.Table) -> ir.Table:
    """The rows as data/interactions.parquet holds them: float32 ratings, sorted by key."""
    if "rating" in rows.columns:
        rows = rows.mutate(rating=_.rating.cast("float32"))
    optional = [name for name in ("rating", "timestamp", "split") if name in rows.columns]
    return rows.select(*KEY, *optional).order_by(KEY)


def main() -> str:
    params = IngestParams.load()
    with tempfile.TemporaryDirectory(prefix="towerline-") as folder, tables.session() as connection:
        staged, staged_items = Path(folder, "rows.parquet"), Path(folder, "items.parquet")
        items = Path(params.items) if params.items is not None else no_items(Path(folder, "no items.csv"))
        item_columns = sources.column_names(items, ITEM_DIALECT, ITEM_COLUMNS)
        dialect = Dialect(params.delimiter, params.quote, params.encoding)
        sources.stage(Path(params.source), params.columns.roles(), dialect, params.header, staged)
        sources.stage(items, {name: name for name in item_columns}, ITEM_DIALECT, True, staged_items)

        rows = connection.create_table("parsed", parsed(connection.read_parquet(staged), params), temp=True)
        item_rows = connection.create_table("items", parsed_items(connection.read_parquet(staged_items)), temp=True)
        rejected = rows.filter(_.reason.notnull())
        rejected_items = item_rows.filter(_.reason.notnull())
        place = ["source", "line", "reason", "raw"]
        all_rejected = rejected.select(place).union(rejected_items.select(place)).order_by("source", "line")
        tables.write(artifacts.REJECTED, all_rejected)
        check_rejected_share(params.source, rows, params.max_rejected_share)
        check_rejected_share(str(items), item_rows, params.max_rejected_share)

        accepted = rows.filter(_.reason.isnull()).drop("raw")
        deduplicated = connection.create_table("deduplicated", last_of_each(accepted, KEY), temp=True)
        positive = deduplicated
        if params.minimum_rating is not None:
            positive = deduplicated.filter(_.rating >= params.minimum_rating)
        kept = all_active(connection, positive, params.minimum_user_interactions, params.minimum_item_interactions)
        found = report(accepted, rejected, deduplicated, positive, kept)
        if not found["rows_kept"]:
            raise StageError(f"{params.source}: expected at least one row to keep, found none of {found['rows_read']}")
        tables.write(artifacts.INTERACTIONS, interaction_columns(kept))
        write_items(item_rows, [name for name in item_columns if name not in (*ITEM_KEY, "title")])
        artifacts.write_json(artifacts.INGEST_REPORT, found)
    return (
        f"{found['rows_read']:,} rows read, {found['rows_rejected']:,} refused, {found['rows_repeated']:,} "
        f"repeats, {found['rows_kept']:,} kept; {found['users']:,} users, {found['items']:,} items"
    )


if __name__ == "__main__":
    run("ingest", main)
