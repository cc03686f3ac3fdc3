"""Cuts in time, each with the rows before it and the stretch of rows after it."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from stages.backtest.params import BacktestParams
from towerline.artifacts.ingest import INTERACTIONS
from towerline.artifacts.split import Interactions
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.feedback.params import Below
from towerline.feedback.strengths import liked_by_known_users
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.ranking.popularity import SECONDS_PER_DAY
from towerline.tables import engine, expressions

COLUMNS = ("user_index", "item_index", "rating", "timestamp", "weight")


class Stretch(NamedTuple):
    """A cut and the rows around it.

    Attributes:
      since: time of the cut, in seconds since 1970 UTC.
      train, validation: the rows up to the cut; the validation set is as long as the stretch.
      test: the rows of the stretch, after the cut.
    """

    since: int
    train: Interactions
    validation: Interactions
    test: Interactions

    @property
    def known(self) -> Interactions:
        """The rows up to the cut."""
        return Interactions.joined(self.train, self.validation)


def day(seconds: int) -> str:
    """A time in UTC, to the minute."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def read_all() -> Interactions:
    """All interactions with times, in ascending order of time, user and item.

    Raises:
      StageError: the data has no times.
    """
    with engine.session("backtest", formats.num_rows(INTERACTIONS)) as session:
        paths = (INTERACTIONS, USER_VOCABULARY, ITEM_VOCABULARY)
        interactions, users, items = (session.read(path) for path in paths)
        if "timestamp" not in interactions.columns:
            raise StageError(
                f"{INTERACTIONS}: expected times to cut the data at, found none; name their column in "
                "ingest.columns.timestamp"
            )
        num_users, num_items = map(expressions.count_of, (users, items))
        rows = expressions.with_indices(interactions, users, items)
        rows = rows.select([name for name in COLUMNS if name in rows.columns])
        table = rows.order_by("timestamp", "user_index", "item_index").to_pyarrow()
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return Interactions(
        columns["user_index"].astype(np.int32),
        columns["item_index"].astype(np.int32),
        columns["rating"].astype(np.float32) if "rating" in columns else None,
        num_users,
        num_items,
        columns["timestamp"].astype(np.int64),
        columns.get("weight"),
    )


def stretches_of(rows: Interactions, params: BacktestParams, below: Below) -> list[Stretch]:
    """The stretches, the earliest first; the last one ends with the last row.

    There is one more than there are cuts: at the first, only the model is fitted from which the warm starts continue.

    Args:
      rows: with times.
      params: number of cuts, and length of a stretch.
      below: rows with lower ratings are dislikes.

    Raises:
      StageError: the rows do not reach back far enough, or a stretch has no users with known rows.
    """
    assert rows.timestamp is not None
    length = round(params.days * SECONDS_PER_DAY)
    begin, end = int(rows.timestamp.min()), int(rows.timestamp.max())
    # A stretch for the first fit and its validation set, and a row before them.
    if end - (params.cuts + 2) * length <= begin:
        raise StageError(
            f"backtest.cuts, days: expected rows over more than {params.cuts} + 2 stretches of {params.days:g} days, "
            f"found rows from {day(begin)} to {day(end)}; lower backtest.cuts or backtest.days"
        )
    stretches = [_stretch(rows, end - number * length, length) for number in range(params.cuts + 1, 0, -1)]
    for stretch in stretches:
        for name, of_set, before in (
            ("validation", stretch.validation, stretch.train),
            ("test", stretch.test, stretch.known),
        ):
            if not len(liked_by_known_users(of_set, before, below).user_index):
                raise StageError(
                    f"backtest.cuts, days: expected users with earlier rows in the {name} set of each cut, found none "
                    f"at {day(stretch.since)}; raise backtest.days, or lower backtest.cuts"
                )
    return stretches


def _stretch(rows: Interactions, since: int, length: int) -> Stretch:
    time = rows.timestamp
    assert time is not None
    return Stretch(
        since,
        rows.where(time <= since - length),
        rows.where((since - length < time) & (time <= since)),
        rows.where((since < time) & (time <= since + length)),
    )
