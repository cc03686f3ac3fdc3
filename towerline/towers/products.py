"""Matrix products and lengths whose last bits are the same on every processor.

TensorFlow's own matrix product sums in blocks that depend on the sizes of the processor's caches, with kernels made for
its vector extensions. NumPy's product is that of OpenBLAS, whose kernel and blocks pipeline/environment.py fixes.
TensorFlow's 1/x and 1/sqrt(x) start from approximations that AMD and Intel tabulate differently, while square root and
division are exact to the last bit. In a graph TensorFlow would turn x / sqrt(y) back into x * 1/sqrt(y): not where
another operation is between the two, nor in divide_no_nan.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towerline.towers import tf

# Minimum length that a vector is divided by; the zero vector does not change.
_SHORTEST = 1e-6
# Products with more multiplications are computed in blocks of rows, side by side; a smaller block would not be worth a
# thread. Rows of a block are a multiple of _BLOCK_ROWS, whose kernels need no rest.
_BLOCK_PRODUCTS, _BLOCK_ROWS = 2**27, 256


def block_rows(inner: int, columns: int) -> int:
    """Rows of a block of a [rows, inner] by [inner, columns] product."""
    wanted = -(-_BLOCK_PRODUCTS // max(1, inner * columns))
    return -(-wanted // _BLOCK_ROWS) * _BLOCK_ROWS


def blocked_product(left: NDArray[np.float32], right: NDArray[np.float32], threads: int) -> NDArray[np.float32]:
    """The product of two float32 matrices in blocks of rows, the same to the byte for every number of threads.

    OpenBLAS with several threads would divide the work by their number, and sum in another order.

    Args:
      left: [rows, inner].
      right: [inner, columns].
      threads: that compute blocks at the same time.
    """
    rows, inner = left.shape
    size = block_rows(inner, right.shape[1])
    result: NDArray[np.float32]
    if size >= rows:
        result = left @ right
        return result
    result = np.empty((rows, right.shape[1]), np.float32)

    def compute(first: int) -> None:
        np.matmul(left[first : first + size], right, out=result[first : first + size])

    # Iterating raises what a thread has raised.
    list(_pool(threads).map(compute, range(0, rows, size)))
    return result


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def matmul(left: tf.Tensor, right: tf.Tensor, transpose_left: bool = False, transpose_right: bool = False) -> tf.Tensor:
    """blocked_product() of two float32 matrices, either of them transposed first; without a gradient.

    On a GPU it is that of TensorFlow, since the matrices are there.
    """
    if tf.config.get_visible_devices("GPU"):
        return tf.stop_gradient(tf.matmul(left, right, transpose_a=transpose_left, transpose_b=transpose_right))
    threads = max(1, tf.config.threading.get_intra_op_parallelism_threads())

    def product(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
        return blocked_product(first.T if transpose_left else first, second.T if transpose_right else second, threads)

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
