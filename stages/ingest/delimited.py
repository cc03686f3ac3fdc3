"""Delimited text as records: the line on which each starts, its raw text, and its fields, with nothing lost.

The dialect is that of RFC 4180 and of Python's csv module in strict mode: a quote opens a field only where a field
begins, a doubled quote within a quoted field is one quote, and a field may span lines. A quoted field that does not end
at a delimiter or a line end is misquoted: the line on which its record starts is a separate record, which the caller
refuses, and reading goes on with the next line. The result does not depend on how many characters are read at a time.

Blocks are scanned with array arithmetic. Only lines whose quotes do not pair up by themselves are looked at one by one.
"""

import io
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from towerline.raw.files import LineTooLongError

BLOCK_CHARACTERS = 1 << 20
# A record may span lines up to this size. Beyond it a quote counts as never closed, so that one stray quote in a large
# file does not have to be kept in memory up to the end of the file.
MAX_RECORD_BYTES = 1 << 18
# A longer line is no line of a table, and would have to be kept in memory whole.
MAX_LINE_BYTES = 1 << 26

_SURROGATE = re.compile("[\ud800-\udfff]")
_NEWLINE, _RETURN = ord("\n"), ord("\r")


class Dialect(NamedTuple):
    """Delimiter and quote, ASCII characters, and the encoding; an empty quote means that nothing is quoted."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8"


class Records(NamedTuple):
    """Consecutive records of a file.

    Attributes:
      line: [records] int64, the physical line on which a record starts, from 1.
      num_lines: [records] int64, the number of physical lines that a record spans.
      raw: [records] text as it is in the file, without the line end.
      num_fields: [records] int64.
      fields: [sum(num_fields)] text, the records' fields one after the other, quotes removed.
      misquoted: [records] bool: a field opens with a quote that is not closed at the field's end.
    """

    line: NDArray[np.int64]
    num_lines: NDArray[np.int64]
    raw: pa.StringArray
    num_fields: NDArray[np.int64]
    fields: pa.StringArray
    misquoted: NDArray[np.bool_]

    def column(self, position: int, expected_fields: int) -> pa.Array:
        """The fields at `position` (from 0) of all records, null where a record has another number of fields."""
        first = np.cumsum(self.num_fields) - self.num_fields
        fits = self.num_fields == expected_fields
        return self.fields.take(pa.array(first + position, mask=~fits))

    def filter(self, chosen: NDArray[np.bool_]) -> "Records":
        """The records for which `chosen`, [records] bool, is true."""
        if chosen.all():
            return self
        return Records(
            self.line[chosen],
            self.num_lines[chosen],
            self.raw.filter(pa.array(chosen)),
            self.num_fields[chosen],
            self.fields.filter(pa.array(np.repeat(chosen, self.num_fields))),
            self.misquoted[chosen],
        )


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
        if final and rest and rest[-1] not in (_NEWLINE, _RETURN):
            rest += b"\n"
        if rest:
            scan = _scanned(np.frombuffer(rest, np.uint8), dialect, final)
            records, num_lines = _records(scan, line)
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


class _Scan(NamedTuple):
    """The structure of whole records at the start of a buffer.

    Attributes:
      data: [bytes] uint8, the records and nothing else.
      line_ends: [lines] int64 offsets, each one past the last byte of a physical line's end.
      record_ends: [records] int64, those of them that end a record.
      field_ends: [fields] int64 offsets, each one past a delimiter or past the last byte of a record's end.
      dropped: [any] int64 ascending, quotes that are not part of the fields' texts.
      misquoted: [any] int64 ascending numbers of the lines, from 0, that are misquoted records.
    """

    data: NDArray[np.uint8]
    line_ends: NDArray[np.int64]
    record_ends: NDArray[np.int64]
    field_ends: NDArray[np.int64]
    dropped: NDArray[np.int64]
    misquoted: NDArray[np.int64]

    def crlf(self, ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[ends] bool, true where the bytes before an end are a carriage return and a line feed."""
        last, before = self.data[ends - 1], self.data[np.maximum(ends - 2, 0)]
        both: NDArray[np.bool_] = (last == _NEWLINE) & (before == _RETURN) & (ends > 1)
        return both


class _Quoting(NamedTuple):
    """The meaning of the quotes in a buffer.

    Attributes:
      inside: [bytes] bool, true from an opening quote up to the closing one; None where nothing is quoted.
      dropped, misquoted: as in _Scan.
      used: the number of bytes up to the first record that may go on beyond the buffer.
    """

    inside: NDArray[np.bool_] | None
    dropped: NDArray[np.int64]
    misquoted: NDArray[np.int64]
    used: int


_NONE = np.zeros(0, np.int64)


def _scanned(data: NDArray[np.uint8], dialect: Dialect, final: bool) -> _Scan:
    """Finds the whole records that a buffer starts with; in the final buffer all are whole."""
    line_end = data == _NEWLINE
    if (returned := data == _RETURN).any():
        returned[:-1] &= ~line_end[1:]
        line_end |= returned
    line_ends = np.flatnonzero(line_end) + 1
    data = data[: line_ends[-1] if len(line_ends) else 0]
    line_end = line_end[: len(data)]
    quoting = _quoting(data, line_ends, dialect, final)
    data, line_end = data[: quoting.used], line_end[: quoting.used]
    separator = line_end | (data == ord(dialect.delimiter))
    if quoting.inside is not None:
        outside = ~quoting.inside[: quoting.used]
        line_end &= outside
        separator &= outside
    line_ends = line_ends[: np.searchsorted(line_ends, quoting.used, side="right")]
    record_ends, field_ends = np.flatnonzero(line_end) + 1, np.flatnonzero(separator) + 1
    return _Scan(data, line_ends, record_ends, field_ends, quoting.dropped, quoting.misquoted)


def _quoting(data: NDArray[np.uint8], line_ends: NDArray[np.int64], dialect: Dialect, final: bool) -> _Quoting:
    position = np.flatnonzero(data == ord(dialect.quote)) if dialect.quote else _NONE
    if not len(position):
        return _Quoting(None, _NONE, _NONE, len(data))
    border = np.zeros(256, np.bool_)
    border[[_NEWLINE, _RETURN, ord(dialect.delimiter)]] = True
    before, after = data[np.maximum(position - 1, 0)], data[position + 1]
    quotes = _Quotes(
        position, border[before] | (position == 0), border[after], after == ord(dialect.quote), before == data[position]
    )
    even = np.arange(len(position)) % 2 == 0
    if quotes.pair_up(even).all():
        inside = _between(data, position)
        ends = line_ends[~inside[line_ends - 1]]
        used = int(ends[-1]) if len(ends) else 0
        whole = used == len(data) or not final
        if whole and np.diff(ends, prepend=0, append=len(data)).max() <= MAX_RECORD_BYTES:
            dropped = position[~even | quotes.opens]
            return _Quoting(inside, dropped[: np.searchsorted(dropped, used)], _NONE, used)
    return _LineByLine(data, line_ends, quotes).quoting(final)


def _between(data: NDArray[np.uint8], toggles: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[bytes] bool, true from every other toggle up to the one after it."""
    inside = np.zeros(len(data), np.bool_)
    inside[toggles] = True
    return np.bitwise_xor.accumulate(inside)


class _Quotes(NamedTuple):
    """The quotes in a buffer, each [quotes].

    Attributes:
      position: int64 offsets, ascending.
      opens: bool, whether the quote is where a field may begin: after a delimiter, a line end, or nothing.
      closes: bool, whether it is before a delimiter or a line end.
      doubles: bool, whether it is before another quote.
      doubled: bool, whether it is after another quote.
    """

    position: NDArray[np.int64]
    opens: NDArray[np.bool_]
    closes: NDArray[np.bool_]
    doubles: NDArray[np.bool_]
    doubled: NDArray[np.bool_]

    def pair_up(self, even: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[quotes] bool: whether a quote is where it has to be if the even ones open a field and the others close it.

        The two quotes of a doubled one then close the field and open it again, which comes to the same.
        """
        return np.where(even, self.opens | self.doubled, self.closes | self.doubles)


class _LineByLine:
    """Quoting in a buffer where not all quotes pair up, in time linear in the size of the buffer.

    A line that starts outside of quotes is regular if its own quotes pair up, and plain if none of them is where a
    field begins. What the quotes of the other lines mean is found by walking over them.
    """

    def __init__(self, data: NDArray[np.uint8], line_ends: NDArray[np.int64], quotes: _Quotes) -> None:
        self.data, self.line_ends, self.quotes = data, line_ends, quotes
        # Of the lines that hold quotes: their numbers, and the border of their quotes.
        self.lines, first = np.unique(np.searchsorted(line_ends, quotes.position, side="right"), return_index=True)
        self.borders = [*first.tolist(), len(quotes.position)]
        counts = np.diff(self.borders)
        even = (np.arange(len(quotes.position)) - np.repeat(first, counts)) % 2 == 0
        regular = np.logical_and.reduceat(quotes.pair_up(even), first) & (counts % 2 == 0)
        plain = ~np.logical_or.reduceat(quotes.opens, first)
        self.odd_lines = np.flatnonzero(~regular & ~plain).tolist()
        self.toggles = np.repeat(regular, counts)
        self.dropped = self.toggles & (~even | quotes.opens)
        self.opens, self.closes, self.doubles = quotes.opens.tolist(), quotes.closes.tolist(), quotes.doubles.tolist()
        # Lines, by their position in self.lines, that are known to be inside of quotes at their end if they are so at
        # their start. Searches start further and further down, so that one interval is enough.
        self.passed = range(0)

    def quoting(self, final: bool) -> _Quoting:
        misquoted: list[int] = []
        used = len(self.data)
        next_line = 0
        for line in self.odd_lines:
            if line < next_line:
                continue
            next_line = line + 1
            inside = self._walk(line, inside=False)
            if inside is None:
                misquoted.append(line)
                continue
            if not inside:
                self._set(line, line)
                continue
            last = self._last_line(line, final)
            if last is None:
                misquoted.append(line)
            elif last == len(self.lines):
                used = self._start(line)
                break
            else:
                self._set(line, last)
                next_line = last + 1
        toggles, dropped = self.quotes.position[self.toggles], self.quotes.position[self.dropped]
        inside_mask = _between(self.data, toggles[: np.searchsorted(toggles, used)])
        numbers = self.lines[np.array(misquoted, np.int64)]
        return _Quoting(inside_mask, dropped[: np.searchsorted(dropped, used)], numbers, used)

    def _start(self, line: int) -> int:
        number = int(self.lines[line])
        return int(self.line_ends[number - 1]) if number else 0

    def _last_line(self, line: int, final: bool) -> int | None:
        """The line on which a record ends that starts on `line` and is inside of quotes at its end.

        None if the record is misquoted, len(self.lines) if it may go on beyond the buffer.
        """
        start = self._start(line)
        later = line + 1
        if later in self.passed:
            later = self.passed.stop
        else:
            self.passed = range(later, later)
        while later < len(self.lines):
            end = int(self.line_ends[self.lines[later]])
            if end - start > MAX_RECORD_BYTES:
                return None
            inside = self._walk(later, inside=True)
            if not inside:
                return None if inside is None else later
            later += 1
            self.passed = range(self.passed.start, later)
        return None if final or len(self.data) - start > MAX_RECORD_BYTES else len(self.lines)

    def _walk(
        self, line: int, inside: bool, toggles: list[int] | None = None, dropped: list[int] | None = None
    ) -> bool | None:
        """True if the end of a line is inside of quotes, None if the line is misquoted.

        Args:
          line: the position in self.lines.
          inside: whether its start is.
          toggles: receives the quotes that open and close a field.
          dropped: receives these and the first of each doubled quote.
        """
        toggles, dropped = [] if toggles is None else toggles, [] if dropped is None else dropped
        quote, stop = self.borders[line], self.borders[line + 1]
        while quote < stop:
            if inside and self.doubles[quote]:
                dropped.append(quote)
                quote += 2
                continue
            if inside and not self.closes[quote]:
                return None
            if inside or self.opens[quote]:
                inside = not inside
                toggles.append(quote)
                dropped.append(quote)
            quote += 1
        return inside

    def _set(self, first: int, last: int) -> None:
        """Takes over what the quotes of a record mean that starts on line `first` and ends on line `last`."""
        of_record = slice(self.borders[first], self.borders[last + 1])
        self.toggles[of_record] = self.dropped[of_record] = False
        toggles: list[int] = []
        dropped: list[int] = []
        inside: bool | None = False
        for line in range(first, last + 1):
            inside = self._walk(line, bool(inside), toggles, dropped)
        self.toggles[toggles] = True
        self.dropped[dropped] = True


def _records(scan: _Scan, line: int) -> tuple[Records, int]:
    """The records of a scan whose first line has the number `line`, and the number of physical lines."""
    last_lines = np.searchsorted(scan.line_ends, scan.record_ends)
    first_lines = np.concatenate([[0], last_lines + 1])[: len(last_lines)]
    misquoted = np.zeros(len(last_lines), np.bool_)
    misquoted[np.searchsorted(first_lines, scan.misquoted)] = True
    records = Records(
        line + first_lines,
        last_lines - first_lines + 1,
        _strings(scan, scan.record_ends, _NONE),
        np.diff(np.searchsorted(scan.field_ends, scan.record_ends), prepend=-1),
        _strings(scan, scan.field_ends, scan.dropped),
        misquoted,
    )
    return records, len(scan.line_ends)


def _strings(scan: _Scan, ends: NDArray[np.int64], dropped: NDArray[np.int64]) -> pa.StringArray:
    """The texts between consecutive ends, less the delimiter or line end that each ends with, and less `dropped`."""
    keep = np.ones(len(scan.data), np.bool_)
    keep[ends - 1] = False
    kept = ends - np.arange(1, len(ends) + 1)
    if len(dropped):
        keep[dropped] = False
        kept -= np.searchsorted(dropped, ends)
    if (crlf := scan.crlf(ends)).any():
        keep[ends[crlf] - 2] = False
        kept -= np.cumsum(crlf)
    offsets = np.concatenate([[0], kept]).astype(np.int32)
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(scan.data[keep]))
