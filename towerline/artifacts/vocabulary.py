"""Paths of the vocabularies of users and items, and readers of the items' types and of features."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from towerline.pipeline.errors import StageError
from towerline.pipeline.settings import suggestion

USER_VOCABULARY = Path("data/vocabulary/users.parquet")
ITEM_VOCABULARY = Path("data/vocabulary/items.parquet")
TITLE, FEATURES = "title", "features"


def read_item_types() -> NDArray[np.str_]:
    """[num_items + 1] text: the type of each item; that of the unknown item is empty."""
    with pq.ParquetFile(ITEM_VOCABULARY) as file:
        types = file.read(columns=["item_type"])["item_type"].to_pylist()
    return np.array(["", *types])


def read_columns(path: Path, names: Sequence[str], parameter: str, source: str) -> dict[str, list[str | None]]:
    """Texts of some columns of a vocabulary, its features and the title of items; None for the unknown id at index 0.

    Args:
      path: of the vocabulary.
      names: of the columns.
      parameter: that names them, for the error.
      source: the parameter of the file that they come from, for the error.

    Raises:
      StageError: there is no such column.
    """
    with pq.ParquetFile(path) as file:
        there = [name for name in (TITLE, FEATURES) if name in file.schema_arrow.names]
        table = file.read(columns=there if names else [])
    known = _feature_names(table) | ({TITLE} & set(table.column_names))
    for name in names:
        if name not in known:
            advice = suggestion(name, sorted(known)) or f"; set {source} to a file that has it"
            raise StageError(
                f"{parameter}: expected a column of {source}, found {name!r}{advice}; there are: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    return {name: [None, *_column(table, name)] for name in names}


def _feature_names(table: pa.Table) -> set[str]:
    """The keys of the map column of features."""
    if FEATURES not in table.column_names:
        return set()
    keys = [chunk.keys for chunk in table[FEATURES].chunks]
    return set(pc.unique(pa.chunked_array(keys, pa.string())).to_pylist())


def _column(table: pa.Table, name: str) -> list[str | None]:
    """The texts of a feature or of the titles."""
    column = table[name] if name == TITLE else pc.map_lookup(table[FEATURES], pa.scalar(name), "last")
    texts: list[str | None] = column.to_pylist()
    return texts
