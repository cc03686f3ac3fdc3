"""Schema of the rows of the raw files as text: the place of each row, its raw text, and one column a role.

The problem of a row is the reason for which its fields cannot be used, null where there is none.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from stages.ingest.columns import Layout

PLACE = pa.schema(
    [
        ("source", pa.string()),
        ("source_number", pa.int32()),
        ("line", pa.int64()),
        ("num_lines", pa.int64()),
        ("raw", pa.string()),
        ("problem", pa.string()),
    ]
)
# Features are one column, since their names are the user's and may be any text: a database would take "Year" and "year"
# for the same column, and its own names could be among them.
FEATURES = pa.field("features", pa.map_(pa.string(), pa.string()))

BATCH_ROWS = 100_000


def schema_of(layout: Layout) -> pa.Schema:
    """The columns of PLACE, a column of text for each role, and FEATURES where the layout has them."""
    roles = [pa.field(role, pa.string()) for role in layout.columns]
    return pa.schema([*PLACE, *roles, *([FEATURES] if layout.features else [])])


def features_of(values: Mapping[str, pa.Array], num_rows: int) -> pa.MapArray:
    """[rows] maps of the columns' names to their values, in the order of the names."""
    values = dict(sorted(values.items()))
    offsets = np.arange(num_rows + 1, dtype=np.int32) * len(values)
    names = pa.array(list(values) * num_rows, pa.string())
    column_by_column = pa.concat_arrays([pa.array([], pa.string()), *values.values()])
    row_by_row = np.arange(num_rows * len(values)).reshape(len(values), num_rows).T.ravel()
    return pa.MapArray.from_arrays(offsets, names, column_by_column.take(pa.array(row_by_row)))
