"""Matrix products and lengths whose last bits are the same on every processor.

TensorFlow's own matrix product sums in blocks that depend on the sizes of the processor's caches, with kernels made for
its vector extensions. NumPy's product is that of OpenBLAS, whose kernel and blocks pipeline/environment.py fixes.
TensorFlow's 1/x and 1/sqrt(x) start from approximations that AMD and Intel tabulate differently, while square root and
division are exact to the last bit. In a graph TensorFlow would turn x / sqrt(y) back into x * 1/sqrt(y): not where
another operation is between the two, nor in divide_no_nan.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from towerline.towers import tf

# Minimum length that a vector is divided by; the zero vector does not change.
_SHORTEST = 1e-6


def matmul(left: tf.Tensor, right: tf.Tensor, transpose_left: bool = False, transpose_right: bool = False) -> tf.Tensor:
    """NumPy's product of two float32 matrices, either of them transposed first; without a gradient.

    On a GPU it is that of TensorFlow, since the matrices are there.
    """
    if tf.config.get_visible_devices("GPU"):
        return tf.stop_gradient(tf.matmul(left, right, transpose_a=transpose_left, transpose_b=transpose_right))

    def product(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = (first.T if transpose_left else first) @ (second.T if transpose_right else second)
        return result

    # Not stateful: equal inputs have equal outputs, so TensorFlow may drop the product if nothing uses it.
    result = tf.numpy_function(product, [left, right], tf.float32, stateful=False)
    result.set_shape([left.shape[1 if transpose_left else 0], right.shape[0 if transpose_right else 1]])
    return result


@tf.custom_gradient
def inner_products(query: tf.Tensor, candidates: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """[queries, candidates] inner products of [queries, d] and [candidates, d] float32."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return matmul(upstream, candidates), matmul(upstream, query, transpose_left=True)

    return matmul(query, candidates, transpose_right=True), gradient


@tf.custom_gradient
def unit(vectors: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """[rows, d] float32 vectors over their lengths; the zero vector stays as it is."""
    length = tf.maximum(tf.sqrt(tf.reduce_sum(tf.square(vectors), axis=1, keepdims=True)), _SHORTEST)
    directions = vectors / length

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        # The component of the gradient that is orthogonal to the vector.
        return (upstream - directions * tf.reduce_sum(directions * upstream, axis=1, keepdims=True)) / length

    return directions, gradient


def over_root(numerator: tf.Tensor, square: tf.Tensor) -> tf.Tensor:
    """[...] float32 numerator / sqrt(square), the numerator a number or of the same shape; square is above 0."""
    return tf.math.divide_no_nan(numerator, tf.sqrt(square))
