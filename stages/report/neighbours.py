"""The users and items nearest to others, by their vectors without the popularity prior."""

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


def nearest(vectors: NDArray[np.float32], ids: NDArray[np.int32], count: int) -> Neighbours:
    """The nearest trained ids of each of some ids, without itself.

    Untrained ids have inner products of 0, and are no neighbours.

    Args:
      vectors: [num_ids + 1, d], unit vectors from taste() or shrunk ones.
      ids: [ids] int32.
      count: number of neighbours of each id.
    """
    itself = UserItems.of_pairs(np.arange(len(ids), dtype=np.int32), ids, num_rows=len(ids))
    neighbours = rank_items(Embeddings(vectors, vectors), ids, itself, count)
    similarity = np.einsum("id,ind->in", vectors[ids], vectors[neighbours])
    near = (neighbours > 0) & (similarity > 0)
    return Neighbours(np.where(near, neighbours, 0), np.where(near, similarity, 0).astype(np.float32))
