"""The tables of features: that of users, and that of items, which has titles too."""

from pathlib import Path
from typing import NamedTuple

import ibis.expr.types as ir
from ibis import _

from stages.ingest import sources
from stages.ingest.columns import Layout
from stages.ingest.kept_rows import ITEM_KEY, TITLE, USER_KEY, last_features
from stages.ingest.params import IngestParams
from stages.ingest.reasons import parsed_features
from stages.ingest.records import Dialect
from stages.ingest.staging import FEATURES
from towerline.tables import expressions
from towerline.tables.session import Session


class FeatureTable(NamedTuple):
    """A table of features.

    Attributes:
      what: what a row describes, "user" or "item".
      source: the file or folder; None where the data has no such table, which then has no rows.
      key: the columns of the ids.
      rows: all rows that came in.
      known: the accepted ones, one a key.
    """

    what: str
    source: str | None
    key: list[str]
    rows: ir.Table
    known: ir.Table

    @property
    def setting(self) -> str:
        """The setting that names the source."""
        return f"ingest.{self.what}s"

    @property
    def refused(self) -> ir.Table:
        """The refused rows."""
        return self.rows.filter(_.reason.notnull())

    @property
    def titled(self) -> bool:
        """True if the rows have a title."""
        return TITLE in self.rows.columns

    @property
    def written(self) -> ir.Table:
        """The known rows as ingest writes them, sorted by key."""
        titles = [TITLE] if self.titled else []
        return self.known.select(*self.key, *titles, FEATURES.name).order_by(self.key)

    def num_described(self, kept: ir.Table) -> int:
        """The number of users or items of the kept interactions that have a row in the table."""
        return expressions.count_of(kept.select(self.key).distinct().semi_join(self.known, self.key))


def read_feature_tables(params: IngestParams, session: Session) -> tuple[FeatureTable, FeatureTable]:
    """Reads the tables of users and of items."""

    def read(what: str, source: str | None, key: list[str], *others: str) -> FeatureTable:
        dialect = Dialect(params.delimiter, params.quote, params.encoding)
        layout = Layout({name: name for name in (*key, *others)}, dialect, features_of=what)
        staged = session.folder / f"{what}s.parquet"
        if source is None:
            sources.write_no_rows(layout, staged)
        else:
            sources.write_staged_rows(Path(source), layout, staged)
        parsed = parsed_features(session.read(staged), key, params.encoding)
        rows = session.stored(parsed)
        known = last_features(rows.filter(_.reason.isnull()), key)
        return FeatureTable(what, source, key, rows, session.stored(known))

    return read("user", params.users, USER_KEY), read("item", params.items, ITEM_KEY, TITLE)
