"""Paths and rows of the outputs of evaluate: the metrics in git, the tables, and the plots.

The columns of a table are the fields of its row.
"""

from pathlib import Path
from typing import NamedTuple

METRICS = Path("reports/metrics.json")
METRICS_TABLE = Path("reports/tables/metrics.csv")
DIFFERENCES_TABLE = Path("reports/tables/differences.csv")
EXPOSURE_TABLE = Path("reports/tables/exposure.csv")
RATINGS_TABLE = Path("reports/tables/ratings.csv")
TEST_SET_TABLE = Path("reports/tables/test_set.csv")
TUTORIAL_TABLE = Path("reports/tables/tutorial.csv")
METRICS_BY_CUTOFF = Path("reports/plots/metrics_by_cutoff.csv")
NDCG_BY_ITEM_TYPE = Path("reports/plots/ndcg_by_item_type.csv")

# The candidates of a ranking: all items, the items of one type alone, or the items without known rows alone.
EVERYTHING, WITHIN_TYPE, NEW_ITEMS = "everything", "within_type", "new_items"
# The groups of a metric: all users with known rows, those without, those with disliked test items, of which recall is
# the share that is shown, and the users or test items of one value of a type, of activity (number of seen items), or
# of popularity.
ALL, COLD_USERS, DISLIKED = "all", "cold_users", "disliked"
ITEM_TYPE, ACTIVITY, ITEMS = "item_type", "activity", "items"
# The popularity group of items without known rows.
COLD_ITEMS = "cold"
# The model of the ExposureRow of the test set: the items that users interacted with, without a cutoff.
CONSUMED = "consumed"


class MetricRow(NamedTuple):
    """A model's mean of a metric over the users of a group.

    Attributes:
      model: name of the model or baseline.
      candidates: EVERYTHING, WITHIN_TYPE or NEW_ITEMS. With NEW_ITEMS only test items without known rows count.
      by: ALL, COLD_USERS, DISLIKED, ITEM_TYPE, ACTIVITY or ITEMS (popularity of the test items).
      value: the item type, the range of activity, or the popularity group; empty for ALL, COLD_USERS and DISLIKED.
      metric, k: for instance recall, at the cutoff k.
      users: number of users in the group.
      mean, low, high: the mean and its 95 % bootstrap interval.
    """

    model: str
    candidates: str
    by: str
    value: str
    metric: str
    k: int
    users: int
    mean: float
    low: float
    high: float


class DifferenceRow(NamedTuple):
    """The model's mean of a metric minus a baseline's, over all warm users.

    Attributes:
      baseline: its name.
      metric, k: for instance recall, at the cutoff k.
      users: number of users.
      difference, low, high: the mean difference and its 95 % bootstrap interval.
      p_value: of the paired t-test, two-sided.
      p_adjusted: the same, corrected by Holm for all rows of the table.
    """

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
    """The exposure of the first k items of a model, or, with the model CONSUMED and k = 0, of the test items.

    Attributes:
      model, k: name and cutoff.
      coverage, gini, mean_popularity, novelty, head, middle, tail: as in stages.evaluate.exposure.Exposure.
    """

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
    """Errors of predicted ratings over all rows of the test set, in the unit of the ratings."""

    model: str
    rmse: float
    mae: float


class CountRow(NamedTuple):
    """A number of users or rows of the test set."""

    name: str
    number: int


class TutorialRow(NamedTuple):
    """The accuracy that the tutorial of TensorFlow Recommenders reports.

    Attributes:
      model: its name.
      metric: top_100_categorical_accuracy.
      rows: rows of the test set, of warm users.
      value: share of them, 0 to 1.
    """

    model: str
    metric: str
    rows: int
    value: float
