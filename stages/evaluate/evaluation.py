"""The metrics of a scorer, a value for each user: of all users, and by item type, popularity and activity."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.data import Data, Queries
from towerline.artifacts.evaluate import (
    ACTIVITY,
    ALL,
    COLD_ITEMS,
    COLD_USERS,
    DISLIKED,
    EVERYTHING,
    ITEM_TYPE,
    ITEMS,
    NEW_ITEMS,
    WITHIN_TYPE,
)
from towerline.metrics.ranking import Values, rank_metrics
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items

ACTIVITY_GROUPS = 4


class Slice(NamedTuple):
    """Candidates, and a group of users or test items.

    Attributes:
      candidates, by, value: as in towerline.artifacts.evaluate.MetricRow.
    """

    candidates: str
    by: str
    value: str = ""


OVERALL = Slice(EVERYTHING, ALL)


class Evaluation(NamedTuple):
    """The metrics of a scorer.

    Attributes:
      values: slice -> (metric, k) -> [users of the slice] float64.
      shown: [warm users, largest cutoff] int32 items, everything ranked.
    """

    values: dict[Slice, Values]
    shown: NDArray[np.int32]


def evaluated(
    scorer: Scorer,
    data: Data,
    cutoffs: list[int],
    within_type: bool,
    progressed: Callable[[int], object] = lambda users: None,
    cold_scorer: Scorer | None = None,
) -> Evaluation:
    """The metrics of a scorer in all slices that have users.

    Args:
      scorer: the scorer.
      data: the data to measure it on, with at least one warm user.
      cutoffs: the k of the metrics.
      within_type: true if the items of each type are ranked alone too, where there are several types.
      progressed: called with the number of users ranked since its last call.
      cold_scorer: the scorer for users without known rows; None for the same.
    """
    most, warm, cold = max(cutoffs), data.warm, data.cold
    shown = rank_items(scorer, warm.users, warm.excluded, most, data.candidates, progressed)
    values = {OVERALL: rank_metrics(shown, warm.relevant, cutoffs)}
    for name, members in activity_groups(warm.activity).items():
        of_members = {metric: value[members] for metric, value in values[OVERALL].items()}
        values[Slice(EVERYTHING, ACTIVITY, name)] = of_members
    groups = data.item_groups()
    for name, of_item in groups.items():
        rows, queries = warm.of_items(of_item)
        of_group = rank_metrics(shown[rows], queries.relevant, cutoffs)
        # Recall only: items of other groups are ranked as well, so that the other metrics cannot reach 1.
        values[Slice(EVERYTHING, ITEMS, name)] = {key: value for key, value in of_group.items() if key[0] == "recall"}
    _, queries = warm.of_items(groups[COLD_ITEMS])
    values[Slice(NEW_ITEMS, ALL)] = ranked_alone(scorer, queries, groups[COLD_ITEMS], cutoffs)
    for kind in data.types():
        of_item = data.item_type == kind
        rows, queries = warm.of_items(of_item)
        values[Slice(EVERYTHING, ITEM_TYPE, kind)] = rank_metrics(shown[rows], queries.relevant, cutoffs)
        if within_type:
            values[Slice(WITHIN_TYPE, ITEM_TYPE, kind)] = ranked_alone(scorer, queries, of_item, cutoffs)
    ranked = rank_items(cold_scorer or scorer, cold.users, cold.excluded, most, data.candidates)
    values[Slice(EVERYTHING, COLD_USERS)] = rank_metrics(ranked, cold.relevant, cutoffs)
    # Recall only: the lower, the better, which the other metrics were not made for.
    shown_dislikes = rank_items(scorer, data.disliked.users, data.disliked.excluded, most, data.candidates)
    of_dislikes = rank_metrics(shown_dislikes, data.disliked.relevant, cutoffs)
    values[Slice(EVERYTHING, DISLIKED)] = {key: value for key, value in of_dislikes.items() if key[0] == "recall"}
    with_users = {key: of_slice for key, of_slice in values.items() if len(next(iter(of_slice.values())))}
    return Evaluation(with_users, shown)


def ranked_alone(scorer: Scorer, queries: Queries, of_item: NDArray[np.bool_], cutoffs: list[int]) -> Values:
    """The metrics where the items of a group are the only candidates.

    Args:
      scorer: the scorer.
      queries: users with test items of the group, and these test items alone.
      of_item: [num_items + 1] bool, true for the items of the group; the unknown item does not count.
      cutoffs: the k of the metrics.
    """
    candidates = (np.flatnonzero(of_item[1:]) + 1).astype(np.int32)
    ranked = rank_items(scorer, queries.users, queries.excluded, max(cutoffs), candidates)
    return rank_metrics(ranked, queries.relevant, cutoffs)


def activity_groups(activity: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """At most ACTIVITY_GROUPS groups of about equally many users, by their number of seen items.

    Args:
      activity: [users] number of seen items.

    Returns:
      least-most -> rows of the group's users, in ascending order of activity.
    """
    shares = np.arange(1, ACTIVITY_GROUPS) / ACTIVITY_GROUPS
    bounds = np.unique(np.quantile(activity, shares, method="inverted_cdf"))
    group = np.searchsorted(bounds, activity)
    groups = {}
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        groups[f"{activity[rows].min()}-{activity[rows].max()}"] = rows
    return groups
