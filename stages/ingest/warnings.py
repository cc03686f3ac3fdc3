"""Warnings about data that is read but may not be what was meant."""

from typing import Any

import ibis.expr.types as ir
from ibis import _

from stages.ingest.kept_rows import ITEM_KEY, TITLE
from stages.ingest.params import IngestParams
from stages.ingest.report import counts
from towerline.artifacts.ingest import REJECTED
from towerline.raw.values import USUAL_LOW_RATINGS
from towerline.tables import expressions


def warnings_about(numbers: dict[str, Any], items: ir.Table, kept: ir.Table, params: IngestParams) -> list[str]:
    """One sentence for each thing that may not be what was meant.

    Args:
      numbers: the counts of report() and item_report().
      items: the accepted rows of the item table, one an item.
      kept: the interactions that are kept.
      params: the settings.
    """
    return [*rating_warnings(kept, params), *(item_warnings(numbers, items, kept, params) if params.items else [])]


def rating_warnings(kept: ir.Table, params: IngestParams) -> list[str]:
    """A warning where many ratings are low, and their rows count as likes all the same."""
    if "rating" not in kept.columns or params.minimum_rating is not None:
        return []
    bounds = kept.agg(least=_.rating.min(), most=_.rating.max()).to_pyarrow().to_pylist()[0]
    least = bounds["least"] if params.minimum_allowed_rating is None else params.minimum_allowed_rating
    most = bounds["most"] if params.maximum_allowed_rating is None else params.maximum_allowed_rating
    middle = (least + most) / 2
    share = expressions.count_of(kept.filter(_.rating < middle)) / expressions.count_of(kept)
    if share <= USUAL_LOW_RATINGS:
        return []
    return [
        f"{share:.0%} of the ratings are below {middle:g}, the middle of their range, and count as likes; "
        "ingest.minimum_rating leaves low ones out"
    ]


def item_warnings(numbers: dict[str, Any], items: ir.Table, kept: ir.Table, params: IngestParams) -> list[str]:
    """Warnings about the item table: refused and repeated rows, and items without a title."""
    warnings = []
    if numbers["item_rows_rejected"]:
        warnings.append(f"{numbers['item_rows_rejected']:,} rows of {params.items} refused, listed in {REJECTED}")
    if numbers["item_rows_repeated"]:
        warnings.append(
            f"{numbers['item_rows_repeated']:,} rows of {params.items} repeat an item; the last of each counts"
        )
    if (untitled := why_untitled(items, kept, params)) is not None:
        warnings.append(f"no item has a title: {untitled}")
    elif missing := sorted(counts(kept, "item_type").keys() - counts(items, "item_type").keys()):
        warnings.append(f"{params.items} has no row of the type {', '.join(missing[:5])}, whose items have no title")
    return warnings


def why_untitled(known: ir.Table, kept: ir.Table, params: IngestParams) -> str | None:
    """The reason for which no item that is kept gets a title; None where the item table has a row of any of them.

    Args:
      known: the accepted rows of the item table, one an item.
      kept: the interactions that are kept.
      params: the settings.
    """
    if not expressions.count_of(known):
        return f"{params.items} has no accepted row; write its rows, or set ingest.items to null"
    if not expressions.count_of(known.filter(_.title.notnull())):
        return f"all titles in {params.items} are blank; fill its column {TITLE!r}, or set ingest.items to null"
    items = kept.select(ITEM_KEY).distinct()
    if expressions.count_of(items.semi_join(known, ITEM_KEY)):
        return None
    known_types, types = (sorted(counts(table, "item_type")) for table in (known, items))
    advice = ""
    if params.columns.item_type is None and known_types != types:
        advice = f"; set ingest.constant_item_type to {known_types[0]}"
    return (
        f"no accepted row of {params.items} has the type and the id of an item (types there: "
        f"{', '.join(known_types[:5])}; types in {params.source}: {', '.join(types[:5])}){advice}"
    )
