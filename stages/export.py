"""Towers and vocabularies -> embeddings with their ids, and a servable model.

Row r of a .npy file belongs to the id in row r of the Parquet file beside it; the unknown id is not exported.

Reads: models/two_tower/{user,item}_embeddings.npy, towers.weights.h5, model.json, data/vocabulary/*.parquet.
Writes: exports/.
Parameters: export.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages import artifacts
from stages.model.servable import Retrieval, Vocabularies
from stages.model.towers import Towers
from stages.params import ExportParams
from stages.terminal import StageError, run


def embedding_table(ids: pa.Table, embeddings: NDArray[np.float32]) -> pa.Table:
    """The ids with a column `embedding`, a list of float32 of fixed size.

    Args:
      ids: [num_ids] rows of a vocabulary, in the order of their indices from 1.
      embeddings: [num_ids + 1, d], row 0 being the unknown id's, which is left out.
    """
    known = embeddings[1:]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(known.ravel()), known.shape[1])
    return ids.append_column("embedding", vectors)


def wide_table(ids: pa.Table, embeddings: NDArray[np.float32]) -> pa.Table:
    """As embedding_table(), but with one column a dimension: dimension_0, dimension_1, and so on."""
    for dimension in range(embeddings.shape[1]):
        ids = ids.append_column(f"dimension_{dimension}", pa.array(embeddings[1:, dimension]))
    return ids


def write_embeddings(folder: Path, name: str, ids: pa.Table, embeddings: NDArray[np.float32], csv: bool) -> None:
    table = embedding_table(ids, embeddings)
    artifacts.write_parquet(folder / f"{name}.parquet", table.schema, table.to_batches())
    artifacts.write_array(folder / f"{name}.npy", embeddings[1:])
    if csv:
        with artifacts.replacing(folder / f"{name}.csv") as unfinished:
            pyarrow.csv.write_csv(wide_table(ids, embeddings), unfinished)


def read_vocabulary(path: Path, columns: list[str], embeddings: NDArray[np.float32]) -> pa.Table:
    vocabulary = pq.read_table(path, columns=["index", *columns])
    index = vocabulary["index"].to_numpy()
    if len(embeddings) != len(index) + 1 or (index != np.arange(1, len(index) + 1)).any():
        raise StageError(
            f"{path}: expected the indices 1 to {len(embeddings) - 1} of the embeddings in order, found {len(index)} "
            "others; repro train"
        )
    return vocabulary.select(columns)


def main() -> str:
    params = ExportParams.load()
    user_embeddings = np.load(artifacts.USER_EMBEDDINGS, allow_pickle=False)
    item_embeddings = np.load(artifacts.ITEM_EMBEDDINGS, allow_pickle=False)
    users = read_vocabulary(artifacts.USER_VOCABULARY, ["user_id"], user_embeddings)
    items = read_vocabulary(artifacts.ITEM_VOCABULARY, ["item_type", "item_id", "title"], item_embeddings)
    sizes: dict[str, Any] = artifacts.read_json(artifacts.MODEL)
    towers = Towers.load(artifacts.TOWER_WEIGHTS, **sizes)
    ids = [column.to_numpy() for column in (users["user_id"], items["item_type"], items["item_id"])]
    with artifacts.replacing(artifacts.EXPORTS) as folder:
        write_embeddings(folder, artifacts.EXPORTED_USERS, users, user_embeddings, params.csv)
        write_embeddings(folder, artifacts.EXPORTED_ITEMS, items, item_embeddings, params.csv)
        Retrieval(towers, Vocabularies(*ids)).save(folder / artifacts.EXPORTED_MODEL)
    return f"{len(users):,} users and {len(items):,} items of {user_embeddings.shape[1]} dimensions"


if __name__ == "__main__":
    run("export", main)
