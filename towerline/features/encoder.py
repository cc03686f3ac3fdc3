"""Embeddings that are expected from features: linear in the encoded features, but for the terms of the prior.

The vector of an id with rows is learned. An id without rows gets the vector that is expected of an id with the same
features: the prediction of a ridge regression of the learned unit vectors on the features (attribute-to-latent mapping,
Gantner et al. 2010). That of an item is scaled to length 1, like all vectors of items. That of a user is not: it is the
shorter, the less the features say about taste, and the more the popularity prior counts then.

The number of rows that is expected of an item is the prediction of a Poisson regression.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from towerline.features.encodings import Encoding, Texts, of_content
from towerline.ranking.embedding import with_prior
from towerline.ranking.popularity import PSEUDO_ROWS

# exp() of more would not be finite.
LARGEST_LOGARITHM = 700.0
# A shorter vector is not scaled to length 1.
SHORTEST = 1e-6

# Column -> its texts, one for each id.
Columns = Mapping[str, Texts]


class Encoder(NamedTuple):
    """The embeddings expected from features, as arrays.

    Attributes:
      encodings: of the columns, in the order of their rows in the arrays.
      unit: [] bool: true if vectors are scaled to length 1.
      vectors: [1 + width, d] float64: the vector of an id all of whose encoded features are 0, and what each encoded
        feature adds to it, before the scaling.
      log_counts: [1 + width, PRIOR_DIMENSIONS] float64, likewise: logarithms of expected numbers of rows.
      most: [PRIOR_DIMENSIONS] float64: the largest number of rows of a known id; no more is expected.
      weights, constants: [PRIOR_DIMENSIONS] float64: a term of the prior is its constant plus its weight times the log
        popularity of the expected number of rows.
    """

    encodings: Sequence[Encoding]
    unit: NDArray[np.bool_]
    vectors: NDArray[np.float64]
    log_counts: NDArray[np.float64]
    most: NDArray[np.float64]
    weights: NDArray[np.float64]
    constants: NDArray[np.float64]

    def embeddings(self, columns: Columns, num_ids: int) -> NDArray[np.float32]:
        """[num_ids, d + PRIOR_DIMENSIONS] float32 embeddings.

        Args:
          columns: texts of the encoded columns, one for each id; a column that is not there is missing for all ids.
          num_ids: number of ids.
        """
        matrix = encoded(self.encodings, columns, num_ids)
        vectors = self.vectors[0] + matrix @ self.vectors[1:]
        if self.unit:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SHORTEST)
        counts = expected_counts(self.log_counts[0] + matrix @ self.log_counts[1:], self.most)
        terms = self.constants + self.weights * np.log1p(counts / PSEUDO_ROWS)
        return with_prior(vectors.astype(np.float32), terms.astype(np.float32))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The encoder as arrays, which of_arrays() reads."""
        text = json.dumps([encoding.content() for encoding in self.encodings], ensure_ascii=False, allow_nan=False)
        return {
            "encodings": np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8),
            "unit": self.unit,
            "vectors": self.vectors,
            "log_counts": self.log_counts,
            "most": self.most,
            "weights": self.weights,
            "constants": self.constants,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "Encoder | None":
        """The encoder of arrays(); None if there are none, as without declared features."""
        if not arrays:
            return None
        encodings = [of_content(content) for content in json.loads(arrays["encodings"].tobytes())]
        return cls(encodings, *(arrays[name] for name in cls._fields[1:]))


def expected_counts(logarithms: NDArray[np.float64], most: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers of rows whose logarithms are given, at most `most`; the shapes are any that NumPy broadcasts."""
    counts: NDArray[np.float64] = np.minimum(np.exp(np.minimum(logarithms, LARGEST_LOGARITHM)), most)
    return counts


def of_ids(columns: Columns, ids: NDArray[np.int32]) -> Columns:
    """The texts of the [any] int32 ids alone, in their order."""
    return {name: [texts[index] for index in ids] for name, texts in columns.items()}


def encoded(encodings: Sequence[Encoding], columns: Columns, num_ids: int) -> "sparse.csr_array":
    """[ids, width] float64: the encoded columns side by side.

    Args:
      encodings: of the columns.
      columns: texts of the columns; one that is not there is missing for all ids.
      num_ids: number of ids.
    """
    return side_by_side(
        [encoding.matrix(columns.get(encoding.column, [None] * num_ids)) for encoding in encodings], num_ids
    )


def side_by_side(matrices: Sequence["sparse.csr_array"], num_ids: int) -> "sparse.csr_array":
    """[num_ids, sum of the widths] float64: the [num_ids, width] matrices side by side; there may be none."""
    return sparse.hstack([sparse.csr_array((num_ids, 0)), *matrices], format="csr")
