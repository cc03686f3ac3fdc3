"""Writes the embeddings with their ids, seen items, rating model, encoders, the approximate index and a SavedModel.

An export counts rows from 0: row r of every array belongs to the id in row r of the Parquet file of its kind, and the
unknown id, index 0 of the vocabularies, has no row. known() and write_seen_items() convert; all other functions take
rows.

Reads: models/final/{user,item}_embeddings.npy, {user,item}_encoder.npz, rating_head.npz, model.json,
  data/vocabulary/*.parquet, data/interactions.parquet.
Writes: exports/, reports/export.json.
Parameters: export, engine.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.export.params import ExportParams
from stages.export.seen import write_seen_items
from stages.export.servable import Retrieval, Vocabularies
from towerline.artifacts.train import FINAL, read_embeddings
from towerline.artifacts.vocabulary import ITEM_VOCABULARY, USER_VOCABULARY
from towerline.exports import layout, manifest
from towerline.exports.layout import EXPORT_REPORT, EXPORTS
from towerline.exports.manifest import Sizes
from towerline.exports.precision import Table, Tables, as_float32, inner_products
from towerline.exports.writing import Content, write_content
from towerline.features.encoder import Encoder
from towerline.index.approximate import build, load, recall
from towerline.pipeline import formats
from towerline.pipeline.errors import StageError
from towerline.pipeline.free_memory import GIGABYTE, free_bytes
from towerline.pipeline.terminal import run
from towerline.ranking.blocks import in_blocks
from towerline.ranking.top_k import top_k

# Number of evenly spaced users for whom the index's recall is measured, and its cutoff.
RECALL_USERS, RECALL_CUTOFF = 2000, 100
# Bytes of the process, and those of an id: its text and title here and in the SavedModel.
PROCESS, BYTES_PER_ID = 400_000_000, 560


def known(array: NDArray[Any]) -> NDArray[Any]:
    """[num_ids, ...] rows of an array of indices, [num_ids + 1, ...]: those of all ids but the unknown one."""
    return array[1:]


def read_vocabulary(path: Path, columns: list[str]) -> pa.Table:
    vocabulary = pq.read_table(path, columns=["index", *columns])
    if (vocabulary["index"].to_numpy() != np.arange(1, len(vocabulary) + 1)).any():
        raise StageError(
            f"{path}: expected the indices 1 to {len(vocabulary)} in order, found others; repro vocabulary"
        )
    return vocabulary.select(columns)


def rounded_embeddings(path: Path, num_ids: int, dtype: str) -> Table:
    """The embeddings of a vocabulary in the type of the export.

    Raises:
      StageError: as of read_embeddings(), or float16 does not reach as far as the values.
    """
    embeddings = read_embeddings(path, num_ids)
    most = np.finfo(dtype).max
    if embeddings.max() > most or embeddings.min() < -most:
        raise StageError(
            f"{path}: expected values from -{most:g} to {most:g}, found others; set export.dtype to float32"
        )
    return embeddings.astype(dtype, copy=False)


def write_index(path: Path, embeddings: Tables, min_recall: float) -> float:
    """Writes the approximate index of the items and returns its recall@100 against exact search.

    Args:
      path: the file.
      embeddings: of the users and of the items.
      min_recall: the lowest recall that is accepted.

    Raises:
      StageError: the recall is lower.
    """
    items = embeddings.items
    build(items).save(path)
    num_users = len(embeddings.users)
    users = np.unique(np.linspace(0, num_users - 1, min(num_users, RECALL_USERS)).astype(np.int32))
    queries = as_float32(embeddings.users[users])
    k = min(RECALL_CUTOFF, len(items))
    exact = in_blocks(
        lambda start, stop: top_k(inner_products(queries[start:stop], items), k), len(queries), len(items)
    )
    share = recall(load(path, *items.shape).search(queries, k), np.concatenate(exact))
    if share < min_recall:
        raise StageError(
            f"export.index.min_recall: expected an index that finds at least {min_recall:g} of the exact first {k} "
            f"items, found {share:.4f}; lower it, or set export.index.build to false"
        )
    return share


def needed_bytes(num_ids: int, dimension: int, dtype: str) -> int:
    """About how many bytes an export takes at its peak, without the mapped files, as measured in docs/scale.md.

    Args:
      num_ids: number of users and items.
      dimension: of the embeddings, with that of the prior.
      dtype: of the export; the rounded embeddings are in memory beside those of the SavedModel.
    """
    bytes_per_value = 4 if dtype == "float32" else 4 + np.dtype(dtype).itemsize
    return PROCESS + num_ids * (dimension * bytes_per_value + BYTES_PER_ID)


def check_memory(dtype: str) -> None:
    """Raises StageError where the export takes more memory than is free; arguments as of needed_bytes()."""
    num_ids = sum(map(formats.num_rows, (USER_VOCABULARY, ITEM_VOCABULARY)))
    dimension = np.load(FINAL.item_embeddings, mmap_mode="r", allow_pickle=False).shape[1]
    needed, free = needed_bytes(num_ids, dimension, dtype), free_bytes()
    if needed > free:
        raise StageError(
            f"train.embedding_dimension: expected at least {needed / GIGABYTE:.1f} GB of free memory to export "
            f"{num_ids:,} users and items of {dimension} dimensions, found {free / GIGABYTE:.1f}; lower it"
        )


def main() -> str:
    params = ExportParams.load()
    check_memory(params.dtype)
    users = read_vocabulary(USER_VOCABULARY, ["user_id"])
    items = read_vocabulary(ITEM_VOCABULARY, ["item_type", "item_id", "title"])
    with formats.replacing(EXPORTS) as folder:
        # First, since the engine's memory is free again when the embeddings are read.
        write_seen_items(folder, len(users))
        sizes, report = write_model(folder, users, items, params)
    formats.write_json(EXPORT_REPORT, report, formats.PUBLIC_DECIMALS)
    summary = (
        f"{sizes.users:,} users and {sizes.items:,} items of {sizes.dimension} dimensions, from {sizes.rows:,} rows"
    )
    return ", ".join([summary, *(f"{name} {value:.4f}" for name, value in report.items())])


def write_model(folder: Path, users: pa.Table, items: pa.Table, params: ExportParams) -> tuple[Sizes, dict[str, float]]:
    """Writes all but the seen items, which are in the folder already, and returns the sizes and what was measured.

    Args:
      folder: of the export.
      users, items: the vocabularies.
      params: the settings.
    """
    embeddings = Tables(
        rounded_embeddings(FINAL.user_embeddings, len(users), params.dtype),
        rounded_embeddings(FINAL.item_embeddings, len(items), params.dtype),
    )
    exported = Tables(known(embeddings.users), known(embeddings.items))
    rating_head = formats.read_arrays(FINAL.rating_head)
    ratings = {name: known(array) if array.ndim else array for name, array in rating_head.items()}
    encoders = formats.read_arrays(FINAL.user_encoder), formats.read_arrays(FINAL.item_encoder)
    model = formats.read_json(FINAL.model)
    sizes = Sizes(len(users), len(items), embeddings.items.shape[1], model["rows"])
    report: dict[str, float] = {}
    write_content(folder, Content(users, items, exported, ratings, *encoders), params.csv)
    if params.index.build:
        share = write_index(folder / layout.INDEX, exported, params.index.min_recall)
        report[f"index_recall@{RECALL_CUTOFF}"] = share
    vocabularies = Vocabularies(users["user_id"], items["item_type"], items["item_id"])
    Retrieval(embeddings, vocabularies, *map(Encoder.of_arrays, encoders)).save(folder / layout.MODEL)
    manifest.write(folder, sizes, model["recipe"]["temperatures"][-1])
    return sizes, report


if __name__ == "__main__":
    run("export", main)
