"""What the report is made from, as it lies in memory; stages/report.py reads it from the files."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.report.wording import shortened
from towerline.artifacts.split import Interactions

EVERYTHING = "everything"
WITHIN_TYPE = "within_type"


class MetricRow(NamedTuple):
    """A model's mean of a metric over a group of users, with its 95 % interval."""

    model: str
    candidates: str
    group: str
    metric: str
    k: int
    users: int
    mean: float
    low: float
    high: float


class DifferenceRow(NamedTuple):
    """The model's mean of a metric minus a baseline's, over the same users."""

    baseline: str
    metric: str
    k: int
    users: int
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float


class ExposureRow(NamedTuple):
    """What a model shows, or, under the name `consumed` and with k = 0, what users took."""

    model: str
    k: int
    coverage: float
    gini: float
    mean_popularity: float
    novelty: float
    head: float
    middle: float
    tail: float


class RatingRow(NamedTuple):
    """Errors of predicted ratings, in the unit of the ratings."""

    model: str
    rmse: float
    mae: float


class TrialRow(NamedTuple):
    """A setting of a baseline and what it came to on the validation part, in terms of its metric."""

    baseline: str
    trial: str
    settings: str
    metric: str
    validation: float
    chosen: bool


class Items(NamedTuple):
    """The item vocabulary; row r belongs to index r + 1.

    Attributes:
      item_type, item_id: [num_items] text.
      title: [num_items] text or null; None where no item has one.
    """

    item_type: pa.ChunkedArray
    item_id: pa.ChunkedArray
    title: pa.ChunkedArray | None

    def labels(self, index: NDArray[np.int32]) -> list[str]:
        """The items' titles, or their ids where they have none."""
        rows = pa.array(index - 1)
        ids = self.item_id.take(rows).to_pylist()
        titles = self.title.take(rows).to_pylist() if self.title is not None else ids
        return [shortened(title or "") or shortened(one) for title, one in zip(titles, ids, strict=True)]

    def types(self, index: NDArray[np.int32]) -> list[str]:
        return [shortened(kind) for kind in self.item_type.take(pa.array(index - 1)).to_pylist()]

    def type_numbers(self) -> NDArray[np.int64]:
        """[num_items + 1] a number for each type, from 0 in the order of their first items; the unknown item has 0."""
        codes = self.item_type.combine_chunks().dictionary_encode().indices.to_numpy()
        return np.concatenate([[0], codes]).astype(np.int64)

    def num_types(self) -> int:
        return len(self.item_type.unique())


class Timed(NamedTuple):
    """A part of the split with its times.

    Attributes:
      part: pairs and ratings.
      timestamp: [rows] int64 seconds since 1970 UTC; None where the data has none.
    """

    part: Interactions
    timestamp: NDArray[np.int64] | None


class Inputs(NamedTuple):
    """All that the report shows something of.

    Attributes:
      ingest: counts of what came in, by name.
      refused: the first refused rows: source, line, reason, raw.
      parts: train, validation, test, in this order.
      users: [num_users] user ids; row r belongs to index r + 1.
      items: the item vocabulary.
      user_embeddings, item_embeddings: [num_ids + 1, d + 1], the popularity prior last.
      training: column -> values by epoch, NaN where the cell is empty.
      counts: how many users were ranked, were cold, and so on.
      metrics, differences, exposure, ratings, trials: rows of the tables that `evaluate` writes, in their order.
    """

    ingest: dict[str, Any]
    refused: Sequence[dict[str, Any]]
    parts: dict[str, Timed]
    users: pa.ChunkedArray
    items: Items
    user_embeddings: NDArray[np.float32]
    item_embeddings: NDArray[np.float32]
    training: dict[str, list[float]]
    counts: dict[str, int]
    metrics: Sequence[MetricRow]
    differences: Sequence[DifferenceRow]
    exposure: Sequence[ExposureRow]
    ratings: Sequence[RatingRow]
    trials: Sequence[TrialRow]

    def user_labels(self, index: NDArray[np.int32]) -> list[str]:
        return [shortened(one) for one in self.users.take(pa.array(index - 1)).to_pylist()]
