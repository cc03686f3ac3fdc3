"""Warnings about data that is read but may not be what was meant."""

from collections.abc import Sequence
from typing import Any

import ibis.expr.types as ir
from ibis import _

from stages.ingest.columns import SHOWN_CHARACTERS
from stages.ingest.feature_tables import FeatureTable
from stages.ingest.kept_rows import TITLE
from stages.ingest.params import IngestParams
from stages.ingest.parsing import blank
from stages.ingest.report import counts
from stages.ingest.varying import varying
from towerline.artifacts.ingest import REJECTED
from towerline.raw.values import USUAL_LOW_RATINGS
from towerline.tables import expressions

# Up to this share of the users or items without a row in their table is usual.
USUAL_UNDESCRIBED = 0.1
# Values that a warning shows.
EXAMPLES = 5


def warnings_about(
    numbers: dict[str, Any], tables: Sequence[FeatureTable], kept: ir.Table, params: IngestParams
) -> list[str]:
    """One sentence for each thing that may not be what was meant.

    Args:
      numbers: the counts of report() and feature_report().
      tables: of features; those without a source are passed over.
      kept: the interactions that are kept.
      params: the settings.
    """
    warnings = rating_warnings(kept, params)
    for table in tables:
        if table.source is not None and not params.from_source(table.source):
            warnings += feature_warnings(table, numbers, kept, params)
    if of_source := [table for table in tables if params.from_source(table.source)]:
        warnings += column_warnings(of_source, params)
    return warnings


def column_warnings(tables: Sequence[FeatureTable], params: IngestParams) -> list[str]:
    """Warnings about the columns of no role in the source, of which these tables are made, at least one."""
    settings = " and ".join(table.setting for table in tables)
    of_item = [table.known.filter(_.title.notnull()) for table in tables if table.titled]
    described = [*of_item, *(table.known.filter(has_features()) for table in tables)]
    if not any(map(expressions.count_of, described)):
        return [f"{params.source} has no value in any column of no role, so that {settings} can be null"]
    if names := varying(tables):
        ids = " and of most ".join(f"{table.what}s" for table in tables)
        listed = ", ".join(names)[:SHOWN_CHARACTERS]
        return [f"features in {params.source} that differ between the rows of most {ids}, and describe none: {listed}"]
    return []


def rating_warnings(kept: ir.Table, params: IngestParams) -> list[str]:
    """A warning where many ratings are low: by default their rows count as likes."""
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
        f"{share:.0%} of the ratings are below {middle:g}, the middle of their range, and count as likes unless "
        "dislikes.below is set"
    ]


def feature_warnings(table: FeatureTable, numbers: dict[str, Any], kept: ir.Table, params: IngestParams) -> list[str]:
    """Warnings about a table of features: refused and repeated rows, and users or items that it does not describe."""
    what, source = table.what, table.source
    one, content, no_content = (
        ("an item", "a title", "no title") if table.titled else ("a user", "features", "no features")
    )
    warnings = []
    if number := numbers[f"{what}_rows_rejected"]:
        warnings.append(f"{number:,} rows of {source} refused, listed in {REJECTED}")
    if number := numbers[f"{what}_rows_repeated"]:
        warnings.append(f"{number:,} rows of {source} repeat {one}; the last of each counts")
    if (why := why_none_described(table, kept, params)) is not None:
        warnings.append(f"no {what} has {content}: {why}")
    elif missing := missing_types(table, kept):
        warnings.append(f"{source} has no row of the type {', '.join(missing[:5])}, whose items have {no_content}")
    elif (share := 1 - table.num_described(kept) / numbers[f"{what}s"]) > USUAL_UNDESCRIBED:
        warnings.append(f"{source} has no row of {share:.0%} of the {what}s, which have {no_content}")
    return warnings


def missing_types(table: FeatureTable, kept: ir.Table) -> list[str]:
    """The types of items of which the table has no row; users have no types."""
    if "item_type" not in table.key:
        return []
    return sorted(counts(kept, "item_type").keys() - counts(table.known, "item_type").keys())


def why_none_described(table: FeatureTable, kept: ir.Table, params: IngestParams) -> str | None:
    """The reason for which no user or item that is kept is described; None where the table has a row of any of them."""
    source, known = table.source, table.known
    to_null = f"or set {table.setting} to null"
    if not expressions.count_of(known):
        return f"{source} has no accepted row; write its rows, {to_null}"
    if table.titled and not expressions.count_of(known.filter(_.title.notnull())):
        return f"all titles in {source} are blank; fill its column {TITLE!r}, {to_null}"
    if not table.titled and not expressions.count_of(known.filter(has_features())):
        return f"{source} has no feature in any row; fill its columns, {to_null}"
    if table.num_described(kept):
        return None
    name = table.key[0]
    there, here = examples(known, name), examples(kept, name)
    listed_there, listed_here = (", ".join(values)[:SHOWN_CHARACTERS] for values in (there, here))
    if not table.titled:
        return (
            f"no accepted row of {source} has the id of a user (ids there: {listed_there}; ids in {params.source}: "
            f"{listed_here})"
        )
    advice = ""
    if params.columns.item_type is None and there != here:
        advice = f"; set ingest.constant_item_type to {there[0]}"
    return (
        f"no accepted row of {source} has the type and the id of an item (types there: {listed_there}; types in "
        f"{params.source}: {listed_here}){advice}"
    )


def has_features() -> ir.BooleanValue:
    """True where any feature of a row is not blank."""
    return _.features.values().filter(lambda value: ~blank(value)).length() > 0


def examples(rows: ir.Table, name: str) -> list[str]:
    """The first values of a column."""
    values = rows.select(name).distinct().order_by(name).limit(EXAMPLES).to_pyarrow().to_pylist()
    return [row[name] for row in values]
