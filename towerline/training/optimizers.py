"""Optimizers in Keras' legacy form, which is faster, for gradients of some rows of the embedding tables."""

from collections.abc import Callable, Sequence
from typing import Any

from towerline.towers import tf

# Squared gradients that Adagrad's rows start with: small enough for the first step to be of full size.
INITIAL_ACCUMULATOR = 1e-7

GradientsAndVariables = Sequence[tuple[Any, Any]]


class _UniqueRows:
    """For batches that name each row once: nothing has to be summed before a sparse update."""

    _resource_apply_sparse: Callable[..., Any]

    def _resource_apply_sparse_duplicate_indices(self, *args: Any, **kwargs: Any) -> Any:
        return self._resource_apply_sparse(*args, **kwargs)


class _RowsOfWorkers:
    """For batches of several workers, which name rows twice, and of which one may have no user at all."""

    def _transform_unaggregated_gradients(self, gradients: GradientsAndVariables) -> GradientsAndVariables:
        sparse = [gradient for gradient, _ in gradients if isinstance(gradient, tf.IndexedSlices)]
        present = tf.reduce_all([tf.shape(gradient.indices)[0] > 0 for gradient in sparse])
        return [(_to_be_gathered(gradient, present), variable) for gradient, variable in gradients]


def _to_be_gathered(gradient: Any, present: tf.Tensor) -> Any:
    """The gradient of a worker as it can be gathered with those of others.

    TensorFlow cannot gather gradients without rows, so that each has a row of zeros for the unknown id. Where a worker
    has no user of the batch, the gradients of the candidates are whatever was in memory, and should be zeros.

    Args:
      gradient: of a variable.
      present: true if the worker has users of the batch.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    values = tf.where(present, gradient.values, tf.zeros_like(gradient.values))
    indices = gradient.indices
    return tf.IndexedSlices(
        tf.concat([values, tf.zeros([1, values.shape[1]])], axis=0),
        tf.concat([indices, tf.zeros([1], indices.dtype)], axis=0),
        gradient.dense_shape,
    )


class Adagrad(_UniqueRows, tf.keras.optimizers.legacy.Adagrad):
    """Duchi, Hazan and Singer (2011)."""


class Adam(_UniqueRows, tf.keras.optimizers.legacy.Adam):
    """Kingma and Ba (2015); its moments decay in every row at every step, so it touches them all."""


class AdagradOfWorkers(_RowsOfWorkers, tf.keras.optimizers.legacy.Adagrad):
    """Adagrad on the sums of the gradients of several workers."""


class AdamOfWorkers(_RowsOfWorkers, tf.keras.optimizers.legacy.Adam):
    """Adam on the sums of the gradients of several workers."""


class SGDOfWorkers(_RowsOfWorkers, tf.keras.optimizers.legacy.SGD):
    """Stochastic gradient descent on the sums of the gradients of several workers."""


def optimizer(name: str, learning_rate: float, steps: int, workers: int = 1) -> Any:
    """The optimizer of a name, its learning rate going down in a line to 0 after the given number of steps.

    Args:
      name: adagrad, adam or sgd.
      learning_rate: of the first step.
      steps: number of steps.
      workers: number of workers whose gradients are summed.
    """
    schedule = tf.keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=0.0)
    alone = workers == 1
    match name:
        case "adagrad":
            adagrad = Adagrad if alone else AdagradOfWorkers
            return adagrad(schedule, initial_accumulator_value=INITIAL_ACCUMULATOR)
        case "adam":
            return (Adam if alone else AdamOfWorkers)(schedule)
        case _:
            return (tf.keras.optimizers.legacy.SGD if alone else SGDOfWorkers)(schedule)
