"""The two-tower model with a retrieval and a rating task, in TensorFlow Recommenders' terms."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.train.batches import Batch
from stages.train.tasks import GroupedSoftmax, InBatchSoftmax
from towerline.towers import tf, tfrs
from towerline.towers.products import over_root, unit
from towerline.towers.towers import Towers

# Weight of a user's history beside the user's own row.
HISTORY_WEIGHT = 2.0


class RatingHead(tf.keras.layers.Layer):
    """Predicted rating of a pair: user bias + item bias + scale * cosine of the two towers.

    The biased matrix factorisation of Koren, Bell and Volinsky (2009) over the towers' embeddings. It works in standard
    deviations of the training ratings from their mean, so that neither the learning rate nor the weight of the task
    depends on whether ratings run to 5 or to 100. The biases are given, since a regularised least squares fit finds
    better ones than gradient steps do; what the towers add to them is learnt.
    """

    def __init__(self, user_bias: NDArray[np.float32], item_bias: NDArray[np.float32]) -> None:
        """
        Args:
          user_bias: [num_users + 1] float32, in standard deviations.
          item_bias: [num_items + 1] float32, likewise.
        """
        super().__init__(name="rating_head")
        self.user_bias = tf.constant(user_bias)
        self.item_bias = tf.constant(item_bias)
        self.scale = self.add_weight(name="scale", shape=[], initializer="zeros")

    def call(self, batch: Batch, cosine: tf.Tensor) -> tf.Tensor:
        """[pairs] standardised ratings of a batch's pairs."""
        user_bias = tf.gather(tf.gather(self.user_bias, batch.users), batch.pair_user)
        item_bias = tf.gather(tf.gather(self.item_bias, batch.items), batch.pair_item)
        return user_bias + item_bias + self.scale * cosine


class TwoTower(tfrs.Model):
    """Query and candidate tower, trained on one or both of two tasks.

    retrieval: GroupedSoftmax, or InBatchSoftmax without the logQ correction: the towers learn taste, and the prior
    gives popularity back when serving. The loss is the mean over the batch, where TensorFlow Recommenders' default is
    the sum.
    rating: mean squared error of standardised ratings; 1 is as good as predicting the mean.

    With GroupedSoftmax a user's vector is the user's own row plus HISTORY_WEIGHT times the sum of the items' unit
    vectors over the root of their number (as in SVD++, Koren 2008); user_vectors() makes one row of both in the end. A
    rating is predicted from the vector without the rated item, since a rating to come will not be in the history.

    Attributes:
      losses_seen: task -> mean of its loss since the last reset_metrics(), weighted by pairs.
    """

    def __init__(
        self, towers: Towers, rating_head: RatingHead | None, weights: dict[str, float], loss: str, temperature: Any
    ):
        """
        Args:
          towers: the towers to train.
          rating_head: None where there is no rating task.
          weights: task -> weight of its loss, of the tasks "retrieval" and "rating" that are trained.
          loss: grouped_softmax or in_batch_softmax.
          temperature: what cosines are divided by, a number or a variable.
        """
        super().__init__()
        self.towers = towers
        self.rating_head = rating_head
        self.weights_of_tasks = weights
        self.history_weight = HISTORY_WEIGHT if loss == "grouped_softmax" else 0.0
        tasks: dict[str, Callable[[Any], Any]] = {
            "grouped_softmax": GroupedSoftmax,
            "in_batch_softmax": InBatchSoftmax,
        }
        self.retrieval = tasks[loss](temperature)
        self.rating = tfrs.tasks.Ranking(loss=tf.keras.losses.MeanSquaredError())
        self.losses_seen = {task: tf.keras.metrics.Mean(f"{task}_loss") for task in weights}

    def task_losses(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The mean loss over the batch of each task that is trained."""
        own = tf.gather(self.towers.query.embedding, batch.users)
        items = self.towers.candidate.directions(batch.items)
        losses: dict[str, tf.Tensor] = {}
        if self.history_weight:
            counts = tf.math.bincount(batch.pair_user, minlength=tf.shape(own)[0], dtype=tf.float32)
            history = tf.sparse.segment_sqrt_n(items, batch.pair_item, batch.pair_user)
            user_vectors = own + self.history_weight * history
            if "retrieval" in self.weights_of_tasks:
                losses["retrieval"] = self.retrieval(
                    query=unit(user_vectors),
                    candidates=items[: tf.shape(batch.log_weight)[0]],
                    positives=tf.sqrt(counts)[:, None] * history,
                    num_positives=counts,
                    log_weight=batch.log_weight,
                    masked=batch.masked,
                )
            share = tf.gather(over_root(self.history_weight, counts), batch.pair_user)
        else:
            user_vectors, share = own, tf.zeros_like(batch.rating)
            if "retrieval" in self.weights_of_tasks:
                losses["retrieval"] = self.retrieval(
                    tf.gather(unit(own), batch.pair_user),
                    tf.gather(items, batch.pair_item),
                    candidate_ids=batch.pair_item,
                )
        if self.rating_head is not None:
            cosine = _cosine_without(user_vectors, items, batch, share)
            losses["rating"] = self.rating(labels=batch.rating, predictions=self.rating_head(batch, cosine))
        return losses

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The weighted sum of the tasks' losses over a batch."""
        losses = self.task_losses(inputs)
        for task, loss in losses.items():
            self.losses_seen[task].update_state(loss, sample_weight=tf.size(inputs.pair_user))
        return tf.add_n([self.weights_of_tasks[task] * loss for task, loss in losses.items()])

    def user_vectors(self, history: tf.Tensor, history_user: tf.Tensor) -> tf.Tensor:
        """[num_users + 1, d] vectors of all users before normalisation, their history in them.

        Args:
          history: [rows] int32 items of the train part, user by user.
          history_user: [rows] int32 their users, ascending.
        """
        own = self.towers.query.embedding
        if not self.history_weight:
            return tf.identity(own)
        directions = self.towers.candidate.directions(tf.range(self.towers.candidate.embedding.shape[0]))
        return own + self.history_weight * tf.sparse.segment_sqrt_n(
            directions, history, history_user, num_segments=own.shape[0]
        )


def _cosine_without(user_vectors: tf.Tensor, items: tf.Tensor, batch: Batch, share: tf.Tensor) -> tf.Tensor:
    """[pairs] cosine of each pair's item with its user's vector less `share` times the item's direction."""
    inner = tf.reduce_sum(tf.gather(user_vectors, batch.pair_user) * tf.gather(items, batch.pair_item), axis=1)
    square = tf.gather(tf.reduce_sum(user_vectors**2, axis=1), batch.pair_user)
    rest = tf.maximum(square - 2 * share * inner + share**2, 1e-6)
    return over_root(inner - share, rest)
