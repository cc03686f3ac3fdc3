"""Rows of delimited text."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.ingest.columns import Columns, Layout, Names, check_first_row, check_header
from stages.ingest.delimited import Records, read_records
from stages.ingest.staging import FEATURES, features_of
from towerline.pipeline.errors import StageError
from towerline.raw.files import RawFile, errors_of


def text_rows(file: RawFile, layout: Layout) -> Iterator[pa.RecordBatch]:
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
    misquoted = records.misquoted | _swallows_rows(arrays, records, expected_fields, layout.dialect.delimiter)
    if layout.features:
        values = {name: records.column(position, expected_fields) for name, position in columns.features.items()}
        arrays[FEATURES.name] = features_of(values, len(records.line))
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
    """[records] bool, true where a role's text spans lines and has as many delimiters as whole rows there have.

    Two stray quotes in the same column, on different lines, make such a text of all rows between them.
    """
    swallowing = np.zeros(len(records.line), np.bool_)
    spanning = np.flatnonzero((records.num_lines > 1) & (records.num_fields == expected_fields))
    for texts in roles.values() if len(spanning) and expected_fields > 1 else ():
        for row, text in zip(spanning, texts.take(pa.array(spanning)).to_pylist(), strict=True):
            line_ends = len(text.splitlines()) - 1
            swallowing[row] |= line_ends > 0 and text.count(delimiter) >= line_ends * (expected_fields - 1)
    return swallowing
