"""Retrieval losses as tasks in the sense of TensorFlow Recommenders."""

from typing import Any, NamedTuple

from towerline.towers import tf, tfrs
from towerline.towers.products import inner_products, matmul
from towerline.training.workers import Workers


@tf.custom_gradient
def log_partition(
    query: tf.Tensor, candidates: tf.Tensor, log_weight: tf.Tensor, masked: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """Logarithm of the sum over candidates j of exp(query . candidate_j + log_weight_j), without masked candidates.

    The gradient is explicit, since it only needs the weights of the forward pass: that of a query is the mean of the
    candidates under the softmax, and that of a masked candidate is exactly 0.

    Args:
      query: [queries, d] float32.
      candidates: [candidates, d] float32.
      log_weight: [candidates] float32, without gradient.
      masked: [masked, 2] int32 pairs (query, candidate).

    Returns:
      [queries] float32; 0 for a query all of whose candidates are masked.
    """
    logits = matmul(query, candidates, transpose_right=True) + log_weight
    logits = tf.tensor_scatter_nd_update(logits, masked, tf.fill([tf.shape(masked)[0]], logits.dtype.min))
    peak = tf.reduce_max(logits, axis=1, keepdims=True)
    peak = tf.maximum(peak, logits.dtype.min / 2)
    weights = tf.exp(logits - peak)
    total = tf.reduce_sum(weights, axis=1, keepdims=True)
    value = tf.where(total > 0, peak + tf.math.log(total), 0)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None, None]:
        scale = tf.math.divide_no_nan(upstream[:, None], total)
        of_query = scale * matmul(weights, candidates)
        of_candidates = matmul(weights, scale * query, transpose_left=True)
        return of_query, of_candidates, None, None

    return tf.squeeze(value, axis=1), gradient


class Negatives(NamedTuple):
    """Items that are negatives of a user of the batch.

    Attributes:
      user: [negatives] int32 positions of the users.
      vectors: [negatives, d] unit vectors of the items.
      log_weight: [negatives] float32, added to their logits.
    """

    user: tf.Tensor
    vectors: tf.Tensor
    log_weight: tf.Tensor


def with_negatives(log_sum: tf.Tensor, query: tf.Tensor, negatives: Negatives) -> tf.Tensor:
    """[queries] log_partition() values that include the negatives of each query.

    Args:
      log_sum: [queries] float32 from log_partition().
      query: as in log_partition().
      negatives: the negatives.
    """
    logits = tf.reduce_sum(tf.gather(query, negatives.user) * negatives.vectors, axis=1) + negatives.log_weight
    number = tf.shape(log_sum)[0]
    highest = tf.maximum(log_sum, tf.math.unsorted_segment_max(logits, negatives.user, number))
    peak = tf.stop_gradient(highest)
    sums = tf.math.unsorted_segment_sum(tf.exp(logits - tf.gather(peak, negatives.user)), negatives.user, number)
    return peak + tf.math.log(tf.exp(log_sum - peak) + sums)


class GroupedSoftmax(tf.keras.layers.Layer, tfrs.tasks.Task):
    """Sampled softmax over a batch of users, each with all their items at once.

    loss = sum over users u of [ n_u * log sum_j exp(cos(u, j) / t + w_j) - sum over u's items i of cos(u, i) / t ]
           divided by sum over users of n_u

    where j are the candidates of the batch without u's own items, and w_j corrects for the sampling of candidate j.
    With strengths, n_u is the sum of those of u's items, and the second sum is weighted by them. The negatives of u, if
    there are any, are further candidates. It is the multinomial likelihood of Liang et al. (2018, Mult-VAE) with the
    sampled softmax of Bengio and Senécal (2003) and, as in the decoupled contrastive loss of Yeh et al. (2022), without
    the positive in the denominator. One row of logits is enough for all items of a user; in-batch softmax needs one for
    each of them.
    """

    def __init__(self, temperature: Any, workers: Workers | None = None) -> None:
        """
        Args:
          temperature: divides the cosines; a number or a variable.
          workers: that each have a part of the batch; None where all of it is here.
        """
        super().__init__(name="grouped_softmax")
        self.temperature, self.workers = temperature, workers

    def call(
        self,
        query: tf.Tensor,
        candidates: tf.Tensor,
        positives: tf.Tensor,
        num_positives: tf.Tensor,
        log_weight: tf.Tensor,
        masked: tf.Tensor,
        negatives: Negatives | None = None,
    ) -> tf.Tensor:
        """The mean loss over the (user, item) pairs of the batch; of several workers, the part that is from here.

        Args:
          query: [users, d] unit vectors.
          candidates: [candidates, d] unit vectors.
          positives: [users, d] sums of the unit vectors of each user's items, weighted by strength.
          num_positives: [users] float32 numbers of these items, or sums of their strengths.
          log_weight, masked: as in log_partition().
          negatives: further candidates of single users.
        """
        sharp = query / self.temperature
        negative = log_partition(sharp, candidates, log_weight, masked)
        if negatives is not None:
            negative = with_negatives(negative, sharp, negatives)
        positive = tf.reduce_sum(sharp * positives, axis=1)
        # A plain division's gradient would be an approximate reciprocal.
        total = summed(self.workers, tf.reduce_sum(num_positives))
        return tf.math.divide_no_nan(tf.reduce_sum(num_positives * negative - positive), total)


class InBatchSoftmax(tf.keras.layers.Layer, tfrs.tasks.Task):
    """TensorFlow Recommenders' Retrieval (Yi et al. 2019) as a mean without accidental hits, by inner_products().

    Of several workers, each has some rows of the batch, and the items of all of them are candidates.
    """

    def __init__(self, temperature: Any, workers: Workers | None = None) -> None:
        """
        Args:
          temperature: divides the cosines; a number or a variable.
          workers: that each have a part of the batch; None where all of it is here.
        """
        super().__init__(name="in_batch_softmax")
        self.temperature, self.workers = temperature, workers

    def call(
        self, query: tf.Tensor, candidates: tf.Tensor, candidate_ids: tf.Tensor, strength: tf.Tensor | None = None
    ) -> tf.Tensor:
        """The mean loss over the rows of the batch; of several workers, the part that is from here.

        Args:
          query: [rows, d] unit vectors of the rows' users.
          candidates: [rows, d] unit vectors of the rows' items, each the positive of its row and a negative of others.
          candidate_ids: [rows] int32 indices of the items, to find other rows with the same item.
          strength: [rows] float32 by which the mean is weighted; None for the plain mean.
        """
        place = tf.range(tf.size(candidate_ids))
        if self.workers is not None:
            place += tf.reduce_sum(self.workers.gathered(tf.shape(place))[: self.workers.index])
            candidates, candidate_ids = self.workers.gathered(candidates), self.workers.gathered(candidate_ids)
        scores = inner_products(query, candidates) / self.temperature
        labels = tf.one_hot(place, tf.size(candidate_ids))
        scores = tfrs.layers.loss.RemoveAccidentalHits()(labels, scores, candidate_ids)
        losses = tf.nn.softmax_cross_entropy_with_logits(labels, scores)
        weights = tf.ones_like(losses) if strength is None else strength
        return tf.math.divide_no_nan(tf.reduce_sum(weights * losses), summed(self.workers, tf.reduce_sum(weights)))


def summed(workers: Workers | None, value: tf.Tensor) -> tf.Tensor:
    """The sum of a number over the workers, in a function that their strategy runs; the number itself without them."""
    return value if workers is None else workers.summed(value)
