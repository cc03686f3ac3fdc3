"""The two-tower model with a retrieval and a rating task, in TensorFlow Recommenders' terms."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from stages.model.towers import Towers

Batch = dict[str, tf.Tensor]


class RatingHead(tf.keras.layers.Layer):
    """Predicted rating of a pair: user bias + item bias + scale * cosine of the two towers.

    The biased matrix factorisation of Koren, Bell and Volinsky (2009) over the towers' embeddings. It works in standard
    deviations of the training ratings from their mean, so that neither the learning rate nor the weight of the task
    depends on whether ratings run to 5 or to 100.
    """

    def __init__(self, num_users: int, num_items: int) -> None:
        super().__init__(name="rating_head")
        self.user_bias = self.add_weight(name="user_bias", shape=[num_users + 1], initializer="zeros")
        self.item_bias = self.add_weight(name="item_bias", shape=[num_items + 1], initializer="zeros")
        self.scale = self.add_weight(name="scale", shape=[], initializer="ones")

    def call(self, user_index: tf.Tensor, item_index: tf.Tensor, cosine: tf.Tensor) -> tf.Tensor:
        """[batch] standardised ratings of [batch] pairs."""
        return tf.gather(self.user_bias, user_index) + tf.gather(self.item_bias, item_index) + self.scale * cosine


class TwoTower(tfrs.Model):
    """Query and candidate tower, trained on one or both of two tasks.

    retrieval: in-batch softmax over the cosines divided by the temperature (Yi et al. 2019, without the logQ
    correction: the towers learn taste, and the prior gives popularity back when serving); other rows of a batch with
    the same item are no negatives. The loss is the mean over the batch, where TensorFlow Recommenders' default is the
    sum.
    rating: mean squared error of standardised ratings; 1 is as good as predicting the mean.

    Attributes:
      losses_seen: task -> mean of its loss since the last reset_metrics(), weighted by rows.
    """

    def __init__(self, towers: Towers, rating_head: RatingHead | None, weights: dict[str, float], temperature: float):
        """
        Args:
          towers: the towers to train.
          rating_head: None where there is no rating task.
          weights: task -> weight of its loss, of the tasks "retrieval" and "rating" that are trained.
          temperature: what cosines are divided by.
        """
        super().__init__()
        self.towers = towers
        self.rating_head = rating_head
        self.weights_of_tasks = weights
        self.retrieval = tfrs.tasks.Retrieval(
            loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum_over_batch_size"),
            temperature=temperature,
            remove_accidental_hits=True,
        )
        self.rating = tfrs.tasks.Ranking(loss=tf.keras.losses.MeanSquaredError())
        self.losses_seen = {task: tf.keras.metrics.Mean(f"{task}_loss") for task in weights}

    def task_losses(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The mean loss over the batch of each task that is trained."""
        query = self.towers.query.directions(batch["user_index"])
        candidate = self.towers.candidate.directions(batch["item_index"])
        losses: dict[str, tf.Tensor] = {}
        if "retrieval" in self.weights_of_tasks:
            losses["retrieval"] = self.retrieval(
                query, candidate, candidate_ids=batch["item_index"], compute_metrics=False
            )
        if self.rating_head is not None:
            cosine = tf.reduce_sum(query * candidate, axis=1)
            predictions = self.rating_head(batch["user_index"], batch["item_index"], cosine)
            losses["rating"] = self.rating(labels=batch["rating"], predictions=predictions)
        return losses

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The weighted sum of the tasks' losses over a batch.

        Args:
          inputs: user_index and item_index, [batch] int32; rating, [batch] float32 standardised, for the rating task.
        """
        losses = self.task_losses(inputs)
        for task, loss in losses.items():
            self.losses_seen[task].update_state(loss, sample_weight=tf.shape(inputs["user_index"])[0])
        return tf.add_n([self.weights_of_tasks[task] * loss for task, loss in losses.items()])
