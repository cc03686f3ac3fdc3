"""A validation set out of the training set, where the split has none."""

import ibis
import ibis.expr.types as ir
from ibis import _

from stages.split.assignment import start_of_latest
from stages.split.cold import cold_sets
from stages.split.params import SplitParams
from stages.split.sizes import Shares
from towerline.tables import expressions
from towerline.tables.session import Session

DIGITS = "0123456789abcdef"
DIGEST_DIGITS = 32
# The number of a digest's digits that make a number of 24 bits.
NUMBER_DIGITS = 6
# The setting to change where a cold method finds too few items or users.
ANOTHER_SHARE = {"train": "set split.validation_share lower", "validation": "set split.validation_share higher"}


def with_validation(session: Session, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The assigned rows, of which a share of the training set has become the validation set."""
    train = divided(session, rows.filter(_.set_name == "train"), params)
    return train.union(rows.filter(_.set_name != "train"))


def divided(session: Session, rows: ir.Table, params: SplitParams) -> ir.Table:
    """The training rows with set_name, which is validation for a share of them that suits the method."""
    share = params.validation_share
    if params.is_cold:
        return cold_sets(session, rows, Shares(1 - share, share, 0), params, ANOTHER_SHARE)
    moved = latest_share(rows, share) if params.method == "temporal" else share_of_each_user(rows, share)
    return rows.mutate(set_name=ibis.ifelse(moved, "validation", "train"))


def share_of_each_user(rows: ir.Table, share: float) -> ir.BooleanValue:
    """True for a share of each user's rows, the first ones by `draw`; at least one row is left.

    Where the share is no whole number of rows, chance rounds it up or down, so that it is kept over all users: a share
    of 0.1 takes one row of about every second user with five rows. The chance is the last digits of the draw, and the
    order its first ones, of which they are independent.
    """
    number = _.count().over(group_by="user_index")
    rank = ibis.row_number().over(ibis.window(group_by="user_index", order_by=["draw", "item_index"]))
    taken = (number * share + unit_interval(rows.draw)).floor()
    return (rank < taken) & (rank < number - 1)


def unit_interval(digest: ir.Value) -> ir.Value:
    """A number from 0 to below 1, made of the last digits of a hexadecimal MD5 digest."""
    number = ibis.literal(0.0)
    for place in range(1, NUMBER_DIGITS + 1):
        number = number + ibis.literal(DIGITS).find(digest.substr(DIGEST_DIGITS - place, 1)) * 16.0**-place
    return number


def latest_share(rows: ir.Table, share: float) -> ir.BooleanValue:
    """True for the latest share of all rows; equal times stay together, and rows of the first time are left."""
    since = start_of_latest(rows, round(expressions.count_of(rows) * share))
    if since is None:
        return ibis.literal(False)
    # As a number: the minimum as an expression would be a window over all rows.
    first = int(rows.timestamp.min().to_pyarrow().as_py())
    return (_.timestamp >= since) & (_.timestamp > first)
