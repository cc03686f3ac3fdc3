"""The raw files of the user as one table of text.

Delimited text and Parquet come out alike, so that the reasons for which a row is refused do not depend on the format.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.ingest.columns import Layout
from stages.ingest.parquet_rows import parquet_rows
from stages.ingest.staging import schema_of
from stages.ingest.text_rows import text_rows
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.terminal import progress
from towerline.raw.files import RawFile, errors_of, files_in, identified

# Bytes at the start of a text file whose lines are counted, and how much smaller gzip makes a table of ids.
COUNTED_BYTES, GZIP_FACTOR = 1 << 18, 4
# The columns whose values are few. Of the others, looking for repeated values takes longer than writing them.
REPEATED_TEXTS = ["source", "problem"]


def write_staged_rows(source: Path, layout: Layout, into: Path) -> None:
    """Writes the rows of a file, or of all files in a folder, to a Parquet file with the columns of schema_of().

    Args:
      source: a file, or a folder whose files are read in the order of their names; delimited text or Parquet, plain or
        gzipped.
      layout: how it is read.
      into: the Parquet file to write.

    Raises:
      StageError: there is no file, a file cannot be read, or it lacks a column.
    """
    schema = schema_of(layout)
    with (
        formats.naming(into),
        pq.ParquetWriter(
            into, schema, compression="lz4", use_dictionary=REPEATED_TEXTS, write_statistics=False
        ) as writer,
        progress(what="reading", unit="row", scale=True) as bar,
    ):
        for number, path in enumerate(_files(source, layout.setting)):
            file = identified(path)
            for rows in parquet_rows(file, layout, into.parent) if file.parquet else text_rows(file, layout):
                place = {
                    "source": pa.repeat(path.as_posix(), rows.num_rows),
                    "source_number": pa.array(np.full(rows.num_rows, number, np.int32)),
                }
                arrays = {**place, **dict(zip(rows.column_names, rows.columns, strict=True))}
                writer.write_batch(pa.record_batch([arrays[name] for name in schema.names], schema=schema))
                bar.update(rows.num_rows)


def write_no_rows(layout: Layout, into: Path) -> None:
    """Writes a file as write_staged_rows() does, without rows."""
    pq.write_table(schema_of(layout).empty_table(), into)


class Guess(NamedTuple):
    """The size of the rows of a source, which is known of Parquet files, and guessed from the first lines of text.

    Attributes:
      num_rows: of all files.
      width: mean number of bytes of a row, of the file where it is greatest.
    """

    num_rows: int
    width: int


def guessed(source: Path, setting: str) -> Guess:
    """The size of the rows of a source; the setting is the one that names it."""
    guesses = [_guessed(identified(path)) for path in _files(source, setting)]
    return Guess(sum(guess.num_rows for guess in guesses), max(guess.width for guess in guesses))


def _guessed(file: RawFile) -> Guess:
    if file.parquet and not file.gzipped:
        with errors_of(file.path):
            return Guess(formats.num_rows(file.path), formats.row_width(file.path))
    with errors_of(file.path), file.open() as opened:
        start = opened.read(COUNTED_BYTES)
    size = file.path.stat().st_size * (GZIP_FACTOR if file.gzipped else 1)
    lines = max(start.count(end) for end in (b"\n", b"\r"))
    return Guess(size * lines // max(1, len(start)), len(start) // max(1, lines))


def _files(source: Path, setting: str) -> list[Path]:
    """The file, or the files of the folder."""
    if not source.exists():
        raise StageError(f"{source}: expected the file or folder that {setting} names, found none; correct {setting}")
    if not source.is_dir():
        return [source]
    paths = files_in(source)
    if not paths:
        raise StageError(
            f"{source}: expected at least one file in the folder that {setting} names, found none whose name does not "
            "begin with a dot or an underscore"
        )
    for path in paths:
        if path.is_dir():
            raise StageError(f"{path}: expected only files in {source}, found a folder; move it or its files")
    return paths
