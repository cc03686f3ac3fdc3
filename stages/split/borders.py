"""The row at a rank in an order, found by counts of ranges of values rather than by sorting all rows.

A window over all rows has all of them in the memory of one process. The numbers of rows of some thousand ranges say in
which range the rank lies, and only the rows of this range are sorted.
"""

from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir
import numpy as np
from ibis import _
from numpy.typing import NDArray

from stages.split.sizes import Sizes
from towerline.tables import expressions

# The rows of a range of draws have these first hexadecimal digits in common, which makes 65,536 ranges.
PREFIX = _.draw.substr(0, 4)
TIME_RANGES = 65_536

Border = tuple[str, int, int]
ORDER = ("draw", "user_index", "item_index")


def drawn_sets(rows: ir.Table, sizes: Sizes) -> ir.StringValue:
    """The set of each row by its draw: first the training set, then the test set, then the validation set.

    Rows beyond the sizes have none.
    """
    counts = Counts.of(rows, PREFIX)
    return ibis.cases(*((before(drawn_at(rows, counts, end)), name) for name, end in sizes.ends().items()))


def drawn_at(rows: ir.Table, counts: "Counts", rank: int) -> Border | None:
    """draw, user_index and item_index of the row at a rank from 0 in their order; None beyond the last row.

    Args:
      rows: in any order.
      counts: of the rows by PREFIX.
      rank: from 0.
    """
    if rank >= counts.total:
        return None
    prefix, rest = counts.at(rank)
    in_range = rows.filter(prefix == PREFIX).select(ORDER).order_by(ORDER).to_pyarrow()
    row = in_range.slice(rest, 1).to_pylist()[0]
    return row["draw"], row["user_index"], row["item_index"]


def before(border: Border | None) -> ir.BooleanValue:
    """True for rows that come before a border of drawn_at(); all do where there is none."""
    if border is None:
        return ibis.literal(True)
    draw, user, item = border
    same_user = (_.user_index == user) & (_.item_index < item)
    return (_.draw < draw) | ((_.draw == draw) & ((_.user_index < user) | same_user))


def time_at(rows: ir.Table, rank: int) -> int | None:
    """The timestamp of the row at a rank from 0 in ascending order of time; None where there is no such row."""
    if not 0 <= rank < expressions.count_of(rows):
        return None
    bounds = rows.agg(first=_.timestamp.min(), last=_.timestamp.max()).to_pyarrow().to_pylist()[0]
    width = (bounds["last"] - bounds["first"]) // TIME_RANGES + 1
    number_of_range = ((_.timestamp - bounds["first"]) // width).cast("int64")
    number, rest = Counts.of(rows, number_of_range).at(rank)
    return int(Counts.of(rows.filter(number_of_range == number), _.timestamp).at(rest)[0])


class Counts(NamedTuple):
    """The numbers of rows of ranges of values, for not too many ranges.

    Attributes:
      ranges: in ascending order.
      ends: [ranges] int64, the number of rows in each range and those before it.
    """

    ranges: list[Any]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, rows: ir.Table, range_of_row: ir.Value) -> "Counts":
        """Counts the rows by range."""
        counts = rows.group_by(range=range_of_row).agg(number=_.count()).order_by("range").to_pyarrow()
        return cls(counts["range"].to_pylist(), np.cumsum(counts["number"].to_numpy()))

    @property
    def total(self) -> int:
        """The number of rows."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def at(self, rank: int) -> tuple[Any, int]:
        """The range in which a rank lies, from 0 and below the total, and the rank within the range."""
        place = int(np.searchsorted(self.ends, rank, side="right"))
        return self.ranges[place], rank - (int(self.ends[place - 1]) if place else 0)
