"""Path and rows of the output of transfer: how much the rows of each item type help each other type."""

from pathlib import Path
from typing import NamedTuple

TRANSFER_TABLE = Path("reports/tables/transfer.csv")


class TransferRow(NamedTuple):
    """A metric within one type: the mean over users with the rows of another type in the fit, and without them.

    Attributes:
      from_type: the type whose rows the second fit leaves out.
      to_type: the type whose items alone are ranked.
      metric, k: for instance recall, at the cutoff k.
      users: number of users with known rows, of any type, and test items of to_type.
      mean_with, mean_without: means over these users.
      difference, low, high: mean of mean_with minus mean_without, and its 95 % bootstrap interval.
    """

    from_type: str
    to_type: str
    metric: str
    k: int
    users: int
    mean_with: float
    mean_without: float
    difference: float
    low: float
    high: float
