"""Rows of delimited text."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.ingest.columns import Columns, Layout, Names, check_first_row, check_header
from stages.ingest.delimited import read_records
from stages.ingest.records import Records
from stages.ingest.staging import FEATURES, features_of
from towerline.pipeline.errors import StageError
from towerline.raw.files import RawFile, errors_of

_LINE_END = re.compile(r"\r\n|\r|\n")


def text_rows(file: RawFile, layout: Layout) -> Iterator[pa.RecordBatch]:
    """Rows of a file of delimited text; a row's line is the one on which it starts.

    Raises:
      StageError: the file cannot be read, has nothing but blank lines, or lacks a column.
    """
    columns: Columns | None = None
    expected_fields = 0
    with errors_of(file.path), file.open() as text:
        for records in read_records(text, layout.dialect):
            skip = 0
            if columns is None:
                if layout.header:
                    check_header(file.path, records, layout)
                expected_fields = int(records.num_fields[0])
                first: list[str] = records.fields.slice(0, expected_fields).to_pylist()
                columns = Columns.found(Names(file.path, first, int(records.line[0])), layout)
                if not layout.header:
                    check_first_row(
                        file.path,
                        int(records.line[0]),
                        {role: first[position] for role, position in columns.roles.items()},
                    )
                skip = int(layout.header)
            yield _text_batch(records, columns, expected_fields, layout).slice(skip)
    if columns is None:
        raise StageError(f"{file.path}: expected rows, found nothing but blank lines")


def _text_batch(records: Records, columns: Columns, expected_fields: int, layout: Layout) -> pa.RecordBatch:
    arrays = {role: records.column(position, expected_fields) for role, position in columns.roles.items()}
    problems = {
        "quote not closed": records.misquoted,
        "wrong number of fields": records.num_fields != expected_fields,
        "a field holds whole rows": _swallows_rows(records, expected_fields, layout.dialect.delimiter),
    }
    if layout.features:
        values = {name: records.column(position, expected_fields) for name, position in columns.features.items()}
        arrays[FEATURES.name] = features_of(values, len(records.line))
    return pa.record_batch(
        {
            "line": records.line,
            "num_lines": records.num_lines,
            "raw": records.raw,
            "problem": pc.case_when(pc.make_struct(*problems.values()), *map(pa.scalar, problems)),
            **arrays,
        }
    )


def _swallows_rows(records: Records, expected_fields: int, delimiter: str) -> NDArray[np.bool_]:
    """[records] bool, true where the lines of a record are rows that two stray quotes have made one record."""
    swallowing = np.zeros(len(records.line), np.bool_)
    spanning = (records.num_lines > 1) & (records.num_fields == expected_fields) & (expected_fields > 1)
    fields: list[str] = records.filter(spanning).fields.to_pylist() if spanning.any() else []
    for number, row in enumerate(np.flatnonzero(spanning)):
        of_row = fields[number * expected_fields : (number + 1) * expected_fields]
        swallowing[row] = _are_rows(_delimiters_of_lines(of_row, delimiter), expected_fields - 1)
    return swallowing


def _delimiters_of_lines(fields: list[str], delimiter: str) -> list[int]:
    """Numbers of delimiters in the lines of a record, less those in fields of one line; without blank lines between."""
    counts = [0]
    for number, field in enumerate(fields):
        counts[-1] += number > 0
        first, *others = _LINE_END.split(field)
        if others:
            counts[-1] += first.count(delimiter)
            counts += [line.count(delimiter) for line in others[:-1] if line]
            counts.append(others[-1].count(delimiter))
    return counts


def _are_rows(delimiters: list[int], expected: int) -> bool:
    """True if the first line, the last one, and at least half of those between have as many delimiters as a row."""
    first, *between, last = delimiters
    return first == last == expected and 2 * between.count(expected) >= len(between)
