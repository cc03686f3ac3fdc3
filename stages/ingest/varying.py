"""Columns of the interactions that describe neither a user nor an item, but one interaction, such as a device."""

from collections.abc import Sequence

import ibis.expr.types as ir
from ibis import _

from stages.ingest.feature_tables import FeatureTable
from stages.ingest.parsing import blank


def varying(tables: Sequence[FeatureTable]) -> list[str]:
    """The features that vary within all of the tables, in ascending order.

    A feature varies within a table if its values differ between the rows of more than half of the users, or items, of
    which several rows have a value.

    Args:
      tables: of the same interactions, at least one.
    """
    return sorted(set.intersection(*(_varying(table.rows, table.key) for table in tables)))


def _varying(rows: ir.Table, key: list[str]) -> set[str]:
    values = rows.mutate(name=_.features.keys()).unnest("name")
    values = values.mutate(value=_.features[_.name]).filter(~blank(_["value"]))
    each = values.group_by(*key, "name").agg(number=_.count(), differ=_["value"].min() != _["value"].max())
    names = each.filter(_.number > 1).group_by("name").agg(share=_.differ.cast("float64").mean())
    return set(names.filter(_.share > 0.5).to_pyarrow()["name"].to_pylist())
