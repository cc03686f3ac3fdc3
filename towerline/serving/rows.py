"""Rows of users and items: mappings from a column's name to its value, which is read as text."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from towerline.pipeline import formats
from towerline.serving.errors import ServingError
from towerline.serving.ids import listed

Value = str | float | None
Row = Mapping[str, Value]
SUFFIXES = (".csv", ".parquet")


def listed_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows in the order of iteration; the iterable is read once.

    Raises:
      ServingError: they are not iterable, or one of them is no mapping.
    """
    found = listed(rows, "rows")
    for row in found:
        if not isinstance(row, Mapping):
            raise ServingError(f"expected rows that map a column's name to its value, found {row!r}")
    return found


def texts(rows: Sequence[Row], column: str) -> list[str | None]:
    """The texts of a column; None where a row has none.

    Raises:
      ServingError: a value is neither text nor a number nor None.
    """
    return [_text(column, row.get(column)) for row in rows]


def ids(rows: Sequence[Row], column: str) -> list[str]:
    """The ids in a column.

    Raises:
      ServingError: a row has none, or one that is no text: a number has lost the zeros that it began with.
    """
    values = [row.get(column) for row in rows]
    for value in values:
        if value is None or (isinstance(value, str) and not value.strip()):
            raise ServingError(f"{column}: expected an id in every row, found {value!r}")
        if not isinstance(value, str):
            raise ServingError(f"{column}: expected ids that are text, found {value!r}, of type {type(value).__name__}")
    return [str(value) for value in values]


def _text(column: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        # pandas makes 2013.0 of 2013 where a value is missing, and NaN of the missing value.
        return None if value != value else str(value).removesuffix(".0")
    raise ServingError(f"{column}: expected text, a number or None, found {value!r}, of type {type(value).__name__}")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, all values as text; nulls and empty cells are None.

    Args:
      path: delimited text with a comma, double quotes and a header, in UTF-8 (.csv), or Parquet (.parquet).

    Raises:
      ServingError: the file is neither, or two of its columns have one name.
      OSError: it cannot be read.
    """
    if path.suffix not in SUFFIXES:
        raise ServingError(f"{path}: expected a file named {' or '.join(SUFFIXES)}, found {path.suffix!r}")
    try:
        with formats.naming(path):
            table = _csv_table(path) if path.suffix == ".csv" else _parquet_table(path)
        names = table.column_names
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ServingError(f"{path}: expected columns of text or numbers, found: {reason}") from None
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ServingError(f"{path}: expected each column once, found {min(twice)!r} twice")
    rows: list[Row] = table.to_pylist()
    return rows


def _csv_table(path: Path) -> pa.Table:
    quoted = pyarrow.csv.ParseOptions(newlines_in_values=True)
    with path.open("rb") as file, pyarrow.csv.open_csv(file, parse_options=quoted) as header:
        names = header.schema.names
    text = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
    )
    with path.open("rb") as file:
        return pyarrow.csv.read_csv(file, parse_options=quoted, convert_options=text)


def _parquet_table(path: Path) -> pa.Table:
    with path.open("rb") as file, pq.ParquetFile(file) as parquet:
        table = parquet.read()
    columns = [column.cast(pa.string()) for column in table.columns]
    return pa.table(columns, names=table.column_names)
