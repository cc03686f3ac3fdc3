"""Kinds of raw files, known by their first bytes and not by their names, and errors of one line for each."""

import codecs
import errno
import gzip
import os
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import pyarrow as pa

from towerline.pipeline.errors import StageError

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_PARQUET_SUFFIXES = {".parquet", ".parq", ".pq"}
# Other formats of tables. Read as text, they would end in an error that does not name the format.
_OTHERS = {
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"SQLite format 3\x00": "an SQLite database",
    b"ARROW1": "an Arrow or Feather file",
    b"Obj\x01": "an Avro file",
    b"ORC": "an ORC file",
    b"\x89HDF": "an HDF5 file",
    b"PARE": "an encrypted Parquet file",
    b"%PDF": "a PDF file",
    b"{\\rtf": "a text document (RTF)",
}
# Texts that are not tables, by their start after a byte order mark and spaces. An id may begin with a brace or bracket.
_OTHER_TEXTS = {
    rb"\{\s*[\"'][^\"']*[\"']\s*:|\[\s*[\[{]": "JSON",
    rb"(?i)<(!doctype|html|head|body|table|\?xml)\b": "HTML or XML",
}
_START_BYTES = 1024


class LineTooLongError(ValueError):
    """A line is longer than a line of a table can be."""


class RawFile(NamedTuple):
    """A file of rows.

    Attributes:
      path: path of the file.
      parquet: whether it is Parquet, else delimited text.
      gzipped: whether either is compressed with gzip.
    """

    path: Path
    parquet: bool
    gzipped: bool

    def open(self) -> BinaryIO:
        """The uncompressed bytes."""
        return cast(BinaryIO, gzip.open(self.path)) if self.gzipped else self.path.open("rb")

    def unpacked(self, folder: Path) -> Path:
        """The path of the uncompressed file, which is written to the folder if there is none."""
        if not self.gzipped:
            return self.path
        into = folder / "unpacked.parquet"
        with self.open() as packed, into.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        return into


def identified(path: Path) -> RawFile:
    """Looks at the first bytes of a file.

    Raises:
      StageError: the file is missing, empty, damaged, or neither delimited text nor Parquet, plain or gzipped.
    """
    if path.exists() and not path.is_file():
        raise StageError(f"{path}: expected a file, found {'a folder' if path.is_dir() else 'something else'}")
    with errors_of(path):
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
        gzipped = start.startswith(_GZIP)
        if gzipped:
            with gzip.open(path) as file:
                start = file.read(_START_BYTES)
    if not start:
        raise StageError(f"{path}: expected rows, found an empty file")
    if (other := _other_kind(start)) is not None:
        raise StageError(
            f"{path}: expected delimited text or Parquet, plain or gzipped, found {other}; unpack it, or convert it to "
            "CSV or Parquet"
        )
    parquet = start.startswith(_PARQUET)
    if not parquet and _PARQUET_SUFFIXES & {suffix.lower() for suffix in path.suffixes[-2:]}:
        raise StageError(
            f"{path}: expected Parquet, as its name says, found a file that starts with {start[:20]!r}; rename "
            "delimited text to .csv, or write the file again"
        )
    return RawFile(path, parquet, gzipped)


def files_in(folder: Path) -> list[Path]:
    """The entries of a folder by name, without those that Spark and Hadoop hide (_SUCCESS, .part.crc).

    Raises:
      StageError: a name is not valid UTF-8.
    """
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith((".", "_")))
    for path in paths:
        check_name(path)
    return paths


def check_name(path: Path) -> None:
    """Raises StageError if a path is not valid UTF-8, and so cannot stand in a table or in params.yaml."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise StageError(f"{path}: expected a name in UTF-8, found other bytes; rename it") from None


def _other_kind(start: bytes) -> str | None:
    """The kind of a file by its first bytes, if it is known not to be a table that can be read."""
    for magic, name in {**_OTHERS, _GZIP: "a file that is gzipped twice"}.items():
        if start.startswith(magic):
            return name
    text = start.removeprefix(codecs.BOM_UTF8).lstrip()
    return next((name for pattern, name in _OTHER_TEXTS.items() if re.match(pattern, text)), None)


@contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Turns errors of reading a file in the block into one line that names the file.

    Raises:
      StageError: the file cannot be read.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StageError(f"{path}: expected gzip, found {_reason(error)}; copy the file again") from None
    except UnicodeError as error:
        # "UTF-32 stream does not start with BOM": a mark of the byte order is wanted, and the file has none.
        name = str(error).partition(" ")[0].lower()
        raise StageError(
            f"{path}: {_reason(error)}; set ingest.encoding to {name}-le or {name}-be, or to another one such as utf-8"
        ) from None
    except LineTooLongError as error:
        raise StageError(f"{path}: {error}; is it delimited text in ingest.encoding?") from None
    except (OSError, pa.ArrowException) as error:
        # Arrow raises an OSError without a number for damaged pages.
        number = error.errno if isinstance(error, OSError) else None
        if number is None:
            raise StageError(f"{path}: expected whole Parquet, found {_reason(error)}; write the file again") from None
        # Other errors, such as a full disk, are not about the file that is read.
        if number not in (errno.EIO, errno.ENOENT, errno.EACCES, errno.EISDIR):
            raise
        raise StageError(f"{path}: {os.strerror(number)}") from None


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
