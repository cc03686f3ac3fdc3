"""Raw files -> one checked row a (user, item), the refused rows, and a report of what came in.

Reads: the files that `ingest.source`, `ingest.items` and `ingest.users` name.
Writes: data/interactions.parquet, data/users.parquet, data/items.parquet, data/rejected.parquet, reports/ingest.json.
Parameters: ingest.
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis import _
from ibis.backends.duckdb import Backend

from stages.ingest import sources
from stages.ingest.advice import check_rejected_share, nothing_kept
from stages.ingest.columns import Layout
from stages.ingest.feature_tables import read_feature_tables
from stages.ingest.kept_rows import all_active, interaction_columns, last_interactions
from stages.ingest.params import IngestParams
from stages.ingest.reasons import parsed
from stages.ingest.records import Dialect
from stages.ingest.report import feature_report, report
from stages.ingest.staging import FEATURES
from stages.ingest.warnings import warnings_about
from towerline.artifacts.ingest import INGEST_REPORT, INTERACTIONS, ITEMS, REJECTED, USERS
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import run
from towerline.tables import engine


def read_rows(params: IngestParams, connection: Backend, folder: Path) -> ir.Table:
    """Reads the raw files of interactions; the folder is for files on the way."""
    staged = folder / "rows.parquet"
    dialect = Dialect(params.delimiter, params.quote, params.encoding)
    with_features = params.from_source(params.items) or params.from_source(params.users)
    layout = Layout(params.columns.roles(), dialect, params.header, params.timestamp_format, features=with_features)
    sources.write_staged_rows(Path(params.source), layout, staged)
    return connection.create_table("parsed", parsed(connection.read_parquet(staged), params), temp=True)


def refused_rows(*tables: ir.Table) -> ir.Table:
    """The refused rows of several tables as data/rejected.parquet holds them."""
    place = ["source", "line", "reason", "raw"]
    return ibis.union(*(rows.filter(_.reason.notnull()).select(place) for rows in tables)).order_by("source", "line")


def main() -> str:
    params = IngestParams.load()
    with engine.session("ingest") as (connection, folder):
        rows = read_rows(params, connection, folder)
        users, items = read_feature_tables(params, rows, connection, folder)
        engine.write(REJECTED, refused_rows(rows, items.rows, users.rows))
        check_rejected_share(params.source, rows, params)
        for table in (items, users):
            check_rejected_share(str(table.source), table.rows, params)

        unused = {"raw", FEATURES.name}.intersection(rows.columns)
        accepted, rejected = rows.filter(_.reason.isnull()).drop(*unused), rows.filter(_.reason.notnull())
        deduplicated = connection.create_table("deduplicated", last_interactions(accepted), temp=True)
        positive = deduplicated
        if params.minimum_rating is not None:
            positive = deduplicated.filter(_.rating >= params.minimum_rating)
        kept = all_active(connection, positive, params.minimum_user_interactions, params.minimum_item_interactions)
        numbers = report(accepted, rejected, deduplicated, positive, kept)
        for table in (items, users):
            numbers |= feature_report(table.what, table.rows, table.known)
        if not numbers["rows_kept"]:
            raise StageError(nothing_kept(numbers, rejected, params))
        engine.write(INTERACTIONS, interaction_columns(kept))
        engine.write(USERS, users.written)
        engine.write(ITEMS, items.written)
        formats.write_json(INGEST_REPORT, numbers)
        warnings = "".join(f"; warning: {text}" for text in warnings_about(numbers, [items, users], kept, params))
        described = "" if users.source is None else f", {users.num_described(kept):,} of them with a row of features"
    return (
        f"{numbers['rows_read']:,} rows read, {numbers['rows_rejected']:,} refused, {numbers['rows_repeated']:,} "
        f"repeats, {numbers['rows_kept']:,} kept; {numbers['users']:,} users{described}, {numbers['items']:,} items"
        f"{warnings}"
    )


if __name__ == "__main__":
    run("ingest", main)
