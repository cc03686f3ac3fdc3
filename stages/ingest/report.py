"""Counts of the rows that came in, were refused, were left out, and are kept: reports/ingest.json."""

from typing import Any

import ibis.expr.types as ir
from ibis import _

from stages.ingest.kept_rows import ITEM_KEY
from towerline.tables import expressions


def report(
    read: ir.Table, rejected: ir.Table, deduplicated: ir.Table, positive: ir.Table, kept: ir.Table
) -> dict[str, Any]:
    """The numbers of rows that came in, were refused, were left out, and are kept, with the reasons.

    Args:
      read: all rows that came in.
      rejected: the refused ones.
      deduplicated: the others without repetitions.
      positive: those of them that `ingest.minimum_rating` keeps.
      kept: those of them whose user and item have enough rows.
    """
    num_read, num_rejected, num_deduplicated = (
        expressions.count_of(read),
        expressions.count_of(rejected),
        expressions.count_of(deduplicated),
    )
    num_positive, num_kept = expressions.count_of(positive), expressions.count_of(kept)
    users = int(kept.user_id.nunique().to_pyarrow().as_py())
    items = counts(kept.select(ITEM_KEY).distinct(), "item_type")
    cells = users * sum(items.values())
    return {
        "rows_read": num_read,
        "rows_rejected": num_rejected,
        "rows_rejected_by_reason": counts(rejected, "reason"),
        "rows_repeated": num_read - num_rejected - num_deduplicated,
        "rows_below_minimum_rating": num_deduplicated - num_positive,
        "rows_below_minimum_interactions": num_positive - num_kept,
        "rows_kept": num_kept,
        "users": users,
        "items": sum(items.values()),
        "items_by_type": items,
        "density": num_kept / cells if cells else 0.0,
    }


def feature_report(what: str, rows: ir.Table, rejected: ir.Table, known: ir.Table) -> dict[str, Any]:
    """The numbers of rows of a table of features that came in, were refused, with the reasons, and repeat a key.

    Args:
      what: the table's rows describe, "user" or "item".
      rows: all rows that came in.
      rejected: the refused ones.
      known: the others, one a key.
    """
    num_rows, num_rejected = expressions.count_of(rows), expressions.count_of(rejected)
    return {
        f"{what}_rows_read": num_rows,
        f"{what}_rows_rejected": num_rejected,
        f"{what}_rows_rejected_by_reason": counts(rejected, "reason"),
        f"{what}_rows_repeated": num_rows - num_rejected - expressions.count_of(known),
    }


def counts(rows: ir.Table, by: str) -> dict[str, int]:
    """The number of rows of each value of a column."""
    groups = rows.group_by(by).agg(number=_.count()).to_pyarrow().to_pylist()
    return {row[by]: row["number"] for row in groups}
