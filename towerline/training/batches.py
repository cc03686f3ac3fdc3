"""Batches of training rows as index arrays, prepared in NumPy so that a training step looks nothing up."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.artifacts.split import Interactions
from towerline.pipeline import row_arrays
from towerline.ranking.popularity import decayed_counts
from towerline.training.history import History
from towerline.training.place import owned

# Candidates are drawn in proportion to popularity to this power: rare items still come up, popular ones more often.
SAMPLING_POWER = 0.4
# Weight of log_share() in the loss. The towers need not learn what the popularity prior adds when serving.
POPULARITY_IN_LOSS = 0.5
# Count of an item without training rows, whose logarithm would not be finite.
UNSEEN_COUNT = 0.5
# Sizes of a batch, and batches of an epoch that are enough: more of them make an epoch slower, and 3 % better at most.
MIN_BATCH, MAX_BATCH, ENOUGH_BATCHES = 128, 512, 500
NO_NUMBERS = np.zeros(0, np.float32)


class Batch(NamedTuple):
    """Some users, some items, and the (user, item) pairs of the training set among them.

    Attributes:
      users: [users] int32 indices, each once.
      items: [items] int32 indices, each once; the sampled candidates come first.
      pair_user: [pairs] int32 positions in `users`.
      pair_item: [pairs] int32 positions in `items`.
      rating: [pairs] float32 standardized ratings; zeros if there are none.
      log_weight: [candidates] float32, added to the logits of the sampled candidates.
      masked: [masked, 2] int32 (position in `users`, candidate) of sampled candidates that are the user's own items.
      strength: [pairs] float32 strengths, of a pair that is no positive 0; none where each pair counts as one.
      negative: [negatives] int32 positions of the pairs that are negatives of their user.
      negative_log_weight: [negatives] float32, added to the logits of the negatives.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    pair_user: NDArray[np.int32]
    pair_item: NDArray[np.int32]
    rating: NDArray[np.float32]
    log_weight: NDArray[np.float32]
    masked: NDArray[np.int32]
    strength: NDArray[np.float32]
    negative: NDArray[np.int32]
    negative_log_weight: NDArray[np.float32]


def batch_size(number: int) -> int:
    """The users or rows of a batch where there are so many: doubled as long as an epoch has ENOUGH_BATCHES.

    Args:
      number: of the users or rows that an epoch deals out in batches.
    """
    size = MIN_BATCH
    while size < MAX_BATCH and number >= 2 * size * ENOUGH_BATCHES:
        size *= 2
    return size


def log_share(counts: NDArray[np.float64]) -> NDArray[np.float32]:
    """[num_items + 1] log of each item's share of the counts, at most 0; an unseen item counts as half a row."""
    logarithms: NDArray[np.float32] = np.log(np.maximum(counts, UNSEEN_COUNT) / counts.sum()).astype(np.float32)
    return logarithms


def inclusion_probabilities(counts: NDArray[np.float64], candidates: int) -> NDArray[np.float64]:
    """The probability of each item to be drawn, in proportion to counts^SAMPLING_POWER and at most 1.

    Args:
      counts: [num_items + 1] strengths of each item's training rows summed; an item without any is never drawn.
      candidates: mean number of drawn items, at least 1; if fewer items have rows, all of them are drawn.
    """
    weight: NDArray[np.float64] = np.where(counts > 0, counts, 1.0) ** SAMPLING_POWER * (counts > 0)
    wanted = min(candidates, int((counts > 0).sum()))
    probability: NDArray[np.float64] = weight * (wanted / weight.sum())
    while probability.max() > 1:
        # Distribute what is above 1 to the items below 1.
        certain = probability >= 1
        rest = weight[~certain].sum()
        probability[certain] = 1
        probability[~certain] = weight[~certain] * ((wanted - certain.sum()) / rest if rest > 0 else 0)
    return probability


class Part(NamedTuple):
    """The part of a training that a worker takes, and what it has to know about the rows of all workers.

    Attributes:
      worker, workers: number of the worker, from 0, and number of workers.
      num_rows: number of rows of all workers.
      active: [users] int32 users with rows, ascending.
      counts: [num_items + 1] float64 strengths of each item's rows summed.
    """

    worker: int
    workers: int
    num_rows: int
    active: NDArray[np.int32]
    counts: NDArray[np.float64]

    @classmethod
    def whole(cls, rows: Interactions) -> "Part":
        """All rows of a training as the part of its only worker."""
        return cls(0, 1, len(rows.user_index), rows.users(), decayed_counts(rows, None))

    def mine(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Those of some numbers, of users or of rows, that belong to this worker."""
        return numbers if self.workers == 1 else numbers[owned(numbers, self.worker, self.workers)]


class UserBatches:
    """Batches of users with all their items, and one set of sampled candidates per batch.

    Candidates are drawn independently of each other with inclusion_probabilities(); their log_weight is
    POPULARITY_IN_LOSS * log popularity - log probability, so that a sum over them estimates the sum over all items. A
    user's own items are not among the candidates. Where dislikes are negatives, all those of a user are in the sum,
    with the weight of any other item, and with certainty instead of a probability. The time to draw candidates is in
    proportion to the number of all items.

    Of several workers each has its own users of a batch, and all draw the same candidates from the same random numbers.
    """

    def __init__(
        self,
        history: History,
        rating: NDArray[np.float32] | None,
        size: int | None,
        candidates: int,
        negatives: bool = False,
        part: Part | None = None,
    ) -> None:
        """
        Args:
          history: the rows of the training set that belong to the worker's users, no pair twice.
          rating: [rows] float32 standardized ratings of its rows; None without the rating task.
          size: users per batch, of all workers; None for batch_size().
          candidates: mean number of sampled candidates per batch.
          negatives: true if the rows of the strength 0 are negatives.
          part: of the worker; None for the only one.
        """
        self.part = part = part or Part.whole(history.rows)
        self.history = history.seen
        self.strengths = history.strengths
        self.rating = None if rating is None else history.aligned(rating)
        self.batch_size = size or batch_size(len(part.active))
        counts = part.counts
        self.probability = inclusion_probabilities(counts, candidates)
        popularity = log_share(counts)
        with np.errstate(divide="ignore"):
            self.log_weight = (POPULARITY_IN_LOSS * popularity - np.log(self.probability)).astype(np.float32)
        self.negative_log_weight = (POPULARITY_IN_LOSS * popularity).astype(np.float32)
        self.negatives = negatives
        # An item that nobody likes has no vector that could be pushed away.
        self.is_liked = counts > 0

    def __len__(self) -> int:
        return -(-len(self.part.active) // self.batch_size)

    @property
    def num_logits(self) -> int:
        """Mean number of logits in an epoch, of all workers."""
        return int(len(self.part.active) * self.probability.sum())

    def epoch(self, random: np.random.Generator) -> Iterator[Batch]:
        """All users once, in a random order."""
        order = random.permutation(self.part.active)
        for start in range(0, len(order), self.batch_size):
            yield self._batch(self.part.mine(order[start : start + self.batch_size]), random)

    def _batch(self, users: NDArray[np.int32], random: np.random.Generator) -> Batch:
        own = self.history.of_users(users)
        pair_user = own.rows().astype(np.int32)
        candidates = np.flatnonzero(random.random(len(self.probability)) < self.probability).astype(np.int32)
        position = np.full(len(self.probability), -1, np.int32)
        position[candidates] = np.arange(len(candidates), dtype=np.int32)
        wanted = np.zeros(len(self.probability), np.bool_)
        wanted[own.items] = True
        others = np.flatnonzero(wanted & (position < 0)).astype(np.int32)
        position[others] = np.arange(len(candidates), len(candidates) + len(others), dtype=np.int32)
        pair_item = position[own.items]
        masked = np.flatnonzero(pair_item < len(candidates))
        positions = self.history.positions(users)
        strength = NO_NUMBERS if self.strengths is None else self.strengths[positions]
        negative = np.zeros(0, np.int32)
        if self.negatives and self.strengths is not None:
            negative = np.flatnonzero((strength == 0) & self.is_liked[own.items]).astype(np.int32)
        return Batch(
            users,
            np.concatenate([candidates, others]),
            pair_user,
            pair_item,
            _of_rows(self.rating, positions),
            self.log_weight[candidates],
            np.stack([pair_user[masked], pair_item[masked]], axis=1),
            strength,
            negative,
            self.negative_log_weight[own.items[negative]],
        )


class PairBatches:
    """Batches of rows of the training set in a random order, without candidates besides the rows' own items.

    Of several workers each has its own rows of a batch, those whose number in the training set is its own modulo the
    number of workers.
    """

    def __init__(
        self, train: Interactions, rating: NDArray[np.float32] | None, size: int | None, part: Part | None = None
    ) -> None:
        """
        Args:
          train: the rows of the training set that belong to the worker.
          rating: [rows] float32 standardized ratings of its rows; None without the rating task.
          size: rows per batch, of all workers; None for batch_size().
          part: of the worker; None for the only one.
        """
        self.train, self.rating = train, rating
        self.part = part or Part.whole(train)
        self.batch_size = size or batch_size(self.part.num_rows)

    def __len__(self) -> int:
        return -(-self.part.num_rows // self.batch_size)

    @property
    def num_logits(self) -> int:
        """Number of logits in an epoch, of all workers."""
        return self.part.num_rows * min(self.part.num_rows, self.batch_size)

    def epoch(self, random: np.random.Generator) -> Iterator[Batch]:
        """All rows once, in a random order."""
        # As random.permutation() does it.
        order = row_arrays.empty(self.part.num_rows, np.int64, row_arrays.folder_of(self.train.user_index))
        for block in row_arrays.blocks(len(order)):
            order[block] = np.arange(block.start, block.stop)
        random.shuffle(order)
        for start in range(0, len(order), self.batch_size):
            rows = self.part.mine(order[start : start + self.batch_size]) // self.part.workers
            users, pair_user = np.unique(self.train.user_index[rows], return_inverse=True)
            items, pair_item = np.unique(self.train.item_index[rows], return_inverse=True)
            yield Batch(
                users,
                items,
                pair_user.astype(np.int32),
                pair_item.astype(np.int32),
                _of_rows(self.rating, rows),
                NO_NUMBERS,
                np.zeros((0, 2), np.int32),
                NO_NUMBERS if self.train.strength is None else self.train.strength[rows],
                np.zeros(0, np.int32),
                NO_NUMBERS,
            )


def _of_rows(rating: NDArray[np.float32] | None, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The ratings of some rows; zeros where there are none."""
    return np.zeros(len(rows), np.float32) if rating is None else rating[rows]
