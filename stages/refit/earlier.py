"""The vectors of an earlier export, in the order of the present vocabularies."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.exports import layout, manifest
from towerline.pipeline.errors import StageError
from towerline.ranking.embedding import PRIOR_DIMENSIONS, directions
from towerline.training.spectral import Vectors

USER_KEY, ITEM_KEY = ["user_id"], ["item_type", "item_id"]


class Keys:
    """The ids of both vocabularies, in the order of their indices from 1."""

    def __init__(self) -> None:
        self.users = pq.read_table(USER_VOCABULARY, columns=USER_KEY)
        self.items = pq.read_table(ITEM_VOCABULARY, columns=ITEM_KEY)

    def vectors(self, folder: Path, dimension: int) -> Vectors:
        """The unit vectors of an export: of all ids that it has, zero vectors for the others.

        Args:
          folder: of the export.
          dimension: of the model, without the terms of the prior.

        Raises:
          StageError: the folder holds no export, or one of another dimension or of other items.
        """
        try:
            return self._vectors(folder, dimension)
        except StageError as error:
            what = str(error).removesuffix("; run dvc repro")
            raise StageError(f"refit.warm_start: {what}; copy an export again, or set it to null") from None

    def _vectors(self, folder: Path, dimension: int) -> Vectors:
        content = manifest.read(folder)
        if content.dimension != dimension + PRIOR_DIMENSIONS:
            raise StageError(
                f"{folder}: expected an export of {dimension} dimensions, as train.embedding_dimension says, "
                f"found {content.dimension - PRIOR_DIMENSIONS}"
            )
        vectors = Vectors(
            _vectors(folder, f"{layout.USERS}.parquet", content, self.users),
            _vectors(folder, f"{layout.ITEMS}.parquet", content, self.items),
        )
        if not vectors.items.any():
            raise StageError(f"{folder}: expected vectors of some of the {len(self.items):,} items, found none")
        return vectors


def _vectors(folder: Path, name: str, content: manifest.Manifest, ids: pa.Table) -> NDArray[np.float32]:
    """[ids + 1, d] float32: the unit vectors that a file of an export has for the ids, after one for the unknown id.

    Those of a float16 export are 1 long within a thousandth.
    """
    manifest.check_file(folder, name, content)
    table = pq.read_table(folder / name, columns=[*ids.column_names, "embedding"])
    embeddings = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    row_of = _index(table, ids.column_names).get_indexer(_index(ids, ids.column_names))
    vectors = np.zeros((len(ids) + 1, embeddings.shape[1] - PRIOR_DIMENSIONS), np.float32)
    present = np.flatnonzero(row_of >= 0)
    vectors[present + 1] = directions(embeddings)[row_of[present]]
    return vectors


def _index(table: pa.Table, key: list[str]) -> "pd.Index[Any]":
    columns = [table[name].to_pandas() for name in key]
    return pd.MultiIndex.from_arrays(columns) if len(key) > 1 else pd.Index(columns[0])
