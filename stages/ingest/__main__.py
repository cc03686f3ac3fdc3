"""Raw files -> one checked row a (user, item), the refused rows, and a report of what came in.

Reads: the files that `ingest.source` and `ingest.items` name.
Writes: data/interactions.parquet, data/items.parquet, data/rejected.parquet, reports/ingest.json.
Parameters: ingest.
"""

from pathlib import Path

import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages.ingest import sources
from stages.ingest.advice import check_rejected_share, nothing_kept
from stages.ingest.columns import Layout
from stages.ingest.kept_rows import ITEM_KEY, KEY, TITLE, all_active, interaction_columns, last_items, last_of_each
from stages.ingest.params import IngestParams
from stages.ingest.reasons import parsed, parsed_items
from stages.ingest.records import Dialect
from stages.ingest.report import item_report, report
from stages.ingest.staging import FEATURES
from stages.ingest.warnings import warnings_about
from towerline.artifacts.ingest import INGEST_REPORT, INTERACTIONS, ITEMS, REJECTED
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import run
from towerline.tables import engine


def read_rows(params: IngestParams, connection: Backend, folder: Path) -> tuple[ir.Table, ir.Table]:
    """Reads the raw files; the parsed rows of interactions and of items."""
    staged, staged_items = folder / "rows.parquet", folder / "items.parquet"
    dialect = Dialect(params.delimiter, params.quote, params.encoding)
    layout = Layout(params.columns.roles(), dialect, params.header, params.timestamp_format)
    item_layout = Layout({name: name for name in (*ITEM_KEY, TITLE)}, dialect, features=True)
    sources.write_staged_rows(Path(params.source), layout, staged)
    rows = connection.create_table("parsed", parsed(connection.read_parquet(staged), params), temp=True)
    if params.items is None:
        sources.write_no_rows(item_layout, staged_items)
    else:
        sources.write_staged_rows(Path(params.items), item_layout, staged_items)
    items = parsed_items(connection.read_parquet(staged_items), params.encoding)
    return rows, connection.create_table("items", items, temp=True)


def main() -> str:
    params = IngestParams.load()
    with engine.session("ingest") as (connection, folder):
        rows, item_rows = read_rows(params, connection, folder)
        rejected, rejected_items = (table.filter(_.reason.notnull()) for table in (rows, item_rows))
        place = ["source", "line", "reason", "raw"]
        engine.write(REJECTED, rejected.select(place).union(rejected_items.select(place)).order_by("source", "line"))
        check_rejected_share(params.source, rows, params)
        check_rejected_share(str(params.items), item_rows, params)

        accepted = rows.filter(_.reason.isnull()).drop("raw")
        deduplicated = connection.create_table("deduplicated", last_of_each(accepted, KEY), temp=True)
        positive = deduplicated
        if params.minimum_rating is not None:
            positive = deduplicated.filter(_.rating >= params.minimum_rating)
        kept = all_active(connection, positive, params.minimum_user_interactions, params.minimum_item_interactions)
        items = connection.create_table("last_items", last_items(item_rows.filter(_.reason.isnull())), temp=True)
        numbers = report(accepted, rejected, deduplicated, positive, kept) | item_report(item_rows, items)
        if not numbers["rows_kept"]:
            raise StageError(nothing_kept(numbers, rejected, params))
        engine.write(INTERACTIONS, interaction_columns(kept))
        engine.write(ITEMS, items.select(*ITEM_KEY, TITLE, FEATURES.name).order_by(ITEM_KEY))
        formats.write_json(INGEST_REPORT, numbers)
        warnings = "".join(f"; warning: {warning}" for warning in warnings_about(numbers, items, kept, params))
    return (
        f"{numbers['rows_read']:,} rows read, {numbers['rows_rejected']:,} refused, {numbers['rows_repeated']:,} "
        f"repeats, {numbers['rows_kept']:,} kept; {numbers['users']:,} users, {numbers['items']:,} items{warnings}"
    )


if __name__ == "__main__":
    run("ingest", main)
