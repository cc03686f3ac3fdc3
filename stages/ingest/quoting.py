"""The meaning of the quotes in a buffer of delimited text: which ones open and close a field, and which are text.

Buffers whose quotes pair up are looked at with array arithmetic. In the others, only lines whose quotes do not pair up
by themselves are looked at one by one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.ingest.records import Dialect

NEWLINE, RETURN = ord("\n"), ord("\r")
# A record may span lines up to this size. Beyond it a quote counts as never closed, so that one stray quote in a large
# file does not have to be kept in memory up to the end of the file.
MAX_RECORD_BYTES = 1 << 18

NO_PLACES = np.zeros(0, np.int64)


class Quoting(NamedTuple):
    """The meaning of the quotes in a buffer.

    Attributes:
      inside: [bytes] bool, true from an opening quote up to the closing one; None where nothing is quoted.
      dropped, misquoted: as in stages.ingest.scanning.Scan.
      used: the number of bytes up to the first record that may go on beyond the buffer.
    """

    inside: NDArray[np.bool_] | None
    dropped: NDArray[np.int64]
    misquoted: NDArray[np.int64]
    used: int


def quoting_of(data: NDArray[np.uint8], line_ends: NDArray[np.int64], dialect: Dialect, final: bool) -> Quoting:
    """Finds the meaning of the quotes in a buffer.

    Args:
      data: [bytes] uint8, whole lines.
      line_ends: [lines] int64 offsets, each one past the last byte of a line's end.
      dialect: how the text is written.
      final: whether nothing follows the buffer.
    """
    position = np.flatnonzero(data == ord(dialect.quote)) if dialect.quote else NO_PLACES
    if not len(position):
        return Quoting(None, NO_PLACES, NO_PLACES, len(data))
    border = np.zeros(256, np.bool_)
    border[[NEWLINE, RETURN, ord(dialect.delimiter)]] = True
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
            return Quoting(inside, dropped[: np.searchsorted(dropped, used)], NO_PLACES, used)
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

    def quoting(self, final: bool) -> Quoting:
        """The meaning of all quotes, as quoting_of() returns it."""
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
        return Quoting(inside_mask, dropped[: np.searchsorted(dropped, used)], numbers, used)

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
