"""The tables of features: that of users, and that of items, which has titles too.

A table is a file of its own, or made of the interactions, whose columns of no role are features then.
"""

from pathlib import Path
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.ingest import sources
from stages.ingest.columns import Layout
from stages.ingest.kept_rows import ITEM_KEY, TITLE, USER_KEY, last_features
from stages.ingest.params import IngestParams
from stages.ingest.parsing import blank
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


def read_feature_tables(
    params: IngestParams, accepted: ir.Table, session: Session
) -> tuple[FeatureTable, FeatureTable]:
    """Reads the tables of users and of items.

    Args:
      params: the settings.
      accepted: the accepted interactions, with features where a table is made of them.
      session: of the interactions.
    """

    def read(what: str, source: str | None, key: list[str], *others: str) -> FeatureTable:
        if params.from_source(source):
            found = of_interactions(accepted, key, *others)
        else:
            dialect = Dialect(params.delimiter, params.quote, params.encoding)
            columns = {name: name for name in (*key, *others)}
            layout = Layout(columns, dialect, setting=f"ingest.{what}s", features=True)
            staged = session.folder / f"{what}s.parquet"
            if source is None:
                sources.write_no_rows(layout, staged)
            else:
                sources.write_staged_rows(Path(source), layout, staged)
            found = parsed_features(session.read(staged), key, params.encoding)
        rows = session.stored(found)
        # Without a table there is nothing to look through, and a query without rows takes a tenth of a second, too.
        known = rows if source is None else session.stored(last_features(rows.filter(_.reason.isnull()), key))
        return FeatureTable(what, source, key, rows, known)

    return read("user", params.users, USER_KEY), read("item", params.items, ITEM_KEY, TITLE)


def of_interactions(rows: ir.Table, key: list[str], *others: str) -> ir.Table:
    """The accepted interactions as rows of a table of features; the refused ones are refused once, as interactions.

    Args:
      rows: the accepted interactions, with features.
      key: the columns of the ids.
      *others: names of features that are columns of the table; null where the source has no such column.
    """
    time = [name for name in ("timestamp",) if name in rows.columns]
    place = ["source", "source_number", "line", "num_lines", "raw", "reason"]
    found = rows.select(*place, *key, *time, FEATURES.name)
    for name in others:
        text = found.features[name]
        found = found.mutate(ibis.ifelse(blank(text), ibis.null("string"), text).name(name))
    names = found.features.keys().filter(lambda name: name.notin(others))
    return found.mutate(features=ibis.map(names, names.map(lambda name: found.features[name])))
