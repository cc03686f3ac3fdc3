"""Rows of Parquet files, as text."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.ingest.columns import Columns, Layout, Names
from stages.ingest.staging import BATCH_ROWS, FEATURES, features_of
from towerline.pipeline.errors import StageError
from towerline.raw.files import RawFile, errors_of

# Text that Arrow writes for a time beyond its calendar, with the number after it.
_BEYOND_CALENDAR = "<value out of range: "


def parquet_rows(file: RawFile, layout: Layout, folder: Path) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file as text; a row's line is its number from 1, its raw text all that is read of it."""
    path = file.path
    with errors_of(path), pq.ParquetFile(file.unpacked(folder)) as parquet:
        schema = parquet.schema_arrow
        columns = Columns.found(Names(path, schema.names, None), layout)
        for role, position in columns.roles.items():
            _check_type(path, role, schema.field(position), layout.timestamp_format)
        for position in columns.features.values():
            _check_type(path, "a feature", schema.field(position), None)
        line = 1
        wanted = {schema.names[position] for position in (*columns.roles.values(), *columns.features.values())}
        for batch in parquet.iter_batches(BATCH_ROWS, columns=sorted(wanted)):
            arrays = {role: _as_text(batch[schema.names[position]]) for role, position in columns.roles.items()}
            values = {name: _as_text(batch[name]) for name in columns.features}
            raw = pc.binary_join_element_wise(
                *arrays.values(),
                *values.values(),
                layout.dialect.delimiter,
                null_handling="replace",
                null_replacement="",
            )
            if layout.features:
                arrays[FEATURES.name] = features_of(values, batch.num_rows)
            yield pa.record_batch(
                {
                    "line": np.arange(line, line + batch.num_rows),
                    "num_lines": np.ones(batch.num_rows, np.int64),
                    "raw": raw,
                    "problem": _problems(
                        [values[name] for name in columns.features if _is_time(batch[name].type)], raw
                    ),
                    **arrays,
                }
            )
            line += batch.num_rows


def _check_type(path: Path, role: str, column: pa.Field, timestamp_format: str | None) -> None:
    """Raises StageError if a column's type cannot be what its role needs."""
    kind = column.type
    text = _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)
    whole = pa.types.is_integer(kind)
    number = whole or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    time = _is_time(kind)
    expected = f"{path}: column {column.name!r}: expected"
    if role == "timestamp":
        if time and timestamp_format != "iso8601":
            raise StageError(f"{expected} numbers, found {kind}; set ingest.timestamp_format to iso8601")
        if number and timestamp_format == "iso8601":
            raise StageError(f"{expected} times, found {kind}; set ingest.timestamp_format to seconds or milliseconds")
    allowed = {
        "rating": (text or number, "numbers or text"),
        "weight": (text or number, "numbers or text"),
        "timestamp": (text or number or time, "numbers, times or text"),
        "split": (text, "text"),
        "a feature": (text or number or time or pa.types.is_boolean(kind), "text, numbers or times"),
    }
    fits, wanted = allowed.get(role, (text or whole, "text or integers"))
    if not fits:
        # pandas makes floats of integers where one is missing.
        advice = "; write it with .astype('Int64') or .astype('string')" if number and role not in allowed else ""
        raise StageError(f"{expected} {wanted} for {role}, found {kind}{advice}")


def _problems(times: Sequence[pa.StringArray], raw: pa.StringArray) -> pa.StringArray:
    """The problem of each row: one of these times of it has no text."""
    beyond = pa.repeat(False, len(raw))
    for texts in times:
        beyond = pc.or_(beyond, pc.starts_with(texts, _BEYOND_CALENDAR).fill_null(False))
    return pc.case_when(pc.make_struct(beyond), pa.scalar("a feature is a time out of range"))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _is_text(kind: pa.DataType) -> bool:
    # Some programs write text as bytes without a note that it is text, and text that is missing throughout as no type.
    types = pa.types
    if types.is_null(kind):
        return True
    is_string = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(is_string or types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _as_text(column: pa.Array) -> pa.StringArray:
    """The values as they would be written to delimited text; bytes that are not UTF-8 become U+FFFD."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind):
        # Without its time zone a time is in UTC, whatever the zone is called.
        column = column.cast(pa.int64()).cast(pa.timestamp(kind.unit))
    if not _is_text(kind):
        return pc.cast(column, pa.string())
    try:
        return column.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        values = column.cast(pa.binary()).to_pylist()
        return pa.array([None if value is None else value.decode("utf-8", "replace") for value in values], pa.string())
