"""The user's raw files as one table of text: where each row stands, its raw text, and one column a role.

Delimited text and Parquet come out alike, so that what happens to a row is said once, in the stage that reads them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.records import Dialect, Records, read_records
from stages.terminal import StageError, progress

PLACE = pa.schema(
    [
        ("source", pa.string()),
        ("source_number", pa.int32()),
        ("line", pa.int64()),
        ("raw", pa.string()),
        ("has_all_fields", pa.bool_()),
        ("misquoted", pa.bool_()),
    ]
)

BATCH_ROWS = 100_000


def column_names(path: Path, dialect: Dialect, required: list[str]) -> list[str]:
    """The names in the first line of a delimited file.

    Raises:
      StageError: a required name is missing or stands there twice, or a name stands there twice.
    """
    for records in read_records(path, dialect):
        names: list[str] = records.fields.slice(0, int(records.num_fields[0])).to_pylist()
        _positions(path, {name: name for name in [*required, *names]}, names)
        return names
    raise StageError(f"{path}: expected a line of column names, found an empty file")


def stage(source: Path, columns: Mapping[str, str | int], dialect: Dialect, header: bool, into: Path) -> None:
    """Writes the rows of a file, or of all files in a folder, to a Parquet file with the columns of PLACE and a text
    column for each role.

    Args:
      source: a file, or a folder whose files are read in the order of their names; .parquet or delimited text, plain
        or gzipped.
      columns: role -> the column's name in the header, or its position from 1 where there is no header.
      dialect: how delimited text is written.
      header: whether the first record of delimited text names the columns.
      into: the Parquet file to write.

    Raises:
      StageError: there is no file, a file lacks a column, or the text has an unknown encoding.
    """
    schema = pa.schema([*PLACE, *((role, pa.string()) for role in columns)])
    with (
        pq.ParquetWriter(into, schema, compression="lz4") as writer,
        progress(what="reading", unit="row", scale=True) as bar,
    ):
        for number, path in enumerate(_files(source)):
            if path.suffix == ".parquet":
                batches = _parquet_rows(path, columns, dialect.delimiter)
            else:
                batches = _text_rows(path, columns, dialect, header)
            for rows in batches:
                place = {
                    "source": pa.repeat(path.as_posix(), rows.num_rows),
                    "source_number": pa.array(np.full(rows.num_rows, number, np.int32)),
                }
                arrays = {**place, **dict(zip(rows.column_names, rows.columns, strict=True))}
                writer.write_batch(pa.record_batch([arrays[name] for name in schema.names], schema=schema))
                bar.update(rows.num_rows)


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise StageError(f"{source}: expected a file or a folder of files, found nothing there")
    files = sorted(path for path in source.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise StageError(f"{source}: expected at least one file in the folder, found none")
    return files


def _text_rows(
    path: Path, columns: Mapping[str, str | int], dialect: Dialect, header: bool
) -> Iterator[pa.RecordBatch]:
    positions: dict[str, int] | None = None
    expected_fields = 0
    try:
        for records in read_records(path, dialect):
            skip = 0
            if positions is None:
                expected_fields = int(records.num_fields[0])
                first = records.fields.slice(0, expected_fields).to_pylist()
                positions = _positions(path, columns, first if header else list(range(1, expected_fields + 1)))
                skip = int(header)
            yield _text_batch(records, positions, expected_fields).slice(skip)
    except LookupError:
        raise StageError(f"{path}: expected an encoding that Python knows, found '{dialect.encoding}'") from None
    except EOFError:
        raise StageError(f"{path}: the gzip stream ends early; copy the file again") from None
    if positions is None:
        raise StageError(f"{path}: expected rows, found an empty file")


def _positions(path: Path, columns: Mapping[str, str | int], found: Sequence[str | int]) -> dict[str, int]:
    for role, column in columns.items():
        if found.count(column) != 1:
            wanted = f"one column {column!r} for {role}"
            listed = ", ".join(str(name) for name in found)
            raise StageError(f"{path}: line 1: expected {wanted} (ingest in params.yaml), found: {listed}")
    return {role: found.index(column) for role, column in columns.items()}


def _text_batch(records: Records, positions: Mapping[str, int], expected_fields: int) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "line": records.line,
            "raw": records.raw,
            "has_all_fields": records.num_fields == expected_fields,
            "misquoted": records.misquoted,
            **{role: records.column(position, expected_fields) for role, position in positions.items()},
        }
    )


def _parquet_rows(path: Path, columns: Mapping[str, str | int], delimiter: str) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file as text; a row's line is its number from 1, its raw text the joined roles."""
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        positions = _positions(path, columns, names if _are_names(columns) else list(range(1, len(names) + 1)))
        wanted = {role: names[position] for role, position in positions.items()}
        for role, name in wanted.items():
            kind = file.schema_arrow.field(name).type
            if role.endswith(("_id", "_type")) and not (_is_text(kind) or pa.types.is_integer(kind)):
                raise StageError(f"{path}: column {name}: expected text or integers for {role}, found {kind}")
        line = 1
        for batch in file.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(wanted.values()))):
            texts = {role: pc.cast(batch[name], pa.string()) for role, name in wanted.items()}
            yield pa.record_batch(
                {
                    "line": np.arange(line, line + batch.num_rows),
                    "raw": pc.binary_join_element_wise(
                        *texts.values(), delimiter, null_handling="replace", null_replacement=""
                    ),
                    "has_all_fields": pa.repeat(True, batch.num_rows),
                    "misquoted": pa.repeat(False, batch.num_rows),
                    **texts,
                }
            )
            line += batch.num_rows


def _are_names(columns: Mapping[str, str | int]) -> bool:
    return all(isinstance(column, str) for column in columns.values())


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value))
