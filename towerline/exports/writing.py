"""Writes the files of an export, but for the index, the SavedModel and the manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from towerline.exports import layout
from towerline.exports.precision import Table, Tables
from towerline.pipeline import formats
from towerline.ranking.user_items import UserItems

Arrays = Mapping[str, NDArray[Any]]


class Content(NamedTuple):
    """What the files hold; row r of every array belongs to the id in row r, and the unknown id has no row.

    Attributes:
      users: [users] rows with the column user_id, in byte order.
      items: [items] rows with the columns item_type, item_id and title, in byte order of (type, id).
      embeddings: of the users and of the items.
      ratings: name -> array of the rating model; empty without the rating task.
      user_encoder, item_encoder: name -> array of the encoders of features; empty without declared features.
    """

    users: pa.Table
    items: pa.Table
    embeddings: Tables
    ratings: Arrays
    user_encoder: Arrays
    item_encoder: Arrays


def write_content(folder: Path, content: Content, csv: bool) -> None:
    """Writes the content of an export, but for the seen items.

    Args:
      folder: an empty folder.
      content: what to write.
      csv: also write the embeddings as CSV.
    """
    _write_embeddings(folder, layout.USERS, content.users, content.embeddings.users, csv)
    _write_embeddings(folder, layout.ITEMS, content.items, content.embeddings.items, csv)
    formats.write_arrays(folder / layout.RATINGS, content.ratings)
    formats.write_arrays(folder / layout.USER_ENCODER, content.user_encoder)
    formats.write_arrays(folder / layout.ITEM_ENCODER, content.item_encoder)


def write_seen(folder: Path, seen: UserItems) -> None:
    """Writes the rows of the items that each user interacted with."""
    formats.write_array(folder / layout.SEEN_STARTS, seen.starts)
    formats.write_array(folder / layout.SEEN_ITEMS, seen.items)


def embedding_table(ids: pa.Table, embeddings: Table) -> pa.Table:
    """The ids with a column `embedding`, a list of fixed size of the numbers of the embeddings.

    Args:
      ids: [num_ids] rows of ids.
      embeddings: [num_ids, d].
    """
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])
    return ids.append_column("embedding", vectors)


def _wide_table(ids: pa.Table, embeddings: Table) -> pa.Table:
    """As embedding_table(), but with one column of float32 per dimension: dimension_0, dimension_1, and so on."""
    for dimension in range(embeddings.shape[1]):
        ids = ids.append_column(f"dimension_{dimension}", pa.array(embeddings[:, dimension], pa.float32()))
    return ids


def _write_embeddings(folder: Path, name: str, ids: pa.Table, embeddings: Table, csv: bool) -> None:
    table = embedding_table(ids, embeddings)
    formats.write_parquet(folder / f"{name}.parquet", table.schema, table.to_batches())
    formats.write_array(folder / f"{name}.npy", embeddings)
    if csv:
        with formats.replacing(folder / f"{name}.csv") as unfinished:
            pyarrow.csv.write_csv(_wide_table(ids, embeddings), unfinished)
