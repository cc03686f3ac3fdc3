"""Embeddings of rows of features, as training gives them to ids without interactions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from towerline.features.encoder import Encoder
from towerline.serving.errors import ServingError
from towerline.serving.exported import Exported
from towerline.serving.rows import Row, texts


def encoded_items(exported: Exported, rows: Sequence[Row]) -> NDArray[np.float32]:
    """[rows, d] float32 embeddings of items.

    Raises:
      ServingError: the export has no declared features of items, or the rows lack a column of them.
    """
    return _encoded(exported.item_encoder, rows, "item")


def encoded_users(exported: Exported, rows: Sequence[Row]) -> NDArray[np.float32]:
    """[rows, d] float32 embeddings of users; errors as of encoded_items()."""
    return _encoded(exported.user_encoder, rows, "user")


def _encoded(encoder: Encoder | None, rows: Sequence[Row], kind: str) -> NDArray[np.float32]:
    if encoder is None:
        raise ServingError(
            f"expected an export with features of {kind}s, found none; declare columns in train.{kind}_features and "
            "run dvc repro"
        )
    columns = [encoding.column for encoding in encoder.encodings]
    # A misspelt name would be a missing value of every row.
    lacking = [column for column in columns if rows and not any(column in row for row in rows)]
    if lacking:
        there = sorted({str(column) for row in rows for column in row})
        raise ServingError(
            f"expected rows with the declared features of {kind}s, found no column {', '.join(map(repr, lacking))}; "
            f"there are: {', '.join(map(repr, there)) or 'none'}"
        )
    return encoder.embeddings({column: texts(rows, column) for column in columns}, len(rows))
