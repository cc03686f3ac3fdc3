"""The model as a SavedModel that TensorFlow alone can load: ids in, embeddings or recommended ids out.

Where there are encoders, embeddings of texts, too.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.export.encoding import SavedEncoder
from towerline.exports.precision import Table, Tables
from towerline.features.encoder import Encoder
from towerline.pipeline.errors import StageError
from towerline.ranking.top_k import MARGIN, score_error
from towerline.towers import tf

_FINGERPRINT = "fingerprint.pb"
# Embeddings that are held as float64 at a time.
_BLOCK_ROWS = 1 << 14

# The score of missing items if fewer than k are left: JSON has no infinity.
NO_SCORE = np.finfo(np.float32).min

# Defaults of the inputs, one row for all users; TensorFlow Serving reads them from the model.
_K = tf.constant([10], tf.int32)
_ANY_TYPE = tf.constant([""])
_NOTHING = tf.constant([[]], tf.string, shape=[1, 0])


class Vocabularies(NamedTuple):
    """Ids in the order of their indices, from index 1."""

    user_id: pa.ChunkedArray
    item_type: pa.ChunkedArray
    item_id: pa.ChunkedArray


# Without AutoGraph, which needs to write temporary files: a branch that depends on a tensor has to be a tf.cond.
class Retrieval(tf.Module):
    """Exact search over the whole catalogue.

    Signatures:
      serving_default(user_id [n], k [n or 1] int32, item_type [n or 1], excluded_item_type and excluded_item_id
        [n or 1, any]) -> score [n, largest k] float32, item_type, item_id [n, largest k], known_user [n] bool.
      query_embedding(user_id [n]) -> embedding [n, d + PRIOR_DIMENSIONS] float32, known [n] bool.
      candidate_embedding(item_type, item_id [n]) -> embedding [n, d + PRIOR_DIMENSIONS] float32, known [n] bool.
      encode_users, encode_items, each only with an encoder: a text tensor [n] for each column, named as
        argument_names() says, empty where missing -> embedding [n, d + PRIOR_DIMENSIONS] float32.

    Every input has a row for each user, as TensorFlow Serving's row format and its batching need it; outside of these a
    single row is for all users. All but user_id may be left out of recommend() and of a request to TensorFlow Serving,
    while Python's `signatures` want all inputs: k is 10, the empty item_type means every type, and nothing is
    excluded. Rows of excluded items are filled up with empty ids. Items come best first, equal scores by index; after
    the k of a row, and where fewer are left, the score is NO_SCORE and the id empty; there are no more columns than
    items.

    Nothing that a user has seen is left out unless it is excluded. A user who is not known has index 0, the unknown id,
    whose score is the popularity prior alone. Scores of all n users for all items, and vectors of n times k items, are
    held at once.
    """

    def __init__(
        self,
        embeddings: Tables,
        vocabularies: Vocabularies,
        user_encoder: Encoder | None = None,
        item_encoder: Encoder | None = None,
    ) -> None:
        """
        Args:
          embeddings: of all ids, the unknown ids at index 0.
          vocabularies: the ids of all other rows.
          user_encoder, item_encoder: of features; None without declared features.
        """
        super().__init__()
        self.user_index = _index_table(tf.constant(vocabularies.user_id.to_pylist()), "user_index")
        keys = (tf.constant(column.to_pylist()) for column in (vocabularies.item_type, vocabularies.item_id))
        self.item_index = _index_table(_item_key(*keys), "item_index")
        self.queries = tf.Variable(embeddings.users, trainable=False, name="queries")
        # Each request multiplies with all of them, in float32.
        self.candidates = tf.Variable(tf.cast(embeddings.items, tf.float32), trainable=False, name="candidates")
        self.longest = _longest(embeddings.items)
        # In the order of their first items, which is the byte order.
        types = vocabularies.item_type.combine_chunks().dictionary_encode()
        number = types.indices.to_numpy()
        self.type_index = _index_table(tf.constant(types.dictionary.to_pylist()), "type_index")
        # Column 0, the unknown item, is of no type, and none of a type that is not there.
        self.type_of = tf.constant(np.concatenate([[-1], number + 1]), tf.int32)
        self.item_type = tf.constant(["", *vocabularies.item_type.to_pylist()])
        self.item_id = tf.constant(["", *vocabularies.item_id.to_pylist()])
        self.user_encoder = SavedEncoder(user_encoder) if user_encoder else None
        self.item_encoder = SavedEncoder(item_encoder) if item_encoder else None

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "user_id"),
            tf.TensorSpec([None], tf.int32, "k"),
            tf.TensorSpec([None], tf.string, "item_type"),
            tf.TensorSpec([None, None], tf.string, "excluded_item_type"),
            tf.TensorSpec([None, None], tf.string, "excluded_item_id"),
        ],
        autograph=False,
    )
    def recommend(
        self,
        user_id: tf.Tensor,
        k: tf.Tensor = _K,
        item_type: tf.Tensor = _ANY_TYPE,
        excluded_item_type: tf.Tensor = _NOTHING,
        excluded_item_id: tf.Tensor = _NOTHING,
    ) -> dict[str, tf.Tensor]:
        user = self.user_index.lookup(user_id)
        query = self._query(user)
        scores = self._shown_scores(query, item_type, excluded_item_type, excluded_item_id)
        # Column 0, the unknown item, is never recommended.
        columns = tf.shape(scores)[1]
        k = tf.broadcast_to(tf.clip_by_value(k, 0, columns - 1), tf.shape(user))
        width = tf.reduce_max(tf.concat([k, [0]], axis=0))
        score, item = self._best(query, scores, width)
        there = tf.logical_and(tf.range(width) < k[:, None], score > -np.inf)
        item = tf.where(there, item, 0)
        return {
            "score": tf.where(there, score, NO_SCORE),
            "item_type": tf.gather(self.item_type, item),
            "item_id": tf.gather(self.item_id, item),
            "known_user": user > 0,
        }

    def _query(self, user: tf.Tensor) -> tf.Tensor:
        """[n, d] float32 embeddings of users, which float16 halves in the file and in memory."""
        return tf.cast(tf.gather(self.queries, user), tf.float32)

    def _shown_scores(
        self, query: tf.Tensor, item_type: tf.Tensor, excluded_item_type: tf.Tensor, excluded_item_id: tf.Tensor
    ) -> tf.Tensor:
        """[n, items] float32 scores, -inf for excluded items."""
        scores = tf.matmul(query, self.candidates, transpose_b=True)
        rows = tf.shape(query)[0]
        wanted = self.type_index.lookup(item_type)[:, None]
        shown = tf.logical_or(tf.equal(item_type, "")[:, None], tf.equal(self.type_of, wanted))
        scores = tf.where(shown, scores, -np.inf)
        excluded = self.item_index.lookup(_item_key(excluded_item_type, excluded_item_id))
        return _masked(scores, tf.broadcast_to(excluded, [rows, tf.shape(excluded)[1]]))

    def _best(self, query: tf.Tensor, scores: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[n, width] exact float32 scores and int32 items, best first, equal scores by index; -inf and 0 for none."""
        asked = tf.minimum(width + MARGIN, tf.shape(scores)[1])
        found, item = tf.math.top_k(scores, asked)
        score, item = _rescored(query, tf.gather(self.candidates, item), found, item)
        # As in serving/ranking.py: what was not found is worse than the width-th unless this is within two errors.
        lengths = tf.norm(tf.cast(query, tf.float64), axis=1)
        error = (
            2 * score_error(query.shape[1]) * self.longest * lengths + 8 * query.shape[1] * np.finfo(np.float32).tiny
        )
        least, last = score[:, -1], score[:, tf.maximum(width, 1) - 1]
        near = tf.logical_and(least > -np.inf, tf.cast(last, tf.float64) <= tf.cast(least, tf.float64) + error)
        unsure = tf.where(tf.logical_and(near, asked < tf.shape(scores)[1]))

        def corrected() -> tuple[tf.Tensor, tf.Tensor]:
            row = unsure[:, 0]
            exact_score, exact_item = self._best_of_all(tf.gather(query, row), tf.gather(scores, row), asked)
            return (
                tf.tensor_scatter_nd_update(score, unsure, exact_score),
                tf.tensor_scatter_nd_update(item, unsure, exact_item),
            )

        best_score, best_item = tf.cond(tf.size(unsure) > 0, corrected, lambda: (score, item))
        return best_score[:, :width], best_item[:, :width]

    def _best_of_all(self, query: tf.Tensor, scores: tf.Tensor, asked: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As _best(), with all scores summed in float64."""
        exact = tf.matmul(tf.cast(query, tf.float64), tf.cast(self.candidates, tf.float64), transpose_b=True)
        score, item = tf.math.top_k(tf.where(scores > -np.inf, tf.cast(exact, tf.float32), -np.inf), asked)
        return score, tf.where(score > -np.inf, item, 0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id")], autograph=False)
    def query_embedding(self, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        user = self.user_index.lookup(user_id)
        return {"embedding": self._query(user), "known": user > 0}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "item_type"), tf.TensorSpec([None], tf.string, "item_id")],
        autograph=False,
    )
    def candidate_embedding(self, item_type: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        item = self.item_index.lookup(_item_key(item_type, item_id))
        return {"embedding": tf.gather(self.candidates, item), "known": item > 0}

    def save(self, folder: Path) -> None:
        """Writes the SavedModel without its fingerprint, a random number that loading does not need.

        Raises:
          StageError: TensorFlow could not write, as where the disk is full.
        """
        signatures: dict[str, Any] = {
            "serving_default": self.recommend,
            "query_embedding": self.query_embedding,
            "candidate_embedding": self.candidate_embedding,
        }
        for name, encoder in (("encode_users", self.user_encoder), ("encode_items", self.item_encoder)):
            if encoder is not None:
                signatures[name] = encoder.embed
        try:
            with _autograph_files_next_to(folder):
                tf.saved_model.save(self, str(folder), signatures=signatures)
        except tf.errors.OpError as error:
            # "{{function_node ...}} file; what the operating system said [Op:SaveV2]"
            reason = str(error.message).partition(" [Op:")[0].rpartition("; ")[2]
            raise StageError(f"{folder}: expected to write the SavedModel, found: {reason}") from None
        (folder / _FINGERPRINT).unlink(missing_ok=True)


@contextmanager
def _autograph_files_next_to(path: Path) -> Iterator[None]:
    """Keeps AutoGraph's temporary files next to a path, and its warnings off the terminal.

    TensorFlow wraps each signature in a function that it converts with AutoGraph, whatever the signature asks for. A
    killed run leaves no temporary file in the system's folder. Where the files cannot be written, as the disk is full,
    AutoGraph warns and takes the function as it is, which makes the same graph.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    logger, before = tf.get_logger(), tempfile.tempdir
    level = logger.level
    with tempfile.TemporaryDirectory(prefix=".unfinished.", dir=path.parent) as folder:
        tempfile.tempdir = folder
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            tempfile.tempdir = before
            logger.setLevel(level)


def _longest(table: Table) -> float:
    """Length of the longest row."""
    blocks = (table[start : start + _BLOCK_ROWS] for start in range(0, len(table), _BLOCK_ROWS))
    return max(float(np.linalg.norm(block.astype(np.float64), axis=1).max()) for block in blocks)


def _item_key(item_type: tf.Tensor, item_id: tf.Tensor) -> tf.Tensor:
    """Type and id as one text, unambiguous because it begins with the length of the type."""
    return tf.strings.join([tf.strings.as_string(tf.strings.length(item_type)), ":", item_type, item_id])


def _index_table(keys: tf.Tensor, name: str) -> Any:
    """A table from a key to its index from 1, 0 for unknown keys."""
    index = tf.range(1, tf.size(keys) + 1, dtype=tf.int32)
    initializer = tf.lookup.KeyValueTensorInitializer(keys, index)
    return tf.lookup.StaticHashTable(initializer, default_value=0, name=name)


def _masked(scores: tf.Tensor, excluded: tf.Tensor) -> tf.Tensor:
    """[n, items] scores with -inf in column 0 and at each row's [n, any] excluded columns."""
    row = tf.range(tf.shape(scores)[0])[:, None]
    excluded = tf.concat([tf.zeros_like(row), excluded], axis=1)
    place = tf.stack([tf.broadcast_to(row, tf.shape(excluded)), excluded], axis=2)
    return tf.tensor_scatter_nd_update(scores, place, tf.fill(tf.shape(excluded), np.float32(-np.inf)))


def _rescored(
    query: tf.Tensor, candidates: tf.Tensor, found: tf.Tensor, item: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scores summed in float64, and items ordered by score, equal ones by index; missing items are 0 with -inf.

    Float32 sums differ in their last bits between libraries and batches; these do not.

    Args:
      query: [n, d] float32.
      candidates: [n, found, d] float32 vectors of the items found.
      found: [n, found] float32 scores, -inf for what must not be shown.
      item: [n, found] int32.
    """
    exact = tf.einsum("nd,nfd->nf", tf.cast(query, tf.float64), tf.cast(candidates, tf.float64))
    score = tf.where(found > -np.inf, tf.cast(exact, tf.float32), -np.inf)
    by_index = tf.argsort(item, axis=1)
    score, item = tf.gather(score, by_index, batch_dims=1), tf.gather(item, by_index, batch_dims=1)
    best = tf.argsort(score, axis=1, direction="DESCENDING", stable=True)
    score, item = tf.gather(score, best, batch_dims=1), tf.gather(item, best, batch_dims=1)
    return score, tf.where(score > -np.inf, item, 0)
