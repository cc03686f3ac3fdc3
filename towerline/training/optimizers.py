"""Optimizers for batches that name each row once, in Keras' legacy form, which is faster."""

from collections.abc import Callable
from typing import Any

from towerline.towers import tf

# Squared gradients that Adagrad's rows start with: small enough for the first step to be of full size.
INITIAL_ACCUMULATOR = 1e-7


class _UniqueRows:
    """For batches that name each row once: nothing has to be summed before a sparse update."""

    _resource_apply_sparse: Callable[..., Any]

    def _resource_apply_sparse_duplicate_indices(self, *args: Any, **kwargs: Any) -> Any:
        return self._resource_apply_sparse(*args, **kwargs)


class Adagrad(_UniqueRows, tf.keras.optimizers.legacy.Adagrad):
    """Duchi, Hazan and Singer (2011)."""


class Adam(_UniqueRows, tf.keras.optimizers.legacy.Adam):
    """Kingma and Ba (2015); its moments decay in every row at every step, so it touches them all."""


def optimizer(name: str, learning_rate: float, steps: int) -> Any:
    """The optimizer of a name, its learning rate going down in a line to 0 after the given number of steps."""
    schedule = tf.keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=0.0)
    match name:
        case "adagrad":
            return Adagrad(schedule, initial_accumulator_value=INITIAL_ACCUMULATOR)
        case "adam":
            return Adam(schedule)
        case _:
            return tf.keras.optimizers.legacy.SGD(schedule)
