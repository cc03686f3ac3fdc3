"""The two-tower model with a retrieval and a rating task, in TensorFlow Recommenders' terms."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from towerline.towers import tf, tfrs
from towerline.towers.products import over_root, unit
from towerline.towers.towers import Towers
from towerline.training.batches import Batch
from towerline.training.tasks import GroupedSoftmax, InBatchSoftmax, Negatives, summed
from towerline.training.workers import Workers

# Weight of a user's history relative to the user's own row.
HISTORY_WEIGHT = 2.0


class RatingTerms:
    """Predicted rating of a pair: biases, and regressions on the vectors of the towers (training.rating_head).

    Ratings are in standard deviations from the mean of the training ratings, so that neither the learning rate nor the
    task's weight depends on their scale. Gradient steps move the vectors only: biases and weights are given, since
    least squares finds better ones.

    Attributes:
      user_weights: [num_users + 1, d] float32, whose inner product is with the vectors of the items.
      item_weights: [num_items + 1, d] float32, whose inner product is with the vectors of the users.
    """

    def __init__(self, user_bias: NDArray[np.float32], item_bias: NDArray[np.float32], dimension: int) -> None:
        """
        Args:
          user_bias: [num_users + 1] float32, in standard deviations.
          item_bias: [num_items + 1] float32, likewise.
          dimension: of the vectors.
        """
        self.user_bias = tf.constant(user_bias)
        self.item_bias = tf.constant(item_bias)
        self.user_weights = tf.Variable(tf.zeros([len(user_bias), dimension]), trainable=False)
        self.item_weights = tf.Variable(tf.zeros([len(item_bias), dimension]), trainable=False)

    def predict(self, batch: Batch, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """[pairs] standardized ratings of a batch's pairs, whose [pairs, d] vectors are given."""

        def of_users(values: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.gather(values, batch.users), batch.pair_user)

        def of_items(values: tf.Tensor) -> tf.Tensor:
            return tf.gather(tf.gather(values, batch.items), batch.pair_item)

        products = of_users(self.user_weights) * items + users * of_items(self.item_weights)
        return of_users(self.user_bias) + of_items(self.item_bias) + tf.reduce_sum(products, axis=1)


class BatchVectors(NamedTuple):
    """Vectors of a batch; the last three are None without the users' histories.

    Attributes:
      users: [users, d] before normalization.
      items: [items, d] unit vectors.
      positives: [users, d] sums of the users' items, weighted by strength.
      num_items: [users] float32 number of each user's items, or sum of their strengths.
      share: [pairs] float32 weight of the item of a pair in the vector of its user.
    """

    users: tf.Tensor
    items: tf.Tensor
    positives: tf.Tensor | None
    num_items: tf.Tensor | None
    share: tf.Tensor | None


class TwoTower(tfrs.Model):
    """Query and candidate tower, trained on one or both of two tasks.

    retrieval: GroupedSoftmax, or InBatchSoftmax without the logQ correction: the towers learn taste, and the popularity
    prior adds popularity when serving. The loss is the mean over the batch, not the sum as in TensorFlow Recommenders.
    rating: mean squared error of standardized ratings; 1 is as good as predicting the mean.

    With GroupedSoftmax a user's vector is the user's own row plus HISTORY_WEIGHT times the sum of the items' unit
    vectors over the root of their number (as in SVD++, Koren 2008); with strengths, the sum is weighted by them, and
    the root is that of the sum of their squares. A rating is predicted from the vector without the rated item, since
    the item of a future rating is not in the history.

    Attributes:
      losses_seen: task -> mean of its loss since the last reset_metrics(), weighted by pairs.
    """

    def __init__(
        self,
        towers: Towers,
        rating_terms: RatingTerms | None,
        weights: dict[str, float],
        loss: str,
        temperature: Any,
        strengths: bool = False,
        workers: Workers | None = None,
    ):
        """
        Args:
          towers: the towers to train.
          rating_terms: None where there is no rating task.
          weights: task -> weight of its loss, of the tasks "retrieval" and "rating" that are trained.
          loss: grouped_softmax or in_batch_softmax.
          temperature: divides the cosines; a number or a variable.
          strengths: true if the batches have strengths.
          workers: that each have a part of every batch; None where all of it is here.
        """
        super().__init__()
        self.workers = workers
        self.strengths = strengths
        self.towers = towers
        self.rating_terms = rating_terms
        self.weights_of_tasks = weights
        self.history_weight = HISTORY_WEIGHT if loss == "grouped_softmax" else 0.0
        tasks: dict[str, Callable[[Any, Workers | None], Any]] = {
            "grouped_softmax": GroupedSoftmax,
            "in_batch_softmax": InBatchSoftmax,
        }
        self.retrieval = tasks[loss](temperature, workers)
        # Keras takes the mean over the pairs first, and with several workers it refuses to take means over batches.
        self.rating = tfrs.tasks.Ranking(loss=tf.keras.losses.MeanSquaredError(reduction="sum"))
        self.losses_seen = {task: tf.keras.metrics.Mean(f"{task}_loss") for task in weights}

    def task_losses(self, batch: Batch, share: Any = 1.0) -> dict[str, tf.Tensor]:
        """The mean loss over the batch of each task that is trained; of several workers, the part that is from here.

        Args:
          batch: the batch, or what is here of it.
          share: of its pairs that are here.
        """
        vectors = self._vectors(batch)
        losses: dict[str, tf.Tensor] = {}
        if "retrieval" in self.weights_of_tasks:
            losses["retrieval"] = self._retrieval_loss(self.retrieval, vectors, batch)
        if self.rating_terms is not None:
            # The mean of no pair is NaN.
            losses["rating"] = tf.math.multiply_no_nan(self._rating_loss(self.rating_terms, vectors, batch), share)
        return losses

    def retrieval_loss_at(self, temperature: float, batch: Batch) -> tf.Tensor:
        """The mean retrieval loss over a batch that is all here, at another temperature than that of training."""
        return self._retrieval_loss(type(self.retrieval)(temperature), self._vectors(batch), batch)

    def _vectors(self, batch: Batch) -> BatchVectors:
        own = tf.gather(self.towers.query.embedding, batch.users)
        items = self.towers.candidate.directions(batch.items)
        if not self.history_weight:
            return BatchVectors(own, items, None, None, None)
        if self.strengths:
            return self._weighted_vectors(batch, own, items)
        counts = tf.math.bincount(batch.pair_user, minlength=tf.shape(own)[0], dtype=tf.float32)
        history = tf.sparse.segment_sqrt_n(items, batch.pair_item, batch.pair_user)
        share = tf.gather(over_root(self.history_weight, counts), batch.pair_user)
        users = own + self.history_weight * history
        return BatchVectors(users, items, tf.sqrt(counts)[:, None] * history, counts, share)

    def _weighted_vectors(self, batch: Batch, own: tf.Tensor, items: tf.Tensor) -> BatchVectors:
        """As _vectors() with the strengths s: the history is the sum of s v over the root of the sum of s^2."""
        sums = tf.math.segment_sum(batch.strength[:, None] * tf.gather(items, batch.pair_item), batch.pair_user)
        totals = tf.math.segment_sum(batch.strength, batch.pair_user)
        weights = over_root(self.history_weight, tf.math.segment_sum(tf.square(batch.strength), batch.pair_user))
        share = tf.gather(weights, batch.pair_user) * batch.strength
        return BatchVectors(own + weights[:, None] * sums, items, sums, totals, share)

    def _retrieval_loss(self, task: Any, vectors: BatchVectors, batch: Batch) -> tf.Tensor:
        if not self.history_weight:
            return task(
                tf.gather(unit(vectors.users), batch.pair_user),
                tf.gather(vectors.items, batch.pair_item),
                candidate_ids=tf.gather(batch.items, batch.pair_item),
                strength=batch.strength if self.strengths else None,
            )
        negatives = None
        if self.strengths:
            of_negatives = tf.gather(vectors.items, tf.gather(batch.pair_item, batch.negative))
            user = tf.gather(batch.pair_user, batch.negative)
            negatives = Negatives(user, of_negatives, batch.negative_log_weight)
        return task(
            query=unit(vectors.users),
            candidates=vectors.items[: tf.shape(batch.log_weight)[0]],
            positives=vectors.positives,
            num_positives=vectors.num_items,
            log_weight=batch.log_weight,
            masked=batch.masked,
            negatives=negatives,
        )

    def _rating_loss(self, terms: RatingTerms, vectors: BatchVectors, batch: Batch) -> tf.Tensor:
        users, items = tf.gather(vectors.users, batch.pair_user), tf.gather(vectors.items, batch.pair_item)
        if vectors.share is not None:
            users -= vectors.share[:, None] * items
        return self.rating(labels=batch.rating, predictions=terms.predict(batch, unit(users), items))

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The weighted sum of the tasks' losses over a batch."""
        pairs = tf.cast(tf.size(inputs.pair_user), tf.float32)
        share = tf.math.divide_no_nan(pairs, summed(self.workers, pairs))
        losses = self.task_losses(inputs, share)
        for task, loss in losses.items():
            self.losses_seen[task].update_state(tf.math.divide_no_nan(loss, share), sample_weight=pairs)
        return tf.add_n([self.weights_of_tasks[task] * loss for task, loss in losses.items()])
