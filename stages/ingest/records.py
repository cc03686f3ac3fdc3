"""Records of delimited text, and how the text is written."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


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
