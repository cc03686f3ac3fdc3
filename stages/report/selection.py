"""Selection of the users, items, neighbours and labels that the page shows: arrays in, arrays out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.embedding import directions
from towerline.ranking.scorers import Embeddings
from towerline.ranking.top_k import rank_items
from towerline.ranking.user_items import UserItems


class Neighbours(NamedTuple):
    """The nearest ids of some ids, by inner product.

    Attributes:
      ids: [queries, count] int32, nearest first; 0 where there are no more with an inner product above 0.
      similarity: [queries, count] float32 inner products; 0 where ids is 0.
    """

    ids: NDArray[np.int32]
    similarity: NDArray[np.float32]


def taste(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """[ids, d] vectors of length 1, or 0 for an untrained id: embeddings without their popularity prior."""
    return np.ascontiguousarray(directions(embeddings))


def trained(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[ids] bool, true for the trained vectors among those of taste()."""
    nonzero: NDArray[np.bool_] = (vectors != 0).any(axis=1)
    return nonzero


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


def nearest(vectors: NDArray[np.float32], ids: NDArray[np.int32], count: int) -> Neighbours:
    """The nearest trained ids of each of some ids, without itself.

    Args:
      vectors: [num_ids + 1, d], unit vectors from taste() or shrunk ones.
      ids: [ids] int32.
      count: number of neighbours of each id.
    """
    candidates = np.flatnonzero(trained(vectors)).astype(np.int32)
    itself = UserItems.of_pairs(np.arange(len(ids), dtype=np.int32), ids, num_rows=len(ids))
    neighbours = rank_items(Embeddings(vectors, vectors), ids, itself, count, candidates)
    similarity = np.einsum("id,ind->in", vectors[ids], vectors[neighbours])
    near = (neighbours > 0) & (similarity > 0)
    return Neighbours(np.where(near, neighbours, 0), np.where(near, similarity, 0).astype(np.float32))


def spread(places: NDArray[np.float64], count: int) -> list[int]:
    """Indices of the first positions whose labels do not overlap, at most `count`."""
    extent = np.ptp(places, axis=0) + 1e-9
    chosen: list[int] = []
    for position in range(len(places)):
        distance = np.abs(places[chosen] - places[position]) / extent
        if not (distance < (0.17, 0.05)).all(axis=1).any():
            chosen.append(position)
        if len(chosen) == count:
            break
    return chosen
