"""Delimited text as records: the line each starts on, its raw text, and its fields, with nothing lost.

RFC 4180 with what real files add to it: any encoding, any line ends, gzip, blank lines, stray quotes. A database's own
CSV reader would do for clean files, but it counts records instead of lines, and one quote that is never closed costs
it the rest of the file; here it costs its own line. The scan is array arithmetic over blocks, not a loop over rows.
"""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BLOCK_CHARACTERS = 1 << 20
# A quoted field may span lines, but one that is longer than this is taken for a quote that nobody closed.
MAX_RECORD_BYTES = 1 << 18

_NEWLINE = ord("\n")
_GZIP_MAGIC = b"\x1f\x8b"


class Dialect(NamedTuple):
    """How a file separates its fields: single ASCII characters; an empty quote means that nothing is quoted."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"


class Records(NamedTuple):
    """Consecutive records of a file.

    Attributes:
      line: [records] int64, the physical line a record starts on, from 1.
      raw: [records] text as it stands in the file, line end left out.
      num_fields: [records] int64.
      fields: [sum(num_fields)] text, the records' fields one after the other, quotes removed.
      misquoted: [records] bool: a field opens with a quote that is not closed at the field's end.
    """

    line: NDArray[np.int64]
    raw: pa.StringArray
    num_fields: NDArray[np.int64]
    fields: pa.StringArray
    misquoted: NDArray[np.bool_]

    def column(self, position: int, expected_fields: int) -> pa.Array:
        """The fields at `position` (from 0) of all records, null where a record has another number of fields."""
        first = np.cumsum(self.num_fields) - self.num_fields
        fits = self.num_fields == expected_fields
        return self.fields.take(pa.array(first + position, mask=~fits))

    def first(self, count: int) -> "Records":
        fields = self.fields.slice(0, int(self.num_fields[:count].sum()))
        return Records(
            self.line[:count], self.raw.slice(0, count), self.num_fields[:count], fields, self.misquoted[:count]
        )

    def without_blank_lines(self) -> "Records":
        """The same records less those of blank lines, which have one field, an empty one."""
        filled = pc.utf8_length(self.raw).to_numpy() > 0
        if filled.all():
            return self
        fields = self.fields.filter(pa.array(np.repeat(filled, self.num_fields)))
        return Records(
            self.line[filled],
            self.raw.filter(pa.array(filled)),
            self.num_fields[filled],
            fields,
            self.misquoted[filled],
        )


class _Scan(NamedTuple):
    """Offsets into a buffer, each one past the record's newline, the field's delimiter or newline, any newline."""

    record_ends: NDArray[np.int64]
    field_ends: NDArray[np.int64]
    newlines: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "_Scan":
        return cls(*(np.zeros(0, np.int64) for _ in cls._fields))


def read_records(path: Path, dialect: Dialect) -> Iterator[Records]:
    """Reads a file block by block; blank lines are counted as lines but are no records.

    Bytes that the encoding does not know become U+FFFD, the replacement character; a byte order mark is dropped.

    Raises:
      LookupError: no such encoding.
      OSError: the file cannot be read, or ends in the middle of its gzip stream.
    """
    expected_fields = 0
    line = 1
    rest = b""
    with _open(path) as binary:
        text = io.TextIOWrapper(binary, encoding=_without_mark(dialect.encoding), errors="replace", newline=None)
        while True:
            block = text.read(BLOCK_CHARACTERS)
            final = not block
            rest += block.encode("utf-8", errors="replace")
            if final and rest and not rest.endswith(b"\n"):
                rest += b"\n"
            while rest:
                records, used = _next_records(rest, line, expected_fields, dialect, final)
                if not used:
                    break
                line += rest.count(b"\n", 0, used)
                rest = rest[used:]
                records = records.without_blank_lines()
                if len(records.line):
                    expected_fields = expected_fields or int(records.num_fields[0])
                    yield records
            if final:
                return


def _open(path: Path) -> gzip.GzipFile | io.BufferedReader:
    with path.open("rb") as file:
        zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    return gzip.open(path, "rb") if zipped else path.open("rb")


def _without_mark(encoding: str) -> str:
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding


def _next_records(buffer: bytes, line: int, expected_fields: int, dialect: Dialect, final: bool) -> tuple[Records, int]:
    """The records that `buffer` starts with, and how many of its bytes they take; 0 where it needs more bytes.

    A record that spans lines and does not come out well, or that never ends, is the work of a stray quote: its first
    line becomes a record of its own in which quotes mean nothing, and reading goes on behind that line.
    """
    data = np.frombuffer(buffer, np.uint8)
    scan = _scan(data, dialect.delimiter, dialect.quote)
    if len(scan.record_ends):
        records = _records(data[: scan.record_ends[-1]], line, scan, dialect.quote)
        num_lines = np.diff(np.searchsorted(scan.newlines, scan.record_ends), prepend=-1)
        unwell = records.misquoted | (records.num_fields != (expected_fields or records.num_fields[0]))
        stray = (num_lines > 1) & unwell
        whole = int(np.argmax(stray)) if stray.any() else len(stray)
        if whole:
            return records.first(whole), int(scan.record_ends[whole - 1])
    elif (not final and len(buffer) <= MAX_RECORD_BYTES) or not len(scan.newlines):
        return _records(data[:0], line, _Scan.empty(), dialect.quote), 0
    used = int(scan.newlines[0])
    return _records(data[:used], line, _scan(data[:used], dialect.delimiter, quote=""), dialect.quote), used


def _scan(data: NDArray[np.uint8], delimiter: str, quote: str) -> _Scan:
    newline = data == _NEWLINE
    newlines = np.flatnonzero(newline) + 1
    separator = newline | (data == ord(delimiter))
    if quote and (quotes := data == ord(quote)).any():
        outside = np.bitwise_xor.accumulate(quotes) == 0
        newline &= outside
        separator &= outside
    return _Scan(np.flatnonzero(newline) + 1, np.flatnonzero(separator) + 1, newlines)


def _records(data: NDArray[np.uint8], line: int, scan: _Scan, quote: str) -> Records:
    field_ends = scan.field_ends[: np.searchsorted(scan.field_ends, len(data), side="right")]
    starts = np.concatenate([[0], scan.record_ends])[: len(scan.record_ends)]
    num_fields = np.diff(np.searchsorted(field_ends, scan.record_ends, side="right"), prepend=0)
    fields = _strings(data, field_ends)
    misquoted = np.zeros(len(starts), np.bool_)
    if quote and (data == ord(quote)).any():
        fields, unclosed = _unquoted(fields, quote)
        misquoted[np.repeat(np.arange(len(starts)), num_fields)[unclosed]] = True
    lines = line + np.searchsorted(scan.newlines, starts, side="right")
    return Records(lines, _strings(data, scan.record_ends), num_fields, fields, misquoted)


def _strings(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> pa.StringArray:
    """The texts between consecutive ends, without the separator that each ends on."""
    keep = np.ones(len(data), np.bool_)
    keep[ends - 1] = False
    offsets = np.concatenate([[0], ends - np.arange(1, len(ends) + 1)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data[keep]))


def _unquoted(fields: pa.StringArray, quote: str) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """The fields without the quotes around and doubled inside them; and which fields open a quote but leave it open."""
    opened = pc.starts_with(fields, quote)
    inner = pc.utf8_slice_codeunits(fields, 1, -1)
    stray = pc.match_substring(pc.replace_substring(inner, quote * 2, ""), quote)
    closed = pc.and_(pc.greater(pc.utf8_length(fields), 1), pc.and_not(pc.ends_with(fields, quote), stray))
    proper = pc.and_(opened, closed)
    plain = pc.if_else(proper, pc.replace_substring(inner, quote * 2, quote), fields)
    return plain, pc.and_not(opened, proper).to_numpy(zero_copy_only=False)
