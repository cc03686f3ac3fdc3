"""Raw files -> one checked row a (user, item), the refused rows, and a report of what came in.

Reads: the files that `ingest.source` and `ingest.items` name.
Writes: data/interactions.parquet, data/items.parquet, data/rejected.parquet, reports/ingest.json.
Parameters: ingest.
"""

import re
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages.ingest import sources
from stages.ingest.delimited import Dialect
from stages.ingest.params import IngestParams
from stages.ingest.raw_files import identified
from stages.ingest.sources import FEATURES, Layout
from towerline.artifacts.ingest import INGEST_REPORT, INTERACTIONS, ITEMS, REJECTED
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import run
from towerline.tables import engine, expressions

ITEM_KEY = ["item_type", "item_id"]
KEY = ["user_id", *ITEM_KEY]
PARTS = ["train", "validation", "test"]
REPLACEMENT_CHARACTER = "\ufffd"
TITLE = "title"
ITEM_LAYOUT = Layout({name: name for name in (*ITEM_KEY, TITLE)}, features=True)

DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
# A date, or a date and a time with or without seconds, their fraction, and an offset of at most 15:59 from UTC.
ISO_8601 = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?"
    r"(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?)?$"
)
# A longer id is a quoted field that a stray quote far below has closed, or too long for the index of a database.
MAX_ID_CHARACTERS = 1000
# Ratings are float32: halfway from the largest finite number to the next power of two, from where on one is infinite.
INFINITE_RATING = 2.0**128 - 2.0**103
NONZERO = r"^[+-]?[0.]*[1-9]"
# Letters that leave no mark: spaces of all kinds, controls, and what has no width.
VISIBLE = r"[^\s\pZ\p{Cc}\p{Cf}]"
# Units of a timestamp in a second.
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
# From the year 1 to the end of the year 9999, in seconds since 1970.
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799


def blank(text: ir.Value) -> ir.BooleanValue:
    return ~text.re_search(VISIBLE).fill_null(False)


def undecodable(text: ir.Value) -> ir.BooleanValue:
    return text.contains(REPLACEMENT_CHARACTER)


def parsed_number(text: ir.Value) -> ir.Value:
    """The text as a finite float64, null where it is not a decimal number."""
    number = ibis.ifelse(text.strip().re_search(NUMBER), text.strip().try_cast("float64"), ibis.null("float64"))
    return ibis.ifelse(number.isinf(), ibis.null("float64"), number)


def parsed_timestamp(text: ir.Value, timestamp_format: str) -> ir.Value:
    """Whole seconds since 1970 UTC as int64, rounded down, null where the text is no time of the years 1 to 9999."""
    text = text.strip()
    if timestamp_format == "iso8601":
        # Without its fraction a time is rounded down. DuckDB wants seconds where there is an offset.
        whole = text.re_replace(r"[.,][0-9]+", "").re_replace(r"^(.{10}[T ][0-9]{2}:[0-9]{2})(Z|[+-].*)$", r"\1:00\2")
        seconds = whole.try_cast("timestamp('UTC')").epoch_seconds().cast("int64")
        seconds = ibis.ifelse(text.re_search(ISO_8601), seconds, ibis.null("int64"))
    else:
        seconds = whole_number(text)
        if (unit := UNITS[timestamp_format]) > 1:
            # A multiple of the unit first: the quotient of other large numbers could be rounded up to a whole one.
            seconds = seconds - (seconds % unit + unit) % unit
            seconds = (seconds / unit).round().cast("int64")
    return within(seconds, FIRST_SECOND, LAST_SECOND)


def whole_number(text: ir.Value) -> ir.Value:
    """The decimal number in the text rounded down to int64, null where it is none or does not fit.

    The digits before the point are read as they are, since float64 does not hold all of int64.
    """
    digits = text.re_extract(r"^([+-]?[0-9]+)", 1).try_cast("int64").fill_null(0)
    below = text.startswith("-") & text.re_search(r"\.[0-9]*[1-9]")
    number = parsed_number(text)
    number = ibis.ifelse(number.abs() < 2.0**63, number, ibis.null("float64"))
    fits = text.re_search(DECIMAL) & number.notnull()
    return ibis.ifelse(fits, digits - below.cast("int64"), number.floor().cast("int64"))


def within(number: ir.Value, low: int, high: int) -> ir.Value:
    return ibis.ifelse(number.between(low, high), number, ibis.null("int64"))


def unreadable() -> list[tuple[ir.Value, str]]:
    """The reasons for which a record has no fields to look at, whatever the table."""
    return [(_.misquoted, "quote not closed"), (~_.has_all_fields, "wrong number of fields")]


def unusable_key(key: list[str], encoding: str) -> list[tuple[ir.Value, str]]:
    """The reasons for which the texts of a key are no ids."""
    reasons: list[tuple[ir.Value, str]] = []
    for name in key:
        reasons.append((blank(_[name]), f"blank {name}"))
        reasons.append((undecodable(_[name]), f"{name} is not valid {encoding}"))
        reasons.append(
            (_[name].length() > MAX_ID_CHARACTERS, f"{name} is longer than {MAX_ID_CHARACTERS:,} characters")
        )
    return reasons


def parsed(rows: ir.Table, params: IngestParams) -> ir.Table:
    """The staged rows with typed columns and, where a row is refused, the first reason that applies.

    The texts of ratings and timestamps are kept as rating_text and timestamp_text.
    """
    roles = params.columns.roles()
    if "item_type" not in roles:
        rows = rows.mutate(item_type=ibis.literal(params.constant_item_type))
    reasons = [*unreadable(), *unusable_key(KEY, params.encoding)]
    if "rating" in roles:
        rows = rows.mutate(rating=parsed_number(_.rating), rating_text=_.rating)
        reasons.append((blank(_.rating_text), "blank rating"))
        reasons.append((~_.rating_text.strip().re_search(NUMBER), "unreadable rating"))
        low, high = params.minimum_allowed_rating, params.maximum_allowed_rating
        too_low = _.rating < low if low is not None else ibis.literal(False)
        too_high = _.rating > high if high is not None else ibis.literal(False)
        reasons.append((too_low | too_high, "rating out of range"))
        too_large = _.rating.isnull() | (_.rating.abs() >= INFINITE_RATING)
        reasons.append((too_large, "rating too large for float32"))
        vanishes = (_.rating.cast("float32") == 0) & _.rating_text.strip().re_search(NONZERO)
        reasons.append((vanishes, "rating too close to 0 for float32"))
    if "timestamp" in roles:
        form = ISO_8601 if params.timestamp_format == "iso8601" else NUMBER
        rows = rows.mutate(timestamp=parsed_timestamp(_.timestamp, params.timestamp_format), timestamp_text=_.timestamp)
        reasons.append((blank(_.timestamp_text), "blank timestamp"))
        reasons.append((~_.timestamp_text.strip().re_search(form), "unreadable timestamp"))
        reasons.append((_.timestamp.isnull(), "no such time from the year 1 to 9999"))
    if "split" in roles:
        reasons.append((_.split.isnull() | _.split.notin(PARTS), f"split is none of {', '.join(PARTS)}"))
    return rows.mutate(reason=ibis.cases(*reasons))


def parsed_items(rows: ir.Table) -> ir.Table:
    """The staged rows of the item table; a blank title is none."""
    encoding = ITEM_LAYOUT.dialect.encoding
    reasons = [
        *unreadable(),
        *unusable_key(ITEM_KEY, encoding),
        (undecodable(_.title), f"title is not valid {encoding}"),
        (undecodable(_.raw), f"a feature is not valid {encoding}"),
    ]
    return rows.mutate(title=ibis.ifelse(blank(_.title), ibis.null("string"), _.title), reason=ibis.cases(*reasons))


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
    values = repeated.mutate(name=_.features.keys()).unnest("name", offset="position")
    values = values.mutate(value=_.features[_.name])
    each = values.group_by(*ITEM_KEY, "name").agg(
        value=ibis.coalesce(_.value.last(order_by=place, where=~blank(_.value)), _.value.last(order_by=place)),
        source_number=_.source_number.min(),
        position=_.position.argmin(_.source_number),
    )
    order = ["source_number", "position", "name"]
    known = each.group_by(ITEM_KEY).agg(
        known_features=ibis.map(_.name.collect(order_by=order), _["value"].collect(order_by=order, include_null=True))
    )
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


def counts(rows: ir.Table, by: str) -> dict[str, int]:
    found = rows.group_by(by).agg(number=_.count()).to_pyarrow().to_pylist()
    return {row[by]: row["number"] for row in found}


def report(
    accepted: ir.Table, rejected: ir.Table, deduplicated: ir.Table, positive: ir.Table, kept: ir.Table
) -> dict[str, Any]:
    """What came in, what was refused and why, what was left out and why, and what remained."""
    num_accepted, num_rejected, num_deduplicated = (
        expressions.count_of(accepted),
        expressions.count_of(rejected),
        expressions.count_of(deduplicated),
    )
    num_positive, num_kept = expressions.count_of(positive), expressions.count_of(kept)
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


def item_report(rows: ir.Table, kept: ir.Table) -> dict[str, Any]:
    """What came in as rows of the item table, what was refused and why, and how many rows repeat an item."""
    rejected = rows.filter(_.reason.notnull())
    num_rows, num_rejected = expressions.count_of(rows), expressions.count_of(rejected)
    return {
        "item_rows_read": num_rows,
        "item_rows_rejected": num_rejected,
        "item_rows_rejected_by_reason": counts(rejected, "reason"),
        "item_rows_repeated": num_rows - num_rejected - expressions.count_of(kept),
    }


def lines_of(rows: ir.Table) -> int:
    return int(rows.num_lines.sum().to_pyarrow().as_py() or 0)


def check_rejected_share(what: str, rows: ir.Table, params: IngestParams) -> None:
    """Raises StageError where more than the allowed share of lines is refused; names the first refused row.

    Lines are counted and not rows, since two stray quotes can make one row of all the lines between them.
    """
    rejected = rows.filter(_.reason.notnull())
    number, total = lines_of(rejected), lines_of(rows)
    if number > params.max_rejected_share * total:
        advised = params if what == params.source else None
        raise StageError(
            f"{what}: expected at most {params.max_rejected_share:.2%} of the lines refused "
            f"(ingest.max_rejected_share), found {number} of {total}, all listed in {REJECTED}; the first: "
            f"{first_refused(rejected, advised)}"
        )


def first_refused(rejected: ir.Table, params: IngestParams | None) -> str:
    """The place of the first refused row, the reason, its text, and what to do; without settings, of the item table."""
    first = rejected.order_by("source_number", "line").limit(1).to_pyarrow().to_pylist()[0]
    kind = "row" if identified(Path(first["source"])).parquet else "line"
    advised = advice(first, params) if params is not None else "the table has to be UTF-8 with commas"
    return (
        f"{first['source']} {kind} {first['line']}: {first['reason']}: {first['raw'][:200]!r}"
        f"{f'; {advised}' if advised else ''}"
    )


def advice(row: dict[str, Any], params: IngestParams) -> str:
    """The setting to change if a refused row is like many others; nothing where there is none to propose."""
    reason, rating, time = row["reason"], row.get("rating_text") or "", (row.get("timestamp_text") or "").strip()
    proposals = {
        "quote not closed": 'if quotes are plain text, set ingest.quote to ""',
        "wrong number of fields": "look at ingest.delimiter and ingest.quote",
        "blank rating": "leave rows without a rating out of the file, or set ingest.columns.rating to null",
        "blank timestamp": "leave rows without a time out of the file, or set ingest.columns.timestamp to null",
        "rating out of range": "look at ingest.minimum_allowed_rating and ingest.maximum_allowed_rating",
        f"split is none of {', '.join(PARTS)}": "rename the values, or set ingest.columns.split to null",
    }
    if reason == "unreadable rating" and re.fullmatch(r"\s*[+-]?[0-9]+,[0-9]+\s*", rating):
        return "decimal commas are not read: write 7.5 for 7,5"
    if reason == "unreadable timestamp" or reason.startswith("no such time"):
        return time_advice(time, params.timestamp_format)
    if reason.endswith(f"is not valid {params.encoding}"):
        return "set ingest.encoding, perhaps to cp1252 or latin-1"
    return proposals.get(reason, "")


def time_advice(time: str, timestamp_format: str) -> str:
    """The timestamp_format in which a refused time would be read, or how such times have to be written."""
    if re.match(ISO_8601, time):
        return "" if timestamp_format == "iso8601" else "set ingest.timestamp_format to iso8601"
    if re.match(NUMBER, time):
        # The coarsest unit in which the number is a time up to the year 2286.
        unit = next((name for name, parts in UNITS.items() if abs(float(time)) < 1e10 * parts), None)
        return f"set ingest.timestamp_format to {unit}" if unit not in (None, timestamp_format) else ""
    return (
        "a time is a number of seconds, milliseconds, microseconds or nanoseconds since 1970, or iso8601 text such as "
        "2013-02-28 or 2013-02-28T15:00:00, as ingest.timestamp_format says; convert other forms, for instance with "
        "pandas.to_datetime(..., dayfirst=True)"
    )


def interaction_columns(rows: ir.Table) -> ir.Table:
    """The rows as data/interactions.parquet holds them: float32 ratings, sorted by key."""
    if "rating" in rows.columns:
        rows = rows.mutate(rating=_.rating.cast("float32"))
    optional = [name for name in ("rating", "timestamp", "split") if name in rows.columns]
    return rows.select(*KEY, *optional).order_by(KEY)


def nothing_kept(found: dict[str, Any], rejected: ir.Table, params: IngestParams) -> str:
    """The message where no row is left: what took the last ones, and the setting that did."""
    if found["rows_read"] and found["rows_rejected"] == found["rows_read"]:
        return (
            f"{params.source}: expected at least one row to keep, found all {found['rows_read']} refused, as "
            f"{REJECTED} lists them; the first: {first_refused(rejected, params)}"
        )
    left_out = {
        f"refused, as {REJECTED} lists them": found["rows_rejected"],
        f"left out by ingest.minimum_rating ({params.minimum_rating})": found["rows_below_minimum_rating"],
        f"left out by ingest.minimum_user_interactions ({params.minimum_user_interactions}) and "
        f"ingest.minimum_item_interactions ({params.minimum_item_interactions})": (
            found["rows_below_minimum_interactions"]
        ),
    }
    causes = "; ".join(f"{what}: {number} rows" for what, number in left_out.items() if number)
    return (
        f"{params.source}: expected at least one row to keep, found none of {found['rows_read']}"
        f"{f'; {causes}' if causes else ': the file has no rows'}"
    )


def item_warnings(found: dict[str, Any], known: ir.Table, kept: ir.Table, params: IngestParams) -> str:
    """What is odd about the item table, each warning behind a semicolon; nothing where there is none, or no table.

    Args:
      found: the counts of item_report().
      known: the accepted rows of the table, one an item.
      kept: the interactions that are kept.
      params: the settings.
    """
    if params.items is None:
        return ""
    told = []
    if found["item_rows_rejected"]:
        told.append(f"{found['item_rows_rejected']:,} rows of {params.items} refused, listed in {REJECTED}")
    if found["item_rows_repeated"]:
        told.append(f"{found['item_rows_repeated']:,} rows of {params.items} repeat an item; the last of each counts")
    if (untitled := why_untitled(known, kept, params)) is not None:
        told.append(f"no item has a title: {untitled}")
    return "".join(f"; warning: {one}" for one in told)


def why_untitled(known: ir.Table, kept: ir.Table, params: IngestParams) -> str | None:
    """The reason for which no item that is kept gets a title; None where one does, or where rows lack only theirs."""
    if not expressions.count_of(known):
        return f"{params.items} has no accepted row; write its rows, or set ingest.items to null"
    if not expressions.count_of(known.filter(_.title.notnull())):
        return f"all titles in {params.items} are blank; fill its column {TITLE!r}, or set ingest.items to null"
    items = kept.select(ITEM_KEY).distinct()
    if expressions.count_of(items.semi_join(known, ITEM_KEY)):
        return None
    described = [", ".join(sorted(counts(table, "item_type"))[:5]) for table in (known, items)]
    return (
        f"no accepted row of {params.items} has the type and the id of an item (types there: {described[0]}; types in "
        f"{params.source}: {described[1]})"
    )


def stage_rows(params: IngestParams, connection: Backend, folder: Path) -> tuple[ir.Table, ir.Table]:
    """Reads the raw files; the parsed rows of interactions and of items."""
    staged, staged_items = folder / "rows.parquet", folder / "items.parquet"
    dialect = Dialect(params.delimiter, params.quote, params.encoding)
    layout = Layout(params.columns.roles(), dialect, params.header, params.timestamp_format)
    sources.stage(Path(params.source), layout, staged)
    rows = connection.create_table("parsed", parsed(connection.read_parquet(staged), params), temp=True)
    if params.items is None:
        sources.stage_nothing(ITEM_LAYOUT, staged_items)
    else:
        sources.stage(Path(params.items), ITEM_LAYOUT, staged_items)
    return rows, connection.create_table("items", parsed_items(connection.read_parquet(staged_items)), temp=True)


def main() -> str:
    params = IngestParams.load()
    with engine.session("ingest") as (connection, folder):
        rows, item_rows = stage_rows(params, connection, folder)
        rejected = rows.filter(_.reason.notnull())
        rejected_items = item_rows.filter(_.reason.notnull())
        place = ["source", "line", "reason", "raw"]
        all_rejected = rejected.select(place).union(rejected_items.select(place)).order_by("source", "line")
        engine.write(REJECTED, all_rejected)
        check_rejected_share(params.source, rows, params)
        check_rejected_share(str(params.items), item_rows, params)

        accepted = rows.filter(_.reason.isnull()).drop("raw")
        deduplicated = connection.create_table("deduplicated", last_of_each(accepted, KEY), temp=True)
        positive = deduplicated
        if params.minimum_rating is not None:
            positive = deduplicated.filter(_.rating >= params.minimum_rating)
        kept = all_active(connection, positive, params.minimum_user_interactions, params.minimum_item_interactions)
        items = connection.create_table("last_items", last_items(item_rows.filter(_.reason.isnull())), temp=True)
        found = report(accepted, rejected, deduplicated, positive, kept) | item_report(item_rows, items)
        if not found["rows_kept"]:
            raise StageError(nothing_kept(found, rejected, params))
        engine.write(INTERACTIONS, interaction_columns(kept))
        engine.write(ITEMS, items.select(*ITEM_KEY, TITLE, FEATURES.name).order_by(ITEM_KEY))
        formats.write_json(INGEST_REPORT, found)
        warnings = item_warnings(found, items, kept, params)
    return (
        f"{found['rows_read']:,} rows read, {found['rows_rejected']:,} refused, {found['rows_repeated']:,} "
        f"repeats, {found['rows_kept']:,} kept; {found['users']:,} users, {found['items']:,} items{warnings}"
    )


if __name__ == "__main__":
    run("ingest", main)
