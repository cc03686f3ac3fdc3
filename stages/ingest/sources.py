"""The user's raw files as one table of text: the place of each row, its raw text, and one column a role.

Delimited text and Parquet come out alike, so that the stage that reads them says once what happens to a row.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.ingest.delimited import Dialect, Records, read_records
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import progress
from towerline.raw.files import RawFile, errors_of, identified
from towerline.raw.names import plain, rank, spellings

PLACE = pa.schema(
    [
        ("source", pa.string()),
        ("source_number", pa.int32()),
        ("line", pa.int64()),
        ("num_lines", pa.int64()),
        ("raw", pa.string()),
        ("has_all_fields", pa.bool_()),
        ("misquoted", pa.bool_()),
    ]
)
# Features of items are one column, since their names are the user's and may be any text: a database would take "Year"
# and "year" for the same column, and its own names could be among them.
FEATURES = pa.field("features", pa.map_(pa.string(), pa.string()))

BATCH_ROWS = 100_000
# A header is shown in messages up to this length.
SHOWN_CHARACTERS = 200


class Layout(NamedTuple):
    """How rows are read.

    Attributes:
      columns: role -> the column's name in the header, or its position from 1 where there is no header.
      dialect: how delimited text is written.
      header: whether the first record of delimited text names the columns.
      timestamp_format: what a timestamp is, where one of the roles is `timestamp`.
      features: whether the columns of no role are features.
    """

    columns: Mapping[str, str | int]
    dialect: Dialect = Dialect()
    header: bool = True
    timestamp_format: str | None = None
    features: bool = False

    @property
    def setting(self) -> str:
        """The setting that names the files."""
        return "ingest.items" if self.features else "ingest.source"


class _Names(NamedTuple):
    """The names of the columns of a file, or its first row where it has no header.

    Attributes:
      path: of the file.
      names: one a column.
      line: the line in text, None for Parquet, which has names in any case.
    """

    path: Path
    names: Sequence[str]
    line: int | None

    @property
    def place(self) -> str:
        """The file, and the line where it is text."""
        return _place(self.path, self.line)


def _place(path: Path, line: int | None) -> str:
    return str(path) if line is None else f"{path}: line {line}"


def run_propose(*paths: str | Path) -> str:
    """The advice to have settings proposed for files."""
    return f"run python -m towerline propose {shlex.join(map(str, paths))}"


def stage_nothing(layout: Layout, into: Path) -> None:
    """Writes a file as stage() does, without rows."""
    pq.write_table(_schema(layout).empty_table(), into)


def _schema(layout: Layout) -> pa.Schema:
    roles = [pa.field(role, pa.string()) for role in layout.columns]
    return pa.schema([*PLACE, *roles, *([FEATURES] if layout.features else [])])


def stage(source: Path, layout: Layout, into: Path) -> None:
    """Writes the rows of a file, or of all files in a folder, to a Parquet file with the columns of PLACE and a text
    column for each role, and with FEATURES where the layout has them.

    Args:
      source: a file, or a folder whose files are read in the order of their names; delimited text or Parquet, plain or
        gzipped.
      layout: how it is read.
      into: the Parquet file to write.

    Raises:
      StageError: there is no file, a file cannot be read, or it lacks a column.
    """
    schema = _schema(layout)
    with (
        formats.naming(into),
        pq.ParquetWriter(into, schema, compression="lz4") as writer,
        progress(what="reading", unit="row", scale=True) as bar,
    ):
        for number, path in enumerate(_files(source, layout.setting)):
            file = identified(path)
            for rows in _parquet_rows(file, layout, into.parent) if file.parquet else _text_rows(file, layout):
                place = {
                    "source": pa.repeat(path.as_posix(), rows.num_rows),
                    "source_number": pa.array(np.full(rows.num_rows, number, np.int32)),
                }
                arrays = {**place, **dict(zip(rows.column_names, rows.columns, strict=True))}
                writer.write_batch(pa.record_batch([arrays[name] for name in schema.names], schema=schema))
                bar.update(rows.num_rows)


def _files(source: Path, setting: str) -> list[Path]:
    """The file, or the files of the folder by name, but for those that Spark and Hadoop hide (_SUCCESS, .part.crc)."""
    if not source.exists():
        raise StageError(f"{source}: expected the file or folder that {setting} names, found none; correct {setting}")
    if not source.is_dir():
        return [source]
    found = sorted(path for path in source.iterdir() if not path.name.startswith((".", "_")))
    if not found:
        raise StageError(
            f"{source}: expected at least one file in the folder that {setting} names, found none whose name does not "
            "begin with a dot or an underscore"
        )
    for path in found:
        if path.is_dir():
            raise StageError(f"{path}: expected only files in {source}, found a folder; move it or its files")
    return found


class _Columns(NamedTuple):
    """Where the columns of a file are.

    Attributes:
      roles: role -> position from 0.
      features: name -> position from 0, of the columns of no role.
    """

    roles: dict[str, int]
    features: dict[str, int]

    @classmethod
    def found(cls, header: _Names, layout: Layout) -> "_Columns":
        """Finds the columns of a layout among the names in a header.

        Raises:
          StageError: a column is missing, or there twice, or a feature has no name.
        """
        place, names = header.place, header.names
        roles = {role: _position(role, column, header, layout) for role, column in layout.columns.items()}
        if not layout.features:
            return cls(roles, {})
        rest = [position for position in range(len(names)) if position not in roles.values()]
        for position in rest:
            if not names[position].strip():
                raise StageError(
                    f"{place}: expected a name for each column, found none for column {position + 1}; name it, "
                    "or take it out (pandas writes one for its index unless to_csv has index=False)"
                )
            if names.count(names[position]) > 1:
                raise StageError(f"{place}: expected one column {names[position]!r}, found several; rename them")
        return cls(roles, {names[position]: position for position in rest})


def _position(role: str, column: str | int, header: _Names, layout: Layout) -> int:
    names = header.names
    if isinstance(column, int):
        if column <= len(names):
            return column - 1
    elif names.count(column) == 1:
        return names.index(column)
    wanted = f"a column {column}" if isinstance(column, int) else f"one column {column!r}"
    raise StageError(
        f"{header.place}: expected {wanted} for {role}, found {_listed(names)}{_advice(role, header, layout)}"
        f"{_advice_to_propose(header.path, layout)}"
    )


def _advice_to_propose(path: Path, layout: Layout) -> str:
    # Settings are proposed for interactions; an item table alone has none.
    return "" if layout.features else f", or {run_propose(path)}"


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"one column {names[0][:SHOWN_CHARACTERS]!r}"
    return f"{len(names)} columns: {', '.join(names)[:SHOWN_CHARACTERS]}"


def _advice(role: str, header: _Names, layout: Layout) -> str:
    """The setting to change where a role's column is missing."""
    names, text = header.names, header.line is not None
    if text and len(names) == 1:
        # A colon is more often part of a name, as in user_id:token, than a delimiter.
        marks = [mark for mark in "\t;|,:" if mark in names[0] and mark != layout.dialect.delimiter]
        if marks and names[0].replace("\t", "").isprintable():
            found, set_one = ('"\\t"' if mark == "\t" else f"'{mark}'" for mark in (marks[0], layout.dialect.delimiter))
            both = f", for both files, or write the table with {set_one}" if layout.features else ""
            return f": set ingest.delimiter to {found}{both}"
    if text and layout.header and any(name.strip().isdecimal() for name in names):
        return "; if line 1 is a row, set ingest.header to false and ingest.columns to positions"
    wanted = layout.columns[role]
    alike = [name for name in names if isinstance(wanted, str) and plain(wanted) in spellings(name)]
    if layout.features:
        return f"; rename {alike[0]!r}" if alike else "; add it"
    if alike:
        return f"; set ingest.columns.{role} to {alike[0]!r}"
    optional = "" if role.endswith("_id") else ", or to null where the data has none"
    return f"; set ingest.columns.{role} to the one that holds it{optional}"


def _text_rows(file: RawFile, layout: Layout) -> Iterator[pa.RecordBatch]:
    columns: _Columns | None = None
    expected_fields = 0
    with errors_of(file.path), file.open() as text:
        for records in read_records(text, layout.dialect):
            skip = 0
            if columns is None:
                if layout.header:
                    _check_header(file.path, records, layout)
                expected_fields = int(records.num_fields[0])
                first: list[str] = records.fields.slice(0, expected_fields).to_pylist()
                columns = _Columns.found(_Names(file.path, first, int(records.line[0])), layout)
                if not layout.header:
                    _check_first_row(
                        file.path,
                        int(records.line[0]),
                        {role: first[position] for role, position in columns.roles.items()},
                    )
                skip = int(layout.header)
            yield _text_batch(records, columns, expected_fields, layout).slice(skip)
    if columns is None:
        raise StageError(f"{file.path}: expected rows, found nothing but blank lines")


def _check_first_row(path: Path, line: int, roles: Mapping[str, str]) -> None:
    """Raises StageError if the first row of a file without a header holds usual names of columns as its ids."""
    if all(rank(role, roles[role]) is not None for role in ("user_id", "item_id")):
        raise StageError(
            f"{_place(path, line)}: expected a row, since ingest.header is false, found the names of columns: "
            f"{', '.join(roles.values())[:SHOWN_CHARACTERS]}; set ingest.header to true, and ingest.columns to names, "
            f"or {run_propose(path)}"
        )


def _check_header(path: Path, records: Records, layout: Layout) -> None:
    """Raises StageError if the first record cannot be the names of columns."""
    expected = f"{_place(path, int(records.line[0]))}: expected the names of the columns, found"
    advice = _advice_to_propose(path, layout)
    if records.misquoted[0]:
        raise StageError(f"{expected} a quote that is not closed; correct it, or set ingest.quote{advice}")
    if "\0" in records.raw[0].as_py():
        raise StageError(
            f"{expected} binary data; if it is text in another encoding, set ingest.encoding, perhaps to utf-16{advice}"
        )


def _text_batch(records: Records, columns: _Columns, expected_fields: int, layout: Layout) -> pa.RecordBatch:
    arrays = {role: records.column(position, expected_fields) for role, position in columns.roles.items()}
    misquoted = records.misquoted | _swallows_rows(arrays, records, expected_fields, layout.dialect.delimiter)
    if layout.features:
        values = {name: records.column(position, expected_fields) for name, position in columns.features.items()}
        arrays[FEATURES.name] = _features(values, len(records.line))
    return pa.record_batch(
        {
            "line": records.line,
            "num_lines": records.num_lines,
            "raw": records.raw,
            "has_all_fields": records.num_fields == expected_fields,
            "misquoted": misquoted,
            **arrays,
        }
    )


def _swallows_rows(
    roles: Mapping[str, pa.Array], records: Records, expected_fields: int, delimiter: str
) -> NDArray[np.bool_]:
    """[records] bool: whether a role's text spans lines and has as many delimiters as whole rows on these lines have.

    Two stray quotes in the same column, on different lines, make such a text of all rows between them.
    """
    found = np.zeros(len(records.line), np.bool_)
    spanning = np.flatnonzero((records.num_lines > 1) & (records.num_fields == expected_fields))
    for texts in roles.values() if len(spanning) and expected_fields > 1 else ():
        for row, text in zip(spanning, texts.take(pa.array(spanning)).to_pylist(), strict=True):
            line_ends = len(text.splitlines()) - 1
            found[row] |= line_ends > 0 and text.count(delimiter) >= line_ends * (expected_fields - 1)
    return found


def _features(values: Mapping[str, pa.Array], num_rows: int) -> pa.MapArray:
    """[rows] maps of the columns' names to their values, in the order of the columns."""
    offsets = np.arange(num_rows + 1, dtype=np.int32) * len(values)
    names = pa.array(list(values) * num_rows, pa.string())
    column_by_column = pa.concat_arrays([pa.array([], pa.string()), *values.values()])
    row_by_row = np.arange(num_rows * len(values)).reshape(len(values), num_rows).T.ravel()
    return pa.MapArray.from_arrays(offsets, names, column_by_column.take(pa.array(row_by_row)))


def _parquet_rows(file: RawFile, layout: Layout, folder: Path) -> Iterator[pa.RecordBatch]:
    """Rows of a Parquet file as text; a row's line is its number from 1, its raw text the joined roles."""
    path = file.path
    with errors_of(path), pq.ParquetFile(file.unpacked(folder)) as parquet:
        schema = parquet.schema_arrow
        columns = _Columns.found(_Names(path, schema.names, None), layout)
        for role, position in columns.roles.items():
            _check_type(path, role, schema.field(position), layout.timestamp_format)
        for position in columns.features.values():
            _check_type(path, "a feature", schema.field(position), None)
        line = 1
        wanted = {schema.names[position] for position in (*columns.roles.values(), *columns.features.values())}
        for batch in parquet.iter_batches(BATCH_ROWS, columns=sorted(wanted)):
            texts = {role: _as_text(batch[schema.names[position]]) for role, position in columns.roles.items()}
            arrays = dict(texts)
            if layout.features:
                values = {name: _as_text(batch[name]) for name in columns.features}
                arrays[FEATURES.name] = _features(values, batch.num_rows)
            yield pa.record_batch(
                {
                    "line": np.arange(line, line + batch.num_rows),
                    "num_lines": np.ones(batch.num_rows, np.int64),
                    "raw": pc.binary_join_element_wise(
                        *texts.values(), layout.dialect.delimiter, null_handling="replace", null_replacement=""
                    ),
                    "has_all_fields": pa.repeat(True, batch.num_rows),
                    "misquoted": pa.repeat(False, batch.num_rows),
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
    time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    expected = f"{path}: column {column.name!r}: expected"
    if role == "timestamp":
        if time and timestamp_format != "iso8601":
            raise StageError(f"{expected} numbers, found {kind}; set ingest.timestamp_format to iso8601")
        if number and timestamp_format == "iso8601":
            raise StageError(f"{expected} times, found {kind}; set ingest.timestamp_format to seconds or milliseconds")
    allowed = {
        "rating": (text or number, "numbers or text"),
        "timestamp": (text or number or time, "numbers, times or text"),
        "split": (text, "text"),
        "a feature": (text or number or time or pa.types.is_boolean(kind), "text, numbers or times"),
    }
    fits, wanted = allowed.get(role, (text or whole, "text or integers"))
    if not fits:
        # pandas makes floats of integers where one is missing.
        advice = "; write it with .astype('Int64') or .astype('string')" if number and role not in allowed else ""
        raise StageError(f"{expected} {wanted} for {role}, found {kind}{advice}")


def _is_text(kind: pa.DataType) -> bool:
    # Some programs write text as bytes without a note that it is text.
    types = pa.types
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
