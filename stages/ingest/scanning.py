"""The structure of a buffer of delimited text: where its lines, records and fields end."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.ingest.quoting import NEWLINE, NO_PLACES, RETURN, quoting_of
from stages.ingest.records import Dialect, Records


class Scan(NamedTuple):
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
        both: NDArray[np.bool_] = (last == NEWLINE) & (before == RETURN) & (ends > 1)
        return both

    def records(self, line: int) -> tuple[Records, int]:
        """The records if the first line has the number `line`, and the number of physical lines."""
        last_lines = np.searchsorted(self.line_ends, self.record_ends)
        first_lines = np.concatenate([[0], last_lines + 1])[: len(last_lines)]
        misquoted = np.zeros(len(last_lines), np.bool_)
        misquoted[np.searchsorted(first_lines, self.misquoted)] = True
        records = Records(
            line + first_lines,
            last_lines - first_lines + 1,
            self._strings(self.record_ends, NO_PLACES),
            np.diff(np.searchsorted(self.field_ends, self.record_ends), prepend=-1),
            self._strings(self.field_ends, self.dropped),
            misquoted,
        )
        return records, len(self.line_ends)

    def _strings(self, ends: NDArray[np.int64], dropped: NDArray[np.int64]) -> pa.StringArray:
        """The texts between consecutive ends, less the delimiter or line end at the end of each, and less `dropped`."""
        keep = np.ones(len(self.data), np.bool_)
        keep[ends - 1] = False
        kept = ends - np.arange(1, len(ends) + 1)
        if len(dropped):
            keep[dropped] = False
            kept -= np.searchsorted(dropped, ends)
        if (crlf := self.crlf(ends)).any():
            keep[ends[crlf] - 2] = False
            kept -= np.cumsum(crlf)
        offsets = np.concatenate([[0], kept]).astype(np.int32)
        return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(self.data[keep]))


def scanned(data: NDArray[np.uint8], dialect: Dialect, final: bool) -> Scan:
    """Finds the whole records that a buffer starts with; in the final buffer all are whole."""
    line_end = data == NEWLINE
    if (returned := data == RETURN).any():
        returned[:-1] &= ~line_end[1:]
        line_end |= returned
    line_ends = np.flatnonzero(line_end) + 1
    data = data[: line_ends[-1] if len(line_ends) else 0]
    line_end = line_end[: len(data)]
    quoting = quoting_of(data, line_ends, dialect, final)
    data, line_end = data[: quoting.used], line_end[: quoting.used]
    separator = line_end | (data == ord(dialect.delimiter))
    if quoting.inside is not None:
        outside = ~quoting.inside[: quoting.used]
        line_end &= outside
        separator &= outside
    line_ends = line_ends[: np.searchsorted(line_ends, quoting.used, side="right")]
    record_ends, field_ends = np.flatnonzero(line_end) + 1, np.flatnonzero(separator) + 1
    return Scan(data, line_ends, record_ends, field_ends, quoting.dropped, quoting.misquoted)
