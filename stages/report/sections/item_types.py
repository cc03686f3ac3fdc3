"""How much the rows of each item type help the recommendations of each other type."""

from collections.abc import Sequence
from typing import Any

from stages.report.inputs import Inputs, rows_of
from stages.report.page_blocks import Details, Note, Section, Table
from stages.report.wording import MISSING, counted, decimal, interval, listed, metric_at, shortened, signed

TEXT = (
    "For each type, the model was fitted again without the rows of the type. The table says how much these rows (line) "
    "raise {metric} where the items of another type (column) alone are ranked, with the 95% interval over the users of "
    "its test items. Below 0, the rows make the recommendations of the other type worse."
)
CAVEAT = (
    "All fits have the settings that were found on the rows of all types; a search without a type might find better "
    "ones for the others. The intervals are for one comparison each."
)
OF_KNOWN = (
    "Most users of several types have known rows in the tested type, too; split.method cold_type measures users who "
    "have none."
)
HEADER = ["rows of", "items of", "metric", "users", "with the rows", "without", "difference", "95% interval"]


def section(data: Inputs) -> Section | None:
    """The differences type by type; None where none was measured."""
    rows = list(rows_of(data.transfer))
    if not rows:
        return None
    main = [row for row in rows if row.metric == "ndcg"]
    metric = metric_at("ndcg", main[0].k)
    caveats = [CAVEAT] if data.settings["split"]["method"] == "cold_type" else [CAVEAT, OF_KNOWN]
    details = Details(
        "All figures of the help of types", [Table(HEADER, [_cells(row) for row in rows], text_columns=3)]
    )
    return Section(
        "item-types",
        "Item types",
        [Note(TEXT.format(metric=metric)), _matrix(main), Note(" ".join([finding(main, metric), *caveats])), details],
    )


def finding(rows: Sequence[Any], metric: str) -> str:
    """The pairs of types that help, those that harm, and those whose interval contains 0, in a sentence each.

    Args:
      rows: TransferRows of one metric.
      metric: its label.
    """
    groups = {
        f"{metric} is higher with": [row for row in rows if row.low > 0],
        f"{metric} is lower with": [row for row in rows if row.high < 0],
        "No clear effect:": [row for row in rows if row.low <= 0 <= row.high],
    }
    return " ".join(f"{start} {listed([_pair(row) for row in group])}." for start, group in groups.items() if group)


def _pair(row: Any) -> str:
    return f"the rows of {shortened(row.from_type)} for {shortened(row.to_type)} ({signed(row.difference)})"


def _matrix(rows: Sequence[Any]) -> Table:
    """A line for each type that was left out, a column for each type that was ranked."""
    to_types = sorted({row.to_type for row in rows})
    cells = {
        (row.from_type, row.to_type): f"{signed(row.difference)} ({signed(row.low)} to {signed(row.high)})"
        for row in rows
    }
    lines = [
        [shortened(of_line), *(cells.get((of_line, to), MISSING) for to in to_types)]
        for of_line in dict.fromkeys(row.from_type for row in rows)
    ]
    users = {row.to_type: int(row.users) for row in rows}
    return Table(["rows of", *(f"{shortened(to)} ({counted(users[to], 'user')})" for to in to_types)], lines)


def _cells(row: Any) -> list[str]:
    return [
        shortened(row.from_type),
        shortened(row.to_type),
        metric_at(row.metric, row.k),
        f"{int(row.users):,}",
        decimal(row.mean_with),
        decimal(row.mean_without),
        signed(row.difference),
        interval(row.low, row.high),
    ]
