"""Errors of rows: too many are refused, or none is kept; and the setting to change."""

import re
from pathlib import Path
from typing import Any

import ibis.expr.types as ir

from stages.ingest.columns import run_propose
from stages.ingest.params import IngestParams
from stages.ingest.reasons import NOT_A_SET, NOT_A_WEIGHT
from towerline.artifacts.ingest import REJECTED
from towerline.pipeline.errors import StageError
from towerline.raw.files import identified
from towerline.raw.values import DECIMAL_COMMA, DECIMAL_COMMA_ADVICE, ISO_8601, NUMBER, OTHER_TIMES_ADVICE, unit_of


def check_rejected_share(source: str, rows: ir.Table, rejected: ir.Table, params: IngestParams) -> None:
    """Raises StageError where more than the allowed share of lines is refused; names the first refused row.

    Lines are counted and not rows, since two stray quotes can make one row of all the lines between them.

    Args:
      source: the setting's file or folder.
      rows: all rows that came in.
      rejected: the refused ones.
      params: the settings.
    """
    number, total = lines_of(rejected), lines_of(rows)
    if number > params.max_rejected_share * total:
        raise StageError(
            f"{source}: expected at most {params.max_rejected_share:.2%} of the lines refused "
            f"(ingest.max_rejected_share), found {number} of {total}, all listed in {REJECTED}; the first: "
            f"{first_refused(rejected, params)}"
        )


def lines_of(rows: ir.Table) -> int:
    """The number of lines that the rows take in their files; a row of Parquet counts as one."""
    return int(rows.num_lines.sum().to_pyarrow().as_py() or 0)


def first_refused(rejected: ir.Table, params: IngestParams) -> str:
    """The place of the first refused row, the reason, its text, and the setting to change."""
    first = rejected.order_by("source_number", "line").limit(1).to_pyarrow().to_pylist()[0]
    kind = "row" if identified(Path(first["source"])).parquet else "line"
    advised = advice(first, params)
    return (
        f"{first['source']} {kind} {first['line']}: {first['reason']}: {first['raw'][:200]!r}"
        f"{f'; {advised}' if advised else ''}"
    )


def advice(row: dict[str, Any], params: IngestParams) -> str:
    """The setting to change if a refused row is like many others; nothing where there is none to propose."""
    reason = row["reason"]
    rating, time, weight = ((row.get(f"{role}_text") or "").strip() for role in ("rating", "timestamp", "weight"))
    items = [] if params.items is None or params.from_source(params.items) else [params.items]
    propose = run_propose(params.source, *items)
    proposals = {
        "quote not closed": 'if quotes are plain text, set ingest.quote to ""',
        "a field holds whole rows": (
            'if its quotes are plain text, set ingest.quote to ""; if it is one text, write it without line breaks'
        ),
        "wrong number of fields": f"look at ingest.delimiter and ingest.quote, or {propose}",
        "blank rating": "leave rows without a rating out of the file, or set ingest.columns.rating to null",
        "blank timestamp": "leave rows without a time out of the file, or set ingest.columns.timestamp to null",
        "blank weight": "leave rows without a weight out of the file, or set ingest.columns.weight to null",
        "unreadable weight": "give each value a number in ingest.weights, or set ingest.columns.weight to null",
        "weight is not above 0": "leave such rows out of the file, or set ingest.columns.weight to null",
        NOT_A_WEIGHT: f"add {weight!r} to ingest.weights, or leave such rows out of the file",
        "rating out of range": "look at ingest.minimum_allowed_rating and ingest.maximum_allowed_rating",
        NOT_A_SET: "rename the values, or set ingest.columns.split to null",
    }
    for role, text in (("rating", rating), ("weight", weight)):
        if reason == f"unreadable {role}" and re.match(DECIMAL_COMMA, text):
            return DECIMAL_COMMA_ADVICE
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
        unit = unit_of(float(time))
        return f"set ingest.timestamp_format to {unit}" if unit not in (None, timestamp_format) else ""
    return OTHER_TIMES_ADVICE


def nothing_kept(numbers: dict[str, Any], rejected: ir.Table, params: IngestParams) -> str:
    """The message where no row is kept: the numbers of rows that were refused or left out, and the settings."""
    if numbers["rows_read"] and numbers["rows_rejected"] == numbers["rows_read"]:
        return (
            f"{params.source}: expected at least one row to keep, found all {numbers['rows_read']} refused, as "
            f"{REJECTED} lists them; the first: {first_refused(rejected, params)}"
        )
    left_out = {
        f"refused, as {REJECTED} lists them": numbers["rows_rejected"],
        f"left out by ingest.minimum_rating ({params.minimum_rating})": numbers["rows_below_minimum_rating"],
        f"left out by ingest.minimum_user_interactions ({params.minimum_user_interactions}) and "
        f"ingest.minimum_item_interactions ({params.minimum_item_interactions})": (
            numbers["rows_below_minimum_interactions"]
        ),
    }
    causes = "; ".join(f"{what}: {number} rows" for what, number in left_out.items() if number)
    return (
        f"{params.source}: expected at least one row to keep, found none of {numbers['rows_read']}"
        f"{f'; {causes}' if causes else ': the file has no rows'}"
    )
