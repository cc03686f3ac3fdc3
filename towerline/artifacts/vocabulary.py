"""Paths of the vocabularies of users and items, and a reader of the items' types."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

USER_VOCABULARY = Path("data/vocabulary/users.parquet")
ITEM_VOCABULARY = Path("data/vocabulary/items.parquet")


def read_item_types() -> NDArray[np.str_]:
    """[num_items + 1] text: the type of each item; that of the unknown item is empty."""
    with pq.ParquetFile(ITEM_VOCABULARY) as file:
        types = file.read(columns=["item_type"])["item_type"].to_pylist()
    return np.array(["", *types])
