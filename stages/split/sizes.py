"""Sizes of the sets, and sets of these sizes out of an order."""

from itertools import pairwise
from typing import NamedTuple

import ibis
import ibis.expr.types as ir

from stages.split.params import SplitParams
from towerline.pipeline.errors import StageError


class Sizes(NamedTuple):
    """The numbers of rows, items or users that the sets are to have."""

    train: int
    validation: int
    test: int

    def ends(self) -> dict[str, int]:
        """The rank at which each set ends, from 0, in the order in which the sets are taken from the ranks."""
        test_end = self.train + self.test
        return {"train": self.train, "test": test_end, "validation": test_end + self.validation}


class Shares(NamedTuple):
    """The shares of the rows, items or users that the sets are to have, which sum to at most 1."""

    train: float
    validation: float
    test: float

    def of(self, number: int) -> Sizes:
        """The sizes out of a number of rows, items or users."""
        # Rounding the borders rather than the sizes never gives out a row twice.
        borders = [round(number * min(1.0, sum(self[:sets]))) for sets in range(4)]
        return Sizes(*(after - before for before, after in pairwise(borders)))


def set_sizes(num_rows: int, params: SplitParams) -> Sizes:
    """The numbers of rows of the sets.

    Raises:
      StageError: counts ask for more rows than there are.
    """
    wanted = (params.train, params.validation, params.test)
    if params.sizes_are_counts:
        if sum(wanted) > num_rows:
            raise StageError(
                f"split.train, validation, test: expected counts that sum to at most {num_rows}, the number of rows, "
                f"found {sum(wanted)}; set them lower"
            )
        return Sizes(*(int(size) for size in wanted))
    return Shares(*wanted).of(num_rows)


def set_at(rank: ir.IntegerValue, sizes: Sizes) -> ir.StringValue:
    """The set of a rank from 0: the first ranks are the training set, the next ones the test set, then validation.

    Ranks beyond the sizes have none.
    """
    return ibis.cases(*((rank < end, name) for name, end in sizes.ends().items()))
