"""Which users and items the page shows, and in which order: by activity and by popularity."""

import numpy as np
from numpy.typing import NDArray


def users_across_activity(activity: NDArray[np.int64], preferred: NDArray[np.bool_], count: int) -> NDArray[np.int32]:
    """Users from the least to the most active, in even steps of the logarithm.

    Args:
      activity: [num_users + 1] items seen; a user with none is not chosen.
      preferred: [num_users + 1] users to choose first; others are chosen if there are fewer than `count` of these.
      count: maximum number of users.

    Returns:
      [at most count] int32 user indices by activity, then index.
    """
    active = activity > 0
    first, others = np.flatnonzero(active & preferred), np.flatnonzero(active & ~preferred)
    pool = np.concatenate([first, others[: max(0, count - len(first))]])
    if not len(pool):
        return np.zeros(0, np.int32)
    level = np.log(activity[pool])
    chosen: list[int] = []
    for wanted in np.linspace(level.min(), level.max(), min(count, len(pool))):
        distance = np.abs(level - wanted)
        distance[chosen] = np.inf
        chosen.append(int(distance.argmin()))
    users = pool[chosen].astype(np.int32)
    return users[np.lexsort((users, activity[users]))]


def by_count(counts: NDArray[np.int64], candidates: NDArray[np.bool_]) -> NDArray[np.int32]:
    """[candidates] int32 candidates from the largest count to the smallest, equal ones by index."""
    order = np.argsort(-counts, kind="stable")
    return order[candidates[order]].astype(np.int32)


def well_known_items(
    rows: NDArray[np.int64], candidates: NDArray[np.bool_], kind: NDArray[np.int64], count: int
) -> NDArray[np.int32]:
    """The most popular items of each type in turn, so that no type is left out.

    Args:
      rows: [num_items + 1] number of rows of each item.
      candidates: [num_items + 1] bool, true for the items to choose from.
      kind: [num_items + 1] number of the type.
      count: maximum number of items.

    Returns:
      [at most count] int32 item indices: the most popular item of each type, the second of each type, and so on.
    """
    order = by_count(rows, candidates)
    by_kind = order[np.argsort(kind[order], kind="stable")]
    starts = np.flatnonzero(np.diff(kind[by_kind], prepend=-1))
    sizes = np.diff(starts, append=len(by_kind))
    turn = np.arange(len(by_kind)) - np.repeat(starts, sizes)
    return by_kind[np.lexsort((by_kind, -rows[by_kind], turn))][:count]
