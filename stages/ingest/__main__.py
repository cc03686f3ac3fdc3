"""Raw files -> one checked row a (user, item), the refused rows, and a report of what came in.

Reads: the files that `ingest.source`, `ingest.items` and `ingest.users` name.
Writes: data/interactions.parquet, data/users.parquet, data/items.parquet, data/rejected.parquet, reports/ingest.json.
Parameters: ingest, engine.
"""

from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.ingest import sources
from stages.ingest.advice import check_rejected_share, nothing_kept
from stages.ingest.columns import Layout
from stages.ingest.feature_tables import read_feature_tables
from stages.ingest.kept_rows import all_active, interaction_columns, last_interactions
from stages.ingest.params import IngestParams
from stages.ingest.reasons import parsed
from stages.ingest.records import Dialect
from stages.ingest.report import feature_report, report
from stages.ingest.warnings import warnings_about
from towerline.artifacts.ingest import INGEST_REPORT, INTERACTIONS, ITEMS, REJECTED, USERS
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import run
from towerline.tables import engine
from towerline.tables.memory import Texts
from towerline.tables.session import Session

# What the stage writes: the staged rows, the rows without repetitions, and the outputs. Up to half of it is what DuckDB
# spills.
BYTES_PER_ROW = 140


class Rows(NamedTuple):
    """The rows of the raw files of interactions.

    Attributes:
      staged: all rows, as text.
      accepted: those with all that ingest needs, computed when they are read.
      refused: the others, with the reason of each.
    """

    staged: ir.Table
    accepted: ir.Table
    refused: ir.Table


def read_rows(params: IngestParams, session: Session) -> Rows:
    """Reads the raw files of interactions."""
    staged = session.folder / "rows.parquet"
    dialect = Dialect(params.delimiter, params.quote, params.encoding)
    with_features = params.from_source(params.items) or params.from_source(params.users)
    layout = Layout(params.columns.roles(), dialect, params.header, params.timestamp_format, features=with_features)
    sources.write_staged_rows(Path(params.source), layout, staged)
    rows = session.read(staged)
    checked = parsed(rows, params)
    return Rows(rows, checked.filter(_.reason.isnull()), session.stored(checked.filter(_.reason.notnull())))


def refused_rows(*tables: ir.Table) -> ir.Table:
    """The refused rows of several tables as data/rejected.parquet holds them."""
    place = ["source", "line", "reason", "raw"]
    return ibis.union(*(rows.select(place) for rows in tables)).order_by("source", "line")


def guessed_sizes(params: IngestParams) -> tuple[int, Texts]:
    """The number of rows of the source, and the long texts of all sources."""
    rows = sources.guessed(Path(params.source), "ingest.source")
    features = [
        sources.guessed(Path(path), setting)
        for setting, path in {"ingest.items": params.items, "ingest.users": params.users}.items()
        if path is not None
    ]
    texts = [Texts.of(*rows, features=False), *(Texts.of(*guess, features=True) for guess in features)]
    return rows.num_rows, Texts.joined(texts)


def main() -> str:
    params = IngestParams.load()
    num_rows, texts = guessed_sizes(params)
    with engine.session("ingest", num_rows, BYTES_PER_ROW, texts) as session:
        rows = read_rows(params, session)
        users, items = read_feature_tables(params, rows.accepted, session)
        session.write(REJECTED, refused_rows(rows.refused, items.refused, users.refused))
        check_rejected_share(params.source, rows.staged, rows.refused, params)
        for table in (items, users):
            check_rejected_share(str(table.source), table.rows, table.refused, params)

        deduplicated = session.stored(last_interactions(rows.accepted))
        positive = deduplicated
        if params.minimum_rating is not None:
            positive = deduplicated.filter(_.rating >= params.minimum_rating)
        kept = all_active(session, positive, params.minimum_user_interactions, params.minimum_item_interactions)
        numbers = report(rows.staged, rows.refused, deduplicated, positive, kept)
        for table in (items, users):
            numbers |= feature_report(table.what, table.rows, table.refused, table.known)
        if not numbers["rows_kept"]:
            raise StageError(nothing_kept(numbers, rows.refused, params))
        session.write(INTERACTIONS, interaction_columns(kept))
        session.write(USERS, users.written)
        session.write(ITEMS, items.written)
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
