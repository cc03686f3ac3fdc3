"""Names and formats of all that passes between the stages; every file is replaced whole or not at all."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stages.terminal import StageError

INTERACTIONS = Path("data/interactions.parquet")
ITEMS = Path("data/items.parquet")
REJECTED = Path("data/rejected.parquet")
INGEST_REPORT = Path("reports/ingest.json")

USER_VOCABULARY = Path("data/vocabulary/users.parquet")
ITEM_VOCABULARY = Path("data/vocabulary/items.parquet")

TRAIN = Path("data/split/train.parquet")
VALIDATION = Path("data/split/validation.parquet")
TEST = Path("data/split/test.parquet")

USER_EMBEDDINGS = Path("models/two_tower/user_embeddings.npy")
ITEM_EMBEDDINGS = Path("models/two_tower/item_embeddings.npy")
RATING_HEAD = Path("models/two_tower/rating_head.npz")
TOWER_WEIGHTS = Path("models/two_tower/towers.weights.h5")
MODEL = Path("models/two_tower/model.json")
TRAINING_REPORT = Path("reports/training.csv")

BASELINES = Path("models/baselines")
BASELINES_TABLE = Path("reports/tables/baselines.csv")

METRICS = Path("reports/metrics.json")
METRICS_BY_CUTOFF = Path("reports/plots/metrics_by_cutoff.csv")
METRICS_BY_ITEM_TYPE = Path("reports/plots/metrics_by_item_type.csv")
METRICS_TABLE = Path("reports/tables/metrics.csv")
DIFFERENCES_TABLE = Path("reports/tables/differences.csv")
EXPOSURE_TABLE = Path("reports/tables/exposure.csv")
RATINGS_TABLE = Path("reports/tables/ratings.csv")
REPORT = Path("reports/report.html")
EXPORT_REPORT = Path("reports/export.json")

EXPORTS = Path("exports")
EXPORTED_USERS = "user_embeddings"
EXPORTED_ITEMS = "item_embeddings"
# TensorFlow Serving wants a numbered folder for each version of a model.
EXPORTED_MODEL = "retrieval/1"
EXPORTED_SEEN_STARTS = "seen_starts.npy"
EXPORTED_SEEN_ITEMS = "seen_items.npy"
EXPORTED_RATINGS = "rating_model.npz"
EXPORTED_INDEX = "item_index.faiss"
EXPORTED_MANIFEST = "manifest.json"

ROW_GROUP_ROWS = 131_072
# Of floats in text. PUBLIC_DECIMALS in the files that git holds and `dvc metrics diff` compares: there a difference of
# last bits shows only where it lies on the border between two roundings.
DECIMALS, PUBLIC_DECIMALS = 6, 4


class Part(NamedTuple):
    """One part of the split: row r says that user user_index[r] had to do with item item_index[r].

    Attributes:
      user_index, item_index: [rows] int32, from 1.
      rating: [rows] float32 in the unit of the raw file; None where the data has none.
      num_users, num_items: sizes of the vocabularies, the unknown id at index 0 not counted.
    """

    user_index: NDArray[np.int32]
    item_index: NDArray[np.int32]
    rating: NDArray[np.float32] | None
    num_users: int
    num_items: int


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file or folder to, which takes its place once the block ends without error.

    A run that is killed leaves the old `path`, or none, and at most a hidden leftover that the next run overwrites.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished.{path.name}")
    _remove(unfinished)
    try:
        with naming(path):
            yield unfinished
        if unfinished.is_dir():
            _remove(path)
        unfinished.replace(path)
    finally:
        _remove(unfinished)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives an error of the operating system in the block that names no file, for instance of a full disk, this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path.as_posix()
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_parquet(
    path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], metadata: Mapping[str, int] | None = None
) -> int:
    """Writes batches of rows as Parquet and returns the number of rows; the batches' borders leave no trace."""
    entries = {name: str(value) for name, value in (metadata or {}).items()}
    schema = schema.with_metadata(entries)
    rows = 0
    with replacing(path) as unfinished, pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
        for group in _row_groups(schema, batches):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            rows += group.num_rows
    return rows


def _row_groups(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows as tables of ROW_GROUP_ROWS rows, the last one excepted."""
    waiting = schema.empty_table()
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch]).cast(schema)])
        while waiting.num_rows >= ROW_GROUP_ROWS:
            yield waiting.slice(0, ROW_GROUP_ROWS).combine_chunks()
            waiting = waiting.slice(ROW_GROUP_ROWS)
    yield waiting.combine_chunks()


def read_part(path: Path) -> Part:
    """Reads a part of the split.

    Raises:
      StageError: the file lacks what `split` writes.
    """
    table = pq.read_table(path)
    sizes = table.schema.metadata or {}
    if not {b"num_users", b"num_items"} <= set(sizes):
        raise StageError(f"{path}: expected num_users and num_items in the file's metadata, found none; repro split")
    rating = table["rating"].to_numpy() if "rating" in table.column_names else None
    return Part(
        table["user_index"].to_numpy(),
        table["item_index"].to_numpy(),
        rating,
        int(sizes[b"num_users"]),
        int(sizes[b"num_items"]),
    )


def write_array(path: Path, array: NDArray[Any]) -> None:
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def read_embeddings(path: Path, num_ids: int) -> NDArray[np.float32]:
    """The [num_ids + 1, d] embeddings of a vocabulary.

    Raises:
      StageError: they are of another vocabulary, or not finite.
    """
    embeddings: NDArray[np.float32] = np.load(path, allow_pickle=False)
    if len(embeddings) != num_ids + 1:
        raise StageError(f"{path}: expected {num_ids + 1} rows for {num_ids} ids, found {len(embeddings)}; repro train")
    broken = int((~np.isfinite(embeddings).all(axis=1)).sum())
    if broken:
        raise StageError(f"{path}: expected finite embeddings, found NaN or infinity in {broken} rows")
    return embeddings


def write_json(path: Path, content: Mapping[str, Any], decimals: int = DECIMALS) -> None:
    """Writes JSON with sorted keys and floats of so many decimals, refusing NaN and infinity."""
    with replacing(path) as unfinished:
        text = json.dumps(_rounded(content, decimals), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        unfinished.write_text(text + "\n", encoding="utf-8")


def _rounded(content: Any, decimals: int) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _rounded(value, decimals) for key, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_rounded(value, decimals) for value in content]
    return round(content, decimals) if isinstance(content, float) else content


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_csv(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[str | int | float]], decimals: int = DECIMALS
) -> None:
    """Writes a small table for plots: comma, one header line, floats of so many decimals."""
    with replacing(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_rounded(list(row), decimals) for row in rows])
