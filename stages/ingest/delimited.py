"""Delimited text as records: the line on which each starts, its raw text, and its fields, with nothing lost.

The dialect is that of RFC 4180 and of Python's csv module in strict mode: a quote opens a field only where a field
begins, a doubled quote within a quoted field is one quote, and a field may span lines. A quoted field that does not end
at a delimiter or a line end is misquoted: the line on which its record starts is a separate record, which the caller
refuses, and reading goes on with the next line. The result does not depend on how many characters are read at a time.
"""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from stages.ingest.quoting import NEWLINE, RETURN
from stages.ingest.records import Dialect, Records
from stages.ingest.scanning import scanned
from towerline.raw.files import LineTooLongError

BLOCK_CHARACTERS = 1 << 20
# A longer line is no line of a table, and would have to be kept in memory whole.
MAX_LINE_BYTES = 1 << 26

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_records(file: BinaryIO, dialect: Dialect) -> Iterator[Records]:
    """Yields the records of a file, block by block. Blank lines are counted as lines but are not records.

    Lines end with a line feed, a carriage return, or both. Bytes that are not valid in the encoding become U+FFFD, the
    replacement character, and so do surrogates, which utf-7 decodes. A byte order mark is dropped.

    Raises:
      LookupError: there is no such encoding, or it is none of text.
      UnicodeError: the encoding cannot decode the file at all, for instance utf-16 without a byte order mark.
      LineTooLongError: a line is longer than MAX_LINE_BYTES.
      OSError: the file cannot be read.
    """
    text = io.TextIOWrapper(file, encoding=dialect.encoding, errors="replace", newline="")
    line = 1
    rest = b""
    first = True
    while True:
        block = text.read(BLOCK_CHARACTERS)
        final = not block
        if first:
            block, first = block.removeprefix("\ufeff"), False
        while block.endswith("\r") and (more := text.read(1)):
            block += more
        rest += _utf8(block)
        if final and rest and rest[-1] not in (NEWLINE, RETURN):
            rest += b"\n"
        if rest:
            scan = scanned(np.frombuffer(rest, np.uint8), dialect, final)
            records, num_lines = scan.records(line)
            line += num_lines
            rest = rest[len(scan.data) :]
            if len(rest) > MAX_LINE_BYTES:
                raise LineTooLongError(f"line {line}: longer than {MAX_LINE_BYTES:,} bytes")
            records = records.filter(np.diff(scan.record_ends, prepend=0) > 1 + scan.crlf(scan.record_ends))
            if len(records.line):
                yield records
        if final:
            return


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()
