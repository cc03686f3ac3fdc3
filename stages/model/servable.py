"""The trained towers as a SavedModel that TensorFlow alone can load: ids in, embeddings or recommended ids out."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stages.model.towers import Towers

# Between an item's type and its id, which together are its key.
_SEPARATOR = "\x1f"
_FINGERPRINT = "fingerprint.pb"


class Vocabularies(NamedTuple):
    """Ids in the order of their indices, from index 1."""

    user_id: NDArray[np.object_]
    item_type: NDArray[np.object_]
    item_id: NDArray[np.object_]


class Retrieval(tf.Module):
    """Exact search over the whole catalogue.

    Signatures:
      serving_default(user_id [n] string, k [] int32) -> score [n, k] float32, item_type, item_id [n, k] string: the k
        items with the largest scores, best first, equal scores by index; nothing is left out.
      query_embedding(user_id [n] string) -> embedding [n, d + 1] float32.
      candidate_embedding(item_type, item_id [n] string) -> embedding [n, d + 1] float32.

    An id that is not in the vocabulary has index 0, the unknown id: its score is the popularity prior alone.
    """

    def __init__(self, towers: Towers, vocabularies: Vocabularies) -> None:
        super().__init__()
        keys = [_SEPARATOR.join(pair) for pair in zip(vocabularies.item_type, vocabularies.item_id, strict=True)]
        self.user_index = _index_table(list(vocabularies.user_id), "user_index")
        self.item_index = _index_table(keys, "item_index")
        # The towers' finished output: normalised anew in a graph, its last bits would differ from the exported files.
        self.queries = tf.Variable(towers.query.all_embeddings(), trainable=False, name="queries")
        self.candidates = tf.Variable(towers.candidate.all_embeddings(), trainable=False, name="candidates")
        self.item_type = tf.constant(["", *vocabularies.item_type])
        self.item_id = tf.constant(["", *vocabularies.item_id])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id"), tf.TensorSpec([], tf.int32, "k")])
    def recommend(self, user_id: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        query = tf.gather(self.queries, self.user_index.lookup(user_id))
        # Row 0, the unknown item, is no candidate.
        score, row = tf.math.top_k(tf.matmul(query, self.candidates[1:], transpose_b=True), k)
        item = row + 1
        return {"score": score, "item_type": tf.gather(self.item_type, item), "item_id": tf.gather(self.item_id, item)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id")])
    def query_embedding(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": tf.gather(self.queries, self.user_index.lookup(user_id))}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "item_type"), tf.TensorSpec([None], tf.string, "item_id")]
    )
    def candidate_embedding(self, item_type: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        key = tf.strings.join([item_type, item_id], _SEPARATOR)
        return {"embedding": tf.gather(self.candidates, self.item_index.lookup(key))}

    def save(self, folder: Path) -> None:
        """Writes the SavedModel without its fingerprint, a random number that loading does not need."""
        signatures: dict[str, Any] = {
            "serving_default": self.recommend,
            "query_embedding": self.query_embedding,
            "candidate_embedding": self.candidate_embedding,
        }
        tf.saved_model.save(self, str(folder), signatures=signatures)
        (folder / _FINGERPRINT).unlink(missing_ok=True)


def _index_table(keys: list[str], name: str) -> Any:
    """A table from a key to its index from 1, 0 for a key it does not have."""
    index = tf.range(1, len(keys) + 1, dtype=tf.int32)
    initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(keys), index)
    return tf.lookup.StaticHashTable(initializer, default_value=0, name=name)
