"""The query and the candidate tower: an index in, an embedding out."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from towerline.ranking.embedding import PRIOR_DIMENSIONS
from towerline.towers import tf
from towerline.towers.products import unit


def embeddings(vectors: tf.Tensor, extra: tf.Tensor) -> NDArray[np.float32]:
    """[rows, dimension + PRIOR_DIMENSIONS] float32: the unit vectors, or zero vectors, and the extra dimensions."""
    rows: NDArray[np.float32] = tf.concat([unit(tf.convert_to_tensor(vectors)), extra], axis=1).numpy()
    return rows


def only(vectors: NDArray[np.float32], index: NDArray[np.signedinteger[Any]]) -> NDArray[np.float32]:
    """The [num_ids, dimension] vectors of the ids at `index`, and zero vectors for all others.

    The others are the ids without training rows, whose gradients are always zero.
    """
    known = np.zeros((len(vectors), 1), np.float32)
    known[index] = 1
    return vectors * known


class Tower(tf.keras.Model):
    """Embedding lookup, L2 normalization, and extra dimensions for the popularity prior.

    The inner product of the extra dimensions of a query and a candidate is the prior of the pair, so that the inner
    product of the two towers' outputs is the cosine plus the prior, and a search for the largest score stays a plain
    inner product search. The vector of an id without training rows is zero and is not normalized: its score is the
    prior alone.

    Attributes:
      embedding: [num_ids, dimension] float32, before normalization; row 0 is the unknown id.
      extra: [num_ids, PRIOR_DIMENSIONS] float32, not trained.
    """

    def __init__(self, num_ids: int, dimension: int, name: str) -> None:
        super().__init__(name=name)
        self.embedding = self.add_weight(
            name="embedding",
            shape=[num_ids, dimension],
            initializer="zeros",
        )
        self.extra = self.add_weight(
            name="extra", shape=[num_ids, PRIOR_DIMENSIONS], initializer="zeros", trainable=False
        )

    def start_from(self, vectors: NDArray[np.float32], index: NDArray[np.signedinteger[Any]]) -> None:
        """Assigns the [num_ids, dimension] vectors to the ids at `index`, and zero vectors to all others."""
        self.embedding.assign(only(vectors, index))

    def directions(self, index: tf.Tensor) -> tf.Tensor:
        """[batch, dimension] unit vectors, or zero vectors, of [batch] int32 indices."""
        return unit(tf.gather(self.embedding, index))

    def all_embeddings(self) -> NDArray[np.float32]:
        """[num_ids, dimension + PRIOR_DIMENSIONS] float32, of every index, as exported and searched."""
        return embeddings(self.embedding, self.extra)


class Towers(tf.keras.Model):
    """Both towers as one piece that can be saved and rebuilt without the tasks they were trained on."""

    def __init__(self, num_users: int, num_items: int, dimension: int) -> None:
        """
        Args:
          num_users, num_items: sizes of the vocabularies, without the unknown id.
          dimension: of the embeddings, without the extra dimensions.
        """
        super().__init__(name="towers")
        self.query = Tower(num_users + 1, dimension, name="query")
        self.candidate = Tower(num_items + 1, dimension, name="candidate")
        self.built = True

    @classmethod
    def load(cls, weights: Path, num_users: int, num_items: int, dimension: int) -> "Towers":
        towers = cls(num_users, num_items, dimension)
        towers.load_weights(weights)
        return towers
