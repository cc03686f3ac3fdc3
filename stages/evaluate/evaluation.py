"""The metrics of a scorer, a value a user: over all users, and cut by item type, popularity and activity."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.evaluate.exposure import GROUPS, popularity_groups
from towerline.artifacts.split import Interactions
from towerline.metrics.ranking import rank_metrics
from towerline.ranking.scorers import Scorer
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems

EVERYTHING, WITHIN_TYPE = "everything", "within_type"
ALL, COLD_USERS = "all", "cold_users"
ACTIVITY_GROUPS = 4


class Slice(NamedTuple):
    """Which figures are meant: what was ranked, and over which users or held-out items.

    Attributes:
      candidates: EVERYTHING or WITHIN_TYPE.
      group: ALL, COLD_USERS, or item_type=..., activity=..., items=...
    """

    candidates: str
    group: str


Values = dict[str, NDArray[np.float64]]


class Queries(NamedTuple):
    """Users with their test items, and the items that they are not shown.

    Attributes:
      users: [queries] int32 user indices.
      relevant: their test items, by query.
      excluded: their train and validation items, by query; none where people come back to them.
      activity: [queries] number of their train and validation items.
    """

    users: NDArray[np.int32]
    relevant: UserItems
    excluded: UserItems
    activity: NDArray[np.int64]

    @classmethod
    def of_users(cls, users: NDArray[np.int32], relevant: UserItems, seen: UserItems, repeats: bool) -> "Queries":
        """The queries of some users.

        Args:
          users: [queries] int32.
          relevant, seen: row u holds the test items, and the train and validation items, of user u.
          repeats: whether seen items may be shown.
        """
        excluded = UserItems.none(len(users)) if repeats else seen.of_users(users)
        return cls(users, relevant.of_users(users), excluded, seen.counts()[users])

    def of_items(self, of_item: NDArray[np.bool_]) -> tuple[NDArray[np.int32], "Queries"]:
        """The queries with held-out items of which of_item is true: their rows, and them with these alone held out."""
        rows = self.relevant.rows()
        keep = of_item[self.relevant.items]
        relevant = UserItems.of_pairs(rows[keep].astype(np.int32), self.relevant.items[keep], len(self.users) - 1)
        chosen = np.flatnonzero(relevant.counts() > 0).astype(np.int32)
        parts = (self.users[chosen], relevant.of_users(chosen), self.excluded.of_users(chosen), self.activity[chosen])
        return chosen, Queries(*parts)


class Data(NamedTuple):
    """What scorers are measured on.

    Attributes:
      train, test: parts of the split.
      warm, cold: the users with test items, those with and those without training rows.
      item_type: [num_items + 1] text; the unknown item's is empty.
    """

    train: Interactions
    test: Interactions
    warm: Queries
    cold: Queries
    item_type: NDArray[np.str_]

    @classmethod
    def of_parts(
        cls,
        train: Interactions,
        validation: Interactions,
        test: Interactions,
        item_type: NDArray[np.str_],
        repeats: bool,
    ) -> "Data":
        """What there is to measure on.

        Args:
          train, validation, test: the split.
          item_type: as above.
          repeats: whether items of train and validation may be shown.
        """
        relevant = UserItems.of_pairs(test.user_index, test.item_index, test.num_users)
        seen = UserItems.of_pairs(
            np.concatenate([train.user_index, validation.user_index]),
            np.concatenate([train.item_index, validation.item_index]),
            train.num_users,
        )
        trained = np.bincount(train.user_index, minlength=train.num_users + 1) > 0
        wanted = relevant.counts() > 0
        warm, cold = (
            Queries.of_users(np.flatnonzero(wanted & known).astype(np.int32), relevant, seen, repeats)
            for known in (trained, ~trained)
        )
        return cls(train, test, warm, cold, item_type)

    def item_counts(self) -> NDArray[np.int64]:
        """[num_items + 1] training rows of each item."""
        return np.bincount(self.train.item_index, minlength=self.train.num_items + 1)

    def types(self) -> list[str]:
        """The item types where there are several of them."""
        types = [str(kind) for kind in np.unique(self.item_type[1:])]
        return types if len(types) > 1 else []

    def item_groups(self) -> dict[str, NDArray[np.bool_]]:
        """Popularity group -> [num_items + 1] whether an item is of it; cold items have no training rows."""
        counts = self.item_counts()
        group = np.where(counts > 0, popularity_groups(counts), len(GROUPS))
        return {f"items={name}": group == number for number, name in enumerate([*GROUPS, "cold"])}

    def counts(self) -> dict[str, int]:
        """Numbers of users and test rows, those that the metrics leave out beside those they are about."""
        cold_items = self.item_counts()[self.test.item_index] == 0
        return {
            "users_ranked": len(self.warm.users),
            "cold_users": len(self.cold.users),
            "users_without_test_items": self.train.num_users - len(self.warm.users) - len(self.cold.users),
            "test_rows": len(self.test.user_index),
            "test_rows_of_items_without_training_rows": int(cold_items.sum()),
        }


class Evaluation(NamedTuple):
    """What a scorer did.

    Attributes:
      values: slice -> metric -> [users of the slice].
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
) -> Evaluation:
    """The metrics of a scorer in all slices that have users.

    Args:
      scorer: what ranks the items.
      data: what is measured on; some users are warm.
      cutoffs: the k of the metrics.
      within_type: whether the items of each type are ranked alone too, where there are several types.
      progressed: called with the number of users ranked since its last call.
    """
    most, warm = max(cutoffs), data.warm
    shown = rank_items(scorer, warm.users, warm.excluded, most, progressed=progressed)
    found = {Slice(EVERYTHING, ALL): rank_metrics(shown, warm.relevant, cutoffs)}
    for name, members in activity_groups(warm.activity).items():
        found[Slice(EVERYTHING, name)] = {key: value[members] for key, value in found[Slice(EVERYTHING, ALL)].items()}
    for name, of_item in data.item_groups().items():
        rows, queries = warm.of_items(of_item)
        values = rank_metrics(shown[rows], queries.relevant, cutoffs)
        # Of one group's items alone no ranking of everything can be ideal: what is asked is how many of them it finds.
        found[Slice(EVERYTHING, name)] = {key: value for key, value in values.items() if key.startswith("recall@")}
    for kind in data.types():
        of_item = data.item_type == kind
        rows, queries = warm.of_items(of_item)
        found[Slice(EVERYTHING, f"item_type={kind}")] = rank_metrics(shown[rows], queries.relevant, cutoffs)
        if within_type:
            candidates = np.flatnonzero(of_item).astype(np.int32)
            ranked = rank_items(scorer, queries.users, queries.excluded, most, candidates)
            found[Slice(WITHIN_TYPE, f"item_type={kind}")] = rank_metrics(ranked, queries.relevant, cutoffs)
    ranked = rank_items(scorer, data.cold.users, data.cold.excluded, most)
    found[Slice(EVERYTHING, COLD_USERS)] = rank_metrics(ranked, data.cold.relevant, cutoffs)
    with_users = {one: values for one, values in found.items() if len(next(iter(values.values())))}
    return Evaluation(with_users, shown)


def activity_groups(activity: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """At most ACTIVITY_GROUPS groups of about equally many users, by their number of seen items.

    Args:
      activity: [users] number of seen items.

    Returns:
      activity=least-most -> rows of the group's users, in ascending order of activity.
    """
    shares = np.arange(1, ACTIVITY_GROUPS) / ACTIVITY_GROUPS
    bounds = np.unique(np.quantile(activity, shares, method="inverted_cdf"))
    group = np.searchsorted(bounds, activity)
    found = {}
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        found[f"activity={activity[rows].min()}-{activity[rows].max()}"] = rows
    return found
