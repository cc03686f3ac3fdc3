"""Paths and rows of the outputs of backtest; the columns of a table are the fields of its row."""

from pathlib import Path
from typing import NamedTuple

BACKTEST = Path("reports/backtest")
STRETCHES_TABLE = BACKTEST / "stretches.csv"
SUMMARY_TABLE = BACKTEST / "summary.csv"
RETRAINING_TABLE = BACKTEST / "retraining.csv"
PICTURE = BACKTEST / "backtest.svg"

# The model that is fitted at each cut with a warm start from the cut before.
WARM_START = "two_tower_warm_start"
# The users with rows before a stretch, and the others.
KNOWN, COLD = "known", "cold"


class StretchRow(NamedTuple):
    """The means of a model over the users of a stretch.

    Attributes:
      stretch: number of the stretch, from 1, the earliest.
      since: time of the cut at its start, in UTC.
      model: its name.
      age: number of stretches between the cut that the model was fitted at and the start of the stretch.
      users: KNOWN or COLD.
      number: number of these users.
      k: cutoff.
      recall, ndcg: means over them.
    """

    stretch: int
    since: str
    model: str
    age: int
    users: str
    number: int
    k: int
    recall: float
    ndcg: float


class SummaryRow(NamedTuple):
    """The means of a model over all stretches, and the lead of the two towers on it.

    Attributes:
      model: its name.
      users: KNOWN or COLD.
      number: number of different users.
      k: cutoff.
      recall, recall_low, recall_high: mean of the means of the stretches, and its 95 % bootstrap interval.
      ndcg, ndcg_low, ndcg_high: likewise.
      lead, lead_low, lead_high: mean NDCG of the two towers minus that of the model; None for the two towers.
      p_value: of the paired t-test over users, two-sided.
      p_adjusted: the same, corrected by Holm for all models of the same group of users.
    """

    model: str
    users: str
    number: int
    k: int
    recall: float
    recall_low: float
    recall_high: float
    ndcg: float
    ndcg_low: float
    ndcg_high: float
    lead: float | None
    lead_low: float | None
    lead_high: float | None
    p_value: float | None
    p_adjusted: float | None


class RetrainingRow(NamedTuple):
    """The means of a model of some age over the users with known rows of the stretches that models of all ages have.

    Attributes:
      model: its name.
      age: as of StretchRow.
      stretches: number of stretches.
      k: cutoff.
      recall, ndcg: means of the means of the stretches.
      loss, loss_low, loss_high: mean NDCG of the model of age 0 minus this one, and its 95 % bootstrap interval.
    """

    model: str
    age: int
    stretches: int
    k: int
    recall: float
    ndcg: float
    loss: float
    loss_low: float
    loss_high: float
