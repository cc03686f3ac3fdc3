"""Scorers, which give every user a score for every item: embeddings, item-item weights, or chance."""

from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.artifacts.split import Interactions
from towerline.ranking.popularity import decayed_counts
from towerline.ranking.user_items import UserItems

# Random numbers that Chance makes at once: its arrays of 64 bits stay in the processor's cache.
MIXED_AT_ONCE = 1 << 14
# Items whose scores are asked for: indices in ascending order, or all with slice(None).
Columns = NDArray[np.int32] | slice


class Scorer(Protocol):
    """Scores of some users for some items; the larger, the sooner an item is shown."""

    @property
    def num_columns(self) -> int:
        """Number of items that have a score, including the unknown item at index 0."""

    def scores(self, users: NDArray[np.int32], columns: Columns) -> NDArray[np.float32]:
        """[users, columns] float32, without NaN, new memory that the caller may write to."""


class Embeddings(NamedTuple):
    """Inner products of user and item embeddings.

    Attributes:
      users: [num_users + 1, d] float32.
      items: [num_items + 1, d] float32.
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]

    @property
    def num_columns(self) -> int:
        return len(self.items)

    def scores(self, users: NDArray[np.int32], columns: Columns) -> NDArray[np.float32]:
        return self.users[users] @ self.items[columns].T


class ItemWeights(NamedTuple):
    """The sum, over the items in a user's history, of their weights towards an item.

    Attributes:
      weights: [num_items + 1, num_items + 1] float32, dense or sparse; row j is what j in a history adds to each.
      history: the items of every user in the training set.
    """

    weights: "NDArray[np.float32] | sparse.csr_array"
    history: UserItems

    @property
    def num_columns(self) -> int:
        return int(self.weights.shape[1])

    def scores(self, users: NDArray[np.int32], columns: Columns) -> NDArray[np.float32]:
        history = self.history.of_users(users).matrix(self.num_columns)
        if isinstance(self.weights, np.ndarray):
            return np.asarray(history @ self.weights[:, columns])
        # The product has fewer entries than the weights, all of which a selection of columns reads.
        return np.asarray((history @ self.weights)[:, columns].toarray())


class Chance(NamedTuple):
    """A uniformly random order of the items for each user, whatever else a call asks for.

    The score is the finaliser of SplitMix64 (Steele, Lea and Flood 2014) over seed, user and item.

    Attributes:
      seed: [] int64.
      columns: [] int64 number of items, the unknown item among them.
    """

    seed: NDArray[np.int64]
    columns: NDArray[np.int64]

    @property
    def num_columns(self) -> int:
        return int(self.columns)

    def scores(self, users: NDArray[np.int32], columns: Columns) -> NDArray[np.float32]:
        items = np.arange(self.num_columns, dtype=np.uint64)[columns]
        of_user = _mixed(users.astype(np.uint64) + (np.uint64(self.seed) << np.uint64(32)))
        scores = np.empty((len(users), len(items)), np.float32)
        step = max(1, MIXED_AT_ONCE // max(1, len(items)))
        for start in range(0, len(users), step):
            mixed = _mixed(of_user[start : start + step, None] + items)
            # The upper 24 bits: as many as float32 tells apart.
            scores[start : start + step] = mixed >> np.uint64(40)
        return scores


def by_popularity(rows: Interactions, half_life: float | None = None) -> Embeddings:
    """Embeddings of one dimension whose inner product is the item's popularity.

    Args:
      rows: the rows to count; with times if there is a half-life.
      half_life: in days; None to count all rows alike.

    Returns:
      [num_users + 1, 1] ones and [num_items + 1, 1] decayed_counts(), float32, exact up to 2^24 rows per item.
    """
    counts = decayed_counts(rows, half_life).astype(np.float32)
    return Embeddings(np.ones((rows.num_users + 1, 1), np.float32), counts[:, None])


class Kind(StrEnum):
    """Kind of the arrays in the file of a baseline, which has it as the array KIND."""

    EMBEDDINGS = "embeddings"
    DENSE_WEIGHTS = "dense_item_weights"
    SPARSE_WEIGHTS = "sparse_item_weights"
    CHANCE = "chance"
    # towerline.metrics.ratings.RatingModel, which predicts ratings and ranks nothing.
    RATING_MODEL = "rating_model"


KIND = "kind"
_SPARSE_FIELDS = ("data", "indices", "indptr")


def arrays_of(scorer: Scorer) -> dict[str, NDArray[Any]]:
    """The arrays that a file keeps of a scorer: its kind and its fields, except for the history of ItemWeights."""
    match scorer:
        case ItemWeights(np.ndarray() as weights):
            return {KIND: np.array(Kind.DENSE_WEIGHTS.value), "weights": weights}
        case ItemWeights(weights):
            fields = {name: getattr(weights, name) for name in _SPARSE_FIELDS}
            return {KIND: np.array(Kind.SPARSE_WEIGHTS.value), **fields}
        case Embeddings():
            return {KIND: np.array(Kind.EMBEDDINGS.value), **scorer._asdict()}
        case Chance():
            return {KIND: np.array(Kind.CHANCE.value), **scorer._asdict()}
    raise TypeError(f"expected Embeddings, ItemWeights or Chance, found {type(scorer).__name__}")


def scorer_of(arrays: dict[str, NDArray[Any]], history: UserItems) -> Scorer:
    """The scorer that arrays_of() made the arrays of.

    Args:
      arrays: name -> array.
      history: the items of every user in the rows of the fit.

    Raises:
      ValueError: the arrays are of no kind of scorer.
    """
    fields = {name: array for name, array in arrays.items() if name != KIND}
    match str(arrays.get(KIND)):
        case Kind.EMBEDDINGS:
            return Embeddings(**fields)
        case Kind.DENSE_WEIGHTS:
            return ItemWeights(fields["weights"], history)
        case Kind.SPARSE_WEIGHTS:
            size = len(fields["indptr"]) - 1
            parts = tuple(fields[name] for name in _SPARSE_FIELDS)
            return ItemWeights(sparse.csr_array(parts, shape=(size, size)), history)
        case Kind.CHANCE:
            return Chance(**fields)
        case kind:
            raise ValueError(f"expected arrays of a scorer, found the kind {kind}")


def _mixed(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """[...] uint64 whose bits each depend on all bits of the number."""
    with np.errstate(over="ignore"):
        mixed = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
